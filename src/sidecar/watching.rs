#![forbid(unsafe_code)]
//! From the start of a server to watching it.

use std::sync::Arc;

use super::state::Sidecar;
use crate::text::quoted;

impl Sidecar {
    /// From here on the server is watched. It is heard no more: a server that sends on to a socket that nobody reads
    /// would stand still once that is full.
    pub(super) fn goes_over_to_watching(&mut self) {
        self.hears = None;
        let Some(attempter) = &mut self.attempter else { return };
        attempter.context = Arc::clone(&self.context);
        match self.watch_check.take() {
            Some(probe) => {
                self.check = quoted(&probe.to_string());
                attempter.probe = probe;
            }
            None if attempter.probe.check.is_told() => self.attempter = None,
            None => {}
        }
    }
}
