//! Linux: /proc (proc(5)), pidfds (pidfd_open(2)), sock_diag(7), cgroups(7).
//!
//! It exports the same names as `macos`. Each file has one subject, the same in both folders where both have it.

mod cgroup;
mod connect;
mod datagram;
mod descriptors;
mod ending;
mod files;
mod host;
mod own;
mod proc;
mod program;
mod signals;
mod sock_diag;
mod sockets;
mod table;
mod watch;

pub use super::container::is_unique as is_unique_container;
pub use cgroup::{OwnGroup, cgroup, cgroup_of, dissolve_group, fork_into, is_own_group, remove_group};
pub use connect::{HAS_ABSTRACT_SOCKETS, LONGEST_SOCKET_NAME, REFUSED_SOCKETS_STAY_GOOD, connect};
pub use datagram::{CREDENTIALS, RECEIVED_CLOSE_ON_EXEC, ask_for_senders};
pub use descriptors::{
    DESCRIPTORS, close_range, close_range_on_exec, descriptor_count, descriptors, most_descriptors, pty_masters, ptys,
};
pub use ending::end_of;
pub use files::{FOLDER, exchange, file_of, link_at, own_executable};
pub use host::{has_users_of_its_own, host, is_pid_namespace_in_use};
pub use own::{end_with_parent, own_children, set_name, set_subreaper};
pub use program::{command_line, environment_of, executable, has_random_stack, process_name, working_directory};
pub use signals::{realtime_signals, signal_masks};
pub use sock_diag::Listening;
pub use sockets::{Sockets, is_closing, is_listened_on, listeners, listens_on, sockets_of, sockets_on};
pub use table::{age, children, end_of_zombie, look_up, pids, processes, start_now, user_of};
pub use watch::ExitWatch;
