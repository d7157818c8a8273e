//! Images that come and go: what is told of them, and what is refused before anything runs.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::Mutex;

use dfbuild::testing::{FakeSandbox, MemoryRegistry, engine};
use dfbuild::{
    Annotation, AnnotationTarget, Build, BuildContext, CacheExport, CacheSource, CacheTarget,
    Cancel, ContextStream, CopyFrom, Engine, Error, Event, LoadSource, Output, OutputKind,
    Platform, Reference, with_causes,
};
use dfbuild_testkit::noise;
use tempfile::TempDir;

fn of(text: &str) -> Build {
    Build::new(BuildContext::Empty).dockerfile_text(text)
}

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

/// The notices that `work` makes.
fn notices(work: impl FnOnce(&(dyn Fn(&Event) + Sync))) -> Vec<String> {
    let told = Mutex::new(Vec::new());
    work(&|event: &Event| {
        if let Event::Notice { text } = event {
            told.lock().unwrap().push(text.clone());
        }
    });
    told.into_inner().unwrap()
}

#[test]
fn a_pulled_image_of_another_platform_is_told_of() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path()).unwrap();
    let name = "registry.example/app:1".parse().unwrap();
    let build = of("FROM scratch\nLABEL a=b\n").platform(platform("linux/arm64"));
    let build = build.tag("registry.example/app:1").push(true);
    build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
    let pull = |wanted: &str| {
        notices(|observer| {
            engine.pull(&name, &platform(wanted), &observer, &Cancel::new()).unwrap();
        })
    };
    assert_eq!(pull("linux/arm64"), [""; 0]);
    assert_eq!(
        pull("linux/s390x"),
        ["image with reference registry.example/app:1 was found but does not match the specified \
          platform: wanted linux/s390x, actual: linux/arm64"]
    );
}

#[test]
fn files_of_the_caller_are_not_lost_to_an_output() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path()).unwrap();
    let out = folder.path().join("out");
    let build = of("FROM scratch\nCOPY <<EOF /bin/sh\nx\nEOF\nCOPY <<EOF /a\nx\nEOF\n");
    let build = build.output(Output::new(OutputKind::Directory(out.clone())));
    let run = || build.run(&engine, &|_: &Event| {}, &Cancel::new());
    fs::create_dir_all(out.join("bin/sh/mine")).unwrap();
    let error = with_causes(&run().unwrap_err());
    assert!(error.contains("bin/sh is a folder with something in it"), "{error}");
    // Nothing was written before it was seen.
    assert!(out.join("bin/sh/mine").is_dir() && !out.join("a").exists());
    fs::remove_dir(out.join("bin/sh/mine")).unwrap();
    run().unwrap();
    assert!(out.join("bin/sh").is_file() && out.join("a").is_file());
    fs::remove_dir_all(out.join("bin")).unwrap();
    fs::write(out.join("bin"), "mine").unwrap();
    let error = with_causes(&run().unwrap_err());
    assert!(error.contains("bin is no folder, and one in the image"), "{error}");
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir(&out).unwrap();
    let _socket = UnixListener::bind(out.join("a")).unwrap();
    let error = with_causes(&run().unwrap_err());
    assert!(error.contains("a is no file, and one in the image"), "{error}");
}

/// As with `/dev/null` and `/dev/stdout`, which root could replace.
#[test]
fn what_is_no_file_is_written_to_and_stays() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path().join("store")).unwrap();
    let build = of("FROM scratch\nCOPY <<EOF /d/greeting\nhello\nEOF\n").tag("app");
    let (link, file) = (folder.path().join("link"), folder.path().join("file"));
    symlink("file", &link).unwrap();
    let is_link = || fs::symlink_metadata(&link).unwrap().is_symlink();
    let output = Output::new(OutputKind::OciArchive(link.clone()));
    build.output(output).run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
    assert!(is_link() && fs::metadata(&file).unwrap().len() > 1024);
    let of =
        |path: &str| CopyFrom { image: "app".into(), path: path.into(), ..CopyFrom::default() };
    engine.copy_out(&of("/d/greeting"), &link).unwrap();
    assert!(is_link() && fs::read_to_string(&file).unwrap() == "hello\n");
    let error = with_causes(&engine.copy_out(&of("/d"), &link).unwrap_err());
    assert!(is_link() && error.contains("takes the content of a file"), "{error}");
}

