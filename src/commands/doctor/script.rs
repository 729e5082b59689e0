#![forbid(unsafe_code)]
//! The start script beside a service. It is read as far as one can without running it: what a shell would execute,
//! command by command.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use clap::error::ErrorKind;

use crate::cli::{self, Task};
use crate::report::doctor::Finding;
use crate::text::quoted;

/// No start script is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// Whether the start script in a folder becomes forerun, and not its parent.
pub fn start_script(folder: &Path) -> Option<Finding> {
    let path = folder.join("start.sh");
    let text = read(&path)?;
    let script = quoted(&path);
    let calls = calls(&text);
    Some(match calls.iter().find(|call| !call.becomes).or(calls.first()) {
        Some(Call { line, becomes: true }) => Finding::ok("start.sh", format!("{script} becomes forerun, line {line}")),
        Some(Call { line, .. }) => Finding::problem(
            "start.sh",
            format!(
                "{script} runs forerun without 'exec', line {line}: a supervisor would watch the shell, and not the server"
            ),
            format!("write 'exec' before forerun in line {line}, and nothing behind it"),
        ),
        None if text.contains("forerun") => {
            Finding::ok("start.sh", format!("{script} speaks of forerun; whether it becomes it cannot be told"))
        }
        None => Finding::ok("start.sh", format!("{script} does not run forerun")),
    })
}

/// The text of a regular file that is no longer than a script.
fn read(path: &Path) -> Option<String> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let is_script = file.metadata().is_ok_and(|status| status.is_file() && status.len() <= LONGEST);
    let mut bytes = Vec::new();
    is_script.then(|| file.take(LONGEST).read_to_end(&mut bytes)).and_then(Result::ok)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A start through forerun.
#[derive(PartialEq, Eq, Debug)]
struct Call {
    line: usize,
    /// The shell does not stay behind.
    becomes: bool,
}

fn calls(script: &str) -> Vec<Call> {
    commands(script).iter().filter_map(call).collect()
}

/// A simple command: its words, where it begins, and whether the shell goes on beside it.
struct Simple {
    words: Vec<String>,
    line: usize,
    is_beside: bool,
}

/// Whether a command starts a server through forerun, and whether by `exec`.
fn call(command: &Simple) -> Option<Call> {
    const KEYWORDS: [&str; 10] = ["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"];
    /// They execute what follows, and those of their options that have a value.
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
    if matches!(command.words.as_slice(), [.., name, how, _] if name == "command" && (how == "-v" || how == "-V")) {
        // It only looks.
        return None;
    }
    while let Some((name, valued)) = words.peek().and_then(|word| WRAPPERS.iter().find(|(name, _)| name == word)) {
        words.next();
        // It stays, for the session that it has opened.
        with_exec = (with_exec || *name == "exec") && *name != "sudo";
        while let Some(option) = words.next_if(|word| word.starts_with('-') || is_setting(word)) {
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
    let asks = words.iter().take_while(|word| **word != "--").any(|word| cli::is_subcommand(word));
    match cli::parse(["forerun"].iter().chain(&words).map(Into::into).collect()) {
        Ok(options) if options.task != Task::Start || options.dry_run || options.detach => None,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) || asks => None,
        // What is no command line yet ("$@") becomes one.
        _ => Some(Call { line: command.line, becomes: with_exec && !command.is_beside }),
    }
}

/// The simple commands of a shell script (sh(1), "Token Recognition"), as far as that can be told from its text.
fn commands(script: &str) -> Vec<Simple> {
    let mut reader = Reader { line: 1, ..Reader::default() };
    let mut depth = 0;
    let mut documents: Vec<String> = Vec::new();
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') => reader.line += 1,
                Some(c) => reader.push(c),
                None => {}
            },
            '\'' | '"' => {
                reader.push_nothing();
                while let Some(inner) = chars.next().filter(|&inner| inner != c) {
                    reader.line += usize::from(inner == '\n');
                    match inner {
                        '\\' if c == '"' => chars.next().into_iter().for_each(|escaped| reader.push(escaped)),
                        _ => reader.push(inner),
                    }
                }
            }
            '#' if reader.word.is_none() => while chars.next_if(|&c| c != '\n').is_some() {},
            '<' if chars.next_if_eq(&'<').is_some() => {
                reader.end_word();
                if chars.next_if_eq(&'<').is_some() {
                    reader.is_redirected = true;
                    continue;
                }
                while chars.next_if(|&c| c == '-' || c == ' ').is_some() {}
                let delimiter: String =
                    std::iter::from_fn(|| chars.next_if(|&c| !c.is_whitespace() && !";|&)".contains(c))).collect();
                documents.push(delimiter.replace(['\'', '"', '\\'], ""));
            }
            '<' | '>' => {
                // A number before it is of it, and so is the word behind it.
                reader.word.take_if(|word| word.bytes().all(|b| b.is_ascii_digit()));
                reader.end_word();
                while chars.next_if(|c| "<>&|".contains(*c)).is_some() {}
                reader.is_redirected = true;
            }
            '\n' => {
                reader.end_command(false);
                reader.line += 1;
                for delimiter in std::mem::take(&mut documents) {
                    loop {
                        let line: String = std::iter::from_fn(|| chars.next_if(|&c| c != '\n')).collect();
                        let is_last = chars.next().is_none();
                        reader.line += 1;
                        if is_last || line.trim_start_matches('\t') == delimiter {
                            break;
                        }
                    }
                }
            }
            '&' | '|' => {
                let is_list = chars.next_if_eq(&c).is_some();
                reader.end_command(!is_list);
            }
            '$' if chars.next_if_eq(&'(').is_some() => {
                reader.push(c);
                if chars.next_if_eq(&'(').is_some() {
                    let mut before = ' ';
                    while chars.next().is_some_and(|c| (std::mem::replace(&mut before, c), c) != (')', ')')) {}
                } else {
                    depth += 1;
                    reader.end_command(false);
                }
            }
            '(' => {
                depth += 1;
                reader.end_command(false);
            }
            // Without one that opens it ends the pattern of a `case`.
            ')' if depth == 0 => reader.forget_command(),
            ')' => {
                depth -= 1;
                reader.end_command(false);
            }
            ';' | '`' => reader.end_command(false),
            c if c.is_whitespace() => reader.end_word(),
            c => reader.push(c),
        }
    }
    reader.end_command(false);
    reader.commands
}

#[derive(Default)]
struct Reader {
    commands: Vec<Simple>,
    words: Vec<String>,
    word: Option<String>,
    line: usize,
    /// The line of the first word.
    begun: usize,
    /// The next word is where to, and none of the command.
    is_redirected: bool,
}

impl Reader {
    fn push(&mut self, c: char) {
        self.push_nothing();
        self.word.get_or_insert_default().push(c);
    }

    /// Begins a word, which may be an empty one.
    fn push_nothing(&mut self) {
        if self.words.is_empty() && self.word.is_none() && !self.is_redirected {
            self.begun = self.line;
        }
        self.word.get_or_insert_default();
    }

    fn end_word(&mut self) {
        match self.word.take() {
            Some(_) if self.is_redirected => self.is_redirected = false,
            word => self.words.extend(word),
        }
    }

    fn forget_command(&mut self) {
        self.word = None;
        self.words.clear();
    }

    fn end_command(&mut self, is_beside: bool) {
        self.end_word();
        self.is_redirected = false;
        let words = std::mem::take(&mut self.words);
        if !words.is_empty() {
            self.commands.push(Simple { words, line: self.begun, is_beside });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, calls};

    #[test]
    fn a_script_that_stays_is_told_from_one_that_becomes_forerun() {
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
}
