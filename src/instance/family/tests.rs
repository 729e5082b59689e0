//! A property: in a million process tables of random histories the family has nobody who does not descend from main
//! since the launch, and nobody is missing whose descent can be proven.

mod history;
mod holds;
pub mod kernel;
mod launch;

use std::thread;

use history::{History, Step, World};
use kernel::{Cookie, Kernel};

use super::{Origin, find};
use crate::sys::Seen;

/// How many tables are tried.
const TABLES: usize = 1_000_000;
/// How long a history is.
const BEFORE: usize = 8;
const BETWEEN: usize = 3;
const AFTER: usize = 150;

/// Numbers that look random, and are the same each time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 16) as u32
    }

    fn steps(&mut self, count: usize) -> Vec<Step> {
        (0..count).map(|_| [self.next(), self.next(), self.next()]).collect()
    }
}

fn history(seed: u64) -> History {
    let mut numbers = Numbers(seed);
    let setting = numbers.next();
    // A container is less frequent than everything else.
    let setting = if numbers.next() % 4 == 0 { setting } else { setting & !1 };
    let (before, between) = (numbers.next() as usize % BEFORE, numbers.next() as usize % BETWEEN);
    History { setting, before: numbers.steps(before), between: numbers.steps(between), after: numbers.steps(AFTER) }
}

/// Leaves out steps as long as something is still wrong.
fn smallest(mut history: History) -> History {
    let is_wrong = |history: &History| history.play(&mut World::new(false)).is_err();
    let parts: [fn(&mut History) -> &mut Vec<Step>; 3] = [|h| &mut h.before, |h| &mut h.between, |h| &mut h.after];
    loop {
        let mut is_smaller = false;
        for part in parts {
            for at in (0..part(&mut history).len()).rev() {
                let mut shorter = history.clone();
                part(&mut shorter).remove(at);
                if is_wrong(&shorter) {
                    (history, is_smaller) = (shorter, true);
                }
            }
        }
        if !is_smaller {
            return history;
        }
    }
}

/// The smallest history in which something is wrong, for people.
fn explain(seed: u64) -> String {
    let mut world = World::new(true);
    let wrong = smallest(history(seed)).play(&mut world).expect_err("it was wrong a moment ago");
    let log = world.log.take().unwrap_or_default().join("\n");
    format!("history {seed}:\n{log}\n{}{wrong}", world.describe())
}

/// What cannot be, as far as is known, proves nothing either: a process that began before the launch, and the sidecar
/// below main.
#[test]
fn neither_what_began_before_the_launch_nor_the_sidecar_is_a_member() {
    let mut kernel = Kernel { tick: 100, ..Kernel::default() };
    let init = kernel.appear();
    let main = kernel.fork(init);
    kernel.exec(main);
    let (child, worker, other) = (kernel.fork(main), kernel.fork(main), kernel.fork(init));
    kernel.exec(child);
    kernel.tasks[worker].process.parent = 1;
    (kernel.tasks[other].cookie, kernel.tasks[other].socket) = (Cookie::Ours, 7);
    let seen = |at: usize| Seen::from(&kernel.tasks[at].process);
    let find = |launched, sidecar| {
        let origin = Origin { main: seen(main), launched, sidecar, cookie: "ours".to_owned(), ..Origin::default() };
        let found = find(&origin, &kernel.table(), &[], &kernel);
        found.all().map(Seen::from).collect::<Vec<_>>()
    };
    assert_eq!(find(100, None), [main, child, worker, other].map(seen));
    assert_eq!(find(100, Some(seen(child))), [main, worker, other].map(seen));
    assert_eq!(find(101, None), [seen(main)]);
}

#[test]
fn the_family_is_what_descends_from_main_and_nothing_else() {
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let share = TABLES.div_ceil(threads as usize);
    let play = |seed| history(seed).play(&mut World::new(false)).unwrap_or_else(|_| panic!("{}", explain(seed)));
    let try_share = |first: u64| {
        let mut seeds = (first..).step_by(threads as usize);
        let mut tried = 0;
        while tried < share {
            tried += seeds.next().map_or(share, play);
        }
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|first| scope.spawn(move || try_share(first))).collect();
        all.into_iter().for_each(|one| one.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
    });
}
