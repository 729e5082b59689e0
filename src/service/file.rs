#![forbid(unsafe_code)]
//! Reads forerun.toml, and names the line of a mistake.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use toml::Spanned;

use super::values::{FromText, NofileWish};
use crate::args::{OnConflict, Speaker};
use crate::check::{Method, Written};
use crate::error::Error;
use crate::instance::ending::Leftovers;
use crate::instance::watch::{Action, Share};
use crate::sys;
use crate::text::{elapsed, one_line, quoted};

const LARGEST: u64 = 1 << 20;
/// How long a file that is a pipe may stay silent.
const SILENCE: Duration = Duration::from_secs(10);

/// The keys of the file, as written.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    pub name: Option<Spanned<String>>,
    pub command: Option<Spanned<Words>>,
    pub cwd: Option<PathBuf>,
    pub port: Option<Text<u16>>,
    pub url: Option<String>,
    pub on_conflict: Option<OnConflict>,
    pub foreground: Option<bool>,
    pub detach: Option<Spanned<bool>>,
    pub close_fds: Option<bool>,
    pub wait_timeout: Option<Text<Duration>>,
    pub log: Option<PathBuf>,
    pub open: Option<bool>,
    pub grace: Option<Text<Duration>>,
    #[serde(default)]
    pub env: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub require: Vec<CheckTable>,
    #[serde(default)]
    pub wait: Vec<CheckTable>,
    pub health: Option<CheckTable>,
    #[serde(default)]
    pub before: Vec<StepTable>,
    #[serde(default)]
    pub limits: Limits,
    pub watch: Option<WatchTable>,
    #[serde(default)]
    pub stop: StopTable,
    pub pid_file: Option<Spanned<PathBuf>>,
    pub notify: Option<Speaker>,
    pub ready_fd: Option<Spanned<Text<i32>>>,
}

/// A `[[require]]`, a `[[wait]]` or `[health]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CheckTable {
    pub check: Spanned<String>,
    pub timeout: Option<Spanned<Text<Duration>>>,
    pub status: Option<Spanned<Text<Statuses>>>,
    pub body: Option<Spanned<String>>,
    #[serde(default)]
    pub headers: Option<Spanned<BTreeMap<String, String>>>,
    pub insecure: Option<Spanned<bool>>,
    pub ca: Option<Spanned<PathBuf>>,
    pub cert: Option<Spanned<PathBuf>>,
    pub key: Option<Spanned<PathBuf>>,
    pub method: Option<Spanned<Text<Method>>>,
    pub hold: Option<Spanned<Text<Duration>>>,
    pub interval: Option<Spanned<Text<Duration>>>,
    pub attempt_timeout: Option<Spanned<Text<Duration>>>,
    pub hint: Option<Spanned<String>>,
    pub fix: Option<Spanned<String>>,
    pub fix_timeout: Option<Spanned<Text<Duration>>>,
    #[serde(skip)]
    pub written: Written,
    /// The fix, if it has a reference.
    #[serde(skip)]
    pub written_fix: Option<String>,
}

impl CheckTable {
    /// What a message about it says at its end.
    pub fn hint(&self) -> Option<String> {
        self.hint.as_ref().map(|hint| hint.get_ref().clone())
    }
}

/// A `[[before]]`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepTable {
    pub run: Spanned<String>,
    pub timeout: Option<Text<Duration>>,
    pub permanent: Option<bool>,
    /// `run`, if it has a reference.
    #[serde(skip)]
    pub written: Written,
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub nofile: Option<Text<NofileWish>>,
}

/// `[watch]`.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WatchTable {
    pub interval: Option<Spanned<Text<Duration>>>,
    pub unhealthy_after: Option<Spanned<Text<u32>>>,
    pub grace: Option<Text<Duration>>,
    pub on_unhealthy: Option<Action>,
    pub max_fds: Option<Text<Share>>,
    pub max_ptys: Option<Text<u64>>,
    pub max_processes: Option<Text<u64>>,
    pub on_leak: Option<Action>,
    pub check: Option<CheckTable>,
}

/// `[stop]`.
#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StopTable {
    pub signal: Option<Spanned<Text<Signal>>>,
    pub reload_signal: Option<Spanned<Text<Signal>>>,
    pub before: Option<Spanned<String>>,
    pub before_timeout: Option<Spanned<Text<Duration>>>,
    pub leftovers: Option<Leftovers>,
    /// `before`, if it has a reference.
    #[serde(skip)]
    pub written_before: Option<String>,
}

