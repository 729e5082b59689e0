#![forbid(unsafe_code)]
//! Findings about the mode and about this machine.

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, User, access, geteuid};

use crate::check::port;
use crate::environment::Environment;
use crate::report::doctor::Finding;
use crate::service::Service;
use crate::supervisor::clues::Clues;
use crate::supervisor::decide::{Decision, Mode};
use crate::sys;
use crate::text::quoted;

/// Percentage of the pseudo-terminals in use from which new terminals may fail to open.
const NEARLY_ALL: u64 = 90;
/// A server with a lower limit soon runs out of descriptors.
const FEW: u64 = 1024;

/// The mode, the reason for it, and the proof.
pub fn mode(decision: &Decision, environment: &Environment) -> Vec<Finding> {
    let by = decision.recognised;
    let proof = by.and_then(|by| by.proof(&Clues::look(environment)));
    let (text, may_be_inherited) = proof.map_or((String::new(), false), |proof| (proof.text, proof.may_be_inherited));
    let message = format!("{}: {}{text}", decision.mode, decision.reason);
    let is_inherited = decision.mode == Mode::Foreground && may_be_inherited && !decision.parent_supervised;
    let mut findings = vec![match is_inherited {
        false => Finding::ok("mode", message),
        true => Finding::warning("mode", message, "if this is not a service: --detach, or FORERUN_FOREGROUND=0"),
    }];
    if let Some(remark) = &decision.remark {
        findings.push(Finding::warning("mode", remark.what.as_str(), remark.what_to_do));
    }
    if let Some(by) = by.filter(|_| decision.parent_supervised) {
        let parent = port::describe(std::os::unix::process::parent_id() as i32);
        let message = format!("{by} started our parent, {parent}, not us: it supervises the script, not the server");
        findings.push(Finding::problem("start.sh", message, "write 'exec' before forerun in that script"));
    }
    findings
}

/// Descriptor limits and the pool of pseudo-terminals.
pub fn pools(service: Option<&Service>) -> Vec<Finding> {
    let now = sys::nofile();
    let (server, clamped) = service.map_or((now, false), Service::server_nofile);
    let default =
        if std::env::consts::OS == "macos" { "; a job of launchd has 256 unless its plist sets more" } else { "" };
    let message = format!(
        "{}:{} descriptors here, soft:hard; the server gets {}:{}{default}",
        now.soft, now.hard, server.soft, server.hard
    );
    let mut findings = vec![match (clamped, server.soft < FEW) {
        (true, _) => Finding::warning(
            "limits",
            format!("{message}, fewer than you asked for"),
            "raise the hard limit: ulimit -Hn (as root), or LimitNOFILE= in a unit",
        ),
        (_, true) => Finding::warning("limits", message, "give --nofile 8192:16384, or set [limits] in forerun.toml"),
        _ => Finding::ok("limits", message),
    }];
    findings.push(match sys::ptys() {
        Err(e) => {
            Finding::warning("ptys", format!("cannot read the counters of the pool: {e}"), "mount -t proc proc /proc")
        }
        Ok((used, most)) if used * 100 >= most * NEARLY_ALL => {
            let holder = sys::most_ptys();
            let who = holder.map_or(String::new(), |(pid, count)| format!("; {} holds {count}", port::describe(pid)));
            let mend = holder
                .map_or("end the processes that hold them".to_owned(), |(pid, _)| format!("restart it, or kill {pid}"));
            Finding::problem("ptys", format!("{used} of the system's {most} pseudo-terminals are in use{who}"), mend)
        }
        Ok((used, most)) => Finding::ok("ptys", format!("{used} of the system's {most} pseudo-terminals are in use")),
    });
    findings
}

/// Whether records can be written. Creates nothing. `is_chosen`: FORERUN_STATE_DIR names the folder.
pub fn state_folder(root: &Result<PathBuf, String>, is_chosen: bool) -> Finding {
    let user = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
    let seen = match (is_chosen, geteuid().is_root()) {
        (true, _) => "only instances in this folder are seen (FORERUN_STATE_DIR)",
        (false, true) => "instances of all users are seen",
        (false, false) => "only this user's instances are seen",
    };
    let root = match root {
        Ok(root) => root,
        Err(why) => {
            return Finding::problem(
                "state",
                why.clone(),
                "name a folder that can be written to: export FORERUN_STATE_DIR=/a/folder",
            );
        }
    };
    let mut there: &Path = root;
    while there.symlink_metadata().is_err() {
        there = there.parent().unwrap_or(Path::new("/"));
    }
    let usable = match there.metadata() {
        Ok(status) if !status.is_dir() => Err(format!("{} is not a folder", quoted(there))),
        Ok(_) => access(there, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|e| format!("cannot write in {}: {e}", quoted(there))),
        Err(e) => Err(format!("cannot look at {}: {e}", quoted(there))),
    };
    match usable {
        Ok(()) => Finding::ok("state", format!("records of {user} are kept in {}; {seen}", quoted(root))),
        Err(why) => {
            Finding::problem("state", why, "name a folder that can be written to: export FORERUN_STATE_DIR=/a/folder")
        }
    }
}
