#![forbid(unsafe_code)]
//! Whether systemd listens to a sidecar: its unit may let only the main process speak, and drops the rest silently.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::text::quoted;

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question to systemd.
pub struct Question {
    unit: String,
    systemctl: Child,
    /// When it is given up.
    pub late: Duration,
}

/// Asks systemd how the unit has it. (Before systemd 254 what forerun sent, NOTIFYACCESS=all, is unknown.)
///
/// # Errors
/// When there is no systemctl, no process or no descriptor to be had.
pub fn ask(unit: &str, of_user: bool, now: Duration) -> io::Result<Question> {
    let mut command = Command::new("systemctl");
    if of_user {
        command.arg("--user");
    }
    command.args(["show", "--property=NotifyAccess", "--value", "--", unit]);
    let systemctl = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    Ok(Question { unit: unit.to_owned(), systemctl, late: now + PATIENCE })
}

impl Question {
    /// Readable once there is an answer.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.systemctl.stdout.as_ref().map(AsFd::as_fd)
    }

    /// What is to be said of the answer, where our messages are dropped.
    pub fn line(self) -> Option<String> {
        let answer = self.systemctl.wait_with_output().ok()?.stdout;
        verdict(&answer, &self.unit)
    }

    /// Nobody waits for the answer any more.
    pub fn give_up(mut self) {
        let _ = self.systemctl.kill();
        let _ = self.systemctl.wait();
    }
}

fn verdict(answer: &[u8], unit: &str) -> Option<String> {
    let access = std::str::from_utf8(answer).ok()?.trim();
    matches!(access, "none" | "main" | "exec").then(|| {
        format!(
            "systemd drops what forerun's sidecar says, as the unit {} has NotifyAccess={access}; \
             write NotifyAccess=all into it",
            quoted(unit)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_systemd_surely_drops_is_told() {
        assert!(
            verdict(b"main\n", "web.service").is_some_and(|line| line.contains("'web.service' has NotifyAccess=main"))
        );
        for fine in ["all\n", "", "\n", "\u{fffd}"] {
            assert_eq!(verdict(fine.as_bytes(), "web.service"), None);
        }
    }
}
