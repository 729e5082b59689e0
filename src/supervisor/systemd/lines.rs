#![forbid(unsafe_code)]
//! The lines of a unit of systemd (systemd.syntax(7)).

/// The lines of a unit.
#[derive(Default)]
pub struct Lines(pub String);

impl Lines {
    pub fn say(&mut self, comment: &str) {
        comment.lines().for_each(|line| self.0 += &format!("# {}\n", line.trim_start()));
    }

    pub fn section(&mut self, name: &str) {
        self.0 += &format!("\n[{name}]\n");
    }

    /// A setting, below a comment with its reason.
    pub fn set(&mut self, why: &str, key: &str, value: &str) {
        self.say(why);
        self.0 += &format!("{key}={value}\n");
    }
}
