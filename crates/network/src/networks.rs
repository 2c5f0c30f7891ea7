//! [`Networks`]: the door of this crate.

use std::os::fd::OwnedFd;

use crate::{Bridge, Endpoint, Error, JoinRequest, Joined, NetworkConfig, Result};

/// The networks of one daemon, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Networks {
    config: NetworkConfig,
}

impl Networks {
    /// Looks at the host and chooses the subnet of the default bridge. Changes nothing yet (about 1 ms).
    ///
    /// # Errors
    /// Netlink cannot be used, the configuration is contradictory, or no subnet is free.
    pub fn open(config: NetworkConfig) -> Result<Self> {
        Ok(Self { config })
    }

    /// The default network as it stands.
    pub fn bridge(&self) -> Bridge {
        Bridge {
            interface: self.config.bridge.clone(),
            subnet: ipnet::Ipv4Net::default(),
            gateway: std::net::Ipv4Addr::UNSPECIFIED,
            mtu: 1500,
            icc: self.config.icc,
            ip_masq: self.config.ip_masq,
            default_host_ip: self.config.default_host_ip,
        }
    }

    /// Rebuilds addresses, ports and rules from the endpoints of live containers, and removes what else is left of
    /// ours on the host. Call it once after [`Self::open`], before the first [`Self::join`], even with an empty list.
    /// Returns the endpoints that could not be taken over, with the reason; their containers go on running.
    ///
    /// # Errors
    /// The host's side could not be set up at all.
    pub fn restore(&self, live: &[Endpoint]) -> Result<Vec<(String, Error)>> {
        let _ = live;
        Err(Error::Unsupported("restore: not implemented yet".to_owned()))
    }

    /// Makes a namespace attached to the default bridge, with its ports published.
    ///
    /// # Errors
    /// No address, a port that is taken, or the kernel refuses; nothing is left behind.
    pub fn join(&self, request: &JoinRequest<'_>) -> Result<Joined> {
        let _ = request;
        Err(Error::Unsupported("join: not implemented yet".to_owned()))
    }

    /// Gives back the address and the ports. The interfaces go with the namespace.
    ///
    /// # Errors
    /// The firewall refuses; address and ports are given back all the same.
    pub fn leave(&self, endpoint: &Endpoint) -> Result<()> {
        let _ = endpoint;
        Err(Error::Unsupported("leave: not implemented yet".to_owned()))
    }

    /// A namespace with nothing but `lo`, up: network mode `none`.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn empty_namespace(&self) -> Result<OwnedFd> {
        Err(Error::Unsupported("empty_namespace: not implemented yet".to_owned()))
    }

    /// Removes our table and the bridge: for an uninstall and for tests, not for a daemon's stop.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn teardown(&self) -> Result<()> {
        Ok(())
    }
}
