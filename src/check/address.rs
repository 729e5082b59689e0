#![forbid(unsafe_code)]
//! Hosts, ports and URLs in checks, and what to write in the place of one that is none.

use std::net::Ipv6Addr;

use ureq::http::Uri;

use crate::text::{may_be_userinfo, one_line, quoted, whole_number};

/// The host of a URL, an IPv6 address without its brackets.
pub fn bare_host(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    Some(host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host))
}

/// The port of a URL, or its scheme's.
pub fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// `HOST:PORT`, an IPv6 host in brackets.
pub fn joined(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// Why a URL is not read: it can be meant in two ways, and one of them would print a part of a password.
pub const AMBIGUOUS: &str = "it has an '@' behind a '/', '?' or '#'; in a user name or a password write those as %2F, \
    %3F and %23, and elsewhere write the '@' as %40";

/// The URL that a scheme and what is after its colon are.
///
/// # Errors
/// A reason that says what to write. It may have any part of the operand in it.
pub fn url(scheme: &str, operand: &str) -> Result<Uri, String> {
    // What parses without a fragment means the same with one, which no server ever sees.
    let text = format!("{scheme}:{}", operand.split('#').next().unwrap_or_default());
    let rest = operand.strip_prefix("//").unwrap_or_default();
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if behind.contains('@') && (authority.contains('@') || may_be_userinfo(authority.as_bytes())) {
        return Err(AMBIGUOUS.to_owned());
    }
    let host_and_port = authority.rsplit('@').next();
    let after_host = host_and_port.and_then(|text| text.rsplit(']').next()).unwrap_or_default();
    if let Some((_, port)) = after_host.rsplit_once(':') {
        number(port)?;
    }
    if operand.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a URL has no spaces; write %20".to_owned());
    }
    let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some(scheme));
    let uri = uri.filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    uri.ok_or_else(|| what_url(scheme, &one_line(operand)))
}

/// The port that a text is.
///
/// # Errors
/// A reason that says what a port is.
pub fn number(text: &str) -> Result<u16, String> {
    let port = whole_number(text).ok().filter(|&port| port > 0);
    port.ok_or_else(|| format!("{} is not a port; a port is a number from 1 to 65535", quoted(text)))
}

/// `[HOST:]PORT`, an IPv6 host in brackets.
///
/// # Errors
/// A reason that says what to write. It may have any part of the text in it.
pub fn host_and_port(kind: &str, text: &str) -> Result<(Option<String>, u16), String> {
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

/// What to write for a URL that has no `//` or no host.
fn what_url(scheme: &str, operand: &str) -> String {
    let rest = operand.trim_start_matches('/');
    match address(rest) {
        Some((host, port, path)) if !operand.starts_with("//") => {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("'//' is missing; write {scheme}://{host}{port}{}", or_slash(path))
        }
        _ if !rest.is_empty() && !operand.starts_with("//") => {
            format!("the host is missing; write {scheme}://127.0.0.1:PORT/{rest}")
        }
        _ => format!("it is not a URL; write {}", format_args!("{scheme}://HOST:PORT/PATH")),
    }
}

/// Host, port and path of `HOST[:PORT][/PATH]`. A word alone is no host: it can be anything.
pub fn address(text: &str) -> Option<(&str, Option<u16>, &str)> {
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

/// Whether a text can be a host.
pub fn is_host(text: &str) -> bool {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-._".contains(c)),
    }
}

/// The port that a text is, if it is one.
pub fn port(text: &str) -> Option<u16> {
    number(text).ok()
}
