//! Nothing but what provably belongs to an instance is ever signalled. These stand beside a server, or come from it, and
//! must not be taken for it: the reader of its pipeline, who started it, what a person runs in a tmux of its web
//! terminal, agents and editors' servers, other addresses, reused numbers, other namespaces and other containers.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::holds_within;
use common::process::{SESSION, in_own_session, pids, send, stat};
use common::{Done, Forerun, Killed, Room, accepts, alive, answer, done, eventually, fixture, free_port, has, is_root};

/// Long enough for a signal that was sent to be seen.
const A_WHILE: Duration = Duration::from_millis(500);

/// A room, and whatever runs in its folder in the end is killed: most of these show no environment.
struct Scene {
    room: Room,
    port: u16,
}

impl Scene {
    fn new() -> Self {
        Scene { room: Room::new(), port: free_port() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// What makes it the service `web`, before the server's own words.
    fn options(&self) -> String {
        format!("--name web --health http://127.0.0.1:{}/ --grace 3s --", self.port)
    }

    fn server(&self, more: &str) -> String {
        format!("{} {} serve {} --answer-pid {more}", self.options(), fixture().display(), self.port)
    }

    /// forerun with these words, as a shell has them.
    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {Forerun} {words}")]).env_clear().current_dir(self.room.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("FORERUN_STATE_DIR", self.room.state());
        command.stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn forerun(&self, words: &str) -> Done {
        done(&mut self.command(words))
    }

    /// Starts the server detached, and returns its pid.
    #[track_caller]
    fn start(&self, more: &str) -> i32 {
        self.forerun(&format!("--detach {}", self.server(more))).expect_code(0);
        answer(self.port).expect("it serves")
    }

    /// Runs a script in the room as a shell of its own session that has nothing of ours open.
    fn script(&self, text: &str) -> Killed {
        let text = format!("export FORERUN_STATE_DIR={}\n{text}", self.room.state().display());
        let file = self.room.file("script", &text);
        let mut command = Command::new("bash");
        command.arg(file).current_dir(self.room.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Killed(in_own_session(&mut command).spawn().expect("bash"))
    }

    #[track_caller]
    fn runs(&self) -> i32 {
        eventually("it runs", || answer(self.port).is_some() && self.forerun("status web").code == Some(0));
        answer(self.port).expect("it serves")
    }

    /// A pid that a script writes.
    #[track_caller]
    fn pid_in(&self, name: &str) -> i32 {
        let read = || std::fs::read_to_string(self.path(name)).unwrap_or_default().trim().parse().ok();
        eventually(&format!("a pid in {name}"), || read().is_some());
        read().expect("a pid")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let here = |pid: &i32| {
            let at = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            at.starts_with(self.room.path()) && alive(*pid)
        };
        let left = || pids().into_iter().filter(here).collect::<Vec<_>>();
        holds_within(common::DEADLINE, || {
            left().into_iter().for_each(|pid| send(pid, libc::SIGKILL));
            left().is_empty()
        });
    }
}

#[track_caller]
fn stays(pid: i32, what: &str) {
    assert!(!holds_within(A_WHILE, || !alive(pid)), "{what} was ended");
}

/// Overwrites its name and environment, as loggers do.
const LOGGER: &str = "perl -e '$0 = \"logger\"; sleep 1000'";

// Pipelines.

/// `forerun | reader`: the reader is the shell's, and reads on after the stop until all is read.
#[track_caller]
fn a_reader(options: &str, job_control: bool) {
    skip_unless!(has("perl"), "perl is not installed");
    let scene = Scene::new();
    // It reads one line, then nothing until it is told to: what waits in the pipe is lost with it.
    let reader = "$0 = 'logger'; $_ = <STDIN>; open F, '>', 'first'; close F;
        select undef, undef, undef, 0.01 until -e 'go';
        my $count = 1; while (<STDIN>) { $count++ } open F, '>', 'count.new'; print F $count; close F;
        rename 'count.new', 'count';";
    scene.room.file("reader.pl", reader);
    let control = if job_control { "set -m\n" } else { "" };
    let server = scene.server("--lines 40");
    let _shell = scene.script(&format!(
        "{control}{Forerun} --foreground {options} {server} | perl reader.pl\necho ${{PIPESTATUS[1]}} >status\n"
    ));
    scene.runs();
    eventually("it reads", || scene.path("first").exists());
    let stopped = scene.forerun("stop web").expect_code(0);
    assert!(stopped.stdout.starts_with("stopped web: pid "), "{}", stopped.stdout);
    let ended = holds_within(A_WHILE, || scene.path("status").exists());
    assert!(!ended, "the reader was ended");
    scene.room.file("go", "");
    assert_eq!(scene.pid_in("status"), 0);
    assert!(scene.pid_in("count") >= 41, "some of the log was lost");
}

#[test]
fn a_reader_of_the_servers_pipeline_reads_all() {
    a_reader("", false);
}

#[test]
fn a_reader_in_a_group_of_the_job_reads_all() {
    a_reader("", true);
}

#[test]
fn a_reader_of_a_watched_servers_pipeline_reads_all() {
    a_reader("--watch", true);
}

/// The same when the server is killed, and the sidecar or the next start finds what is left.
#[test]
fn a_reader_outlives_a_server_that_was_killed() {
    skip_unless!(has("perl"), "perl is not installed");
    for options in ["", "--watch"] {
        let scene = Scene::new();
        let server = scene.server("--prefork 2 --overwrite");
        let _shell = scene.script(&format!(
            "{Forerun} --foreground {options} {server} | perl -e '$0 = \"logger\"; open F, \">reader\"; print F $$; close F; \
             sleep 1000'\n"
        ));
        let main = scene.runs();
        let reader = scene.pid_in("reader");
        send(main, libc::SIGKILL);
        eventually("it ends", || !alive(main));
        let next = scene.start("");
        stays(reader, "the reader");
        assert!(alive(next));
        scene.forerun("stop web").expect_code(0);
        stays(reader, "the reader");
    }
}

// Who was there before.

/// `helper & exec forerun`: the helper is a child of the server's process, and none of the server's.
#[test]
fn a_helper_that_was_there_before_is_none_of_the_server() {
    skip_unless!(has("perl"), "perl is not installed");
    for (helper, options) in [(LOGGER, ""), ("env -i sleep 1000", "--watch"), ("sleep 1000", "")] {
        let scene = Scene::new();
        let server = scene.server("--prefork 1");
        let _shell =
            scene.script(&format!("{helper} &\necho $! >helper\nexec {Forerun} --foreground {options} {server}\n"));
        scene.runs();
        let helper = scene.pid_in("helper");
        scene.forerun("stop web").expect_code(0);
        stays(helper, "the helper");
        assert!(!accepts(scene.port));
    }
}

/// The same program beside it in its session and group, whose environment cannot be read.
#[test]
fn the_same_program_in_the_same_session_is_a_stranger() {
    let scene = Scene::new();
    let other = free_port();
    let server = scene.server("--prefork 2 --overwrite");
    // No job control: all of them are of one session and one group, and none is another's parent.
    let _shell = scene.script(&format!(
        "{} serve {other} --overwrite &\necho $! >before\n{Forerun} --foreground {server} &\n\
         until [ -e go ]; do sleep 0.02; done\n{} serve {} --overwrite &\necho $! >after\nwait\n",
        fixture().display(),
        fixture().display(),
        free_port(),
    ));
    let main = scene.runs();
    scene.room.file("go", "");
    let strangers = [scene.pid_in("before"), scene.pid_in("after")];
    eventually("it listens", || accepts(other));
    send(main, libc::SIGKILL);
    eventually("it ends", || !alive(main));
    assert!(accepts(scene.port), "its workers hold the port");
    scene.forerun(&format!("--detach {}", scene.server(""))).expect_code(0);
    strangers.into_iter().for_each(|pid| stays(pid, "the same program"));
    scene.forerun("stop web").expect_code(0);
    strangers.into_iter().for_each(|pid| stays(pid, "the same program"));
}

/// A daemon of the caller's comes to the caller, which forerun's process is by then.
#[test]
fn a_daemon_of_the_caller_outlives_a_start_that_fails() {
    let scene = Scene::new();
    let other = free_port();
    let mut shell = scene.script(&format!(
        "(sleep 0.3; exec {0} serve {other} --background --overwrite --answer-pid) &\n\
         exec {Forerun} --detach --name web --port 0 --health http://127.0.0.1:{1}/ --health-timeout 2s -- {0} serve {2}\n",
        fixture().display(),
        scene.port,
        free_port(),
    ));
    eventually("the daemon is there", || answer(other).is_some());
    let daemon = answer(other).expect("a pid");
    let mut status = None;
    eventually("the start has failed", || {
        status = shell.0.try_wait().expect("waited");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    stays(daemon, "the daemon of the caller");
}

#[test]
fn a_daemon_of_the_caller_outlives_the_stop_of_a_server() {
    let scene = Scene::new();
    let other = free_port();
    let mut shell = scene.script(&format!(
        "{} serve {other} --background --overwrite --answer-pid\nexec {Forerun} --detach {}\n",
        fixture().display(),
        scene.server("")
    ));
    scene.runs();
    eventually("the start has ended", || !shell.is_well());
    eventually("the daemon is there", || answer(other).is_some());
    let daemon = answer(other).expect("a pid");
    scene.forerun("stop web").expect_code(0);
    stays(daemon, "the daemon of the caller");
}

// What a person started in the server's web terminal.

/// Runs a script in the web terminal of a server, and returns a pid that it writes to `pid`.
fn in_terminal(scene: &Scene, script: &str) -> i32 {
    let file = scene.path("terminal");
    scene.start(&format!("--run {}", file.display()));
    scene.room.file("terminal.new", script);
    std::fs::rename(scene.path("terminal.new"), file).expect("renamed");
    scene.pid_in("pid")
}

/// A terminal of a person's that outlives the server, and the program that a person starts in it on the server's port.
fn multiplexer(program: &str, begin: &str, pid: &str, types: &str) {
    skip_unless!(has(program), "{program} is not installed");
    let scene = Scene::new();
    let server = in_terminal(&scene, &format!("{begin}\n{pid} >pid\nsleep 1000\n"));
    let typed = |scene: &Scene, line: &str| {
        let script = format!("{}\n", types.replace("LINE", line));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(scene.room.path()).stdin(Stdio::null());
        done(&mut command).expect_code(0);
    };
    stays(server, program);
    let stopped = scene.forerun("stop web").expect_code(0);
    stays(server, program);
    assert!(format!("{}{}", stopped.stdout, stopped.stderr).contains("left alone"), "{}", stopped.stderr);
    // The person's own server, where the service's was.
    typed(&scene, &format!("{} serve {} --answer-pid", fixture().display(), scene.port));
    eventually("the person's serves", || answer(scene.port).is_some());
    let persons = answer(scene.port).expect("a pid");
    let refused = scene.forerun(&format!("--detach {}", scene.server(""))).expect_code(75);
    assert!(refused.stderr.contains(&format!("pid {persons}")), "{}", refused.stderr);
    for command in ["--detach --replace", "--foreground --on-conflict fail"] {
        scene.forerun(&format!("{command} {}", scene.server(""))).expect_code(75);
    }
    scene.forerun("stop web");
    stays(persons, "the program of a person");
    assert!(alive(server));
    // While an instance lives, it is told where its own are.
    send(persons, libc::SIGKILL);
    eventually("the port is free", || !accepts(scene.port));
    scene.start("");
    scene.forerun("stop web").expect_code(0);
    stays(server, program);
}

const TMUX: &str = "tmux -f /dev/null -S ./mux";

#[test]
fn what_a_person_runs_in_a_tmux_of_the_web_terminal_is_theirs() {
    multiplexer(
        "tmux",
        &format!("{TMUX} new-session -d -s mine"),
        &format!("{TMUX} display-message -p '#{{pid}}'"),
        &format!("{TMUX} send-keys -t mine 'LINE' Enter"),
    );
}

#[test]
fn what_a_person_runs_in_a_screen_of_the_web_terminal_is_theirs() {
    multiplexer(
        "screen",
        "mkdir -m 700 screens; export SCREENDIR=$PWD/screens; screen -c /dev/null -dmS mine sh",
        "until ls screens | grep -q mine; do sleep 0.02; done; ls screens | cut -d. -f1",
        "SCREENDIR=$PWD/screens screen -S mine -X stuff 'LINE\n'",
    );
}

/// A tmux of the running instance on the service's port: the server has gone, and what a person runs there stays.
#[test]
fn a_persons_program_that_took_the_port_of_a_dead_server_is_named_and_kept() {
    skip_unless!(has("tmux"), "tmux is not installed");
    let scene = Scene::new();
    in_terminal(
        &scene,
        &format!("{TMUX} new-session -d -s mine\n{TMUX} display-message -p '#{{pid}}' >pid\nsleep 1000\n"),
    );
    let main = answer(scene.port).expect("a pid");
    send(main, libc::SIGKILL);
    eventually("the port is free", || !accepts(scene.port));
    let mut typed = Command::new("tmux");
    typed.args(["-S", "./mux", "send-keys", "-t", "mine"]).current_dir(scene.room.path());
    typed.arg(format!("{} serve {} --answer-pid", fixture().display(), scene.port)).arg("Enter");
    done(typed.stdin(Stdio::null())).expect_code(0);
    eventually("the person's serves", || answer(scene.port).is_some());
    let persons = answer(scene.port).expect("a pid");
    let refused = scene.forerun(&format!("--detach {}", scene.server(""))).expect_code(75);
    assert!(refused.stderr.contains(&format!("pid {persons}")), "{}", refused.stderr);
    stays(persons, "the program of a person");
    scene.forerun("stop web");
    stays(persons, "the program of a person");
}

/// Waits until a process has a session of its own: a shell has its number before.
#[track_caller]
fn leads(pid: i32) -> i32 {
    eventually("it is in a session of its own", || stat(pid, SESSION) == i64::from(pid));
    pid
}

/// Left for a session of its own, with the cookie: named and left alone, until `--all`.
#[track_caller]
fn agent(scene: &Scene, agent: i32) {
    leads(agent);
    let stopped = scene.forerun("stop web").expect_code(0);
    let said = format!("{}{}", stopped.stdout, stopped.stderr);
    assert!(said.contains(&agent.to_string()) && said.contains("left alone"), "{said}");
    stays(agent, "what left for a session of its own");
    scene.start("");
    scene.forerun(&format!("--detach --replace {}", scene.server(""))).expect_code(0);
    scene.forerun("stop web").expect_code(0);
    stays(agent, "what left for a session of its own");
}

#[test]
fn an_ssh_agent_of_the_web_terminal_is_left_alone() {
    skip_unless!(has("ssh-agent"), "ssh-agent is not installed");
    let scene = Scene::new();
    let pid = in_terminal(&scene, "eval $(ssh-agent -s -a ./agent)\necho $SSH_AGENT_PID >pid\nsleep 1000\n");
    agent(&scene, pid);
}

/// An editor's server: in a session of its own, with a worker, on a port of its own. Who started it has ended.
#[test]
fn an_editors_server_of_the_web_terminal_is_left_alone() {
    let scene = Scene::new();
    let server = format!("{} serve {} --workers 1", fixture().display(), free_port());
    let script = format!("(setsid {server} >/dev/null 2>&1 & echo $! >pid)\nsleep 1000\n");
    let pid = in_terminal(&scene, &script);
    agent(&scene, pid);
}

#[test]
fn stop_all_ends_what_left_for_a_session_of_its_own() {
    let scene = Scene::new();
    let pid = leads(in_terminal(&scene, "setsid sleep 1000 &\necho $! >pid\nsleep 1000\n"));
    scene.forerun("stop web --all").expect_code(0);
    eventually("it is ended", || !alive(pid));
}

/// The same port of another address is another port.
#[test]
fn what_left_and_listens_on_another_address_is_left_alone() {
    skip_unless!(has("python3"), "python3 is not installed");
    let scene = Scene::new();
    let (port, options) = (scene.port, scene.options());
    scene.room.file(
        "server.sh",
        &format!(
            "(setsid python3 -m http.server --bind 127.0.0.2 {port} >/dev/null 2>&1 & echo $! >other)\n\
             exec {} serve {port} --answer-pid\n",
            fixture().display()
        ),
    );
    scene.forerun(&format!("--detach {options} sh server.sh")).expect_code(0);
    let other = leads(scene.pid_in("other"));
    eventually("the other listens", || std::net::TcpStream::connect(("127.0.0.2", port)).is_ok());
    scene.forerun("stop web").expect_code(0);
    stays(other, "a listener on another address");
    // And a start is not kept from its own address.
    scene.forerun(&format!("--detach {}", scene.server(""))).expect_code(0);
    stays(other, "a listener on another address");
}

/// "ready" is not said of who took the port meanwhile.
#[test]
fn a_younger_stranger_on_the_port_does_not_make_it_ready() {
    let scene = Scene::new();
    let go = scene.path("go");
    let starts = scene.command(&format!("--detach {}", scene.server(&format!("--when {}", go.display()))));
    let mut starts = starts;
    let child = starts.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("spawned");
    eventually("its server is there", || scene.room.state().join("web/record.json").exists());
    let mut stranger = Command::new(fixture());
    stranger.args(["serve", &scene.port.to_string(), "--answer-pid"]).env_clear().stdout(Stdio::null());
    let mut stranger = Killed(in_own_session(&mut stranger).spawn().expect("spawned"));
    let ended = common::collect(child);
    assert_eq!(ended.status.code(), Some(75), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(stranger.is_well() && answer(scene.port) == Some(stranger.pid()));
}

// Numbers, clocks and machines.

/// Skips where no namespaces of these kinds can be made.
macro_rules! needs_namespaces {
    ($($kind:literal),*) => {
        let words = [$($kind),*];
        let made = Command::new("unshare").args(words).args(["--fork", "true"]).stderr(Stdio::null()).status();
        skip_unless!(is_root() && made.is_ok_and(|status| status.success()), "it needs root and namespaces: {words:?}");
    };
}

/// A session whose number was the server's is somebody else's now, and its leader has ended.
#[test]
fn who_is_in_a_session_of_a_reused_number_is_a_stranger() {
    needs_namespaces!("--pid", "--mount-proc");
    let scene = Scene::new();
    let script = format!(
        "[ -w /proc/sys/kernel/ns_last_pid ] || exit 77
         hits=0
         for i in $(seq 60); do
           {Forerun} --detach --name web --port 0 -- sleep 300 >started || exit 78
           server=$({Forerun} status web --json | sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/;t;d')
           kill -9 $server
           while kill -0 $server 2>/dev/null; do :; done
           echo $((server - 1)) >/proc/sys/kernel/ns_last_pid
           setsid sh -c 'env -i sleep 301 & echo $! >child' & leader=$!
           wait $leader
           read child <child
           if [ $leader = $server ]; then
             {Forerun} stop web >stopped 2>&1
             kill -0 $child || exit 1
             {Forerun} --detach --name web --port 0 -- sleep 300 >started || exit 78
             kill -0 $child || exit 1
             hits=$((hits + 1))
           fi
           {Forerun} stop web >stopped 2>&1
           kill -9 $child
           [ $hits -lt 5 ] || exit 0
         done
         exit 79"
    );
    let script = scene.room.file("script", &script);
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "bash"]).arg(script);
    command.env("FORERUN_STATE_DIR", scene.room.state()).current_dir(scene.room.path()).stdin(Stdio::null());
    done(&mut command).expect_code(0);
}

/// A start there sees other start times, and none of a recycled number.
#[test]
fn a_look_from_another_time_namespace_ends_nothing() {
    needs_namespaces!("--time", "--boottime", "86400");
    let scene = Scene::new();
    let server = scene.start("");
    for words in ["status web".to_owned(), format!("--detach {}", scene.server("")), "stop web".to_owned()] {
        let mut command = Command::new("unshare");
        command.args(["--time", "--boottime", "86400", "--fork", "sh", "-c", &format!("exec {Forerun} {words}")]);
        command.env("FORERUN_STATE_DIR", scene.room.state()).current_dir(scene.room.path()).stdin(Stdio::null());
        let said = done(&mut command);
        assert!(alive(server), "{words}: {}{}", said.stdout, said.stderr);
        if words.starts_with("--detach") {
            assert_eq!(said.code, Some(75), "{}", said.stderr);
        }
    }
    stays(server, "the server");
    scene.forerun("status web").expect_code(0);
    scene.forerun("stop web").expect_code(0);
    assert!(!alive(server));
}

/// Its number means another process there.
#[test]
fn a_look_from_another_pid_namespace_ends_nothing() {
    needs_namespaces!("--pid", "--mount-proc");
    let scene = Scene::new();
    let server = scene.start("");
    for words in ["status web".to_owned(), format!("--detach {}", scene.server("")), "stop web".to_owned()] {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg(format!("exec {Forerun} {words}"));
        command.env("FORERUN_STATE_DIR", scene.room.state()).current_dir(scene.room.path()).stdin(Stdio::null());
        let said = done(&mut command);
        assert!(alive(server), "{words}: {}{}", said.stdout, said.stderr);
        if words.starts_with("--detach") {
            assert_eq!(said.code, Some(75), "{}", said.stderr);
        }
    }
    scene.forerun("status web").expect_code(0);
    scene.forerun("stop web").expect_code(0);
    assert!(!alive(server));
}

/// A container as its runtime makes it: a root of its own whose upper folder is its own, its own pids and name.
const CONTAINER: &str = "
    mount -t tmpfs none $1 && mkdir $1/upper $1/work $1/root &&
    mount -t overlay none -o lowerdir=/,upperdir=$1/upper,workdir=$1/work $1/root || exit 79
    root=$1/root
    mount -t proc proc $root/proc
    mount --rbind /dev $root/dev
    mkdir -p $root$ROOM
    mount --bind $ROOM $root$ROOM
    hostname of-$(basename $1)
    shift
    exec chroot $root sh -c 'cd $ROOM && exec \"$@\"' sh \"$@\"
";

/// Two of one machine share the folder of states.
#[test]
fn two_containers_with_one_folder_run_one_server() {
    needs_namespaces!("--mount", "--pid", "--uts");
    let scene = Scene::new();
    let script = scene.room.file("container.sh", CONTAINER);
    let container = |name: &str, seconds: &str, limit: &str| {
        let folder = scene.path(name);
        let _ = std::fs::create_dir(&folder);
        // One that starts its server, which it must not, would run for ever.
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", limit, "unshare", "--mount", "--propagation", "private", "--uts", "--pid"]);
        command.args(["--fork", "--kill-child", "bash"]);
        command.arg(&script).arg(folder).arg(Forerun.to_string());
        command.args(["--foreground", "--on-conflict", "fail", "--name", "web", "--port", "0", "--", "sleep", seconds]);
        command.env("FORERUN_STATE_DIR", scene.room.state()).env("ROOM", scene.room.path()).stdin(Stdio::null());
        command
    };
    let running = |seconds: &str| {
        let line = format!("sleep\0{seconds}\0");
        let is = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default() == line.as_bytes();
        pids().into_iter().filter(is).collect::<Vec<_>>()
    };
    let seconds = format!("{}", 100_000 + std::process::id() % 100_000);
    let mut first = Killed(container("first", &seconds, "600").stdout(Stdio::null()).spawn().expect("unshare"));
    let mut gone = false;
    eventually("the first one runs", || {
        gone = !first.is_well();
        gone || running(&seconds).len() == 1
    });
    skip_unless!(!gone, "no overlay can be mounted here");
    let server = running(&seconds)[0];
    // Its number, inside, is that of the second one's own processes, which is no reason to think it ended.
    for _ in 0..3 {
        done(&mut container("second", &seconds, "20")).expect_code(75);
        assert_eq!(running(&seconds), [server]);
    }
    // Outside it is no better known.
    let said = scene.forerun(&format!("--detach --name web --port 0 -- sleep {seconds}"));
    assert_eq!((said.code, running(&seconds)), (Some(75), vec![server]), "{}", said.stderr);
    scene.forerun("stop web");
    assert_eq!(running(&seconds), [server]);
    assert!(Path::new(&scene.room.state().join("web/record.json")).exists());
}

// The witness of tests/tools, by which a person holds the whole suite against the kernel's own record.

/// A shell starts a helper and becomes forerun, which starts a server with a worker and signals one of these.
#[track_caller]
fn judged(target: &str, lost: &str) -> i32 {
    let room = Room::new();
    let event = |at: u32, by: u32, what: &str| format!(" x-{by} [000] .....  1.{at:06}: {what}\n");
    let forks = |at: u32, by: u32, child: u32| {
        event(at, by, &format!("task_newtask: pid={child} comm=x clone_flags=1200000 oom_score_adj=0"))
    };
    let executes = |at: u32, pid: u32, file: &str| {
        event(at, pid, &format!("sched_process_exec: filename={file} pid={pid} old_pid={pid}"))
    };
    let text = [
        "THERE 100 1 /bin/sh\n".to_owned(),
        forks(1, 100, 101),
        executes(2, 100, "/opt/forerun"),
        // A thread of it, which forks.
        event(3, 100, "task_newtask: pid=102 comm=x clone_flags=3d0f00 oom_score_adj=0"),
        forks(4, 102, 103),
        executes(5, 103, "/bin/server"),
        forks(6, 103, 104),
        event(7, 102, &format!("signal_generate: sig=15 errno=0 code=0 comm=x pid={target} grp=1 res=0")),
        lost.to_owned(),
    ];
    let trace = room.file("trace", &text.concat());
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/signals.py"));
    let said = done(command.args(["--binary", "/opt/forerun", "--read"]).arg(trace));
    assert!(said.stdout.starts_with("signals of forerun to others: "), "{}{}", said.stdout, said.stderr);
    said.code.expect("a code")
}

#[test]
fn the_witness_of_signals_tells_members_from_strangers() {
    skip_unless!(has("python3"), "python3 is not installed");
    for (target, lost, code) in [
        ("103", "", 0),
        ("104", "", 0),
        ("102", "", 0),
        ("101", "", 1),
        ("999", "", 1),
        ("103", "CPU:0 [LOST 3 EVENTS]\n", 3),
    ] {
        assert_eq!(judged(target, lost), code, "{target}{lost}");
    }
}

/// A start script starts another service, and then fails. That one is not of the start.
#[test]
fn a_start_inside_a_start_that_fails_is_left_alone() {
    let (room, port, other) = (Room::new(), free_port(), free_port());
    let inner = format!(
        "{} --detach --name other --port {other} -- {} serve {other} --answer-pid >inner 2>&1\nexit 3\n",
        common::Forerun,
        fixture().display()
    );
    let script = room.file("start.sh", &inner);
    let mut command = room.forerun();
    command
        .args(["--detach", "--name", "web", "--health", &format!("http://127.0.0.1:{port}/"), "--", "sh"])
        .arg(script);
    done(&mut command).expect_code(1);
    let inner = std::fs::read_to_string(room.path().join("inner")).unwrap_or_default();
    let pid = answer(other);
    assert!(pid.is_some_and(alive), "{inner}");
    room.run(&["stop", "other"]).expect_code(0);
}

/// A pid file that is no file is not waited for.
#[test]
fn a_pid_file_that_is_a_fifo_hangs_nobody() {
    let (room, port) = (Room::new(), free_port());
    let fifo = room.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a FIFO");
    room.file("forerun.toml", &format!("name = 'web'\nport = {port}\npid-file = '{}'\n", fifo.display()));
    let mut command = room.forerun();
    command.args(["--detach", "--", fixture().to_str().expect("UTF-8"), "serve", &port.to_string(), "--answer-pid"]);
    done(&mut command).expect_code(0);
    let main = answer(port).expect("it serves");
    // What is left is looked at, and so is the file.
    send(main, libc::SIGKILL);
    eventually("it has ended", || !accepts(port));
    room.run(&["status", "web"]).expect_code(1);
    room.run(&["stop", "web"]).expect_code(0);
}
