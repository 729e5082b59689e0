#![forbid(unsafe_code)]
//! What to write in the place of a CHECK that does not parse. All texts here have lost their userinfo already.

use std::net::Ipv6Addr;
use std::path::Path;

use super::address::{address, is_host, port};
use super::kinds::{self, KINDS, find};
use crate::text::nearest;

/// URLs of servers that have no kind of check of their own, with their default ports.
const SERVERS: [(&str, u16); 9] = [
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

/// Why a text that starts with no kind is no check, and what to write. `exists` is asked about paths.
pub fn unknown(text: &str, exists: impl Fn(&Path) -> bool) -> String {
    if text.is_empty() {
        return format!("it is empty; {}", all());
    }
    if let Some(instead) = kind_missing(text, exists) {
        return format!("the kind is missing; write {instead}");
    }
    let Some((kind, operand)) = text.split_once(':') else {
        return format!("the kind is missing; {}", all());
    };
    let instead = misspelt(kind, operand).or_else(|| foreign_url(kind, operand)).or_else(|| other_word(kind, operand));
    match instead {
        Some(instead) => format!("unknown kind '{kind}'; write {instead}"),
        None => format!("unknown kind '{kind}'; {}", all()),
    }
}

fn all() -> String {
    let words = KINDS.map(|kind| kind.word);
    let last = words[words.len() - 1];
    format!("the kinds are {} and {last}", words[..words.len() - 1].join(", "))
}

/// What to write for a bare address, port, path or word after a kind.
fn kind_missing(text: &str, exists: impl Fn(&Path) -> bool) -> Option<String> {
    if let Some((kind, operand)) = text.split_once([' ', '=']).filter(|(kind, _)| find(kind).is_some()) {
        return or_form(kind, operand.trim_start());
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
    nearest(&kind.to_lowercase(), KINDS.map(|kind| kind.word)).and_then(|near| or_form(near, operand))
}

/// The check of a kind, or the kind's form where the operand fits it no better.
fn or_form(kind: &str, operand: &str) -> Option<String> {
    let spec = format!("{kind}:{operand}");
    if is_check(&spec) { Some(spec) } else { find(kind).map(|kind| kind.form.to_owned()) }
}

fn is_check(spec: &str) -> bool {
    kinds::parse(spec.as_ref()).is_some_and(|parsed| parsed.is_ok())
}

/// Host and port of a URL that has no kind of check.
fn foreign_url(scheme: &str, operand: &str) -> Option<String> {
    let rest = operand.strip_prefix("//")?;
    match scheme {
        "ws" => return Some(format!("http://{rest}")),
        "wss" => return Some(format!("https://{rest}")),
        "pg" | "pgsql" | "psql" => return or_form("postgres", operand),
        "mariadb" => return or_form("mysql", operand),
        "valkey" | "keydb" => return or_form("redis", operand),
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
            let has_kind = operand.split_once(':').is_some_and(|(kind, _)| find(kind).is_some());
            (has_kind && is_check(operand)).then(|| operand.to_owned())
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
