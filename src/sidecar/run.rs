#![forbid(unsafe_code)]
//! The main loop of a sidecar. It waits for the end of the server, a signal, the result of an attempt, or its next
//! turn.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::access::{self, Question};
use super::attempt::{Attempt, Attempter, Outcome};
use super::clock::Clock;
use super::counts::{Counts, Line};
use super::health::{Judge, Turn};
use super::pid_file::PidFile;
use super::plan::Plan;
use crate::check::{self, Context, Probe};
use crate::environment::Environment;
use crate::instance::family::{Look, Sight};
use crate::instance::stop::{Signalled, Stop};
use crate::instance::watch::Action;
use crate::line::say;
use crate::supervisor::notify::{EXTENSION, Manager, NotifyState, cut};
use crate::sys::{self, Events, ExitWatch, Process, Seen};
use crate::text::{attempts, counted, elapsed, quoted};

/// Pause between looks if neither `[watch] interval` nor a watchdog sets one.
const INTERVAL: Duration = Duration::from_secs(10);
/// Shortest pause that a watchdog period can set.
const SHORTEST: Duration = Duration::from_millis(100);
/// Pause before something that should not have failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A running sidecar.
pub struct Sidecar {
    pub(super) plan: Plan,
    pub(super) manager: Option<Manager>,
    pub(super) watch: ExitWatch,
    pub(super) events: Events,
    clock: Clock,
    interval: Duration,
    /// Makes attempts of the health check, if there is one.
    pub(super) attempter: Option<Attempter>,
    /// The quoted check.
    check: String,
    /// How long the server may take until it is healthy for the first time.
    health_timeout: Duration,
    judge: Judge,
    attempt: Option<Attempt>,
    next_attempt: Duration,
    /// The server was not healthy within its health timeout.
    is_late: bool,
    /// Attempts cannot be made, and the warning about it was given.
    is_blind: bool,
    /// The service manager knows that the server is ready, or there is no service manager.
    is_told: bool,
    /// When the next message to the service manager is due.
    next_word: Duration,
    counts: Option<Counts>,
    next_look: Duration,
    access: Option<Question>,
    context: Arc<Context>,
    /// Nobody knows whether what is watched is the server.
    pub(super) only_watches: bool,
    /// Closes when the forerun that started us executes the server, or is done.
    pub(super) launch: Option<UnixStream>,
    /// The file in which the server names its main process, if systemd is to be told.
    pub(super) pid_file: Option<PidFile>,
}

impl Sidecar {
    pub fn new(plan: Plan, probe: Option<Probe>, environment: &Environment, watch: ExitWatch, events: Events) -> Self {
        let manager = plan.manager.as_ref().map(super::plan::Speaks::manager);
        let by_watchdog = manager.as_ref().and_then(Manager::watchdog_interval);
        let by_watchdog = by_watchdog.map(|half| half.clamp(SHORTEST, INTERVAL));
        let context = Arc::new(Context {
            environment: environment.clone(),
            directory: std::ffi::OsString::from(&plan.directory).into(),
            nofile: plan.nofile,
        });
        let unit = plan.manager.as_ref().and_then(|speaks| speaks.unit.as_ref());
        let interval = plan.watch.interval.or(by_watchdog).unwrap_or(INTERVAL);
        let path = plan.pid_file.as_ref().filter(|_| plan.is_under_systemd()).map(std::ffi::OsString::from);
        let pid_file = path.map(|path| PidFile::new(path.into(), plan.origin.main.pid));
        Sidecar {
            watch,
            events,
            clock: Clock::new(),
            interval,
            check: probe.as_ref().map(|probe| quoted(&probe.check.to_string())).unwrap_or_default(),
            health_timeout: probe.as_ref().map(|probe| probe.timeout).unwrap_or_default(),
            attempter: probe.map(|probe| Attempter {
                probe,
                context: Arc::clone(&context),
                nofile: plan.checks_nofile,
                origin: plan.origin.clone(),
                port: plan.port,
                host: plan.host.clone(),
                state: plan.state.as_ref().map(|root| (std::ffi::OsString::from(root).into(), plan.name.clone())),
            }),
            judge: Judge::new(plan.watch.unhealthy_after, plan.watch.grace),
            attempt: None,
            next_attempt: Duration::ZERO,
            is_late: false,
            is_blind: false,
            is_told: manager.is_none(),
            next_word: Duration::ZERO,
            counts: plan.watches.then(Counts::default),
            next_look: interval,
            access: unit.and_then(|(unit, of_user)| access::ask(unit, *of_user, Duration::ZERO).ok()),
            context,
            only_watches: false,
            launch: None,
            pid_file,
            manager,
            plan,
        }
    }

