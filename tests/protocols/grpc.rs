//! A gRPC server with a health service, and one without.

use std::path::Path;
use std::process::Command;

use super::common::{Room, accepts, collect, done, eventually, free_port};
use super::{Running, certificates, fails, holds, serve, waiting};
use crate::skip_unless;

/// Starts health.py. `None` without grpcio, which Debian has for its own Python.
pub fn start(room: &Room, port: u16, mode: &str) -> Option<Running> {
    let has_grpc = |python: &&str| {
        Path::new(python).exists() && done(Command::new(python).args(["-c", "import grpc"])).code == Some(0)
    };
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"].into_iter().find(has_grpc)?;
    room.file("health.py", include_str!("health.py"));
    let mut command = Command::new(python);
    command.args(["health.py", &port.to_string(), mode]);
    let server = serve(room, "grpc", &mut command).told_with(libc::SIGKILL);
    eventually("the server listens", || accepts(port));
    Some(server)
}

#[test]
fn grpc_holds_for_what_is_serving() {
    let (room, port) = (Room::new(), free_port());
    let _server = installed!(start(&room, port, "plain"), "python3-grpcio");
    let url = |service: &str| format!("grpc://127.0.0.1:{port}{service}");
    holds(&room, &format!("tcp:127.0.0.1:{port}"));
    fails(&room, &url(""), "it is NOT_SERVING\n");
    holds(&room, &url("/shop.Orders"));
    fails(&room, &url("/shop.Mail"), "its health is UNKNOWN\n");
    fails(&room, &url("/shop.Ordres"), "it does not know the service 'shop.Ordres'\n");
    let waiting = waiting(&room, &url(""));
    room.file("serving", "");
    assert!(collect(waiting).status.success());
    fails(&room, &format!("grpcs://127.0.0.1:{port}"), "it does not speak TLS; write grpc://");
    fails(&room, &format!("http://127.0.0.1:{port}/"), "it speaks only HTTP/2, and this check is HTTP/1.1; use tcp:");
}

#[test]
fn grpc_says_where_there_is_no_health_service() {
    let (room, port) = (Room::new(), free_port());
    let _server = installed!(start(&room, port, "none"), "python3-grpcio");
    let words = format!("it has no health service (grpc.health.v1); use tcp:127.0.0.1:{port}\n");
    fails(&room, &format!("grpc://127.0.0.1:{port}"), &words);
    holds(&room, &format!("tcp:127.0.0.1:{port}"));
}

#[test]
fn grpcs_speaks_tls() {
    let (room, port) = (Room::new(), free_port());
    skip_unless!(certificates::make(&room).is_some(), "openssl is not installed");
    let _server = installed!(start(&room, port, "tls"), "python3-grpcio");
    let url = format!("grpcs://127.0.0.1:{port}");
    fails(&room, &format!("{url}/shop.Orders"), "no authority that is trusted here has signed the certificate; give");
    holds(&room, &format!("{url}/shop.Orders ca=ca.pem"));
    fails(&room, &format!("{url} ca=ca.pem"), "it is NOT_SERVING\n");
    room.file("serving", "");
    holds(&room, &format!("{url} ca=ca.pem"));
    holds(&room, &format!("{url} insecure=true"));
    fails(&room, &format!("grpc://127.0.0.1:{port}"), "");
}
