#![forbid(unsafe_code)]
//! Shows instances as JSON.

use serde_json::{Value, json};

use super::state::{Condition, Health, State};
use crate::text::one_line;

/// One instance.
pub fn one(state: &State) -> Value {
    let health = match &state.health {
        Health::Holds { check } => json!({ "check": check, "ok": true, "reason": null }),
        Health::Fails { check, reason } => json!({ "check": check, "ok": false, "reason": reason }),
        Health::Unknown(why) => json!({ "check": null, "ok": null, "reason": why }),
        Health::Runs | Health::Unchecked | Health::Asked(_) => Value::Null,
    };
    // A server whose health is asked for runs, whether it is still starting or not.
    let asked = matches!(state.health, Health::Holds { .. } | Health::Fails { .. });
    let runs = state.condition == Condition::Running || (state.condition == Condition::Starting && asked);
    json!({
        "name": state.name,
        "user": state.user,
        "state": state.word(),
        "reason": if let Condition::Unknown(why) = &state.condition { Some(why) } else { None },
        "running": runs,
        "healthy": match state.health {
            Health::Holds { .. } | Health::Runs => Some(true),
            Health::Fails { .. } if state.condition != Condition::Starting => Some(false),
            _ => None,
        },
        "health": health,
        "pid": (state.pid > 0).then_some(state.pid),
        "mode": state.mode,
        "supervisor": state.supervisor,
        "unit": state.unit,
        "uptime_seconds": state.uptime.map(|u| u.as_secs_f64()),
        "url": state.url.as_ref().map(one_line),
        "port": state.port,
        "port_held_by": state.stranger,
        "log": state.log.as_ref().map(|log| log.to_string_lossy()),
        "fds": state.descriptors.map(|(open, limit)| json!({ "open": open, "limit": limit })),
        "workers": state.workers,
        "was_pid": state.was,
        "ended": state.ended,
        "served_by": state.serving,
        "goes_on": state.background,
        "sidecar": state.sidecar,
        "left_alone": state.escaped,
        "stop": state.stop.as_ref().filter(|_| state.user.is_none()),
    })
}

/// All instances.
pub fn all(states: &[State]) -> Value {
    states.iter().map(one).collect()
}
