#![forbid(unsafe_code)]
//! The flags of a start as words again: what a unit has on its command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Service;
use super::{Purpose, request};
use crate::args::{Notify, OnConflict, StartFlags};
use crate::check::Check;
use crate::error::Error;

/// The flags that the options were parsed from. Paths become absolute but are not resolved: a symlink stays a symlink.
/// Parsing these flags gives the same options, so that a unit can be made again from its own command line. `-v` and
/// `-q` are left out, because they are for the run that makes the unit.
pub fn flags(options: &StartFlags, service: &Service, here: &Path) -> Vec<OsString> {
    // Each field is named: a flag that is forgotten here does not compile.
    #[rustfmt::skip]
    let StartFlags {
        // The unit has these elsewhere, or they are of a start by hand.
        config: _, foreground: _, detach: _, replace: _, log: _, open: _,
        name, cwd, env, env_file, port, nofile, close_fds, require, wait, wait_timeout, no_fix, health, health_timeout,
        health_body, insecure, on_conflict, grace, notify, ready_fd, watch, command,
    } = options;
    let mut words = Argv(Vec::new());
    let absolute = |path: &PathBuf| here.join(path).into_os_string();
    let seconds = |limit: &Option<Duration>| limit.map(duration);
    if service.config.is_none() {
        words.option("--cwd", &service.directory);
    }
    if let (Some(cwd), true) = (cwd, service.config.is_some()) {
        words.option("--cwd", absolute(cwd));
    }
    words.maybe("--name", name.as_ref());
    env.iter().for_each(|entry| words.option("--env", entry));
    words.maybe("--env-file", env_file.as_ref().map(absolute));
    words.maybe("--port", port.map(|port| port.to_string()));
    words.maybe("--nofile", nofile.as_ref());
    words.flag("--close-fds", *close_fds);
    require.iter().for_each(|check| words.option("--require", resolved(check, here)));
    wait.iter().for_each(|check| words.option("--wait", resolved(check, here)));
    words.maybe("--wait-timeout", seconds(wait_timeout));
    words.flag("--no-fix", *no_fix);
    words.maybe("--health", health.as_ref().map(|check| resolved(check, here)));
    words.maybe("--health-timeout", seconds(health_timeout));
    words.maybe("--health-body", health_body.as_ref());
    words.flag("--insecure", *insecure);
    words.maybe("--on-conflict", on_conflict.map(OnConflict::word));
    words.maybe("--grace", seconds(grace));
    words.maybe("--notify", notify.map(Notify::word));
    words.maybe("--ready-fd", ready_fd.map(|number| number.to_string()));
    words.flag("--watch", *watch);
    if !command.is_empty() {
        words.flag("--", true);
        words.0.extend(command.iter().cloned());
    }
    words.0
}

/// The service that these arguments of forerun start, and its flags.
///
/// # Errors
/// [`Error::Config`] when this forerun does not understand them, and those of the service.
pub fn understand(arguments: &[OsString], here: &Path) -> Result<(Service, Vec<OsString>), Error> {
    let words = [OsString::from("forerun")].into_iter().chain(arguments.iter().cloned()).collect();
    let start = request::start_of(words)
        .map_err(|why| Error::Config(format!("cannot understand the command line in the unit: {why}")))?;
    let service = Service::resolve(&start.flags, Purpose::Start, here)?;
    let flags = flags(&start.flags, &service, here);
    Ok((service, flags))
}

struct Argv(Vec<OsString>);

impl Argv {
    fn flag(&mut self, name: &str, given: bool) {
        if given {
            self.0.push(name.into());
        }
    }

    /// Adds an option. A value that begins with `-` is accepted only in the same word (`--env=-x=1`).
    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let value = value.as_ref();
        if value.as_encoded_bytes().first() == Some(&b'-') || value.is_empty() {
            let mut word = OsString::from(format!("{name}="));
            word.push(value);
            self.0.push(word);
        } else {
            self.0.extend([name.into(), value.to_owned()]);
        }
    }

    fn maybe(&mut self, name: &str, value: Option<impl AsRef<OsStr>>) {
        if let Some(value) = value {
            self.option(name, value);
        }
    }
}

/// A check with an absolute path. It parses, because the service was resolved with it.
fn resolved(spec: &OsString, here: &Path) -> OsString {
    match Check::parse(spec) {
        Ok(check @ (Check::File(_) | Check::Directory(_) | Check::Unix(_) | Check::Command(_))) => {
            check.resolved_against(here).spec()
        }
        _ => spec.clone(),
    }
}

fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let parse = |words: Vec<OsString>| request::start_of(words).expect("parses").flags;
        let first = parse(given.iter().map(OsString::from).collect());
        let here = Path::new("/srv/web");
        let service =
            |options: &StartFlags, here: &Path| Service::resolve(options, Purpose::Start, here).expect("resolves");
        let words = flags(&first, &service(&first, here), here);
        assert!(words.contains(&"file:/srv/web/x y".into()) && words.contains(&"/srv/web/sub".into()), "{words:?}");
        let second = parse([OsString::from("forerun")].into_iter().chain(words.clone()).collect());
        let elsewhere = Path::new("/");
        assert_eq!(flags(&second, &service(&second, elsewhere), elsewhere), words);
        let relative = |options: StartFlags| StartFlags {
            foreground: false,
            cwd: None,
            require: Vec::new(),
            wait: Vec::new(),
            ..options
        };
        assert_eq!(relative(second), relative(first));
    }
}
