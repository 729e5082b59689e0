#![forbid(unsafe_code)]
//! Runs each attempt of the health check in a child process. Whatever an attempt allocates (a TLS handshake, a name
//! server that hangs) goes away with the child, so the sidecar stays small.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::outcome::Outcome;
use super::readiness;
use crate::check::run::{Job, Observer, Progress, Run};
use crate::check::{Context, NO_ANSWER, Probe};
use crate::error::Error;
use crate::follow;
use crate::instance::family::Origin;
use crate::instance::state::Folder;
use crate::sys::{self, Errand, Events};
use crate::text::elapsed;

/// How long after its deadline a child that has not returned is killed.
const SLACK: Duration = Duration::from_secs(1);

/// An attempt that is under way.
pub struct Attempt {
    pub errand: Errand,
    /// When the attempt is given up as failed, on the sidecar's clock.
    pub late: Duration,
    limit: Duration,
}

/// Everything that an attempt needs.
pub struct Attempter {
    pub probe: Probe,
    pub context: Arc<Context>,
    /// The descriptor limits for commands that checks run.
    pub nofile: sys::Nofile,
    /// The server. Nobody else may answer on its host and port.
    pub origin: Origin,
    pub port: Option<u16>,
    pub host: Option<String>,
    /// The folder that holds the state folders of all services, and the name of this one.
    pub state: Option<(PathBuf, String)>,
}

impl Attempter {
    /// Repeats attempts until one succeeds, for at most `limit`.
    ///
    /// # Errors
    /// When no process or descriptor is available.
    pub fn until_it_holds(&self, now: Duration, limit: Duration) -> io::Result<Attempt> {
        self.start(Job::wait(Probe { timeout: limit, ..self.probe.clone() }), now, true)
    }

    /// Makes one attempt, for at most `limit`. `is_first`: no attempt has succeeded yet, so this one also verifies that
    /// the server is the one that answers.
    ///
    /// # Errors
    /// As [`Self::until_it_holds`].
    pub fn once(&self, now: Duration, limit: Duration, is_first: bool) -> io::Result<Attempt> {
        self.start(Job { deadline: limit, ..Job::require(self.probe.clone()) }, now, is_first)
    }

    fn start(&self, job: Job, now: Duration, is_first: bool) -> io::Result<Attempt> {
        let limit = job.deadline;
        let errand = Errand::start(|| {
            sys::set_nofile(self.nofile);
            match attempt(job, &self.context) {
                Ok(progress) if progress.holds() => match self.stranger(is_first) {
                    Some(who) => format!("-{who} answers, not the server").into_bytes(),
                    None => {
                        self.note(is_first);
                        b"+".to_vec()
                    }
                },
                Ok(progress) => format!("-{}", progress.reason).into_bytes(),
                Err(error) => format!("?{error}").into_bytes(),
            }
        })?;
        Ok(Attempt { errand, late: now + limit + SLACK, limit })
    }

    /// Who answers in the server's place. Only asked before it was healthy once.
    fn stranger(&self, is_first: bool) -> Option<String> {
        is_first.then(|| follow::stranger(&self.origin, self.host.as_deref(), self.port)).flatten()
    }

    /// Keeps what is seen of the server that just became healthy.
    fn note(&self, is_first: bool) {
        if let Some((folder, name)) = self.state.as_ref().filter(|_| is_first) {
            let us = nix::unistd::geteuid().as_raw();
            let folder = Folder::existing(folder, name, us).ok().flatten();
            folder.into_iter().for_each(|folder| readiness::note(&self.origin, &folder, name));
        }
    }
}

impl Attempt {
    /// The result, once the attempt is over or its deadline has passed.
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
                reason if reason == NO_ANSWER => format!("no answer within {}", elapsed(self.limit)),
                reason => reason,
            }),
            Some(_) => Outcome::Unknown(words()),
            None => Outcome::Unknown("the process of the attempt ended without an answer".to_owned()),
        }
    }
}

fn attempt(job: Job, context: &Arc<Context>) -> Result<Progress, Error> {
    let events = Events::catch().map_err(|e| Error::Exhausted(e.to_string()))?;
    let mut run = Run::start(vec![job], context, events.pipe())?;
    run.wait(None, &events, &mut Nobody)?;
    Ok(run.progress().remove(0))
}

/// An observer that shows nothing.
struct Nobody;

impl Observer for Nobody {
    fn interval(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn look(&mut self, _: &[Job], _: &[Progress], _: Duration) {}
}
