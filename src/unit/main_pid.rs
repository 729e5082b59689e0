#![forbid(unsafe_code)]
//! Asks systemd which process is the main one of a service. It is the only supervisor whose word can change: a server
//! may hand over with MAINPID= (sd_notify(3)).

use std::process::{Command, Stdio};
use std::time::Duration;

use super::ask;
use crate::instance::supervisor::Supervised;

/// How long systemd may take to answer. It answers in milliseconds; a start or a stop should not hang on it.
const PATIENCE: Duration = Duration::from_secs(3);

/// The main process of the unit that runs an instance. `None` where systemd does not run it, or has no main process of
/// it now.
pub fn main_pid(supervised: &Supervised) -> Option<i32> {
    let unit = supervised.systemd_unit()?;
    let mut command = Command::new("systemctl");
    command.args(supervised.is_of_user().then_some("--user")).args(["show", "--property=MainPID", "--value", "--"]);
    command.arg(unit).env("LC_ALL", "C").stdin(Stdio::null());
    let answer = ask::said_by(&mut command, Some(PATIENCE)).ok().filter(|answer| answer.code == Some(0))?;
    answer.out.trim().parse().ok().filter(|&pid| pid > 0)
}
