#![forbid(unsafe_code)]
//! Writes property lists for launchd (launchd.plist(5)).

use std::path::{Path, PathBuf};

use nix::unistd::User;
use plist::{Dictionary, Value};

use super::{Launchd, label};
use crate::environment::Environment;
use crate::error::Error;
use crate::supervisor::units::path::home;
use crate::supervisor::units::quote::plain;
use crate::supervisor::units::spec::Given;
use crate::supervisor::units::{Control, File, Scope, Started, UnitPath, UnitSpec, Units};
use crate::sys;

impl Units for Launchd {
    fn word(&self) -> &'static str {
        "launchd"
    }

    fn files(&self, spec: &UnitSpec, given: &Given) -> Vec<File> {
        File::single(text(spec, given))
    }

    fn kept_path(&self, text: &str) -> Option<String> {
        let value = Value::from_reader_xml(text.as_bytes()).ok()?;
        let variables = value.as_dictionary()?.get("EnvironmentVariables")?.as_dictionary()?;
        Some(variables.get("PATH")?.as_string()?.to_owned())
    }

    fn path(&self, scope: Scope, name: &str, dir: Option<&Path>, _: &Environment) -> Result<UnitPath, Error> {
        let folder = match (dir, scope) {
            (Some(dir), _) => dir.to_owned(),
            (None, Scope::System) => "/Library/LaunchDaemons".into(),
            (None, Scope::User) => home()?.join("Library/LaunchAgents"),
        };
        Ok(UnitPath::file(folder.join(format!("{}.plist", label(name)))))
    }

    /// In the plist of a daemon the keys for it change kern.maxfiles of the whole machine.
    fn sets_limits(&self, scope: Scope) -> bool {
        scope == Scope::User
    }

    fn guarded<'a>(&self, paths: &[&'a Path]) -> Option<&'a Path> {
        guarded(paths.iter().copied(), sys::home_directory().as_deref())
    }

    fn heals(&self, unit: &Path, _: &Environment) -> bool {
        unit.extension().is_some_and(|ending| ending == "plist")
    }

    fn command_in(&self, text: &str) -> Option<Started> {
        let value = Value::from_reader(std::io::Cursor::new(text.as_bytes())).ok()?;
        let job = value.as_dictionary()?;
        let words = job.get("ProgramArguments")?.as_array()?.iter().filter_map(Value::as_string);
        let folder = job.get("WorkingDirectory").and_then(Value::as_string).map(PathBuf::from);
        Some(Started { argv: words.map(str::to_owned).collect(), folder })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

/// A key, its value, and the comment above it.
type Entry = (&'static str, Value, &'static str);

fn text(spec: &UnitSpec, given: &Given) -> String {
    let entries = entries(spec, given);
    let dictionary: Dictionary = entries.iter().map(|(key, value, _)| ((*key).to_owned(), value.clone())).collect();
    let mut xml = Vec::new();
    // Writing to memory cannot fail, and all values can be expressed in XML.
    let _ = Value::Dictionary(dictionary).to_writer_xml(&mut xml);
    let xml = String::from_utf8_lossy(&xml);
    let mut out = String::new();
    for line in xml.lines() {
        if line == "<plist version=\"1.0\">" {
            let name = &spec.name.replace("--", "-\u{2010}");
            let undone: String = given.undone.iter().map(|line| format!("\n     {line}")).collect();
            let root = match (spec.made.scope, &spec.made.user) {
                (Scope::System, None) => "\n     It runs as root. To run it as another user, make it as that user.",
                _ => "",
            };
            out += &format!(
                "<!-- {name}, started by forerun. Written by 'forerun unit launchd'. To change it, edit forerun.toml or run that\n     \
                 command again with other flags. forerun keeps this file up to date as long as nobody edits it. It leaves\n     \
                 an edited file alone.{root}{undone} -->\n\
                 <!-- {} -->\n",
                given.marker
            );
        }
        // Only keys of the outermost dictionary are indented by one tab.
        let why = entries.iter().find(|(key, _, _)| line == format!("\t<key>{key}</key>")).map(|(_, _, why)| *why);
        if let Some(why) = why {
            out += &format!("\t<!-- {why} -->\n");
        }
        out += line;
        out.push('\n');
    }
    out
}

fn entries(spec: &UnitSpec, given: &Given) -> Vec<Entry> {
    let mut entries = vec![
        ("Label", string(&label(&spec.name)), "Name of the job in launchctl."),
        (
            "ProgramArguments",
            Value::Array(plain(&given.argv).into_iter().map(Value::String).collect()),
            "forerun becomes the server, so the pid of the job is the server's.",
        ),
        (
            "EnvironmentVariables",
            variables(spec),
            "PATH of the shell that created this file, without temporary folders; launchd's own PATH has no Homebrew.\n\t     \
             FORERUN_UNIT is the path of this file, so that forerun can keep it up to date. The server does not see it.",
        ),
        (
            "KeepAlive",
            Value::Boolean(true),
            "Start at load, and again whenever the server ends. launchd has no exit code that stops this: after a 78 (a\n\t     \
             mistake in the configuration) it tries again every ThrottleInterval seconds.",
        ),
        (
            "ThrottleInterval",
            number(10),
            "At least this many seconds from one start to the next. This is launchd's default.",
        ),
        ("ExitTimeOut", number(spec.grace()), "The grace: seconds from SIGTERM to SIGKILL. launchd's default is 5."),
        ("ProcessType", string("Interactive"), "Do not throttle the server like a background job."),
    ];
    entries.extend(logs(spec));
    // In the plist of a daemon these keys change kern.maxfiles of the whole machine. There, forerun's --nofile sets the
    // limit.
    if spec.made.scope == Scope::User {
        entries.extend(limits(spec));
    }
    entries.extend(spec.made.user.as_ref().map(|user| ("UserName", string(user), spec.why_user())));
    entries
}

fn variables(spec: &UnitSpec) -> Value {
    let mut variables = vec![("PATH", string(&spec.search_path))];
    variables.extend(spec.made.state.as_ref().map(|state| ("FORERUN_STATE_DIR", string(state))));
    variables.push(("FORERUN_UNIT", string(&spec.path.unit.to_string_lossy())));
    table(variables)
}

fn logs(spec: &UnitSpec) -> [Entry; 2] {
    // launchd opens the log as the user of the job, and does not start a job whose log it cannot open.
    let home = match (&spec.made.user, spec.made.scope) {
        (Some(user), _) => User::from_name(user).ok().flatten().map(|user| user.dir),
        (None, Scope::User) => sys::home_directory(),
        (None, Scope::System) => None,
    };
    let folder = home.unwrap_or("/".into()).join("Library/Logs");
    let log = string(&folder.join(format!("{}.log", label(&spec.name))).to_string_lossy());
    let why =
        "Output of forerun and the server. launchd appends to this file and never rotates it: see newsyslog.conf(5).";
    [
        ("StandardOutPath", log.clone(), why),
        ("StandardErrorPath", log, "The same file, so that both outputs stay in order."),
    ]
}

fn limits(spec: &UnitSpec) -> [Entry; 2] {
    let (soft, hard) = spec.nofile();
    let limit = |n: u64| table(vec![("NumberOfFiles", number(n))]);
    [
        ("SoftResourceLimits", limit(soft), "launchd's default of 256 descriptors is low for a server."),
        ("HardResourceLimits", limit(hard), "The server itself may raise that limit up to this one."),
    ]
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn number(n: u64) -> Value {
    Value::Integer(n.into())
}

fn table(pairs: Vec<(&str, Value)>) -> Value {
    Value::Dictionary(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The first of these paths that is in a folder where macOS protects a user's files. macOS would ask for consent there,
/// and a job of launchd has nobody to ask (launchd.plist(5), "CAVEATS").
fn guarded<'a>(mut paths: impl Iterator<Item = &'a Path>, home: Option<&Path>) -> Option<&'a Path> {
    const FOLDERS: [&str; 4] = ["Desktop", "Documents", "Downloads", "Library/Mobile Documents"];
    paths.find(|path| {
        // Root also makes units that read folders of users.
        let users: PathBuf = path.components().take(3).collect();
        let homes = home.into_iter().chain(users.starts_with("/Users").then_some(users.as_path()));
        path.starts_with("/Volumes")
            || homes.flat_map(|home| FOLDERS.map(|f| home.join(f))).any(|f| path.starts_with(f))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_folders_of_macos_are_recognised() {
        let home = Some(Path::new("/home/me"));
        for (path, expected) in [
            ("/Users/a/Documents/web", true),
            ("/Users/a/Library/Mobile Documents/web", true),
            ("/home/me/Desktop", true),
            ("/Volumes/disk/web", true),
            ("/Users/a/web/Documents", false),
            ("/Users/a/DocumentsToo", false),
            ("/home/you/Desktop", false),
            ("/srv/web", false),
        ] {
            assert_eq!(guarded([Path::new("/"), Path::new(path)].into_iter(), home).is_some(), expected, "{path}");
        }
    }
}
