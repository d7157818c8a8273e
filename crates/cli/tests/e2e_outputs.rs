//! What comes out of a build: images of several platforms, archives, folders, notes.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use dfbuild_testkit::{Bed, Bundle, Differ, Skipped, as_each_user, differences, run};
use serde_json::Value;

as_each_user!(
    several_platforms_become_an_index,
    stages_of_the_build_platform_run_once,
    foreign_commands_are_refused_first,
    files_of_several_platforms_lie_apart,
    layers_are_compressed_as_asked,
    times_are_rewritten,
    notes_are_where_they_belong,
    a_layout_in_a_folder_keeps_what_is_there,
);

/// Needs no program of the platform.
const FOREIGN: &str = "FROM scratch\nARG TARGETPLATFORM TARGETARCH\nCOPY file /$TARGETARCH\n\
    LABEL platform=$TARGETPLATFORM\n";
const BOTH: [&str; 2] = ["--platform", "linux/amd64,linux/arm/v7"];

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))
}

/// The descriptor in a layout's index that leads to the only image, or to that name.
fn top(layout: &Path, name: &str) -> Value {
    let index = json(layout.join("index.json"));
    let manifests = index["manifests"].as_array().unwrap();
    let named = |descriptor: &&Value| {
        let known = &descriptor["annotations"]["io.containerd.image.name"];
        known.as_str().is_some_and(|known| known.contains(name))
    };
    manifests.iter().find(named).unwrap_or_else(|| panic!("{name} in {index:#}")).clone()
}

fn layers(layout: &Path, name: &str) -> Vec<Value> {
    let manifest = json(blob(layout, &top(layout, name)["digest"]));
    manifest["layers"].as_array().unwrap().clone()
}

fn several_platforms_become_an_index(bed: &Bed) -> Result<(), Skipped> {
    bed.write("Dockerfile", FOREIGN);
    bed.write("file", "x");
    let (iid, metadata) = (bed.join("out/iid"), bed.join("out/metadata.json"));
    let archive = bed.join("out/both.tar");
    let output = format!("type=oci,dest={}", archive.display());
    let files = ["--iidfile", iid.to_str().unwrap(), "--metadata-file", metadata.to_str().unwrap()];
    let built = bed.build(&[&BOTH[..], &files, &["-t", "both", "-o", &output]].concat());
    let built = built.succeeds();
    assert_eq!(built.ran(), 2, "{}", built.stderr);
    assert!(built.stderr.contains("[linux/arm/v7 1/1] COPY file"), "{}", built.stderr);
    let descriptor = top(&bed.store(), "both");
    assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.index.v1+json");
    let digest = descriptor["digest"].as_str().unwrap();
    assert_eq!(fs::read_to_string(&iid).unwrap(), digest);
    let metadata = json(&metadata);
    assert_eq!(metadata["containerimage.digest"], digest);
    assert_eq!(metadata["containerimage.config.digest"], Value::Null);
    let index = json(blob(&bed.store(), &descriptor["digest"]));
    let platforms: Vec<_> =
        index["manifests"].as_array().unwrap().iter().map(|m| m["platform"].clone()).collect();
    assert_eq!(platforms[0]["architecture"], "amd64");
    assert_eq!(platforms[1]["architecture"], "arm");
    assert_eq!(platforms[1]["variant"], "v7");
    // Others find their platform in it.
    for (arch, variant, expect) in [("amd64", "", "linux/amd64"), ("arm", "v7", "linux/arm/v7")] {
        let name = format!("oci-archive:{}:latest", archive.display());
        let choose = ["--override-os", "linux", "--override-arch", arch, "--override-variant"];
        let inspect = ["inspect", "--config", &name];
        let found = run("skopeo", &[&choose[..], &[variant], &inspect].concat())?;
        let config: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(config["config"]["Labels"]["platform"], expect);
    }
    let docker = format!("type=docker,dest={}", bed.join("out/docker.tar").display());
    let refused = bed.build(&[&BOTH[..], &["-o", &docker]].concat()).exits_with(1);
    assert!(refused.stderr.contains("use type=oci for several"), "{}", refused.stderr);
    // And so does the next build.
    bed.write("Dockerfile", "FROM both\nCOPY --from=both /arm /found\n");
    let arm = ["--platform", "linux/arm/v7", "-t", "next", "--offline"];
    let _ = bed.build(&arm).succeeds();
    assert_eq!(bed.image("next").config["variant"], "v7");
    Ok(())
}

