#![forbid(unsafe_code)]
//! A detached start: the server gets a session of its own and a log, and forerun waits until it is ready. If it does
//! not get ready, nothing of it is left.

mod announce;
mod ears;
mod replace;
mod running;
mod server;
mod spawn;
mod tail;

use std::time::Instant;

use super::holder::{self, Holder};
use super::launch::{Launch, Replace, ourselves};
use super::log_file::Log;
use super::record::{self, Stage};
use super::seat::{Refusal, Seat};
use crate::error::Error;
use crate::instance::record::Phase;
use crate::instance::state::Folder;
use crate::line::say;
use crate::report::result::Ready;
use crate::supervisor::decide::Mode;
use crate::supervisor::units::search;
use crate::sys::{self, OwnGroup};
use running::Told;

/// Starts the server in the background, unless it runs already.
///
/// # Errors
/// All kinds. Then nothing of the server is left, and what was there before is there again.
pub fn start(mut launch: Launch) -> Result<(), Error> {
    let service = launch.given.service;
    loop {
        let begun = Instant::now();
        let folder =
            launch.given.state.clone().and_then(|root| Folder::open(&root, &service.name)).map_err(Error::State)?;
        match find_seat(&mut launch, &folder)? {
            Found::Seat(seat) => return serve(&mut launch, seat, &folder, begun),
            Found::Instance(Told::ThatItRuns) => return Ok(()),
            Found::Instance(Told::ItIsGone) => {}
        }
    }
}

/// What a start finds.
enum Found<'a> {
    Seat(Seat<'a>),
    Instance(Told),
}

/// Takes the seat of the service, if no instance has it, or its instance is to be replaced.
fn find_seat<'a, 's: 'a>(launch: &mut Launch<'s>, folder: &'a Folder) -> Result<Found<'a>, Error> {
    let service = launch.given.service;
    let lock = launch.lock(folder)?;
    let mut holder = holder::holder(service, folder, &launch.host, false).map_err(Error::State)?;
    if let Holder::Instance(record) = &holder {
        if running::was_abandoned(record, launch) && launch.given.replace == Replace::No {
            match running::adopt(launch, folder, record) {
                Err(Error::NotReady(message)) => say(&format!("{message}; whoever started it is gone, starting anew")),
                Ok(Told::ItIsGone) => {}
                done => return done.map(Found::Instance),
            }
            holder = running::end(launch, folder, record);
        }
    }
    let asked = matches!(service.asked_mode, Some((Mode::Detached, _)));
    if !asked && !matches!(holder, Holder::Instance(_)) {
        // Beside our server, the supervised job would stand by for ever.
        if let Some(why) =
            search::in_the_way(&service.name, service.config.as_deref(), service.grace, launch.given.inherited)
        {
            return Err(Error::Conflict(why));
        }
    }
    if let Holder::Instance(record) = &holder {
        if launch.given.replace == Replace::No {
            // Nothing is started, so others need not wait until its health is known.
            drop(lock);
            return running::already_running(launch, record).map(Found::Instance);
        }
    }
    replace::run(launch, folder, &holder)?;
    // The holder has been stopped, or is in the way.
    let holder = holder::holder(service, folder, &launch.host, false).map_err(Error::State)?;
    match Seat::take(launch, Some(folder), Some(lock), holder) {
        Ok(seat) => Ok(Found::Seat(seat)),
        Err(Refusal::Conflict(conflict)) => Err(conflict.into_error(launch.given.decision.supervised)),
        Err(Refusal::Error(error)) => Err(error),
    }
}

/// Starts the server in its seat, and tells that it runs.
fn serve(launch: &mut Launch, mut seat: Seat, folder: &Folder, begun: Instant) -> Result<(), Error> {
    let service = launch.given.service;
    let mut log = Log::open(service.log.as_deref(), folder)?;
    // From here on the record tells what is left if this forerun is killed.
    let us = ourselves().ok_or_else(|| {
        Error::State("cannot read this process's own start time; on Linux /proc must be mounted".to_owned())
    })?;
    let stage = Stage { log: Some(&log.path), ..Stage::new(Phase::Starting, &us) };
    seat.record(launch, stage).map_err(record::needed)?;
    seat.undo_on_drop();
    let mut server = spawn::run(launch, &seat, &mut log)?;
    seat.hand_over();
    let seen = server.seen(launch);
    let stage = Stage { log: Some(&log.path), ..Stage::new(Phase::Running, &server.process) };
    let stage = Stage { executable: sys::executable(server.process.pid), ready: seen, ..stage };
    if let Err(e) = seat.record(launch, stage).map_err(record::needed) {
        log::warn!("{e}; continuing");
    }
    launch.reached.group.take().into_iter().for_each(OwnGroup::keep);
    seat.dissolve_earlier_group();
    let pid = server.process.pid;
    // Before anybody is told: nginx takes no USR2 as long as the parent that it was started by is its parent.
    server.launched.dismiss();
    // The lock is free from here on.
    drop(seat);
    let ready = Ready { took: begun.elapsed(), log: Some(log.path), ..announce::ready_lines(service, pid) };
    announce::started(service, &ready, launch.given.json)
}
