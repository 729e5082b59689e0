#![forbid(unsafe_code)]
//! All that is known of containers: what is below their pid 1 ends with it.

use super::clues::{Ancestor, Clues};
use super::evidence::{Evidence, Rank, Remark};
use super::job::Verb;
use super::kind::Supervisor;

pub struct Container;

/// Names of pid 1 that are a system's init, and no container's.
const INITS: [&str; 13] = [
    "systemd",
    "init",
    "launchd",
    "runit",
    "runit-init",
    "s6-svscan",
    "s6-linux-init",
    "dinit",
    "openrc-init",
    "shepherd",
    "finit",
    "sinit",
    "procd",
];

impl Supervisor for Container {
    fn word(&self) -> &'static str {
        "a container"
    }

    fn recognise(&self, clues: &Clues) -> Option<Evidence> {
        let evidence = |reason: String| Some(Evidence::new(Rank::Init, reason));
        if clues.pid == 1 {
            return evidence("we are pid 1".to_owned());
        }
        if let Some(name) = own_init(&clues.parent) {
            return evidence(format!("our parent is pid 1, '{name}', which is not the system's init"));
        }
        if clues.parent.pid == 0 && !clues.controlling_terminal {
            return evidence("our parent is outside our pid namespace and there is no controlling terminal".to_owned());
        }
        // In the pid namespace of the host (`--pid=host`) no pid 1 shows it.
        let shim = clues.started_by(|name| name.starts_with("containerd-shim") || name == "conmon");
        if shim.is_some() {
            return shim;
        }
        // A script of another session left it on purpose: it is a job of its own below a container's shell.
        let is_of_ours = |above: &&Ancestor| above.session == clues.session && clues.is_in_script_of(above);
        let above = clues.grandparent.as_ref().filter(is_of_ours);
        if let Some(name) = above.and_then(own_init) {
            let reason = format!("our parent's parent is pid 1, '{name}', and there is no terminal");
            return Some(Evidence { of_parent: true, ..Evidence::new(Rank::Grandparent, reason) });
        }
        None
    }

    fn remark(&self, clues: &Clues) -> Option<Remark> {
        const SHELLS: [&str; 8] = ["sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "zsh"];
        if clues.pid == 1 {
            let what = "the server will be pid 1: a signal that it does not handle, such as SIGTERM, does nothing, and \
                        orphans are not reaped";
            let what_to_do = "give the container an init: docker run --init, or 'init: true' in a compose file";
            return Some(Remark { what: what.to_owned(), what_to_do });
        }
        let shell = own_init(&clues.parent).filter(|name| SHELLS.contains(name))?;
        let what =
            format!("pid 1 is the shell '{shell}': it passes no signal on to the server, and ends without waiting");
        let what_to_do =
            "write 'exec' before forerun in the entrypoint, and give the container an init: docker run --init";
        Some(Remark { what, what_to_do })
    }

    fn advice(&self, verb: Verb) -> String {
        format!("{} the container", verb.word())
    }
}

/// The name of a pid 1 that is not the system's init. If the name is unknown, pid 1 may still be one, because /proc can
/// hide the name.
fn own_init(process: &Ancestor) -> Option<&str> {
    process.name.as_deref().filter(|name| process.pid == 1 && !INITS.contains(name))
}
