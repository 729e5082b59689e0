//! Ends what a command started, in a process that is the parent of its orphans. All of it is async-signal-safe, and nothing
//! allocates or panics.

use super::os;
use super::processes::reap_group;

/// How often what was killed is looked at, and the pause in microseconds.
const LOOKS: u32 = 2000;
const PAUSE: u32 = 1000;
/// How many children are killed at once.
const MOST: usize = 256;

/// Waits until nothing of a killed group is left. Only Linux makes orphans our children, and only those can be waited for.
pub fn end_group(group: i32) {
    reap_group(group);
    for _ in 0..LOOKS {
        // SAFETY: integers; signal 0 is none. The number is no group's any more, or still this one's.
        if unsafe { libc::killpg(group, 0) } != 0 {
            return;
        }
        reap_group(group);
        pause();
    }
}

/// Kills and reaps children until none is left. The end of each makes its own children ours, whatever group or session
/// they are in. What we may not kill is given up after a while.
pub fn end_children() {
    let mut refused = 0;
    while refused < LOOKS {
        // SAFETY: a null pointer is allowed for a status that nobody asks for.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            -1 => return,
            0 => {
                refused += u32::from(!kill_children());
                pause();
            }
            _ => {}
        }
    }
}

/// Kills all children that there are now. False if none could be.
fn kill_children() -> bool {
    let mut pids = [0; MOST];
    let count = os::own_children(&mut pids);
    let mut killed = false;
    for &pid in &pids[..count] {
        // SAFETY: integers. A child that nobody has reaped keeps its number.
        killed |= is_child(pid) && unsafe { libc::kill(pid, libc::SIGKILL) } == 0;
    }
    killed
}

/// A process table of another pid namespace has other numbers.
fn is_child(pid: i32) -> bool {
    // SAFETY: all of it is integers and pointers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is ours and outlives the call.
    pid > 1 && unsafe { libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, how) } == 0
}

fn pause() {
    // SAFETY: an integer.
    unsafe { libc::usleep(PAUSE) };
}
