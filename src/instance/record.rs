#![forbid(unsafe_code)]
//! The record of an instance: which process it is, how it was launched, and what a restart needs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cookie;
use super::ending::Ending;
use super::identity::{Identity, Life};
use super::ready::Ready;
use super::state::Folder;
use super::succession::Ended;
use crate::environment::UNIT_FILE;
use crate::sys::{Host, Seen};
use crate::text::quoted;

const FILE: &str = "record.json";
const VERSION: u32 = 1;
/// The variables by which a supervisor knows its job. They are no secrets, and outlive the instance.
const KEPT: [&str; 7] = [
    "SYSTEMD_EXEC_PID",
    "MANAGERPID",
    "INVOCATION_ID",
    "XPC_SERVICE_NAME",
    "SUPERVISOR_PROCESS_NAME",
    "SUPERVISOR_GROUP_NAME",
    UNIT_FILE,
];

/// How far an instance has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// forerun is starting it. `process` is forerun itself until there is a server.
    Starting,
    Running,
    /// It was told to end. If it still runs, the forerun that told it was killed meanwhile.
    Stopping,
}

/// A string of the operating system, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl From<&OsStr> for Text {
    fn from(text: &OsStr) -> Self {
        text.to_str().map_or_else(|| Text::Bytes(text.as_bytes().to_vec()), |t| Text::Utf8(t.to_owned()))
    }
}

impl From<&Text> for OsString {
    fn from(text: &Text) -> Self {
        match text {
            Text::Utf8(text) => text.into(),
            Text::Bytes(bytes) => OsString::from_vec(bytes.clone()),
        }
    }
}

/// Converts a list to strings of the operating system.
pub fn os_strings(list: &[Text]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

/// The forerun that stops an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stopper {
    pub process: Identity,
    /// The first signal went out.
    pub told: bool,
}

/// Everything that is recorded of an instance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub name: String,
    pub phase: Phase,
    pub process: Identity,
    /// The forerun that carries out the start. Absent in the oldest records.
    #[serde(default)]
    pub starter: Option<Identity>,
    /// The sidecar, if there is one.
    #[serde(default)]
    pub sidecar: Option<Identity>,
    /// The pid of the main process before this one, if the server handed over.
    #[serde(default)]
    pub was: Option<i32>,
    /// The pid of the process that was launched. The server may have handed over since.
    #[serde(default)]
    pub first: i32,
    /// The start time of the launch. It is later than that of the process where that executed forerun.
    #[serde(default)]
    pub launched: u64,
    /// The children that the process had before the launch.
    #[serde(default)]
    pub before: Vec<Seen>,
    /// What was seen when the server became ready.
    #[serde(default)]
    pub ready: Option<Ready>,
    /// By this the system finds how the process ended, or 0.
    #[serde(default)]
    pub trace: u64,
    /// How the process ended, once that is known.
    #[serde(default)]
    pub ended: Option<Ended>,
    /// The control group that forerun made for the instance.
    #[serde(default)]
    pub own_group: Option<String>,
    /// The host on which the port is guarded.
    #[serde(default)]
    pub host: Option<String>,
    /// The socket of the port was handed to the service (socket activation).
    #[serde(default)]
    pub is_activated: bool,
    pub session: i32,
    pub group: i32,
    pub cookie: String,
    pub mode: String,
    /// The supervisor that was recognised.
    pub supervisor: Option<String>,
    /// The path of the control group. Under systemd it contains the unit's name.
    pub cgroup: Option<String>,
    pub config: Option<Text>,
    pub command: Vec<Text>,
    /// The server's executable.
    #[serde(default)]
    pub executable: Option<Text>,
    pub cwd: Text,
    pub port: Option<u16>,
    pub url: Option<String>,
    pub log: Option<Text>,
    /// The file in which the server names its main process.
    #[serde(default)]
    pub pid_file: Option<Text>,
    /// How it is told to end.
    #[serde(default)]
    pub ending: Ending,
    /// Who tells it to end, in the phase for that. Absent where the decision needs no witness.
    #[serde(default)]
    pub stopper: Option<Stopper>,
    /// How long the server may take to stop.
    #[serde(default = "default_grace")]
    pub grace: Duration,
    /// forerun's own arguments, working directory and environment, so that a restart can repeat the start.
    pub arguments: Vec<Text>,
    pub called_in: Text,
    pub environment: Vec<Text>,
    /// The instance has ended: the environment is gone, and so are the values of these variables of --env.
    #[serde(default)]
    pub is_spent: bool,
    #[serde(default)]
    pub dropped: Vec<Text>,
}

