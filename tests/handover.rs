//! Servers change hands: upgrades in place, servers that put themselves into the background, and main processes that are
//! killed, with a client that asks all the time and strangers beside them. What follows is the table of the reference:
//! what took over is the instance, what was left behind is ended, and nothing else is ever signalled.
//!
//! `cargo test --test handover -- --ignored --nocapture the_whole_table` tries each server in each place, with and
//! without --watch, and prints a table. `FORERUN_TEST_TABLE=PART` takes those whose name contains it.

mod common;
#[path = "supervisors/harness.rs"]
mod harness;

#[path = "handover/client.rs"]
mod client;
#[path = "handover/scene.rs"]
mod scene;
#[path = "handover/servers.rs"]
mod servers;

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

use client::{Client, Tally};
use common::process::send;
use common::{Room, accepts, alive, free_port, holds_within};
use harness::Kind;
use scene::{PLACES, Place, SOON, STRANGERS, Scene, inside};
use servers::{CASES, Case, Then};

/// What one of them came to.
#[derive(Default)]
struct Row {
    tally: Tally,
    /// Processes of the server that are there once all is over.
    left: usize,
    /// Strangers, and servers that took over, that are not there any more.
    killed: Vec<String>,
    /// What is not as it should be.
    wrong: Vec<String>,
    /// What somebody else did.
    notes: Vec<String>,
}

impl Row {
    fn note(&mut self, what: &str) {
        self.notes.push(what.to_owned());
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }
}

/// None where it cannot run here.
fn run(case: &Case, place: Place, watch: bool) -> Option<Row> {
    let (room, port) = (Room::new(), free_port());
    let server = (case.server)(&room, port)?;
    let scene = Scene::new(room, port, &server, place, watch);
    let mut row = Row::default();
    let client = Client::new(server.asks, port);
    let main = match server.pid_file {
        Some(file) => scene.daemon(file),
        None => scene.main(),
    };
    (case.act)(&scene, main);
    // systemd ends what is in a unit whose main process has ended, and starts the unit again.
    let by_systemd = place == Place::Under(Kind::Systemd) && !alive(main);
    let then = if case.then == Then::Successor && alive(main) { Then::Same } else { case.then };
    if then != case.then {
        row.note("the server itself ignores it as long as its first parent lives");
    }
    match then {
        _ if by_systemd => row.note("systemd ended the rest with the main process"),
        Then::Same => {
            row.check(alive(main), || "the main process is another".to_owned());
            is_running(&scene, &mut row, main, None);
        }
        Then::Daemon if place != Place::Detached => is_running_or_named(&scene, &mut row, main),
        Then::Daemon => is_running(&scene, &mut row, main, None),
        Then::Successor => {
            let new = scene.main();
            is_running(&scene, &mut row, new, Some(main));
        }
        Then::Hurt if place == Place::Detached => is_hurt(&scene, &mut row, watch),
        Then::Hurt => (),
    }
    let restarted = place != Place::Detached && (by_systemd || then == Then::Hurt);
    let again = restarted && serves_again(&scene, &mut row);
    row.tally = client.end();
    if !restarted && then != Then::Hurt {
        start_by_hand_leaves_it(&scene, &mut row, then);
        if case.seamless {
            let Tally { asked, lost } = row.tally;
            row.check(lost == 0 && asked > 0, || format!("{lost} of {asked} requests were lost"));
        }
    }
    let known = then == Then::Daemon && place == Place::Under(Kind::Systemd);
    is_stopped(&scene, &mut row, again || known || then == Then::Same, then == Then::Daemon);
    let strangers = scene.strangers();
    if strangers.len() != STRANGERS {
        row.killed.push(format!("{} strangers", STRANGERS - strangers.len()));
        row.wrong.push(format!("of the strangers are left: {}", scene.described(&strangers)));
    }
    Some(row)
}

/// `status` names this process, and the one before it.
fn is_running(scene: &Scene, row: &mut Row, main: i32, was: Option<i32>) {
    let known = holds_within(SOON, || scene.status().code == Some(0) && scene.status_pid() == Some(main));
    let said = scene.status();
    row.check(known, || format!("status does not say that {main} runs ({:?}): {}", said.code, said.stdout));
    // Its number inside is not known any more where it has another.
    if let Some(was) = was.filter(|_| known && scene.place != Place::Under(Kind::Systemd)) {
        row.check(said.stdout.contains(&format!("was {was}")), || {
            format!("status does not name {was}: {}", said.stdout)
        });
    }
}

