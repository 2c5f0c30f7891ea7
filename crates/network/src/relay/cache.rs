//! Answers of other name servers, kept for as long as they say (RFC 1035 section 3.2.1, RFC 2308 for what does not exist).
//!
//! A question is the same when all its bytes but the id are: so no client gets an answer that was cut, or signed, for
//! another. Each list of servers has answers of its own, because a container may ask servers that know other names.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::message;

/// Answers kept. When there is no room, those that have expired go, then all: a cache may forget.
const ANSWERS_MAX: usize = 4096;
/// Larger ones are rare, and not worth their memory.
const ANSWER_BYTES_MAX: usize = 1232;
const KEPT_MAX: Duration = Duration::from_secs(3600);
/// What does not exist may exist soon.
const ABSENT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    servers: Vec<IpAddr>,
    /// Without the id.
    query: Vec<u8>,
}

#[derive(Debug)]
struct Kept {
    answer: Vec<u8>,
    since: Instant,
    until: Instant,
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: HashMap<Key, Kept>,
}

impl Cache {
    /// The answer to this query, with the id it came with and what is left of its records' time.
    pub(super) fn get(&self, query: &[u8], servers: &[IpAddr], now: Instant) -> Option<Vec<u8>> {
        let kept = self.kept.get(&key(query, servers)?)?;
        if now >= kept.until {
            return None;
        }
        let mut answer = kept.answer.clone();
        answer[..2].copy_from_slice(&query[..2]);
        let age = u32::try_from(now.duration_since(kept.since).as_secs()).unwrap_or(u32::MAX);
        for at in message::times_to_live(&answer)?.places {
            let left = u32::from_be_bytes(answer[at..at + 4].try_into().ok()?).saturating_sub(age);
            answer[at..at + 4].copy_from_slice(&left.to_be_bytes());
        }
        Some(answer)
    }

    /// Keeps an answer, if it may be kept.
    pub(super) fn put(&mut self, query: &[u8], servers: &[IpAddr], answer: &[u8], now: Instant) {
        let Some(lifetime) = lifetime(answer) else { return };
        let Some(key) = key(query, servers) else { return };
        if self.kept.len() >= ANSWERS_MAX {
            self.kept.retain(|_, kept| now < kept.until);
        }
        if self.kept.len() >= ANSWERS_MAX {
            self.kept.clear();
        }
        self.kept.insert(key, Kept { answer: answer.to_vec(), since: now, until: now + lifetime });
    }
}

fn key(query: &[u8], servers: &[IpAddr]) -> Option<Key> {
    Some(Key { servers: servers.to_vec(), query: query.get(2..)?.to_vec() })
}

/// How long an answer may be given again; `None`: not at all.
fn lifetime(answer: &[u8]) -> Option<Duration> {
    if answer.len() > ANSWER_BYTES_MAX || message::is_cut(answer) {
        return None;
    }
    let times = message::times_to_live(answer)?;
    let limit = match (message::code(answer), times.has_answer) {
        (message::NO_ERROR, true) => KEPT_MAX,
        (message::NO_ERROR | message::NAME_ERROR, _) => ABSENT_MAX,
        _ => return None,
    };
    let lifetime = Duration::from_secs(u64::from(times.least?)).min(limit);
    (!lifetime.is_zero()).then_some(lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53))];

    fn query(id: u16, name: &str) -> Vec<u8> {
        let mut bytes = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        bytes.push(u8::try_from(name.len()).unwrap());
        bytes.extend(name.as_bytes());
        bytes.extend([0, 0, 1, 0, 1]);
        bytes
    }

    /// An answer with a record of this type, time and data in the section whose count lies at `section`.
    fn answer(query: &[u8], code: u8, section: usize, kind: u8, seconds: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = query.to_vec();
        (bytes[2], bytes[3], bytes[section + 1]) = (0x81, 0x80 | code, 1);
        bytes.extend([0xc0, 12, 0, kind, 0, 1]);
        bytes.extend(seconds.to_be_bytes());
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        bytes
    }

    const ANSWERS: usize = 6;
    const AUTHORITY: usize = 8;

    #[test]
    fn an_answer_is_given_again_with_its_own_id_and_the_time_that_is_left() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let asked = query(1, "web");
        cache.put(&asked, &SERVERS, &answer(&asked, 0, ANSWERS, 1, 100, &[10, 0, 0, 1]), now);
        let again = query(2, "web");
        let got = cache.get(&again, &SERVERS, now + Duration::from_secs(30)).unwrap();
        assert_eq!(got, answer(&again, 0, ANSWERS, 1, 70, &[10, 0, 0, 1]));
        assert!(cache.get(&again, &SERVERS, now + Duration::from_secs(100)).is_none(), "it has expired");
        assert!(cache.get(&again, &[], now).is_none(), "other servers may know better");
        assert!(cache.get(&query(2, "db"), &SERVERS, now).is_none());
    }

    #[test]
    fn only_what_may_be_kept_is() {
        let asked = query(1, "web");
        // A start of authority: two names, then five numbers, of which the last is for what does not exist.
        let authority = |minimum: u8| [&[0, 0][..], &[0; 19], &[minimum]].concat();
        let cut = |mut bytes: Vec<u8>| {
            bytes[2] |= 2;
            bytes
        };
        for (what, bytes, want) in [
            ("a record", answer(&asked, 0, ANSWERS, 1, 9, &[1; 4]), Some(9)),
            ("a long time", answer(&asked, 0, ANSWERS, 1, 1 << 30, &[1; 4]), Some(3600)),
            ("no time", answer(&asked, 0, ANSWERS, 1, 0, &[1; 4]), None),
            ("cut", cut(answer(&asked, 0, ANSWERS, 1, 9, &[1; 4])), None),
            ("no such name", answer(&asked, 3, AUTHORITY, 6, 900, &authority(30)), Some(30)),
            ("no such name, for long", answer(&asked, 3, AUTHORITY, 6, 900, &authority(200)), Some(60)),
            ("no such name, nobody says for how long", answer(&asked, 3, AUTHORITY, 2, 900, &[0]), None),
            ("no such type", answer(&asked, 0, AUTHORITY, 6, 20, &authority(30)), Some(20)),
            ("a failure", answer(&asked, 2, ANSWERS, 1, 9, &[1; 4]), None),
            ("nonsense", vec![0; 12], None),
            ("broken off", answer(&asked, 0, ANSWERS, 1, 9, &[1; 4])[..asked.len() + 8].to_vec(), None),
        ] {
            assert_eq!(lifetime(&bytes).map(|time| time.as_secs()), want, "{what}");
        }
    }

    #[test]
    fn it_has_a_bound() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        for number in 0..2 * ANSWERS_MAX {
            let asked = query(1, &format!("n{number}"));
            cache.put(&asked, &SERVERS, &answer(&asked, 0, ANSWERS, 1, 9, &[1; 4]), now);
            assert!(cache.kept.len() <= ANSWERS_MAX);
        }
    }
}
