#![forbid(unsafe_code)]
//! Shows file descriptors by kind and by path: as a table, or as JSON.

use std::ffi::OsString;

use serde_json::{Map, Value, json};

use super::layout::{cut_middle, paragraph};
use crate::error::Error;
use crate::line::{document, print_result};
use crate::screen::{self, Screen};
use crate::text::one_line;

/// The number of paths that are shown.
const PATHS: usize = 10;
/// The column where a path begins.
const INDENT: usize = 11;
/// The descriptors of one process.
pub struct Report {
    /// The name of the instance, if it is one.
    pub name: Option<String>,
    pub pid: i32,
    /// Its pid and command, as a text.
    pub command: String,
    /// Its soft limit, if the system tells.
    pub limit: Option<u64>,
    /// How many descriptors are open.
    pub open: u64,
    /// How many of each kind, the most first.
    pub kinds: Vec<(String, u64)>,
    /// A path, its kind, and how often it is open, the most first.
    pub paths: Vec<(OsString, String, u64)>,
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
        let Report { open, kinds, paths, .. } = self;
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
        let width = kinds.iter().map(|(kind, _)| kind.len()).max().unwrap_or(0);
        kinds.iter().for_each(|(kind, count)| out += &format!("    {kind:<width$}  {count:>5}\n"));
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
        let Report { open, kinds, paths, .. } = self;
        let kinds: Map<_, _> = kinds.iter().map(|(kind, count)| (kind.clone(), json!(count))).collect();
        let path = |(path, kind, count): &(OsString, String, u64)| json!({ "path": path.to_string_lossy(), "kind": kind, "count": count });
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
