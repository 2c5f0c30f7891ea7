//! Address management: pure. One [`Ipam`] hands out the addresses of one subnet, in Docker's order: the next free one
//! after the last given, starting over at the end.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Docker's default pools: sixteen networks of this size, then smaller ones.
pub fn default_pools() -> Vec<(Ipv4Net, u8)> {
    let mut pools: Vec<_> = (17..32).map(|second| (net([172, second, 0, 0], 16), 16)).collect();
    pools.push((net([192, 168, 0, 0], 16), 20));
    pools
}

fn net(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(octets.into(), prefix)
}

/// The first subnet of the pools that overlaps nothing `used`. Each pool is cut into subnets of its prefix length.
pub fn free_subnet(pools: &[(Ipv4Net, u8)], used: &[Ipv4Net]) -> Option<Ipv4Net> {
    pools
        .iter()
        .filter_map(|(base, prefix)| base.subnets((*prefix).max(base.prefix_len())).ok())
        .flatten()
        .find(|subnet| !used.iter().any(|other| overlaps(*subnet, *other)))
}

/// Whether two subnets share an address.
pub fn overlaps(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// Why an address cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// None is free.
    Exhausted,
    /// Somebody has it.
    InUse,
    /// Not in this subnet, or its network or broadcast address.
    Outside,
}

/// The addresses of one subnet. A bitmap: 8 KiB for a /16.
#[derive(Debug, Clone)]
pub struct Ipam {
    subnet: Ipv4Net,
    /// Part of the subnet that automatic addresses come from.
    range: Ipv4Net,
    /// One bit for each address of the subnet, in words made as they are needed.
    taken: Vec<u64>,
    /// Offset in the range at which the next search begins.
    next: u32,
}

impl Ipam {
    /// All free but the network and broadcast addresses (a /31 and a /32 have neither). `range` limits automatic
    /// addresses; it is the subnet itself if it is absent or does not lie within.
    pub fn new(subnet: Ipv4Net, range: Option<Ipv4Net>) -> Self {
        let subnet = subnet.trunc();
        let range = range.map(|range| range.trunc()).filter(|range| subnet.contains(range)).unwrap_or(subnet);
        Self { subnet, range, taken: Vec::new(), next: 0 }
    }

    /// The subnet.
    pub fn subnet(&self) -> Ipv4Net {
        self.subnet
    }

    /// Takes the next free address.
    ///
    /// # Errors
    /// [`Refusal::Exhausted`].
    pub fn allocate(&mut self) -> Result<Ipv4Addr, Refusal> {
        let first = u32::from(self.range.network());
        let last = u32::from(self.range.broadcast()) - first;
        let mut offset = self.next;
        loop {
            let candidate = Ipv4Addr::from(first + offset);
            let after = if offset == last { 0 } else { offset + 1 };
            if self.usable(candidate) && !self.is_taken(candidate) {
                self.mark(candidate, true);
                self.next = after;
                return Ok(candidate);
            }
            offset = after;
            if offset == self.next {
                return Err(Refusal::Exhausted);
            }
        }
    }

    /// Takes this address, within the range or not.
    ///
    /// # Errors
    /// [`Refusal::Outside`], [`Refusal::InUse`].
    pub fn reserve(&mut self, address: Ipv4Addr) -> Result<(), Refusal> {
        if !self.usable(address) {
            return Err(Refusal::Outside);
        }
        if self.is_taken(address) {
            return Err(Refusal::InUse);
        }
        self.mark(address, true);
        Ok(())
    }

    /// Gives an address back. One that was not taken is none of our business.
    pub fn release(&mut self, address: Ipv4Addr) {
        if self.subnet.contains(&address) {
            self.mark(address, false);
        }
    }

    /// Whether somebody has it.
    pub fn is_taken(&self, address: Ipv4Addr) -> bool {
        let (word, bit) = self.position(address);
        self.taken.get(word).is_some_and(|word| word & bit != 0)
    }

    fn usable(&self, address: Ipv4Addr) -> bool {
        let ends = self.subnet.prefix_len() < 31
            && (address == self.subnet.network() || address == self.subnet.broadcast());
        self.subnet.contains(&address) && !ends
    }

    fn mark(&mut self, address: Ipv4Addr, taken: bool) {
        let (word, bit) = self.position(address);
        if word >= self.taken.len() {
            if !taken {
                return;
            }
            self.taken.resize(word + 1, 0);
        }
        if taken {
            self.taken[word] |= bit;
        } else {
            self.taken[word] &= !bit;
        }
    }

