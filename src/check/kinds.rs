#![forbid(unsafe_code)]
//! The kinds of checks: the one place that knows all of them.
//!
//! A new kind is a file of its own, with what reads its operand and what tries it, and here a variant of [`Check`], a row
//! of [`KINDS`], and an arm where the compiler asks for one.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use socket2::Socket;
use ureq::http::Uri;

use super::address::{bare_host, host_and_port, joined, port_of, url};
use super::context::Context;
use super::expect::Expectation;
use super::in_flight::InFlight;
use super::log::{Pattern, Reader};
use super::operand::Operand;
use super::pace::Limits;
use super::reason::Reason;
use super::server::Server;
use super::tls::Tls;
use super::unix::Place;
use super::wire::Wire;
use super::{dns, exec, grpc, http, local, mysql, neighbour, net, notify, port, postgres, redis, unix};
use crate::text::{one_line, quoted};

/// One condition.
#[derive(Clone, PartialEq, Debug)]
pub enum Check {
    Command(OsString),
    File(PathBuf),
    Directory(PathBuf),
    Variable(String),
    Tcp {
        host: String,
        port: u16,
    },
    Unix(Place),
    Http(Uri),
    /// The socket of an HTTP server, and what it is asked for.
    HttpUnix(Place, Uri),
    Postgres(Server),
    Mysql(Server),
    Redis(Server),
    Grpc(Server),
    Dns(String),
    Exec(OsString),
    Free {
        host: Option<String>,
        port: u16,
    },
    Descriptors(u64),
    Ptys(u64),
    Service(String),
    /// The server says READY=1.
    Notify,
    Log(Pattern),
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Kind {
    /// What is before the colon.
    pub word: &'static str,
    /// What to write, for a spec that has nothing or nonsense after the colon.
    pub form: &'static str,
    /// The operand begins with a host, before which a person may have put a user name and a password.
    pub has_host: bool,
    /// There is no operand.
    pub is_whole: bool,
    parse: fn(&Operand) -> Result<Check, String>,
}

/// All kinds, in the order in which messages name them.
pub const KINDS: [Kind; 24] = [
    plain("cmd", "cmd:NAME", |operand| Ok(Check::Command(operand.raw.to_owned()))),
    plain("file", "file:PATH", |operand| Ok(Check::File(operand.raw.into()))),
    plain("dir", "dir:PATH", |operand| Ok(Check::Directory(operand.raw.into()))),
    plain("env", "env:NAME", |operand| local::name_of_variable(operand).map(Check::Variable)),
    with_host("tcp", "tcp:HOST:PORT", |operand| {
        net::host_and_port_of(operand).map(|(host, port)| Check::Tcp { host, port })
    }),
    plain("unix", "unix:PATH", |operand| Place::of(operand).map(Check::Unix)),
    with_host("http", "http://HOST:PORT/PATH", |operand| url(operand.word, operand.text()?).map(Check::Http)),
    with_host("https", "https://HOST:PORT/PATH", |operand| url(operand.word, operand.text()?).map(Check::Http)),
    plain("http+unix", "http+unix:PATH:/URL", |operand| {
        unix::http(operand).map(|(place, url)| Check::HttpUnix(place, url))
    }),
    with_host("postgres", "postgres://HOST:PORT", postgres_url),
    with_host("postgresql", "postgresql://HOST:PORT", postgres_url),
    with_host("mysql", "mysql://HOST:PORT", |operand| Server::of(operand, Some(mysql::PORT)).map(Check::Mysql)),
    with_host("redis", "redis://HOST:PORT", redis_url),
    with_host("rediss", "rediss://HOST:PORT", redis_url),
    with_host("grpc", "grpc://HOST:PORT", grpc_url),
    with_host("grpcs", "grpcs://HOST:PORT", grpc_url),
    plain("dns", "dns:NAME", |operand| dns::name_of(operand).map(Check::Dns)),
    plain("exec", "exec:COMMAND", |operand| Ok(Check::Exec(operand.raw.to_owned()))),
    with_host("free", "free:PORT", |operand| {
        host_and_port(operand.word, operand.text()?).map(|(host, port)| Check::Free { host, port })
    }),
    plain("fds", "fds:NUMBER", |operand| operand.count().map(Check::Descriptors)),
    plain("ptys", "ptys:NUMBER", |operand| operand.count().map(Check::Ptys)),
    plain("service", "service:NAME", |operand| neighbour::name_of(operand).map(Check::Service)),
    Kind { is_whole: true, ..plain("notify", "notify:", |operand| notify::nothing(operand).map(|()| Check::Notify)) },
    plain("log", "log:REGEX", |operand| Pattern::of(operand).map(Check::Log)),
];

fn postgres_url(operand: &Operand) -> Result<Check, String> {
    Server::of(operand, Some(postgres::PORT)).map(Check::Postgres)
}

fn redis_url(operand: &Operand) -> Result<Check, String> {
    Server::of(operand, Some(redis::PORT)).map(Check::Redis)
}

fn grpc_url(operand: &Operand) -> Result<Check, String> {
    Server::of(operand, None).and_then(grpc::checked).map(Check::Grpc)
}

const fn plain(word: &'static str, form: &'static str, parse: fn(&Operand) -> Result<Check, String>) -> Kind {
    Kind { word, form, has_host: false, is_whole: false, parse }
}

const fn with_host(word: &'static str, form: &'static str, parse: fn(&Operand) -> Result<Check, String>) -> Kind {
    Kind { has_host: true, ..plain(word, form, parse) }
}

/// How each kind is written.
pub fn forms() -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().map(|kind| kind.form)
}