#[test]
fn what_is_cancelled_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path().join("store")).unwrap();
    let (archive, out) = (folder.path().join("app.tar"), folder.path().join("out"));
    of("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
        .tag("app")
        .output(Output::new(OutputKind::OciArchive(archive.clone())))
        .run(&engine, &|_: &Event| {}, &Cancel::new())
        .unwrap();
    fs::create_dir(&out).unwrap();
    let cancel = Cancel::new();
    let ended = engine.cancelled_by(&cancel);
    cancel.cancel();
    let from = CopyFrom { image: "app".into(), path: "/".into(), ..CopyFrom::default() };
    let images: [&str; 1] = ["app"];
    for result in [
        ended.save(&images, None, &out.join("app.tar"), &|_: &Event| {}),
        ended.copy_out(&from, &out),
        ended.load(LoadSource::Path(archive), &[]).map(drop),
    ] {
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    }
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
}

#[test]
fn a_context_without_a_dockerfile_is_told_of() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path()).unwrap();
    let build = Build::new(BuildContext::Empty);
    let error = build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap_err();
    assert_eq!(with_causes(&error), "read Dockerfile Dockerfile: it is not in the context");
}

#[test]
fn what_is_pushed_by_digest_has_no_tag() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path()).unwrap();
    let push = |name: &str| {
        let build = of("FROM scratch\nRUN make\n").tag(name).push(true).push_by_digest(true);
        build.run(&engine, &|_: &Event| {}, &Cancel::new())
    };
    let error = push("registry.example:5000/app:1").unwrap_err().to_string();
    assert!(error.contains("app:1: what is pushed by digest has no tag"), "{error}");
    assert!(push("registry.example:5000/app").is_ok());
}

#[test]
fn a_docker_archive_of_several_platforms_is_refused_before_the_build() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path()).unwrap();
    let output = Output::new(OutputKind::DockerArchive(folder.path().join("a.tar")));
    let build = of("FROM scratch\nRUN make\n").output(output);
    let build = build.platform(platform("linux/amd64")).platform(platform("linux/arm64"));
    let events = Mutex::new(0);
    let error = build.run(&engine, &|_: &Event| *events.lock().unwrap() += 1, &Cancel::new());
    assert!(matches!(error, Err(Error::Option { .. })), "{error:?}");
    assert_eq!(events.into_inner().unwrap(), 0);
}

#[test]
fn a_cache_that_is_only_an_image_here_asks_no_registry() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path()).unwrap();
    let build = of("FROM scratch\nRUN make\n").tag("app:1");
    build.clone().run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
    let told = notices(|observer| {
        let cache = CacheSource::Registry("app:1".parse().unwrap());
        let again = build.cache_from(cache).run(&engine, &observer, &Cancel::new()).unwrap();
        assert_eq!(again.ran, 0);
    });
    let expect =
        "cache docker.io/library/app:1 is an image of this store: its steps are used anyway";
    assert_eq!(told, [expect]);
}

/// A build that is cached elsewhere leaves its layers there.
#[test]
fn layers_that_were_left_in_a_registry_are_fetched_by_whoever_looks_into_them() {
    let folder = TempDir::new().unwrap();
    let registry = MemoryRegistry::new();
    let store = |name: &str| Engine::open(folder.path().join(name)).unwrap();
    let with_sandbox = |engine: Engine| engine.with_sandbox(FakeSandbox::new(|_| 0));
    let cache: Reference = "registry.example/cache".parse().unwrap();
    let build = of("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n").tag("registry.example/app");
    let build = build.push(true);
    let there = with_sandbox(store("there")).with_registry(registry.clone());
    let export = CacheExport::new(CacheTarget::Registry(cache.clone()));
    build.clone().cache_to(export).run(&there, &|_: &Event| {}, &Cancel::new()).unwrap();

    let here = with_sandbox(store("here")).with_registry(registry.clone());
    let build = build.cache_from(CacheSource::Registry(cache));
    let again = build.run(&here, &|_: &Event| {}, &Cancel::new()).unwrap();
    assert_eq!((again.cached, again.ran), (1, 0));
    let alone = store("here");
    let name = "registry.example/app";
    let copy = |engine: &Engine| {
        let from = CopyFrom { image: name.into(), path: "/greeting".into(), ..CopyFrom::default() };
        engine.copy_out(&from, &folder.path().join("greeting"))
    };
    let refused = [
        copy(&alone).unwrap_err(),
        alone.layer_reports(name, None).unwrap_err(),
        alone.save(&[name], None, &folder.path().join("a.tar"), &|_: &Event| {}).unwrap_err(),
    ];
    for error in refused {
        assert!(error.chain().contains("cannot be fetched"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("dfbuild pull")), "{error:?}");
    }
    copy(&here).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("greeting")).unwrap(), "hello\n");
    assert_eq!(alone.layer_reports(name, None).unwrap().len(), 1, "it is here now");
}

