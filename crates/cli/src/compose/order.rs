use std::collections::{BTreeMap, BTreeSet};

/// Which services must be built before which.
pub(super) type Needs = BTreeMap<String, BTreeSet<String>>;

/// The services of a circle, if there is one: none of them could be built first.
pub(super) fn circle(needs: &Needs) -> Option<Vec<String>> {
    let mut left = needs.clone();
    loop {
        let ready: Vec<String> = left
            .iter()
            .filter(|(_, needed)| needed.iter().all(|name| !left.contains_key(name)))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            break;
        }
        left.retain(|name, _| !ready.contains(name));
    }
    // What is left is a circle, or waits for one: following any of it leads round.
    let mut path: Vec<String> = vec![left.keys().next()?.clone()];
    loop {
        let next = left[path.last()?].iter().find(|name| left.contains_key(*name))?.clone();
        if let Some(at) = path.iter().position(|name| *name == next) {
            path.drain(..at);
            path.push(next);
            return Some(path);
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles() {
        let needs = |pairs: &[(&str, &[&str])]| -> Needs {
            let pairs = pairs.iter();
            pairs
                .map(|(name, needed)| {
                    ((*name).to_owned(), needed.iter().map(|name| (*name).to_owned()).collect())
                })
                .collect()
        };
        assert_eq!(circle(&needs(&[("a", &["b", "gone"]), ("b", &[])])), None);
        let found = circle(&needs(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])])).unwrap();
        assert_eq!(found, ["b", "c", "b"]);
        assert_eq!(circle(&needs(&[("a", &["a"])])).unwrap(), ["a", "a"]);
    }
}
