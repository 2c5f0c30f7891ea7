//! `--security-opt` (moby `parseSecurityOpt`).

use types::{Error, Result};

/// What the options say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Security {
    /// `no_new_privs`.
    pub(crate) no_new_privileges: bool,
    /// Empty: default; `unconfined`; `builtin`; otherwise the profile as JSON.
    pub(crate) seccomp: String,
    /// AppArmor profile; empty is the default.
    pub(crate) apparmor: String,
    /// `/sys/fs/cgroup` is writable; by default it is for privileged containers.
    pub(crate) writable_cgroups: Option<bool>,
}

/// Reads the options of one container. That a wrong one is a 500 is Docker's.
pub(crate) fn parse(options: &[String]) -> Result<Security> {
    let mut security = Security::default();
    for option in options {
        match option.as_str() {
            "no-new-privileges" => {
                security.no_new_privileges = true;
                continue;
            }
            "writable-cgroups" => {
                security.writable_cgroups = Some(true);
                continue;
            }
            "disable" => continue,
            _ => {}
        }
        let Some((key, value)) = option.split_once('=').or_else(|| option.split_once(':')) else {
            return Err(Error::internal(format!("invalid --security-opt 1: {option:?}")));
        };
        let bad = || Error::internal(format!("invalid --security-opt 2: {option:?}"));
        match key {
            // Labels belong to SELinux, which our floor of distributions does not enforce for containers.
            "label" => {}
            "apparmor" => security.apparmor = value.to_owned(),
            "seccomp" => security.seccomp = value.to_owned(),
            "no-new-privileges" => security.no_new_privileges = boolean(value).ok_or_else(bad)?,
            "writable-cgroups" => security.writable_cgroups = Some(boolean(value).ok_or_else(bad)?),
            _ => return Err(bad()),
        }
    }
    Ok(security)
}

/// Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_both_spellings() {
        let parse = |option: &str| parse(&[option.to_owned()]);
        assert!(parse("no-new-privileges").unwrap().no_new_privileges);
        assert!(parse("no-new-privileges:true").unwrap().no_new_privileges);
        assert!(!parse("no-new-privileges=false").unwrap().no_new_privileges);
        assert_eq!(parse("seccomp=unconfined").unwrap().seccomp, "unconfined");
        assert_eq!(parse("apparmor:x").unwrap().apparmor, "x");
        assert_eq!(parse("").unwrap_err().message, r#"invalid --security-opt 1: """#);
        assert_eq!(parse("writable-cgroups").unwrap().writable_cgroups, Some(true));
        assert_eq!(parse("writable-cgroups=false").unwrap().writable_cgroups, Some(false));
        assert_eq!(parse("bad=opt").unwrap_err().message, r#"invalid --security-opt 2: "bad=opt""#);
        assert_eq!(parse("bad").unwrap_err().message, r#"invalid --security-opt 1: "bad""#);
    }
}
