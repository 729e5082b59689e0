#![forbid(unsafe_code)]
//! The command line in a unit: forerun and the flags that make the same service from any folder.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::args::{Kind, Options};
use crate::check::Check;
use crate::environment::Environment;
use crate::service::{Service, is_same_file};
use crate::sys;

use crate::supervisor::units::Scope;

/// The soft and hard limit of open descriptors if nobody sets them.
pub const NOFILE: (u64, u64) = (8192, 16384);
/// The descriptor on which s6 expects readiness if nobody sets another.
pub const NOTIFICATION_FD: i32 = 3;

/// The first flags: the mode, and the config file if there is one.
pub fn base(config: Option<&Path>) -> Vec<OsString> {
    let mut words = Words(vec!["--foreground".into()]);
    words.maybe("--config", config);
    words.0
}

/// Flags for defaults that this kind of unit has no setting for.
pub fn defaults(service: &Service, kind: Kind, scope: Scope) -> Vec<OsString> {
    let mut words = Words(Vec::new());
    let limited_elsewhere = matches!((kind, scope), (Kind::Systemd, _) | (Kind::Launchd, Scope::User));
    if service.nofile.is_none() && !limited_elsewhere {
        words.option("--nofile", format!("{}:{}", NOFILE.0, NOFILE.1));
    }
    if kind == Kind::S6 && service.health.is_some() && service.ready_fd.is_none() {
        words.option("--ready-fd", NOTIFICATION_FD.to_string());
    }
    words.0
}

/// The flags that the options were parsed from. Paths become absolute but are not resolved: a symlink stays a symlink.
/// Parsing these flags gives the same options, so that a unit can be made again from its own command line. `-v` and
/// `-q` are left out, because they are for the run that makes the unit.
pub fn flags(options: &Options, service: &Service, here: &Path) -> Vec<OsString> {
    let mut words = Words(Vec::new());
    let absolute = |path: &PathBuf| here.join(path).into_os_string();
    if service.config.is_none() {
        words.option("--cwd", &service.directory);
    }
    if let (Some(cwd), true) = (&options.cwd, service.config.is_some()) {
        words.option("--cwd", absolute(cwd));
    }
    words.maybe("--name", options.name.as_ref());
    options.env.iter().for_each(|entry| words.option("--env", entry));
    words.maybe("--env-file", options.env_file.as_ref().map(absolute));
    words.maybe("--port", options.port.map(|port| port.to_string()));
    words.maybe("--nofile", options.nofile.as_ref());
    words.flag("--close-fds", options.close_fds);
    options.require.iter().for_each(|check| words.option("--require", resolved(check, here)));
    options.wait.iter().for_each(|check| words.option("--wait", resolved(check, here)));
    words.maybe("--wait-timeout", options.wait_timeout.map(duration));
    words.flag("--no-fix", options.no_fix);
    words.maybe("--health", options.health.as_ref().map(|check| resolved(check, here)));
    words.maybe("--health-timeout", options.health_timeout.map(duration));
    words.maybe("--health-body", options.health_body.as_ref());
    words.flag("--insecure", options.insecure);
    words.maybe("--on-conflict", options.on_conflict.as_ref());
    words.maybe("--grace", options.grace.map(duration));
    words.maybe("--notify", options.notify.as_ref());
    words.maybe("--ready-fd", options.ready_fd.map(|number| number.to_string()));
    words.flag("--watch", options.watch);
    if !options.command.is_empty() {
        words.flag("--", true);
        words.0.extend(options.command.iter().cloned());
    }
    words.0
}

struct Words(Vec<OsString>);

