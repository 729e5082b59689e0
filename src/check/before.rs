#![forbid(unsafe_code)]
//! The command before a stop, `[stop] before`: it drains the server, or writes down what it does.

use std::ffi::OsString;
use std::time::Duration;

use super::context::Context;
use super::exec;
use crate::line::say;
use crate::sys::Events;
use crate::text::quoted;

/// A command before a stop.
pub struct Script {
    /// As it was written.
    pub shown: OsString,
    /// What the shell gets.
    pub runs: OsString,
    pub limit: Duration,
}

/// Runs the command of the service `name`. It ends sooner, with its whole group, if a signal comes.
/// Its failure is a warning: the stop goes on.
pub fn before_stop(name: &str, script: &Script, context: &Context, events: &Events) {
    let Script { shown, runs, limit } = script;
    // What rang before is of no interest. A signal that came is.
    events.wait(None, Duration::ZERO);
    if events.signal().is_some() {
        return;
    }
    say(&format!("before the stop of {}: {}", quoted(name), quoted(shown)));
    if let Err(why) = exec::fix(runs, context, *limit, events.pipe().descriptor()) {
        log::warn!("the command before the stop of {} failed: {why}; stopping it all the same", quoted(name));
    }
}
