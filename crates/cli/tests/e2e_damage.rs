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
    each_is_survived(bed, |bytes| {
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 0x10;
        }
    });
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
