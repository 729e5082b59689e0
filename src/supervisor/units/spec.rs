#![forbid(unsafe_code)]
//! A unit before it is written: everything that its text depends on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User, geteuid};

use crate::args::{Kind, Options};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::line::say;
use crate::service::Service;
use crate::supervisor::launchd::unit as launchd;
use crate::supervisor::runit::unit as runit;
use crate::supervisor::s6::unit as s6;
use crate::supervisor::supervisord::unit as supervisord;
use crate::supervisor::systemd::unit as systemd;
use crate::supervisor::units::installed::{Installed, State};
use crate::supervisor::units::marker::{self, Made, Marker};
use crate::supervisor::units::path as place;
use crate::supervisor::units::user::{self, Choice, Why};
use crate::supervisor::units::words;
use crate::supervisor::units::{Place, Scope};
use crate::sys;
use crate::text::quoted;

/// Limits of open descriptors in a unit: soft, hard.
pub type Limits = (u64, u64);

/// Everything that determines the text of a unit.
pub struct Draft<'a> {
    pub kind: Kind,
    pub place: Place,
    pub service: &'a Service,
    pub made: Made,
    /// PATH for the unit. An installed unit keeps the folders of its first PATH.
    pub path: String,
}

/// One file of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Empty if the unit is a single file.
    pub name: &'static str,
    pub text: String,
    pub executable: bool,
}

/// The environment, arguments and folder in which forerun was called.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub environment: &'a Environment,
    /// The arguments of this forerun.
    pub arguments: &'a [OsString],
    /// The current folder, as the caller named it.
    pub here: &'a Path,
}

/// The caller who makes a unit, with the options.
pub struct Caller<'a> {
    pub options: &'a Options,
    pub site: Site<'a>,
}

