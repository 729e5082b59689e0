#![forbid(unsafe_code)]
//! What fuzzing reads of a service: forerun.toml, and the keys behind a CHECK.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::{file, probes};
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

pub fn targets() -> Vec<Target> {
    let target = |name, share, read| Target { name, share, words: WORDS, read };
    vec![target("toml", 20, forerun_toml), target("inline", 10, inline)]
}

/// A file whose last lines have secrets.
fn forerun_toml(input: &[u8]) -> Vec<String> {
    let input = String::from_utf8_lossy(input);
    let secrets = format!(
        "[[wait]]\ncheck = 'http://user:{SECRET}@h/'\nheaders = {{ A = '{SECRET}' }}\n[env]\nTOKEN = '{SECRET}'\n"
    );
    [input.to_string(), format!("{input}\n{secrets}")].iter().flat_map(|text| read(text)).collect()
}

fn read(text: &str) -> Vec<String> {
    let (path, folder) = (Path::new("/nonexistent/forerun.toml"), Path::new("/nonexistent"));
    let file = match file::parse(text) {
        Ok(file) => file,
        Err(wrong) => return vec![wrong.in_file(path, text)],
    };
    let required = file.require.iter().filter_map(|table| probes::requirement(table, folder).err());
    let awaited = file.wait.iter().chain(&file.health).filter_map(|table| probes::awaited(table, folder, LIMIT).err());
    required.chain(awaited).map(|wrong| wrong.in_file(path, text)).collect()
}

/// Keys, with a header behind them that nobody may see.
fn inline(input: &[u8]) -> Vec<String> {
    // A backslash makes the blank behind it a part of the value, which is shown.
    let keys = &input[..input.iter().rposition(|&b| b != b'\\').map_or(0, |last| last + 1)];
    let read = |word: &str| {
        let begin = format!("{word}://user:{SECRET}@h:7/ ");
        let spec = [begin.as_bytes(), keys, b" headers.X=", SECRET.as_bytes()].concat();
        let probe = probes::plain_probe("--wait", OsStr::from_bytes(&spec), Path::new("/nonexistent"), LIMIT);
        probe.err().map(|fault| fault.plain().to_string())
    };
    ["http", "rediss", "htp"].into_iter().filter_map(read).collect()
}
