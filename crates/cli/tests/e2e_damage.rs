//! Builds on a store in which something was damaged: it is named, dropped and made again.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dfbuild_testkit::{Bed, as_each_user, run};

as_each_user!(
    any_flipped_byte_is_survived,
    any_torn_file_is_survived,
    what_cannot_be_made_again_is_named,
    damage_everywhere_is_found_and_repaired,
    changed_files_of_a_layer_are_found,
    a_lost_image_is_no_miss,
);

const DOCKERFILE: &str = "FROM base AS tools\nRUN echo tool > /tool\nFROM base\n\
    COPY --from=tools /tool /tool\nRUN echo built > /built\nCOPY file /file\n";

/// Builds an image and writes it out, which reads every byte of it. With a fixed epoch a step that
/// runs again gives the same bytes.
fn build(bed: &Bed) -> (String, String) {
    let output = format!("type=oci,dest={}", bed.join("out/image.tar").display());
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1600000000"];
    let built = bed.build(&[&["-t", "app", "-o", &output], &epoch[..]].concat()).succeeds();
    let image = bed.image("app");
    for layer in &image.layers {
        let blob = layer_path(bed, &layer.digest);
        let sum = run("sha256sum", &[blob.to_str().unwrap()]).unwrap();
        assert!(layer.digest.ends_with(sum.split(' ').next().unwrap()), "{}", built.stderr);
    }
    (image.digest, built.stderr)
}

fn layer_path(bed: &Bed, digest: &str) -> PathBuf {
    bed.store().join("blobs").join(digest.replace(':', "/"))
}

fn start(bed: &Bed) -> String {
    bed.base();
    bed.write("Dockerfile", DOCKERFILE);
    bed.write("file", "content");
    build(bed).0
}

/// The files of the store that a build reads: blobs, what is known of layers, records.
fn files(bed: &Bed) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["blobs", "layers", "records", "scratch", "origins"] {
        list(&bed.store().join(folder), &mut found);
    }
    found.sort();
    found
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, found) } else { found.push(path) }
    }
}

fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    // In place, so that it stays its owner's.
    fs::write(path, bytes).unwrap();
}

/// The manifest and the configuration of the base: nothing makes them again.
fn of_base(bed: &Bed) -> Vec<PathBuf> {
    let manifest = layer_path(bed, &bed.image("base").digest);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    let config = layer_path(bed, json["config"]["digest"].as_str().unwrap());
    vec![manifest, config]
}

/// Looks for damage and sees to it that the exit code says what the lines say.
fn fsck(bed: &Bed, args: &[&str], code: i32) -> String {
    let fsck = bed.run(&[&["fsck"], args].concat()).exits_with(code);
    assert_eq!(fsck.stdout.contains(" images: no damage\n"), fsck.stdout.lines().count() == 1);
    fsck.stdout
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x10;
    }
}

fn damage_everywhere_is_found_and_repaired(bed: &Bed) {
    let sound = start(bed);
    assert_eq!(fsck(bed, &["--deep"], 0).lines().count(), 1);
    for folder in ["blobs", "layers", "snapshots", "records", "objects", "history"] {
        let mut damaged = Vec::new();
        if folder == "snapshots" {
            // What says that folders are complete.
            list_flat(&bed.store().join(folder), &mut damaged);
        } else {
            list(&bed.store().join(folder), &mut damaged);
        }
        damaged.retain(|path| !of_base(bed).contains(path));
        assert!(!damaged.is_empty(), "nothing is in {folder}");
        for path in &damaged {
            damage(path, |bytes| flip(bytes));
        }
        let found = fsck(bed, &[], 1);
        for path in damaged {
            let name = path.strip_prefix(bed.store()).unwrap().to_str().unwrap();
            assert!(found.contains(&format!("{name}: ")), "{name} is not in: {found}");
        }
        // Of the image something is only in blobs.
        let lost = folder == "blobs";
        let repaired = fsck(bed, &["--repair"], i32::from(lost));
        assert_eq!(repaired.contains("it cannot be had again from here"), lost, "{repaired}");
        let (digest, told) = build(bed);
        assert_eq!(digest, sound, "after damage to {folder}: {told}");
        assert!(!told.contains("damaged"), "{told}");
        assert_eq!(fsck(bed, &["--deep"], 0).lines().count(), 1);
    }
}

