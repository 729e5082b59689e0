#![forbid(unsafe_code)]
//! The supervisor of a recorded instance, and its commands for it.

use std::ffi::OsStr;

use super::all::ALL;
use super::job::{Active, Argv, Job, Recorded, Verb};
use super::kind::Known;
use super::units::Kind;
use crate::instance::record::Record;
use crate::text::{one_line, shell_words};

/// An instance, as its supervisor knows it.
#[derive(Debug)]
pub struct Supervised {
    /// The word of the supervisor in the record.
    pub word: String,
    /// `None` for a word that this forerun does not know.
    known: Option<Known>,
    job: Job,
}

/// The supervisor of a recorded instance, if one was recognised.
pub fn of(record: &Record) -> Option<Supervised> {
    let word = record.supervisor.clone()?;
    let known = by_word(&word);
    let job = known.map(|known| known.job(&Recorded::new(record))).unwrap_or_default();
    Some(Supervised { word, known, job })
}

/// The supervisor that a record has by its word.
fn by_word(word: &str) -> Option<Known> {
    ALL.iter().copied().find(|known| known.word() == word)
}

/// Whether the supervisor of a recorded instance can follow it to another main process.
pub fn follows(record: &Record) -> bool {
    record.supervisor.as_deref().and_then(by_word).is_some_and(|known| known.follows())
}

impl Supervised {
    /// The supervisor's name for it, if it is known.
    pub fn job(&self) -> Option<&OsStr> {
        self.job.name.as_deref()
    }

    /// Tells the user what to do, with the supervisor's own command if it is known.
    pub fn advice(&self, verb: Verb) -> String {
        match (self.command(verb), self.known) {
            (Some(command), _) => format!("{} it: {command}", verb.word()),
            (None, Some(known)) => known.advice(verb),
            (None, None) => format!("{} it through {}", verb.word(), one_line(&self.word)),
        }
    }

    /// The supervisor's own command, ready to be typed. `None` if it is not known.
    pub fn command(&self, verb: Verb) -> Option<String> {
        self.argv(verb).map(|words| shell_words(&words))
    }

    /// The words of the supervisor's own command.
    pub fn argv(&self, verb: Verb) -> Option<Argv> {
        self.known?.command(verb, &self.job)
    }

    /// Whether the supervisor is the user's own manager, not the system's.
    pub fn is_of_user(&self) -> bool {
        self.job.of_user
    }

    /// Whether the supervisor takes messages of sd_notify(3), and can be told of another main process.
    pub fn follows(&self) -> bool {
        self.known.is_some_and(|known| known.follows())
    }

    /// How the supervisor's units are written, if forerun writes any.
    pub fn units(&self) -> Option<Kind> {
        self.known?.units()
    }

    /// Asks the supervisor which process is the main one now.
    pub fn active(&self) -> Option<Active> {
        self.known?.active(&self.job)
    }

    /// Whether the control group of this path is the job's.
    pub fn has_group(&self, path: &str) -> bool {
        let service = self.known.and_then(|known| known.service_of_group(path));
        service.is_some_and(|service| self.job() == Some(OsStr::new(service)))
    }

    /// The supervisor and its name for the job, for people.
    pub fn describe(&self) -> String {
        match &self.job.name {
            Some(name) => format!("{} ({})", one_line(&self.word), one_line(name)),
            None => one_line(&self.word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervised(word: &str, name: Option<&str>, of_user: bool) -> Supervised {
        let job = Job { name: name.map(Into::into), of_user, ..Job::default() };
        Supervised { word: word.into(), known: by_word(word), job }
    }

    #[test]
    fn each_supervisor_has_its_own_commands() {
        for (word, name, of_user, stop, restart) in [
            ("systemd", "web.service", false, "systemctl stop web.service", "systemctl restart web.service"),
            (
                "systemd",
                "web@a.service",
                true,
                "systemctl --user stop web@a.service",
                "systemctl --user restart web@a.service",
            ),
            ("supervisord", "g:web", false, "supervisorctl stop g:web", "supervisorctl restart g:web"),
            ("runit", "/etc/sv/my web", false, "sv stop '/etc/sv/my web'", "sv restart '/etc/sv/my web'"),
            ("s6", "/run/s/web", false, "s6-svc -d /run/s/web", "s6-svc -r /run/s/web"),
            ("daemontools", "/service/web", false, "svc -d /service/web", "svc -t /service/web"),
            ("OpenRC", "web", false, "rc-service web stop", "rc-service web restart"),
            ("dinit", "web", false, "dinitctl stop web", "dinitctl restart web"),
            ("launchd", "x.web", false, "launchctl bootout system/x.web", "launchctl kickstart -k system/x.web"),
        ] {
            let supervised = supervised(word, Some(name), of_user);
            let (stop, restart) = (Some(stop.to_owned()), Some(restart.to_owned()));
            assert_eq!((supervised.command(Verb::Stop), supervised.command(Verb::Restart)), (stop, restart));
        }
    }

    #[test]
    fn without_a_known_command_the_advice_is_in_words() {
        let advice = |word, verb| supervised(word, None, false).advice(verb);
        assert_eq!(advice("systemd", Verb::Restart), "restart it through systemd");
        assert_eq!(advice("a container", Verb::Stop), "stop the container");
        assert_eq!(advice("one of next year", Verb::Stop), "stop it through one of next year");
    }

    #[test]
    fn each_word_is_of_one_supervisor() {
        for (at, known) in ALL.iter().enumerate() {
            assert_eq!(ALL.iter().position(|other| other.word() == known.word()), Some(at), "{known}");
        }
    }
}
