//! `hold`, `interval` and `attempt-timeout`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::common::{Room, collect, free_port};
use super::web::{requests, start};
use super::{attempt, waiting};
use crate::skip_unless;

/// What a server did for each request, and when.
type Given = Arc<Mutex<Vec<(Instant, Life)>>>;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Life {
    /// It serves, for the first time.
    First,
    /// It is there and closes.
    Down,
    Last,
}

/// A database that comes up to initialise itself, goes down, and comes up for good.
fn comes_up_twice() -> (u16, Given) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let given = Given::default();
    let seen = Arc::clone(&given);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let mut seen = seen.lock().expect("unpoisoned");
            let life = match seen.len() {
                0..3 => Life::First,
                3..6 => Life::Down,
                _ => Life::Last,
            };
            seen.push((Instant::now(), life));
            if life != Life::Down {
                let _ = stream.write_all(b"+PONG\r\n");
            }
        }
    });
    (port, given)
}

#[test]
fn a_check_with_hold_waits_for_the_life_that_stays() {
    let room = Room::new();
    let (port, given) = comes_up_twice();
    let output = collect(waiting(&room, &format!("redis://127.0.0.1:{port} hold=1500ms")));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let given = given.lock().expect("unpoisoned");
    let of = |life| given.iter().filter(|(_, given)| *given == life).map(|(time, _)| *time).collect::<Vec<_>>();
    let (first, last) = (of(Life::First), of(Life::Last));
    let lived = first[first.len() - 1] - first[0];
    assert!(lived < Duration::from_millis(1500), "this machine is too slow for the test: {lived:?}");
    let held = last[last.len() - 1] - last[0];
    assert!(held >= Duration::from_millis(1400), "{held:?}");
    // Without it, the first answer is enough.
    let (port, given) = comes_up_twice();
    assert!(collect(waiting(&room, &format!("redis://127.0.0.1:{port}"))).status.success());
    assert_eq!(given.lock().expect("unpoisoned").len(), 1);
}

#[test]
fn what_has_not_held_long_enough_says_so() {
    let room = Room::new();
    let (_, port) = (room.file("here", ""), free_port());
    let _server = installed!(start(&room, port), "python3");
    let check = format!("http://127.0.0.1:{port}/ hold=900ms timeout=1s body=here interval=300ms");
    let out = room.run(&["check", "--wait", &check]);
    // It held from the first attempt on, which may come late.
    assert!(out.code == Some(0) || out.stdout.contains("of the 900ms that it must"), "{}", out.stdout);
    let gone = room.run(&["check", "--wait", &format!("http://127.0.0.1:{port}/ hold=5s timeout=4s")]).expect_code(2);
    assert!(gone.stderr.contains("'hold' must be shorter than the timeout, which is 4s"), "{}", gone.stderr);
}

#[test]
fn attempts_are_spaced_by_interval() {
    let (room, port) = (Room::new(), free_port());
    let _server = installed!(start(&room, port), "python3");
    let check = format!("http://127.0.0.1:{port}/ body=never timeout=2s interval=500ms");
    room.run(&["check", "--wait", &check]).expect_code(69);
    let asked = requests(&room);
    assert!((2..=5).contains(&asked.len()), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 0.49), "{asked:?}");
    let check = format!("http://127.0.0.1:{port}/fast body=never timeout=2s");
    room.run(&["check", "--wait", &check]).expect_code(69);
    let fast = requests(&room).iter().filter(|(_, asked)| asked == "GET /fast").count();
    assert!(fast > 2 * asked.len(), "{fast} without it, {} with it", asked.len());
}

#[test]
fn a_command_may_take_longer_than_ten_seconds_where_it_is_told() {
    let room = Room::new();
    room.file("forerun.toml", "[[require]]\ncheck = 'exec:sleep 10.3'\nattempt-timeout = '100s'\n");
    let out = room.run(&["check"]).expect_code(0);
    assert!(out.took > Duration::from_secs(10), "{:?}", out.took);
    room.file("forerun.toml", "[[require]]\ncheck = 'exec:echo why >&2; sleep 100'\nattempt-timeout = '300ms'\n");
    let out = room.run(&["check"]).expect_code(78);
    assert!(out.stdout.contains("did not end within 300ms; it said: why"), "{}", out.stdout);
}

#[test]
fn an_attempt_is_given_up_after_attempt_timeout() {
    // It accepts and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("an address").port();
    for kind in ["http", "https", "postgres", "mysql", "redis", "rediss", "grpc", "grpcs"] {
        let out = attempt(&Room::new(), &format!("{kind}://127.0.0.1:{port}/ attempt-timeout=200ms")).expect_code(78);
        assert!(
            out.stdout.contains("no answer within 200ms, its attempt-timeout") && out.took < Duration::from_secs(9),
            "{} {:?}",
            out.stdout,
            out.took
        );
    }
}
