#![forbid(unsafe_code)]
//! Merges the command line and forerun.toml into one service.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::command;
use super::document::Document;
use super::expand::Expander;
use super::file::{self, File};
use super::known::Known;
use super::probes::{self, Awaited, Requirement};
use super::steps::{Step, steps};
use super::values::{FromText, GRACE, HEALTH_TIMEOUT, NofileWish, WAIT_TIMEOUT};
use super::variables::{self, Settings, Variables};
use super::wrong::{Fault, Wrong};
use super::{address, name, ready, stop, watch};
use crate::args::{AskedMode, ByHand, EnvFile, OnConflict, Speaker, StartFlags};
use crate::check::{Check, Probe, Purpose};
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::ending::Ending;
use crate::instance::mode::Mode;
use crate::instance::watch::{Action, Watch};
use crate::sys::{self, Nofile};
use crate::text::quoted;

/// The resolved description of one server.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub config: Option<PathBuf>,
    /// Empty only for `forerun check` and `forerun doctor`.
    pub command: Vec<OsString>,
    /// The command as it was written: a reference in it may give a secret.
    pub shown_command: Vec<OsString>,
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
    /// What runs before the server, one after another.
    pub before: Vec<Step>,
    pub health: Option<Awaited>,
    pub health_timeout: Duration,
    pub run_fixes: bool,
    pub nofile: Option<NofileWish>,
    pub close_fds: bool,
    pub on_conflict: Option<OnConflict>,
    pub log: Option<PathBuf>,
    pub open: bool,
    pub grace: Duration,
    pub notify: Speaker,
    /// The descriptor that gets a newline once the server is ready.
    pub ready_fd: Option<i32>,
    /// Whether `[watch]` or `--watch` was given.
    pub watches: bool,
    pub watch: Watch,
    /// What the sidecar tries once the server is healthy, if that is not the health check.
    pub watch_check: Option<Probe>,
    /// `[stop]`.
    pub ending: Ending,
    /// The file in which the server names its main process.
    pub pid_file: Option<PathBuf>,
    /// A warning for each key that has no effect here.
    pub without_effect: Vec<&'static str>,
}

/// What is asked of a service, besides its file.
#[derive(Clone, Copy)]
struct Asked<'a> {
    flags: &'a StartFlags,
    by_hand: &'a ByHand,
    /// The folder that relative paths are seen from.
    here: &'a Path,
    /// What references see.
    environment: &'a Environment,
    needs_command: bool,
}

impl Service {
    /// Resolves the service that a start is asked for, as seen from the folder `here`. References see `environment`.
    ///
    /// # Errors
    /// [`Error::Usage`] for mistakes on the command line, [`Error::Config`] for mistakes in files.
    pub fn resolve(
        flags: &StartFlags,
        by_hand: &ByHand,
        here: &Path,
        environment: &Environment,
    ) -> Result<Service, Error> {
        Self::find(&Asked { flags, by_hand, here, environment, needs_command: true })
    }

    /// Resolves a service that is only looked at: it need not have a command.
    ///
    /// # Errors
    /// As [`Service::resolve`].
    pub fn resolve_for_a_look(
        flags: &StartFlags,
        by_hand: &ByHand,
        here: &Path,
        environment: &Environment,
    ) -> Result<Service, Error> {
        Self::find(&Asked { flags, by_hand, here, environment, needs_command: false })
    }

    fn find(asked: &Asked) -> Result<Service, Error> {
        match file::find(asked.flags.config.as_deref(), asked.here)? {
            None => {
                let variables = env_files(asked, Vec::new()).map_err(Fault::plain)?;
                let built = Self::build(asked, &File::default(), None, &mut Expander::new(variables.known()));
                built.map_err(Fault::plain).map(|built| built.with(variables))
            }
            Some((path, text)) => Self::of_file(asked, &path, &text).map_err(|fault| fault.in_file(&path, &text)),
        }
    }

