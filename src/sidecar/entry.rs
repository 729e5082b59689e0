#![forbid(unsafe_code)]
//! The start of a sidecar process. It reads its plan, verifies that it is not the server's child and that the server
//! exists, reports that, and begins to work.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;

use super::plan::{Health, Plan};
use super::state::{Asks, Sidecar};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::identity::Identity;
use crate::instance::notify_socket::NotifySocket;
use crate::instance::record::OsText;
use crate::line;
use crate::sys::{self, Events, ExitWatch, Nofile};

/// A sidecar never needs more descriptors than this.
const DESCRIPTORS: u64 = 64;

/// Becomes the sidecar that the plan on stdin describes.
///
/// # Errors
/// [`Error::Usage`] if a person typed the command.
pub fn run(environment: &Environment) -> Result<(), Error> {
    let typed =
        || Error::Usage("'sidecar' is internal: forerun starts it beside a server; use --watch to get one".to_owned());
    // The forerun that started us reports the reason, so we print nothing.
    let stdin = sys::take_stdin().map_err(|_| Error::Said(1))?;
    let is_socket = |fd: &OwnedFd| {
        let copy = fd.try_clone().map(File::from);
        copy.and_then(|file| file.metadata()).is_ok_and(|m| m.file_type().is_socket())
    };
    if !is_socket(&stdin) {
        return Err(typed());
    }
    let mut stream = UnixStream::from(stdin);
    let mut plan = Plan::read(&stream).map_err(|_| Error::Said(1))?;
    // `-q` is for the start. A sidecar's warnings are the only sign that a server is unwell, so they are never
    // silenced.
    line::init(environment, plan.verbose, false);
    sys::set_name(c"forerun");
    let watch = ExitWatch::new(plan.origin.main.pid);
    let events = Events::catch();
    let identity = identity(&plan);
    let asks = asks(&mut plan);
    let all = events.map_err(|e| e.to_string()).and_then(|events| Ok((events, identity?, asks?)));
    let (events, identity, asks) = all.map_err(|why| {
        let _ = stream.write_all(why.as_bytes());
        Error::Said(1)
    })?;
    sys::set_nofile(Nofile { soft: DESCRIPTORS.min(plan.checks_nofile.soft), hard: plan.checks_nofile.hard });
    if stream.write_all(format!("ok {identity}").as_bytes()).is_err() {
        // The forerun that started us no longer waits.
        return Err(Error::Said(1));
    }
    // The end of our answer. What is left is to see the other side close.
    if stream.shutdown(Shutdown::Write).is_err() {
        return Err(Error::Said(1));
    }
    let mut sidecar = Sidecar::new(plan, asks, environment, watch, events);
    sidecar.launch = Some(stream);
    sidecar.run();
    Ok(())
}

/// The checks of a plan, and the socket to listen at: it is there before the server is.
fn asks(plan: &mut Plan) -> Result<Asks, String> {
    let bind = |address: &OsText| {
        NotifySocket::bind(&OsString::from(address)).map_err(|e| format!("it cannot listen to the server: {e}"))
    };
    Ok(Asks {
        health: plan.health.take().map(Health::probe).transpose()?,
        watch_check: plan.watch_check.take().map(Health::probe).transpose()?,
        hears: plan.hears.as_ref().map(bind).transpose()?,
    })
}

/// Our own identity as JSON. An error if the server is not the process that the plan names, or is our parent.
fn identity(plan: &Plan) -> Result<String, String> {
    let us = sys::process(std::process::id() as i32).ok_or("its own start time cannot be read")?;
    if us.parent == plan.origin.main.pid {
        return Err(
            "the server would become its parent, because the server adopts orphans (it is a subreaper)".to_owned()
        );
    }
    if sys::process(plan.origin.main.pid).is_none_or(|main| main.start != plan.origin.main.start) {
        return Err("the server has ended already".to_owned());
    }
    let host = sys::host().map_err(|e| e.to_string())?;
    serde_json::to_string(&Identity::new(&us, &host)).map_err(|e| e.to_string())
}
