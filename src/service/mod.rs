#![forbid(unsafe_code)]
//! The service: command line, forerun.toml and environment, resolved and validated before anything is tried.

mod file;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use ureq::http::{HeaderName, HeaderValue};

use crate::check::{self, Check, Expectation, Probe};
use crate::cli::{Options, Task};
use crate::environment::Environment;
use crate::error::Error;
use crate::mode::Mode;
use crate::sys::{self, Nofile};
use crate::text::quoted;

use file::{CheckTable, File, FromText, Wrong};

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
const FIX_TIMEOUT: Duration = Duration::from_secs(300);
const GRACE: Duration = Duration::from_secs(10);

/// What to do when the place is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    Standby,
    Fail,
}

/// A limit of open descriptors that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NofileWish {
    soft: u64,
    hard: Option<u64>,
}

/// A requirement, with what mends it.
#[derive(Debug)]
pub struct Requirement {
    pub probe: Probe,
    pub fix: Option<Fix>,
    pub hint: Option<String>,
}

#[derive(Debug)]
pub struct Fix {
    pub script: OsString,
    pub timeout: Duration,
}

/// A wait or the health check.
#[derive(Debug)]
pub struct Awaited {
    pub probe: Probe,
    pub hint: Option<String>,
}

/// What the service adds to an environment.
#[derive(Debug, Default)]
pub struct Variables {
    /// From the env-file: what is there already wins.
    defaults: Vec<(String, String)>,
    /// From `[env]` and `--env`, in the order in which they are set.
    settings: Vec<(OsString, OsString)>,
}

impl Variables {
    /// `base` with them.
    pub fn added_to(&self, mut base: Environment) -> Environment {
        for (name, value) in &self.defaults {
            if base.get(name).is_none() {
                base.set(name.as_ref(), value.as_ref());
            }
        }
        self.settings.iter().for_each(|(name, value)| base.set(name, value));
        base
    }

    /// The names, for people.
    pub fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.defaults
            .iter()
            .map(|(name, _)| OsStr::new(name))
            .chain(self.settings.iter().map(|(name, _)| name.as_ref()))
    }
}

/// The resolved description of one server.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub config: Option<PathBuf>,
    /// Empty only for `forerun check`.
    pub command: Vec<OsString>,
    /// Where the server runs.
    pub directory: PathBuf,
    pub variables: Variables,
    pub asked_mode: Option<(Mode, &'static str)>,
    /// The port to guard.
    pub port: Option<u16>,
    /// The host that the port is guarded on, where the health check names a loopback one.
    pub host: Option<String>,
    pub url: Option<String>,
    pub requirements: Vec<Requirement>,
    pub waits: Vec<Awaited>,
    pub health: Option<Awaited>,
    pub health_timeout: Duration,
    pub run_fixes: bool,
    pub nofile: Option<NofileWish>,
    pub close_fds: bool,
    pub on_conflict: Option<OnConflict>,
    pub replace: bool,
    pub log: Option<PathBuf>,
    pub open: bool,
    pub grace: Duration,
    /// Keys that are understood and have no effect yet.
    pub without_effect: Vec<&'static str>,
}

impl Service {
    /// Resolves the service.
    ///
    /// # Errors
    /// [`Error::Usage`] for what the command line says wrongly, [`Error::Config`] for files.
    pub fn resolve(options: &Options) -> Result<Service, Error> {
        let path = options.config.clone().unwrap_or_else(|| "forerun.toml".into());
        let text = match file::read(&path).map_err(Error::Config)? {
            None if options.config.is_some() => {
                return Err(Error::Config(format!(
                    "cannot read {}: No such file or directory (os error 2)",
                    quoted(&path)
                )));
            }
            text => text,
        };
        let Some(text) = text else { return Self::build(options, File::default(), None).map_err(Fault::plain) };
        let path = std::path::absolute(&path).unwrap_or(path);
        let in_file = |wrong: Wrong| Error::Config(wrong.in_file(&path, &text));
        let file = file::parse(&text).map_err(in_file)?;
        Self::build(options, file, Some(&path)).map_err(|fault| match fault {
            Fault::File(wrong) => in_file(wrong),
            other => other.plain(),
        })
    }

