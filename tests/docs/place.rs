//! Where the blocks of a section run: a folder with examples/ and a small server, programs that stand in for those that
//! a machine may not have, and ports that are free.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::terminal::Terminal;
use crate::common::{Room, Web, done, example, fixture, free_port, has};
use crate::{repository, text};

/// The ports of our pages that something has to serve before the service is started. Others are the service's.
const DEPENDENCIES: [&str; 4] = ["5432", "6379", "9200", "3306"];
/// The ports of our pages.
const PORTS: [&str; 15] = [
    "8787", "8788", "8789", "8790", "8080", "8081", "8000", "8001", "3000", "5000", "8090", "5432", "6379", "9200",
    "3306",
];

/// Servers that stand in for what is not there: they listen where their words say.
const SERVERS: [&str; 6] = ["uvicorn", "gunicorn", "flask", "node", "npm", "java"];

/// Finds the port in the words, as each of these programs takes it, and listens there.
const STAND_IN: &str = r#"#!/bin/sh
# A stand-in for $0: listens where its words, or PORT, say.
[ "$1" = ci ] && exec mkdir -p node_modules
port=$PORT
last=
for word; do
  case $last in --port | -p | --bind | -b) port=${word##*:} ;; esac
  case $word in --port=* | --bind=* | -p=* | --server.port=*) port=${word##*[=:]} ;; esac
  last=$word
done
exec "FIXTURE" serve "${port:?no port}"
"#;

/// Listens where nginx.conf says.
const NGINX: &str = r#"#!/bin/sh
for word; do [ "$word" = -t ] && exit 0; done
exec "FIXTURE" serve "$(sed -n 's/.*listen .*:\([0-9]*\);.*/\1/p' nginx.conf)"
"#;

/// cargo, which must not build here: `run` is forerun, and the rest is written down.
const CARGO: &str = r#"#!/bin/sh
echo "cargo $*" >>"$FORERUN_STATE_DIR.cargo"
case "$1 $2 $3" in "run --release --") shift 3; exec forerun "$@" ;; esac
"#;

/// rustc, where there is none for this user: gives out what cargo has built with the tests.
const RUSTC: &str = r#"#!/bin/sh
[ "$*" = "--edition 2024 -O -o hello hello.rs" ] && exec cp "HELLO" hello
exit 1
"#;

/// A small server for `python3 server.py [PORT]`.
const SERVER: &str = "\
import http.server, os, sys
port = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get('PORT', '8787'))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'ok\\n')
    def log_message(self, *words):
        print(*words, flush=True)
http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler).serve_forever()
";

pub struct Place {
    pub room: Room,
    ports: Vec<(&'static str, u16)>,
    _dependencies: Vec<Web>,
}

/// The variables that rustc needs where rustup installed it: another HOME would hide it.
pub fn rust_environment() -> Vec<(&'static str, std::ffi::OsString)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let value = |name, folder| std::env::var_os(name).unwrap_or(home.join(folder).into_os_string());
    [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")].map(|(name, folder)| (name, value(name, folder))).into()
}

/// Whether this user has a rustc that runs.
pub fn rustc_works() -> bool {
    let mut version = Command::new("rustc");
    version.arg("--version").envs(rust_environment()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

impl Place {
    pub fn new() -> Place {
        let room = Room::new();
        let mut dependencies = Vec::new();
        let ports = PORTS.map(|port| {
            if !DEPENDENCIES.contains(&port) {
                return (port, free_port());
            }
            let server = Web::new("200 OK", "green");
            let there = server.port;
            dependencies.push(server);
            (port, there)
        });
        let place = Place { room, ports: ports.into(), _dependencies: dependencies };
        place.write("server.py", &place.ours(SERVER));
        place.write(".env", "GREETING=hello\n");
        for folder in ["examples", "srv/hello"] {
            for name in ["hello.rs", "start.sh", "forerun.toml"] {
                place.write(&format!("{folder}/{name}"), &place.ours(&text(&format!("examples/{name}"))));
            }
        }
        let stand_in = STAND_IN.replace("FIXTURE", fixture().to_str().expect("a path"));
        place.program("cargo", CARGO);
        for name in SERVERS {
            place.program(name, &stand_in);
        }
        // It listens nowhere.
        place.program("celery", "#!/bin/sh\nexec sleep 300\n");
        if !rustc_works() {
            let hello = example("hello");
            place.program("rustc", &RUSTC.replace("HELLO", hello.to_str().expect("a path")));
        }
        if !has("nginx") {
            place.program("nginx", &NGINX.replace("FIXTURE", fixture().to_str().expect("a path")));
        }
        if !has("python3") {
            place.program("python3", &stand_in.replace("port=$PORT", "port=${2:-$PORT}"));
        }
        place
    }

    /// A text of ours, as it has to be in this folder: with other ports.
    pub fn ours(&self, text: &str) -> String {
        let mut out = String::new();
        let mut digits = String::new();
        for c in text.chars().chain(['\0']) {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            match self.ports.iter().find(|(port, _)| *port == digits) {
                Some((_, there)) => out += &there.to_string(),
                None => out += &digits,
            }
            digits.clear();
            out.push(c);
        }
        out.pop();
        out
    }

    /// Where the folders of a machine (`/srv`) are.
    pub fn inside(&self, text: &str) -> String {
        self.ours(text).replace("/srv/", &format!("{}/srv/", self.room.path().display()))
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.room.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("written");
        if text.starts_with("#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        path
    }

    fn program(&self, name: &str, text: &str) {
        fs::create_dir_all(self.room.path().join("bin")).expect("a folder");
        // Another process writes it: a fork of another test may have our descriptor for a moment.
        self.room.executable(&format!("bin/{name}"), text);
    }

    /// A command with nothing of the caller's environment but what rustc needs.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null()).current_dir(self.room.path()).envs(rust_environment());
        let binary = Path::new(env!("CARGO_BIN_EXE_forerun")).parent().expect("a folder");
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.room.path().join("bin"), binary.to_owned()];
        let folders = folders.into_iter().chain(std::env::split_paths(&rest));
        command.env("PATH", std::env::join_paths(folders).expect("a PATH"));
        command.env("HOME", self.room.path()).env("FORERUN_STATE_DIR", self.room.state());
        command
    }

    /// Runs a script as a person would in a terminal, both its outputs as one.
    pub fn shell(&self, script: &str) -> crate::common::Done {
        let terminal = Terminal::open();
        done(terminal.control(self.command("sh").args(["-c", &format!("exec 2>&1\nset -e\n{script}")])))
    }

    /// What cargo was told.
    pub fn cargo(&self) -> String {
        fs::read_to_string(self.room.path().join("state.cargo")).unwrap_or_default()
    }
}

#[test]
fn every_port_of_a_page_is_changed() {
    let place = Place::new();
    let changed = place.ours("http://127.0.0.1:8787/ and 87871");
    assert!(changed.starts_with("http://127.0.0.1:") && !changed.contains(":8787/") && changed.ends_with(" 87871"));
    for page in crate::pages::PAGES {
        let text = text(page);
        let mut rest = text.as_str();
        while let Some((_, behind)) = rest.split_once("127.0.0.1:") {
            let port: String = behind.chars().take_while(char::is_ascii_digit).collect();
            assert!(port.is_empty() || PORTS.contains(&port.as_str()), "{page}: port {port} is not in PORTS");
            rest = behind;
        }
    }
    assert!(repository("README.md").exists());
}
