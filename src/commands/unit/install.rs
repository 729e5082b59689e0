#![forbid(unsafe_code)]
//! `--install`: writes the unit. With `--now` the supervisor starts it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::show::difference;
use super::verify::Proof;
use crate::error::Error;
use crate::line::{document, print_result, say};
use crate::service::Service;
use crate::supervisor::units::foreign::{self, Foreign};
use crate::supervisor::units::replace;
use crate::supervisor::units::{File, Installed, Runs, Scope, State, Unit, UnitPath, UnitSpec};
use crate::sys;
use crate::text::{one_line, quoted};

/// The start time of a process may seem earlier than it is by this much.
const TICK: Duration = Duration::from_millis(20);

/// An installation.
pub struct Install<'a> {
    pub spec: &'a UnitSpec,
    pub service: &'a Service,
    pub files: &'a [File],
    pub unit: Unit<'a>,
    /// The service is started too.
    pub now: bool,
    /// What is not ours, or was edited, is replaced.
    pub force: bool,
    pub json: bool,
}

impl Install<'_> {
    /// Writes the unit. With `--now` starts it and verifies that it serves.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another file is in the way, [`Error::State`] when the unit cannot be written,
    /// [`Error::NotReady`] when the service does not serve.
    pub fn run(&self, installed: &Installed, state: &State) -> Result<(), Error> {
        let Install { spec, files, unit: target, now, force, .. } = self;
        let (unit, now, force) = (&spec.path.unit, *now, *force);
        let hidden = if *state == State::Missing {
            target.kind.hidden_by(target.scope, target.name).filter(|hidden| hidden != unit)
        } else {
            None
        };
        if let Some(hidden) = hidden.filter(|_| !force) {
            let what_to_do = "give another --name; --force hides it";
            return Err(Error::Conflict(format!("{} is already a unit of this name; {what_to_do}", quoted(&hidden))));
        }
        let left_alone = match state {
            State::Foreign(why) => Some(why.clone()),
            State::Edited => Some("it was edited".to_owned()),
            _ => None,
        };
        if let Some(why) = left_alone.as_ref().filter(|_| !force) {
            print_result(difference(spec, installed, files).as_bytes())?;
            return Err(Error::Conflict(format!("{} is left alone: {why}; --force replaces it", quoted(unit))));
        }
        if *state == State::Missing && !force {
            self.refuse_rivals()?;
        }
        if now {
            target.could_start()?;
        }
        let changed = *state != State::Current;
        if changed {
            let failed = |e: io::Error| Error::State(format!("cannot write {}: {e}{}", quoted(unit), self.advice(&e)));
            if left_alone.is_some() {
                self.keep_old().map_err(failed)?;
            }
            replace::write(unit, files, installed).map_err(failed)?;
        }
        if now {
            self.leave_folder(installed)?;
            target
                .start(changed || self.runs_what_was_before())
                .map_err(|e| if changed { written(unit, e) } else { e })?;
            let (pid, health) = Proof { spec, service: self.service, unit: target }.find()?;
            return self.report(changed, Some((pid, health)));
        }
        self.report(changed, None)
    }

    /// Refuses to install a second unit of a service beside one of somebody else.
    fn refuse_rivals(&self) -> Result<(), Error> {
        let (environment, kind) = (self.unit.environment, self.unit.kind);
        let rivals = foreign::rivals(self.spec, self.service.port, environment).into_iter();
        match rivals.chain(foreign::namesakes(self.spec, kind, environment)).next() {
            Some(Foreign { kind, path, why }) => Err(Error::Conflict(format!(
                "{} is already a unit of {}: {why}; remove it first; --force installs this one beside it",
                quoted(&path),
                kind.word()
            ))),
            None => Ok(()),
        }
    }

    /// Stops a unit that was scanned in another folder before. It may run from one folder only.
    fn leave_folder(&self, installed: &Installed) -> Result<(), Error> {
        let Install { spec, unit, .. } = self;
        let scanned = installed.ours(unit.name).and_then(|marker| marker.made.scanned.as_ref());
        let before = UnitPath { unit: spec.path.unit.clone(), link: scanned.map(|folder| folder.join(unit.name)) };
        if before.link.is_none() || before == spec.path {
            return Ok(());
        }
        let there = Unit { path: &before, ..*unit };
        if there.scanned().is_some() { there.stop() } else { Ok(()) }
    }

    /// Whether the running process is older than its unit, config file or env-file. What it was started with cannot be
    /// known then.
    fn runs_what_was_before(&self) -> bool {
        let Ok(status) = self.unit.status() else { return false };
        let pid = if let Runs::Yes(pid) = status.runs { Some(pid) } else { status.starting };
        let Some(pid) = pid else { return false };
        let Some(runs_for) = sys::process(pid).and_then(|process| sys::age(process.start)) else { return false };
        let service = self.service;
        let files = self.files.iter().map(|file| self.spec.path.of(file.name));
        let files = files.chain(service.config.clone()).chain(service.variables.files.iter().cloned());
        // The later of mtime and ctime, because `cp -p` and `rsync -a` set an old mtime. A time in the future comes
        // from another clock and counts as now.
        let age = |(seconds, nanoseconds): (i64, i64)| {
            let since = Duration::new(seconds.try_into().unwrap_or(0), nanoseconds.try_into().unwrap_or(0));
            std::time::UNIX_EPOCH.elapsed().unwrap_or_default().saturating_sub(since)
        };
        let written = |m: fs::Metadata| (m.mtime(), m.mtime_nsec()).max((m.ctime(), m.ctime_nsec()));
        let mut ages = files.filter_map(|path| path.metadata().ok()).map(|status| age(written(status)));
        ages.any(|age| age < runs_for.saturating_sub(TICK))
    }

    fn advice(&self, e: &io::Error) -> &'static str {
        match (e.kind(), self.spec.made.scope) {
            (io::ErrorKind::PermissionDenied, Scope::System) => {
                "; run it as root, or install a unit of this user: --user"
            }
            _ => "",
        }
    }

    /// Keeps the files that `--force` replaces.
    fn keep_old(&self) -> io::Result<()> {
        let unit = &self.spec.path.unit;
        // If the folder is a symlink, only the symlink is replaced. Its target belongs to somebody else.
        let files = if unit.is_symlink() { &self.files[..1] } else { self.files };
        for file in files {
            let path = if unit.is_symlink() { unit.clone() } else { self.spec.path.of(file.name) };
            if path.symlink_metadata().is_err() {
                continue;
            }
            let mut old = path.clone().into_os_string();
            old.push(".old");
            match fs::remove_file(&old) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => fs::hard_link(&path, &old)?,
            }
            say(&format!("the old file is kept as {}", quoted(&old)));
        }
        Ok(())
    }

    fn report(&self, changed: bool, runs: Option<(i32, Option<String>)>) -> Result<(), Error> {
        let Install { spec, unit: target, .. } = self;
        let (unit, name) = (&spec.path.unit, &spec.name);
        let ran = || target.status().is_ok_and(|status| matches!(status.runs, Runs::Yes(_) | Runs::Later(_)));
        let restart = changed && runs.is_none() && target.is_there() && ran();
        let commands: Vec<String> = target.start_commands(restart);
        if self.json {
            let (pid, health) = runs.clone().map_or((None, None), |(pid, health)| (Some(pid), health));
            let left = if runs.is_some() { Vec::new() } else { commands };
            let report = json!({
                "unit": unit.to_string_lossy(), "changed": changed, "pid": pid, "health": health, "left_to_do": left,
            });
            print_result(document(report).as_bytes())?;
        } else {
            let mut out = format!("{} {}\n", if changed { "wrote" } else { "unchanged" }, one_line(unit));
            match &runs {
                Some((pid, Some(check))) => {
                    out += &format!(
                        "{name} runs under {}: pid {pid}, healthy: {} holds\n",
                        target.kind.word(),
                        quoted(check)
                    );
                }
                Some((pid, None)) => out += &format!("{name} runs under {}: pid {pid}\n", target.kind.word()),
                None => {
                    out += "to start it now and at each boot or login, run (or use --now):\n";
                    commands.iter().for_each(|command| out += &format!("  {command}\n"));
                }
            }
            print_result(out.as_bytes())?;
        }
        if runs.is_none() && !target.is_there() {
            log::warn!("{} is not on PATH: no supervisor on this machine reads this unit", quoted(target.program()));
        }
        if let Some((_, command)) = target.kind.needs_login(target.scope) {
            say(&format!("it runs only while you are logged in; to run it from boot and after logout: {command}"));
        }
        Ok(())
    }
}

/// The error of a start that failed, with the news that the unit was written before.
fn written(unit: &Path, error: Error) -> Error {
    let also = |why: String| format!("{why}; the unit was written: {}", quoted(unit));
    match error {
        Error::NotReady(why) => Error::NotReady(also(why)),
        Error::NotFound(why) => Error::NotFound(also(why)),
        other => other,
    }
}