    /// Works until the server has ended or nothing is left to do.
    pub fn run(mut self) {
        loop {
            if self.events.signal().is_some() {
                return self.leave();
            }
            let now = self.clock.now();
            if !self.turn(now) {
                return self.leave();
            }
            let planned = self.next_turn().saturating_sub(now);
            let spoke = self.attempt.as_ref().map(|attempt| attempt.errand.descriptor());
            let answered = self.access.as_ref().and_then(Question::descriptor);
            let launched = self.launch.as_ref().map(UnixStream::as_fd);
            let all = [self.watch.descriptor(), spoke, answered, launched];
            let [ended, spoke, answered, launched] = self.events.pipe().wait_for(all, planned);
            self.clock.woke(planned);
            if launched {
                self.launch = None;
                self.see_main();
            }
            if ended && (self.only_watches || !self.follows()) {
                return self.leave();
            }
            let now = self.clock.now();
            if spoke || self.attempt.as_ref().is_some_and(|attempt| now >= attempt.late) {
                self.take_outcome(now);
            }
            if answered || self.access.as_ref().is_some_and(|question| now >= question.late) {
                self.take_access(answered);
            }
        }
    }

    /// Notes what main executes, so that its forks are known if it ends before it was healthy.
    fn see_main(&mut self) {
        let origin = &mut self.plan.origin;
        let is_main = |p: &Process| Seen::from(p) == origin.main && !p.forked;
        if let Some(main) = sys::process(origin.main.pid).filter(is_main) {
            origin.stack = Sight::default().stack(&main);
        }
    }

    /// Does what is due now. False if nothing will ever be due again.
    fn turn(&mut self, now: Duration) -> bool {
        self.make_attempt(now);
        self.speak(now);
        self.look(now);
        self.read_pid_file(now);
        let has_to_tell = self.attempter.is_some() && !(self.judge.was_healthy() && self.is_told);
        has_to_tell || self.has_watchdog() || self.counts.is_some() || self.access.is_some() || self.pid_file.is_some()
    }

    fn next_turn(&self) -> Duration {
        let attempt = match &self.attempt {
            Some(attempt) => Some(attempt.late),
            None => self.attempter.as_ref().map(|_| self.next_attempt),
        };
        let look = self.counts.as_ref().map(|_| self.next_look);
        let word = self.manager.as_ref().map(|_| self.next_word);
        let access = self.access.as_ref().map(|question| question.late);
        let file = self.pid_file.as_ref().map(|file| file.next);
        [attempt, look, word, access, file].into_iter().flatten().min().unwrap_or(Duration::MAX)
    }

    /// Starts the next attempt. The first one repeats until it succeeds or the health timeout is over.
    fn make_attempt(&mut self, now: Duration) {
        let Some(attempter) = self.attempter.as_ref().filter(|_| self.attempt.is_none() && now >= self.next_attempt)
        else {
            return;
        };
        let left = self.health_timeout.saturating_sub(now);
        let starts = !self.judge.was_healthy() && !self.is_late && !left.is_zero();
        let begun = match starts {
            true => attempter.until_it_holds(now, left),
            false => attempter.once(now, self.interval, !self.judge.was_healthy()),
        };
        self.next_attempt = now + self.interval;
        match begun {
            Ok(attempt) => self.attempt = Some(attempt),
            Err(e) => self.cannot_attempt(&e.to_string(), now),
        }
    }

    /// Warns once and tries again. An attempt that cannot be made says nothing about the server.
    fn cannot_attempt(&mut self, why: &str, now: Duration) {
        self.next_attempt = now + self.interval.min(AGAIN);
        if !std::mem::replace(&mut self.is_blind, true) {
            log::warn!("cannot check the health of {}: {why}; trying again", quoted(&self.plan.name));
        }
    }