impl Record {
    pub const VERSION: u32 = VERSION;

    /// Writes the record.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&self, folder: &Folder) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        folder.replace(FILE, &bytes)
    }

    /// Writes the record. If that fails, what is done goes on with a warning.
    pub fn write_or_warn(&self, folder: &Folder) {
        if let Err(e) = self.write(folder) {
            log::warn!("cannot write the record in {}: {e}; continuing", quoted(&folder.path));
        }
    }

    /// The path of a service's record.
    pub fn path(folder: &Folder) -> PathBuf {
        folder.path.join(FILE)
    }

    /// The record of this instance after it was told to end, or once nothing but its end is left.
    pub fn told_to_end(&self) -> Self {
        Record { phase: Phase::Stopping, starter: None, stopper: None, ..self.clone() }
    }

    /// Whether it was told to end. A forerun that was killed before its first signal told nobody.
    pub fn was_told_to_end(&self) -> bool {
        self.phase == Phase::Stopping && self.stopper.as_ref().is_none_or(|stopper| stopper.told)
    }

    /// Whether it was told to end, or is about to be.
    pub fn is_stopping(&self, here: &Host) -> bool {
        let by = self.stopper.as_ref().map(|stopper| &stopper.process);
        self.was_told_to_end() || (self.phase == Phase::Stopping && by.is_some_and(|p| p.life(here) == Life::Alive))
    }

    /// The record of an instance whose main process has ended. What it knew of secrets is gone: its environment, but for
    /// what names it to its supervisor, and the values of --env.
    pub fn spent(self, ended: Option<Ended>) -> Self {
        let keeps = |entry: &OsString| {
            KEPT.iter()
                .any(|name| entry.as_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
        };
        let environment =
            os_strings(&self.environment).into_iter().filter(keeps).map(|entry| Text::from(entry.as_os_str()));
        let environment: Vec<_> = environment.collect();
        let (arguments, dropped) = without_values(&os_strings(&self.arguments));
        let is_new = self.environment != environment || !dropped.is_empty();
        Record {
            environment,
            arguments: arguments.iter().map(|a| Text::from(a.as_os_str())).collect(),
            dropped: if dropped.is_empty() { self.dropped } else { dropped },
            is_spent: self.is_spent || is_new,
            ended: self.ended.or(ended),
            ..self
        }
    }

    /// Removes the record of an instance that is gone.
    pub fn remove(folder: &Folder) {
        let _ = folder.remove(FILE);
    }

    /// Undoes the record of a start that failed. The record before it comes back, because it identifies what is left of
    /// the earlier instance.
    pub fn undo(folder: &Folder, before: Option<&Record>) {
        if before.is_none_or(|before| before.write(folder).is_err()) {
            Self::remove(folder);
        }
    }

    /// Removes what a forerun that was killed during a write left behind. The caller must hold the lock, because a
    /// write begins with the same file.
    pub fn tidy(folder: &Folder) {
        folder.forget_replacement(FILE);
    }

    /// Reads the record of a service. A record that cannot be trusted is set aside with a warning and counts as absent.
    /// A record that cannot be read is an error.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn read(folder: &Folder, name: &str) -> Result<Option<Record>, String> {
        let wrong = match Self::look(folder, name) {
            Ok(record) => return Ok(record),
            Err(Unreadable::File(message)) => return Err(message),
            Err(Unreadable::Untrusted(why)) => why,
        };
        let aside = format!("{FILE}.damaged");
        let path = Self::path(folder);
        folder.rename(FILE, &aside).map_err(|e| format!("cannot set aside the record {}: {e}", quoted(&path)))?;
        log::warn!("the record {} cannot be trusted: {wrong}; set aside as '{aside}'", quoted(&path));
        Ok(None)
    }

    /// Reads the record of a service and changes nothing.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn look(folder: &Folder, name: &str) -> Result<Option<Record>, Unreadable> {
        let path = Self::path(folder);
        let untrusted = |why: String| Err(Unreadable::Untrusted(why));
        match folder.read(FILE) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData || e.raw_os_error() == Some(libc::ELOOP) => {
                untrusted(e.to_string())
            }
            Err(e) => Err(Unreadable::File(format!("cannot read the record {}: {e}", quoted(&path)))),
            Ok(bytes) if written_by_a_newer_one(&bytes) => Err(Unreadable::File(format!(
                "the record {} was written by a newer forerun; use that version",
                quoted(&path)
            ))),
            Ok(bytes) => match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) if record.version != VERSION => untrusted(format!("it has version {}", record.version)),
                Ok(record) if record.name != name => untrusted(format!("it belongs to {}", quoted(&record.name))),
                Ok(record) if record.process.pid <= 0 => untrusted(format!("it has pid {}", record.process.pid)),
                Ok(record) if !cookie::is_of(name, &record.cookie) => untrusted("its cookie is not valid".to_owned()),
                Ok(record) if !record.is_printable() => untrusted("it contains control characters".to_owned()),
                Ok(record) => Ok(Some(record)),
                // serde's words name types and fields; the place is enough.
                Err(e) => untrusted(format!("it is damaged at line {}, column {}", e.line(), e.column())),
            },
        }
    }

    /// Whether the texts that are printed as they are contain nothing that a terminal would take for a command.
    fn is_printable(&self) -> bool {
        let texts = [Some(&self.mode), self.supervisor.as_ref(), self.cgroup.as_ref()];
        !texts.into_iter().flatten().any(|text| text.contains(char::is_control))
    }
}

