#![forbid(unsafe_code)]
//! Writes program sections for supervisord 4 and controls it through supervisorctl.

use crate::error::Error;
use crate::supervisor::ask::Words;
use crate::supervisor::units::control::{Control, Runs, Standing};
use crate::supervisor::units::quote::supervisord;
use crate::supervisor::units::{Draft, File};

pub fn files(draft: &Draft) -> Vec<File> {
    vec![File { name: "", text: text(draft), executable: false }]
}

/// The PATH in a section that forerun wrote.
pub fn kept_path(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("environment=PATH="))?;
    Some(value.split('"').nth(1)?.replace("%%", "%"))
}

fn text(draft: &Draft) -> String {
    let name = &draft.service.name;
    let user = |user| format!("; {}\nuser={user}\n", draft.why_user());
    let user = draft.made.user.as_ref().map(user).unwrap_or_default();
    format!(
        "\
; {name}, started by forerun. Written by 'forerun unit supervisord'. To change it, edit forerun.toml or write it again
; with other flags: forerun unit supervisord --install
; {marker}

[program:{name}]
; forerun becomes the server, so this pid is the server's. forerun also sets its descriptor limit.
command={command}
{user}; PATH of the shell that created this unit, without temporary folders.
environment=PATH=\"{path}\"{state}
; Start together with supervisord.
autostart=true
; Restart after any exit except 78: that is a mistake in the configuration, which a restart cannot fix. If forerun exits
; with 78 within startsecs, supervisord counts a failed start: it tries three more times, then gives up (FATAL).
autorestart=unexpected
exitcodes=78
startsecs=1
; The grace: seconds from this signal, which the main process gets, to SIGKILL, which goes to the whole process group.
{undone}stopsignal={signal}
stopwaitsecs={grace}
killasgroup=true
; Output of forerun and the server, in one log file, which supervisord keeps and rotates.
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
        undone = draft.undone().iter().map(|line| format!("; {line}\n")).collect::<String>(),
        signal = stop_signal(draft.service.ending.signal).unwrap_or("TERM"),
        grace = draft.grace(),
    )
}

/// The name of a signal that supervisord can send to stop a program. It knows no others.
pub fn stop_signal(number: i32) -> Option<&'static str> {
    const KNOWN: [(i32, &str); 7] = [
        (libc::SIGTERM, "TERM"),
        (libc::SIGHUP, "HUP"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGKILL, "KILL"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
    ];
    KNOWN.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

pub fn start_commands(control: &Control, _: bool) -> Vec<Words> {
    // `update` restarts a changed program and starts a new one.
    vec![supervisorctl(&["reread"]), supervisorctl(&["update", control.name])]
}

pub fn start(control: &Control, changed: bool) -> Result<(), Error> {
    let before = standing(control)?.runs;
    start_commands(control, false).iter().try_for_each(|words| control.order(words))?;
    let now = standing(control)?.runs;
    match now {
        Runs::No(_) => control.order(&start_again(control)),
        // supervisord had loaded this text already, but a file that the text names has changed.
        Runs::Yes(_) if changed && now == before => control.order(&restart(control)),
        _ => Ok(()),
    }
}

/// Queries supervisord about the program: `web  RUNNING  pid 812, uptime 0:00:05`.
pub fn standing(control: &Control) -> Result<Standing, Error> {
    let answer = control.ask(&supervisorctl(&["status", control.name]))?;
    let line = answer.out.lines().next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let (name, state) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest = words.collect::<Vec<_>>().join(" ");
    let pid = rest.strip_prefix("pid ").and_then(|rest| rest.split(',').next()?.parse().ok());
    if name != control.name {
        // No supervisord runs, or it has no such program. The text says which.
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
        // If supervisord does not run, nothing is to be stopped.
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

pub fn restart(control: &Control) -> Words {
    supervisorctl(&["restart", control.name])
}

fn supervisorctl(words: &[&str]) -> Words {
    ["supervisorctl"].iter().chain(words).map(|word| (*word).to_owned()).collect()
}
