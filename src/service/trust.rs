#![forbid(unsafe_code)]
//! Whom a start trusts. Whoever can change forerun.toml, an env-file, or a folder on the way to one of them, decides
//! what forerun runs. For root that is everything, so root refuses what anybody can change, and says what belongs to
//! another user. `status` runs no command of somebody else's file, whoever asks.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::Service;
use super::way::{self, Kind, Step};
use crate::check::Check;
use crate::error::Error;
use crate::instance::mode::Mode;
use crate::sys;
use crate::text::{one_line, quoted, shell_words};

const ROOT: u32 = 0;

/// Why a path cannot be trusted, whoever its owner is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Why {
    /// Its mode lets anybody write.
    Anybody,
    /// Its mode lets its group write, which has other members.
    Group,
    /// It belongs to another user, in a folder where anybody can put a file: it may have been put there for us.
    Planted { folder: PathBuf, mode: u32 },
    /// A symlink of another user, on the way to a file that is written.
    Link,
}

/// What the way to a file tells.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Verdict {
    /// The first step that cannot be trusted.
    refused: Option<(Step, Why)>,
    /// The last step that belongs to somebody who is not trusted.
    foreign: Option<Step>,
}

/// Judges the way to a file. `trusted`: the users who may have made it. `is_written`: it is a log.
fn judge(steps: &[Step], trusted: &[u32], is_written: bool) -> Verdict {
    let is_foreign = |step: &&Step| !trusted.contains(&step.uid);
    let why = |step: &Step| {
        let above = steps.iter().find(|above| step.path.parent() == Some(&above.path));
        let is_sticky = |step: &Step| step.kind == Kind::Folder && step.mode & 0o1000 != 0;
        let planted = above.filter(|above| is_sticky(above) && is_open(above) && is_foreign(&step));
        let has_mode = matches!(step.kind, Kind::Folder | Kind::File);
        match planted {
            Some(folder) => Some(Why::Planted { folder: folder.path.clone(), mode: folder.mode }),
            None if step.kind == Kind::Link && is_written && is_foreign(&step) => Some(Why::Link),
            // What is in a sticky folder can be replaced by its owner alone.
            None if !has_mode || is_sticky(step) => None,
            None if step.mode & 0o002 != 0 => Some(Why::Anybody),
            None => step.is_shared.then_some(Why::Group),
        }
    };
    Verdict {
        refused: steps.iter().find_map(|step| Some((step.clone(), why(step)?))),
        foreign: steps.iter().rfind(is_foreign).cloned(),
    }
}

fn is_open(step: &Step) -> bool {
    step.mode & 0o002 != 0 || step.is_shared
}

/// A file that cannot be trusted, in words.
pub struct Doubt {
    pub what: String,
    /// What to do about it, with a command.
    pub mend: String,
}

impl Doubt {
    pub fn line(&self) -> String {
        format!("{}; {}", self.what, self.mend)
    }
}

/// What root thinks of the files of a service.
#[derive(Default)]
pub struct Trust {
    /// Root does not use these.
    pub refused: Vec<Doubt>,
    /// These belong to other users.
    pub foreign: Vec<Doubt>,
}

impl Trust {
    /// What a start in this mode thinks of its files. Nothing unless this is root: others have only their own rights to
    /// lose.
    pub fn of_start(service: &Service, mode: Mode) -> Trust {
        // In the foreground the output goes where the supervisor says.
        let log = service.log.as_deref().filter(|_| mode == Mode::Detached);
        Self::of(service, log, &[ROOT])
    }

    /// What root thinks of the files of a service that these users may write.
    pub fn of(service: &Service, log: Option<&Path>, trusted: &[u32]) -> Trust {
        let mut trust = Trust::default();
        if !geteuid().is_root() {
            return trust;
        }
        // Each place and each owner is told of once, however many files depend on them.
        let (mut places, mut owners) = (Vec::new(), Vec::new());
        for (what, path, is_written) in files(service, log) {
            let verdict = judge(&way::to(&path), trusted, is_written);
            if let Some((step, why)) = verdict.refused.filter(|(step, _)| !places.contains(&step.path)) {
                trust.refused.push(refusal(what, &path, &step, &why));
                places.push(step.path);
            }
            let foreign = verdict.foreign.filter(|_| !is_among_others_users());
            if let Some(step) = foreign.filter(|step| !owners.contains(&step.uid)) {
                owners.push(step.uid);
                trust.foreign.push(belongs(&step, is_written));
            }
        }
        trust
    }

