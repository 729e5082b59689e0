//! What changes a machine is not done, but understood: each line names a program that we know, and forerun takes what
//! it is told.

use crate::common::done;
use crate::place::Place;

/// Programs of supervisors and of systems, which our pages name.
const KNOWN: [&str; 42] = [
    "systemctl",
    "rc-service",
    "dinitctl",
    "journalctl",
    "systemd-analyze",
    "loginctl",
    "launchctl",
    "supervisorctl",
    "sv",
    "s6-svc",
    "s6-svstat",
    "s6-svscanctl",
    "docker",
    "podman",
    "kubectl",
    "crontab",
    "logrotate",
    "rm",
    "cp",
    "mv",
    "ln",
    "mkdir",
    "cat",
    "tee",
    "kill",
    "pkill",
    "curl",
    "ss",
    "lsof",
    "sudo",
    "sysctl",
    "ulimit",
    "cd",
    "brew",
    "cargo",
    "pm2",
    "install",
    "nginx",
    "tail",
    "chown",
    "git",
    "sh",
];

/// Each command of a script is known or forerun's.
pub fn understand(place: &Place, script: &str, at: &str) -> usize {
    let joined = place.inside(&script.replace("\\\n", " "));
    let mut commands = 0;
    // Of a console only what is typed.
    let is_console = joined.starts_with("$ ");
    let typed = joined.lines().filter_map(|line| if is_console { line.strip_prefix("$ ") } else { Some(line) });
    for line in typed {
        let words = shlex::split(line).unwrap_or_else(|| panic!("{at}: no words: {line}"));
        let pieces = words.split(|word| ["|", "&&", ";", "||"].contains(&word.as_str()));
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            let skipped = piece.iter().take_while(|word| {
                ["sudo", "exec", "env", "nohup"].contains(&word.as_str())
                    || word.contains('=') && !word.starts_with('-')
            });
            let piece = &piece[skipped.count()..];
            let Some(program) = piece.first() else { continue };
            match program.rsplit('/').next() {
                Some("forerun") => forerun(place, &piece[1..], at),
                Some(name) => assert!(KNOWN.contains(&name), "{at}: nobody knows the program '{name}': {line}"),
                None => {}
            }
            commands += 1;
        }
    }
    assert!(commands > 0, "{at}: nothing to type");
    commands
}

/// forerun understands these words. What it would do to the machine is left out.
pub fn forerun(place: &Place, words: &[String], at: &str) {
    let mut words = words.to_vec();
    // What the shell would do with the rest.
    if let Some(end) = words.iter().position(|word| word.starts_with('>') || word.starts_with("2>") || word == "<") {
        words.truncate(end);
    }
    let subcommand = words.first().cloned().unwrap_or_default();
    let own = words.iter().position(|word| word == "--").unwrap_or(words.len());
    match subcommand.as_str() {
        "unit" => {
            let units = place.room.path().join("units").display().to_string();
            let installs = words[..own].iter().any(|word| word == "--install");
            if let Some(dir) = words[..own].iter().position(|word| word == "--dir") {
                words.drain(dir..dir + 2);
            }
            words.retain(|word| !["--now", "--uninstall"].contains(&word.as_str()));
            if installs {
                words.splice(2..2, ["--dir".to_owned(), units]);
            }
        }
        "check" | "status" | "stop" | "restart" | "reload" | "logs" | "fds" | "doctor" | "man" | "schema"
        | "completions" | "help" | "forget" => {}
        _ => {
            if words.last().is_none_or(|word| word == "--") {
                words.retain(|word| word != "--");
                words.extend(["--".to_owned(), "true".to_owned()]);
            }
            words.insert(0, "--dry-run".to_owned());
        }
    }
    let ended = done(place.command(env!("CARGO_BIN_EXE_forerun")).args(&words));
    let is_understood = match subcommand.as_str() {
        // Nothing runs here: what matters is that the words have a meaning.
        "status" | "stop" | "restart" | "reload" | "logs" | "fds" | "doctor" | "check" | "forget" => {
            ended.code != Some(2)
        }
        _ => ended.code == Some(0),
    };
    assert!(is_understood, "{at}: forerun {words:?}: {:?}\n{}", ended.code, ended.stderr);
}

/// Every start of forerun in a file of somebody else: a JSON list (Dockerfile, Kubernetes), or a line `Key=forerun ...`.
pub fn starts(place: &Place, text: &str, at: &str) -> usize {
    let mut count = 0;
    let mut before: Vec<String> = Vec::new();
    // %i is what a template's instance is called: a port, in ours.
    for line in place.inside(&text.replace("%i", "8081")).lines() {
        let list = line.find('[').and_then(|from| serde_json::from_str::<Vec<String>>(line[from..].trim_end()).ok());
        match list {
            Some(words) if line.starts_with("CMD") || line.trim_start().starts_with("args:") => {
                before.extend(words);
            }
            Some(words) => {
                count += flush(place, &mut before, at);
                before = words;
            }
            None => {}
        }
        let value = line.split_once('=').map(|(_, value)| value.trim()).filter(|_| !line.starts_with('#'));
        let words = value.filter(|value| value.contains("forerun ")).and_then(shlex::split);
        if let Some(words) = words.filter(|words| words[0].ends_with("forerun")) {
            forerun(place, &words[1..], at);
            count += 1;
        }
    }
    count + flush(place, &mut before, at)
}

fn flush(place: &Place, words: &mut Vec<String>, at: &str) -> usize {
    let words = std::mem::take(words);
    // tini, and what else may come before it.
    let Some(index) = words.iter().position(|word| word.rsplit('/').next() == Some("forerun")) else { return 0 };
    forerun(place, &words[index + 1..], at);
    1
}
