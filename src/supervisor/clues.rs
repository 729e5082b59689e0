#![forbid(unsafe_code)]
//! Looks up everything that the mode depends on.

use std::io::{self, IsTerminal};

use super::decide::{self, Decision, Mode, Situation};
use crate::args::Options;
use crate::environment::{Environment, NOTIFY_SOCKET};
use crate::error::Error;
use crate::sys;
use crate::text::quoted;

/// Decides the mode. `asked` is the mode in the file, used if the command line sets none.
///
/// # Errors
/// [`Error::Usage`] when FORERUN_FOREGROUND is none of the accepted words.
pub fn decide(
    options: &Options,
    environment: &Environment,
    asked: Option<(Mode, &'static str)>,
) -> Result<Decision, Error> {
    let asked = match (options.foreground, options.detach) {
        (true, _) => Some((Mode::Foreground, "--foreground")),
        (_, true) => Some((Mode::Detached, "--detach")),
        _ => asked,
    };
    let forced = environment.filled("FORERUN_FOREGROUND").unwrap_or_default();
    let forced = decide::forced(&forced.to_string_lossy()).map_err(|()| {
        let expected = "expected 1, true, yes, on, 0, false, no or off";
        Error::Usage(format!("invalid FORERUN_FOREGROUND {}: {expected}", quoted(forced)))
    })?;
    Ok(decide::decide(&Situation { asked, forced, ..look(environment) }))
}

/// Whether a supervisor started us, whatever mode was asked for.
pub fn is_recognised(environment: &Environment) -> bool {
    decide::decide(&look(environment)).recognised.is_some()
}

fn look(environment: &Environment) -> Situation {
    let text = |name: &str| environment.filled(name).map(|v| v.to_string_lossy().into_owned());
    let is_set = |name: &str| environment.filled(name).is_some();
    let (pid, parent) = (std::process::id() as i32, std::os::unix::process::parent_id() as i32);
    let (notify_socket, invocation_id) = (is_set(NOTIFY_SOCKET), is_set("INVOCATION_ID"));
    Situation {
        launchd_socket: is_set("LAUNCHD_SOCKET"),
        notify_socket,
        invocation_id,
        xpc_service_name: text("XPC_SERVICE_NAME"),
        supervisor_enabled: is_set("SUPERVISOR_ENABLED"),
        systemd_exec_pid: text("SYSTEMD_EXEC_PID").and_then(|v| v.parse().ok()),
        pid,
        parent,
        parent_name: if parent > 0 { sys::process_name(parent) } else { None },
        init_name: if parent == 1 { sys::process_name(1) } else { None },
        stdin_is_terminal: io::stdin().is_terminal(),
        stderr_is_terminal: io::stderr().is_terminal(),
        controlling_terminal: sys::has_controlling_terminal(),
        // Needed only to prove that systemd's variables belong to another process.
        cgroup_leaf: if notify_socket || invocation_id { sys::cgroup().and_then(|path| leaf(&path)) } else { None },
        ..Situation::default()
    }
}

/// The last component of a control group's path.
fn leaf(path: &str) -> Option<String> {
    path.rsplit('/').next().filter(|leaf| !leaf.is_empty()).map(str::to_owned)
}
