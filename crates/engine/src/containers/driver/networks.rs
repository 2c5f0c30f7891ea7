//! Changing the networks of a container.

use types::Result;
use types::config::EndpointRequest;

use super::Driver;
use crate::blocking;
use crate::containers::record::Record;
use crate::containers::{Shared, network};

impl Driver {
    pub(super) async fn connect(&mut self, name: String, want: EndpointRequest) -> Result<()> {
        self.change_networks(move |shared, record| network::connect(shared, record, &name, want)).await
    }

    pub(super) async fn disconnect(&mut self, name: String, force: bool) -> Result<()> {
        self.change_networks(move |shared, record| network::disconnect(shared, record, &name, force)).await
    }

    /// What has been left is shown also when the rest failed.
    async fn change_networks(
        &mut self,
        change: impl FnOnce(&Shared, &mut Record) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let (shared, mut record) = (self.shared.clone(), self.record.clone());
        let (record, done) = blocking(move || {
            let done = change(&shared, &mut record);
            Ok((record, done))
        })
        .await?;
        let only_in = |one: &Record, other: &Record| -> Vec<::network::Endpoint> {
            one.attached.iter().filter(|e| !other.attached.contains(e)).cloned().collect()
        };
        let (joined, left) = (only_in(&record, &self.record), only_in(&self.record, &record));
        if done.is_ok() || !left.is_empty() {
            self.record = record;
        }
        if self.record.state.run().is_some() {
            self.shared.networks.set_members(&self.record.id, network::members_of(&self.record));
        }
        self.show();
        if done.is_ok() {
            self.tell_networks("connect", &joined);
        }
        self.tell_networks("disconnect", &left);
        done
    }

    /// Its networks show its new name, and know it by that.
    pub(super) async fn renamed(&self) {
        if self.record.state.run().is_none() {
            return;
        }
        self.shared.networks.set_members(&self.record.id, network::members_of(&self.record));
        let (shared, record) = (self.shared.clone(), self.record.clone());
        if let Err(error) = blocking(move || network::announce(&shared, &record)).await {
            tracing::warn!(id = %self.record.id, %error, "the name server does not know a new name");
        }
    }

    /// `mount` or `unmount`, of each of its volumes.
    pub(super) fn tell_volumes(&self, action: &str) {
        for mount in self.record.mounts.iter().filter(|mount| mount.point.kind == "volume") {
            let mut more = vec![("container", self.record.id.to_string())];
            if action == "mount" {
                more.push(("destination", mount.point.destination.clone()));
                more.push(("read/write", mount.point.rw.to_string()));
                more.push(("propagation", mount.point.propagation.clone()));
            }
            self.shared.volumes.publish(action, (&mount.point.name, &mount.point.driver), more);
        }
    }

    pub(super) fn tell_networks(&self, action: &str, endpoints: &[::network::Endpoint]) {
        for endpoint in endpoints {
            let id = self.record.id.as_str();
            self.shared.networks.publish(action, &endpoint.network, &[("container", id)]);
        }
    }
}
