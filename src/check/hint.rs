#![forbid(unsafe_code)]
//! What to write in the place of a CHECK that does not parse. All texts here have lost their userinfo already.

use std::net::Ipv6Addr;
use std::path::Path;

use super::spec::{Check, KINDS, number};
use crate::text::nearest;

/// URLs of servers that have no kind of check of their own, with their default ports.
const SERVERS: [(&str, u16); 15] = [
    ("postgres", 5432),
    ("postgresql", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("redis", 6379),
    ("rediss", 6379),
    ("amqp", 5672),
    ("amqps", 5671),
    ("mongodb", 27017),
    ("nats", 4222),
    ("memcached", 11211),
    ("ldap", 389),
    ("ldaps", 636),
    ("ssh", 22),
    ("smtp", 25),
];

/// The form of a kind, for one that has nothing or nonsense after its colon.
pub fn form(kind: &str) -> String {
    match kind {
        "file" | "dir" | "unix" => format!("{kind}:PATH"),
        "tcp" => "tcp:HOST:PORT".to_owned(),
        "http" | "https" => format!("{kind}://HOST:PORT/PATH"),
        "exec" => "exec:COMMAND".to_owned(),
        "free" => "free:PORT".to_owned(),
        "fds" | "ptys" => format!("{kind}:NUMBER"),
        _ => format!("{kind}:NAME"),
    }
}

/// Why a text that starts with no kind is no check, and what to write. `exists` is asked about paths.
pub fn unknown(text: &str, exists: impl Fn(&Path) -> bool) -> String {
    if text.is_empty() {
        return format!("it is empty; {}", kinds());
    }
    if let Some(instead) = kind_missing(text, exists) {
        return format!("the kind is missing; write {instead}");
    }
    let Some((kind, operand)) = text.split_once(':') else {
        return format!("the kind is missing; {}", kinds());
    };
    let instead = misspelt(kind, operand).or_else(|| foreign_url(kind, operand)).or_else(|| other_word(kind, operand));
    match instead {
        Some(instead) => format!("unknown kind '{kind}'; write {instead}"),
        None => format!("unknown kind '{kind}'; {}", kinds()),
    }
}

/// What to write for a URL that has no `//` or no host.
pub fn url(scheme: &str, operand: &str) -> String {
    let rest = operand.trim_start_matches('/');
    match address(rest) {
        Some((host, port, path)) if !operand.starts_with("//") => {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("'//' is missing; write {scheme}://{host}{port}{}", or_slash(path))
        }
        _ if !rest.is_empty() && !operand.starts_with("//") => {
            format!("the host is missing; write {scheme}://127.0.0.1:PORT/{rest}")
        }
        _ => format!("it is not a URL; write {}", form(scheme)),
    }
}

fn kinds() -> String {
    let last = KINDS[KINDS.len() - 1];
    format!("the kinds are {} and {last}", KINDS[..KINDS.len() - 1].join(", "))
}

/// What to write for a bare address, port, path or word after a kind.
fn kind_missing(text: &str, exists: impl Fn(&Path) -> bool) -> Option<String> {
    if let Some((kind, operand)) = text.split_once([' ', '=']).filter(|(kind, _)| KINDS.contains(kind)) {
        return Some(or_form(kind, operand.trim_start()));
    }
    let path = Path::new(text);
    if text.contains(['/', '.']) && exists(path) {
        return Some(if path.is_dir() { format!("dir:{text}") } else { format!("file:{text}") });
    }
    if text.starts_with("./") || text.starts_with("../") || text.starts_with("~/") {
        return Some(format!("file:{text}"));
    }
    if text.starts_with('/') && !text.starts_with("//") {
        return Some(format!("http://127.0.0.1:PORT{text}"));
    }
    let bare = text.strip_prefix(':').unwrap_or(text);
    let (number, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    if let Some(port) = port(number) {
        return Some(both("127.0.0.1", &port.to_string(), path));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some(both(&format!("[{text}]"), "PORT", ""));
    }
    if text.split_once(':').is_some_and(|(word, operand)| other_word(word, operand).is_some()) {
        return None;
    }
    match address(text)? {
        (host, Some(port), path) => Some(both(host, &port.to_string(), path)),
        (host, None, "") => Some(format!("tcp:{host}:PORT or http://{host}/")),
        (host, None, path) => Some(format!("http://{host}{path}")),
    }
}

/// The same check with the kind that was meant.
fn misspelt(kind: &str, operand: &str) -> Option<String> {
    nearest(&kind.to_lowercase(), KINDS).map(|near| or_form(near, operand))
}

/// The check of a kind, or the kind's form where the operand fits it no better.
fn or_form(kind: &str, operand: &str) -> String {
    let spec = format!("{kind}:{operand}");
    if Check::parse(spec.as_ref()).is_ok() { spec } else { form(kind) }
}

/// Host and port of a URL that has no kind of check.
fn foreign_url(scheme: &str, operand: &str) -> Option<String> {
    let rest = operand.strip_prefix("//")?;
    match scheme {
        "ws" => return Some(format!("http://{rest}")),
        "wss" => return Some(format!("https://{rest}")),
        _ => {}
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, number)) if port(number).is_some() => (host, port(number)),
        _ => (authority, None),
    };
    let usual = SERVERS.iter().find(|(name, _)| *name == scheme).map(|(_, port)| *port);
    let port = port.or(usual).map_or_else(|| "PORT".to_owned(), |port| port.to_string());
    Some(if is_host(host) { format!("tcp:{host}:{port}") } else { format!("tcp:HOST:{port}") })
}

/// Words that other tools have for a kind, and a whole check after a word of one's own.
fn other_word(word: &str, operand: &str) -> Option<String> {
    match (word.to_lowercase().as_str(), port(operand)) {
        ("port" | "listen", Some(port)) => Some(format!("tcp:127.0.0.1:{port} or free:{port}")),
        ("command" | "bin" | "which", _) => Some(format!("cmd:{operand}")),
        ("sh" | "shell" | "script" | "run", _) => Some(format!("exec:{operand}")),
        ("path", _) => Some(format!("file:{operand}")),
        ("folder" | "directory", _) => Some(format!("dir:{operand}")),
        ("socket" | "sock", _) => Some(format!("unix:{operand}")),
        _ => {
            let has_kind = operand.split_once(':').is_some_and(|(kind, _)| KINDS.contains(&kind));
            (has_kind && Check::parse(operand.as_ref()).is_ok()).then(|| operand.to_owned())
        }
    }
}

/// Both checks of one address; a path leaves only one.
fn both(host: &str, port: &str, path: &str) -> String {
    match path {
        "" => format!("tcp:{host}:{port} or http://{host}:{port}/"),
        path => format!("http://{host}:{port}{path}"),
    }
}

/// Host, port and path of `HOST[:PORT][/PATH]`. A word alone is no host: it can be anything.
fn address(text: &str) -> Option<(&str, Option<u16>, &str)> {
    let (authority, path) = text.split_at(text.find(['/', '?']).unwrap_or(text.len()));
    let (host, number) = match authority.rsplit_once(':') {
        Some((host, number)) if !authority.ends_with(']') => (host, Some(port(number)?)),
        _ => (authority, None),
    };
    let known = number.is_some() || host.contains('.') || host.starts_with('[') || host == "localhost";
    (known && is_host(host)).then_some((host, number, path))
}

fn or_slash(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-._".contains(c)),
    }
}

fn port(text: &str) -> Option<u16> {
    number(text).ok()
}
