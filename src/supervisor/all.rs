#![forbid(unsafe_code)]
//! The list of all supervisors.

use std::sync::LazyLock;

use super::kind::Known;
use super::units::Kind;
use super::{
    container, daemontools, dinit, launchd, openrc, runit, runners, s6, start_stop_daemon, supervisord, systemd,
};

/// All supervisors. Where two of them show the same kind of evidence, the first one counts.
pub static ALL: [Known; 18] = [
    &systemd::Systemd,
    &systemd::Manager,
    &launchd::Launchd,
    &supervisord::Supervisord,
    &runners::pm2::Pm2,
    &runners::procfile::HONCHO,
    &runners::procfile::FOREMAN,
    &runners::procfile::OVERMIND,
    &runners::procfile::HIVEMIND,
    &runners::procfile::GOREMAN,
    &runners::circus::Circus,
    &container::Container,
    &runit::Runit,
    &s6::S6,
    &daemontools::Daemontools,
    &openrc::OpenRc,
    &start_stop_daemon::StartStopDaemon,
    &dinit::Dinit,
];

/// The service of a supervisor that has the control group of this path (cgroups(7)). Groups below it are the service's.
pub fn service_of_group(path: &str) -> Option<&str> {
    ALL.iter().find_map(|supervisor| supervisor.service_of_group(path))
}

/// The supervisors that forerun writes units for.
pub fn units() -> impl Iterator<Item = Kind> {
    ALL.iter().filter_map(|supervisor| supervisor.units())
}

/// Their words on the command line.
pub fn unit_words() -> &'static [&'static str] {
    static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| units().map(|kind| kind.word()).collect());
    &WORDS
}
