//! Measures the README's figures: `cargo bench`, or `cargo bench -- burning` for one of them. Ratios compare programs that
//! run in turn within one run. Instructions are counted by callgrind up to the exec. Linux only.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

#[allow(dead_code, reason = "`describe` is for the tests")]
#[path = "../tests/common/fixture.rs"]
mod fixture;

const FORERUN: &str = env!("CARGO_BIN_EXE_forerun");

fn main() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return fixture::main();
    }
    let room = tempfile::tempdir().expect("a temporary folder");
    // As a user's state folder is: on the disk, not in memory.
    let bench = Bench { state: room.path().join("state") };
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let all = [
        ("becoming", Bench::becoming as fn(&Bench)),
        ("instructions", Bench::instructions),
        ("noticing", Bench::noticing),
        ("burning", Bench::burning),
        ("many", Bench::waiting_for_many),
        ("watching", Bench::watching),
    ];
    for (_, measure) in all.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|word| word == name)) {
        measure(&bench);
    }
}

struct Bench {
    state: std::path::PathBuf,
}

impl Bench {
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("FORERUN_STATE_DIR", &self.state);
        command.current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Wall time of forerun in front of a command, relative to env(1).
    fn becoming(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let wait = format!("tcp:{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let rows: [(&str, &str, Vec<&str>); 4] = [
            ("/bin/true", "/bin/true", vec![]),
            ("env /bin/true", "/usr/bin/env", vec!["/bin/true"]),
            ("forerun --foreground -- /bin/true", FORERUN, vec!["--foreground", "--", "/bin/true"]),
            ("the same with --wait tcp:...", FORERUN, vec!["--foreground", "--wait", &wait, "--", "/bin/true"]),
        ];
        let mut times: [Vec<Duration>; 4] = Default::default();
        for round in 0..420 {
            for ((_, program, args), times) in rows.iter().zip(&mut times) {
                let begun = Instant::now();
                let status = self.command(program, args).status().expect("run");
                assert!(status.success(), "{program}");
                // The first rounds warm the caches.
                if round >= 20 {
                    times.push(begun.elapsed());
                }
            }
        }
        println!("Becoming the server: wall time of 400 runs in turn");
        let env = median(&mut times[1]).as_secs_f64();
        for ((what, ..), times) in rows.iter().zip(&mut times) {
            let median = median(times);
            println!("  {what:<36} {:>7.2} ms  {:>5.2} x env", median.as_secs_f64() * 1e3, median.as_secs_f64() / env);
        }
    }

    /// Instructions until execve(2).
    fn instructions(&self) {
        println!("Instructions until the exec (callgrind)");
        for (what, program, args) in [
            ("env /bin/true", "/usr/bin/env", &["/bin/true"][..]),
            ("forerun --foreground -- /bin/true", FORERUN, &["--foreground", "--", "/bin/true"]),
        ] {
            let out = self.state.join("callgrind");
            let mut valgrind = self.command("valgrind", &["--tool=callgrind", "--dump-before=execve"]);
            valgrind
                .arg(format!("--callgrind-out-file={}", out.display()))
                .arg(program)
                .args(args)
                .stderr(Stdio::null());
            let counted = valgrind.status().ok().and_then(|_| totals(&self.state));
            match counted {
                Some(count) => println!("  {what:<36} {count:>9}"),
                None => println!("  {what:<36} not counted: no valgrind"),
            }
        }
    }

    /// Time from the moment when a server listens until the detached start returns.
    fn noticing(&self) {
        let own = std::env::current_exe().expect("our own path");
        let late: Vec<(f64, f64)> = (0..50u64)
            .map(|round| {
                let after = 100 + (round * 2900 / 49);
                let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
                let (name, health) = (format!("bench{round}"), format!("http://127.0.0.1:{port}/"));
                let mut command = self.command(FORERUN, &["--detach", "--name", &name, "--health", &health, "--"]);
                let (port, after_text) = (port.to_string(), after.to_string());
                command.arg(&own).args(["serve", &port, "--after", &after_text]);
                assert!(command.status().expect("run").success());
                let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock");
                let folder = self.state.join(&name);
                let log = std::fs::read_to_string(folder.join("server.log")).expect("a log");
                let listening: u64 = log.trim().rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a time");
                kill_recorded(&folder);
                let late = now.saturating_sub(Duration::from_nanos(listening)).as_secs_f64() * 1e3;
                (late, late / (2.0 + after as f64 * 0.02))
            })
            .collect();
        println!("From listening until detached forerun returns: 50 servers that take 0.1 to 3 s");
        for (what, pick) in [("milliseconds", 0), ("of 2 ms + 2 % of the server's time", 1)] {
            let mut figures: Vec<f64> = late.iter().map(|l| if pick == 0 { l.0 } else { l.1 }).collect();
            figures.sort_by(f64::total_cmp);
            println!("  {what:<36} median {:>6.2}, 95th percentile {:>6.2}", figures[25], figures[47]);
        }
    }

