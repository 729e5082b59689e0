#![forbid(unsafe_code)]
//! Counts what a server can leak: descriptors, pseudo-terminals and processes. It also counts how much of the system's
//! pool of pseudo-terminals is in use.

use std::collections::BTreeMap;
use std::time::Duration;

use super::leaks::{Gauge, Turn};
use super::plan::Plan;
use crate::check::port::describe;
use crate::instance::descriptors::Breakdown;
use crate::instance::family::{Origin, Sight, look_at};
use crate::instance::watch::Share;
use crate::sys::{self, Errand};
use crate::text::{counted, one_line};

/// The share of the system's pseudo-terminals above which a warning is given.
const POOL: Share = Share::Percent(90);
/// The number of groups in a breakdown.
const GROUPS: usize = 5;

/// One gauge for each resource.
#[derive(Default)]
pub struct Counts {
    descriptors: Gauge,
    ptys: Gauge,
    processes: Gauge,
    pool: Gauge,
    /// The warning that the descriptors cannot be counted was given.
    blind: bool,
}

/// One result of a look.
pub enum Line {
    Crossed(String),
    Recovered(String),
    /// The system's pool of pseudo-terminals is nearly used up.
    Pool(String),
    /// Something cannot be counted.
    Blind(String),
}

impl Counts {
    /// Counts everything once.
    pub fn look(&mut self, plan: &Plan, now: Duration) -> Vec<Line> {
        let looks = [self.descriptors(plan, now), self.ptys(plan, now), self.processes(plan, now), self.pool(now)];
        looks.into_iter().flatten().collect()
    }

    /// Since when the server has been over one of its limits. The system's pool does not count, because others use it
    /// too.
    pub fn over_since(&self) -> Option<Duration> {
        [&self.descriptors, &self.ptys, &self.processes].into_iter().filter_map(Gauge::over_since).min()
    }

    fn descriptors(&mut self, plan: &Plan, now: Duration) -> Option<Line> {
        let pid = plan.origin.main.pid;
        let Some((open, soft)) = sys::descriptor_count(pid) else {
            let told = std::mem::replace(&mut self.blind, true);
            let why = "this user may not count its descriptors; they are not watched";
            return (!told && sys::process(pid).is_some_and(|p| !p.zombie)).then(|| Line::Blind(why.to_owned()));
        };
        let most = soft.unwrap_or(plan.nofile.soft);
        let turn = self.descriptors.look(open, plan.watch.max_fds.is_crossed(open, Some(most)), now);
        let what = format!("{open} of {most} descriptors");
        line(turn, &what, self.descriptors.growth(open), || {
            sys::descriptors(pid).map(|all| Breakdown::of(&all).top(GROUPS)).unwrap_or_default()
        })
    }

    fn ptys(&mut self, plan: &Plan, now: Duration) -> Option<Line> {
        let (count, most) = (sys::pty_masters(plan.origin.main.pid).ok()?, plan.watch.max_ptys);
        let turn = self.ptys.look(count, Share::Count(most).is_crossed(count, None), now);
        let what = format!("{} (limit {most})", counted(count as usize, "pseudo-terminal", "pseudo-terminals"));
        line(turn, &what, self.ptys.growth(count), String::new)
    }

    fn processes(&mut self, plan: &Plan, now: Duration) -> Option<Line> {
        let most = plan.watch.max_processes;
        // A look at all processes needs memory, which goes away with a child.
        let said = Errand::start(|| census(&plan.origin).unwrap_or_default().into_bytes()).ok()?.finish();
        let said = String::from_utf8(said).ok()?;
        let (count, names) = said.split_once(' ')?;
        let count = count.parse().ok()?;
        let turn = self.processes.look(count, Share::Count(most).is_crossed(count, None), now);
        let what = format!("{} (limit {most})", counted(count as usize, "process", "processes"));
        line(turn, &what, self.processes.growth(count), || names.to_owned())
    }

    fn pool(&mut self, now: Duration) -> Option<Line> {
        let (used, most) = sys::ptys().ok()?;
        let words = format!("{used} of the system's {most} pseudo-terminals are in use");
        match self.pool.look(used, POOL.is_crossed(used, Some(most)), now) {
            Turn::None => None,
            Turn::Recovered => Some(Line::Recovered(words)),
            Turn::Crossed => {
                let holder = sys::most_ptys().map(|(pid, count)| format!("; {} holds {count}", describe(pid)));
                Some(Line::Pool(format!("{words}{}", holder.unwrap_or_default())))
            }
        }
    }
}

fn line(turn: Turn, what: &str, growth: u64, breakdown: impl FnOnce() -> String) -> Option<Line> {
    match turn {
        Turn::None => None,
        Turn::Recovered => Some(Line::Recovered(what.to_owned())),
        Turn::Crossed => {
            let breakdown = Some(breakdown()).filter(|b| !b.is_empty()).map(|b| format!(": {b}"));
            let growth = if growth > 0 { format!("; {growth} more than at first") } else { String::new() };
            Some(Line::Crossed(format!("{what}{}{growth}", breakdown.unwrap_or_default())))
        }
    }
}

/// The number of processes of the instance without main, and what most of them are.
fn census(origin: &Origin) -> Option<String> {
    let table = sys::processes().ok()?;
    let family = look_at(origin, &table, &Sight::default());
    let its_zombies = table.iter().filter(|p| p.zombie && family.has(p.parent));
    let others: Vec<_> = family.all().chain(its_zombies).filter(|p| p.pid != origin.main.pid).collect();
    let mut names = BTreeMap::<String, usize>::new();
    for process in &others {
        let name = match process.zombie {
            true => "not reaped".to_owned(),
            false => sys::process_name(process.pid).map_or_else(|| "unknown".to_owned(), |name| one_line(&name)),
        };
        *names.entry(name).or_default() += 1;
    }
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names = names.iter().take(GROUPS).map(|(name, count)| format!("{count} {name}"));
    Some(format!("{} {}", others.len(), names.collect::<Vec<_>>().join(", ")))
}
