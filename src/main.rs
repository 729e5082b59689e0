#![deny(unsafe_code)]
#![cfg_attr(not(test), no_main)]
#![cfg_attr(test, allow(dead_code, reason = "the test harness has its own main, which does not call `run`"))]
//! forerun runs before a server, makes sure that it can start, and then becomes it.
//!
//! What it does, to the word: docs/reference.md. Where things are: ARCHITECTURE.md.

mod args;
mod check;
mod commands;
mod environment;
mod error;
mod follow;
mod instance;
mod line;
mod report;
mod screen;
mod service;
mod sidecar;
mod start;
mod supervisor;
#[allow(unsafe_code)]
mod sys;
#[cfg(test)]
mod tests;
mod text;

use args::Task;
use environment::Environment;
use error::Error;

#[cfg(not(test))]
sys::entry!(run);

/// The whole program. Returns the exit code.
fn run(started: sys::Started) -> i32 {
    std::panic::set_hook(Box::new(|panic| {
        line::fail(&Error::NotReady(format!("internal error, please report it: {panic}").replace('\n', ": ")));
    }));
    let environment = Environment::new(started.environment);
    if started.args.get(1).is_some_and(|word| word == sidecar::WORD) {
        return end(sidecar::run(&environment), false);
    }
    let kinds = supervisor::unit_words();
    let parsed = args::parse(started.args.clone(), kinds);
    let color = parsed.as_ref().map_or_else(|_| args::color(started.args.clone(), kinds), |line| line.output.color);
    screen::init(
        &environment,
        match color {
            args::Color::Auto => screen::Colors::Auto,
            args::Color::Always => screen::Colors::Always,
            args::Color::Never => screen::Colors::Never,
        },
    );
    let command_line = match parsed {
        Ok(command_line) => command_line,
        Err(e) if !e.use_stderr() => {
            return end(line::print_result(e.to_string().as_bytes()), false);
        }
        Err(e) => {
            line::init(&environment, 0, false);
            let message = args::explain(&e, &started.args, kinds);
            return end(Err(Error::Usage(message)), supervisor::mode::is_recognised(&environment));
        }
    };
    line::init(&environment, command_line.output.verbose, command_line.output.quiet);
    let result = commands::run(&command_line, &environment, &started.args, started.dispositions);
    // Only a start reports to a supervisor's unit; `forerun stop` below one is typed by a person.
    let starts = matches!(command_line.task, Task::Start(_) | Task::Check(_));
    end(result, starts && supervisor::mode::is_recognised(&environment))
}

/// Prints the error and returns its exit code.
fn end(result: Result<(), Error>, recognised: bool) -> i32 {
    let Err(error) = result else { return 0 };
    line::fail(&error);
    i32::from(error.exit_code(recognised))
}
