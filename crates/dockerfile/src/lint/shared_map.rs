//! A map whose copies share what they have in common, so that a stage may begin with all that its base has at no cost.

use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

/// Values by name. Copying takes constant time, everything else grows with the logarithm of the size.
///
/// A treap: a search tree by name that is a heap by a number made from the name, which keeps it flat whatever the order of
/// insertion. Changing an entry copies the way to it.
#[derive(Clone, Debug)]
pub(super) struct SharedMap<V> {
    root: Link<V>,
    len: usize,
}

type Link<V> = Option<Rc<Entry<V>>>;

#[derive(Clone, Debug)]
struct Entry<V> {
    name: Rc<str>,
    value: V,
    priority: u64,
    left: Link<V>,
    right: Link<V>,
}

impl<V> Default for SharedMap<V> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

impl<V: Clone> SharedMap<V> {
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        let mut link = &self.root;
        while let Some(entry) = link {
            link = match name.cmp(&entry.name) {
                Ordering::Less => &entry.left,
                Ordering::Equal => return Some(&entry.value),
                Ordering::Greater => &entry.right,
            };
        }
        None
    }

    pub(super) fn insert(&mut self, name: &str, value: V) {
        if self.get(name).is_none() {
            self.len += 1;
        }
        self.root = Some(inserted(self.root.as_ref(), name, value));
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The names in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let mut open = Vec::new();
        let mut link = &self.root;
        std::iter::from_fn(move || {
            while let Some(entry) = link {
                open.push(entry);
                link = &entry.left;
            }
            let entry = open.pop()?;
            link = &entry.right;
            Some(&*entry.name)
        })
    }
}

fn inserted<V: Clone>(link: Option<&Rc<Entry<V>>>, name: &str, value: V) -> Rc<Entry<V>> {
    let Some(old) = link else {
        let priority = priority(name);
        return Rc::new(Entry { name: name.into(), value, priority, left: None, right: None });
    };
    let mut entry = Entry::clone(old);
    match name.cmp(&entry.name) {
        Ordering::Less => {
            let child = inserted(entry.left.as_ref(), name, value);
            if child.priority > entry.priority {
                entry.left.clone_from(&child.right);
                return Rc::new(Entry { right: Some(Rc::new(entry)), ..Entry::clone(&child) });
            }
            entry.left = Some(child);
        }
        Ordering::Equal => entry.value = value,
        Ordering::Greater => {
            let child = inserted(entry.right.as_ref(), name, value);
            if child.priority > entry.priority {
                entry.right.clone_from(&child.left);
                return Rc::new(Entry { left: Some(Rc::new(entry)), ..Entry::clone(&child) });
            }
            entry.right = Some(child);
        }
    }
    Rc::new(entry)
}

/// A number that has nothing to do with the order of names.
fn priority(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::SharedMap;

    #[test]
    fn copies_go_their_own_ways() {
        let mut first = SharedMap::default();
        for number in 0..1000 {
            first.insert(&format!("V{number:04}"), number);
        }
        let mut second = first.clone();
        second.insert("V0500", -1);
        second.insert("X", -2);
        assert_eq!((first.get("V0500"), first.get("X"), first.len()), (Some(&500), None, 1000));
        assert_eq!(
            (second.get("V0500"), second.get("X"), second.len()),
            (Some(&-1), Some(&-2), 1001)
        );
        let names: Vec<&str> = first.names().collect();
        assert!(names.is_sorted() && names.len() == 1000, "{names:?}");
    }

    #[test]
    fn order_of_insertion_does_not_make_it_deep() {
        fn depth(link: Option<&super::Entry<()>>) -> usize {
            link.map_or(0, |it| 1 + depth(it.left.as_deref()).max(depth(it.right.as_deref())))
        }
        let mut map = SharedMap::default();
        for number in 0..10_000 {
            map.insert(&format!("V{number:05}"), ());
        }
        let depth = depth(map.root.as_deref());
        assert!(depth < 64, "{depth}");
    }
}
