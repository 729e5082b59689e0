#![forbid(unsafe_code)]
//! Whether systemd listens to a sidecar: its unit may let only the main process speak, and drops the rest silently.

use std::process::{Command, Stdio};

use crate::sys::Errand;
use crate::text::quoted;

/// Asks systemd how the unit has it, in a child. (Before systemd 254 what forerun sent, NOTIFYACCESS=all, is unknown.)
pub fn ask(unit: &str, of_user: bool) -> std::io::Result<Errand> {
    let mut command = Command::new("systemctl");
    if of_user {
        command.arg("--user");
    }
    command.args(["show", "--property=NotifyAccess", "--value", "--", unit]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    Errand::start(move || command.output().map(|output| output.stdout).unwrap_or_default())
}

/// What is to be said of the answer, where our messages are dropped.
pub fn verdict(answer: &[u8], unit: &str) -> Option<String> {
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
