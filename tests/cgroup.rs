//! A control group of the instance's own, where one can be had: nothing that the server starts hides, nobody else is taken
//! for it, and no group is left over. Where none can be had, everything works without.

mod common;

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::process::appears;
use common::{Done, Room, accepts, alive, done, eventually, fixture, free_port, is_root};

/// Leaves a process that has neither session nor parent nor environment of the server; its pid is in `hidden`.
const HIDES: &str = "env -i setsid sh -c 'setsid env -i sh -c \"echo \\$\\$ >hidden.new; mv hidden.new hidden; \
                     exec sleep 1000\" &'\n";

/// The folder for control groups, where root may make them because no systemd does.
fn base() -> Option<PathBuf> {
    let is_systemds = Path::new("/run/systemd/system").exists();
    let is_at_top = fs::read_to_string("/proc/self/cgroup").is_ok_and(|text| text.lines().any(|line| line == "0::/"));
    let folders = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    let is_free = |folder: &PathBuf| {
        let own = format!("tmp.{}", std::process::id());
        let controllers = fs::read_to_string(folder.join("cgroup.subtree_control"));
        controllers.is_ok_and(|text| text.trim().is_empty()) && can_make(&folder.join(own))
    };
    folders.into_iter().find(is_free).filter(|_| is_root() && is_at_top && !is_systemds)
}

fn can_make(folder: &Path) -> bool {
    fs::create_dir(folder).and_then(|()| fs::remove_dir(folder)).is_ok()
}

macro_rules! base {
    () => {{
        let base = base();
        skip_unless!(base.is_some(), "no control group can be had");
        base.expect("just looked")
    }};
}

/// The control group of a service's record.
fn group(room: &Room, base: &Path, name: &str) -> PathBuf {
    let record = room.record(name);
    let path = record["own_group"].as_str().unwrap_or_else(|| panic!("no group: {record}"));
    assert!(path.starts_with(&format!("/forerun-{name}-")), "{path}");
    base.join(path.trim_start_matches('/'))
}

fn is_within(pid: i32, group: &Path) -> bool {
    let all = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    all.lines().any(|line| line == pid.to_string())
}

#[track_caller]
fn pid_in(room: &Room, name: &str) -> i32 {
    appears(&room.path().join(name)).trim().parse().expect("a pid")
}

fn main_pid(room: &Room, name: &str) -> i32 {
    room.record(name)["process"]["pid"].as_i64().expect("a pid") as i32
}

/// Starts a shell script as `name`, and then a server with these options.
#[track_caller]
fn start(room: &Room, name: &str, first: &str, port: u16, options: &[&str]) -> Done {
    let text = format!("{first}exec {} serve {port} \"$@\"\n", fixture().display());
    let script = room.file(&format!("{name}.sh"), &text);
    let health = format!("http://127.0.0.1:{port}/");
    let head = ["--detach", "--name", name, "--health", &health, "--grace", "5s"];
    let server = options.iter().position(|word| *word == "--").unwrap_or(options.len());
    let (ours, theirs) = options.split_at(server);
    let mut command = room.forerun();
    command.args(head).args(ours).args(["--", "sh"]).arg(script).args(theirs.iter().skip(1));
    done(&mut command)
}

#[test]
fn what_has_no_session_parent_or_environment_of_the_server_is_known() {
    let base = base!();
    let (room, port) = (Room::new(), free_port());
    start(&room, "web", HIDES, port, &[]).expect_code(0);
    let (hidden, group) = (pid_in(&room, "hidden"), group(&room, &base, "web"));
    assert!(is_within(hidden, &group) && is_within(main_pid(&room, "web"), &group));
    let status = room.run(&["status", "web"]).expect_code(0).stdout;
    assert!(status.contains(&format!("pid {hidden} (sleep 1000), for a session of its own")), "{status}");
    // It may be a person's.
    let stopped = room.run(&["stop", "web"]).expect_code(0);
    stopped.expect_line(&[&format!("left alone: pid {hidden} (sleep 1000)"), "forerun stop web --all"]);
    assert!(alive(hidden) && group.exists() && !accepts(port));
    room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(!alive(hidden) && !group.exists());
}

#[test]
fn what_is_left_alone_goes_on_outside_once_another_instance_has_the_name() {
    let base = base!();
    let (room, port) = (Room::new(), free_port());
    start(&room, "web", HIDES, port, &[]).expect_code(0);
    let (hidden, first) = (pid_in(&room, "hidden"), group(&room, &base, "web"));
    fs::remove_file(room.path().join("hidden")).expect("removed");
    room.run(&["restart", "web"]).expect_code(0);
    let (next, second) = (pid_in(&room, "hidden"), group(&room, &base, "web"));
    assert!(alive(hidden) && is_within(hidden, &base) && !first.exists() && first != second);
    assert!(is_within(next, &second) && next != hidden);
    room.run(&["stop", "web", "--all"]).expect_code(0);
    assert!(!second.exists() && !alive(next) && alive(hidden));
    common::process::send(hidden, libc::SIGKILL);
}

