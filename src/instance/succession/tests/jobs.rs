//! What goes on beside a server and without it: updaters, jobs, and what a person started.

use super::Case;
use super::scene::{GOOD, KILLED, Scene, Who};
use crate::instance::succession::Relation::{Background, Orphan, Unclear};

pub const CASES: &[Case] = &[
    ("an updater", |s| {
        s.listen(s.main);
        s.ready();
        let updater = s.spawn(s.main);
        s.close(updater);
        s.ends(GOOD);
        s.is(updater, Background);
    }),
    ("an updater, and main killed", |s| {
        s.listen(s.main);
        s.ready();
        let updater = s.spawn(s.main);
        s.close(updater);
        s.ends(KILLED);
        s.is(updater, Background);
    }),
    ("an updater in a session of its own", |s| {
        s.listen(s.main);
        s.ready();
        let updater = s.daemon(s.main);
        s.exec(updater);
        s.close(updater);
        s.ends(KILLED);
        s.is_persons(updater, Background);
    }),
    ("tmux from a web terminal, with a server on the port", |s| {
        let tmux = tmux(s);
        let pane = s.spawn(tmux);
        s.terminal(pane);
        let server = s.spawn(pane);
        s.ends(GOOD);
        s.listen(server);
        s.is_persons(tmux, Background);
        s.is_persons(pane, Background);
        s.is_persons(server, Unclear);
    }),
    ("tmux from a web terminal, with a server on the port, and main killed", |s| {
        let tmux = tmux(s);
        let pane = s.spawn(tmux);
        s.terminal(pane);
        let server = s.spawn(pane);
        s.ends(KILLED);
        s.listen(server);
        s.is_persons(tmux, Background);
        s.is_persons(pane, Background);
        s.is_persons(server, Unclear);
    }),
    ("tmux from a web terminal, with a server without a terminal", |s| {
        let tmux = tmux(s);
        s.ends(GOOD);
        let server = s.spawn(tmux);
        s.setsid(server);
        s.listen(server);
        s.is_persons(tmux, Background);
        s.is_persons(server, Unclear);
    }),
    ("tmux from a web terminal, with a server that was detached from a terminal", |s| {
        let tmux = tmux(s);
        let pane = s.spawn(tmux);
        s.terminal(pane);
        let server = s.spawn(pane);
        s.setsid(server);
        s.ends(GOOD);
        s.listen(server);
        s.is_persons(tmux, Background);
        s.is_persons(pane, Background);
        s.is_persons(server, Unclear);
    }),
    ("a pipeline that reads the output", |s| {
        // Nothing of the server is left, and the strangers in its session and group stay.
        s.listen(s.main);
        let worker = s.fork(s.main);
        s.ready();
        s.exit(worker);
        s.ends(KILLED);
    }),
    ("a start script with a daemon of its own, killed", |s| {
        let daemon = s.daemon(s.main);
        s.exec(daemon);
        s.exec(s.main);
        s.listen(s.main);
        let worker = s.fork(s.main);
        s.ready();
        s.ends(KILLED);
        s.is(worker, Orphan);
        s.is_persons(daemon, Background);
    }),
    ("a job that a shell of the server left", |s| {
        s.listen(s.main);
        s.ready();
        let shell = s.spawn(s.main);
        s.close(shell);
        let job = s.fork(shell);
        s.exit(shell);
        s.ends(KILLED);
        s.is(job, Background);
    }),
];

/// A tmux server that was started from a terminal of the server, which is gone.
fn tmux(s: &mut Scene) -> Who {
    s.listen(s.main);
    s.ready();
    let shell = s.spawn(s.main);
    s.close(shell);
    s.terminal(shell);
    let tmux = s.daemon(shell);
    s.exec(tmux);
    s.exit(shell);
    tmux
}
