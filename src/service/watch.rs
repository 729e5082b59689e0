#![forbid(unsafe_code)]
//! `[watch]`: what the sidecar watches; and who sends notifications to the service manager.

use std::time::Duration;

use super::file::WatchTable;
use super::values::FromText;
use super::wrong::{Fault, Wrong};
use crate::instance::watch::{Share, Watch};
use crate::text::whole_number;

/// The shortest interval: a shorter one would leave no time between looks.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

impl FromText for Share {
    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.strip_suffix('%').unwrap_or(text);
        let number = whole_number::<u32>(digits).ok().filter(|&number| number > 0);
        match number.map(u64::from) {
            Some(number) if !text.ends_with('%') => Ok(Share::Count(number)),
            Some(number) if number <= 100 => Ok(Share::Percent(number)),
            _ => Err(format!("'{text}' is neither a count nor a percentage")),
        }
    }
}

/// Resolves `[watch]` with its defaults.
pub fn resolve(table: &WatchTable) -> Result<Watch, Fault> {
    let default = Watch::default();
    let interval = table.interval.as_ref().map(|i| (i, i.get_ref().0));
    if let Some((at, _)) = interval.filter(|(_, interval)| *interval < SHORTEST_INTERVAL) {
        return Err(Wrong::at(at, "an 'interval' is at least 10ms").into());
    }
    if let Some(after) = table.unhealthy_after.as_ref().filter(|after| after.get_ref().0 == 0) {
        return Err(Wrong::at(after, "'unhealthy-after' counts attempts: at least 1").into());
    }
    Ok(Watch {
        interval: interval.map(|(_, interval)| interval),
        unhealthy_after: table.unhealthy_after.as_ref().map_or(default.unhealthy_after, |n| n.get_ref().0),
        grace: table.grace.as_ref().map_or(default.grace, |t| t.0),
        on_unhealthy: table.on_unhealthy.unwrap_or(default.on_unhealthy),
        max_fds: table.max_fds.as_ref().map_or(default.max_fds, |t| t.0),
        max_ptys: table.max_ptys.as_ref().map_or(default.max_ptys, |n| n.0),
        max_processes: table.max_processes.as_ref().map_or(default.max_processes, |n| n.0),
        on_leak: table.on_leak.unwrap_or(default.on_leak),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_count_or_a_percentage() {
        assert_eq!(Share::from_text("80%"), Ok(Share::Percent(80)));
        assert_eq!(Share::from_text("4096"), Ok(Share::Count(4096)));
        for bad in ["", "0", "0%", "101%", "-1", "+5", "5 %", "%", "a"] {
            assert!(Share::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_count_may_be_reached_and_a_percentage_may_not() {
        for (share, count, most, crossed) in [
            (Share::Count(64), 64, None, false),
            (Share::Count(64), 65, None, true),
            (Share::Percent(80), 409, Some(512), false),
            (Share::Percent(80), 410, Some(512), true),
            (Share::Percent(100), 512, Some(512), true),
            (Share::Percent(80), u64::MAX, None, false),
            (Share::Percent(80), u64::MAX, Some(u64::MAX), true),
        ] {
            assert_eq!(share.is_crossed(count, most), crossed, "{share:?} {count}");
        }
    }
}
