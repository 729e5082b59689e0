#![forbid(unsafe_code)]
//! What stdout and stderr are like: how wide, and whether they show colors. All texts for people ask here.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use console::{Style, Term};

use crate::environment::Environment;

/// The width of a terminal that does not say.
const USUAL: usize = 80;
/// Nothing is readable in less.
const NARROWEST: usize = 20;

/// Where a text goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Screen {
    /// In columns. Nothing: lines have no end, which is what scripts want.
    pub width: Option<usize>,
    pub color: bool,
    /// It shows more than ASCII.
    pub utf8: bool,
}

/// What a colored word tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    Good,
    /// Look at it.
    Notable,
    Bad,
    /// Of no interest now.
    Faint,
}

const PLAIN: Screen = Screen { width: None, color: false, utf8: false };

static SCREENS: OnceLock<[Screen; 2]> = OnceLock::new();

/// When results and lines have colors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colors {
    /// On a terminal that shows them.
    #[default]
    Auto,
    Always,
    Never,
}

/// Looks at stdout and stderr, once.
pub fn init(environment: &Environment, color: Colors) {
    let utf8 = is_utf8(environment);
    let screen = |is_terminal: bool, term: &Term| {
        let columns = || term.size_checked().map(|(_, columns)| columns);
        let width = width(is_terminal, columns, environment);
        Screen { width, color: wants_color(color, environment, is_terminal), utf8 }
    };
    SCREENS.get_or_init(|| {
        [screen(io::stdout().is_terminal(), &Term::stdout()), screen(io::stderr().is_terminal(), &Term::stderr())]
    });
}

/// Where results go.
pub fn stdout() -> Screen {
    SCREENS.get().map_or(PLAIN, |[stdout, _]| *stdout)
}

/// Where lines go. A sidecar has not looked, and writes plain text.
pub fn stderr() -> Screen {
    SCREENS.get().map_or(PLAIN, |[_, stderr]| *stderr)
}

/// By https://no-color.org and http://bixense.com/clicolors. The flag comes first.
fn wants_color(flag: Colors, environment: &Environment, is_terminal: bool) -> bool {
    let is = |name: &str, value: &str| environment.get(name).is_some_and(|v| v == value);
    match flag {
        Colors::Always => true,
        Colors::Never => false,
        Colors::Auto if environment.filled("NO_COLOR").is_some() => false,
        Colors::Auto if environment.filled("CLICOLOR_FORCE").is_some() && !is("CLICOLOR_FORCE", "0") => true,
        Colors::Auto => {
            let has_terminfo = environment.filled("TERM").is_some() && !is("TERM", "dumb");
            is_terminal && has_terminfo && !is("CLICOLOR", "0")
        }
    }
}

fn width(is_terminal: bool, columns: impl FnOnce() -> Option<u16>, environment: &Environment) -> Option<usize> {
    let given = || environment.get("COLUMNS")?.to_str()?.parse().ok().filter(|&columns| columns > 0);
    let width = match is_terminal {
        true => Some(columns().filter(|&columns| columns > 0).map_or(USUAL, usize::from)),
        false => given(),
    };
    width.map(|width| width.max(NARROWEST))
}

fn is_utf8(environment: &Environment) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| environment.filled(name));
    locale.is_some_and(|l| l.to_string_lossy().to_ascii_lowercase().replace('-', "").contains("utf8"))
}

/// What the words of reports tell.
fn tone(word: &str) -> Option<Tone> {
    Some(match word {
        "ok" | "running" | "healthy" => Tone::Good,
        "starting" | "stopping" | "warning" => Tone::Notable,
        "unhealthy" | "not healthy" | "unknown" | "problem" | "FAILED" => Tone::Bad,
        "not running" => Tone::Faint,
        _ => return None,
    })
}

impl Screen {
    /// Colors a text, where colors are shown.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Good => Style::new().green(),
            Tone::Notable => Style::new().yellow(),
            Tone::Bad => Style::new().red(),
            Tone::Faint => Style::new().dim(),
        };
        style.force_styling(self.color).apply_to(text).to_string()
    }

    /// Colors a word that stands for a state; other words stay as they are.
    pub fn word(&self, word: &str) -> String {
        tone(word).map_or_else(|| word.to_owned(), |tone| self.paint(tone, word))
    }

    /// What stands for the part of a text that was cut out.
    pub fn ellipsis(&self) -> &'static str {
        if self.utf8 { "…" } else { "..." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(Into::into).collect())
    }

    #[test]
    fn the_flag_beats_the_environment_and_no_color_the_rest() {
        let with = |flag, is_terminal, entries: &[&str]| wants_color(flag, &environment(entries), is_terminal);
        for (flag, is_terminal, entries, wanted) in [
            (Colors::Auto, true, &["TERM=xterm"][..], true),
            (Colors::Auto, false, &["TERM=xterm"], false),
            (Colors::Auto, true, &[], false),
            (Colors::Auto, true, &["TERM=dumb"], false),
            (Colors::Auto, true, &["TERM=xterm", "NO_COLOR=1"], false),
            (Colors::Auto, true, &["TERM=xterm", "NO_COLOR="], true),
            (Colors::Auto, true, &["TERM=xterm", "CLICOLOR=0"], false),
            (Colors::Auto, false, &["CLICOLOR_FORCE=1"], true),
            (Colors::Auto, false, &["CLICOLOR_FORCE=0"], false),
            (Colors::Auto, false, &["CLICOLOR_FORCE="], false),
            (Colors::Auto, true, &["TERM=dumb", "CLICOLOR=0", "CLICOLOR_FORCE=1"], true),
            (Colors::Auto, true, &["TERM=xterm", "CLICOLOR_FORCE=1", "NO_COLOR=0"], false),
            (Colors::Always, false, &["NO_COLOR=1", "TERM=dumb"], true),
            (Colors::Never, true, &["TERM=xterm", "CLICOLOR_FORCE=1"], false),
        ] {
            assert_eq!(with(flag, is_terminal, entries), wanted, "{flag:?} {is_terminal} {entries:?}");
        }
    }

    #[test]
    fn a_terminal_says_how_wide_it_is_and_a_pipe_is_told_by_columns() {
        let with = |is_terminal, columns, entries: &[&str]| width(is_terminal, || columns, &environment(entries));
        for (is_terminal, columns, entries, wide) in [
            (true, Some(120), &["COLUMNS=60"][..], Some(120)),
            (true, Some(0), &[], Some(80)),
            (true, None, &[], Some(80)),
            (true, Some(3), &[], Some(20)),
            (false, None, &[], None),
            (false, None, &["COLUMNS=60"], Some(60)),
            (false, None, &["COLUMNS=0"], None),
            (false, None, &["COLUMNS=wide"], None),
        ] {
            assert_eq!(with(is_terminal, columns, entries), wide, "{is_terminal} {columns:?} {entries:?}");
        }
    }

    #[test]
    fn only_words_that_stand_for_a_state_have_a_color() {
        let screen = Screen { color: true, ..PLAIN };
        assert_eq!(screen.word("healthy"), "\u{1b}[32mhealthy\u{1b}[0m");
        assert_eq!(screen.word("-"), "-");
        assert_eq!(PLAIN.word("healthy"), "healthy");
    }
}
