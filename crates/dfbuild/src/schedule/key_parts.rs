//! What the parts of keys are: the table that `docs/cache-key.md` is made from. Every part of every
//! key is looked up in it where checks are on, so what is not here cannot get into a key.

use dfbuild_cache::{Key, Label};

/// A part of a key.
#[derive(Debug)]
pub(super) struct KeyPart {
    /// The instructions whose keys have it.
    pub(super) instructions: &'static [&'static str],
    pub(super) label: Label,
    /// Its name; `*` where there is one for each of several.
    pub(super) name: &'static str,
    /// What it is, for the documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the documentation shows it"))]
    pub(super) what: &'static str,
}

const ALL: &[&str] = &["RUN", "COPY", "ADD", "WORKDIR"];
const COPIES: &[&str] = &["COPY", "ADD"];
const RUN: &[&str] = &["RUN"];
const ADD: &[&str] = &["ADD"];

const fn part(
    instructions: &'static [&'static str],
    label: Label,
    name: &'static str,
    what: &'static str,
) -> KeyPart {
    KeyPart { instructions, label, name, what }
}

/// All parts, in the order of the documentation.
pub(super) const PARTS: [KeyPart; 32] = [
    part(ALL, Label::Instruction, "*", "its name, and which kind of key this is"),
    part(
        ALL,
        Label::Parent,
        "",
        "what it is built upon: the files of all layers below, without times; not for a linked copy",
    ),
    part(RUN, Label::Argument, "*", "each word of the command, `SHELL` and heredocs included"),
    part(
        RUN,
        Label::Environment,
        "*",
        "each variable: `ENV`, `ARG` in force, those of the base; in order",
    ),
    part(
        RUN,
        Label::HiddenEnvironment,
        "*",
        "a variable whose name means a secret: a digest of its value",
    ),
    part(RUN, Label::Platform, "", "the platform"),
    part(RUN, Label::Flag, "network", "`--network` of the instruction and of the command line"),
    part(RUN, Label::Flag, "security", "`--security=insecure`"),
    part(RUN, Label::Flag, "shm-size", "`--shm-size`, if given"),
    part(RUN, Label::Flag, "ulimit *", "`--ulimit`, each"),
    part(RUN, Label::Flag, "hostname", "`BUILDKIT_SANDBOX_HOSTNAME`, if given"),
    part(RUN, Label::Flag, "ids", "whether owners are pretended, since there is a single user id"),
    part(RUN, Label::Host, "*", "the name of each `--add-host`"),
    part(RUN, Label::Inline, "*", "the text of a heredoc that is a script of its own"),
    part(
        RUN,
        Label::Mount,
        "*",
        "each `--mount`: type, target, source path, access, mode, owner, size; the id of a secret, an \
         agent or a cache that is not named after its target, or not shared",
    ),
    part(RUN, Label::SourceFiles, "*", "the files that a mount shows, as for a copy"),
    part(RUN, Label::From, "*", "the stage that a mount shows, as long as its files are not known"),
    part(&["RUN", "WORKDIR"], Label::WorkingDirectory, "", "the working directory"),
    part(&["RUN", "WORKDIR"], Label::User, "", "`USER`"),
    part(
        COPIES,
        Label::SourceFiles,
        "",
        "the files that the sources select after ignore rules and `--exclude`: names below the source, \
         types, modes, sizes, contents, link targets, devices, capabilities, and the owners of files of \
         images; of a file of the network its name and content, of a repository the commit",
    ),
    part(
        COPIES,
        Label::From,
        "",
        "the stage that is copied from, as long as its files are not known",
    ),
    part(
        COPIES,
        Label::Source,
        "",
        "the address of a source in the network; the path in such a stage",
    ),
    part(COPIES, Label::Destination, "", "the destination, absolute, after expansion"),
    part(COPIES, Label::Inline, "*", "the text of a heredoc, after expansion"),
    part(COPIES, Label::Flag, "chown", "`--chown`"),
    part(COPIES, Label::Flag, "chmod", "`--chmod`"),
    part(COPIES, Label::Flag, "link", "`--link`"),
    part(COPIES, Label::Flag, "parents", "`--parents`"),
    part(COPIES, Label::Flag, "exclude", "`--exclude`, each"),
    part(ADD, Label::Flag, "unpack", "`--unpack`"),
    part(ADD, Label::Flag, "keep-git-dir", "`--keep-git-dir`"),
    part(ADD, Label::Flag, "checksum", "`--checksum`"),
];

/// The entry of the table for a part of a key.
fn entry(instruction: &str, label: Label, name: &str) -> Option<usize> {
    let fits = |part: &KeyPart| {
        let named = match part.name.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => part.name == name,
        };
        part.label == label && part.instructions.contains(&instruction) && named
    };
    PARTS.iter().position(fits)
}

