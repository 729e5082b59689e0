#![forbid(unsafe_code)]
//! The grammar of CHECK.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ureq::http::Uri;

use super::hint;
use crate::text::{one_line, quoted, whole_number};

pub const KINDS: [&str; 12] =
    ["cmd", "file", "dir", "env", "tcp", "unix", "http", "https", "exec", "free", "fds", "ptys"];

/// One condition.
#[derive(Clone, PartialEq, Debug)]
pub enum Check {
    Command(OsString),
    File(PathBuf),
    Directory(PathBuf),
    Variable(String),
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
    Http(Uri),
    Exec(OsString),
    Free { host: Option<String>, port: u16 },
    Descriptors(u64),
    Ptys(u64),
}

impl Check {
    /// Parses one CHECK.
    ///
    /// # Errors
    /// A message that names the spec and says what to write.
    pub fn parse(spec: &OsStr) -> Result<Check, String> {
        Self::read(spec).map_err(|reason| {
            let shown = redacted(spec);
            let reason = match Self::read(&shown) {
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

    /// The reason of an error may have any part of the spec in it.
    fn read(spec: &OsStr) -> Result<Check, String> {
        let (kind, operand) = split(spec);
        if !KINDS.contains(&kind) {
            return Err(hint::unknown(&one_line(spec), Path::exists));
        }
        if operand.is_empty() {
            return Err(format!("nothing after '{kind}:'; write {}", hint::form(kind)));
        }
        if operand.as_bytes().contains(&0) {
            return Err("it has a NUL byte; remove it".to_owned());
        }
        let text = || operand.to_str().ok_or_else(|| format!("it is not UTF-8; write {}", hint::form(kind)));
        Ok(match kind {
            "cmd" => Check::Command(operand.to_owned()),
            "file" => Check::File(operand.into()),
            "dir" => Check::Directory(operand.into()),
            "env" if operand.as_bytes().contains(&b'=') => {
                let name = one_line(operand.as_bytes().split(|&b| b == b'=').next().map_or(operand, OsStr::from_bytes));
                return Err(format!("a variable's name has no '='; write env:{name}"));
            }
            "env" => Check::Variable(text()?.to_owned()),
            "tcp" => {
                let address = text()?;
                let (host, port) = host_and_port(kind, address.strip_prefix("//").unwrap_or(address))?;
                let host = host.ok_or_else(|| format!("the host is missing; write tcp:127.0.0.1:{port}"))?;
                Check::Tcp { host, port }
            }
            "unix" => Check::Unix(operand.into()),
            "exec" => Check::Exec(operand.to_owned()),
            "free" => {
                let (host, port) = host_and_port(kind, text()?)?;
                Check::Free { host, port }
            }
            "fds" => Check::Descriptors(count(kind, text()?)?),
            "ptys" => Check::Ptys(count(kind, text()?)?),
            _ => Check::Http(url(kind, text()?)?),
        })
    }

    /// The same check, with a relative path taken from `folder`.
    pub fn resolved_against(self, folder: &Path) -> Check {
        match self {
            Check::File(path) => Check::File(folder.join(path)),
            Check::Directory(path) => Check::Directory(folder.join(path)),
            Check::Unix(path) => Check::Unix(folder.join(path)),
            Check::Command(path) if path.as_bytes().contains(&b'/') => Check::Command(folder.join(path).into()),
            other => other,
        }
    }

    /// Host and port, where the check connects to one.
    pub fn address(&self) -> Option<(&str, u16)> {
        match self {
            Check::Tcp { host, port } => Some((host, *port)),
            Check::Http(uri) => Some((bare_host(uri)?, port_of(uri))),
            _ => None,
        }
    }

    /// The path that a URL asks for.
    pub fn path(&self) -> Option<&str> {
        match self {
            Check::Http(uri) => Some(uri.path()),
            _ => None,
        }
    }
}

impl Check {
    /// What [`Check::parse`] makes this check of, with its secrets.
    pub fn spec(&self) -> OsString {
        let address = |host: &str, port: &u16| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let text = |kind: &str, operand: &OsStr| [OsStr::new(kind), operand].into_iter().collect::<OsString>();
        match self {
            Check::Command(name) => text("cmd:", name),
            Check::File(path) => text("file:", path.as_os_str()),
            Check::Directory(path) => text("dir:", path.as_os_str()),
            Check::Variable(name) => text("env:", name.as_ref()),
            Check::Tcp { host, port } => format!("tcp:{}", address(host, port)).into(),
            Check::Unix(path) => text("unix:", path.as_os_str()),
            Check::Http(uri) => uri.to_string().into(),
            Check::Exec(script) => text("exec:", script),
            Check::Free { host: Some(host), port } => format!("free:{}", address(host, port)).into(),
            Check::Free { host: None, port } => format!("free:{port}").into(),
            Check::Descriptors(count) => format!("fds:{count}").into(),
            Check::Ptys(count) => format!("ptys:{count}").into(),
        }
    }
}

/// As it was written, but for what is secret in it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&one_line(&self.spec()))
    }
}

/// The host of a URL, an IPv6 address without its brackets.
pub fn bare_host(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    Some(host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host))
}

/// The port of a URL, or its scheme's.
pub fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// What is before the first colon, and what is after it.
fn split(spec: &OsStr) -> (&str, &OsStr) {
    let bytes = spec.as_bytes();
    let colon = bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len());
    let kind = std::str::from_utf8(&bytes[..colon]).unwrap_or_default();
    (kind, OsStr::from_bytes(bytes.get(colon + 1..).unwrap_or_default()))
}