fn stages_of_the_build_platform_run_once(bed: &Bed) {
    bed.base();
    bed.write(
        "Dockerfile",
        "FROM --platform=$BUILDPLATFORM base AS tools\nRUN echo made > /made\n\
         FROM scratch\nCOPY --from=tools /made /made\n",
    );
    let built = bed.build(&[&BOTH[..], &["-t", "both", "--no-cache"]].concat()).succeeds();
    assert_eq!(built.ran(), 3, "one RUN and two COPY: {}", built.stderr);
}

fn foreign_commands_are_refused_first(bed: &Bed) -> Result<(), Skipped> {
    if fs::exists("/proc/sys/fs/binfmt_misc/qemu-s390x").unwrap_or(false) {
        return Err(Skipped::because("this machine emulates s390x"));
    }
    bed.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\nRUN [\"/made\"]\n");
    let refused = bed.build(&["--platform", "linux/amd64,linux/s390x"]).exits_with(1);
    let refused = refused.says(&["cannot run a command for linux/s390x", ">>> RUN"]);
    assert_eq!(refused.ran_steps(), [] as [&str; 0], "{}", refused.stderr);
    Ok(())
}

fn files_of_several_platforms_lie_apart(bed: &Bed) -> Result<(), Skipped> {
    bed.write("Dockerfile", FOREIGN);
    bed.write("file", "x");
    let out = |name: &str| bed.join("out").join(name);
    let outputs = [
        format!("type=local,dest={}", out("apart").display()),
        format!("type=local,dest={},platform-split=false", out("together").display()),
        format!("type=tar,dest={}", out("files.tar").display()),
    ];
    let flags: Vec<&str> = outputs.iter().flat_map(|output| ["-o", output]).collect();
    let _ = bed.build(&[&BOTH[..], &flags].concat()).succeeds();
    for file in ["apart/linux_amd64/amd64", "apart/linux_arm_v7/arm", "together/amd64"] {
        assert_eq!(fs::read_to_string(out(file)).unwrap(), "x", "{file}");
    }
    assert!(out("together/arm").exists());
    let listed = run("tar", &["-tf", out("files.tar").to_str().unwrap()])?;
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        ["linux_amd64/", "linux_amd64/amd64", "linux_arm_v7/", "linux_arm_v7/arm"]
    );
    Ok(())
}

fn layers_are_compressed_as_asked(bed: &Bed) -> Result<(), Skipped> {
    bed.base();
    bed.write("Dockerfile", "FROM base\nCOPY file /file\nRUN cp /file /copy\n");
    bed.write("file", "some text that is long enough ".repeat(1000));
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1600000000"];
    let build = |name: &str, how: &str| {
        let layout = bed.join("out").join(name);
        let output = format!("type=oci,tar=false,dest={},{how}", layout.display());
        let tag = format!("{name}:1");
        let _ = bed.build(&[&epoch[..], &["-t", &tag, "-o", &output]].concat()).succeeds();
        (layout, tag)
    };
    let (gzip, _) = build("gzip", "compression=gzip,compression-level=9");
    let of_base = layers(&bed.store(), "base:latest");
    for (how, media_type) in [
        ("compression=zstd,compression-level=19", "application/vnd.oci.image.layer.v1.tar+zstd"),
        ("compression=uncompressed", "application/vnd.oci.image.layer.v1.tar"),
    ] {
        let name = &how[12..16];
        let (layout, tag) = build(name, how);
        let found = layers(&layout, &tag);
        // The base stays as it is.
        assert_eq!(found[..of_base.len()], of_base[..]);
        for layer in &found[of_base.len()..] {
            assert_eq!(layer["mediaType"], media_type);
        }
        // The image in the store is the same one.
        assert_eq!(layers(&bed.store(), &tag), found);
        let config = |layout: &Path, tag: &str| {
            let manifest = json(blob(layout, &top(layout, tag)["digest"]));
            json(blob(layout, &manifest["config"]["digest"]))
        };
        assert_eq!(config(&layout, &tag)["rootfs"], config(&gzip, "gzip:1")["rootfs"]);
        // Old tools know no zstd; skopeo makes gzip of it.
        let plain = bed.join(format!("plain-{name}"));
        let from = format!("oci:{}:1", layout.display());
        let to = format!("oci:{}:1", plain.display());
        let copy = ["copy", "--insecure-policy", "-q", "--dest-compress-format", "gzip"];
        run("skopeo", &[&copy[..], &["--dest-compress", &from, &to]].concat())?;
        let (one, other) = (bed.join(format!("u-{name}")), bed.join(format!("g-{name}")));
        let one = Bundle::unpack(&plain, "1", &one)?;
        let other = Bundle::unpack(&gzip, "1", &other)?;
        let none: [String; 0] = [];
        assert_eq!(differences(&one.rootfs(), &other.rootfs(), Differ::Nothing), none);
    }
    Ok(())
}

