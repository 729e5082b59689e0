#![forbid(unsafe_code)]
//! `forerun unit`: prints a unit, shows how the installed one differs, installs it, and undoes that.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::new_wake;
use crate::check::Context;
use crate::check::run::{Desk, Job, Observer, Progress, Run};
use crate::cli::{Kind, Options};
use crate::environment::Environment;
use crate::error::Error;
use crate::launch::readiness;
use crate::report::line::{print_result, say};
use crate::service::{self, Service};
use crate::sys;
use crate::text::{quoted, shell_words};
use crate::unit::{self, Caller, Control, Draft, File, Installed, Place, Runs, Scope, State};

/// How long a supervisor may say that it does not run what it was told to start.
const SETTLED: Duration = Duration::from_secs(2);
/// How long a server without a check has to stay.
const LIVED: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(100);

pub fn run(options: &Options, environment: &Environment, arguments: &[std::ffi::OsString]) -> Result<(), Error> {
    let asked = &options.unit;
    let Some(kind) = asked.kind else {
        return Err(Error::Usage("no KIND of unit; see 'forerun unit --help'".to_owned()));
    };
    if asked.harden && kind != Kind::Systemd {
        return Err(Error::Usage(
            "'--harden' is of systemd; other supervisors have no such rights to take away".to_owned(),
        ));
    }
    let here = current_folder(environment)?;
    let scope = Scope::asked(asked);
    let dir = asked.dir.as_ref().map(|dir| here.join(dir));
    if asked.uninstall {
        return uninstall(options, environment, kind, scope, dir.as_deref(), &here);
    }
    let service = Service::resolve(options, &here)?;
    service.without_effect.iter().for_each(|why| log::warn!("{why}; continuing"));
    let place = Place::of(kind, scope, &service.name, dir.as_deref(), environment)?;
    let caller = Caller { options, environment, arguments, here: &here };
    let draft = Draft::new(&caller, &service, kind, scope, asked.harden, place)?;
    let files = draft.files();
    let names: Vec<&str> = files.iter().map(|file| file.name).filter(|name| !name.is_empty()).collect();
    let installed = Installed::look(&draft.place, &names);
    let state = installed.state(&draft, &files);
    warn_of_secrets(options);
    if asked.diff {
        return show_difference(&draft, &installed, &files, &state, options.json);
    }
    if asked.install {
        let control = control(&draft, environment);
        return Install { draft: &draft, files: &files, control, options, environment }.run(&installed, &state);
    }
    print_result(if options.json { described(&draft, &files, &state) } else { printed(&draft, &files) }.as_bytes())
}

/// The current folder, as the caller named it.
pub fn current_folder(environment: &Environment) -> Result<PathBuf, Error> {
    let actual = std::env::current_dir()
        .map_err(|e| Error::Config(format!("cannot tell the current directory: {e}; change to one that is there")))?;
    Ok(unit::here(environment, &actual))
}

fn control<'a>(draft: &'a Draft, environment: &'a Environment) -> Control<'a> {
    Control {
        kind: draft.kind,
        scope: draft.scope,
        name: &draft.service.name,
        place: &draft.place,
        environment,
        grace: draft.service.grace,
    }
}

/// Everybody can read a unit, and ask a supervisor for it.
fn warn_of_secrets(options: &Options) {
    if !options.env.is_empty() {
        log::warn!("what '--env' says can be read in the unit by everybody; put secrets into a file: --env-file");
    }
    let has_userinfo = |spec: &&std::ffi::OsString| {
        spec.to_str()
            .and_then(|spec| spec.split_once("://"))
            .is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|h| h.contains('@')))
    };
    if options.health.iter().chain(&options.wait).chain(&options.require).any(|spec| has_userinfo(&spec)) {
        log::warn!("the password in a URL can be read in the unit by everybody; put the check into forerun.toml");
    }
}

/// The unit as it is written; several files one after another, of which the first can be run as it is printed.
fn printed(draft: &Draft, files: &[File]) -> String {
    let mut out = String::new();
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            out += &format!("\n# ==> {} <==\n", draft.place.unit.join(file.name).display());
        }
        out += &file.text;
    }
    out
}

fn described(draft: &Draft, files: &[File], state: &State) -> String {
    let texts: serde_json::Map<String, serde_json::Value> =
        files.iter().map(|file| (path_of(draft, file.name).to_string_lossy().into_owned(), json!(file.text))).collect();
    format!("{}\n", json!({ "unit": draft.place.unit.to_string_lossy(), "state": word(state), "files": texts }))
}

