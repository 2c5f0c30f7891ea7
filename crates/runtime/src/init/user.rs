//! Users and groups by name, looked up in the container's own files, in Docker's words. Pure but for reading two files.

use std::io::Read;

use rustix::fs::{FileType, Mode, OFlags};

use crate::error::{Context, Error};

/// Larger files of users are refused: they are read whole.
const FILE_MAX: u64 = 16 << 20;
/// Docker's range of ids.
const ID_MAX: u32 = i32::MAX as u32;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
}

/// One line of passwd: name, uid, gid, home.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        (!name.is_empty() && !name.starts_with('#')).then_some(Account { name, uid, gid, home })
    })
}

/// Groups: name, gid, members.
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        (!name.is_empty() && !name.starts_with('#')).then_some((name, gid, fields.next().unwrap_or_default()))
    })
}

/// Docker's `user[:group]` and extra groups. `passwd` and `group` are the files' contents, empty if there are none.
pub(crate) fn resolve(user: &str, extra: &[String], passwd: &str, group: &str) -> Result<Identity, Error> {
    let (user, wanted_group) = match user.split_once(':') {
        Some((user, group)) => (user, group),
        None => (user, ""),
    };
    let number = number(user)?;
    let account = accounts(passwd).find(|account| match (user, number) {
        ("", _) => account.uid == 0,
        (name, Some(uid)) => account.name == name || account.uid == uid,
        (name, None) => account.name == name,
    });
    let mut identity = Identity::default();
    match (&account, number) {
        (Some(account), _) => (identity.uid, identity.gid) = (account.uid, account.gid),
        (None, Some(uid)) => identity.uid = uid,
        (None, None) if user.is_empty() => {}
        (None, None) => {
            return Err(Error::NoSuchUser(format!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    }
    if !wanted_group.is_empty() {
        identity.gid = find_group(wanted_group, group)?;
    } else if let Some(account) = &account {
        let member = |members: &str| members.split(',').any(|member| member == account.name);
        identity.groups =
            groups(group).filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid).collect();
    }
    for name in extra {
        identity.groups.push(find_group(name, group)?);
    }
    // The primary group is among them, lest a member gains by dropping it (CVE-2022-36109).
    identity.groups.insert(0, identity.gid);
    let mut seen = std::collections::BTreeSet::new();
    identity.groups.retain(|gid| seen.insert(*gid));
    Ok(identity)
}

fn find_group(name: &str, group: &str) -> Result<u32, Error> {
    let number = number(name)?;
    let known = groups(group).find(|(known, gid, _)| *known == name || Some(*gid) == number);
    known.map(|(_, gid, _)| gid).or(number).ok_or_else(|| {
        Error::NoSuchUser(format!("unable to find group {name}: no matching entries in group file"))
    })
}

/// The number, if it is one; a number out of range is an error.
fn number(text: &str) -> Result<Option<u32>, Error> {
    match text.parse::<i64>() {
        Err(_) => Ok(None),
        Ok(id) if (0..=i64::from(ID_MAX)).contains(&id) => Ok(Some(id as u32)),
        Ok(_) => Err(Error::NoSuchUser("uids and gids must be in range 0-2147483647".into())),
    }
}

/// The home directory of a user: `/` if there is none.
pub(super) fn home(uid: u32, passwd: &str) -> &str {
    accounts(passwd).find(|account| account.uid == uid).map_or("/", |account| account.home)
}

/// A file of the container, which is `/` by now. Missing counts as empty; anything but a regular file as well.
pub(super) fn read(path: &str) -> Result<String, Error> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return Ok(String::new()) };
    let stat = rustix::fs::fstat(&file).doing(|| format!("look at {path}"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(String::new());
    }
    if stat.st_size as u64 > FILE_MAX {
        return Err(Error::Failed(format!("{path} is larger than {FILE_MAX} bytes")));
    }
    let mut bytes = Vec::with_capacity(stat.st_size as usize + 1);
    std::fs::File::from(file).take(FILE_MAX).read_to_end(&mut bytes).doing(|| format!("read {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nada:x:1000:100::/home/ada:/bin/sh\n42:x:7:8::/seven:\n";
    const GROUP: &str = "root:x:0:\nusers:x:100:\nwheel:x:10:root,ada\naudio:x:29:ada\n";

    fn check(user: &str, extra: &[&str], expect: Result<(u32, u32, &[u32]), &str>) {
        let extra: Vec<String> = extra.iter().map(ToString::to_string).collect();
        let got = resolve(user, &extra, PASSWD, GROUP);
        let got = got.map(|who| (who.uid, who.gid, who.groups)).map_err(|error| error.to_string());
        let expect = expect.map(|(uid, gid, groups)| (uid, gid, groups.to_vec())).map_err(String::from);
        assert_eq!(got, expect, "{user} {extra:?}");
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        check("", &[], Ok((0, 0, &[0, 10])));
        check("root", &[], Ok((0, 0, &[0, 10])));
        check("ada", &[], Ok((1000, 100, &[100, 10, 29])));
        check("1000", &[], Ok((1000, 100, &[100, 10, 29])));
        check("ada:wheel", &[], Ok((1000, 10, &[10])));
        check("5000", &[], Ok((5000, 0, &[0])));
        check("5000:6000", &["audio", "77"], Ok((5000, 6000, &[6000, 29, 77])));
        check("42", &[], Ok((7, 8, &[8])));
        check("0:0", &["0"], Ok((0, 0, &[0])));
    }

    #[test]
    fn unknown_names_are_told_in_dockers_words() {
        check("nosuchuser", &[], Err("unable to find user nosuchuser: no matching entries in passwd file"));
        check("ada:none", &[], Err("unable to find group none: no matching entries in group file"));
        check("ada", &["none"], Err("unable to find group none: no matching entries in group file"));
        check("-1", &[], Err("uids and gids must be in range 0-2147483647"));
        check("4294967296", &[], Err("uids and gids must be in range 0-2147483647"));
    }

    #[test]
    fn home_is_that_of_the_id() {
        assert_eq!((home(1000, PASSWD), home(0, PASSWD), home(9, PASSWD)), ("/home/ada", "/root", "/"));
    }
}
