#![forbid(unsafe_code)]
//! The grammar of CHECK.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ureq::http::Uri;

use crate::text::{one_line, quoted};

const KINDS: [&str; 12] = ["cmd", "file", "dir", "env", "tcp", "unix", "http", "https", "exec", "free", "fds", "ptys"];

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
    /// A message that names the spec and says what would be right.
    pub fn parse(spec: &OsStr) -> Result<Check, String> {
        Self::read(spec).map_err(|reason| format!("invalid check {}: {reason}", quoted(&redacted(spec))))
    }

    fn read(spec: &OsStr) -> Result<Check, String> {
        let bytes = spec.as_bytes();
        let colon = bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len());
        let kind = std::str::from_utf8(&bytes[..colon]).unwrap_or_default();
        let operand = OsStr::from_bytes(bytes.get(colon + 1..).unwrap_or_default());
        if !KINDS.contains(&kind) {
            let last = KINDS[KINDS.len() - 1];
            let kinds = format!("{} or {last}", KINDS[..KINDS.len() - 1].join(", "));
            return Err(format!("unknown kind '{}'; expected {kinds}", one_line(OsStr::from_bytes(&bytes[..colon]))));
        }
        if operand.is_empty() {
            return Err(format!("nothing after '{kind}:'"));
        }
        if operand.as_bytes().contains(&0) {
            return Err("it has a NUL byte".to_owned());
        }
        let text = || operand.to_str().ok_or_else(|| "it is not UTF-8".to_owned());
        Ok(match kind {
            "cmd" => Check::Command(operand.to_owned()),
            "file" => Check::File(operand.into()),
            "dir" => Check::Directory(operand.into()),
            "env" if operand.as_bytes().contains(&b'=') => return Err("a variable's name has no '='".to_owned()),
            "env" => Check::Variable(text()?.to_owned()),
            "tcp" => {
                let address = text()?;
                let (host, port) = host_and_port(address.strip_prefix("//").unwrap_or(address))?;
                Check::Tcp { host: host.ok_or("expected tcp:HOST:PORT")?, port }
            }
            "unix" => Check::Unix(operand.into()),
            "exec" => Check::Exec(operand.to_owned()),
            "free" => {
                let (host, port) = host_and_port(text()?)?;
                Check::Free { host, port }
            }
            "fds" => Check::Descriptors(count(text()?)?),
            "ptys" => Check::Ptys(count(text()?)?),
            _ => Check::Http(url(spec.to_str().ok_or("it is not UTF-8")?)?),
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

/// A spec that does not parse, without what may be its userinfo: nobody knows where that ends.
fn redacted(spec: &OsStr) -> OsString {
    let bytes = spec.as_bytes();
    let start = bytes.windows(2).position(|w| w == b"//").map_or(bytes.len(), |at| at + 2);
    match bytes[start..].iter().rposition(|&b| b == b'@') {
        Some(at) => OsStr::from_bytes(&[&bytes[..start], &bytes[start + at + 1..]].concat()).to_owned(),
        None => spec.to_owned(),
    }
}

fn url(text: &str) -> Result<Uri, String> {
    // What parses without a fragment means the same with one, which no server ever sees.
    let text = text.split('#').next().unwrap_or_default();
    let uri: Uri = text.parse().map_err(|e| format!("not a URL: {e}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => {}
        _ => return Err("expected http://HOST[:PORT]/PATH".to_owned()),
    }
    let authority = uri.authority().map_or("", |a| a.as_str());
    let host_part = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host_part.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    if has_port && uri.port_u16().is_none_or(|p| p == 0) {
        return Err("a port is a number from 1 to 65535".to_owned());
    }
    Ok(uri)
}

fn host_and_port(text: &str) -> Result<(Option<String>, u16), String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, text),
    };
    let number = port.parse::<u16>().ok().filter(|&p| p > 0 && port.bytes().all(|b| b.is_ascii_digit()));
    let number = number.ok_or_else(|| format!("'{}' is no port: a number from 1 to 65535", one_line(port)))?;
    let Some(host) = host else { return Ok((None, number)) };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err("an IPv6 address goes in brackets: [::1]:PORT".to_owned());
    }
    let bare = bare.unwrap_or(host);
    if bare.is_empty() || bare.contains(|c: char| c.is_whitespace() || c.is_control() || "/[]@".contains(c)) {
        return Err(format!("'{}' is no host", one_line(host)));
    }
    Ok((Some(bare.to_owned()), number))
}

fn count(text: &str) -> Result<u64, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| format!("'{}' is no whole number", one_line(text)))
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
            (
                "tpc:db:5432",
                "unknown kind 'tpc'; expected cmd, file, dir, env, tcp, unix, http, https, exec, free, fds or ptys",
            ),
            ("", "unknown kind ''"),
            ("tcp", "nothing after 'tcp:'"),
            ("tcp:", "nothing after 'tcp:'"),
            ("tcp:db", "'db' is no port"),
            ("tcp:5432", "expected tcp:HOST:PORT"),
            ("tcp::1", "'' is no host"),
            ("tcp:::1:80", "brackets"),
            ("tcp:a:0", "'0' is no port"),
            ("tcp:a:65536", "'65536' is no port"),
            ("tcp:a:+1", "'+1' is no port"),
            ("http://", "http"),
            ("http:/x", "not a URL"),
            ("http://a:99999/", "http"),
            ("fds:-1", "'-1' is no whole number"),
            ("fds:99999999999999999999", "no whole number"),
            ("env:A=B", "no '='"),
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
        assert!(!parse("https://u:sec@ret@ h/p").expect_err("space").contains("ret"));
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
