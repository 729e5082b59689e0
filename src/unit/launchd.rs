#![forbid(unsafe_code)]
//! Property lists of launchd (launchd.plist(5)).

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use plist::{Dictionary, Value};

use super::control::{Control, Runs, Standing, Words};
use super::place::label;
use super::quote::plain;
use super::{Draft, File, Scope};
use crate::error::Error;

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
            out += &format!(
                "<!-- {name}, started by forerun. Made by 'forerun unit launchd'. Change forerun.toml, or the flags below by\n     \
                 making it anew. As long as nobody edits this file forerun keeps it up to date; once edited it is left alone. -->\n\
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
    let logs = match draft.scope {
        Scope::System => "/Library/Logs".to_owned(),
        Scope::User => {
            let agents = draft.place.unit.parent().and_then(|agents| agents.parent());
            agents.map_or("/tmp".to_owned(), |library| library.join("Logs").to_string_lossy().into_owned())
        }
    };
    let log = string(&format!("{logs}/{}.log", label(name)));
    let (soft, hard) = draft.nofile();
    let mut variables = vec![("PATH", string(&draft.path))];
    variables.extend(draft.state.as_ref().map(|state| ("FORERUN_STATE_DIR", string(state))));
    variables.push(("FORERUN_UNIT", string(&draft.place.unit.to_string_lossy())));
    let mut entries = vec![
        ("Label", string(&label(name)), "What launchctl calls it."),
        (
            "ProgramArguments",
            Value::Array(plain(&draft.words).into_iter().map(Value::String).collect()),
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
    match draft.scope {
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
    if let Some(user) = &draft.user {
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

/// How long launchd may take to let go of a job, and to take it back: `bootout` returns early, and a `bootstrap` that
/// comes too soon fails with "5: Input/output error".
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(500);

pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let (domain, target) = (domain(control), target(control));
    let plist = control.place.unit.to_string_lossy().into_owned();
    let bootout = restart.then(|| launchctl(&["bootout", &target]));
    let rest = [
        launchctl(&["enable", &target]),
        launchctl(&["bootstrap", &domain, &plist]),
        launchctl(&["kickstart", &target]),
    ];
    bootout.into_iter().chain(rest).collect()
}

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let loaded = is_loaded(control)?;
    if loaded && !changed {
        return insist(control, &launchctl(&["kickstart", &target(control)]));
    }
    if loaded {
        stop(control)?;
    }
    let [enable, bootstrap, kickstart] = &start_commands(control, false)[..] else { return Ok(()) };
    control.order(enable)?;
    insist(control, bootstrap)?;
    insist(control, kickstart)
}

/// What launchd says of the job. The output of `launchctl print` is for people; its lines have been the same for years.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let answer = control.ask(&launchctl(&["print", &target(control)]))?;
    let value = |key: &str| {
        let line = answer.out.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap_or_default().to_owned()
    };
    let loaded = answer.code == Some(0);
    let runs = match (value("pid").parse().ok(), value("state").as_str()) {
        (Some(pid), _) if loaded => Runs::Yes(pid),
        (_, state) if loaded => Runs::Later(format!(
            "{state}, last exit code {}",
            value("last exit code").replace("(never exited)", "none")
        )),
        _ => Runs::No("not loaded".to_owned()),
    };
    Ok(Standing { enabled: loaded || !is_disabled(control)?, runs, status: None, hears_sidecar: None, is_older: false })
}

/// Takes the job away, and waits until it is gone.
pub fn stop(control: &Control) -> Result<(), Error> {
    if !is_loaded(control)? {
        return Ok(());
    }
    let bootout = launchctl(&["bootout", &target(control)]);
    control.say(&bootout);
    // It fails with "36: Operation now in progress" where the job takes its time: what counts is whether it is gone.
    let answer = control.ask(&bootout)?;
    let gone = control.poll(PATIENCE, INTERVAL, || Ok((!is_loaded(control)?).then_some(())))?;
    gone.ok_or_else(|| control.failed(&bootout.join(" "), &answer))
}

/// A job that is not loaded now is at the next login or boot, unless somebody has disabled it.
fn is_disabled(control: &Control) -> Result<bool, Error> {
    let said = control.ask(&launchctl(&["print-disabled", &domain(control)]))?.out;
    let ours = format!("\"{}\" => ", label(control.name));
    let mut lines = said.lines().filter_map(|line| line.trim().strip_prefix(&ours));
    Ok(lines.any(|state| matches!(state, "disabled" | "true")))
}

pub fn start_again(control: &Control) -> Words {
    let mut commands = start_commands(control, false);
    if is_loaded(control).unwrap_or(false) { commands.pop() } else { commands.drain(..).nth(1) }.unwrap_or_default()
}

fn is_loaded(control: &Control) -> Result<bool, Error> {
    Ok(control.ask(&launchctl(&["print", &target(control)]))?.code == Some(0))
}

/// Runs a command until it succeeds.
fn insist(control: &Control, words: &Words) -> Result<(), Error> {
    control.say(words);
    let mut last = None;
    let done = control.poll(PATIENCE, INTERVAL, || {
        let answer = control.ask(words)?;
        let succeeded = answer.code == Some(0);
        last = Some(answer);
        Ok(succeeded.then_some(()))
    })?;
    match (done, last) {
        (None, Some(answer)) => Err(control.failed(&words.join(" "), &answer)),
        _ => Ok(()),
    }
}

/// Where launchd keeps the job: the machine's, a user's who is logged in at the screen, or a user's who is not.
fn domain(control: &Control) -> String {
    let user = geteuid();
    let gui = format!("gui/{user}");
    match control.scope {
        Scope::System => "system".to_owned(),
        Scope::User if control.ask(&launchctl(&["print", &gui])).is_ok_and(|answer| answer.code != Some(0)) => {
            format!("user/{user}")
        }
        Scope::User => gui,
    }
}

fn target(control: &Control) -> String {
    format!("{}/{}", domain(control), label(control.name))
}

fn launchctl(words: &[&str]) -> Words {
    ["launchctl"].iter().chain(words).map(|word| (*word).to_owned()).collect()
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
