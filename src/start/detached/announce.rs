#![forbid(unsafe_code)]
//! Tells who asked for it that the server runs.

use std::time::Duration;

use crate::error::Error;
use crate::report::result::{self, Ready};
use crate::service::Service;
use crate::supervisor::service_of_group;
use crate::sys;
use crate::text::{one_line, quoted};

/// Tells that the server was started, to whoever waits for it.
///
/// # Errors
/// When stdout cannot be written to.
pub fn started(service: &Service, ready: &Ready, json: bool) -> Result<(), Error> {
    result::print_ready(ready, json)?;
    service.ready_fd.into_iter().for_each(say_ready);
    open_if_asked(service);
    Ok(())
}

/// Tells that the server runs already.
///
/// # Errors
/// When stdout cannot be written to.
pub fn runs(service: &Service, ready: &Ready, json: bool) -> Result<(), Error> {
    result::print_ready(ready, json)?;
    open_if_asked(service);
    Ok(())
}

fn open_if_asked(service: &Service) {
    if service.open {
        open_url(service.url.as_deref());
    }
}

/// Writes the newline to the descriptor of --ready-fd. The caller of a restart need not have it open: then the number
/// may be one of ours.
fn say_ready(number: i32) {
    let said = match sys::is_inheritable(number) {
        true => sys::write_ready(number),
        false => Err(std::io::Error::from_raw_os_error(libc::EBADF)),
    };
    if let Err(e) = said {
        log::warn!("cannot write to the descriptor '{number}' of --ready-fd: {e}; the server runs");
    }
}

fn open_url(url: Option<&str>) {
    match url {
        Some(url) => {
            if let Err(e) = open::that_detached(url) {
                log::warn!("cannot open {} in a browser: {e}", quoted(url));
            }
        }
        None => log::warn!("there is no URL to open: set 'url' in forerun.toml, or --health"),
    }
}

/// The ready lines of a server, as far as its service says them.
pub fn ready_lines(service: &Service, pid: i32) -> Ready {
    Ready {
        name: service.name.clone(),
        url: service.url.clone(),
        pid,
        already: None,
        stop: Some(format!("forerun stop {}", service.name)),
        took: Duration::ZERO,
        log: None,
        is_checked: is_checked(service),
        lives_in: sys::cgroup().and_then(|path| service_of_group(&path).map(one_line)),
    }
}

/// Whether there is something by which a server is known to be ready.
pub fn is_checked(service: &Service) -> bool {
    service.health.is_some() || service.port.is_some()
}
