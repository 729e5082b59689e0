#![forbid(unsafe_code)]
//! Shows a unit, and how it differs from the installed one.

use serde_json::json;

use crate::error::Error;
use crate::line::{document, print_result, say};
use crate::supervisor::units::{File, Installed, State, UnitSpec};
use crate::text::quoted;

/// The unit as it would be written. Several files follow each other, so that the first one can be run as it is printed.
pub fn printed(spec: &UnitSpec, files: &[File]) -> String {
    let mut out = String::new();
    for (index, file) in files.iter().enumerate() {
        if index > 0 {
            out += &format!("\n# ==> {} <==\n", spec.path.unit.join(file.name).display());
        }
        out += &file.text;
    }
    out
}

pub fn described(spec: &UnitSpec, files: &[File], state: &State) -> String {
    let texts: serde_json::Map<String, serde_json::Value> =
        files.iter().map(|file| (spec.path.of(file.name).to_string_lossy().into_owned(), json!(file.text))).collect();
    document(json!({ "unit": spec.path.unit.to_string_lossy(), "state": word(state), "files": texts }))
}

fn word(state: &State) -> &'static str {
    match state {
        State::Missing => "missing",
        State::Foreign(_) => "foreign",
        State::Edited => "edited",
        State::Stale => "stale",
        State::Current => "current",
    }
}

pub fn show_difference(
    spec: &UnitSpec,
    installed: &Installed,
    files: &[File],
    state: &State,
    json: bool,
) -> Result<(), Error> {
    let difference = difference(spec, installed, files);
    if json {
        let unit = spec.path.unit.to_string_lossy();
        let value = json!({ "unit": unit, "state": word(state), "diff": difference });
        return print_result(document(value).as_bytes());
    }
    match state {
        State::Missing => say(&format!("no unit is installed at {}", quoted(&spec.path.unit))),
        State::Foreign(why) => say(&format!("{}: {why}", quoted(&spec.path.unit))),
        State::Edited => say(&format!("{} was edited", quoted(&spec.path.unit))),
        State::Stale => say(&format!("{} is out of date", quoted(&spec.path.unit))),
        State::Current => say(&format!("{} is up to date", quoted(&spec.path.unit))),
    }
    print_result(difference.as_bytes())
}

/// The difference from the installed unit to the one that forerun would write.
pub fn difference(spec: &UnitSpec, installed: &Installed, files: &[File]) -> String {
    let there: &[(String, String)] = if let Installed::Unit(text) = installed { &text.files } else { &[] };
    let mut names: Vec<&str> = files.iter().map(|file| file.name).collect();
    names.extend(there.iter().map(|(name, _)| name.as_str()).filter(|name| !files.iter().any(|f| f.name == *name)));
    let mut out = String::new();
    for name in names {
        let old = there.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str());
        let new = files.iter().find(|file| file.name == name).map(|file| file.text.as_str());
        let path = spec.path.of(name).to_string_lossy().into_owned();
        let from = if old.is_some() { path.as_str() } else { "/dev/null" };
        let to = if new.is_some() { path.as_str() } else { "/dev/null" };
        let diff = similar::TextDiff::from_lines(old.unwrap_or_default(), new.unwrap_or_default());
        out += &diff.unified_diff().header(from, to).to_string();
    }
    out
}
