//! `docker rmi`: which names and images go, by Docker's rules.
//!
//! ```text
//!  by name   drop the name; if it was the last, the image too, unless something needs it (quietly)
//!  by id     all names in one repository with at most one tag: drop them and the image
//!            more names: only with force
//!  hard conflicts  children, running containers: never        soft conflicts  names, stopped containers: not without force
//! ```

use store::{ImageRecord, Resource};
use types::{Digest, Error, ImageRef, Result};

use super::{Images, Removed, Shared, names};

impl Images {
    /// Removes a name or an image. With `prune` the parents go too if nothing names or uses them.
    pub async fn remove(&self, name: &str, force: bool, prune: bool) -> Result<Vec<Removed>> {
        let text = name.to_owned();
        self.blocking(move |shared| shared.remove(&text, force, prune)).await
    }
}

/// Which conflicts to look for.
#[derive(Clone, Copy)]
struct Mask {
    names: bool,
    stopped: bool,
}

/// Why an image stays.
struct Conflict {
    error: Error,
    /// A container is the reason.
    used: bool,
}

impl Shared {
    pub(super) fn remove(&self, text: &str, force: bool, prune: bool) -> Result<Vec<Removed>> {
        let record = self.find(text)?;
        let mut done = Vec::new();
        let quiet = if is_id_prefix(&record.id, text) {
            if is_single_reference(&record.names) {
                let mask = Mask { names: false, stopped: !force };
                if let Some(conflict) = self.conflict(&record, mask)? {
                    return Err(conflict.error);
                }
                self.untag_all(&record, &mut done)?;
            }
            false
        } else {
            if !self.remove_name(&record, text, force, &mut done)? {
                return Ok(done);
            }
            true
        };
        self.remove_image(&record.id, force, prune, quiet, &mut done)?;
        Ok(done)
    }

