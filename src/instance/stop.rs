#![forbid(unsafe_code)]
//! Stopping an instance: SIGTERM, the grace, SIGKILL, to each of its processes and to nothing else.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::members::members;
use crate::sys::{self, Caught, ExitWatch, Process, Wake};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// How often the table of processes is read while they end.
const TICK: Duration = Duration::from_millis(20);
/// How long after SIGKILL a process is waited for that the kernel does not let go of (a dead disk).
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Stops `main`, a child of ours or the main process of a record that was just verified, and its instance.
/// Returns what is left of it: nothing, but for what even SIGKILL does not end. A further signal to forerun
/// ends the grace.
pub fn stop(main: Process, grace: Duration, wake: &Arc<Wake>, signals: &Caught) -> Vec<Process> {
    let signals_before = signals.count();
    let started = Instant::now();
    let (mut terminated, mut killed) = (HashSet::new(), HashSet::new());
    let mut known = HashSet::new();
    let mut kill_from = None;
    loop {
        let _ = sys::wait_for(main.pid);
        let table = sys::processes();
        // Once seen, a member stays one: when its parent dies first, nothing else says so.
        known.extend(alive(members(&table, &main, std::process::id() as i32), main).map(|p| (p.pid, p.start)));
        let left: Vec<_> = table.into_iter().filter(|p| !p.zombie && known.contains(&(p.pid, p.start))).collect();
        if left.is_empty() || kill_from.is_some_and(|at: Instant| at.elapsed() > AFTER_KILL) {
            return left;
        }
        if kill_from.is_none() && (started.elapsed() >= grace || signals.count() > signals_before) {
            kill_from = Some(Instant::now());
        }
        let (signal, done) = if kill_from.is_some() { (SIGKILL, &mut killed) } else { (SIGTERM, &mut terminated) };
        for process in left {
            if done.insert((process.pid, process.start)) {
                send(process, signal);
            }
        }
        wake.wait(None, TICK);
    }
}

/// Where `main` is gone, its number may be somebody else's by now, and that one's family with it.
fn alive(found: Vec<Process>, main: Process) -> impl Iterator<Item = Process> {
    let recycled = found.iter().any(|p| p.pid == main.pid && p.start != main.start);
    found.into_iter().filter(move |p| !p.zombie && !recycled)
}

/// Signals one process: the watch is opened first, then the process is looked at again.
fn send(process: Process, signal: i32) {
    let watch = ExitWatch::new(process.pid);
    if sys::process(process.pid).is_some_and(|now| now.start == process.start) {
        watch.signal(signal);
    }
}
