//! What is made of what a server left, and what is wrong with that.

use super::scene::{Known, Scene, Who};
use crate::instance::family::{Family, Origin, find};
use crate::instance::succession::{End, Relation, View, classify};
use crate::sys::{Process, Seen};

impl Scene {
    fn listening(&self, family: &Family) -> Vec<i32> {
        let holds = |p: &&Process| self.kernel.find((*p).into()).is_some_and(|t| t.socket != 0);
        family.all().filter(holds).map(|p| p.pid).collect()
    }

    fn relations(&self, supervised: bool) -> Vec<(Process, Relation)> {
        let table = self.kernel.table();
        let family = find(&self.origin, &table, &[], &self.kernel);
        let ended = self.ended.filter(|_| self.known == Known::All || self.in_launch);
        classify(&View {
            origin: &self.origin,
            family: &family,
            table: &table,
            listening: &self.listening(&family),
            main_listened: self.main_listened,
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
            let relations = self.relations(supervised);
            let tell = |what: String| Some(format!("{what}; supervised: {supervised}; {relations:#?}"));
            if self.known == Known::All || self.in_launch {
                let is =
                    |who: &Who| relations.iter().find(|(p, _)| Seen::from(p) == *who).map(|(_, relation)| *relation);
                if let Some((who, relation)) = self.expected.iter().find(|(who, relation)| is(who) != Some(*relation)) {
                    return tell(format!("pid {} is {:?} and not {relation:?}", who.pid, is(who)));
                }
            }
            let said = |p: &Process| self.expected.iter().any(|(who, _)| *who == Seen::from(p));
            if let Some((p, relation)) = relations.iter().find(|(p, _)| !said(p)) {
                return tell(format!("pid {} is a stranger, and not {relation:?}", p.pid));
            }
            // A start and a sidecar end these.
            let goes =
                relations.iter().filter(|(_, relation)| matches!(relation, Relation::Orphan | Relation::Remains));
            let by_a_loop = supervised && self.known == Known::NotTheEnd;
            let may_go =
                |p: &Process| self.spent.contains(&p.into()) || by_a_loop && self.in_a_loop.contains(&p.into());
            if let Some((p, _)) = goes.into_iter().find(|(p, _)| !may_go(p)) {
                return tell(format!("a start would end pid {}", p.pid));
            }
            let successor = relations.iter().find(|(_, relation)| *relation == Relation::Successor).map(|(p, _)| *p);
            let stopped = self.stopped(successor);
            if let Some(p) = stopped.iter().find(|p| self.persons.contains(&(*p).into())) {
                return tell(format!("a stop would end pid {}, which is a person's", p.pid));
            }
            let mut its =
                relations.iter().filter(|(_, relation)| matches!(relation, Relation::Successor | Relation::Successors));
            let missing = its.find(|(p, _)| !stopped.contains(p));
            missing.and_then(|(p, _)| tell(format!("a stop would leave pid {} of the server that took over", p.pid)))
        })
    }

    /// What `forerun stop` ends: the family of the server that took over, or all that is left.
    fn stopped(&self, successor: Option<Process>) -> Vec<Process> {
        let origin = match successor {
            Some(p) => {
                let origin = Origin {
                    main: (&p).into(),
                    session: p.session,
                    earlier_children: Vec::new(),
                    ..self.origin.clone()
                };
                self.kernel.looked(&origin, false)
            }
            None => self.origin.clone(),
        };
        find(&Origin { launcher: None, ..origin }, &self.kernel.table(), &[], &self.kernel).members
    }
}
