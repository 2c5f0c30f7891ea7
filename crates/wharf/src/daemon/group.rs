//! Groups by name, from `/etc/group`: a static glibc must not ask NSS.

use std::path::Path;

/// Groups that get the socket when the user names none, if they exist.
const DEFAULTS: [&str; 2] = ["docker", "wharf"];

/// The group id for the socket: `wanted` (a name or a number) must exist; without it, the first default that does.
pub(crate) fn socket_group(wanted: Option<&str>) -> Result<Option<u32>, String> {
    let text = std::fs::read_to_string(Path::new("/etc/group")).unwrap_or_default();
    find(&text, wanted)
}

fn find(text: &str, wanted: Option<&str>) -> Result<Option<u32>, String> {
    match wanted {
        Some("") => Ok(None),
        Some(name) => match by_name(text, name).or_else(|| name.parse().ok()) {
            Some(gid) => Ok(Some(gid)),
            None => Err(format!("group {name} not found")),
        },
        None => Ok(DEFAULTS.iter().find_map(|name| by_name(text, name))),
    }
}

/// `name:password:gid:members`
fn by_name(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn groups_are_found_by_name_or_number() {
        let file = "root:x:0:\nwharf:x:77:a,b\nbroken\n";
        for (wanted, want) in [
            (None, Ok(Some(77))),
            (Some("root"), Ok(Some(0))),
            (Some("123"), Ok(Some(123))),
            (Some(""), Ok(None)),
            (Some("docker"), Err("group docker not found".to_owned())),
        ] {
            assert_eq!(find(file, wanted), want, "{wanted:?}");
        }
        assert_eq!(find("docker:x:5:\nwharf:x:77:\n", None), Ok(Some(5)));
        assert_eq!(find("", None), Ok(None));
    }
}
