//! stop: processes that an ended main left behind, and processes that left the instance.

use std::process::Command;

use crate::common::process::{children, in_own_session, send};
use crate::common::{Room, accepts, alive, done, eventually, free_port, has};
use crate::skip_unless;
use crate::{
    Cleared, Killed, assert_nothing_left, files, in_folder, json, kill, left, number, pid_in, script, serve, serving,
};

#[test]
fn what_a_dead_main_left_behind_is_stopped() {
    let room = Room::new();
    let port = free_port();
    let server = serve(&room, port, &[], &["--prefork", "2"]);
    kill(server);
    assert!(accepts(port));
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(
        stopped.stdout.starts_with("web was not running; stopped 2 processes that were left of it, after "),
        "{}",
        stopped.stdout
    );
    assert!(!accepts(port));
    assert_nothing_left(&room);
}

#[test]
fn what_a_dead_main_left_behind_without_a_readable_environment_is_stopped() {
    let room = Room::new();
    let _cleared = Cleared(&room);
    let port = free_port();
    let server = serve(&room, port, &[], &["--overwrite", "--prefork", "2"]);
    assert!(!left(&room).contains(&server), "it shows its environment");
    kill(server);
    assert!(accepts(port) && in_folder(&room).len() == 2);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.contains("stopped 2 processes"), "{}", stopped.stdout);
    assert_eq!(in_folder(&room), Vec::<i32>::new());
    assert_eq!(files(&room), ["lock", "server.log"]);
}

#[test]
fn the_next_start_clears_what_a_dead_main_left_behind_without_a_readable_environment() {
    let room = Room::new();
    let _cleared = Cleared(&room);
    let port = free_port();
    kill(serve(&room, port, &[], &["--overwrite", "--prefork", "2"]));
    let workers = in_folder(&room);
    assert!(accepts(port) && workers.len() == 2);
    // The same program, as the same user, in another session.
    let other = free_port();
    let mut bystander = in_own_session(Command::new(crate::fixture()).args(["serve", &other.to_string()]))
        .spawn()
        .map(Killed)
        .expect("spawned");
    let started = done(&mut serving(&room, port, &["--json"], &["--overwrite", "--prefork", "2"])).expect_code(0);
    let started = started.expect_stderr(&["stopping what pid ", "left behind"]);
    let second = crate::pid(&started);
    assert!(!workers.iter().any(|worker| alive(*worker)) && bystander.is_well());
    assert_eq!(in_folder(&room).len(), 3);
    assert!(children(second).len() == 2 && accepts(port));
}

#[test]
fn nginx_whose_main_was_killed_is_cleared() {
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|p| std::path::Path::new(p).exists());
    skip_unless!(program.is_some(), "nginx is not installed");
    let program = program.unwrap_or_default();
    let room = Room::new();
    let _cleared = Cleared(&room);
    let (port, here) = (free_port(), room.path().display().to_string());
    let temporary: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|k| format!("{k}_temp_path {here}/{k};")).concat();
    let user = if crate::common::is_root() { "user root;" } else { "" };
    let text = format!(
        "{user} daemon off; worker_processes 2; pid {here}/nginx.pid; error_log {here}/error.log;
         events {{}} http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; location / {{ return 200 'x'; }} }} }}"
    );
    let configuration = room.file("nginx.conf", &text).display().to_string();
    let url = format!("http://127.0.0.1:{port}/");
    let start = || {
        let args = ["-p", &here, "-e", "stderr", "-c", &configuration];
        crate::pid(&done(&mut crate::detached(&room, &["--json", "--health", &url], program, &args)).expect_code(0))
    };
    let first = start();
    eventually("its workers are there", || in_folder(&room).len() == 3);
    kill(first);
    let workers = in_folder(&room);
    assert!(accepts(port) && workers.len() == 2);
    let second = start();
    assert!(!workers.iter().any(|worker| alive(*worker)));
    eventually("its workers are there", || in_folder(&room).len() == 3);
    kill(second);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(stopped.stdout.contains("stopped 2 processes"), "{}", stopped.stdout);
    assert_eq!(in_folder(&room), Vec::<i32>::new());
}

#[test]
fn what_left_into_a_session_of_its_own_is_named_and_left() {
    let room = Room::new();
    let file = room.path().join("escaped");
    let port = free_port();
    serve(&room, port, &[], &["--escape", file.to_str().expect("UTF-8"), "--workers", "1"]);
    let escaped = pid_in(file);
    let stopped = room.run(&["stop", "web", "--json"]).expect_code(0);
    assert_eq!(json(&stopped)["left_alone"], serde_json::json!([escaped]));
    assert_eq!(number(&json(&stopped)["stopped"]), 2);
    let stopped = stopped.expect_line(&[&format!("left alone: pid {escaped} ("), "forerun stop web --all"]);
    drop(stopped);
    assert!(alive(escaped) && !accepts(port));
    assert_eq!(left(&room), [escaped]);
}

#[test]
fn stop_all_takes_what_left() {
    let room = Room::new();
    let file = room.path().join("escaped");
    serve(&room, free_port(), &[], &["--escape", file.to_str().expect("UTF-8")]);
    let stopped = room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(stopped.stdout.contains("and 1 worker"), "{}", stopped.stdout);
    assert_eq!(stopped.stderr, "");
    assert!(!alive(pid_in(file)));
    assert_nothing_left(&room);
}

