#![forbid(unsafe_code)]
//! The keys of a check behind a CHECK of the command line: `--wait 'http://db:9200/ status=200 body=green'`. They are those
//! of forerun.toml, so one word has all of the check, and a unit can have it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::document::Document;
use super::expand::Expander;
use super::file::CheckTable;
use super::key_table::is_flag;
use crate::check;
use crate::text::one_line;

/// Keys whose value is a path.
const PATHS: [&str; 3] = ["ca", "cert", "key"];

/// A check, and its keys with their values.
type Words = (String, Vec<(String, String)>);

/// The check and its keys. `None` where a CHECK has no keys: all of it is the check.
fn split(spec: &OsStr) -> Result<Option<Words>, String> {
    let lossy = spec.to_string_lossy();
    // What is behind a blank is no part of such a check. With an '=' it was meant for keys, however it is written, and it
    // may have a secret: a message about the check must not show it.
    let has_keys = |(_, keys): (&str, &str)| keys.contains('=');
    if !check::has_no_blanks(spec) || !lossy.trim().split_once(char::is_whitespace).is_some_and(has_keys) {
        return Ok(None);
    }
    let text = spec.to_str().ok_or("its keys are not UTF-8")?;
    let words = shlex::split(text).ok_or("it has an unclosed quote")?;
    // As a shell does, it leaves a comment out.
    if shlex::split(&text.replace('#', "_")).is_some_and(|all| all.len() != words.len()) {
        return Err("a word that begins with '#' is a comment; put it in quotes".to_owned());
    }
    let (check, keys) = words.split_first().ok_or("it is empty")?;
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if is_key(key) => Ok((key.to_owned(), value.to_owned())),
        // It may be a part of a value that lost its quotes, and a secret.
        _ => {
            Err("behind the check are only keys: KEY=VALUE, and a value with blanks in quotes; a blank in a URL is %20"
                .to_owned())
        }
    };
    Ok(Some((check.clone(), keys.iter().map(pair).collect::<Result<_, _>>()?)))
}

/// What a CHECK with keys is called in a message: its check as it is written. `None` where its keys may be a part of the
/// password in it.
pub fn called(spec: &OsStr) -> Option<String> {
    let lossy = spec.to_string_lossy();
    let (check, keys) = lossy.trim().split_once(char::is_whitespace)?;
    (!keys.contains('@')).then(|| one_line(check))
}

fn is_key(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(is_plain)
}

/// The table that a CHECK with keys stands for. `None` where it has no keys.
///
/// # Errors
/// What is wrong with a key or its value.
pub fn table(spec: &OsStr, expander: &mut Expander) -> Result<Option<CheckTable>, String> {
    let Some((check, keys)) = split(spec)? else { return Ok(None) };
    let mut document = format!("check = {}\n", text(&check));
    for (key, value) in keys {
        let is_flag = is_flag(&key) && matches!(value.as_str(), "true" | "false");
        let value = if is_flag { value } else { text(&value) };
        document += &match key.split_once('.') {
            Some((table, name)) => format!("{table}.{} = {value}\n", text(name)),
            None => format!("{key} = {value}\n"),
        };
    }
    let mut document = Document::parse_check(&document).map_err(|wrong| wrong.message)?;
    let replaced = document.replace(expander).map_err(|wrong| wrong.message)?;
    document.check(&replaced).map(Some).map_err(|wrong| replaced.safe(wrong).message)
}

/// A string of TOML. JSON writes it in the same way, but for one character.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string().replace('\x7f', "\\u007f")
}

/// The same CHECK with absolute paths. `None` where it has no keys.
pub fn resolved(spec: &OsStr, here: &Path, of_check: impl FnOnce(&OsStr) -> OsString) -> Option<OsString> {
    let (check, keys) = split(spec).ok()??;
    let mut all = of_check(OsStr::new(&check));
    for (key, value) in keys {
        let value = if PATHS.contains(&key.as_str()) { here.join(value).to_string_lossy().into_owned() } else { value };
        all.push(format!(" {key}={}", shlex::try_quote(&value).unwrap_or_default()));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Result<Option<CheckTable>, String> {
        table(OsStr::new(spec), &mut Expander::new(&crate::service::known::Known::default()))
    }

    #[test]
    fn keys_are_those_of_the_file() {
        let given = "http://a:1/ status=200,401 body='all green' timeout=5s headers.X-Key=\"a b\" insecure=true";
        let table = read(given).expect("keys").expect("keys");
        assert_eq!(table.check.get_ref(), "http://a:1/");
        assert_eq!(table.body.as_ref().expect("body").get_ref(), "all green");
        assert_eq!(table.headers.as_ref().expect("headers").get_ref()["X-Key"], "a b");
        assert!(*table.insecure.expect("insecure").get_ref());
        assert_eq!(table.timeout.expect("timeout").get_ref().0.as_secs(), 5);
    }

    #[test]
    fn a_command_and_a_path_have_none() {
        for spec in ["exec:test a=b c=d", "file:/a b=c", "http://a/b c", "http://a/ ", "cmd:a status=200", "tcp:a:1  "]
        {
            assert!(read(spec).expect(spec).is_none(), "{spec}");
        }
    }

    #[test]
    fn a_mistake_is_named_and_no_value_is() {
        for (spec, part) in [
            ("http://a/ statsu=200", "unknown key 'statsu'; did you mean 'status'?"),
            ("http://a/ status=2x", "'2x' is not a status"),
            ("http://a/ body='s3cr3t", "unclosed quote"),
            ("http://a/ body=s3cr3t more", "only keys"),
            ("http://a/ body = s3cr3t", "only keys"),
            ("http://a/ more headers.X=s3cr3t", "only keys"),
            ("http://a/b c?d=s3cr3t", "a blank in a URL is %20"),
            ("http://a/ insecure=maybe", "insecure is true or false"),
            ("http://a/ status=200 #e body=s3cr3t", "begins with '#' is a comment"),
        ] {
            let why = read(spec).err().expect(spec);
            assert!(why.contains(part) && !why.contains("s3cr3t"), "{spec}: {why}");
        }
    }

    #[test]
    fn paths_become_absolute() {
        let spec = OsStr::new("https://a/ ca=ca.pem body='a b'");
        let all = resolved(spec, Path::new("/srv/my site"), OsStr::to_owned).expect("keys");
        assert_eq!(all, "https://a/ ca='/srv/my site/ca.pem' body='a b'");
        assert!(read(all.to_str().expect("UTF-8")).expect("keys").is_some());
    }
}
