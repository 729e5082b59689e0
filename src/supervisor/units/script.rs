#![forbid(unsafe_code)]
//! The script `run` in a folder of a service, for supervisors that have one.

use std::path::PathBuf;

use nix::unistd::User;

use super::quote::{sh, sh_word};
use super::spec::{Given, UnitSpec};

/// The PATH in a script that forerun wrote.
pub fn kept_path(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("export PATH="))?;
    shlex::split(value)?.pop()
}

/// The script that becomes the server. `change`: the command that changes the user.
pub fn run(kind: &str, change: &str, spec: &UnitSpec, given: &Given) -> String {
    // These supervisors have no setting for the user: a program of theirs changes it, and the server's home with it.
    let user = spec.lesser_user().map(|user| {
        let home = User::from_name(user).ok().flatten().map_or(PathBuf::from("/"), |user| user.dir);
        let (why, home, user) = (spec.why_user(), sh_word(&home.to_string_lossy()), sh_word(user));
        format!("# {why}\nexport HOME={home} USER={user} LOGNAME={user}\n")
    });
    let change = spec.lesser_user().map(|user| format!("{change} {} ", sh_word(user))).unwrap_or_default();
    format!(
        "\
#!/bin/sh
# {name}, started by forerun. Written by 'forerun unit {kind}'. To change it, edit forerun.toml or write it again
# with other flags: {install}
# {marker}
{user}{undone}\
# Send stderr to where stdout goes: to the logger, if there is one.
exec 2>&1
# PATH of the shell that created this unit, without temporary folders.
export PATH={path}
{state}\
# forerun becomes the server, so this pid is the server's. forerun also sets its descriptor limit, as {kind} sets none.
exec {change}{command}
",
        name = spec.name,
        install = given.install_command,
        marker = given.marker,
        user = user.unwrap_or_default(),
        undone = given.undone.iter().map(|line| format!("# {line}\n")).collect::<String>(),
        path = sh_word(&spec.search_path),
        state = spec.made.state.as_ref().map_or(String::new(), |state| {
            format!("# State folder of the shell that created this unit, so that both find the same record.\nexport FORERUN_STATE_DIR={}\n", sh_word(state))
        }),
        command = sh(&given.argv),
    )
}
