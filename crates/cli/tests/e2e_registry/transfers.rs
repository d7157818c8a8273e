//! What is sent and fetched, and what is not.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use dfbuild_testkit::{Bed, DebianRegistry, FaultProxy, Outcome, Request, eventually};

use super::{NOISE, build_elsewhere, check, elsewhere, elsewhere_command, image, registry};

/// A proxy that only listens.
fn listening(registry: &DebianRegistry) -> FaultProxy {
    FaultProxy::start(registry.address(), |_, _, ask| ask())
}

/// The bytes that were sent as blobs.
fn sent(requests: &[Request]) -> usize {
    let uploads = requests.iter().filter(|request| request.path.contains("/blobs/uploads/"));
    uploads.map(|request| request.body.len()).sum()
}

/// How many blobs the plain progress says this of.
fn blobs(outcome: &Outcome, word: &str) -> usize {
    let about = |line: &&str| line.contains(" sha256:") && line.ends_with(word);
    outcome.stderr.lines().filter(about).count()
}

#[test]
fn what_is_there_is_not_sent() {
    check("transfers::what_is_there_is_not_sent", |bed| {
        let registry = registry()?;
        let proxy = listening(&registry);
        let address = proxy.server().address();
        let names = ["one:1", "one:2", "two:1"].map(|name| format!("{address}/{name}"));
        image(bed, &names.each_ref().map(String::as_str));
        let layers = bed.image(&names[0]).layers.len();
        let first = bed.run(&["push", &names[0]]).succeeds();
        assert_eq!(blobs(&first, " done"), layers + 1, "{}", first.stderr);
        let before = sent(&proxy.server().requests());
        assert!(before > super::NOISE / 4);

        let again = bed.run(&["push", &names[1]]).succeeds();
        assert_eq!(blobs(&again, " exists"), layers + 1, "{}", again.stderr);
        let other = bed.run(&["push", &names[2]]).succeeds();
        assert_eq!(blobs(&other, " mounted"), layers + 1, "{}", other.stderr);
        assert_eq!(sent(&proxy.server().requests()), before);
        assert_eq!([&again.stdout, &other.stdout], [&first.stdout, &first.stdout]);
        Ok(())
    });
}

#[test]
fn layers_of_a_pulled_base_are_mounted() {
    check("transfers::layers_of_a_pulled_base_are_mounted", |bed| {
        let registry = registry()?;
        let base = registry.image("bases/large:1");
        image(bed, &[&base]);
        let _ = bed.run(&["push", &base]).succeeds();
        let layers = bed.image(&base).layers.len();

        let proxy = listening(&registry);
        let address = proxy.server().address();
        let from = format!("FROM {address}/bases/large:1\nCOPY file /\n");
        let app = format!("{address}/apps/app:1");
        let built = build_elsewhere(bed, &from, &["-t", &app, "--push"]).succeeds();
        // The layers of the base were fetched once, and are taken over from its repository.
        assert_eq!(blobs(&built, " mounted"), layers, "{}", built.stderr);
        let bytes = sent(&proxy.server().requests());
        assert!(bytes < 10_000, "{bytes}");
        assert_eq!(bed.run(&["pull", &app]).succeeds().code, Some(0));
        Ok(())
    });
}

#[test]
fn an_image_that_is_missing_is_pulled_to_be_run() {
    check("transfers::an_image_that_is_missing_is_pulled_to_be_run", |bed| {
        let registry = registry()?;
        let proxy = listening(&registry);
        let name = format!("{}/app:1", proxy.server().address());
        image(bed, &[&name]);
        let _ = bed.run(&["push", &name]).succeeds();

        let never = elsewhere(bed, &["run", "--pull=never", &name, "cat", "/made"]);
        let _ = never.exits_with(125).says(&["failed to find image"]);
        let missing = elsewhere(bed, &["run", &name, "cat", "/made"]).succeeds();
        assert_eq!(missing.stdout, "made\n");
        let asked = proxy.server().requests().len();
        let there = elsewhere(bed, &["run", &name, "cat", "/made"]).succeeds();
        assert_eq!((&*there.stdout, &*there.stderr), ("made\n", ""));
        assert_eq!(proxy.server().requests().len(), asked);
        let always = elsewhere(bed, &["run", "--pull=always", &name, "cat", "/made"]).succeeds();
        assert_eq!(always.stdout, "made\n");
        assert!(proxy.server().requests().len() > asked);
        Ok(())
    });
}

#[test]
fn what_is_there_is_not_fetched() {
    check("transfers::what_is_there_is_not_fetched", |bed| {
        let registry = registry()?;
        let proxy = listening(&registry);
        let name = format!("{}/app:1", proxy.server().address());
        image(bed, &[&name]);
        let _ = bed.run(&["push", &name]).succeeds();
        let layers = bed.image(&name).layers.len();
        let first = elsewhere(bed, &["pull", &name]).succeeds();
        assert_eq!(blobs(&first, " done"), layers, "{}", first.stderr);
        let again = elsewhere(bed, &["pull", &name]).succeeds();
        assert_eq!(blobs(&again, " exists"), layers, "{}", again.stderr);
        // A base that is there is not even asked for, until somebody wants that.
        let asked = proxy.server().requests().len();
        let from = format!("FROM {name}\n");
        let _ = build_elsewhere(bed, &from, &[]).succeeds();
        assert_eq!(proxy.server().requests().len(), asked);
        let _ = build_elsewhere(bed, &from, &["--pull"]).succeeds();
        assert!(proxy.server().requests().len() > asked);
        Ok(())
    });
}

