//! What a machine with nothing but a checkout takes from the cache of another one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dfbuild_testkit::{Bed, Request, Skipped, Who, run_or_skip};

use super::{STEPS, STEPS_OF_IMAGE, bed, check, image, project, push_base, registry};

fn is_layer(request: &Request, layers: &[String]) -> bool {
    layers.iter().any(|layer| request.path.ends_with(layer.as_str()))
}

/// A cold clone hits for every step; of a build that is pushed to the same registry no layer moves.
fn cold_clone(who: Who) -> Result<(), Skipped> {
    let (_registry, proxy) = registry()?;
    let one = bed(who)?;
    let base = push_base(&one, &proxy);
    let (cache, app) = (image(&proxy, "cache:1"), image(&proxy, "app:1"));
    project(&one, &base, 1_600_000_000);
    let to = format!("type=registry,ref={cache},mode=max");
    let first = one.build(&["-t", &app, "--push", "--cache-to", &to]).succeeds();
    assert_eq!(first.ran(), STEPS, "{}", first.stderr);
    let made = one.image(&app);
    let layers: Vec<String> = made.layers.iter().map(|layer| layer.digest.clone()).collect();

    let two = one.another();
    project(&two, &base, 1_700_000_000);
    let before = proxy.server().requests().len();
    let second = two.build(&["-t", &app, "--push", "--cache-from", &cache]).succeeds();
    assert_eq!((second.cached(), second.ran()), (STEPS_OF_IMAGE, 0), "{}", second.stderr);
    assert_eq!(two.image(&app).digest, made.digest);
    let requests = proxy.server().requests().split_off(before);
    let of_cache = requests.iter().filter(|request| request.path.contains("/v2/cache/"));
    assert_eq!(of_cache.count(), 1, "one request tells what is there");
    let moved = requests.iter().filter(|request| {
        request.method != "HEAD" && (is_layer(request, &layers) || request.path.contains("uploads"))
    });
    assert_eq!(moved.map(|request| &request.path).collect::<Vec<_>>(), [] as [&String; 0]);
    assert!(
        layers.iter().all(|layer| !two
            .store()
            .join("blobs")
            .join(layer.replace(':', "/"))
            .exists())
    );

    // To another repository the registry takes the layers over by itself.
    let other = image(&proxy, "other:1");
    let before = proxy.server().requests().len();
    let third = two.build(&["-t", &other, "--push"]).succeeds();
    assert_eq!(third.ran(), 0, "{}", third.stderr);
    let requests = proxy.server().requests().split_off(before);
    let sent: usize =
        requests.iter().filter(|r| r.path.contains("/blobs/")).map(|r| r.body.len()).sum();
    assert!(
        sent < 10_000 && !requests.iter().any(|r| r.method == "GET" && is_layer(r, &layers)),
        "{sent}"
    );

    // What changed is made, on what is fetched for it and no more.
    two.write("src/main", "changed\n");
    let before = proxy.server().requests().len();
    let fourth = two.build(&["-t", "app", "-o", "out/tree", "--cache-from", &cache]).succeeds();
    assert_eq!(fourth.cached_steps(), ["WORKDIR /app"], "{}", fourth.stderr);
    assert_eq!(two.exported("app/out"), "changed\npart\n");
    assert!(fourth.stderr.contains("fetching layer "), "{}", fourth.stderr);
    let requests = proxy.server().requests().split_off(before);
    let fetched: Vec<&Request> =
        requests.iter().filter(|r| r.method == "GET" && is_layer(r, &layers)).collect();
    assert!(!fetched.is_empty() && fetched.len() < layers.len(), "{fetched:?}");
    Ok(())
}

#[test]
fn cold_clone_of_caller() {
    run_or_skip("e2e_sharing::hits::cold_clone_of_caller", || cold_clone(Who::Caller));
}

#[test]
fn cold_clone_of_mapped() {
    run_or_skip("e2e_sharing::hits::cold_clone_of_mapped", || cold_clone(Who::Mapped));
}

#[test]
fn cold_clone_of_single_id() {
    run_or_skip("e2e_sharing::hits::cold_clone_of_single_id", || cold_clone(Who::SingleId));
}

#[test]
fn between_users() {
    run_or_skip("e2e_sharing::hits::between_users", || {
        let (_registry, proxy) = registry()?;
        let one = bed(Who::Caller)?;
        let base = push_base(&one, &proxy);
        let cache = image(&proxy, "cache:1");
        project(&one, &base, 1);
        let to = format!("type=registry,ref={cache},mode=max");
        let first = one.build(&["-t", "app", "--cache-to", &to]).succeeds();
        let mapped = bed(Who::Mapped)?;
        project(&mapped, &base, 2);
        let second = mapped.build(&["-t", "app", "--cache-from", &cache]).succeeds();
        if one.has_one_id() {
            return Err(Skipped::because("the caller has a single id"));
        }
        assert_eq!((second.cached(), second.ran()), (STEPS_OF_IMAGE, 0), "{}", second.stderr);
        assert_eq!(second.image_id(), first.image_id());
        // Who has a single id only pretends to change owners: commands run again, files are copied.
        let single = bed(Who::SingleId)?;
        project(&single, &base, 3);
        let third = single.build(&["-t", "app", "--cache-from", &cache]).succeeds();
        let ran = third.ran_steps();
        assert!(ran.contains(&"RUN echo run > /run.txt"), "{}", third.stderr);
        assert!(third.cached_steps().contains(&"WORKDIR /app"), "{}", third.stderr);
        Ok(())
    });
}