    fn build(options: &Options, file: File, config: Option<&Path>) -> Result<Service, Fault> {
        let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
        let here = std::env::current_dir().unwrap_or_else(|_| ".".into());
        let in_file = |path: &PathBuf| folder.join(path);
        let from_caller = |path: &PathBuf| here.join(path);
        let default_directory = if config.is_some() { folder.to_owned() } else { here.clone() };
        let directory =
            options.cwd.as_ref().map(from_caller).or(file.cwd.as_ref().map(in_file)).unwrap_or(default_directory);

        let command = command(options, &file)?;
        let wait_timeout = options.wait_timeout.or(file.wait_timeout.as_ref().map(|t| t.0)).unwrap_or(WAIT_TIMEOUT);
        let mut requirements = file.require.iter().map(|t| requirement(t, folder)).collect::<Result<Vec<_>, _>>()?;
        for spec in &options.require {
            let probe = plain_probe(spec, &here, check::EXEC_TIMEOUT)?;
            requirements.push(Requirement { probe, fix: None, hint: None });
        }
        let mut waits = file.wait.iter().map(|t| awaited(t, folder, wait_timeout)).collect::<Result<Vec<_>, _>>()?;
        for spec in &options.wait {
            waits.push(Awaited { probe: plain_probe(spec, &here, wait_timeout)?, hint: None });
        }
        let health = health(options, file.health.as_ref(), folder, &here)?;
        let health_timeout =
            health.as_ref().map(|h| h.probe.timeout).or(options.health_timeout).unwrap_or(HEALTH_TIMEOUT);

        let loopback =
            health.as_ref().and_then(|h| h.probe.check.address()).filter(|(host, _)| check::is_loopback_name(host));
        let port = options.port.or(file.port).or(loopback.map(|(_, port)| port)).filter(|&port| port != 0);
        let host = loopback.filter(|(_, p)| Some(*p) == port).map(|(host, _)| host.to_owned());
        let url = file.url.clone().or_else(|| url(health.as_ref(), port));
        let name = name(options, &file, &directory, &command)?;
        let variables = variables(options, &file, folder, &here)?;
        Ok(Service {
            name,
            config: config.map(Path::to_owned),
            command,
            directory,
            variables,
            asked_mode: asked_mode(options, &file)?,
            port,
            host,
            url,
            requirements,
            waits,
            health,
            health_timeout,
            run_fixes: !options.no_fix,
            nofile: match &options.nofile {
                Some(text) => {
                    Some(NofileWish::from_text(text).map_err(|e| Fault::Usage(format!("invalid '--nofile': {e}")))?)
                }
                None => file.limits.nofile.as_ref().map(|n| n.0),
            },
            close_fds: options.close_fds || file.close_fds == Some(true),
            on_conflict: match options.on_conflict.as_deref() {
                Some("standby") => Some(OnConflict::Standby),
                Some(_) => Some(OnConflict::Fail),
                None => file.on_conflict,
            },
            replace: options.replace,
            log: options.log.as_ref().map(from_caller).or(file.log.as_ref().map(in_file)),
            open: options.open || file.open == Some(true),
            grace: options.grace.or(file.grace.as_ref().map(|t| t.0)).unwrap_or(GRACE),
            without_effect: file.watch.is_some().then_some("watch").into_iter().collect(),
        })
    }

    /// The limits that the server will have, and whether they are less than was asked for.
    pub fn server_nofile(&self) -> (Nofile, bool) {
        let now = sys::nofile();
        let Some(wish) = self.nofile else { return (now, false) };
        let wanted = Nofile { soft: wish.soft, hard: wish.hard.unwrap_or(now.hard.max(wish.soft)) };
        let allowed = sys::allowed_nofile(wanted);
        (allowed, allowed != wanted)
    }
}

/// What is wrong, and where: on the command line, or in a file.
enum Fault {
    Usage(String),
    Config(String),
    File(Wrong),
}

impl Fault {
    fn plain(self) -> Error {
        match self {
            Fault::Usage(message) => Error::Usage(message),
            Fault::Config(message) => Error::Config(message),
            Fault::File(wrong) => Error::Config(wrong.message),
        }
    }
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        Fault::File(wrong)
    }
}