/// The kind with this word.
pub fn find(word: &str) -> Option<Kind> {
    KINDS.into_iter().find(|kind| kind.word == word)
}

/// What to write for a check of the kind that a spec begins with.
pub fn form(spec: &OsStr) -> Option<&'static str> {
    find(split(spec).0).map(|kind| kind.form)
}

/// Parses a spec. `None` where it begins with no kind.
pub fn parse(spec: &OsStr) -> Option<Result<Check, String>> {
    let (word, raw) = split(spec);
    let kind = find(word)?;
    let operand = Operand { word: kind.word, form: kind.form, raw };
    let checked = if kind.is_whole { Ok(()) } else { operand.checked() };
    Some(checked.and_then(|()| (kind.parse)(&operand)))
}

/// Whether the operand of this kind of check never has a blank, so that what follows one is no part of it. So it is with a
/// URL of an unknown kind.
pub fn has_no_blanks(spec: &OsStr) -> bool {
    const WITH_BLANKS: [&str; 7] = ["cmd", "file", "dir", "unix", "exec", "env", "log"];
    let (word, operand) = split(spec);
    match find(word) {
        Some(kind) => !WITH_BLANKS.contains(&kind.word),
        None => operand.as_bytes().starts_with(b"//"),
    }
}

/// What is before the first colon, and what is after it.
pub fn split(spec: &OsStr) -> (&str, &OsStr) {
    let bytes = spec.as_bytes();
    let colon = bytes.iter().position(|&b| b == b':').unwrap_or(bytes.len());
    let kind = std::str::from_utf8(&bytes[..colon]).unwrap_or_default();
    (kind, OsStr::from_bytes(bytes.get(colon + 1..).unwrap_or_default()))
}

/// What one attempt may use.
pub struct Attempt<'a> {
    pub context: &'a Context,
    pub expect: &'a Expectation,
    pub limits: Limits,
    /// Becomes readable when a command must end.
    pub cancel: BorrowedFd<'a>,
}

/// What an attempt leaves to the next one of the same check.
pub struct Kept {
    /// The connection of the attempt.
    pub in_flight: InFlight,
    dialler: net::Dialler,
    http: Option<http::Client>,
    tls: Option<Tls>,
    log: Reader,
}

impl Kept {
    pub fn new(in_flight: InFlight) -> Self {
        Kept { in_flight, dialler: net::Dialler::default(), http: None, tls: None, log: Reader::default() }
    }
}

