//! The limit of open descriptors (RLIMIT_NOFILE, getrlimit(2)).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::os;

/// A soft and a hard limit of open descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Nofile {
    pub soft: u64,
    pub hard: u64,
}

/// The current limits.
pub fn nofile() -> Nofile {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
    Nofile { soft, hard }
}

/// The part of `wanted` that this process may have. Tries a hard limit above the current one, and restores the current
/// one.
pub fn allowed_nofile(wanted: Nofile) -> Nofile {
    let now = nofile();
    let mut hard = wanted.hard;
    if hard > now.hard {
        let raised = Nofile { soft: now.soft, hard };
        if set_nofile(raised) {
            set_nofile(now);
        } else {
            hard = now.hard;
        }
    }
    let ceiling = os::most_descriptors().unwrap_or(u64::MAX).min(hard);
    Nofile { soft: wanted.soft.min(ceiling), hard }
}

/// Sets the limits of this process. False if the kernel refuses. Safe between fork and exec.
pub fn set_nofile(limits: Nofile) -> bool {
    setrlimit(Resource::RLIMIT_NOFILE, limits.soft, limits.hard).is_ok()
}

/// One more than the highest descriptor number that can be opened.
pub fn open_max() -> i32 {
    i32::try_from(nofile().soft).unwrap_or(i32::MAX)
}
