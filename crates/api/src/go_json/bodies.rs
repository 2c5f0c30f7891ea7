//! The bodies that Docker 28 reads, with the names and types of Go (moby `api/types`).

use super::types::{Go, Member};

const STRING: Go = Go::Text("string");
const INT: Go = Go::Whole("int", i64::MIN as i128, i64::MAX as i128);
const INT64: Go = Go::Whole("int64", i64::MIN as i128, i64::MAX as i128);
const UINT64: Go = Go::Whole("uint64", 0, u64::MAX as i128);
const UINT16: Go = Go::Whole("uint16", 0, u16::MAX as i128);
const DURATION: Go = Go::Whole("time.Duration", i64::MIN as i128, i64::MAX as i128);
const FILE_MODE: Go = Go::Whole("fs.FileMode", 0, u32::MAX as i128);
const STRINGS: Go = Go::List("[]string", &STRING);
const STRING_LISTS: Go = Go::List("[][]string", &STRINGS);
const STRING_MAP: Go = Go::Map("map[string]string", &STRING);
const NOTHING: Go = Go::Struct("struct {}", &[]);

/// A body: its type, and what Go calls it in errors about its members.
pub(crate) struct Body {
    pub(crate) go: Go,
    pub(crate) name: &'static str,
}

/// A body of which only its being JSON counts.
pub(crate) static ANYTHING: Body = Body { go: Go::Any, name: "" };

/// `POST /containers/create`, `POST /commit`. The config is embedded, and has no name in errors.
pub(crate) static CREATE: Body = Body {
    go: Go::Struct(
        "container.CreateRequest",
        &[CONFIG, &[("HostConfig", HOST_CONFIG), ("NetworkingConfig", NETWORKING_CONFIG)]],
    ),
    name: "",
};

/// `POST /containers/{id}/update`.
pub(crate) static UPDATE: Body = Body {
    go: Go::Struct("container.UpdateConfig", &[RESOURCES, &[("RestartPolicy", RESTART_POLICY)]]),
    name: "UpdateConfig",
};

/// `POST /containers/{id}/exec`.
pub(crate) static EXEC: Body = Body {
    go: Go::Struct(
        "container.ExecOptions",
        &[&[
            ("User", STRING),
            ("Privileged", Go::Bool),
            ("Tty", Go::Bool),
            ("ConsoleSize", Go::Pair),
            ("AttachStdin", Go::Bool),
            ("AttachStderr", Go::Bool),
            ("AttachStdout", Go::Bool),
            ("DetachKeys", STRING),
            ("Env", STRINGS),
            ("WorkingDir", STRING),
            ("Cmd", STRINGS),
        ]],
    ),
    name: "ExecOptions",
};

/// `POST /exec/{id}/start`.
pub(crate) static EXEC_START: Body = Body {
    go: Go::Struct(
        "container.ExecStartOptions",
        &[&[("Detach", Go::Bool), ("Tty", Go::Bool), ("ConsoleSize", Go::Pair)]],
    ),
    name: "ExecStartOptions",
};

/// `POST /volumes/create`.
pub(crate) static VOLUME: Body = Body {
    go: Go::Struct(
        "volume.CreateOptions",
        &[&[
            ("ClusterVolumeSpec", Go::Any),
            ("Driver", STRING),
            ("DriverOpts", STRING_MAP),
            ("Labels", STRING_MAP),
            ("Name", STRING),
        ]],
    ),
    name: "CreateOptions",
};

/// `POST /networks/create`.
pub(crate) static NETWORK: Body = Body {
    go: Go::Struct(
        "network.CreateRequest",
        &[&[
            ("Name", STRING),
            ("CheckDuplicate", Go::Bool),
            ("Driver", STRING),
            ("Scope", STRING),
            ("EnableIPv4", Go::Bool),
            ("EnableIPv6", Go::Bool),
            ("IPAM", IPAM),
            ("Internal", Go::Bool),
            ("Attachable", Go::Bool),
            ("Ingress", Go::Bool),
            ("ConfigOnly", Go::Bool),
            ("ConfigFrom", Go::Struct("network.ConfigReference", &[&[("Network", STRING)]])),
            ("Options", STRING_MAP),
            ("Labels", STRING_MAP),
        ]],
    ),
    name: "CreateRequest",
};

/// `POST /networks/{id}/connect`.
pub(crate) static CONNECT: Body = Body {
    go: Go::Struct("network.ConnectOptions", &[&[("Container", STRING), ("EndpointConfig", ENDPOINT)]]),
    name: "ConnectOptions",
};

/// `POST /networks/{id}/disconnect`.
pub(crate) static DISCONNECT: Body = Body {
    go: Go::Struct("network.DisconnectOptions", &[&[("Container", STRING), ("Force", Go::Bool)]]),
    name: "DisconnectOptions",
};

/// `POST /auth`.
pub(crate) static AUTH: Body = Body {
    go: Go::Struct(
        "registry.AuthConfig",
        &[&[
            ("username", STRING),
            ("password", STRING),
            ("auth", STRING),
            ("serveraddress", STRING),
            ("identitytoken", STRING),
            ("registrytoken", STRING),
        ]],
    ),
    name: "",
};

