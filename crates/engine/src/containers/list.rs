//! `list` with Docker's filters (moby `daemon/list.go`).

use std::collections::BTreeMap;

use regex::Regex;
use types::{Digest, Error, ImageRef, Result};

use super::inspect::{network_of, ports_of, size_of};
use super::record::Record;
use super::request::ListRequest;
use super::state::{State, Status};
use super::status_text::status_text;
use super::table::View;
use super::view::{ContainerListing, NetworkState, PortListing};
use super::{Containers, Shared};
use crate::{Filters, Timestamp, blocking};

const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

impl Containers {
    /// Those that match, newest first.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<ContainerListing>> {
        request.filters.accept_only(FILTERS)?;
        let chosen = Chosen::read(self, &request.filters).await?;
        let mut views: Vec<View> = self
            .handles()
            .iter()
            .map(|handle| handle.view.borrow().clone())
            .filter(|view| !view.removed)
            .collect();
        views.sort_by_key(|view| std::cmp::Reverse(view.record.created));
        let everything = request.all || request.limit.is_some() || chosen.wants_stopped();
        let mut matching: Vec<View> = Vec::new();
        for view in views {
            let runs = view.record.state.run().is_some() || view.record.state.status() == Status::Restarting;
            if (everything || runs) && chosen.matches(&view, &request.filters) {
                matching.push(view);
            }
            if request.limit.is_some_and(|limit| limit > 0 && matching.len() >= limit) {
                break;
            }
        }
        let shared = self.0.clone();
        let size = request.size;
        blocking(move || {
            let now = Timestamp::now();
            matching.iter().map(|view| listing(&shared, view, now, size)).collect()
        })
        .await
    }
}

fn listing(shared: &Shared, view: &View, now: Timestamp, size: bool) -> Result<ContainerListing> {
    let record = &view.record;
    let mut network = network_of(shared, record);
    // As Docker: only `inspect` tells the names.
    network.endpoints.values_mut().for_each(|endpoint| endpoint.dns_names = None);
    let health = view.health.as_ref().map(|health| health.status.as_str());
    Ok(ContainerListing {
        id: record.id.clone(),
        name: record.name.clone(),
        image: image_name(shared, record),
        image_id: record.image_id.clone(),
        command: command_line(record),
        created_s: record.created.seconds(),
        ports: ports(&network),
        size: if size { Some(size_of(shared, record)?) } else { None },
        labels: record.labels().clone(),
        state: record.state.status(),
        status_text: status_text(&record.state, health, now),
        network_mode: record.host_config.network_mode.clone(),
        annotations: record.host_config.annotations.clone(),
        mounts: record.mounts.iter().map(|m| m.point.clone()).collect(),
        endpoints: network.endpoints,
    })
}

/// The reference the user gave, or the id when it means another image by now.
fn image_name(shared: &Shared, record: &Record) -> String {
    let asked = &record.config.image;
    let Some(id) = &record.image_id else { return asked.clone() };
    match shared.store.images().resolve(asked) {
        Ok(image) if image.id == *id => asked.clone(),
        _ => id.to_string(),
    }
}

/// Path and arguments; those with spaces are quoted, as Docker does.
fn command_line(record: &Record) -> String {
    let (path, args) = record.path_and_args();
    let quoted = args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() });
    std::iter::once(path).chain(quoted).collect::<Vec<_>>().join(" ")
}

fn ports(network: &NetworkState) -> Vec<PortListing> {
    let mut all = Vec::new();
    for (port, bindings) in &network.ports {
        let Ok((private_port, protocol)) = network::parse_exposed(port) else { continue };
        let protocol = protocol.to_string();
        match bindings {
            None => all.push(PortListing { ip: String::new(), private_port, public_port: 0, protocol }),
            Some(bindings) => all.extend(bindings.iter().map(|binding| PortListing {
                ip: binding.host_ip.clone(),
                private_port,
                public_port: binding.host_port.parse().unwrap_or(0),
                protocol: protocol.clone(),
            })),
        }
    }
    all.sort();
    all
}

/// Filters whose values were checked and looked up.
struct Chosen {
    exited: Vec<i32>,
    status: Vec<Status>,
    images: Option<Vec<Digest>>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    publish: Vec<(u16, u16, String)>,
    expose: Vec<(u16, u16, String)>,
    names: Option<Vec<Regex>>,
    networks: Vec<String>,
    is_task: Option<bool>,
}

