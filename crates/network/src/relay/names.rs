//! Who has which name on which network. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{Query, Records, TYPE_A, TYPE_AAAA, TYPE_PTR};
use super::protocol::Entry;

const REVERSE: &str = ".in-addr.arpa";
const REVERSE_V6: &str = ".ip6.arpa";

/// An endpoint with a name.
#[derive(Debug, Clone)]
struct Holder {
    endpoint: String,
    address: Option<Ipv4Addr>,
    address6: Option<Ipv6Addr>,
}

/// All names of all networks.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By endpoint id.
    entries: BTreeMap<String, Entry>,
    /// Network, name -> endpoints. Several containers may share an alias.
    forward: HashMap<String, HashMap<String, Vec<Holder>>>,
    /// Turned at each answer, so that those who share a name take turns.
    turn: usize,
}

impl Names {
    /// An endpoint has these names from now on.
    pub(super) fn put(&mut self, endpoint: String, entry: Entry) {
        self.remove(&endpoint);
        let network = self.forward.entry(entry.network.clone()).or_default();
        for name in &entry.names {
            let (address, address6) = (entry.address, entry.address6);
            let holder = Holder { endpoint: endpoint.clone(), address, address6 };
            network.entry(name.to_ascii_lowercase()).or_default().push(holder);
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
                holders.retain(|holder| holder.endpoint != endpoint);
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
        let v4 = query.name.strip_suffix(REVERSE).map(|text| reversed(text).map(IpAddr::V4));
        let v6 = query.name.strip_suffix(REVERSE_V6).map(|text| reversed_v6(text).map(IpAddr::V6));
        if let Some(wanted) = v4.or(v6) {
            let wanted = if query.kind == TYPE_PTR { wanted? } else { return None };
            return self.name_of(networks, wanted).map(Records::Ptr);
        }
        let found = networks.iter().find_map(|network| {
            let names = self.forward.get(network)?;
            // `name` or `name.network`.
            let bare = query.name.strip_suffix(network.to_ascii_lowercase().as_str());
            let bare = bare.and_then(|name| name.strip_suffix('.'));
            names.get(&query.name).or_else(|| names.get(bare?))
        })?;
        let mut addresses: Vec<IpAddr> = match query.kind {
            TYPE_A => found.iter().filter_map(|holder| holder.address.map(IpAddr::V4)).collect(),
            TYPE_AAAA => found.iter().filter_map(|holder| holder.address6.map(IpAddr::V6)).collect(),
            _ => Vec::new(),
        };
        if addresses.is_empty() {
            return Some(Records::None);
        }
        if addresses.len() > 1 {
            self.turn = self.turn.wrapping_add(1);
            let by = self.turn % addresses.len();
            addresses.rotate_left(by);
        }
        Some(Records::Addresses(addresses))
    }

    fn name_of(&self, networks: &[String], address: IpAddr) -> Option<String> {
        let has = |entry: &Entry| {
            entry.address.map(IpAddr::V4) == Some(address) || entry.address6.map(IpAddr::V6) == Some(address)
        };
        let holds = |entry: &&Entry| has(entry) && networks.contains(&entry.network);
        let entry = self.entries.values().find(holds)?;
        Some(format!("{}.{}", entry.names.first()?, entry.network))
    }
}

/// `2.0.17.172` is 172.17.0.2.
fn reversed(text: &str) -> Option<Ipv4Addr> {
    let [a, b, c, d] = text.parse::<Ipv4Addr>().ok()?.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

/// 32 hex digits, the last one first, each with a dot between (RFC 3596, section 2.5).
fn reversed_v6(text: &str) -> Option<Ipv6Addr> {
    let mut address = 0u128;
    let mut digits = 0;
    for digit in text.split('.').rev() {
        let value = u128::from_str_radix(digit, 16).ok().filter(|_| digit.len() == 1)?;
        address = address << 4 | value;
        digits += 1;
    }
    (digits == 32).then(|| Ipv6Addr::from(address))
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
            address: Some(Ipv4Addr::new(10, 0, 0, last)),
            address6: (last == 2).then_some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn names_are_known_on_their_own_network_only() {
        let mut names = Names::default();
        names.put("e1".to_owned(), entry("Front", 2, &["Web", "www"]));
        names.put("e2".to_owned(), entry("front", 3, &["db"]));
        let on = |network: &str| vec![network.to_owned()];
        let a = |last| Some(Records::Addresses(vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))]));
        for (network, name, kind, expect) in [
            ("Front", "web", TYPE_A, a(2)),
            ("Front", "WWW.front", TYPE_A, a(2)),
            ("Front", "web", TYPE_AAAA, Some(Records::Addresses(vec!["fd00::2".parse().unwrap()]))),
            ("front", "db", TYPE_AAAA, Some(Records::None)),
            ("Front", "web", 15, Some(Records::None)),
            (
                "Front",
                "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
                TYPE_PTR,
                Some(Records::Ptr("Web.Front".to_owned())),
            ),
            ("Front", "2.0.d.f.ip6.arpa", TYPE_PTR, None),
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
            Some(Records::Addresses(all)) if all.len() == 2 => all[0],
            other => panic!("{other:?}"),
        };
        assert_ne!(first(), first());
        names.retain(&["e2".to_owned()]);
        let left = Some(Records::Addresses(vec!["10.0.0.3".parse().unwrap()]));
        assert_eq!(names.look_up(&on, &query("web", TYPE_A)), left);
        names.remove("e2");
        assert!(names.forward.is_empty() && names.entries.is_empty());
    }
}
