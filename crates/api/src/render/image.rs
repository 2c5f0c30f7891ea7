//! Images.

use engine::images::{ImageDetails, ImageSummary};
use serde_json::{Map, Value, json};
use wire::ApiVersion;
use wire::image as body;

use super::sorted_map;

/// `GET /images/{name}/json`.
pub(crate) fn image_inspect(of: ImageDetails, version: ApiVersion) -> body::ImageInspect {
    let (driver, graph_data) = of.graph_driver;
    let size = i64::try_from(of.size_bytes).unwrap_or(i64::MAX);
    let config = of.config;
    let layers: Vec<String> = config.rootfs.diff_ids.into_iter().map(String::from).collect();
    body::ImageInspect {
        id: of.id.into(),
        repo_tags: of.repo_tags,
        repo_digests: of.repo_digests,
        parent: of.parent,
        comment: config.comment,
        created: config.created.unwrap_or_default(),
        container_config: version.before(45).then(types::Config::default),
        docker_version: config.docker_version,
        author: config.author,
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        os_version: config.os_version,
        size,
        virtual_size: version.before(44).then_some(size),
        graph_driver: wire::container::GraphDriver {
            data: Some(graph_data).filter(|data| !data.is_empty()),
            name: driver,
        },
        root_fs: body::RootFs { kind: "layers".to_owned(), layers: Some(layers).filter(|l| !l.is_empty()) },
        metadata: body::Metadata {
            last_tag_time: of.last_tagged.map_or_else(|| wire::ZERO_TIME.to_owned(), |at| at.rfc3339()),
        },
        descriptor: None,
        config: image_config(&of.raw_config, version),
    }
}

/// The `config` of an image as Docker 28 shows it: what is not empty, and some fields always. Up to 1.49 those are more.
fn image_config(raw: &Value, version: ApiVersion) -> Map<String, Value> {
    let always = json!({
        "Cmd": null, "Entrypoint": null, "Env": null, "Labels": null, "OnBuild": null, "User": "", "Volumes": null,
        "WorkingDir": "",
    });
    let before_1_50 = json!({
        "AttachStderr": false, "AttachStdin": false, "AttachStdout": false, "Domainname": "", "Hostname": "",
        "Image": "", "OpenStdin": false, "StdinOnce": false, "Tty": false,
    });
    // Names of `DockerOCIImageConfig`: anything else that an image's author wrote is not shown.
    const KNOWN: &[&str] = &[
        "ArgsEscaped",
        "Cmd",
        "Entrypoint",
        "Env",
        "ExposedPorts",
        "Healthcheck",
        "Labels",
        "OnBuild",
        "Shell",
        "StopSignal",
        "User",
        "Volumes",
        "WorkingDir",
    ];
    let mut config = Map::new();
    let defaults = [Some(always), version.before(50).then_some(before_1_50)];
    for value in defaults.into_iter().flatten() {
        if let Value::Object(map) = value {
            config.extend(map);
        }
    }
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Number(_) => false,
    };
    let written = raw.as_object().into_iter().flatten();
    for (name, value) in written.filter(|(name, value)| KNOWN.contains(&name.as_str()) && !is_empty(value)) {
        config.insert(name.clone(), value.clone());
    }
    sorted_map(config)
}

/// One line of `GET /images/json`; `is_disk_usage` is for `GET /system/df`, which differs in details.
pub(crate) fn image_summary(
    of: ImageSummary,
    version: ApiVersion,
    is_disk_usage: bool,
) -> body::ImageSummary {
    let size = i64::try_from(of.size_bytes).unwrap_or(i64::MAX);
    let nothing = of.repo_tags.is_empty() && of.repo_digests.is_empty();
    let (mut tags, mut digests) = (Some(of.repo_tags), Some(of.repo_digests));
    let none_if_empty = |list: Option<Vec<String>>| list.filter(|list| !list.is_empty());
    if is_disk_usage || version.before(43) {
        (tags, digests) = (none_if_empty(tags), none_if_empty(digests));
    }
    if !is_disk_usage && version.before(43) && nothing {
        tags = Some(vec!["<none>:<none>".to_owned()]);
        digests = Some(vec!["<none>@<none>".to_owned()]);
    }
    body::ImageSummary {
        containers: of.containers,
        created: of.created,
        id: of.id.into(),
        labels: of.labels.filter(|labels| !labels.is_empty()),
        parent_id: of.parent,
        descriptor: None,
        repo_digests: digests,
        repo_tags: tags,
        shared_size: of.shared_size_bytes,
        size,
        virtual_size: version.before(44).then_some(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(version: u16, tags: &[&str]) -> Value {
        let of = ImageSummary {
            id: format!("sha256:{}", "a".repeat(64)).parse().unwrap(),
            parent: String::new(),
            repo_tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            repo_digests: Vec::new(),
            created: 1,
            size_bytes: 5,
            shared_size_bytes: -1,
            containers: -1,
            labels: None,
        };
        serde_json::to_value(image_summary(of, ApiVersion::new(version), false)).unwrap()
    }

    #[test]
    fn lists_change_with_the_version() {
        assert_eq!(summary(51, &["a:1"])["RepoDigests"], json!([]));
        assert_eq!(summary(43, &["a:1"])["VirtualSize"], 5);
        assert_eq!(summary(44, &["a:1"]).get("VirtualSize"), None);
        assert_eq!(summary(42, &["a:1"])["RepoDigests"], Value::Null);
        assert_eq!(summary(42, &[])["RepoTags"], json!(["<none>:<none>"]));
        assert_eq!(summary(43, &[])["RepoTags"], json!([]));
    }

    #[test]
    fn the_config_has_what_is_written_and_what_always_is() {
        let raw = json!({"Cmd": ["sh"], "Hostname": "x", "ExposedPorts": {"80/tcp": {}}, "Labels": {}, "Custom": 1});
        let names =
            |version| image_config(&raw, ApiVersion::new(version)).keys().cloned().collect::<Vec<_>>();
        let new = [
            "Cmd",
            "Entrypoint",
            "Env",
            "ExposedPorts",
            "Labels",
            "OnBuild",
            "User",
            "Volumes",
            "WorkingDir",
        ];
        assert_eq!(names(51), new);
        assert!(names(49).contains(&"AttachStdin".to_owned()));
        assert_eq!(image_config(&raw, ApiVersion::MAX)["Cmd"], json!(["sh"]));
        assert_eq!(image_config(&raw, ApiVersion::new(49))["Hostname"], "");
    }
}
