//! The table of servers and ends of servers, each in a session of its own and in one with strangers, each beside five
//! strangers: what every process is, and that neither a start nor a stop ends what it must not.

mod ends;
mod handovers;
mod jobs;
mod scene;
mod verdict;

use scene::{Known, Place, Scene};

/// A server and its end.
type Case = (&'static str, fn(&mut Scene));

fn cases() -> impl Iterator<Item = &'static Case> {
    handovers::CASES.iter().chain(ends::CASES).chain(jobs::CASES)
}

/// Where something is kept that could have gone. Whoever adds to this makes forerun leave more behind.
const KEPT: &[&str] = &[
    "nginx, killed in the middle of an upgrade, with workers of another user",
    "uvicorn --workers, killed",
    "uvicorn --workers, killed after a worker was started again",
    "uvicorn --workers, ends well before its workers",
    "nodemon, killed after it started node again",
    "nodemon, ends well after it started node again",
    "a main process of another user, killed",
    "uvicorn --reload, killed after it loaded again",
    "npm start, npm ends well",
    "node with a cluster, killed, with a worker that is stuck",
];

fn each(known: Known) -> Vec<String> {
    let places = [Place::Own, Place::Shared];
    let all = cases().flat_map(|case| places.map(|place| (case, place)));
    let wrong = |((name, play), place): (&Case, Place)| {
        let mut scene = Scene::new(place, known);
        play(&mut scene);
        scene.wrong().map(|why| format!("{name}, {place:?}: {why}"))
    };
    all.filter_map(wrong).collect()
}

#[test]
fn each_process_is_what_it_is() {
    let wrong = each(Known::All);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_wrong_is_ended_where_nobody_saw_the_end() {
    let wrong = each(Known::NotTheEnd);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_wrong_is_ended_where_nobody_looked() {
    let wrong = each(Known::Nothing);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn little_is_kept_that_could_have_gone() {
    let keeps = |(_, play): &&Case| {
        let mut scene = Scene::new(Place::Own, Known::All);
        play(&mut scene);
        scene.keeps_something()
    };
    let kept: Vec<&str> = cases().filter(keeps).map(|(name, _)| *name).collect();
    assert_eq!(kept, KEPT);
}
