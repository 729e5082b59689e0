#![forbid(unsafe_code)]
//! The record of a start, at each of its stages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::launch::{Launch, ourselves};
use crate::error::Error;
use crate::instance::identity::Identity;
use crate::instance::ready::Readiness;
use crate::instance::record::{OsText, Phase, Record};
use crate::instance::state::Folder;
use crate::supervisor::decide::Mode;
use crate::sys::{self, ExitWatch, Process};
use crate::text::quoted;

/// How far a start has come.
pub struct Stage<'a> {
    pub phase: Phase,
    /// The server, or forerun itself before there is a server.
    pub process: &'a Process,
    /// The server's executable, once it is known.
    pub executable: Option<PathBuf>,
    pub log: Option<&'a Path>,
    /// What was seen when it became ready.
    pub ready: Option<Readiness>,
}

impl<'a> Stage<'a> {
    pub fn new(phase: Phase, process: &'a Process) -> Self {
        Stage { phase, process, executable: None, log: None, ready: None }
    }
}

/// The record of this start. `before` is the one of the instance that had the name, or that we are.
pub fn of(launch: &Launch, before: Option<&Record>, cookie: &str, stage: Stage) -> Record {
    let texts = |list: &[OsString]| list.iter().map(|s| OsText::from(s.as_os_str())).collect();
    let (service, process, group) = (launch.given.service, stage.process, launch.reached.group.as_ref());
    let starter = if stage.phase == Phase::Starting { ourselves() } else { None };
    // A server that executes its start script again has the children that it had.
    let kept = before.filter(|before| before.cookie == cookie);
    let is_new = launch.given.decision.mode == Mode::Detached;
    let children = if is_new { Vec::new() } else { launch.children.clone() };
    Record {
        version: Record::VERSION,
        name: service.name.clone(),
        phase: stage.phase,
        session: process.session,
        group: process.group,
        process: Identity::new(process, &launch.host),
        starter: starter.map(|us| Identity::new(&us, &launch.host)),
        sidecar: launch.reached.sidecar.clone(),
        was: None,
        first: process.pid,
        launched: kept.map_or(launch.launched, |kept| kept.launched),
        earlier_children: kept.map_or(children, |kept| kept.earlier_children.clone()),
        ready: stage.ready,
        trace: ExitWatch::new(process.pid).trace(),
        ended: None,
        own_group: group.map(|group| group.path().to_owned()).or_else(|| kept?.own_group.clone()),
        host: service.host.clone(),
        is_activated: service.port.is_some_and(sys::inherits_listener),
        cookie: cookie.to_owned(),
        mode: launch.given.decision.mode.to_string(),
        supervisor: launch
            .given
            .decision
            .recognised
            .filter(|_| launch.given.decision.mode == Mode::Foreground)
            .map(|by| by.word().to_owned()),
        cgroup: sys::cgroup(),
        config: service.config.as_ref().map(|c| OsText::from(c.as_os_str())),
        command: texts(&service.command),
        executable: stage.executable.as_ref().map(|e| OsText::from(e.as_os_str())),
        cwd: OsText::from(service.directory.as_os_str()),
        port: service.port,
        url: service.url.clone(),
        log: stage.log.map(|l| OsText::from(l.as_os_str())),
        pid_file: service.pid_file.as_ref().map(|path| OsText::from(path.as_os_str())),
        ending: service.ending.clone(),
        stopper: None,
        grace: service.grace,
        arguments: texts(launch.given.arguments),
        called_in: OsText::from(launch.given.called_in.as_os_str()),
        environment: texts(launch.given.inherited.entries()),
        is_spent: false,
        dropped: Vec::new(),
    }
}

/// Why a record could not be written, in words.
pub fn unwritten(folder: &Folder, e: &std::io::Error) -> String {
    format!("cannot write the record in {}: {e}", quoted(&folder.path))
}

/// The error of a start that needs its record.
pub fn needed(why: String) -> Error {
    Error::State(format!("{why}; set FORERUN_STATE_DIR"))
}
