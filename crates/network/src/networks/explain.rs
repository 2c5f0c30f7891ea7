//! Who can reach a published port, and why: from what is published and from the kernel's rules as they are now.

use std::net::IpAddr;

use super::Networks;
use crate::firewall::Ports;
use crate::{Endpoint, Protocol, PublishPolicy, PublishedPort, Result};

/// What is known of a port of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Each publication of it; none if it is not published.
    pub publications: Vec<Publication>,
}

/// A container's port at an address of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The container.
    pub container: types::ContainerId,
    /// Its network.
    pub network: String,
    /// What is published.
    pub port: PublishedPort,
    /// Who reaches it, each with the reason.
    pub reach: Vec<Reach>,
}

/// Some clients, and whether they reach a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Who.
    pub from: &'static str,
    /// `yes`, `no`, or `depends`: another firewall's rules decide.
    pub answer: &'static str,
    /// The reason.
    pub why: String,
}

fn reach(from: &'static str, answer: &'static str, why: impl Into<String>) -> Reach {
    Reach { from, answer, why: why.into() }
}

const HOST: &str = "this host";
const OTHERS: &str = "other hosts";

impl Networks {
    /// Explains a port of the host's.
    ///
    /// # Errors
    /// The kernel's rules cannot be read.
    pub fn explain(&self, host_port: u16, protocol: Protocol) -> Result<Explanation> {
        let mut publications = Vec::new();
        for endpoint in self.endpoints() {
            for port in &endpoint.ports {
                if port.host_port == host_port && port.protocol == protocol {
                    publications.push(Publication {
                        container: endpoint.container.clone(),
                        network: endpoint.network.clone(),
                        port: *port,
                        reach: self.reach(&endpoint, port)?,
                    });
                }
            }
        }
        Ok(Explanation { publications })
    }

    fn reach(&self, endpoint: &Endpoint, port: &PublishedPort) -> Result<Vec<Reach>> {
        let only = Endpoint { ports: vec![*port], open: Vec::new(), ..endpoint.clone() };
        let Some(mapping) = Ports::of([&only]).mappings.first().copied() else {
            return self.reach_by_relay(endpoint, port);
        };
        if !self.firewall.leads(&mapping)? {
            let why = "it is not in our table in the kernel: somebody changed that";
            return Ok(vec![reach(HOST, "no", why), reach(OTHERS, "no", why)]);
        }
        let to = format!(
            "our table leads it to {}, past what the host lets in",
            with_port(mapping.to, mapping.to_port)
        );
        let mut reaches = vec![reach(HOST, "yes", "our table leads it to the container")];
        if port.host_ip.is_loopback() {
            reaches.push(reach(OTHERS, "no", format!("it is published at {} only", port.host_ip)));
            return Ok(reaches);
        }
        let family = if mapping.to.is_ipv4() { "ip" } else { "ip6" };
        let forward = self.firewall.forward_policies()?;
        let forward: Vec<_> = forward.iter().filter(|c| c.family == "inet" || c.family == family).collect();
        for chain in &forward {
            let why =
                format!("{to}; but chain {chain} drops what is passed on unless a rule there accepts it");
            reaches.push(reach(OTHERS, "depends", why));
        }
        if forward.is_empty() {
            reaches.push(reach(OTHERS, "yes", to));
            for chain in self.firewall.input_policies()? {
                let why = format!(
                    "chain {chain} (policy drop) is not asked: it is about what ends at the host (publish-policy docker)"
                );
                reaches.push(reach(OTHERS, "yes", why));
            }
        }
        Ok(reaches)
    }

    fn reach_by_relay(&self, endpoint: &Endpoint, port: &PublishedPort) -> Result<Vec<Reach>> {
        let mut reaches = vec![reach(HOST, "yes", "the relay listens and carries it to the container")];
        if port.host_ip.is_loopback() {
            reaches.push(reach(OTHERS, "no", format!("it is published at {} only", port.host_ip)));
            return Ok(reaches);
        }
        let why = if endpoint.relayed {
            "the relay listens on the host, so the host's own rules for what comes in hold (publish-policy host-firewall)"
        } else {
            "the relay listens on the host, because the container has no address of that family"
        };
        let chains = self.firewall.input_policies()?;
        let family = if port.host_ip.is_ipv4() { "ip" } else { "ip6" };
        let mut asked = chains.iter().filter(|c| c.family == "inet" || c.family == family).peekable();
        if asked.peek().is_none() {
            reaches.push(reach(OTHERS, "yes", format!("{why}, and none drops by its policy")));
        }
        for chain in asked {
            let why = format!("{why}: chain {chain} drops it unless a rule there accepts it");
            reaches.push(reach(OTHERS, "depends", why));
        }
        Ok(reaches)
    }

    /// Whose rules ports obey that are published from now on.
    pub fn publish_policy(&self) -> PublishPolicy {
        self.config.publish_policy
    }
}

fn with_port(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}
