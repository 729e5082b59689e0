#![forbid(unsafe_code)]
//! The start script beside a service: whether it execs forerun.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use clap::error::ErrorKind;

use super::shell::{self, Simple};
use crate::args::{self, Task};
use crate::report::doctor::Finding;
use crate::text::quoted;

/// The largest start script that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Whether the start script in a folder execs forerun, so that forerun takes the place of the shell.
pub fn start_script(folder: &Path) -> Option<Finding> {
    let path = folder.join("start.sh");
    let text = read(&path)?;
    let script = quoted(&path);
    let calls = if is_for_a_shell(&text) { calls(&text) } else { Vec::new() };
    let stays = calls.iter().find(|call| !call.becomes).map(|call| call.line);
    let becomes = calls.iter().find(|call| call.becomes).map(|call| call.line);
    let mend = |line: usize| format!("write 'exec' before forerun in line {line}, and nothing after that command");
    Some(match (stays, becomes) {
        (None, Some(line)) => Finding::ok("start.sh", format!("{script} execs forerun, line {line}")),
        (Some(line), Some(other)) => Finding::warning(
            "start.sh",
            format!("{script} execs forerun in line {other}, but runs it without 'exec' in line {line}"),
            mend(line),
        ),
        (Some(line), None) => Finding::problem(
            "start.sh",
            format!(
                "{script} runs forerun without 'exec', line {line}: a supervisor would watch the shell, not the server"
            ),
            mend(line),
        ),
        (None, None) if text.contains("forerun") => {
            Finding::ok("start.sh", format!("{script} mentions forerun; whether it execs forerun cannot be told"))
        }
        (None, None) => match background(&text) {
            Some(line) => Finding::warning(
                "start.sh",
                format!(
                    "{script} starts a server in the background, line {line}: nothing waits until it is healthy, and a \
                     supervisor does not see it"
                ),
                format!("replace line {line} with: exec forerun"),
            ),
            None => Finding::ok("start.sh", format!("{script} does not run forerun")),
        },
    })
}

/// The line of the first command that a script leaves in the background.
fn background(script: &str) -> Option<usize> {
    if !is_for_a_shell(script) {
        return None;
    }
    let detaches = |command: &Simple| command.words.iter().any(|word| word == "nohup" || word == "setsid");
    shell::commands(script)
        .iter()
        .find(|command| command.in_background || detaches(command))
        .map(|command| command.line)
}

/// Whether the first line names a shell whose language is read here.
fn is_for_a_shell(script: &str) -> bool {
    const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ksh", "mksh", "zsh", "ash", "busybox"];
    let Some(line) = script.lines().next().and_then(|line| line.strip_prefix("#!")) else { return true };
    let mut words = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
    let interpreter = words.find(|word| *word != "env" && !word.starts_with('-'));
    interpreter.is_none_or(|interpreter| SHELLS.contains(&interpreter))
}

/// The text of a regular file that is not too large for a script.
fn read(path: &Path) -> Option<String> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let is_script = file.metadata().is_ok_and(|status| status.is_file() && status.len() <= LONGEST);
    let mut bytes = Vec::new();
    is_script.then(|| file.take(LONGEST).read_to_end(&mut bytes)).and_then(Result::ok)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A command that starts a server through forerun.
#[derive(PartialEq, Eq, Debug)]
struct Call {
    line: usize,
    /// forerun takes the place of the shell.
    becomes: bool,
}

fn calls(script: &str) -> Vec<Call> {
    shell::commands(script).iter().filter_map(call).collect()
}

