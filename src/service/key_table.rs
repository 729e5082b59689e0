#![forbid(unsafe_code)]
//! The table of the keys of forerun.toml: what the value of each is, and what it is for. What is accepted, the JSON Schema
//! and the manual page are made from it.

use crate::text::one_line;

/// What the value of a key is. The texts are what it is called, and an example.
pub enum Is {
    Text(&'static str, &'static str),
    /// Text, or a number where that says the same.
    TextOrNumber(&'static str, &'static str),
    /// A whole number of at most so much.
    Number(&'static str, u64),
    Flag,
    Choice(&'static [&'static str]),
    Words,
    /// A path, or a list of paths.
    Paths,
    /// A table of texts, which is called so.
    Texts(&'static str),
    Check,
    Checks,
    Steps,
    Table(&'static str, &'static [Key]),
}

/// A key, what its value is, and what it is for.
pub type Key = (&'static str, Is, &'static str);

const DURATION: Is = Is::TextOrNumber("a duration", "\"10s\"");
pub const CHECK_EXAMPLE: &str = "\"http://127.0.0.1:8787/health\"";
pub const STEP_EXAMPLE: &str = "\"python3 manage.py migrate\"";

pub const TOP: &[Key] = &[
    ("name", Is::Text("a name", "\"webui\""), "the name of the service; default: the folder's name"),
    ("command", Is::Words, "the server and its arguments; a string is split into words, and no shell runs"),
    ("cwd", Is::Text("a path", "\"app\""), "the folder in which the server runs; default: the folder of this file"),
    ("env-file", Is::Paths, "a file of variables, read and never executed; what the environment already has wins"),
    (
        "port",
        Is::TextOrNumber("a number", "8787"),
        "the port that must be free before the start; default: the port of a health URL on this machine; 0: none",
    ),
    ("url", Is::Text("a URL", "\"http://localhost:8787\""), "what to print and to open; default: from health or port"),
    (
        "on-conflict",
        Is::Choice(&["standby", "fail"]),
        "what a supervised start does when the port or the name is held: wait for it, or fail with 75",
    ),
    ("foreground", Is::Flag, "become the server, as under a supervisor"),
    ("detach", Is::Flag, "start the server in the background and return once it is healthy"),
    ("close-fds", Is::Flag, "close the descriptors above 2 that the server would inherit"),
    ("wait-timeout", DURATION, "how long a wait without a timeout of its own may take; default: 60s"),
    ("log", Is::Text("a path", "\"server.log\""), "the file that a detached server writes to"),
    ("open", Is::Flag, "open the URL in a browser once a detached server is healthy"),
    ("grace", DURATION, "how long a stop waits before it kills; default: 10s"),
    ("env", Is::Texts("[env]"), "variables of the server; they beat the environment and the env-files"),
    ("require", Is::Checks, "checks that must hold before the start, or it ends with 78"),
    ("wait", Is::Checks, "checks that are tried until they hold, or the start ends with 69"),
    ("health", Is::Check, "the check that holds once the server is ready"),
    ("before", Is::Steps, "commands that are run one after another before the server, under the lock of the service"),
    ("limits", Is::Table("[limits]", LIMITS), "the limits of the server"),
    ("watch", Is::Table("[watch]", WATCH), "watches the running server; the table may be empty"),
    ("stop", Is::Table("[stop]", STOP), "how the server is stopped and reloaded"),
    ("pid-file", Is::Text("a path", "\"web.pid\""), "the file in which the server writes the pid of its main process"),
    (
        "notify",
        Is::Choice(&["auto", "sidecar", "server"]),
        "who tells the service manager that the server is ready: forerun's sidecar or the server",
    ),
    (
        "ready-fd",
        Is::Number("3", i32::MAX as u64),
        "the descriptor on which a supervisor such as s6 waits for a newline",
    ),
];

pub const CHECK: &[Key] = &[
    ("check", Is::Text("a check", CHECK_EXAMPLE), "the check, such as tcp:HOST:PORT or http://HOST:PORT/PATH"),
    (
        "timeout",
        DURATION,
        "how long it may take with all of its attempts; default: 30s for health, wait-timeout for a wait",
    ),
    ("status", Is::TextOrNumber("a status", "\"200-399\""), "the statuses of HTTP that hold; default: 200-399"),
    ("body", Is::Text("text", "\"ok\""), "text that the body of the answer must contain"),
    ("headers", Is::Texts("headers"), "headers that are sent; their values are never printed"),
    ("insecure", Is::Flag, "accept any TLS certificate"),
    ("ca", Is::Text("a path", "\"ca.pem\""), "a file of certificates to trust instead of the system's"),
    ("cert", Is::Text("a path", "\"client.pem\""), "a file with the certificate that this client shows"),
    ("key", Is::Text("a path", "\"client.key\""), "a file with the private key of cert"),
    ("method", Is::Text("a method of HTTP", "\"HEAD\""), "the method of HTTP; default: GET"),
    ("hold", DURATION, "how long it must hold without a break"),
    ("interval", DURATION, "the pause between two attempts; default: a fiftieth of the time waited, 1ms to 100ms"),
    ("attempt-timeout", DURATION, "how long one attempt may take; default: 10s for exec:, else until the timeout"),
    ("hint", Is::Text("text", "\"install it: apt install ...\""), "what to do when it fails; added to the message"),
    (
        "fix",
        Is::Text("a command", "\"npm ci\""),
        "a shell command that is run once a start when the requirement fails; then it is checked again",
    ),
    ("fix-timeout", DURATION, "how long the fix may take; default: 5m"),
];

pub const STEP: &[Key] = &[
    ("run", Is::Text("a command", STEP_EXAMPLE), "a shell command that is run after the waits, and before the server"),
    ("timeout", DURATION, "how long it may take; default: 10m"),
    ("permanent", Is::Flag, "a failure ends the start with 78 instead of 69: trying again cannot help"),
];

const LIMITS: &[Key] = &[(
    "nofile",
    Is::TextOrNumber("one number or two", "\"8192:16384\""),
    "the limit of open descriptors: SOFT, or SOFT:HARD",
)];

const WATCH: &[Key] = &[
    ("check", Is::Check, "the check of the watchdog; default: that of health"),
    ("interval", DURATION, "the pause between two looks; default: 10s"),
    ("unhealthy-after", Is::Number("3", u32::MAX as u64), "how many looks in a row must fail; default: 3"),
    ("grace", DURATION, "how long a problem lasts before the server is restarted; default: 30s"),
    ("on-unhealthy", Is::Choice(&["restart", "warn"]), "what is done when the server is not healthy; default: warn"),
    (
        "max-fds",
        Is::TextOrNumber("a count or a percentage", "\"80%\""),
        "the most open descriptors of a process: a count, or a part of its soft limit",
    ),
    ("max-ptys", Is::Number("64", i64::MAX as u64), "the most pseudo-terminals of the server and its descendants"),
    ("max-processes", Is::Number("200", i64::MAX as u64), "the most descendants of the server"),
    ("on-leak", Is::Choice(&["restart", "warn"]), "what is done when one of the three is passed; default: warn"),
];

pub const STOP: &[Key] = &[
    ("signal", Is::TextOrNumber("a signal", "\"SIGTERM\""), "the signal that stops the main process; default: SIGTERM"),
    ("reload-signal", Is::TextOrNumber("a signal", "\"SIGHUP\""), "the signal of forerun reload; default: SIGHUP"),
    (
        "before",
        Is::Text("a command", "\"curl -fsS -X POST localhost:8787/drain\""),
        "a shell command before the stop signal, such as a drain",
    ),
    ("before-timeout", DURATION, "how long that command may take; default: 30s"),
    (
        "leftovers",
        Is::Choice(&["leave", "stop"]),
        "what becomes of jobs that the main process left behind when it ended by itself",
    ),
];

/// All tables: what they are called, and their keys.
pub const TABLES: [(&str, &[Key]); 6] = [
    ("the part before the first table", TOP),
    ("[limits]", LIMITS),
    ("[watch]", WATCH),
    ("[health], [[wait]] or [[require]]", CHECK),
    ("[stop]", STOP),
    ("[[before]]", STEP),
];

/// An example of the value of a key, as it is written.
pub fn example(is: &Is) -> String {
    match is {
        Is::Text(_, example) | Is::TextOrNumber(_, example) | Is::Number(example, _) => (*example).to_owned(),
        Is::Flag => "true".to_owned(),
        Is::Choice(words) => format!("\"{}\"", words[0]),
        Is::Words => "[\"python3\", \"server.py\"]".to_owned(),
        Is::Texts(_) => "{ NAME = \"...\" }".to_owned(),
        Is::Paths => "\".env\"".to_owned(),
        Is::Check => CHECK_EXAMPLE.to_owned(),
        Is::Checks => format!("[{CHECK_EXAMPLE}]"),
        Is::Steps => format!("[{STEP_EXAMPLE}]"),
        Is::Table(..) => "{ }".to_owned(),
    }
}

/// What the value of a key is, and an example.
pub fn sentence(key: &str, is: &Is) -> String {
    match is {
        Is::Text(what, example) | Is::TextOrNumber(what, example) => format!("{key} is {what}: {example}"),
        Is::Number(example, _) => format!("{key} is a whole number: {example}"),
        Is::Flag => format!("{key} is true or false"),
        Is::Choice(words) => {
            let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
            let (last, rest) = quoted.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
            format!("{key} is {} or {last}", rest.join(", "))
        }
        Is::Words => format!("{key} is a list of words in quotes: {}", example(is)),
        Is::Paths => format!("{key} is a path or a list of paths: {}", example(is)),
        Is::Texts(called) => format!("{called} is a table of texts: NAME = \"...\""),
        Is::Check => format!("{key} is a check: {CHECK_EXAMPLE}"),
        Is::Checks => format!("{key} is a list of checks: [{CHECK_EXAMPLE}]"),
        Is::Steps => format!("{key} is a list of commands: [{STEP_EXAMPLE}]"),
        Is::Table(called, keys) => {
            let known: Vec<_> = keys.iter().map(|(known, ..)| *known).collect();
            format!("{called} is a table; it may have {}", known.join(", "))
        }
    }
}

/// What the value of a key is, wherever the key is.
pub fn what_is(key: &str) -> String {
    let mut all = TABLES.iter().flat_map(|(_, keys)| keys.iter());
    let known = all.find(|(known, ..)| *known == key);
    known.map_or_else(|| format!("{} has a value", one_line(key)), |(key, is, _)| sentence(key, is))
}

/// Whether the value of a key is true or false, wherever the key is.
pub fn is_flag(key: &str) -> bool {
    TABLES.iter().flat_map(|(_, keys)| keys.iter()).any(|(known, is, _)| *known == key && matches!(is, Is::Flag))
}
