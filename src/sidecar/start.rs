#![forbid(unsafe_code)]
//! Starts a sidecar and waits until it is there. Only then is the server executed.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::WORD;
use super::plan::{END, Plan};
use crate::environment::{COOKIE, Environment};
use crate::instance::identity::Identity;
use crate::sys::{self, Beside};
use crate::text::one_line;

/// How long a new sidecar may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts the sidecar of a server, which is this process or the launcher's child, and waits until the sidecar is there.
///
/// # Errors
/// The reason why there is no sidecar.
pub fn start(plan: &Plan, environment: &Environment, stderr: BorrowedFd) -> Result<Started, String> {
    if plan.origin.main.pid == 1 {
        return Err(
            "as pid 1 the server would become its parent; run the container with an init (docker --init)".into()
        );
    }
    spawn(plan, environment, stderr)
}

/// A sidecar that is there.
pub struct Started {
    pub identity: Identity,
    /// Closes at the exec of this process. The sidecar sees by that that the server runs.
    pub link: UnixStream,
}

fn spawn(plan: &Plan, environment: &Environment, stderr: BorrowedFd) -> Result<Started, String> {
    let failed = |e: std::io::Error| e.to_string();
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let args = ["forerun".into(), WORD.into(), OsString::from(&plan.name), plan.origin.main.pid.to_string().into()];
    // An entry without `=` may come from a server that overwrote its environment. The environment of a sidecar must be
    // recognisable as whole, so it gets only real pairs.
    let pairs = environment.without(&[COOKIE]);
    let pairs: Vec<_> = pairs.entries().iter().filter(|e| e.as_bytes().contains(&b'=')).cloned().collect();
    Beside {
        path: &sys::own_executable().map_err(failed)?,
        args: &args,
        environment: &pairs,
        stdin: theirs.as_fd(),
        stderr,
        keep: plan.ready_fd,
    }
    .start()
    .map_err(failed)?;
    drop(theirs);
    ours.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    ours.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut plan = serde_json::to_vec(plan).map_err(|e| e.to_string())?;
    plan.push(END);
    let mut answer = String::new();
    ours.write_all(&plan).and_then(|()| ours.read_to_string(&mut answer)).map_err(failed)?;
    match answer.split_once(' ') {
        Some(("ok", identity)) => {
            let identity = serde_json::from_str(identity).map_err(|e| e.to_string())?;
            Ok(Started { identity, link: ours })
        }
        _ if answer.is_empty() => Err("forerun cannot execute itself again".to_owned()),
        _ => Err(one_line(&answer)),
    }
}
