#![forbid(unsafe_code)]
//! The end of a log, for the report of a server that failed. A server that writes a line for each attempt of the
//! health check would fill it: those lines are shown once, so that its own words stay in sight.

use std::collections::HashMap;

use console::{AnsiCodeIterator, strip_ansi_codes};

use crate::text::one_line;

/// How many lines are shown.
const LINES: usize = 20;
/// Lines about requests are shown once from this many requests on.
const ALIKE: usize = 5;

/// What to show of a log, safe to print. `path`: that of the health URL, which says which lines are about our own
/// requests. `color`: whether the log's own colors are shown.
pub fn of(log: &[u8], path: Option<&str>, color: bool) -> Vec<String> {
    let log = String::from_utf8_lossy(log);
    // A progress bar writes over its line again and again: what it wrote last counts.
    let last = |line: &'_ str| -> usize { line.trim_end_matches('\r').rfind('\r').map_or(0, |at| at + 1) };
    let lines = log.trim_end().lines().map(|line| &line[last(line)..]);
    let lines: Vec<_> = lines.map(|line| (line, shape(line, path))).collect();
    let mut seen = HashMap::<&Shape, (usize, usize)>::new();
    for (at, (_, shape)) in lines.iter().enumerate() {
        let (count, last) = seen.entry(shape).or_default();
        (*count, *last) = (*count + 1, at);
    }
    let requests = seen.get(&Shape::Request).map_or(0, |(count, _)| *count);
    // A server may say more than a line of each request; the last may not be complete.
    let is_of_requests = |count: usize| requests >= ALIKE && count + 1 >= requests;
    let show = |(at, (line, shape)): (usize, &(&str, Shape))| match seen[shape] {
        (count, last) if is_of_requests(count) => {
            (at == last).then(|| format!("{}  ({count} lines like this)", printable(line, color)))
        }
        _ => Some(printable(line, color)),
    };
    // A line of nothing but codes is empty once they are gone.
    let is_text = |line: &String| !strip_ansi_codes(line).trim().is_empty();
    let shown: Vec<_> = lines.iter().enumerate().filter_map(show).filter(is_text).collect();
    shown[shown.len().saturating_sub(LINES)..].to_vec()
}

/// What lines that are alike have in common.
#[derive(PartialEq, Eq, Hash)]
enum Shape {
    /// A line about a request of ours.
    Request,
    /// The line without its numbers, which are times, pids and counts of requests.
    Line(String),
}

fn shape(line: &str, path: Option<&str>) -> Shape {
    let goes_on = |c: char| c.is_alphanumeric() || "/-_.".contains(c);
    let has = |word: &str| line.split(word).skip(1).any(|rest| !rest.starts_with(goes_on));
    // In a log that is JSON the path is a text of its own. What a server says about the path is no request.
    let asks = |path: &str| has(&format!("GET {path}")) || line.contains(&format!("\"{path}\""));
    if line.contains(concat!("forerun/", env!("CARGO_PKG_VERSION"))) || path.is_some_and(asks) {
        return Shape::Request;
    }
    let mut without_numbers = String::new();
    for c in line.chars() {
        match c.is_ascii_digit() {
            true if without_numbers.ends_with('#') => {}
            true => without_numbers.push('#'),
            false => without_numbers.push(c),
        }
    }
    Shape::Line(without_numbers)
}

/// A line without what a terminal would take for a command; its colors stay where they are shown.
fn printable(line: &str, color: bool) -> String {
    let mut has_color = false;
    let mut shown = String::new();
    for (part, is_code) in AnsiCodeIterator::new(line.trim_end()) {
        match is_code {
            true if color && is_color(part) => {
                has_color = true;
                shown.push_str(part);
            }
            true => {}
            false => shown.push_str(&one_line(part)),
        }
    }
    if has_color {
        shown.push_str("\u{1b}[0m");
    }
    shown
}

/// Whether a code only changes how text looks (SGR of ECMA-48).
fn is_color(code: &str) -> bool {
    let parameters = code.strip_prefix("\u{1b}[").and_then(|rest| rest.strip_suffix('m'));
    parameters.is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_repeat_do_not_push_out_the_servers_own_words() {
        let mut log = "warning: no database configured\n".to_owned();
        for second in 0..40 {
            log += &format!("127.0.0.1 - - [28/Nov/2026 21:00:{second:02}] code 404, message File not found\n");
            log += &format!("127.0.0.1 - - [28/Nov/2026 21:00:{second:02}] \"GET /health HTTP/1.1\" 404 -\n");
        }
        log += "still here\n";
        let shown = of(log.as_bytes(), Some("/health"), false);
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert_eq!((shown[0].as_str(), shown[3].as_str()), ("warning: no database configured", "still here"));
        assert!(shown[2].contains("GET /health") && shown[2].ends_with("(40 lines like this)"), "{}", shown[2]);
    }

    #[test]
    fn only_our_own_requests_are_alike_whatever_else_they_say() {
        for (line, path, ours) in [
            ("a GET /health HTTP/1.1 200 x", "/health", true),
            ("b \"GET /health?deep=1\" 503", "/health", true),
            ("GET /healthy", "/health", false),
            ("GET /health/db", "/health", false),
            ("GET / HTTP/1.1", "/", true),
            ("GET /a", "/", false),
            ("FATAL: /health: cannot open the database", "/health", false),
            ("ERROR handler of /health failed", "/health", false),
            ("{\"path\":\"/health\",\"status\":500}", "/health", true),
            ("x GET /other forerun/", "/health", false),
        ] {
            assert_eq!(shape(line, Some(path)) == Shape::Request, ours, "{line}");
        }
    }

    #[test]
    fn the_last_lines_are_shown_and_none_where_there_are_none() {
        let log: String = (b'a'..=b'z').map(|letter| format!("{}\n", char::from(letter))).collect();
        let shown = of(log.as_bytes(), None, false);
        assert_eq!((shown.len(), shown[0].as_str(), shown[19].as_str()), (20, "g", "z"));
        let numbered: String = (1..=30).map(|number| format!("line {number}\n")).collect();
        assert_eq!(of(numbered.as_bytes(), Some("/"), false).len(), 20);
        let bar: String = (0..100).map(|percent| format!("\rloading {percent}%")).collect();
        assert_eq!(of(format!("{bar}\rERROR: disk full\r\n").as_bytes(), None, false), ["ERROR: disk full"]);
        let codes = format!("FATAL: no config\n{}", "\u{1b}[0m\n".repeat(30));
        assert_eq!(of(codes.as_bytes(), None, false), ["FATAL: no config"]);
        assert_eq!(of(codes.as_bytes(), None, true), ["FATAL: no config"]);
        assert!(of(b"", None, false).is_empty() && of(b"\n\n", None, false).is_empty());
    }

    #[test]
    fn colors_are_kept_or_left_out_and_nothing_else_reaches_the_terminal() {
        let log = b"\x1b[33mwatching\x1b[0m \x1b]0;title\x07\x1b[2Jx\x08";
        assert_eq!(of(log, None, false), ["watching x\\u{8}"]);
        assert_eq!(of(log, None, true), ["\u{1b}[33mwatching\u{1b}[0m x\\u{8}\u{1b}[0m"]);
    }
}
