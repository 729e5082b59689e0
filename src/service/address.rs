#![forbid(unsafe_code)]
//! Where the server is found: the port that is guarded, and the URL to print.

use super::expand::Expander;
use super::file::File;
use super::probes::Awaited;
use super::wrong::Fault;
use crate::args::StartFlags;
use crate::check::{self, Check};
use crate::text::{self, quoted};

/// The port that was asked for.
pub fn asked_port(flags: &StartFlags, file: &File, expander: &mut Expander) -> Result<Option<u16>, Fault> {
    let Some(given) = &flags.port else { return Ok(file.port.as_ref().map(|port| port.0)) };
    let replaced = expander.text(given.as_bytes()).map_err(|why| Fault::Usage(format!("invalid '--port': {why}")))?;
    let port = text::port(&String::from_utf8_lossy(&replaced));
    port.map(Some).map_err(|why| Fault::Usage(format!("invalid '--port': what {} gives is {why}", quoted(given))))
}

/// The port that is guarded, and the host that the health check names for it.
pub fn port(asked: Option<u16>, health: Option<&Awaited>) -> (Option<u16>, Option<String>) {
    // An address that stands for all of this machine's is copied from the line where a server binds it.
    let is_ours = |host: &str| check::is_loopback_name(host) || check::is_unspecified(host);
    let here_checked = health.and_then(|h| h.probe.check.address()).filter(|(host, _)| is_ours(host));
    let port = asked.or(here_checked.map(|(_, port)| port)).filter(|&port| port != 0);
    let host = here_checked.filter(|(host, p)| Some(*p) == port && !check::is_unspecified(host));
    (port, host.map(|(host, _)| host.to_owned()))
}

/// The URL to print: scheme, host and port of the health URL, else the guarded port on this machine.
pub fn url(health: Option<&Awaited>, port: Option<u16>) -> Option<String> {
    if let Some(Check::Http(uri)) = health.map(|h| &h.probe.check) {
        let host = uri.authority()?.as_str().rsplit('@').next()?;
        let (scheme, check) = (uri.scheme_str()?, &health?.probe.check);
        return Some(match check.address() {
            Some((host, port)) if check::is_unspecified(host) => format!("{scheme}://localhost:{port}"),
            _ => format!("{scheme}://{host}"),
        });
    }
    port.map(|port| format!("http://localhost:{port}"))
}