impl Words {
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

/// The path of forerun as it was called. A symlink is not resolved, because the target of a package manager's symlink
/// moves with every release.
pub fn own_program(arguments: &[OsString], environment: &Environment, here: &Path) -> Option<PathBuf> {
    let running = sys::own_executable().ok()?;
    let is_us = |path: &PathBuf| is_same_file(path, &running);
    let name = Path::new(arguments.first()?);
    let named = match name.components().count() {
        1 if !arguments[0].as_encoded_bytes().contains(&b'/') => {
            let folders = environment.filled("PATH").map(std::env::split_paths).into_iter().flatten();
            folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(is_us)
        }
        _ => std::path::absolute(here.join(name)).ok().filter(is_us),
    };
    named.or_else(|| running.canonicalize().ok())
}

/// The current folder through the symlinks that the caller used (`PWD` of the shell).
pub fn here(environment: &Environment, actual: &Path) -> PathBuf {
    let named = environment.filled("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    named.filter(|path| is_same_file(path, actual)).unwrap_or(actual.to_owned())
}

/// PATH for the unit: the caller's, without folders that are temporary or that some unit format cannot hold.
pub fn search_path(environment: &Environment) -> String {
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const TEMPORARY: [&str; 9] = [
        "/tmp",
        "/var/tmp",
        "/dev",
        "/run",
        "/proc",
        "/private/tmp",
        "/private/var/tmp",
        "/var/folders",
        "/private/var/folders",
    ];
    let temporary = environment.filled("TMPDIR").map(PathBuf::from).filter(|t| t.is_absolute() && t.parent().is_some());
    let mut kept: Vec<String> = Vec::new();
    for folder in environment.filled("PATH").map(std::env::split_paths).into_iter().flatten() {
        let lasts = folder.is_absolute()
            && !TEMPORARY.iter().any(|t| folder.starts_with(t))
            && !temporary.as_ref().is_some_and(|t| folder.starts_with(t));
        match folder.into_os_string().into_string() {
            Ok(folder) if lasts && !kept.contains(&folder) && !folder.contains(is_awkward) => kept.push(folder),
            _ => {}
        }
    }
    if kept.is_empty() { USUAL.to_owned() } else { kept.join(":") }
}

/// Characters that no folder of installed programs contains in practice.
fn is_awkward(c: char) -> bool {
    c.is_control() || "\"'\\;#".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(OsString::from).collect())
    }

    #[test]
    fn a_path_is_kept_without_its_temporary_folders() {
        for (path, kept) in [
            ("/usr/bin:/tmp/x:/usr/bin:relative:/opt/my bin:/var/folders/a/T", "/usr/bin:/opt/my bin"),
            ("/tmp", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("/a\nb:/c;d:/e", "/e"),
            ("/scratch/bin:/usr/bin:/scratchy", "/usr/bin:/scratchy"),
        ] {
            let environment = environment(&[&format!("PATH={path}"), "TMPDIR=/scratch"]);
            assert_eq!(search_path(&environment), kept, "{path}");
        }
    }

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
        let parse = |words: Vec<OsString>| args::parse(words).expect("parses");
        let first = parse(given.iter().map(OsString::from).collect());
        let here = Path::new("/srv/web");
        let service = |options: &Options, here: &Path| Service::resolve(options, here).expect("resolves");
        let words = flags(&first, &service(&first, here), here);
        assert!(words.contains(&"file:/srv/web/x y".into()) && words.contains(&"/srv/web/sub".into()), "{words:?}");
        let second = parse([OsString::from("forerun")].into_iter().chain(words.clone()).collect());
        let elsewhere = Path::new("/");
        assert_eq!(flags(&second, &service(&second, elsewhere), elsewhere), words);
        let relative = |options: Options| Options {
            foreground: false,
            cwd: None,
            require: Vec::new(),
            wait: Vec::new(),
            ..options
        };
        assert_eq!(relative(second), relative(first));
    }

    #[test]
    fn a_limit_is_given_once() {
        let parse = |extra: &[&str]| {
            let words = ["forerun"].iter().chain(extra).chain(&["--", "x"]).map(OsString::from).collect();
            args::parse(words).expect("parses")
        };
        let nofile = |extra: &[&str], kind, scope| {
            let options = parse(extra);
            let service = Service::resolve(&options, Path::new("/")).expect("resolves");
            let words = [defaults(&service, kind, scope), flags(&options, &service, Path::new("/"))].concat();
            words.iter().position(|w| w == "--nofile").map(|at| words[at + 1].clone())
        };
        assert_eq!(nofile(&[], Kind::Systemd, Scope::System), None);
        assert_eq!(nofile(&[], Kind::Launchd, Scope::User), None);
        assert_eq!(nofile(&[], Kind::Launchd, Scope::System), Some("8192:16384".into()));
        assert_eq!(nofile(&[], Kind::Runit, Scope::User), Some("8192:16384".into()));
        assert_eq!(nofile(&["--nofile", "9"], Kind::Systemd, Scope::System), Some("9".into()));
    }
}
