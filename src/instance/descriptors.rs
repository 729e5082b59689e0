#![forbid(unsafe_code)]
//! What the file descriptors of a process are, counted by kind and by path.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::sys::{Descriptor, Kind};
use crate::text::one_line;

/// A path that is open this often is named.
const NOTEWORTHY: u64 = 4;

/// Counted descriptors. Both lists are sorted, the most first.
pub struct Breakdown {
    pub open: u64,
    pub kinds: Vec<(Kind, u64)>,
    pub paths: Vec<(OsString, Kind, u64)>,
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
