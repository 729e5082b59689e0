//! Servers, how they end, and what each process that they leave is.

use super::scene::{GOOD, KILLED, Place, Scene, TERMED, Who};
use crate::instance::succession::Kind::{Background, Orphan, Remains, Successor, Successors, Unclear};

/// A server and its end.
pub type Case = (&'static str, fn(&mut Scene));

pub const CASES: &[Case] = &[
    ("nginx, upgraded, the old master ends", |s| {
        let old = nginx(s);
        let (new, worker) = upgraded_nginx(s);
        old.iter().for_each(|worker| s.exit(*worker));
        s.ends(GOOD);
        s.is(new, Successor);
        s.is(worker, Successors);
    }),
    ("nginx, killed in the middle of an upgrade", |s| {
        let old = nginx(s);
        let (new, worker) = upgraded_nginx(s);
        s.ends(KILLED);
        old.iter().for_each(|worker| s.is(*worker, Orphan));
        s.is(new, Unclear);
        s.is(worker, Unclear);
    }),
    ("nginx, killed", |s| {
        let workers = nginx(s);
        s.ends(KILLED);
        workers.iter().for_each(|worker| s.is(*worker, Orphan));
    }),
    ("nginx, puts itself into the background", |s| {
        let daemon = s.fork(s.main);
        s.setsid(daemon);
        s.listen(daemon);
        s.title(daemon);
        let workers = [s.fork(daemon), s.fork(daemon)];
        daemonized(s, daemon, &workers);
    }),
    ("gunicorn, upgraded, the old master gets SIGTERM", |s| {
        let worker = prefork(s);
        let new = s.spawn(s.main);
        let its = s.fork(new);
        s.exit(worker);
        s.ends(GOOD);
        s.is(new, Successor);
        s.is(its, Successors);
    }),
    ("gunicorn, upgraded, both masters with a title", |s| {
        let worker = prefork(s);
        s.title(s.main);
        let new = s.spawn(s.main);
        s.title(new);
        let its = s.fork(new);
        s.exit(worker);
        s.ends(GOOD);
        s.is(new, Successor);
        s.is(its, Successors);
    }),
    ("gunicorn, killed", |s| {
        let worker = prefork(s);
        s.ends(KILLED);
        s.is(worker, Orphan);
    }),
    ("unicorn, upgraded, the old master gets SIGQUIT", |s| {
        let worker = prefork(s);
        s.title(worker);
        let new = s.spawn(s.main);
        s.title(new);
        let its = [s.fork(new), s.fork(new)];
        s.exit(worker);
        s.ends(GOOD);
        s.is(new, Successor);
        its.iter().for_each(|worker| s.is(*worker, Successors));
    }),
    ("puma in a cluster, killed, with a worker that is stuck", |s| {
        let worker = prefork(s);
        s.title(worker);
        s.ends(KILLED);
        s.is(worker, Orphan);
    }),
    ("haproxy -W, executed itself, killed", |s| {
        // The master does not listen.
        let worker = s.fork(s.main);
        s.listen(worker);
        s.ready();
        s.exec(s.main);
        let new = s.fork(s.main);
        s.listen(new);
        s.exit(worker);
        s.ends(KILLED);
        s.is(new, Orphan);
    }),
    ("haproxy -W, executed itself, killed with the worker before", |s| {
        let worker = s.fork(s.main);
        s.listen(worker);
        s.ready();
        s.exec(s.main);
        let new = s.fork(s.main);
        s.listen(new);
        s.ends(KILLED);
        s.is(worker, Orphan);
        s.is(new, Orphan);
    }),
    ("php-fpm, puts itself into the background", |s| {
        let daemon = s.fork(s.main);
        s.setsid(daemon);
        s.listen(daemon);
        let workers = [s.fork(daemon), s.fork(daemon)];
        daemonized(s, daemon, &workers);
    }),
    ("redis --daemonize yes", |s| {
        let daemon = s.fork(s.main);
        s.setsid(daemon);
        s.listen(daemon);
        s.title(daemon);
        daemonized(s, daemon, &[]);
    }),
    ("pg_ctl start", |s| {
        let postmaster = s.fork(s.main);
        s.setsid(postmaster);
        s.exec(postmaster);
        s.listen(postmaster);
        let backends = [backend(s, postmaster), backend(s, postmaster)];
        daemonized(s, postmaster, &backends);
    }),
    ("PostgreSQL, killed with a busy backend", |s| {
        s.listen(s.main);
        let backend = backend(s, s.main);
        s.ready();
        s.ends(KILLED);
        s.is(backend, Orphan);
    }),
    ("PostgreSQL, killed with a backend that came later", |s| {
        s.listen(s.main);
        s.ready();
        let backend = backend(s, s.main);
        s.ends(KILLED);
        s.is(backend, Orphan);
    }),
    ("a server that starts its new version and ends", |s| {
        s.listen(s.main);
        s.ready();
        let new = s.spawn(s.main);
        s.ends(GOOD);
        s.listen(new);
        s.is(new, Successor);
    }),
    ("a server that starts its new version in a session of its own and ends", |s| {
        s.listen(s.main);
        s.ready();
        let new = s.spawn(s.main);
        s.setsid(new);
        s.ends(GOOD);
        s.listen(new);
        s.is(new, Successor);
    }),
    ("a server that executes its new version, killed with workers", |s| {
        s.listen(s.main);
        let worker = s.fork(s.main);
        s.ready();
        s.exit(worker);
        s.exec(s.main);
        let worker = s.fork(s.main);
        s.ends(KILLED);
        s.is(worker, Orphan);
    }),
    ("uvicorn --workers, killed", |s| {
        let (workers, tracker) = uvicorn(s);
        s.ready();
        s.ends(KILLED);
        workers.iter().for_each(|worker| s.is(*worker, Orphan));
        s.keeps(tracker, Background);
    }),
    ("uvicorn --workers, killed after a worker was started again", |s| {
        let (workers, tracker) = uvicorn(s);
        s.ready();
        s.exit(workers[0]);
        let later = s.spawn(s.main);
        s.ends(KILLED);
        s.is(workers[1], Orphan);
        s.keeps(later, Unclear);
        s.keeps(tracker, Background);
    }),
    ("uvicorn --reload, killed", |s| {
        s.listen(s.main);
        let server = s.spawn(s.main);
        s.ready();
        s.ends(KILLED);
        s.is(server, Orphan);
    }),
    ("uvicorn --reload, killed after it loaded again", |s| {
        s.listen(s.main);
        let server = s.spawn(s.main);
        s.ready();
        s.exit(server);
        let server = s.spawn(s.main);
        s.ends(KILLED);
        s.keeps(server, Unclear);
    }),
    ("npm start, npm killed", |s| {
        let (shell, node) = npm(s);
        s.ends(KILLED);
        s.is(shell, Remains);
        s.is(node, Remains);
    }),
    ("npm start, npm gets SIGTERM", |s| {
        let (shell, node) = npm(s);
        s.exit(shell);
        s.ends(TERMED);
        s.is(node, Remains);
    }),
    ("npm start, npm killed, with a helper of node", |s| {
        let (shell, node) = npm(s);
        let helper = s.spawn(node);
        s.close(helper);
        s.ends(KILLED);
        [shell, node, helper].iter().for_each(|process| s.is(*process, Remains));
    }),
    ("npm start, npm ends well", |s| {
        let (shell, node) = npm(s);
        s.ends(GOOD);
        s.is_unclear(node);
        s.keeps(shell, Background);
    }),
    ("sudo, killed", |s| {
        let server = s.spawn(s.main);
        s.clean(server);
        s.listen(server);
        s.ready();
        s.ends(KILLED);
        s.is(server, Remains);
    }),
    ("sudo with a terminal for its command, killed", |s| {
        let monitor = s.fork(s.main);
        s.terminal(monitor);
        let server = s.spawn(monitor);
        s.clean(server);
        s.listen(server);
        s.ready();
        s.ends(KILLED);
        s.is(monitor, Orphan);
        s.is(server, Remains);
    }),
    ("sh -c, killed", |s| {
        let server = s.spawn(s.main);
        s.listen(server);
        let worker = s.fork(server);
        s.ready();
        s.ends(KILLED);
        s.is(server, Remains);
        s.is(worker, Remains);
    }),
    ("a script that starts the server in the background and ends in the launch", |s| {
        let server = s.spawn(s.main);
        s.listen(server);
        daemonized(s, server, &[]);
    }),
    ("a script that starts the server in the background and ends later", |s| {
        let server = s.spawn(s.main);
        s.listen(server);
        s.ready();
        s.ends(GOOD);
        s.is_unclear(server);
    }),
    ("celery, killed, with a worker that is stuck", |s| {
        let worker = s.fork(s.main);
        s.ready();
        let later = s.fork(s.main);
        s.ends(KILLED);
        s.is(worker, Orphan);
        s.is(later, Orphan);
    }),
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
    ("node with a cluster, killed, with a worker that is stuck", |s| {
        s.listen(s.main);
        let worker = s.spawn(s.main);
        s.close(worker);
        s.ready();
        s.ends(KILLED);
        s.keeps(worker, Background);
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
];

/// A master with a title that listens, and two workers.
fn nginx(s: &mut Scene) -> [Who; 2] {
    s.listen(s.main);
    s.title(s.main);
    let workers = [s.fork(s.main), s.fork(s.main)];
    s.ready();
    workers
}

/// A new master with the same socket, and its worker.
fn upgraded_nginx(s: &mut Scene) -> (Who, Who) {
    let new = s.spawn(s.main);
    s.title(new);
    (new, s.fork(new))
}

/// A master that listens, and a worker.
fn prefork(s: &mut Scene) -> Who {
    s.listen(s.main);
    let worker = s.fork(s.main);
    s.ready();
    worker
}

/// Two workers that were executed and share the socket, and a helper without it.
fn uvicorn(s: &mut Scene) -> ([Who; 2], Who) {
    s.listen(s.main);
    let tracker = s.spawn(s.main);
    s.close(tracker);
    ([s.spawn(s.main), s.spawn(s.main)], tracker)
}

/// `sh -c`, and the server below it.
fn npm(s: &mut Scene) -> (Who, Who) {
    let shell = s.spawn(s.main);
    let node = s.spawn(shell);
    s.listen(node);
    s.ready();
    (shell, node)
}

/// In a session of its own, without the listening socket.
fn backend(s: &mut Scene, of: Who) -> Who {
    let backend = s.fork(of);
    s.setsid(backend);
    s.title(backend);
    s.close(backend);
    backend
}

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

/// Main ends well in the launch. Without a launcher nobody sees that: then who listens is unclear, and a server that
/// shows nothing is a stranger.
fn daemonized(s: &mut Scene, server: Who, its: &[Who]) {
    s.ends_in_launch(GOOD);
    for (at, who) in [server].iter().chain(its).enumerate() {
        match s.place() {
            Place::Own => s.is(*who, if at == 0 { Successor } else { Successors }),
            Place::Shared if !s.shows(server) => {}
            Place::Shared => s.is(*who, if s.listens(*who) { Unclear } else { Background }),
        }
    }
}