/// Whether a command starts a server through forerun, and whether it uses `exec`.
fn call(command: &Simple) -> Option<Call> {
    const KEYWORDS: [&str; 10] = ["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"];
    /// Commands that execute the rest of the line, and those of their options that take a value.
    const WRAPPERS: [(&str, &[&str]); 8] = [
        ("exec", &["-a"]),
        ("env", &["-u", "-C", "-S"]),
        ("nice", &["-n"]),
        ("command", &[]),
        ("nohup", &[]),
        ("setsid", &[]),
        ("sudo", &["-u", "-g", "-h", "-p"]),
        ("chpst", &["-u", "-n", "-o", "-d", "-m"]),
    ];
    let is_setting = |word: &str| {
        word.split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let mut words = command.words.iter().map(String::as_str).peekable();
    while words.next_if(|word| KEYWORDS.contains(word) || is_setting(word)).is_some() {}
    let mut with_exec = false;
    while let Some((name, valued)) = words.peek().and_then(|word| WRAPPERS.iter().find(|(name, _)| name == word)) {
        words.next();
        // sudo stays as the parent, for the session that it opens.
        with_exec = (with_exec || *name == "exec") && *name != "sudo";
        while let Some(option) = words.next_if(|word| word.starts_with('-') || is_setting(word)) {
            if *name == "command" && option.contains(['v', 'V', 's', 'q']) {
                // `command -v` only looks the command up.
                return None;
            }
            if valued.contains(&option) {
                words.next();
            }
        }
    }
    let program = words.next()?.to_lowercase();
    let program = program.rsplit('/').next()?.trim_matches(['$', '{', '}']);
    if program != "forerun" {
        return None;
    }
    let words: Vec<&str> = words.collect();
    let asks = words.iter().take_while(|word| **word != "--").any(|word| args::is_subcommand(word));
    match args::parse(["forerun"].iter().chain(&words).map(Into::into).collect(), &[]) {
        Ok(options) if options.task != Task::Start || options.dry_run || options.detach => None,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) || asks => None,
        // A command line with "$@" or the like does not parse yet, but is a start once it is expanded.
        _ => Some(Call { line: command.line, becomes: with_exec && !command.stays }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, background, calls, is_for_a_shell};

    #[test]
    fn a_script_that_execs_forerun_is_recognised() {
        for script in [
            "exec forerun --config x",
            "A=1 exec env B=2 /opt/bin/forerun \\\n --port 1",
            "exec \\\n forerun -- x",
            "exec env -i A=1 \\\n B=2 \\\n forerun -- x",
            "exec -a n nice -n 5 forerun -- x",
            "[ -x ./forerun ] && exec ./forerun \"$@\"",
            "if true; then exec \"$FORERUN\" -- x; fi",
            "forerun check; exec forerun -- x 2>&1",
            "exec >>log 2>&1\nexec 2>&1 ${FORERUN} -- ./manage.py check",
            "case $1 in\n start) exec forerun -- x ;;\n esac",
            "case $1 in\n forerun) exec forerun -- x ;;\n esac",
            "command -v forerun >/dev/null || exit 1\nexec forerun -- x",
            "F=$(command -v forerun)\nif ! command -v forerun; then exit; fi; exec forerun -- x",
            "exec >\"$(date +%F).log\" 2>&1\necho \"then ; forerun is started\"\nexec forerun -- x",
            "exec forerun \"$@\" &>>log",
            "args=(forerun --foreground)\ncmd+=(forerun)\nexec forerun -- x",
            "case \"$0\" in */start|forerun|*/forerun) ;; (run|forerun) shift;; esac\nexec forerun",
            "[[ $1 =~ ^(a|forerun)$ && $2 == @(start|forerun) ]] && exit\nrm -f !(forerun|start.sh).tmp; exec forerun",
            "exec env A=$(date) forerun -- x",
            "exec nice -n $(cat n) forerun -- x",
            "command -v forerun python3 || exit; command -sq forerun; exec forerun",
            "cat <<EOF\n\tEOF\nforerun -- x\nEOF\nexec forerun",
            "f() { exec forerun -- x; }\nforerun() { exec /opt/forerun check; }\nf",
            "(( x <<= 1 ))\necho $'it\\'s'\nexec forerun",
            "x=$((1<<2))\ncat <<<\"$x\" >y\nforerun check \"$@\" || exit; exec forerun \"$@\"",
        ] {
            let found = calls(script);
            assert!(found.len() == 1 && found[0].becomes, "{script}: {found:?}");
        }
        for script in [
            "  forerun -- python3 server.py",
            "A=1 ./forerun --port 1",
            "cd /srv && forerun -- x",
            "if true; then forerun -- x; fi",
            "start() { forerun -- x; }",
            "( forerun -- x )",
            "out=$(forerun -- x)",
            "nohup forerun -- x &",
            "command forerun -- x",
            "exec forerun -- x | tee log",
            "exec forerun -- x &",
            "exec sudo -u u forerun -- x",
            "(exec forerun)",
            "( cd x && exec forerun -- x ); echo done",
            "x=$(exec forerun -- x)",
            "case $x in (a) : ;;& (d) forerun -- x ;; esac",
            "x=$(date; echo `id`) forerun -- x",
            "forerun -- ./manage.py check",
            "forerun --name logs -- x",
            "exec forerun -- x\nforerun -- y",
        ] {
            let found = calls(script);
            assert!(found.iter().any(|call| !call.becomes), "{script}: {found:?}");
        }
        for script in [
            "",
            "# exec forerun",
            "echo forerun",
            "exec python3 \"it's",
            "forerun check || exit 1",
            "forerun check;",
            "forerun \\\n check",
            "forerun --config x status",
            "forerun --version",
            "forerun completions bash > x",
            "forerun --dry-run -- x",
            "forerun $OPTS check",
            "forerun logs -n \"$N\"",
            "forerun unit \"$KIND\" --install",
            "exec forerun --detach -- x",
            "cat <<END\nforerun -- x\nEND\n",
            "cat <<-'E F'\nx\nE",
            "echo 'a\nforerun -- x'",
            "x=1 # forerun",
        ] {
            assert_eq!(calls(script), [], "{script}");
        }
    }

    #[test]
    fn the_line_is_that_of_the_command() {
        let script = "#!/bin/sh\ncat <<A <<B\nx\nA\ny\nB\necho 'a\nb'; forerun \\\n -- x\n";
        assert_eq!(calls(script), [Call { line: 8, becomes: false }]);
    }

    #[test]
    fn a_server_in_the_background_is_found() {
        for (script, line) in [
            ("#!/bin/sh\ncd /srv\nnohup python3 server.py >log 2>&1 &\necho $! >pid\n", Some(3)),
            ("setsid ./server", Some(1)),
            ("( ./server ) &", Some(1)),
            ("cd x && A=1 ./server 2>&1 &", Some(1)),
            ("./server &>log", None),
            ("a && b | c", None),
            ("case x in a) b ;;& c) d ;& esac", None),
            ("exec python3 server.py", None),
            ("#!/usr/bin/python3\nnohup &", None),
        ] {
            assert_eq!(background(script), line, "{script}");
        }
    }

    #[test]
    fn a_script_of_another_language_is_not_read() {
        for (script, expected) in [
            ("forerun", true),
            ("#!/bin/sh -e\n", true),
            ("#!/usr/bin/env bash\n", true),
            ("#! /usr/bin/env -S zsh -f\n", true),
            ("#!/usr/bin/env python3\nforerun = 1\n", false),
            ("#!/usr/bin/execlineb -P\nforerun\n", false),
            ("#!\n", true),
        ] {
            assert_eq!(is_for_a_shell(script), expected, "{script}");
        }
    }
}
