use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::change::FilesChange;
use crate::key::{Key, Label, Part};
use crate::note::{BaseNote, Note};
use crate::reason::Reason;

/// A step that is not in the cache, to be compared with earlier runs of it.
pub struct Missed<'a> {
    /// Its key by content, as far as it is known.
    pub key: &'a Key,
    /// What its stage begins with.
    pub base: &'a BaseNote,
    /// The text of the step before it; empty for the first of a stage.
    pub after: &'a str,
    /// The line of the nearest step below that runs: what that makes is not known, or new.
    pub below: Option<usize>,
    /// The stages that it reads from and that run, with what their parts are called in the key:
    /// what they make is not known.
    pub stages: &'a [(String, String)],
    /// How the files of two parts differ.
    pub files: &'a dyn Fn(&Part, &Part) -> FilesChange,
}

impl std::fmt::Debug for Missed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Missed").field("key", self.key).finish_non_exhaustive()
    }
}

/// An earlier run of a step.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// What it depended on.
    pub note: Note,
    /// Its place among those whose results were used last, 0 for the last one; `None` if it is none
    /// of these.
    pub used: Option<usize>,
}

/// The earlier run that `missed` is nearest to, and everything that differs from it. Of runs as
/// near as each other the one used last counts, else the youngest; how many files differ takes away
/// nothing from those used last. `None` if there is none of the same instruction.
pub fn nearest<'n>(
    missed: &Missed<'_>,
    runs: impl IntoIterator<Item = &'n Earlier>,
) -> Option<(&'n Note, Vec<Reason>)> {
    let is_same = |run: &&Earlier| instruction(&run.note.key) == instruction(missed.key);
    let compared = runs.into_iter().filter(is_same).map(|run| (run, reasons(missed, &run.note)));
    let nearest = compared.min_by_key(|(run, reasons)| {
        let apart = reasons.iter().map(|reason| match run.used {
            Some(_) => reason.distance(),
            None => reason.distance() + reason.files_apart(),
        });
        let youngest = Reverse(run.note.created.seconds());
        (apart.sum::<u64>(), run.used.unwrap_or(usize::MAX), youngest)
    });
    nearest.map(|(run, reasons)| (&run.note, reasons))
}

fn instruction(key: &Key) -> Option<&str> {
    key.parts().iter().find(|part| part.label == Label::Instruction).map(|part| &*part.value)
}

/// All that differs between a step and an earlier run of it.
fn reasons(missed: &Missed<'_>, note: &Note) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let names: Vec<&str> = missed.stages.iter().map(|(_, part)| part.as_str()).collect();
    // What is not known cannot be compared.
    let known = |part: &&Part| match part.label {
        Label::Instruction | Label::Parent | Label::From => false,
        Label::SourceFiles => !names.contains(&part.name.as_str()),
        _ => true,
    };
    let (old, new) = (parts(&note.key, known), parts(missed.key, known));
    command(&old, &new, &mut reasons);
    let mut before = grouped(&old);
    let mut order: Option<Label> = None;
    for ((label, name), now) in grouped(&new) {
        let then = before.remove(&(label, name)).unwrap_or_default();
        match part_reason(missed, label, name, &then, &now) {
            Some(reason) => reasons.push(reason),
            None if values(&then) != values(&now) => order = Some(label),
            None => {}
        }
    }
    for ((label, name), then) in before {
        reasons.extend(part_reason(missed, label, name, &then, &[]));
    }
    if reasons.is_empty() {
        let sequence = |parts: &[&Part]| -> Vec<(Label, String)> {
            parts.iter().map(|part| (part.label, part.name.clone())).collect()
        };
        let (then, now) = (sequence(&old), sequence(&new));
        let differs = then.iter().zip(&now).find(|(then, now)| then != now);
        let label = order.or(differs.map(|(_, (label, _))| *label));
        reasons.extend(label.map(|label| Reason::Order { label }));
    }
    reasons.extend(missed.stages.iter().map(|(name, _)| Reason::Stage { name: name.clone() }));
    reasons.extend(below(missed, note));
    reasons
}

