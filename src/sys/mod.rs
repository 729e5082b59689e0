//! The interface to the operating system: the only module with `unsafe` and `cfg(target_os)`.
//!
//! Code that is the same on all POSIX systems is in files named after their subject. What differs between systems is in
//! `linux/` and `macos/`, which export the same names; `os` is the one of them that is compiled. The texts that a system
//! answers are read by `procfs`, `container` and `darwin`, which look at nothing and are tested everywhere. Nothing here
//! knows services, checks or records.

#[cfg(any(target_os = "linux", test))]
mod container;
#[cfg(any(target_os = "macos", test))]
mod darwin;
mod datagram;
mod descriptor;
mod entry;
mod events;
mod exec;
mod fd;
mod held;
mod launcher;
mod limits;
mod link;
mod orphans;
mod pipe;
mod process;
mod processes;
#[cfg(any(target_os = "linux", test))]
mod procfs;
mod relay;
mod signal;
mod spawn;
mod step;
mod terminal;
mod whole;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "linux")]
pub(in crate::sys) use linux as os;
#[cfg(target_os = "macos")]
pub(in crate::sys) use macos as os;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("forerun knows Linux and macOS");

pub use datagram::receive;
pub use descriptor::{Descriptor, Kind};
pub use entry::Started;
#[cfg(not(test))]
pub(crate) use entry::{begin, entry};
pub use events::Events;
pub use exec::{GroupCommand, Prints, become_command, fork_into_own_session};
pub use fd::{
    close_on_exec, close_on_exec_from, inherits_listener, is_inheritable, open_descriptors, stderr_is_journal,
    try_lock, write_ready,
};
pub use held::{Held, held_sockets};
pub use launcher::{Detached, Launched, hold_detached};
pub use limits::{Nofile, allowed_nofile, nofile, set_nofile};
pub use link::is_same_file;
pub use os::{
    ExitWatch, FOLDER, HAS_ABSTRACT_SOCKETS, LONGEST_SOCKET_NAME, Listening, OwnGroup, REFUSED_SOCKETS_STAY_GOOD,
    Sockets, age, ask_for_senders, cgroup, cgroup_of, children, command_line, connect, descriptor_count, descriptors,
    dissolve_group, end_of, end_of_zombie, environment_of, exchange, executable, file_of, has_random_stack,
    has_users_of_its_own, host, is_closing, is_listened_on, is_own_group, is_pid_namespace_in_use, is_unique_container,
    link_at, listeners, listens_on, look_up, own_executable, process_name, processes, pty_masters, ptys, remove_group,
    set_name, sockets_of, sockets_on, start_now, user_of, working_directory,
};
pub use pipe::{Cancel, SelfPipe, Woken, blocking_pipe, wait_readable};
pub use process::{Host, Listener, Process, Reaction, Seen, Waited};
pub use processes::{kill, kill_group, look_at_child, most_ptys, process, reaction, reap_group, wait_for};
pub use signal::{Dispositions, die_of, signal_name, signal_number};
pub use spawn::{Beside, Errand, take_stdin};
pub use step::{StepCommand, StepEnd, Unrun};
pub use terminal::{Account, accounts, has_controlling_terminal, home_directory, members_of_group, user_name};
pub use whole::{note, whole};
