#![forbid(unsafe_code)]
//! Programs of supervisord 4.

use super::ask::Words;
use super::control::{Control, Runs, Standing};
use super::quote::supervisord;
use super::{Draft, File};
use crate::error::Error;

pub fn files(draft: &Draft) -> Vec<File> {
    vec![File { name: "", text: text(draft), executable: false }]
}

/// The PATH that a unit of ours has.
pub fn kept_path(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("environment=PATH="))?;
    Some(value.split('"').nth(1)?.replace("%%", "%"))
}

fn text(draft: &Draft) -> String {
    let name = &draft.service.name;
    let user = |user| format!("; Not root: it was made by this user, or for it.\nuser={user}\n");
    let user = draft.made.user.as_ref().map(user).unwrap_or_default();
    format!(
        "\
; {name}, started by forerun. Made by 'forerun unit supervisord'. Change forerun.toml, or the flags below by making it
; anew: forerun unit supervisord --install
; {marker}

[program:{name}]
; forerun becomes the server: this pid is the server's. Its limit of descriptors is forerun's to set.
command={command}
{user}; The PATH of who made this, less temporary folders.
environment=PATH=\"{path}\"{state}
; From the start of supervisord on.
autostart=true
; Again, whatever it ended with, but for 78: a mistake in the configuration, which a restart cannot mend. One that it
; finds within startsecs counts as a start that failed: supervisord tries three times more, and gives up (FATAL).
autorestart=unexpected
exitcodes=78
startsecs=1
; The grace: SIGTERM, and after this many seconds SIGKILL to all that is left of its process group.
stopsignal=TERM
stopwaitsecs={grace}
killasgroup=true
; What forerun and the server say, in one file of supervisord's own, which it rotates.
redirect_stderr=true
",
        marker = draft.marker(),
        command = supervisord(&draft.words()),
        path = draft.path.replace('%', "%%"),
        state = draft
            .made
            .state
            .as_ref()
            .map_or(String::new(), |state| { format!(",FORERUN_STATE_DIR=\"{}\"", state.replace('%', "%%")) }),
        grace = draft.grace(),
    )
}

pub fn start_commands(control: &Control, _: bool) -> Vec<Words> {
    // `update` stops and starts what was changed, and starts what is new.
    vec![supervisorctl(&["reread"]), supervisorctl(&["update", control.name])]
}

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let before = standing(control)?.runs;
    start_commands(control, false).iter().try_for_each(|words| control.order(words))?;
    let now = standing(control)?.runs;
    match now {
        Runs::No(_) => control.order(&start_again(control)),
        // It knew the text, and what runs is of what the text names.
        Runs::Yes(_) if changed && now == before => control.order(&supervisorctl(&["restart", control.name])),
        _ => Ok(()),
    }
}

/// What supervisord says of the program: `web  RUNNING  pid 812, uptime 0:00:05`.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let answer = control.ask(&supervisorctl(&["status", control.name]))?;
    let line = answer.out.lines().next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let (name, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest = words.collect::<Vec<_>>().join(" ");
    let pid = rest.strip_prefix("pid ").and_then(|rest| rest.split(',').next()?.parse().ok());
    if name != control.name {
        // No supervisord, or no such program: it says either in words.
        let said = format!("{}{}", answer.out, answer.err);
        return match said.contains("no such process") {
            true => Ok(unknown()),
            false => Err(control.failed("supervisorctl status", &answer)),
        };
    }
    let said = format!("{state} {rest}");
    let runs = match (state, pid) {
        ("RUNNING", Some(pid)) => Runs::Yes(pid),
        ("STARTING" | "BACKOFF" | "RUNNING", _) => Runs::Later(said),
        _ => Runs::No(said),
    };
    Ok(Standing::of(true, runs))
}

pub fn stop(control: &Control) -> Result<(), Error> {
    match standing(control) {
        // A supervisord that does not run runs nothing.
        Err(e) => {
            log::warn!("{e}; continuing");
            Ok(())
        }
        Ok(Standing { runs: Runs::No(_), .. }) => Ok(()),
        Ok(_) => control.order(&supervisorctl(&["stop", control.name])),
    }
}

pub fn forget(control: &Control) -> Result<(), Error> {
    match standing(control) {
        Ok(standing) if standing != unknown() => {
            start_commands(control, false).iter().try_for_each(|words| control.order(words))
        }
        _ => Ok(()),
    }
}

fn unknown() -> Standing {
    Standing::absent("supervisord does not know it")
}

pub fn start_again(control: &Control) -> Words {
    supervisorctl(&["start", control.name])
}

fn supervisorctl(words: &[&str]) -> Words {
    ["supervisorctl"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}
