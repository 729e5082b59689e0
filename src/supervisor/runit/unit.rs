#![forbid(unsafe_code)]
//! Writes service folders for runit and controls runit through sv(8).

use std::path::PathBuf;
use std::time::Duration;

use nix::unistd::User;

use crate::error::Error;
use crate::supervisor::ask::Words;
use crate::supervisor::units::control::{Control, Runs, Standing};
use crate::supervisor::units::quote::{sh, sh_word};
use crate::supervisor::units::spec::whole_seconds;
use crate::supervisor::units::{Draft, File};
use crate::text::{quoted, shell_words};

pub const FILES: [&str; 2] = ["run", "finish"];

pub fn files(draft: &Draft) -> Vec<File> {
    vec![
        File { name: FILES[0], text: run(draft, "runit"), executable: true },
        File { name: FILES[1], text: finish(), executable: true },
    ]
}

/// The PATH in a script that forerun wrote.
pub fn kept_path(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("export PATH="))?;
    shlex::split(value)?.pop()
}

/// The script that becomes the server, for runit and s6.
pub fn run(draft: &Draft, kind: &str) -> String {
    // These supervisors have no setting for the user: a program of theirs changes it, and the server's home with it.
    let user = draft.lesser_user().map(|user| {
        let home = User::from_name(user).ok().flatten().map_or(PathBuf::from("/"), |user| user.dir);
        let (why, home, user) = (draft.why_user(), sh_word(&home.to_string_lossy()), sh_word(user));
        format!("# {why}\nexport HOME={home} USER={user} LOGNAME={user}\n")
    });
    let change = if kind == "s6" { "s6-setuidgid" } else { "chpst -u" };
    let change = draft.lesser_user().map(|user| format!("{change} {} ", sh_word(user))).unwrap_or_default();
    format!(
        "\
#!/bin/sh
# {name}, started by forerun. Written by 'forerun unit {kind}'. To change it, edit forerun.toml or write it again
# with other flags: {install}
# {marker}
{user}{undone}\
# Send stderr to where stdout goes: to the logger, if there is one.
exec 2>&1
# PATH of the shell that created this unit, without temporary folders.
export PATH={path}
{state}\
# forerun becomes the server, so this pid is the server's. forerun also sets its descriptor limit, as {kind} sets none.
exec {change}{command}
",
        name = draft.service.name,
        install = draft.install_command(),
        marker = draft.marker(),
        user = user.unwrap_or_default(),
        undone = draft.undone().iter().map(|line| format!("# {line}\n")).collect::<String>(),
        path = sh_word(&draft.path),
        state = draft.made.state.as_ref().map_or(String::new(), |state| {
            format!("# State folder of the shell that created this unit, so that both find the same record.\nexport FORERUN_STATE_DIR={}\n", sh_word(state))
        }),
        command = sh(&draft.words()),
    )
}

fn finish() -> String {
    "\
#!/bin/sh
# 78 is a mistake in the configuration, which a restart cannot fix: stay down until somebody runs 'sv up'.
# After any other exit, runit restarts the server after one second.
[ \"$1\" = 78 ] || exit 0
exec sv down .
"
    .to_owned()
}

/// Whether forerun wrote this file, which is not the one with the marker.
pub fn is_file(name: &str, text: &str) -> bool {
    name == FILES[1] && text == finish()
}

/// runsvdir looks for new services every five seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(100);
/// The text with which sv reports that only root may ask.
const DENIED: &str = "access denied";
/// Names that runsv itself creates in the folder of a service.
pub const KEPT: [&str; 1] = ["supervise"];

pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let (link, scanned) = control.link();
    let start = if restart { forced(control, "force-restart", &scanned) } else { sv(&["up"], &scanned) };
    link.into_iter().chain([start]).collect()
}

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let before = standing(control)?;
    let restart = changed && matches!(before.runs, Runs::Yes(_) | Runs::Later(_));
    let Some(start) = start_commands(control, restart).pop() else { return Ok(()) };
    control.make_link()?;
    control
        .poll(PATIENCE, INTERVAL, || Ok(is_supervised(control)?.then_some(())))?
        .ok_or_else(|| control.not_scanned("runsvdir"))?;
    if !restart {
        return control.order(&start);
    }
    control.say(&start);
    // sv reports an error if it had to kill the server; for us that is fine. sv also takes a server that started within
    // the same second for a new one.
    let ended = control.poll(PATIENCE, INTERVAL, || {
        control.attempt(&start)?;
        Ok((standing(control)?.runs != before.runs).then_some(()))
    })?;
    ended.ok_or_else(|| {
        let look = shell_words(&sv(&["status"], &control.asked()));
        Error::NotReady(format!("{} does not end; see: {look}", quoted(control.name)))
    })
}

/// Queries runsv: `run: /etc/service/web: (pid 812) 5s`, or `down: ...: 1s, normally up`.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let folder = control.asked();
    let answer = control.ask(&sv(&["status"], &folder))?;
    if answer.out.contains(DENIED) {
        return Err(control.failed("sv status", &answer));
    }
    let said = answer.out.trim().to_owned();
    // The name of the folder may look like any part of the line.
    let (state, rest) = said.split_once(&format!(": {folder}: ")).unwrap_or((&said, ""));
    let pid = rest.strip_prefix("(pid ").and_then(|rest| rest.split(')').next()?.parse().ok());
    let enabled = control.scanned().is_some();
    let runs = match (state, pid) {
        ("run", Some(pid)) => Runs::Yes(pid),
        ("finish", _) => Runs::Later(format!("{state}: {rest}")),
        ("down", _) if rest.contains("want up") => Runs::Later(format!("{state}: {rest}")),
        _ if !enabled => Runs::No("not linked".to_owned()),
        _ => Runs::No(said),
    };
    Ok(Standing::of(enabled, runs))
}

pub fn stop(control: &Control) -> Result<(), Error> {
    let unit = control.place.unit.to_string_lossy().into_owned();
    control.take_away(&forced(control, "force-shutdown", &unit), || is_supervised(control))
}

/// Whether a runsv supervises the folder. Without one, `sv status` prints `fail:` or `warning:`.
fn is_supervised(control: &Control) -> Result<bool, Error> {
    let said = control.ask(&sv(&["status"], &control.asked()))?.out;
    Ok(["run:", "down:", "finish:"].iter().any(|state| said.starts_with(state)))
}

/// A command that sends SIGKILL after the grace. runit has no setting for the grace.
fn forced(control: &Control, word: &str, folder: &str) -> Words {
    sv(&["-w", &whole_seconds(control.grace).to_string(), word], folder)
}

fn sv(words: &[&str], folder: &str) -> Words {
    ["sv"].iter().chain(words).chain([&folder]).map(|word| (*word).to_owned()).collect()
}