const CONFIG: &[Member] = &[
    ("Hostname", STRING),
    ("Domainname", STRING),
    ("User", STRING),
    ("AttachStdin", Go::Bool),
    ("AttachStdout", Go::Bool),
    ("AttachStderr", Go::Bool),
    ("ExposedPorts", Go::Map("nat.PortSet", &NOTHING)),
    ("Tty", Go::Bool),
    ("OpenStdin", Go::Bool),
    ("StdinOnce", Go::Bool),
    ("Env", STRINGS),
    ("Cmd", Go::Words),
    ("Healthcheck", HEALTH),
    ("ArgsEscaped", Go::Bool),
    ("Image", STRING),
    ("Volumes", Go::Map("map[string]struct {}", &NOTHING)),
    ("WorkingDir", STRING),
    ("Entrypoint", Go::Words),
    ("NetworkDisabled", Go::Bool),
    ("MacAddress", STRING),
    ("OnBuild", STRINGS),
    ("Labels", STRING_MAP),
    ("StopSignal", STRING),
    ("StopTimeout", INT),
    ("Shell", Go::Words),
];

const HEALTH: Go = Go::Struct(
    "v1.HealthcheckConfig",
    &[&[
        ("Test", STRINGS),
        ("Interval", DURATION),
        ("Timeout", DURATION),
        ("StartPeriod", DURATION),
        ("StartInterval", DURATION),
        ("Retries", INT),
    ]],
);

const HOST_CONFIG: Go = Go::Struct(
    "container.HostConfig",
    &[
        &[
            ("Binds", STRINGS),
            ("ContainerIDFile", STRING),
            ("LogConfig", Go::Struct("container.LogConfig", &[&[("Type", STRING), ("Config", STRING_MAP)]])),
            ("NetworkMode", Go::Text("container.NetworkMode")),
            ("PortBindings", Go::Map("nat.PortMap", &PORT_BINDINGS)),
            ("RestartPolicy", RESTART_POLICY),
            ("AutoRemove", Go::Bool),
            ("VolumeDriver", STRING),
            ("VolumesFrom", STRINGS),
            ("ConsoleSize", Go::Pair),
            ("Annotations", STRING_MAP),
            ("CapAdd", Go::Words),
            ("CapDrop", Go::Words),
            ("CgroupnsMode", Go::Text("container.CgroupnsMode")),
            ("Dns", STRINGS),
            ("DnsOptions", STRINGS),
            ("DnsSearch", STRINGS),
            ("ExtraHosts", STRINGS),
            ("GroupAdd", STRINGS),
            ("IpcMode", Go::Text("container.IpcMode")),
            ("Cgroup", Go::Text("container.CgroupSpec")),
            ("Links", STRINGS),
            ("OomScoreAdj", INT),
            ("PidMode", Go::Text("container.PidMode")),
            ("Privileged", Go::Bool),
            ("PublishAllPorts", Go::Bool),
            ("ReadonlyRootfs", Go::Bool),
            ("SecurityOpt", STRINGS),
            ("StorageOpt", STRING_MAP),
            ("Tmpfs", STRING_MAP),
            ("UTSMode", Go::Text("container.UTSMode")),
            ("UsernsMode", Go::Text("container.UsernsMode")),
            ("ShmSize", INT64),
            ("Sysctls", STRING_MAP),
            ("Runtime", STRING),
            ("Isolation", Go::Text("container.Isolation")),
            ("Mounts", Go::List("[]mount.Mount", &MOUNT)),
            ("MaskedPaths", STRINGS),
            ("ReadonlyPaths", STRINGS),
            ("Init", Go::Bool),
        ],
        RESOURCES,
    ],
);

const PORT_BINDINGS: Go = Go::List(
    "[]nat.PortBinding",
    &Go::Struct("nat.PortBinding", &[&[("HostIp", STRING), ("HostPort", STRING)]]),
);

const RESTART_POLICY: Go = Go::Struct(
    "container.RestartPolicy",
    &[&[("Name", Go::Text("container.RestartPolicyMode")), ("MaximumRetryCount", INT)]],
);

const RESOURCES: &[Member] = &[
    ("CpuShares", INT64),
    ("Memory", INT64),
    ("NanoCpus", INT64),
    ("CgroupParent", STRING),
    ("BlkioWeight", UINT16),
    ("BlkioWeightDevice", Go::List("[]*blkiodev.WeightDevice", &WEIGHT_DEVICE)),
    ("BlkioDeviceReadBps", THROTTLE_DEVICES),
    ("BlkioDeviceWriteBps", THROTTLE_DEVICES),
    ("BlkioDeviceReadIOps", THROTTLE_DEVICES),
    ("BlkioDeviceWriteIOps", THROTTLE_DEVICES),
    ("CpuPeriod", INT64),
    ("CpuQuota", INT64),
    ("CpuRealtimePeriod", INT64),
    ("CpuRealtimeRuntime", INT64),
    ("CpusetCpus", STRING),
    ("CpusetMems", STRING),
    ("Devices", Go::List("[]container.DeviceMapping", &DEVICE_MAPPING)),
    ("DeviceCgroupRules", STRINGS),
    ("DeviceRequests", Go::List("[]container.DeviceRequest", &DEVICE_REQUEST)),
    ("KernelMemory", INT64),
    ("KernelMemoryTCP", INT64),
    ("MemoryReservation", INT64),
    ("MemorySwap", INT64),
    ("MemorySwappiness", INT64),
    ("OomKillDisable", Go::Bool),
    ("PidsLimit", INT64),
    ("Ulimits", Go::List("[]*units.Ulimit", &ULIMIT)),
    ("CpuCount", INT64),
    ("CpuPercent", INT64),
    ("IOMaximumIOps", UINT64),
    ("IOMaximumBandwidth", UINT64),
];

