#![forbid(unsafe_code)]
//! What fuzzing reads of a service: forerun.toml, the keys behind a CHECK, env-files and references.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::document::Document;
use super::expand::Expander;
use super::known::Known;
use super::wrong::Fault;
use super::{env_file, probes};
use crate::check::Purpose;
use crate::environment::Environment;
use crate::tests::{SECRET, Target};

const WORDS: &[&str] = &[
    "=",
    "\n",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "#",
    "\\",
    ".",
    ",",
    "check = ",
    "[[wait]]\n",
    "[health]\n",
    "port = ",
    "timeout = ",
    "'5s'",
    "true",
    "-1",
    "99999999999999999999",
    "1e400",
    "nan",
    "${A:-b}",
    "\u{feff}",
    "é",
    "status",
    "body",
    "ca='x.pem'",
    "headers.",
    " key=",
    " cert=",
    "http://h/",
    "env",
    "before",
    "\u{7f}",
];
const LIMIT: Duration = Duration::from_secs(60);

const REFERENCES: &[&str] = &[
    "$",
    "${",
    "}",
    "$${",
    "$S",
    "${S}",
    "${S:-",
    "${S:?",
    "${S+",
    "${NOPE-",
    "${S:+${S}}",
    "\\",
    "\\$",
    "'",
    "\"",
    "`",
    "#",
    " #",
    "\n",
    "\r\n",
    "\r",
    "=",
    "A=",
    "S=",
    "export ",
    "\u{feff}",
    "\0",
    "é",
    "exec:",
    "$((",
    "$(",
    "<<E\n",
    "http://",
    "tcp:",
    ":1",
    "{",
    "sh -c '",
    "\u{a0}",
    "\u{ff}\u{fe}",
];

pub fn targets() -> Vec<Target> {
    let target = |name, share, words, read| Target { name, share, words, read };
    vec![
        target("toml", 20, WORDS, forerun_toml),
        target("inline", 10, WORDS, inline),
        target("env-file", 20, REFERENCES, env_files),
        target("expand", 20, REFERENCES, references),
    ]
}

/// What references see: a secret.
fn known() -> Known {
    Known::new(&Environment::new(vec![format!("S={SECRET}").into()]))
}

/// An env-file whose last lines have secrets, and whose first may be of any kind.
fn env_files(input: &[u8]) -> Vec<String> {
    let secrets = format!("\nA={SECRET}\nB=\"{SECRET} ${{S}} $S\"\nC='{SECRET}'\nD=$A ${{B}}\n");
    let read = |bytes: &[u8]| match env_file::assign(Path::new("/nonexistent/.env"), bytes, &mut known()) {
        Ok(warnings) => warnings,
        Err(wrong) => vec![wrong],
    };
    [input.to_vec(), [input, secrets.as_bytes()].concat()].iter().flat_map(|bytes| read(bytes)).collect()
}

/// References in a text, a CHECK and a script.
fn references(input: &[u8]) -> Vec<String> {
    let known = known();
    let mut messages = Vec::new();
    let mut expander = Expander::new(&known);
    messages.extend(expander.text(input).err());
    messages.extend(expander.script(input).err());
    let spec = OsStr::from_bytes(input);
    let folder = Path::new("/nonexistent");
    let waited = |option| {
        let awaited = probes::asked_awaited(option, spec, folder, LIMIT, &mut Expander::new(&known));
        awaited.map(|awaited| awaited.probe)
    };
    let required = probes::asked_requirement(spec, folder, &mut Expander::new(&known)).map(|required| required.probe);
    for probe in [required, waited(("--wait", Purpose::Wait)), waited(("--health", Purpose::Health))] {
        match probe {
            Ok(probe) => messages.push(probe.to_string()),
            Err(fault) => messages.push(fault.plain().to_string()),
        }
    }
    messages
}

/// A file whose last lines have secrets.
fn forerun_toml(input: &[u8]) -> Vec<String> {
    let input = String::from_utf8_lossy(input);
    let secrets = format!(
        "[[wait]]\ncheck = 'http://user:{SECRET}@h/'\nheaders = {{ A = '{SECRET}' }}\nbody = '${{S}}'\n[env]\nTOKEN = '{SECRET}'\n"
    );
    [input.to_string(), format!("{input}\n{secrets}")].iter().flat_map(|text| read(text)).collect()
}

fn read(text: &str) -> Vec<String> {
    let path = Path::new("/nonexistent/forerun.toml");
    parsed(text).err().map(|fault| fault.in_file(path, text).to_string()).into_iter().collect()
}

fn parsed(text: &str) -> Result<(), Fault> {
    let folder = Path::new("/nonexistent");
    let known = known();
    let mut document = Document::parse(text)?;
    document.env_files(&known)?;
    let replaced = document.replace(&mut Expander::new(&known))?;
    let safe = |wrong| Fault::File(replaced.safe(wrong));
    let file = document.file(&replaced).map_err(safe)?;
    for table in &file.require {
        probes::requirement(table, folder).map_err(safe)?;
    }
    for table in &file.wait {
        probes::awaited(table, folder, LIMIT, Purpose::Wait).map_err(safe)?;
    }
    let health = file.health.as_ref().map(|table| probes::awaited(table, folder, LIMIT, Purpose::Health));
    health.transpose().map_err(safe).map(drop)
}

/// Keys, with a header behind them that nobody may see.
fn inline(input: &[u8]) -> Vec<String> {
    // A backslash makes the blank behind it a part of the value, which is shown.
    let keys = &input[..input.iter().rposition(|&b| b != b'\\').map_or(0, |last| last + 1)];
    let read = |word: &str| {
        let begin = format!("{word}://user:{SECRET}@h:7/ ");
        let spec = [begin.as_bytes(), keys, b" headers.X=", SECRET.as_bytes()].concat();
        let (folder, known) = (Path::new("/nonexistent"), known());
        let (spec, mut expander) = (OsStr::from_bytes(&spec), Expander::new(&known));
        let awaited = probes::asked_awaited(("--wait", Purpose::Wait), spec, folder, LIMIT, &mut expander);
        awaited.err().map(|fault| fault.plain().to_string())
    };
    ["http", "rediss", "htp"].into_iter().filter_map(read).collect()
}
