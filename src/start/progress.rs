#![forbid(unsafe_code)]
//! Shows the progress of checks: a line each on a terminal, a few plain lines elsewhere, a status for the service
//! manager.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::check::run::{Job, Observer, Progress, Work};
use crate::line::say;
use crate::screen::{self, Screen, Tone};
use crate::supervisor::notify::{Manager, Notifier};
use crate::text::{attempts, elapsed, quoted};

/// A wait that lasts this long gets a plain line.
const NOTEWORTHY: Duration = Duration::from_secs(1);

/// Shows progress to whoever is there: a terminal, a log, a service manager.
pub struct ProgressLine {
    on_terminal: bool,
    screen: Screen,
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    /// Per job, whether a plain line announced it and whether it is done.
    lines: Vec<(bool, bool)>,
    notifier: Option<Notifier>,
}

impl ProgressLine {
    /// `on_terminal`: stderr is a terminal and progress lines are wanted.
    pub fn new(on_terminal: bool, manager: Option<Manager>) -> Self {
        ProgressLine {
            on_terminal,
            screen: screen::stderr(),
            bars: None,
            lines: Vec::new(),
            notifier: manager.map(Notifier::new),
        }
    }

    /// Ends a set of jobs. The cursor goes below the last line that was drawn.
    pub fn end(&mut self) {
        self.lines.clear();
        if self.bars.take().is_some() {
            let _ = io::stderr().write_all(b"\n");
        }
    }

    /// Sends a status to the service manager, if one listens.
    pub fn status(&mut self, status: &str) {
        if let Some(notifier) = &mut self.notifier {
            notifier.waiting(status);
        }
    }

    /// Whether a service manager listens.
    pub fn notifies(&self) -> bool {
        self.notifier.is_some()
    }

    /// The service manager, if one listens.
    pub fn manager(&self) -> Option<&Manager> {
        self.notifier.as_ref().map(|notifier| &notifier.manager)
    }

    /// The longest time without a message to the service manager while we wait.
    pub fn patience(&self) -> Duration {
        self.notifier.as_ref().map_or(Duration::MAX, Notifier::interval)
    }

    /// Tells the service manager that we stand by while the service runs. Returns how long until the next message.
    pub fn stands_by(&mut self, status: &str) -> Duration {
        self.notifier.as_mut().map_or(Duration::MAX, |notifier| notifier.standing_by(status))
    }

    /// Tells the service manager that the checks are over and that the server gets `time` to start.
    pub fn starting(&mut self, status: &str, time: Duration) {
        if let Some(notifier) = &mut self.notifier {
            notifier.starting(status, time);
        }
    }

    fn draw(&mut self, jobs: &[Job], progress: &[Progress], waited: Duration) {
        let (marks, ticks) = if self.screen.utf8 {
            (["✓", "✗"], "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
        } else {
            (["ok", "no"], "|/-\\ ")
        };
        let (_, bars) = self.bars.get_or_insert_with(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(20));
            let style = ProgressStyle::with_template("{spinner} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner())
                .tick_chars(ticks);
            let bars = jobs.iter().map(|_| all.add(ProgressBar::new_spinner().with_style(style.clone())));
            let bars = bars.collect();
            (all, bars)
        });
        for ((job, progress), bar) in jobs.iter().zip(progress).zip(bars.iter()).filter(|(_, bar)| !bar.is_finished()) {
            let reason = if progress.reason.is_empty() { String::new() } else { format!("  {}", progress.reason) };
            let mark = progress.outcome.map(|(holds, _)| marks[usize::from(!holds)]);
            let took = progress.outcome.map_or(waited, |(_, took)| took);
            let line = format!("{}  {}{reason}", job.label, elapsed(took));
            match mark {
                Some(mark) => {
                    if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_msg}") {
                        bar.set_style(style);
                    }
                    let tone = if progress.holds() { Tone::Good } else { Tone::Bad };
                    bar.set_prefix(self.screen.paint(tone, mark));
                    bar.finish_with_message(line);
                }
                None => {
                    bar.set_message(line);
                    bar.tick();
                }
            }
        }
    }

    fn print(&mut self, jobs: &[Job], progress: &[Progress], waited: Duration) {
        self.lines.resize(jobs.len(), (false, false));
        for ((job, progress), (announced, done)) in jobs.iter().zip(progress).zip(&mut self.lines) {
            if *done {
                continue;
            }
            match progress.outcome {
                Some((true, took)) if *announced => {
                    say(&format!(
                        "{} holds after {} ({})",
                        quoted(&job.label),
                        elapsed(took),
                        attempts(progress.attempts)
                    ));
                }
                None if !*announced && waited >= NOTEWORTHY => {
                    let verb = if matches!(job.work, Work::Fix(_)) { "running" } else { "waiting for" };
                    let reason = if progress.reason.is_empty() { "" } else { ": " };
                    let most = elapsed(job.deadline);
                    say(&format!("{verb} {}, at most {most}{reason}{}", quoted(&job.label), progress.reason));
                    *announced = true;
                }
                _ => {}
            }
            *done = progress.outcome.is_some();
        }
    }
}

impl Observer for ProgressLine {
    fn interval(&self) -> Duration {
        let interval = if self.on_terminal { Duration::from_millis(100) } else { NOTEWORTHY };
        interval.min(self.patience())
    }

    fn look(&mut self, jobs: &[Job], progress: &[Progress], waited: Duration) {
        match self.on_terminal {
            true => self.draw(jobs, progress, waited),
            false => self.print(jobs, progress, waited),
        }
        if self.notifier.is_some() && progress.iter().any(|p| p.outcome.is_none()) {
            self.status(&waiting_for(jobs, progress));
        }
    }
}

/// One line that names what is still waited for.
fn waiting_for(jobs: &[Job], progress: &[Progress]) -> String {
    let pending: Vec<_> = jobs.iter().zip(progress).filter(|(_, p)| p.outcome.is_none()).collect();
    let named = pending.iter().take(3).map(|(job, progress)| match progress.reason.as_str() {
        "" => job.label.clone(),
        reason => format!("{} ({reason})", job.label),
    });
    let more = if pending.len() > 3 { format!(" and {} more", pending.len() - 3) } else { String::new() };
    format!("waiting for {}{more}", named.collect::<Vec<_>>().join(", "))
}
