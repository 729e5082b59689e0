#![forbid(unsafe_code)]
//! The definitions of the subcommands, one function each.

use clap::{Arg, ArgAction, Command};

use super::flags::*;
use super::types::{Kinds, Shell};

/// All of them.
pub fn all(kinds: Kinds) -> [Command; 12] {
    [
        check(),
        status(),
        stop(),
        restart(),
        reload(),
        logs(),
        fds(),
        forget(),
        unit(kinds),
        doctor(),
        man(),
        completions(),
    ]
}

fn check() -> Command {
    subcommand("check", "Run the requirements and waits and report; start nothing")
        .after_help("Example:\n  forerun check --require cmd:python3 --wait tcp:127.0.0.1:5432 --wait-timeout 5s")
        .defer(|c| c.args(service_args()).args(check_args()).args(output_args()).arg(command_arg()))
}

fn status() -> Command {
    subcommand("status", "Show how an instance is, or all of them; exit 1 if one is not running or not healthy")
        .after_help("Examples:\n  forerun status webui --json\n  forerun status --all")
        .defer(|c| {
            let all = flag("all", "List all instances, even in the folder of a service").conflicts_with("name");
            c.args(instance_args()).arg(all).args(output_args_without(&["no-progress"]))
        })
}

fn stop() -> Command {
    subcommand("stop", "Stop an instance: the stop signal, and SIGKILL after the grace")
        .after_help("Example:\n  forerun stop webui --grace 30s")
        .defer(|c| {
            let all = flag("all", "Also stop processes that left for a session of their own, such as a tmux server");
            c.args(instance_args()).arg(all).arg(grace_arg()).args(output_args_without(&["no-progress"]))
        })
}

fn restart() -> Command {
    subcommand("restart", "Stop an instance and start it again with the same flags, folder and environment")
        .after_help("Example:\n  forerun restart webui")
        .defer(|c| c.args(instance_args()).arg(grace_arg()).args(output_args()))
}

fn reload() -> Command {
    subcommand("reload", "Send the reload signal of an instance, SIGHUP, and wait until it is healthy")
        .after_help("Example:\n  forerun reload webui")
        .defer(|c| c.args(instance_args()).args(output_args()))
}

fn logs() -> Command {
    subcommand("logs", "Show the last lines of an instance's log")
        .after_help("Example:\n  forerun logs webui -n 100 -f")
        .defer(|c| {
            let lines = Arg::new("lines").short('n').value_name("N").value_parser(crate::text::whole_number::<usize>);
            let follow = Arg::new("follow").short('f').action(ArgAction::SetTrue);
            c.args(instance_args())
                .arg(lines.help("Show N lines [default: 50]"))
                .arg(follow.help("Follow the log as it grows, across rotation"))
                .args(output_args_without(&["json", "no-progress"]))
        })
}

fn fds() -> Command {
    subcommand("fds", "Show the file descriptors of a server by kind and by path")
        .after_help("Example:\n  forerun fds webui --json")
        .defer(|c| {
            let [name, config] = instance_args();
            let name = name.help("The service, or the pid of any process [default: the service of this folder]");
            c.args([name, config]).args(output_args_without(&["no-progress"]))
        })
}

fn forget() -> Command {
    subcommand("forget", "Drop the record of an instance that does not run; keep its log")
        .after_help("Example:\n  forerun forget webui")
        .defer(|c| c.args(instance_args()).args(output_args_without(&["no-progress"])))
}

fn unit(kinds: Kinds) -> Command {
    subcommand("unit", "Print a unit for a supervisor, or install it")
        .after_help(
            "Examples:\n  forerun unit systemd\n  forerun unit launchd --install --now\n  \
         forerun unit systemd --name web --health http://127.0.0.1:8080/ --install -- python3 server.py",
        )
        .override_usage(format!("forerun unit {} [OPTIONS] [-- COMMAND [ARG]...]", kinds.join("|")))
        .arg(kind_arg(kinds))
        .defer(|c| {
            c.args(unit_args())
                .args(service_args())
                .args(check_args())
                .args(health_args())
                .args(
                    detached_args().into_iter().filter(|arg| ["on-conflict", "grace"].contains(&arg.get_id().as_str())),
                )
                .args(sidecar_args())
                .args(output_args_without(&["no-progress"]))
                .arg(command_arg())
        })
}

fn doctor() -> Command {
    subcommand("doctor", "Explain this environment and find problems: mode, limits, units, conflicts")
        .after_help("Exits 1 if it finds a problem.\n\nExample:\n  forerun doctor --config /srv/web/forerun.toml")
        .defer(|c| {
            c.args(service_args())
                .args(check_args())
                .args(health_args())
                .args(sidecar_args())
                .args(output_args_without(&["no-progress"]))
                .arg(command_arg())
        })
}

fn man() -> Command {
    subcommand("man", "Print the manual page")
        .after_help("Example:\n  forerun man >/usr/local/share/man/man1/forerun.1")
}

fn completions() -> Command {
    subcommand("completions", "Print completions for a shell")
        .after_help("Example:\n  forerun completions bash >/etc/bash_completion.d/forerun")
        .defer(|c| {
            let shell = Arg::new("shell").value_name("SHELL").required_unless_present("names");
            let names = flag("names", "Print the names of your instances, one a line (the scripts call this)");
            c.arg(names.conflicts_with("shell")).arg(
                shell
                    .value_parser(one_of(&[("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)]))
                    .hide_possible_values(true)
                    .help("bash, zsh or fish"),
            )
        })
}

fn subcommand(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).disable_version_flag(true)
}
