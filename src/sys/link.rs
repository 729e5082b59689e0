//! A symlink, as the walk to a file finds it.

use std::ffi::OsString;

/// A symlink that was looked at without being followed.
#[derive(Debug)]
pub struct Link {
    /// The user who made it.
    pub owner: u32,
    /// Where it leads. `None` if only the kernel can tell: the links of /proc, such as those behind /dev/stderr.
    pub target: Option<OsString>,
}
