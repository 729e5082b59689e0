//! Units for dinit: the text, and a real dinit in namespaces of its own.
//!
//! Debian 12 has no package of dinit. With one on PATH: `cargo test --test dinit -- --ignored`.

mod common;

use std::process::Command;

use common::{Done, Room, done, fixture, free_port, has, is_root};

/// A folder with a service, whose path has a blank.
fn service(room: &Room, port: u16) -> std::path::PathBuf {
    let folder = room.path().join("my site");
    std::fs::create_dir(&folder).expect("a folder");
    let text = format!(
        "name = 'web'\ncommand = ['{}', 'serve', '{port}', '--answer-pid']\n[health]\ncheck = 'http://127.0.0.1:{port}/'\n\
         [stop]\nsignal = 'SIGINT'\n",
        fixture().display()
    );
    std::fs::write(folder.join("forerun.toml"), text).expect("written");
    folder
}

/// Runs a script where a dinit has booted whose services are in `units`.
fn booted(room: &Room, script: &str) -> Done {
    assert!(is_root() && has("dinit") && has("dinitctl") && has("unshare"), "needs root, namespaces and dinit");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]);
    let boot = "\
mount -t tmpfs none /run; mkdir -p units/boot.d
printf 'type = internal\\nwaits-for.d = %s/units/boot.d\\n' \"$PWD\" >units/boot
dinit --system --services-dir \"$PWD/units\" --quiet </dev/null >dinit.log 2>&1 &
until_ok() { for _ in $(seq 600); do eval \"$1\" && return; sleep .1; done; echo \"never: $1\"; exit 1; }
child() { dinitctl status web 2>/dev/null | sed -n 's/.*Process ID: //p'; }
until_ok 'dinitctl list >/dev/null 2>&1'
";
    command.arg(format!("set -u\n{boot}{script}")).current_dir(room.path().join("my site"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("FORERUN_STATE_DIR", room.state());
    done(command.env("FORERUN", env!("CARGO_BIN_EXE_forerun")))
}

#[test]
#[ignore = "needs dinit, which Debian 12 does not have"]
fn a_unit_is_installed_started_again_and_removed() {
    let room = Room::outside_tmp();
    service(&room, free_port());
    let script = r#"
trap 'rm -f /var/log/web.log' EXIT
$FORERUN unit dinit --dir "$PWD/units" --install --now >out 2>&1 || { cat out; exit 1; }
grep -q "runs under dinit: pid $(child), healthy" out || { cat out; exit 1; }
[ -L units/boot.d/web ] || { echo "not enabled"; exit 1; }
$FORERUN stop web 2>err; [ $? = 75 ] && grep -q "dinitctl stop web" err || { cat err; exit 1; }
before=$(child); kill -KILL $before
until_ok '[ "$(child)" != "" ] && [ "$(child)" != $before ] && $FORERUN status web >/dev/null'
$FORERUN unit dinit --dir "$PWD/units" --install | grep -q ^unchanged || { echo "not unchanged"; exit 1; }
before=$(child)
$FORERUN unit dinit --dir "$PWD/units" --grace 7s --install --now >out 2>&1 || { cat out; exit 1; }
[ "$(child)" != $before ] && grep -q 'stop-timeout = 7' units/web || { cat out; exit 1; }
$FORERUN unit dinit --dir "$PWD/units" --uninstall >out 2>&1 || { cat out; exit 1; }
[ ! -e units/web ] && [ ! -L units/boot.d/web ] || { echo "left"; exit 1; }
$FORERUN status web >/dev/null && { echo "it runs"; exit 1; }
echo "all of it"
"#;
    let all = booted(&room, script);
    assert!(all.code == Some(0) && all.stdout.ends_with("all of it\n"), "{}{}", all.stdout, all.stderr);
}

#[test]
#[ignore = "needs dinit, which Debian 12 does not have"]
fn a_script_without_exec_below_dinit_stays_and_a_mistake_does_not_loop() {
    let room = Room::outside_tmp();
    service(&room, free_port());
    let script = r#"
printf '#!/bin/sh\necho run >>%q\n%q --config %q\n' "$PWD/runs" $FORERUN "$PWD/forerun.toml" >script; chmod 755 script
printf 'type = process\ncommand = "%s"\nrestart = true\nrestart-delay = 0.5\nlogfile = "%s"\n' "$PWD/script" "$PWD/log" >units/web
dinitctl start web >out 2>&1 || { cat out; exit 1; }
until_ok '$FORERUN status web >/dev/null'
# Three times the pause after which dinit would start the script again.
sleep 2
[ $(wc -l <runs) = 1 ] || { echo "$(wc -l <runs) runs"; cat log; exit 1; }
grep -q "dinit started our parent" log && grep -q "write 'exec' before forerun" log || { cat log; exit 1; }
dinitctl stop web >out 2>&1; rm units/web; dinitctl unload web >out 2>&1
$FORERUN unit dinit --dir "$PWD/units" --require cmd:no-such-program --install >out 2>&1 || { cat out; exit 1; }
dinitctl --no-wait start web >out 2>&1
until_ok 'dinitctl status web | grep -q "State: STOPPED"'
rm -f /var/log/web.log
echo "all of it"
"#;
    let all = booted(&room, script);
    assert!(all.code == Some(0) && all.stdout.ends_with("all of it\n"), "{}{}", all.stdout, all.stderr);
}

#[test]
fn a_description_says_what_dinit_needs_and_keeps_its_path() {
    let room = Room::new();
    let folder = service(&room, free_port());
    let write = |path: &str, words: &[&str]| {
        let mut command = room.forerun();
        command.current_dir(&folder).env("PATH", path).args(["unit", "dinit", "--system", "--install", "--force"]);
        done(command.args(words).arg("--dir").arg(room.path())).expect_code(0);
        std::fs::read_to_string(room.path().join("web")).expect("a description")
    };
    let text = write("/usr/bin:/bin:/opt/my tools", &["--env", "A=$HOME \"quoted\" \\ back"]);
    for part in [
        "\ntype = process\n",
        "\nrestart = true\n",
        "\nready-notification = pipefd:3\n",
        "--ready-fd 3",
        "\nterm-signal = INT\n",
        "\nstop-timeout = 10\n",
        "/my site/forerun.toml\"",
        "\"PATH=/usr/bin:/bin:/opt/my tools\"",
        "\"A=$$HOME \\\"quoted\\\" \\\\ back\"",
        "\nlogfile = /",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(write("/usr/bin", &[]).contains("PATH=/usr/bin:/bin:/opt/my tools"), "an installed unit keeps its folders");
    let refused = done(room.forerun().args(["unit", "dinit", "--name", "web@a", "--", "true"]));
    refused.expect_code(78).expect_line(&["the name 'web@a' means a service with an argument to dinit"]);
}