/// Why a step is built upon something else.
fn below(missed: &Missed<'_>, note: &Note) -> Option<Reason> {
    let parent = |key: &Key| {
        let mut parts = key.parts().iter();
        parts.find(|part| part.label == Label::Parent).map(|part| part.value.clone())
    };
    let new = parent(missed.key)?;
    if let Some(line) = missed.below {
        return Some(Reason::Below { line });
    }
    if parent(&note.key).is_none_or(|old| old == new) {
        return None;
    }
    if note.after != missed.after {
        return Some(Reason::After { old: note.after.clone(), new: missed.after.to_owned() });
    }
    let (old, new) = (&note.base, missed.base);
    Some(if old == new {
        Reason::OtherBelow
    } else {
        Reason::Base {
            old_name: old.name.clone(),
            old: old.digest,
            new_name: new.name.clone(),
            new: new.digest,
        }
    })
}

fn parts<'k>(key: &'k Key, known: impl Fn(&&'k Part) -> bool) -> Vec<&'k Part> {
    key.parts().iter().filter(known).collect()
}

/// The words of a command are one thing.
fn command(old: &[&Part], new: &[&Part], reasons: &mut Vec<Reason>) {
    let words = |parts: &[&Part]| -> Vec<String> {
        let words = parts.iter().filter(|part| part.label == Label::Argument);
        words.map(|part| part.value.clone()).collect()
    };
    let (old, new) = (words(old), words(new));
    if old == new {
        return;
    }
    reasons.push(match (old.split_last(), new.split_last()) {
        (Some((old, before)), Some((new, now))) if before == now => {
            Reason::Command { old: old.clone(), new: new.clone() }
        }
        (Some((old, before)), Some((new, now))) if old == new => {
            Reason::Shell { old: before.join(" "), new: now.join(" ") }
        }
        _ => Reason::Command { old: old.join(" "), new: new.join(" ") },
    });
}

type Groups<'a> = BTreeMap<(Label, &'a str), Vec<&'a Part>>;

fn grouped<'a>(parts: &[&'a Part]) -> Groups<'a> {
    let mut groups = Groups::new();
    for part in parts.iter().filter(|part| part.label != Label::Argument) {
        // A variable may begin or cease to look like a secret.
        let label = match part.label {
            Label::HiddenEnvironment => Label::Environment,
            label => label,
        };
        groups.entry((label, part.name.as_str())).or_default().push(part);
    }
    groups
}

fn values<'a>(parts: &[&'a Part]) -> Vec<&'a str> {
    parts.iter().map(|part| part.value.as_str()).collect()
}

/// The reason that parts of one name are, if their values differ.
fn part_reason(
    missed: &Missed<'_>,
    label: Label,
    name: &str,
    old: &[&Part],
    new: &[&Part],
) -> Option<Reason> {
    // What both have is not told.
    let mut then = old.to_vec();
    let mut now = new.to_vec();
    now.retain(|part| {
        let same = then.iter().position(|other| other == part);
        same.map(|at| then.remove(at)).is_none()
    });
    if then.is_empty() && now.is_empty() {
        return None;
    }
    match label {
        Label::SourceFiles => {
            let change = match (then.first(), now.first()) {
                (Some(then), Some(now)) => (missed.files)(then, now),
                _ => FilesChange::default(),
            };
            let mount = (!name.is_empty()).then(|| name.to_owned());
            Some(Reason::Files { mount, change })
        }
        Label::Environment => Some(Reason::Variable {
            name: name.to_owned(),
            old: then.first().map(|part| shown(part)),
            new: now.first().map(|part| shown(part)),
            declared: None,
        }),
        _ => {
            let [then, now] = match label {
                Label::Mount => mount_values(name, &then, &now),
                _ => {
                    [then, now].map(|parts| values(&parts).into_iter().map(str::to_owned).collect())
                }
            };
            let text =
                |values: Vec<String>, all: &[&Part]| (!all.is_empty()).then(|| values.join(", "));
            let (old, new) = (text(then, old), text(now, new));
            Some(Reason::Part { label, name: name.to_owned(), old, new })
        }
    }
}

