#![forbid(unsafe_code)]
//! The symlink in the folder that runit or s6 scans. The supervisor runs the unit that the link leads to.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::run::spoken;
use super::unit::Unit;
use crate::error::Error;
use crate::line::say;
use crate::supervisor::ask::{Argv, argv};
use crate::text::{quoted, shell_words};

impl Unit<'_> {
    /// The link, and the `ln -s` command that makes it if it is missing.
    pub fn link(&self) -> (Option<Argv>, String) {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let link = self.path.link.as_ref().map(text).unwrap_or_default();
        let order = argv(["ln", "-s", &text(&self.path.unit), &link]);
        (self.scanned().is_none().then_some(order), link)
    }

    /// The link, if it leads to our unit.
    pub fn scanned(&self) -> Option<String> {
        let link = self.path.link.as_ref()?;
        (fs::read_link(link).ok()? == self.path.unit).then(|| link.to_string_lossy().into_owned())
    }

    /// Checks that the place of the link is empty or contains our link.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub fn link_is_free(&self) -> Result<(), Error> {
        match &self.path.link {
            Some(link) if link.symlink_metadata().is_ok() && self.scanned().is_none() => Err(Error::Conflict(format!(
                "cannot make the link {}: another file is there; remove it, or give another --name",
                quoted(link)
            ))),
            _ => Ok(()),
        }
    }

    /// Makes the link.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another file is there, [`Error::State`] when the link cannot be made.
    pub fn make_link(&self) -> Result<(), Error> {
        let (Some(order), Some(link)) = (self.link().0, &self.path.link) else { return Ok(()) };
        self.say(&order);
        std::os::unix::fs::symlink(&self.path.unit, link).or_else(|e| match e.kind() {
            // Another forerun may have made the link meanwhile.
            io::ErrorKind::AlreadyExists => self.link_is_free(),
            _ => Err(Error::State(format!(
                "cannot make the link {}: {e}; name the folder that the supervisor scans: --dir",
                quoted(link)
            ))),
        })
    }

    /// Removes the link, so that the supervisor does not start the unit again. Then stops the unit if it still runs.
    /// This works even if the link is gone already.
    ///
    /// # Errors
    /// As [`Unit::start`]; [`Error::State`] when the link cannot be removed.
    pub fn take_away(&self, order: &Argv, is_supervised: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
        if let Some(link) = self.scanned() {
            self.remove_link(&link)?;
        }
        if !is_supervised()? {
            return Ok(());
        }
        self.say(order);
        // Only whether the service is gone counts: some supervisors report an error if they had to kill the server.
        let answer = self.attempt(order)?;
        let patience = self.grace + Duration::from_secs(20);
        let gone = self.poll(patience, Duration::from_millis(100), || Ok((!is_supervised()?).then_some(())))?;
        gone.ok_or_else(|| self.failed(&spoken(order), &answer))
    }

    fn remove_link(&self, link: &str) -> Result<(), Error> {
        say(&shell_words(&["rm", link]));
        fs::remove_file(link).map_err(|e| Error::State(format!("cannot remove {}: {e}", quoted(link))))
    }

    /// The folder to name in queries: the link, or the unit itself if there is no link.
    pub fn asked(&self) -> String {
        self.scanned().unwrap_or_else(|| self.path.unit.to_string_lossy().into_owned())
    }

    /// The error for a folder of links that no supervisor scans.
    pub fn not_scanned(&self, scanner: &str) -> Error {
        let folder = self.path.link.as_ref().and_then(|link| link.parent()).map(quoted).unwrap_or_default();
        Error::NotReady(format!("no {scanner} scans {folder}; start one, or name the folder that it scans: --dir"))
    }
}
