#![forbid(unsafe_code)]
//! Property lists of launchd (launchd.plist(5)).

use std::path::{Path, PathBuf};

use nix::unistd::User;
use plist::{Dictionary, Value};

use super::place::label;
use super::quote::plain;
use super::{Draft, File, Scope};
use crate::sys;

pub fn files(draft: &Draft) -> Vec<File> {
    vec![File { name: "", text: text(draft), executable: false }]
}

/// The PATH that a unit of ours has.
pub fn kept_path(text: &str) -> Option<String> {
    let value = Value::from_reader_xml(text.as_bytes()).ok()?;
    let variables = value.as_dictionary()?.get("EnvironmentVariables")?.as_dictionary()?;
    Some(variables.get("PATH")?.as_string()?.to_owned())
}

/// A key, its value, and why it is there.
type Entry = (&'static str, Value, &'static str);

fn text(draft: &Draft) -> String {
    let entries = entries(draft);
    let dictionary: Dictionary = entries.iter().map(|(key, value, _)| ((*key).to_owned(), value.clone())).collect();
    let mut xml = Vec::new();
    // To memory, of values that all are XML's: it does not fail.
    let _ = Value::Dictionary(dictionary).to_writer_xml(&mut xml);
    let xml = String::from_utf8_lossy(&xml);
    let mut out = String::new();
    for line in xml.lines() {
        if line == "<plist version=\"1.0\">" {
            let name = &draft.service.name.replace("--", "-\u{2010}");
            let root = match (draft.made.scope, &draft.made.user) {
                (Scope::System, None) => "\n     It runs as root; for another user make it as that user.",
                _ => "",
            };
            out += &format!(
                "<!-- {name}, started by forerun. Made by 'forerun unit launchd'. Change forerun.toml, or the flags below by\n     \
                 making it anew. As long as nobody edits this file forerun keeps it up to date; once edited it is left\n     \
                 alone.{root} -->\n\
                 <!-- {} -->\n",
                draft.marker()
            );
        }
        // Only the keys of the outermost dictionary are indented once.
        let why = entries.iter().find(|(key, _, _)| line == format!("\t<key>{key}</key>")).map(|(_, _, why)| *why);
        if let Some(why) = why {
            out += &format!("\t<!-- {why} -->\n");
        }
        out += line;
        out.push('\n');
    }
    out
}

fn entries(draft: &Draft) -> Vec<Entry> {
    let name = &draft.service.name;
    let string = |text: &str| Value::String(text.to_owned());
    let number = |n: u64| Value::Integer(n.into());
    let table = |pairs: Vec<(&str, Value)>| {
        Value::Dictionary(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    // launchd opens it as whom the job runs as, and does not start one whose log it cannot open.
    let home = match (&draft.made.user, draft.made.scope) {
        (Some(user), _) => User::from_name(user).ok().flatten().map(|user| user.dir),
        (None, Scope::User) => sys::home_directory(),
        (None, Scope::System) => None,
    };
    let logs = home.unwrap_or("/".into()).join("Library/Logs");
    let log = string(&logs.join(format!("{}.log", label(name))).to_string_lossy());
    let (soft, hard) = draft.nofile();
    let mut variables = vec![("PATH", string(&draft.path))];
    variables.extend(draft.made.state.as_ref().map(|state| ("FORERUN_STATE_DIR", string(state))));
    variables.push(("FORERUN_UNIT", string(&draft.place.unit.to_string_lossy())));
    let mut entries = vec![
        ("Label", string(&label(name)), "What launchctl calls it."),
        (
            "ProgramArguments",
            Value::Array(plain(&draft.words()).into_iter().map(Value::String).collect()),
            "forerun becomes the server: the pid of the job is the server's.",
        ),
        (
            "EnvironmentVariables",
            table(variables),
            "The PATH of who made this, less temporary folders: launchd's own has no Homebrew. And which file this is, for\n\t     \
             forerun to keep it up to date; the server does not see that.",
        ),
        (
            "KeepAlive",
            Value::Boolean(true),
            "Started at load, and again whenever it ends. launchd has no exit code that ends this: after a 78 (a mistake in\n\t     \
             the configuration) it tries again every ThrottleInterval seconds.",
        ),
        (
            "ThrottleInterval",
            number(10),
            "Not at once: this many seconds from one start to the next, launchd's own default.",
        ),
        (
            "ExitTimeOut",
            number(draft.grace()),
            "The grace: SIGTERM, and after this many seconds SIGKILL. launchd's own is 5.",
        ),
        ("ProcessType", string("Interactive"), "A server is not to be throttled in the background."),
        (
            "StandardOutPath",
            log.clone(),
            "What forerun and the server say. launchd appends to it and never rotates it: see newsyslog.conf(5).",
        ),
        ("StandardErrorPath", log, "The same file, in the order in which it was said."),
    ];
    match draft.made.scope {
        // In a daemon's plist these change kern.maxfiles of the whole machine; there forerun's nofile does it.
        Scope::System => {}
        Scope::User => {
            let limit = |n: u64| table(vec![("NumberOfFiles", number(n))]);
            entries.push((
                "SoftResourceLimits",
                limit(soft),
                "launchd gives 256 descriptors, which is little for a server.",
            ));
            entries.push(("HardResourceLimits", limit(hard), "What the server may raise that to by itself."));
        }
    }
    if let Some(user) = &draft.made.user {
        entries.push(("UserName", string(user), "Not root: it was made by this user, or for it."));
    }
    entries
}

/// The first of these paths that is where macOS guards a user's files: it would ask somebody for consent, and a job of
/// launchd has nobody to ask (launchd.plist(5), "CAVEATS").
pub fn guarded<'a>(mut paths: impl Iterator<Item = &'a Path>, home: Option<&Path>) -> Option<&'a Path> {
    const FOLDERS: [&str; 4] = ["Desktop", "Documents", "Downloads", "Library/Mobile Documents"];
    paths.find(|path| {
        // Root makes units of users, too.
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
    fn what_macos_guards_is_told_from_the_rest() {
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
