//! Interfaces of containers that lie on one of the host's: macvlan and ipvlan. The parent may be a VLAN's interface
//! (`eth0.10`), made for the network and removed with it, or one that leads nowhere.

use std::io;

use rustix::io::Errno;

use super::{NetworkDriver, remove_interface};
use crate::address::parse_mac;
use crate::namespace::Namespace;
use crate::netlink::Socket;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, Child, ChildKind};
use crate::{Driver, Endpoint, Error, IpvlanFlag, IpvlanMode, MacvlanMode, Network, Result};

/// What IEEE 802.1Q has for VLANs.
const VLANS: std::ops::RangeInclusive<u32> = 1..=4094;
/// Digits of a network's id in the name of a parent that leads nowhere.
const ID_DIGITS: usize = 12;

/// The driver of both kinds.
pub(super) struct ParentDriver;

impl NetworkDriver for ParentDriver {
    fn validate(&self, network: &Network, others: &[&Network], host: &mut Socket) -> Result<()> {
        let parent = &network.interface;
        if parent == "lo" {
            return Err(Error::DriverOption(format!(
                "loopback interface is not a valid {} parent link",
                network.driver.name()
            )));
        }
        let passthru = Driver::Macvlan(MacvlanMode::Passthru);
        for other in others.iter().filter(|other| other.interface == *parent && is_macvlan(other)) {
            if network.driver == passthru {
                return Err(Error::DriverOption(format!(
                    "cannot use mode passthru, macvlan network {} is already using parent interface {parent}",
                    other.id
                )));
            }
            if other.driver == passthru && is_macvlan(network) {
                return Err(Error::DriverOption(format!(
                    "macvlan network {} is already using parent interface {parent} in mode passthru",
                    other.id
                )));
            }
        }
        if network.owns_interface && *parent != placeholder(network) && look(parent, host)?.is_none() {
            vlan(parent, host)?;
        }
        Ok(())
    }

    fn setup(&self, network: &Network, host: &mut Socket) -> Result<u32> {
        let parent = &network.interface;
        if let Some(link) = look(parent, host)? {
            return Ok(link.index);
        }
        if !network.owns_interface {
            return Err(Error::DriverOption(format!(
                "-o parent interface was not found on the host: {parent}"
            )));
        }
        let mut batch = Batch::new();
        let kind = if *parent == placeholder(network) {
            route::put_dummy(&mut batch, parent);
            "dummy"
        } else {
            let (parent_index, id) = vlan(parent, host)?;
            let kind = ChildKind::Vlan(id);
            route::put_child(
                &mut batch,
                &Child { name: parent, parent_index, mtu: 0, mac: None, netns: None, kind },
            );
            kind.name()
        };
        host.request(&mut batch)
            .map_err(|error| refused(&format!("make interface {parent}"), kind, error))?;
        let made = look(parent, host)?;
        let index = made.map(|link| link.index).ok_or_else(|| {
            Error::kernel(format!("make interface {parent}"), io::Error::from(io::ErrorKind::NotFound))
        })?;
        let mut batch = Batch::new();
        route::put_up(&mut batch, index);
        match host.request(&mut batch) {
            // The interface below is down. When it goes up the kernel takes its VLANs with it.
            Err(error) if error.raw_os_error() == Some(Errno::NETDOWN.raw_os_error()) => {
                tracing::warn!(parent, "the interface of a VLAN is down: nothing is reached through it");
            }
            other => {
                other.map_err(|error| Error::kernel(format!("set interface {parent} up"), error))?;
            }
        }
        Ok(index)
    }

    fn teardown(&self, network: &Network, host: &mut Socket) -> Result<Option<u32>> {
        if network.owns_interface {
            remove_interface(&network.interface, host)?;
        }
        Ok(None)
    }

    /// There is nothing on the host: interfaces go with their namespaces.
    fn reconcile(&self, _: u32, _: &[Endpoint], _: &mut Socket) -> Result<()> {
        Ok(())
    }

