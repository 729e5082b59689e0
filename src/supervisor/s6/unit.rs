#![forbid(unsafe_code)]
//! Writes service folders for s6 and controls s6 through its commands.

use std::time::Duration;

use crate::error::Error;
use crate::supervisor::ask::Words;
use crate::supervisor::runit::unit as runit;
use crate::supervisor::units::control::{Control, Runs, Standing};
use crate::supervisor::units::words;
use crate::supervisor::units::{Draft, File};

/// All files that a unit can have.
pub const FILES: [&str; 5] = ["run", "finish", "notification-fd", "timeout-kill", "down-signal"];

/// The names of the files of this unit.
pub fn names(draft: &Draft) -> Vec<&'static str> {
    let needs = |name: &&str| match *name {
        "notification-fd" => draft.service.health.is_some(),
        // s6 sends SIGTERM anyway.
        "down-signal" => draft.service.ending.signal != libc::SIGTERM,
        _ => true,
    };
    FILES.into_iter().filter(needs).collect()
}

pub fn files(draft: &Draft) -> Vec<File> {
    let text = |name| match name {
        "run" => runit::run(draft, "s6"),
        "finish" => finish(),
        "notification-fd" => format!("{}\n", draft.service.ready_fd.unwrap_or(words::NOTIFICATION_FD)),
        "down-signal" => format!("{}\n", draft.service.ending.signal),
        // The grace in milliseconds, from SIGTERM to SIGKILL.
        _ => format!("{}\n", draft.grace() * 1000),
    };
    names(draft)
        .into_iter()
        .map(|name| File { name, text: text(name), executable: matches!(name, "run" | "finish") })
        .collect()
}

fn finish() -> String {
    "\
#!/bin/sh
# 78 is a mistake in the configuration, which a restart cannot fix: 125 tells s6 to stay down.
# After any other exit, s6 restarts the server after one second.
[ \"$1\" = 78 ] || exit 0
exit 125
"
    .to_owned()
}

/// Whether forerun wrote this file, which is not the one with the marker.
pub fn is_file(name: &str, text: &str) -> bool {
    match name {
        "finish" => text == finish(),
        "notification-fd" | "timeout-kill" | "down-signal" => text.trim_end().bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(100);
/// Names that s6-supervise itself creates in the folder of a service.
pub const KEPT: [&str; 2] = ["supervise", "event"];

pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let (link, scanned) = control.link();
    // `-r` never sends SIGKILL. `-d` does, after timeout-kill.
    let down = restart.then(|| svc(&["-wD", "-d"], &scanned));
    link.into_iter().chain([scan(control, "-a")]).chain(down).chain([svc(&["-u"], &scanned)]).collect()
}

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let restart = changed && matches!(standing(control)?.runs, Runs::Yes(_));
    control.make_link()?;
    let commands = start_commands(control, restart);
    let [scan, rest @ ..] = &commands[..] else { return Ok(()) };
    control.order(scan)?;
    control
        .poll(PATIENCE, INTERVAL, || Ok(is_supervised(control)?.then_some(())))?
        .ok_or_else(|| control.not_scanned("s6-svscan"))?;
    rest.iter().try_for_each(|words| control.order(words))
}

pub fn restart(control: &Control) -> Words {
    svc(&["-r"], &control.asked())
}

/// Queries s6-supervise: whether the service is up, and its pid.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let answer = control.ask(&["s6-svstat", &control.asked()].map(str::to_owned).into())?;
    if answer.err.contains("Permission denied") {
        return Err(control.failed("s6-svstat", &answer));
    }
    let said = answer.out.trim().to_owned();
    let pid = said.strip_prefix("up (pid ").and_then(|rest| rest.split([')', ' ']).next()?.parse().ok());
    let enabled = control.scanned().is_some();
    let runs = match pid {
        Some(pid) => Runs::Yes(pid),
        None if said.contains("want up") => Runs::Later(said),
        None if !enabled => Runs::No("not linked".to_owned()),
        None => Runs::No(if said.is_empty() { answer.err.trim().to_owned() } else { said }),
    };
    Ok(Standing::of(enabled, runs))
}

pub fn stop(control: &Control) -> Result<(), Error> {
    let unit = control.place.unit.to_string_lossy().into_owned();
    let supervised = is_supervised(control)?;
    // Stops the service and s6-supervise itself.
    control.take_away(&svc(&["-dx"], &unit), || is_supervised(control))?;
    if supervised { control.order(&scan(control, "-an")) } else { Ok(()) }
}

fn is_supervised(control: &Control) -> Result<bool, Error> {
    Ok(control.ask(&["s6-svok", &control.asked()].map(str::to_owned).into())?.code == Some(0))
}

fn scan(control: &Control, how: &str) -> Words {
    let folder = control.place.link.as_ref().and_then(|link| link.parent());
    ["s6-svscanctl".to_owned(), how.to_owned(), folder.map(|f| f.to_string_lossy().into_owned()).unwrap_or_default()]
        .into()
}

fn svc(how: &[&str], folder: &str) -> Words {
    ["s6-svc"].iter().chain(how).chain([&folder]).map(|word| (*word).to_owned()).collect()
}