impl Chosen {
    async fn read(containers: &Containers, filters: &Filters) -> Result<Self> {
        let invalid = |name: &str, value: &str, why: &str| {
            Error::invalid(format!(
                "invalid filter '{name}={value}'{}{why}",
                if why.is_empty() { "" } else { ": " }
            ))
        };
        let mut exited = Vec::new();
        for code in filters.get("exited") {
            let why = format!("strconv.Atoi: parsing {code:?}: invalid syntax");
            exited.push(code.parse().map_err(|_| invalid("exited", code, &why))?);
        }
        let mut status = Vec::new();
        for word in filters.get("status") {
            let found = Status::ALL.into_iter().find(|status| status.as_str() == word);
            let all: Vec<&str> = Status::ALL.iter().map(|s| s.as_str()).collect();
            status.push(found.ok_or_else(|| {
                invalid(
                    "status",
                    word,
                    &format!("invalid value for state ({word}): must be one of {}", all.join(", ")),
                )
            })?);
        }
        for word in filters.get("health") {
            if !matches!(word.as_str(), "none" | "starting" | "healthy" | "unhealthy") {
                let why = format!(
                    "invalid value for health ({word}): must be one of none, starting, healthy, unhealthy"
                );
                return Err(invalid("health", word, &why));
            }
        }
        let created = |name: &str| -> Result<Option<Timestamp>> {
            match filters.get(name).first() {
                Some(other) => Ok(Some(containers.find(other)?.record().created)),
                None => Ok(None),
            }
        };
        let ports = |name: &str| -> Result<Vec<(u16, u16, String)>> {
            filters
                .get(name)
                .iter()
                .map(|text| {
                    parse_port_range(text).map_err(|why| {
                        Error::internal(format!("error while looking up for {name} {text}: {why}"))
                    })
                })
                .collect()
        };
        let images = match filters.get("ancestor") {
            [] => None,
            wanted => Some(ancestors(containers, wanted).await?),
        };
        Ok(Self {
            exited,
            status,
            images,
            before: created("before")?,
            since: created("since")?,
            publish: ports("publish")?,
            expose: ports("expose")?,
            // One that is no expression matches nothing.
            names: Some(filters.get("name"))
                .filter(|names| !names.is_empty())
                .map(|names| names.iter().filter_map(|text| Regex::new(text).ok()).collect()),
            networks: filters.get("network").iter().map(|wanted| network_name(containers, wanted)).collect(),
            is_task: if filters.has("is-task") { Some(filters.boolean("is-task", false)?) } else { None },
        })
    }

    /// Asking for a state asks for those that do not run, too. Asking for an exit code does not.
    fn wants_stopped(&self) -> bool {
        !self.status.is_empty()
    }

    fn matches(&self, view: &View, filters: &Filters) -> bool {
        let record = &view.record;
        let state = &record.state;
        let any = |name: &str, holds: &dyn Fn(&String) -> bool| {
            let wanted = filters.get(name);
            wanted.is_empty() || wanted.iter().any(holds)
        };
        let health = view.health.as_ref().map_or("none", |health| health.status.as_str());
        any("id", &|prefix| !prefix.is_empty() && record.id.as_str().starts_with(prefix.as_str()))
            && self.has_name(&record.name)
            && filters.labels(record.labels())
            && (self.status.is_empty() || self.status.contains(&state.status()))
            && self.has_exited(state)
            && any("health", &|word| word == health)
            && any("volume", &|wanted| {
                record.mounts.iter().any(|m| {
                    m.point.name == *wanted
                        || m.point.destination == *wanted
                        || (m.point.source == *wanted && m.point.kind == "bind")
                })
            })
            && (self.networks.is_empty()
                || record.endpoints.keys().any(|name| self.networks.iter().any(|wanted| wanted == name)))
            && self
                .images
                .as_ref()
                .is_none_or(|images| record.image_id.as_ref().is_some_and(|id| images.contains(id)))
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && self.has_ports(record)
            && self.is_task != Some(true)
    }

    fn has_name(&self, name: &str) -> bool {
        let slashed = format!("/{name}");
        let matches = |pattern: &Regex| pattern.is_match(name) || pattern.is_match(&slashed);
        self.names.as_ref().is_none_or(|names| names.iter().any(matches))
    }

