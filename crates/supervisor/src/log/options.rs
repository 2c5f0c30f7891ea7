//! Options of the log drivers, in Docker's words.

use std::collections::BTreeMap;

use types::parse_size;

use super::LogDriver;

/// Options of every driver (moby `daemon/logger/factory.go`).
const COMMON: [&str; 2] = ["mode", "max-buffer-size"];
/// Options of `json-file` and `local`.
const FILE: [&str; 8] =
    ["max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag"];

/// How a log file is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Rotate when the file has reached this many bytes; `None`: never.
    pub(crate) size_bytes: Option<u64>,
    /// Number of files kept, the current one included; at least 1.
    pub(crate) files: u32,
    /// Compress rotated files.
    pub(crate) compress: bool,
}

/// Bytes of entries that wait in mode `non-blocking` unless the user says otherwise (moby `defaultRingMaxSize`).
const BUFFER_BYTES: usize = 1_000_000;

/// Bytes of entries that may wait for the disk; `None`: the container waits for it (moby `logger.RingLogger`).
pub(super) fn buffer_bytes(options: &BTreeMap<String, String>) -> Result<Option<usize>, String> {
    if options.get("mode").is_none_or(|mode| mode != "non-blocking") {
        return Ok(None);
    }
    let size = options.get("max-buffer-size").map(|text| parse_size(text, 1024)).transpose()?;
    Ok(Some(size.map_or(BUFFER_BYTES, |size| usize::try_from(size).unwrap_or(usize::MAX))))
}

/// Checks the driver's name and its options' names and modes, as Docker does when a container is created. Values are
/// checked when it is started.
pub fn validate(driver: &str, options: &BTreeMap<String, String>) -> Result<(), String> {
    let driver = LogDriver::parse(driver)?;
    if driver == LogDriver::None {
        return Ok(());
    }
    let mode = options.get("mode").map_or("", String::as_str);
    if !["", "blocking", "non-blocking"].contains(&mode) {
        return Err(format!("logger: logging mode not supported: {mode}"));
    }
    if let Some(size) = options.get("max-buffer-size") {
        if mode != "non-blocking" {
            return Err(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'".to_owned()
            );
        }
        parse_size(size, 1024).map_err(|why| format!("error parsing option max-buffer-size: {why}"))?;
    }
    let known = |key: &str| COMMON.contains(&key) || FILE.contains(&key);
    match options.keys().find(|key| !known(key)) {
        None => Ok(()),
        Some(key) if driver == LogDriver::Local => {
            Err(format!("unknown log opt '{key}' for log driver local"))
        }
        Some(key) => Err(format!("unknown log opt '{key}' for json-file log driver")),
    }
}

impl Limits {
    /// The limits that these options ask for (moby `jsonfilelog.New`, `local.newConfig`).
    pub(crate) fn parse(driver: LogDriver, options: &BTreeMap<String, String>) -> Result<Self, String> {
        let get = |key: &str| options.get(key).map(String::as_str);
        if driver == LogDriver::Local {
            return Self::parse_local(get);
        }
        let size_bytes = get("max-size").map(|text| parse_size(text, 1000)).transpose()?;
        if size_bytes == Some(0) {
            return Err("max-size must be a positive number".to_owned());
        }
        let files = get("max-file").map_or(Ok(1), parse_count)?;
        if files < 1 {
            return Err("max-file cannot be less than 1".to_owned());
        }
        let compress = get("compress").map_or(Ok(false), parse_bool)?;
        if compress && (files == 1 || size_bytes.is_none()) {
            return Err(
                "compress cannot be true when max-file is less than 2 or max-size is not set".to_owned()
            );
        }
        Ok(Self { size_bytes, files: files.unsigned_abs(), compress })
    }