/// The arguments of a start without the values of --env, and the names of those.
fn without_values(arguments: &[OsString]) -> (Vec<OsString>, Vec<Text>) {
    let (mut kept, mut names) = (Vec::new(), Vec::new());
    let mut note = |pair: &[u8]| {
        let name = pair.split(|&b| b == b'=').next().unwrap_or_default();
        names.push(Text::from(OsStr::from_bytes(name)));
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_bytes() {
            b"--" => {
                kept.push(argument.clone());
                kept.extend(rest.by_ref().cloned());
            }
            b"--env" => rest.next().into_iter().for_each(|pair| note(pair.as_bytes())),
            bytes => match bytes.strip_prefix(b"--env=") {
                Some(pair) => note(pair),
                None => kept.push(argument.clone()),
            },
        }
    }
    (kept, names)
}

/// Why a record cannot be used.
#[derive(Debug)]
pub enum Unreadable {
    /// The file cannot be read, so its content is unknown.
    File(String),
    /// forerun did not write it.
    Untrusted(String),
}

impl Unreadable {
    /// The message about the record in `folder`.
    pub fn message(self, folder: &Folder) -> String {
        match self {
            Unreadable::File(message) => message,
            Unreadable::Untrusted(why) => {
                format!("the record {} cannot be trusted: {why}", quoted(&Record::path(folder)))
            }
        }
    }
}

fn default_grace() -> Duration {
    Duration::from_secs(10)
}

/// Reads the version only, because a newer forerun may have changed all other fields.
fn written_by_a_newer_one(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_slice(bytes).is_ok_and(|Version { version }| version > VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_is_kept_byte_for_byte() {
        for bytes in [&b"plain"[..], b"\xff\x00\n\"", b""] {
            let text = Text::from(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&text).expect("json");
            let back: Text = serde_json::from_str(&json).expect("text");
            assert_eq!(OsString::from(&back).as_bytes(), bytes);
        }
    }
}