/// A server that left its supervisor before anybody could look: if nothing proves whose it is, it is kept and named.
fn is_running_or_named(scene: &Scene, row: &mut Row, main: i32) {
    let known = || scene.status().code == Some(0) && scene.status_pid() == Some(main);
    if !holds_within(Duration::from_secs(3), known) {
        let said = scene.status();
        let pid = format!("pid {}", inside(main).unwrap_or_default());
        row.check(said.stdout.contains(&pid), || format!("status does not name {main}: {}", said.stdout));
        row.note("nobody was there to see that it is the server's: it is named, and kept");
    }
}

/// A start by hand says that it runs already. Everything that was there is there yet, whoever else looked.
fn start_by_hand_leaves_it(scene: &Scene, row: &mut Row, then: Then) {
    let before = scene.processes();
    let main = scene.roots();
    let said = scene.by_hand();
    let conflict = then == Then::Daemon && scene.place != Place::Detached && said.code == Some(75);
    row.check(said.code == Some(0) || conflict, || format!("a start by hand ({:?}): {}", said.code, said.stderr));
    // The supervisor's own next start, and a sidecar's next look: neither ends it, nor comes again and again.
    let gone = || main.iter().any(|pid| !alive(*pid));
    let looped = || scene.place != Place::Detached && scene.restarts() > 1;
    let bad = holds_within(Duration::from_millis(1500), || gone() || looped());
    row.check(!bad || gone(), || format!("the supervisor started it {} times more", scene.restarts()));
    let ended = before.iter().filter(|pid| !alive(**pid)).count();
    if gone() {
        row.killed.push(format!("what served, with {} more", ended - 1));
        row.wrong.push("what served was ended".to_owned());
    }
    row.check(scene.serves(), || "it does not serve after the start by hand".to_owned());
}

/// The main process was killed, and nobody starts it again by himself.
fn is_hurt(scene: &Scene, row: &mut Row, watch: bool) {
    if watch {
        // The last of a process that is gone is that its sockets are closed.
        let cleared = holds_within(SOON, || scene.processes().is_empty() && !accepts(scene.port));
        row.check(cleared, || format!("the sidecar left {}", scene.described(&scene.processes())));
    }
    let (before, serves) = (scene.processes(), accepts(scene.port));
    let said = scene.status();
    row.check(said.code == Some(1) && said.stdout.contains("not running"), || {
        format!("status ({:?}): {}", said.code, said.stdout)
    });
    row.check(!serves || said.stdout.contains("left"), || format!("status does not say what is left: {}", said.stdout));
    let said = scene.by_hand();
    row.check(said.code == Some(0) && scene.serves(), || format!("the next start ({:?}): {}", said.code, said.stderr));
    let kept: Vec<_> = before.into_iter().filter(|pid| alive(*pid)).collect();
    row.check(kept.is_empty(), || format!("the next start left {}", scene.described(&kept)));
}

/// The supervisor has started it again, once; what was before has ended. False where what was before serves on.
fn serves_again(scene: &Scene, row: &mut Row) -> bool {
    let owns = || match (scene.supervisor().pid("web"), &scene.roots()[..]) {
        (Some(pid), [root]) => inside(*root) == Some(pid),
        _ => false,
    };
    let again = holds_within(SOON, || scene.restarts() > 0 && owns() && scene.serves());
    // Without a sidecar nobody below runit sees how main ended: what is healthy and may be the server is kept.
    let serves_on =
        scene.place == Place::Under(Kind::Runit) && !scene.watch && scene.serves() && scene.log().contains("standby: ");
    if !again && serves_on {
        row.note("how main ended is not known: what serves on is kept, and the next start stands by");
        return false;
    }
    row.check(again, || {
        format!("it does not serve again: {}; the log: {}", scene.described(&scene.processes()), scene.log())
    });
    let looped = holds_within(Duration::from_millis(1500), || scene.restarts() > 1);
    row.check(!looped, || format!("{} restarts", scene.restarts()));
    true
}