fn path_of(draft: &Draft, name: &str) -> PathBuf {
    if name.is_empty() { draft.place.unit.clone() } else { draft.place.unit.join(name) }
}

pub fn word(state: &State) -> &'static str {
    match state {
        State::Missing => "missing",
        State::Foreign(_) => "foreign",
        State::Edited => "edited",
        State::Stale => "stale",
        State::Current => "current",
    }
}

fn show_difference(
    draft: &Draft,
    installed: &Installed,
    files: &[File],
    state: &State,
    json: bool,
) -> Result<(), Error> {
    let difference = difference(draft, installed, files);
    if json {
        let unit = draft.place.unit.to_string_lossy();
        return print_result(
            format!("{}\n", json!({ "unit": unit, "state": word(state), "diff": difference })).as_bytes(),
        );
    }
    match state {
        State::Missing => say(&format!("no unit is installed at {}", quoted(&draft.place.unit))),
        State::Foreign(why) => say(&format!("{}: {why}", quoted(&draft.place.unit))),
        State::Edited => say(&format!("{} was edited", quoted(&draft.place.unit))),
        State::Stale => say(&format!("{} is out of date", quoted(&draft.place.unit))),
        State::Current => say(&format!("{} is as it would be written", quoted(&draft.place.unit))),
    }
    print_result(difference.as_bytes())
}

/// From what is installed to what would be written.
fn difference(draft: &Draft, installed: &Installed, files: &[File]) -> String {
    let there: &[(String, String)] = if let Installed::Unit(text) = installed { &text.files } else { &[] };
    let mut names: Vec<&str> = files.iter().map(|file| file.name).collect();
    names.extend(there.iter().map(|(name, _)| name.as_str()).filter(|name| !files.iter().any(|f| f.name == *name)));
    let mut out = String::new();
    for name in names {
        let old = there.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str());
        let new = files.iter().find(|file| file.name == name).map(|file| file.text.as_str());
        let path = path_of(draft, name).to_string_lossy().into_owned();
        let from = if old.is_some() { path.as_str() } else { "/dev/null" };
        let to = if new.is_some() { path.as_str() } else { "/dev/null" };
        let diff = similar::TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
        out += &diff.unified_diff().header(from, to).to_string();
    }
    out
}

struct Install<'a> {
    draft: &'a Draft<'a>,
    files: &'a [File],
    control: Control<'a>,
    options: &'a Options,
    environment: &'a Environment,
}

