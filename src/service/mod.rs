#![forbid(unsafe_code)]
//! The service: merges the command line, forerun.toml and the environment, and validates all of it before anything
//! is tried.

pub mod argv;
mod file;
mod keys;
mod name;
mod probes;
mod stop;
pub mod trust;
mod variables;
mod watch;
mod way;

pub use name::is_name;
pub use probes::{Awaited, Fix, Requirement};
pub use variables::Variables;
pub use watch::{Action, Share, Speaker, Watch};
pub use way::components;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{Options, Task};
use crate::check::{self, Check};
use crate::error::Error;
use crate::instance::ending::Ending;
use crate::instance::mode::Mode;
pub use crate::sys::is_same_file;
use crate::sys::{self, Nofile};
use crate::text::{quoted, whole_number};

use file::{File, FromText, Wrong};

const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);

/// What a start does when its name or port is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    Standby,
    Fail,
}

/// Which running instance a detached start may stop first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    No,
    /// An instance of the same service.
    Same,
    /// Any instance of the name, even if forerun.toml names another command by now: a restart.
    Any,
}

/// A limit of open descriptors, as asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NofileWish {
    pub soft: u64,
    pub hard: Option<u64>,
}

/// The resolved description of one server.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub config: Option<PathBuf>,
    /// Empty only for `forerun check` and `forerun doctor`.
    pub command: Vec<OsString>,
    /// The folder that the server runs in.
    pub directory: PathBuf,
    pub variables: Variables,
    pub asked_mode: Option<(Mode, &'static str)>,
    /// The port that is guarded: it must be free before the start, and the server's own after it.
    pub port: Option<u16>,
    /// The host that the port is guarded on, if the health check names a loopback host.
    pub host: Option<String>,
    pub url: Option<String>,
    pub requirements: Vec<Requirement>,
    pub waits: Vec<Awaited>,
    pub wait_timeout: Duration,
    pub health: Option<Awaited>,
    pub health_timeout: Duration,
    pub run_fixes: bool,
    pub nofile: Option<NofileWish>,
    pub close_fds: bool,
    pub on_conflict: Option<OnConflict>,
    pub replace: Replace,
    pub log: Option<PathBuf>,
    pub open: bool,
    pub grace: Duration,
    pub notify: Speaker,
    /// The descriptor that gets a newline once the server is ready.
    pub ready_fd: Option<i32>,
    /// Whether `[watch]` or `--watch` was given.
    pub watches: bool,
    pub watch: Watch,
    /// `[stop]`.
    pub ending: Ending,
    /// The file in which the server names its main process.
    pub pid_file: Option<PathBuf>,
    /// A warning for each key that has no effect here.
    pub without_effect: Vec<&'static str>,
}

/// The name of a service, and where it comes from.
pub enum Named {
    /// The command line.
    Asked(String),
    /// A forerun.toml, or the folder that it is in.
    File(String, PathBuf),
    /// The current folder.
    Folder(String),
}

impl Named {
    pub fn name(&self) -> &str {
        match self {
            Named::Asked(name) | Named::File(name, _) | Named::Folder(name) => name,
        }
    }

    /// The forerun.toml that the name comes from.
    pub fn config(&self) -> Option<&Path> {
        match self {
            Named::File(_, path) => Some(path),
            Named::Asked(_) | Named::Folder(_) => None,
        }
    }
}

/// The name that a subcommand works on: the one that was given, else the one that a start in the folder `here` would
/// take.
///
/// # Errors
/// [`Error::Usage`] for a name that is not one, [`Error::Config`] for a bad file.
pub fn named(options: &Options, here: &Path) -> Result<Named, Error> {
    if let Some(name) = &options.name {
        return name::asked(name).map(Named::Asked).map_err(Fault::plain);
    }
    let Some((path, text, file)) = read_file(options, here)? else {
        return name::resolve(options, &File::default(), here, &[]).map(Named::Folder).map_err(Fault::plain);
    };
    let folder = path.parent().unwrap_or(here);
    let directory = file.cwd.as_ref().map_or(folder.to_owned(), |cwd| folder.join(cwd));
    let words = command(&Options { task: Task::Check, ..Options::default() }, &file);
    let name = words.and_then(|words| name::resolve(options, &file, &directory, &words));
    name.map_err(|fault| fault.in_file(&path, &text)).map(|name| Named::File(name, path))
}

