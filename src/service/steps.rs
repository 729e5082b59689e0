#![forbid(unsafe_code)]
//! The steps before the server, `[[before]]`.

use std::ffi::OsString;
use std::time::Duration;

use super::file::StepTable;
use super::wrong::Wrong;
use crate::check::Written;

const TIMEOUT: Duration = Duration::from_secs(600);

/// A shell command that runs before the server.
#[derive(Debug)]
pub struct Step {
    pub run: OsString,
    /// As it is shown: what references gave may be a secret.
    pub shown: OsString,
    pub written: Written,
    pub timeout: Duration,
    /// Trying again cannot help where it fails.
    pub is_permanent: bool,
}

impl Step {
    /// What it is called in messages: the step as it is written, or the first line of several.
    pub fn called(&self) -> String {
        let text = self.shown.to_string_lossy();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        if lines.next().is_some() { format!("{first} ...") } else { first.to_owned() }
    }
}

/// The steps of a file, in their order.
pub fn steps(tables: &[StepTable]) -> Result<Vec<Step>, Wrong> {
    tables.iter().map(step).collect()
}

fn step(table: &StepTable) -> Result<Step, Wrong> {
    let run = table.run.get_ref();
    if run.contains('\0') {
        return Err(Wrong::at(&table.run, "the step has a NUL byte"));
    }
    if run.trim().is_empty() {
        return Err(Wrong::at(&table.run, "the step is empty; write a command: run = \"npm run migrate\""));
    }
    Ok(Step {
        run: run.into(),
        shown: table.written.check.as_ref().unwrap_or(run).into(),
        written: table.written.clone(),
        timeout: table.timeout.as_ref().map_or(TIMEOUT, |timeout| timeout.0),
        is_permanent: table.permanent.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_several_lines_is_called_by_its_first() {
        for (run, called) in [("a b", "a b"), (" a\n", "a"), ("\n\n set -e\n b\n", "set -e ..."), ("a\n\n \n", "a")] {
            let step = Step {
                run: "".into(),
                shown: run.into(),
                written: Written::default(),
                timeout: TIMEOUT,
                is_permanent: false,
            };
            assert_eq!(step.called(), called);
        }
    }
}
