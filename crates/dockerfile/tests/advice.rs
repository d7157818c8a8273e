//! Rules of our own: one file that each finds, and what it leaves alone.

use dfbuild_dockerfile::lint::{ADVICE, Level, LintOptions, lint};
use dfbuild_dockerfile::parse;

/// The advice as `line id`.
fn advice(source: &str) -> Vec<String> {
    let report = lint(source, &parse(source), &LintOptions::default());
    report.of_level(Level::Advice).map(|it| format!("{} {}", it.lines.start, it.rule)).collect()
}

fn check(source: &str, expect: &[&str]) {
    assert_eq!(advice(source), expect, "{source}");
}

/// What the file becomes when all fixes are made.
fn fixed(source: &str) -> String {
    let report = lint(source, &parse(source), &LintOptions::default());
    let mut fixes: Vec<_> = report.findings.iter().filter_map(|it| it.fix.clone()).collect();
    fixes.sort_by_key(|it| std::cmp::Reverse(it.span.start));
    let mut text = source.to_owned();
    for fix in fixes {
        text.replace_range(fix.span.start..fix.span.end, &fix.replacement);
    }
    text
}

#[test]
fn an_argument_above_steps_that_do_not_use_it() {
    check("FROM a:1\nARG SHA\nRUN make\nRUN echo $SHA\n", &["2 DF001"]);
    check("FROM a:1\nARG SHA\nRUN make\nLABEL sha=${SHA}\n", &["2 DF001"]);
    check("FROM a:1\nARG SHA\nRUN make <<E\n$SHA\nE\nRUN x\n", &[]);
    check("FROM a:1\nRUN make\nARG SHA\nRUN echo $SHA\n", &[]);
    check("FROM a:1\nARG DEBIAN_FRONTEND=noninteractive\nRUN make\n", &[]);
    check("FROM a:1\nARG TARGETARCH\nRUN make\nRUN echo $TARGETARCH\n", &[]);
}

#[test]
fn everything_copied_before_dependencies() {
    for install in [
        "npm ci",
        "cd /x && pip install --no-cache-dir -r requirements.txt",
        "bundle install",
        "go mod download",
        "cargo fetch",
        "composer install --no-dev",
        "apk add --no-cache git",
        "yarn",
    ] {
        let source = format!("FROM a:1 AS x\nCOPY . /app\nRUN {install}\nFROM b:1\n");
        check(&source, &["2 DF002"]);
    }
    check("FROM a:1 AS x\nCOPY package.json .\nRUN npm ci\nCOPY . .\nFROM b:1\n", &[]);
    check("FROM a:1 AS x\nCOPY --from=y . .\nRUN npm ci\nFROM b:1\n", &[]);
    check("FROM a:1 AS x\nCOPY . .\nRUN make\nRUN apt-get install ./x.deb\nFROM b:1\n", &[]);
}

#[test]
fn package_lists_fetched_alone() {
    check("FROM a:1 AS x\nRUN apt-get -y update\nFROM b:1\n", &["2 DF003"]);
    check("FROM a:1 AS x\nRUN apt-get update && apt-get install -y y\nFROM b:1\n", &[]);
    check("FROM a:1 AS x\nRUN apt-get update; ./install-all\nFROM b:1\n", &[]);
    check(
        "FROM a:1 AS x\nRUN --mount=type=cache,target=/var/lib/apt apt-get update\nFROM b:1\n",
        &[],
    );
}

#[test]
fn caches_in_layers() {
    for run in [
        "apt-get update && apt-get install -y x",
        "apk add x",
        "pip install x",
        "python3 -m pip install x",
        "npm install",
        "dnf install -y x",
    ] {
        check(&format!("FROM a:1\nRUN {run}\n"), &["2 DF004"]);
        check(&format!("FROM a:1 AS b\nRUN {run}\nFROM a:1\n"), &[]);
        check(&format!("FROM a:1 AS b\nRUN {run}\nFROM b\n"), &["2 DF004"]);
    }
    for run in [
        "apt-get update && apt-get install -y x && rm -rf /var/lib/apt/lists/*",
        "--mount=type=cache,target=/var/lib/apt apt-get update && apt-get install x",
        "apk add --no-cache x",
        "apk add x && rm -rf /var/cache/apk/*",
        "pip install --no-cache-dir x",
        "--mount=type=cache,target=/root/.cache pip install x",
        "npm ci && npm cache clean --force",
        "dnf install -y x && dnf clean all",
    ] {
        check(&format!("FROM a:1\nRUN {run}\n"), &[]);
    }
    check("FROM a:1\nENV PIP_NO_CACHE_DIR=1\nRUN pip install x\n", &[]);
}

#[test]
fn files_stored_twice() {
    check("FROM a:1\nWORKDIR /app\nCOPY . .\nRUN chown -R me .\n", &["4 DF005"]);
    check("FROM a:1\nCOPY a /app/bin/\nRUN x && chmod -vR 755 /app\n", &["3 DF005"]);
    check("FROM a:1\nCOPY a /app/\nRUN chown me /app\nRUN chown -R me /srv\n", &[]);
}

#[test]
fn bases_without_a_version() {
    check("FROM a\nFROM b:latest\nFROM h:5000/c\n", &["1 DF006", "2 DF006", "3 DF006"]);
    check("ARG V\nFROM scratch AS a\nFROM a\nFROM b:$V\nFROM h:5000/c:1\n", &[]);
    check(&format!("FROM a@sha256:{}\n", "0".repeat(64)), &[]);
}

#[test]
fn add_where_copy_does() {
    check("FROM a:1\nADD x y /\nADD <<E /\nE\n", &["2 DF007", "3 DF007"]);
    check(
        "FROM a:1\nADD x.tar.gz /\nADD https://a.example/b /\nADD $X /\nADD --unpack=true x /\nADD *.txt /\n",
        &[],
    );
}

#[test]
fn secrets_in_layers() {
    check(
        "FROM a:1\nCOPY .env /\nCOPY --chmod=600 keys/id_rsa tls/server.pem /\nCOPY .npmrc ./\n",
        &["2 DF008", "3 DF008", "3 DF008", "4 DF008"],
    );
    check("FROM a:1\nCOPY .env.example id_rsa.pub public.pem /\nCOPY --from=b .env /\n", &[]);
}

#[test]
fn fixes() {
    assert_eq!(
        fixed("FROM a:1\nRUN set -x \\\n && apk add git\nadd x /\nRUN pip install x && true\n"),
        "FROM a:1\nRUN set -x \\\n && apk add --no-cache git\ncopy x /\nRUN pip install --no-cache-dir x && true\n"
    );
}

#[test]
fn silence() {
    check(
        "FROM a:1\n# check=skip=DF008\nCOPY .env /\n# check=skip=SecretCopied\nCOPY .npmrc /\n",
        &[],
    );
    check("# check=skip=all\nFROM a\n", &[]);
    let options = LintOptions { compat: true, ..LintOptions::default() };
    let source = "FROM a\nADD x /\n";
    assert_eq!(lint(source, &parse(source), &options).findings, []);
    // Advice is never a failure of its own.
    let source = "# check=error=true\nFROM a\nADD x /\n";
    assert_eq!(lint(source, &parse(source), &LintOptions::default()).violation, None);
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    for (at, advice) in ADVICE.iter().enumerate() {
        assert_eq!(advice.id, format!("DF{:03}", at + 1));
        assert!(ADVICE.iter().filter(|it| it.name == advice.name).count() == 1);
    }
}
