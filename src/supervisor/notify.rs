#![forbid(unsafe_code)]
//! Messages to the service manager (sd_notify(3)). While forerun is still the main process it sends STATUS= and
//! EXTEND_TIMEOUT_USEC=, in standby READY=1 and WATCHDOG=1 too. Later the sidecar sends them.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
pub use sd_notify::NotifyState;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::environment::{Environment, NOTIFY_SOCKET};
use crate::sys;

/// How long one message extends the start timeout, and how often it is sent.
pub const EXTENSION: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(5);
/// The shortest pause between messages to a watchdog, however short its period.
const SHORTEST: Duration = Duration::from_millis(10);
/// The shortest pause between two different statuses.
const NEWS: Duration = Duration::from_secs(1);
/// The longest status, in bytes.
const LONGEST: usize = 2000;
/// How long to wait for a busy manager when the message must not be lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service manager behind NOTIFY_SOCKET.
#[derive(Clone, Debug)]
pub struct Manager {
    /// A path, or a name that begins with '@'.
    pub address: OsString,
    /// The period of its watchdog, if it watches this process.
    pub watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that an environment names. `None` without one, and for an address that we cannot use (vsock).
    pub fn of(environment: &Environment) -> Option<Self> {
        let address = environment.filled(NOTIFY_SOCKET)?.to_owned();
        let known = matches!(address.as_bytes().first(), Some(b'/' | b'@'));
        known.then(|| Manager { address, watchdog: watchdog(environment) })
    }

    /// The longest pause between messages while the manager's clocks run. A unit that is not `Type=notify` has its
    /// watchdog from the first moment, and a request for more time in that moment does not move it.
    pub fn interval(&self) -> Duration {
        self.watchdog.map_or(INTERVAL, |period| (period / 4).clamp(SHORTEST, INTERVAL))
    }

    /// The pause between messages to its watchdog.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|period| (period / 2).max(SHORTEST))
    }

    /// Sends a status and asks for `time` more, for the start and for the watchdog.
    pub fn extend(&self, status: &str, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let mut states = vec![NotifyState::Status(cut(status)), NotifyState::ExtendTimeoutUsec(micros)];
        states.extend(self.watchdog.map(|_| NotifyState::Watchdog));
        self.tell(&states);
    }

    /// Sends a message, or drops it: a stuck manager must not hold up the start.
    pub fn tell(&self, states: &[NotifyState]) {
        log(self.post(states, Duration::ZERO));
    }

    /// Sends a message that must not be lost, and waits until the manager has read it, if it knows BARRIER=1 (systemd
    /// 246). Returns false if the manager is busy and the message should be sent again.
    pub fn tell_surely(&self, states: &[NotifyState]) -> bool {
        let sent = self.post(states, PATIENCE);
        let is_busy = sent.as_ref().is_err_and(|e| {
            matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
        });
        log(sent.and_then(|()| self.barrier()));
        !is_busy
    }

    fn post(&self, states: &[NotifyState], patience: Duration) -> io::Result<()> {
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        let address = self.address()?;
        self.socket(patience)?.send_to(message.as_bytes(), &address).map(drop)
    }

    /// Waits until the manager has read everything before it. It could not tell a sender that has ended by then from a
    /// stranger. (The sd-notify crate has no abstract sockets here.)
    fn barrier(&self) -> io::Result<()> {
        let (read, write) = sys::blocking_pipe()?;
        let socket = self.socket(PATIENCE)?;
        socket.connect(&self.address()?)?;
        let descriptors = [write.as_raw_fd()];
        let message = [IoSlice::new(b"BARRIER=1")];
        sendmsg::<()>(
            socket.as_raw_fd(),
            &message,
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::empty(),
            None,
        )?;
        drop::<OwnedFd>(write);
        match sys::wait_readable([Some(read.as_fd())], PATIENCE) {
            [true] => Ok(()),
            [false] => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn address(&self) -> io::Result<SockAddr> {
        let mut path = self.address.clone().into_vec();
        if let Some(first @ b'@') = path.first_mut() {
            *first = 0;
        }
        SockAddr::unix(OsString::from_vec(path))
    }

    /// A socket whose sends wait at most `patience`. (Those of the sd-notify crate block.)
    fn socket(&self, patience: Duration) -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
        match patience.is_zero() {
            true => socket.set_nonblocking(true)?,
            false => socket.set_write_timeout(Some(patience))?,
        }
        Ok(socket)
    }
}

fn log(sent: io::Result<()>) {
    if let Err(e) = sent {
        log::debug!("cannot notify the service manager: {e}");
    }
}

/// The period of the watchdog, if it is meant for this process.
fn watchdog(environment: &Environment) -> Option<Duration> {
    let ours = [std::process::id(), std::os::unix::process::parent_id()].map(|pid| pid.to_string());
    if environment.filled("WATCHDOG_PID").is_some_and(|pid| ours.iter().all(|ours| pid != OsStr::new(ours))) {
        return None;
    }
    let micros = environment.filled("WATCHDOG_USEC")?.to_str()?.parse().ok().filter(|&micros| micros > 0)?;
    Some(Duration::from_micros(micros))
}

/// Sends the messages of one start.
pub struct Notifier {
    pub manager: Manager,
    last: Option<(Instant, String)>,
    /// The last status of a standby, and when it was sent.
    standby: Option<(Instant, String)>,
}

impl Notifier {
    pub fn new(manager: Manager) -> Self {
        Notifier { manager, last: None, standby: None }
    }

    /// The longest pause between calls of [`Self::waiting`].
    pub fn interval(&self) -> Duration {
        self.manager.interval()
    }

    /// Sends what is waited for and asks for more time. Repeats itself only as often as needed.
    pub fn waiting(&mut self, status: &str) {
        // After a standby the watchdog counts: it must hear at once that this takes time.
        let after_standby = self.standby.take().is_some();
        let due = match &self.last {
            _ if after_standby => true,
            Some((sent, said)) => sent.elapsed() >= self.interval() || (said != status && sent.elapsed() >= NEWS),
            None => true,
        };
        if due {
            self.last = Some((Instant::now(), status.to_owned()));
            self.manager.extend(status, EXTENSION);
        }
    }

    /// Tells that we stand by while the service runs: the start is over, and from now on the watchdog counts. Returns how
    /// long until the watchdog needs the next message.
    pub fn standing_by(&mut self, status: &str) -> Duration {
        let interval = self.manager.watchdog_interval().unwrap_or(Duration::MAX);
        let since = self.standby.as_ref().filter(|(_, said)| said == status).map(|(sent, _)| sent.elapsed());
        if since.is_none_or(|since| since >= interval) {
            let status_now = NotifyState::Status(cut(status));
            self.manager.tell(&[NotifyState::Ready, status_now, NotifyState::Watchdog]);
            self.standby = Some((Instant::now(), status.to_owned()));
            return interval;
        }
        interval.saturating_sub(since.unwrap_or_default())
    }

    /// Asks for the server's own time to start: the waits have used up the unit's.
    pub fn starting(&mut self, status: &str, time: Duration) {
        if self.last.take().is_some() {
            self.manager.extend(status, time);
        }
    }
}

/// A message of more than 4096 bytes is dropped as a whole (sd_notify(3)).
pub fn cut(status: &str) -> &str {
    let end = status.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= LONGEST).last();
    &status[..end.unwrap_or(0)]
}
