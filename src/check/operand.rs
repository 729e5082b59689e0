#![forbid(unsafe_code)]
//! What is after the colon of a spec.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::text::{quoted, whole_number};

/// The operand of a check.
pub struct Operand<'a> {
    /// The word of its kind.
    pub word: &'static str,
    /// What to write for that kind.
    pub form: &'static str,
    pub raw: &'a OsStr,
}

impl Operand<'_> {
    /// # Errors
    /// Why no kind can have this operand.
    pub fn checked(&self) -> Result<(), String> {
        let Operand { word, form, raw } = self;
        if raw.is_empty() {
            return Err(format!("nothing after '{word}:'; write {form}"));
        }
        if raw.as_bytes().contains(&0) {
            return Err("it has a NUL byte; remove it".to_owned());
        }
        Ok(())
    }

    /// # Errors
    /// When it is no UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        self.raw.to_str().ok_or_else(|| format!("it is not UTF-8; write {}", self.form))
    }

    /// # Errors
    /// When it is no whole number.
    pub fn count(&self) -> Result<u64, String> {
        let text = self.text()?;
        whole_number(text).map_err(|_| format!("{} is not a whole number; write {}", quoted(text), self.form))
    }
}
