//! Who has which name on which network. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use super::message::{Query, Records, TYPE_A, TYPE_PTR};
use super::protocol::Entry;

const REVERSE: &str = ".in-addr.arpa";

/// All names of all networks.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By endpoint id.
    entries: BTreeMap<String, Entry>,
    /// Network, name -> endpoint id and address. Several containers may share an alias.
    forward: HashMap<String, HashMap<String, Vec<(String, Ipv4Addr)>>>,
    /// Turned at each answer, so that those who share a name take turns.
    turn: usize,
}

impl Names {
    /// An endpoint has these names from now on.
    pub(super) fn put(&mut self, endpoint: String, entry: Entry) {
        self.remove(&endpoint);
        let network = self.forward.entry(entry.network.clone()).or_default();
        for name in &entry.names {
            network.entry(name.to_ascii_lowercase()).or_default().push((endpoint.clone(), entry.address));
        }
        self.entries.insert(endpoint, entry);
    }

    /// An endpoint is gone.
    pub(super) fn remove(&mut self, endpoint: &str) {
        let Some(entry) = self.entries.remove(endpoint) else { return };
        let Some(network) = self.forward.get_mut(&entry.network) else { return };
        for name in &entry.names {
            let name = name.to_ascii_lowercase();
            if let Some(holders) = network.get_mut(&name) {
                holders.retain(|(id, _)| id != endpoint);
                if holders.is_empty() {
                    network.remove(&name);
                }
            }
        }
        if network.is_empty() {
            self.forward.remove(&entry.network);
        }
    }

    /// Keeps only these endpoints.
    pub(super) fn retain(&mut self, wanted: &[String]) {
        let gone: Vec<String> =
            self.entries.keys().filter(|id| wanted.binary_search(id).is_err()).cloned().collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    /// What one who is on these networks is told; `None` is for others to answer.
    pub(super) fn look_up(&mut self, networks: &[String], query: &Query) -> Option<Records> {
        if !query.class_in {
            return None;
        }
        if let Some(reverse) = query.name.strip_suffix(REVERSE) {
            let wanted = if query.kind == TYPE_PTR { reversed(reverse)? } else { return None };
            return self.name_of(networks, wanted).map(Records::Ptr);
        }
        let found = networks.iter().find_map(|network| {
            let names = self.forward.get(network)?;
            // `name` or `name.network`.
            let bare = query.name.strip_suffix(network.to_ascii_lowercase().as_str());
            let bare = bare.and_then(|name| name.strip_suffix('.'));
            names.get(&query.name).or_else(|| names.get(bare?))
        })?;
        if query.kind != TYPE_A {
            return Some(Records::None);
        }
        let mut addresses: Vec<Ipv4Addr> = found.iter().map(|(_, address)| *address).collect();
        if addresses.len() > 1 {
            self.turn = self.turn.wrapping_add(1);
            let by = self.turn % addresses.len();
            addresses.rotate_left(by);
        }
        Some(Records::A(addresses))
    }

    fn name_of(&self, networks: &[String], address: Ipv4Addr) -> Option<String> {
        let holds = |entry: &&Entry| entry.address == address && networks.contains(&entry.network);
        let entry = self.entries.values().find(holds)?;
        Some(format!("{}.{}", entry.names.first()?, entry.network))
    }
}

/// `2.0.17.172` is 172.17.0.2.
fn reversed(text: &str) -> Option<Ipv4Addr> {
    let [a, b, c, d] = text.parse::<Ipv4Addr>().ok()?.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

#[cfg(test)]
mod tests {
    use super::super::message::{Records, parse};
    use super::*;

    fn query(name: &str, kind: u16) -> Query {
        let mut bytes = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.as_bytes());
        }
        bytes.extend([0, 0, u8::try_from(kind).unwrap(), 0, 1]);
        parse(&bytes).unwrap()
    }

    fn entry(network: &str, last: u8, names: &[&str]) -> Entry {
        Entry {
            network: network.to_owned(),
            address: Ipv4Addr::new(10, 0, 0, last),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn names_are_known_on_their_own_network_only() {
        let mut names = Names::default();
        names.put("e1".to_owned(), entry("Front", 2, &["Web", "www"]));
        names.put("e2".to_owned(), entry("front", 3, &["db"]));
        let on = |network: &str| vec![network.to_owned()];
        let a = |last| Some(Records::A(vec![Ipv4Addr::new(10, 0, 0, last)]));
        for (network, name, kind, expect) in [
            ("Front", "web", TYPE_A, a(2)),
            ("Front", "WWW.front", TYPE_A, a(2)),
            ("Front", "web", 28, Some(Records::None)),
            ("Front", "db", TYPE_A, None),
            ("front", "db", TYPE_A, a(3)),
            ("Front", "webfront", TYPE_A, None),
            ("Front", "2.0.0.10.in-addr.arpa", TYPE_PTR, Some(Records::Ptr("Web.Front".to_owned()))),
            ("front", "2.0.0.10.in-addr.arpa", TYPE_PTR, None),
            ("Front", "example.org", TYPE_A, None),
        ] {
            assert_eq!(names.look_up(&on(network), &query(name, kind)), expect, "{name} on {network}");
        }
    }

    #[test]
    fn those_who_share_a_name_take_turns_until_they_leave() {
        let mut names = Names::default();
        names.put("e1".to_owned(), entry("n", 2, &["web"]));
        names.put("e2".to_owned(), entry("n", 3, &["web"]));
        let on = vec!["n".to_owned()];
        let mut first = || match names.look_up(&on, &query("web", TYPE_A)) {
            Some(Records::A(all)) if all.len() == 2 => all[0].octets()[3],
            other => panic!("{other:?}"),
        };
        assert_ne!(first(), first());
        names.retain(&["e2".to_owned()]);
        let left = Some(Records::A(vec![Ipv4Addr::new(10, 0, 0, 3)]));
        assert_eq!(names.look_up(&on, &query("web", TYPE_A)), left);
        names.remove("e2");
        assert!(names.forward.is_empty() && names.entries.is_empty());
    }
}
