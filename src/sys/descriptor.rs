//! One descriptor of a process.

use std::ffi::OsString;
use std::fmt;

/// The kind of file that a descriptor refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(target_os = "macos", allow(dead_code, reason = "some are of Linux alone"))]
pub enum Kind {
    File,
    Directory,
    Device,
    PtyMaster,
    /// The slave side of a pseudo-terminal.
    Terminal,
    Pipe,
    Fifo,
    Listening,
    Connected,
    Unix,
    /// UDP, netlink, and sockets of another network namespace.
    Socket,
    Eventfd,
    Epoll,
    Timerfd,
    Signalfd,
    Inotify,
    Pidfd,
    Memfd,
    IoUring,
    Other,
}

impl Kind {
    /// The singular and the plural.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Kind::File => ("file", "files"),
            Kind::Directory => ("directory", "directories"),
            Kind::Device => ("device", "devices"),
            Kind::PtyMaster => ("pty master", "pty masters"),
            Kind::Terminal => ("terminal", "terminals"),
            Kind::Pipe => ("pipe", "pipes"),
            Kind::Fifo => ("fifo", "fifos"),
            Kind::Listening => ("socket listening", "sockets listening"),
            Kind::Connected => ("socket connected", "sockets connected"),
            Kind::Unix => ("unix socket", "unix sockets"),
            Kind::Socket => ("socket", "sockets"),
            Kind::Eventfd => ("eventfd", "eventfds"),
            Kind::Epoll => ("epoll", "epolls"),
            Kind::Timerfd => ("timerfd", "timerfds"),
            Kind::Signalfd => ("signalfd", "signalfds"),
            Kind::Inotify => ("inotify", "inotifies"),
            Kind::Pidfd => ("pidfd", "pidfds"),
            Kind::Memfd => ("memfd", "memfds"),
            Kind::IoUring => ("io_uring", "io_urings"),
            Kind::Other => ("other", "others"),
        }
    }

    /// The word for this many descriptors.
    pub fn counted(self, count: u64) -> &'static str {
        let (one, many) = self.words();
        if count == 1 { one } else { many }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.words().0)
    }
}

/// One descriptor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptor {
    pub number: i32,
    pub kind: Kind,
    /// The path, if the descriptor has one.
    pub what: Option<OsString>,
}
