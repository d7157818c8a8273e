//! Instructions after expansion.

use std::collections::BTreeMap;

use dfbuild_dockerfile::lint::{LintOptions, expanded};
use dfbuild_dockerfile::parse;

fn check(source: &str, arguments: &[(&str, &str)], expect: &[&str]) {
    let build_args: BTreeMap<String, String> =
        arguments.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let options = LintOptions { build_args, ..LintOptions::default() };
    let (instructions, error) = expanded(source, &parse(source), &options);
    assert_eq!(error, None, "{source}");
    let texts: Vec<_> = instructions.iter().map(|it| it.text.as_str()).collect();
    assert_eq!(texts, expect, "{source}");
}

#[test]
fn variables_have_values() {
    check(
        "ARG V=1\nFROM --platform=$BUILDPLATFORM a:$V AS b\nARG V\nARG W=$V-x\nENV A=\"$W y\" B=$A\nWORKDIR /$W\nRUN echo $W\n",
        &[("V", "2")],
        &[
            "ARG V=2",
            "FROM --platform=linux/amd64 a:2 AS b",
            "ARG V=2",
            "ARG W=2-x",
            "ENV A=\"2-x y\" B=\"\"",
            "WORKDIR /2-x",
            "RUN echo $W",
        ],
    );
}

#[test]
fn words_flags_and_bodies() {
    check(
        "FROM a\nENV P=80 D='/a b'\nEXPOSE $P/udp ${Q}\nCOPY --chown=$P --exclude=$P x \"$D\" /\nVOLUME $D\n\
         RUN --mount=type=cache,target=$D --network=none make\nCOPY <<E /\n$P ${Q} \\$P\nE\n",
        &[],
        &[
            "FROM a",
            "ENV P=80 D=\"/a b\"",
            "EXPOSE 80/udp",
            "COPY --chown=80 --exclude=$P [\"x\", \"/a b\", \"/\"]",
            "VOLUME [\"/a b\"]",
            "RUN --mount=type=cache,target=/a b --network=none make",
            "COPY <<'E' /\n80  $P\nE",
        ],
    );
}

#[test]
fn an_error_ends_the_list() {
    let source = "FROM a\nUSER b\nUSER ${c:?needed}\nUSER d\n";
    let (instructions, error) = expanded(source, &parse(source), &LintOptions::default());
    assert_eq!(instructions.len(), 2);
    assert!(error.unwrap().message.ends_with("c: needed"));
}
