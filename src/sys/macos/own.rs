//! Attributes of this very process: macOS has none of those.

use std::ffi::CStr;

/// macOS gives every orphan to launchd.
pub fn set_subreaper() {}

/// macOS cannot tell a child that its parent ended. The child ends when its work is done.
pub fn end_with_parent(_signal: i32) {}

/// Not needed here: the name is that of the executable.
pub fn set_name(_name: &CStr) {}

/// Not needed here: no orphan becomes a child of ours.
pub fn own_children(_found: &mut [i32]) -> usize {
    0
}
