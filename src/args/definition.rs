#![forbid(unsafe_code)]
//! The definitions of all options and subcommands, for clap.

use clap::Command;

use super::flags::*;
use super::subcommands;
use super::types::Kinds;

/// The definitions of all options and subcommands.
pub fn command(kinds: Kinds) -> Command {
    without_server(kinds).arg(command_arg())
}

/// The definitions without COMMAND. Completions know a subcommand only where no operand can come before it.
pub fn without_server(kinds: Kinds) -> Command {
    Command::new("forerun")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Checks what a server needs, then becomes it: exec under a supervisor, detach in a terminal.")
        .override_usage(USAGE)
        .after_help(AFTER_HELP)
        .args(mode_args())
        .args(service_args())
        .args(check_args())
        .args(health_args())
        .args(detached_args())
        .args(sidecar_args())
        .args(output_args())
        .arg(color_arg())
        .subcommands(subcommands::all(kinds))
}

pub const USAGE: &str = "\
forerun [OPTIONS] [-- COMMAND [ARG]...]
       forerun status|stop|restart|reload|logs|fds|forget [NAME|PID]
       forerun check|unit|doctor|man|completions|help [OPTIONS]";

pub const AFTER_HELP: &str = "\
CHECK is one of  cmd:NAME  file:PATH  dir:PATH  env:NAME  tcp:HOST:PORT  unix:PATH  http[s]://...
                 exec:COMMAND  free:[HOST:]PORT  fds:N  ptys:N    (headers, status, hints: forerun.toml)
DUR reads 500ms, 2s, 1m30s.

Examples:
  forerun --wait tcp:127.0.0.1:5432 --health http://127.0.0.1:8787/health -- python3 server.py
  forerun --foreground -- nginx -g 'daemon off;'

Exit codes: 0 done, healthy or already running, 1 died, not healthy or not running, 2 usage, 69 a wait timed out,
  73 state or log not writable, 75 conflict, 78 configuration, 126 not executable, 127 not found";

#[cfg(test)]
mod tests {
    #[test]
    fn the_definitions_are_sound() {
        super::command(&["a", "b"]).help_expected(true).debug_assert();
    }
}
