//! When a container is started again, and after how long. Pure (moby `restartmanager`).

use std::time::Duration;

use types::config::RestartPolicy;

/// First waiting time.
pub(crate) const FIRST: Duration = Duration::from_millis(100);
/// Longest waiting time.
const LONGEST: Duration = Duration::from_secs(60);
/// A container that ran this long starts over with the first waiting time.
const STEADY: Duration = Duration::from_secs(10);

/// What is known when a container has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    /// Exit code.
    pub(crate) code: i32,
    /// Times it was restarted before.
    pub(crate) restarts: u32,
    /// The user stopped it (or the daemon is going down).
    pub(crate) stopped_by_user: bool,
    /// How long it ran.
    pub(crate) ran: Duration,
    /// The waiting time before this run; `None` when the user started it.
    pub(crate) waited: Option<Duration>,
}

/// How long to wait before the next start; `None` is not at all.
pub(crate) fn next_start(policy: &RestartPolicy, ended: Ended) -> Option<Duration> {
    if ended.stopped_by_user {
        return None;
    }
    let again = match policy.name.as_str() {
        "always" | "unless-stopped" => true,
        "on-failure" => {
            let limit = policy.maximum_retry_count;
            ended.code != 0 && (limit == 0 || i64::from(ended.restarts) < limit)
        }
        _ => false,
    };
    again.then(|| match ended.waited {
        Some(waited) if ended.ran < STEADY => (waited * 2).min(LONGEST),
        _ => FIRST,
    })
}

/// Whether a container that does not run is started when the daemon starts.
pub(crate) fn at_daemon_start(
    policy: &RestartPolicy,
    was_running: bool,
    stopped_by_user: bool,
    code: i32,
    restarts: u32,
) -> bool {
    match policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !stopped_by_user,
        "on-failure" => {
            let limit = policy.maximum_retry_count;
            was_running && !stopped_by_user && code != 0 && (limit == 0 || i64::from(restarts) < limit)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_decides_and_waiting_doubles() {
        let ms = Duration::from_millis;
        let ended =
            |code, restarts| Ended { code, restarts, stopped_by_user: false, ran: ms(1), waited: None };
        for (policy, limit, ended, want) in [
            ("no", 0, ended(1, 0), None),
            ("", 0, ended(1, 0), None),
            ("always", 0, ended(0, 0), Some(FIRST)),
            ("always", 0, Ended { stopped_by_user: true, ..ended(0, 0) }, None),
            ("unless-stopped", 0, ended(137, 9), Some(FIRST)),
            ("on-failure", 0, ended(0, 0), None),
            ("on-failure", 2, ended(4, 1), Some(FIRST)),
            ("on-failure", 2, ended(4, 2), None),
            ("always", 0, Ended { waited: Some(ms(100)), ..ended(1, 1) }, Some(ms(200))),
            ("always", 0, Ended { waited: Some(ms(50_000)), ..ended(1, 1) }, Some(LONGEST)),
            ("always", 0, Ended { waited: Some(ms(50_000)), ran: STEADY, ..ended(1, 1) }, Some(FIRST)),
        ] {
            let policy = RestartPolicy { name: policy.to_owned(), maximum_retry_count: limit };
            assert_eq!(next_start(&policy, ended), want, "{policy:?} {ended:?}");
        }
    }

    #[test]
    fn the_daemon_starts_what_the_policy_wants() {
        for (policy, was_running, stopped, code, want) in [
            ("always", false, true, 0, true),
            ("unless-stopped", false, true, 0, false),
            ("unless-stopped", true, false, 0, true),
            ("on-failure", true, false, 0, false),
            ("on-failure", true, false, 255, true),
            ("on-failure", false, false, 1, false),
            ("no", true, false, 1, false),
        ] {
            let restart = RestartPolicy { name: policy.to_owned(), maximum_retry_count: 0 };
            assert_eq!(at_daemon_start(&restart, was_running, stopped, code, 0), want, "{policy}");
        }
    }
}