    fn take_outcome(&mut self, now: Duration) {
        let Some(attempt) = self.attempt.take() else { return };
        let outcome = attempt.outcome(now);
        match &outcome {
            Outcome::Unknown(why) => self.cannot_attempt(why, now),
            _ => self.is_blind = false,
        }
        let name = quoted(&self.plan.name);
        let reason = if let Outcome::Fails(reason) = &outcome { reason.as_str() } else { "" };
        let check = &self.check;
        let failing = format!("{name} is not healthy: {check}: {reason}");
        match self.judge.judge(&outcome, now) {
            Turn::Ready => self.ready(now),
            Turn::Recovered(after) => {
                say(&format!("{name} is healthy again after {}", elapsed(after)));
                self.next_word = now;
                self.tell_status(&format!("healthy: {check} holds again"));
            }
            // The first attempt has used up the whole health timeout.
            Turn::Failing(_) | Turn::Unhealthy if !self.judge.was_healthy() => {
                if !std::mem::replace(&mut self.is_late, true) {
                    log::warn!("{failing}, {} after its start; {}", elapsed(now), self.after_the_timeout());
                }
                self.tell_status(&format!("not healthy: {check}: {reason}"));
            }
            Turn::Failing(count) => {
                log::info!("{failing} ({count} of {})", self.plan.watch.unhealthy_after);
            }
            Turn::Unhealthy => {
                let row = attempts(self.plan.watch.unhealthy_after);
                log::warn!("{failing}, {row} in a row; {}", self.consequence());
                self.tell_status(&format!("not healthy: {check}: {reason}"));
            }
            Turn::None => {}
        }
        let acts_at = self.judge.acts_at().filter(|_| self.ends_unhealthy());
        if let Some(at) = acts_at.filter(|_| matches!(outcome, Outcome::Fails(_))) {
            if now >= at {
                let grace = elapsed(self.plan.watch.grace);
                return self.end(&format!("it has not been healthy for {grace} ({reason})"));
            }
            self.next_attempt = self.next_attempt.min(at);
        }
    }

    /// What happens to a server that was not healthy within its health timeout.
    fn after_the_timeout(&self) -> String {
        let waits = !self.is_told && self.plan.is_under_systemd();
        let then = match waits {
            true => "systemd ends it at the start timeout of the unit".to_owned(),
            false => format!("checking again every {}", elapsed(self.interval)),
        };
        format!("{then}; if it needs longer to start, raise --health-timeout")
    }

    /// What happens because the server is unhealthy.
    fn consequence(&self) -> String {
        match self.plan.watch.on_unhealthy {
            _ if self.has_watchdog() => "the watchdog is no longer fed".to_owned(),
            Action::Restart if self.plan.supervised => {
                format!("forerun ends it in {} unless it recovers", elapsed(self.plan.watch.grace))
            }
            Action::Restart => "no supervisor would restart it, so forerun leaves it running".to_owned(),
            Action::Warn => "on-unhealthy is \"warn\", so forerun leaves it running".to_owned(),
        }
    }

    fn has_watchdog(&self) -> bool {
        self.manager.as_ref().is_some_and(|manager| manager.watchdog.is_some())
    }

    fn ends_unhealthy(&self) -> bool {
        !self.has_watchdog() && self.plan.supervised && self.plan.watch.on_unhealthy == Action::Restart
    }

    fn ready(&mut self, now: Duration) {
        log::info!("{} is healthy after {}", quoted(&self.plan.name), elapsed(now));
        self.tell_ready(now);
        if let Some(number) = self.plan.ready_fd.take() {
            if let Err(e) = sys::write_ready(number) {
                log::warn!("cannot write to descriptor {number} of --ready-fd: {e}");
            }
        }
        // The counts of a server that just became ready are the base for growth. From here on, looks and attempts share
        // their turns.
        self.next_look = now;
        self.next_attempt = now + self.interval;
    }

    /// Tells the service manager that the server is ready, again and again until the message is accepted.
    fn tell_ready(&mut self, now: Duration) {
        let Some(manager) = &self.manager else { return };
        let status = format!("healthy: {} holds", self.check);
        let mut states = vec![NotifyState::Ready, NotifyState::Status(cut(&status))];
        states.extend(manager.watchdog.map(|_| NotifyState::Watchdog));
        self.is_told = manager.tell_surely(&states);
        self.next_word = match self.is_told {
            true => now + manager.watchdog_interval().unwrap_or(Duration::MAX - now),
            false => now + AGAIN,
        };
    }

    fn take_access(&mut self, answered: bool) {
        let Some(question) = self.access.take() else { return };
        match answered {
            true => question.line().into_iter().for_each(|line| log::warn!("{line}")),
            false => question.give_up(),
        }
    }

