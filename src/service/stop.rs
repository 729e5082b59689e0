#![forbid(unsafe_code)]
//! Validates `[stop]` and `pid-file`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use toml::Spanned;

use super::file::{Signal, StopTable, Text};
use super::wrong::Wrong;
use crate::instance::ending::Ending;
use crate::instance::record;
use crate::sys;

pub fn ending(table: &StopTable) -> Result<Ending, Wrong> {
    let default = Ending::default();
    // Nothing can act on these: SIGSTOP and SIGCONT end nothing, and SIGKILL reloads nothing.
    let signal = signal(table.signal.as_ref(), &[libc::SIGSTOP, libc::SIGCONT], "ends a server")?;
    let reload = self::signal(
        table.reload_signal.as_ref(),
        &[libc::SIGSTOP, libc::SIGCONT, libc::SIGKILL],
        "can be handled by a server",
    )?;
    if let Some(text) = table.before.as_ref().filter(|text| text.get_ref().trim().is_empty() || has_nul(text)) {
        return Err(Wrong::at(text, "before is empty or has a NUL byte"));
    }
    let timeout = table.before_timeout.as_ref();
    if let Some(timeout) = timeout.filter(|_| table.before.is_none()) {
        return Err(Wrong::at(timeout, "before-timeout has no before: before = \"a command\""));
    }
    let (before, written) = (table.before.as_ref().map(Spanned::get_ref), table.written_before.as_ref());
    let os_text = |text: &String| record::OsText::from(OsStr::new(text));
    Ok(Ending {
        signal: signal.unwrap_or(default.signal),
        reload_signal: reload.unwrap_or(default.reload_signal),
        before: written.or(before).map(os_text),
        before_runs: written.and(before).map(os_text),
        before_timeout: timeout.map_or(default.before_timeout, |timeout| timeout.get_ref().0),
        leftovers: table.leftovers.unwrap_or_default(),
    })
}

fn signal(value: Option<&Spanned<Text<Signal>>>, useless: &[i32], what: &str) -> Result<Option<i32>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let Text(Signal(number)) = *value.get_ref();
    match useless.contains(&number) {
        true => Err(Wrong::at(value, format!("{} is no signal that {what}", sys::signal_name(number)))),
        false => Ok(Some(number)),
    }
}

fn has_nul(text: &Spanned<String>) -> bool {
    text.get_ref().contains('\0')
}

pub fn pid_file(value: Option<&Spanned<PathBuf>>) -> Result<Option<PathBuf>, Wrong> {
    let Some(value) = value else { return Ok(None) };
    let bytes = value.get_ref().as_os_str().as_bytes();
    match bytes.is_empty() || bytes.contains(&0) {
        true => Err(Wrong::at(value, "pid-file is empty or has a NUL byte")),
        false => Ok(Some(value.get_ref().clone())),
    }
}