impl<'a> Draft<'a> {
    /// The unit of a service, as this caller would write it.
    ///
    /// # Errors
    /// [`Error::Config`] when the path of forerun cannot be found, or when a unit cannot contain the caller's paths.
    pub fn new(
        caller: &Caller,
        service: &'a Service,
        kind: Kind,
        scope: Scope,
        harden: bool,
        place: Place,
    ) -> Result<Draft<'a>, Error> {
        if place.unit.to_str().is_none() {
            return Err(Error::Config(format!(
                "the unit's path {} is not UTF-8; give another --dir",
                quoted(&place.unit)
            )));
        }
        let Site { environment, arguments, here } = caller.site;
        let program = words::own_program(arguments, environment, here).ok_or_else(|| {
            Error::Config("cannot find the program file of forerun; call forerun by its path".to_owned())
        })?;
        let state = state::chosen_root(environment, here);
        let state = state.map(|folder| writable_state(kind, folder)).transpose()?;
        let made = Made {
            scope,
            harden,
            user: None,
            state,
            scanned: place.link.as_ref().and_then(|link| link.parent()).map(Path::to_owned),
            program,
            flags: words::flags(caller.options, service, here),
        };
        Ok(Draft { kind, place, service, made, path: words::search_path(environment) })
    }

    /// Takes PATH, user, state folder and forerun's own path from an installed unit.
    pub fn made_as(&mut self, made: &Made, text: &str) {
        if let Some(path) = self.kept_path(text) {
            self.path = path;
        }
        self.made.state = made.state.clone();
        self.made.user = made.user.clone();
        if made.program.is_file() {
            self.made.program = made.program.clone();
        }
    }

    /// Sets the user that the service runs as. A user whom root did not name is that of the installed unit, if that has
    /// one. Tells of a user whom nobody named.
    pub fn run_as(&mut self, choice: Choice, there: &Installed) {
        let kept = there.ours(&self.service.name).and_then(|marker| marker.made.user.clone());
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
            say(&format!(
                "{} will run as {}, {why}; for another user: --as USER",
                quoted(&self.service.name),
                quoted(user)
            ));
        }
        self.made.user = user;
    }

    /// The user that the service runs as: the one that the unit names, else who makes it.
    pub fn runs_as(&self) -> Uid {
        let user = self.made.user.as_ref().and_then(|user| User::from_name(user).ok().flatten());
        user.map_or(geteuid(), |user| user.uid)
    }

    /// The comment on the user.
    pub fn why_user(&self) -> &'static str {
        match self.lesser_user() {
            Some(_) => "Not root: this unit was made by this user, or for this user.",
            // No two dashes: XML has none in a comment.
            None => "Root: whoever made this unit said so.",
        }
    }

    /// The user, if the unit gives up root's rights for that.
    pub fn lesser_user(&self) -> Option<&str> {
        self.made.user.as_deref().filter(|user| *user != user::ROOT)
    }

    /// Keeps what an installed unit has and this caller does not set, because another shell (above all root's) has
    /// another environment. If nobody edited the unit, its state folder is kept, and the folders of its PATH are added
    /// after the caller's.
    pub fn keep(&mut self, there: &Installed) {
        let (Some(marker), Installed::Unit(text)) = (there.ours(&self.service.name), there) else { return };
        let theirs = marker.made.user.as_deref();
        if theirs != self.made.user.as_deref() {
            // What is there is of another user.
            return;
        }
        let is_anothers = geteuid().is_root() && theirs.is_some_and(|user| user != user::ROOT);
        if there.whose(&self.service.name, Some(self.service.config.as_deref())) != State::Current {
            return;
        }
        let kept = self.kept_path(&text.files[0].1).unwrap_or_default();
        if is_anothers {
            // Root's own folders would come before the user's.
            self.made.state = marker.made.state.clone();
            self.path = if kept.is_empty() { self.path.clone() } else { kept };
            return;
        }
        self.made.state = self.made.state.take().or_else(|| marker.made.state.clone());
        let has: Vec<String> = self.path.split(':').map(str::to_owned).collect();
        for folder in kept.split(':').filter(|folder| !folder.is_empty() && !has.iter().any(|has| has == folder)) {
            self.path += &format!(":{folder}");
        }
    }

    /// The PATH in the text of a unit that forerun wrote.
    fn kept_path(&self, text: &str) -> Option<String> {
        match self.kind {
            Kind::Systemd => systemd::kept_path(text),
            Kind::Launchd => launchd::kept_path(text),
            Kind::Supervisord => supervisord::kept_path(text),
            Kind::Runit | Kind::S6 => runit::kept_path(text),
        }
    }

    /// The command line of the unit: forerun and its arguments.
    pub fn words(&self) -> Vec<OsString> {
        let program = self.made.program.clone().into_os_string();
        let defaults = words::defaults(self.service, self.kind, self.made.scope);
        [vec![program], words::base(self.service.config.as_deref()), defaults, self.made.flags.clone()].concat()
    }

    /// What `[stop]` says and this supervisor does not do, a line each.
    pub fn undone(&self) -> Vec<String> {
        let (ending, kind) = (&self.service.ending, place::kind_word(self.kind));
        let signal = sys::signal_name(ending.signal);
        let is_sent = match self.kind {
            Kind::Systemd | Kind::S6 => true,
            Kind::Supervisord => supervisord::stop_signal(ending.signal).is_some(),
            Kind::Launchd | Kind::Runit => ending.signal == libc::SIGTERM,
        };
        let signal = (!is_sent).then(|| format!("[stop] signal is {signal}, but {kind} sends SIGTERM."));
        let runs = self.kind == Kind::Systemd || ending.before.is_none();
        let before = (!runs).then(|| format!("[stop] before is not run: {kind} has no place for it."));
        signal.into_iter().chain(before).collect()
    }

    /// The files of the unit. The one with the marker comes first.
    pub fn files(&self) -> Vec<File> {
        let mut files = match self.kind {
            Kind::Systemd => systemd::files(self),
            Kind::Launchd => launchd::files(self),
            Kind::Supervisord => supervisord::files(self),
            Kind::Runit => runit::files(self),
            Kind::S6 => s6::files(self),
        };
        marker::seal(&mut files);
        files
    }

    /// The names of the files, if the unit is a folder.
    pub fn names(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Runit => runit::FILES.to_vec(),
            Kind::S6 => s6::names(self),
            Kind::Systemd | Kind::Launchd | Kind::Supervisord => Vec::new(),
        }
    }

    /// The marker line of the unit, without its digest.
    pub fn marker(&self) -> String {
        Marker::unsealed(&self.service.name, self.service.config.as_deref(), &self.made, &self.names())
    }

    /// The limits of open descriptors.
    pub fn nofile(&self) -> Limits {
        match self.service.nofile {
            None => words::NOFILE,
            Some(wish) => (wish.soft, wish.hard.unwrap_or(words::NOFILE.1.max(wish.soft))),
        }
    }

    /// How long the server may take to stop, in whole seconds. At least one, because launchd takes 0 as "for ever".
    pub fn grace(&self) -> u64 {
        whole_seconds(self.service.grace)
    }

    /// A path of the service that macOS protects from jobs of launchd, if there is one.
    pub fn guarded(&self) -> Option<&Path> {
        let paths = self.paths();
        (self.kind == Kind::Launchd).then(|| launchd::guarded(paths, sys::home_directory().as_deref())).flatten()
    }

    /// The paths of forerun, the server and everything that they read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let service = self.service;
        let programs = [self.made.program.as_path(), Path::new(&service.command[0])];
        let all = programs.into_iter().chain([service.directory.as_path()]).chain(service.config.as_deref());
        all.chain(self.made.state.as_deref().map(Path::new))
    }

    /// The command that writes this unit again.
    pub fn install_command(&self) -> String {
        let kind = place::kind_word(self.kind);
        format!("forerun unit {kind} --install")
    }
}

/// Rounds up to whole seconds, at least one.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1) as u64
}

/// Refuses a name that this kind of supervisor does not accept for a service.
///
/// # Errors
/// [`Error::Config`].
pub fn refuse_name(kind: Kind, name: &str) -> Result<(), Error> {
    let why = match kind {
        Kind::Systemd if name.ends_with('@') => "is that of a template, which systemd does not run",
        Kind::Systemd if name.starts_with('@') => "has no template before the '@'",
        Kind::Supervisord if name == "all" => "means every program to supervisorctl",
        _ if name.starts_with(['-', '.']) => "is not one that supervisors accept for a service",
        _ => return Ok(()),
    };
    Err(Error::Config(format!("the name {} {why}; give another --name", quoted(name))))
}

/// FORERUN_STATE_DIR as text that the unit can contain.
fn writable_state(kind: Kind, folder: PathBuf) -> Result<String, Error> {
    let shown = quoted(&folder);
    let text = folder.into_os_string().into_string().ok();
    // supervisord reads a value up to the next quote, takes ';' for a comment, and replaces '%(...)' first.
    let is_plain = |text: &String| {
        !text.contains(char::is_control)
            && (kind != Kind::Supervisord || !(text.contains(['"', ';', '\\']) || text.contains("%(")))
    };
    text.filter(is_plain).ok_or_else(|| {
        Error::Config(format!(
            "a unit of {} cannot contain FORERUN_STATE_DIR={shown}; choose another folder",
            place::kind_word(kind)
        ))
    })
}
