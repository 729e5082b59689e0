#![forbid(unsafe_code)]
//! Other services of this user, for `service:` checks: what `forerun status` would say of them.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use super::standing::{standing, unsaid};
use crate::check::{Context, Services};
use crate::follow::{self, By, Now};
use crate::instance::family::Origin;
use crate::instance::identity::Life;
use crate::instance::record::{Phase, Record};
use crate::instance::state::Folder;
use crate::service::request::Request;
use crate::service::trust;
use crate::sys::{self, Host};
use crate::text::quoted;

/// The services whose folders are in `root`.
#[derive(Debug)]
pub struct Neighbours {
    pub root: PathBuf,
}

impl Services for Neighbours {
    fn is_well(&self, name: &str, limit: Duration, cancel: BorrowedFd) -> Result<(), String> {
        let begun = Instant::now();
        let here = sys::host().map_err(|e| e.to_string())?;
        let record = running(self.record(name)?, &here)?;
        let request = Request::of_record(&record);
        let service = request.service()?;
        if let Some(probe) = unsaid(&service, &record) {
            return Err(format!("it has not said that it is ready ({})", quoted(&probe.to_string())));
        }
        let Some(probe) = standing(&service) else { return Ok(()) };
        if let Some(why) = trust::untried(&service, &probe.check) {
            return Err(format!("its health was {why}"));
        }
        let environment = service.variables.for_checks(&request.environment);
        let context = Context::new(environment, service.directory.clone(), sys::nofile());
        let left = limit.saturating_sub(begun.elapsed());
        let tried = probe.once(&context, left, cancel);
        tried.map_err(|why| format!("it is not healthy: {}: {why}", quoted(&probe.to_string())))?;
        match follow::stranger(&Origin::of(&record), service.host.as_deref(), service.port) {
            Some(who) => Err(format!("it is not healthy: its port is held by {who}")),
            None => Ok(()),
        }
    }
}

impl Neighbours {
    fn record(&self, name: &str) -> Result<Record, String> {
        let unknown = || "no service is called so here; start it, or see 'forerun status --all'".to_owned();
        let folder = Folder::existing(&self.root, name, geteuid().as_raw())?.ok_or_else(unknown)?;
        let record = Record::look(&folder, name).map_err(|e| e.message(&folder))?;
        record.ok_or_else(|| "it is not running".to_owned())
    }
}

/// The record of an instance that runs, with the main process that it has now.
fn running(record: Record, here: &Host) -> Result<Record, String> {
    let record = match follow::look(&record, here, By::Sidecar) {
        Ok(Now::HandedOver(new)) => *new,
        _ => record,
    };
    let starts = || record.starter.as_ref().is_some_and(|starter| starter.life(here) == Life::Alive);
    match record.process.life(here) {
        Life::Dead => Err("it is not running".to_owned()),
        Life::Unknown(why) => Err(format!("nobody can tell whether it runs: {why}")),
        Life::Alive if record.phase == Phase::Starting && starts() => Err("it is starting".to_owned()),
        Life::Alive if record.is_stopping(here) => Err("it is stopping".to_owned()),
        Life::Alive => Ok(record),
    }
}
