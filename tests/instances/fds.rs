//! `forerun fds`: what it says is what /proc says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::process::descriptors;
use crate::common::{Killed, Room, done, eventually, free_port, is_root};
use crate::{serve, skip_unless};

/// Has a fixture with `--leak` do something, and waits until it is done.
#[track_caller]
fn leak(room: &Room, what: &[u8]) {
    let (new, file) = (room.path().join("leak.new"), room.path().join("leak"));
    std::fs::write(&new, what).expect("written");
    std::fs::rename(new, &file).expect("renamed");
    eventually("the server did it", || !file.exists());
}

/// A server that leaks what it is told to.
fn leaking(room: &Room) -> i32 {
    serve(room, free_port(), &[], &["--leak", room.path().join("leak").to_str().expect("UTF-8")])
}

fn fds(room: &Room, who: &str) -> Value {
    serde_json::from_str(&room.run(&["fds", who, "--json"]).expect_code(0).stdout).expect("JSON")
}

#[test]
fn kinds_and_paths_are_counted_as_proc_has_them() {
    let room = Room::new();
    let file = room.file("state.db", "").display().to_string();
    let pid = leaking(&room);
    leak(&room, format!("files 40 {file}\nptys 3\nfiles 2 {}\n", room.path().display()).as_bytes());
    let proc = descriptors(pid);
    for who in ["web", &pid.to_string()] {
        let json = fds(&room, who);
        assert_eq!((json["pid"].as_i64(), json["open"].as_u64()), (Some(pid.into()), Some(proc.len() as u64)));
        assert_eq!(json["name"].as_str(), (who == "web").then_some("web"));
        assert!(json["limit"].as_u64() > Some(proc.len() as u64), "{json}");
        let kinds = &json["kinds"];
        // stdout and stderr are the log.
        for (kind, count) in [("file", 42), ("pty master", 3), ("directory", 2), ("socket listening", 1)] {
            assert_eq!(kinds[kind].as_u64(), Some(count), "{kind}: {json}");
        }
        let total: u64 = kinds.as_object().expect("kinds").values().filter_map(Value::as_u64).sum();
        assert_eq!(total, proc.len() as u64);
        assert_eq!((json["paths"][0]["path"].as_str(), json["paths"][0]["count"].as_u64()), (Some(&*file), Some(40)));
    }
    let text = room.run(&["fds", "web"]).expect_code(0).stdout;
    let head = format!("web, pid {pid}: {} of ", proc.len());
    assert!(text.starts_with(&head) && text.contains(&format!("       40  {file}\n")), "{text}");
    assert!(text.contains("\n    socket listening      1\n"), "{text}");
}

#[test]
fn without_an_operand_it_is_the_service_of_this_folder() {
    let room = Room::new();
    let pid = leaking(&room);
    room.file("forerun.toml", "name = 'web'\n");
    assert!(room.run(&["fds"]).expect_code(0).stdout.starts_with(&format!("web, pid {pid}: ")));
}

#[test]
fn hostile_names_stay_on_their_lines() {
    let room = Room::new();
    leaking(&room);
    let folder = room.path().join("a");
    std::fs::create_dir(&folder).expect("a folder");
    let strange = folder.join(OsStr::from_bytes(b"b\xff"));
    let deleted = folder.join("gone");
    std::fs::write(&strange, "").expect("written");
    std::fs::write(&deleted, "").expect("written");
    // The fixture's file of words is UTF-8: a link has the name that is not.
    let link = room.path().join("link");
    std::os::unix::fs::symlink(&strange, &link).expect("a link");
    leak(&room, format!("files 5 {}\nfiles 6 {}\n", link.display(), deleted.display()).as_bytes());
    std::fs::remove_file(&deleted).expect("removed");
    let text = room.run(&["fds", "web"]).expect_code(0).stdout;
    assert!(text.contains("a/b\\xff\n") && text.contains("a/gone (deleted)\n"), "{text}");
    std::fs::rename(&strange, folder.join("new\nline")).expect("renamed");
    let text = room.run(&["fds", "web"]).expect_code(0).stdout;
    assert!(text.contains("a/new\\nline\n"), "{text}");
    assert_eq!(fds(&room, "web")["paths"][0]["count"], 6);
}

#[test]
fn what_does_not_run_and_what_is_no_name_are_told_apart() {
    let room = Room::new();
    for (who, code, part) in [
        ("web", 1, "no service is called 'web'"),
        ("0", 1, "no service and no process is called '0'"),
        ("4194304", 1, "no service and no process is called '4194304'"),
        ("99999999999999999999", 1, "no service and no process is called '99999999999999999999'"),
        ("a/b", 2, "'a/b'"),
        ("..", 2, "'..'"),
    ] {
        room.run(&["fds", who]).expect_code(code).expect_line(&[part]);
    }
    room.run(&["fds"]).expect_code(1).expect_line(&["nothing was ever started here"]);
    let mut child = Command::new("true").spawn().expect("spawned");
    eventually("it is a zombie", || !crate::common::alive(child.id() as i32));
    let zombie = child.id().to_string();
    let said = room.run(&["fds", &zombie]);
    assert!(said.code == Some(0) && said.stdout.contains(": 0 ") || said.code == Some(1), "{}", said.stdout);
    child.wait().expect("waited");
    std::fs::create_dir_all(room.state().join("web")).expect("a folder");
    for folder in [room.state(), room.state().join("web")] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).expect("set");
    }
    std::fs::write(room.state().join("web/record.json"), "{").expect("written");
    room.run(&["fds", "web"]).expect_code(73).expect_line(&["record.json", "remove it"]);
}

#[test]
fn a_process_of_another_user_is_named_with_what_to_do() {
    skip_unless!(is_root(), "it needs root to become somebody else");
    let room = Room::new();
    let child = Killed(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().expect("spawned"));
    // A folder that anybody can enter, and a program that anybody can run.
    let forerun = room.path().join("forerun");
    std::fs::copy(env!("CARGO_BIN_EXE_forerun"), &forerun).expect("copied");
    std::fs::set_permissions(room.path(), PermissionsExt::from_mode(0o755)).expect("set");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&forerun);
    command.args(["fds", &child.pid().to_string()]).env("FORERUN_STATE_DIR", "/nonexistent").current_dir("/");
    let said = done(command.stdin(Stdio::null())).expect_code(75);
    said.expect_line(&["cannot look into pid ", "sleep 1000", "it is another user's; do it as that user or as root"]);
}
