#![forbid(unsafe_code)]
//! The cookie: `FORERUN_INSTANCE=<name>/<16 hex digits>` in the server's environment. All its descendants inherit it.

use crate::environment::{COOKIE, Environment};
use crate::sys;

/// Makes a new cookie for a service.
pub fn new(name: &str) -> String {
    // In the first moments of a boot the kernel may have no random numbers. Time and our pid are then unique enough.
    let fallback = || {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_right(16)
    };
    format!("{name}/{:016x}", getrandom::u64().unwrap_or_else(|_| fallback()))
}

/// The name of the service that a process was started from, by the cookie in its environment. That tells where it comes
/// from, not whose it is.
pub fn of_process(pid: i32) -> Option<String> {
    let environment = Environment::new(sys::environment_of(pid)?);
    let cookie = environment.get(COOKIE)?.to_str()?;
    let (name, _) = cookie.rsplit_once('/')?;
    is_of(name, cookie).then(|| name.to_owned())
}

/// Whether a text is a cookie of this service.
pub fn is_of(name: &str, cookie: &str) -> bool {
    let digits = cookie.strip_prefix(name).and_then(|rest| rest.strip_prefix('/'));
    digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_of_its_service_only() {
        assert!(is_of("web", &new("web")));
        assert!(!is_of("we", &new("web")));
        assert!(!is_of("web", "web/123"));
        assert_ne!(new("web"), new("web"));
    }
}
