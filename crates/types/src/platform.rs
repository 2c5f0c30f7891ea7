//! Platforms: `os/architecture[/variant]` (OCI image-spec, image-index.md).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// Go's name of the architecture: `amd64`, `arm64`, ...
    pub architecture: String,
    /// `v7`, `v8`, ...; empty when there is only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Windows builds only.
    #[serde(rename = "os.version", default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
}

impl Platform {
    /// The platform this binary runs on.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "riscv64" => "riscv64",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: if architecture == "arm64" { "v8".to_owned() } else { String::new() },
            os_version: String::new(),
        }
    }

    /// Whether an image for `self` runs on `host`. An arm64 image without variant is v8.
    pub fn runs_on(&self, host: &Self) -> bool {
        let variant = |p: &Self| match (p.architecture.as_str(), p.variant.as_str()) {
            ("arm64", "" | "v8") => String::new(),
            (_, v) => v.to_owned(),
        };
        self.os == host.os && self.architecture == host.architecture && variant(self) == variant(host)
    }
}

impl std::str::FromStr for Platform {
    type Err = String;

    /// Parses `os`, `os/arch` or `os/arch/variant` and normalises the usual synonyms.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_bad = |part: &&&str| part.is_empty() || !part.bytes().all(is_platform_byte);
        if let Some(part) = parts.iter().find(is_bad) {
            return Err(format!(
                "{part:?} is an invalid component of {text:?}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": \
                 invalid argument"
            ));
        }
        if parts.len() > 3 {
            return Err(format!("{text:?}: cannot parse platform specifier: invalid argument"));
        }
        let host = Self::host();
        let (os, rest) = match parts.as_slice() {
            [one] if one.eq_ignore_ascii_case("linux") => return Ok(host),
            [one] => (host.os.clone(), vec![*one]),
            [os, rest @ ..] => (os.to_ascii_lowercase(), rest.to_vec()),
            [] => return Err(format!("{text:?}: cannot parse platform specifier: invalid argument")),
        };
        let (architecture, implied) = match rest[0].to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" | "amd64" => ("amd64".to_owned(), ""),
            "aarch64" | "arm64" => ("arm64".to_owned(), ""),
            "armhf" => ("arm".to_owned(), "v7"),
            "armel" => ("arm".to_owned(), "v6"),
            "i386" => ("386".to_owned(), ""),
            other => (other.to_owned(), ""),
        };
        let variant = match (architecture.as_str(), rest.get(1).copied().unwrap_or(implied)) {
            ("arm64", "v8" | "8") | ("amd64", "v1") => String::new(),
            ("arm", "") => "v7".to_owned(),
            ("arm", v @ ("5" | "6" | "7" | "8")) => format!("v{v}"),
            (_, v) => v.to_ascii_lowercase(),
        };
        Ok(Self { os, architecture, variant, os_version: String::new() })
    }
}

fn is_platform_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}
