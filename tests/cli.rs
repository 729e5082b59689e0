//! The command line: what is wrong with it is said on one line, with the right exit code.

mod common;

use common::Room;

#[test]
fn help_and_version_go_to_stdout() {
    let room = Room::new();
    let help = room.run(&["--help"]).expect_code(0);
    assert!(help.stdout.contains("Usage: forerun [OPTIONS] [-- COMMAND [ARG]...]") && help.stderr.is_empty());
    assert!(help.stdout.lines().count() <= 80, "more than two screens");
    let version = room.run(&["--version"]).expect_code(0);
    assert_eq!(version.stdout, format!("forerun {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_command_line_without_sense_exits_2_with_one_line() {
    let room = Room::new();
    for (args, part) in [
        (&["--foreground"][..], "no command"),
        (
            &["--forground", "--", "true"],
            "unexpected argument '--forground' found; a similar argument exists: '--foreground'",
        ),
        (&["--wait", "tpc:db:5432", "--", "true"], "invalid check 'tpc:db:5432': unknown kind 'tpc'"),
        (&["--foreground", "--detach", "--", "true"], "cannot be used with"),
    ] {
        room.run(args).expect_code(2).expect_line(&["forerun: ", part]);
    }
}
