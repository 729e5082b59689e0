#![forbid(unsafe_code)]
//! `--install`, and with `--now` the proof that the service runs: the supervisor's word, and the health check.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{difference, path_of};
use crate::check::Context;
use crate::check::run::{Desk, Job, Observer, Progress, Run};
use crate::cli::{Kind, Options};
use crate::commands::new_wake;
use crate::environment::Environment;
use crate::error::Error;
use crate::launch::readiness;
use crate::report::line::{print_result, say};
use crate::service::is_same_file;
use crate::sys;
use crate::text::{one_line, quoted, shell_words};
use crate::unit::{self, Control, Draft, File, Installed, Runs, Scope, State};

/// How long a supervisor may say that it does not run what it was told to start.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a server without a check has to stay.
const LIVED: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);
/// How much earlier than in truth a process may seem to have been started.
const TICK: Duration = Duration::from_millis(20);
/// How long requirements may take, that are tried before and after their fixes (an `exec:` has ten seconds).
const REQUIREMENTS: Duration = Duration::from_secs(20);

/// An installation.
pub struct Install<'a> {
    pub draft: &'a Draft<'a>,
    pub files: &'a [File],
    pub control: Control<'a>,
    pub options: &'a Options,
    pub environment: &'a Environment,
}

impl Install<'_> {
    /// Writes the unit, and with `--now` starts it and sees that it serves.
    ///
    /// # Errors
    /// [`Error::Conflict`] where what is there is left alone, [`Error::State`] where it cannot be written,
    /// [`Error::NotReady`] where the service does not serve.
    pub fn run(&self, installed: &Installed, state: &State) -> Result<(), Error> {
        let Install { draft, files, control, options, .. } = self;
        let (unit, now) = (&draft.place.unit, options.unit.now);
        let hidden = if *state == State::Missing {
            unit::hidden_by(draft.kind, draft.made.scope, &draft.service.name).filter(|hidden| hidden != unit)
        } else {
            None
        };
        if let Some(hidden) = hidden.filter(|_| !options.unit.force) {
            let what_to_do = "give another --name; --force hides it";
            return Err(Error::Conflict(format!("{} is a unit of this name already; {what_to_do}", quoted(&hidden))));
        }
        let left_alone = match state {
            State::Foreign(why) => Some(why.clone()),
            State::Edited => Some("it was edited".to_owned()),
            _ => None,
        };
        if let Some(why) = left_alone.as_ref().filter(|_| !options.unit.force) {
            print_result(difference(draft, installed, files).as_bytes())?;
            return Err(Error::Conflict(format!("{} is left alone: {why}; --force replaces it", quoted(unit))));
        }
        if now {
            control.could_start()?;
        }
        let changed = *state != State::Current;
        if changed {
            let failed = |e: io::Error| Error::State(format!("cannot write {}: {e}{}", quoted(unit), self.advice(&e)));
            if left_alone.is_some() {
                self.keep_old().map_err(failed)?;
            }
            unit::write(unit, files, installed).map_err(failed)?;
        }
        if now {
            control.start(changed || self.runs_what_was_before())?;
            let (pid, health) = self.verify()?;
            return self.report(changed, Some((pid, health)));
        }
        self.report(changed, None)
    }

    /// Whether what runs was started before its unit or its config file was last written: what it is, nobody can tell.
    fn runs_what_was_before(&self) -> bool {
        let Ok(Runs::Yes(pid)) = self.control.standing().map(|standing| standing.runs) else { return false };
        let Some(runs_for) = sys::process(pid).and_then(|process| sys::age(process.start)) else { return false };
        let files = self.files.iter().map(|file| path_of(self.draft, file.name));
        let written = |path: PathBuf| path.metadata().ok()?.modified().ok()?.elapsed().ok();
        let mut written = files.chain(self.draft.service.config.clone()).filter_map(written);
        written.any(|age| age + TICK < runs_for)
    }

    fn advice(&self, e: &io::Error) -> &'static str {
        match (e.kind(), self.draft.made.scope) {
            (io::ErrorKind::PermissionDenied, Scope::System) => {
                "; do it as root, or install a unit of this user: --user"
            }
            _ => "",
        }
    }

    /// What is replaced by force can be had back.
    fn keep_old(&self) -> io::Result<()> {
        let unit = &self.draft.place.unit;
        // A folder that is a symlink is somebody's elsewhere, and stays as it is there.
        let files = if unit.is_symlink() { &self.files[..1] } else { self.files };
        for file in files {
            let path = if unit.is_symlink() { unit.clone() } else { path_of(self.draft, file.name) };
            if path.symlink_metadata().is_err() {
                continue;
            }
            let mut old = path.clone().into_os_string();
            old.push(".old");
            match fs::remove_file(&old) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => fs::hard_link(&path, &old)?,
            }
            say(&format!("what was there is kept as {}", quoted(&old)));
        }
        Ok(())
    }

    /// Waits until the supervisor runs the server itself, and the server is healthy.
    fn verify(&self) -> Result<(i32, Option<String>), Error> {
        let begun = Instant::now();
        loop {
            let pid = self.wait_for_server(begun)?;
            let health = self.health()?;
            if health.is_none() {
                std::thread::sleep(LIVED);
            }
            match self.control.standing()?.runs {
                // What a supervisor starts may be a shell first, and then forerun, which stands by.
                Runs::Yes(still) if still == pid && is_forerun(still) => {}
                Runs::Yes(still) if still == pid => return Ok((pid, health)),
                Runs::Yes(other) => {
                    return Err(self.not_running(&format!("pid {pid} ended, and pid {other} was started")));
                }
                Runs::Later(why) | Runs::No(why) => return Err(self.not_running(&format!("pid {pid} ended: {why}"))),
            }
        }
    }

    /// Waits until what the supervisor runs is no forerun any more.
    fn wait_for_server(&self, begun: Instant) -> Result<i32, Error> {
        let Install { draft, control, .. } = self;
        let service = draft.service;
        let waits = service.waits.iter().map(|wait| wait.probe.timeout).max().unwrap_or_default();
        let health = readiness(service).map(|_| service.health_timeout).unwrap_or_default();
        // One after another.
        let fixes: Duration = service.requirements.iter().filter_map(|r| Some(r.fix.as_ref()?.timeout)).sum();
        let requirements = if service.requirements.is_empty() { Duration::ZERO } else { REQUIREMENTS };
        let patience = waits + health + fixes + requirements + Duration::from_secs(10);
        let (mut down_since, mut said) = (None, HashSet::new());
        loop {
            let standing = control.standing()?;
            let status = standing.standby().map(str::to_owned);
            let why = match (standing.runs, status) {
                (Runs::Yes(pid), _) if !is_forerun(pid) => return Ok(pid),
                // That lasts until somebody does what it says.
                (Runs::Yes(_) | Runs::Later(_), Some(status)) if begun.elapsed() >= SETTLED => {
                    return Err(self.not_running(&status));
                }
                (Runs::Yes(pid), _) => {
                    down_since = None;
                    format!("forerun, pid {pid}, waits or stands by")
                }
                (Runs::Later(why), _) => {
                    down_since = None;
                    why
                }
                (Runs::No(why), _) => {
                    let since = down_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= SETTLED {
                        return Err(self.not_running(&why));
                    }
                    why
                }
            };
            if begun.elapsed() >= patience {
                return Err(self.not_running(&why));
            }
            if begun.elapsed() >= SETTLED && said.insert(why.clone()) {
                say(&format!("waiting for {}: {why}", quoted(&service.name)));
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// The health check, where the service has one or a port.
    fn health(&self) -> Result<Option<String>, Error> {
        let service = self.draft.service;
        let Some(probe) = readiness(service) else { return Ok(None) };
        let wake = new_wake()?;
        let signals = sys::catch_signals(wake.bell());
        let context = Arc::new(Context {
            environment: service.variables.added_to(self.unit_environment()),
            directory: service.directory.clone(),
            nofile: sys::nofile(),
        });
        let job = Job::wait(probe);
        let label = job.label.clone();
        let mut run = Run::start(vec![job], &context, &wake)?;
        run.wait(None, &mut Desk { wake: &wake, signals: &signals, observer: &mut Nobody })?;
        let progress = run.progress().remove(0);
        match progress.holds() {
            true => Ok(Some(label)),
            false => Err(self.not_running(&format!("it is not healthy: {}: {}", quoted(&label), progress.reason))),
        }
    }

    /// About what the service has from its supervisor: this shell's variables are not its.
    fn unit_environment(&self) -> Environment {
        let Draft { path, made, .. } = self.draft;
        let mut entries = vec![OsString::from(format!("PATH={path}"))];
        entries.extend(made.state.as_ref().map(|state| format!("FORERUN_STATE_DIR={state}").into()));
        for name in ["HOME", "USER", "LOGNAME", "SHELL", "LANG"] {
            let value = self.environment.get(name);
            entries.extend(
                value.map(|value| [OsStr::new(name), OsStr::new("="), value].into_iter().collect::<OsString>()),
            );
        }
        Environment::new(entries)
    }

    fn not_running(&self, why: &str) -> Error {
        let Install { draft, control, .. } = self;
        let log = control.log_command().map(|command| format!("; see: {command}")).unwrap_or_default();
        let kind = control.kind_word();
        Error::NotReady(format!(
            "{} is installed, but does not serve under {kind}: {why}{log}",
            quoted(&draft.service.name)
        ))
    }

    fn report(&self, changed: bool, runs: Option<(i32, Option<String>)>) -> Result<(), Error> {
        let Install { draft, control, options, .. } = self;
        let (unit, name) = (&draft.place.unit, &draft.service.name);
        let ran = || control.standing().is_ok_and(|standing| matches!(standing.runs, Runs::Yes(_) | Runs::Later(_)));
        let restart = changed && runs.is_none() && control.is_there() && ran();
        let commands: Vec<String> = control.start_commands(restart).iter().map(|words| shell_words(words)).collect();
        if options.json {
            let (pid, health) = runs.clone().map_or((None, None), |(pid, health)| (Some(pid), health));
            let left = if runs.is_some() { Vec::new() } else { commands };
            let report = json!({
                "unit": unit.to_string_lossy(), "changed": changed, "pid": pid, "health": health, "left_to_do": left,
            });
            print_result(format!("{report}\n").as_bytes())?;
        } else {
            let mut out = format!("{} {}\n", if changed { "wrote" } else { "unchanged" }, one_line(unit));
            match &runs {
                Some((pid, Some(check))) => {
                    out += &format!(
                        "{name} runs under {}: pid {pid}, healthy: {} holds\n",
                        control.kind_word(),
                        quoted(check)
                    );
                }
                Some((pid, None)) => out += &format!("{name} runs under {}: pid {pid}\n", control.kind_word()),
                None => {
                    out += "to start it, now and from now on (or the same with --now):\n";
                    commands.iter().for_each(|command| out += &format!("  {command}\n"));
                }
            }
            print_result(out.as_bytes())?;
        }
        if runs.is_none() && !control.is_there() {
            log::warn!("{} is not on PATH: nothing here reads this unit", quoted(control.program()));
        }
        if draft.kind == Kind::Systemd && draft.made.scope == Scope::User && !unit::lingers() {
            say("it runs while you are logged in; from boot on, and after logout: loginctl enable-linger");
        }
        Ok(())
    }
}

/// A process that has not become the server yet.
fn is_forerun(pid: i32) -> bool {
    matches!((sys::executable(pid), sys::own_executable()), (Some(theirs), Ok(ours)) if is_same_file(&theirs, &ours))
}

/// Is told nothing: what is waited for was said.
struct Nobody;

impl Observer for Nobody {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn look(&mut self, _: &[Job], _: &[Progress], _: Duration) {}
}
