//! Foreground or detached: the decision of the binary in real environments.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Done, Room, done, done_on_terminal, has, is_root};
use serde_json::Value;

const DRY: [&str; 4] = ["--dry-run", "--json", "--", "true"];

#[track_caller]
fn parsed(plan: Done) -> Value {
    serde_json::from_str(&plan.expect_code(0).stdout).expect("JSON")
}

/// The mode with these variables, without a terminal for stdin and stderr.
#[track_caller]
fn mode_with(variables: &[(&str, &str)]) -> Value {
    let room = Room::new();
    parsed(done(room.forerun().envs(variables.iter().copied()).args(DRY)))
}

/// The mode with these variables, on a terminal.
#[track_caller]
fn mode_on_terminal(variables: &[(&str, &str)]) -> Value {
    let room = Room::new();
    parsed(done_on_terminal(room.forerun().envs(variables.iter().copied()).args(DRY)))
}

/// A shell that runs `script` with forerun and its arguments as `"$@"`.
fn shell(room: &Room, script: &str, args: &[&str]) -> Command {
    let forerun = room.forerun();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg("start.sh").arg(forerun.get_program()).args(args).current_dir(room.path());
    shell.env_clear().envs(forerun.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// Whether our own control group ends in `.scope`, as in a terminal of a desktop.
fn in_a_scope() -> bool {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().any(|line| line.ends_with(".scope"))
}

fn can_unshare() -> bool {
    let mut command = Command::new("unshare");
    is_root() && has("unshare") && done(command.args(["--pid", "--fork", "--mount-proc", "true"])).code == Some(0)
}

#[test]
fn without_any_sign_it_detaches() {
    for plan in [mode_with(&[]), mode_on_terminal(&[])] {
        assert_eq!((&plan["mode"], &plan["reason"]), (&"detached".into(), &"no supervisor was recognised".into()));
        assert_eq!(plan["supervisor"], Value::Null);
    }
}

#[test]
fn a_flag_beats_every_sign() {
    let room = Room::new();
    let signs = [("FORERUN_FOREGROUND", "no"), ("SYSTEMD_EXEC_PID", "1")];
    let foreground = || {
        let mut command = room.forerun();
        command.arg("--foreground").envs(signs).args(DRY);
        command
    };
    for plan in [done(&mut foreground()), done_on_terminal(&mut foreground())] {
        assert_eq!(parsed(plan)["reason"], "--foreground was given");
    }
    let signs =
        [("FORERUN_FOREGROUND", "yes"), ("INVOCATION_ID", "a"), ("NOTIFY_SOCKET", "/a"), ("LAUNCHD_SOCKET", "/a")];
    let plan = parsed(done(room.forerun().arg("--detach").envs(signs).args(DRY)));
    assert_eq!((&plan["mode"], &plan["reason"]), (&"detached".into(), &"--detach was given".into()));
}

#[test]
fn a_flag_beats_the_key_of_the_file() {
    let room = Room::new();
    room.file("forerun.toml", "foreground = true\n");
    assert_eq!(room.plan(&mut room.forerun())["mode"], "foreground");
    assert_eq!(room.plan(room.forerun().arg("--detach"))["mode"], "detached");
}

#[test]
fn forerun_foreground_beats_the_supervisors() {
    for word in ["1", "true", "yes", "on", "TRUE", "Yes"] {
        assert_eq!(mode_with(&[("FORERUN_FOREGROUND", word)])["mode"], "foreground", "{word}");
        assert_eq!(mode_on_terminal(&[("FORERUN_FOREGROUND", word)])["mode"], "foreground", "{word}");
    }
    for word in ["0", "false", "no", "off", "Off"] {
        let plan = mode_with(&[("FORERUN_FOREGROUND", word), ("INVOCATION_ID", "a")]);
        assert_eq!((&plan["mode"], &plan["supervisor"]), (&"detached".into(), &"systemd".into()), "{word}");
    }
    assert_eq!(mode_with(&[("FORERUN_FOREGROUND", "")])["mode"], "detached");
}

#[test]
fn forerun_foreground_has_no_other_words() {
    let room = Room::new();
    for word in ["2", "maybe", "y", " 1", "a\nb"] {
        let refused = done(room.forerun().env("FORERUN_FOREGROUND", word).args(DRY));
        refused
            .expect_code(2)
            .expect_line(&["invalid FORERUN_FOREGROUND", "expected 1, true, yes, on, 0, false, no or off"]);
    }
}

#[test]
fn a_supervisors_variable_means_foreground() {
    for (name, supervisor) in
        [("LAUNCHD_SOCKET", "launchd"), ("NOTIFY_SOCKET", "a service manager"), ("INVOCATION_ID", "systemd")]
    {
        let plan = mode_with(&[(name, "a")]);
        assert_eq!((&plan["mode"], &plan["supervisor"]), (&"foreground".into(), &supervisor.into()), "{name}");
        assert!(plan["reason"].as_str().is_some_and(|why| why.contains(name)), "{plan}");
        assert_eq!(mode_with(&[(name, "")])["mode"], "detached", "an empty {name}");
    }
    assert_eq!(mode_on_terminal(&[("LAUNCHD_SOCKET", "a")])["mode"], "foreground");
}

/// The supervisor with these variables, where our parent or our parent's parent is pid 1.
#[track_caller]
fn supervisor_below_pid_1(script: &str, variables: &[(&str, &str)]) -> Value {
    let room = Room::new();
    let mut below = Command::new("unshare");
    let shell = shell(&room, script, &DRY);
    below.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(shell.get_program()).args(shell.get_args());
    below.env_clear().envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    parsed(done(below.envs(variables.iter().copied()).current_dir(room.path())))["supervisor"].take()
}

#[test]
fn a_launchd_label_counts_only_where_launchd_started_us_or_our_parent() {
    const LABEL: (&str, &str) = ("XPC_SERVICE_NAME", "com.example.web");
    assert_eq!(mode_with(&[LABEL])["mode"], "detached", "it is inherited from an editor");
    assert_eq!(mode_on_terminal(&[LABEL])["mode"], "detached");
    skip_unless!(can_unshare(), "needs root and pid namespaces");
    for script in ["\"$@\"; :", "sh -c '\"$@\"; :' sh \"$@\"; :"] {
        assert_eq!(supervisor_below_pid_1(script, &[LABEL]), "launchd", "{script}");
        for other in ["0", "", "application.com.apple.Terminal.1.2"] {
            let found = supervisor_below_pid_1(script, &[("XPC_SERVICE_NAME", other)]);
            assert_eq!(found, "a container", "{other}, {script}");
        }
        assert_eq!(supervisor_below_pid_1(script, &[("XPC_SERVICE_NAME", "applications.mine")]), "launchd");
    }
    let far = "sh -c 'sh -c \"\\\"\\$@\\\"; :\" sh \"$@\"; :' sh \"$@\"; :";
    assert_eq!(supervisor_below_pid_1(far, &[LABEL]), Value::Null);
}

#[test]
fn supervisord_counts_where_stderr_is_no_terminal() {
    let plan = mode_with(&[("SUPERVISOR_ENABLED", "1")]);
    assert_eq!((&plan["mode"], &plan["supervisor"]), (&"foreground".into(), &"supervisord".into()));
    assert_eq!(mode_on_terminal(&[("SUPERVISOR_ENABLED", "1")])["mode"], "detached");
}

#[test]
fn supervisors_without_a_variable_are_known_by_name() {
    let room = Room::new();
    for (parent, mode, supervisor) in [
        ("runsv", "foreground", "runit"),
        ("s6-supervise", "foreground", "s6"),
        ("supervise", "foreground", "daemontools"),
        ("supervise-daemon", "foreground", "OpenRC"),
        ("dinit", "foreground", "dinit"),
        ("runsvdir", "detached", ""),
        ("supervise-daemons", "detached", ""),
    ] {
        let mut command = Command::new(room.fixture_called(parent));
        command.env_clear().current_dir(room.path());
        let plan = parsed(done(command.arg("run").arg(room.forerun().get_program()).args(DRY)));
        assert_eq!(plan["mode"], mode, "{parent}: {plan}");
        assert_eq!(plan["supervisor"].as_str().unwrap_or_default(), supervisor, "{parent}");
    }
}

#[test]
fn systemds_variables_of_another_unit_do_not_count_on_a_terminal() {
    for name in ["INVOCATION_ID", "NOTIFY_SOCKET"] {
        let plan = mode_on_terminal(&[(name, "a"), ("SYSTEMD_EXEC_PID", "1")]);
        assert_eq!(plan["mode"], "detached", "{plan}");
        let reason = plan["reason"].as_str().expect("a reason");
        assert!(reason.contains("inherited") && reason.contains("SYSTEMD_EXEC_PID is 1"), "{reason}");
    }
}

#[test]
fn systemds_variables_count_without_a_terminal_whoever_they_are_of() {
    assert_eq!(mode_with(&[("INVOCATION_ID", "a"), ("SYSTEMD_EXEC_PID", "1")])["mode"], "foreground");
}

#[test]
fn a_terminal_for_stdin_alone_proves_nothing() {
    let room = Room::new();
    let script = "exec \"$@\" 2>/dev/null";
    let mut command = shell(&room, script, &DRY);
    let plan = parsed(done_on_terminal(command.env("INVOCATION_ID", "a").env("SYSTEMD_EXEC_PID", "1")));
    assert_eq!(plan["mode"], "foreground", "{plan}");
    let mut command = shell(&room, "exec \"$@\" </dev/null", &DRY);
    let plan = parsed(done_on_terminal(command.env("INVOCATION_ID", "a").env("SYSTEMD_EXEC_PID", "1")));
    assert_eq!(plan["mode"], "foreground", "{plan}");
}

#[test]
fn systemds_variables_of_our_own_unit_count_on_a_terminal() {
    skip_unless!(!in_a_scope(), "these tests run in a .scope, which is a proof by itself");
    let room = Room::new();
    for script in
        ["export SYSTEMD_EXEC_PID=$$; exec \"$@\"", "export SYSTEMD_EXEC_PID=$$; \"$@\"; exit $?", "exec \"$@\""]
    {
        let mut command = shell(&room, script, &DRY);
        let plan = parsed(done_on_terminal(command.env("INVOCATION_ID", "a")));
        assert_eq!((&plan["mode"], &plan["supervisor"]), (&"foreground".into(), &"systemd".into()), "{script}: {plan}");
    }
}

/// A control group that is removed at the end.
struct Group(std::path::PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let root = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].map(Path::new);
        let root = root.into_iter().find(|folder| folder.join("cgroup.procs").exists())?;
        let path = root.join(format!("forerun-test-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).ok().map(|()| Group(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        common::holds_within(common::DEADLINE, || std::fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn systemds_variables_do_not_count_in_a_scope_on_a_terminal() {
    let group = if is_root() { Group::new("a.scope") } else { None };
    skip_unless!(group.is_some(), "needs root and a control group file system that can be written");
    let group = group.expect("it is some");
    let room = Room::new();
    let script = format!("echo $$ > '{}/cgroup.procs' && exec \"$@\"", group.0.display());
    let plan = parsed(done_on_terminal(shell(&room, &script, &DRY).env("INVOCATION_ID", "a")));
    assert_eq!(plan["mode"], "detached", "{plan}");
    assert!(plan["reason"].as_str().is_some_and(|why| why.contains("a.scope'")), "{plan}");
}

#[test]
fn detaching_below_inherited_variables_says_why_in_one_line() {
    let room = Room::new();
    let mut command = room.forerun();
    command.env("INVOCATION_ID", "a").env("SYSTEMD_EXEC_PID", "1").args(["--no-progress", "--", "sleep", "300"]);
    let started = done_on_terminal(&mut command).expect_code(0);
    assert!(started.stdout.contains(" is started; "), "{}", started.stdout);
    started.expect_line(&["forerun: detaching: systemd's variables were inherited from another unit"]);
}

#[test]
fn a_start_script_without_exec_is_warned_of() {
    let room = Room::new();
    let run = |script: &str| {
        let mut command = shell(&room, script, &["--", "true"]);
        done(command.env("INVOCATION_ID", "a")).expect_code(0).stderr
    };
    let warned = run("export SYSTEMD_EXEC_PID=$$; \"$@\"; exit $?");
    assert!(warned.contains("warning") && warned.contains("exec") && warned.contains("start.sh"), "{warned}");
    assert_eq!(run("export SYSTEMD_EXEC_PID=$$; exec \"$@\""), "");
}

#[test]
fn detaching_under_a_supervisor_is_warned_of() {
    let room = Room::new();
    let mut command = room.forerun();
    let started = done(command.env("INVOCATION_ID", "a").args(["--detach", "--", "sleep", "300"])).expect_code(0);
    started.expect_line(&["forerun: warning: detaching below systemd"]);
}

#[test]
fn the_mode_and_its_reason_are_said_at_info() {
    let room = Room::new();
    let said = room.run(&["-v", "--foreground", "--", "true"]).expect_code(0);
    said.expect_stderr(&["forerun: foreground mode: --foreground was given"]);
    let filtered = done(room.forerun().env("FORERUN_LOG", "info").args(["--foreground", "--", "true"])).expect_code(0);
    filtered.expect_line(&["forerun: foreground mode: --foreground was given"]);
    assert_eq!(room.run(&["--foreground", "--", "true"]).expect_code(0).stderr, "");
}

#[test]
fn pid_1_is_a_container() {
    skip_unless!(can_unshare(), "needs root and unshare");
    let room = Room::new();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc"]).arg(room.forerun().get_program()).args(DRY);
    let plan = parsed(done(command.env_clear().current_dir(room.path())));
    assert_eq!((&plan["mode"], &plan["supervisor"]), (&"foreground".into(), &"a container".into()));
    assert_eq!(plan["reason"], "we are pid 1");
}

#[test]
fn below_pid_1_it_is_a_container_unless_that_is_an_init() {
    skip_unless!(can_unshare(), "needs root and unshare");
    let room = Room::new();
    for (init, mode) in [("tini", "foreground"), ("bash", "foreground"), ("systemd", "detached"), ("init", "detached")]
    {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc"]).arg(room.fixture_called(init)).arg("run");
        command.arg(room.forerun().get_program()).args(DRY).env_clear().current_dir(room.path());
        assert_eq!(parsed(done(&mut command))["mode"], mode, "{init}");
    }
}

#[test]
fn entered_from_outside_the_pid_namespace_it_is_a_container_unless_there_is_a_terminal() {
    skip_unless!(can_unshare() && has("nsenter") && has("setsid"), "needs root, unshare, nsenter and setsid");
    let room = Room::new();
    let mut namespace = Command::new("unshare");
    namespace.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "echo up > up; exec sleep 300"]);
    let mut namespace = namespace.current_dir(room.path()).spawn().expect("spawned");
    common::eventually("the namespace is there", || room.path().join("up").exists());
    let children = format!("/proc/{0}/task/{0}/children", namespace.id());
    let children = std::fs::read_to_string(children).expect("its child");
    let enter = |first: &[&str]| {
        let mut command = Command::new(first[0]);
        command.args(&first[1..]).args(["nsenter", "--pid", "--mount", "--target", children.trim()]);
        command.arg(room.forerun().get_program()).args(DRY).env_clear().current_dir(room.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    };
    let without = done(&mut enter(&["setsid", "--wait"]));
    let with = done_on_terminal(&mut enter(&["env"]));
    // unshare itself ignores signals that would end it before its child.
    common::signal(children.trim().parse().expect("a pid"), libc::SIGKILL);
    namespace.wait().expect("ended");
    let (without, with) = (parsed(without), parsed(with));
    assert_eq!((&without["mode"], &without["supervisor"]), (&"foreground".into(), &"a container".into()));
    assert_eq!(with["mode"], "detached");
}
