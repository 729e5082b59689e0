//! Servers that hand over to another process, or try to.

use super::Case;
use super::scene::{GOOD, KILLED, Place, Scene, Who};
use crate::instance::succession::Relation::{Background, Orphan, Successor, Successors, Unclear};

pub const CASES: &[Case] = &[
    ("nginx, upgraded, the old master ends", |s| {
        let old = nginx(s);
        let (new, worker) = upgraded_nginx(s);
        old.iter().for_each(|worker| s.exit(*worker));
        s.ends(GOOD);
        s.is(new, Successor);
        s.is(worker, Successors);
    }),
    ("nginx, killed in the middle of an upgrade, with workers of another user", |s| {
        let old = nginx(s);
        let (new, worker) = upgraded_nginx(s);
        [old[0], old[1], worker].iter().for_each(|worker| s.hide(*worker));
        s.ends(KILLED);
        old.iter().for_each(|worker| s.keeps(*worker, Unclear));
        s.is(new, Unclear);
        s.is(worker, Unclear);
    }),
    ("nginx, killed in the middle of an upgrade", |s| {
        let old = nginx(s);
        let (new, worker) = upgraded_nginx(s);
        s.ends(KILLED);
        old.iter().for_each(|worker| s.is(*worker, Orphan));
        s.is(new, Unclear);
        s.is(worker, Unclear);
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
];

/// A master with a title that listens, and two workers.
pub fn nginx(s: &mut Scene) -> [Who; 2] {
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
pub fn prefork(s: &mut Scene) -> Who {
    s.listen(s.main);
    let worker = s.fork(s.main);
    s.ready();
    worker
}

/// In a session of its own, without the listening socket.
pub fn backend(s: &mut Scene, of: Who) -> Who {
    let backend = s.fork(of);
    s.setsid(backend);
    s.title(backend);
    s.close(backend);
    backend
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
