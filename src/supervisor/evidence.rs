#![forbid(unsafe_code)]
//! What shows that a supervisor started us.

/// How a supervisor was recognised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    pub rank: Rank,
    /// The reason, for people.
    pub reason: String,
    /// It started our parent, and not us: a start script without `exec`.
    pub of_parent: bool,
}

impl Evidence {
    /// Evidence that it started us.
    pub fn new(rank: Rank, reason: impl Into<String>) -> Self {
        Evidence { rank, reason: reason.into(), of_parent: false }
    }
}

/// How much evidence counts: the first one decides. These are the rules 3 to 6 of "Which mode" in docs/reference.md.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// A variable that only a supervised process has.
    Variable,
    /// A variable that all processes below have. It counts where there is no terminal.
    Inherited,
    /// Pid 1 of a container.
    Init,
    /// The parent's name.
    Parent,
    /// The name of the parent's parent.
    Grandparent,
}

/// Something that a person should know about the way in which a server is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remark {
    pub what: String,
    pub what_to_do: &'static str,
}

/// What `doctor` says about a recognised supervisor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// The end of a sentence.
    pub text: String,
    /// Nothing proves that it started us: the variables may be another process's.
    pub may_be_inherited: bool,
}
