//! MariaDB: its first start, as container images do it, full, and with a host that it blocks.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use super::common::{Room, accepts, collect, done, eventually, free_port, is_root};
use super::{Running, comes_true, fails, find, holds, says, serve, text, waiting};
use crate::skip_unless;

pub struct Mariadb<'a> {
    room: &'a Room,
    program: PathBuf,
    data: PathBuf,
    pub port: u16,
}

impl<'a> Mariadb<'a> {
    /// `None` without MariaDB.
    pub fn new(room: &'a Room) -> Option<Self> {
        let (install, program) = (find("mariadb-install-db")?, find("mariadbd")?);
        let data = room.path().join("mariadb");
        let mut install = Command::new(install);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", text(&data))).args(as_root()).current_dir(room.path());
        // Each one that starts removes the temporary tables of all others of its folder.
        install.env("TMPDIR", room.path());
        done(&mut install).expect_code(0);
        Some(Mariadb { room, program, data, port: free_port() })
    }

    /// Starts it with these options. It is ready when this returns.
    pub fn start(&self, options: &[&str]) -> Running {
        let mut command = Command::new(&self.program);
        command.env("TMPDIR", self.room.path());
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-log-error", "--performance-schema=off"]);
        command.args([format!("--datadir={}", text(&self.data)), format!("--port={}", self.port)]);
        command.arg(format!("--socket={}", text(&self.room.path().join("socket")))).args(as_root()).args(options);
        let server = serve(self.room, "mariadb", &mut command).told_with(libc::SIGKILL);
        says(self.room, "mariadb", "ready for connections");
        server
    }
}

fn as_root() -> Option<&'static str> {
    is_root().then_some("--user=root")
}

/// A proxy that listens before the server does, as Docker's: it accepts, and closes where nobody is behind it. It
/// connects from an address of its own.
fn proxy_to(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let own = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
            socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, 3), 0)).into()).expect("bound");
            if socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).is_err() {
                continue;
            }
            let far = TcpStream::from(socket);
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (mut from, mut to) = (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    own
}

/// An account that the proxy's address may use, so that the server talks with it.
fn with_account(room: &Room) -> String {
    let file = room.file("init.sql", "CREATE USER IF NOT EXISTS app@'%';\n");
    format!("--init-file={}", text(&file))
}

#[test]
fn mysql_waits_for_the_server_behind_the_one_of_the_first_start() {
    let room = Room::new();
    let mariadb = installed!(Mariadb::new(&room), "MariaDB");
    let account = with_account(&room);
    let published = proxy_to(mariadb.port);
    let (mysql, tcp) = (format!("mysql://127.0.0.1:{published}"), format!("tcp:127.0.0.1:{published}"));
    let refused = "it closed the connection without an answer";
    // The proxy is there, and nothing else.
    holds(&room, &tcp);
    fails(&room, &mysql, refused);
    // The server that makes the accounts has no network: its socket is all there is of it.
    let first = mariadb.start(&["--skip-networking", &account]);
    holds(&room, "unix:socket");
    holds(&room, &tcp);
    fails(&room, &mysql, refused);
    drop(first);
    let waiting = waiting(&room, &mysql);
    let _second = mariadb.start(&[]);
    let output = collect(waiting);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    holds(&room, &format!("mysql://app:s3cret@127.0.0.1:{}/app", mariadb.port));
}

#[test]
fn mysql_does_not_hold_where_all_connections_are_used() {
    let room = Room::new();
    let mariadb = installed!(Mariadb::new(&room), "MariaDB");
    let _server = mariadb.start(&["--max-connections=10", "--connect-timeout=3600"]);
    let url = format!("mysql://127.0.0.1:{}", mariadb.port);
    comes_true(&room, &url);
    // One more is kept for an administrator.
    let mut held = Vec::new();
    eventually("it is full", || {
        let mut stream = TcpStream::connect(("127.0.0.1", mariadb.port)).expect("connected");
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).expect("a greeting");
        held.push(stream);
        greeting[4] == 255
    });
    held.pop();
    fails(&room, &url, "Too many connections (error 1040)");
    holds(&room, &format!("tcp:127.0.0.1:{}", mariadb.port));
    let waiting = waiting(&room, &url);
    drop(held);
    assert!(collect(waiting).status.success());
}

#[test]
fn mysql_does_not_get_its_host_blocked_and_says_where_it_is() {
    let room = Room::new();
    let mariadb = installed!(Mariadb::new(&room), "MariaDB");
    let _server = mariadb.start(&["--max-connect-errors=1", &with_account(&room)]);
    let port = proxy_to(mariadb.port);
    let url = format!("mysql://127.0.0.1:{port}");
    comes_true(&room, &url);
    // The server counts who breaks the login off: a check does not.
    for _ in 0..20 {
        holds(&room, &url);
    }
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).expect("a greeting");
        stream.write_all(b"\x01\0\0\x01x").expect("sent");
        let _ = stream.read_to_end(&mut Vec::new());
    }
    fails(&room, &url, "Host '127.0.0.3' is blocked because of many connection errors");
    holds(&room, &format!("tcp:127.0.0.1:{port}"));
    assert!(accepts(mariadb.port));
}
