#![forbid(unsafe_code)]
//! Attempts of the health check, each in a child: whatever it takes (a TLS handshake, a name server that hangs) is
//! gone with it, and the sidecar stays small.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::check::run::{Desk, Job, Observer, Progress, Run};
use crate::check::{Context, Probe, port};
use crate::error::Error;
use crate::instance::members::{self, Marks};
use crate::sys::{self, Errand, Wake};
use crate::text::elapsed;

/// How much later than its time a child is killed that does not come back.
const SLACK: Duration = Duration::from_secs(1);

/// What came of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    Holds,
    Fails(String),
    /// It could not be made: nothing is said of the server.
    Unknown(String),
}

/// An attempt that is under way.
pub struct Attempt {
    pub errand: Errand,
    /// When it is given up, and what is said of it then.
    pub late: Duration,
    limit: Duration,
}

/// What attempts are made with.
pub struct Attempter {
    pub probe: Probe,
    pub context: Arc<Context>,
    /// The limits that commands keep.
    pub nofile: sys::Nofile,
    /// The server, and the host and port that nobody else may answer on.
    pub marks: Marks,
    pub host: Option<String>,
}

impl Attempter {
    /// Attempts over and over until one holds, for at most `limit`.
    ///
    /// # Errors
    /// When there is no process or descriptor to be had.
    pub fn until_it_holds(&self, now: Duration, limit: Duration) -> io::Result<Attempt> {
        self.start(Job::wait(Probe { timeout: limit, ..self.probe.clone() }), now, true)
    }

    /// Attempts once, for at most `limit`. `is_first`: it has not held yet, and who answers is not known.
    ///
    /// # Errors
    /// As [`Self::until_it_holds`].
    pub fn once(&self, now: Duration, limit: Duration, is_first: bool) -> io::Result<Attempt> {
        // The http client's own limit is a part of a whole wait: this is the part.
        let probe = Probe { timeout: limit.saturating_mul(3), ..self.probe.clone() };
        self.start(Job { deadline: limit, ..Job::require(probe) }, now, is_first)
    }

    fn start(&self, job: Job, now: Duration, is_first: bool) -> io::Result<Attempt> {
        let limit = job.deadline;
        let errand = Errand::start(|| {
            sys::set_nofile(self.nofile);
            match attempt(job, &self.context) {
                Ok(progress) if progress.holds() => match self.stranger().filter(|_| is_first) {
                    Some(who) => format!("-{who} answers, and not the server").into_bytes(),
                    None => b"+".to_vec(),
                },
                Ok(progress) => format!("-{}", progress.reason).into_bytes(),
                Err(error) => format!("?{error}").into_bytes(),
            }
        })?;
        Ok(Attempt { errand, late: now + limit + SLACK, limit })
    }

    /// Who listens on the server's port, where that is somebody who was there before it.
    fn stranger(&self) -> Option<String> {
        let mut members = None;
        port::stranger(self.host.as_deref(), self.marks.port?, Some(&self.marks.main), |pid| {
            let look = || members::look(&self.marks).unwrap_or_default().members;
            members.get_or_insert_with(look).iter().any(|p| p.pid == pid)
        })
    }
}

impl Attempt {
    /// What came of it, once it is over or late.
    pub fn outcome(self, now: Duration) -> Outcome {
        if now >= self.late {
            self.errand.kill();
            return Outcome::Fails(format!("no answer within {}", elapsed(self.limit)));
        }
        let said = self.errand.finish();
        let words = || String::from_utf8_lossy(said.get(1..).unwrap_or_default()).into_owned();
        match said.first() {
            Some(b'+') => Outcome::Holds,
            Some(b'-') => Outcome::Fails(match words() {
                reason if reason == "no answer" => format!("no answer within {}", elapsed(self.limit)),
                reason => reason,
            }),
            Some(_) => Outcome::Unknown(words()),
            None => Outcome::Unknown("it ended without a word".to_owned()),
        }
    }
}

fn attempt(job: Job, context: &Arc<Context>) -> Result<Progress, Error> {
    let wake = Wake::new().map(Arc::new).map_err(|e| Error::Exhausted(e.to_string()))?;
    let signals = sys::catch_signals(wake.bell());
    let mut run = Run::start(vec![job], context, &wake)?;
    run.wait(None, &mut Desk { wake: &wake, signals: &signals, observer: &mut Nobody })?;
    Ok(run.progress().remove(0))
}

/// Nobody looks at it.
struct Nobody;

impl Observer for Nobody {
    fn interval(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn look(&mut self, _: &[Job], _: &[Progress], _: Duration) {}
}
