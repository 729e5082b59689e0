#![forbid(unsafe_code)]
//! The list of all supervisors.

use super::kind::Known;
use super::{container, daemontools, dinit, launchd, openrc, runit, s6, supervisord, systemd};

/// All supervisors. Where two of them show the same kind of evidence, the first one counts.
pub static ALL: [Known; 10] = [
    &systemd::Systemd,
    &systemd::Manager,
    &launchd::Launchd,
    &supervisord::Supervisord,
    &container::Container,
    &runit::Runit,
    &s6::S6,
    &daemontools::Daemontools,
    &openrc::OpenRc,
    &dinit::Dinit,
];

/// The service of a supervisor that has the control group of this path (cgroups(7)). Groups below it are the service's.
pub fn service_of_group(path: &str) -> Option<&str> {
    ALL.iter().find_map(|supervisor| supervisor.service_of_group(path))
}