impl FromText for NofileWish {
    fn from_text(text: &str) -> Result<Self, String> {
        let number = |t: &str| t.parse::<u64>().ok().filter(|&n| n > 0 && t.bytes().all(|b| b.is_ascii_digit()));
        let (soft, hard) = match text.split_once(':') {
            Some((soft, hard)) => (number(soft), number(hard).map(Some)),
            None => (number(text), Some(None)),
        };
        match (soft, hard) {
            (Some(soft), Some(hard)) if hard.is_none_or(|h| h >= soft) => Ok(NofileWish { soft, hard }),
            _ => Err(format!("{} is no SOFT or SOFT:HARD, whole numbers with SOFT at most HARD", quoted(text))),
        }
    }
}

/// The command: the command line's, else the file's, which makes sense also where it is not used.
fn command(options: &Options, file: &File) -> Result<Vec<OsString>, Fault> {
    let mut words = options.command.clone();
    if let Some(list) = &file.command {
        let in_file = &list.get_ref().0;
        if in_file.first().is_none_or(String::is_empty) || in_file.iter().any(|w| w.contains('\0')) {
            return Err(Wrong::at(list, "the command is empty or has a NUL byte").into());
        }
        if words.is_empty() {
            words = in_file.iter().map(OsString::from).collect();
        }
    }
    match words.first() {
        Some(name) if name.is_empty() => Err(Fault::Usage("the command's name is empty".to_owned())),
        None if options.task != Task::Check => {
            Err(Fault::Usage("no command: write it after '--', or as 'command' in forerun.toml".to_owned()))
        }
        _ => Ok(words),
    }
}

fn plain_probe(spec: &OsStr, folder: &Path, timeout: Duration) -> Result<Probe, Fault> {
    let check = Check::parse(spec).map_err(Fault::Usage)?.resolved_against(folder);
    Ok(Probe { check, timeout, expect: Expectation::default() })
}

fn probe(table: &CheckTable, folder: &Path, timeout: Duration) -> Result<Probe, Wrong> {
    let check = Check::parse(OsStr::new(table.check.get_ref())).map_err(|e| Wrong::at(&table.check, e))?;
    let expect = expectation(table, matches!(check, Check::Http(_)))?;
    Ok(Probe { check: check.resolved_against(folder), timeout, expect })
}

fn expectation(table: &CheckTable, is_http: bool) -> Result<Expectation, Wrong> {
    let keys = [
        ("status", table.status.as_ref().map(Spanned::span)),
        ("body", table.body.as_ref().map(Spanned::span)),
        ("headers", table.headers.as_ref().map(Spanned::span)),
        ("insecure", table.insecure.as_ref().map(Spanned::span)),
    ];
    for (key, span) in keys {
        if let Some(span) = span.filter(|_| !is_http) {
            return Err(Wrong { at: span.start, message: format!("'{key}' needs an http or https check") });
        }
    }
    if let Some(body) = table.body.as_ref().filter(|body| body.get_ref().is_empty()) {
        return Err(Wrong::at(body, "the body's text is empty"));
    }
    let mut headers = Vec::new();
    if let Some(table) = &table.headers {
        for (name, value) in table.get_ref() {
            // The value may be a secret: only the name is ever shown.
            let wrong = || Wrong::at(table, format!("the header '{name}' has a character that no header may have"));
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.push((HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value));
        }
    }
    Ok(Expectation {
        statuses: table.status.as_ref().map(|s| s.get_ref().0.0.clone()).unwrap_or_default(),
        body: table.body.as_ref().map(|b| b.get_ref().clone()),
        headers,
        insecure: table.insecure.as_ref().is_some_and(|i| *i.get_ref()),
    })
}

