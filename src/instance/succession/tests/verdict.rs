//! What is made of what a server left, and what is wrong with that.

use super::scene::{Known, Scene, Who};
use crate::instance::family::{Family, Origin, find};
use crate::instance::succession::{End, Kind, View, classify};
use crate::sys::{Process, Seen};

impl Scene {
    fn listening(&self, family: &Family) -> Vec<i32> {
        let holds = |p: &&Process| self.kernel.find((*p).into()).is_some_and(|t| t.socket != 0);
        family.all().filter(holds).map(|p| p.pid).collect()
    }

    fn kinds(&self, supervised: bool) -> Vec<(Process, Kind)> {
        let table = self.kernel.table();
        let family = find(&self.origin, &table, &[], &self.kernel);
        let ended = self.ended.filter(|_| self.known == Known::All || self.in_launch);
        classify(&View {
            origin: &self.origin,
            family: &family,
            table: &table,
            listening: &self.listening(&family),
            main_listened: self.was_seen.then_some(self.main_listened),
            was_seen: self.was_seen,
            end: End::from(ended.map(|(how, _)| how)),
            ended: ended.map(|(_, at)| at),
            in_launch: self.in_launch,
            supervised,
        })
    }

    /// What is wrong. With everything known, each process is what was said. Otherwise more may be kept.
    pub fn wrong(&self) -> Option<String> {
        [false, true].into_iter().find_map(|supervised| {
            let kinds = self.kinds(supervised);
            let tell = |what: String| Some(format!("{what}; supervised: {supervised}; {kinds:#?}"));
            if self.known == Known::All || self.in_launch {
                let is = |who: &Who| kinds.iter().find(|(p, _)| Seen::from(p) == *who).map(|(_, kind)| *kind);
                if let Some((who, kind)) = self.expected.iter().find(|(who, kind)| is(who) != Some(*kind)) {
                    return tell(format!("pid {} is {:?} and not {kind:?}", who.pid, is(who)));
                }
            }
            let said = |p: &Process| self.expected.iter().any(|(who, _)| *who == Seen::from(p));
            if let Some((p, kind)) = kinds.iter().find(|(p, _)| !said(p)) {
                return tell(format!("pid {} is a stranger, and not {kind:?}", p.pid));
            }
            // A start and a sidecar end these.
            let goes = kinds.iter().filter(|(_, kind)| matches!(kind, Kind::Orphan | Kind::Remains));
            let by_a_loop = supervised && self.known == Known::NotTheEnd;
            let may_go =
                |p: &Process| self.spent.contains(&p.into()) || by_a_loop && self.in_a_loop.contains(&p.into());
            if let Some((p, _)) = goes.into_iter().find(|(p, _)| !may_go(p)) {
                return tell(format!("a start would end pid {}", p.pid));
            }
            let successor = kinds.iter().find(|(_, kind)| *kind == Kind::Successor).map(|(p, _)| *p);
            let stopped = self.stopped(successor);
            if let Some(p) = stopped.iter().find(|p| self.persons.contains(&(*p).into())) {
                return tell(format!("a stop would end pid {}, which is a person's", p.pid));
            }
            let mut its = kinds.iter().filter(|(_, kind)| matches!(kind, Kind::Successor | Kind::Successors));
            let missing = its.find(|(p, _)| !stopped.contains(p));
            missing.and_then(|(p, _)| tell(format!("a stop would leave pid {} of the server that took over", p.pid)))
        })
    }

    /// What `forerun stop` ends: the family of the server that took over, or all that is left.
    fn stopped(&self, successor: Option<Process>) -> Vec<Process> {
        let origin = match successor {
            Some(p) => {
                let origin =
                    Origin { main: (&p).into(), session: p.session, before: Vec::new(), ..self.origin.clone() };
                self.kernel.looked(&origin, false)
            }
            None => self.origin.clone(),
        };
        find(&Origin { launcher: None, ..origin }, &self.kernel.table(), &[], &self.kernel).members
    }
}
