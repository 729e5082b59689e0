//! A symlink, as the walk to a file finds it.

use std::ffi::OsString;
use std::path::Path;

/// A symlink that was looked at without being followed.
#[derive(Debug)]
pub struct Link {
    /// The user who made it.
    pub owner: u32,
    /// Where it leads. `None` if only the kernel can tell: the links of /proc, such as those behind /dev/stderr.
    pub target: Option<OsString>,
}

/// Whether two paths lead to the same file or folder, symlinks included.
pub fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