fn times_are_rewritten(bed: &Bed) -> Result<(), Skipped> {
    const EPOCH: &str = "1000000000";
    bed.base();
    bed.write("Dockerfile", "FROM base\nCOPY old new /\nRUN echo made > /made\n");
    for (name, time) in [("old", 900_000_000), ("new", 1_100_000_000)] {
        bed.write(name, name);
        bed.touch(name, time);
    }
    let plain = format!("type=tar,dest={}", bed.join("out/plain.tar").display());
    let clamped =
        format!("type=tar,rewrite-timestamp=true,dest={}", bed.join("out/clamped.tar").display());
    let epoch = format!("SOURCE_DATE_EPOCH={EPOCH}");
    let _ = bed.build(&["--build-arg", &epoch, "-o", &plain, "-o", &clamped]).succeeds();
    let time = |archive: &str, file: &str| {
        let path = bed.join("out").join(archive);
        let flags = ["--full-time", "--utc", "-tvf", path.to_str().unwrap(), file];
        let line = run("tar", &flags)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(format!("{} {}", words[3], words[4]))
    };
    let (epoch, old, new) = ("2001-09-09 01:46:40", "1998-07-09 16:00:00", "2004-11-09 11:33:20");
    for (archive, file, expect) in [
        ("plain.tar", "old", old),
        ("plain.tar", "new", new),
        ("plain.tar", "made", epoch),
        ("clamped.tar", "old", old),
        ("clamped.tar", "new", epoch),
        ("clamped.tar", "made", epoch),
    ] {
        assert_eq!(time(archive, file)?, expect, "{file} in {archive}");
    }
    // What is the base's stays.
    assert_eq!(time("plain.tar", "bin/")?, time("clamped.tar", "bin/")?);
    Ok(())
}

fn notes_are_where_they_belong(bed: &Bed) {
    bed.write("Dockerfile", FOREIGN);
    bed.write("file", "x");
    let notes = [
        "--annotation=on=all",
        "--annotation=manifest[linux/amd64]:on=one",
        "--annotation=index,index-descriptor:on=index",
        "--annotation=manifest-descriptor:on=descriptor",
    ];
    let _ = bed.build(&[&BOTH[..], &notes, &["-t", "both"]].concat()).succeeds();
    let descriptor = top(&bed.store(), "both");
    assert_eq!(descriptor["annotations"]["on"], "index");
    let index = json(blob(&bed.store(), &descriptor["digest"]));
    assert_eq!(index["annotations"]["on"], "index");
    let manifests = index["manifests"].as_array().unwrap();
    for (manifest, expect) in manifests.iter().zip(["one", "all"]) {
        assert_eq!(manifest["annotations"]["on"], "descriptor");
        assert_eq!(json(blob(&bed.store(), &manifest["digest"]))["annotations"]["on"], expect);
    }
}

fn a_layout_in_a_folder_keeps_what_is_there(bed: &Bed) {
    bed.write("Dockerfile", "FROM scratch\nCOPY file /file\n");
    let layout = bed.join("out/layout");
    let output = format!("type=oci,tar=false,dest={}", layout.display());
    let build = |content: &str, tag: &str| {
        bed.write("file", content);
        let _ = bed.build(&["-t", tag, "-o", &output]).succeeds();
        top(&layout, tag)["digest"].as_str().unwrap().to_owned()
    };
    let (one, two) = (build("one", "app:1"), build("two", "app:2"));
    let again = build("three", "app:1");
    assert_ne!(one, again);
    assert_eq!(top(&layout, "app:2")["digest"], two.as_str());
    let index = json(layout.join("index.json"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    // It is a base for others.
    bed.write("Dockerfile", "FROM given\nCOPY --from=given /file /copy\n");
    let context = format!("given=oci-layout://{}:2", layout.display());
    let _ = bed.build(&["--offline", "--build-context", &context]).succeeds();
}