    /// Warns of what belongs to other users.
    ///
    /// # Errors
    /// [`Error::Config`] when a file must not be used. Each has a line.
    pub fn ensure(&self) -> Result<(), Error> {
        if !self.refused.is_empty() {
            return Err(Error::Config(self.refused.iter().map(Doubt::line).collect::<Vec<_>>().join("\n")));
        }
        self.foreign.iter().for_each(|doubt| log::warn!("{}; continuing", doubt.line()));
        Ok(())
    }
}

/// In a container most files belong to users of the image or of the machine, and root is not the machine's.
fn is_among_others_users() -> bool {
    sys::has_users_of_its_own() || sys::host().is_ok_and(|host| host.is_container())
}

/// The files of a service: what each is, and whether it is written.
fn files(service: &Service, log: Option<&Path>) -> Vec<(&'static str, PathBuf, bool)> {
    let config = service.config.as_deref().map(|path| ("config file", path, false));
    let env_files = service.variables.files.iter().map(|path| ("env-file", path.as_path(), false));
    let files = config.into_iter().chain(env_files).chain(log.map(|path| ("log", path, true)));
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_owned());
    files.map(|(what, path, is_written)| (what, absolute(path), is_written)).collect()
}

fn refusal(what: &str, path: &Path, step: &Step, why: &Why) -> Doubt {
    let Step { path: place, mode, uid, .. } = step;
    let subject = format!("root does not use the {what} {}", quoted(path));
    let it = match step.kind {
        Kind::Folder => format!("in its folder {}", quoted(place)),
        _ if place == path => "it".to_owned(),
        _ => quoted(place),
    };
    let owner = quoted(&sys::user_name(*uid));
    let change = |who: &str| shell_words(&["chmod".as_ref(), who.as_ref(), place.as_os_str()]);
    let (reason, mend) = match why {
        Why::Anybody => {
            (format!("anybody can write {it} (mode {mode:04o})"), change(if step.is_shared { "go-w" } else { "o-w" }))
        }
        Why::Group => (format!("its group can write {it} (mode {mode:04o})"), change("g-w")),
        Why::Planted { folder, mode: open } => (
            format!(
                "{} belongs to {owner} (mode {mode:04o}), in {} (mode {open:04o}), where anybody can put a file",
                quoted(place),
                quoted(folder)
            ),
            "move it to a folder that only root can write to".to_owned(),
        ),
        Why::Link => (
            format!("the symlink {} on the way to it belongs to {owner} (mode {mode:04o})", quoted(place)),
            "name the file itself".to_owned(),
        ),
    };
    Doubt { what: format!("{subject}: {reason}"), mend }
}

fn belongs(step: &Step, is_written: bool) -> Doubt {
    let (place, owner) = (quoted(&step.path), quoted(&sys::user_name(step.uid)));
    let can = if is_written { "can change and remove the log" } else { "can change what root starts" };
    Doubt {
        what: format!("{place} belongs to {owner}, who {can}"),
        mend: format!(
            "run the service as that user, or: {}",
            shell_words(&["chown".as_ref(), "root".as_ref(), step.path.as_os_str()])
        ),
    }
}

