//! Opening the parts in order.

use std::sync::Arc;

use store::Store;
use supervisor::Zygote;
use types::Result;

use crate::containers::Parts;
use crate::images::ImageSettings;
use crate::{
    Containers, Events, Images, Networks, ProxySettings, Reloadable, Settings, System, Volumes, blocking,
};

/// The open domain: one handle for each part. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    /// What happens.
    pub events: Events,
    /// Images.
    pub images: Images,
    /// Networks.
    pub networks: Networks,
    /// Volumes.
    pub volumes: Volumes,
    /// Containers.
    pub containers: Containers,
    /// Facts.
    pub system: System,
}

impl Engine {
    /// Opens the store, finds what runs, finishes or undoes what was half done.
    pub async fn open(settings: Settings, zygote: Zygote) -> Result<Self> {
        let settings = Arc::new(settings);
        let events = Events::new();
        let opened = {
            let (settings, events) = (settings.clone(), events.clone());
            blocking(move || {
                let store = Arc::new(open_store(&settings)?);
                let networks = Networks::open(&store, &settings, events.clone())?;
                let volumes = Volumes::new(store.clone(), events.clone(), &settings.exec_root);
                let of_images = image_settings(&settings.live.now(), &settings.proxies);
                let images = Images::new(store.clone(), events.clone(), of_images);
                let containers = Containers::new(Parts {
                    settings: settings.clone(),
                    store: store.clone(),
                    zygote,
                    images: images.clone(),
                    networks: networks.clone(),
                    volumes: volumes.clone(),
                    events: events.clone(),
                })?;
                let system =
                    System::new(settings, store, events.clone(), containers.clone(), volumes.clone())?;
                Ok(Self { events, images, networks, volumes, containers, system })
            })
            .await?
        };
        opened.containers.restore().await?;
        Ok(opened)
    }

    /// Takes over settings that can change while the daemon runs. What is under way goes on with those it began with.
    pub fn reload(&self, next: Reloadable) {
        self.images.reload(image_settings(&next, self.system.proxies()));
        self.system.reload(next);
    }

    /// An orderly stop: stops containers (unless `live-restore` is set) within the shutdown timeout.
    pub async fn shutdown(&self) {
        if !self.system.keeps_containers() {
            self.containers.close().await;
        }
    }
}

fn open_store(settings: &Settings) -> Result<Store> {
    let driver = Some(&settings.storage_driver).filter(|name| !name.is_empty());
    let options = store::Options { snapshotter: driver.cloned() };
    Ok(Store::open_with(&settings.data_root, &options)?)
}

fn image_settings(live: &Reloadable, proxies: &ProxySettings) -> ImageSettings {
    ImageSettings {
        registry: registry::Options {
            mirrors: live.registry_mirrors.clone(),
            insecure: live.insecure_registries.clone(),
            attempts: live.max_download_attempts,
            proxies: Some(registry::Proxies {
                http: Some(proxies.http.clone()).filter(|url| !url.is_empty()),
                https: Some(proxies.https.clone()).filter(|url| !url.is_empty()),
                no_proxy: proxies.none.clone(),
            }),
            ..registry::Options::default()
        },
        concurrent_downloads: live.max_concurrent_downloads,
        concurrent_uploads: live.max_concurrent_uploads,
    }
}
