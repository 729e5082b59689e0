#![forbid(unsafe_code)]
//! A check as it was written, where it has references to variables. What they give may be a secret: it is in no message.

use serde::{Deserialize, Serialize};

use crate::text::one_line;

/// Shorter values are in many words by chance.
const SHORTEST: usize = 4;
/// A long value may be cut in a message.
const BEGINNING: usize = 16;

/// How a check was written.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Written {
    /// The check, if it has a reference.
    pub check: Option<String>,
    /// What references gave, and how each was written.
    pub values: Vec<(String, String)>,
}

/// Without the values.
impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:?}", self.check)
    }
}

impl Written {
    /// A reason with the references in the place of what they gave.
    pub fn masked(&self, reason: &str) -> String {
        let mut masked = reason.to_owned();
        for (value, written) in self.values.iter().filter(|(value, _)| value.len() >= SHORTEST) {
            let written = one_line(written);
            masked = masked.replace(value, &written);
            let beginning: String = value.chars().take(BEGINNING).collect();
            if let Some(at) = masked.find(&beginning).filter(|_| value.len() > beginning.len()) {
                masked.replace_range(at.., &format!("{written}..."));
            }
        }
        masked
    }

    /// Whether a message may have a part of a value in it.
    pub fn is_in(&self, message: &str) -> bool {
        let is_part = |value: &String| {
            let value = value.as_bytes();
            let length = value.len().min(SHORTEST);
            length > 0 && value.windows(length).any(|part| message.as_bytes().windows(length).any(|m| m == part))
        };
        self.values.iter().any(|(value, _)| is_part(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_no_value() {
        let values = vec![("db.internal".to_owned(), "${DB}".to_owned()), ("ok".to_owned(), "${OK}".to_owned())];
        let written = Written { check: None, values };
        assert_eq!(written.masked("'db.internal' is not ok"), "'${DB}' is not ok");
        let long = Written { check: None, values: vec![("s3cr3t".repeat(60), "${A}".to_owned())] };
        assert_eq!(long.masked(&format!("no {}...", "s3cr3t".repeat(50))), "no ${A}...");
        assert!(written.is_in("it is intern") && written.is_in("ok") && !written.is_in("is"));
    }
}
