#![forbid(unsafe_code)]
//! Strings of the operating system in records. They need not be UTF-8.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Serialize};

/// A string of the operating system, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OsText {
    Utf8(String),
    Bytes(Vec<u8>),
}

impl From<&OsStr> for OsText {
    fn from(text: &OsStr) -> Self {
        text.to_str().map_or_else(|| OsText::Bytes(text.as_bytes().to_vec()), |t| OsText::Utf8(t.to_owned()))
    }
}

impl From<&OsText> for OsString {
    fn from(text: &OsText) -> Self {
        match text {
            OsText::Utf8(text) => text.into(),
            OsText::Bytes(bytes) => OsString::from_vec(bytes.clone()),
        }
    }
}

/// Converts a list to strings of the operating system.
pub fn os_strings(list: &[OsText]) -> Vec<OsString> {
    list.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_is_kept_byte_for_byte() {
        for bytes in [&b"plain"[..], b"\xff\x00\n\"", b""] {
            let text = OsText::from(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&text).expect("json");
            let back: OsText = serde_json::from_str(&json).expect("text");
            assert_eq!(OsString::from(&back).as_bytes(), bytes);
        }
    }
}
