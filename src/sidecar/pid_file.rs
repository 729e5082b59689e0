#![forbid(unsafe_code)]
//! Tells systemd who the main process is while the server hands over. systemd ends a unit whose main process has ended,
//! unless it was told of another one before (MAINPID=, sd_notify(3)). The pid file names that one: nginx writes it as
//! soon as the new master runs, and takes it back if the upgrade is called off.

use std::path::PathBuf;
use std::time::Duration;

use super::plan::Plan;
use crate::follow::read_pid_file;
use crate::instance::family;
use crate::line::say;
use crate::supervisor::notify::{Manager, NotifyState};
use crate::text::quoted;

/// How often the file is read. An upgrade by hand takes seconds between its steps.
const INTERVAL: Duration = Duration::from_secs(1);

/// The pid file, if systemd is to be told of it.
pub struct PidFile {
    path: PathBuf,
    /// When it is read next, on the sidecar's clock.
    pub next: Duration,
    /// The pid that systemd knows.
    told: i32,
}

impl PidFile {
    pub fn new(path: PathBuf, main: i32) -> Self {
        PidFile { path, next: Duration::ZERO, told: main }
    }

    /// Reads the pid file when that is due, and tells systemd if a member of the instance is named that was not before.
    pub fn read(&mut self, plan: &Plan, manager: Option<&Manager>, now: Duration) {
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        let Some(pid) = read_pid_file(&self.path).filter(|pid| *pid != self.told) else { return };
        if !family::look(&plan.origin).is_ok_and(|family| family.has(pid)) {
            return;
        }
        if manager.is_some_and(|manager| manager.tell_surely(&[NotifyState::Custom(&format!("MAINPID={pid}"))])) {
            say(&format!("{} hands over: systemd is told that pid {pid} is its main process", quoted(&plan.name)));
            self.told = pid;
        }
    }
}
