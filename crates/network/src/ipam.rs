//! Address management: pure. One [`Ipam`] hands out the addresses of one subnet, in Docker's order: the next free one
//! after the last given, starting over at the end.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Docker's default pools: sixteen networks of this size, then smaller ones.
pub fn default_pools() -> Vec<(IpNet, u8)> {
    let net = |octets: [u8; 4], prefix| IpNet::V4(Ipv4Net::new_assert(octets.into(), prefix));
    let mut pools: Vec<_> = (17..32).map(|second| (net([172, second, 0, 0], 16), 16)).collect();
    pools.push((net([192, 168, 0, 0], 16), 20));
    pools
}

/// The /48 that a host generates for itself (RFC 4193, section 3.2.2: `fd` and 40 bits), cut into networks of /64.
pub fn local_pool(global_id: [u8; 5]) -> (IpNet, u8) {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&global_id);
    (IpNet::V6(Ipv6Net::new_assert(octets.into(), 48)), 64)
}

/// The first subnet of the pools that overlaps nothing `used`. Each pool is cut into subnets of its prefix length.
pub fn free_subnet(pools: &[(IpNet, u8)], used: &[IpNet]) -> Option<IpNet> {
    pools.iter().find_map(|(base, prefix)| {
        let last = base.broadcast();
        let mut address = base.network();
        loop {
            let subnet = IpNet::new(address, (*prefix).max(base.prefix_len())).ok()?.trunc();
            // Past whatever is in the way: a pool of IPv6 has more subnets than anybody could look at.
            let Some(other) = used.iter().find(|other| overlaps(subnet, **other)) else {
                return Some(subnet);
            };
            let end = other.broadcast().max(subnet.broadcast());
            if end >= last {
                return None;
            }
            address = from_number(number(end) + 1, base);
        }
    })
}

/// Whether two subnets share an address.
pub fn overlaps(one: IpNet, other: IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// Why an address cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// None is free.
    Exhausted,
    /// Somebody has it, or it is the subnet's network or broadcast address.
    InUse,
    /// Not in this subnet.
    Outside,
}

/// The addresses of one subnet.
#[derive(Debug, Clone)]
pub struct Ipam {
    subnet: IpNet,
    /// Part of the subnet that automatic addresses come from.
    range: IpNet,
    taken: BTreeSet<IpAddr>,
    /// Where the next search begins.
    next: u128,
}

impl Ipam {
    /// All free but IPv4's network and broadcast addresses (a /31 and a /32 have neither) and IPv6's first, which is
    /// any router's (RFC 4291, section 2.6.1). `range` limits automatic addresses; it is the subnet itself if it is
    /// absent or does not lie within.
    pub fn new(subnet: IpNet, range: Option<IpNet>) -> Self {
        let subnet = subnet.trunc();
        let range = range.map(|range| range.trunc()).filter(|range| subnet.contains(range)).unwrap_or(subnet);
        Self { subnet, range, taken: BTreeSet::new(), next: number(range.network()) }
    }

    /// The subnet.
    pub fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// Takes the next free address.
    ///
    /// # Errors
    /// [`Refusal::Exhausted`].
    pub fn allocate(&mut self) -> Result<IpAddr, Refusal> {
        let (first, last) = (number(self.range.network()), number(self.range.broadcast()));
        let mut at = self.next;
        loop {
            let candidate = from_number(at, &self.subnet);
            at = if at == last { first } else { at + 1 };
            if self.is_usable(candidate) && self.taken.insert(candidate) {
                self.next = at;
                return Ok(candidate);
            }
            if at == self.next {
                return Err(Refusal::Exhausted);
            }
        }
    }

    /// Takes this address, within the range or not.
    ///
    /// # Errors
    /// [`Refusal::Outside`], [`Refusal::InUse`].
    pub fn reserve(&mut self, address: IpAddr) -> Result<(), Refusal> {
        if !self.subnet.contains(&address) {
            return Err(Refusal::Outside);
        }
        if self.is_usable(address) && self.taken.insert(address) { Ok(()) } else { Err(Refusal::InUse) }
    }

    /// Gives an address back. One that was not taken is none of our business.
    pub fn release(&mut self, address: IpAddr) {
        self.taken.remove(&address);
    }

    /// Whether somebody has it.
    pub fn is_taken(&self, address: IpAddr) -> bool {
        self.taken.contains(&address)
    }

