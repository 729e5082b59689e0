#![forbid(unsafe_code)]
//! Property lists of launchd (launchd.plist(5)).

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::User;
use plist::{Dictionary, Value};

use super::ask::Words;
use super::control::{Control, Runs, Standing};
use super::place::label;
use super::quote::plain;
use super::{Draft, File, Scope};
use crate::error::Error;
use crate::instance::supervisor::launchd_domain;
use crate::sys;
use crate::text::{quoted, shell_words};

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

/// How long launchd may take to let go of a job, and to take it back: `bootout` returns early, and a `bootstrap` that
/// comes too soon fails with "5: Input/output error".
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(500);
/// What `launchctl print` ends with where there is no such job.
const NO_SUCH_SERVICE: i32 = 113;
/// The longest ExitTimeOut that launchd has been seen to keep, in seconds.
const LONGEST_EXIT: u64 = 60;

pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let (domain, target) = (domain(control.scope), target(control));
    let plist = control.place.unit.to_string_lossy().into_owned();
    let gone = [launchctl(&["bootout", &target]), ["sleep", "10"].map(str::to_owned).into()];
    let rest = [
        launchctl(&["enable", &target]),
        launchctl(&["bootstrap", &domain, &plist]),
        launchctl(&["kickstart", &target]),
    ];
    gone.into_iter().filter(|_| restart).chain(rest).collect()
}

/// What makes launchd read a plist again, to be typed.
pub fn load_again(scope: Scope, name: &str, plist: &Path) -> String {
    let domain = domain(scope);
    let plist = shell_words(&[plist]);
    format!("launchctl bootout {domain}/{}; until launchctl bootstrap {domain} {plist}; do sleep 1; done", label(name))
}

/// Whether the domain is there that a job would be in.
///
/// # Errors
/// [`Error::NotReady`] where nobody is logged in; [`Error::NotFound`].
pub fn could_start(control: &Control) -> Result<(), Error> {
    match has_domain(control)? {
        true => Ok(()),
        false => Err(Error::NotReady(format!(
            "cannot start {} under launchd: {NOBODY}, and an agent runs only then; log in there, or make it a daemon: \
             sudo forerun unit launchd --install --now",
            quoted(control.name)
        ))),
    }
}

const NOBODY: &str = "this user is not logged in at the screen";

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let [enable, bootstrap, kickstart] = &start_commands(control, false)[..] else { return Ok(()) };
    let runs = || Ok(matches!(standing(control)?.runs, Runs::Yes(_)));
    if let Some(loaded) = loaded(control)? {
        // `kickstart` does not read the plist again.
        if !changed && !is_older(control, &loaded) {
            return insist(control, kickstart, runs);
        }
        stop(control)?;
    }
    control.order(enable)?;
    insist(control, bootstrap, || Ok(self::loaded(control)?.is_some()))?;
    insist(control, kickstart, runs)
}

/// What launchd says of the job. The output of `launchctl print` is for people; its lines have been the same for years.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let loaded = loaded(control)?;
    let runs = match &loaded {
        None if has_domain(control)? => Runs::No("not loaded".to_owned()),
        None => Runs::No(NOBODY.to_owned()),
        Some(job) => match (value(job, "state"), value(job, "pid").parse().ok()) {
            // In other states the process is one of launchd's own, which will execute the job.
            ("running", Some(pid)) => Runs::Yes(pid),
            (state, _) => Runs::Later(format!(
                "{state}, last exit code {}",
                value(job, "last exit code").replace("(never exited)", "none")
            )),
        },
    };
    let is_older = loaded.is_some_and(|job| is_older(control, &job));
    Ok(Standing { is_older, ..Standing::of(!is_disabled(control)?, runs) })
}

/// Takes the job away, and waits until it is gone.
pub fn stop(control: &Control) -> Result<(), Error> {
    let Some(job) = loaded(control)? else { return Ok(()) };
    let bootout = launchctl(&["bootout", &target(control)]);
    control.say(&bootout);
    // It fails with "36: Operation now in progress" where the job takes its time: what counts is whether it is gone.
    let answer = control.attempt(&bootout)?;
    let its_own = value(&job, "exit timeout").parse().map_or(Duration::ZERO, Duration::from_secs);
    let patience = PATIENCE + control.grace.max(its_own);
    let gone = control.poll(patience, INTERVAL, || Ok(loaded(control)?.is_none().then_some(())))?;
    gone.ok_or_else(|| control.failed(&bootout.join(" "), &answer))
}