fn requirement(table: &CheckTable, folder: &Path) -> Result<Requirement, Wrong> {
    if let Some(timeout) = &table.timeout {
        return Err(Wrong::at(timeout, "a requirement must hold now: 'timeout' belongs in [[wait]]"));
    }
    if let Some(timeout) = table.fix_timeout.as_ref().filter(|_| table.fix.is_none()) {
        return Err(Wrong::at(timeout, "'fix-timeout' needs a 'fix'"));
    }
    let timeout = table.fix_timeout.as_ref().map_or(FIX_TIMEOUT, |t| t.get_ref().0);
    let fix = match &table.fix {
        Some(fix) if fix.get_ref().contains('\0') => return Err(Wrong::at(fix, "the fix has a NUL byte")),
        fix => fix.as_ref().map(|f| Fix { script: f.get_ref().into(), timeout }),
    };
    Ok(Requirement { probe: probe(table, folder, check::EXEC_TIMEOUT)?, fix, hint: table.hint.clone() })
}

fn awaited(table: &CheckTable, folder: &Path, default: Duration) -> Result<Awaited, Wrong> {
    if let Some(fix) = &table.fix {
        return Err(Wrong::at(fix, "'fix' belongs in [[require]]"));
    }
    if let Some(timeout) = &table.fix_timeout {
        return Err(Wrong::at(timeout, "'fix-timeout' belongs in [[require]]"));
    }
    let timeout = table.timeout.as_ref().map_or(default, |t| t.get_ref().0);
    Ok(Awaited { probe: probe(table, folder, timeout)?, hint: table.hint.clone() })
}

/// The health check. A `--health` stands in the place of the whole `[health]`: headers that were meant for one
/// host are not sent to another.
fn health(options: &Options, table: Option<&CheckTable>, folder: &Path, here: &Path) -> Result<Option<Awaited>, Fault> {
    let mut health = match (&options.health, table) {
        (Some(spec), _) => Some(Awaited { probe: plain_probe(spec, here, HEALTH_TIMEOUT)?, hint: None }),
        (None, Some(table)) => Some(awaited(table, folder, HEALTH_TIMEOUT)?),
        (None, None) => None,
    };
    let is_http = health.as_ref().is_some_and(|h| matches!(h.probe.check, Check::Http(_)));
    for (flag, given) in [("--health-body", options.health_body.is_some()), ("--insecure", options.insecure)] {
        if given && !is_http {
            return Err(Fault::Usage(format!("'{flag}' needs a health URL")));
        }
    }
    if let Some(health) = &mut health {
        let Probe { timeout, expect, .. } = &mut health.probe;
        *timeout = options.health_timeout.unwrap_or(*timeout);
        expect.insecure |= options.insecure;
        expect.body = options.health_body.clone().or(expect.body.take());
    }
    Ok(health)
}

fn asked_mode(options: &Options, file: &File) -> Result<Option<(Mode, &'static str)>, Fault> {
    if options.foreground {
        return Ok(Some((Mode::Foreground, "--foreground")));
    }
    if options.detach {
        return Ok(Some((Mode::Detached, "--detach")));
    }
    let detach = file.detach.as_ref().filter(|detach| *detach.get_ref());
    match (file.foreground == Some(true), detach) {
        (true, Some(detach)) => Err(Wrong::at(detach, "'foreground' and 'detach' cannot both be true").into()),
        (true, None) => Ok(Some((Mode::Foreground, "'foreground' in the file"))),
        (false, Some(_)) => Ok(Some((Mode::Detached, "'detach' in the file"))),
        (false, None) => Ok(None),
    }
}

/// The name: asked for, or the folder's, or the command's where the folder has none (`/`, a unit's default).
fn name(options: &Options, file: &File, directory: &Path, command: &[OsString]) -> Result<String, Fault> {
    let expected = "expected 1 to 64 of A-Z a-z 0-9 . _ @ -, and not '.' or '..'";
    if let Some(name) = &options.name {
        let valid = name.to_str().filter(|n| is_name(n));
        return valid
            .map(str::to_owned)
            .ok_or_else(|| Fault::Usage(format!("invalid name {}: {expected}", quoted(name))));
    }
    if let Some(name) = &file.name {
        return match is_name(name.get_ref()) {
            true => Ok(name.get_ref().clone()),
            false => Err(Wrong::at(name, format!("invalid name {}: {expected}", quoted(name.get_ref()))).into()),
        };
    }
    let program = command.first().and_then(|c| Path::new(c).file_name());
    let name = directory.file_name().and_then(as_name).or(program.and_then(as_name));
    Ok(name.unwrap_or_else(|| "server".to_owned()))
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._@-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}