    fn has_exited(&self, state: &State) -> bool {
        let code = match state {
            State::Exited(exit) | State::Restarting(exit) if exit.started.is_some() => Some(exit.code),
            _ => None,
        };
        self.exited.is_empty() || code.is_some_and(|code| self.exited.contains(&code))
    }

    /// Of either filter, one is enough. The ports are those of a container that runs.
    fn has_ports(&self, record: &Record) -> bool {
        if self.publish.is_empty() && self.expose.is_empty() {
            return true;
        }
        let within = |ranges: &[(u16, u16, String)], port: u16, protocol: &str| {
            ranges.iter().any(|(first, last, p)| (*first..=*last).contains(&port) && p == protocol)
        };
        let shown = record.state.run().is_some() && record.host_config.network_mode != "host";
        let network = NetworkState {
            ports: if shown { ports_of(record) } else { BTreeMap::new() },
            ..NetworkState::default()
        };
        ports(&network).into_iter().any(|port| {
            within(&self.publish, port.public_port, &port.protocol)
                || within(&self.expose, port.private_port, &port.protocol)
        })
    }
}

/// `8000`, `8000-8080/udp`.
fn parse_port_range(text: &str) -> Result<(u16, u16, String), String> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if range.is_empty() {
        return Err("Empty string specified for ports.".to_owned());
    }
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let why = if is_number { "value out of range" } else { "invalid syntax" };
        text.parse::<u16>().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: {why}"))
    };
    // What comes behind a second dash is passed over, as with Docker.
    let mut ends = range.split('-');
    let first = number(ends.next().unwrap_or_default())?;
    let last = ends.next().map_or(Ok(first), number)?;
    if last < first {
        return Err(format!("Invalid range specified for the Port: {range}"));
    }
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    Ok((first, last, protocol.to_owned()))
}

/// The images of a name, and those built on them (same layers at the bottom).
async fn ancestors(containers: &Containers, wanted: &[String]) -> Result<Vec<Digest>> {
    let (shared, wanted) = (containers.0.clone(), wanted.to_vec());
    blocking(move || {
        let images = shared.store.images();
        let mut found = Vec::new();
        for name in &wanted {
            // A name without tag means every tag of the repository.
            let reference =
                name.parse::<ImageRef>().ok().filter(|r| r.tag().is_none() && r.digest().is_none());
            if let Some(reference) = reference {
                let of_repository = images
                    .names()?
                    .into_iter()
                    .filter(|(n, _)| n.repository() == reference.repository())
                    .map(|(_, id)| id);
                found.extend(of_repository);
            }
            if let Ok(image) = images.resolve(name) {
                found.push(image.id);
            }
        }
        let bases: Vec<Vec<Digest>> = found
            .iter()
            .filter_map(|id| images.get(id).ok().flatten())
            .map(|image| image.layers.into_iter().map(|layer| layer.diff_id).collect())
            .collect();
        for image in images.list()? {
            let layers: Vec<&Digest> = image.layers.iter().map(|layer| &layer.diff_id).collect();
            let is_child = |base: &Vec<Digest>| {
                !base.is_empty()
                    && layers.len() >= base.len()
                    && base.iter().zip(&layers).all(|(a, b)| a == *b)
            };
            if image.parent.is_some() && bases.iter().any(is_child) {
                found.push(image.id);
            }
        }
        Ok(found)
    })
    .await
}

/// The network that is meant by a name, an id or the beginning of one.
fn network_name(containers: &Containers, wanted: &str) -> String {
    containers.0.networks.find(wanted).map_or_else(|_| wanted.to_owned(), |known| known.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_ranges_are_read() {
        let range = |first, last, protocol: &str| Ok((first, last, protocol.to_owned()));
        for (text, want) in [
            ("80", range(80, 80, "tcp")),
            ("80-90/udp", range(80, 90, "udp")),
            ("80/", range(80, 80, "tcp")),
            ("90-80", Err("Invalid range specified for the Port: 90-80".to_owned())),
            ("", Err("Empty string specified for ports.".to_owned())),
            ("70000", Err("strconv.ParseUint: parsing \"70000\": value out of range".to_owned())),
            ("x", Err("strconv.ParseUint: parsing \"x\": invalid syntax".to_owned())),
        ] {
            assert_eq!(parse_port_range(text), want, "{text:?}");
        }
    }
}
