//! PostgreSQL in each of its states. No check has a password but one, and that is never sent.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use super::common::{Room, collect, done, eventually, free_port, is_root, process::send};
use super::{Running, comes_true, fails, find, holds, says, serve, text, waiting};
use crate::skip_unless;

pub struct Postgres<'a> {
    room: &'a Room,
    data: PathBuf,
    /// PostgreSQL refuses root: the user whom its package brings, and words that make a command his.
    owner: Option<(u32, u32)>,
    prefix: Vec<String>,
    pub port: u16,
    main: Option<Running>,
}

impl<'a> Postgres<'a> {
    /// A cluster with the roles postgres and app, whom it trusts. `None` without PostgreSQL.
    pub fn new(room: &'a Room) -> Option<Self> {
        let data = room.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        let (mut owner, mut prefix) = (None, Vec::new());
        if is_root() {
            let user = nix::unistd::User::from_name("postgres").ok()??;
            let (user, group) = (user.uid.as_raw(), user.gid.as_raw());
            std::fs::set_permissions(room.path(), Permissions::from_mode(0o711)).expect("set");
            chown(&data, Some(user), Some(group)).expect("owned");
            let ids = [format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()];
            prefix = [vec![text(&find("setpriv")?)], ids.to_vec(), vec!["--".to_owned()]].concat();
            owner = Some((user, group));
        }
        let new = Postgres { room, data, owner, prefix, port: free_port(), main: None };
        let here = text(&new.data);
        let initdb = new.command("initdb")?;
        let words = ["-D", &here, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8"];
        done(initdb.command().args(words).current_dir(&new.data)).expect_code(0);
        let script = room.file("roles.sql", "CREATE ROLE app LOGIN;\n");
        let single = new.command("postgres")?;
        let stdin = std::fs::File::open(script).expect("a script");
        done(single.command().args(["--single", "-D", &here, "postgres"]).current_dir(&new.data).stdin(stdin))
            .expect_code(0);
        Some(new)
    }

    fn command(&self, program: &str) -> Option<Words> {
        Some(Words([self.prefix.clone(), vec![text(&find(program)?)]].concat()))
    }

    /// A file of the cluster.
    fn file(&self, name: &str, content: &str) {
        let path = self.data.join(name);
        std::fs::write(&path, content).expect("written");
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group)).expect("owned");
        }
    }

    /// Starts it with these settings. It listens when this returns.
    pub fn start(&mut self, settings: &[&str]) {
        self.stop();
        let here = text(&self.data);
        let usual = ["listen_addresses=127.0.0.1", &format!("unix_socket_directories={here}"), "autovacuum=off"]
            .map(str::to_owned);
        let mut command = self.command("postgres").expect("found").command();
        command.args(["-D", &here, "-p", &self.port.to_string(), "-F"]);
        for setting in usual.iter().map(String::as_str).chain(settings.iter().copied()) {
            command.args(["-c", setting]);
        }
        // An immediate shutdown ends its processes with it.
        self.main = Some(serve(self.room, "postgres", &mut command).told_with(libc::SIGQUIT));
        says(self.room, "postgres", "listening on IPv4");
        eventually("it accepts", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    pub fn stop(&mut self) {
        self.main = None;
    }

    fn url(&self, user: &str) -> String {
        format!("postgres://{user}127.0.0.1:{}/app", self.port)
    }

    fn tcp(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.port)
    }

    /// A session of the superuser, who is trusted.
    fn session(&self) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connected");
        stream.write_all(b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0").expect("sent");
        loop {
            let mut header = [0; 5];
            stream.read_exact(&mut header).expect("an answer");
            let mut body = vec![0; u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize - 4];
            stream.read_exact(&mut body).expect("all of it");
            match header[0] {
                b'Z' => return stream,
                b'E' => panic!("{}", String::from_utf8_lossy(&body)),
                _ => {}
            }
        }
    }
}

struct Words(Vec<String>);

impl Words {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]);
        command
    }
}

#[test]
fn postgres_holds_once_the_database_has_started_and_tcp_before() {
    let room = Room::new();
    let mut postgres = installed!(Postgres::new(&room), "PostgreSQL");
    let go = room.path().join("go");
    let restore = format!("restore_command=while [ ! -e {} ]; do sleep 0.02; done; exit 1", text(&go));
    postgres.file("recovery.signal", "");
    postgres.start(&[&restore]);
    holds(&room, &postgres.tcp());
    fails(&room, &postgres.url(""), "FATAL: the database system is starting up");
    let waiting = waiting(&room, &postgres.url(""));
    says(&room, "postgres", "FATAL:  the database system is starting up");
    std::fs::write(go, "").expect("written");
    let output = collect(waiting);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    holds(&room, &postgres.url("app@"));
}

#[test]
fn postgres_does_not_hold_in_recovery_unless_that_serves() {
    let room = Room::new();
    let mut postgres = installed!(Postgres::new(&room), "PostgreSQL");
    postgres.file("standby.signal", "");
    postgres.start(&["hot_standby=off"]);
    // Once it is consistent it says so; before, it is starting up.
    let url = postgres.url("");
    eventually("it is in recovery", || {
        let said = super::attempt(&room, &url).expect_code(78).stdout;
        said.contains("  FATAL: the database system is not accepting connections")
    });
    holds(&room, &postgres.tcp());
    postgres.start(&["hot_standby=on"]);
    comes_true(&room, &url);
}

#[test]
fn postgres_does_not_hold_where_all_connections_are_used() {
    let room = Room::new();
    let mut postgres = installed!(Postgres::new(&room), "PostgreSQL");
    postgres.start(&["max_connections=4", "superuser_reserved_connections=2", "max_wal_senders=0"]);
    comes_true(&room, &postgres.url("app@"));
    let mut sessions = vec![postgres.session(), postgres.session()];
    let app = postgres.url("app@");
    fails(&room, &app, "FATAL: remaining connection slots are reserved for non-replication superuser connections");
    sessions.extend([postgres.session(), postgres.session()]);
    for url in [&app, &postgres.url(""), &postgres.url("postgres@")] {
        fails(&room, url, "FATAL: sorry, too many clients already");
    }
    holds(&room, &postgres.tcp());
    let waiting = waiting(&room, &app);
    drop(sessions);
    assert!(collect(waiting).status.success());
    // And where it shuts down, which waits for those who are there.
    let _session = postgres.session();
    send(postgres.main.as_ref().expect("it runs").pid(), libc::SIGTERM);
    says(&room, "postgres", "received smart shutdown request");
    fails(&room, &app, "FATAL: the database system is shutting down");
}

#[test]
fn postgres_holds_whomever_the_server_lets_in() {
    let room = Room::new();
    let mut postgres = installed!(Postgres::new(&room), "PostgreSQL");
    for (method, log) in [
        ("host all all 127.0.0.1/32 scram-sha-256", ""),
        ("host all all 127.0.0.1/32 md5", ""),
        ("host all all 127.0.0.1/32 reject", "pg_hba.conf rejects connection"),
        // Only with TLS, which is not spoken here.
        ("hostssl all all 127.0.0.1/32 trust", "no pg_hba.conf entry"),
        ("host all all 127.0.0.1/32 trust", "role \"nobody\" does not exist"),
    ] {
        postgres.file("pg_hba.conf", &format!("{method}\n"));
        postgres.start(&[]);
        comes_true(&room, &postgres.url("nobody:s3cret@"));
        says(&room, "postgres", log);
    }
    let log = std::fs::read_to_string(room.path().join("postgres.log")).expect("a log");
    assert!(!log.contains("s3cret"), "{log}");
}
