//! Names that resolve, and sockets without a path.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::common::Room;
use super::{attempt, fails, holds};

#[test]
fn dns_holds_for_a_name_that_resolves() {
    let room = Room::new();
    holds(&room, "dns:localhost");
    // A name that the system has in a file.
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let names = hosts.lines().filter_map(|line| line.split('#').next()?.split_whitespace().nth(1));
    for name in names.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))).take(3) {
        holds(&room, &format!("dns:{name}"));
    }
    // RFC 6761: a name that never is one.
    let out = attempt(&room, "dns:forerun-test.invalid").expect_code(78);
    let reason = out.stdout.rsplit("  ").next().unwrap_or_default().trim();
    assert!(!reason.is_empty() && !reason.contains("lookup"), "{}", out.stdout);
    for wrong in ["dns:127.0.0.1", "dns:a b", "dns://host", "dns:host:53"] {
        attempt(&room, wrong).expect_code(2).expect_line(&["invalid"]);
    }
}

#[test]
fn unix_with_an_at_is_a_socket_without_a_path() {
    let room = Room::new();
    let name = format!("forerun-test-{}", room.path().file_name().expect("a name").display());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let check = format!("unix:@{name}");
    fails(&room, &check, "Connection refused");
    let _listener = UnixListener::bind_addr(&address).expect("bound");
    holds(&room, &check);
    // It is no file, and a file of that name is none of it.
    fails(&room, &format!("unix:./@{name}"), "No such file or directory");
    assert!(!room.path().join(format!("@{name}")).exists());
    let out = room.run(&["check", "--wait", &check, "--wait", &format!("{check}-none"), "--wait-timeout", "300ms"]);
    let out = out.expect_code(69);
    assert!(out.stdout.contains("ok ") && out.stdout.contains("FAILED "), "{}", out.stdout);
}

#[test]
fn http_over_a_socket_without_a_path() {
    use std::io::{Read, Write};
    let room = Room::new();
    let name = format!("forerun-test-http-{}", room.path().file_name().expect("a name").display());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).expect("an address")).expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap_or_default();
            let status = if request[..count].starts_with(b"GET /health ") { "200 OK" } else { "404 No" };
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    });
    holds(&room, &format!("http+unix:@{name}:/health"));
    fails(&room, &format!("http+unix:@{name}:/"), "status 404");
}