impl Install<'_> {
    fn run(&self, installed: &Installed, state: &State) -> Result<(), Error> {
        let Install { draft, files, control, options, .. } = self;
        let (unit, now) = (&draft.place.unit, options.unit.now);
        let left_alone = match state {
            State::Foreign(why) => Some(why.clone()),
            State::Edited => Some("it was edited".to_owned()),
            _ => None,
        };
        if let Some(why) = left_alone.as_ref().filter(|_| !options.unit.force) {
            print_result(difference(draft, installed, files).as_bytes())?;
            return Err(Error::Conflict(format!("{} is left alone: {why}; --force replaces it", quoted(unit))));
        }
        if now && !control.is_there() {
            let program = control.program();
            return Err(Error::NotFound(format!(
                "cannot execute {}: it is not on PATH; nothing was written",
                quoted(program)
            )));
        }
        let changed = *state != State::Current;
        if changed {
            let failed = |e: io::Error| Error::State(format!("cannot write {}: {e}{}", quoted(unit), self.advice(&e)));
            if left_alone.is_some() {
                self.keep_old().map_err(failed)?;
            }
            unit::write(unit, files).map_err(failed)?;
        }
        if now {
            control.start(changed)?;
            let (pid, health) = self.verify()?;
            return self.report(changed, Some((pid, health)));
        }
        self.report(changed, None)
    }

    fn advice(&self, e: &io::Error) -> &'static str {
        match (e.kind(), self.draft.scope) {
            (io::ErrorKind::PermissionDenied, Scope::System) => {
                "; do it as root, or install a unit of this user: --user"
            }
            _ => "",
        }
    }

    /// What is replaced by force can be had back.
    fn keep_old(&self) -> io::Result<()> {
        for file in self.files {
            let path = path_of(self.draft, file.name);
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
        let Install { draft, control, .. } = self;
        let service = draft.service;
        let name = quoted(&service.name);
        let waits = service.waits.iter().map(|wait| wait.probe.timeout).max().unwrap_or_default();
        let patience = waits + service.health_timeout + Duration::from_secs(10);
        let begun = Instant::now();
        let (mut down_since, mut said) = (None, HashSet::new());
        let pid = loop {
            let standing = control.standing()?;
            let status = standing.status.filter(|status| status.starts_with("standby: "));
            let why = match (standing.runs, status) {
                (Runs::Yes(pid), _) if !is_forerun(pid) => break pid,
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
                say(&format!("waiting for {name}: {why}"));
            }
            std::thread::sleep(INTERVAL);
        };
        let health = self.health()?;
        if health.is_none() {
            std::thread::sleep(LIVED);
        }
        match control.standing()?.runs {
            Runs::Yes(still) if still == pid => Ok((pid, health)),
            Runs::Yes(other) => Err(self.not_running(&format!("pid {pid} ended, and pid {other} was started"))),
            Runs::Later(why) | Runs::No(why) => Err(self.not_running(&format!("pid {pid} ended: {why}"))),
        }
    }

    /// The health check, where the service has one or a port.
    fn health(&self) -> Result<Option<String>, Error> {
        let service = self.draft.service;
        let Some(probe) = readiness(service) else { return Ok(None) };
        let wake = new_wake()?;
        let signals = sys::catch_signals(wake.bell());
        let context = Arc::new(Context {
            environment: service.variables.added_to(self.environment.for_checks()),
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
            let mut out = format!("{} {}\n", if changed { "wrote" } else { "unchanged" }, crate::text::one_line(unit));
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
        if draft.kind == Kind::Systemd && draft.scope == Scope::User && !lingers() {
            say("it runs while you are logged in; from boot on, and after logout: loginctl enable-linger");
        }
        Ok(())
    }
}

/// Whether this user's manager runs without a login.
pub fn lingers() -> bool {
    let us = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    us.is_some_and(|us| Path::new("/var/lib/systemd/linger").join(us.name).exists())
}

/// A process that has not become the server yet.
fn is_forerun(pid: i32) -> bool {
    let identity = |path: PathBuf| path.metadata().map(|m| (m.dev(), m.ino())).ok();
    let ours = sys::own_executable().ok().and_then(identity);
    ours.is_some() && sys::executable(pid).and_then(identity) == ours
}

fn uninstall(
    options: &Options,
    environment: &Environment,
    kind: Kind,
    scope: Scope,
    dir: Option<&Path>,
    here: &Path,
) -> Result<(), Error> {
    let Some((name, config)) = service::named_with_config(options, here)? else {
        return Err(Error::Usage("no --name, and no forerun.toml here that says one".to_owned()));
    };
    let place = Place::of(kind, scope, &name, dir, environment)?;
    let unit = place.unit.clone();
    let control = Control { kind, scope, name: &name, place: &place, environment, grace: Duration::from_secs(60) };
    let installed = Installed::look(&place, control.files());
    // Without a file at hand the name says which is meant.
    let config = config.as_deref().map(Some);
    let left_alone = match installed.whose(&name, config) {
        State::Missing => {
            return print_result(format!("no unit is installed at {}\n", crate::text::one_line(&unit)).as_bytes());
        }
        State::Foreign(why) => Some(why),
        State::Edited => Some("it was edited".to_owned()),
        State::Stale | State::Current => None,
    };
    if let Some(why) = left_alone.filter(|_| !options.unit.force) {
        return Err(Error::Conflict(format!("{} is left alone: {why}; --force removes it", quoted(&unit))));
    }
    let files = match &installed {
        Installed::Unit(text) => text.files.clone(),
        _ => vec![(String::new(), String::new())],
    };
    let is_there = control.is_there();
    if is_there {
        control.stop()?;
    } else {
        log::warn!("{} is not on PATH: what it runs is not stopped; continuing", quoted(control.program()));
    }
    unit::remove(&unit, &files, control.keeps())
        .map_err(|e| Error::State(format!("cannot remove {}: {e}", quoted(&unit))))?;
    if is_there {
        control.forget()?;
        if let Runs::Yes(pid) = control.standing().map_or(Runs::No(String::new()), |standing| standing.runs) {
            return Err(Error::NotReady(format!("{} is removed, but pid {pid} still runs", quoted(&unit))));
        }
    }
    print_result(format!("removed {}\n", crate::text::one_line(&unit)).as_bytes())
}

/// Is told nothing: what is waited for was said.
struct Nobody;

impl Observer for Nobody {
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn look(&mut self, _: &[Job], _: &[Progress], _: Duration) {}
}