#[test]
fn bases_are_pulled_at_the_same_time_and_what_they_share_once() {
    check("transfers::bases_are_pulled_at_the_same_time_and_what_they_share_once", |bed| {
        let registry = registry()?;
        let names = ["one:1", "two:1"].map(|name| registry.image(name));
        image(bed, &names.each_ref().map(String::as_str));
        for name in &names {
            let _ = bed.run(&["push", name]).succeeds();
        }
        // The answer for each manifest waits for the question for the other.
        let both = Arc::new(Barrier::new(2));
        let proxy = FaultProxy::start(registry.address(), move |request, _, ask| {
            if request.path.ends_with("/manifests/1") {
                both.wait();
            }
            ask()
        });
        let address = proxy.server().address();
        let from = format!(
            "FROM {address}/one:1 AS one\nFROM {address}/two:1\nCOPY --from=one /made /again\n"
        );
        let built = build_elsewhere(bed, &from, &[]).succeeds();
        let layers = bed.image(&names[0]).layers.len();
        assert_eq!(blobs(&built, " done"), layers, "{}", built.stderr);
        assert_eq!(blobs(&built, " exists"), layers, "{}", built.stderr);
        Ok(())
    });
}

fn push_version(bed: &Bed, name: &str, version: &str) {
    bed.write("version", version);
    bed.write("Dockerfile", "FROM base\nCOPY version /version\n");
    let _ = bed.build(&["-t", name, "--push"]).succeeds();
}

#[test]
fn pull_looks_again() {
    check("transfers::pull_looks_again", |bed| {
        let registry = registry()?;
        let name = registry.image("moving:latest");
        bed.base();
        push_version(bed, &name, "one");
        let tree = bed.join("out/tree");
        let output = format!("type=local,dest={}", tree.display());
        let from = format!("FROM {name}\nRUN cp /version /copied\n");
        let version = |args: &[&str]| {
            let built = build_elsewhere(bed, &from, &[args, &["-o", &output]].concat()).succeeds();
            (fs::read_to_string(tree.join("copied")).unwrap(), built.ran())
        };
        assert_eq!(version(&[]), ("one".to_owned(), 1));
        push_version(bed, &name, "two");
        assert_eq!(version(&[]), ("one".to_owned(), 0));
        assert_eq!(version(&["--pull"]), ("two".to_owned(), 1));
        assert_eq!(version(&[]), ("two".to_owned(), 0));
        Ok(())
    });
}

#[test]
fn progress_in_bytes() {
    check("transfers::progress_in_bytes", |bed| {
        let registry = registry()?;
        let name = registry.image("app:1");
        image(bed, &[&name]);
        let size = |event: &serde_json::Value| event["size"].as_u64().unwrap();
        for args in [&["push"][..], &["--root", "ELSEWHERE", "pull"], &["--root", "THIRD", "build"]]
        {
            let roots = [bed.join("out/elsewhere"), bed.join("out/third")];
            let roots = roots.each_ref().map(|root| root.to_str().unwrap());
            let mut args: Vec<&str> = args
                .iter()
                .map(|arg| match *arg {
                    "ELSEWHERE" => roots[0],
                    "THIRD" => roots[1],
                    other => other,
                })
                .collect();
            let builds = args.contains(&"build");
            bed.write("Dockerfile", format!("FROM {name}\n"));
            let context = bed.context();
            args.extend([
                "--progress=rawjson",
                if builds { context.to_str().unwrap() } else { &name },
            ]);
            let outcome = bed.run(&args).succeeds();
            let events = outcome.stderr.lines();
            let events =
                events.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let transfers: Vec<_> = events.filter(|event| event["event"] == "transfer").collect();
            let large = transfers.iter().find(|event| size(event) > 1 << 21);
            let large = large.unwrap_or_else(|| panic!("{args:?}: {transfers:?}"));
            let of_large = transfers.iter().filter(|event| event["blob"] == large["blob"]);
            let states: Vec<_> = of_large.clone().map(|event| event["state"].as_str()).collect();
            assert_eq!(states.last(), Some(&Some("moved")), "{args:?}: {states:?}");
            let done: Vec<u64> = of_large.filter_map(|event| event["done"].as_u64()).collect();
            assert!(done.len() > 1 && done.is_sorted(), "{args:?}: {done:?}");
        }
        Ok(())
    });
}

#[test]
fn two_processes_fetch_a_blob_once() {
    check("transfers::two_processes_fetch_a_blob_once", |bed| {
        let registry = registry()?;
        let name = registry.image("app:1");
        image(bed, &[&name]);
        let digest = bed.run(&["push", "-q", &name]).succeeds().stdout;
        // What is large comes when the test says so.
        let (asked, go) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (large, gate) = (Arc::clone(&asked), Arc::clone(&go));
        let proxy = FaultProxy::start(registry.address(), move |request, _, ask| {
            let reply = ask();
            if request.method == "GET" && reply.body.len() > NOISE / 4 {
                large.lock().unwrap().push(request.path.clone());
                eventually("the test lets it go on", || gate.load(Ordering::SeqCst));
            }
            reply
        });
        let name = format!("{}/app:1", proxy.server().address());
        let start = || {
            let mut command = elsewhere_command(bed, &["pull", &name]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let first = start();
        eventually("the first one asks", || !asked.lock().unwrap().is_empty());
        let mut second = start();
        let waits = format!("waiting for process {}", first.id());
        let mut lines = BufReader::new(second.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with(&waits)));
        go.store(true, Ordering::SeqCst);
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        for ended in [first, second] {
            let outcome = Outcome::from(ended.wait_with_output().unwrap()).succeeds();
            assert_eq!(outcome.stdout, digest);
        }
        assert!(rest.iter().any(|line| line.ends_with(" exists")), "{rest:?}");
        let mut asked = asked.lock().unwrap();
        let count = asked.len();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), count, "{asked:?}");
        Ok(())
    });
}
