#![forbid(unsafe_code)]
//! The mode of this start: looks up the clues, and decides.

use super::clues::Clues;
use super::decide::{self, Asked, Decision, Mode};
use crate::environment::Environment;
use crate::error::Error;
use crate::text::quoted;

/// Decides the mode. `flag` is the mode that the command line or the file asks for.
///
/// # Errors
/// [`Error::Usage`] when FORERUN_FOREGROUND is none of the accepted words.
pub fn decide(flag: Option<(Mode, &'static str)>, environment: &Environment) -> Result<Decision, Error> {
    let value = environment.filled("FORERUN_FOREGROUND").unwrap_or_default();
    let variable = decide::forced(&value.to_string_lossy()).map_err(|()| {
        let expected = "expected 1, true, yes, on, 0, false, no or off";
        Error::Usage(format!("invalid FORERUN_FOREGROUND {}: {expected}", quoted(value)))
    })?;
    Ok(decide::decide(Asked { flag, variable }, &Clues::look(environment)))
}

/// Whether a supervisor started us, whatever mode was asked for.
pub fn is_recognised(environment: &Environment) -> bool {
    decide::decide(Asked::default(), &Clues::look(environment)).recognised.is_some()
}
