//! What misses are told of, with commands that do nothing.

use std::fs;
use std::sync::Mutex;

use dfbuild_cache::{Change, Label, Reason};
use tempfile::TempDir;

use crate::testing::{FakeSandbox, MemoryRegistry};
use crate::{Build, BuildContext, Cancel, EarlyEnd, Engine, Error, Event, Explanation, Fate};

/// A context, and a store whose commands do nothing. `fail` fails.
struct Bed {
    folder: TempDir,
    engine: Engine,
}

impl Bed {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("context")).unwrap();
        let sandbox = FakeSandbox::new(|command| i32::from(command.line() == "fail"));
        let engine = Engine::open(folder.path().join("store")).unwrap();
        let engine = engine.with_sandbox(sandbox).with_registry(MemoryRegistry::new());
        Self { folder, engine }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("context").join(name), text).unwrap();
    }

    fn of(&self, text: &str) -> Build {
        let context = self.folder.path().join("context");
        Build::new(BuildContext::Directory(context)).dockerfile_text(text)
    }

    /// How many steps ran.
    fn build(&self, text: &str) -> Result<usize, Error> {
        let built = self.of(text).run(&self.engine, &|_: &Event| {}, &Cancel::new());
        built.map(|built| built.ran)
    }

    fn explain(&self, text: &str) -> Explanation {
        let loaded = self.of(text).load(&self.engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        loaded.explain(&|_: &Event| {}).unwrap()
    }

    /// Why the first step that is missed is.
    fn first(&self, text: &str) -> Vec<Reason> {
        let explanation = self.explain(text);
        let first = explanation.missed().next();
        first.map(|(_, reasons)| reasons.to_vec()).unwrap_or_default()
    }

    fn last(&self, text: &str) -> Explanation {
        let loaded = self.of(text).load(&self.engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        loaded.last_explanation().unwrap()
    }
}

fn variable(old: &str, new: &str) -> Reason {
    let declared = Some(crate::Declared { keyword: "ARG".into(), line: 2 });
    let (name, old, new) = ("V".into(), Some(old.into()), Some(new.into()));
    Reason::Variable { name, old, new, declared }
}

/// A result that came from the cache is what the next miss is compared with.
#[test]
fn the_last_build_counts_not_the_last_run() {
    let bed = Bed::new();
    let with = |value: &str| format!("FROM scratch\nARG V={value}\nRUN make\n");
    for (value, ran) in [("1", 1), ("2", 1), ("1", 0)] {
        assert_eq!(bed.build(&with(value)).unwrap(), ran, "{value}");
    }
    assert_eq!(bed.first(&with("3")), [variable("1", "3")]);
    // To explain is no build.
    assert_eq!(bed.first(&with("4")), [variable("1", "4")]);
    bed.build(&with("2")).unwrap();
    assert_eq!(bed.first(&with("4")), [variable("2", "4")]);
}

/// Nor does it matter that nobody asks for a stage whose files are all copied already.
#[test]
fn a_stage_that_nobody_asks_for_was_used() {
    let bed = Bed::new();
    let with = |value: &str| {
        format!("FROM scratch AS a\nARG V={value}\nRUN make\nFROM scratch\nCOPY --from=a / /\n")
    };
    for value in ["1", "2", "1"] {
        bed.build(&with(value)).unwrap();
    }
    assert_eq!(bed.first(&with("3")), [variable("1", "3")]);
}

/// A build that failed leaves what was used before it in place where it came to nothing itself.
#[test]
fn a_build_that_failed_was_no_use() {
    let bed = Bed::new();
    let with = |value: &str, command: &str| {
        format!("FROM scratch\nARG V={value}\nRUN {command}\nRUN make\n")
    };
    for value in ["1", "2", "1"] {
        bed.build(&with(value, "true")).unwrap();
    }
    bed.build(&with("1", "fail")).unwrap_err();
    bed.build(&with("1", "fail")).unwrap_err();
    assert_eq!(bed.first(&with("3", "true")), [variable("1", "3")]);
}

/// All files that changed since the last build are told of, also if another one is nearer.
#[test]
fn files_are_compared_with_the_last_build() {
    let bed = Bed::new();
    let text = "FROM scratch\nCOPY . /\n";
    let write = |a: &str, b: &str| {
        bed.write("a", a);
        bed.write("b", b);
    };
    for (a, b) in [("1", "1"), ("2", "1"), ("1", "1")] {
        write(a, b);
        bed.build(text).unwrap();
    }
    write("2", "2");
    let reasons = bed.first(text);
    let [Reason::Files { change, .. }] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert_eq!((change.differ, &*change.files[0].changes), (2, &[Change::Content][..]));
}

/// `COPY . .` is in most Dockerfiles.
#[test]
fn another_checkout_tells_more_than_another_project() {
    let bed = Bed::new();
    let text = "FROM scratch\nCOPY . /\nRUN x\n";
    for name in ["a", "b", "c"] {
        bed.write(name, name);
    }
    bed.build(text).unwrap();
    let first = |name: &str, files: &[(&str, &str)]| {
        let folder = bed.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
        let build = Build::new(BuildContext::Directory(folder)).dockerfile_text(text);
        let loaded = build.load(&bed.engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        let explanation = loaded.explain(&|_: &Event| {}).unwrap();
        explanation.missed().next().unwrap().1.to_vec()
    };
    let reasons = first("checkout", &[("a", "a"), ("b", "b"), ("c", "changed")]);
    let [Reason::Files { change, .. }] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert_eq!((change.differ, change.total), (1, 3));
    assert_eq!(first("project", &[("a", "a"), ("d", "d"), ("e", "e")]), [Reason::New]);
}

/// Modes of a context can be taken as git keeps them, those of a stage cannot.
#[test]
fn files_of_a_stage_are_in_no_context() {
    let bed = Bed::new();
    bed.write("a", "1");
    let with = |mode: &str| {
        format!(
            "FROM scratch AS made\nCOPY --chmod={mode} a /\nFROM scratch\nCOPY --from=made a /\nCOPY a /b\n"
        )
    };
    bed.build(&with("644")).unwrap();
    bed.write("a", "2");
    let found = Mutex::new(Vec::new());
    let observer = |event: &Event| {
        if let Event::Missed { reasons, .. } = event {
            found.lock().unwrap().extend(reasons.iter().filter_map(|reason| match reason {
                Reason::Files { change, .. } => {
                    Some((change.files[0].changes.len(), change.in_context))
                }
                _ => None,
            }));
        }
    };
    bed.of(&with("600")).run(&bed.engine, &observer, &Cancel::new()).unwrap();
    let mut found = found.into_inner().unwrap();
    found.sort_unstable();
    // Of the context its content; of the stage its mode too.
    assert_eq!(found, [(1, true), (1, true), (2, false)]);
}

#[test]
fn an_instruction_between_others_is_new() {
    let bed = Bed::new();
    bed.build("FROM scratch\nRUN one\nRUN two\nRUN three\n").unwrap();
    let text = "FROM scratch\nRUN one\nRUN other\nRUN two\nRUN three\n";
    assert_eq!(bed.first(text), [Reason::New]);
    let explanation = bed.explain(text);
    let [bust] = explanation.busts.as_slice() else { panic!("{explanation:?}") };
    assert_eq!((&bust.reason, bust.line, bust.steps), (&Reason::New, 3, 3));
    // One that was changed stands where it stood, and nothing else has become of it.
    let command = Reason::Command { old: "two".into(), new: "two more".into() };
    let changed = bed.first("FROM scratch\nRUN one\nRUN two more\nRUN three\n");
    let [Reason::Command { old, new }] = changed.as_slice() else { panic!("{changed:?}") };
    assert!(old.ends_with("two") && new.ends_with("two more"), "{command:?} {changed:?}");
    // So it is, however different, unless it is not alone there: then it is another one.
    let instead = |text: &str| bed.first(&format!("FROM scratch\nRUN one\n{text}RUN three\n"));
    assert!(matches!(instead("RUN other\n")[..], [Reason::Command { .. }]));
    assert_eq!(instead("RUN other\nRUN more\n"), [Reason::New]);
    // One that was changed below one that was removed is compared with what it was.
    bed.build("FROM scratch\nRUN one\nRUN x\nRUN y 1\nRUN three\n").unwrap();
    let reasons = instead("RUN y 2\n");
    let [Reason::Command { old, .. }, ..] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert!(old.ends_with("y 1"), "{old}");
    // What only is new makes nobody else run.
    let text = "FROM scratch\nRUN one\nRUN two\nRUN three\nRUN four\n";
    assert_eq!((bed.first(text), bed.explain(text).busts), (vec![Reason::New], vec![]));
}

#[test]
fn what_one_instruction_sets_is_one_cause() {
    let bed = Bed::new();
    bed.write("a", "a");
    let with = |folder: &str, user: &str| {
        format!(
            "FROM scratch\nWORKDIR {folder}\nCOPY a sub/\nRUN one\nWORKDIR src\nUSER {user}\nRUN two\n\
             RUN three\n"
        )
    };
    bed.build(&with("/x", "1")).unwrap();
    let causes = |text: &str| -> Vec<(usize, usize)> {
        bed.explain(text).busts.iter().map(|bust| (bust.line, bust.steps)).collect()
    };
    assert_eq!(causes(&with("/y", "1")), [(2, 6)]);
    assert_eq!(causes(&with("/x", "2")), [(7, 2)]);
    let explanation = bed.explain(&with("/y", "1"));
    let reason = &explanation.busts[0].reason;
    assert!(matches!(reason, Reason::Part { label: Label::WorkingDirectory, .. }), "{reason:?}");
}

#[test]
fn a_build_that_ended_early_says_so() {
    let bed = Bed::new();
    let text = "FROM scratch\nRUN one\nRUN fail\nRUN two\n";
    bed.build(text).unwrap_err();
    let last = bed.last(text);
    assert_eq!(last.end, Some(EarlyEnd::Failed));
    assert_eq!(last.steps[2].fate, Fate::NotReached);
    assert!(matches!(last.steps[1].fate, Fate::Missed { .. }), "{last:?}");
    let cancel = Cancel::new();
    let stop = |event: &Event| {
        if let Event::Started { .. } = event {
            cancel.cancel();
        }
    };
    let text = "FROM scratch\nRUN first\nRUN two\n";
    let error = bed.of(text).run(&bed.engine, &stop, &cancel).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(bed.last(text).end, Some(EarlyEnd::Cancelled));
    bed.build(text).unwrap();
    assert_eq!(bed.last(text).end, None);
}

#[test]
fn files_that_change_while_they_are_copied_are_named_from_their_context() {
    let bed = Bed::new();
    fs::create_dir(bed.folder.path().join("context/logs")).unwrap();
    let copy = |text: &str, name: &'static str| {
        bed.write("logs/grows", "a");
        bed.write("logs/stays", "a");
        let change = |event: &Event| {
            if let Event::Started { .. } = event {
                bed.write(name, "longer than before");
            }
        };
        let error = bed.of(text).run(&bed.engine, &change, &Cancel::new()).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains(".dockerignore")), "{error}");
        error.to_string()
    };
    for (text, name) in [
        ("FROM scratch\nCOPY . /c\n", "logs/grows"),
        ("FROM scratch\nCOPY logs/* /d/\n", "logs/grows"),
        ("FROM scratch\nCOPY . /e\n", "logs/comes"),
    ] {
        let message = copy(text, name);
        let expect = format!("while it was built: {name}; build again");
        assert!(message.contains(&expect), "{message}");
    }
}
