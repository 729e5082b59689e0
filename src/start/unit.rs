#![forbid(unsafe_code)]
//! The unit of a service, as this caller would write it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use super::unfit;
use crate::check::Check;
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::ending::Ending;
use crate::instance::record::OsText;
use crate::instance::state;
use crate::line::say;
use crate::service::request::Request;
use crate::service::{Action, Service, Speaker};
use crate::supervisor::decide::Mode;
use crate::supervisor::units::argv::{own_program, search_path};
use crate::supervisor::units::spec::{Health, ROOT};
use crate::supervisor::units::user::{Choice, Why};
use crate::supervisor::units::{Found, Installed, Kind, Made, Scope, State, UnitPath, UnitSpec};
use crate::text::quoted;

/// The environment, arguments and folder in which forerun was called.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    pub environment: &'a Environment,
    /// The arguments of this forerun.
    pub arguments: &'a [OsString],
    /// The current folder, as the caller named it.
    pub here: &'a Path,
}

/// Where a unit goes, and how it is made.
pub struct Order {
    pub kind: Kind,
    pub scope: Scope,
    pub harden: bool,
    pub path: UnitPath,
    /// The flags of the service, for the command line of the unit.
    pub flags: Vec<OsString>,
}

/// The unit of a service, as this caller would write it.
///
/// # Errors
/// [`Error::Config`] when the path of forerun cannot be found, or when a unit cannot contain the caller's paths.
pub fn spec(caller: &Caller, service: &Service, order: Order) -> Result<UnitSpec, Error> {
    let Order { kind, scope, harden, path, flags } = order;
    // Below a supervisor the server is in the foreground.
    unfit::refuse(service, Mode::Foreground, &Environment::default())?;
    if path.unit.to_str().is_none() {
        let message = format!("the unit's path {} is not UTF-8; give another --dir", quoted(&path.unit));
        return Err(Error::Config(message));
    }
    let Caller { environment, arguments, here } = *caller;
    let program = own_program(arguments, environment, here)
        .ok_or_else(|| Error::Config("cannot find the program file of forerun; call forerun by its path".to_owned()))?;
    let state = state::chosen_root(environment, here);
    let state = state.map(|folder| writable_state(kind, folder)).transpose()?;
    let scanned = path.link.as_ref().and_then(|link| link.parent()).map(Path::to_owned);
    Ok(UnitSpec {
        path,
        made: Made { scope, harden, user: None, state, scanned, program, flags },
        search_path: search_path(environment),
        name: service.name.clone(),
        config: service.config.clone(),
        directory: service.directory.clone(),
        command: service.command.clone(),
        health: service.health.as_ref().map(|_| Health { timeout: service.health_timeout }),
        server_notifies: service.notify == Speaker::Server || is_said_by_server(service),
        watchdog: watchdog(service),
        nofile: service.nofile.map(|wish| (wish.soft, wish.hard)),
        ready_fd: service.ready_fd,
        ending: Ending { before: service.ending.before.as_ref().map(for_shell), ..service.ending.clone() },
        grace: service.grace,
    })
}

/// The command before a stop, as a shell of the unit runs it: it replaces the references itself.
fn for_shell(script: &OsText) -> OsText {
    let script = OsString::from(script);
    let shell = script.to_str().map(|script| OsString::from(script.replace("$${", "${")));
    OsText::from(shell.unwrap_or(script).as_os_str())
}

/// The shortest watchdog: a busy machine is late by a second or two.
const SHORTEST_WATCHDOG: Duration = Duration::from_secs(5);

fn is_said_by_server(service: &Service) -> bool {
    service.health.as_ref().is_some_and(|health| health.probe.check == Check::Notify)
}

/// Whether the sidecar gives signs: not where the server itself talks to the supervisor.
fn feeds_watchdog(service: &Service) -> bool {
    service.health.as_ref().is_some_and(|health| !health.probe.check.is_told())
}

/// How long the supervisor waits for a sign of the sidecar. The sidecar stops giving one after `unhealthy-after` failed
/// attempts, so that this is the grace of `[watch]`.
fn watchdog(service: &Service) -> Option<Duration> {
    let restarts = service.watches && service.watch.on_unhealthy == Action::Restart && feeds_watchdog(service);
    restarts.then(|| service.watch.grace.max(SHORTEST_WATCHDOG))
}

/// The service of an installed unit, and the unit as forerun would write it today, with the same flags.
///
/// # Errors
/// Those of the service and of [`spec`]; [`Error::Config`] when forerun did not write the unit.
pub fn today(found: &Found, caller: &Caller) -> Result<UnitSpec, Error> {
    let (Some(marker), Installed::Unit(text)) = (found.marker(), &found.installed) else {
        return Err(Error::Config(format!("forerun did not write the unit {}", quoted(&found.path.unit))));
    };
    let (service, flags) = Request::of_unit(&marker.arguments(), caller.here, caller.environment).service_of_unit()?;
    let Made { scope, harden, .. } = marker.made;
    let order = Order { kind: found.kind, scope, harden, path: found.path.clone(), flags };
    let mut spec = spec(caller, &service, order)?;
    if let Some(path) = found.kind.kept_path(&text.files[0].1) {
        spec.search_path = path;
    }
    spec.made.state = marker.made.state.clone();
    spec.made.user = marker.made.user.clone();
    if marker.made.program.is_file() {
        spec.made.program = marker.made.program.clone();
    }
    Ok(spec)
}