/// A file's name as a service's: other bytes become `-`.
fn as_name(file_name: &OsStr) -> Option<String> {
    let bytes = file_name.as_bytes().iter().take(64);
    let name: String =
        bytes.map(|&b| if b.is_ascii() && is_name(&format!("x{}", b as char)) { b as char } else { '-' }).collect();
    Some(name).filter(|n| is_name(n))
}

/// Scheme, host and port of the health URL, else the guarded port on this machine.
fn url(health: Option<&Awaited>, port: Option<u16>) -> Option<String> {
    if let Some(Check::Http(uri)) = health.map(|h| &h.probe.check) {
        let host = uri.authority()?.as_str().rsplit('@').next()?;
        return Some(format!("{}://{host}", uri.scheme_str()?));
    }
    port.map(|port| format!("http://localhost:{port}"))
}

/// What the service adds: `--env` beats `[env]`, which beats what came in, which beats the env-file.
fn variables(options: &Options, file: &File, folder: &Path, here: &Path) -> Result<Variables, Fault> {
    let mut variables = Variables::default();
    let path = options.env_file.as_ref().map(|p| here.join(p)).or(file.env_file.as_ref().map(|p| folder.join(p)));
    if let Some(path) = path {
        variables.defaults = env_file(&path).map_err(Fault::Config)?;
    }
    for (name, value) in &file.env {
        if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
            return Err(Wrong::at(name, format!("{} is no name of a variable", quoted(name.get_ref()))).into());
        }
        if value.get_ref().contains('\0') {
            return Err(Wrong::at(value, format!("the value of {} has a NUL byte", quoted(name.get_ref()))).into());
        }
        variables.settings.push((name.get_ref().into(), value.get_ref().into()));
    }
    for entry in &options.env {
        let bytes = entry.as_bytes();
        match bytes.iter().position(|&b| b == b'=') {
            Some(at) if at > 0 => {
                let part = |bytes| OsStr::from_bytes(bytes).to_owned();
                variables.settings.push((part(&bytes[..at]), part(&bytes[at + 1..])));
            }
            // What it is may be a secret that lost its name.
            _ => return Err(Fault::Usage("invalid '--env': expected NAME=VALUE".to_owned())),
        }
    }
    Ok(variables)
}

/// Parses an env-file. Its lines may be secrets: a message has at most a name.
fn env_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let failed = |reason: String| format!("cannot use the env-file {}: {reason}", quoted(path));
    let bytes = file::bytes(path).map_err(|e| failed(e.to_string()))?;
    let pairs: Result<Vec<_>, _> = dotenvy::from_read_iter(bytes.as_slice()).collect();
    let pairs = pairs.map_err(|e| match e {
        dotenvy::Error::LineParse(line, at) => {
            let name: String = line.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            failed(format!("the line of '{name}' cannot be parsed at byte {at}"))
        }
        dotenvy::Error::Io(e) => failed(e.to_string()),
        _ => failed("it cannot be parsed".to_owned()),
    })?;
    match pairs.iter().find(|(_, value)| value.contains('\0')) {
        Some((name, _)) => Err(failed(format!("the value of '{name}' has a NUL byte"))),
        None => Ok(pairs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_and_folders_become_names() {
        for good in ["a", "web.ui_2@x-1", "..."] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(as_name(OsStr::new("my app")), Some("my-app".to_owned()));
        assert_eq!(as_name(OsStr::from_bytes(b"\xff\n")), Some("--".to_owned()));
        assert_eq!(as_name(OsStr::new(&"x".repeat(200))).map(|n| n.len()), Some(64));
    }

    #[test]
    fn nofile_is_one_number_or_two() {
        assert_eq!(NofileWish::from_text("8192"), Ok(NofileWish { soft: 8192, hard: None }));
        assert_eq!(NofileWish::from_text("8:16"), Ok(NofileWish { soft: 8, hard: Some(16) }));
        for bad in ["", "0", "a", "16:8", "8:", ":8", "-1", "+5", "99999999999999999999"] {
            assert!(NofileWish::from_text(bad).is_err(), "{bad}");
        }
    }
}
