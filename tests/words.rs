//! What a command line that is wrong is answered with: the whole message, word for word.

mod common;

use common::Room;

/// The message of `forerun check --require CHECK`, without its first words.
#[track_caller]
fn invalid(room: &Room, check: &str) -> String {
    let out = room.run(&["check", "--require", check]).expect_code(2);
    let message = out.stderr.lines().next().unwrap_or_default().to_owned();
    message.strip_prefix("forerun: invalid check ").unwrap_or_else(|| panic!("{check}: {message}")).to_owned()
}

#[test]
fn a_check_without_its_kind_is_answered_with_the_check_that_was_meant() {
    let room = Room::new();
    room.file("data.db", "");
    for (check, instead) in [
        ("127.0.0.1:8080", "tcp:127.0.0.1:8080 or http://127.0.0.1:8080/"),
        (":8080", "tcp:127.0.0.1:8080 or http://127.0.0.1:8080/"),
        ("8080", "tcp:127.0.0.1:8080 or http://127.0.0.1:8080/"),
        ("8080/health", "http://127.0.0.1:8080/health"),
        ("/health", "http://127.0.0.1:PORT/health"),
        ("localhost:8080", "tcp:localhost:8080 or http://localhost:8080/"),
        ("localhost", "tcp:localhost:PORT or http://localhost/"),
        ("[::1]:8080", "tcp:[::1]:8080 or http://[::1]:8080/"),
        ("::1", "tcp:[::1]:PORT or http://[::1]:PORT/"),
        ("db:5432", "tcp:db:5432 or http://db:5432/"),
        ("example.com", "tcp:example.com:PORT or http://example.com/"),
        ("example.com/health", "http://example.com/health"),
        ("www.x:80/p", "http://www.x:80/p"),
        ("cmd python3", "cmd:python3"),
        ("cmd=python3", "cmd:python3"),
        ("tcp 127.0.0.1:80", "tcp:127.0.0.1:80"),
        ("tcp 5432", "tcp:HOST:PORT"),
        ("data.db", "file:data.db"),
        ("./nowhere", "file:./nowhere"),
        ("/", "dir:/"),
    ] {
        assert_eq!(invalid(&room, check), format!("'{check}': the kind is missing; write {instead}"));
    }
    let file = room.file("x.db", "").display().to_string();
    assert_eq!(invalid(&room, &file), format!("'{file}': the kind is missing; write file:{file}"));
}

#[test]
fn a_check_of_an_unknown_kind_is_answered_with_the_near_one() {
    let room = Room::new();
    for (check, instead) in [
        ("htp://a/", "write http://a/"),
        ("tpc:db:5432", "write tcp:db:5432"),
        ("TCP:db:5432", "write tcp:db:5432"),
        ("fiel:/etc/passwd", "write file:/etc/passwd"),
        ("amqp://db/app", "write tcp:db:5672"),
        ("nats://db:99/0", "write tcp:db:99"),
        ("foobar://db", "write tcp:db:PORT"),
        ("wss://a/b", "write https://a/b"),
        ("port:80", "write tcp:127.0.0.1:80 or free:80"),
        ("command:python3", "write cmd:python3"),
        ("url:http://a/", "write http://a/"),
        (
            "foo:bar",
            "the kinds are cmd, file, dir, env, tcp, unix, http, https, http+unix, postgres, postgresql, mysql, redis, \
             rediss, grpc, grpcs, dns, exec, free, fds, ptys, service, notify and log",
        ),
    ] {
        let kind = check.split(':').next().expect("a kind");
        assert_eq!(invalid(&room, check), format!("'{check}': unknown kind '{kind}'; {instead}"));
    }
    for (check, reason) in [
        ("", "it is empty; the kinds are cmd, "),
        ("python3", "the kind is missing; the kinds are cmd, "),
        ("a\nb", "the kind is missing; the kinds are cmd, "),
    ] {
        assert!(invalid(&room, check).contains(reason), "{check}");
    }
}

#[test]
fn a_check_whose_operand_is_wrong_is_answered_with_the_right_form() {
    let room = Room::new();
    for (check, answer) in [
        ("tcp", "nothing after 'tcp:'; write tcp:HOST:PORT"),
        ("tcp:5432", "the host is missing; write tcp:127.0.0.1:5432"),
        ("tcp::5432", "the host is missing; write tcp:127.0.0.1:5432"),
        ("tcp:host", "the port is missing; write tcp:host:PORT"),
        ("tcp:host:http", "'http' is not a port; a port is a number from 1 to 65535"),
        ("tcp:host:80/p", "a tcp check has no path; write http://host:80/p or tcp:host:80"),
        ("tcp:::1:80", "an IPv6 address goes in brackets; write tcp:[::1]:80"),
        ("tcp:a b:80", "'a b' is not a host; write tcp:HOST:80"),
        ("free:80x", "'80x' is not a port; a port is a number from 1 to 65535"),
        ("http:127.0.0.1:80", "'//' is missing; write http://127.0.0.1:80/"),
        ("https:/example.com/x", "'//' is missing; write https://example.com/x"),
        ("http:/x", "the host is missing; write http://127.0.0.1:PORT/x"),
        ("http://", "it is not a URL; write http://HOST:PORT/PATH"),
        ("http://h:PORT/", "'PORT' is not a port; a port is a number from 1 to 65535"),
        ("http://h/a b", "a URL has no spaces; write %20"),
        ("fds:many", "'many' is not a whole number; write fds:NUMBER"),
        ("env:A=B", "a variable's name has no '='; write env:A"),
    ] {
        assert_eq!(invalid(&room, check), format!("'{check}': {answer}"));
    }
}

#[test]
fn the_health_flag_and_the_file_answer_alike() {
    let room = Room::new();
    let meant = "write tcp:127.0.0.1:8080 or http://127.0.0.1:8080/";
    let out = room.run(&["--detach", "--health", "127.0.0.1:8080", "--", "true"]).expect_code(2);
    out.expect_line(&["invalid check '127.0.0.1:8080': ", meant]);
    room.file("forerun.toml", "[health]\ncheck = '127.0.0.1:8080'\n");
    let out = room.run(&["check"]).expect_code(78);
    out.expect_line(&["forerun.toml': line 2: invalid check '127.0.0.1:8080': ", meant]);
}

#[test]
fn no_password_is_shown_in_what_to_write() {
    let room = Room::new();
    for (check, shown) in [
        ("amqp://u:s3cret@db/app", "'amqp://db/app': unknown kind 'amqp'; write tcp:db:5672"),
        ("u:s3cret@db:80", "'db:80': the kind is missing; write tcp:db:80 or http://db:80/"),
        ("tcp:u:s3cret@db:80", "'tcp:db:80': only a URL can have a user name; write tcp:db:80"),
        ("http:u:s3cret@db:80", "'http:db:80': '//' is missing; write http://db:80/"),
        (
            "http://u:s3 cret@db/",
            "'http://db/': the user name or the password has a character that no URL may have; write it as %XX",
        ),
    ] {
        assert_eq!(invalid(&room, check), shown);
    }
}
