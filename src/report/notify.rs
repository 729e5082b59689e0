#![forbid(unsafe_code)]
//! What the service manager is told while forerun is still the main process: STATUS= and EXTEND_TIMEOUT_USEC=, and
//! in standby READY=1 and WATCHDOG=1.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::environment::NOTIFY_SOCKET;

/// How long one message extends the start timeout, and how often it is sent.
const EXTENSION: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(5);
/// The watchdog hears of us at most this often, however short its period.
const SHORTEST: Duration = Duration::from_millis(10);
/// How often another status is sent.
const NEWS: Duration = Duration::from_secs(1);
/// The longest status, in bytes.
const LONGEST: usize = 2000;

/// Speaks to NOTIFY_SOCKET.
#[derive(Default)]
pub struct Notifier {
    last: Option<(Instant, String)>,
    /// What was said of a standby, and when.
    standby: Option<(Instant, String)>,
}

impl Notifier {
    /// How often [`Self::waiting`] is to be called at least. A unit that is no `Type=notify` has its watchdog from
    /// the first moment, and a request for more time that comes with that moment does not move it.
    pub fn interval(&self) -> Duration {
        watchdog().map_or(INTERVAL, |period| (period / 4).clamp(SHORTEST, INTERVAL))
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
            send(status, EXTENSION);
        }
    }

    /// The service is there and we stand by for it: the start is over, and from now on the watchdog counts. Returns
    /// how long until that must hear from us again.
    pub fn standing_by(&mut self, status: &str) -> Duration {
        let interval = watchdog().map_or(Duration::MAX, |period| (period / 2).max(SHORTEST));
        let since = self.standby.as_ref().filter(|(_, said)| said == status).map(|(sent, _)| sent.elapsed());
        if since.is_none_or(|since| since >= interval) {
            post_all(&[NotifyState::Ready, NotifyState::Status(cut(status)), NotifyState::Watchdog]);
            self.standby = Some((Instant::now(), status.to_owned()));
            return interval;
        }
        interval.saturating_sub(since.unwrap_or_default())
    }

    /// The server gets its own time to start: the wait has used up what the unit gives.
    pub fn starting(&mut self, status: &str, time: Duration) {
        if self.last.take().is_some() {
            send(status, time);
        }
    }
}

fn send(status: &str, time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let mut states = vec![NotifyState::Status(cut(status)), NotifyState::ExtendTimeoutUsec(micros)];
    states.extend(watchdog().map(|_| NotifyState::Watchdog));
    post_all(&states);
}

/// A message of more than 4096 bytes is dropped as a whole (sd_notify(3)).
fn cut(status: &str) -> &str {
    let end = status.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= LONGEST).last();
    &status[..end.unwrap_or(0)]
}

/// The period of the watchdog, where the service manager has one for us.
fn watchdog() -> Option<Duration> {
    let micros = std::env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|&micros| micros > 0)?;
    Some(Duration::from_micros(micros))
}

fn post_all(states: &[NotifyState]) {
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Err(e) = post(message.as_bytes()) {
        log::debug!("cannot notify the service manager: {e}");
    }
}

/// Sends a message, or drops it: one that is stuck must not hold up the start. (sd_notify's own send blocks, and
/// knows no abstract socket.)
fn post(message: &[u8]) -> io::Result<()> {
    let Some(path) = std::env::var_os(NOTIFY_SOCKET) else { return Ok(()) };
    let mut path = path.into_vec();
    if let Some(first @ b'@') = path.first_mut() {
        *first = 0;
    }
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.send_to(message, &SockAddr::unix(OsString::from_vec(path))?).map(drop)
}