    fn parse_local<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, String> {
        let size_bytes = get("max-size").map_or(Ok(20 << 20), |text| {
            parse_size(text, 1000).map_err(|why| format!("invalid value for max-size: {text}: {why}"))
        })?;
        let files = get("max-file").map_or(Ok(5), |text| {
            parse_count(text).map_err(|why| format!("invalid value for max-file: {text}: {why}"))
        })?;
        if files < 0 {
            return Err("max-file must not be negative".to_owned());
        }
        let compress = get("compress").map_or(Ok(true), |text| {
            parse_bool(text).map_err(|why| format!("invalid boolean value for compress: {why}"))
        })?;
        if compress && files <= 1 {
            return Err("compression cannot be enabled when max file count is 1".to_owned());
        }
        Ok(Self {
            size_bytes: (size_bytes > 0).then_some(size_bytes),
            files: files.unsigned_abs().max(1),
            compress,
        })
    }
}

fn parse_count(text: &str) -> Result<i32, String> {
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_are_validated_in_dockers_words() {
        let check = |driver: &str, pairs: &[(&str, &str)], expect: Result<(), &str>| {
            assert_eq!(
                validate(driver, &options(pairs)),
                expect.map_err(str::to_owned),
                "{driver} {pairs:?}"
            );
        };
        check("", &[], Ok(()));
        check("json-file", &[("max-size", "rubbish"), ("tag", "x")], Ok(()));
        check("none", &[("nosuch", "1")], Ok(()));
        check("json-file", &[("nosuch", "1")], Err("unknown log opt 'nosuch' for json-file log driver"));
        check("local", &[("nosuch", "1")], Err("unknown log opt 'nosuch' for log driver local"));
        check("nosuch", &[], Err("error looking up logging plugin nosuch: plugin \"nosuch\" not found"));
        check("local", &[("mode", "x")], Err("logger: logging mode not supported: x"));
        check("local", &[("mode", "non-blocking"), ("max-buffer-size", "4m")], Ok(()));
        check(
            "local",
            &[("max-buffer-size", "4m")],
            Err("logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
        );
    }

    #[test]
    fn limits_have_dockers_defaults_and_errors() {
        let check = |driver, pairs: &[(&str, &str)], expect: Result<(Option<u64>, u32, bool), &str>| {
            let found = Limits::parse(driver, &options(pairs)).map(|l| (l.size_bytes, l.files, l.compress));
            assert_eq!(found, expect.map_err(str::to_owned), "{driver:?} {pairs:?}");
        };
        check(LogDriver::JsonFile, &[], Ok((None, 1, false)));
        check(LogDriver::JsonFile, &[("max-size", "10k"), ("max-file", "2")], Ok((Some(10_000), 2, false)));
        check(LogDriver::JsonFile, &[("max-size", "0")], Err("max-size must be a positive number"));
        check(LogDriver::JsonFile, &[("max-file", "0")], Err("max-file cannot be less than 1"));
        check(LogDriver::JsonFile, &[("max-file", "x")], Err("strconv.Atoi: parsing \"x\": invalid syntax"));
        check(
            LogDriver::JsonFile,
            &[("compress", "true")],
            Err("compress cannot be true when max-file is less than 2 or max-size is not set"),
        );
        check(LogDriver::Local, &[], Ok((Some(20 << 20), 5, true)));
        check(
            LogDriver::Local,
            &[("max-file", "1")],
            Err("compression cannot be enabled when max file count is 1"),
        );
        check(LogDriver::Local, &[("max-file", "1"), ("compress", "false")], Ok((Some(20 << 20), 1, false)));
    }

    #[test]
    fn sizes_are_read_as_go_units_reads_them() {
        for (text, expect) in [
            ("32", Ok(32)),
            ("32b", Ok(32)),
            ("32k", Ok(32_000)),
            ("32 KB", Ok(32_000)),
            ("1.5MiB", Ok(1_500_000)),
            ("", Err("invalid size: ''")),
            ("x", Err("invalid size: 'x'")),
            ("-3", Err("invalid size: '-3'")),
            ("3x", Err("invalid suffix: 'x'")),
            ("3ib", Err("invalid suffix: 'ib'")),
            ("1.2.3k", Err("strconv.ParseFloat: parsing \"1.2.3\": invalid syntax")),
        ] {
            assert_eq!(parse_size(text, 1000), expect.map_err(str::to_owned), "{text:?}");
        }
    }
}