const WEIGHT_DEVICE: Go = Go::Struct("blkiodev.WeightDevice", &[&[("Path", STRING), ("Weight", UINT16)]]);
const THROTTLE_DEVICES: Go = Go::List(
    "[]*blkiodev.ThrottleDevice",
    &Go::Struct("blkiodev.ThrottleDevice", &[&[("Path", STRING), ("Rate", UINT64)]]),
);
const DEVICE_MAPPING: Go = Go::Struct(
    "container.DeviceMapping",
    &[&[("PathOnHost", STRING), ("PathInContainer", STRING), ("CgroupPermissions", STRING)]],
);
const DEVICE_REQUEST: Go = Go::Struct(
    "container.DeviceRequest",
    &[&[
        ("Driver", STRING),
        ("Count", INT),
        ("DeviceIDs", STRINGS),
        ("Capabilities", STRING_LISTS),
        ("Options", STRING_MAP),
    ]],
);
const ULIMIT: Go = Go::Struct("units.Ulimit", &[&[("Name", STRING), ("Hard", INT64), ("Soft", INT64)]]);

const MOUNT: Go = Go::Struct(
    "mount.Mount",
    &[&[
        ("Type", Go::Text("mount.Type")),
        ("Source", STRING),
        ("Target", STRING),
        ("ReadOnly", Go::Bool),
        ("Consistency", Go::Text("mount.Consistency")),
        (
            "BindOptions",
            Go::Struct(
                "mount.BindOptions",
                &[&[
                    ("Propagation", Go::Text("mount.Propagation")),
                    ("NonRecursive", Go::Bool),
                    ("CreateMountpoint", Go::Bool),
                    ("ReadOnlyNonRecursive", Go::Bool),
                    ("ReadOnlyForceRecursive", Go::Bool),
                    ("Owner", STRING),
                ]],
            ),
        ),
        (
            "VolumeOptions",
            Go::Struct(
                "mount.VolumeOptions",
                &[&[
                    ("NoCopy", Go::Bool),
                    ("Labels", STRING_MAP),
                    ("Subpath", STRING),
                    (
                        "DriverConfig",
                        Go::Struct("mount.Driver", &[&[("Name", STRING), ("Options", STRING_MAP)]]),
                    ),
                ]],
            ),
        ),
        ("ImageOptions", Go::Struct("mount.ImageOptions", &[&[("Subpath", STRING)]])),
        (
            "TmpfsOptions",
            Go::Struct(
                "mount.TmpfsOptions",
                &[&[("SizeBytes", INT64), ("Mode", FILE_MODE), ("Options", STRING_LISTS)]],
            ),
        ),
    ]],
);

const NETWORKING_CONFIG: Go = Go::Struct(
    "network.NetworkingConfig",
    &[&[("EndpointsConfig", Go::Map("map[string]*network.EndpointSettings", &ENDPOINT))]],
);

const ENDPOINT: Go = Go::Struct(
    "network.EndpointSettings",
    &[&[
        (
            "IPAMConfig",
            Go::Struct(
                "network.EndpointIPAMConfig",
                &[&[("IPv4Address", STRING), ("IPv6Address", STRING), ("LinkLocalIPs", STRINGS)]],
            ),
        ),
        ("Links", STRINGS),
        ("Aliases", STRINGS),
        ("MacAddress", STRING),
        ("DriverOpts", STRING_MAP),
        ("GwPriority", INT),
        ("NetworkID", STRING),
        ("EndpointID", STRING),
        ("Gateway", STRING),
        ("IPAddress", STRING),
        ("IPPrefixLen", INT),
        ("IPv6Gateway", STRING),
        ("GlobalIPv6Address", STRING),
        ("GlobalIPv6PrefixLen", INT),
        ("DNSNames", STRINGS),
    ]],
);

const IPAM: Go = Go::Struct(
    "network.IPAM",
    &[&[
        ("Driver", STRING),
        ("Options", STRING_MAP),
        ("Config", Go::List("[]network.IPAMConfig", &IPAM_CONFIG)),
    ]],
);
const IPAM_CONFIG: Go = Go::Struct(
    "network.IPAMConfig",
    &[&[("Subnet", STRING), ("IPRange", STRING), ("Gateway", STRING), ("AuxiliaryAddresses", STRING_MAP)]],
);
