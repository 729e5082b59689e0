#![forbid(unsafe_code)]
//! Shows instances as text: one as lines, all of them as a table.

use std::time::Duration;

use super::state::{Condition, Health, Scope, State};
use crate::report::layout::{hang, paragraph};
use crate::report::table::{Column, table};
use crate::screen::Screen;
use crate::text::{counted, elapsed, one_line};

/// Lines of a word and a value.
#[derive(Default)]
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn add(&mut self, key: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| (key, value)));
    }
}

/// One instance.
pub fn one(state: &State, screen: &Screen) -> String {
    let mut head = vec![state.word().to_owned()];
    let mut lines = Lines::default();
    add_health(state, &mut head, &mut lines);
    if let Condition::Unknown(why) = &state.condition {
        lines.add("reason", Some(why.clone()));
    }
    let runs = state.runs();
    lines.add("user", state.user.as_ref().map(one_line));
    if runs {
        add_running(state, &mut lines);
    } else if state.pid > 0 {
        add_ended(state, &mut lines);
    }
    lines.add("log", state.log.as_ref().map(one_line));
    let port = state.port.map(|port| port.to_string()).unwrap_or_default();
    lines.add("port", state.stranger.as_ref().map(|who| format!("{port} is held by {who}, which is not of it")));
    for who in &state.escaped {
        lines.add("left", Some(format!("{who}, for a session of its own")));
    }
    lines.add("stop", state.stop.clone().filter(|_| runs && state.user.is_none()));
    let body: String = lines.0.iter().map(|(key, value)| hang(screen, &format!("  {key:<7} "), value)).collect();
    let head: Vec<_> = head.iter().map(|word| screen.word(word)).collect();
    paragraph(screen, &format!("{} is {}", state.name, head.join(", "))) + &body
}

fn add_health(state: &State, head: &mut Vec<String>, lines: &mut Lines) {
    match &state.health {
        Health::Holds { check } => {
            head.push("healthy".to_owned());
            lines.add("health", Some(format!("{check} holds")));
        }
        Health::Fails { check, reason } if state.condition == Condition::Starting => {
            let most = state.health_timeout.map(|most| format!(", at most {}", elapsed(most))).unwrap_or_default();
            lines.add("health", Some(format!("waiting for {check}{most}: {reason}")));
        }
        Health::Fails { check, reason } => {
            head.push("not healthy".to_owned());
            lines.add("health", Some(format!("{check} does not hold: {reason}")));
        }
        Health::Unknown(why) => lines.add("health", Some(format!("unknown: {why}"))),
        Health::Unchecked if state.user.is_some() => lines.add("health", Some("only its user can check it".to_owned())),
        Health::Runs | Health::Unchecked | Health::Asked(_) => {}
    }
}

fn add_running(state: &State, lines: &mut Lines) {
    let workers = match state.workers {
        0 => String::new(),
        count => format!(", {}", counted(count, "worker", "workers")),
    };
    lines.add("url", state.url.as_ref().map(one_line));
    let was = state.was.map(|was| format!(" (was {was})")).unwrap_or_default();
    lines.add("pid", Some(format!("{}{was}{workers}", state.pid)));
    lines.add("mode", Some(state.mode.clone()));
    lines.add("under", state.supervisor.as_ref().map(|_| state.place()));
    lines.add("uptime", state.uptime.map(uptime));
    lines.add("fds", state.fds());
    lines.add("watched", state.sidecar.map(|pid| format!("by the sidecar, pid {pid}")));
}

fn add_ended(state: &State, lines: &mut Lines) {
    let ended = state.ended.as_ref().map(|how| format!(", which {how}")).unwrap_or_default();
    lines.add("was", Some(format!("pid {}, {}{ended}", state.pid, state.place())));
    for who in &state.serving {
        lines.add("serves", Some(format!("{who}, of this instance; its main process is gone")));
    }
    for who in &state.background {
        lines.add("left", Some(format!("{who}, which goes on without the server")));
    }
    let left = counted(state.workers, "process", "processes");
    let left = format!("{left} of it; to stop it: forerun stop {}", state.name);
    lines.add("left", (state.workers > 0).then_some(left));
}

const fn column(title: &'static str, least: Option<usize>, out: Option<u8>) -> Column {
    Column { title, least, out }
}

/// The host and the port of a URL are never cut, nor is a short name of a supervisor.
const COLUMNS: [Column; 10] = [
    column("NAME", None, None),
    column("USER", Some(8), None),
    column("STATE", None, None),
    column("HEALTH", None, None),
    column("PID", None, None),
    column("UNDER", Some(8), Some(2)),
    column("UPTIME", None, Some(1)),
    column("WORKERS", None, Some(3)),
    column("FDS", None, Some(4)),
    column("URL", Some(22), None),
];
const USER: usize = 1;

/// All instances.
pub fn all(states: &[State], scope: &Scope, screen: &Screen) -> String {
    if states.is_empty() {
        return paragraph(screen, &format!("no instance is running ({})", scope.text()));
    }
    let mut columns = COLUMNS.to_vec();
    let mut rows: Vec<_> = states.iter().map(row).collect();
    if states.iter().all(|state| state.user.is_none()) {
        columns.remove(USER);
        rows.iter_mut().for_each(|row| drop(row.remove(USER)));
    }
    table(screen, &columns, &rows) + &paragraph(screen, &scope.text())
}

fn row(state: &State) -> Vec<String> {
    let runs = state.runs();
    let row = [
        Some(state.name.clone()),
        state.user.clone(),
        Some(state.word().to_owned()),
        Some(state.health_word().to_owned()),
        runs.then(|| state.pid.to_string()),
        Some(state.place()).filter(|place| !place.is_empty()),
        state.uptime.map(uptime),
        runs.then(|| state.workers.to_string()),
        state.fds(),
        state.url.as_ref().map(one_line),
    ];
    row.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect()
}

/// A duration, to the second.
fn uptime(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
