//! A fault in one process of a detached start alone: in the launcher, or in the server before it is executed. strace
//! counts calls for each process, and forerun itself makes most of those calls first.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::common::{DEADLINE, Done};

/// Who is hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Role {
    Forerun,
    Launcher,
    Server,
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is killed as it makes the call.
    Killed,
    /// The call is not made, and this is its answer.
    Fails(i32),
}

/// One that is traced.
struct Traced {
    role: Role,
    is_inside: bool,
    calls: usize,
    answer: Option<i32>,
}

/// A request of ptrace(2) whose answer is not looked at: what was killed meanwhile is gone.
fn ask(request: libc::c_uint, pid: i32, data: usize) -> i64 {
    // SAFETY: the requests here take integers, or the address of what is ours and large enough.
    unsafe { libc::ptrace(request, pid, 0usize, data) }
}

/// Runs a start to its end. `when` is the number of the call of `who`. Returns also the numbers of all calls that it
/// made.
#[track_caller]
pub fn run(command: &mut Command, who: Role, when: usize, fault: Fault) -> (Done, Vec<i64>) {
    let folder = tempfile::tempdir().expect("a folder");
    let [out, err] = ["out", "err"].map(|name| folder.path().join(name));
    command
        .stdout(File::create(&out).expect("a file"))
        .stderr(File::create(&err).expect("a file"))
        .stdin(Stdio::null());
    // SAFETY: ptrace(2) alone.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let begun = Instant::now();
    let main = command.spawn().expect("spawned").id() as i32;
    let mut made = Vec::new();
    let status = follow(main, who, when, fault, &mut made);
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).expect("read")).into_owned();
    let (stdout, stderr) = (text(&out), text(&err));
    (Done { status, code: status.code(), stdout, stderr, took: begun.elapsed() }, made)
}

fn follow(main: i32, who: Role, when: usize, fault: Fault, made: &mut Vec<i64>) -> ExitStatus {
    let begun = Instant::now();
    let mut traced = HashMap::from([(main, Traced::new(Role::Forerun))]);
    // Those that stopped before whoever forked them said so.
    let mut early = HashSet::new();
    let mut is_begun = false;
    loop {
        assert!(begun.elapsed() < DEADLINE, "it did not end");
        let mut status = 0;
        // SAFETY: `status` is ours. Only children and tracees of this very thread are waited for.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
        assert!(pid > 0, "nobody is left");
        if !libc::WIFSTOPPED(status) {
            traced.remove(&pid);
            if pid == main {
                release(&traced, &early);
                return std::os::unix::process::ExitStatusExt::from_raw(status);
            }
            continue;
        }
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        if pid == main && !is_begun {
            is_begun = true;
            let options = libc::PTRACE_O_TRACESYSGOOD
                | libc::PTRACE_O_TRACEFORK
                | libc::PTRACE_O_TRACEVFORK
                | libc::PTRACE_O_TRACECLONE
                | libc::PTRACE_O_TRACEEXEC;
            assert_eq!(ask(libc::PTRACE_SETOPTIONS, pid, options as usize), 0);
            go_on(pid, Role::Forerun, who, 0);
            continue;
        }
        let Some(one) = traced.get_mut(&pid) else {
            early.insert(pid);
            continue;
        };
        let role = one.role;
        match event {
            libc::PTRACE_EVENT_EXEC => {
                traced.remove(&pid);
                ask(libc::PTRACE_DETACH, pid, 0);
                continue;
            }
            0 if signal == libc::SIGTRAP | 0x80 => {
                one.call(pid, when, fault, made);
                go_on(pid, role, who, 0);
            }
            0 => {
                // The stop with which a tracee begins is no signal.
                let is_first = signal == libc::SIGSTOP;
                go_on(pid, role, who, if is_first { 0 } else { signal });
            }
            _ => {
                let mut new = 0u64;
                ask(libc::PTRACE_GETEVENTMSG, pid, (&raw mut new) as usize);
                let forked = new as i32;
                let role_of_new = match (role, event) {
                    (Role::Forerun, libc::PTRACE_EVENT_FORK) => Role::Launcher,
                    (Role::Launcher, libc::PTRACE_EVENT_FORK) => Role::Server,
                    _ => Role::Forerun,
                };
                traced.insert(forked, Traced::new(role_of_new));
                if early.remove(&forked) {
                    go_on(forked, role_of_new, who, 0);
                }
                go_on(pid, role, who, 0);
            }
        }
    }
}

/// What forerun has left behind is traced no more.
fn release(traced: &HashMap<i32, Traced>, early: &HashSet<i32>) {
    for &pid in traced.keys().chain(early) {
        let mut status = 0;
        // SAFETY: `status` is ours. It may be stopped by now, have ended, or run: then it stops soon, or ends.
        while unsafe { libc::waitpid(pid, &mut status, libc::__WALL | libc::__WNOTHREAD) } == pid
            && libc::WIFSTOPPED(status)
        {
            if ask(libc::PTRACE_DETACH, pid, 0) == 0 {
                break;
            }
        }
    }
}

fn go_on(pid: i32, role: Role, who: Role, signal: i32) {
    let request = if role == who { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
    ask(request, pid, signal as usize);
}

impl Traced {
    fn new(role: Role) -> Self {
        Traced { role, is_inside: false, calls: 0, answer: None }
    }

    /// The beginning or the end of a call.
    fn call(&mut self, pid: i32, when: usize, fault: Fault, made: &mut Vec<i64>) {
        // SAFETY: integers.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        if ask(libc::PTRACE_GETREGS, pid, (&raw mut registers) as usize) != 0 {
            return;
        }
        self.is_inside = !self.is_inside;
        if !self.is_inside {
            if let Some(errno) = self.answer.take() {
                registers.rax = -i64::from(errno) as u64;
                ask(libc::PTRACE_SETREGS, pid, (&raw mut registers) as usize);
            }
            return;
        }
        self.calls += 1;
        made.push(registers.orig_rax as i64);
        if self.calls != when {
            return;
        }
        match fault {
            // SAFETY: integers; it is a tracee of ours.
            Fault::Killed => drop(unsafe { libc::kill(pid, libc::SIGKILL) }),
            Fault::Fails(errno) => {
                self.answer = Some(errno);
                registers.orig_rax = u64::MAX;
                ask(libc::PTRACE_SETREGS, pid, (&raw mut registers) as usize);
            }
        }
    }
}
