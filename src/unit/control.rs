#![forbid(unsafe_code)]
//! Supervisors, asked and told what to do, by their own commands and never from inside of what they run.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Place, Scope, launchd, place, runit, s6, supervisord, systemd};
use crate::cli::Kind;
use crate::environment::Environment;
use crate::error::Error;
use crate::report::line::say;
use crate::text::{one_line, quoted, shell_words};

/// A command of a supervisor.
pub type Words = Vec<String>;

/// A supervisor, for one unit.
pub struct Control<'a> {
    pub kind: Kind,
    pub scope: Scope,
    pub name: &'a str,
    pub place: &'a Place,
    pub environment: &'a Environment,
    /// How long the server may take to stop.
    pub grace: Duration,
}

/// What a supervisor says of a unit.
#[derive(Debug)]
pub struct Standing {
    /// It is started again at the next boot or login.
    pub enabled: bool,
    pub runs: Runs,
    /// What forerun has told the supervisor of itself, where it tells.
    pub status: Option<String>,
    /// Whether the sidecar's messages are heard, where that is a question.
    pub hears_sidecar: Option<bool>,
    /// The supervisor has an older text than the file.
    pub is_older: bool,
}

/// Whether a supervisor runs a unit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Runs {
    /// As this process: the server, or forerun while it waits.
    Yes(i32),
    /// It is starting it, or will again in a moment: in its own words.
    Later(String),
    /// In its own words.
    No(String),
}

impl Standing {
    pub fn absent(why: &str) -> Standing {
        Standing { enabled: false, runs: Runs::No(why.to_owned()), status: None, hears_sidecar: None, is_older: false }
    }
}

/// What a command answered.
pub struct Answer {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Control<'_> {
    /// What a person types to make the unit run. `restart`: also where it ran as it was before.
    pub fn start_commands(&self, restart: bool) -> Vec<Words> {
        match self.kind {
            Kind::Systemd => systemd::start_commands(self, restart),
            Kind::Launchd => launchd::start_commands(self, restart),
            Kind::Supervisord => supervisord::start_commands(self, restart),
            Kind::Runit => runit::start_commands(self, restart),
            Kind::S6 => s6::start_commands(self, restart),
        }
    }

    /// Makes the unit run, and again where it was changed.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the supervisor's program, [`Error::NotReady`] where it refuses, with its own words.
    pub fn start(&self, changed: bool) -> Result<(), Error> {
        match self.kind {
            Kind::Systemd => systemd::start(self, changed),
            Kind::Launchd => launchd::start(self, changed),
            Kind::Supervisord => supervisord::start(self, changed),
            Kind::Runit => runit::start(self, changed),
            Kind::S6 => s6::start(self, changed),
        }
    }

