#![forbid(unsafe_code)]
//! The symlink in the folder that runit or s6 scans: there it runs what the link leads to.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::ask::Words;
use super::control::Control;
use crate::error::Error;
use crate::report::line::say;
use crate::text::{quoted, shell_words};

impl Control<'_> {
    /// `ln -s` to the folder of the unit, where that is not done, and the link.
    pub fn link(&self) -> (Option<Words>, String) {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let link = self.place.link.as_ref().map(text).unwrap_or_default();
        let order = ["ln", "-s", &text(&self.place.unit), &link].map(str::to_owned);
        (self.scanned().is_none().then(|| order.into()), link)
    }

    /// The link, where it leads to our unit.
    pub fn scanned(&self) -> Option<String> {
        let link = self.place.link.as_ref()?;
        (fs::read_link(link).ok()? == self.place.unit).then(|| link.to_string_lossy().into_owned())
    }

    /// Whether nothing of somebody else is where the link is to be.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub fn link_is_free(&self) -> Result<(), Error> {
        match &self.place.link {
            Some(link) if link.symlink_metadata().is_ok() && self.scanned().is_none() => Err(Error::Conflict(format!(
                "cannot make {}: something else is there; remove it, or give another --name",
                quoted(link)
            ))),
            _ => Ok(()),
        }
    }

    /// Makes the link.
    ///
    /// # Errors
    /// [`Error::Conflict`] where something else is there, [`Error::State`] where it cannot be made.
    pub fn make_link(&self) -> Result<(), Error> {
        let (Some(order), Some(link)) = (self.link().0, &self.place.link) else { return Ok(()) };
        self.say(&order);
        std::os::unix::fs::symlink(&self.place.unit, link).or_else(|e| match e.kind() {
            // Another forerun may have made it in the meantime.
            io::ErrorKind::AlreadyExists => self.link_is_free(),
            _ => Err(Error::State(format!(
                "cannot make {}: {e}; give the folder that is scanned as --dir",
                quoted(link)
            ))),
        })
    }

    /// Removes the link, without which nobody starts the unit again, and then ends what runs it, if something does:
    /// also where the link has been gone for long.
    ///
    /// # Errors
    /// As [`Control::start`]; [`Error::State`] where the link stays.
    pub fn take_away(&self, order: &Words, is_supervised: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
        if let Some(link) = self.scanned() {
            self.remove_link(&link)?;
        }
        if !is_supervised()? {
            return Ok(());
        }
        self.say(order);
        // What counts is whether it is gone: a server that had to be killed is an error to some of them.
        let answer = self.attempt(order)?;
        let patience = self.grace + Duration::from_secs(20);
        let gone = self.poll(patience, Duration::from_millis(100), || Ok((!is_supervised()?).then_some(())))?;
        gone.ok_or_else(|| self.failed(&order.join(" "), &answer))
    }

    fn remove_link(&self, link: &str) -> Result<(), Error> {
        say(&shell_words(&["rm", link]));
        fs::remove_file(link).map_err(|e| Error::State(format!("cannot remove {}: {e}", quoted(link))))
    }

    /// The folder that the supervisor is asked about: by the link, or the unit itself where there is none (any more).
    pub fn asked(&self) -> String {
        self.scanned().unwrap_or_else(|| self.place.unit.to_string_lossy().into_owned())
    }

    /// The error where nobody looks at the folder of links.
    pub fn not_scanned(&self, scanner: &str) -> Error {
        let folder = self.place.link.as_ref().and_then(|link| link.parent()).map(quoted).unwrap_or_default();
        Error::NotReady(format!("no {scanner} looks at {folder}; start it, or give the folder that it scans as --dir"))
    }
}
