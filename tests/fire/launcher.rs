//! The launcher and the server before its execve: each of their calls fails in turn, and they are killed at each of them.

use std::path::Path;

use super::tracer::{Fault, Role, run};
use super::{START, Web, ended_well, errors, sample};
use crate::common::{Done, alive, eventually};

/// A fault that a kernel cannot make: these calls end a process or a handler, or are of a process that has no other
/// thread and no such number in use, or need nothing.
fn cannot_fail(call: i64) -> bool {
    const NEVER: [i64; 9] = [
        libc::SYS_close_range,
        libc::SYS_exit_group,
        libc::SYS_exit,
        libc::SYS_rt_sigreturn,
        libc::SYS_setsid,
        libc::SYS_dup2,
        libc::SYS_dup3,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
    ];
    NEVER.contains(&call)
}

/// The control groups of services of this name.
fn groups() -> Vec<std::path::PathBuf> {
    let in_place = |mount: &str| std::fs::read_dir(mount).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().flat_map(in_place);
    all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("forerun-web-"))).collect()
}

/// Of a web with this record, its own group.
fn group(web: &Web) -> Option<String> {
    web.room.record("web")["own_group"].as_str().map(str::to_owned)
}

/// Either the server runs and is recorded, or nothing is left.
#[track_caller]
fn is_one_or_none(web: &Web, hit: &Done, after: &str) {
    ended_well(hit, after);
    if hit.code == Some(0) {
        assert!(hit.stdout.contains("web"), "{after}: {}", hit.stdout);
        let server = web.pid();
        assert_eq!(web.left(), [server], "{after}");
        assert_eq!(web.room.record("web")["phase"], "running", "{after}");
        web.serves(after);
        assert_eq!(web.pid(), server, "{after}");
        let own = group(web);
        web.stops(after);
        let is_its = |path: &std::path::PathBuf| own.as_deref().is_some_and(|own| path.ends_with(Path::new(&own[1..])));
        assert!(!groups().iter().any(is_its), "{after}: {own:?}");
        return;
    }
    assert_eq!(errors(hit).len(), 1, "{after}: {:?} {}", hit.code, hit.stderr);
    // The kernel may need a moment for what forerun has killed and nobody reaps.
    eventually(&format!("{after}: nothing is left: {}", hit.stderr), || web.left().is_empty());
    let record = web.room.state().join("web/record.json");
    assert!(!record.exists(), "{after}: {}", hit.stderr);
}

/// All calls of a process, in their order.
fn calls(who: Role) -> Vec<i64> {
    let web = Web::new();
    let (hit, made) = run(&mut web.command(START), who, usize::MAX, Fault::Killed);
    hit.expect_code(0);
    web.stops("nothing");
    assert!(made.len() > 5, "{made:?}");
    made
}

fn is_hit_at_each_call(who: Role, count: usize, faults: &[Fault]) {
    let made = calls(who);
    let may = |(call, fault): &(usize, Fault)| matches!(fault, Fault::Killed) || !cannot_fail(made[*call - 1]);
    let all = (1..=made.len()).flat_map(|call| faults.iter().map(move |fault| (call, *fault))).filter(may).collect();
    let web = Web::new();
    for (call, fault) in sample(all, count) {
        let (hit, _) = run(&mut web.command(START), who, call, fault);
        is_one_or_none(&web, &hit, &format!("{who:?}, call {call} (number {}), {fault:?}", made[call - 1]));
    }
    web.serves("all faults");
    let server = web.pid();
    web.stops("all faults");
    assert!(!alive(server));
}

const ERRORS: [Fault; 4] =
    [Fault::Fails(libc::EMFILE), Fault::Fails(libc::EAGAIN), Fault::Fails(libc::ENOMEM), Fault::Fails(libc::EINTR)];

#[test]
fn a_launcher_that_is_killed_at_a_call_leaves_one_server_or_nothing() {
    is_hit_at_each_call(Role::Launcher, 10, &[Fault::Killed]);
}

#[test]
fn a_server_that_is_killed_before_it_is_executed_leaves_nothing() {
    is_hit_at_each_call(Role::Server, 6, &[Fault::Killed]);
}

#[test]
fn a_launcher_whose_calls_fail_leaves_one_server_or_nothing() {
    is_hit_at_each_call(Role::Launcher, 10, &ERRORS);
}

#[test]
fn a_server_whose_calls_fail_before_it_is_executed_leaves_one_server_or_nothing() {
    is_hit_at_each_call(Role::Server, 8, &ERRORS);
}
