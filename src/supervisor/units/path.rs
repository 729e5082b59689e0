#![forbid(unsafe_code)]
//! Knows where each supervisor keeps its units.

use std::path::{Path, PathBuf};

use crate::args::{KINDS, Kind, UnitOptions};
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::{Installed, usual_files};
use crate::sys;

/// Whether a unit belongs to a user's supervisor or to the machine's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    User,
    System,
}

impl Scope {
    /// The scope that the options ask for. The default is the machine for root and the user for everyone else.
    pub fn asked(options: &UnitOptions) -> Scope {
        let system = options.system || (!options.user && nix::unistd::geteuid().is_root());
        if system { Scope::System } else { Scope::User }
    }
}

/// The location of a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file, or the folder for runit and s6.
    pub unit: PathBuf,
    /// The symlink in the folder that runit or s6 scans. It makes the supervisor run the unit.
    pub link: Option<PathBuf>,
}

/// The name of a kind on the command line.
pub fn kind_word(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| word)
}

/// The launchd label of a service. The prefix keeps it apart from the names of applications.
pub fn label(name: &str) -> String {
    format!("forerun.{name}")
}

impl Place {
    /// The location of a unit of this name. `dir` is the folder that the supervisor reads, if it is not the usual one.
    ///
    /// # Errors
    /// [`Error::State`] when the user database names no home.
    pub fn of(
        kind: Kind,
        scope: Scope,
        name: &str,
        dir: Option<&Path>,
        environment: &Environment,
    ) -> Result<Place, Error> {
        let home = || {
            sys::home_directory().filter(|home| home.is_absolute()).ok_or_else(|| {
                Error::State("cannot find this user's home in the user database; give --dir or --system".to_owned())
            })
        };
        let file = |folder: PathBuf, name: String| Ok(Place { unit: folder.join(name), link: None });
        let linked = |services: PathBuf, scanned: PathBuf| {
            Ok(Place { unit: services.join(name), link: Some(scanned.join(name)) })
        };
        let dir = dir.map(Path::to_owned);
        match (kind, scope, dir) {
            (Kind::Systemd, _, Some(dir)) => file(dir, format!("{name}.service")),
            (Kind::Systemd, Scope::System, _) => file("/etc/systemd/system".into(), format!("{name}.service")),
            (Kind::Systemd, Scope::User, _) => file(home()?.join(".config/systemd/user"), format!("{name}.service")),
            (Kind::Launchd, _, Some(dir)) => file(dir, format!("{}.plist", label(name))),
            (Kind::Launchd, Scope::System, _) => {
                file("/Library/LaunchDaemons".into(), format!("{}.plist", label(name)))
            }
            (Kind::Launchd, Scope::User, _) => {
                file(home()?.join("Library/LaunchAgents"), format!("{}.plist", label(name)))
            }
            (Kind::Supervisord, _, Some(dir)) => file(dir, format!("{name}.conf")),
            (Kind::Supervisord, Scope::User, _) => file(home()?.join(".config/supervisor"), format!("{name}.conf")),
            (Kind::Supervisord, Scope::System, _) => {
                // The folders of Debian, Red Hat and Alpine, in this order.
                let folders =
                    [("/etc/supervisor/conf.d", "conf"), ("/etc/supervisord.d", "ini"), ("/etc/supervisor.d", "ini")];
                let (folder, ending) = folders.into_iter().find(|(f, _)| Path::new(f).is_dir()).unwrap_or(folders[0]);
                file(folder.into(), format!("{name}.{ending}"))
            }
            (Kind::Runit, scope, dir) => {
                let services = match scope {
                    Scope::System => "/etc/sv".into(),
                    Scope::User => home()?.join(".config/sv"),
                };
                let asked = dir.or_else(|| environment.filled("SVDIR").map(PathBuf::from).filter(|d| d.is_absolute()));
                let scanned = match (asked, scope) {
                    (Some(dir), _) => dir,
                    (None, Scope::System) => first_folder(&["/etc/service", "/var/service", "/run/runit/service"]),
                    (None, Scope::User) => home()?.join("service"),
                };
                linked(services, scanned)
            }
            (Kind::S6, scope, dir) => {
                let services = match scope {
                    Scope::System => "/etc/s6/sv".into(),
                    Scope::User => home()?.join(".config/s6/sv"),
                };
                let scanned = match (dir, scope) {
                    (Some(dir), _) => dir,
                    (None, Scope::System) => first_folder(&["/run/service", "/service"]),
                    (None, Scope::User) => home()?.join("service"),
                };
                linked(services, scanned)
            }
        }
    }

    /// The location of a unit and what is installed there. If the usual file is a symlink to a unit of ours (`systemctl
    /// link`, or files kept elsewhere), the location is that of the target. A unit that names its scanned folder keeps
    /// it.
    ///
    /// # Errors
    /// As [`Place::of`].
    pub fn looked_at(
        kind: Kind,
        scope: Scope,
        name: &str,
        dir: Option<&Path>,
        environment: &Environment,
    ) -> Result<(Place, Installed), Error> {
        let mut place = Place::of(kind, scope, name, dir, environment)?;
        let mut installed = Installed::look(&place, usual_files(kind));
        if let (Ok(target), Some(folder)) = (place.unit.read_link(), place.unit.parent()) {
            let behind = Place { unit: folder.join(target), link: place.link.clone() };
            let there = Installed::look(&behind, usual_files(kind));
            if there.ours(name).is_some() {
                (place, installed) = (behind, there);
            }
        }
        let scanned = installed.ours(name).and_then(|marker| marker.made.scanned.as_ref());
        if let (Some(_), Some(scanned), None) = (&place.link, scanned, dir) {
            place.link = Some(scanned.join(name));
        }
        Ok((place, installed))
    }
}

/// The sorted names of all units in the usual folder of a kind. They need not be forerun's.
pub fn names(kind: Kind, scope: Scope, environment: &Environment) -> Vec<String> {
    const NAME: &str = "name";
    let Ok(Place { unit, .. }) = Place::of(kind, scope, NAME, None, environment) else { return Vec::new() };
    let entries = unit.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    let file = unit.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (before, after) = file.split_once(NAME).unwrap_or_default();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let file = entry.file_name();
            Some(file.to_str()?.strip_prefix(before)?.strip_suffix(after)?.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// A unit that ours would hide, because systemd uses only the first one in its list of folders.
pub fn hidden_by(kind: Kind, scope: Scope, name: &str) -> Option<PathBuf> {
    if kind != Kind::Systemd {
        return None;
    }
    let whose = if scope == Scope::System { "system" } else { "user" };
    // The template of `web@1.service` is `web@.service`.
    let template = name.split_once('@').map(|(before, _)| format!("{before}@"));
    let names = [Some(name.to_owned()), template].into_iter().flatten();
    let folders = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"];
    let paths = |name: String| folders.map(|folder| Path::new(folder).join(whose).join(format!("{name}.service")));
    names.flat_map(paths).find(|path| path.symlink_metadata().is_ok())
}

fn first_folder(folders: &[&str]) -> PathBuf {
    folders.iter().find(|folder| Path::new(folder).is_dir()).unwrap_or(&folders[0]).into()
}