    /// Drops the name that `text` is. Returns whether no name is left.
    fn remove_name(
        &self,
        record: &ImageRecord,
        text: &str,
        force: bool,
        done: &mut Vec<Removed>,
    ) -> Result<bool> {
        if !force
            && is_single_reference(&record.names)
            && let Some(user) = self.users(&record.id)?.first()
        {
            return Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {text:?} (must force) - container {} is using its \
                 referenced image {}",
                user.short(),
                record.id.short()
            )));
        }
        let name = names::parse(text)?;
        let name = match name.digest() {
            Some(digest) => name.with_digest(digest.clone()),
            None => name.with_default_tag(),
        };
        self.untag(record, &name, done)?;
        let mut left: Vec<&ImageRef> = record.names.iter().filter(|other| **other != name).collect();
        let same_repository = |other: &ImageRef| other.repository() == name.repository();
        let tag_left = left.iter().any(|other| same_repository(other) && other.tag().is_some());
        if name.tag().is_some() && !tag_left {
            // The digests of a repository go with its last tag. Docker sends no event for them.
            let (gone, kept): (Vec<&ImageRef>, Vec<&ImageRef>) =
                left.into_iter().partition(|other| same_repository(other));
            for digest in gone {
                self.forget_name(digest)?;
                done.push(Removed::Untagged(digest.familiar()));
            }
            left = kept;
        }
        Ok(left.is_empty())
    }

    fn untag_all(&self, record: &ImageRecord, done: &mut Vec<Removed>) -> Result<()> {
        record.names.iter().try_for_each(|name| self.untag(record, name, done))
    }

    fn untag(&self, record: &ImageRecord, name: &ImageRef, done: &mut Vec<Removed>) -> Result<()> {
        self.forget_name(name)?;
        self.publish("untag", record.id.as_str(), record.id.as_str(), record);
        done.push(Removed::Untagged(name.familiar()));
        Ok(())
    }

    /// A name that is gone already is no error: two may remove it at once.
    fn forget_name(&self, name: &ImageRef) -> Result<()> {
        match self.store.images().untag(name) {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Drops the image with its remaining names; then, with `prune`, its parents. `quiet` forgives conflicts that an
    /// image not dangling, or one in use, has.
    fn remove_image(
        &self,
        id: &Digest,
        force: bool,
        prune: bool,
        quiet: bool,
        done: &mut Vec<Removed>,
    ) -> Result<()> {
        let (mut id, mut force, mut quiet) = (id.clone(), force, quiet);
        loop {
            let Some(record) = self.store.images().get(&id)? else { return Ok(()) };
            if let Some(conflict) = self.conflict(&record, Mask { names: !force, stopped: !force })? {
                let is_dangling = record.names.is_empty() && self.store.images().children(&id)?.is_empty();
                if quiet && (!is_dangling || conflict.used) {
                    return Ok(());
                }
                return Err(conflict.error);
            }
            self.untag_all(&record, done)?;
            if force {
                // What a stopped container needs of the image are its layers, and these stay while its own rests on them.
                for owner in self.store.images().holders(&id)? {
                    self.store.leases().remove_one(&owner, &Resource::Image(id.clone()))?;
                }
            }
            let gone = self.store.images().remove(&id)?;
            self.publish("delete", id.as_str(), id.as_str(), &record);
            done.push(Removed::Deleted(id.to_string()));
            done.extend(gone.layers.iter().map(|layer| Removed::Deleted(layer.to_string())));
            match record.parent {
                Some(parent) if prune => (id, force, quiet) = (parent, false, true),
                _ => return Ok(()),
            }
        }
    }

    fn conflict(&self, record: &ImageRecord, mask: Mask) -> Result<Option<Conflict>> {
        let conflict = |hard: bool, used: bool, why: String| {
            let how = if hard { "cannot be forced" } else { "must be forced" };
            let error =
                Error::conflict(format!("conflict: unable to delete {} ({how}) - {why}", record.id.short()));
            Ok(Some(Conflict { error, used }))
        };
        if !self.store.images().children(&record.id)?.is_empty() {
            return conflict(true, false, "image has dependent child images".to_owned());
        }
        let users = self.users(&record.id)?;
        if let Some(user) = users.first().filter(|user| user.running) {
            return conflict(
                true,
                true,
                format!("image is being used by running container {}", user.short()),
            );
        }
        if mask.names && !record.names.is_empty() {
            return conflict(false, false, "image is referenced in multiple repositories".to_owned());
        }
        if let Some(user) = users.first().filter(|_| mask.stopped) {
            return conflict(
                false,
                true,
                format!("image is being used by stopped container {}", user.short()),
            );
        }
        Ok(None)
    }
}

/// Whether the user gave the id or its beginning, with or without the algorithm.
fn is_id_prefix(id: &Digest, text: &str) -> bool {
    id.as_str().starts_with(text) || id.hex().starts_with(text)
}

/// Whether all names are in one repository, with at most one tag among them.
fn is_single_reference(names: &[ImageRef]) -> bool {
    let mut tags = names.iter().filter(|name| name.tag().is_some());
    let first = tags.next();
    if names.len() <= 1 || tags.next().is_some() {
        return names.len() == 1;
    }
    let repository = first.unwrap_or(&names[0]).repository();
    names.iter().all(|name| name.repository() == repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_reference_is_one_repository_with_at_most_one_tag() {
        let digest = |c: char| format!("@sha256:{}", c.to_string().repeat(64));
        let (a, b) = (digest('a'), digest('b'));
        for (names, want) in [
            (vec![], false),
            (vec!["x:1".to_owned()], true),
            (vec![format!("x{a}")], true),
            (vec!["x:1".to_owned(), "x:2".to_owned()], false),
            (vec!["x:1".to_owned(), format!("x{a}")], true),
            (vec!["x:1".to_owned(), format!("y{a}")], false),
            (vec![format!("x{a}"), format!("x{b}")], true),
            (vec![format!("x{a}"), format!("y{b}")], false),
        ] {
            let parsed: Vec<ImageRef> = names.iter().map(|name| name.parse().unwrap()).collect();
            assert_eq!(is_single_reference(&parsed), want, "{names:?}");
        }
    }
}
