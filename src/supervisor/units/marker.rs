#![forbid(unsafe_code)]
//! The marker line of a unit. It names the service, says how the unit was made, and has a digest of the content, which
//! shows whether somebody edited the unit.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};

use super::argv::base;
use super::spec::{File, Made, Scope};

const WORD: &str = "forerun-unit:";
/// Length of the digest in hexadecimal digits: half of a SHA-256, enough to notice edits.
const LENGTH: usize = 32;
/// Characters that are percent-encoded in a marker. Two `-` in a row may not appear in an XML comment.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'@');

/// The content of a marker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marker {
    pub name: String,
    /// The config file of the service, if it has one.
    pub config: Option<PathBuf>,
    pub made: Made,
    /// The files of the unit, if it is a folder.
    pub files: Vec<String>,
    digest: String,
}

impl Marker {
    /// The marker line with a digest of zeros.
    pub fn unsealed(name: &str, config: Option<&Path>, made: &Made, files: &[&str]) -> String {
        let mut line = format!("{WORD} name={}", encoded(OsStr::new(name)));
        if let Some(config) = config {
            line += &format!(" config={}", encoded(config.as_os_str()));
        }
        line += if made.scope == Scope::System { " scope=system" } else { " scope=user" };
        line += if made.harden { " harden" } else { "" };
        let texts = [
            ("user", made.user.as_ref().map(OsStr::new)),
            ("state", made.state.as_ref().map(OsStr::new)),
            ("scanned", made.scanned.as_ref().map(|folder| folder.as_os_str())),
            ("program", Some(made.program.as_os_str())),
        ];
        for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            line += &format!(" {key}={}", encoded(value));
        }
        if !made.flags.is_empty() {
            let flags: Vec<String> = made.flags.iter().map(|flag| encoded(flag)).collect();
            line += &format!(" flags={}", flags.join(","));
        }
        if !files.is_empty() {
            line += &format!(" files={}", encoded(OsStr::new(&files.join(":"))));
        }
        line + &format!(" digest={}", "0".repeat(LENGTH))
    }

    /// The marker in the text of a unit, if there is one.
    pub fn find(text: &str) -> Option<Marker> {
        let line = text.lines().find_map(|line| Some(line.split_once(WORD)?.1))?;
        let mut marker = Marker {
            name: String::new(),
            config: None,
            made: Made {
                scope: Scope::User,
                harden: false,
                user: None,
                state: None,
                scanned: None,
                program: PathBuf::new(),
                flags: Vec::new(),
            },
            files: Vec::new(),
            digest: String::new(),
        };
        for field in line.split_whitespace() {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            let bytes = |value: &str| OsString::from_vec(percent_decode_str(value).collect());
            let text = || bytes(value).to_string_lossy().into_owned();
            match key {
                "name" => marker.name = text(),
                "config" => marker.config = Some(bytes(value).into()),
                "scope" => marker.made.scope = if value == "system" { Scope::System } else { Scope::User },
                "harden" => marker.made.harden = true,
                "user" => marker.made.user = Some(text()),
                "state" => marker.made.state = Some(text()),
                "scanned" => marker.made.scanned = Some(bytes(value).into()),
                "program" => marker.made.program = bytes(value).into(),
                "flags" => marker.made.flags = value.split(',').map(bytes).collect(),
                "files" => marker.files = names(&text()),
                "digest" => marker.digest = value.to_owned(),
                _ => {}
            }
        }
        (marker.digest.len() == LENGTH && marker.made.program.is_absolute()).then_some(marker)
    }

    /// The arguments of forerun that the unit executes.
    pub fn arguments(&self) -> Vec<OsString> {
        [base(self.config.as_deref()), self.made.flags.clone()].concat()
    }

    /// Whether the digest matches these names and texts.
    pub fn holds(&self, files: &[(String, String)]) -> bool {
        let plain = files.iter().enumerate().map(|(index, (name, text))| match index {
            0 => (name.as_str(), text.replacen(&self.digest, &"0".repeat(LENGTH), 1)),
            _ => (name.as_str(), text.clone()),
        });
        digest(plain) == self.digest
    }
}

/// Writes the digest into the marker, which is in the first file.
pub fn seal(files: &mut [File]) {
    let digest = digest(files.iter().map(|file| (file.name, file.text.clone())));
    if let Some(first) = files.first_mut() {
        first.text = first.text.replacen(&format!("digest={}", "0".repeat(LENGTH)), &format!("digest={digest}"), 1);
    }
}

/// The digest of names and texts.
pub fn digest<'a>(files: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut hash = Sha256::new();
    for (name, text) in files {
        hash.update(format!("{name} {}\n", text.len()));
        hash.update(text);
    }
    let mut hex = String::new();
    for byte in &hash.finalize()[..LENGTH / 2] {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The names of the files. Before units had files in folders, they were separated by `/`.
fn names(text: &str) -> Vec<String> {
    text.split(if text.contains(':') { ':' } else { '/' }).map(str::to_owned).collect()
}

fn encoded(text: &OsStr) -> String {
    percent_encode(text.as_bytes(), ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_back_and_notices_an_edit() {
        let config = Path::new("/srv/my--web -->/\n\u{e9}/forerun.toml");
        let made = Made {
            scope: Scope::System,
            harden: true,
            user: Some("me too".into()),
            state: Some("/a -- b".into()),
            scanned: Some("/run/service".into()),
            program: "/opt/my bin/forerun".into(),
            flags: ["--port", "1", "--", "a,b", "", "%2C -->"].map(OsString::from).into(),
        };
        let line = Marker::unsealed("web-1@x", Some(config), &made, &["run", "finish"]);
        assert!(!line.contains("--") && line.lines().count() == 1, "{line}");
        let mut files = vec![
            File { name: "run", text: format!("#!/bin/sh\n# {line}\nexec x\n"), executable: true },
            File { name: "finish", text: "#!/bin/sh\n".into(), executable: true },
        ];
        seal(&mut files);
        let mut read: Vec<(String, String)> = files.iter().map(|f| (f.name.to_owned(), f.text.clone())).collect();
        let marker = Marker::find(&read[0].1).expect("a marker");
        assert_eq!((marker.name.as_str(), marker.config.as_deref()), ("web-1@x", Some(config)));
        assert_eq!((&marker.made, marker.files.as_slice()), (&made, &["run".to_owned(), "finish".to_owned()][..]));
        assert!(marker.holds(&read));
        read[1].1.push('\n');
        assert!(!marker.holds(&read));
    }

    #[test]
    fn a_text_without_a_complete_marker_is_not_ours() {
        for text in
            ["", "# forerun-unit: name=a", "# forerun-unit: name=a digest=12", "[Service]\nExecStart=/bin/true\n"]
        {
            assert_eq!(Marker::find(text), None, "{text}");
        }
    }
}