/// Reads forerun.toml. Returns its absolute path, its text and the parsed file, or `None` if there is none.
fn read_file(options: &Options, here: &Path) -> Result<Option<(PathBuf, String, File)>, Error> {
    let path = here.join(options.config.as_deref().unwrap_or(Path::new("forerun.toml")));
    let Some(text) = file::read(&path)? else {
        return match options.config {
            Some(_) => {
                Err(Error::Config(format!("cannot read {}: No such file or directory (os error 2)", quoted(&path))))
            }
            None => Ok(None),
        };
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    let file = file::parse(&text).map_err(|wrong| Error::Config(wrong.in_file(&path, &text)))?;
    Ok(Some((path, text, file)))
}

impl Service {
    /// Resolves the service, as seen from the folder `here`.
    ///
    /// # Errors
    /// [`Error::Usage`] for mistakes on the command line, [`Error::Config`] for mistakes in files.
    pub fn resolve(options: &Options, here: &Path) -> Result<Service, Error> {
        match read_file(options, here)? {
            None => Self::build(options, File::default(), None, here).map_err(Fault::plain),
            Some((path, text, file)) => {
                Self::build(options, file, Some(&path), here).map_err(|fault| fault.in_file(&path, &text))
            }
        }
    }

    fn build(options: &Options, file: File, config: Option<&Path>, here: &Path) -> Result<Service, Fault> {
        let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
        let in_file = |path: &PathBuf| folder.join(path);
        let from_caller = |path: &PathBuf| here.join(path);
        let default_directory = if config.is_some() { folder.to_owned() } else { here.to_owned() };
        let directory =
            options.cwd.as_ref().map(from_caller).or(file.cwd.as_ref().map(in_file)).unwrap_or(default_directory);

        let command = command(options, &file)?;
        let wait_timeout = options.wait_timeout.or(file.wait_timeout.as_ref().map(|t| t.0)).unwrap_or(WAIT_TIMEOUT);
        let mut requirements =
            file.require.iter().map(|t| probes::requirement(t, folder)).collect::<Result<Vec<_>, _>>()?;
        for spec in &options.require {
            let probe = probes::plain_probe(spec, here, check::EXEC_TIMEOUT)?;
            requirements.push(Requirement { probe, fix: None, hint: None });
        }
        let mut waits =
            file.wait.iter().map(|t| probes::awaited(t, folder, wait_timeout)).collect::<Result<Vec<_>, _>>()?;
        for spec in &options.wait {
            waits.push(Awaited { probe: probes::plain_probe(spec, here, wait_timeout)?, hint: None });
        }
        let health = probes::health(options, file.health.as_ref(), folder, here)?;
        let health_timeout =
            health.as_ref().map(|h| h.probe.timeout).or(options.health_timeout).unwrap_or(HEALTH_TIMEOUT);

        // An address that stands for all of this machine's is copied from the line where a server binds it.
        let is_ours = |host: &str| check::is_loopback_name(host) || check::is_unspecified(host);
        let here_checked = health.as_ref().and_then(|h| h.probe.check.address()).filter(|(host, _)| is_ours(host));
        let port = options
            .port
            .or(file.port.as_ref().map(|port| port.0))
            .or(here_checked.map(|(_, port)| port))
            .filter(|&port| port != 0);
        let host = here_checked.filter(|(host, p)| Some(*p) == port && !check::is_unspecified(host));
        let host = host.map(|(host, _)| host.to_owned());
        let url = file.url.clone().or_else(|| url(health.as_ref(), port));
        let name = name::resolve(options, &file, &directory, &command)?;
        let variables = variables::resolve(options, &file, folder, here)?;
        let watch = file.watch.as_ref().map(watch::resolve).transpose()?.unwrap_or_default();
        let notify = notify(options, &file);
        let has_health = health.is_some();
        let ready_fd = ready_fd(options, &file)?;
        for (what, given) in [("'--notify sidecar'", notify == Speaker::Sidecar), ("'--ready-fd'", ready_fd.is_some())]
        {
            if given && !has_health {
                let message = format!("{what} needs a health check, which says when the server is ready: --health");
                return Err(Fault::Usage(message));
            }
        }
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
            wait_timeout,
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
            replace: match (options.task, options.replace) {
                (Task::Restart, _) => Replace::Any,
                (_, true) => Replace::Same,
                (_, false) => Replace::No,
            },
            log: options.log.as_ref().map(from_caller).or(file.log.as_ref().map(in_file)),
            // After a restart the browser is open already.
            open: (options.open || file.open == Some(true)) && options.task != Task::Restart,
            grace: options.grace.or(file.grace.as_ref().map(|t| t.0)).unwrap_or(GRACE),
            notify,
            ready_fd,
            watches: options.watch || file.watch.is_some(),
            without_effect: (!has_health && watch.on_unhealthy == Action::Restart)
                .then_some("'on-unhealthy' has no effect without a health check")
                .into_iter()
                .collect(),
            watch,
            ending: stop::ending(&file.stop)?,
            pid_file: stop::pid_file(file.pid_file.as_ref())?.map(|path| in_file(&path)),
        })
    }

    /// The descriptor limits that the server will have, and whether they are lower than asked for.
    pub fn server_nofile(&self) -> (Nofile, bool) {
        let now = sys::nofile();
        let Some(wish) = self.nofile else { return (now, false) };
        let wanted = Nofile { soft: wish.soft, hard: wish.hard.unwrap_or(now.hard.max(wish.soft)) };
        let allowed = sys::allowed_nofile(wanted);
        (allowed, allowed != wanted)
    }
}

