//! Registries that drop connections, are busy, or send what they should not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dfbuild_testkit::{
    Bed, DebianRegistry, FaultProxy, LayerFile, Outcome, Reply, Request, Skipped,
};

use super::{NOISE, assert_nothing_pulled, build_elsewhere, check, elsewhere, image, registry};

/// A registry with an image, and the digest of that.
struct Pushed {
    registry: DebianRegistry,
    digest: String,
}

fn pushed(bed: &Bed) -> Result<Pushed, Skipped> {
    let registry = registry()?;
    let name = registry.image("app:1");
    image(bed, &[&name]);
    let digest = bed.run(&["push", "-q", &name]).succeeds().stdout;
    Ok(Pushed { registry, digest: digest.trim().to_owned() })
}

impl Pushed {
    fn behind(
        &self,
        fault: impl Fn(&Request, usize, &dyn Fn() -> Reply) -> Reply + Send + Sync + 'static,
    ) -> FaultProxy {
        FaultProxy::start(self.registry.address(), fault)
    }

    /// Pulls it through the proxy: it is the image that was pushed.
    fn comes_whole(&self, bed: &Bed, proxy: &FaultProxy) -> Outcome {
        let name = format!("{}/app:1", proxy.server().address());
        let pulled = elsewhere(bed, &["pull", &name]).succeeds();
        assert_eq!(pulled.stdout.trim(), self.digest);
        // What was pulled can be built upon.
        let _ = build_elsewhere(bed, &format!("FROM {name}\nRUN cat /made\n"), &[]).succeeds();
        pulled
    }
}

/// Whether somebody asks for the layer with the large file: whether its answer is that long.
fn is_large(reply: &Reply) -> bool {
    reply.body.len() > NOISE / 4
}

#[test]
fn lost_connections() {
    check("faults::lost_connections", |bed| {
        let pushed = pushed(bed)?;
        // Each request is lost once: before an answer, or in the middle of a large one.
        let proxy = pushed.behind(|request, before, ask| match ask() {
            reply if is_large(&reply) && before < 2 => {
                Reply { cut: Some(reply.body.len() / 2), ..reply }
            }
            reply if before == 0 && request.path != "/v2/" => Reply { hang_up: true, ..reply },
            reply => reply,
        });
        let pulled = pushed.comes_whole(bed, &proxy);
        assert!(pulled.stderr.contains("lost the connection"), "{}", pulled.stderr);
        assert!(pulled.stderr.contains("; next try in "), "{}", pulled.stderr);
        // The rest was asked for, not all of it.
        let requests = proxy.server().requests();
        assert!(requests.iter().any(|request| request.header("range").starts_with("bytes=")));
        Ok(())
    });
}

#[test]
fn busy_registry() {
    check("faults::busy_registry", |bed| {
        let pushed = pushed(bed)?;
        let proxy = pushed.behind(|request, before, ask| match before {
            0 if request.path.contains("/manifests/") => {
                Reply::error(429, "TOOMANYREQUESTS", "slow down").with("retry-after", "1")
            }
            0 if request.path.contains("/blobs/") => Reply::new(503),
            _ => ask(),
        });
        let pulled = pushed.comes_whole(bed, &proxy);
        let expect =
            "answered 429 Too Many Requests: slow down (TOOMANYREQUESTS); next try in 1.0s";
        assert!(pulled.stderr.contains(expect), "{}", pulled.stderr);
        assert!(pulled.stderr.contains("answered 503 Service Unavailable; next try in"));
        Ok(())
    });
}

#[test]
fn registry_that_stays_busy_for_long() {
    check("faults::registry_that_stays_busy_for_long", |bed| {
        let pushed = pushed(bed)?;
        let proxy = pushed.behind(|request, _, ask| match request.path.as_str() {
            "/v2/" => ask(),
            _ => Reply::error(429, "TOOMANYREQUESTS", "slow down").with("retry-after", "3600"),
        });
        let name = format!("{}/app:1", proxy.server().address());
        let failed = elsewhere(bed, &["pull", &name]).exits_with(1);
        assert!(failed.stderr.contains("asked to wait 3600 s"), "{}", failed.stderr);
        assert!(failed.stderr.contains("hint: the registry limits how often"), "{}", failed.stderr);
        // A program that reads it reads nothing else.
        let failed = elsewhere(bed, &["pull", "--progress=rawjson", &name]).exits_with(1);
        let lines = failed.stderr.lines();
        let events: Vec<serde_json::Value> =
            lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = events.last().unwrap();
        assert_eq!(last["event"], "failed");
        assert!(last["error"].as_str().unwrap().contains("asked to wait 3600 s"), "{last}");
        assert_nothing_pulled(bed);
        Ok(())
    });
}

