//! `runtimes` and `default-runtime`: OCI runtimes beside ours (moby `daemon/runtime_unix.go`).

use std::collections::BTreeMap;

use engine::runtimes::{Program, Runtimes};
use serde_json::{Map, Value};

use super::values::{ConfigError, Values};

/// Docker's shim for programs with runc's command line: what it does, our supervisor does.
const PLAIN: &str = "io.containerd.runc.v2";

/// Reads them.
pub(super) fn build(values: &Values) -> Result<Runtimes, ConfigError> {
    let refuse = |why: String| ConfigError::Invalid { name: "runtimes".to_owned(), why };
    let mut named = BTreeMap::new();
    for (name, value) in values.map("runtimes") {
        let program = match &value {
            Value::String(path) => Program { path: path.clone(), args: Vec::new() },
            Value::Object(members) => {
                program(members).map_err(|why| refuse(format!("runtime {name}: {why}")))?
            }
            _ => return Err(refuse(format!("runtime {name}: want an object with a path"))),
        };
        named.insert(name, program);
    }
    let default = values.text("default-runtime").unwrap_or_default();
    Runtimes::new(named, default).map_err(|error| refuse(error.message))
}

/// One of the file's. Members that nobody knows are passed over, as Go does: nvidia's installer writes `args`.
fn program(members: &Map<String, Value>) -> Result<Program, String> {
    let text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("{name} is not a text: {other}")),
    };
    let (path, kind) = (text("path")?, text("runtimeType")?);
    let mut args = Vec::new();
    for word in members.get("runtimeArgs").and_then(Value::as_array).into_iter().flatten() {
        args.push(word.as_str().ok_or_else(|| format!("runtimeArgs: not a text: {word}"))?.to_owned());
    }
    let options = members.get("options").and_then(Value::as_object).filter(|options| !options.is_empty());
    match (path.is_empty(), kind.is_empty()) {
        (true, true) => return Err("either a runtimeType or a path must be configured".to_owned()),
        (false, false) => {
            return Err("cannot configure both path and runtimeType for the same runtime".to_owned());
        }
        (false, true) if options.is_some() => {
            return Err("options cannot be used with a path runtime".to_owned());
        }
        (false, true) => return Ok(Program { path, args }),
        (true, false) => {}
    }
    if !args.is_empty() {
        return Err("args cannot be used with a runtimeType runtime".to_owned());
    }
    if kind != PLAIN {
        return Err(format!(
            "runtimeType {kind:?} is not supported by this version of wharf: it runs programs with runc's command \
             line, given by path or as {PLAIN}"
        ));
    }
    let mut path = String::new();
    for (option, value) in options.into_iter().flatten() {
        match (option.as_str(), value) {
            ("BinaryName", Value::String(name)) => path.clone_from(name),
            _ => return Err(format!("option {option} is not supported by this version of wharf")),
        }
    }
    Ok(Program { path, args })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::values::from_flags;
    use super::*;

    fn told(json: &str) -> String {
        match program(&serde_json::from_str(json).unwrap()) {
            Ok(Program { path, args }) => format!("{path} {}", args.join(" ")),
            Err(why) => why,
        }
    }

    #[test]
    fn runtimes_are_programs_or_refused_in_dockers_words() {
        for (json, want) in [
            (r#"{"path":"/bin/x","runtimeArgs":["-a","b"]}"#, "/bin/x -a b"),
            (r#"{"path":"nvidia-container-runtime","args":[]}"#, "nvidia-container-runtime "),
            (r#"{"runtimeType":"io.containerd.runc.v2","options":{"BinaryName":"crun"}}"#, "crun "),
            (r#"{"runtimeType":"io.containerd.runc.v2"}"#, " "),
            ("{}", "either a runtimeType or a path must be configured"),
            (
                r#"{"path":"x","runtimeType":"y"}"#,
                "cannot configure both path and runtimeType for the same runtime",
            ),
            (r#"{"path":"x","options":{"a":1}}"#, "options cannot be used with a path runtime"),
            (
                r#"{"runtimeType":"io.containerd.runc.v2","runtimeArgs":["x"]}"#,
                "args cannot be used with a runtimeType runtime",
            ),
            (
                r#"{"runtimeType":"io.containerd.runc.v2","options":{"Root":"/x"}}"#,
                "option Root is not supported by this version of wharf",
            ),
        ] {
            assert_eq!(told(json), want, "{json}");
        }
        assert!(told(r#"{"runtimeType":"io.containerd.kata.v2"}"#).contains("kata.v2\" is not supported"));
    }

    #[test]
    fn flags_name_programs() {
        let built = |line: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let values = from_flags(&args).map_err(|error| error.to_string())?;
            build(&values).map(|all| all.default_name().to_owned()).map_err(|error| error.to_string())
        };
        for (line, want) in [
            ("--add-runtime Crun=/usr/bin/crun --default-runtime crun", Ok("crun")),
            ("--default-runtime x", Err("runtimes: specified default runtime 'x' does not exist")),
            ("--add-runtime runc=/x", Err("runtimes: runtime name 'runc' is reserved")),
            (
                "--add-runtime x",
                Err(r#"invalid argument "x" for "--add-runtime" flag: invalid runtime argument: x"#),
            ),
            (
                "--add-runtime x=1 --add-runtime x=2",
                Err(r#"invalid argument "x=2" for "--add-runtime" flag: runtime 'x' was already defined"#),
            ),
        ] {
            assert_eq!(built(line), want.map(str::to_owned).map_err(str::to_owned), "{line}");
        }
    }
}