impl Check {
    /// One attempt.
    ///
    /// # Errors
    /// Why it failed.
    pub fn attempt(&self, kept: &mut Kept, attempt: &Attempt) -> Result<(), Reason> {
        let Attempt { context, expect, limits, cancel } = *attempt;
        let Kept { in_flight, dialler, http, tls, log } = kept;
        match self {
            Check::Command(name) => Ok(local::command(name, context)?),
            Check::File(path) => local::file(path),
            Check::Directory(path) => local::directory(path),
            Check::Variable(name) => Ok(local::variable(name, context)?),
            Check::Tcp { host, port } => Ok(net::tcp(dialler, host, *port, limits.connect)?),
            Check::Unix(place) => Ok(place.connect(limits.connect).map(drop)?),
            Check::Http(url) => {
                let client = http.get_or_insert_with(|| http::Client::new(url, expect, true));
                let dial =
                    |limit| dialler.dial(bare_host(url).unwrap_or_default(), port_of(url), limit).map(Socket::from);
                client.attempt(dial, &http::Question { url, expect, limits, in_flight })
            }
            Check::HttpUnix(place, url) => {
                let client = http.get_or_insert_with(|| http::Client::new(url, expect, false));
                client.attempt(|limit| place.connect(limit), &http::Question { url, expect, limits, in_flight })
            }
            Check::Postgres(server) | Check::Mysql(server) | Check::Redis(server) | Check::Grpc(server) => {
                let inside = if matches!(self, Check::Grpc(_)) { grpc::INSIDE } else { &[] };
                let tls = server.is_encrypted().then(|| &*tls.get_or_insert_with(|| Tls::new(expect, inside)));
                self.converse(&mut Wire::open(server, dialler, tls, limits, in_flight)?, server)
            }
            Check::Dns(name) => Ok(dns::resolves(dialler, name)?),
            Check::Exec(script) => exec::check(script, context, limits.whole, cancel),
            Check::Free { host, port } => Ok(port::free(host.as_deref(), *port)?),
            Check::Descriptors(count) => Ok(local::descriptors(*count, context)?),
            Check::Ptys(count) => Ok(local::ptys(*count)?),
            Check::Service(name) => neighbour::is_well(context.services.as_deref(), name, limits.whole, cancel),
            Check::Notify => match &context.mailbox {
                Some(mailbox) => mailbox.says_ready(limits.whole, cancel),
                None => Err(Reason::Text("nobody listens to the server".to_owned())),
            },
            Check::Log(pattern) => log.has(pattern, context.log.as_deref(), limits.whole),
        }
    }

    /// Talks with a server in its own protocol.
    ///
    /// # Errors
    /// Why it does not serve.
    pub fn converse(&self, wire: &mut Wire, server: &Server) -> Result<(), Reason> {
        match self {
            Check::Postgres(_) => postgres::converse(wire, server),
            Check::Mysql(_) => mysql::converse(wire),
            Check::Redis(_) => redis::converse(wire, server),
            _ => grpc::converse(wire, server),
        }
    }

    /// The server that has a protocol of its own.
    pub fn server(&self) -> Option<&Server> {
        match self {
            Check::Postgres(server) | Check::Mysql(server) | Check::Redis(server) | Check::Grpc(server) => Some(server),
            _ => None,
        }
    }

    /// Whether certificates are looked at.
    pub fn is_encrypted(&self) -> bool {
        match self {
            Check::Http(url) => url.scheme_str() == Some("https"),
            _ => self.server().is_some_and(Server::is_encrypted),
        }
    }

    /// Whether an attempt may have children, which must be reaped.
    pub fn has_children(&self) -> bool {
        matches!(self, Check::Exec(_) | Check::Service(_))
    }

