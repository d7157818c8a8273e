//! Images of the store that were likely meant by a name that none has.

use dfbuild_dockerfile::suggest;
use dfbuild_image::Reference;
use dfbuild_store::Tag;

use crate::engine::Engine;
use crate::images::local::short_name;

impl Engine {
    /// The question whether another image was meant.
    pub(crate) fn close_image(&self, name: &str) -> Option<String> {
        let tags = self.store().tags().ok()?;
        close(name, &tags).map(|close| format!("did you mean {close}?"))
    }
}

/// Those with the same name and another tag, else one with nearly the same name.
fn close(name: &str, tags: &[Tag]) -> Option<String> {
    const MOST_SHOWN: usize = 3;
    let wanted: Reference = name.parse().ok()?;
    let same = tags.iter().filter(|tag| tag.reference.full_name() == wanted.full_name());
    let same: Vec<String> = same
        .map(|tag| short_name(&tag.reference))
        .filter(|it| it != name)
        .take(MOST_SHOWN)
        .collect();
    if !same.is_empty() {
        return Some(same.join(" or "));
    }
    let tags: Vec<&Tag> = tags.iter().filter(|tag| is_like(&wanted, &tag.reference)).collect();
    // Nobody types the tag that is there by default, and a wrong name may have a right tag.
    let shown = |reference: &Reference| {
        let name = short_name(reference);
        name.strip_suffix(":latest").unwrap_or(&name).to_owned()
    };
    let names: Vec<String> = tags.iter().map(|tag| shown(&tag.reference)).collect();
    let whole = suggest::closest(&shown(&wanted), names.iter().map(String::as_str));
    let repository = || {
        let names = tags.iter().map(|tag| tag.reference.familiar_name()).collect::<Vec<_>>();
        let close = suggest::closest(&wanted.familiar_name(), names.iter().map(String::as_str))?;
        let first = tags.iter().find(|tag| tag.reference.familiar_name() == close)?;
        Some(shown(&first.reference))
    };
    // With as many edits as letters every name is close.
    let is_long = wanted.familiar_name().len() > 2;
    whole.map(str::to_owned).or_else(repository).filter(|_| is_long)
}

/// Whether one may be a slip for the other: of names as short as `node` and `nope` one has all letters of the
/// other, or they are two words.
fn is_like(wanted: &Reference, other: &Reference) -> bool {
    const SHORT: usize = 4;
    let (wanted, other) = (wanted.familiar_name(), other.familiar_name());
    let within = |one: &str, other: &str| one.chars().all(|letter| other.contains(letter));
    wanted.len() > SHORT || within(&wanted, &other) || within(&other, &wanted)
}

#[cfg(test)]
mod tests {
    use dfbuild_image::{Digest, MediaType, descriptor};

    use super::*;

    #[test]
    fn what_was_meant() {
        let tag = |name: &str| Tag {
            reference: name.parse().unwrap(),
            descriptor: descriptor(MediaType::ImageManifest, Digest::of(name), 1),
            tagged: 0,
        };
        let tags =
            ["app:1.0", "app:2.0", "base", "node:20-alpine", "host.test/team/tool:3"].map(tag);
        for (name, expect) in [
            ("app", Some("app:1.0 or app:2.0")),
            ("app:2", Some("app:1.0 or app:2.0")),
            ("bas", Some("base")),
            ("bsae:1.2", Some("base")),
            ("host.test/team/tol:3", Some("host.test/team/tool:3")),
            ("nod", Some("node:20-alpine")),
            ("onde:20", Some("node:20-alpine")),
            ("nope", None),
            ("ab", None),
            ("nothing", None),
            ("No Name", None),
        ] {
            assert_eq!(close(name, &tags).as_deref(), expect, "{name}");
        }
    }
}