/// What differs between two mounts of a target, in the words of a Dockerfile.
fn mount_values(target: &str, then: &[&Part], now: &[&Part]) -> [Vec<String>; 2] {
    // Without a mode its place is empty.
    let word = |value: &str| value.strip_prefix("mode  ").unwrap_or(value).to_owned();
    let mut both = [then, now].map(|parts| values(parts).into_iter().map(word).collect::<Vec<_>>());
    if both.iter().flatten().any(|value| value == "cache") {
        return both;
    }
    // A cache that is shared and called after its target has no id in its key.
    let id = |side: usize| both[side].iter().position(|value| value.starts_with("id "));
    let (side, at) = match (id(0), id(1)) {
        (Some(at), None) => (0, at),
        (None, Some(at)) => (1, at),
        _ => return both,
    };
    let usual = format!("id {target}");
    if both[side][at] == usual {
        "sharing=locked or private".clone_into(&mut both[side][at]);
        both[1 - side].push("sharing=shared".to_owned());
    } else {
        both[1 - side].push(usual);
    }
    both
}

fn shown(part: &Part) -> String {
    match part.label {
        Label::HiddenEnvironment => "***".to_owned(),
        _ => part.value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use dfbuild_image::{Digest, Timestamp};

    use super::*;

    fn key(parts: &[(Label, &str, &str)]) -> Key {
        let mut key = Key::new();
        key.text(Label::Instruction, "content", "RUN");
        for (label, name, value) in parts {
            key.text(*label, *name, *value);
        }
        key
    }

    fn note(parts: &[(Label, &str, &str)]) -> Note {
        Note {
            key: key(parts),
            base: BaseNote { name: "base".into(), digest: Digest::of("1") },
            after: String::new(),
            created: Timestamp::NO_CLOCK,
            milliseconds: 1,
        }
    }

    fn check(old: &[(Label, &str, &str)], new: &[(Label, &str, &str)], expect: &[Reason]) {
        let note = note(old);
        let base = BaseNote { name: "base".into(), digest: Digest::of("2") };
        let missed = Missed {
            key: &key(new),
            base: &base,
            after: "",
            below: None,
            stages: &[],
            files: &|_, _| FilesChange { differ: 1, total: 2, ..FilesChange::default() },
        };
        let (_, reasons) = nearest(&missed, [&Earlier { note, used: None }]).unwrap();
        assert_eq!(reasons, expect, "{old:?} {new:?}");
    }

    use Label::{
        Argument as A, Environment as E, Flag as F, HiddenEnvironment as H, Mount as M,
        Parent as P, SourceFiles as S,
    };

    fn variable(name: &str, old: Option<&str>, new: Option<&str>) -> Reason {
        let text = |value: Option<&str>| value.map(ToOwned::to_owned);
        Reason::Variable { name: name.into(), old: text(old), new: text(new), declared: None }
    }

    fn part(label: Label, name: &str, old: Option<&str>, new: Option<&str>) -> Reason {
        let text = |value: Option<&str>| value.map(ToOwned::to_owned);
        Reason::Part { label, name: name.into(), old: text(old), new: text(new) }
    }

    #[test]
    fn each_part_has_its_reason() {
        check(&[(E, "A", "1")], &[(E, "A", "2")], &[variable("A", Some("1"), Some("2"))]);
        check(&[(E, "A", "1")], &[], &[variable("A", Some("1"), None)]);
        check(&[], &[(H, "T", "x")], &[variable("T", None, Some("***"))]);
        check(
            &[(E, "A", "1"), (E, "B", "1")],
            &[(E, "B", "1"), (E, "A", "1")],
            &[Reason::Order { label: E }],
        );
        let (old, new) = ("a".to_owned(), "b".to_owned());
        check(
            &[(A, "0", "sh"), (A, "1", "a")],
            &[(A, "0", "sh"), (A, "1", "b")],
            &[Reason::Command { old: old.clone(), new: new.clone() }],
        );
        check(
            &[(A, "0", "a"), (A, "1", "x")],
            &[(A, "0", "b"), (A, "1", "x")],
            &[Reason::Shell { old, new }],
        );
        check(
            &[(M, "/m", "bind"), (M, "/m", "ro")],
            &[(M, "/m", "bind"), (M, "/m", "rw")],
            &[part(M, "/m", Some("ro"), Some("rw"))],
        );
        let (shared, locked) = (Some("sharing=shared"), Some("sharing=locked or private"));
        check(
            &[(M, "/c", "cache")],
            &[(M, "/c", "cache"), (M, "/c", "id /c")],
            &[part(M, "/c", shared, locked)],
        );
        check(
            &[(M, "/c", "cache"), (M, "/c", "id q")],
            &[(M, "/c", "cache")],
            &[part(M, "/c", Some("id q"), Some("id /c"))],
        );
        check(
            &[(M, "/c", "mode  owner 0:0")],
            &[(M, "/c", "mode 700 owner 5:0")],
            &[part(M, "/c", Some("owner 0:0"), Some("mode 700 owner 5:0"))],
        );
        check(&[], &[(F, "network", "none")], &[part(F, "network", None, Some("none"))]);
        check(
            &[(F, "exclude", "a"), (F, "exclude", "b")],
            &[(F, "exclude", "b"), (F, "exclude", "a")],
            &[Reason::Order { label: F }],
        );
        let change = FilesChange { differ: 1, total: 2, ..FilesChange::default() };
        let mount = Some("/m".to_owned());
        check(&[(S, "/m", "a")], &[(S, "/m", "b")], &[Reason::Files { mount, change }]);
        check(
            &[(P, "", "x")],
            &[(P, "", "y")],
            &[Reason::Base {
                old_name: "base".into(),
                old: Digest::of("1"),
                new_name: "base".into(),
                new: Digest::of("2"),
            }],
        );
        check(&[(P, "", "x")], &[(P, "", "x")], &[]);
    }

    #[test]
    fn the_nearest_run_counts() {
        let far = note(&[(E, "A", "1"), (E, "B", "1")]);
        let near = note(&[(E, "A", "2"), (E, "B", "1")]);
        let base = far.base.clone();
        let missed = Missed {
            key: &key(&[(E, "A", "2"), (E, "B", "2")]),
            base: &base,
            after: "",
            below: Some(4),
            stages: &[],
            files: &|_, _| FilesChange::default(),
        };
        let [far, near] = [far, near].map(|note| Earlier { note, used: None });
        let (found, reasons) = nearest(&missed, [&far, &near]).unwrap();
        assert_eq!(found, &near.note);
        assert_eq!(reasons, [variable("B", Some("1"), Some("2"))]);
        let mut other = near.clone();
        other.note.key = Key::new();
        assert!(nearest(&missed, [&other]).is_none());
    }

    #[test]
    fn of_runs_as_near_the_one_used_last_counts() {
        let run = |files: &str, variable: &str, seconds, used| {
            let mut note = note(&[(S, "", files), (E, "A", variable)]);
            note.created = Timestamp::from_seconds(seconds);
            Earlier { note, used }
        };
        let base = BaseNote { name: "base".into(), digest: Digest::of("1") };
        let check = |runs: &[Earlier], expect: usize| {
            let missed = Missed {
                key: &key(&[(S, "", "3"), (E, "A", "1")]),
                base: &base,
                after: "",
                below: None,
                stages: &[],
                files: &|old, _| FilesChange {
                    differ: old.value.parse().unwrap(),
                    total: 9,
                    ..FilesChange::default()
                },
            };
            let (found, _) = nearest(&missed, runs).unwrap();
            assert_eq!(found, &runs[expect].note, "{runs:?}");
        };
        // The youngest, if nothing else is known; else the one used last, and then the one before.
        check(&[run("1", "1", 2, None), run("1", "1", 1, None)], 0);
        check(&[run("1", "1", 2, None), run("1", "1", 1, Some(3))], 1);
        check(&[run("1", "1", 2, Some(3)), run("1", "1", 1, Some(0))], 1);
        // However many files differ from it.
        check(&[run("1", "1", 2, None), run("9", "1", 1, Some(0))], 1);
        check(&[run("1", "1", 2, None), run("9", "1", 3, None)], 0);
        // But not if something else differs as well: two variants of a build may take turns.
        check(&[run("1", "1", 1, None), run("1", "2", 2, Some(0))], 0);
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        let old = note(&[(P, "", "x"), (S, "", "a")]);
        let base = old.base.clone();
        let missed = Missed {
            key: &key(&[(P, "", "y"), (Label::From, "", "b")]),
            base: &base,
            after: "",
            below: Some(4),
            stages: &[("build".into(), String::new())],
            files: &|_, _| FilesChange::default(),
        };
        let (_, reasons) = nearest(&missed, [&Earlier { note: old, used: None }]).unwrap();
        assert_eq!(reasons, [Reason::Stage { name: "build".into() }, Reason::Below { line: 4 }]);
        assert!(reasons.iter().all(Reason::is_dragged));
    }
}
