//! What macOS answers, without any look at the system.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The arguments and the environment in the bytes of KERN_PROCARGS2 (sysctl(3)): the number of arguments, the
/// executable's path, padding, the arguments, the environment.
pub fn arguments_and_environment(bytes: &[u8]) -> Option<(Vec<OsString>, Vec<OsString>)> {
    let count = usize::try_from(i32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let path_end = bytes[4..].iter().position(|&b| b == 0)? + 4;
    let start = bytes[path_end..].iter().position(|&b| b != 0)? + path_end;
    let mut strings = bytes[start..].split(|&b| b == 0).map(|s| OsString::from_vec(s.to_vec()));
    let arguments = strings.by_ref().take(count).collect();
    Some((arguments, strings.take_while(|s| !s.is_empty()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_where_the_environment_begins() {
        let bytes = [&2i32.to_ne_bytes()[..], b"/bin/sleep\0\0\0\0sleep\x0010\0A=1\0B=\0\0stack\0"].concat();
        let (arguments, environment) = arguments_and_environment(&bytes).expect("a process");
        assert_eq!(arguments, ["sleep", "10"]);
        assert_eq!(environment, ["A=1", "B="]);
        assert_eq!(arguments_and_environment(&[0, 0]), None);
        assert_eq!(arguments_and_environment(&[&1i32.to_ne_bytes()[..], b"/bin/a"].concat()), None);
    }
}
