#![forbid(unsafe_code)]
//! The URL of a server that has a protocol of its own: `WORD://[USER[:PASSWORD]@]HOST[:PORT][/PATH]`.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::address::{AMBIGUOUS, is_host, joined, number};
use super::operand::Operand;
use crate::text::{one_line, quoted};

/// Where a server is, and who asks.
#[derive(Clone, PartialEq)]
pub struct Server {
    /// The word of its kind.
    pub word: &'static str,
    /// An IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    /// What is behind the first slash, decoded.
    pub path: String,
    /// Decoded.
    pub user: Vec<u8>,
    /// Decoded.
    pub password: Option<Vec<u8>>,
    /// The URL, without what is before the host and behind the path.
    shown: String,
    /// What is before the host, as it was written.
    userinfo: Option<String>,
}

/// Without what is secret.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Server {
    /// The server that an operand is. Without a `usual` port, the URL must have one.
    ///
    /// # Errors
    /// What to write in its place. It may have any part of the operand in it.
    pub fn of(operand: &Operand, usual: Option<u16>) -> Result<Self, String> {
        let Operand { word, form, .. } = *operand;
        let text = operand.text()?;
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("a URL has no spaces; write %20".to_owned());
        }
        let Some(rest) = text.strip_prefix("//") else {
            let rest = text.trim_start_matches('/');
            return Err(format!("'//' is missing; write {word}://{}", one_line(rest)));
        };
        let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if behind.contains('@') {
            return Err(AMBIGUOUS.to_owned());
        }
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let (host, port) = host_and_port(operand, address)?;
        let port = port.or(usual).ok_or_else(|| format!("the port is missing; write {form}"))?;
        let path = behind.split(['?', '#']).next().unwrap_or_default();
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let (user, password) = match userinfo.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            Some((user, password)) => (decoded(user), Some(decoded(password)).filter(|text| !text.is_empty())),
            None => (Vec::new(), None),
        };
        let path_bytes = decoded(path.strip_prefix('/').unwrap_or(path));
        if [&user, &path_bytes].iter().any(|part| part.contains(&0)) {
            return Err("it has a NUL byte; remove it".to_owned());
        }
        Ok(Server {
            word,
            host,
            port,
            path: String::from_utf8(path_bytes).map_err(|_| format!("it is not UTF-8; write {form}"))?,
            user,
            password,
            shown: format!("{word}://{address}{path}"),
            userinfo: userinfo.map(ToOwned::to_owned),
        })
    }

    /// The URL, without what is secret.
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// What this was made of, but for what is of no use here.
    pub fn spec(&self) -> String {
        match &self.userinfo {
            Some(userinfo) => self.shown.replacen("://", &format!("://{userinfo}@"), 1),
            None => self.shown.clone(),
        }
    }

    /// Whether all is in TLS.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.word, "rediss" | "grpcs")
    }

    /// The same server by another kind of check.
    pub fn with(&self, word: &str) -> String {
        let separator = if word == "tcp" { ":" } else { "://" };
        format!("{word}{separator}{}", joined(&self.host, self.port))
    }
}

fn host_and_port(operand: &Operand, address: &str) -> Result<(String, Option<u16>), String> {
    let Operand { word, form, .. } = *operand;
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !address.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address goes in brackets; write {word}://[{address}]"));
    }
    let port = port.map(number).transpose()?;
    if host.is_empty() {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        return Err(format!("the host is missing; write {word}://127.0.0.1{port}"));
    }
    if !is_host(host) {
        return Err(format!("{} is not a host; write {form}", quoted(host)));
    }
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}
