//! launchd's side of `--install --now` and `--uninstall`, against a launchctl that answers as the real one does in its
//! bad moments: `bootout` returns early, `bootstrap` fails until the label is free. (The real one is tried on macOS in
//! CI.)

use std::fs;
use std::path::PathBuf;

use crate::common::{Done, Room, answer, done, eventually, free_port, has};
use crate::{config, skip_unless, unique};

const LAUNCHCTL: &str = r#"#!/bin/sh
cd FOLDER
echo "$*" >>calls
count() { n=$(cat "$1" 2>/dev/null || echo 0); echo $((n - 1)) >"$1"; [ "$n" -gt 0 ]; }
case $1 in
  print)
    [ "$2" != gui/0 ] || exit 0
    if [ -e draining ] && ! count draining; then rm -f loaded draining; fi
    [ -e loaded ] || { echo "Bad request. Could not find service" >&2; exit 113; }
    printf '%s = {\n\tactive count = 1\n\tpath = x\n\tstate = running\n\n\tprogram = y\n\tpid = %s\n\tlast exit code = 0\n}\n' "$2" "$(cat loaded)" ;;
  bootout)
    kill -TERM "$(cat loaded)"; echo 3 >draining
    echo "Boot-out failed: 36: Operation now in progress" >&2; exit 36 ;;
  bootstrap)
    [ ! -e loaded ] || { echo "Bootstrap failed: 37: Operation already in progress" >&2; exit 37; }
    if count refusals; then echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; fi
    python3 -c '
import os, plistlib, subprocess, sys
job = plistlib.load(open(sys.argv[1], "rb"))
environment = {**job["EnvironmentVariables"], "XPC_SERVICE_NAME": job["Label"]}
log = open("log", "ab")
print(subprocess.Popen(job["ProgramArguments"], env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid)
' "$3" >loaded ;;
  kickstart) if count refusals; then echo "Could not find service" >&2; exit 113; fi ;;
  enable) ;;
  print-disabled) cat disabled 2>/dev/null ;;
  *) exit 64 ;;
esac
"#;

struct Scene {
    room: Room,
    config: String,
    port: u16,
}

impl Scene {
    fn new() -> Self {
        let room = Room::new();
        let port = free_port();
        let config = config(&room, &unique("job"), port, "");
        fs::create_dir(room.path().join("agents")).expect("a folder");
        room.executable("launchctl", &LAUNCHCTL.replace("FOLDER", &room.path().display().to_string()));
        Scene { room, config, port }
    }

    fn run(&self, words: &[&str]) -> Done {
        let dir = self.room.path().join("agents").display().to_string();
        self.forerun(&[&["unit", "launchd", "--user", "--config", &self.config, "--dir", &dir], words].concat())
    }

    fn plist(&self) -> PathBuf {
        self.room.path().join(format!("agents/forerun.{}.plist", unique("job")))
    }

    /// Runs it with this launchctl.
    fn forerun(&self, words: &[&str]) -> Done {
        let mut command = self.room.forerun();
        let path = format!("{}:{}", self.room.path().display(), std::env::var("PATH").expect("PATH"));
        done(command.env("PATH", path).args(words))
    }

    /// What was asked of launchctl that changes something.
    fn orders(&self) -> Vec<String> {
        let file = self.room.path().join("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        calls.lines().filter(|call| !call.starts_with("print")).map(str::to_owned).collect()
    }
}

#[test]
fn a_job_is_started_replaced_and_removed_whatever_launchctl_says_at_first() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let job = format!("gui/0/forerun.{}", unique("job"));
    let plist = scene.plist().display().to_string();
    let (enable, bootstrap, kickstart) =
        (format!("enable {job}"), format!("bootstrap gui/0 {plist}"), format!("kickstart {job}"));

    scene.room.file("refusals", "2");
    let started = scene.run(&["--install", "--now"]).expect_code(0);
    let pid = answer(scene.port).expect("it serves");
    let expected = format!(
        "wrote {plist}\n{} runs under launchd: pid {pid}, healthy: 'http://127.0.0.1:{}/' holds\n",
        unique("job"),
        scene.port
    );
    assert_eq!(started.stdout, expected);
    assert_eq!(scene.orders(), [&enable, &bootstrap, &bootstrap, &bootstrap, &kickstart].map(String::as_str));

    // As it is: nothing is stopped.
    scene.run(&["--install", "--now"]).expect_code(0);
    assert_eq!(answer(scene.port), Some(pid));
    assert_eq!(scene.orders(), [kickstart.as_str()]);

    // Another one: gone first, whatever `bootout` said.
    scene.room.file("refusals", "1");
    scene.run(&["--grace", "3s", "--install", "--now"]).expect_code(0);
    assert!(answer(scene.port).is_some_and(|now| now != pid));
    let bootout = format!("bootout {job}");
    assert_eq!(scene.orders(), [&bootout, &enable, &bootstrap, &bootstrap, &kickstart].map(String::as_str));

    scene.run(&["--uninstall"]).expect_code(0);
    assert_eq!(scene.orders(), [bootout.as_str()]);
    assert!(!scene.plist().exists());
    eventually("it has ended", || answer(scene.port).is_none());
}

#[test]
fn a_job_that_does_not_get_healthy_is_no_success() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let text = fs::read_to_string(&scene.config).expect("a file");
    fs::write(&scene.config, text.replace("\n[health]\n", "\n[health]\nstatus = '204'\ntimeout = '1s'\n"))
        .expect("written");
    let failed = scene.run(&["--install", "--now"]).expect_code(1);
    failed.expect_stderr(&["is installed, but does not serve under launchd: it is not healthy: ", "status 200"]);
    scene.run(&["--uninstall"]).expect_code(0);
}

#[test]
fn a_start_by_hand_asks_the_job_first() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let unit = ["unit", "launchd", "--user", "--config", &scene.config];
    let installed = scene.forerun(&[&unit[..], &["--install"]].concat()).expect_code(0).stdout;
    let plist = installed.lines().next().and_then(|line| line.strip_prefix("wrote ")).expect("a path").to_owned();
    let start = || scene.forerun(&["--config", &scene.config]);
    // At the next login launchd starts it.
    let told = start()
        .expect_code(75)
        .expect_line(&["is the unit '", "of launchd, which is enabled, but does not run: not loaded"]);
    assert!(told.stderr.contains(&format!("start it there: launchctl bootstrap gui/0 {plist}")), "{}", told.stderr);
    scene.room.file("disabled", &format!("disabled services = {{\n\t\"forerun.{}\" => disabled\n}}\n", unique("job")));
    start().expect_code(0);
    scene.forerun(&["stop", &unique("job")]).expect_code(0);
    scene.forerun(&[&unit[..], &["--uninstall"]].concat()).expect_code(0);
    assert!(!PathBuf::from(&plist).exists());
    // Folders that this made, where nobody else uses them.
    for folder in PathBuf::from(plist).ancestors().skip(1).take(2) {
        let _ = fs::remove_dir(folder);
    }
}
