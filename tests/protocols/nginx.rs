//! nginx behind a socket with a path, and with certificates on both sides.

use std::process::Command;

use super::common::{Room, accepts, eventually, free_port, is_root};
use super::{Running, certificates, fails, find, holds, serve, text};
use crate::skip_unless;

/// Starts nginx on the socket `web.sock`, on a port with TLS, and on one that wants a client's certificate too. `None`
/// without it.
pub fn start(room: &Room, tls: u16, both: u16) -> Option<Running> {
    certificates::make(room)?;
    let (program, here) = (find("nginx")?, text(room.path()));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/{kind};"))
        .concat();
    // As root the workers would be of another user, who may not enter this folder.
    let user = if is_root() { "user root;" } else { "" };
    let places = "location / { return 200 'all green'; } location = /down { return 503; }";
    let certificate = format!("ssl_certificate {here}/server.pem; ssl_certificate_key {here}/server.key;");
    let configuration = format!(
        "{user} daemon off; worker_processes 1; pid {here}/nginx.pid; error_log stderr;
         events {{}} http {{ access_log off; {temporary} {certificate}
         server {{ listen unix:{here}/web.sock; {places} }}
         server {{ listen 127.0.0.1:{tls} ssl; {places} }}
         server {{ listen 127.0.0.1:{both} ssl; ssl_client_certificate {here}/ca.pem; ssl_verify_client on; {places} }} }}"
    );
    let configuration = text(&room.file("nginx.conf", &configuration));
    let mut command = Command::new(program);
    command.args(["-p", &here, "-e", "stderr", "-c", &configuration]);
    let server = serve(room, "nginx", &mut command);
    eventually("nginx listens", || accepts(both));
    Some(server)
}

#[test]
fn nginx_behind_a_socket_is_asked_in_http() {
    let room = Room::new();
    let server = installed!(start(&room, free_port(), free_port()), "nginx");
    holds(&room, "http+unix:web.sock:/");
    holds(&room, "http+unix:web.sock");
    holds(&room, "http+unix:web.sock:/health?deep=1 body='all green' status=200");
    // The socket accepts all the same.
    fails(&room, "http+unix:web.sock:/down", "status 503\n");
    holds(&room, "unix:web.sock");
    fails(&room, "http+unix:web.sock:/ body=red", "status 200, and the body does not contain 'red'\n");
    fails(&room, "http+unix:none.sock:/", "No such file or directory");
    drop(server);
    fails(&room, "http+unix:web.sock:/", "");
}

#[test]
fn nginx_that_wants_a_certificate_gets_it() {
    let (room, tls, both) = (Room::new(), free_port(), free_port());
    let _server = installed!(start(&room, tls, both), "nginx");
    let (one, two) = (format!("https://127.0.0.1:{tls}/"), format!("https://127.0.0.1:{both}/"));
    fails(&room, &one, "no authority that is trusted here has signed the certificate; give its authority with 'ca'");
    holds(&room, &format!("{one} ca=ca.pem"));
    holds(&room, &format!("{one} insecure=true"));
    fails(&room, &format!("http://127.0.0.1:{tls}/"), &format!("it speaks TLS; write {one}\n"));
    fails(
        &room,
        &format!("{two} ca=ca.pem"),
        "status 400: it asks for a client's certificate; give one with 'cert' and 'key'\n",
    );
    holds(&room, &format!("tcp:127.0.0.1:{both}"));
    holds(&room, &format!("{two} ca=ca.pem cert=client.pem key=client.key body='all green'"));
    // One of somebody else's authority.
    let other = Room::new();
    certificates::make(&other).expect("openssl");
    let (cert, key) = (text(&other.path().join("client.pem")), text(&other.path().join("client.key")));
    fails(
        &room,
        &format!("{two} ca=ca.pem cert={cert} key={key}"),
        "status 400: it refuses the client's certificate\n",
    );
}