/// A mistake, by its place: the command line, or a file.
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

    fn in_file(self, path: &Path, text: &str) -> Error {
        match self {
            Fault::File(wrong) => Error::Config(wrong.in_file(path, text)),
            other => other.plain(),
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
        let number = |text: &str| whole_number::<u64>(text).ok().filter(|&number| number > 0);
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

/// The command of the command line, else of the file. The file's is validated even if it is not used.
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
        None if !matches!(options.task, Task::Check | Task::Doctor) => {
            Err(Fault::Usage("no command: write it after '--', or as 'command' in forerun.toml".to_owned()))
        }
        _ => Ok(words),
    }
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

fn notify(options: &Options, file: &File) -> Speaker {
    match options.notify.as_deref() {
        Some("sidecar") => Speaker::Sidecar,
        Some("server") => Speaker::Server,
        Some(_) => Speaker::Auto,
        None => file.notify.unwrap_or_default(),
    }
}

/// The descriptor of `--ready-fd`. Descriptors 0 to 2 are refused: other output there would be taken for the newline.
fn ready_fd(options: &Options, file: &File) -> Result<Option<i32>, Fault> {
    let wrong = |number: i32| format!("{number} is no descriptor for readiness: they are from 3 on");
    match (options.ready_fd, &file.ready_fd) {
        (Some(number), _) if number < 3 => Err(Fault::Usage(format!("invalid '--ready-fd': {}", wrong(number)))),
        (None, Some(number)) if *number.get_ref() < 3 => Err(Wrong::at(number, wrong(*number.get_ref())).into()),
        (given, in_file) => Ok(given.or(in_file.as_ref().map(|number| *number.get_ref()))),
    }
}

/// The URL to print: scheme, host and port of the health URL, else the guarded port on this machine.
fn url(health: Option<&Awaited>, port: Option<u16>) -> Option<String> {
    if let Some(Check::Http(uri)) = health.map(|h| &h.probe.check) {
        let host = uri.authority()?.as_str().rsplit('@').next()?;
        let (scheme, check) = (uri.scheme_str()?, &health?.probe.check);
        return Some(match check.address() {
            Some((host, port)) if check::is_unspecified(host) => format!("{scheme}://localhost:{port}"),
            _ => format!("{scheme}://{host}"),
        });
    }
    port.map(|port| format!("http://localhost:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nofile_is_one_number_or_two() {
        assert_eq!(NofileWish::from_text("8192"), Ok(NofileWish { soft: 8192, hard: None }));
        assert_eq!(NofileWish::from_text("8:16"), Ok(NofileWish { soft: 8, hard: Some(16) }));
        for bad in ["", "0", "a", "16:8", "8:", ":8", "-1", "+5", "99999999999999999999"] {
            assert!(NofileWish::from_text(bad).is_err(), "{bad}");
        }
    }
}
