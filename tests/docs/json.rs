//! The fields of `--json`: the reference lists exactly those that forerun prints.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{Room, done, fixture, free_port};
use crate::text;

/// The fields that the reference lists for a command: the words in backticks, up to the first that belongs to another
/// form of the command.
fn listed(command: &str) -> BTreeSet<String> {
    let reference = text("docs/reference.md");
    let (_, section) = reference.split_once("\n## 16. JSON\n").expect("the section");
    let row = section.lines().find_map(|line| line.strip_prefix(&format!("| {command} | ")));
    let row = row.unwrap_or_else(|| panic!("no row for {command}"));
    let row = row.split(';').next().unwrap_or(row);
    row.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn fields(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

#[test]
fn the_reference_lists_the_fields_of_json() {
    let room = Room::new();
    let port = free_port().to_string();
    let health = format!("tcp:127.0.0.1:{port}");
    let fixture = fixture();
    let server = ["--name", "web", "--health", &health, "--", fixture.to_str().expect("a path"), "serve", &port];
    let json = |words: &[&str]| -> Value {
        let ended = done(room.forerun().args(words));
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{words:?}: {e}: {}", ended.stderr))
    };
    let with = |first: &[&'static str]| first.iter().copied().chain(server).collect::<Vec<&str>>();
    let expect = |row: &str, found: BTreeSet<String>| assert_eq!(listed(row), found, "{row}");

    expect("`--dry-run`", fields(&json(&with(&["--dry-run", "--json"]))));
    expect("start", fields(&json(&with(&["--json"]))));
    let check = json(&["check", "--json", "--require", "cmd:sh"]);
    let mut all = fields(&check);
    all.extend(fields(&check["checks"][0]));
    expect("`check`", all);
    expect("`status NAME`", fields(&json(&["status", "web", "--json"])));
    assert!(json(&["status", "--all", "--json"]).is_array());
    expect("`fds`", fields(&json(&["fds", "web", "--json"])));
    expect("`unit`", fields(&json(&with(&["unit", "systemd", "--json"]))));
    expect("`stop`", fields(&json(&["stop", "web", "--json"])));
    expect("`forget`", fields(&json(&["forget", "web", "--json"])));
    let reloads = "trap : HUP; while :; do sleep 0.1; done";
    json(&["--detach", "--json", "--name", "reloads", "--port", "0", "--", "sh", "-c", reloads]);
    expect("`reload`", fields(&json(&["reload", "reloads", "--json"])));
    let doctor = json(&["doctor", "--json"]);
    let mut all: BTreeSet<_> = ["schema", "findings"].map(str::to_owned).into();
    all.extend(fields(&doctor["findings"][0]));
    expect("`doctor`", all);
    assert_eq!(fields(&doctor), ["findings", "problems", "schema", "warnings"].map(str::to_owned).into());
}
