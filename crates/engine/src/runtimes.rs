//! Which OCI runtime makes a container (moby `daemon/runtime_unix.go`). Pure.
//!
//! Ours is what Docker's clients call `runc`. The administrator may name others, programs with runc's command line
//! (`runtimes` in `daemon.json`, `--add-runtime`): supervisors run those.

use std::collections::BTreeMap;

use types::{Error, Result};

/// The names of ours, the first being what Docker says when nothing is said.
const OURS: [&str; 3] = ["runc", "io.containerd.runc.v2", "wharf"];

/// A program with runc's command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// Path, or a name to be found in the daemon's `PATH`; empty: ours under another name.
    pub path: String,
    /// Words before those of each command (`runtimeArgs`).
    pub args: Vec<String>,
}

/// What containers may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtimes {
    named: BTreeMap<String, Program>,
    default: String,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self { named: BTreeMap::new(), default: OURS[0].to_owned() }
    }
}

impl Runtimes {
    /// These programs beside our own runtime, and the one for containers that ask for none (empty: ours). Refuses names
    /// of ours, and a default that there is not.
    pub fn new(named: BTreeMap<String, Program>, default: &str) -> Result<Self> {
        if let Some(name) = named.keys().find(|name| OURS.contains(&name.as_str())) {
            return Err(Error::invalid(format!("runtime name '{name}' is reserved")));
        }
        let default = if default.is_empty() { OURS[0] } else { default };
        if !OURS.contains(&default) && !named.contains_key(default) {
            return Err(Error::invalid(format!("specified default runtime '{default}' does not exist")));
        }
        Ok(Self { named, default: default.to_owned() })
    }

    /// For containers that ask for none.
    pub fn default_name(&self) -> &str {
        &self.default
    }

    /// The program of that name; `None` for our own runtime.
    pub(crate) fn find(&self, name: &str) -> Result<Option<&Program>> {
        let name = if name.is_empty() { &self.default } else { name };
        if OURS.contains(&name) {
            return Ok(None);
        }
        let found = self.named.get(name);
        let program = found.map(|found| Some(found).filter(|found| !found.path.is_empty()));
        program.ok_or_else(|| Error::invalid(format!("unknown or invalid runtime name: {name}")))
    }

    /// As the `reload` event tells them: those of the configuration.
    pub(crate) fn text(&self) -> String {
        let one = |(name, program): (&String, &Program)| format!("{name}:{}", program.path);
        self.named.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// All of them for `info`, as Docker has them. Its own shim's name stands for ours, too.
    pub(crate) fn list(&self) -> BTreeMap<String, Program> {
        let ours = |name: &str| (name.to_owned(), Program { path: OURS[0].to_owned(), args: Vec::new() });
        self.named.clone().into_iter().chain([ours(OURS[0]), ours(OURS[1])]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes(default: &str) -> Result<Runtimes> {
        let crun = Program { path: "/usr/bin/crun".to_owned(), args: vec!["--debug".to_owned()] };
        Runtimes::new([("crun".to_owned(), crun)].into(), default)
    }

    #[test]
    fn names_lead_to_programs_or_to_ours() {
        let (plain, other) = (runtimes("").unwrap(), runtimes("crun").unwrap());
        for (from, name, want) in [
            (&plain, "", Ok(None)),
            (&plain, "runc", Ok(None)),
            (&plain, "crun", Ok(Some("/usr/bin/crun"))),
            (&other, "", Ok(Some("/usr/bin/crun"))),
            (&other, "io.containerd.runc.v2", Ok(None)),
            (&other, "no", Err("unknown or invalid runtime name: no".to_owned())),
        ] {
            let found = from.find(name).map(|found| found.map(|program| program.path.as_str()));
            assert_eq!(found.map_err(|error| error.message), want, "{name}");
        }
        assert_eq!((plain.default_name(), other.default_name()), ("runc", "crun"));
        assert_eq!(plain.list().keys().collect::<Vec<_>>(), ["crun", "io.containerd.runc.v2", "runc"]);
    }

    #[test]
    fn names_of_ours_and_defaults_that_are_not_there_are_refused() {
        let told = |result: Result<Runtimes>| result.unwrap_err().message;
        assert_eq!(told(runtimes("x")), "specified default runtime 'x' does not exist");
        let named = [("runc".to_owned(), Program::default())].into();
        assert_eq!(told(Runtimes::new(named, "")), "runtime name 'runc' is reserved");
    }
}
