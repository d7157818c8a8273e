//! Plans as text: a Dockerfile in, its stages, steps, history and configuration out.

use std::collections::BTreeMap;

use dfbuild_dockerfile::parse;
use dfbuild_image::{Digest, ImageConfig, Platform};
use dfbuild_plan::{
    Base, BaseImage, BaseRequest, Graph, Input, NamedContext, Outcome, StageId, StepKind,
    TreeSource, plan,
};

fn platform() -> Platform {
    Platform::normalised("linux", "amd64", "")
}

/// A base image with this configuration, `ENV` and `ONBUILD` as JSON lists.
fn base(env: &str, on_build: &str) -> BaseImage {
    let json = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},
            "config":{{"Env":{env},"OnBuild":{on_build},"Cmd":["sh"]}}}}"#
    );
    let config: ImageConfig = serde_json::from_str(&json).expect("a good configuration");
    BaseImage { config, digest: Digest::of(json) }
}

struct Case {
    text: String,
    bases: BTreeMap<BaseRequest, BaseImage>,
    args: BTreeMap<String, String>,
    named: BTreeMap<String, NamedContext>,
    target: Option<String>,
    platform: Platform,
}

fn case(text: &str) -> Case {
    let busybox = BaseRequest { name: "busybox".to_owned(), platform: platform() };
    Case {
        text: text.to_owned(),
        bases: [(busybox, base(r#"["PATH=/bin"]"#, "[]"))].into(),
        args: BTreeMap::new(),
        named: BTreeMap::new(),
        target: None,
        platform: platform(),
    }
}

impl Case {
    fn arg(mut self, name: &str, value: &str) -> Self {
        self.args.insert(name.to_owned(), value.to_owned());
        self
    }

    fn target(mut self, name: &str) -> Self {
        self.target = Some(name.to_owned());
        self
    }

    fn outcome(&self) -> Result<Outcome, Vec<String>> {
        let parsed = parse(&self.text);
        assert!(parsed.diagnostics.iter().all(|d| !d.is_error()), "{:?}", parsed.diagnostics);
        let input = Input {
            target: self.target.clone(),
            build_args: self.args.clone(),
            named_contexts: self.named.clone(),
            platform: self.platform.clone(),
            build_platform: platform(),
            bases: self.bases.clone(),
            ..Input::new(&parsed.dockerfile)
        };
        plan(&input)
            .map_err(|problems| problems.iter().map(dfbuild_dockerfile::Diagnostic::text).collect())
    }

    fn graph(&self) -> Graph {
        match self.outcome() {
            Ok(Outcome::Ready(graph)) => graph,
            other => panic!("{other:?}"),
        }
    }

    fn history(&self) -> Vec<String> {
        self.graph().target().history.iter().map(|line| line.created_by.clone()).collect()
    }

    fn errors(&self) -> Vec<String> {
        self.outcome().expect_err("the plan has errors")
    }
}

#[test]
fn history_is_buildkits() {
    let text = r#"FROM busybox
ARG A=1 B
ENV X=$A Y="a b"
RUN echo $X
RUN ["echo", "x"]
COPY --chown=1:2 --chmod=755 a b /d/
ADD c .
WORKDIR /w
USER app
EXPOSE 80 53/udp
VOLUME /v ["/x"]
CMD echo "hi"
ENTRYPOINT ["a","b"]
HEALTHCHECK --interval=90s CMD true
STOPSIGNAL SIGTERM
LABEL k=v
SHELL ["/bin/bash","-c"]
RUN true
MAINTAINER me
"#;
    assert_eq!(
        case(text).history(),
        [
            "ARG A=1 B",
            "ENV X=1 Y=a b",
            "RUN |2 A=1 B= /bin/sh -c echo $X # buildkit",
            "RUN |2 A=1 B= echo x # buildkit",
            "COPY --chown=1:2 --chmod=755 a b /d/ # buildkit",
            "ADD c . # buildkit",
            "WORKDIR /w",
            "USER app",
            "EXPOSE [53/udp 80/tcp]",
            "VOLUME [/v [/x]]",
            r#"CMD ["/bin/sh" "-c" "echo \"hi\""]"#,
            r#"ENTRYPOINT ["a" "b"]"#,
            "HEALTHCHECK {Test:[CMD-SHELL true] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}",
            "STOPSIGNAL SIGTERM",
            "LABEL k=v",
            "SHELL [/bin/bash -c]",
            "RUN |2 A=1 B= /bin/bash -c true # buildkit",
            "MAINTAINER me",
        ]
    );
}

#[test]
fn argument_after_environment_wins_for_commands_only() {
    let graph = case("FROM busybox\nENV A=env\nARG A=arg\nENV B=$A\nRUN x\n").graph();
    let StepKind::Run(run) = &graph.target().steps[0].kind else { panic!() };
    assert!(run.env.contains(&("A".into(), "arg".into())), "{:?}", run.env);
    assert_eq!(graph.target().config.config.env, ["PATH=/bin", "A=env", "B=arg"]);
}

#[test]
fn arguments_without_a_value_take_the_global_one() {
    let text = "ARG V=1\nARG W=2\nFROM busybox\nARG V\nARG W=own\nARG N\nRUN x\n";
    assert_eq!(
        case(text).history(),
        ["ARG V=1", "ARG W=own", "ARG N", "RUN |3 V=1 W=own N= /bin/sh -c x # buildkit"]
    );
    let given = case(text).arg("V", "9").arg("W", "8").arg("N", "7").history();
    assert_eq!(given[3], "RUN |3 V=9 W=8 N=7 /bin/sh -c x # buildkit");
}

#[test]
fn only_what_the_target_needs_is_planned() {
    let text = "FROM busybox AS a\nRUN a\nFROM busybox AS unused\nRUN b\nFROM scratch AS c\nCOPY --from=a /x /\n";
    let graph = case(text).graph();
    let titles: Vec<String> = graph.stages.iter().map(dfbuild_plan::Stage::title).collect();
    assert_eq!(titles, ["a", "c"]);
    assert_eq!(case(text).target("unused").graph().stages.len(), 1);
    // A stage whose base cannot be had does not matter as long as nobody needs it.
    let text = "FROM missing AS a\nFROM busybox\nRUN true\n";
    assert_eq!(case(text).graph().stages.len(), 1);
}

#[test]
fn images_are_asked_for_together() {
    let text = "FROM one AS a\nRUN --mount=from=three x\nFROM two\nCOPY --from=a / /\nCOPY --from=four / /\n";
    let Ok(Outcome::Need(needed)) = case(text).outcome() else { panic!() };
    let names: Vec<&str> = needed.keys().map(|request| request.name.as_str()).collect();
    assert!(text[needed.values().next().unwrap().span.start..].starts_with("four"));
    assert_eq!(names, ["four", "one", "three", "two"]);
}

#[test]
fn who_fetches_images_knows_in_which_commands_run() {
    let text = "FROM one AS a\nENV x=y\nFROM A AS b\nRUN x\nFROM two\nCOPY --from=b / /\n\
        RUN --mount=from=three x\nFROM four\nCOPY --from=2 / /\n";
    let Ok(Outcome::Need(needed)) = case(text).outcome() else { panic!() };
    let runs = needed.iter().map(|(request, need)| (request.name.as_str(), need.runs));
    let expected = [("four", false), ("one", true), ("three", false), ("two", true)];
    assert_eq!(runs.collect::<Vec<_>>(), expected);
}

#[test]
fn triggers_run_after_from_and_no_further() {
    let mut case = case("FROM trigger AS a\nRUN own\nFROM a\nRUN child\n");
    let request = BaseRequest { name: "trigger".to_owned(), platform: platform() };
    case.bases.insert(request, base("[]", r#"["RUN first","COPY x /"]"#));
    let graph = case.graph();
    let texts: Vec<&str> = graph.stages[0].steps.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(texts, ["RUN first", "COPY x /", "RUN own"]);
    assert_eq!(graph.stages[1].steps.len(), 1);
    assert!(graph.target().config.config.on_build.is_empty());
    // Where a trigger is, people see the FROM.
    assert_eq!(graph.stages[0].steps[0].lines.start, 1);
}

#[test]
fn trigger_of_a_stage_may_name_another_stage() {
    let text = "FROM busybox AS src\nRUN x\nFROM busybox AS parent\nONBUILD COPY --from=src /a /b\nFROM parent\n";
    let graph = case(text).graph();
    let StepKind::Copy(copy) = &graph.target().steps[0].kind else { panic!() };
    assert!(
        matches!(copy.from, TreeSource::Stage(id) if graph.stage(id).name.as_deref() == Some("src"))
    );
}

#[test]
fn named_contexts_take_the_place_of_images_and_stages() {
    let mut replaced = case(
        "FROM busybox AS s\nRUN never\nFROM busybox\nCOPY --from=s /a /\nCOPY --from=docs /b /\n",
    );
    replaced.named =
        [("s".to_owned(), NamedContext::Directory), ("docs".to_owned(), NamedContext::Directory)]
            .into();
    let graph = replaced.graph();
    assert_eq!(graph.stages[0].base, Base::Directory("s".to_owned()));
    assert!(graph.stages[0].steps.is_empty());
    let StepKind::Copy(copy) = &graph.target().steps[1].kind else { panic!() };
    assert_eq!(copy.from, TreeSource::Named("docs".to_owned()));
}

#[test]
fn destinations_and_working_directories() {
    let text = "FROM busybox\nWORKDIR a\nWORKDIR b\nCOPY x .\nCOPY x y\nCOPY x y/\nCOPY x /z/../q/\nWORKDIR /\n";
    let graph = case(text).graph();
    let dests = graph.target().steps.iter().filter_map(|step| match &step.kind {
        StepKind::Copy(copy) => Some(copy.dest.as_str()),
        _ => None,
    });
    assert_eq!(dests.collect::<Vec<_>>(), ["/a/b/", "/a/b/y", "/a/b/y/", "/q/"]);
    assert_eq!(graph.target().config.config.working_dir, "/");
    assert_eq!(graph.target().steps.len(), 6, "WORKDIR / makes no layer");
}

#[test]
fn entrypoint_clears_only_an_inherited_command() {
    let of = |text: &str| case(text).graph().target().config.config.cmd.clone();
    assert_eq!(of("FROM busybox\nENTRYPOINT [\"a\"]\n"), None);
    assert_eq!(of("FROM busybox\nCMD [\"c\"]\nENTRYPOINT [\"a\"]\n"), Some(vec!["c".into()]));
    assert_eq!(of("FROM busybox AS a\nCMD [\"c\"]\nFROM a\nENTRYPOINT [\"a\"]\n"), None);
}

#[test]
fn heredocs() {
    let graph = case(
        "FROM busybox\nENV N=v\nCOPY <<A <<'B' /d/\n$N\nA\n$N\nB\nRUN <<E\nx\ny\nE\nRUN <<S\n#!/bin/p\nz\nS\nRUN cat <<F > f\nq\nF\n",
    )
    .graph();
    let StepKind::Copy(copy) = &graph.target().steps[0].kind else { panic!() };
    assert_eq!(
        format!("{:?}", copy.sources),
        r#"[Inline { name: "A", text: "v\n" }, Inline { name: "B", text: "$N\n" }]"#
    );
    let runs = graph.target().steps[1..].iter().map(|step| match &step.kind {
        StepKind::Run(run) => (run.args[2].clone(), run.script.clone()),
        _ => panic!(),
    });
    let runs: Vec<_> = runs.into_iter().collect();
    assert_eq!(runs[0], ("x\ny\n".to_owned(), None));
    assert_eq!(runs[1].0, "/dev/pipes/S");
    assert_eq!(runs[1].1, Some(("S".to_owned(), "#!/bin/p\nz\n".to_owned())));
    assert_eq!(runs[2].0, "cat <<F > f\nq\nF");
    assert_eq!(graph.target().history[1].created_by, "COPY <<A <<B /d/ # buildkit");
}

#[test]
fn proxies_reach_commands_and_nothing_else() {
    for (declared, in_env) in [("", 0), ("ARG HTTP_PROXY\n", 1), ("ENV http_proxy=q\n", 1)] {
        let text = format!("FROM busybox\n{declared}RUN x\n");
        let graph = case(&text).arg("HTTP_PROXY", "p").arg("no_proxy", "").graph();
        let StepKind::Run(run) = &graph.target().steps[0].kind else { panic!() };
        let names: Vec<&str> = run.proxy_env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["HTTP_PROXY", "http_proxy"], "{declared}");
        let is_proxy = |name: &str| name.eq_ignore_ascii_case("http_proxy");
        assert_eq!(run.env.iter().filter(|(name, _)| is_proxy(name)).count(), in_env, "{declared}");
        assert!(graph.warnings.is_empty());
    }
}

#[test]
fn a_secret_is_named_by_its_source_its_id_or_its_target() {
    for (keys, id, target) in [
        ("id=a/b", "a/b", "/run/secrets/b"),
        ("source=a/b", "a/b", "/run/secrets/b"),
        ("target=/x/y", "y", "/x/y"),
        ("src=s,target=y", "s", "/y"),
    ] {
        let text = format!("FROM busybox\nRUN --mount=type=secret,{keys} x\n");
        let graph = case(&text).graph();
        let StepKind::Run(run) = &graph.target().steps[0].kind else { panic!() };
        let mount = &run.mounts[0];
        assert_eq!((mount.id.as_str(), mount.target.as_str()), (id, target), "{keys}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for (text, error) in [
        (
            "FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\n",
            r#"cannot copy from stage "b", it needs to be defined before current stage "a""#,
        ),
        ("FROM busybox AS a\nCOPY --from=a / /\n", "circular dependency detected on stage: a"),
        ("FROM busybox\nCOPY --from=7 / /\n", "invalid stage index 7"),
        (
            "FROM busybox\nCOPY --chmod=9 a /\n",
            "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777",
        ),
        ("FROM busybox\nRUN []\n", "arguments are required"),
        ("FROM busybox\nRUN --device=a.b/c=d,required x\n", r#"required device "a.b/c=d" is not"#),
        ("ARG X\nFROM $X\n", "base name ($X) should not be blank"),
        ("FROM busybox\nRUN --mount=type=tmpfs,target=/ x\n", "invalid mount target \"/\""),
        ("FROM busybox\nENV A=${B?no}\n", "failed to process \"${B?no}\": B: no"),
        ("ARG SOURCE_DATE_EPOCH=x\nFROM busybox\n", "invalid SOURCE_DATE_EPOCH: x"),
        (
            "FROM scratch\nADD --checksum=md5:abc https://example.com/a /\n",
            "checksum md5:abc is none: write sha256: and 64 hexadecimal digits",
        ),
        (
            "FROM scratch\nADD --checksum=md5:abc https://example.com/a https://example.com/b /\n",
            "checksum can't be specified for multiple sources",
        ),
        ("FROM scratch\nCOPY git@example.com:a/b.git /\n", "source can't be a git ref for COPY"),
        (
            "FROM scratch\nADD --keep-git-dir https://example.com/a.git?keep-git-dir=0 /\n",
            "inconsistent keep-git-dir configuration",
        ),
        ("FROM scratch\nADD --checksum=md5:abc a /\n", "checksum requires HTTP(S) or Git sources"),
    ] {
        let case =
            if text.contains("AS a\nCOPY --from=b") { case(text).target("a") } else { case(text) };
        assert!(case.errors()[0].starts_with(error), "{:?} for {text}", case.errors());
    }
    let target = case("FROM busybox AS build\n").target("bulid").errors();
    assert_eq!(target, [r#"target stage "bulid" could not be found (did you mean build?)"#]);
}

#[test]
fn all_errors_of_a_stage_are_reported() {
    let errors = case("FROM busybox\nCOPY --chmod=9 a /\nENV A=${B?no}\nRUN []\n").errors();
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn unused_arguments_are_mentioned() {
    let graph = case("FROM busybox\nARG A\n").arg("A", "1").arg("TYPO", "1").graph();
    assert_eq!(graph.warnings[0].message, "one or more build-args [TYPO] were not consumed");
}

#[test]
fn devices_are_not_there() {
    let graph = case("FROM busybox\nRUN --device=a.b/c=d --device=e.f/g x\n").graph();
    let messages: Vec<&str> = graph.warnings.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            r#"device "a.b/c=d" is not there: the command runs without it"#,
            r#"device "e.f/g" is not there: the command runs without it"#,
        ]
    );
}

#[test]
fn graphs_of_several_platforms_share_what_is_the_same() {
    let text = "FROM --platform=$BUILDPLATFORM busybox AS tools\nRUN make tools\n\
        FROM busybox\nCOPY --from=tools /t /t\nRUN --mount=from=tools,target=/m x\n";
    let on = |platform: &str| {
        let mut case = case(text);
        case.platform = platform.parse().expect("a platform");
        let request = BaseRequest { name: "busybox".to_owned(), platform: case.platform.clone() };
        case.bases.insert(request, base(r#"["PATH=/bin"]"#, "[]"));
        case.graph()
    };
    let (one, two) = (platform().to_string(), "linux/s390x");
    let joined = dfbuild_plan::Graph::join(vec![on(&one), on(two)]);
    let platforms = joined.stages.iter().map(|stage| stage.platform.to_string());
    assert_eq!(platforms.collect::<Vec<_>>(), [one.as_str(), one.as_str(), two]);
    assert_eq!(joined.targets, [StageId(1), StageId(2)]);
    for target in &joined.targets {
        assert_eq!(joined.stage(*target).needs().into_iter().collect::<Vec<_>>(), [StageId(0)]);
    }
    assert_eq!(dfbuild_plan::Graph::join(vec![on(&one), on(&one)]).stages.len(), 2);
}

#[test]
fn steps_have_buildkits_names() {
    let check = |text: &str, expect: &[(Option<&str>, usize)]| {
        let mut case = case(text);
        case.named.insert("files".to_owned(), NamedContext::Directory);
        let graph = case.graph();
        let names: Vec<(Option<String>, usize)> =
            graph.stages.iter().map(|it| (it.progress_name(), it.first_number())).collect();
        let names: Vec<_> = names.iter().map(|(name, first)| (name.as_deref(), *first)).collect();
        assert_eq!(names, expect, "{text}");
    };
    // The only stage has no name, whatever it is called; an image to copy from is another one.
    check("FROM busybox\nRUN a\n", &[(None, 2)]);
    check("FROM busybox AS a\nCOPY a /\n", &[(None, 2)]);
    check("FROM busybox AS a\nCOPY --from=busybox /a /\n", &[(Some("a"), 2)]);
    check("FROM busybox\nRUN --mount=from=files,target=/f true\n", &[(Some("stage-0"), 2)]);
    // What is not fetched has no step of its own.
    check("FROM scratch\nCOPY a /\n", &[(None, 1)]);
    check("FROM files\nCOPY a /\n", &[(None, 2)]);
    check("FROM busybox AS a\nFROM a\nRUN b\n", &[(Some("a"), 2), (Some("stage-1"), 1)]);
    check("FROM busybox\nFROM busybox\nRUN b\n", &[(Some("stage-1"), 2)]);
}