#[test]
fn no_group_is_left_after_a_stop_a_failed_start_or_an_end() {
    let base = base!();
    let (room, port) = (Room::new(), free_port());
    let ours = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&base).expect("read").flatten();
        entries.map(|e| e.path()).filter(|p| p.display().to_string().contains(&format!("forerun-w{port}-"))).collect()
    };
    let name = format!("w{port}");
    start(&room, &name, "", port, &[]).expect_code(0);
    assert_eq!(ours(), [group(&room, &base, &name)]);
    room.run(&["stop", &name]).expect_code(0);
    assert!(ours().is_empty(), "{:?}", ours());
    // A server that fails, with something that hides.
    start(&room, &name, &format!("{HIDES}until [ -e hidden ]; do sleep 0.01; done; exit 3\n"), port, &[])
        .expect_code(1);
    let hidden = pid_in(&room, "hidden");
    assert!(!alive(hidden) && ours().is_empty(), "{:?}", ours());
    // A command that cannot be executed.
    let broken = room.executable("broken", "#!/nowhere/at/all\n");
    let mut command = room.forerun();
    command.args(["--detach", "--name", &name, "--"]).arg(broken);
    assert_ne!(done(&mut command).code, Some(0));
    assert!(ours().is_empty(), "{:?}", ours());
    // It ends by itself: the next start, a stop and `forget` find the group in the record.
    for next in ["start", "stop", "forget"] {
        start(&room, &name, "", port, &[]).expect_code(0);
        let (pid, first) = (main_pid(&room, &name), group(&room, &base, &name));
        common::process::send(pid, libc::SIGKILL);
        eventually("it has ended", || !alive(pid));
        match next {
            "start" => {
                start(&room, &name, "", port, &[]).expect_code(0);
                assert_eq!(ours(), [group(&room, &base, &name)]);
                room.run(&["stop", &name]).expect_code(0);
            }
            word => drop(room.run(&[word, &name]).expect_code(0)),
        }
        assert!(!first.exists() && ours().is_empty(), "{next}: {:?}", ours());
    }
}

#[test]
fn the_sidecar_is_outside_and_removes_the_group_at_the_end() {
    let base = base!();
    let (room, port) = (Room::new(), free_port());
    start(&room, "web", "", port, &["--watch"]).expect_code(0);
    let (record, group) = (room.record("web"), group(&room, &base, "web"));
    let sidecar = record["sidecar"]["pid"].as_i64().expect("a sidecar") as i32;
    assert!(alive(sidecar) && !is_within(sidecar, &group));
    common::process::send(main_pid(&room, "web"), libc::SIGKILL);
    eventually("the sidecar removed the group", || !group.exists());
}

#[test]
fn what_a_person_starts_in_its_terminal_is_of_another_instance_and_the_shell_is_not_ended() {
    let base = base!();
    let (room, port, other) = (Room::new(), free_port(), free_port());
    let script = room.path().join("script");
    let options = ["--", "--run", script.to_str().expect("UTF-8"), "--run-in", "session"];
    start(&room, "web", "", port, &options).expect_code(0);
    let group_of_web = group(&room, &base, "web");
    let (forerun, fixture) = (common::Forerun, fixture());
    let fixture = fixture.display();
    room.file(
        "script.new",
        &format!(
            "trap '' TERM HUP\n{forerun} --detach --name other --watch --health http://127.0.0.1:{other}/ -- {fixture} \
             serve {other} >out 2>&1\necho $? >started.new; mv started.new started\nuntil [ -e go ]; do sleep 0.01; done\n\
             {forerun} stop web >>out 2>&1\necho $? >stopped.new; mv stopped.new stopped\n\
             until [ -e end ]; do sleep 0.01; done\necho $$ >ended.new; mv ended.new ended\n"
        ),
    );
    fs::rename(room.path().join("script.new"), &script).expect("renamed");
    let out = || fs::read_to_string(room.path().join("out")).unwrap_or_default();
    assert_eq!(appears(&room.path().join("started")).trim(), "0", "{}", out());
    let group_of_other = group(&room, &base, "other");
    let sidecar = room.record("other")["sidecar"]["pid"].as_i64().expect("a sidecar") as i32;
    assert!(is_within(main_pid(&room, "other"), &group_of_other) && !is_within(sidecar, &group_of_web));
    room.file("go", "");
    assert_eq!(appears(&room.path().join("stopped")).trim(), "0", "{}", out());
    assert!(!group_of_web.exists(), "{}", out());
    assert!(accepts(other) && alive(sidecar));
    room.file("end", "");
    appears(&room.path().join("ended"));
    room.run(&["stop", "other"]).expect_code(0);
    assert!(!group_of_other.exists());
}

