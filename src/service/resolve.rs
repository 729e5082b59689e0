#![forbid(unsafe_code)]
//! Merges the command line and forerun.toml into one service.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::command;
use super::file::{self, File};
use super::probes::{self, Awaited, Requirement};
use super::values::{FromText, GRACE, HEALTH_TIMEOUT, NofileWish, OnConflict, Purpose, Replace, Speaker, WAIT_TIMEOUT};
use super::variables::{self, Variables};
use super::wrong::{Fault, Wrong};
use super::{name, stop, watch};
use crate::args::{self, StartFlags};
use crate::check::{self, Check};
use crate::error::Error;
use crate::instance::ending::Ending;
use crate::instance::mode::Mode;
use crate::instance::watch::{Action, Watch};
use crate::sys::{self, Nofile};

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

impl Service {
    /// Resolves the service, as seen from the folder `here`.
    ///
    /// # Errors
    /// [`Error::Usage`] for mistakes on the command line, [`Error::Config`] for mistakes in files.
    pub fn resolve(options: &StartFlags, purpose: Purpose, here: &Path) -> Result<Service, Error> {
        match file::find(options.config.as_deref(), here)? {
            None => Self::build(options, purpose, File::default(), None, here).map_err(Fault::plain),
            Some((path, text, file)) => {
                Self::build(options, purpose, file, Some(&path), here).map_err(|fault| fault.in_file(&path, &text))
            }
        }
    }

