#![forbid(unsafe_code)]
//! Quotes words for each unit format.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Quotes words for /bin/sh.
pub fn sh(words: &[OsString]) -> String {
    plain(words).iter().map(|word| sh_word(word)).collect::<Vec<_>>().join(" ")
}

/// Quotes one word for /bin/sh.
pub fn sh_word(word: &str) -> String {
    // shlex refuses only NUL bytes, which an argument cannot contain.
    shlex::try_quote(word).map(|quoted| quoted.into_owned()).unwrap_or_default()
}

/// Turns words into words that every format can hold: UTF-8 whose only control characters are tabs and newlines. If a
/// word is not like that, printf(1) produces the command line, in a shell that then becomes the command.
pub fn plain(words: &[OsString]) -> Vec<String> {
    let is_plain = |c: char| c == '\n' || c == '\t' || !(c.is_control() || is_noncharacter(c));
    let all = words.iter().all(|word| word.to_str().is_some_and(|text| text.chars().all(is_plain)));
    let words = if all { words.to_vec() } else { through_printf(words) };
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Code points that Unicode reserves. XML and systemd refuse some or all of them.
fn is_noncharacter(c: char) -> bool {
    u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c)
}

/// Words of a shell command that has these bytes: `eval "exec $(printf %b ...)"`, with unusual bytes in octal.
pub fn through_printf(words: &[OsString]) -> Vec<OsString> {
    // shlex refuses only NUL bytes, which an argument cannot contain.
    let quote = |word: &OsString| shlex::bytes::try_quote(word.as_bytes()).unwrap_or_default().into_owned();
    let command = words.iter().map(quote).collect::<Vec<_>>().join(&b' ');
    let octal: String = command
        .iter()
        .map(|&byte| match byte {
            b'\'' | b'\\' | b'"' | b'%' | b'$' | b'`' => format!("\\0{byte:03o}"),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("\\0{byte:03o}"),
        })
        .collect();
    ["/bin/sh".into(), "-c".into(), format!("eval \"exec $(printf %b '{octal}')\"").into()].to_vec()
}

/// Quotes words for `ExecStart=` (systemd.service(5), "Command lines"). systemd does not expand variables in the first
/// word.
pub fn systemd(words: &[OsString]) -> String {
    // systemd executes other bytes too, but `systemctl status` then fails.
    let is_plain = |word: &OsString| word.to_str().is_some_and(|text| !text.contains(is_noncharacter));
    let words = if words.iter().all(is_plain) { words.to_vec() } else { through_printf(words) };
    let quote = |(index, word): (usize, &OsString)| systemd_word(&word.to_string_lossy(), index > 0);
    words.iter().enumerate().map(quote).collect::<Vec<_>>().join(" ")
}

/// Quotes one word for systemd: C escapes, `%%` for `%`, and `$$` for `$` if systemd expands variables there.
pub fn systemd_word(word: &str, has_variables: bool) -> String {
    let mut quoted = String::new();
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            '$' if has_variables => quoted.push_str("$$"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@%+~".contains(c);
    let needs_no_quotes = !quoted.is_empty() && quoted.chars().all(is_bare);
    if needs_no_quotes { quoted } else { format!("\"{quoted}\"") }
}

/// Quotes words for supervisord's `command=`. That is an INI value which supervisord splits as a shell does. `%` is
/// doubled, and a blank before `;` or `#` would begin a comment.
pub fn supervisord(words: &[OsString]) -> String {
    plain(words).iter().map(|word| supervisord_word(word)).collect::<Vec<_>>().join(" ")
}

fn supervisord_word(word: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+~".contains(c);
    if !word.is_empty() && word.chars().all(is_bare) {
        return word.to_owned();
    }
    let mut quoted = String::from("'");
    let (mut after_blank, mut after_percent) = (false, false);
    for c in word.chars() {
        match c {
            '\'' => quoted.push_str("'\"'\"'"),
            '%' => quoted.push_str("%%"),
            // supervisord strips both ends of a line of a value. The quotes protect blanks there.
            '\n' => quoted.push_str("''\n ''"),
            // The two quotes separate the blank from the sign, and disappear when supervisord splits the words.
            ';' | '#' if after_blank => quoted.extend(["''", c.encode_utf8(&mut [0; 4])]),
            // In an included file supervisord replaces `%(here)s` before everything else.
            '(' if after_percent => quoted.push_str("''("),
            c => quoted.push(c),
        }
        (after_blank, after_percent) = (c.is_whitespace(), c == '%');
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn each_format_has_its_own_quotes() {
        let words: Vec<OsString> =
            ["a", "", "b c", "50%", "$HOME", "it's", "x ; #y", "\u{e9}"].map(OsString::from).into();
        assert_eq!(systemd(&words), r#"a "" "b c" 50%% "$$HOME" "it's" "x ; #y" "é""#);
        assert_eq!(supervisord(&words), r#"a '' 'b c' '50%%' '$HOME' 'it'"'"'s' 'x ''; ''#y' 'é'"#);
        assert_eq!(sh(&words[..5]), "a '' 'b c' '50%' '$HOME'");
    }

    #[test]
    fn printf_produces_what_a_format_cannot_hold() {
        let words = [OsString::from("a"), OsStr::from_bytes(b"\xff\r").to_owned()];
        let expected = "eval \"exec $(printf %b 'a \\0047\\0377\\0015\\0047')\"";
        assert_eq!(plain(&words), ["/bin/sh", "-c", expected]);
        assert_eq!(systemd(&["\x01\r\u{85}".into()]), r#""\x01\x0d\u0085""#);
    }
}
