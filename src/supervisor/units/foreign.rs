#![forbid(unsafe_code)]
//! Finds units of somebody else that start a service of ours: two of them only fight over its port.

use std::fs;
use std::path::{Path, PathBuf};

use super::installed::{Installed, LARGEST};
use super::marker::Marker;
use super::path;
use super::spec::{Scope, UnitPath, UnitSpec};
use super::unit::{Kind, Started};
use crate::environment::Environment;
use crate::supervisor::all;
use crate::sys::is_same_file;

/// A unit that forerun did not write and that starts the same service.
pub struct Foreign {
    pub kind: Kind,
    pub path: PathBuf,
    /// What it has in common with ours, for people.
    pub why: String,
}

/// Units of somebody else that start this service, in the usual folders of all supervisors. `port`: the one that the
/// service guards.
pub fn rivals(spec: &UnitSpec, port: Option<u16>, environment: &Environment) -> Vec<Foreign> {
    let mut found: Vec<Foreign> = Vec::new();
    for (kind, scope) in all::units().flat_map(|kind| [(kind, Scope::System), (kind, Scope::User)]) {
        for path in files(kind, scope, environment) {
            if path == spec.path.unit || path.parent() == Some(&spec.path.unit) {
                continue;
            }
            let Some(text) = text_of(&path).filter(|text| Marker::find(text).is_none()) else { continue };
            let why = kind.command_in(&text).and_then(|started| common(&started, spec, port));
            let is_new = !found.iter().any(|known| is_same_file(&known.path, &path));
            found.extend(why.filter(|_| is_new).map(|why| Foreign { kind, path, why }));
        }
    }
    found
}

/// The files with the commands of the units in the folders of a supervisor.
fn files(kind: Kind, scope: Scope, environment: &Environment) -> Vec<PathBuf> {
    let usual = path::names(kind, scope, environment).into_iter();
    let usual = usual.filter_map(|name| kind.path(scope, &name, None, environment).ok());
    let first = kind.usual_files().first().copied().unwrap_or_default();
    let of_kind = usual.map(|UnitPath { unit, .. }| if first.is_empty() { unit } else { unit.join(first) });
    let entries = kind.other_folders(scope).into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let others = entries.flatten().flatten().map(|entry| entry.path());
    of_kind.chain(others).collect()
}

/// The text of a small regular file.
fn text_of(path: &Path) -> Option<String> {
    fs::metadata(path).ok().filter(|status| status.is_file() && status.len() <= LARGEST)?;
    fs::read_to_string(path).ok()
}

/// What a command has in common with a service of ours.
fn common(started: &Started, spec: &UnitSpec, port: Option<u16>) -> Option<String> {
    let Started { argv, folder } = started;
    let folder = folder.as_deref();
    let is_forerun = |word: &String| Path::new(word).file_name().is_some_and(|name| name == "forerun");
    if let Some(at) = argv.iter().position(is_forerun) {
        let flags = &argv[at + 1..];
        let is_other = flags.first().is_some_and(|word| !word.starts_with('-'));
        return if is_other { None } else { common_flags(flags, folder, spec) };
    }
    let same_folder = folder.is_none_or(|folder| is_same_file(folder, &spec.directory));
    let ours: Vec<_> = spec.command.iter().map(|word| word.to_string_lossy()).collect();
    let is_same = |(theirs, ours): (&String, &std::borrow::Cow<str>)| {
        *theirs == **ours || is_same_file(&spec.directory.join(theirs), &spec.directory.join(&**ours))
    };
    let same_program = argv.first().is_some_and(|program| {
        let (theirs, ours) = (Path::new(program).file_name(), Path::new(&spec.command[0]).file_name());
        theirs.is_some() && theirs == ours
    });
    // A command of one word says too little, unless its folder says the rest.
    let is_telling = ours.len() > 1 || folder.is_some();
    if is_telling
        && same_folder
        && same_program
        && argv.len() == ours.len()
        && argv[1..].iter().zip(&ours[1..]).all(is_same)
    {
        return Some("it starts the same command".to_owned());
    }
    let number = port.filter(|&number| number > 0)?.to_string();
    let has_port = |word: &String| {
        word.strip_suffix(&number).is_some_and(|before| before.is_empty() || before.ends_with([':', '=']))
    };
    argv[1.min(argv.len())..].iter().any(has_port).then(|| format!("its command has the port {number}"))
}

