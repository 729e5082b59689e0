//! A small HTTP server for the examples. It needs nothing but Rust's standard library.
//!
//!     rustc --edition 2024 -O -o hello hello.rs
//!     ./hello 8787
//!
//! `/health` answers "ok", which is all that a health check needs. Every other path answers a greeting.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let port = std::env::args().nth(1).unwrap_or("8787".to_owned());
    let address = format!("127.0.0.1:{port}");
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(e) => {
            eprintln!("hello: cannot listen on '{address}': {e}");
            return ExitCode::FAILURE;
        }
    };
    println!("hello: listening on http://{address}");
    for stream in listener.incoming().flatten() {
        // A client that goes away in the middle of an answer is no reason to stop.
        if let Err(e) = answer(stream) {
            eprintln!("hello: a client was not answered: {e}");
        }
    }
    ExitCode::SUCCESS
}

/// Answers one request, and closes the connection.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // What is left unread when a socket is closed resets the connection.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or("/");
    let body = match path {
        "/health" => "ok\n".to_owned(),
        _ => format!("hello from pid {}\n", std::process::id()),
    };
    if path != "/health" {
        println!("hello: {request}");
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
