#![forbid(unsafe_code)]
//! Asks systemd which process is the main one of a service. It is the only supervisor whose word can change: a server
//! may hand over with MAINPID= (sd_notify(3)).

use std::ffi::OsString;
use std::time::Duration;

use crate::supervisor::ask::{self, argv};
use crate::supervisor::job::{Active, Job};
use crate::sys;

/// How long systemd may take to answer. It answers in milliseconds; a start or a stop should not hang on it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The main process of a job's unit. `None` where it has none now. Its invocation is INVOCATION_ID of its processes
/// (systemd.exec(5)).
pub fn active(job: &Job) -> Option<Active> {
    let answer = sys::note(show(job, &["MainPID", "InvocationID"])).ok()??;
    let value = |key| value(&answer, key);
    let main = value("MainPID").parse().ok().filter(|&pid| pid > 0)?;
    Some(Active { main, invocation: value("InvocationID").to_owned() })
}

/// The sockets, paths and timers that start a job's unit.
pub fn triggers(job: &Job) -> Vec<OsString> {
    let answer = show(job, &["TriggeredBy"]).ok().flatten().unwrap_or_default();
    value(&answer, "TriggeredBy").split_whitespace().map(OsString::from).collect()
}

/// What `systemctl show` says of a job's unit. `Ok(None)` where it does not know it.
fn show(job: &Job, properties: &[&str]) -> std::io::Result<Option<String>> {
    let Some(unit) = job.name.as_deref() else { return Ok(None) };
    let mut words = argv(["systemctl"]);
    words.extend(job.of_user.then(|| "--user".into()));
    words.push("show".into());
    words.extend(properties.iter().map(|property| format!("--property={property}").into()));
    words.extend(["--".into(), unit.to_owned()]);
    let answer = ask::run(&words, job.of_user, None, Some(PATIENCE))?;
    Ok(Some(answer.out).filter(|_| answer.code == Some(0)))
}

fn value<'a>(answer: &'a str, key: &str) -> &'a str {
    let line = answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_default().trim()
}
