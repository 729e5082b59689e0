#![forbid(unsafe_code)]
//! Asks systemd whether it accepts messages from the sidecar. A unit may accept them from the main process only;
//! systemd drops all others silently.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::supervisor::ask::{self, Pending, argv};
use crate::text::quoted;

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A query to systemd that is under way.
pub struct Question {
    unit: String,
    systemctl: Pending,
    /// When to give up waiting for the answer, on the sidecar's clock.
    pub late: Duration,
}

/// Asks systemd for the unit's NotifyAccess= setting. (systemd before 254 does not know NOTIFYACCESS=all, which forerun
/// sends.)
///
/// # Errors
/// When systemctl cannot be executed, or no process or descriptor is available.
pub fn ask(unit: &str, of_user: bool, now: Duration) -> io::Result<Question> {
    let mut words = argv(["systemctl"]);
    words.extend(of_user.then(|| "--user".into()));
    words.extend(argv(["show", "--property=NotifyAccess", "--value", "--", unit]));
    let systemctl = ask::begin(&words)?;
    Ok(Question { unit: unit.to_owned(), systemctl, late: now + PATIENCE })
}

impl Question {
    /// The descriptor that becomes readable when the answer arrives.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.systemctl.descriptor()
    }

    /// The warning to print if systemd drops our messages.
    pub fn line(self) -> Option<String> {
        let answer = self.systemctl.answer().ok()?;
        verdict(&answer, &self.unit)
    }

    /// Ends the query without an answer.
    pub fn give_up(self) {
        self.systemctl.give_up();
    }
}

fn verdict(answer: &[u8], unit: &str) -> Option<String> {
    let access = std::str::from_utf8(answer).ok()?.trim();
    matches!(access, "none" | "main" | "exec").then(|| {
        format!(
            "systemd ignores the messages of forerun's sidecar: the unit {} has NotifyAccess={access}; \
             set NotifyAccess=all in it",
            quoted(unit)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_given_only_if_systemd_certainly_drops_messages() {
        assert!(
            verdict(b"main\n", "web.service").is_some_and(|line| line.contains("'web.service' has NotifyAccess=main"))
        );
        for fine in ["all\n", "", "\n", "\u{fffd}"] {
            assert_eq!(verdict(fine.as_bytes(), "web.service"), None);
        }
    }
}
