#![forbid(unsafe_code)]
//! A start as records and units keep it, and the service that it asks for. Restart, status, reload and the units read it
//! again; forerun.toml is then the one of today.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{Service, inline};
use crate::args::{self, Start, StartFlags};
use crate::check::Check;
use crate::environment::Environment;
use crate::error::Error;
use crate::instance::record::{Record, os_strings};

/// A start that was asked for.
pub struct Request {
    /// The program's name first.
    pub arguments: Vec<OsString>,
    /// The folder that relative paths are seen from.
    pub called_in: PathBuf,
    /// The base of the server's environment, which references see. That of a unit comes from its supervisor; here it is
    /// the caller's.
    pub environment: Environment,
}

impl Request {
    /// The start of a recorded instance.
    pub fn of_record(record: &Record) -> Self {
        Request {
            arguments: os_strings(&record.arguments),
            called_in: OsString::from(&record.called_in).into(),
            environment: Environment::new(os_strings(&record.environment)),
        }
    }

    /// The start on the command line of a unit, without the program's name.
    pub fn of_unit(arguments: &[OsString], here: &Path, environment: &Environment) -> Self {
        Request {
            arguments: [OsString::from("forerun")].into_iter().chain(arguments.iter().cloned()).collect(),
            called_in: here.to_owned(),
            environment: environment.clone(),
        }
    }

    /// The options of the start.
    ///
    /// # Errors
    /// Why this forerun does not understand them, in one line.
    pub fn start(&self) -> Result<Start, String> {
        args::parse_start(self.arguments.clone())
    }

    /// The service of a recorded start.
    ///
    /// # Errors
    /// Why there is none, in one line.
    pub fn service(&self) -> Result<Service, String> {
        let Start { flags, by_hand } = self.start().map_err(|_| "the recorded flags make no sense".to_owned())?;
        Service::resolve(&flags, &by_hand, &self.called_in, &self.environment).map_err(|e| e.to_string())
    }

    /// The service of a unit, and its flags.
    ///
    /// # Errors
    /// [`Error::Config`] when this forerun does not understand the arguments, and those of the service.
    pub fn service_of_unit(&self) -> Result<(Service, Vec<OsString>), Error> {
        let Start { flags, by_hand } = self
            .start()
            .map_err(|why| Error::Config(format!("cannot understand the command line in the unit: {why}")))?;
        let service = Service::resolve(&flags, &by_hand, &self.called_in, &self.environment)?;
        let words = words(&flags, &service, &self.called_in);
        Ok((service, words))
    }
}

/// The flags of a service as words again: what a unit has on its command line. A unit can be made again from them.
/// Options that are for the run that makes the unit are left out.
pub fn words(flags: &StartFlags, service: &Service, here: &Path) -> Vec<OsString> {
    // Without a file nothing else says the folder.
    let cwd = service.config.is_none().then_some(&*service.directory);
    // The start replaces references in it.
    let escaped = PathBuf::from(escaped(here.as_os_str()));
    flags.argv(here, cwd, |check| resolved(check, &escaped))
}

/// The same text, in which nothing is a reference.
fn escaped(text: &OsStr) -> OsString {
    let bytes = text.as_bytes();
    let mut escaped = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        if bytes[at..].starts_with(b"${") {
            escaped.push(b'$');
        }
        escaped.push(byte);
    }
    OsString::from_vec(escaped)
}

/// Whether the operand of a check begins with a reference. What it gives can be an absolute path.
fn begins_with_reference(spec: &OsStr) -> bool {
    spec.as_bytes().splitn(2, |&byte| byte == b':').nth(1).is_some_and(|operand| operand.starts_with(b"${"))
}

/// A check with an absolute path. It parses, because the service was resolved with it. Which checks have a path is known
/// here, and not to the command line.
fn resolved(spec: &OsStr, here: &Path) -> OsString {
    if let Some(with_keys) = inline::resolved(spec, here, |check| resolved(check, here)) {
        return with_keys;
    }
    match Check::parse(spec) {
        Ok(
            check @ (Check::File(_) | Check::Directory(_) | Check::Unix(_) | Check::Command(_) | Check::HttpUnix(..)),
        ) if !begins_with_reference(spec) => check.resolved_against(here).spec(),
        _ => spec.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ByHand;

    #[test]
    fn flags_that_are_parsed_again_give_the_same_flags() {
        let given = [
            "forerun",
            "--name",
            "web",
            "--cwd",
            "sub",
            "--env",
            "A=b c",
            "--env=-x=1",
            "--port",
            "0",
            "--nofile",
            "5:6",
            "--close-fds",
            "--require",
            "file:x y",
            "--require",
            "cmd:./z",
            "--wait",
            "tcp:[::1]:80",
            "--wait",
            "unix:s",
            "--wait-timeout",
            "1m 30s",
            "--no-fix",
            "--health",
            "http://u:p@127.0.0.1:1/h?a=b",
            "--health-timeout",
            "500ms",
            "--health-body=-b",
            "--on-conflict",
            "fail",
            "--grace",
            "3s",
            "--notify",
            "sidecar",
            "--ready-fd",
            "4",
            "--watch",
            "--",
            "./server",
            "-n",
            "a b",
            "",
        ];
        let first = args::parse_start(given.iter().map(OsString::from).collect()).expect("parses").flags;
        let here = Path::new("/srv/web");
        let service = |flags: &StartFlags, here: &Path| {
            Service::resolve(flags, &ByHand::default(), here, &Environment::default()).expect("resolves")
        };
        let said = words(&first, &service(&first, here), here);
        assert!(said.contains(&"file:/srv/web/x y".into()) && said.contains(&"/srv/web/sub".into()), "{said:?}");
        let unit = Request::of_unit(&said, Path::new("/"), &Environment::default());
        let (_, again) = unit.service_of_unit().expect("understood");
        assert_eq!(again, said);
        let second = unit.start().expect("parses").flags;
        let relative = |flags: StartFlags| StartFlags { cwd: None, require: Vec::new(), wait: Vec::new(), ..flags };
        assert_eq!(relative(second), relative(first));
    }

    #[test]
    fn only_a_start_is_understood() {
        for words in [&["stop", "web"][..], &["--no-such-flag"], &["check"]] {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            assert!(
                Request::of_unit(&words, Path::new("/"), &Environment::default()).service_of_unit().is_err(),
                "{words:?}"
            );
        }
    }
}
