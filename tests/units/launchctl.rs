//! `--install --now` and `--uninstall` under launchd, with a fake launchctl that behaves like the real one at its
//! worst: `bootout` returns early, and `bootstrap` fails until the label is free. (CI runs the real one on macOS.)

use std::fs;
use std::path::PathBuf;

use crate::common::{Done, Room, answer, done, eventually, free_port, has};
use crate::{config, skip_unless, unique};

/// Files that make the fake worse: `refusals` (how many times an order fails), `spurious` (an order that worked reports
/// an error), `slowly` (a job begins as a shell), `resting` (the state of a job without a process), `nobody` (is logged
/// in), `broken`.
const LAUNCHCTL: &str = r#"#!/bin/sh
cd FOLDER
echo "$*" >>calls
count() { n=$(cat "$1" 2>/dev/null || echo 0); echo $((n - 1)) >"$1"; [ "$n" -gt 0 ]; }
case $1 in
  print)
    case $2 in */*/*) ;; *) [ ! -e nobody ]; exit ;; esac
    [ ! -e broken ] || { echo "Not privileged" >&2; exit 1; }
    if [ -e draining ] && ! count draining; then rm -f loaded draining; fi
    [ -e loaded ] || { echo "Bad request. Could not find service" >&2; exit 113; }
    printf '%s = {\n\tactive count = 1\n\tpath = x\n\tstate = %s\n\n\tprogram = y\n' "$2" "$(cat resting 2>/dev/null || echo running)"
    cat shown
    [ -e resting ] || printf '\tpid = %s\n' "$(cat loaded)"
    printf '\tlast exit code = 1\n\n\tproperties = {\n\t\tstate = other\n\t\tpid = 1\n\t}\n}\n' ;;
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
with open("shown", "w") as shown:
    lines = "".join("\t\t" + argument + "\n" for argument in job["ProgramArguments"])
    shown.write("\targuments = {\n" + lines + "\t}\n\texit timeout = " + str(job["ExitTimeOut"]) + "\n")
if os.path.exists("slowly"):
    job["ProgramArguments"] = ["sh", "-c", "sleep 1; exec \"$@\"", "sh"] + job["ProgramArguments"]
print(subprocess.Popen(job["ProgramArguments"], env=environment, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid)
' "$3" >loaded
    [ ! -e spurious ] || { echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; } ;;
  kickstart) [ ! -e spurious ] || exit 37; if count refusals; then echo "Could not find service" >&2; exit 113; fi ;;
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

    /// The domain of an agent.
    fn domain() -> String {
        format!("gui/{}", nix::unistd::geteuid())
    }

    fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.config).expect("a file");
        assert!(text.contains(from), "{text}");
        fs::write(&self.config, text.replace(from, to)).expect("written");
    }

    fn plist(&self) -> PathBuf {
        self.room.path().join(format!("agents/forerun.{}.plist", unique("job")))
    }

    /// Runs forerun with the fake launchctl.
    fn forerun(&self, words: &[&str]) -> Done {
        let mut command = self.room.forerun();
        let path = format!("{}:{}", self.room.path().display(), std::env::var("PATH").expect("PATH"));
        done(command.env("PATH", path).args(words))
    }

    /// The calls of launchctl that change something.
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
    let domain = Scene::domain();
    let job = format!("{domain}/forerun.{}", unique("job"));
    let plist = scene.plist().display().to_string();
    let (enable, bootstrap, kickstart) =
        (format!("enable {job}"), format!("bootstrap {domain} {plist}"), format!("kickstart {job}"));

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

    // Nothing changed: nothing is stopped.
    scene.run(&["--install", "--now"]).expect_code(0);
    assert_eq!(answer(scene.port), Some(pid));
    assert_eq!(scene.orders(), [kickstart.as_str()]);

    // Something changed: the old job must be gone first, whatever `bootout` reported.
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
    scene.change("\n[health]\n", "\n[health]\nstatus = '204'\ntimeout = '1s'\n");
    let failed = scene.run(&["--install", "--now"]).expect_code(1);
    failed.expect_stderr(&["is installed but does not serve under launchd: it is not healthy: ", "status 200"]);
    scene.run(&["--uninstall"]).expect_code(0);
}

#[test]
fn a_start_by_hand_asks_the_job_first() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    let unit = ["unit", "launchd", "--user", "--config", &scene.config];
    let installed = scene.forerun(&[&unit[..], &["--install"]].concat()).expect_code(0).stdout;
    let plist = installed.lines().next().and_then(|line| line.strip_prefix("wrote ")).expect("a path").to_owned();
    let file = AtHome(PathBuf::from(&plist));
    let start = || scene.forerun(&["--config", &scene.config]);
    // launchd starts it at the next login.
    let told = start()
        .expect_code(75)
        .expect_stderr(&["is the unit '", "of launchd, which is enabled but does not run: not loaded"]);
    assert!(
        told.stderr.contains(&format!("start it there: launchctl bootstrap {} {plist}", Scene::domain())),
        "{}",
        told.stderr
    );
    // The job is loaded, and between two starts.
    scene.room.file("loaded", "1");
    scene.room.file("shown", "");
    scene.room.file("resting", "spawn scheduled");
    start().expect_code(75).expect_stderr(&["of launchd, which is being started or stopped: spawn scheduled"]);
    for file in ["loaded", "resting"] {
        fs::remove_file(scene.room.path().join(file)).expect("removed");
    }
    scene.room.file("disabled", &format!("disabled services = {{\n\t\"forerun.{}\" => disabled\n}}\n", unique("job")));
    start().expect_code(0);
    scene.forerun(&["stop", &unique("job")]).expect_code(0);
    scene.forerun(&[&unit[..], &["--uninstall"]].concat()).expect_code(0);
    assert!(!file.0.exists());
}

/// A plist in the user's folder. Removes it at the end, and the folders that it made if nobody else uses them.
struct AtHome(PathBuf);

impl Drop for AtHome {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        for folder in self.0.ancestors().skip(1).take(2) {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[test]
fn an_order_that_worked_is_not_a_failure_whatever_launchctl_reports() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    scene.room.file("spurious", "");
    scene.run(&["--install", "--now"]).expect_code(0);
    assert!(answer(scene.port).is_some());
    scene.run(&["--uninstall"]).expect_code(0);
}

#[test]
fn a_job_of_an_older_plist_is_loaded_again() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    scene.run(&["--install", "--now"]).expect_code(0);
    let pid = answer(scene.port).expect("it serves");
    scene.run(&["--grace", "4s", "--install"]).expect_code(0);
    scene.orders();
    // The file is right. launchd has loaded an older one.
    let again = scene.run(&["--grace", "4s", "--install", "--now"]).expect_code(0);
    assert!(again.stdout.starts_with("unchanged "), "{}", again.stdout);
    assert!(scene.orders()[0].starts_with("bootout "));
    assert!(answer(scene.port).is_some_and(|now| now != pid));
    scene.run(&["--uninstall"]).expect_code(0);
}

#[test]
fn a_job_that_stands_by_is_no_success_though_it_began_as_a_shell() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    scene.change("\n[health]\n", "\n[health]\ntimeout = '1s'\n");
    scene.forerun(&["--detach", "--config", &scene.config]).expect_code(0);
    let pid = answer(scene.port).expect("it serves");
    scene.room.file("slowly", "");
    let failed = scene.run(&["--install", "--now"]).expect_code(1);
    failed
        .expect_stderr(&["is installed but does not serve under launchd: forerun, pid ", " is waiting or standing by"]);
    assert_eq!(answer(scene.port), Some(pid));
    scene.run(&["--uninstall"]).expect_code(0);
    scene.forerun(&["stop", &unique("job")]).expect_code(0);
}

#[test]
fn an_agent_of_somebody_who_is_not_logged_in_is_not_tried() {
    skip_unless!(has("python3"), "no python3");
    let scene = Scene::new();
    scene.room.file("nobody", "");
    scene.run(&["--install", "--now"]).expect_code(1).expect_line(&["not logged in at the screen", "daemon"]);
    assert!(!scene.plist().exists());
    fs::remove_file(scene.room.path().join("nobody")).expect("removed");
    // If launchctl fails in another way, the job may still run, so its plist stays.
    scene.run(&["--install"]).expect_code(0);
    scene.room.file("broken", "");
    scene.run(&["--uninstall"]).expect_code(1).expect_line(&["cannot run 'launchctl print", "Not privileged"]);
    assert!(scene.plist().exists());
}

#[test]
fn the_log_is_where_the_user_of_the_job_can_write() {
    let room = Room::new();
    let log = |scope: &str| {
        let text = room.run(&["unit", "launchd", scope, "--dir", "/opt/plists", "--name", "web", "--", "x"]).stdout;
        let path = text.split("<key>StandardOutPath</key>").nth(1).and_then(|rest| rest.split("</string>").next());
        path.and_then(|path| path.split("<string>").nth(1)).expect("a path").to_owned()
    };
    let us = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("a database").expect("a user");
    let home = us.dir.join("Library/Logs/forerun.web.log").display().to_string();
    assert_eq!(log("--user"), home);
    assert_eq!(log("--system"), if us.uid.is_root() { "/Library/Logs/forerun.web.log".to_owned() } else { home });
}
