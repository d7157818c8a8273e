//! A list that is nearly always of one thing.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A list that keeps a single item in itself: most instructions that may have several sources, pairs or flags have one.
///
/// It is used as the slice that it is.
#[derive(Clone)]
pub struct List<T>(Items<T>);

#[derive(Clone)]
enum Items<T> {
    One(T),
    Several(Vec<T>),
}

/// How much room is made for the second item and those behind it.
const ROOM: usize = 4;

impl<T> List<T> {
    /// A list of nothing.
    pub const fn new() -> Self {
        Self(Items::Several(Vec::new()))
    }

    /// A list of one item.
    #[inline]
    pub const fn one(item: T) -> Self {
        Self(Items::One(item))
    }

    /// Appends an item.
    #[inline]
    pub fn push(&mut self, item: T) {
        match &mut self.0 {
            Items::Several(items) if items.is_empty() => self.0 = Items::One(item),
            Items::Several(items) => items.push(item),
            Items::One(_) => self.push_second(item),
        }
    }

    fn push_second(&mut self, item: T) {
        let mut items = Vec::with_capacity(ROOM);
        if let Items::One(first) = std::mem::replace(&mut self.0, Items::Several(Vec::new())) {
            items.push(first);
        }
        items.push(item);
        self.0 = Items::Several(items);
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Items::One(item) => std::slice::from_ref(item),
            Items::Several(items) => items,
        }
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Items::One(item) => std::slice::from_mut(item),
            Items::Several(items) => items,
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T> Extend<T> for List<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::new();
        list.extend(items);
        list
    }
}

impl<'l, T> IntoIterator for &'l List<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::List;

    #[test]
    fn items_keep_their_order() {
        for len in 0..9 {
            let expect: Vec<usize> = (0..len).collect();
            let mut list: List<usize> = expect.iter().copied().collect();
            assert_eq!(*list, expect);
            assert_eq!(list.clone(), list);
            assert_eq!(format!("{list:?}"), format!("{expect:?}"));
            assert_eq!((&list).into_iter().sum::<usize>(), expect.iter().sum());
            list.iter_mut().for_each(|it| *it += 1);
            assert_eq!(list.first().copied(), (len > 0).then_some(1));
        }
    }
}
