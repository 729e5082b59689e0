#![forbid(unsafe_code)]
//! Asks systemd which process is the main one of a service. It is the only supervisor whose word can change: a server
//! may hand over with MAINPID= (sd_notify(3)).

use std::time::Duration;

use crate::supervisor::ask::{self, argv};
use crate::supervisor::job::{Active, Job};
use crate::sys;

/// How long systemd may take to answer. It answers in milliseconds; a start or a stop should not hang on it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The unit of a job. `None` where it has no main process now. Its invocation is INVOCATION_ID of its processes
/// (systemd.exec(5)).
pub fn active(job: &Job) -> Option<Active> {
    let unit = job.name.as_deref()?;
    let mut words = argv(["systemctl"]);
    words.extend(job.of_user.then(|| "--user".into()));
    words.extend(argv(["show", "--property=MainPID", "--property=InvocationID", "--"]));
    words.push(unit.to_owned());
    let answer = sys::note(ask::run(&words, job.of_user, None, Some(PATIENCE)));
    let answer = answer.ok().filter(|answer| answer.code == Some(0))?;
    let value = |key: &str| answer.out.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let main = value("MainPID")?.trim().parse().ok().filter(|&pid| pid > 0)?;
    Some(Active { main, invocation: value("InvocationID").unwrap_or_default().trim().to_owned() })
}