/// Sets the user that the service runs as. A user whom root did not name is that of the installed unit, if that has one.
/// Tells of a user whom nobody named.
pub fn run_as(spec: &mut UnitSpec, choice: Choice, there: &Installed) {
    let kept = there.ours(&spec.name).and_then(|marker| marker.made.user.clone());
    let (user, why) = match (choice, kept) {
        (Some((user, why @ (Why::Said | Why::Makes))), _) => (Some(user), Some(why)),
        (_, Some(kept)) => (Some(kept), None),
        (choice, None) => choice.unzip(),
    };
    let why = match why {
        Some(Why::CalledSudo) => "who called sudo",
        Some(Why::OwnsFile) => "who owns its config file",
        _ => "",
    };
    if let Some(user) = user.as_ref().filter(|_| !why.is_empty()) {
        let (name, user) = (quoted(&spec.name), quoted(user));
        say(&format!("{name} will run as {user}, {why}; for another user: --as USER"));
    }
    spec.made.user = user;
}

/// Keeps what an installed unit has and this caller does not set, because another shell (above all root's) has another
/// environment. If nobody edited the unit, its state folder is kept, and the folders of its PATH are added after the
/// caller's.
pub fn keep(kind: Kind, spec: &mut UnitSpec, there: &Installed) {
    let (Some(marker), Installed::Unit(text)) = (there.ours(&spec.name), there) else { return };
    let theirs = marker.made.user.as_deref();
    if theirs != spec.made.user.as_deref() {
        // What is there is of another user.
        return;
    }
    let is_anothers = geteuid().is_root() && theirs.is_some_and(|user| user != ROOT);
    if there.whose(&spec.name, Some(spec.config.as_deref())) != State::Current {
        return;
    }
    let kept = kind.kept_path(&text.files[0].1).unwrap_or_default();
    if is_anothers {
        // Root's own folders would come before the user's.
        spec.made.state = marker.made.state.clone();
        spec.search_path = if kept.is_empty() { spec.search_path.clone() } else { kept };
        return;
    }
    spec.made.state = spec.made.state.take().or_else(|| marker.made.state.clone());
    let has: Vec<String> = spec.search_path.split(':').map(str::to_owned).collect();
    for folder in kept.split(':').filter(|folder| !folder.is_empty() && !has.iter().any(|has| has == folder)) {
        spec.search_path += &format!(":{folder}");
    }
}

/// FORERUN_STATE_DIR as text that the unit can contain.
fn writable_state(kind: Kind, folder: PathBuf) -> Result<String, Error> {
    let shown = quoted(&folder);
    let text = folder.into_os_string().into_string().ok();
    let is_plain = |text: &String| !text.contains(char::is_control) && kind.can_hold(text);
    text.filter(is_plain).ok_or_else(|| {
        Error::Config(format!(
            "a unit of {} cannot contain FORERUN_STATE_DIR={shown}; choose another folder",
            kind.word()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::unit_kinds;
    use crate::supervisor::units::write;

    #[test]
    fn a_limit_is_given_once() {
        let nofile = |extra: &[&str], kind: &str, scope| {
            let words: Vec<OsString> = extra.iter().chain(&["--", "x"]).map(OsString::from).collect();
            let (service, flags) = Request::of_unit(&words, Path::new("/"), &Environment::default())
                .service_of_unit()
                .expect("understood");
            let kind = unit_kinds().find(|known| known.word() == kind).expect("a kind");
            let path = UnitPath::file("/x".into());
            let environment = Environment::default();
            let arguments = [OsString::from("forerun")];
            let caller = Caller { environment: &environment, arguments: &arguments, here: Path::new("/") };
            let spec = spec(&caller, &service, Order { kind, scope, harden: false, path, flags }).expect("a unit");
            let words = write::command_line(kind, &spec);
            let given: Vec<_> = words.iter().enumerate().filter(|(_, word)| *word == "--nofile").collect();
            assert!(given.len() < 2, "{words:?}");
            given.first().map(|(at, _)| words[at + 1].clone())
        };
        assert_eq!(nofile(&[], "systemd", Scope::System), None);
        assert_eq!(nofile(&[], "launchd", Scope::User), None);
        assert_eq!(nofile(&[], "launchd", Scope::System), Some("8192".into()));
        assert_eq!(nofile(&[], "runit", Scope::User), Some("8192".into()));
        assert_eq!(nofile(&["--nofile", "9"], "systemd", Scope::System), Some("9".into()));
    }
}
