//! Readiness that the server says itself, under real supervisors; and sockets that systemd holds.

use std::fs;

use crate::common::{Room, eventually, fixture, free_port, has};
use crate::harness::{Kind, Service, Supervisor, script};
use crate::{FORERUN, skip_unless};

/// A server that says that it is ready once `go` is there, and which address it said that to.
fn server(room: &Room) -> String {
    let text = "#!/bin/sh\necho \"$NOTIFY_SOCKET\" >ADDRESS\nuntil [ -e GO ]; do sleep 0.01; done\n\
                systemd-notify --ready --status=up\nexec sleep 600\n";
    let place = |name: &str| room.path().join(name).display().to_string();
    let path = room.path().join("server.sh");
    script(&path, &text.replace("ADDRESS", &place("address")).replace("GO", &place("go")));
    path.display().to_string()
}

/// The place of the socket that forerun makes for the service 'web'.
fn socket(room: &Room) -> String {
    room.state().join("web/forerun.notify").display().to_string()
}

fn address(room: &Room) -> String {
    let path = room.path().join("address");
    eventually("the server runs", || fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(&path).expect("an address").trim().to_owned()
}

fn is_healthy(supervisor: &Supervisor, room: &Room) -> bool {
    supervisor.forerun(room, &["status", "web"]).code == Some(0)
}

#[test]
fn supervisors_that_hear_nothing_have_a_sidecar_that_does() {
    skip_unless!(has("systemd-notify"), "no systemd-notify");
    for kind in [Kind::Runit, Kind::S6, Kind::Supervisord] {
        needs!(kind);
        let room = Room::new();
        let command = format!("{FORERUN} --name web --health notify: -- {}", server(&room));
        let supervisor = Supervisor::boot(kind, &room, &[Service::new("web", command)]);
        assert_eq!(address(&room), socket(&room), "{kind:?}");
        assert!(!is_healthy(&supervisor, &room), "{kind:?}");
        fs::write(room.path().join("go"), "").expect("written");
        eventually("it is healthy", || is_healthy(&supervisor, &room));
        eventually("the socket is gone", || !fs::exists(socket(&room)).expect("looked"));
        // The next start listens again.
        fs::remove_file(room.path().join("address")).expect("removed");
        let before = supervisor.pid("web").expect("a pid");
        supervisor.kill(before);
        assert_eq!(address(&room), socket(&room), "{kind:?}");
        eventually("it is healthy again", || is_healthy(&supervisor, &room));
    }
}

#[test]
fn s6_knows_that_a_server_said_it() {
    skip_unless!(has("systemd-notify"), "no systemd-notify");
    needs!(Kind::S6);
    let room = Room::new();
    let command = format!("{FORERUN} --name web --health notify: --ready-fd 3 -- {}", server(&room));
    let supervisor = Supervisor::boot(Kind::S6, &room, &[]);
    let folder = room.path().join("supervisor/web");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("notification-fd"), "3\n").expect("written");
    script(&folder.join("run"), &format!("#!/bin/sh\nexec {command}\n").replace("exec ", &exec(&room)));
    supervisor.inside(&["s6-svscanctl", "-a", room.path().join("supervisor").to_str().expect("UTF-8")]);
    address(&room);
    let ready = || supervisor.inside(&["s6-svstat", "-o", "ready", folder.to_str().expect("UTF-8")]) == "true";
    assert!(!ready());
    fs::write(room.path().join("go"), "").expect("written");
    eventually("s6 knows that it is ready", ready);
}

fn exec(room: &Room) -> String {
    format!("exec env FORERUN_STATE_DIR={} ", room.state().display())
}

#[test]
fn systemd_hears_the_server_itself() {
    skip_unless!(has("systemd-notify"), "no systemd-notify");
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
    let command = format!("{FORERUN} --name web --health notify: -- {}", server(&room));
    let text = crate::harness::unit(&room, &Service { name: "web", command, more: "Type=notify\nNotifyAccess=all" });
    systemd.unit("web.service", &text);
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", "--no-block", "web"]);
    let heard_at = address(&room);
    assert!(!heard_at.is_empty() && heard_at != socket(&room), "{heard_at}");
    assert_eq!(systemd.property("web", "ActiveState"), "activating");
    fs::write(room.path().join("go"), "").expect("written");
    eventually("systemd knows that it is ready", || systemd.property("web", "ActiveState") == "active");
    assert_eq!(systemd.property("web", "StatusText"), "up");
    assert!(is_healthy(&systemd, &room));
}

#[test]
fn systemds_own_socket_is_no_health() {
    needs!(Kind::Systemd);
    let room = Room::new();
    let systemd = Supervisor::boot(Kind::Systemd, &room, &[]);
    let port = free_port();
    let serve = format!("{} serve {port}", fixture().display());
    let command = format!("{FORERUN} --name web --health tcp:127.0.0.1:{port} -- {serve}");
    let more = "Type=notify\nNotifyAccess=all\nRestartPreventExitStatus=78";
    let text = crate::harness::unit(&room, &Service { name: "web", command, more });
    systemd.unit("web.service", &text);
    systemd.unit("web.socket", &format!("[Socket]\nListenStream=127.0.0.1:{port}\n"));
    systemd.systemctl(&["daemon-reload"]);
    systemd.systemctl(&["start", "web.socket"]);
    systemd.inside(&["systemctl", "start", "web.service"]);
    assert_eq!(systemd.property("web", "ExecMainStatus"), "78");
    assert_eq!(systemd.property("web", "ActiveState"), "failed");
    let log = fs::read_to_string(room.path().join("log")).expect("a log");
    assert!(log.contains("(LISTEN_FDS)") && log.contains("'http://127.0.0.1"), "{log}");
}