/// The entries of the table for all parts of a key; `None` where one is not listed.
pub(super) fn entries(key: &Key) -> impl Iterator<Item = Option<usize>> {
    let instruction = key.parts().first().map_or("", |part| part.value.as_str());
    key.parts().iter().map(move |part| entry(instruction, part.label, &part.name))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use dfbuild_dockerfile::parse;
    use dfbuild_image::{Digest, Platform};
    use dfbuild_plan::{Input, NamedContext, Outcome, TreeSource, plan};

    use super::*;
    use crate::build::Build;
    use crate::options::Ulimit;
    use crate::schedule::keys::{KeyInput, SourceId, step_key};

    /// Whose keys have every part there is.
    const DOCKERFILE: &str = "\
FROM scratch AS other
COPY a /
FROM scratch
ARG A=1
ARG API_TOKEN=x
WORKDIR /w
USER ann
COPY --chown=a --chmod=600 --parents --exclude=x a b /c/
COPY --link a /
COPY --from=other a /
COPY <<EOF /x
text
EOF
ADD --unpack=true --checksum=sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73 https://host/x /
ADD --keep-git-dir=true https://host/b.git /g
RUN --network=none --security=insecure --mount=type=bind,target=/m,source=x \
 --mount=type=bind,from=other,target=/o --mount=type=cache,target=/c,id=q --mount=type=secret,id=s \
 --mount=type=tmpfs,target=/t make
RUN <<EOF
#!/bin/sh
EOF
";

    /// Each entry of the table that some key of the Dockerfile has.
    fn used() -> BTreeSet<usize> {
        let parsed = parse(DOCKERFILE);
        let input = Input {
            named_contexts: BTreeMap::<String, NamedContext>::new(),
            ..Input::new(&parsed.dockerfile)
        };
        let graph = match plan(&input) {
            Ok(Outcome::Ready(graph)) => graph,
            other => panic!("{other:?}"),
        };
        let ulimit = Ulimit { name: "nofile".to_owned(), soft: 1, hard: 2 };
        let build = Build::new(".")
            .shm_size(1)
            .ulimit(ulimit)
            .add_host("db", "10.0.0.1")
            .build_arg("BUILDKIT_SANDBOX_HOSTNAME", "host");
        let digest = Digest::of("files");
        let mut used = BTreeSet::new();
        for step in graph.stages.iter().flat_map(|stage| &stage.steps) {
            for by_definition in [true, false] {
                let sources = step.sources().into_iter().map(|source| match source {
                    TreeSource::Stage(_) if by_definition => SourceId::Definition(digest),
                    _ => SourceId::Files(digest),
                });
                let sources: Vec<SourceId> = sources.collect();
                let key = step_key(
                    step,
                    &KeyInput {
                        by_definition,
                        parent: digest,
                        sources: &sources,
                        platform: &Platform::host(),
                        build: &build,
                        single_id: true,
                    },
                );
                for (part, entry) in key.parts().iter().zip(entries(&key)) {
                    used.insert(entry.unwrap_or_else(|| panic!("{part:?} is not in the table")));
                }
            }
        }
        used
    }

    #[test]
    fn every_entry_is_a_part_of_some_key() {
        let used = used();
        for (number, part) in PARTS.iter().enumerate() {
            assert!(used.contains(&number), "{part:?}");
        }
    }

    const INTRODUCTION: &str = "\
# What is in a cache key

This page is made from the code. A test fails where it is stale; `DFBUILD_UPDATE_DOCS=1 cargo test -p dfbuild --lib
key_parts` writes it anew.

A step comes from the cache if there is a record under its key. The key is the SHA-256 of a list of labelled parts, each
framed by its length. There are three kinds of identity in it:

- *definition*: how something is made, whatever comes out of it. Such keys need no results; a record that is found by one
  counts only if it was made on the same files, and nothing that the step was built from runs in this build.
- *content*: the files that a step is built upon, without their times. A step that was made anew to the same files does not
  disturb the steps after it.
- *selected content*: just the files that a `COPY` or a mount shows. `COPY --from=build /app /app` is cached when `build`
  was made anew to the same `/app`.

";

    /// What people could think is in a key.
    const NOT_IN_KEYS: [(&str, &str); 4] = [
        (
            "RUN",
            "values of secrets and agents, what is in a cache mount, proxy arguments that are not \
             declared, addresses of `--add-host`, `/etc/resolv.conf`, the time",
        ),
        (
            "COPY",
            "times of files, owners of files of the context, the name of a folder whose content is \
             copied, variables that it does not name, files that no source selects",
        ),
        ("ADD", "the same as for `COPY`; times that a server tells, credentials"),
        ("WORKDIR", "variables, once the path is expanded"),
    ];

    fn page() -> String {
        let mut text = INTRODUCTION.to_owned();
        for (instruction, left_out) in NOT_IN_KEYS {
            text.push_str(&format!("## {instruction}\n\n| part | what it is |\n|---|---|\n"));
            for part in PARTS.iter().filter(|part| part.instructions.contains(&instruction)) {
                let label = serde_json::to_value(part.label).unwrap();
                let label = label.as_str().unwrap().replace('_', " ");
                let name = match part.name {
                    "" | "*" => String::new(),
                    name => format!(" `{}`", name.trim_end_matches(" *")),
                };
                text.push_str(&format!("| {label}{name} | {} |\n", part.what));
            }
            text.push_str(&format!("\nNot in it: {left_out}.\n\n"));
        }
        text.push_str(
            "## What is never in a key\n\nThe text of an instruction beyond what it comes to (comments, \
             white space, line numbers), names of stages, `LABEL`, `CMD`, `ENTRYPOINT`, `EXPOSE`, `VOLUME` and \
             their like, tags, `SOURCE_DATE_EPOCH`, the way the image is written, the number of jobs, the \
             place of the context and of the store.\n",
        );
        text
    }

    #[test]
    fn the_documentation_is_of_this_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cache-key.md");
        let page = page();
        if std::env::var_os("DFBUILD_UPDATE_DOCS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            known == page,
            "docs/cache-key.md is stale: DFBUILD_UPDATE_DOCS=1 cargo test -p dfbuild --lib key_parts"
        );
    }
}