/// Why a check that only looks is not tried: it would run a command of somebody else's file with our rights.
pub fn untried(service: &Service, check: &Check) -> Option<String> {
    let Check::Exec(_) = check else { return None };
    let trusted = [ROOT, geteuid().as_raw()];
    files(service, None).iter().find_map(|(_, path, _)| {
        let file = one_line(path.file_name().unwrap_or_default());
        let Verdict { refused, foreign } = judge(&way::to(path), &trusted, false);
        let said = |step: &Step| match step.kind {
            Kind::Folder => format!("the folder {} of {file}", quoted(&step.path)),
            _ => file.clone(),
        };
        let why = match (refused, foreign) {
            (_, Some(step)) => format!("{} belongs to {}", said(&step), quoted(&sys::user_name(step.uid))),
            (Some((step, _)), None) => format!("others can write {} (mode {:04o})", said(&step), step.mode),
            (None, None) => return None,
        };
        Some(format!("not tried: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: u32 = 1000;
    const BOB: u32 = 1001;

    fn step(path: &str, kind: Kind, uid: u32, mode: u32) -> Step {
        Step { path: path.into(), kind, uid, mode, is_shared: false }
    }

    fn refused(steps: &[Step], trusted: &[u32], is_written: bool) -> Option<(String, Why)> {
        let refused = judge(steps, trusted, is_written).refused;
        refused.map(|(step, why)| (step.path.display().to_string(), why))
    }

    #[test]
    fn what_anybody_can_change_is_refused_whoever_owns_it() {
        use Kind::{File, Folder, Link, Other};
        let planted = |mode| Why::Planted { folder: "/tmp".into(), mode };
        for (kind, folder_uid, folder_mode, file, uid, mode, expected) in [
            (Folder, 0, 0o755, File, 0, 0o644, None),
            (Folder, 0, 0o755, File, ALICE, 0o600, None),
            (Folder, ALICE, 0o755, File, 0, 0o644, None),
            (Folder, 0, 0o755, File, 0, 0o646, Some(("/tmp/f", Why::Anybody))),
            (Folder, 0, 0o755, File, ALICE, 0o666, Some(("/tmp/f", Why::Anybody))),
            (Folder, 0, 0o777, File, 0, 0o600, Some(("/tmp", Why::Anybody))),
            (Folder, 0, 0o1777, File, 0, 0o600, None),
            (Folder, 0, 0o1777, File, 0, 0o602, Some(("/tmp/f", Why::Anybody))),
            (Folder, 0, 0o1777, File, ALICE, 0o600, Some(("/tmp/f", planted(0o1777)))),
            (Folder, 0, 0o1777, Folder, ALICE, 0o700, Some(("/tmp/f", planted(0o1777)))),
            (Folder, 0, 0o1777, Link, ALICE, 0o777, Some(("/tmp/f", planted(0o1777)))),
            // The mode of a symlink means nothing, nor does that of what keeps nothing.
            (Folder, 0, 0o755, Link, 0, 0o777, None),
            (Folder, 0, 0o755, Link, ALICE, 0o777, None),
            (Folder, 0, 0o755, Other, 0, 0o666, None),
            // A sticky folder in which only the owner can put files.
            (Folder, 0, 0o1755, File, ALICE, 0o600, None),
        ] {
            let steps = [
                step("/", kind, 0, 0o755),
                step("/tmp", kind, folder_uid, folder_mode),
                step("/tmp/f", file, uid, mode),
            ];
            let found = refused(&steps, &[ROOT], false);
            let expected = expected.map(|(path, why)| (path.to_owned(), why));
            assert_eq!(found, expected, "{folder_mode:o} {file:?} {uid} {mode:o}");
        }
    }

    #[test]
    fn a_group_counts_where_it_has_others() {
        let file = |is_shared| Step { is_shared, ..step("/f", Kind::File, ALICE, 0o664) };
        assert_eq!(refused(&[file(false)], &[ROOT], false), None);
        assert_eq!(refused(&[file(true)], &[ROOT], false), Some(("/f".to_owned(), Why::Group)));
        let folder = Step { is_shared: true, ..step("/d", Kind::Folder, 0, 0o1775) };
        let within = step("/d/f", Kind::File, ALICE, 0o644);
        let why = Why::Planted { folder: "/d".into(), mode: 0o1775 };
        assert_eq!(refused(&[folder.clone(), within.clone()], &[ROOT], false), Some(("/d/f".to_owned(), why)));
        assert_eq!(refused(&[folder, within], &[ROOT, ALICE], false), None);
    }

    #[test]
    fn the_owner_of_the_last_step_that_is_not_trusted_is_named() {
        let steps = [
            step("/home", Kind::Folder, 0, 0o755),
            step("/home/alice", Kind::Folder, ALICE, 0o755),
            step("/home/alice/f", Kind::File, 0, 0o644),
        ];
        let foreign = |trusted: &[u32]| judge(&steps, trusted, false).foreign.map(|step| step.path);
        assert_eq!(foreign(&[ROOT]), Some("/home/alice".into()));
        assert_eq!(foreign(&[ROOT, BOB]), Some("/home/alice".into()));
        assert_eq!(foreign(&[ROOT, ALICE]), None);
    }

    #[test]
    fn nothing_is_written_through_a_link_of_another_user() {
        let link = |uid| [step("/", Kind::Folder, 0, 0o755), step("/log", Kind::Link, uid, 0o777)];
        assert_eq!(refused(&link(ALICE), &[ROOT], true), Some(("/log".to_owned(), Why::Link)));
        assert_eq!(refused(&link(ALICE), &[ROOT], false), None);
        assert_eq!(refused(&link(ALICE), &[ROOT, ALICE], true), None);
        assert_eq!(refused(&link(ROOT), &[ROOT], true), None);
    }
}