#[test]
fn a_large_archive_tells_how_far_it_is() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("context")).unwrap();
    std::fs::write(folder.path().join("context/big"), noise(8 << 20)).unwrap();
    let engine = engine(folder.path().join("store")).unwrap();
    let build = Build::new(folder.path().join("context"))
        .dockerfile_text("FROM scratch\nCOPY big /\n")
        .tag("big");
    build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
    let told = Mutex::new(Vec::new());
    let observer = |event: &Event| {
        if let Event::TaskProgress { done, size, .. } = event {
            told.lock().unwrap().push((*done, *size));
        }
    };
    engine.save(&["big"], None, &folder.path().join("big.tar"), &observer).unwrap();
    let told = told.into_inner().unwrap();
    assert!(told.len() >= 3 && told.is_sorted(), "{told:?}");
    assert!(told.iter().all(|(done, size)| done <= size), "{told:?}");
}

#[test]
fn one_platform_of_an_image_is_saved_and_pushed() {
    let folder = TempDir::new().unwrap();
    let store = engine(folder.path().join("store")).unwrap();
    let build = |name: &str, platforms: &[&str]| {
        let build = of("FROM scratch\nLABEL a=b\n").tag(name);
        let build = platforms.iter().fold(build, |build, one| build.platform(platform(one)));
        build.run(&store, &|_: &Event| {}, &Cancel::new()).unwrap();
    };
    build("registry.example/both", &["linux/amd64", "linux/arm64"]);
    let arm = platform("linux/arm64");
    let name: Reference = "registry.example/both".parse().unwrap();
    let push = |platform| store.push(&name, platform, &|_: &Event| {}, &Cancel::new()).unwrap();
    let (pushed, all) = (push(Some(&arm)), push(None));
    assert_ne!(pushed, all);
    let archive = folder.path().join("arm.tar");
    let save = |name: &str| store.save(&[name], Some(&arm), &archive, &|_: &Event| {});
    save("registry.example/both").unwrap();
    let other = engine(folder.path().join("other")).unwrap();
    let loaded = other.load(LoadSource::Path(archive.clone()), &[]).unwrap();
    assert_eq!(loaded[0].names, [name]);
    assert_eq!(loaded[0].descriptor.digest().to_string(), pushed.to_string());
    let details = other.inspect("registry.example/both", None).unwrap();
    assert_eq!(details.platforms, std::slice::from_ref(&arm));
    build("one", &["linux/amd64"]);
    let error = with_causes(&save("one").unwrap_err());
    assert!(error.contains("it is for linux/amd64, and not for linux/arm64"), "{error}");
    // A base for one processor is used for all, as BuildKit does: what counts is what the index says.
    let amd = platform("linux/amd64");
    let mixed =
        of("FROM one\nLABEL c=d\n").tag("mixed").platform(amd.clone()).platform(arm.clone());
    mixed.run(&store, &|_: &Event| {}, &Cancel::new()).unwrap();
    assert_eq!(store.inspect("mixed", None).unwrap().platforms, [amd, arm.clone()]);
    save("mixed").unwrap();
    build("two", &["linux/amd64", "linux/riscv64"]);
    let error = with_causes(&save("two").unwrap_err());
    assert!(error.contains("linux/arm64"), "{error}");
}

