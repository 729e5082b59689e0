//! Real-time signals (signal(7)), and what a process does with a signal (proc_pid_status(5)).

use std::fs;
use std::ops::RangeInclusive;

use super::super::procfs;

/// The numbers of the real-time signals that programs may use.
pub fn realtime_signals() -> RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// The signals that a process ignores, and those that it handles, with bit 0 for signal 1. One that is blocked is waited
/// for (sigwait(3), signalfd(2)).
pub fn signal_masks(pid: i32) -> Option<(u64, u64)> {
    procfs::signal_masks(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}