/// Makes all of a context what another umask would have made of it.
fn close(bed: &Bed) {
    let mut folders = vec![bed.context()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
}

#[test]
fn another_umask() {
    check("hits::another_umask", |one| {
        let (_registry, proxy) = registry()?;
        let base = push_base(one, &proxy);
        for (flags, hits) in [(&[][..], false), (&["--normalise-modes"][..], true)] {
            let cache = image(&proxy, if hits { "normal:1" } else { "plain:1" });
            project(one, &base, 1);
            let to = format!("type=registry,ref={cache},mode=max");
            let args = [flags, &["-t", "app", "--no-cache", "--cache-to", &to]].concat();
            let first = one.build(&args).succeeds();
            let two = one.another();
            project(&two, &base, 2);
            close(&two);
            let second = two.build(&[flags, &["-t", "app", "--cache-from", &cache]].concat());
            let second = second.succeeds();
            assert_eq!(second.ran() == 0, hits, "{}", second.stderr);
            // Also what the other machine had is known.
            let explained = second.stderr.contains("src/main (mode 0644 → 0600)");
            assert_eq!(explained, !hits, "{}", second.stderr);
            assert_eq!(second.image_id() == first.image_id(), hits, "{}", second.stderr);
        }
        Ok(())
    });
}

#[test]
fn min_and_max() {
    check("hits::min_and_max", |one| {
        let (_registry, proxy) = registry()?;
        let base = push_base(one, &proxy);
        project(one, &base, 1);
        let caches = ["min", "max"].map(|mode| (mode, image(&proxy, &format!("cache:{mode}"))));
        let to =
            caches.each_ref().map(|(mode, name)| format!("type=registry,ref={name},mode={mode}"));
        let _ = one.build(&["-t", "app", "--cache-to", &to[0], "--cache-to", &to[1]]).succeeds();
        for (mode, cache) in &caches {
            let two = one.another();
            project(&two, &base, 2);
            let build = two.build(&["--target", "build", "--cache-from", cache]).succeeds();
            let hits = if *mode == "max" { 2 } else { 0 };
            assert_eq!(build.cached(), hits, "{mode}: {}", build.stderr);
        }
        // A cached build writes all of it again, also what it did not look at.
        let three = one.another();
        project(&three, &base, 3);
        let again = image(&proxy, "cache:again");
        let to = format!("type=registry,ref={again},mode=max");
        let written = three.build(&["--cache-from", &caches[1].1, "--cache-to", &to]).succeeds();
        assert_eq!(written.ran(), 0, "{}", written.stderr);
        let four = one.another();
        project(&four, &base, 4);
        let build = four.build(&["--target", "build", "--cache-from", &again]).succeeds();
        assert_eq!(build.ran(), 0, "{}", build.stderr);
        Ok(())
    });
}

#[test]
fn with_an_epoch() {
    check("hits::with_an_epoch", |one| {
        let (_registry, proxy) = registry()?;
        let base = push_base(one, &proxy);
        let (cache, app) = (image(&proxy, "cache:1"), image(&proxy, "app:1"));
        let build = |bed: &Bed, epoch: &str, args: &[&str]| {
            let mut command = bed.build_command(args);
            let outcome = command.env("SOURCE_DATE_EPOCH", epoch).output().unwrap();
            dfbuild_testkit::Outcome::from(outcome).succeeds()
        };
        project(one, &base, 1);
        let to = format!("type=registry,ref={cache},mode=max");
        let first = build(one, "1700000000", &["-t", &app, "--push", "--cache-to", &to]);
        let two = one.another();
        project(&two, &base, 1);
        let before = proxy.server().requests().len();
        let second = build(&two, "1700000000", &["-t", &app, "--push", "--cache-from", &cache]);
        assert_eq!((second.ran(), second.image_id()), (0, first.image_id()), "{}", second.stderr);
        let requests = proxy.server().requests().split_off(before);
        let blobs = requests.iter().filter(|r| r.method == "GET" && r.path.contains("/blobs/"));
        let blobs: Vec<&String> = blobs.map(|request| &request.path).collect();
        assert_eq!(blobs.len(), 1, "the configuration of the base alone: {blobs:?}");
        // Another epoch makes of the same cache what it would make of a build of its own.
        let (three, four) = (one.another(), one.another());
        project(&three, &base, 1);
        project(&four, &base, 1);
        let by_cache = build(&three, "1700000005", &["-t", "app", "--cache-from", &cache]);
        let fresh = build(&four, "1700000005", &["-t", "app"]);
        assert_eq!(by_cache.ran(), 0, "{}", by_cache.stderr);
        let diff_ids = |bed: &Bed| bed.image("app").config["rootfs"].clone();
        assert_eq!(diff_ids(&three), diff_ids(&four));
        assert!(fresh.ran() > 0);
        Ok(())
    });
}