    fn is_usable(&self, address: IpAddr) -> bool {
        let end = match self.subnet {
            IpNet::V4(subnet) => {
                subnet.prefix_len() < 31
                    && (address == subnet.network() || address == IpAddr::V4(subnet.broadcast()))
            }
            IpNet::V6(subnet) => subnet.prefix_len() < 127 && address == IpAddr::V6(subnet.network()),
        };
        self.subnet.contains(&address) && !end
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// An address of this subnet's family.
fn from_number(number: u128, like: &IpNet) -> IpAddr {
    match like {
        IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_come_in_sequence_and_freed_ones_wait_for_the_next_round() {
        let mut ipam = Ipam::new(subnet("10.0.0.0/29"), None);
        ipam.reserve(address("10.0.0.1")).unwrap();
        let three =
            |ipam: &mut Ipam| (0..3).map(|_| ipam.allocate().unwrap().to_string()).collect::<Vec<_>>();
        assert_eq!(three(&mut ipam), ["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
        ipam.release(address("10.0.0.3"));
        assert_eq!(three(&mut ipam), ["10.0.0.5", "10.0.0.6", "10.0.0.3"]);
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
            ("10.0.0.0", Err(Refusal::InUse)),
            ("10.0.0.255", Err(Refusal::InUse)),
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
        let mut one = Ipam::new(subnet("fd00::7/128"), None);
        assert_eq!((one.allocate(), one.allocate()), (Ok(address("fd00::7")), Err(Refusal::Exhausted)));
    }

    #[test]
    fn ipv6_addresses_begin_after_the_one_that_is_any_routers() {
        let mut ipam = Ipam::new(subnet("fd00:1::/64"), None);
        ipam.reserve(address("fd00:1::1")).unwrap();
        assert_eq!(ipam.reserve(address("fd00:1::")), Err(Refusal::InUse));
        assert_eq!(ipam.reserve(address("10.0.0.1")), Err(Refusal::Outside));
        assert_eq!(ipam.allocate(), Ok(address("fd00:1::2")));
        let mut ranged = Ipam::new(subnet("fd00:1::/64"), Some(subnet("fd00:1::ff00/120")));
        assert_eq!(ranged.allocate(), Ok(address("fd00:1::ff00")));
        let mut all = Ipam::new(subnet("::/0"), None);
        assert_eq!(all.allocate(), Ok(address("::1")));
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

    #[test]
    fn a_generated_pool_has_65536_networks_and_what_is_used_is_passed_over_at_once() {
        let pool = local_pool([1, 2, 3, 4, 5]);
        assert_eq!(pool, (subnet("fd01:203:405::/48"), 64));
        for (used, expect) in [
            (&[][..], Some("fd01:203:405::/64")),
            (&["fd01:203:405::/64", "10.0.0.0/8"], Some("fd01:203:405:1::/64")),
            (&["fd01:203:405::/49"], Some("fd01:203:405:8000::/64")),
            (&["fd00::/8"], None),
        ] {
            let used: Vec<_> = used.iter().map(|text| subnet(text)).collect();
            assert_eq!(free_subnet(&[pool], &used), expect.map(subnet), "{used:?}");
        }
        let many = [(subnet("2001:db8::/8").trunc(), 128)];
        assert!(free_subnet(&many, &[subnet("2000::/9")]).is_some());
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
            let all = u32::from(subnet.network())..=u32::from(subnet.broadcast());
            let usable: BTreeSet<Ipv4Addr> =
                if prefix < 31 { subnet.hosts().collect() } else { all.map(Ipv4Addr::from).collect() };
            let usable: BTreeSet<IpAddr> = usable.into_iter().map(IpAddr::V4).collect();
            let mut ipam = Ipam::new(IpNet::V4(subnet), None);
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
                        let is_inside = subnet.contains(&fixed);
                        let fixed = IpAddr::V4(fixed);
                        let is_free = usable.contains(&fixed) && !model.contains(&fixed);
                        let expect = if !is_inside { Err(Refusal::Outside) }
                            else if is_free { Ok(()) } else { Err(Refusal::InUse) };
                        prop_assert_eq!(ipam.reserve(fixed), expect);
                        if expect.is_ok() { model.insert(fixed); }
                    }
                    Step::Release(last) => {
                        let fixed = IpAddr::V4(Ipv4Addr::new(10, 1, 2, last));
                        ipam.release(fixed);
                        model.remove(&fixed);
                    }
                }
                prop_assert!(model.iter().all(|address| ipam.is_taken(*address)));
            }
        }
    }
}
