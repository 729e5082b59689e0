//! Real-time signals, and what a process does with a signal.

use std::ops::RangeInclusive;

/// macOS has no real-time signals.
pub fn realtime_signals() -> RangeInclusive<i32> {
    RangeInclusive::new(1, 0)
}

/// The signals that a process ignores, and those that it handles. macOS does not tell.
pub fn signal_masks(_: i32) -> Option<(u64, u64)> {
    None
}