#[test]
fn an_archive_that_has_only_a_tag_wants_a_name_with_it() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path().join("store")).unwrap();
    let layout = folder.path().join("layout");
    let output = Output::new(OutputKind::OciDirectory(layout.clone()));
    let build = of("FROM scratch\nLABEL a=b\n").tag("app:7").output(output);
    build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
    // As skopeo writes it: the annotation that has the whole name is BuildKit's.
    let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
    let index = index.replace("io.containerd.image.name", "example.note");
    std::fs::write(layout.join("index.json"), index).unwrap();
    let error = engine.load(LoadSource::Path(layout.clone()), &[]).unwrap_err();
    let hint = error.hint().unwrap();
    assert_eq!(hint, "give it one with --tag NAME:7");
    let error = with_causes(&error);
    assert!(error.ends_with("an image in it has no name, only the tag 7"), "{error}");
    let loaded = engine.load(LoadSource::Path(layout), &["app:7".parse().unwrap()]).unwrap();
    assert_eq!(loaded[0].names[0].familiar_name(), "app");
}

#[test]
fn what_is_unpacked_for_a_look_is_unpacked_once() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, store) = (folder.path().join("app.tar"), folder.path().join("store"));
    let engine = Engine::open(folder.path().join("elsewhere")).unwrap();
    of("FROM scratch\nCOPY <<EOF /greeting\nhello\nEOF\n")
        .tag("app")
        .output(Output::new(OutputKind::OciArchive(archive.clone())))
        .run(&engine, &|_: &Event| {}, &Cancel::new())
        .unwrap();
    let load = LoadSource::Path(archive);
    Engine::open(&store).unwrap().load(load, &[]).unwrap();
    let from = CopyFrom { image: "app".into(), path: "/greeting".into(), ..CopyFrom::default() };
    let unpacked = || {
        // As a command does, with an engine of its own.
        Engine::open(&store).unwrap().copy_out_tar(&from, &mut std::io::sink()).unwrap();
        let flavours = fs::read_dir(store.join("snapshots")).unwrap();
        let folders = flavours.map(|flavour| fs::read_dir(flavour.unwrap().path()).unwrap());
        let mut names: Vec<_> = folders.flatten().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let first = unpacked();
    assert_eq!(first.len(), 2, "a folder and its marker: {first:?}");
    assert_eq!(unpacked(), first);
}

/// In an index the first name of a file is the file; in an archive it may be any of them.
#[test]
fn hard_links_of_archives_have_the_content_of_their_file() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path().join("store")).unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(6);
    archive.append_data(&mut header, "m", &b"hello\n"[..]).unwrap();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Link);
    for name in ["z", "a", "k"] {
        archive.append_link(&mut header, name, "m").unwrap();
    }
    let archive = archive.into_inner().unwrap();
    let context = folder.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("x.tar"), &archive).unwrap();
    let stream = ContextStream::new(Cursor::new(archive));
    for (context, dockerfile) in [
        (BuildContext::Directory(context), "FROM scratch\nADD x.tar /\n"),
        (BuildContext::Stream(stream), "FROM scratch\nCOPY . /\n"),
    ] {
        let build = Build::new(context).dockerfile_text(dockerfile).tag("app");
        build.run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        for path in ["/a", "/k", "/m", "/z"] {
            let (image, path) = ("app".into(), path.into());
            let from = CopyFrom { image, path, ..CopyFrom::default() };
            let to = folder.path().join("copy");
            engine.copy_out(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(to).unwrap(), "hello\n", "{dockerfile}: {from:?}");
        }
    }
}

#[test]
fn an_id_is_one_image_however_it_is_annotated() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path()).unwrap();
    let build = |build: Build, tag: &str| {
        build.tag(tag).run(&engine, &|_: &Event| {}, &Cancel::new()).unwrap();
        engine.inspect(tag, None).unwrap()
    };
    let plain = of("FROM scratch\nLABEL a=b\n");
    let (target, key, value) = (AnnotationTarget::Manifest, "a".into(), "b".into());
    let annotation = Annotation { target, platform: None, key, value };
    let (one, two) = (build(plain.clone(), "one"), build(plain.annotation(annotation), "two"));
    assert!(one.id == two.id && one.descriptor != two.descriptor);
    for id in [one.id.to_string(), one.id.hex()[..12].to_owned()] {
        assert_eq!(engine.inspect(&id, None).unwrap().id, one.id);
    }
}
