#![forbid(unsafe_code)]
//! How closely the values of forerun.toml are looked at.

/// How far a value is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// A string may become anything.
    BeforeReplacing,
    Whole,
}

impl Strictness {
    /// Whether the value is not known yet.
    pub fn awaits(self, text: &str) -> bool {
        self == Strictness::BeforeReplacing && text.contains("${")
    }
}
