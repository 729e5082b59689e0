//! One file with every kind of check, against real servers.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::common::{Room, done, free_port};
use super::mysql::Mariadb;
use super::postgres::Postgres;
use super::{grpc, nginx, redis};
use crate::skip_unless;

const REQUIRED: [&str; 9] = [
    "cmd:sh",
    "file:web.sock",
    "dir:.",
    "env:PATH",
    "exec:test -S web.sock",
    "free:FREE",
    "fds:256",
    "ptys:1",
    "dns:localhost",
];

/// The waits, with the names of ports that the test puts in.
const WAITS: &str = r#"
wait = [
    "tcp:127.0.0.1:POSTGRES",
    "unix:web.sock",
    "unix:@ABSTRACT",
    "http+unix:web.sock:/",
    "postgres://app@127.0.0.1:POSTGRES/app",
    "postgresql://127.0.0.1:POSTGRES",
    "mysql://127.0.0.1:MYSQL",
    "redis://:s3cret@127.0.0.1:REDIS/0",
    "grpc://127.0.0.1:GRPC/shop.Orders",
    "http://user:s3cret@127.0.0.1:PLAIN/health",
    "service:other",
    { check = "https://127.0.0.1:HTTPS/", ca = "ca.pem", cert = "client.pem", key = "client.key", body = "all green", status = "200" },
    { check = "https://127.0.0.1:TLS/", insecure = true, method = "HEAD", headers = { X-Key = "s3cret" }, hold = "300ms", interval = "50ms", attempt-timeout = "20s" },
    { check = "rediss://127.0.0.1:REDISS", ca = "ca.pem" },
    { check = "grpcs://127.0.0.1:GRPCS", ca = "ca.pem" },
]
"#;

/// `FORERUN_TEST_PRINT=FILE` keeps what is printed.
#[test]
fn a_file_with_every_kind_of_check_holds() {
    let room = Room::new();
    let ports: Vec<u16> = (0..7).map(|_| free_port()).collect();
    let [tls, https, cache, caches, rpc, rpcs, free] = ports[..] else { unreachable!("seven ports") };
    let mut postgres = installed!(Postgres::new(&room), "PostgreSQL");
    let mariadb = installed!(Mariadb::new(&room), "MariaDB");
    postgres.start(&[]);
    let _mariadb = mariadb.start(&[]);
    let _web = installed!(nginx::start(&room, tls, https), "nginx");
    let with_tls = format!("--port 0 --tls-port {caches} {}", redis::WITH_TLS);
    let _redis = installed!(redis::start(&room, cache, "--requirepass s3cret"), "redis");
    let _rediss = installed!(redis::start(&room, caches, &with_tls), "redis");
    let _grpc = installed!(grpc::start(&room, rpc, "plain"), "python3-grpcio");
    let _grpcs = installed!(grpc::start(&room, rpcs, "tls"), "python3-grpcio");
    room.file("serving", "");
    let plain = super::common::Web::new("204 No Content", "");
    let name = format!("forerun-test-every-{}", std::process::id());
    let _listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).expect("an address")).expect("bound");
    let require = format!("require = {REQUIRED:?}\n");
    let mut file = format!("name = \"every-kind\"\ncommand = [\"true\"]\nwait-timeout = \"60s\"\n{require}{WAITS}");
    for (word, port) in [
        ("POSTGRES", postgres.port),
        ("MYSQL", mariadb.port),
        ("REDISS", caches),
        ("REDIS", cache),
        ("GRPCS", rpcs),
        ("GRPC", rpc),
        ("PLAIN", plain.port),
        ("HTTPS", https),
        ("TLS", tls),
        ("FREE", free),
    ] {
        file = file.replace(&format!(":{word}"), &format!(":{port}"));
    }
    let file = file.replace("ABSTRACT", &name);
    let health = format!("http://127.0.0.1:{}/", plain.port);
    let mut other = room.forerun();
    other.args(["--name", "other", "--port", "0", "--health", &health, "--cwd", "/", "--", "sleep", "1000"]);
    done(other.current_dir("/")).expect_code(0);
    room.file("forerun.toml", &file);
    let out = room.run(&["check"]).expect_code(0);
    if let Some(path) = std::env::var_os("FORERUN_TEST_PRINT") {
        std::fs::write(path, format!("$ cat forerun.toml\n{file}\n$ forerun check\n{}", out.stdout)).expect("written");
    }
    assert!(!out.stdout.contains("s3cret") && !out.stderr.contains("s3cret"), "{}{}", out.stdout, out.stderr);
    // Every kind that there is, by the list that a mistake is answered with.
    let kinds = room.run(&["check", "--require", "nothing"]).expect_code(2).stderr;
    let list = kinds.split_once("the kinds are ").expect("a list").1.trim().replace(" and ", ", ");
    // What a server says once can only be its health: tests/readiness.rs.
    for kind in list.split(", ").filter(|kind| !["notify", "log"].contains(kind)) {
        let line =
            |line: &&str| line.split_whitespace().nth(2).is_some_and(|check| check.starts_with(&format!("{kind}:")));
        assert!(out.stdout.lines().find(line).is_some_and(|line| line.starts_with("ok ")), "{kind}: {}", out.stdout);
    }
    let _held = TcpListener::bind(("127.0.0.1", free)).expect("bound");
    let out = room.run(&["check"]).expect_code(78);
    let failed: Vec<_> = out.stdout.lines().filter(|line| line.starts_with("FAILED ")).collect();
    assert!(failed.len() == 1 && failed[0].contains(&format!("free:{free}")), "{failed:?}");
}
