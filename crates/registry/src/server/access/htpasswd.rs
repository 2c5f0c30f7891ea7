//! htpasswd files, with bcrypt hashes as distribution wants them.

use super::accounts::{Account, Accounts, Grant};

/// Everybody in the file may do everything. Lines with other hashes than bcrypt let nobody in.
pub(super) fn parse(text: &str) -> Accounts {
    let mut accounts = Accounts::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':') {
            Some((name, hash)) if hash.starts_with("$2") => {
                let hash = hash.trim().to_owned();
                accounts.users.retain(|user| user.name != name);
                let grants = vec![Grant::all()];
                accounts.users.push(Account { name: name.to_owned(), hash, grants, expires: None });
            }
            _ => tracing::warn!(
                line = number + 1,
                "a line of the htpasswd file is not NAME:BCRYPT and is passed over"
            ),
        }
    }
    accounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bcrypt_lets_anybody_in() {
        let accounts = parse("# people\nuser:$2y$05$abc\n\nold:{SHA}xyz\nplain\nuser:$2y$05$new\n");
        let names: Vec<_> =
            accounts.users.iter().map(|user| (user.name.as_str(), user.hash.as_str())).collect();
        assert_eq!(names, [("user", "$2y$05$new")]);
    }
}
