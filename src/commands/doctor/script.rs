#![forbid(unsafe_code)]
//! The start script beside a service.

use std::fs;
use std::path::Path;

use crate::report::doctor::Finding;
use crate::text::quoted;

/// Whether the start script beside the service becomes forerun, and not its parent.
pub fn start_script(folder: &Path) -> Option<Finding> {
    let path = folder.join("start.sh");
    let text = fs::read_to_string(&path).ok()?;
    let script = quoted(&path);
    let mut calls = text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, call(line)?)));
    let first_bad = calls.clone().find(|(_, with_exec)| !with_exec);
    Some(match (first_bad, calls.next()) {
        (Some((line, _)), _) => Finding::problem(
            "start.sh",
            format!(
                "{script} runs forerun without 'exec', line {line}: a supervisor would watch the shell, and not the server"
            ),
            format!("write 'exec' before forerun in line {line}"),
        ),
        (None, Some((line, _))) => Finding::ok("start.sh", format!("{script} becomes forerun, line {line}")),
        (None, None) => Finding::ok("start.sh", format!("{script} does not run forerun")),
    })
}

/// Whether a line of a shell script starts a server through forerun, and whether by `exec`.
fn call(line: &str) -> Option<bool> {
    const OTHERS: [&str; 9] = ["check", "status", "stop", "restart", "logs", "fds", "unit", "doctor", "man"];
    let line = line.trim_end().trim_end_matches('\\');
    let words = shlex::split(line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect());
    let is_setting = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let mut words = words.iter().map(String::as_str).skip_while(|word| is_setting(word)).peekable();
    let with_exec = words.next_if(|word| *word == "exec").is_some();
    let program = words.find(|word| !is_setting(word) && *word != "env")?;
    let is_forerun = program == "forerun" || program.ends_with("/forerun");
    (is_forerun && !words.any(|word| OTHERS.contains(&word))).then_some(with_exec)
}

#[cfg(test)]
mod tests {
    use super::call;

    #[test]
    fn a_script_that_stays_is_told_from_one_that_becomes_forerun() {
        for (line, expected) in [
            ("exec forerun --config x", Some(true)),
            ("  forerun -- python3 server.py", Some(false)),
            ("A=1 exec env B=2 /opt/bin/forerun \\", Some(true)),
            ("A=1 ./forerun --port 1", Some(false)),
            ("forerun check || exit 1", None),
            ("# exec forerun", None),
            ("echo forerun", None),
            ("exec python3 \"it's", None),
            ("", None),
        ] {
            assert_eq!(call(line), expected, "{line}");
        }
    }
}
