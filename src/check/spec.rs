#![forbid(unsafe_code)]
//! A CHECK as a person writes it: what is wrong with it, and what to write.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::address::AMBIGUOUS;
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
                _ if shown == spec || reason == AMBIGUOUS => reason,
                Err(reason) => reason,
                Ok(check) if matches!(check, Check::Http(_)) || check.server().is_some() => {
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
            "unix:@x",
            "http+unix:/run/x.sock:/health?deep=1",
            "postgres://db/app",
            "postgresql://[::1]:5433/a%20b",
            "mysql://db",
            "redis://db:6380/0",
            "rediss://db",
            "grpc://db:50051/my.Service",
            "grpcs://db:443",
            "dns:db.internal",
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
            ("", "it is empty; the kinds are cmd, file, dir, env, tcp, unix, http, https, http+unix, postgres, "),
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
            ("redis:db", "'//' is missing; write redis://db"),
            ("redis://", "the host is missing; write redis://127.0.0.1"),
            ("postgres:///app", "the host is missing; write postgres://127.0.0.1"),
            ("postgres://a,b/app", "'a,b' is not a host; write postgres://HOST:PORT"),
            ("mysql://${DB}/app", "'${DB}' is not a host"),
            ("mysql://::1", "an IPv6 address goes in brackets; write mysql://[::1]"),
            ("redis://db:0", "'0' is not a port"),
            ("redis://a b", "write %20"),
            ("postgres://db/a%00", "NUL"),
            ("grpc://db", "the port is missing; write grpc://HOST:PORT"),
            (&format!("grpc://db:1/{}", "x".repeat(1001)), "more than 1000 bytes"),
            ("dns:127.0.0.1", "an address needs no resolver"),
            ("dns:a:53", "'a:53' is not a name; write dns:NAME"),
            ("unix:@", "nothing after 'unix:@'"),
            (&format!("unix:/{}", "a".repeat(107)), "its path has 108 bytes, and a socket's has at most 107"),
            (&format!("unix:@{}", "a".repeat(108)), "its name has 108 bytes"),
            ("http://web:80/users/a@b", "elsewhere write the '@' as %40"),
            ("redis://db/0?a@b", "elsewhere write the '@' as %40"),
            ("pgsql://db/app", "write postgres://db/app"),
            ("mariadb://db", "write mysql://db"),
            ("postgers://db", "write postgres://db"),
            ("reids://db", "write redis://db"),
            ("gprc://db:1", "write grpc://db:1"),
            ("dsn:db", "write dns:db"),
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
        for kind in ["http", "https", "postgres", "postgresql", "mysql", "redis", "rediss", "grpc", "grpcs", "pg", "x"]
        {
            for password in ["secret", "sec@secret", "'secret'", "%2Fsecret%zz", "\"secret"] {
                let shown = match parse(&format!("{kind}://user:{password}@h:1/p")) {
                    Ok(check) => format!("{check} {:?}", check.server()),
                    Err(error) => error,
                };
                assert!(!shown.contains("secret") && shown.contains("://h:1/p"), "{shown}");
            }
            for password in
                ["12/secret", "12?secret", "12#secret", "a/secret", "@/secret", "p@12/secret", "12//secret/"]
            {
                let error = parse(&format!("{kind}://user:{password}@h:1/p")).expect_err(kind);
                assert!(!error.contains("secret") && !error.contains("12"), "{error}");
                // And where the text of somebody else has it.
                let line = one_line(&format!("in {kind}://user:12/secret@h:1/p"));
                assert_eq!(line, format!("in {kind}://h:1/p"));
            }
        }
        for spec in ["redis://u:s%2Fcret@h", "postgres://u@h/db", "http://u:secret@h:1/p"] {
            assert_eq!(parse(spec).expect(spec).spec().to_str().map(|s| s.trim_end_matches('/')), Some(spec));
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
