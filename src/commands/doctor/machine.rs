#![forbid(unsafe_code)]
//! What is to be said of how forerun was started, and of this machine.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, User, access, geteuid};

use crate::check::port;
use crate::environment::Environment;
use crate::mode::{Decision, Mode};
use crate::report::doctor::Finding;
use crate::service::Service;
use crate::sys;
use crate::text::{one_line, quoted};

/// Of the pool of pseudo-terminals, in percent: from here on the next terminals may not open.
const NEARLY_ALL: u64 = 90;
/// What a server with less will run out of soon.
const FEW: u64 = 1024;

/// The mode, why, and how sure that is.
pub fn mode(decision: &Decision, environment: &Environment) -> Vec<Finding> {
    let exec_pid = environment.filled("SYSTEMD_EXEC_PID").map(|pid| pid.to_string_lossy().into_owned());
    let is_us = exec_pid.as_deref() == Some(std::process::id().to_string().as_str());
    let proof = match (decision.recognised, &exec_pid) {
        (Some("systemd" | "a service manager"), Some(_)) if is_us => {
            "; SYSTEMD_EXEC_PID, our own pid, proves it".to_owned()
        }
        (Some("systemd" | "a service manager"), Some(pid)) => {
            format!("; there is no proof: SYSTEMD_EXEC_PID is {}, another process", one_line(pid))
        }
        (Some("systemd" | "a service manager"), None) => {
            "; there is no proof: SYSTEMD_EXEC_PID is not set (systemd before 248, or not of systemd)".to_owned()
        }
        _ => String::new(),
    };
    let message = format!("{}: {}{proof}", decision.mode, decision.reason);
    let inherited =
        decision.mode == Mode::Foreground && exec_pid.is_some() && !is_us && decision.recognised == Some("systemd");
    let mut findings = vec![match decision.parent_supervised || !inherited {
        true => Finding::ok("mode", message),
        false => Finding::warning("mode", message, "where this is no service: --detach, or FORERUN_FOREGROUND=0"),
    }];
    if decision.parent_supervised {
        let parent = port::describe(std::os::unix::process::parent_id() as i32);
        let message =
            format!("systemd started our parent, {parent}, and not us: it watches the script, and not the server");
        findings.push(Finding::problem("start.sh", message, "write 'exec' before forerun there"));
    }
    findings
}

/// Limits and pools.
pub fn pools(service: Option<&Service>) -> Vec<Finding> {
    let now = sys::nofile();
    let (server, clamped) = service.map_or((now, false), Service::server_nofile);
    let default =
        if std::env::consts::OS == "macos" { "; a job of launchd has 256 unless its plist says more" } else { "" };
    let message = format!(
        "{}:{} descriptors here, soft:hard; the server gets {}:{}{default}",
        now.soft, now.hard, server.soft, server.hard
    );
    let mut findings = vec![match (clamped, server.soft < FEW) {
        (true, _) => Finding::warning(
            "limits",
            format!("{message}, less than was asked for"),
            "raise the hard limit: ulimit -Hn as root, LimitNOFILE= in a unit",
        ),
        (_, true) => Finding::warning("limits", message, "--nofile 8192:16384, or [limits] in forerun.toml"),
        _ => Finding::ok("limits", message),
    }];
    findings.push(match sys::ptys() {
        Err(e) => Finding::warning("ptys", format!("cannot read the pool's counters: {e}"), "mount -t proc proc /proc"),
        Ok((used, most)) if used * 100 >= most * NEARLY_ALL => {
            let holder = sys::most_ptys();
            let who = holder.map_or(String::new(), |(pid, count)| format!("; {} holds {count}", port::describe(pid)));
            let mend = holder.map_or("end who holds them".to_owned(), |(pid, _)| format!("restart it, or kill {pid}"));
            Finding::problem("ptys", format!("{used} of the system's {most} pseudo-terminals are in use{who}"), mend)
        }
        Ok((used, most)) => Finding::ok("ptys", format!("{used} of the system's {most} pseudo-terminals are in use")),
    });
    findings
}

/// Whether records can be kept, without making the folder.
pub fn state_folder(root: &Result<PathBuf, String>) -> Finding {
    let user = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    let whose = if geteuid().is_root() { "everybody's" } else { "only this user's" };
    let root = match root {
        Ok(root) => root,
        Err(why) => return Finding::problem("state", why.clone(), "export FORERUN_STATE_DIR=/a/folder"),
    };
    let mut there: &Path = root;
    while there.symlink_metadata().is_err() {
        there = there.parent().unwrap_or(Path::new("/"));
    }
    let usable = match there.metadata() {
        Ok(status) if !status.is_dir() => Err(format!("{} is no folder", quoted(there))),
        Ok(_) => access(there, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|e| format!("cannot write in {}: {e}", quoted(there))),
        Err(e) => Err(format!("cannot look at {}: {e}", quoted(there))),
    };
    match usable {
        Ok(()) => {
            Finding::ok("state", format!("records of {user} are kept in {}; {whose} instances are seen", quoted(root)))
        }
        Err(why) => Finding::problem("state", why, "export FORERUN_STATE_DIR=/a/folder, one that can be written"),
    }
}
