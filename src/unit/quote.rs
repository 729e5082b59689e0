#![forbid(unsafe_code)]
//! Words in the quoting of each format.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Words for /bin/sh.
pub fn sh(words: &[OsString]) -> String {
    plain(words).iter().map(|word| sh_word(word)).collect::<Vec<_>>().join(" ")
}

/// One word for /bin/sh.
pub fn sh_word(word: &str) -> String {
    // It refuses NUL bytes only, which no argument has.
    shlex::try_quote(word).map(|quoted| quoted.into_owned()).unwrap_or_default()
}

/// Words that every format can hold: UTF-8, of control characters only tabs and newlines. What is not such text is
/// made by printf(1), of a shell that then becomes the command.
pub fn plain(words: &[OsString]) -> Vec<String> {
    let is_plain = |c: char| c == '\n' || c == '\t' || !(c.is_control() || is_noncharacter(c));
    let all = words.iter().all(|word| word.to_str().is_some_and(|text| text.chars().all(is_plain)));
    let words = if all { words.to_vec() } else { through_printf(words) };
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// What Unicode keeps for no text: XML and systemd refuse some or all of them.
fn is_noncharacter(c: char) -> bool {
    u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c)
}

/// `sh -c 'eval "exec $(printf '%b' '...')"'`: the command quoted for a shell, its bytes in octal.
fn through_printf(words: &[OsString]) -> Vec<OsString> {
    // It refuses NUL bytes only, which no argument has.
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

/// Words for `ExecStart=` (systemd.service(5), "Command lines"). The first is not searched for variables.
pub fn systemd(words: &[OsString]) -> String {
    // It executes other bytes too, but then cannot say what it executes: `systemctl status` fails.
    let is_plain = |word: &OsString| word.to_str().is_some_and(|text| !text.contains(is_noncharacter));
    let words = if words.iter().all(is_plain) { words.to_vec() } else { through_printf(words) };
    let quote = |(index, word): (usize, &OsString)| systemd_word(&word.to_string_lossy(), index > 0);
    words.iter().enumerate().map(quote).collect::<Vec<_>>().join(" ")
}

/// One word for systemd: C escapes, `%%` for specifiers, `$$` for variables where those count.
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

/// Words for supervisord's `command=`: an INI value in which `%` is doubled and a blank before `;` or `#` begins a
/// comment, split as a shell would.
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
            // The blanks at both ends of a line of a value are lost: there are quotes before and after it.
            '\n' => quoted.push_str("''\n ''"),
            // The two quotes between the blank and the sign say nothing to whoever splits the words.
            ';' | '#' if after_blank => quoted.extend(["''", c.encode_utf8(&mut [0; 4])]),
            // In a file that is included `%(here)s` is replaced before anything else is.
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
    fn what_a_format_cannot_hold_is_made_by_printf() {
        let words = [OsString::from("a"), OsStr::from_bytes(b"\xff\r").to_owned()];
        let expected = "eval \"exec $(printf %b 'a \\0047\\0377\\0015\\0047')\"";
        assert_eq!(plain(&words), ["/bin/sh", "-c", expected]);
        assert_eq!(systemd(&["\x01\r\u{85}".into()]), r#""\x01\x0d\u0085""#);
    }
}
