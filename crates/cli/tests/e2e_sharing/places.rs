//! Caches in folders and in images.

use std::fs;

use serde_json::Value;

use super::{STEPS, STEPS_OF_IMAGE, check, image, project, push_base, registry};

#[test]
fn a_folder() {
    check("places::a_folder", |one| {
        one.base();
        project(one, "base", 1);
        let folder = one.join("out/cache");
        let to = format!("type=local,dest={},mode=max", folder.display());
        let first = one.build(&["-t", "app", "--cache-to", &to]).succeeds();
        assert_eq!(first.ran(), STEPS, "{}", first.stderr);
        // Another cache under another name leaves the first one alone.
        let other = format!("type=local,dest={},tag=other", folder.display());
        let _ = one.build(&["--target", "build", "--cache-to", &other]).succeeds();

        let from = format!("type=local,src={}", folder.display());
        let two = one.another();
        two.base();
        project(&two, "base", 2);
        let second = two.build(&["-t", "app", "-o", "out/tree", "--cache-from", &from]).succeeds();
        assert_eq!((second.cached(), second.ran()), (STEPS_OF_IMAGE, 0), "{}", second.stderr);
        assert_eq!(second.image_id(), first.image_id());
        assert_eq!(two.exported("app/out"), "main\npart\n");

        // A folder that is gone is none, and what was left in it is made again.
        let three = one.another();
        three.base();
        project(&three, "base", 3);
        let cached = three.build(&["--cache-from", &from]).succeeds();
        assert_eq!(cached.ran(), 0, "{}", cached.stderr);
        fs::remove_dir_all(&folder).unwrap();
        let fresh = three.build(&["-t", "app", "-o", "out/tree", "--cache-from", &from]).succeeds();
        let fresh = fresh.says(&["is not used: "]);
        assert!(fresh.ran() > 0, "{}", fresh.stderr);
        assert_eq!(three.exported("app/out"), "main\npart\n");
        Ok(())
    });
}

#[test]
fn an_image() {
    check("places::an_image", |one| {
        let (_registry, proxy) = registry()?;
        let base = push_base(one, &proxy);
        let app = image(&proxy, "app:1");
        project(one, &base, 1);
        let plain = one.build(&["-t", "plain"]).succeeds();
        let first = one.build(&["-t", &app, "--push", "--cache-to", "type=inline"]).succeeds();
        assert_eq!(first.image_id(), plain.image_id(), "the image itself is the same");
        let two = one.another();
        project(&two, &base, 2);
        let second = two.build(&["-t", "app", "--cache-from", &app]).succeeds();
        assert_eq!((second.cached(), second.ran()), (STEPS_OF_IMAGE, 0), "{}", second.stderr);
        assert_eq!(second.image_id(), first.image_id());
        // It can be built upon like any other, and what is built has nothing of it.
        two.write("Dockerfile", format!("FROM {app}\nRUN cat /app/out > /copy\n"));
        let upon = two.build(&["-t", "upon", "-o", "out/tree"]).succeeds();
        assert_eq!((upon.ran(), two.exported("copy").as_str()), (1, "main\npart\n"));
        let manifest = two.image("upon").digest.replace(':', "/");
        let manifest = fs::read(two.store().join("blobs").join(manifest)).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["annotations"], Value::Null);
        Ok(())
    });
}

#[test]
fn what_the_store_keeps_can_be_read_without_the_cache() {
    check("places::what_the_store_keeps_can_be_read_without_the_cache", |one| {
        let (registry, proxy) = registry()?;
        let base = push_base(one, &proxy);
        let cache = image(&proxy, "cache:1");
        project(one, &base, 1);
        let to = format!("type=registry,ref={cache}");
        let _ = one.build(&["-t", "app", "--cache-to", &to]).succeeds();
        let two = one.another();
        project(&two, &base, 2);
        let built = two.build(&["-t", "app", "--cache-from", &cache]).succeeds();
        assert_eq!(built.ran(), 0, "{}", built.stderr);
        // An image with a name is whole.
        for layer in two.image("app").layers {
            assert!(two.store().join("blobs").join(layer.digest.replace(':', "/")).exists());
        }
        drop((proxy, registry));
        let again = two.build(&["-t", "app", "-o", "out/tree"]).succeeds();
        assert_eq!((again.ran(), two.exported("app/out").as_str()), (0, "main\npart\n"));
        Ok(())
    });
}

#[test]
fn an_image_that_was_left_in_its_registry_is_fetched_by_who_looks_into_it() {
    check(
        "places::an_image_that_was_left_in_its_registry_is_fetched_by_who_looks_into_it",
        |one| {
            let (_registry, proxy) = registry()?;
            let base = push_base(one, &proxy);
            let (cache, app) = (image(&proxy, "cache:1"), image(&proxy, "app:1"));
            project(one, &base, 1);
            let to = format!("type=registry,ref={cache}");
            let _ = one.build(&["-t", &app, "--push", "--cache-to", &to]).succeeds();
            let two = one.another();
            project(&two, &base, 2);
            let _ = two.build(&["-t", &app, "--push", "--cache-from", &cache]).succeeds();
            let saved = two.run(&["save", "--offline", "-o", "out/app.tar", &app]);
            dfbuild_testkit::fails(saved, &["cannot be fetched", "dfbuild pull"]);
            assert!(!two.join("out/app.tar").exists());
            let ran = two.run(&["run", "--rm", &app, "cat", "/run.txt"]).succeeds();
            assert_eq!(ran.stdout, "run\n");
            let _ = two.run(&["save", "-o", "out/app.tar", &app]).succeeds();
            Ok(())
        },
    );
}

#[test]
fn several_platforms() {
    check("places::several_platforms", |one| {
        let (_registry, proxy) = registry()?;
        let (cache, app) = (image(&proxy, "cache:1"), image(&proxy, "app:1"));
        let fill = |bed: &dfbuild_testkit::Bed, seconds| {
            bed.write("file", "file\n");
            bed.write(
                "Dockerfile",
                "FROM scratch\nARG TARGETARCH\nWORKDIR /$TARGETARCH\nCOPY file /\n",
            );
            bed.set_times(seconds);
        };
        fill(one, 1);
        let to = format!("type=registry,ref={cache}");
        let platforms = ["--platform", "linux/amd64,linux/arm64"];
        let args = ["-t", &app, "--push", "--cache-to", &to, "--cache-to", "type=inline"];
        let first = one.build(&[&platforms[..], &args].concat()).succeeds();
        assert_eq!(first.ran(), 4, "{}", first.stderr);
        for from in [&cache, &app] {
            let two = one.another();
            fill(&two, 2);
            let args = [&platforms[..], &["-t", "app", "--cache-from", from]].concat();
            let second = two.build(&args).succeeds();
            assert_eq!((second.cached(), second.ran()), (4, 0), "{from}: {}", second.stderr);
        }
        Ok(())
    });
}
