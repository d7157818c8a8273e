//! The images of the store: what is known of them, their names, archives of them.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use dfbuild_testkit::{Bed, Outcome, Skipped, as_each_user, fails, run};
use serde_json::Value;

as_each_user!(
    what_is_known_of_images,
    names_come_and_go,
    archives_go_round,
    archives_of_others_are_loaded,
    indexes_are_loaded_whole_or_in_part,
    what_cannot_be_loaded,
);

/// Two layers, and a configuration with a bit of everything.
const DOCKERFILE: &str = "FROM scratch\nCOPY one /one\nENV A=b\nCOPY two /two\nUSER 7\nWORKDIR /srv\n\
    EXPOSE 80\nLABEL x=y\nENTRYPOINT [\"/one\"]\nCMD [\"two\"]\n";

fn app(bed: &Bed, tags: &[&str]) {
    bed.write("Dockerfile", DOCKERFILE);
    bed.write("one", "1".repeat(10_000));
    bed.write("two", "2");
    let flags: Vec<&str> = tags.iter().flat_map(|tag| ["-t", tag]).collect();
    let _ = bed.build(&flags).succeeds();
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn what_is_known_of_images(bed: &Bed) {
    app(bed, &["app:1", "me/other"]);
    let known = json(&bed.run(&["inspect", "app:1"]).succeeds().stdout);
    let image = bed.image("app:1");
    let known = &known[0];
    assert_eq!(known["Descriptor"]["digest"], image.digest.as_str());
    assert_eq!(known["RepoTags"], serde_json::json!(["app:1", "me/other:latest"]));
    assert_eq!(known["RootFS"]["Layers"].as_array().unwrap().len(), 3);
    for (key, value) in [("User", "7"), ("WorkingDir", "/srv")] {
        assert_eq!(known["Config"][key], value);
    }
    assert_eq!(known["Config"]["Labels"]["x"], "y");
    // By its id, or the beginning of that.
    let id = known["Id"].as_str().unwrap();
    for name in [id, &id[7..19], &image.digest[..20], "docker.io/me/other"] {
        let again = json(&bed.run(&["inspect", name]).succeeds().stdout);
        assert_eq!(again[0]["Id"], id, "{name}");
    }
    let table = bed.run(&["inspect", "--format", "table", "app:1"]).succeeds().stdout;
    for line in
        ["Names        app:1, me/other:latest", "Workdir      /srv", "Entrypoint   [\"/one\"]"]
    {
        assert!(table.lines().any(|known| known == line), "{line} in {table}");
    }
    let history = bed.run(&["history", "app:1"]).succeeds().stdout;
    let lines: Vec<&str> = history.lines().collect();
    assert!(lines[0].starts_with("IMAGE          CREATED"), "{history}");
    assert!(lines[1].starts_with(&id[7..19]) && lines[1].contains("CMD [\"two\"]"), "{history}");
    assert!(lines[2].starts_with("<missing>"), "{history}");
    let history = bed.run(&["history", "--format", "json", "--no-trunc", "app:1"]).succeeds();
    let lines: Vec<Value> = history.stdout.lines().map(json).collect();
    assert_eq!(lines.len(), 9);
    assert_eq!(lines[8]["CreatedBy"], "COPY one /one # buildkit");
    assert_eq!(lines[8]["Size"], "11.8kB");
    fails(
        bed.run(&["inspect", "apq:1"]),
        &["hint: did you mean app:1?", "failed to find image apq:1: no local image has that name"],
    );
}

fn names_come_and_go(bed: &Bed) {
    app(bed, &["app:1"]);
    let _ = bed.run(&["tag", "app:1", "registry.example/app"]).succeeds();
    assert_eq!(bed.image("registry.example/app").digest, bed.image("app:1").digest);
    let id = json(&bed.run(&["inspect", "app:1"]).succeeds().stdout)[0]["Id"].clone();
    let id = &id.as_str().unwrap()[7..20];
    fails(bed.run(&["rm", id]), &["it has 2 names: app:1, registry.example/app:latest", "--force"]);
    let removed = bed.run(&["rmi", "app:1"]).succeeds();
    assert_eq!(removed.stdout, "Untagged: app:1\n");
    let _ = bed.run(&["tag", id, "me/third"]).succeeds();
    let removed = bed.run(&["rm", "-f", id]).succeeds().stdout;
    let lines: Vec<&str> = removed.lines().collect();
    assert_eq!(lines[..2], ["Untagged: me/third:latest", "Untagged: registry.example/app:latest"]);
    assert!(lines[2].strip_prefix("Deleted: sha256:").unwrap().starts_with(id), "{removed}");
    app(bed, &["registry.example/app"]);
    let removed = bed.run(&["rm", "--format", "json", id]).succeeds();
    let removed = json(&removed.stdout);
    assert_eq!(removed["Untagged"][0], "registry.example/app:latest");
    assert!(removed["Unused"].as_u64().unwrap() > 500, "{removed}");
    assert_eq!(bed.run(&["images", "-q"]).succeeds().stdout, "");
    fails(bed.run(&["rm", "app:1"]), &["there are no images in", "failed to find image app:1"]);
    let _ = bed.run(&["rm", "--force", "app:1"]).succeeds();
    fails(bed.run(&["tag", "app:1", "b"]), &["failed to find image app:1"]);
    let _ = bed.run(&["tag", "app:1", "NO"]).exits_with(2).says(&["must be lowercase"]);
}

/// Loads an archive into a store of its own.
fn load(bed: &Bed, args: &[&str]) -> (Bed, Outcome) {
    let other = bed.another();
    let loaded = other.run(&[&["load"], args].concat());
    (other, loaded)
}

fn archives_go_round(bed: &Bed) -> Result<(), Skipped> {
    app(bed, &["app:1", "app:2", "other"]);
    let archive = bed.join("out/images.tar");
    let _ = bed.run(&["save", "-o", text(&archive), "app:1", "app:2"]).succeeds();
    let (other, loaded) = load(bed, &["-i", text(&archive)]);
    let loaded = loaded.succeeds();
    assert_eq!(loaded.stdout, "Loaded image: app:1\nLoaded image: app:2\n");
    assert_eq!(other.image("app:2"), bed.image("app:2"));
    // Saved again it is the same, and so it is on standard output.
    let again = other.join("out/again.tar");
    let mut command = other.command();
    command.args(["save", "app:1", "app:2"]).stdout(fs::File::create(&again).unwrap());
    assert!(command.status().unwrap().success());
    assert!(fs::read(&archive).unwrap() == fs::read(&again).unwrap());
    // Several images with one tag have their whole names, so that nobody has to guess.
    let _ = bed.run(&["tag", "app:1", "me/same:1"]).succeeds();
    bed.write("Dockerfile", "FROM scratch\nCOPY two /\n");
    let _ = bed.build(&["-t", "small:1"]).succeeds();
    let several = bed.join("out/several.tar");
    let _ = bed.run(&["save", "-o", text(&several), "small:1", "me/same:1"]).succeeds();
    let config = |tag: &str| {
        let name = format!("oci-archive:{}:{tag}", several.display());
        Ok(json(&run("skopeo", &["inspect", "--config", "--raw", &name])?))
    };
    assert_eq!(config("me/same:1")?, bed.image("app:1").config);
    assert_eq!(config("small:1")?, bed.image("small:1").config);
    // Compressed, from standard input; it can be built upon.
    for program in ["gzip", "zstd"] {
        run(program, &["-q", "-k", "-f", text(&archive)])?;
        let end = if program == "gzip" { "gz" } else { "zst" };
        let compressed = fs::File::open(format!("{}.{end}", archive.display())).unwrap();
        let other = bed.another();
        let mut command = other.command();
        let output = command.args(["load", "-q"]).stdin(Stdio::from(compressed)).output().unwrap();
        let loaded = Outcome::from(output).succeeds();
        assert!(loaded.stdout.starts_with("sha256:"), "{}", loaded.stdout);
        assert_eq!(other.image("app:1"), bed.image("app:1"));
        other.write("Dockerfile", "FROM app:1\nCOPY --from=app:1 /one /copy\n");
        let _ = other.build(&["--offline"]).succeeds();
    }
    // Others read it in both forms.
    for form in ["oci-archive", "docker-archive"] {
        let tag = if form == "oci-archive" { "1" } else { "app:1" };
        let name = format!("{form}:{}:{tag}", archive.display());
        let config = json(&run("skopeo", &["inspect", "--config", "--raw", &name])?);
        assert_eq!(config, bed.image("app:1").config, "{form}");
    }
    Ok(())
}

fn archives_of_others_are_loaded(bed: &Bed) -> Result<(), Skipped> {
    app(bed, &["app:1"]);
    let out = |name: &str| bed.join("out").join(name);
    let store = format!("oci:{}:app:1", bed.store().display());
    let copy = |to: &str| run("skopeo", &["copy", "-q", "--insecure-policy", &store, to]);
    // skopeo writes them as Docker before 25 did: layers as plain archives, some of them links.
    copy(&format!("docker-archive:{}:old:1", out("docker.tar").display()))?;
    copy(&format!("oci-archive:{}:new:1", out("oci.tar").display()))?;
    copy(&format!("oci:{}", out("folder").display()))?;
    let config = bed.image("app:1").config;
    for (file, name) in [("docker.tar", "old:1"), ("oci.tar", "new:1")] {
        let (other, loaded) = load(bed, &["-i", text(&out(file))]);
        let loaded = loaded.succeeds();
        assert_eq!(loaded.stdout, format!("Loaded image: {name}\n"));
        assert_eq!(other.image(name).config, config);
        other.write("Dockerfile", format!("FROM {name}\nCOPY --from={name} /two /copy\n"));
        let tree = other.join("out/tree");
        let _ = other.build(&["--offline", "-o", text(&tree)]).succeeds();
        assert_eq!(other.exported("copy"), "2");
        assert_eq!(other.exported("one").len(), 10_000);
    }
    // A folder whose image has no name is given one.
    let (_, nameless) = load(bed, &["-i", text(&out("folder"))]);
    fails(nameless, &["give it one with --tag NAME", "an image in it has no name"]);
    let (other, loaded) = load(bed, &["-i", text(&out("folder")), "-t", "a", "-t", "b:2"]);
    assert_eq!(loaded.succeeds().stdout, "Loaded image: a:latest\nLoaded image: b:2\n");
    assert_eq!(other.image("b:2").layers, bed.image("app:1").layers);
    Ok(())
}

fn indexes_are_loaded_whole_or_in_part(bed: &Bed) -> Result<(), Skipped> {
    bed.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\n");
    bed.write("file", "x");
    let _ = bed.build(&["--platform", "linux/amd64,linux/arm/v7", "-t", "both"]).succeeds();
    let archive = bed.join("out/both.tar");
    let _ = bed.run(&["save", "-o", text(&archive), "both"]).succeeds();
    let (other, loaded) = load(bed, &["-i", text(&archive)]);
    let _ = loaded.succeeds();
    let known = json(&other.run(&["inspect", "both"]).succeeds().stdout);
    assert_eq!(known[0]["Platforms"], serde_json::json!(["linux/amd64", "linux/arm/v7"]));
    let arm = ["inspect", "--platform", "linux/arm/v7", "both"];
    assert_eq!(json(&other.run(&arm).succeeds().stdout)[0]["Architecture"], "arm");
    // Without the blobs of one platform the other is there.
    let part = bed.join("out/part");
    fs::create_dir(&part).unwrap();
    run("tar", &["-C", text(&part), "-xf", text(&archive)])?;
    let digest =
        json(&other.run(&arm).succeeds().stdout)[0]["Id"].as_str().unwrap()[7..].to_owned();
    fs::remove_file(part.join("blobs/sha256").join(digest)).unwrap();
    bed.own(&bed.join("out"));
    let (other, loaded) = load(bed, &["-i", text(&part)]);
    let _ = loaded.succeeds().says(&["both:latest is there for one platform only"]);
    let known = json(&other.run(&["inspect", "both"]).succeeds().stdout);
    assert_eq!(known[0]["Platforms"], serde_json::json!(["linux/amd64"]));
    Ok(())
}

fn what_cannot_be_loaded(bed: &Bed) {
    app(bed, &["app:1"]);
    let archive = bed.join("out/app.tar");
    let _ = bed.run(&["save", "-o", text(&archive), "app:1"]).succeeds();
    let (_, missing) = load(bed, &["-i", "/nonexistent.tar"]);
    fails(missing, &["failed to load /nonexistent.tar: open /nonexistent.tar: No such file"]);
    let (_, dockerfile) = load(bed, &["-i", text(&bed.context().join("Dockerfile"))]);
    fails(dockerfile, &["hint: what there is to load", "it is no archive"]);
    let (_, context) = load(bed, &["-i", text(&bed.context())]);
    fails(context, &["it has neither index.json nor manifest.json"]);
    // A byte of a layer is another one.
    let whole = fs::read(&archive).unwrap();
    let layer = bed.image("app:1").layers[0].digest.clone();
    let blob = fs::read(bed.store().join("blobs").join(layer.replace(':', "/"))).unwrap();
    let at = whole.windows(blob.len()).position(|window| window == blob).unwrap();
    let mut damaged = whole.clone();
    damaged[at + 20] ^= 1;
    let path = bed.join("out/damaged.tar");
    fs::write(&path, damaged).unwrap();
    let (other, refused) = load(bed, &["-i", text(&path)]);
    fails(refused, &["is damaged in it"]);
    assert_eq!(other.run(&["images", "-q"]).succeeds().stdout, "");
    // Cut off.
    fs::write(&path, &whole[..at + 600]).unwrap();
    let (_, refused) = load(bed, &["-i", text(&path)]);
    fails(refused, &["failed to load"]);
}
