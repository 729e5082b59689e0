//! An authority of the room's own, a server's certificate and a client's.

use std::process::Command;

use super::common::{Room, done};
use super::find;

/// Makes `ca.pem`, `server.pem` with `server.key`, and `client.pem` with `client.key`. The server is 127.0.0.1.
/// `None` without openssl.
pub fn make(room: &Room) -> Option<()> {
    let program = find("openssl")?;
    let openssl = |words: &str| {
        done(Command::new(&program).args(words.split_whitespace()).current_dir(room.path())).expect_code(0);
    };
    let fresh = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {fresh} -days 2 -subj /CN=forerun-test-ca -keyout ca.key -out ca.pem"));
    for (name, extensions) in [
        ("server", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ] {
        room.file("extensions", &format!("basicConstraints=CA:FALSE\n{extensions}"));
        openssl(&format!("req {fresh} -subj /CN=forerun-test-{name} -keyout {name}.key -out {name}.request"));
        openssl(&format!(
            "x509 -req -in {name}.request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions \
             -out {name}.pem"
        ));
    }
    Some(())
}
