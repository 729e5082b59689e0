#![forbid(unsafe_code)]
//! Shows the findings of `forerun doctor`.

use serde_json::json;

use super::layout::{hang, padded};
use crate::line::document;
use crate::screen::Screen;
use crate::text::counted;

/// Below this width each message is under its topic.
const NARROW: usize = 60;

/// The severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    Ok,
    Warning,
    Problem,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
        }
    }
}

/// The result of one look.
#[derive(Clone, Debug)]
pub struct Finding {
    pub topic: &'static str,
    pub level: Level,
    pub message: String,
    /// How to mend it, with a command if there is one.
    pub mend: Option<String>,
}

impl Finding {
    pub fn ok(topic: &'static str, message: impl Into<String>) -> Finding {
        Finding { topic, level: Level::Ok, message: message.into(), mend: None }
    }

    pub fn warning(topic: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { topic, level: Level::Warning, message: message.into(), mend: Some(mend.into()) }
    }

    pub fn problem(topic: &'static str, message: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding { topic, level: Level::Problem, message: message.into(), mend: Some(mend.into()) }
    }
}

fn count(findings: &[Finding], level: Level) -> usize {
    findings.iter().filter(|finding| finding.level == level).count()
}

/// The text: a line for each finding, how to mend it below, and the sum.
pub fn text(findings: &[Finding], screen: &Screen) -> String {
    let width = findings.iter().map(|finding| finding.topic.len()).max().unwrap_or_default();
    let is_narrow = screen.width.is_some_and(|columns| columns < NARROW);
    let mut out = String::new();
    for Finding { topic, level, message, mend } in findings {
        let word = padded(&screen.word(level.word()), 7);
        let beside = format!("{word}  {topic:<width$}  ");
        let below = if is_narrow { "  ".to_owned() } else { " ".repeat(width + 11) };
        if is_narrow {
            out += &format!("{}\n", beside.trim_end());
        }
        out += &hang(screen, if is_narrow { &below } else { &beside }, message);
        if let Some(mend) = mend {
            out += &hang(screen, &below, &format!("mend it: {mend}"));
        }
    }
    let problems = counted(count(findings, Level::Problem), "problem", "problems");
    let warnings = counted(count(findings, Level::Warning), "warning", "warnings");
    out + &format!("{problems}, {warnings}\n")
}

pub fn json(findings: &[Finding]) -> String {
    let list: Vec<_> = findings
        .iter()
        .map(|f| json!({ "topic": f.topic, "level": f.level.word(), "message": f.message, "mend": f.mend }))
        .collect();
    let (problems, warnings) = (count(findings, Level::Problem), count(findings, Level::Warning));
    document(json!({ "findings": list, "problems": problems, "warnings": warnings }))
}
