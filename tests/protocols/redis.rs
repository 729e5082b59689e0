//! Redis: with a password, while it loads, and with TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use super::common::{Room, accepts, collect, eventually, free_port};
use super::{Running, certificates, comes_true, fails, find, holds, serve, waiting};
use crate::skip_unless;

/// Options for a port with TLS.
pub const WITH_TLS: &str =
    "--tls-cert-file server.pem --tls-key-file server.key --tls-ca-cert-file ca.pem --tls-auth-clients no";

/// Starts redis in the room. `None` without it.
pub fn start(room: &Room, port: u16, options: &str) -> Option<Running> {
    let mut command = Command::new(find("redis-server")?);
    command.args(["--bind", "127.0.0.1", "--dir", "."]).args(["--save", ""]);
    if !options.contains("--tls-port") {
        command.args(["--port", &port.to_string()]);
    }
    command.args(options.split_whitespace());
    let server = serve(room, "redis", &mut command).told_with(libc::SIGKILL);
    eventually("redis listens", || accepts(port));
    Some(server)
}

/// One command, and the answer to it.
fn tell(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("sent");
    let mut answer = [0; 256];
    let count = stream.read(&mut answer).unwrap_or_default();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[test]
fn redis_holds_with_the_password_and_says_what_is_wrong_with_another() {
    let (room, port) = (Room::new(), free_port());
    let server = installed!(start(&room, port, "--requirepass s3/cret"), "redis");
    holds(&room, &format!("tcp:127.0.0.1:{port}"));
    let refused = format!("it wants a password; write redis://:PASSWORD@127.0.0.1:{port}\n");
    fails(&room, &format!("redis://127.0.0.1:{port}"), &refused);
    fails(&room, &format!("redis://:other@127.0.0.1:{port}"), "it refuses the user name or the password\n");
    fails(&room, &format!("redis://u:s3%2Fcret@127.0.0.1:{port}"), "it refuses the user name or the password\n");
    holds(&room, &format!("redis://:s3%2Fcret@127.0.0.1:{port}"));
    holds(&room, &format!("redis://default:s3%2Fcret@127.0.0.1:{port}/0"));
    // One whom it knows and lets do next to nothing.
    let mut admin = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    admin.write_all(b"AUTH s3/cret\r\nACL SETUSER few on >pw -@all\r\n").expect("sent");
    let mut answer = [0; 10];
    admin.read_exact(&mut answer).expect("answers");
    assert_eq!(&answer, b"+OK\r\n+OK\r\n");
    holds(&room, &format!("redis://few:pw@127.0.0.1:{port}"));
    drop(server);
    let server = start(&room, port, "");
    fails(&room, &format!("redis://:pw@127.0.0.1:{port}"), "it has no password; leave it out of the URL\n");
    holds(&room, &format!("redis://127.0.0.1:{port}"));
    drop(server);
}

#[test]
fn redis_holds_once_its_data_is_loaded_and_tcp_before() {
    let (room, port) = (Room::new(), free_port());
    let server = installed!(start(&room, port, "--enable-debug-command yes"), "redis");
    assert!(tell(port, "DEBUG POPULATE 20000").starts_with("+OK"));
    assert!(tell(port, "SAVE").starts_with("+OK"));
    drop(server);
    // Each key takes a tenth of a second: as long as a big database.
    let slow = start(&room, port, "--key-load-delay 100000 --loading-process-events-interval-bytes 1024");
    let (redis, tcp) = (format!("redis://127.0.0.1:{port}"), format!("tcp:127.0.0.1:{port}"));
    holds(&room, &tcp);
    fails(&room, &redis, "LOADING Redis is loading the dataset in memory\n");
    let waiting = waiting(&room, &redis);
    drop(slow);
    let _server = start(&room, port, "");
    assert!(collect(waiting).status.success());
}

#[test]
fn rediss_speaks_tls_and_shows_a_certificate_where_one_is_wanted() {
    let (room, port) = (Room::new(), free_port());
    skip_unless!(certificates::make(&room).is_some(), "openssl is not installed");
    let tls = format!("--port 0 --tls-port {port} {WITH_TLS}");
    let server = installed!(start(&room, port, &format!("{tls} --requirepass pw")), "redis");
    let url = format!("rediss://:pw@127.0.0.1:{port}");
    fails(&room, &url, "no authority that is trusted here has signed the certificate; give its authority with 'ca'");
    fails(
        &room,
        &format!("redis://:pw@127.0.0.1:{port}"),
        &format!("it closed the connection without an answer; if it speaks TLS, write rediss://127.0.0.1:{port}\n"),
    );
    holds(&room, &format!("{url} ca=ca.pem"));
    holds(&room, &format!("{url} insecure=true"));
    fails(&room, &format!("rediss://127.0.0.1:{port} ca=ca.pem"), "it wants a password; write rediss://:PASSWORD@");
    drop(server);
    let _server = start(&room, port, &format!("{tls} --tls-auth-clients yes"));
    let url = format!("rediss://127.0.0.1:{port} ca=ca.pem");
    fails(&room, &url, "it asks for a client's certificate, and this check has none; give one with 'cert' and 'key'");
    comes_true(&room, &format!("{url} cert=client.pem key=client.key"));
}
