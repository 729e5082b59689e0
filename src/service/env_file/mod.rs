#![forbid(unsafe_code)]
//! Env-files: parsed, never executed. The parser is pure and linear in the file. No message has a value in it, or a part
//! of one.
//!
//! The contract: docs/env-files.md.

mod bytes;
mod lines;
mod parser;
mod value;
mod words;

use std::path::Path;

pub use parser::LONGEST;

use super::file;
use super::known::Known;
use crate::text::quoted;

/// The most warnings of one file. A file that is none would have as many as lines.
const MOST_WARNINGS: usize = 100;

/// Reads an env-file and assigns what it says. Returns what to warn of, in the order of the file. Nothing where the file
/// is absent and may be.
///
/// # Errors
/// The first mistake, with its place.
pub fn read(path: &Path, may_be_absent: bool, known: &mut Known) -> Result<Option<Vec<String>>, String> {
    let bytes = match file::bytes(path) {
        Err(e) if may_be_absent && e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|e| format!("cannot use the env-file {}: {e}", quoted(path)))?,
    };
    assign(path, &bytes, known).map(Some)
}

/// Assigns what the bytes of an env-file say. Returns what to warn of.
///
/// # Errors
/// As [`read`].
pub fn assign(path: &Path, bytes: &[u8], known: &mut Known) -> Result<Vec<String>, String> {
    let text = lines::normalized(bytes);
    let lines = lines::Lines::of(&text);
    let mut warnings = parser::parse(&text, known)
        .map_err(|(at, mistake)| format!("cannot use the env-file {}: {}", quoted(path), mistake.line(at, &lines)))?;
    // A comment and a value of one line can both be odd.
    warnings.sort_by_key(|(at, _)| *at);
    let more = warnings.len().saturating_sub(MOST_WARNINGS);
    warnings.truncate(MOST_WARNINGS);
    let rest =
        (more > 0).then(|| format!("in the env-file {}: {more} more of these; mend the first ones", quoted(path)));
    let line = |(at, odd): (usize, words::Odd)| format!("in the env-file {}: {}", quoted(path), odd.line(at, &lines));
    Ok(warnings.into_iter().map(line).chain(rest).collect())
}
