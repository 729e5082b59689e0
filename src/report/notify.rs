#![forbid(unsafe_code)]
//! What the service manager is told (sd_notify(3)): while forerun is still the main process, STATUS= and
//! EXTEND_TIMEOUT_USEC=, and in standby READY=1 and WATCHDOG=1; later on by the sidecar.

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
/// The watchdog hears of us at most this often, however short its period.
const SHORTEST: Duration = Duration::from_millis(10);
/// How often another status is sent.
const NEWS: Duration = Duration::from_secs(1);
/// The longest status, in bytes.
const LONGEST: usize = 2000;
/// How long a manager that is busy is waited for where the message counts.
const PATIENCE: Duration = Duration::from_secs(5);

/// The service manager that listens at NOTIFY_SOCKET.
#[derive(Clone, Debug)]
pub struct Manager {
    /// A path, or a name that begins with '@'.
    pub address: OsString,
    /// The period of its watchdog, where it has one for us.
    pub watchdog: Option<Duration>,
}

impl Manager {
    /// The one that an environment names. Nothing where there is none, or one that we cannot speak to (vsock).
    pub fn of(environment: &Environment) -> Option<Self> {
        let address = environment.filled(NOTIFY_SOCKET)?.to_owned();
        let known = matches!(address.as_bytes().first(), Some(b'/' | b'@'));
        known.then(|| Manager { address, watchdog: watchdog(environment) })
    }

    /// How often the manager is to hear of us at least while its clocks run. A unit that is no `Type=notify` has its
    /// watchdog from the first moment, and a request for more time that comes with that moment does not move it.
    pub fn interval(&self) -> Duration {
        self.watchdog.map_or(INTERVAL, |period| (period / 4).clamp(SHORTEST, INTERVAL))
    }

    /// How often its watchdog is to hear of us.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|period| (period / 2).max(SHORTEST))
    }

    /// Says how it goes and asks for `time` more, of the start and of the watchdog.
    pub fn extend(&self, status: &str, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let mut states = vec![NotifyState::Status(cut(status)), NotifyState::ExtendTimeoutUsec(micros)];
        states.extend(self.watchdog.map(|_| NotifyState::Watchdog));
        self.tell(&states);
    }

    /// Sends a message, or drops it: one that is stuck must not hold up the start.
    pub fn tell(&self, states: &[NotifyState]) {
        log(self.post(states, Duration::ZERO));
    }

    /// Sends a message that must not be lost, and waits until it has been read, where the manager knows BARRIER=1
    /// (systemd 246). False when it should be tried again: the manager is busy.
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

    /// Waits until everything before it has been read. A sender that has ended by then could not be told apart from a
    /// stranger. (sd_notify's own knows no abstract socket.)
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

    /// A socket that waits for at most `patience`. (sd_notify's own send blocks.)
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

/// The period of the watchdog. What is meant for another process is not ours to answer to.
fn watchdog(environment: &Environment) -> Option<Duration> {
    let ours = [std::process::id(), std::os::unix::process::parent_id()].map(|pid| pid.to_string());
    if environment.filled("WATCHDOG_PID").is_some_and(|pid| ours.iter().all(|ours| pid != OsStr::new(ours))) {
        return None;
    }
    let micros = environment.filled("WATCHDOG_USEC")?.to_str()?.parse().ok().filter(|&micros| micros > 0)?;
    Some(Duration::from_micros(micros))
}

/// Speaks for a start.
pub struct Notifier {
    pub manager: Manager,
    last: Option<(Instant, String)>,
    /// What was said of a standby, and when.
    standby: Option<(Instant, String)>,
}

impl Notifier {
    pub fn new(manager: Manager) -> Self {
        Notifier { manager, last: None, standby: None }
    }

    /// How often [`Self::waiting`] is to be called at least.
    pub fn interval(&self) -> Duration {
        self.manager.interval()
    }

    /// Says what is waited for, and asks for more time. Repeats itself only as often as that needs.
    pub fn waiting(&mut self, status: &str) {
        // After a standby the watchdog counts, and must hear at once that this takes time.
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

    /// The service is there and we stand by for it: the start is over, and from now on the watchdog counts. Returns
    /// how long until that must hear from us again.
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

    /// The server gets its own time to start: the wait has used up what the unit gives.
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
