#![forbid(unsafe_code)]
//! A unit before it is written: everything that it says, from the service, the caller and what is there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{User, geteuid};

use super::installed::{Installed, State};
use super::marker::{self, Made, Marker};
use super::{Place, Scope, launchd, place, runit, s6, supervisord, systemd, words};
use crate::cli::{Kind, Options};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::state;
use crate::service::Service;
use crate::sys;
use crate::text::quoted;

/// A unit's limits of open descriptors: soft, hard.
pub type Limits = (u64, u64);

/// Everything that a unit is written from.
pub struct Draft<'a> {
    pub kind: Kind,
    pub place: Place,
    pub service: &'a Service,
    pub made: Made,
    /// PATH, as it was when the unit was first written.
    pub path: String,
}

/// A file of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Empty where the unit is one file.
    pub name: &'static str,
    pub text: String,
    pub executable: bool,
}

/// Where units are looked at from.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    pub environment: &'a Environment,
    /// This forerun's own.
    pub arguments: &'a [OsString],
    /// The current folder, as it was named.
    pub here: &'a Path,
}

/// Who makes a unit: from where, and with which options.
pub struct Caller<'a> {
    pub options: &'a Options,
    pub site: Site<'a>,
}

impl<'a> Draft<'a> {
    /// The unit of a service, as this caller would write it.
    ///
    /// # Errors
    /// [`Error::Config`] where nobody can tell where forerun or the home is, or where the name is no unit's.
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
            Error::Config("cannot tell where forerun itself is installed; call it by its path".to_owned())
        })?;
        let us = geteuid();
        let user = match scope {
            Scope::System if !us.is_root() => User::from_uid(us).ok().flatten().map(|user| user.name),
            _ => None,
        };
        let state = state::chosen_root(environment, here);
        let state = state.map(|folder| writable_state(kind, folder)).transpose()?;
        let made = Made {
            scope,
            harden,
            user,
            state,
            scanned: place.link.as_ref().and_then(|link| link.parent()).map(Path::to_owned),
            program,
            flags: words::flags(caller.options, service, here),
        };
        Ok(Draft { kind, place, service, made, path: words::search_path(environment) })
    }

    /// As one that is there was made: with the PATH, the user, the state folder and the forerun that it has.
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

    /// Keeps of one that is there what this caller does not say: another shell, root's above all, has another
    /// environment. Its user; its state folder, and the folders of its PATH, behind those of the caller, where nobody
    /// edited it.
    pub fn keep(&mut self, there: &Installed) {
        let (Some(marker), Installed::Unit(text)) = (there.ours(&self.service.name), there) else { return };
        let is_anothers = self.made.user.is_none() && marker.made.user.is_some();
        self.made.user = self.made.user.take().or_else(|| marker.made.user.clone());
        if there.whose(&self.service.name, Some(self.service.config.as_deref())) != State::Current {
            return;
        }
        let kept = self.kept_path(&text.files[0].1).unwrap_or_default();
        if is_anothers {
            // Root's own folders would come before theirs.
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

    /// The PATH of a unit of ours.
    fn kept_path(&self, text: &str) -> Option<String> {
        match self.kind {
            Kind::Systemd => systemd::kept_path(text),
            Kind::Launchd => launchd::kept_path(text),
            Kind::Supervisord => supervisord::kept_path(text),
            Kind::Runit | Kind::S6 => runit::kept_path(text),
        }
    }

    /// forerun, and what it is told.
    pub fn words(&self) -> Vec<OsString> {
        let program = self.made.program.clone().into_os_string();
        let defaults = words::defaults(self.service, self.kind, self.made.scope);
        [vec![program], words::base(self.service.config.as_deref()), defaults, self.made.flags.clone()].concat()
    }

    /// The unit's files, the one with the marker first.
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

    /// The names of its files, where it is a folder.
    pub fn names(&self) -> Vec<&'static str> {
        match self.kind {
            Kind::Runit => runit::FILES.to_vec(),
            Kind::S6 => s6::names(self),
            Kind::Systemd | Kind::Launchd | Kind::Supervisord => Vec::new(),
        }
    }

    /// The line that says whose it is and how it was made, without a digest yet.
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

    /// How long the server may take to stop, in whole seconds: at least one, as 0 is "for ever" to launchd.
    pub fn grace(&self) -> u64 {
        whole_seconds(self.service.grace)
    }

    /// What the service needs that the supervisor's system keeps from it, where that is known.
    pub fn guarded(&self) -> Option<&Path> {
        let paths = self.paths();
        (self.kind == Kind::Launchd).then(|| launchd::guarded(paths, sys::home_directory().as_deref())).flatten()
    }

    /// Where forerun, the server and what they need are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let service = self.service;
        let programs = [self.made.program.as_path(), Path::new(&service.command[0])];
        let all = programs.into_iter().chain([service.directory.as_path()]).chain(service.config.as_deref());
        all.chain(self.made.state.as_deref().map(Path::new))
    }

    /// What a person types to see what is installed and to write it again.
    pub fn install_command(&self) -> String {
        let kind = place::kind_word(self.kind);
        format!("forerun unit {kind} --install")
    }
}

/// At least one.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).max(1) as u64
}

/// Refuses a name that no supervisor of this kind takes for one service's.
///
/// # Errors
/// [`Error::Config`].
pub fn refuse_name(kind: Kind, name: &str) -> Result<(), Error> {
    let why = match kind {
        Kind::Systemd if name.ends_with('@') => "would be a template's, which runs nothing",
        Kind::Systemd if name.starts_with('@') => "is an instance of no template to systemd",
        Kind::Supervisord if name == "all" => "means every program to supervisorctl",
        _ if name.starts_with(['-', '.']) => "is none that supervisors take for a service's",
        _ => return Ok(()),
    };
    Err(Error::Config(format!("the name {} {why}; give another --name", quoted(name))))
}

/// FORERUN_STATE_DIR as a unit can say it.
fn writable_state(kind: Kind, folder: PathBuf) -> Result<String, Error> {
    let shown = quoted(&folder);
    let text = folder.into_os_string().into_string().ok();
    // supervisord reads a value to the next quote, takes ';' for a comment, and replaces '%(...)' before all else.
    let is_plain = |text: &String| {
        !text.contains(char::is_control)
            && (kind != Kind::Supervisord || !(text.contains(['"', ';', '\\']) || text.contains("%(")))
    };
    text.filter(is_plain).ok_or_else(|| {
        Error::Config(format!(
            "a unit of {} cannot say FORERUN_STATE_DIR={shown}; choose another",
            place::kind_word(kind)
        ))
    })
}
