use super::*;

/// One line per case: what is given, what comes out (or what is said to be wrong).
fn check<T: std::fmt::Debug>(cases: &[(&str, &str)], parse: impl Fn(&str) -> Result<T, String>) {
    for (input, expect) in cases {
        let got = match parse(input) {
            Ok(value) => format!("{value:?}"),
            Err(error) => error,
        };
        assert_eq!(got, *expect, "{input}");
    }
}

#[test]
fn sizes_are_read_as_go_units_reads_them() {
    check(
        &[
            ("512", "512"),
            ("1k", "1024"),
            ("1.5g", "1610612736"),
            ("64MiB", "67108864"),
            ("64 mb", "67108864"),
            ("2b", "2"),
            ("", "invalid size: ''"),
            ("x", "invalid size: 'x'"),
            ("-5", "invalid size: '-5'"),
            ("1x", "invalid suffix: 'x'"),
            ("1kx", "invalid suffix: 'kx'"),
        ],
        size::ram_in_bytes,
    );
}

#[test]
fn cpus_are_exact() {
    check(
        &[
            ("1", "1000000000"),
            ("1.5", "1500000000"),
            (".25", "250000000"),
            ("1e-3", "1000000"),
            ("1/4", "250000000"),
            ("0.1234567891", "value is too precise"),
            ("1/3", "value is too precise"),
            ("abc", "failed to parse abc as a rational number"),
            ("", "failed to parse  as a rational number"),
        ],
        size::nano_cpus,
    );
}

#[test]
fn durations_are_gos() {
    check(
        &[
            ("1h30m", "5400000000000"),
            ("1.5s", "1500000000"),
            ("-2ms", "-2000000"),
            ("0", "0"),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("x", "time: invalid duration \"x\""),
        ],
        time::parse_duration,
    );
}

#[test]
fn moments_are_seconds_since_the_epoch() {
    let now = ::time::OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    check(
        &[
            ("10m", "\"1699999400.000000000\""),
            ("2023-11-14T22:13:20Z", "\"1700000000.000000000\""),
            ("2023-11-14T22:13:20.5Z", "\"1700000000.500000000\""),
            ("2023-11-14Z", "\"1699920000.000000000\""),
            ("1700000000", "\"1700000000\""),
            ("1700000000.5", "\"1700000000.5\""),
            ("x", "failed to parse value as time or duration: \"x\""),
        ],
        |text| time::timestamp(text, now),
    );
}