    fn of_file(asked: &Asked, path: &Path, text: &str) -> Result<Service, Fault> {
        let mut document = Document::parse(text)?;
        let named = document.env_files(&Known::new(asked.environment))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let variables = env_files(asked, named.iter().map(|file| file.within(folder)).collect())?;
        let mut expander = Expander::new(variables.known());
        let replaced = document.replace(&mut expander)?;
        let file = document.file(&replaced).map_err(Fault::from);
        let built = file.and_then(|file| Self::build(asked, &file, Some(path), &mut expander));
        let mut built = built.map_err(|fault| replaced.safe_fault(fault))?;
        if let Some(words) = replaced.command.filter(|_| asked.flags.command.is_empty()) {
            built.service.shown_command = words.iter().map(OsString::from).collect();
        }
        Ok(built.with(variables))
    }

    fn build(asked: &Asked, file: &File, config: Option<&Path>, expander: &mut Expander) -> Result<Built, Fault> {
        let Asked { flags, by_hand, here, needs_command, .. } = *asked;
        let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
        let in_file = |path: &PathBuf| folder.join(path);
        let from_caller = |path: &PathBuf| here.join(path);
        let directory = directory(flags.cwd.as_deref(), file.cwd.as_deref(), here, config.map(|_| folder));
        let command = command(&flags.command, file, !needs_command)?;
        let wait_timeout = flags.wait_timeout.or(file.wait_timeout.as_ref().map(|t| t.0)).unwrap_or(WAIT_TIMEOUT);
        let requirements = requirements(flags, file, folder, here, expander)?;
        let waits = waits(flags, file, (folder, here), wait_timeout, expander)?;
        let health = probes::health(flags, file.health.as_ref(), folder, here, expander)?;
        let health_timeout =
            health.as_ref().map(|h| h.probe.timeout).or(flags.health_timeout).unwrap_or(HEALTH_TIMEOUT);

        let (port, host) = address::port(address::asked_port(flags, file, expander)?, health.as_ref());
        let url = file.url.clone().or_else(|| address::url(health.as_ref(), port));
        let name = name::resolve(flags.name.as_deref(), file, &directory, &command)?;
        refuse_itself(&name, &requirements, &waits)?;
        let (watch, watch_check) = watched(file, folder, health_timeout)?;
        let notify = flags.notify.or(file.notify).unwrap_or_default();
        let ready_fd = ready::ready_fd(flags, file)?;
        ready::refuse_without_health(health.as_ref(), notify, ready_fd)?;
        let settings = variables::settings(flags, file)?;
        let service = Service {
            name,
            config: config.map(Path::to_owned),
            shown_command: command.clone(),
            command,
            directory,
            variables: Variables::default(),
            asked_mode: asked_mode(by_hand.mode, file)?,
            port,
            host,
            url,
            requirements,
            waits,
            wait_timeout,
            before: steps(&file.before)?,
            health_timeout,
            run_fixes: !flags.no_fix,
            nofile: nofile(flags, file)?,
            close_fds: flags.close_fds || file.close_fds == Some(true),
            on_conflict: flags.on_conflict.or(file.on_conflict),
            log: by_hand.log.as_ref().map(from_caller).or(file.log.as_ref().map(in_file)),
            open: by_hand.open || file.open == Some(true),
            grace: flags.grace.or(file.grace.as_ref().map(|t| t.0)).unwrap_or(GRACE),
            notify,
            ready_fd,
            watches: flags.watch || file.watch.is_some(),
            without_effect: without_effect(health.as_ref(), watch_check.as_ref(), &watch),
            health,
            watch,
            watch_check,
            ending: stop::ending(&file.stop)?,
            pid_file: stop::pid_file(file.pid_file.as_ref())?.map(|path| in_file(&path)),
        };
        let references = std::mem::take(&mut expander.variables);
        Ok(Built { service, settings, references, looked_up: std::mem::take(&mut expander.names) })
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

/// The folder in which the server runs. `folder`: that of the file, if there is one.
fn directory(given: Option<&Path>, in_file: Option<&Path>, here: &Path, folder: Option<&Path>) -> PathBuf {
    match (given, in_file) {
        (Some(given), _) => here.join(given),
        (None, Some(given)) => folder.unwrap_or(here).join(given),
        (None, None) => folder.unwrap_or(here).to_owned(),
    }
}

fn asked_mode(given: Option<AskedMode>, file: &File) -> Result<Option<(Mode, &'static str)>, Fault> {
    match given {
        Some(AskedMode::Foreground) => return Ok(Some((Mode::Foreground, "--foreground"))),
        Some(AskedMode::Detached) => return Ok(Some((Mode::Detached, "--detach"))),
        None => {}
    }
    let detach = file.detach.as_ref().filter(|detach| *detach.get_ref());
    match (file.foreground == Some(true), detach) {
        (true, Some(detach)) => Err(Wrong::at(detach, "'foreground' and 'detach' cannot both be true").into()),
        (true, None) => Ok(Some((Mode::Foreground, "'foreground' in the file"))),
        (false, Some(_)) => Ok(Some((Mode::Detached, "'detach' in the file"))),
        (false, None) => Ok(None),
    }
}

/// A service without its variables.
struct Built {
    service: Service,
    settings: Settings,
    /// What the references of scripts gave.
    references: Settings,
    /// The names that references looked up.
    looked_up: Vec<String>,
}

impl Built {
    fn with(self, variables: Variables) -> Service {
        Service { variables: variables.with(self.settings, self.references, self.looked_up), ..self.service }
    }
}

/// Reads the env-files: those of the command line, else those that the file names.
fn env_files(asked: &Asked, named: Vec<EnvFile>) -> Result<Variables, Fault> {
    let given: Vec<_> = asked.flags.env_file.iter().map(|file| file.within(asked.here)).collect();
    Variables::read(if given.is_empty() { &named } else { &given }, asked.environment)
}

fn requirements(
    flags: &StartFlags,
    file: &File,
    folder: &Path,
    here: &Path,
    expander: &mut Expander,
) -> Result<Vec<Requirement>, Fault> {
    let mut all = file.require.iter().map(|t| probes::requirement(t, folder)).collect::<Result<Vec<_>, _>>()?;
    for spec in &flags.require {
        all.push(probes::asked_requirement(spec, here, expander)?);
    }
    Ok(all)
}

fn waits(
    flags: &StartFlags,
    file: &File,
    (folder, here): (&Path, &Path),
    limit: Duration,
    expander: &mut Expander,
) -> Result<Vec<Awaited>, Fault> {
    let mut all =
        file.wait.iter().map(|t| probes::awaited(t, folder, limit, Purpose::Wait)).collect::<Result<Vec<_>, _>>()?;
    for spec in &flags.wait {
        all.push(probes::asked_awaited(("--wait", Purpose::Wait), spec, here, limit, expander)?);
    }
    Ok(all)
}

/// A service that waits for itself waits for ever.
fn refuse_itself(name: &str, requirements: &[Requirement], waits: &[Awaited]) -> Result<(), Fault> {
    let mut probes = requirements.iter().map(|r| &r.probe).chain(waits.iter().map(|w| &w.probe));
    match probes.find(|probe| matches!(&probe.check, Check::Service(of) if of == name)) {
        Some(probe) => Err(Fault::Config(format!(
            "invalid check {}: it is this service itself, which would wait for ever; name another one",
            quoted(&probe.to_string())
        ))),
        None => Ok(()),
    }
}

fn nofile(flags: &StartFlags, file: &File) -> Result<Option<NofileWish>, Fault> {
    match &flags.nofile {
        Some(text) => {
            let wish = NofileWish::from_text(text).map_err(|e| Fault::Usage(format!("invalid '--nofile': {e}")));
            wish.map(Some)
        }
        None => Ok(file.limits.nofile.as_ref().map(|n| n.0)),
    }
}

/// `[watch]`, and its check.
fn watched(file: &File, folder: &Path, limit: Duration) -> Result<(Watch, Option<Probe>), Fault> {
    let Some(table) = &file.watch else { return Ok((Watch::default(), None)) };
    let check = table.check.as_ref().map(|table| probes::watched(table, folder, limit)).transpose()?;
    Ok((watch::resolve(table)?, check))
}

fn without_effect(health: Option<&Awaited>, watched: Option<&Probe>, watch: &Watch) -> Vec<&'static str> {
    let why = match health {
        None => "'on-unhealthy' has no effect without a health check",
        Some(health) if health.probe.check.is_told() => {
            "'on-unhealthy' has no effect without a check that asks the server; set 'check' in [watch]"
        }
        Some(_) => return Vec::new(),
    };
    let is_useless = watched.is_none() && watch.on_unhealthy == Action::Restart;
    is_useless.then_some(why).into_iter().collect()
}
