#![forbid(unsafe_code)]
//! The command of a service.

use std::ffi::OsString;

use super::file::File;
use super::wrong::{Fault, Wrong};

/// The command of the command line, else of the file. The file's is validated even if it is not used.
/// `is_optional`: nothing is started.
pub fn command(given: &[OsString], file: &File, is_optional: bool) -> Result<Vec<OsString>, Fault> {
    let mut words = given.to_vec();
    if let Some(list) = &file.command {
        let in_file = &list.get_ref().0;
        if in_file.first().is_none_or(String::is_empty) || in_file.iter().any(|w| w.contains('\0')) {
            return Err(Wrong::at(list, "the command is empty or has a NUL byte").into());
        }
        if words.is_empty() {
            words = in_file.iter().map(OsString::from).collect();
        }
    }
    match words.first() {
        Some(name) if name.is_empty() => Err(Fault::Usage("the command's name is empty".to_owned())),
        None if !is_optional => {
            Err(Fault::Usage("no command: write it after '--', or as 'command' in forerun.toml".to_owned()))
        }
        _ => Ok(words),
    }
}

/// What only a shell would understand in a command that is one string. Quoted, it is a word like any other.
pub fn sign_of_a_shell(text: &str) -> Option<&str> {
    const SIGNS: [&str; 9] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"];
    let words = shlex::split(text)?;
    let is_sign = |word: &&str| SIGNS.contains(word) || word.ends_with(';');
    text.split_whitespace().filter(is_sign).find(|sign| words.iter().any(|word| word == sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_a_shell_is_seen_unless_it_is_quoted() {
        for (text, sign) in [
            ("cd app && python3 server.py", Some("&&")),
            ("server 2>&1 | logger", Some("2>&1")),
            ("cd app; server", Some("app;")),
            ("server &", Some("&")),
            ("sh -c 'cd app && server'", None),
            (r"find . -exec ls {} \;", None),
            ("find . -exec ls {} ';'", None),
            ("nginx -g 'daemon off;'", None),
            ("server 'a", None),
        ] {
            assert_eq!(sign_of_a_shell(text), sign, "{text}");
        }
    }
}