/// A stop ends it all. The supervisor's own refuse and say what does it.
fn is_stopped(scene: &Scene, row: &mut Row, supervised: bool, daemon: bool) {
    let before = scene.processes();
    let roots = scene.roots();
    let said = scene.forerun(&["stop", "web"]);
    if scene.place != Place::Detached && supervised {
        let none = daemon && said.code == Some(0) && said.stdout.contains("not running");
        row.check(said.code == Some(75) || none, || format!("stop ({:?}): {}{}", said.code, said.stdout, said.stderr));
        row.check(roots.iter().all(|pid| alive(*pid)), || "stop ended it and refused".to_owned());
        return;
    }
    if scene.place != Place::Detached {
        row.check(matches!(said.code, Some(0 | 75)), || {
            format!("stop ({:?}): {}{}", said.code, said.stdout, said.stderr)
        });
        // What stood by takes over when stop, or else somebody, ends what served.
        let ended = said.stdout.contains("stopped");
        row.check(!ended || roots.iter().all(|pid| !alive(*pid)), || "stop left what it said it stopped".to_owned());
        roots.iter().filter(|pid| alive(**pid)).for_each(|pid| send(*pid, libc::SIGTERM));
        let owns = |root: &i32| inside(*root) == scene.supervisor().pid("web");
        let next = holds_within(SOON, || {
            scene.roots().iter().any(|root| !before.contains(root) && (owns(root) || daemon)) && scene.serves()
        });
        row.check(next, || format!("what stood by does not serve: {}", scene.described(&scene.processes())));
        let all = holds_within(SOON, || before.iter().all(|pid| !alive(*pid)));
        row.check(all, || format!("of the one before is left: {}", scene.described(&before)));
        return;
    }
    row.check(said.code == Some(0), || format!("stop ({:?}): {}{}", said.code, said.stdout, said.stderr));
    row.left = scene.processes().len();
    row.check(row.left == 0, || format!("stop left {}", scene.described(&scene.processes())));
    row.check(!accepts(scene.port), || "the port is still held".to_owned());
}

/// What is a test of the suite; the others are in the table.
fn holds(name: &str, place: Place, watch: bool) {
    let case = CASES.iter().find(|case| case.name == name).expect("a case");
    if let Place::Under(kind) = place {
        let missing = kind.missing();
        skip_unless!(missing.is_none(), "{kind:?}: {}", missing.unwrap_or_default());
    }
    let row = run(case, place, watch);
    skip_unless!(row.is_some(), "what '{name}' needs is not installed");
    let row = row.unwrap_or_default();
    assert!(row.wrong.is_empty(), "{name}, {place:?}: {}", row.wrong.join("\n"));
}

const RUNIT: Place = Place::Under(Kind::Runit);
const S6: Place = Place::Under(Kind::S6);
const SUPERVISORD: Place = Place::Under(Kind::Supervisord);
const SYSTEMD: Place = Place::Under(Kind::Systemd);

/// Tests of the suite: name, case, place and whether it is watched.
macro_rules! tests {
    ($($test:ident: $case:literal, $place:expr, $watch:literal;)*) => {$(
        #[test]
        fn $test() {
            holds($case, $place, $watch);
        }
    )*};
}

tests! {
    nginx_is_upgraded: "nginx (USR2, WINCH, QUIT)", Place::Detached, false;
    nginx_is_upgraded_and_watched: "nginx (USR2, WINCH, QUIT)", Place::Detached, true;
    gunicorn_is_upgraded: "gunicorn (USR2, TERM)", Place::Detached, false;
    gunicorn_is_upgraded_and_watched: "gunicorn (USR2, TERM)", Place::Detached, true;
    gunicorn_is_upgraded_under_runit: "gunicorn (USR2, TERM)", RUNIT, false;
    gunicorn_is_upgraded_under_systemd: "gunicorn (USR2, TERM)", SYSTEMD, true;
    unicorn_is_upgraded: "unicorn (USR2, QUIT)", Place::Detached, true;
    unicorn_is_upgraded_under_s6: "unicorn (USR2, QUIT)", S6, true;
    puma_restarts_its_workers_one_by_one: "puma (USR1, phased)", Place::Detached, true;
    puma_restarts: "puma (USR2)", Place::Detached, false;
    haproxy_restarts: "HAProxy -W (USR2)", Place::Detached, true;
    haproxy_restarts_under_systemd: "HAProxy -W (USR2)", SYSTEMD, true;
    php_fpm_in_the_background: "php-fpm (daemonize)", Place::Detached, false;
    php_fpm_in_the_background_under_s6: "php-fpm (daemonize)", S6, false;
    php_fpm_reloads: "php-fpm (USR2)", Place::Detached, true;
    postgresql_in_the_background: "PostgreSQL (pg_ctl start)", Place::Detached, true;
    postgresql_whose_postmaster_was_killed: "PostgreSQL (postmaster killed)", Place::Detached, false;
    postgresql_whose_postmaster_was_killed_under_runit: "PostgreSQL (postmaster killed)", RUNIT, false;
    an_update_by_spawn_and_exit: "self-update (spawn and exit)", Place::Detached, false;
    an_update_by_spawn_and_exit_that_is_watched: "self-update (spawn and exit)", Place::Detached, true;
    an_update_by_spawn_and_exit_under_supervisord: "self-update (spawn and exit)", SUPERVISORD, true;
    an_update_by_execv: "self-update (execv)", Place::Detached, true;
    an_update_by_execv_under_systemd: "self-update (execv)", SYSTEMD, false;
    npm_is_killed: "npm start (npm killed)", Place::Detached, false;
    npm_is_killed_under_supervisord: "npm start (npm killed)", SUPERVISORD, false;
    npm_is_told_to_end: "npm start (npm gets TERM)", Place::Detached, true;
    uvicorn_sees_an_edit: "uvicorn --reload (an edit)", Place::Detached, true;
    uvicorn_with_workers_is_killed: "uvicorn --workers (main killed)", Place::Detached, false;
    uvicorn_with_workers_is_killed_and_watched: "uvicorn --workers (main killed)", Place::Detached, true;
    uvicorn_with_workers_is_killed_under_s6: "uvicorn --workers (main killed)", S6, false;
    nginx_master_is_killed_under_runit: "nginx (master killed)", RUNIT, true;
    gunicorn_master_is_killed_under_supervisord: "gunicorn (master killed)", SUPERVISORD, false;
}