#[test]
fn stop_all_takes_what_left_after_plain_stops_too() {
    let room = Room::new();
    let file = room.path().join("escaped");
    // A zombie belongs to an instance too. Orphans that nobody reaps are reparented to forerun, which reaps them.
    nix::sys::prctl::set_child_subreaper(true).expect("set");
    let server = serve(&room, free_port(), &[], &["--escape", file.to_str().expect("UTF-8")]);
    let escaped = pid_in(file);
    // This can be repeated.
    for at in 0..3 {
        if at == 1 {
            nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(server), None).expect("reaped");
        }
        room.run(&["stop", "web"]).expect_code(0).expect_line(&[&format!("left alone: pid {escaped} (")]);
    }
    let stopped = room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(stopped.stdout.contains("stopped 1 process that was left of it"), "{}", stopped.stdout);
    assert!(!alive(escaped));
    assert_nothing_left(&room);
}

#[test]
fn stop_all_takes_what_left_once_main_was_killed() {
    let room = Room::new();
    let file = room.path().join("escaped");
    kill(serve(&room, free_port(), &[], &["--escape", file.to_str().expect("UTF-8")]));
    let escaped = pid_in(file);
    room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(!alive(escaped));
    assert_nothing_left(&room);
}

#[test]
fn a_start_leaves_what_left_alone() {
    let room = Room::new();
    let file = room.path().join("escaped");
    let port = free_port();
    kill(serve(&room, port, &[], &["--escape", file.to_str().expect("UTF-8")]));
    let escaped = pid_in(file);
    serve(&room, port, &[], &[]);
    assert!(alive(escaped));
}

#[test]
fn what_left_and_holds_the_port_is_stopped() {
    let room = Room::new();
    let file = room.path().join("escaped");
    let port = free_port();
    serve(&room, port, &[], &["--escape-listening", file.to_str().expect("UTF-8")]);
    let escaped = pid_in(file);
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    assert!(!alive(escaped) && !accepts(port), "{}", stopped.stdout);
    assert_nothing_left(&room);
}

#[test]
fn what_left_and_holds_the_port_is_in_no_starts_way() {
    let room = Room::new();
    let file = room.path().join("escaped");
    let port = free_port();
    kill(serve(&room, port, &[], &["--escape-listening", file.to_str().expect("UTF-8")]));
    let escaped = pid_in(file);
    assert!(accepts(port));
    let second = serve(&room, port, &[], &[]);
    assert!(!alive(escaped));
    assert_eq!(left(&room), [second]);
}

/// A tmux server that a server of ours started, and its pid.
#[track_caller]
fn tmux(room: &Room) -> i32 {
    let text = "tmux -f /dev/null -S socket new-session -d 'exec sleep 300' && echo > up && exec sleep 300";
    script(room, &[], text);
    let ask = ["-S", "socket", "display-message", "-p", "#{pid}"];
    let mut ask_pid = Command::new("tmux");
    done(ask_pid.args(ask).current_dir(room.path())).expect_code(0).stdout.trim().parse().expect("a pid")
}

#[test]
fn a_tmux_server_is_left_and_stop_all_takes_it() {
    skip_unless!(has("tmux"), "tmux is not installed");
    let room = Room::new();
    let server = tmux(&room);
    let said = room.run(&["stop", "web"]).expect_code(0).expect_stderr(&[&format!("left alone: pid {server} (")]);
    drop(said);
    assert!(alive(server) && children(server).len() == 1);
    room.run(&["stop", "web", "--all"]).expect_code(0);
    assert_nothing_left(&room);
}

#[test]
fn a_tmux_server_survives_a_restart() {
    skip_unless!(has("tmux"), "tmux is not installed");
    let room = Room::new();
    let server = tmux(&room);
    // The tmux server exists already, and a new one would do as well.
    std::fs::remove_file(room.path().join("up")).expect("removed");
    let restarted = room.run(&["restart", "web"]);
    assert!(alive(server), "{}{}", restarted.stdout, restarted.stderr);
    send(server, libc::SIGKILL);
}

#[test]
fn what_left_an_instance_before_this_one_belongs_to_nobody_here() {
    let room = Room::new();
    let port = free_port();
    let file = room.path().join("escaped");
    serve(&room, port, &[], &["--escape", file.to_str().expect("UTF-8")]);
    let first = pid_in(file.clone());
    std::fs::remove_file(&file).expect("removed");
    room.run(&["restart", "web"]).expect_code(0).expect_stderr(&[&format!("left alone: pid {first} (")]);
    let second = pid_in(file);
    assert!(alive(first) && alive(second));
    let stopped = room.run(&["stop", "web"]).expect_code(0).expect_stderr(&[&format!("pid {second} (")]);
    assert!(!stopped.stderr.contains(&format!("pid {first} (")), "{}", stopped.stderr);
    room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(alive(first) && !alive(second));
    send(first, libc::SIGKILL);
}

#[test]
fn what_left_is_still_known_after_a_start_that_failed() {
    let room = Room::new();
    let file = room.path().join("escaped");
    let port = free_port();
    serve(&room, port, &[], &["--escape", file.to_str().expect("UTF-8")]);
    let escaped = pid_in(file);
    room.run(&["stop", "web"]).expect_code(0);
    let failing = ["--name", "web", "--require", "file:/nonexistent", "--", "true"];
    room.run(&[&["--detach"], &failing[..]].concat()).expect_code(78);
    room.run(&[&["--foreground", "--on-conflict", "fail"], &failing[..]].concat()).expect_code(78);
    room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(!alive(escaped));
    assert_nothing_left(&room);
}