#[test]
fn wrong_blob() {
    check("faults::wrong_blob", |bed| {
        let pushed = pushed(bed)?;
        let healed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&healed);
        let proxy = pushed.behind(move |_, _, ask| {
            let mut reply = ask();
            if is_large(&reply) && !seen.load(Ordering::SeqCst) {
                let middle = reply.body.len() / 2;
                reply.body[middle] ^= 1;
            }
            reply
        });
        let name = format!("{}/app:1", proxy.server().address());
        let image = bed.image(&pushed.registry.image("app:1"));
        let failed = elsewhere(bed, &["pull", &name]).exits_with(1);
        let last = failed.stderr.lines().last().unwrap();
        let named = |layer: &LayerFile| last.contains(&format!("pull blob {}", layer.digest));
        assert!(image.layers.iter().any(named), "{last}");
        assert!(last.contains("sent other bytes"), "{last}");
        assert_nothing_pulled(bed);
        let _ = build_elsewhere(bed, &format!("FROM {name}\n"), &[]).exits_with(1);
        assert_nothing_pulled(bed);
        healed.store(true, Ordering::SeqCst);
        let _ = pushed.comes_whole(bed, &proxy);
        Ok(())
    });
}

#[test]
fn registry_that_stops_half_way() {
    check("faults::registry_that_stops_half_way", |bed| {
        let pushed = pushed(bed)?;
        let healed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&healed);
        let proxy = pushed.behind(move |_, _, ask| {
            let reply = ask();
            if seen.load(Ordering::SeqCst) || reply.status != 200 || !is_large(&reply) {
                // It gives no second half either.
                let half = reply.status == 206 && !seen.load(Ordering::SeqCst);
                return if half { Reply { cut: Some(0), ..reply } } else { reply };
            }
            Reply { cut: Some(reply.body.len() / 2), ..reply }
        });
        let name = format!("{}/app:1", proxy.server().address());
        let failed = elsewhere(bed, &["pull", &name]).exits_with(1);
        let last = failed.stderr.lines().last().unwrap();
        assert!(last.contains("lost the connection to"), "{last}");
        assert!(last.ends_with("tried 6 times)"), "{last}");
        assert_nothing_pulled(bed);
        healed.store(true, Ordering::SeqCst);
        let _ = pushed.comes_whole(bed, &proxy);
        Ok(())
    });
}

#[test]
fn push_to_a_registry_in_trouble() {
    check("faults::push_to_a_registry_in_trouble", |bed| {
        let registry = registry()?;
        let [begin, upload, answer] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let all = [&begin, &upload, &answer].map(Arc::clone);
        let first = |seen: &AtomicBool| !seen.swap(true, Ordering::SeqCst);
        let hang_up = || Reply { hang_up: true, ..Reply::default() };
        // One upload cannot begin, one is lost on its way, and one answer when all was done.
        let proxy = FaultProxy::start(registry.address(), move |request, _, ask| {
            let large = request.body.len() > NOISE / 4;
            match request.method.as_str() {
                "POST" if first(&begin) => Reply::new(503),
                "PUT" if large && first(&upload) => hang_up(),
                "PUT" if request.path.contains("/manifests/") && first(&answer) => {
                    ask();
                    hang_up()
                }
                _ => ask(),
            }
        });
        let name = format!("{}/app:1", proxy.server().address());
        image(bed, &[&name]);
        let sent = bed.run(&["push", &name]).succeeds();
        assert!(all.iter().all(|seen| seen.load(Ordering::SeqCst)), "{}", sent.stderr);
        let there = elsewhere(bed, &["pull", &registry.image("app:1")]).succeeds();
        assert_eq!(there.stdout, sent.stdout);
        Ok(())
    });
}

#[test]
fn nobody_there_and_no_such_tag() {
    check("faults::nobody_there_and_no_such_tag", |bed| {
        let pushed = pushed(bed)?;
        let unknown = pushed.registry.image("app:2");
        let no_tag = elsewhere(bed, &["pull", &unknown]).exits_with(1);
        assert!(
            no_tag.stderr.contains("hint: there is no such tag or digest"),
            "{}",
            no_tag.stderr
        );
        assert!(
            no_tag.stderr.contains(&format!("failed to pull {unknown}: ")),
            "{}",
            no_tag.stderr
        );
        let based = build_elsewhere(bed, &format!("FROM {unknown}\n"), &[]).exits_with(1);
        assert!(based.stderr.contains("MANIFEST_UNKNOWN"), "{}", based.stderr);
        // Nobody has listened on this port since the eighties.
        let address = "127.0.0.1:1";
        let name = format!("{address}/app:1");
        let nobody = build_elsewhere(bed, &format!("FROM {name}\n"), &[]).exits_with(1);
        assert!(nobody.stderr.contains(&format!("no connection to `{address}`")));
        assert!(nobody.stderr.contains(&format!("hint: check that `{address}` runs")));
        assert_nothing_pulled(bed);
        Ok(())
    });
}
