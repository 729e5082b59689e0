#![forbid(unsafe_code)]
//! A CHECK as a person writes it: what is wrong with it, and what to write.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::hint;
use super::kinds::{self, Check, find, split};
use crate::text::{one_line, quoted};

impl Check {
    /// Parses one CHECK.
    ///
    /// # Errors
    /// A message that names the spec and says what to write.
    pub fn parse(spec: &OsStr) -> Result<Check, String> {
        read(spec).map_err(|reason| {
            let shown = redacted(spec);
            let reason = match read(&shown) {
                _ if shown == spec => reason,
                Err(reason) => reason,
                Ok(Check::Http(_)) => {
                    "the user name or the password has a character that no URL may have; write it as %XX".to_owned()
                }
                Ok(_) => format!("only a URL can have a user name; write {}", one_line(&shown)),
            };
            format!("invalid check {}: {reason}", quoted(&shown))
        })
    }
}

/// The reason of an error may have any part of the spec in it.
fn read(spec: &OsStr) -> Result<Check, String> {
    kinds::parse(spec).unwrap_or_else(|| Err(hint::unknown(&one_line(spec), Path::exists)))
}

/// A spec that does not parse, without what may be its userinfo: nobody knows where that ends.
fn redacted(spec: &OsStr) -> OsString {
    let bytes = spec.as_bytes();
    let start = match (bytes.windows(2).position(|w| w == b"//"), split(spec).0) {
        (Some(at), _) => at + 2,
        (None, word) => match find(word) {
            Some(kind) if kind.has_host => (word.len() + 1).min(bytes.len()),
            Some(_) => bytes.len(),
            None => 0,
        },
    };
    match bytes[start..].iter().rposition(|&b| b == b'@') {
        Some(at) => OsStr::from_bytes(&[&bytes[..start], &bytes[start + at + 1..]].concat()).to_owned(),
        None => spec.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(spec: &str) -> Result<Check, String> {
        Check::parse(OsStr::new(spec))
    }

    #[test]
    fn every_kind_reads_back_as_written() {
        for spec in [
            "cmd:python3",
            "file:/etc/a b",
            "dir:.",
            "env:HOME",
            "tcp:db.internal:5432",
            "tcp:[::1]:80",
            "unix:/run/x",
            "http://a/b?c=d",
            "https://a:8443/",
            "exec:python3 -c 'import yaml'",
            "free:80",
            "free:[::]:80",
            "fds:4096",
            "ptys:8",
        ] {
            assert_eq!(parse(spec).expect(spec).to_string(), spec);
        }
        assert_eq!(parse("tcp://h:1").expect("tcp://").to_string(), "tcp:h:1");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (spec, part) in [
            ("tpc:db:5432", "unknown kind 'tpc'; write tcp:db:5432"),
            ("", "it is empty; the kinds are cmd, file, dir, env, tcp, unix, http, https, exec, free, fds and ptys"),
            ("tcp", "nothing after 'tcp:'"),
            ("tcp:", "nothing after 'tcp:'"),
            ("tcp:::1:80", "write tcp:[::1]:80"),
            ("tcp:a:0", "'0' is not a port"),
            ("tcp:a:65536", "'65536' is not a port; a port is a number from 1 to 65535"),
            ("tcp:a:+1", "'+1' is not a port"),
            ("tcp:a b:1", "'a b' is not a host; write tcp:HOST:1"),
            ("http://", "not a URL; write http://HOST:PORT/PATH"),
            ("http://a:99999/", "'99999' is not a port"),
            ("http://a/b c", "write %20"),
            ("fds:-1", "'-1' is not a whole number; write fds:NUMBER"),
            ("fds:99999999999999999999", "is not a whole number"),
            ("env:A=B", "no '='; write env:A"),
            ("cmd:a\0b", "NUL"),
        ] {
            let error = parse(spec).expect_err(spec);
            assert!(error.starts_with("invalid check '") && error.contains(part), "{spec}: {error}");
        }
    }

    #[test]
    fn userinfo_is_never_shown() {
        assert_eq!(parse("http://user:secret@h:1/p").expect("url").to_string(), "http://h:1/p");
        assert!(!parse("http://user:secret@h:x/p").expect_err("port").contains("secret"));
        for spec in ["https://u:sec@ret@ h/p", "tcp:u:secret@h:1", "u:secret@h:1", "http:u:secret@h", "pg://u:secret@h"]
        {
            let error = parse(spec).expect_err(spec);
            assert!(!error.contains("ret@") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn relative_paths_resolve_against_the_folder_of_the_file() {
        let against = |spec| parse(spec).expect(spec).resolved_against(Path::new("/srv")).to_string();
        assert_eq!(against("file:a"), "file:/srv/a");
        assert_eq!(against("file:/a"), "file:/a");
        assert_eq!(against("cmd:bin/a"), "cmd:/srv/bin/a");
        assert_eq!(against("cmd:a"), "cmd:a");
    }
}