impl FromText for Method {
    fn from_text(text: &str) -> Result<Self, String> {
        let method = Method::WORDS.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        method.map(|(_, method)| method).ok_or_else(|| {
            format!("'{}' is no method of a check; write \"GET\", \"HEAD\", \"OPTIONS\" or \"POST\"", one_line(text))
        })
    }
}

/// The number of a signal.
#[derive(Clone, Copy)]
pub struct Signal(pub i32);

impl FromText for Signal {
    fn from_text(text: &str) -> Result<Self, String> {
        let number = sys::signal_number(text).map(Signal);
        number.ok_or_else(|| format!("'{}' is not a signal; write \"SIGTERM\", \"TERM\" or 15", one_line(text)))
    }
}

/// Reads forerun.toml. Returns its absolute path and its text, or `None` if there is none.
pub fn find(config: Option<&Path>, here: &Path) -> Result<Option<(PathBuf, String)>, Error> {
    let path = here.join(config.unwrap_or(Path::new("forerun.toml")));
    let Some(text) = read(&path)? else {
        return match config {
            Some(_) => {
                Err(Error::Config(format!("cannot read {}: No such file or directory (os error 2)", quoted(&path))))
            }
            None => Ok(None),
        };
    };
    Ok(Some((std::path::absolute(&path).unwrap_or(path), text)))
}

/// Reads the text of a file. `Ok(None)` if there is no such file.
///
/// # Errors
/// [`Error::Config`] with a message that names the file; [`Error::Exhausted`] if another try can help.
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    let failed = |e: &dyn fmt::Display| format!("cannot read {}: {e}", quoted(path));
    match bytes(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => {
            Err(Error::Exhausted(failed(&e) + "; raise the limits or try again"))
        }
        Err(e) => Err(Error::Config(failed(&e))),
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| Error::Config(failed(&"it is not UTF-8"))),
    }
}

/// Reads a file that may be a pipe (`<(...)` of a shell). Nobody need ever write to the other end.
///
/// # Errors
/// Those of the file, and one for a file that is too large or silent for too long.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = fs::File::options().read(true).custom_flags(flags).open(path)?;
    let mut bytes = Vec::new();
    loop {
        if !sys::wait_readable([Some(file.as_fd())], SILENCE)[0] {
            return Err(io::Error::other(format!("nothing came from it for {}", elapsed(SILENCE))));
        }
        match file.by_ref().take(LARGEST + 1 - bytes.len() as u64).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 > LARGEST => {
                return Err(io::Error::other("it is larger than 1 MiB; shorten it, or name another file"));
            }
            Ok(_) => return Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => {
                return Err(io::Error::other("it is a directory; put a file in its place, or name another file"));
            }
            Err(e) => return Err(e),
        }
    }
}

/// A command: a list of words, or a string that is split as a shell would split it. No shell runs.
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Words;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of strings or a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Words, E> {
                shlex::split(text).map(Words).ok_or_else(|| E::custom("the command has an unclosed quote"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A value that is written as text or as a number.
#[derive(Clone)]
pub struct Text<T>(pub T);

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<T: FromText> Visitor<'_> for Either<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text<T>, E> {
                T::from_text(text).map(Text).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Text<T>, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Either(PhantomData)).map_err(D::Error::custom)
    }
}

/// Statuses of an HTTP answer: `200`, `200-399`, `200,401`.
#[derive(Clone)]
pub struct Statuses(pub Vec<RangeInclusive<u16>>);

