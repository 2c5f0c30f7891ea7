//! The default bridge: choosing its subnets, and claiming it for one daemon.

use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use ipnet::IpNet;

use crate::address::first_host;
use crate::netlink::Socket;
use crate::{
    BridgeOptions, Driver, Error, GatewayMode, Network, NetworkConfig, Pool, Result, host_resolv_conf, ipam,
};

const DEFAULT_MTU: u32 = 1500;
/// The default network's name for users.
pub(crate) const DEFAULT_NETWORK: &str = "bridge";
/// `IFNAMSIZ` less the zero byte.
const NAME_LEN: usize = 15;

/// Looks at the host and decides what the bridge will be. What is there already stays as it is.
pub(crate) fn choose(config: &NetworkConfig, socket: &mut Socket) -> Result<Network> {
    let name = &config.bridge;
    check_name(name)?;
    let look = |error| Error::kernel("look at the host's interfaces", error);
    let link = socket.link(name).map_err(look)?;
    if let Some(link) = &link
        && link.kind != "bridge"
    {
        return Err(Error::InvalidBridge(format!("interface {name} exists and is no bridge")));
    }
    let index = link.map_or(0, |link| link.index);
    let addresses = socket.addresses().map_err(look)?;
    let own = |v6: bool| {
        let ours = addresses.iter().filter(|(on, _)| *on == index && index != 0);
        let mut ours = ours.map(|(_, address)| *address).filter(|address| is_v6(address) == v6);
        ours.find(|address| !matches!(address.addr(), IpAddr::V6(ip) if ip.is_unicast_link_local()))
    };
    let elsewhere = socket.routes().map_err(look)?.into_iter().filter(|(on, _)| *on != index);
    let used: Vec<IpNet> = elsewhere.map(|(_, net)| net).collect();

    let v4 = Wanted { address: config.bip.map(IpNet::V4), own: own(false), kept: config.subnet, v6: false };
    let mut pools = vec![v4.pool(config, &used, config.fixed_cidr.map(IpNet::V4))?];
    if config.ipv6 {
        // As Docker: the subnet of `fixed-cidr-v6` is the bridge's too, if `bip6` does not say more.
        let fixed = config.fixed_cidr_v6.map(IpNet::V6);
        let of_fixed = fixed.and_then(|net| IpNet::new(first_host(net), net.prefix_len()).ok());
        let address = config.bip6.map(IpNet::V6).or(of_fixed);
        let v6 = Wanted { address, own: own(true), kept: config.subnet6, v6: true };
        pools.push(v6.pool(config, &used, fixed)?);
    }
    Ok(Network {
        name: DEFAULT_NETWORK.to_owned(),
        id: config.network_id.clone(),
        driver: Driver::Bridge(BridgeOptions {
            icc: config.icc,
            ip_masq: config.ip_masq,
            default_host_ip: config.default_host_ip,
            inhibit_ipv4: false,
            gateway_mode_v4: GatewayMode::Nat,
            gateway_mode_v6: GatewayMode::Nat,
            trusted_interfaces: Vec::new(),
        }),
        interface: name.clone(),
        owns_interface: true,
        pools,
        internal: false,
        mtu: if config.mtu == 0 { DEFAULT_MTU } else { config.mtu },
    })
}

fn is_v6(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

/// What decides on one family's subnet, the strongest first.
struct Wanted {
    /// The configuration.
    address: Option<IpNet>,
    /// The bridge's own, if it is there.
    own: Option<IpNet>,
    /// What an earlier daemon chose.
    kept: Option<IpNet>,
    v6: bool,
}

impl Wanted {
    fn pool(&self, config: &NetworkConfig, used: &[IpNet], range: Option<IpNet>) -> Result<Pool> {
        let first = |subnet: IpNet| IpNet::new(first_host(subnet), subnet.prefix_len()).unwrap_or(subnet);
        let kept = self.kept.filter(|net| is_v6(net) == self.v6);
        let kept = kept.filter(|kept| !used.iter().any(|other| ipam::overlaps(*kept, *other)));
        let address = match (self.address, self.own, kept) {
            (Some(address), ..) => checked(address, &config.bridge, used)?,
            (None, Some(own), _) => own,
            (None, None, Some(kept)) => first(kept),
            (None, None, None) => first(free_subnet(config, used.to_vec(), self.v6)?),
        };
        let subnet = address.trunc();
        let way_out = way_out(config, subnet)?;
        Ok(Pool { subnet, range, reserved: Vec::new(), gateway: Some(address.addr()), way_out })
    }
}

/// Who leads containers out in the host's place.
fn way_out(config: &NetworkConfig, subnet: IpNet) -> Result<Option<IpAddr>> {
    let wanted = match subnet {
        IpNet::V4(_) => config.default_gateway.map(IpAddr::V4),
        IpNet::V6(_) => config.default_gateway_v6.map(IpAddr::V6),
    };
    if wanted.is_some_and(|address| !subnet.contains(&address)) {
        return Err(Error::InvalidBridge("default gateway ip must be part of the network".to_owned()));
    }
    Ok(wanted)
}

/// What the kernel takes as the name of an interface.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty()
        || matches!(name, "." | "..")
        || name.len() > NAME_LEN
        || name.contains(['/', ':'])
        || name.contains(char::is_whitespace)
    {
        return Err(Error::InvalidBridge(format!("{name:?} is no interface name")));
    }
    Ok(())
}