/// The files that are right in the folders of a folder.
fn list_flat(folder: &Path, found: &mut Vec<PathBuf>) {
    for inner in fs::read_dir(folder).unwrap() {
        let entries =
            fs::read_dir(inner.unwrap().path()).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.is_file()));
    }
}

fn changed_files_of_a_layer_are_found(bed: &Bed) {
    let sound = start(bed);
    let tool = || {
        let mut all = Vec::new();
        list(&bed.store().join("snapshots"), &mut all);
        all.into_iter().find(|path| path.ends_with("tool")).unwrap()
    };
    damage(&tool(), |bytes| bytes.truncate(2));
    assert!(fsck(bed, &[], 1).contains("/tool is not what it was"));
    let _ = fsck(bed, &["--repair"], 0);
    assert_eq!(build(bed).0, sound);
    let _ = bed.build(&["--no-cache"]).succeeds();
    damage(&tool(), |bytes| bytes[0] ^= 1);
    assert_eq!(fsck(bed, &[], 0).lines().count(), 1);
    assert!(fsck(bed, &["--deep"], 1).contains("/tool is not what it was"));
    let json = bed.run(&["fsck", "--deep", "--format", "json"]).exits_with(1).stdout;
    let finding: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((&finding["damage"], &finding["outcome"]), (&true.into(), &"left".into()));
    let _ = fsck(bed, &["--deep", "--repair"], 0);
    assert_eq!(build(bed).0, sound);
}

fn a_lost_image_is_no_miss(bed: &Bed) {
    start(bed);
    let [manifest, _] = of_base(bed).try_into().unwrap();
    damage(&manifest, |bytes| flip(bytes));
    let found = fsck(bed, &["--repair"], 1);
    assert!(found.contains("it cannot be had again from here"), "{found}");
    let again = fsck(bed, &[], 1);
    assert!(again.contains("is a part of image docker.io/library/base:latest"), "{again}");
    bed.base();
    assert_eq!(fsck(bed, &[], 0).lines().count(), 1);
}

/// Damages each file in turn and builds.
fn each_is_survived(bed: &Bed, change: fn(&mut Vec<u8>)) {
    let sound = start(bed);
    let of_base: BTreeSet<PathBuf> = of_base(bed).into_iter().collect();
    let mut damaged = 0;
    for path in files(bed) {
        // Files go as others are made again; damage to the base is for the test below.
        if !path.is_file() || of_base.contains(&path) {
            continue;
        }
        damage(&path, change);
        damaged += 1;
        let (digest, told) = build(bed);
        assert_eq!(digest, sound, "after damage to {}: {told}", path.display());
    }
    assert!(damaged > 10, "only {damaged} files were damaged");
}

fn any_flipped_byte_is_survived(bed: &Bed) {
    each_is_survived(bed, |bytes| flip(bytes));
}

fn any_torn_file_is_survived(bed: &Bed) {
    each_is_survived(bed, |bytes| bytes.truncate(bytes.len() / 2));
}

fn what_cannot_be_made_again_is_named(bed: &Bed) {
    start(bed);
    // Nothing of the base is unpacked, so its blob is all that there is of it.
    fs::remove_dir_all(bed.store().join("snapshots")).unwrap();
    let blob = bed.image("base").layers[0].digest.clone();
    damage(&layer_path(bed, &blob), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    });
    let failed = bed.build(&["--no-cache"]).exits_with(1);
    for part in [blob.as_str(), "was damaged", "build it again with `-t base:latest`"] {
        assert!(failed.stderr.contains(part), "no {part} in: {}", failed.stderr);
    }
    // As the hint says.
    bed.base();
    build(bed);
}