    /// What the supervisor says of the unit.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn standing(&self) -> Result<Standing, Error> {
        match self.kind {
            Kind::Systemd => systemd::standing(self),
            Kind::Launchd => launchd::standing(self),
            Kind::Supervisord => supervisord::standing(self),
            Kind::Runit => runit::standing(self),
            Kind::S6 => s6::standing(self),
        }
    }

    /// Stops the unit, for good.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn stop(&self) -> Result<(), Error> {
        match self.kind {
            Kind::Systemd => systemd::stop(self),
            Kind::Launchd => launchd::stop(self),
            Kind::Supervisord => supervisord::stop(self),
            Kind::Runit => runit::stop(self),
            Kind::S6 => s6::stop(self),
        }
    }

    /// Has the supervisor forget a unit whose file is gone.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn forget(&self) -> Result<(), Error> {
        match self.kind {
            Kind::Systemd => systemd::forget(self),
            Kind::Supervisord => supervisord::forget(self),
            Kind::Launchd | Kind::Runit | Kind::S6 => Ok(()),
        }
    }

    /// What the supervisor keeps in the folder of a unit.
    pub fn keeps(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Runit => &runit::KEPT,
            Kind::S6 => &s6::KEPT,
            _ => &[],
        }
    }

    /// The program that is asked.
    pub fn program(&self) -> &'static str {
        match self.kind {
            Kind::Systemd => "systemctl",
            Kind::Launchd => "launchctl",
            Kind::Supervisord => "supervisorctl",
            Kind::Runit => "sv",
            Kind::S6 => "s6-svc",
        }
    }

    /// What a person types where the unit is there and does not serve.
    pub fn start_command(&self) -> String {
        let words = match self.kind {
            Kind::Supervisord => supervisord::start_again(self),
            Kind::Launchd => launchd::start_again(self),
            _ => self.start_commands(false).pop().unwrap_or_default(),
        };
        shell_words(&words)
    }

    /// What shows what the server said, where that is known.
    pub fn log_command(&self) -> Option<String> {
        match self.kind {
            Kind::Systemd => {
                let of_user = if self.scope == Scope::User { "--user " } else { "" };
                Some(format!("journalctl {of_user}-n 20 -u {}.service", self.name))
            }
            Kind::Supervisord => Some(format!("supervisorctl tail {}", self.name)),
            Kind::Launchd | Kind::Runit | Kind::S6 => None,
        }
    }

    /// The files of a unit that is a folder, where it does not say so itself.
    pub fn files(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Runit | Kind::S6 => &runit::FILES,
            _ => &[],
        }
    }

    /// The word for its kind.
    pub fn kind_word(&self) -> &'static str {
        place::kind_word(self.kind)
    }

    /// Whether its program is there.
    pub fn is_there(&self) -> bool {
        let path = self.environment.filled("PATH").unwrap_or_default();
        which::which_in(self.program(), Some(path), "/").is_ok()
    }

    /// Says what is run.
    pub fn say(&self, words: &Words) {
        say(&shell_words(words));
    }

    /// Says what is run, and runs it.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn order(&self, words: &Words) -> Result<(), Error> {
        self.say(words);
        let answer = self.ask(words)?;
        if answer.code == Some(0) { Ok(()) } else { Err(self.failed(&words.join(" "), &answer)) }
    }

    /// Runs a command and takes what it says.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not there.
    pub fn ask(&self, words: &Words) -> Result<Answer, Error> {
        let mut command = Command::new(&words[0]);
        // `su` and `sudo -u` leave out where the user's manager listens.
        if self.scope == Scope::User && self.environment.filled("XDG_RUNTIME_DIR").is_none() {
            let folder = PathBuf::from(format!("/run/user/{}", nix::unistd::geteuid()));
            if folder.is_dir() {
                command.env("XDG_RUNTIME_DIR", folder);
            }
        }
        command.env("LC_ALL", "C").args(&words[1..]).stdin(Stdio::null());
        said_by(&mut command).map_err(|e| {
            Error::NotFound(format!("cannot execute {}: {e}; install it, or put it on PATH", quoted(&words[0])))
        })
    }

    /// The error of a command that failed, in its own words.
    pub fn failed(&self, command: &str, answer: &Answer) -> Error {
        let said = if answer.err.trim().is_empty() { &answer.out } else { &answer.err };
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let code = answer.code.map_or("a signal ended it".to_owned(), |code| format!("exit code {code}"));
        Error::NotReady(format!("cannot run {}: {code}: {}", quoted(command), one_line(&said)))
    }

    /// Tries until something is there, at most for `patience`.
    ///
    /// # Errors
    /// Those of `attempt`.
    pub fn poll<T>(
        &self,
        patience: Duration,
        interval: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let found = attempt()?;
            if found.is_some() || Instant::now() >= deadline {
                return Ok(found);
            }
            std::thread::sleep(interval);
        }
    }

    /// Waits until what ran before has ended, where the supervisor's command returns at once.
    ///
    /// # Errors
    /// As [`Control::start`].
    pub fn wait_for_another(&self, before: &Standing) -> Result<(), Error> {
        let patience = self.grace + Duration::from_secs(10);
        let gone = || Ok((self.standing()?.runs != before.runs).then_some(()));
        let ended = self.poll(patience, Duration::from_millis(100), gone)?;
        ended.ok_or_else(|| {
            Error::NotReady(format!("{} does not end; see '{} status'", quoted(self.name), self.kind_word()))
        })
    }

    /// `ln -s` to the folder of the unit, and the link.
    pub fn link(&self) -> [Words; 2] {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let link = self.place.link.as_ref().map(text).unwrap_or_default();
        [vec!["ln".to_owned(), "-s".to_owned(), text(&self.place.unit), link.clone()], vec![link]]
    }

    /// The link, where it leads to our unit.
    pub fn scanned(&self) -> Option<String> {
        let link = self.place.link.as_ref()?;
        (fs::read_link(link).ok()? == self.place.unit).then(|| link.to_string_lossy().into_owned())
    }

    /// Makes the link.
    ///
    /// # Errors
    /// [`Error::Conflict`] where something else is there, [`Error::State`] where it cannot be made.
    pub fn make_link(&self, shown: &Words) -> Result<(), Error> {
        let Some(link) = self.place.link.as_ref().filter(|_| self.scanned().is_none()) else { return Ok(()) };
        self.say(shown);
        std::os::unix::fs::symlink(&self.place.unit, link).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => Error::Conflict(format!(
                "cannot make {}: something else is there; remove it, or give another --name",
                quoted(link)
            )),
            _ => Error::State(format!("cannot make {}: {e}; give the folder that is scanned as --dir", quoted(link))),
        })
    }

    /// Removes the link, without which nobody starts the unit again, and then ends what runs it, if something does.
    ///
    /// # Errors
    /// As [`Control::start`]; [`Error::State`] where the link stays.
    pub fn take_away(
        &self,
        is_supervised: bool,
        order: &Words,
        mut is_gone: impl FnMut() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let Some(link) = self.scanned() else { return Ok(()) };
        self.remove_link(&link)?;
        if !is_supervised {
            return Ok(());
        }
        self.order(order)?;
        let patience = self.grace + Duration::from_secs(20);
        let gone = self.poll(patience, Duration::from_millis(100), || Ok(is_gone()?.then_some(())))?;
        gone.ok_or_else(|| {
            let unit = quoted(&self.place.unit);
            Error::NotReady(format!("{} does not let go of {unit}; end what runs there", self.kind_word()))
        })
    }

    fn remove_link(&self, link: &str) -> Result<(), Error> {
        say(&shell_words(&["rm", link]));
        fs::remove_file(link).map_err(|e| Error::State(format!("cannot remove {}: {e}", quoted(link))))
    }

    /// The error where nobody looks at the folder of links.
    pub fn not_scanned(&self, scanner: &str) -> Error {
        let folder = self.place.link.as_ref().and_then(|link| link.parent()).map(quoted).unwrap_or_default();
        Error::NotReady(format!("no {scanner} looks at {folder}; start it, or give the folder that it scans as --dir"))
    }
}

/// Runs a command to its end. `Command::output` panics where a pipe cannot be read; here what was read is what it said.
fn said_by(command: &mut Command) -> io::Result<Answer> {
    fn read(pipe: Option<impl Read>) -> String {
        let mut bytes = Vec::new();
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stderr = child.stderr.take();
    let reader = std::thread::Builder::new().spawn(move || read(stderr));
    let out = read(child.stdout.take());
    let err = reader.ok().and_then(|reader| reader.join().ok()).unwrap_or_default();
    Ok(Answer { code: child.wait()?.code(), out, err })
}
