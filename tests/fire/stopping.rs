//! `forerun stop`, `restart` and `--replace` that fail or are killed: never "stopping" for ever, and the next plain start
//! never ends a healthy server. And `forerun reload`.

use std::process::Command;

use super::{REPLACE, START, Web, ended_well, errors, numbers, path_of_record, sample, system_calls_of};
use crate::common::process::prepared;
use crate::common::{accepts, alive, done, eventually, fixture, has, holds_within, is_root};
use crate::skip_unless;

/// Whether it has ended, or will because it was told to.
fn ends(server: i32) -> bool {
    holds_within(std::time::Duration::from_millis(400), || !alive(server))
}

/// What holds after `words` were killed or failed, whatever they did. `server` ran before.
#[track_caller]
fn is_honest(web: &Web, server: i32, after: &str) {
    let status = if ends(server) { None } else { Some(web.run("status")) };
    // On a loaded machine one that was told may take longer.
    if let Some(status) = status.filter(|_| alive(server)) {
        assert!(status.stdout.contains("web is running"), "{after}: {}", status.stdout);
        web.run(START).expect_code(0);
        assert_eq!(web.pid(), server, "{after}: a healthy server was ended");
        return;
    }
    // The old one has ended: there is a new one, or a record that says so, or none.
    if let Ok(text) = std::fs::read_to_string(path_of_record(web)) {
        let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let pid = record["process"]["pid"].as_i64().expect("a pid") as i32;
        let status = web.run("status");
        let says = ["web is running", "web is starting", "web is not running"];
        assert!(says.iter().any(|said| status.stdout.contains(said)), "{after}, pid {pid}: {}", status.stdout);
        assert!(!status.stdout.contains("stopping"), "{after}: {}", status.stdout);
    }
    web.serves(after);
}

#[test]
fn a_stop_or_restart_that_is_killed_at_a_call_ends_no_healthy_server_later() {
    skip_unless!(has("strace"), "there is no strace");
    for words in ["stop", "restart", REPLACE] {
        let web = Web::new();
        web.run(START).expect_code(0);
        let calls = system_calls_of(&web, words, &[0]).into_iter();
        // From the first mark on: those that write, signal and remove.
        let acts = ["write", "renameat2", "unlinkat", "pidfd_send_signal", "pidfd_open", "poll", "openat", "clone3"];
        let all = calls.filter(|(name, _)| acts.contains(&name.as_str()));
        let all = all.flat_map(|(name, range)| numbers(range).into_iter().map(move |number| (name.clone(), number)));
        for (name, number) in sample(all.collect(), 4) {
            web.run(START).expect_code(0);
            let server = web.pid();
            let inject = format!("inject={name}:signal=KILL:when={number}");
            done(&mut web.traced(words, &["-o", "/dev/null", "-e", &inject]));
            is_honest(&web, server, &format!("{words} with {inject}"));
        }
        web.run("stop").expect_code(0);
    }
}

#[test]
fn a_stop_that_cannot_signal_or_write_leaves_no_stopping_for_ever() {
    skip_unless!(has("strace"), "there is no strace");
    let faults = [
        "pidfd_send_signal:error=EPERM:when=1+,kill:error=EPERM:when=1+",
        "pidfd_open:error=EMFILE:when=1+",
        "write:error=ENOSPC:when=1+",
        "renameat2:error=EIO:when=1+",
        "unlinkat:error=EROFS:when=1+",
        "openat:error=EMFILE:when=60+",
        "openat:error=EROFS:when=1+",
    ];
    for words in ["stop", "restart"] {
        let web = Web::new();
        for fault in faults {
            web.run(START).expect_code(0);
            let server = web.pid();
            let injects: Vec<_> = fault.split(',').map(|fault| format!("inject={fault}")).collect();
            // The loader is spared: it needs its files.
            let spares = fault.starts_with("openat:error=EROFS");
            let state = web.room.state().join("web").display().to_string();
            let mut options = vec!["-o", "/dev/null"];
            if spares {
                options.extend(["-P", &state]);
            }
            options.extend(injects.iter().flat_map(|inject| ["-e", inject]));
            let hit = done(&mut web.traced(words, &options));
            let after = format!("{words} with {fault}");
            ended_well(&hit, &after);
            if hit.code != Some(0) && !fault.starts_with("write") {
                assert_eq!(errors(&hit).len(), 1, "{after}: {}", hit.stderr);
            }
            is_honest(&web, server, &after);
        }
        web.run("stop").expect_code(0);
    }
}

/// A server that takes its reload signal.
fn reloadable() -> Web {
    let web = Web::new();
    let (fixture, port) = (fixture().display().to_string(), web.port);
    let text = format!("trap : HUP; '{fixture}' serve {port} & while :; do wait; done");
    let url = format!("http://127.0.0.1:{port}/");
    let mut command = web.room.forerun();
    command.args(["--detach", "--name", "web", "--grace", "2s", "--health", &url, "--health-timeout", "1s"]);
    done(command.args(["--", "/bin/sh", "-c", &text])).expect_code(0);
    web.run("reload").expect_code(0);
    web
}

