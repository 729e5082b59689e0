#![forbid(unsafe_code)]
//! Shows file descriptors by kind and by path: as a table, as JSON, or in a few words.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::layout::{cut_middle, paragraph};
use crate::error::Error;
use crate::line::{document, print_result};
use crate::screen::{self, Screen};
use crate::sys::{Descriptor, Kind};
use crate::text::one_line;

/// The number of paths that are shown.
const PATHS: usize = 10;
/// The column where a path begins.
const INDENT: usize = 11;
/// A path that is open this often is named.
const NOTEWORTHY: u64 = 4;

/// Counted descriptors. Both lists are sorted, the most first.
pub struct Breakdown {
    open: u64,
    kinds: Vec<(Kind, u64)>,
    paths: Vec<(OsString, Kind, u64)>,
}

impl Breakdown {
    pub fn of(descriptors: &[Descriptor]) -> Self {
        let (mut kinds, mut paths) = (BTreeMap::<Kind, u64>::new(), BTreeMap::<(OsString, Kind), u64>::new());
        for Descriptor { kind, what, .. } in descriptors {
            *kinds.entry(*kind).or_default() += 1;
            if let Some(path) = what {
                *paths.entry((path.clone(), *kind)).or_default() += 1;
            }
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        let mut paths: Vec<_> = paths.into_iter().map(|((path, kind), count)| (path, kind, count)).collect();
        kinds.sort_by_key(|(_, count)| Reverse(*count));
        paths.sort_by_key(|(_, _, count)| Reverse(*count));
        Breakdown { open: descriptors.len() as u64, kinds, paths }
    }

    /// The `most` largest groups in a few words. A file that is open often is named, the rest is counted by kind.
    pub fn top(&self, most: usize) -> String {
        let has_name = |kind: &Kind| matches!(kind, Kind::File | Kind::Device | Kind::Memfd | Kind::Fifo);
        let named = self.paths.iter().filter(|(_, kind, count)| *count >= NOTEWORTHY && has_name(kind));
        let mut kinds: BTreeMap<Kind, u64> = self.kinds.iter().copied().collect();
        let mut groups = Vec::new();
        for (path, kind, count) in named {
            if let Some(left) = kinds.get_mut(kind) {
                *left -= count;
            }
            let name = Path::new(path).file_name().unwrap_or(path);
            groups.push((*count, one_line(name)));
        }
        // In few words all sockets are one kind.
        let sockets = [Kind::Listening, Kind::Connected].iter().filter_map(|kind| kinds.remove(kind)).sum::<u64>();
        *kinds.entry(Kind::Socket).or_default() += sockets;
        groups.extend(kinds.iter().filter(|(_, n)| **n > 0).map(|(kind, n)| (*n, kind.counted(*n).to_owned())));
        groups.sort_by_key(|(count, _)| Reverse(*count));
        let more = if groups.len() > most { ", ..." } else { "" };
        let words: Vec<_> = groups.iter().take(most).map(|(count, name)| format!("{count} {name}")).collect();
        words.join(", ") + more
    }
}

/// The descriptors of one process.
pub struct Report {
    /// The name of the instance, if it is one.
    pub name: Option<String>,
    pub pid: i32,
    /// Its pid and command, as a text.
    pub command: String,
    /// Its soft limit, if the system tells.
    pub limit: Option<u64>,
    pub breakdown: Breakdown,
}

impl Report {
    /// Prints the report.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&self, json: bool) -> Result<(), Error> {
        let text = if json { document(self.json()) } else { self.text(&screen::stdout()) };
        print_result(text.as_bytes())
    }

    fn text(&self, screen: &Screen) -> String {
        let Breakdown { open, kinds, paths } = &self.breakdown;
        let who = match &self.name {
            Some(name) => format!("{name}, pid {}", self.pid),
            None => self.command.clone(),
        };
        let of = match self.limit {
            Some(limit) if limit > 0 => {
                format!(" of {limit} descriptors ({}%)", u128::from(*open) * 100 / u128::from(limit))
            }
            _ => " descriptors".to_owned(),
        };
        let mut out = paragraph(screen, &format!("{who}: {open}{of}")) + "  by kind\n";
        let width = kinds.iter().map(|(kind, _)| kind.to_string().len()).max().unwrap_or(0);
        kinds.iter().for_each(|(kind, count)| out += &format!("    {:<width$}  {count:>5}\n", kind.to_string()));
        if !paths.is_empty() {
            out += "  by path\n";
        }
        for (path, _, count) in paths.iter().take(PATHS) {
            let path = one_line(path);
            let shown = screen.width.map_or_else(|| path.clone(), |width| cut_middle(screen, &path, width - INDENT));
            out += &format!("    {count:>5}  {shown}\n");
        }
        if paths.len() > PATHS {
            out += &format!("           and {} more\n", paths.len() - PATHS);
        }
        out
    }

    fn json(&self) -> Value {
        let Breakdown { open, kinds, paths } = &self.breakdown;
        let kinds: Map<_, _> = kinds.iter().map(|(kind, count)| (kind.to_string(), json!(count))).collect();
        let path = |(path, kind, count): &(OsString, Kind, u64)| json!({ "path": path.to_string_lossy(), "kind": kind.to_string(), "count": count });
        json!({
            "name": self.name,
            "pid": self.pid,
            "open": open,
            "limit": self.limit,
            "kinds": kinds,
            "paths": paths.iter().map(path).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(count: usize, kind: Kind, what: Option<&str>) -> Vec<Descriptor> {
        vec![Descriptor { number: 3, kind, what: what.map(OsString::from) }; count]
    }

    #[test]
    fn the_largest_groups_come_first_and_files_have_their_names() {
        let all = [
            many(318, Kind::File, Some("/srv/web/state.db")),
            many(2, Kind::File, Some("/srv/web/log")),
            many(61, Kind::Connected, None),
            many(20, Kind::Pipe, None),
            many(1, Kind::Listening, None),
        ]
        .concat();
        let breakdown = Breakdown::of(&all);
        assert_eq!(breakdown.top(3), "318 state.db, 62 sockets, 20 pipes, ...");
        assert_eq!(breakdown.top(9), "318 state.db, 62 sockets, 20 pipes, 2 files");
        assert_eq!(Breakdown::of(&[]).top(3), "");
    }

    #[test]
    fn a_hostile_name_stays_on_its_line() {
        let all = many(9, Kind::File, Some("/a/b\nc"));
        assert_eq!(Breakdown::of(&all).top(3), "9 b\\nc");
    }
}
