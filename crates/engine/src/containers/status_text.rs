//! A state in words: `Up 5 seconds (health: starting)`. Pure (moby `container.State.String`, go-units).

use super::state::{State, Status};
use crate::Timestamp;

/// The words of `docker ps`.
pub(crate) fn status_text(state: &State, health: Option<&str>, now: Timestamp) -> String {
    let ago = |at: Option<Timestamp>| human_duration(at.map_or(0, |at| (now.0 - at.0) / 1_000_000_000));
    match (state, state.run()) {
        (_, Some(run)) => {
            let up = ago(Some(run.started));
            match (state.status(), health) {
                (Status::Paused, _) => format!("Up {up} (Paused)"),
                (_, Some("starting")) => format!("Up {up} (health: starting)"),
                (_, Some(health)) => format!("Up {up} ({health})"),
                (_, None) => format!("Up {up}"),
            }
        }
        (State::Restarting(exit), _) => format!("Restarting ({}) {} ago", exit.code, ago(exit.finished)),
        (State::Removing(_), _) => "Removal In Progress".to_owned(),
        (State::Dead(_), _) => "Dead".to_owned(),
        (State::Created(_), _) => "Created".to_owned(),
        (State::Exited(exit), _) => format!("Exited ({}) {} ago", exit.code, ago(exit.finished)),
        _ => String::new(),
    }
}

/// go-units' `HumanDuration`, in seconds.
pub(crate) fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::state::{Exit, Run};

    #[test]
    fn durations_are_go_units() {
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (150, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (3 * 86400, "3 days"),
            (30 * 86400, "4 weeks"),
            (90 * 86400, "3 months"),
            (800 * 86400, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn states_are_told_in_dockers_words() {
        let now = Timestamp(100_000_000_000);
        let run = Run { pid: 1, started: Timestamp(95_000_000_000) };
        let exit = Exit { code: 3, finished: Some(run.started), ..Exit::default() };
        for (state, health, want) in [
            (State::Running(run.clone()), None, "Up 5 seconds"),
            (State::Running(run.clone()), Some("starting"), "Up 5 seconds (health: starting)"),
            (State::Running(run.clone()), Some("healthy"), "Up 5 seconds (healthy)"),
            (State::Paused(run), None, "Up 5 seconds (Paused)"),
            (State::Exited(exit.clone()), None, "Exited (3) 5 seconds ago"),
            (State::Restarting(exit.clone()), None, "Restarting (3) 5 seconds ago"),
            (State::Created(exit), None, "Created"),
        ] {
            assert_eq!(status_text(&state, health, now), want);
        }
    }
}