/// A job that is not loaded now is at the next login or boot, unless somebody has disabled it.
fn is_disabled(control: &Control) -> Result<bool, Error> {
    let said = control.ask(&launchctl(&["print-disabled", &domain(control.scope)]))?.out;
    let ours = format!("\"{}\" => ", label(control.name));
    let mut lines = said.lines().filter_map(|line| line.trim().strip_prefix(&ours));
    Ok(lines.any(|state| matches!(state, "disabled" | "true")))
}

/// Whether launchd has the job of an older plist than the file, as far as it shows what it has.
fn is_older(control: &Control, job: &str) -> bool {
    let Ok(Value::Dictionary(plist)) = Value::from_file(&control.place.unit) else { return false };
    let shown = value(job, "exit timeout").parse::<u64>().ok();
    let written = plist.get("ExitTimeOut").and_then(Value::as_unsigned_integer);
    let differs = |(shown, written): (u64, u64)| shown.min(LONGEST_EXIT) != written.min(LONGEST_EXIT);
    let arguments = plist.get("ProgramArguments").and_then(Value::as_array);
    let arguments: Option<Vec<&str>> = arguments.and_then(|all| all.iter().map(Value::as_string).collect());
    // One of several lines cannot be told from several.
    let arguments = arguments.filter(|all| !all.iter().any(|argument| argument.contains('\n')));
    shown.zip(written).is_some_and(differs)
        || list(job, "arguments").zip(arguments).is_some_and(|(shown, written)| shown != written)
}

pub fn start_again(control: &Control) -> Words {
    let mut commands = start_commands(control, false);
    if matches!(loaded(control), Ok(Some(_))) { commands.pop() } else { commands.drain(..).nth(1) }.unwrap_or_default()
}

/// What launchd shows of the job, where it has it.
fn loaded(control: &Control) -> Result<Option<String>, Error> {
    let print = launchctl(&["print", &target(control)]);
    let answer = control.ask(&print)?;
    match answer.code {
        Some(0) => Ok(Some(answer.out)),
        Some(NO_SUCH_SERVICE) => Ok(None),
        _ if !has_domain(control)? => Ok(None),
        _ => Err(control.failed(&print.join(" "), &answer)),
    }
}

/// The machine's is always there, a user's while they are logged in at the screen.
fn has_domain(control: &Control) -> Result<bool, Error> {
    Ok(control.scope == Scope::System || control.ask(&launchctl(&["print", &domain(control.scope)]))?.code == Some(0))
}

/// A line of what is said of the job itself: those of what it has are indented more.
fn value<'a>(job: &'a str, key: &str) -> &'a str {
    let line = |line: &'a str| line.strip_prefix('\t')?.strip_prefix(key)?.strip_prefix(" = ");
    job.lines().find_map(line).unwrap_or_default()
}

/// The lines of a list.
fn list<'a>(job: &'a str, key: &str) -> Option<Vec<&'a str>> {
    let begin = format!("\t{key} = {{");
    let mut lines = job.lines().skip_while(|line| **line != *begin);
    lines.next()?;
    Some(lines.map_while(|line| line.strip_prefix("\t\t")).collect())
}

/// Runs a command until it succeeds, or what it is for is so: it also fails with "5: Input/output error" or "37:
/// Operation already in progress" when it has worked.
fn insist(control: &Control, words: &Words, is_so: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
    control.say(words);
    let mut last = None;
    let done = control.poll(PATIENCE, INTERVAL, || {
        let answer = control.attempt(words)?;
        let succeeded = answer.code == Some(0) || is_so()?;
        last = Some(answer);
        Ok(succeeded.then_some(()))
    })?;
    match (done, last) {
        (None, Some(answer)) => Err(control.failed(&words.join(" "), &answer)),
        _ => Ok(()),
    }
}

fn domain(scope: Scope) -> String {
    launchd_domain(scope == Scope::User)
}

fn target(control: &Control) -> String {
    format!("{}/{}", domain(control.scope), label(control.name))
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
