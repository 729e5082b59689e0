#![forbid(unsafe_code)]
//! The health of an instance that was ready before: what can be asked of it, and what it said once.

use super::checks::{port_listens, readiness};
use crate::check::Probe;
use crate::environment::{Environment, NOTIFY_SOCKET};
use crate::instance::mode::Mode;
use crate::instance::record::{Phase, Record, os_strings};
use crate::service::Service;

/// The check that can be asked at any time. What a server says once, when it is ready, cannot.
pub fn standing(service: &Service) -> Option<Probe> {
    match &service.health {
        Some(health) if health.probe.check.is_told() => service.watch_check.clone().or_else(|| port_listens(service)),
        _ => readiness(service),
    }
}

/// The health check of an instance that has not said yet that it is ready.
pub fn unsaid<'a>(service: &'a Service, record: &Record) -> Option<&'a Probe> {
    let probe = service.health.as_ref().map(|health| &health.probe).filter(|probe| probe.check.is_told())?;
    let environment = Environment::new(os_strings(&record.environment)).without_own_socket();
    // The service manager of its own heard it, and not we.
    let says_it_elsewhere = environment.filled(NOTIFY_SOCKET).is_some();
    let was_ready = match record.mode == Mode::Detached.to_string() {
        true => record.phase == Phase::Running,
        false => record.ready.is_some() || says_it_elsewhere,
    };
    (!was_ready).then_some(probe)
}