    /// The same check, with a relative path taken from `folder`.
    pub fn resolved_against(self, folder: &Path) -> Check {
        match self {
            Check::File(path) => Check::File(folder.join(path)),
            Check::Directory(path) => Check::Directory(folder.join(path)),
            Check::Unix(place) => Check::Unix(place.resolved_against(folder)),
            Check::Command(path) if path.as_bytes().contains(&b'/') => Check::Command(folder.join(path).into()),
            Check::Command(_) | Check::Variable(_) | Check::Exec(_) => self,
            Check::HttpUnix(place, url) => Check::HttpUnix(place.resolved_against(folder), url),
            Check::Tcp { .. } | Check::Http(_) | Check::Free { .. } | Check::Dns(_) => self,
            Check::Postgres(_) | Check::Mysql(_) | Check::Redis(_) | Check::Grpc(_) => self,
            Check::Descriptors(_) | Check::Ptys(_) | Check::Service(_) | Check::Notify | Check::Log(_) => self,
        }
    }

    /// The same, for an attempt.
    ///
    /// # Errors
    /// When it can never hold there.
    pub fn within(self, folder: &Path) -> Result<Check, String> {
        let check = self.resolved_against(folder);
        match &check {
            Check::Unix(place) | Check::HttpUnix(place, _) => match place.fits() {
                Ok(()) => Ok(check),
                Err(reason) => Err(format!("invalid check {}: {reason}", quoted(&check.spec()))),
            },
            _ => Ok(check),
        }
    }

    /// Host and port, where the check connects to one.
    pub fn address(&self) -> Option<(&str, u16)> {
        match self {
            Check::Tcp { host, port } => Some((host, *port)),
            Check::Http(uri) => Some((bare_host(uri)?, port_of(uri))),
            _ => self.server().map(|server| (server.host.as_str(), server.port)),
        }
    }

    /// The path that a URL asks for.
    pub fn path(&self) -> Option<&str> {
        match self {
            Check::Http(uri) | Check::HttpUnix(_, uri) => Some(uri.path()),
            _ => None,
        }
    }

    /// Whether the answer is one of HTTP.
    pub fn is_http(&self) -> bool {
        matches!(self, Check::Http(_) | Check::HttpUnix(..))
    }

    /// What [`Check::parse`] makes this check of, with its secrets.
    pub fn spec(&self) -> OsString {
        let text = |kind: &str, operand: &OsStr| [OsStr::new(kind), operand].into_iter().collect::<OsString>();
        match self {
            Check::Command(name) => text("cmd:", name),
            Check::File(path) => text("file:", path.as_os_str()),
            Check::Directory(path) => text("dir:", path.as_os_str()),
            Check::Variable(name) => text("env:", name.as_ref()),
            Check::Tcp { host, port } => format!("tcp:{}", joined(host, *port)).into(),
            Check::Unix(place) => text("unix:", &place.operand()),
            Check::Http(uri) => uri.to_string().into(),
            Check::HttpUnix(place, uri) => {
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                [OsStr::new("http+unix:"), &place.operand(), OsStr::new(":"), OsStr::new(path)].into_iter().collect()
            }
            Check::Postgres(server) | Check::Mysql(server) | Check::Redis(server) | Check::Grpc(server) => {
                server.spec().into()
            }
            Check::Dns(name) => format!("dns:{name}").into(),
            Check::Exec(script) => text("exec:", script),
            Check::Free { host: Some(host), port } => format!("free:{}", joined(host, *port)).into(),
            Check::Free { host: None, port } => format!("free:{port}").into(),
            Check::Descriptors(count) => format!("fds:{count}").into(),
            Check::Ptys(count) => format!("ptys:{count}").into(),
            Check::Service(name) => format!("service:{name}").into(),
            Check::Notify => "notify:".into(),
            Check::Log(pattern) => format!("log:{}", pattern.text).into(),
        }
    }
}

/// As it was written, but for what is secret in it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            // What follows the userinfo is known here. In any text it is a guess.
            Check::Http(uri) => {
                let (spec, authority) = (uri.to_string(), uri.authority().map_or("", |authority| authority.as_str()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                f.write_str(&one_line(&spec.replacen(authority, host, 1)))
            }
            _ => match self.server() {
                Some(server) => f.write_str(&one_line(server.url())),
                None => f.write_str(&one_line(&self.spec())),
            },
        }
    }
}
