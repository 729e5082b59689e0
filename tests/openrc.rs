//! Units for OpenRC: the text, and a real supervise-daemon in namespaces of its own.

mod common;

use std::process::Command;

use common::{Done, Room, done, fixture, free_port, has, is_root};

/// What openrc(8) makes at the boot, in a mount namespace of our own.
const BOOT: &str = "\
mount -t tmpfs none /run && mount -t tmpfs none /etc/runlevels && mkdir -p /etc/runlevels/default /run/openrc
for folder in started starting stopping inactive wasinactive failed hotplugged daemons options exclusive scheduled tmp; do
  mkdir /run/openrc/$folder
done
touch /run/openrc/softlevel
";

/// A folder with a service, whose path has a blank.
fn service(room: &Room, name: &str, port: u16) -> std::path::PathBuf {
    let folder = room.path().join("my site");
    std::fs::create_dir(&folder).expect("a folder");
    let text = format!(
        "name = '{name}'\ncommand = ['{}', 'serve', '{port}', '--answer-pid']\n[health]\ncheck = 'http://127.0.0.1:{port}/'\n\
         [stop]\nsignal = 'SIGINT'\n[env]\nODD = \"it's $HOME\"\n",
        fixture().display()
    );
    std::fs::write(folder.join("forerun.toml"), text).expect("written");
    folder
}

/// Runs a script where an OpenRC has booted.
fn booted(room: &Room, name: &str, port: u16, script: &str) -> Done {
    let folder = room.path().join("my site");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]);
    let helpers = "\
until_ok() { for _ in $(seq 600); do eval \"$1\" && return; sleep .1; done; echo \"never: $1\"; exit 1; }
child() { cat /run/openrc/options/$NAME/child_pid 2>/dev/null; }
";
    command.arg(format!("set -u\n{BOOT}{helpers}{script}")).current_dir(folder);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("FORERUN_STATE_DIR", room.state());
    command.env("NAME", name).env("PORT", port.to_string()).env("FORERUN", env!("CARGO_BIN_EXE_forerun"));
    done(&mut command)
}

fn can_boot() -> bool {
    let unshare = ["--pid", "--mount", "--fork", "--mount-proc", "true"];
    is_root()
        && has("supervise-daemon")
        && has("unshare")
        && done(Command::new("unshare").args(unshare)).code == Some(0)
}

#[test]
fn a_unit_is_installed_started_again_and_removed() {
    skip_unless!(can_boot(), "needs root, namespaces and OpenRC");
    let room = Room::outside_tmp();
    let (name, port) = (format!("forerun-test-openrc-{}", std::process::id()), free_port());
    service(&room, &name, port);
    let script = r#"
trap 'rm -f /etc/init.d/$NAME /var/log/$NAME.log' EXIT
$FORERUN unit openrc --install --now >out 2>&1 || { cat out; exit 1; }
grep -q "runs under openrc: pid $(child), healthy" out || { cat out; exit 1; }
rc-service $NAME status >/dev/null || { echo "not started"; exit 1; }
$FORERUN stop $NAME 2>err; [ $? = 75 ] && grep -q "rc-service $NAME stop" err || { cat err; exit 1; }
$FORERUN doctor --json >doctor; grep -q "runs it as pid $(child)" doctor || { cat doctor; exit 1; }
before=$(child); kill -KILL $before
until_ok '[ "$(child)" != "" ] && [ "$(child)" != $before ] && $FORERUN status $NAME >/dev/null'
$FORERUN unit openrc --install | grep -q ^unchanged || { echo "not unchanged"; exit 1; }
$FORERUN unit openrc --uninstall >out 2>&1 || { cat out; exit 1; }
[ ! -e /etc/init.d/$NAME ] && [ ! -e /etc/runlevels/default/$NAME ] || { echo "left"; exit 1; }
$FORERUN status $NAME >/dev/null && { echo "it runs"; exit 1; }
echo "all of it"
"#;
    let all = booted(&room, &name, port, script);
    assert!(all.code == Some(0) && all.stdout.ends_with("all of it\n"), "{}{}", all.stdout, all.stderr);
}

#[test]
fn a_script_without_exec_below_supervise_daemon_stays() {
    skip_unless!(can_boot(), "needs root, namespaces and OpenRC");
    let room = Room::outside_tmp();
    let (name, port) = (format!("forerun-test-openrc-script-{}", std::process::id()), free_port());
    service(&room, &name, port);
    let script = r#"
trap 'rm -f /etc/init.d/$NAME /usr/local/bin/$NAME' EXIT
printf '#!/bin/sh\necho run >>%q\n%q --config %q\n' "$PWD/runs" $FORERUN "$PWD/forerun.toml" >/usr/local/bin/$NAME
printf '#!/sbin/openrc-run\nsupervisor=supervise-daemon\ncommand=/usr/local/bin/%s\nrespawn_delay=1\nrespawn_max=0\noutput_log=%q\nerror_log=%q\nsupervise_daemon_args="--env FORERUN_STATE_DIR=%q"\n' $NAME "'$PWD/log'" "'$PWD/log'" "$FORERUN_STATE_DIR" >/etc/init.d/$NAME
chmod 755 /etc/init.d/$NAME /usr/local/bin/$NAME
rc-service $NAME start >out 2>&1 || { cat out; exit 1; }
until_ok '$FORERUN status $NAME >/dev/null'
# Three times the pause after which supervise-daemon would start the script again.
sleep 3
[ $(wc -l <runs) = 1 ] || { echo "$(wc -l <runs) runs"; cat log; exit 1; }
grep -q "OpenRC started our parent" log && grep -q "write 'exec' before forerun" log || { cat log; exit 1; }
rc-service $NAME stop >/dev/null 2>&1
echo "all of it"
"#;
    let all = booted(&room, &name, port, script);
    assert!(all.code == Some(0) && all.stdout.ends_with("all of it\n"), "{}{}", all.stdout, all.stderr);
}

#[test]
fn a_script_is_one_for_a_shell_and_keeps_its_path() {
    let room = Room::new();
    let folder = service(&room, "web", free_port());
    let write = |path: &str| {
        let mut command = room.forerun();
        command.current_dir(&folder).env("PATH", path).args([
            "unit",
            "openrc",
            "--system",
            "--install",
            "--force",
            "--dir",
        ]);
        done(command.arg(room.path())).expect_code(0);
        std::fs::read_to_string(room.path().join("web")).expect("a script")
    };
    let text = write("/usr/bin:/bin:/opt/my tools");
    for part in [
        "#!/sbin/openrc-run\n",
        "\nsupervisor=supervise-daemon\n",
        "\nretry=SIGINT/10/KILL/5\n",
        "\nrespawn_max=0\n",
        "/my site/forerun.toml",
        "/opt/my tools",
        " reload web\n",
        " stop web >",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    done(Command::new("sh").arg("-n").arg(room.path().join("web"))).expect_code(0);
    // What openrc-run does with the command.
    let show = format!("{text}\neval set -- $supervise_daemon_args $command -- $command_args; printf '%s\\n' \"$@\"\n");
    let shown = done(Command::new("sh").args(["-c", &show])).stdout;
    let config = folder.join("forerun.toml");
    for word in ["PATH=/usr/bin:/bin:/opt/my tools", "--foreground", config.to_str().expect("a path")] {
        assert!(shown.lines().any(|line| line == word), "no {word:?} in\n{shown}");
    }
    assert!(write("/usr/bin").contains("PATH=/usr/bin:/bin:/opt/my tools"), "an installed unit keeps its folders");
}
