#![forbid(unsafe_code)]
//! Prints `forerun status`: one instance as lines, all of them as a table, or either as JSON.

mod json;
mod state;
mod text;

use super::layout::paragraph;
use crate::error::Error;
use crate::line::print_summary;
use crate::screen;

pub use state::{Condition, Health, Scope, State};

/// Prints one instance. root may get several: other users may have an instance of that name.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_one(name: &str, states: &[State], scope: &Scope, as_json: bool) -> Result<(), Error> {
    let screen = screen::stdout();
    let value = match states {
        [] => serde_json::json!({ "name": name, "state": "not running", "running": false }),
        [state] => json::one(state),
        several => json::all(several),
    };
    let shown = match states {
        [] => paragraph(&screen, &format!("{name} is {} ({})", screen.word("not running"), scope.text())),
        _ => states.iter().map(|state| text::one(state, &screen)).collect(),
    };
    print_summary(&shown, value, as_json)
}

/// Prints all instances.
///
/// # Errors
/// When stdout cannot be written.
pub fn print_all(states: &[State], scope: &Scope, as_json: bool) -> Result<(), Error> {
    print_summary(&text::all(states, scope, &screen::stdout()), json::all(states), as_json)
}
