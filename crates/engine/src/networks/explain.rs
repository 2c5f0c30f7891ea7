//! Who can reach a published port, and why.

use network::{PublishPolicy, PublishedPort, Reach};
use types::Result;

use super::Networks;
use crate::blocking;

/// A container's port at an address of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortExplanation {
    /// Name of the container, or its short id.
    pub container: String,
    /// Its network.
    pub network: String,
    /// What is published.
    pub port: PublishedPort,
    /// Who reaches it, each with the reason.
    pub reach: Vec<Reach>,
}

impl Networks {
    /// Explains `PORT[/PROTOCOL]` of the host; nothing if it is not published.
    pub async fn explain(&self, port: &str) -> Result<Vec<PortExplanation>> {
        let (number, protocol) = network::parse_exposed(port)?;
        let this = self.clone();
        blocking(move || {
            let found = this.driver().explain(number, protocol)?;
            let name = |container: &types::ContainerId| {
                let members = this.members();
                let on = members.get(container).into_iter().flatten();
                on.map(|(_, member)| member.name.clone())
                    .next()
                    .unwrap_or_else(|| container.short().to_owned())
            };
            let explain = |publication: network::Publication| PortExplanation {
                container: name(&publication.container),
                network: publication.network,
                port: publication.port,
                reach: publication.reach,
            };
            Ok(found.publications.into_iter().map(explain).collect())
        })
        .await
    }

    /// Whose rules ports obey that are published from now on: `docker` or `host-firewall`.
    pub fn publish_policy(&self) -> &'static str {
        match self.driver().publish_policy() {
            PublishPolicy::Docker => "docker",
            PublishPolicy::HostFirewall => "host-firewall",
        }
    }
}
