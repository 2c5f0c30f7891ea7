//! Who makes networks: one trait, and a table of those that implement it by name.
//!
//! A driver keeps nothing: the [`Network`] says what is to be, the kernel what is. `setup` may be called at any time and
//! does what is missing, so that a daemon that was killed half-way goes on from there.

mod bridge;
mod parent;

use std::fs;
use std::io;

use ipnet::IpNet;

use crate::namespace::{Namespace, within};
use crate::netlink::Socket;
use crate::netlink::message::Batch;
use crate::netlink::route;
use crate::{Driver, Endpoint, Error, Network, Result};

pub(crate) use bridge::{forward, forwards, is_retired, mac_of};

/// One kind of network.
pub(crate) trait NetworkDriver: Sync {
    /// Looks whether the network can be made beside the others. Changes nothing.
    fn validate(&self, network: &Network, others: &[&Network], host: &mut Socket) -> Result<()>;

    /// Makes what it needs on the host, or brings that to what it should be; the index of the interface on which
    /// endpoints hang. Idempotent.
    fn setup(&self, network: &Network, host: &mut Socket) -> Result<u32>;

    /// Removes what `setup` made. Idempotent. The index of an interface that is out of everybody's way and still has
    /// to be deleted, which takes the kernel long.
    fn teardown(&self, network: &Network, host: &mut Socket) -> Result<Option<u32>>;

    /// Plugs living endpoints in again if they were torn off, and removes leftovers of others.
    fn reconcile(&self, index: u32, live: &[Endpoint], host: &mut Socket) -> Result<()>;

    /// Makes an endpoint's interface in a namespace, down and without addresses.
    fn plug(
        &self,
        network: &Network,
        index: u32,
        endpoint: &Endpoint,
        namespace: &Namespace,
        host: &mut Socket,
    ) -> Result<()>;

    /// Waits until a plugged endpoint's interface, up by now, passes packets on the host's side.
    fn settle(&self, network: &Network, endpoint: &Endpoint, host: &mut Socket) -> Result<()>;

    /// Removes it from a namespace that lives on. Idempotent.
    fn unplug(&self, endpoint: &Endpoint, namespace: &mut Namespace, host: &mut Socket) -> Result<()>;

    /// What an endpoint's other end on the host is called; empty without one.
    fn host_interface(&self, endpoint_id: &str) -> String;
}

/// By name. `host` and `null` have one network each, which is there without any driver.
const DRIVERS: [(&str, &dyn NetworkDriver); 3] = [
    ("bridge", &bridge::BridgeDriver),
    ("macvlan", &parent::ParentDriver),
    ("ipvlan", &parent::ParentDriver),
];

impl Driver {
    /// As users know it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Macvlan(_) => "macvlan",
            Self::Ipvlan(..) => "ipvlan",
        }
    }

    pub(crate) fn calls(&self) -> &'static dyn NetworkDriver {
        let found = DRIVERS.iter().find(|(name, _)| *name == self.name());
        found.map_or(&bridge::BridgeDriver, |(_, driver)| *driver)
    }
}

/// Sets up an endpoint's interface inside of its namespace: parameters, addresses, up.
pub(crate) fn configure(
    endpoint: &Endpoint,
    sysctls: &[(String, String)],
    link_local: &[IpNet],
    namespace: &mut Namespace,
) -> Result<()> {
    let name = &endpoint.interface;
    let failed =
        |error: io::Error| Error::kernel(format!("set up {name} of endpoint {}", endpoint.id), error);
    let mut parameters = Vec::new();
    if endpoint.address6.is_some() {
        // No waiting for others with the link-local address either. Routes come from us, not from who says so.
        for (file, value) in [("accept_dad", "0"), ("accept_ra", "0"), ("disable_ipv6", "0")] {
            parameters.push((format!("ipv6/conf/{name}/{file}"), value.to_owned()));
        }
    }
    parameters.extend(sysctls.iter().map(|(path, value)| (path.replace("IFNAME", name), value.clone())));
    if !parameters.is_empty() {
        within(&namespace.fd, || {
            parameters.iter().try_for_each(|(path, value)| {
                let path = format!("/proc/sys/net/{path}");
                fs::write(&path, value).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))
            })
        })?;
    }
    let index = namespace.route.link(name).map_err(failed)?.map(|link| link.index);
    let index = index.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let mut batch = Batch::new();
    route::put_up(&mut batch, index);
    for address in endpoint.addresses().into_iter().chain(link_local.iter().copied()) {
        route::put_pending_address(&mut batch, index, address);
    }
    namespace.route.request(&mut batch).map_err(failed)?;
    namespace.route.settle(name).map_err(failed)?;
    if endpoint.address6.is_some() {
        namespace.route.wait_for_addresses(index).map_err(failed)?;
    }
    Ok(())
}

/// Removes an interface, if it is there.
pub(crate) fn remove_interface(name: &str, socket: &mut Socket) -> Result<()> {
    let look = |error| Error::kernel(format!("look at interface {name}"), error);
    if let Some(link) = socket.link(name).map_err(look)? {
        let mut batch = Batch::new();
        route::put_delete(&mut batch, link.index);
        match socket.request(&mut batch) {
            // Gone meanwhile.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {}
            other => other.map_err(|error| Error::kernel(format!("remove interface {name}"), error))?,
        }
    }
    Ok(())
}