#[test]
fn a_reload_that_fails_or_is_killed_changes_nothing() {
    skip_unless!(has("strace"), "there is no strace");
    let web = reloadable();
    let (server, record) = (web.pid(), web.room.record("web"));
    let calls = system_calls_of(&web, "reload", &[0]).into_iter();
    const FAULTS: [&str; 5] = ["error=EMFILE", "error=ENOMEM", "error=EINTR", "error=ENOSPC", "signal=KILL"];
    let all = calls.flat_map(|(name, range)| {
        numbers(range).into_iter().flat_map(move |number| FAULTS.map(|fault| (name.clone(), number, fault)))
    });
    let all = all.filter(|(name, _, _)| !matches!(name.as_str(), "getcwd" | "rt_sigprocmask"));
    for (name, number, fault) in sample(all.collect(), 8) {
        let inject = format!("inject={name}:{fault}:when={number}");
        let hit = done(&mut web.traced("reload", &["-o", "/dev/null", "-e", &inject]));
        let after = format!("reload with {inject}");
        if fault != "signal=KILL" {
            ended_well(&hit, &after);
            assert!(hit.code == Some(0) || errors(&hit).len() == 1, "{after}: {:?} {}", hit.code, hit.stderr);
        }
        assert!(alive(server) && accepts(web.port), "{after}");
        assert_eq!(web.room.record("web"), record, "{after}");
    }
    web.run("stop").expect_code(0);
}

#[test]
fn a_reload_with_little_to_live_on_is_an_error_or_works() {
    let web = reloadable();
    let (server, record) = (web.pid(), web.room.record("web"));
    for limit in [5, 7, 9, 10, 12, 16] {
        let mut command = web.command("reload");
        prepared(&mut command, move || {
            let limit = libc::rlimit { rlim_cur: limit, rlim_max: 4096 };
            // SAFETY: the struct is ours.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        });
        let hit = done(&mut command);
        ended_well(&hit, &format!("{limit} descriptors"));
        assert!(alive(server) && web.room.record("web") == record, "{limit}: {}", hit.stderr);
    }
    for closed in 0..8 {
        let mut command = web.command("reload");
        command.env_clear().env("FORERUN_STATE_DIR", web.room.state());
        prepared(&mut command, move || {
            for number in (0..3).filter(|number| closed & (1 << number) != 0) {
                // SAFETY: an integer.
                unsafe { libc::close(number) };
            }
        });
        let hit = done(&mut command);
        assert_eq!(hit.code, Some(0), "{closed:03b} closed: {}", hit.stderr);
        assert!(alive(server) && web.room.record("web") == record);
    }
    web.run("stop").expect_code(0);
}

#[test]
fn a_full_or_read_only_state_folder_stops_no_reload_status_or_stop() {
    skip_unless!(is_root() && has("unshare"), "it needs root and unshare");
    // A mount of its own that nobody else sees; what is left of it ends with its pid namespace.
    let full = "dd if=/dev/zero of=state/web/filler bs=1k 2>/dev/null";
    let read_only = "mount -o remount,ro state";
    let script = r#"mkdir state && mount -t tmpfs -o size=64k,mode=700 none state && mkdir web &&
        F=$FORERUN && $F --detach --name web --log "$PWD/web/log" --health "$URL" -- sh -c \
            "trap : HUP; '$FIXTURE' serve $PORT & p=\$!; trap 'kill \$p; exit 0' TERM; while :; do wait; done" >/dev/null || exit 9
        eval "$HARM"
        for words in reload status stop status; do "$F" $words web >said 2>&1; echo "$words $?: $(head -1 said)"; done"#;
    for (harm, what) in [(full, "full"), (read_only, "read-only")] {
        let web = Web::new();
        let mut command = Command::new("unshare");
        command.args(["-m", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "sh -c \"$0\"; exit $?"]);
        command.arg(script).current_dir(web.room.path()).env("FORERUN", env!("CARGO_BIN_EXE_forerun"));
        command.env("FIXTURE", fixture()).env("PORT", web.port.to_string()).env("HARM", harm);
        command.env("URL", format!("http://127.0.0.1:{}/", web.port)).env("FORERUN_STATE_DIR", web.room.state());
        let hit = done(&mut command);
        let said: Vec<_> = hit.stdout.lines().collect();
        assert_eq!(said.len(), 4, "{what}: {}{}", hit.stdout, hit.stderr);
        assert!(said[1].starts_with("status 0: "), "{what}: {}", hit.stdout);
        let is_fair = |line: &str| line.contains(" 0: ") || line.contains(" 73: ");
        assert!(is_fair(said[0]) && is_fair(said[2]), "{what}: {}", hit.stdout);
        let runs = said[2].contains(" 73: ");
        assert_eq!(said[3].starts_with("status 0: "), runs, "{what}: {}", hit.stdout);
        eventually(what, || !accepts(web.port));
    }
}
