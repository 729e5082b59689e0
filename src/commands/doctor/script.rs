#![forbid(unsafe_code)]
//! A hint about the start script beside a service. It reads lines, not the language of the shell: a start below a
//! supervisor proves what is only guessed here.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::report::doctor::Finding;
use crate::text::quoted;

/// The largest start script that is read, in bytes.
const LONGEST: u64 = 1 << 20;
/// Programs that stay as the parent of what they run.
const STAYING: [&str; 5] = ["npx", "uvx", "uv", "pipx", "sudo"];

/// What a start script in a folder does with forerun.
pub fn start_scripts(folder: &Path) -> impl Iterator<Item = Finding> {
    ["start.sh", "run"].into_iter().filter_map(|name| look(&folder.join(name)))
}

fn look(path: &Path) -> Option<Finding> {
    let (text, script) = (read(path)?, quoted(path));
    let lines =
        || text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, l)| !l.starts_with('#'));
    if let Some((number, line)) = lines().find(|(_, line)| starts_forerun(line)) {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !is_forerun(word)).collect();
        let parent = words.iter().find(|word| STAYING.contains(word));
        let has_exec = words.contains(&"exec") && !line.ends_with('&');
        let (what, mend) = match (has_exec, parent) {
            (true, None) => {
                return Some(Finding::ok("start.sh", format!("{script} execs forerun, line {number}")));
            }
            (true, Some(parent)) => {
                (format!("through '{parent}', which stays as its parent"), "call forerun itself, with 'exec'")
            }
            (false, _) => ("without 'exec'".to_owned(), "write 'exec' before forerun"),
        };
        let what =
            format!("{script} runs forerun {what}, line {number}: a supervisor would watch the shell, not the server");
        return Some(Finding::warning(
            "start.sh",
            what,
            format!("{mend} in line {number}, and nothing after that command"),
        ));
    }
    let leaves = |line: &str| line.ends_with('&') && !line.ends_with("&&") || line.contains("nohup ");
    let (number, _) = lines().find(|(_, line)| leaves(line))?;
    let what = format!(
        "{script} starts a server in the background, line {number}: nothing waits until it is healthy, and a supervisor \
         does not see it"
    );
    Some(Finding::warning("start.sh", what, format!("replace line {number} with: exec forerun")))
}

/// Whether a line starts a server through forerun: its subcommands and other words of that name do not.
fn starts_forerun(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| !is_forerun(word)).skip(1);
    let is_called = line.split_whitespace().any(is_forerun);
    is_called && words.next().is_none_or(|word| !word.starts_with(|c: char| c.is_ascii_alphabetic()))
}

fn is_forerun(word: &str) -> bool {
    word.trim_matches(['"', '\'']).rsplit('/').next() == Some("forerun")
}

/// The text of a regular file that is not too large for a script, and is one.
fn read(path: &Path) -> Option<String> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok().filter(|status| status.is_file() && status.len() <= LONGEST)?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    bytes.starts_with(b"#!").then(|| String::from_utf8_lossy(&bytes).into_owned())
}