/// A configured address must be a host's, and its subnet must not be anywhere else on this host.
fn checked(bip: IpNet, bridge: &str, used: &[IpNet]) -> Result<IpNet> {
    let address = bip.addr();
    let room = bip.max_prefix_len() - bip.prefix_len();
    let ends = address == bip.network() || (!is_v6(&bip) && address == bip.broadcast());
    let link_local = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if room < 2
        || ends
        || link_local
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
    {
        return Err(Error::InvalidBridge(format!("{bip} (bip) is not a host's address in a subnet")));
    }
    match used.iter().find(|other| ipam::overlaps(bip, **other)) {
        Some(other) => Err(Error::Overlap { subnet: bip.trunc(), bridge: bridge.to_owned(), other: *other }),
        None => Ok(bip),
    }
}

/// The first of the pools of a family that overlaps no subnet and no name server of the host.
pub(crate) fn free_subnet(config: &NetworkConfig, mut used: Vec<IpNet>, v6: bool) -> Result<IpNet> {
    let (_, host_file) = host_resolv_conf();
    let servers =
        host_file.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
    used.extend(servers.map(|server: IpAddr| IpNet::from(server)));
    let of_family = |pools: Vec<(IpNet, u8)>| -> Vec<(IpNet, u8)> {
        pools.into_iter().filter(|(net, _)| is_v6(net) == v6).collect()
    };
    let mut pools = of_family(config.address_pools.clone());
    if pools.is_empty() {
        pools = of_family(ipam::default_pools());
        pools.extend(v6.then(|| ipam::local_pool(config.global_id)));
    }
    ipam::free_subnet(&pools, &used).ok_or(Error::NoSubnet)
}

/// What makes a bridge ours alone, as long as we live: another daemon that set it up too would remove our interfaces
/// and rules as leftovers. An abstract socket's name belongs to the network namespace and goes with the process.
pub(crate) fn claim(name: &str) -> Result<UnixDatagram> {
    let address = SocketAddr::from_abstract_name(format!("wharf-bridge-{name}"));
    address.and_then(|address| UnixDatagram::bind_addr(&address)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Error::BridgeInUse(name.to_owned()),
        _ => Error::kernel(format!("claim bridge {name}"), error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_gateway_is_on_its_network() {
        let config = NetworkConfig {
            default_gateway: "10.9.0.254".parse().ok(),
            default_gateway_v6: "fd00:9::fe".parse().ok(),
            ..NetworkConfig::default()
        };
        for (subnet, want) in [
            ("10.9.0.0/24", Some("10.9.0.254")),
            ("10.8.0.0/24", None),
            ("fd00:9::/64", Some("fd00:9::fe")),
            ("fd00:8::/64", None),
        ] {
            let got = way_out(&config, subnet.parse().unwrap());
            assert_eq!(got.ok().flatten(), want.map(|ip| ip.parse().unwrap()), "{subnet}");
        }
        assert_eq!(way_out(&NetworkConfig::default(), "10.9.0.0/24".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn a_configured_bridge_address_is_checked() {
        for (bip, ok) in [
            ("10.9.0.1/24", true),
            ("10.9.0.0/24", false),
            ("10.9.0.255/24", false),
            ("10.9.0.1/32", false),
            ("127.0.0.1/8", false),
            ("192.0.2.1/24", false),
            ("fd00:9::1/64", true),
            ("fd00:9::/64", false),
            ("fe80::1/64", false),
            ("ff02::1/64", false),
        ] {
            let used = ["192.0.2.0/25".parse().unwrap()];
            assert_eq!(checked(bip.parse().unwrap(), "wharf0", &used).is_ok(), ok, "{bip}");
        }
    }
}
