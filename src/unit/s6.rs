#![forbid(unsafe_code)]
//! Service folders of s6.

use std::time::Duration;

use super::ask::Words;
use super::control::{Control, Runs, Standing};
use super::{Draft, File, runit, words};
use crate::error::Error;

/// The files of a unit.
pub fn names(draft: &Draft) -> Vec<&'static str> {
    let notifies = draft.service.health.is_some();
    let all = [("run", true), ("finish", true), ("notification-fd", notifies), ("timeout-kill", true)];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

pub fn files(draft: &Draft) -> Vec<File> {
    let text = |name| match name {
        "run" => runit::run(draft, "s6"),
        "finish" => finish(),
        "notification-fd" => format!("{}\n", draft.service.ready_fd.unwrap_or(words::NOTIFICATION_FD)),
        // The grace, in milliseconds: SIGTERM, and after this long SIGKILL.
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
# 78 is a mistake in the configuration, which a restart cannot mend: 125 tells s6 to stay down. Anything else is
# started again after a second.
[ \"$1\" = 78 ] || exit 0
exit 125
"
    .to_owned()
}

const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(100);
/// What s6-supervise keeps in the folder of a service.
pub const KEPT: [&str; 2] = ["supervise", "event"];

pub fn start_commands(control: &Control, restart: bool) -> Vec<Words> {
    let [link, scanned] = control.link();
    vec![link, scan(control, "-a"), svc(if restart { "-r" } else { "-u" }, &scanned[0])]
}

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let before = standing(control)?;
    let restart = changed && matches!(before.runs, Runs::Yes(_));
    let commands = start_commands(control, restart);
    control.make_link(&commands[0])?;
    control.order(&commands[1])?;
    control
        .poll(PATIENCE, INTERVAL, || Ok(is_supervised(control)?.then_some(())))?
        .ok_or_else(|| control.not_scanned("s6-svscan"))?;
    control.order(&commands[2])?;
    if restart { control.wait_for_another(&before) } else { Ok(()) }
}

/// What s6-supervise says: up or not, and the pid.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let Some(scanned) = control.scanned() else { return Ok(Standing::absent("not linked")) };
    let answer = control.ask(&["s6-svstat", &scanned].map(str::to_owned).into())?;
    let said = answer.out.trim().to_owned();
    let pid = said.strip_prefix("up (pid ").and_then(|rest| rest.split([')', ' ']).next()?.parse().ok());
    let runs = match pid {
        Some(pid) => Runs::Yes(pid),
        None if said.contains("want up") => Runs::Later(said),
        None => Runs::No(if said.is_empty() { answer.err.trim().to_owned() } else { said }),
    };
    Ok(Standing { enabled: true, runs, status: None, hears_sidecar: None, is_older: false })
}

pub fn stop(control: &Control) -> Result<(), Error> {
    let unit = control.place.unit.to_string_lossy().into_owned();
    let supervised = is_supervised(control)?;
    let gone = || Ok(control.ask(&["s6-svok", &unit].map(str::to_owned).into())?.code != Some(0));
    // Down, and s6-supervise with it.
    control.take_away(supervised, &svc("-dx", &unit), gone)?;
    if supervised { control.order(&scan(control, "-an")) } else { Ok(()) }
}

fn is_supervised(control: &Control) -> Result<bool, Error> {
    let Some(scanned) = control.scanned() else { return Ok(false) };
    Ok(control.ask(&["s6-svok", &scanned].map(str::to_owned).into())?.code == Some(0))
}

fn scan(control: &Control, how: &str) -> Words {
    let folder = control.place.link.as_ref().and_then(|link| link.parent());
    ["s6-svscanctl".to_owned(), how.to_owned(), folder.map(|f| f.to_string_lossy().into_owned()).unwrap_or_default()]
        .into()
}

fn svc(how: &str, folder: &str) -> Words {
    ["s6-svc", how, folder].map(str::to_owned).into()
}