    fn build(
        options: &StartFlags,
        purpose: Purpose,
        file: File,
        config: Option<&Path>,
        here: &Path,
    ) -> Result<Service, Fault> {
        let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
        let in_file = |path: &PathBuf| folder.join(path);
        let from_caller = |path: &PathBuf| here.join(path);
        let directory = options.cwd.as_ref().map(from_caller).or(file.cwd.as_ref().map(in_file));
        let directory = directory.unwrap_or_else(|| if config.is_some() { folder } else { here }.to_owned());
        let command = command(&options.command, &file, purpose == Purpose::Look)?;
        let wait_timeout = options.wait_timeout.or(file.wait_timeout.as_ref().map(|t| t.0)).unwrap_or(WAIT_TIMEOUT);
        let requirements = requirements(options, &file, folder, here)?;
        let waits = waits(options, &file, folder, here, wait_timeout)?;
        let health = probes::health(options, file.health.as_ref(), folder, here)?;
        let (port, host) = port(options, &file, health.as_ref());
        let url = file.url.clone().or_else(|| url(health.as_ref(), port));
        let name = name::resolve(options.name.as_deref(), &file, &directory, &command)?;
        let variables = variables::resolve(options, &file, folder, here)?;
        let watch = file.watch.as_ref().map(watch::resolve).transpose()?.unwrap_or_default();
        let (notify, ready_fd) = (notify(options, &file), ready_fd(options, &file)?);
        let has_health = health.is_some();
        refuse_without_health(has_health, notify, ready_fd)?;
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
            health_timeout: health_timeout(options, health.as_ref()),
            health,
            run_fixes: !options.no_fix,
            nofile: nofile(options, &file)?,
            close_fds: options.close_fds || file.close_fds == Some(true),
            on_conflict: on_conflict(options, &file),
            replace: replace(options, purpose),
            log: options.log.as_ref().map(from_caller).or(file.log.as_ref().map(in_file)),
            // After a restart the browser is open already.
            open: (options.open || file.open == Some(true)) && purpose != Purpose::Restart,
            grace: options.grace.or(file.grace.as_ref().map(|t| t.0)).unwrap_or(GRACE),
            notify,
            ready_fd,
            watches: options.watch || file.watch.is_some(),
            without_effect: without_effect(has_health, &watch),
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

fn asked_mode(options: &StartFlags, file: &File) -> Result<Option<(Mode, &'static str)>, Fault> {
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

fn health_timeout(options: &StartFlags, health: Option<&Awaited>) -> Duration {
    health.map(|health| health.probe.timeout).or(options.health_timeout).unwrap_or(HEALTH_TIMEOUT)
}

fn notify(options: &StartFlags, file: &File) -> Speaker {
    match options.notify {
        Some(args::Notify::Sidecar) => Speaker::Sidecar,
        Some(args::Notify::Server) => Speaker::Server,
        Some(args::Notify::Auto) => Speaker::Auto,
        None => file.notify.unwrap_or_default(),
    }
}

/// The descriptor of `--ready-fd`. Descriptors 0 to 2 are refused: other output there would be taken for the newline.
fn ready_fd(options: &StartFlags, file: &File) -> Result<Option<i32>, Fault> {
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

fn requirements(options: &StartFlags, file: &File, folder: &Path, here: &Path) -> Result<Vec<Requirement>, Fault> {
    let mut all = file.require.iter().map(|t| probes::requirement(t, folder)).collect::<Result<Vec<_>, _>>()?;
    for spec in &options.require {
        let probe = probes::plain_probe(spec, here, check::EXEC_TIMEOUT)?;
        all.push(Requirement { probe, fix: None, hint: None });
    }
    Ok(all)
}

fn waits(
    options: &StartFlags,
    file: &File,
    folder: &Path,
    here: &Path,
    limit: Duration,
) -> Result<Vec<Awaited>, Fault> {
    let mut all = file.wait.iter().map(|t| probes::awaited(t, folder, limit)).collect::<Result<Vec<_>, _>>()?;
    for spec in &options.wait {
        all.push(Awaited { probe: probes::plain_probe(spec, here, limit)?, hint: None });
    }
    Ok(all)
}

/// The port that is guarded, and the host that the health check names for it.
fn port(options: &StartFlags, file: &File, health: Option<&Awaited>) -> (Option<u16>, Option<String>) {
    // An address that stands for all of this machine's is copied from the line where a server binds it.
    let is_ours = |host: &str| check::is_loopback_name(host) || check::is_unspecified(host);
    let here_checked = health.and_then(|h| h.probe.check.address()).filter(|(host, _)| is_ours(host));
    let asked = options.port.or(file.port.as_ref().map(|port| port.0));
    let port = asked.or(here_checked.map(|(_, port)| port)).filter(|&port| port != 0);
    let host = here_checked.filter(|(host, p)| Some(*p) == port && !check::is_unspecified(host));
    (port, host.map(|(host, _)| host.to_owned()))
}

fn refuse_without_health(has_health: bool, notify: Speaker, ready_fd: Option<i32>) -> Result<(), Fault> {
    for (what, given) in [("'--notify sidecar'", notify == Speaker::Sidecar), ("'--ready-fd'", ready_fd.is_some())] {
        if given && !has_health {
            let message = format!("{what} needs a health check, which says when the server is ready: --health");
            return Err(Fault::Usage(message));
        }
    }
    Ok(())
}

fn nofile(options: &StartFlags, file: &File) -> Result<Option<NofileWish>, Fault> {
    match &options.nofile {
        Some(text) => {
            let wish = NofileWish::from_text(text).map_err(|e| Fault::Usage(format!("invalid '--nofile': {e}")));
            wish.map(Some)
        }
        None => Ok(file.limits.nofile.as_ref().map(|n| n.0)),
    }
}

fn on_conflict(options: &StartFlags, file: &File) -> Option<OnConflict> {
    match options.on_conflict {
        Some(args::OnConflict::Standby) => Some(OnConflict::Standby),
        Some(args::OnConflict::Fail) => Some(OnConflict::Fail),
        None => file.on_conflict,
    }
}

fn replace(options: &StartFlags, purpose: Purpose) -> Replace {
    match (purpose, options.replace) {
        (Purpose::Restart, _) => Replace::Any,
        (_, true) => Replace::Same,
        (_, false) => Replace::No,
    }
}

fn without_effect(has_health: bool, watch: &Watch) -> Vec<&'static str> {
    let is_useless = !has_health && watch.on_unhealthy == Action::Restart;
    is_useless.then_some("'on-unhealthy' has no effect without a health check").into_iter().collect()
}