#[test]
fn a_start_removes_what_a_killed_one_left_but_no_group_that_is_about_to_be_used() {
    let base = base!();
    let (room, port) = (Room::new(), free_port());
    let folder = |digits: &str| base.join(format!("forerun-w{port}-{digits}"));
    let (left, locked, strange) = (folder("0123456789abcdef"), folder("fedcba9876543210"), folder("mine"));
    for folder in [&left, &locked, &strange] {
        fs::create_dir(folder).expect("a group");
    }
    let lock = fs::File::open(&locked).expect("opened");
    // SAFETY: a descriptor that is open, and an integer.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
    start(&room, "web", "", port, &[]).expect_code(0);
    assert!(!left.exists() && locked.exists() && strange.exists());
    room.run(&["stop", "web"]).expect_code(0);
    for folder in [&locked, &strange] {
        fs::remove_dir(folder).expect("removed");
    }
}

/// Docker's filter of system calls knows no clone3.
#[test]
fn a_server_that_cannot_be_forked_into_its_group_has_none_and_none_is_left() {
    let base = base!();
    skip_unless!(common::has("strace"), "strace is not installed");
    let (room, port) = (Room::new(), free_port());
    let name = format!("w{port}");
    let mut forerun = room.forerun();
    forerun.args(["--detach", "--name", &name, "--health", &format!("http://127.0.0.1:{port}/"), "--"]);
    forerun.arg(fixture()).args(["serve", &port.to_string()]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3", "-e", "inject=clone3:error=ENOSYS"]);
    // Threads are made in another way then, as libc does.
    traced.arg(forerun.get_program()).args(forerun.get_args()).current_dir(room.path()).env_clear();
    traced.envs(forerun.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // It ends with the server.
    let tracer = traced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace");
    let _tracer = common::Killed(tracer);
    eventually("it runs", || room.run(&["status", &name]).code == Some(0));
    let record = room.record(&name);
    assert!(record["own_group"].is_null(), "{record}");
    let made = fs::read_dir(&base).expect("read").flatten();
    let made: Vec<_> = made.filter(|e| e.file_name().to_string_lossy().contains(&name)).collect();
    assert!(made.is_empty(), "{made:?}");
    room.run(&["stop", &name]).expect_code(0);
}

/// Where a control group cannot be had, it goes without one.
#[track_caller]
fn goes_without(room: &Room, port: u16, prepare: impl Fn(&mut Command) -> Command) {
    let health = format!("http://127.0.0.1:{port}/");
    let run = |words: &[&str]| {
        let mut forerun = room.forerun();
        forerun.args(words);
        done(&mut prepare(&mut forerun))
    };
    let (port, fixture) = (port.to_string(), fixture());
    let fixture = fixture.to_str().expect("UTF-8");
    run(&["--detach", "--name", "web", "--health", &health, "--", fixture, "serve", &port]).expect_code(0);
    let record = room.record("web");
    assert!(record["own_group"].is_null(), "{record}");
    let said = run(&["stop", "web"]).expect_code(0);
    assert_eq!(said.stderr, "");
    assert!(!accepts(port.parse().expect("a port")));
}

#[test]
fn it_works_without_control_groups_and_where_they_are_read_only() {
    skip_unless!(is_root(), "it needs root");
    let mounts = done(Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/sys/fs/cgroup"]));
    skip_unless!(mounts.code == Some(0), "mounts are not permitted");
    for mount in [
        "mount -t tmpfs none /sys/fs/cgroup",
        "for m in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/mounts); do mount -o remount,bind,ro $m || exit; done",
    ] {
        let (room, port) = (Room::new(), free_port());
        goes_without(&room, port, |forerun| {
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", &format!("{mount}\nexec \"$@\""), "sh"]).arg(forerun.get_program());
            command.args(forerun.get_args()).current_dir(room.path()).env_clear();
            command.envs(forerun.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command
        });
    }
}

#[test]
fn an_ordinary_user_without_a_delegated_group_goes_without() {
    skip_unless!(is_root(), "it needs root");
    skip_unless!(common::has("setpriv"), "setpriv is not installed");
    let (room, port) = (Room::outside_tmp(), free_port());
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let can = done(Command::new("setpriv").args(user).args([env!("CARGO_BIN_EXE_forerun"), "--version"]));
    skip_unless!(can.code == Some(0), "the user cannot execute what was built");
    std::os::unix::fs::chown(room.path(), Some(65534), Some(65534)).expect("changed");
    goes_without(&room, port, |forerun| {
        let mut command = Command::new("setpriv");
        command.args(user).arg(forerun.get_program()).args(forerun.get_args()).current_dir(room.path()).env_clear();
        command.envs(forerun.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    });
}