    fn plug(
        &self,
        network: &Network,
        index: u32,
        endpoint: &Endpoint,
        namespace: &Namespace,
        host: &mut Socket,
    ) -> Result<()> {
        let kind = kind_of(&network.driver);
        // An ipvlan's interface has its parent's address.
        let mac = match kind {
            ChildKind::Macvlan(_) => Some(parse_mac(&endpoint.mac)?),
            _ => None,
        };
        let mut batch = Batch::new();
        let netns = Some(std::os::fd::AsFd::as_fd(&namespace.fd));
        let name = &endpoint.interface;
        route::put_child(
            &mut batch,
            &Child { name, parent_index: index, mtu: network.mtu, mac, netns, kind },
        );
        let what = format!("make interface {name} on {}", network.interface);
        host.request(&mut batch).map_err(|error| refused(&what, kind.name(), error))
    }

    fn settle(&self, _: &Network, _: &Endpoint, _: &mut Socket) -> Result<()> {
        Ok(())
    }

    fn unplug(&self, endpoint: &Endpoint, namespace: &mut Namespace, _: &mut Socket) -> Result<()> {
        remove_interface(&endpoint.interface, &mut namespace.route)
    }

    fn host_interface(&self, _: &str) -> String {
        String::new()
    }
}

impl Driver {
    /// The name of a parent that leads nowhere, for a network without one.
    pub fn placeholder(&self, network_id: &str) -> String {
        let prefix = match self {
            Self::Ipvlan(..) => "di",
            Self::Macvlan(_) | Self::Bridge(_) => "dm",
        };
        format!("{prefix}-{}", network_id.get(..ID_DIGITS).unwrap_or(network_id))
    }
}

fn placeholder(network: &Network) -> String {
    network.driver.placeholder(&network.id)
}

fn is_macvlan(network: &Network) -> bool {
    matches!(network.driver, Driver::Macvlan(_))
}

fn kind_of(driver: &Driver) -> ChildKind {
    match driver {
        Driver::Macvlan(mode) => ChildKind::Macvlan(match mode {
            MacvlanMode::Private => 1,
            MacvlanMode::Vepa => 2,
            MacvlanMode::Bridge => 4,
            MacvlanMode::Passthru => 8,
        }),
        Driver::Ipvlan(mode, flag) => {
            let mode = match mode {
                IpvlanMode::L2 => 0,
                IpvlanMode::L3 => 1,
                IpvlanMode::L3s => 2,
            };
            let flag = match flag {
                IpvlanFlag::Bridge => 0,
                IpvlanFlag::Private => 1,
                IpvlanFlag::Vepa => 2,
            };
            ChildKind::Ipvlan(mode, flag)
        }
        Driver::Bridge(_) => ChildKind::Macvlan(0),
    }
}

/// Splits `eth0.10` into the index of `eth0` and the VLAN's number, in Docker's words.
fn vlan(name: &str, host: &mut Socket) -> Result<(u32, u16)> {
    let bad = |why: String| Err(Error::DriverOption(why));
    let parts: Vec<&str> = name.split('.').collect();
    let (parent, number) = match parts[..] {
        [_] => return bad(format!("invalid subinterface vlan name {name}, example formatting is eth0.10")),
        [parent, number] => (parent, number),
        _ => {
            return bad(format!(
                "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {name}"
            ));
        }
    };
    let Ok(id) = number.parse::<u32>() else {
        return bad(format!("unable to parse a valid vlan id from: {number} (ex. eth0.10 for vlan 10)"));
    };
    let Some(link) = look(parent, host)? else {
        return bad(format!("-o parent interface was not found on the host: {parent}"));
    };
    match u16::try_from(id) {
        Ok(short) if VLANS.contains(&id) => Ok((link.index, short)),
        _ => bad(format!("vlan id must be between 1-4094, received: {id}")),
    }
}

fn look(name: &str, host: &mut Socket) -> Result<Option<route::Link>> {
    host.link(name).map_err(|error| Error::kernel(format!("look at interface {name}"), error))
}

/// A kernel that lacks the kind says so in a way that nobody understands.
fn refused(what: &str, kind: &str, error: io::Error) -> Error {
    if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) {
        return Error::Unsupported(format!("{what}: this host's kernel has no {kind} interfaces"));
    }
    Error::kernel(what, error)
}