    /// CPU time of a wait of three seconds, with the children of commands: the median of three, in turn. Servers answer at
    /// once that they do not serve.
    fn burning(&self) {
        let closed = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let held = TcpListener::bind("127.0.0.1:0").expect("a port");
        let held_port = held.local_addr().expect("an address").port();
        let socket = self.state.join("bench.sock");
        let _ = std::fs::create_dir_all(&self.state);
        let _ = std::fs::remove_file(&socket);
        serve_unix(&socket, UNAVAILABLE);
        let at = |word: &str, answer| format!("{word}://127.0.0.1:{}", refusing(answer));
        let checks = [
            ("tcp: refused", format!("tcp:127.0.0.1:{closed}")),
            ("http: refused", format!("http://localhost:{closed}/")),
            ("http: status 503", at("http", UNAVAILABLE)),
            ("http+unix: status 503", format!("http+unix:{}:/", socket.display())),
            ("https: closes in the handshake", at("https", b"")),
            ("postgres: starting up", at("postgres", STARTING)),
            ("mysql: too many connections", at("mysql", FULL)),
            ("redis: loading", at("redis", b"-LOADING Redis is loading the dataset in memory\r\n")),
            ("rediss: closes in the handshake", at("rediss", b"")),
            ("grpc: NOT_SERVING", at("grpc", NOT_SERVING)),
            ("grpcs: closes in the handshake", at("grpcs", b"")),
            ("unix: no such socket", "unix:/nonexistent".to_owned()),
            ("unix:@ refused", "unix:@forerun-bench-nobody".to_owned()),
            ("dns: no such name", "dns:forerun-bench.invalid".to_owned()),
            ("exec: false", "exec:false".to_owned()),
            ("free: held", format!("free:{held_port}")),
            ("file: none", "file:/nonexistent".to_owned()),
            ("dir: none", "dir:/nonexistent".to_owned()),
            ("cmd: none", "cmd:forerun-bench-nothing".to_owned()),
            ("env: not set", "env:FORERUN_BENCH_NOTHING".to_owned()),
            ("fds: too few", "fds:99999999".to_owned()),
            ("ptys: too few", "ptys:99999999".to_owned()),
        ];
        let mut times = vec![Vec::new(); checks.len()];
        for _ in 0..3 {
            for ((_, check), times) in checks.iter().zip(&mut times) {
                let before = children_cpu();
                let mut command = self.command(FORERUN, &["check", "--wait", check, "--wait-timeout", "3s"]);
                let status = command.stderr(Stdio::null()).status().expect("run");
                assert_eq!(status.code(), Some(69), "{check}");
                times.push(children_cpu() - before);
            }
        }
        println!("CPU time of a wait of 3 s that does not come true");
        let tcp = median(&mut times[0]).as_secs_f64();
        for ((what, _), times) in checks.iter().zip(&mut times) {
            let time = median(times).as_secs_f64();
            println!("  {what:<36} {:>6.1} ms  {:>5.1} x tcp", time * 1e3, time / tcp);
        }
    }

