#![forbid(unsafe_code)]
//! The restrictions that `--harden` adds to a unit of systemd.

use super::lines::Lines;
use crate::supervisor::units::{Scope, UnitSpec};

/// Whether the service lives in a folder that PrivateTmp= would replace.
pub fn lives_in_tmp(spec: &UnitSpec) -> bool {
    spec.paths().into_iter().any(|path| path.starts_with("/tmp") || path.starts_with("/var/tmp"))
}

/// Adds each restriction with what it may break. A user's own manager cannot give a service its own view of the file
/// system, so its units get only the restrictions that need none.
pub fn harden(out: &mut Lines, scope: Scope, lives_in_tmp: bool) {
    type Right = (&'static str, &'static str, &'static str);
    const EVERYWHERE: [Right; 7] = [
        ("NoNewPrivileges", "yes", "sudo, ping and all other setuid programs, in child processes too"),
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
        ("ProtectSystem", "full", "writing to /usr, /boot and /etc: self-updates, and forerun's update of this file"),
        ("PrivateTmp", "yes", "sockets and files in /tmp that other processes use: tmux, X11, databases"),
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
            "mounting and other administration of the machine",
        ),
        ("UMask", "0027", "files that other users must read"),
    ];
    out.say("Added by --harden. Each line may break what its comment names. If it does, undo the line in a drop-in.");
    let system: &[Right] = if scope == Scope::System { &OF_THE_SYSTEM } else { &[] };
    for (key, value, breaks) in EVERYWHERE.iter().chain(system) {
        // Without its own files the service could not even start.
        if *key == "PrivateTmp" && lives_in_tmp {
            continue;
        }
        out.set(&format!("breaks: {breaks}"), key, value);
    }
}
