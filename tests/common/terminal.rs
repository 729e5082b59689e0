//! A real terminal: a pty whose far end is the controlling terminal of what is started on it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};

use super::eventually;

/// The near end, where a person would sit.
pub struct Terminal {
    near: PtyMaster,
    far: PathBuf,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Opens one. Close-on-exec at both ends: no process of another test holds it.
    pub fn open() -> Self {
        let near = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a pty");
        grantpt(&near).expect("granted");
        unlockpt(&near).expect("unlocked");
        let far = ptsname_r(&near).expect("a name").into();
        Terminal { near, far, shown: Arc::default() }
    }

    /// Puts a command on it: stdin, stdout and stderr, as the leader of a session of its own.
    pub fn attach<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let far = || -> File {
            let flags = OFlag::O_NOCTTY.bits();
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.far).expect("the far end")
        };
        command.stdin(Stdio::from(far())).stdout(far()).stderr(far());
        // SAFETY: both calls take integers.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        }
    }

    /// Makes it the controlling terminal of a command, which becomes the leader of a session. Its stdin, stdout and stderr
    /// stay what they are: a person's shell whose output goes elsewhere.
    pub fn control<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let far = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(self.far.as_os_str())).expect("a path");
        // SAFETY: all calls are async-signal-safe; the path ends with a zero byte.
        unsafe {
            command.pre_exec(move || {
                let failed = || Err(std::io::Error::last_os_error());
                if libc::setsid() < 0 {
                    return failed();
                }
                let far = libc::open(far.as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
                if far < 0 || libc::ioctl(far, libc::TIOCSCTTY, 0) < 0 || libc::close(far) < 0 {
                    return failed();
                }
                Ok(())
            })
        }
    }

    /// Makes it so wide.
    pub fn resize(&self, columns: u16) {
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open, and the call reads a winsize.
        let done = unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&self.near), libc::TIOCSWINSZ, &size) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// Begins to collect what is shown, until the far end is closed.
    pub fn watch(&self) -> JoinHandle<()> {
        // SAFETY: the descriptor is open; the copy is close-on-exec.
        let copy = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&self.near), libc::F_DUPFD_CLOEXEC, 3) };
        // SAFETY: a new descriptor, which nobody else has.
        let mut near = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(copy) };
        let shown = Arc::clone(&self.shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = near.read(&mut bytes) {
                shown.lock().expect("locked").extend_from_slice(&bytes[..count]);
            }
        })
    }

    /// Runs a command on it to its end, and says how that was and all that was shown.
    #[track_caller]
    pub fn run(&self, mut command: Command) -> (Option<i32>, String) {
        self.attach(&mut command);
        let reader = self.watch();
        let mut child = command.spawn().expect("spawned");
        // It has the far end open, too.
        drop(command);
        let mut code = None;
        eventually("it has ended", || {
            let status = child.try_wait().expect("waited");
            code = status.and_then(|status| status.code());
            status.is_some()
        });
        reader.join().expect("joined");
        (code, self.shown().replace("\r\n", "\n"))
    }

    /// What has been shown so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("locked")).into_owned()
    }

    #[track_caller]
    pub fn shows(&self, text: &str) {
        eventually(&format!("{text:?} on the terminal"), || self.shown().contains(text));
    }

    pub fn type_in(&mut self, keys: &[u8]) {
        self.near.write_all(keys).expect("typed");
    }
}