/// Whether the task was finished by a stop.
fn celery_finishes(watch: bool) -> Option<bool> {
    let room = Room::new();
    let server = servers::celery(&room)?;
    let scene = Scene::new(room, 0, &server, Place::Detached, watch);
    servers::celery_works(&scene, 2);
    let said = scene.forerun(&["stop", "web"]);
    assert_eq!((said.code, scene.processes().len()), (Some(0), 0), "{}{}", said.stdout, said.stderr);
    assert_eq!(scene.strangers().len(), STRANGERS);
    Some(scene.path("finished").exists())
}

#[test]
fn a_stop_lets_celery_finish_its_task() {
    let finished = celery_finishes(false);
    skip_unless!(finished.is_some(), "Celery is not installed");
    assert_eq!(finished, Some(true), "the task was lost");
}

/// Prints each server in each place as Markdown.
#[test]
#[ignore = "it takes minutes, and is for a person to read"]
fn the_whole_table() {
    let part = std::env::var("FORERUN_TEST_TABLE").unwrap_or_default();
    let wanted = |case: &&Case| case.name.contains(&part);
    let mut jobs = VecDeque::new();
    for (at, case) in CASES.iter().filter(wanted).enumerate() {
        for (place, watch) in PLACES.into_iter().flat_map(|place| [(place, false), (place, true)]) {
            jobs.push_back((at, case, place, watch));
        }
    }
    let (count, jobs, lines) = (jobs.len(), Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((at, case, place, watch)) = { jobs.lock().expect("unpoisoned").pop_front() } {
                    let place_name = match place {
                        Place::Detached => "detached".to_owned(),
                        Place::Under(kind) => format!("{kind:?}").to_lowercase(),
                    };
                    let order = (at, PLACES.iter().position(|p| *p == place), watch);
                    let cells = std::panic::catch_unwind(|| cells(case, place, watch));
                    let cells = cells.unwrap_or_else(|e| {
                        let why = e.downcast_ref::<String>().cloned().unwrap_or_default();
                        format!("- | - | - | could not be tried: {}", one_line(&why))
                    });
                    let watched = if watch { "watch" } else { "" };
                    let line = format!("| {} | {place_name} | {watched} | {cells} |", case.name);
                    eprintln!("{line}");
                    lines.lock().expect("unpoisoned").push((order, line));
                }
            });
        }
    });
    let mut lines = lines.into_inner().expect("unpoisoned");
    lines.sort();
    let mut text = "| server | place | | requests lost | processes left | killed that should not be | remarks |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    lines.iter().for_each(|(_, line)| writeln!(text, "{line}").expect("written"));
    for watch in [false, true].into_iter().filter(|_| "Celery".contains(&part)) {
        let said = match celery_finishes(watch) {
            Some(true) => "finished its running task",
            Some(false) => "LOST its running task",
            None => "not installed",
        };
        let watch = if watch { "watch" } else { "" };
        writeln!(text, "| Celery (stop) | detached | {watch} | - | 0 | none | {said} |").expect("written");
    }
    println!("{text}");
    assert_eq!(lines.len(), count);
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" / ").replace('|', "\\|")
}

fn cells(case: &Case, place: Place, watch: bool) -> String {
    if let Place::Under(kind) = place
        && let Some(missing) = kind.missing()
    {
        return format!("- | - | - | not tried: {missing}");
    }
    let Some(row) = run(case, place, watch) else { return "- | - | - | not installed".to_owned() };
    let Tally { asked, lost } = row.tally;
    let killed = if row.killed.is_empty() { "none".to_owned() } else { row.killed.join(", ") };
    let mut remarks = row.notes.clone();
    remarks.extend(row.wrong.iter().map(|wrong| format!("WRONG: {}", one_line(wrong))));
    format!("{lost} of {asked} | {} | {killed} | {}", row.left, remarks.join("; "))
}
