#![forbid(unsafe_code)]
//! What is said of an env-file. A name that is assigned may be in it, and that of a `${NAME}`. Nothing else of the file
//! but the text of `${NAME:?text}`.

use super::lines::Lines;
use crate::service::refs;
use crate::text::one_line;

/// Why a file cannot be used. The names are those that are assigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mistake {
    Nul,
    Utf16,
    NotUtf8,
    NoName,
    BadName,
    Colon,
    NoEquals,
    Unclosed {
        name: String,
        quote: char,
    },
    /// Text after a closing quote. `begins`: where the quote opens, if that is in another line.
    AfterQuote {
        name: String,
        begins: Option<usize>,
    },
    TooLong(String),
    TooMuch,
    Reference(String, refs::Mistake),
}

/// What is odd about a file, and is used all the same. The names are those that are assigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Odd {
    /// A `#` without a blank after it leaves nothing of the value.
    Comment(String),
    Backticks(String),
    /// `\$` without quotes.
    Backslash(String),
    /// Quotes with another assignment in them.
    Swallows(String),
    /// A name alone, which nothing sets. It may be a secret that lost its name.
    Bare,
    Reference(String, refs::Note),
}

const MEANT: &str = "single quotes say that it is meant";

fn line(at: usize, lines: &Lines, (what, mend): (String, String)) -> String {
    let (line, column) = lines.place(at);
    // A name may have any length.
    format!("line {line}, column {column}: {}; {}", one_line(&what), one_line(&mend))
}

impl Mistake {
    /// Its line for a person, after the path.
    pub fn line(&self, at: usize, lines: &Lines) -> String {
        line(at, lines, self.words(lines))
    }

    fn words(&self, lines: &Lines) -> (String, String) {
        let fixed = |what: &str, mend: &str| (what.to_owned(), mend.to_owned());
        match self {
            Mistake::Nul => fixed("this byte is NUL, which no variable can have", "remove it"),
            Mistake::Utf16 => fixed("the file is UTF-16", "save it as UTF-8"),
            Mistake::NotUtf8 => fixed("this byte is not UTF-8", "save the file as UTF-8"),
            Mistake::NoName => fixed("there is no name before the \"=\"", "write NAME=VALUE"),
            Mistake::BadName => {
                fixed("this cannot be in a name", "a name has letters A to Z, digits, and _ . - after the first")
            }
            Mistake::Colon => fixed("there is no \"=\" here, but a \":\"", "write NAME=VALUE"),
            Mistake::NoEquals => fixed("there is no \"=\" here", "a value of several lines goes in quotes"),
            Mistake::Unclosed { name, quote } => {
                let mend = match quote {
                    '\'' => "a value with an apostrophe goes in double quotes",
                    _ => "write \\\" for one in the value",
                };
                (format!("nothing closes the quote of {name}"), mend.to_owned())
            }
            Mistake::AfterQuote { name, begins } => {
                let since = begins.map(|at| format!(", which opens in line {}", lines.place(at).0));
                let what = format!("this is after the closing quote of {name}{}", since.unwrap_or_default());
                (what, "put all of the value into one pair of quotes".to_owned())
            }
            Mistake::TooLong(name) => {
                let what = format!("{name} is over 131072 bytes with its name, and no program can get it");
                (what, "put it into a file of its own".to_owned())
            }
            Mistake::TooMuch => fixed("the references of the file put in more than 16 MiB", "use fewer of them"),
            Mistake::Reference(name, mistake) => reference(name, mistake),
        }
    }
}

fn reference(name: &str, mistake: &refs::Mistake) -> (String, String) {
    match mistake {
        refs::Mistake::Required { name: needed, is_empty, text } => {
            let state = if *is_empty { "is empty" } else { "is not set" };
            let mend = if text.is_empty() { "set it".to_owned() } else { text.clone() };
            (format!("{name} needs {needed}, which {state}"), mend)
        }
        refs::Mistake::TooDeep => {
            (format!("the references in {name} are more than {} deep", refs::DEEPEST), "assign them one by one".into())
        }
        // Env-files keep what is not set and what is malformed.
        refs::Mistake::Unset(_) | refs::Mistake::Malformed | refs::Mistake::TooLong => {
            (format!("{name} cannot be used"), "write it without references".into())
        }
    }
}

impl Odd {
    /// Its line for a person, after the path.
    pub fn line(&self, at: usize, lines: &Lines) -> String {
        line(at, lines, self.words())
    }

    fn words(&self) -> (String, String) {
        match self {
            Odd::Comment(name) => (
                format!("the \"#\" begins a comment, and {name} is empty"),
                "a value with a \"#\" goes in quotes".into(),
            ),
            Odd::Backticks(name) => {
                (format!("the backticks of {name} are no quotes, and stay"), "use single quotes".into())
            }
            Odd::Backslash(name) => (
                format!("the backslash before a \"$\" in {name} stays"),
                format!("double quotes take it away, {MEANT}"),
            ),
            Odd::Swallows(name) => (
                format!("the quotes of {name} have another assignment in them"),
                "close them where the value ends, if one is missing".into(),
            ),
            Odd::Bare => ("there is no \"=\" here, and nothing sets this name".into(), "write NAME=VALUE".into()),
            Odd::Reference(name, note) => note_words(name, note),
        }
    }
}

fn note_words(name: &str, note: &refs::Note) -> (String, String) {
    match note {
        refs::Note::Unset(unset) => (
            format!("{unset} in {name} is not set, and nothing is in its place"),
            format!("set it, or write ${{{unset}:-}}"),
        ),
        refs::Note::UnsetPlain => {
            (format!("the \"$\" in {name} begins the name of nothing that is set, and stays"), MEANT.into())
        }
        refs::Note::DoubleDollar => (format!("the \"$$\" in {name} stays as it is"), MEANT.into()),
        refs::Note::Malformed => (format!("the \"${{\" in {name} begins no reference, and stays"), MEANT.into()),
        refs::Note::Itself => (
            format!("{name} refers to itself, and the environment has it and wins"),
            "set it in [env], or with --env".into(),
        ),
    }
}