impl FromText for Statuses {
    fn from_text(text: &str) -> Result<Self, String> {
        let number = |t: &str| t.trim().parse::<u16>().ok().filter(|n| (100..600).contains(n));
        let range = |part: &str| match part.split_once('-') {
            Some((from, to)) => Some(number(from)?..=number(to)?).filter(|r| !r.is_empty()),
            None => number(part).map(|n| n..=n),
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Statuses).ok_or_else(|| {
            let what_to_do = "write \"200\", \"200-399\" or \"200,401\", of 100 to 599";
            format!("'{}' is not a status; {what_to_do}", one_line(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::document::{Document, Replaced};

    fn parse(text: &str) -> Result<File, crate::service::wrong::Wrong> {
        Document::parse(text)?.file(&Replaced::default())
    }

    fn wrong(text: &str) -> String {
        parse(text).err().expect("wrong").in_file(Path::new("forerun.toml"), text)
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
        assert_eq!(
            wrong("name = 'a'\n\nprot = 1\n"),
            "cannot use 'forerun.toml': line 3: unknown key 'prot'; did you mean 'port'?"
        );
        assert_eq!(
            wrong("[health]\ncheck = 'tcp:a:1'\ntimout = '1s'\n"),
            "cannot use 'forerun.toml': line 3: unknown key 'timout'; did you mean 'timeout'?"
        );
    }

    #[test]
    fn bad_values_are_named_with_their_line() {
        for (text, part) in [
            ("port = 70000", "line 1: '70000' is not a port"),
            ("port = 'http'", "line 1: 'http' is not a port; a port is a number from 1 to 65535"),
            ("\ngrace = '5'", "line 2: '5' is not a duration; write 500ms, 2s or 1m30s"),
            ("on-conflict = 'kill'", "line 1: on-conflict is \"standby\" or \"fail\", not 'kill'"),
            ("command = 'a \"b'", "unclosed quote"),
            ("command = [1]", "line 1: command is a list of words in quotes"),
            ("[[wait]]\ncheck = 'http://a'\nstatus = '2x'", "line 3: '2x' is not a status"),
            ("[env]\nA = 1", "line 2: A in [env] is text, in quotes: A = \"...\""),
            ("name = ", "line 1"),
            ("[limits]\nnofile = '9:8'", "line 2: '9:8'"),
            ("[watch]\nmax-fds = '120%'", "line 2: '120%'"),
            ("[[wait]]\ntimeout = '1s'", "line 1: wait has no check"),
            ("wait = ['tcp:a:1', 5]", "line 1: wait is a list of checks"),
            ("[stop]\nsignal = 'SIGTREM'", "line 2: 'SIGTREM' is not a signal; write \"SIGTERM\", \"TERM\" or 15"),
            ("[stop]\nsignal = 0", "line 2: '0' is not a signal"),
            ("[stop]\nsignal = true", "line 2: signal is a signal: \"SIGTERM\""),
            ("[stop]\nleftovers = 'kill'", "line 2: leftovers is \"leave\" or \"stop\", not 'kill'"),
            ("pid-file = 5", "line 1: pid-file is a path: \"web.pid\""),
            ("health = 5", "line 1: health is a check: \"http://127.0.0.1:8787/health\""),
            ("before = 5", "line 1: before is a list of commands: [\"python3 manage.py migrate\"]"),
            ("before = ['a', 5]", "line 1: before is a list of commands"),
            ("[[before]]\ntimeout = '1s'", "line 1: before has no run: run = \"python3 manage.py migrate\""),
            ("[[before]]\nrun = ['a']", "line 2: run is a command"),
            ("[[before]]\nrun = 'a'\npermanent = 'yes'", "line 3: permanent is true or false"),
            ("env-file = [5]", "line 1: env-file is a path or a list of paths: \".env\""),
        ] {
            let message = wrong(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_command_is_a_list_or_a_string_without_a_shell() {
        let words = |text| parse(text).ok().expect(text).command.expect("command").into_inner().0;
        assert_eq!(words("command = 'python3 -c \"a b\" $HOME'"), ["python3", "-c", "a b", "$HOME"]);
        assert_eq!(words("command = ['a b', '']"), ["a b", ""]);
    }

    #[test]
    fn steps_are_a_command_a_list_of_commands_or_tables() {
        let steps = |text| -> Vec<_> {
            let file = parse(text).ok().expect(text);
            file.before.into_iter().map(|step| (step.run.into_inner(), step.timeout.map(|t| t.0.as_secs()))).collect()
        };
        assert_eq!(steps("before = 'a b'"), [("a b".to_owned(), None)]);
        assert_eq!(
            steps("before = ['a', { run = 'b', timeout = '2s' }]"),
            [("a".to_owned(), None), ("b".to_owned(), Some(2))]
        );
        assert_eq!(steps("[[before]]\nrun = 'a'\n[[before]]\nrun = 'b'").len(), 2);
        assert!(steps("before = []").is_empty());
    }

    #[test]
    fn statuses_are_numbers_and_ranges() {
        let statuses = Statuses::from_text("200, 300-399").expect("statuses").0;
        assert_eq!(statuses, [200..=200, 300..=399]);
        for bad in ["", "99", "600", "200-600", "400-300", "200-", "a"] {
            assert!(Statuses::from_text(bad).is_err(), "{bad}");
        }
    }
}
