//! A proxy between us and the server: every failure says so, and NO_PROXY leaves hosts and networks out.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::common::{Done, Room, done};

/// Addresses of nobody (RFC 5737): what is asked there goes through the proxy, or nowhere.
const HOST: &str = "203.0.113.7";

/// A stand-in: it makes a tunnel, and is the server at its other end itself.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

fn header(stream: &mut TcpStream) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Proxy {
    /// `agrees`: what it says to CONNECT; `answer`: what comes out of the tunnel. It is silent where there is nothing.
    fn new(agrees: Option<&'static str>, answer: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let first = header(&mut stream);
                seen.lock().expect("unpoisoned").push(first.lines().next().unwrap_or_default().to_owned());
                if let Some(agrees) = agrees {
                    let _ = stream.write_all(agrees.as_bytes());
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = answer.map(|answer| stream.write_all(answer));
                }
                if agrees.is_none() || answer.is_none() {
                    kept.push(stream);
                }
            }
        });
        Proxy { port, asked }
    }

    fn run(&self, room: &Room, url: &str, exceptions: &str) -> Done {
        let mut command = room.forerun();
        command.env("http_proxy", format!("http://user:s3cret@127.0.0.1:{}", self.port)).env("NO_PROXY", exceptions);
        done(command.args(["check", "--require", &format!("{url} attempt-timeout=1s")]))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("unpoisoned").clone()
    }
}

const TUNNEL: &str = "HTTP/1.1 200 Connected\r\n\r\n";

#[test]
fn each_failure_that_went_through_a_proxy_says_so() {
    let room = Room::new();
    for (scheme, agrees, answer, words) in [
        ("http", Some("HTTP/1.1 403 No\r\n\r\n"), Some(&b""[..]), "status 403"),
        ("http", Some("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n"), Some(b""), "status 407"),
        ("http", Some("nonsense\r\n\r\n"), Some(b""), ""),
        ("http", None, None, "no answer"),
        ("http", Some(TUNNEL), Some(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), "status 503"),
        ("http", Some(TUNNEL), Some(b""), "the connection was closed without an answer"),
        ("http", Some(TUNNEL), Some(b"SSH-2.0-OpenSSH\r\n\r\n"), "the answer is not valid HTTP/1.1"),
        ("http", Some(TUNNEL), None, "no answer"),
        ("https", Some(TUNNEL), Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ""),
        ("https", Some(TUNNEL), Some(b""), ""),
    ] {
        let proxy = Proxy::new(agrees, answer);
        let out = proxy.run(&room, &format!("{scheme}://{HOST}:81/"), "").expect_code(78);
        let whole = format!("through the proxy 127.0.0.1:{} (http_proxy)", proxy.port);
        assert!(out.stdout.contains(&format!("  {words}")) && out.stdout.contains(&whole), "{}", out.stdout);
        assert!(out.stdout.contains("; NO_PROXY leaves a host out") || scheme == "https", "{}", out.stdout);
        assert!(!out.stdout.contains("s3cret") && out.stdout.lines().count() == 1, "{}", out.stdout);
        assert!(proxy.asked()[0].starts_with(&format!("CONNECT {HOST}:81")), "{:?}", proxy.asked());
    }
}

#[test]
fn no_proxy_leaves_hosts_and_networks_out() {
    let room = Room::new();
    let proxy = Proxy::new(Some(TUNNEL), Some(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let url = format!("http://{HOST}:81/");
    for through in ["", "10.0.0.0/8", "203.0.113.0/30", "example.com", "2001:db8::/32", "203.0.113.0/99"] {
        let before = proxy.asked().len();
        proxy.run(&room, &url, through).expect_code(0);
        assert!(proxy.asked().len() > before, "{through}");
    }
    let before = proxy.asked().len();
    for direct in [HOST, "203.0.113.0/24", "10.0.0.0/8, 203.0.0.0/8", "localhost,203.0.113.7/32", "*"] {
        let out = proxy.run(&room, &url, direct).expect_code(78);
        assert!(!out.stdout.contains("proxy"), "{}", out.stdout);
    }
    assert_eq!(proxy.asked().len(), before, "{:?}", proxy.asked());
}
