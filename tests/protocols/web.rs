//! A server whose answers take their time, and what is read of them.

use std::process::Command;
use std::time::Duration;

use super::common::{Room, accepts, collect, done, eventually, free_port};
use super::{Running, fails, find, holds, serve, waiting};
use crate::skip_unless;

/// Starts web.py. `None` without Python.
pub fn start(room: &Room, port: u16) -> Option<Running> {
    room.file("web.py", include_str!("web.py"));
    let server = serve(room, "web", Command::new(find("python3")?).args(["web.py", &port.to_string()]));
    eventually("the server listens", || accepts(port));
    Some(server.told_with(libc::SIGKILL))
}

/// When each request came, in seconds, and what it asked for.
pub fn requests(room: &Room) -> Vec<(f64, String)> {
    let log = std::fs::read_to_string(room.path().join("web.log")).expect("a log");
    let request = |line: &str| {
        let (time, asked) = line.split_once(' ')?;
        Some((time.parse().ok()?, asked.to_owned()))
    };
    log.lines().filter_map(request).collect()
}

#[test]
fn a_text_in_a_stream_that_never_ends_holds_as_soon_as_it_is_there() {
    let (room, port) = (Room::new(), free_port());
    let _server = installed!(start(&room, port), "python3");
    let check = format!("http://127.0.0.1:{port}/events body='all green'");
    // The stream goes on: this one request is still read when the text comes.
    let waiting = waiting(&room, &check);
    eventually("it is asked", || !requests(&room).is_empty());
    room.file("green", "");
    assert!(collect(waiting).status.success());
    assert_eq!(requests(&room)[0].1, "GET /events");
    eventually("the stream is left", || {
        std::fs::read_to_string(room.path().join("web.log")).expect("a log").contains("left")
    });
    // Without a text the status is all.
    holds(&room, &format!("http://127.0.0.1:{port}/events"));
    let never = ["check", "--wait-timeout", "500ms", "--wait", &format!("http://127.0.0.1:{port}/events body=red")];
    let out = room.run(&never).expect_code(69);
    assert!(
        out.stdout.contains("status 200, and the body does not contain 'red' so far")
            && out.took < Duration::from_secs(20),
        "{} {:?}",
        out.stdout,
        out.took
    );
}

/// Six seconds of fifteen: the first request is not given up, and its answer counts.
#[test]
fn the_first_answer_may_be_slow() {
    let (room, port) = (Room::new(), free_port());
    let _server = installed!(start(&room, port), "python3");
    let url = format!("http://127.0.0.1:{port}/compiles");
    let out = room.run(&["check", "--wait-timeout", "15s", "--wait", &url]).expect_code(0);
    assert!((6.0..15.0).contains(&out.took.as_secs_f64()), "{:?}", out.took);
    let asked = requests(&room);
    assert!((1..=5).contains(&asked.len()), "a few beside it, should it be lost: {asked:?}");
    // The first answer held: the next one comes a second later.
    let log = std::fs::read_to_string(room.path().join("web.log")).expect("a log");
    assert_eq!(log.lines().filter(|line| *line == "answered").count(), 1, "{log}");
}

#[test]
fn a_check_can_ask_with_head() {
    let (room, port) = (Room::new(), free_port());
    let _server = installed!(start(&room, port), "python3");
    let url = format!("http://127.0.0.1:{port}/head");
    fails(&room, &url, "status 405\n");
    holds(&room, &format!("{url} method=HEAD"));
    fails(&room, &format!("http://127.0.0.1:{port}/ method=HEAD"), "status 405\n");
    let asked: Vec<_> = requests(&room).into_iter().map(|(_, asked)| asked).collect();
    assert_eq!(asked, ["GET /head", "HEAD /head", "HEAD /"]);
    room.file("forerun.toml", &format!("[[require]]\ncheck = '{url}'\nmethod = 'HEAD'\n"));
    done(room.forerun().arg("check")).expect_code(0);
}
