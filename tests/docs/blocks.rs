//! A page, taken apart into its fenced blocks. The words behind the three backticks say what a test does with a block:
//!
//!     sh                runs it, line by line as a shell does; it has to end with 0
//!     sh exits-N        the same, but with N
//!     console           runs each `$ ` line, and compares what is shown with what is below; `...` stands for any lines
//!     console fresh     the same, in a folder of its own, which the blocks behind it have too: it shows again what
//!                       a block before it did
//!     sh machine        changes a machine: each line has to name a program that we know, and what it says to forerun
//!                       has to be understood
//!     console machine   the same for each `$ ` line; tests/docs/systemd.rs runs that of the README
//!     toml              is forerun.toml of the blocks behind it, and has to be understood
//!     dockerfile, yaml, ini, xml   may start forerun, which has to understand it
//!     file NAME, or LANGUAGE NAME  is written as NAME, for the blocks behind it
//!     text              is shown, and is nothing to type
//!
//! Numbers differ from run to run, so that any number is as good as any other. Ports are changed to ones that are free.
//! The blocks of one section (`##`) share a folder, a home and a state folder.

/// What is done with a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Class {
    Run { code: i32 },
    Session { fresh: bool },
    Machine,
    Config,
    Starts,
    File(String),
    Shown,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    pub class: Class,
    pub text: String,
    /// Where it is: page and line.
    pub place: String,
}

impl Class {
    /// The class that the words behind the backticks name. A test fails at any other.
    fn of(info: &str) -> Option<Class> {
        let words: Vec<_> = info.split_whitespace().collect();
        Some(match words[..] {
            ["sh"] => Class::Run { code: 0 },
            ["sh" | "console", "machine"] => Class::Machine,
            ["sh", other] => Class::Run { code: other.strip_prefix("exits-")?.parse().ok()? },
            ["console"] => Class::Session { fresh: false },
            ["console", "fresh"] => Class::Session { fresh: true },
            ["toml"] => Class::Config,
            ["dockerfile" | "yaml" | "ini" | "xml"] => Class::Starts,
            ["text"] => Class::Shown,
            ["python" | "nginx" | "js" | "file", name] => Class::File(name.to_owned()),
            _ => return None,
        })
    }
}

/// The blocks of each section of a page.
pub fn sections(page: &str, text: &str) -> Vec<Vec<Block>> {
    let mut sections = vec![Vec::new()];
    let mut open: Option<Block> = None;
    for (index, line) in text.lines().enumerate() {
        let place = format!("{page}:{}", index + 1);
        match (line.strip_prefix("```"), open.take()) {
            (Some(""), Some(block)) => sections.last_mut().expect("a section").push(block),
            (Some(info), None) => {
                let class = Class::of(info).unwrap_or_else(|| panic!("{place}: no class of block is called '{info}'"));
                open = Some(Block { class, text: String::new(), place });
            }
            (_, Some(mut block)) => {
                block.text += &format!("{line}\n");
                open = Some(block);
            }
            (None, None) => {
                if line.starts_with("## ") {
                    sections.push(Vec::new());
                }
                assert!(!line.trim_start().starts_with("```"), "{place}: a block that is indented is not found");
            }
        }
    }
    assert!(open.is_none(), "{page}: a block has no end");
    sections
}