    /// Cost of a sidecar beside an idle server, for ten minutes.
    fn watching(&self) {
        const MINUTES: u32 = 10;
        let own = std::env::current_exe().expect("our own path");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let health = format!("http://127.0.0.1:{port}/");
        let mut command =
            self.command(FORERUN, &["--detach", "--name", "watched", "--watch", "--health", &health, "--"]);
        command.arg(&own).args(["serve", &port.to_string()]);
        assert!(command.status().expect("run").success());
        let folder = self.state.join("watched");
        let text = std::fs::read(folder.join("record.json")).expect("a record");
        let record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let sidecar = record["sidecar"]["pid"].as_i64().expect("a sidecar");
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{sidecar}/{file}")).expect("it runs");
        let number = |file: &str, key: &str| -> f64 {
            let text = read(file);
            let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
            line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
        };
        // User and system time of the sidecar and its children, in ticks of 10 ms (proc_pid_stat(5), fields 14 to 17).
        let cpu = || -> f64 {
            let text = read("stat");
            let fields = text.rsplit(')').next().expect("fields").split_whitespace();
            fields.skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * 10.0
        };
        let wakes = || number("status", "voluntary_ctxt_switches:");
        let (cpu_before, wakes_before) = (cpu(), wakes());
        std::thread::sleep(Duration::from_secs(60) * MINUTES);
        let hours = f64::from(MINUTES) / 60.0;
        println!("A sidecar that watches health and leaks each 10 s, for {MINUTES} minutes");
        println!("  {:<36} {:>6.0} KiB", "private memory (Anonymous)", number("smaps_rollup", "Anonymous:"));
        println!("  {:<36} {:>6.2} s", "CPU time in an hour, with attempts", (cpu() - cpu_before) / 1e3 / hours);
        println!("  {:<36} {:>6.2}", "wake-ups in a minute", (wakes() - wakes_before) / f64::from(MINUTES));
        kill_recorded(&folder);
    }

    /// Fifty waits that become true at random times, and ten that never do.
    fn waiting_for_many(&self) {
        let folder = self.state.join("waits");
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut random = std::fs::File::open("/dev/urandom").expect("random bytes");
        let mut delays: Vec<u64> = (0..50)
            .map(|_| {
                let mut bytes = [0; 2];
                random.read_exact(&mut bytes).expect("random bytes");
                u64::from(u16::from_ne_bytes(bytes)) * 2000 / 65_536
            })
            .collect();
        delays.sort_unstable();
        let paths: Vec<_> = (0..50).map(|n| folder.join(n.to_string())).collect();
        let mut command = self.command(FORERUN, &["check"]);
        for path in &paths {
            command.arg("--wait").arg(format!("file:{}", path.display()));
        }
        let begun = Instant::now();
        let maker = std::thread::spawn(move || {
            for (path, delay) in paths.iter().zip(delays) {
                std::thread::sleep(Duration::from_millis(delay).saturating_sub(begun.elapsed()));
                std::fs::write(path, "").expect("written");
            }
            Instant::now()
        });
        assert!(command.stderr(Stdio::null()).status().expect("run").success());
        let ended = Instant::now();
        let last = maker.join().expect("joined");
        println!("Many waits at once");
        println!(
            "  50 that come up within 2 s           {:>6.1} ms after the last",
            (ended - last).as_secs_f64() * 1e3
        );
        let mut command = self.command(FORERUN, &["check", "--wait-timeout", "1s"]);
        for n in 0..10 {
            command.args(["--wait", &format!("file:/nonexistent/{n}")]);
        }
        let begun = Instant::now();
        command.stderr(Stdio::null()).status().expect("run");
        println!("  10 that never come, with 1 s         {:>6.3} s", begun.elapsed().as_secs_f64());
    }
}

const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const FULL: &[u8] = b"\x17\0\0\0\xff\x10\x04Too many connections";
const STARTING: &[u8] = b"E\0\0\0\x3eSFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
/// SETTINGS, the status, the message and the trailers.
const NOT_SERVING: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x88\
    \0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x02\0\0\x0f\x01\x05\0\0\0\x01\0\x0bgrpc-status\x010";

/// A server that reads once, answers and closes. Returns its port.
fn refusing(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| refuse(stream, answer)));
    port
}

fn serve_unix(path: &Path, answer: &'static [u8]) {
    let listener = UnixListener::bind(path).expect("a socket");
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| refuse(stream, answer)));
}

fn refuse(mut stream: impl Read + Write, answer: &[u8]) {
    // MySQL's server speaks first.
    if answer != FULL {
        let _ = stream.read(&mut [0; 4096]);
    }
    let _ = stream.write_all(answer);
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Reads and removes the dump of callgrind.
fn totals(folder: &Path) -> Option<u64> {
    let dump = folder.join("callgrind.1");
    let text = std::fs::read_to_string(&dump).ok()?;
    std::fs::remove_file(&dump).ok()?;
    text.lines().find_map(|l| l.strip_prefix("totals: "))?.trim().parse().ok()
}

fn kill_recorded(folder: &Path) {
    let text = std::fs::read(folder.join("record.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let pid = record["process"]["pid"].as_i64().expect("a pid") as i32;
    // SAFETY: kill takes two integers; the record was written a moment ago by the forerun that we ran.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

fn children_cpu() -> Duration {
    // SAFETY: an all-zero rusage is valid, and the kernel fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}