/// A spec that does not parse, without what may be its userinfo: nobody knows where that ends.
fn redacted(spec: &OsStr) -> OsString {
    let bytes = spec.as_bytes();
    let start = match (bytes.windows(2).position(|w| w == b"//"), split(spec).0) {
        (Some(at), _) => at + 2,
        (None, kind @ ("tcp" | "http" | "https" | "free")) => (kind.len() + 1).min(bytes.len()),
        (None, kind) if KINDS.contains(&kind) => bytes.len(),
        (None, _) => 0,
    };
    match bytes[start..].iter().rposition(|&b| b == b'@') {
        Some(at) => OsStr::from_bytes(&[&bytes[..start], &bytes[start + at + 1..]].concat()).to_owned(),
        None => spec.to_owned(),
    }
}

fn url(scheme: &str, operand: &str) -> Result<Uri, String> {
    // What parses without a fragment means the same with one, which no server ever sees.
    let text = format!("{scheme}:{}", operand.split('#').next().unwrap_or_default());
    let host_and_port = operand.strip_prefix("//").unwrap_or_default();
    let host_and_port = host_and_port.split(['/', '?', '#']).next().unwrap_or_default().rsplit('@').next();
    let after_host = host_and_port.and_then(|text| text.rsplit(']').next()).unwrap_or_default();
    if let Some((_, port)) = after_host.rsplit_once(':') {
        number(port)?;
    }
    if operand.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a URL has no spaces; write %20".to_owned());
    }
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some(scheme));
    let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    uri.ok_or_else(|| hint::url(scheme, &one_line(operand)))
}

/// The port that a text is.
pub fn number(text: &str) -> Result<u16, String> {
    let port = whole_number(text).ok().filter(|&port| port > 0);
    port.ok_or_else(|| format!("{} is not a port; a port is a number from 1 to 65535", quoted(text)))
}

fn host_and_port(kind: &str, text: &str) -> Result<(Option<String>, u16), String> {
    let Some((host, port)) = text.rsplit_once(':') else {
        let is_name = kind == "tcp" && text.starts_with(char::is_alphabetic) && !text.contains('/');
        return match is_name {
            true => Err(format!("the port is missing; write tcp:{}:PORT", one_line(text))),
            false => Ok((None, number(text)?)),
        };
    };
    if let Some((port, path)) = port.split_once('/').filter(|(port, _)| kind == "tcp" && number(port).is_ok()) {
        let host = one_line(host);
        return Err(format!(
            "a tcp check has no path; write http://{host}:{port}/{} or tcp:{host}:{port}",
            one_line(path)
        ));
    }
    let number = number(port)?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if bare.is_none() && host.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address goes in brackets; write {kind}:[{host}]:{number}"));
    }
    if bare.is_none() && host.contains(':') {
        return Err(format!("an IPv6 address goes in brackets; write {kind}:[::1]:{number}"));
    }
    let bare = bare.unwrap_or(host);
    if bare.is_empty() {
        return Err(format!("the host is missing; write {kind}:127.0.0.1:{number}"));
    }
    if bare.contains(|c: char| c.is_whitespace() || c.is_control() || "/[]@".contains(c)) {
        return Err(format!("{} is not a host; write {kind}:HOST:{number}", quoted(host)));
    }
    Ok((Some(bare.to_owned()), number))
}

fn count(kind: &str, text: &str) -> Result<u64, String> {
    whole_number(text).map_err(|_| format!("{} is not a whole number; write {}", quoted(text), hint::form(kind)))
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