/// What a start by forerun has in common with a service.
fn common_flags(flags: &[String], folder: Option<&Path>, spec: &UnitSpec) -> Option<String> {
    let own = flags.iter().take_while(|word| *word != "--");
    let own: Vec<&str> = own.map(String::as_str).collect();
    let value = |flag: &str| {
        let at = own.iter().position(|word| *word == flag);
        let next = at.and_then(|at| own.get(at + 1).copied());
        next.or_else(|| own.iter().find_map(|word| word.strip_prefix(flag)?.strip_prefix('=')))
    };
    let config = value("--config").map_or_else(
        || Some(folder?.join("forerun.toml")),
        |path| Some(folder.map_or_else(|| path.into(), |folder| folder.join(path))),
    );
    let same_config = spec.config.as_ref().zip(config).is_some_and(|(ours, theirs)| is_same_file(ours, &theirs));
    match value("--name") {
        Some(name) if name == spec.name => Some("it starts a service of the same name by forerun".to_owned()),
        _ if same_config => Some("it starts the same service by forerun".to_owned()),
        _ => None,
    }
}

/// Whether a unit of this name is somebody else's, for another supervisor.
pub fn namesakes(spec: &UnitSpec, kind: Kind, environment: &Environment) -> Vec<Foreign> {
    let others = all::units().filter(|other| other.word() != kind.word());
    let places = others.flat_map(|other| [(other, Scope::System), (other, Scope::User)]);
    let look = |(kind, scope): (Kind, Scope)| {
        let (path, installed) = path::looked_at(kind, scope, &spec.name, None, environment).ok()?;
        let is_foreign = matches!(&installed, Installed::Unit(text) if text.marker.is_none());
        is_foreign.then(|| Foreign { kind, path: path.unit, why: "it has the same name".to_owned() })
    };
    places.filter_map(look).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::units::spec::Made;

    fn spec(command: &[&str]) -> UnitSpec {
        UnitSpec {
            path: UnitPath::file("/etc/systemd/system/web.service".into()),
            made: Made {
                scope: Scope::System,
                harden: false,
                user: None,
                state: None,
                scanned: None,
                program: "/usr/bin/forerun".into(),
                flags: Vec::new(),
            },
            search_path: String::new(),
            name: "web".into(),
            config: Some("/srv/web/forerun.toml".into()),
            directory: "/srv/web".into(),
            command: command.iter().map(Into::into).collect(),
            health: None,
            server_notifies: false,
            watchdog: None,
            nofile: None,
            ready_fd: None,
            ending: Default::default(),
            grace: std::time::Duration::from_secs(10),
        }
    }

    #[test]
    fn the_same_service_is_known_by_what_it_starts() {
        let ours = spec(&["python3", "server.py"]);
        let common = |argv: &str, folder: Option<&str>| {
            let argv = argv.split(' ').map(str::to_owned).collect();
            common(&Started { argv, folder: folder.map(Into::into) }, &ours, Some(8787)).is_some()
        };
        for (argv, folder, expected) in [
            ("/usr/bin/forerun --foreground", Some("/srv/web"), true),
            ("/usr/bin/forerun --foreground --config /srv/web/forerun.toml", None, true),
            ("/usr/bin/forerun --config=forerun.toml", Some("/srv/web"), true),
            ("/usr/bin/forerun --name web -- x", Some("/srv/other"), true),
            ("/usr/bin/forerun --foreground", Some("/srv/other"), false),
            ("/usr/bin/forerun status web", Some("/srv/web"), false),
            ("/usr/bin/forerun -- x --name web", Some("/srv/other"), false),
            ("/usr/bin/python3 server.py", Some("/srv/web"), true),
            ("/usr/bin/python3 server.py", Some("/srv/other"), false),
            ("/usr/bin/python3 /srv/web/server.py", Some("/srv/web"), true),
            ("/usr/bin/node index.js --port 8787", Some("/srv/other"), true),
            ("/usr/bin/node index.js --listen=127.0.0.1:8787", None, true),
            ("/usr/bin/node index.js --port 18787", None, false),
            ("/usr/sbin/nginx", None, false),
        ] {
            assert_eq!(common(argv, folder), expected, "{argv} in {folder:?}");
        }
    }
}
