//! Servers that end, and leave processes behind.

use super::Case;
use super::handovers::{backend, nginx, prefork};
use super::scene::{GOOD, KILLED, Scene, TERMED, Who};
use crate::instance::succession::Relation::{Background, Orphan, Remains, Unclear};

pub const CASES: &[Case] = &[
    ("nginx, killed", |s| {
        let workers = nginx(s);
        s.ends(KILLED);
        workers.iter().for_each(|worker| s.is(*worker, Orphan));
    }),
    ("gunicorn, killed", |s| {
        let worker = prefork(s);
        s.ends(KILLED);
        s.is(worker, Orphan);
    }),
    ("puma in a cluster, killed, with a worker that is stuck", |s| {
        let worker = prefork(s);
        s.title(worker);
        s.ends(KILLED);
        s.is(worker, Orphan);
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
    ("gunicorn, ends well, with a worker that is stuck", |s| {
        let worker = prefork(s);
        s.exit(worker);
        let later = s.fork(s.main);
        s.ends(GOOD);
        s.is(later, Orphan);
    }),
    ("uvicorn --workers, ends well before its workers", |s| {
        let (workers, tracker) = uvicorn(s);
        s.ready();
        s.ends(GOOD);
        workers.iter().for_each(|worker| s.keeps(*worker, Unclear));
        s.keeps(tracker, Background);
    }),
    ("nodemon, killed after it started node again", |s| {
        let later = nodemon(s);
        s.ends(KILLED);
        s.keeps(later, Unclear);
    }),
    ("nodemon, ends well after it started node again", |s| {
        let later = nodemon(s);
        s.ends(GOOD);
        s.keeps(later, Unclear);
    }),
    ("a main process of another user, killed", |s| {
        s.hide(s.main);
        let server = s.spawn(s.main);
        s.listen(server);
        s.ready();
        s.ends(KILLED);
        s.keeps(server, Unclear);
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
    ("celery, killed, with a worker that is stuck", |s| {
        let worker = s.fork(s.main);
        s.ready();
        let later = s.fork(s.main);
        s.ends(KILLED);
        s.is(worker, Orphan);
        s.is(later, Orphan);
    }),
    ("node with a cluster, killed, with a worker that is stuck", |s| {
        s.listen(s.main);
        let worker = s.spawn(s.main);
        s.close(worker);
        s.ready();
        s.ends(KILLED);
        s.keeps(worker, Background);
    }),
];

/// Two workers that were executed and share the socket, and a helper without it.
fn uvicorn(s: &mut Scene) -> ([Who; 2], Who) {
    s.listen(s.main);
    let tracker = s.spawn(s.main);
    s.close(tracker);
    ([s.spawn(s.main), s.spawn(s.main)], tracker)
}

/// What a wrapper started in the place of the server that was there at readiness.
fn nodemon(s: &mut Scene) -> Who {
    let node = s.spawn(s.main);
    s.listen(node);
    s.ready();
    s.exit(node);
    let later = s.spawn(s.main);
    s.listen(later);
    later
}

/// `sh -c`, and the server below it.
fn npm(s: &mut Scene) -> (Who, Who) {
    let shell = s.spawn(s.main);
    let node = s.spawn(shell);
    s.listen(node);
    s.ready();
    (shell, node)
}
