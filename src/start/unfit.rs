#![forbid(unsafe_code)]
//! Health checks that would prove nothing where this start runs.

use crate::check::Check;
use crate::environment::Environment;
use crate::error::Error;
use crate::service::Service;
use crate::supervisor::decide::Mode;
use crate::sys::{self, Held};
use crate::text::quoted;

/// Refuses a health check that would prove nothing, or that nobody could hear.
///
/// # Errors
/// [`Error::Config`].
pub fn refuse(service: &Service, mode: Mode, inherited: &Environment) -> Result<(), Error> {
    let health = service.health.as_ref().map(|health| &health.probe);
    let of_log = health.filter(|probe| matches!(probe.check, Check::Log(_)));
    if let Some(probe) = of_log.filter(|_| mode == Mode::Foreground) {
        return Err(Error::Config(format!(
            "cannot use the health check {}: the log of a server in the foreground is its supervisor's; \
             use an http:// check or notify:",
            quoted(&probe.to_string())
        )));
    }
    let held = held(inherited);
    let watched = service.watch_check.as_ref();
    match health.into_iter().chain(watched).find(|probe| probe.check.proves_nothing_on(&held)) {
        Some(probe) => Err(Error::Config(format!(
            "cannot use the health check {}: whoever started forerun holds that very socket (LISTEN_FDS), which accepts \
             before there is a server; {}",
            quoted(&probe.to_string()),
            instead(&probe.check)
        ))),
        None => Ok(()),
    }
}

/// What to write in its place.
fn instead(check: &Check) -> String {
    match check {
        Check::Unix(place) => format!(
            "check what the server answers: {}, or notify:",
            quoted(&format!("http+unix:{}:/", place.operand().to_string_lossy()))
        ),
        _ => {
            let url = check.address().map(|(host, port)| match host.contains(':') {
                true => format!("http://[{host}]:{port}/"),
                false => format!("http://{host}:{port}/"),
            });
            format!("check what the server answers: {}, or notify:", quoted(&url.unwrap_or_default()))
        }
    }
}

fn held(inherited: &Environment) -> Vec<Held> {
    sys::held_sockets(passed(inherited))
}

/// How many sockets of socket activation are for us: those from descriptor 3 on.
pub fn passed(environment: &Environment) -> i32 {
    let number = |name: &str| environment.get(name).and_then(|v| v.to_str()?.parse::<i32>().ok());
    let ours = number("LISTEN_PID") == i32::try_from(std::process::id()).ok();
    number("LISTEN_FDS").filter(|&count| ours && (0..65_536).contains(&count)).unwrap_or(0)
}
