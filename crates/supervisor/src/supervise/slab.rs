//! Things with small stable numbers.

/// A table whose indexes stay valid until their thing is removed.
#[derive(Debug)]
pub(super) struct Slab<T>(Vec<Option<T>>);

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// The index that the next [`Slab::insert`] uses.
    pub(super) fn vacant(&self) -> usize {
        self.0.iter().position(Option::is_none).unwrap_or(self.0.len())
    }

    pub(super) fn insert(&mut self, thing: T) -> usize {
        let at = self.vacant();
        if at == self.0.len() {
            self.0.push(None);
        }
        self.0[at] = Some(thing);
        at
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<T> {
        self.0.get_mut(at)?.take()
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.0.get_mut(at)?.as_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().enumerate().filter_map(|(at, thing)| Some((at, thing.as_ref()?)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        self.0.iter_mut().enumerate().filter_map(|(at, thing)| Some((at, thing.as_mut()?)))
    }

    /// The indexes in use that satisfy a condition, for loops that change the table.
    pub(super) fn indexes(&self, wanted: impl Fn(&T) -> bool) -> Vec<usize> {
        self.iter().filter(|(_, thing)| wanted(thing)).map(|(at, _)| at).collect()
    }
}