#[test]
fn records_are_gos_csv() {
    check(
        &[
            ("a,b", r#"["a", "b"]"#),
            (r#""a,b",c"#, r#"["a,b", "c"]"#),
            (r#""a""b""#, r#"["a\"b"]"#),
            ("a,", r#"["a", ""]"#),
            ("", "EOF"),
            (r#"a"b"#, "parse error on line 1, column 2: bare \" in non-quoted-field"),
        ],
        csv::fields,
    );
}

#[test]
fn ports_are_published_as_nat_does() {
    check(
        &[
            ("80", r#"{"80/tcp": [":"]}"#),
            ("8080:80", r#"{"80/tcp": [":8080"]}"#),
            ("127.0.0.1:8080:80/udp", r#"{"80/udp": ["127.0.0.1:8080"]}"#),
            ("127.0.0.1::80", r#"{"80/tcp": ["127.0.0.1:"]}"#),
            ("[::1]:8080:80", r#"{"80/tcp": ["::1:8080"]}"#),
            ("8080-8081:80-81", r#"{"80/tcp": [":8080"], "81/tcp": [":8081"]}"#),
            ("8080-8090:80", r#"{"80/tcp": [":8080-8090"]}"#),
            ("published=8080,target=80,protocol=udp", r#"{"80/udp": [":8080"]}"#),
            ("80x", "invalid containerPort: 80x"),
            ("x:80", "invalid hostPort: x"),
            ("1-2:3-5", "invalid ranges specified for container and host Ports: 3-5 and 1-2"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("80/foo", "invalid proto: foo"),
            ("99999", "invalid containerPort: 99999"),
        ],
        |text| {
            let ports = port::parse(&[text.to_owned()], &[])?;
            let bindings = ports.bindings.into_iter().map(|(port, bindings)| {
                let texts = bindings.into_iter().flatten().map(|b| format!("{}:{}", b.host_ip, b.host_port));
                (port, texts.collect::<Vec<_>>())
            });
            Ok(bindings.collect::<std::collections::BTreeMap<_, _>>())
        },
    );
    let exposed = port::parse(&[], &["90-91/udp".to_owned()]).unwrap().exposed;
    assert_eq!(exposed.into_keys().collect::<Vec<_>>(), ["90/udp", "91/udp"]);
    assert_eq!(
        port::parse(&[], &["80:90".to_owned()]).unwrap_err(),
        "invalid port format for --expose: 80:90"
    );
}

#[test]
fn volumes_are_told_from_binds() {
    check(
        &[
            ("/data", "Anonymous(\"/data\")"),
            ("vol:/data:ro", "Bind(\"vol:/data:ro\")"),
            ("/a:/b", "Bind(\"/a:/b\")"),
            ("", "invalid empty volume spec"),
            (":/b", "invalid spec: :/b: empty section between colons"),
            ("aa:b:c:d", "invalid spec: aa:b:c:d: too many colons"),
        ],
        volume::parse,
    );
}

#[test]
fn mounts_are_refused_in_dockers_words() {
    let wrong = |text: &str| mount::parse(text).unwrap_err();
    for (input, expect) in [
        ("type=bind", "target is required"),
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("foo=bar,target=/x", "unexpected key 'foo' in 'foo=bar'"),
        ("type=bind,target=/y,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
        ("type=tmpfs,target=/y,tmpfs-size=zz", "invalid value for tmpfs-size: zz"),
        ("type=bind,target=/y,readonly=maybe", "invalid value for readonly: maybe"),
    ] {
        assert_eq!(wrong(input), expect, "{input}");
    }
    let mount = mount::parse("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777,ro").unwrap();
    let tmpfs = mount.tmpfs_options.unwrap();
    assert_eq!((mount.target.as_str(), mount.read_only), ("/t", true));
    assert_eq!((tmpfs.size_bytes, tmpfs.mode), (1 << 20, Some(0o1777)));
}

#[test]
fn networks_have_a_short_and_a_long_form() {
    assert_eq!(network::parse("my-net").unwrap(), network::Attachment::to("my-net"));
    let long = network::parse("name=n,alias=A,alias=b,ip=10.0.0.2,gw-priority=3,driver-opt=k=v").unwrap();
    assert_eq!((long.target.as_str(), long.aliases.as_slice()), ("n", &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!((long.ipv4_address.as_str(), long.gateway_priority), ("10.0.0.2", 3));
    assert_eq!(network::parse("name=a,foo=b").unwrap_err(), "invalid field key foo");
    assert_eq!(network::parse("alias=b").unwrap_err(), "network name/id is not specified");
}

#[test]
fn limits_are_checked() {
    check(
        &[
            ("nofile=100:200", "Ulimit { name: \"nofile\", hard: 200, soft: 100 }"),
            ("nofile=5", "Ulimit { name: \"nofile\", hard: 5, soft: 5 }"),
            ("core=-1", "Ulimit { name: \"core\", hard: -1, soft: -1 }"),
            ("x", "invalid ulimit argument: x"),
            ("bad=1", "invalid ulimit type: bad"),
            ("nofile=10:5", "ulimit soft limit must be less than or equal to hard limit: 10 > 5"),
            ("nofile=a", "strconv.ParseInt: parsing \"a\": invalid syntax"),
        ],
        limits::parse_ulimit,
    );
    assert_eq!(limits::parse_bps("/dev/x:1mb").unwrap().rate, 1 << 20);
    assert_eq!(limits::parse_weight("/dev/x:5").unwrap_err(), "invalid weight for device: /dev/x:5");
    assert_eq!(limits::parse_restart_policy("on-failure:3").unwrap().maximum_retry_count, 3);
}

#[test]
fn devices_and_gpus_are_read() {
    let device = |text: &str| {
        let device = device::parse_device(text)?;
        Ok(format!("{} {} {}", device.path_on_host, device.path_in_container, device.cgroup_permissions))
    };
    check(
        &[
            ("/dev/a", "\"/dev/a /dev/a rwm\""),
            ("/dev/a:r", "\"/dev/a /dev/a r\""),
            ("/dev/a:/dev/b:rw", "\"/dev/a /dev/b rw\""),
            ("/dev/a:/dev/b:q", "bad mode specified: q"),
            ("a:b:c:d", "bad format for path: a:b:c:d"),
            ("x", "x is not an absolute path"),
        ],
        device,
    );
    assert!(device::is_cdi_name("vendor.com/gpu=all") && !device::is_cdi_name("/dev/a=b"));
    assert_eq!(device::parse_gpus("all").unwrap().count, -1);
    assert_eq!(device::parse_gpus("\"device=0,1\"").unwrap().device_ids.unwrap(), ["0", "1"]);
    assert_eq!(device::parse_gpus("foo=bar").unwrap_err(), "unexpected key 'foo' in 'foo=bar'");
}

#[test]
fn names_and_addresses_are_checked() {
    assert_eq!(names::check_extra_host("a=[::1]").unwrap(), "a:::1");
    assert_eq!(names::check_extra_host("x").unwrap_err(), "bad format for add-host: \"x\"");
    assert_eq!(names::check_sysctl("kernel.panic=1").unwrap_err(), "sysctl 'kernel.panic=1' is not allowed");
    assert_eq!(names::check_label("=").unwrap_err(), "invalid label '=': empty name");
    assert_eq!(names::check_dns_search("example.com.").unwrap(), "example.com");
    assert!(names::is_mac("92:d0:c6:0a:29:33") && !names::is_mac("zz"));
    for (path, clean) in [("/a//b/../c/.", "/a/c"), ("a/..", "."), ("/..", "/")] {
        assert_eq!(names::clean_path(path), clean);
    }
}

#[test]
fn env_files_are_read_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("env");
    std::fs::write(&path, "\u{feff}A=1\n# comment\n\n  B= two \r\nNO_SUCH_VARIABLE_HERE\n").unwrap();
    let file = path.to_str().unwrap().to_owned();
    let pairs =
        env::read_pairs(std::slice::from_ref(&file), vec!["C=3".to_owned()], env::Bare::FromEnvironment);
    assert_eq!(pairs.unwrap(), ["A=1", "B= two ", "C=3"]);
    std::fs::write(&path, "a b=1\n").unwrap();
    let error = env::read_pairs(std::slice::from_ref(&file), Vec::new(), env::Bare::Dropped).unwrap_err();
    assert_eq!(error, format!("invalid env file ({file}): variable 'a b' contains whitespaces"));
}

#[test]
fn filters_become_sets() {
    let filters = filter::Filters::parse(&[
        "label=a=b".to_owned(),
        "label=c".to_owned(),
        "Status = running".to_owned(),
    ]);
    assert_eq!(filters.to_query(), r#"{"label":{"a=b":true,"c":true},"status":{"running":true}}"#);
    assert_eq!(filter::check("x").unwrap_err(), "bad format of filter (expected name=value)");
}
