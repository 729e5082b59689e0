#![forbid(unsafe_code)]
//! What `--harden` takes away from a unit of systemd.

use super::systemd::Lines;
use super::{Draft, Scope};

/// Whether what the unit starts is in a folder of which it would have one of its own.
pub fn lives_in_tmp(draft: &Draft) -> bool {
    let mut paths = draft.paths();
    paths.any(|path| path.starts_with("/tmp") || path.starts_with("/var/tmp"))
}

/// What is taken away, and what may break of it. A user's own manager cannot give a service a view of its own of the
/// file system: there it is what needs none.
pub fn harden(out: &mut Lines, scope: Scope, lives_in_tmp: bool) {
    type Right = (&'static str, &'static str, &'static str);
    const EVERYWHERE: [Right; 7] = [
        ("NoNewPrivileges", "yes", "sudo, ping and whatever else is setuid, below the server too"),
        ("RestrictSUIDSGID", "yes", "making files setuid or setgid: some package managers"),
        ("RestrictRealtime", "yes", "real-time scheduling: audio"),
        ("RestrictNamespaces", "yes", "containers, bubblewrap, the sandbox of Chromium and Electron"),
        ("LockPersonality", "yes", "wine, setarch, 32-bit emulation"),
        ("SystemCallArchitectures", "native", "programs of another architecture, 32-bit ones too"),
        (
            "RestrictAddressFamilies",
            "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            "raw packets, Bluetooth, CAN, VM sockets (AF_NETLINK stays: forerun looks up who has a port)",
        ),
    ];
    const OF_THE_SYSTEM: [Right; 11] = [
        ("ProtectSystem", "full", "writing to /usr, /boot and /etc: self-updates, and forerun's of this file"),
        ("PrivateTmp", "yes", "sockets and files in /tmp that others are to see: tmux, X11, databases' sockets"),
        ("PrivateDevices", "yes", "GPUs, serial ports, USB, /dev/fuse"),
        ("ProtectKernelTunables", "yes", "writing to /proc/sys and /sys"),
        ("ProtectKernelModules", "yes", "loading kernel modules: VPNs, firewalls"),
        ("ProtectKernelLogs", "yes", "reading dmesg"),
        ("ProtectControlGroups", "yes", "making control groups: containers"),
        ("ProtectClock", "yes", "setting the clock; reading hardware clocks"),
        ("ProtectHostname", "yes", "setting the host's name"),
        (
            "CapabilityBoundingSet",
            "~CAP_SYS_ADMIN CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_BOOT CAP_SYS_TIME CAP_SYSLOG CAP_MAC_ADMIN CAP_MAC_OVERRIDE",
            "mounting, and what administers the machine rather than serves",
        ),
        ("UMask", "0027", "files that others are to read"),
    ];
    out.say("--harden. Each line may break what its comment says; take it out in a drop-in if it does.");
    let system: &[Right] = if scope == Scope::System { &OF_THE_SYSTEM } else { &[] };
    for (key, value, breaks) in EVERYWHERE.iter().chain(system) {
        // Without its own files it could not even start.
        if *key == "PrivateTmp" && lives_in_tmp {
            continue;
        }
        out.set(&format!("breaks: {breaks}"), key, value);
    }
}