    /// Asks the service manager for more time while the server starts, and feeds the watchdog while the server is
    /// healthy.
    fn speak(&mut self, now: Duration) {
        if self.judge.was_healthy() && !self.is_told && now >= self.next_word {
            return self.tell_ready(now);
        }
        let Some(manager) = self.manager.as_ref().filter(|_| now >= self.next_word) else { return };
        let left = self.health_timeout.saturating_sub(now);
        if self.judge.was_healthy() {
            if self.judge.is_well() && manager.watchdog.is_some() {
                manager.tell(&[NotifyState::Watchdog]);
            }
            self.next_word = now + manager.watchdog_interval().unwrap_or(Duration::MAX - now);
        } else if !left.is_zero() && !self.is_late {
            // A little more than is left, so that our warning comes before the manager ends the start.
            let time = EXTENSION.min(left.saturating_add(AGAIN));
            manager.extend(&format!("starting: waiting for {}", self.check), time);
            self.next_word = now + manager.interval().min(left);
        } else {
            self.next_word = Duration::MAX;
        }
    }

    fn tell_status(&self, status: &str) {
        if let Some(manager) = &self.manager {
            manager.tell(&[NotifyState::Status(cut(status))]);
        }
    }

    /// Counts what can leak.
    fn look(&mut self, now: Duration) {
        let Some(counts) = self.counts.as_mut().filter(|_| now >= self.next_look) else { return };
        let lines = counts.look(&self.plan, now);
        let over_since = counts.over_since();
        let acts = self.plan.supervised && self.plan.watch.on_leak == Action::Restart;
        let acts_at = over_since.map(|since| since + self.plan.watch.grace).filter(|_| acts);
        self.next_look = now + self.interval;
        let name = quoted(&self.plan.name);
        for line in lines {
            match line {
                Line::Crossed(what) => {
                    let then = match acts_at {
                        Some(at) => {
                            format!("; forerun ends it in {} unless that recovers", elapsed(at.saturating_sub(now)))
                        }
                        None => String::new(),
                    };
                    log::warn!("{name} leaks: {what}{then}");
                    self.tell_status(&what);
                }
                Line::Recovered(what) => {
                    say(&format!("{name} is within its limits again: {what}"));
                    if self.judge.is_well() {
                        self.tell_status(&format!("healthy: {} holds", self.check));
                    }
                }
                Line::Pool(what) => {
                    log::warn!("{what}");
                    self.tell_status(&what);
                }
                Line::Blind(why) => log::warn!("{name}: {why}"),
            }
        }
        if let Some(at) = acts_at {
            if now >= at {
                return self.end(&format!("it has leaked for {}", elapsed(self.plan.watch.grace)));
            }
            self.next_look = self.next_look.min(at);
        }
    }

    /// Ends the server so that its supervisor restarts it.
    fn end(&mut self, why: &str) {
        let (name, pid) = (quoted(&self.plan.name), self.plan.origin.main.pid);
        log::warn!("ending {name}, pid {pid}: {why}; its supervisor starts it again");
        self.tell_status(&format!("ending: {why}"));
        if let Some(script) = &self.plan.ending.before {
            let (script, limit) = (std::ffi::OsString::from(script), self.plan.ending.before_timeout);
            check::before_stop(&self.plan.name, &script, limit, &self.context, &self.events);
        }
        if let Some(manager) = self.manager.as_ref().filter(|_| self.plan.is_under_systemd()) {
            // A SIGTERM of ours would be a clean exit, after which Restart=on-failure does nothing. The unit chooses
            // the signal of the watchdog (WatchdogSignal=, systemd.service(5)).
            manager.tell_surely(&[NotifyState::WatchdogTrigger]);
            let [ended] = self.events.pipe().wait_for([self.watch.descriptor()], self.plan.grace);
            if ended || self.events.signal().is_some() {
                return;
            }
        }
        self.stop(None);
    }

    /// Stops all processes of the instance, or only these.
    pub(super) fn stop(&self, only: Option<Vec<Process>>) {
        let stop = Stop {
            origin: &self.plan.origin,
            only,
            signal: self.plan.ending.signal,
            grace: self.plan.grace,
            all: false,
            signalled: Signalled::EndsTheWait,
            // The server is started again, so it counts as running.
            mark: None,
            prepare: None,
            events: &self.events,
        };
        match stop.run(|| ()) {
            Ok(stopped) if stopped.count > 0 => {
                let what = counted(stopped.count, "process", "processes");
                say(&format!("stopped {what} of {}, pid {}", quoted(&self.plan.name), self.plan.origin.main.pid));
            }
            Ok(_) => {}
            Err(e) => log::warn!("cannot stop what is left of {}: {e}", quoted(&self.plan.name)),
        }
    }

    fn leave(self) {
        self.attempt.into_iter().for_each(|attempt| attempt.errand.abandon());
        self.access.into_iter().for_each(Question::give_up);
    }
}
