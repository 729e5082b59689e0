//! What names a container across its restarts, as the list of its mounts shows it (proc_pid_mountinfo(5)).

/// Long enough that no two containers get the same one by chance.
const LONG: usize = 32;

/// Names the container that has these mounts and this hostname.
///
/// Kubernetes makes a new container, with a new root folder, of one that ended: its pod and its name in there stay.
/// Docker and Podman mount files from a folder that has the container's id. Elsewhere it is the folder that an overlay
/// writes to, and where there is none, the hostname.
pub fn name(mounts: &str, hostname: &str) -> String {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let pod = mounts.iter().find_map(|mount| of_pod(mount.root));
    let of_engine = |mount: &&Mount| ["/etc/hostname", "/etc/hosts"].contains(&mount.point);
    let id = || mounts.iter().filter(of_engine).find_map(|mount| id_in(mount.root));
    // The last mount on a folder is the one that is seen.
    let root = || mounts.iter().rev().find(|mount| mount.point == "/");
    let upper = || root()?.options.split(',').find_map(|option| option.strip_prefix("upperdir="));
    if let Some((pod, container)) = pod {
        format!("pod {pod} {container}")
    } else if let Some(id) = id() {
        format!("id {id}")
    } else if let Some(folder) = upper() {
        format!("folder {folder}")
    } else {
        format!("hostname {hostname}")
    }
}

/// Whether no container of another machine can have this name.
pub fn is_unique(name: &str) -> bool {
    name.starts_with("pod ") || (!name.starts_with("hostname ") && id_in(name).is_some())
}

struct Mount<'a> {
    /// The folder or file of the mounted file system that is seen here.
    root: &'a str,
    point: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (place, source) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        Some(Mount { root: fields.next()?, point: fields.next()?, options: source.split(' ').nth(2)? })
    }
}

/// The pod and the container of `.../pods/UID/containers/NAME/...`.
fn of_pod(path: &str) -> Option<(&str, &str)> {
    let (pod, rest) = path.split_once("/pods/")?.1.split_once('/')?;
    Some((pod, rest.strip_prefix("containers/")?.split('/').next()?))
}

/// A part of a path that is a long hexadecimal number.
fn id_in(path: &str) -> Option<&str> {
    let is_id = |part: &&str| part.len() >= LONG && part.bytes().all(|b| b.is_ascii_hexdigit());
    path.split(['/', ' ']).find(is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f1d0c5a4d3b2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0f1d0c5a4d3b2e1f0";

    #[test]
    fn a_container_is_named_by_pod_engine_folder_or_hostname() {
        let overlay = |folder: &str| {
            format!(
                "22 1 0:50 / /proc rw - proc proc rw\n700 600 0:41 / / rw,relatime master:9 shared:3 - overlay overlay \
                 rw,lowerdir=/l/A:/l/B,upperdir={folder},workdir=/w\n"
            )
        };
        let of = |mounts: &str| name(mounts, "web");
        let docker = format!("/var/lib/docker/overlay2/{ID}/diff");
        assert_eq!(of(&overlay(&docker)), format!("folder {docker}"));
        let mounted = |root: &str, point: &str| format!("9 8 8:1 {root} {point} rw,relatime - ext4 /dev/sda1 rw\n");
        let engine = mounted(&format!("/var/lib/docker/containers/{ID}/hostname"), "/etc/hostname");
        let containerd = overlay("/var/lib/containerd/snapshots/87/fs");
        assert_eq!(of(&format!("{containerd}{engine}")), format!("id {ID}"));
        let pod = mounted("/var/lib/kubelet/pods/1b4e28ba/containers/web/5f3a", "/dev/termination-log");
        let sandbox = mounted(&format!("/var/lib/containerd/sandboxes/{ID}/hostname"), "/etc/hostname");
        assert_eq!(of(&format!("{containerd}{sandbox}{pod}")), "pod 1b4e28ba web");
        assert_eq!(of(&mounted("/var/lib/kubelet/pods/1b4e28ba/etc-hosts", "/etc/hosts")), "hostname web");
        assert_eq!(
            of(&overlay("/first").replace("overlay overlay", "ext4 x").replace("upperdir", "x")),
            "hostname web"
        );
        assert_eq!(of(&format!("{}{}", overlay("/under"), overlay("/over"))), "folder /over");
        for nothing in ["", "\n", "no mount", "1 2 3 - ", "1 2 0:3 / / rw - ext4", "- - - - -"] {
            assert_eq!(of(nothing), "hostname web", "{nothing}");
        }
    }

    #[test]
    fn only_a_long_id_is_unique_across_machines() {
        assert!(is_unique("pod 1b4e28ba web") && is_unique(&format!("id {ID}")));
        assert!(is_unique(&format!("folder /var/lib/docker/overlay2/{ID}/diff")));
        for name in ["hostname web", &format!("hostname {ID}"), "folder /var/lib/containerd/snapshots/87/fs", ""] {
            assert!(!is_unique(name), "{name}");
        }
    }
}
