//! The keys of a check behind it, on the command line and in units.

use std::fs;
use std::process::Command;

use super::common::{Room, Web, done};
use super::{attempt, certificates, fails, holds};

#[test]
fn keys_behind_a_check_are_those_of_the_file() {
    let room = Room::new();
    let web = Web::new("201 Created", "it is all green\n");
    let url = web.url("/health?a=b");
    holds(&room, &format!("{url} status=201"));
    holds(&room, &format!("{url}  status='200,201'   body='all green'"));
    holds(&room, &format!(r#"{url} body="all green" headers.X-Key="a 'b' \"c\"" headers.Host=other"#));
    fails(&room, &format!("{url} status=200"), "status 201\n");
    fails(&room, &format!("{url} body=red"), "status 201, and the body does not contain 'red'\n");
    fails(&room, &format!("{url} body=true"), "status 201, and the body does not contain 'true'\n");
    let asked = web.requests();
    let has = |at: usize, header: &str| asked[at].to_ascii_lowercase().contains(&format!("\r\n{header}\r\n"));
    assert!(has(2, r#"x-key: a 'b' "c""#) && has(2, "host: other") && !has(1, "host: other"), "{asked:?}");
    assert!(asked.iter().all(|request| request.starts_with("GET /health?a=b HTTP/1.1\r\n")), "{asked:?}");
}

#[test]
fn a_wrong_key_is_named_and_no_value_is() {
    let room = Room::new();
    for (keys, words) in [
        ("statsu=200", "unknown key 'statsu'; did you mean 'status'?"),
        ("status=2x", "'2x' is not a status"),
        ("body='s3cret", "unclosed quote"),
        ("body=s3cret more", "only keys"),
        ("headers.X=s3cret\u{1}", "the header 'X' has a character that no header may have"),
        ("method=s3cret", "'s3cret' is no method of a check; write \"GET\""),
        ("timeout=5s", "a requirement must hold now: 'timeout' is for --wait"),
        ("ca=ca.pem", "'ca' needs an https check"),
    ] {
        let out = attempt(&room, &format!("http://user:s3cret@127.0.0.1:1/ {keys}")).expect_code(2);
        assert!(!out.stderr.contains("s3cret") || keys.starts_with("method"), "{}", out.stderr);
        out.expect_line(&["--require", words]);
    }
}

#[test]
fn a_fix_and_a_hint_are_those_of_the_file() {
    let room = Room::new();
    let hinted = ["--foreground", "--require", "dns:nothing.invalid hint='do it by hand'", "--", "/bin/true"];
    room.run(&hinted).expect_code(78).expect_stderr(&["do it by hand"]);
    let web = Web::new("200 OK", "");
    let mended = format!("{} status=201 fix='touch \"a b\"; exit 1' fix-timeout=9s", web.url("/"));
    room.run(&["--foreground", "--require", &mended, "--", "/bin/true"]).expect_code(78);
    assert!(room.path().join("a b").exists());
    fs::remove_file(room.path().join("a b")).expect("removed");
    room.run(&["--foreground", "--no-fix", "--require", &mended, "--", "/bin/true"]).expect_code(78);
    assert!(!room.path().join("a b").exists());
    let mut command = room.forerun();
    command.env("DIR", "c  d").args(["--foreground", "--require"]);
    command.args(["dns:nothing.invalid fix='touch ${DIR}; exit 3'", "--", "/bin/true"]);
    let out = done(&mut command).expect_code(78);
    assert!(room.path().join("c  d").exists() && out.stderr.contains("touch ${DIR}; exit 3"), "{}", out.stderr);
}

#[test]
fn what_is_wrong_is_told_with_its_check() {
    let room = Room::new();
    for (words, said) in [
        (
            &["--wait", "http://a:1/ status=200", "--wait", "tcp:b:1 body=x"][..],
            "invalid '--wait tcp:b:1': 'body' needs an http or https check",
        ),
        (&["--wait", "tcp:b:1 fix=true"], "invalid '--wait tcp:b:1': 'fix' belongs in [[require]]"),
        (&["--health", "tcp:b:1 fix-timeout=1s"], "invalid '--health tcp:b:1': 'fix-timeout' belongs in [[require]]"),
        (&["--require", "tcp:b:1 fix-timeout=1s"], "invalid '--require tcp:b:1': 'fix-timeout' needs a 'fix'"),
        (&["--require", "tcp:b:1 hold=1s"], "invalid '--require tcp:b:1': a requirement is tried once"),
        (
            &["--wait", "http://u:s3cret@a/ status=500 status=501"],
            "invalid '--wait http://a/': duplicate key: 'status' is there twice; leave one out",
        ),
        (&["--wait", "http://u:s3cret x@a/ status=500"], "invalid '--wait': behind the check are only keys"),
        (&["--wait", "http://u:s3cret x=y@a/ status=500"], "invalid '--wait': unknown key 'x'"),
        (&["--wait", "http://a/ status=600"], "invalid '--wait http://a/': '600' is not a status; write \"200\""),
        (
            &["--wait", "http://a/ headers.X-A=1 headers.x-a=2"],
            "invalid '--wait http://a/': the header 'x-a' is there twice",
        ),
        (&["--wait", "tpc:a:1"], "invalid check 'tpc:a:1': unknown kind 'tpc'; write tcp:a:1"),
        (&["--wait", "tcp:a timeout=1s"], "invalid check 'tcp:a': "),
    ] {
        let out = room.run(&[&["check"], words].concat()).expect_code(2);
        assert!(out.stderr.starts_with(&format!("forerun: {said}")), "{words:?}: {}", out.stderr);
        assert!(!out.stderr.contains("s3cret"), "{}", out.stderr);
    }
}

#[test]
fn a_wait_has_a_timeout_of_its_own() {
    let room = Room::new();
    let never = "tcp:127.0.0.1:1 timeout=200ms interval=50ms";
    let out = room.run(&["check", "--wait", never, "--wait", "dir:/", "--wait-timeout", "100s"]).expect_code(69);
    assert!(out.took.as_secs() < 50, "{:?}", out.took);
}

/// What a unit starts has the keys, whatever is in them.
#[test]
fn keys_come_through_units() {
    let room = Room::new();
    certificates::make(&room);
    let web = Web::new("200 OK", "100% $HOME \"all\" green; it's");
    let keys = r#"status=200 body="100% \$HOME \"all\" green; it's" headers.X-Key='a  "b" %h $PATH \ c'"#;
    let check = format!("{} {keys}", web.url("/"));
    for kind in ["runit", "s6"] {
        let unit = room.run(&["unit", kind, "--name", "web", "--wait", &check, "--", "/bin/true"]).expect_code(0);
        let run = room.executable(kind, &unit.stdout);
        done(Command::new(run).env_clear().env("FORERUN_STATE_DIR", room.state()).current_dir("/")).expect_code(0);
        let asked = web.requests();
        let header = asked.last().expect("a request").lines().find_map(|line| line.strip_prefix("x-key: "));
        assert_eq!(header, Some(r#"a  "b" %h $PATH \ c"#), "{kind}: {asked:?}");
    }
    // A supervisor starts it in another folder.
    let unit =
        room.run(&["unit", "systemd", "--name", "web", "--wait", "https://127.0.0.1/ ca=ca.pem", "--", "/bin/true"]);
    let absolute = format!("ca={}/ca.pem", room.path().display());
    assert!(unit.stdout.contains(&absolute), "{}{}", unit.stdout, unit.stderr);
}