    fn position(&self, address: Ipv4Addr) -> (usize, u64) {
        let offset = u32::from(address).wrapping_sub(u32::from(self.subnet.network()));
        ((offset / 64) as usize, 1 << (offset % 64))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_come_in_sequence_and_freed_ones_wait_for_the_next_round() {
        let mut ipam = Ipam::new(subnet("10.0.0.0/29"), None);
        ipam.reserve(address("10.0.0.1")).unwrap();
        let given: Vec<_> = (0..3).map(|_| ipam.allocate().unwrap().octets()[3]).collect();
        assert_eq!(given, [2, 3, 4]);
        ipam.release(address("10.0.0.3"));
        let given: Vec<_> = (0..3).map(|_| ipam.allocate().unwrap().octets()[3]).collect();
        assert_eq!(given, [5, 6, 3]);
        assert_eq!(ipam.allocate(), Err(Refusal::Exhausted));
    }

    #[test]
    fn fixed_addresses_are_checked() {
        let mut ipam = Ipam::new(subnet("10.0.0.0/24"), Some(subnet("10.0.0.128/25")));
        for (fixed, expect) in [
            ("10.0.0.9", Ok(())),
            ("10.0.0.9", Err(Refusal::InUse)),
            ("10.0.1.1", Err(Refusal::Outside)),
            ("9.255.255.255", Err(Refusal::Outside)),
            ("10.0.0.0", Err(Refusal::Outside)),
            ("10.0.0.255", Err(Refusal::Outside)),
        ] {
            assert_eq!(ipam.reserve(address(fixed)), expect, "{fixed}");
        }
        assert_eq!(ipam.allocate(), Ok(address("10.0.0.128")));
    }

    #[test]
    fn tiny_subnets_use_every_address() {
        let mut ipam = Ipam::new(subnet("10.0.0.4/31"), None);
        assert_eq!(ipam.allocate(), Ok(address("10.0.0.4")));
        assert_eq!(ipam.allocate(), Ok(address("10.0.0.5")));
        assert_eq!(ipam.allocate(), Err(Refusal::Exhausted));
        let mut all = Ipam::new(subnet("0.0.0.0/0"), None);
        assert_eq!(all.allocate(), Ok(address("0.0.0.1")));
    }

    #[test]
    fn the_first_subnet_that_is_free_is_chosen() {
        for (used, expect) in [
            (&[][..], Some("172.17.0.0/16")),
            (&["172.17.0.0/16"], Some("172.18.0.0/16")),
            (&["172.17.5.0/24", "172.18.0.1/32"], Some("172.19.0.0/16")),
            (&["172.16.0.0/12"], Some("192.168.0.0/20")),
            (&["172.16.0.0/12", "192.168.0.0/24"], Some("192.168.16.0/20")),
            (&["172.16.0.0/12", "192.168.0.0/16"], None),
        ] {
            let used: Vec<_> = used.iter().map(|text| subnet(text)).collect();
            assert_eq!(free_subnet(&default_pools(), &used), expect.map(subnet), "{used:?}");
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Allocate,
        Reserve(u8),
        Release(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            2 => Just(Step::Allocate),
            1 => any::<u8>().prop_map(Step::Reserve),
            1 => any::<u8>().prop_map(Step::Release),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a set as the model: nothing is given twice, nothing is lost, nothing outside is given.
        #[test]
        fn no_address_is_handed_out_twice_or_lost(prefix in 24u8..=32, steps in steps()) {
            let subnet = Ipv4Net::new(Ipv4Addr::new(10, 1, 2, 64), prefix).unwrap().trunc();
            let usable: BTreeSet<Ipv4Addr> = if prefix < 31 { subnet.hosts().collect() } else {
                (u32::from(subnet.network())..=u32::from(subnet.broadcast())).map(Ipv4Addr::from).collect()
            };
            let mut ipam = Ipam::new(subnet, None);
            let mut model = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Allocate => match ipam.allocate() {
                        Ok(given) => {
                            prop_assert!(usable.contains(&given));
                            prop_assert!(model.insert(given), "{given} given twice");
                        }
                        Err(refusal) => {
                            prop_assert_eq!(refusal, Refusal::Exhausted);
                            prop_assert_eq!(model.len(), usable.len());
                        }
                    },
                    Step::Reserve(last) => {
                        let fixed = Ipv4Addr::new(10, 1, 2, last);
                        let expect = if !usable.contains(&fixed) { Err(Refusal::Outside) }
                            else if model.contains(&fixed) { Err(Refusal::InUse) } else { Ok(()) };
                        prop_assert_eq!(ipam.reserve(fixed), expect);
                        if expect.is_ok() { model.insert(fixed); }
                    }
                    Step::Release(last) => {
                        let fixed = Ipv4Addr::new(10, 1, 2, last);
                        ipam.release(fixed);
                        model.remove(&fixed);
                    }
                }
                prop_assert!(model.iter().all(|address| ipam.is_taken(*address)));
            }
        }
    }
}
