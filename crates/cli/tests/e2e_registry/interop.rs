//! Images that others read, and images that others made.

use std::fs;
use std::path::Path;
use std::process::Command;

use dfbuild_testkit::{Bed, DebianRegistry, Outcome, Skipped, image_layout, program, run};
use serde_json::{Value, json};

use super::{build_elsewhere, build_elsewhere_command, check, elsewhere, image, registry};

const INSECURE: [&str; 2] = ["--src-tls-verify=false", "--dest-tls-verify=false"];

/// buildah with a store of its own. Only root can be sure to have what it needs.
fn buildah(bed: &Bed, args: &[&str]) -> Result<String, Skipped> {
    if !rustix::process::geteuid().is_root() {
        return Err(Skipped::because("buildah is only tried as root"));
    }
    let mut command = Command::new(program("buildah")?);
    command.env("TMPDIR", bed.join("out"));
    let folder = |name: &str| bed.join(name).display().to_string();
    command.args(["--storage-driver", "vfs"]);
    command.args(["--root", &folder("buildah"), "--runroot", &folder("buildah-run")]);
    let output = command.args(args).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn skopeo_copy(args: &[&str]) -> Result<(), Skipped> {
    let common = ["copy", "-q", "--insecure-policy"];
    run("skopeo", &[&common[..], &INSECURE, args].concat()).map(drop)
}

/// Builds upon an image that somebody else pushed.
fn is_built_upon(bed: &Bed, name: &str) {
    let tree = bed.join("out/built");
    let output = format!("type=local,dest={}", tree.display());
    let from = format!("FROM {name}\nRUN cat /made && cp /made /here\nCOPY file /file\n");
    let built = build_elsewhere(bed, &from, &["--pull", "-o", &output]).succeeds();
    assert_eq!(fs::read_to_string(tree.join("here")).unwrap(), "made\n", "{}", built.stderr);
    assert_eq!(fs::read(tree.join("noise")).unwrap().len(), super::NOISE);
    fs::remove_dir_all(tree).unwrap();
}

/// The manifest or index as the registry has it.
fn raw(name: &str) -> Result<Value, Skipped> {
    let text =
        run("skopeo", &["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")])?;
    Ok(serde_json::from_str(&text).unwrap())
}

fn layer_types(manifest: &Value) -> Vec<&str> {
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["mediaType"].as_str().unwrap()).collect()
}

#[test]
fn others_take_what_was_pushed() {
    check("interop::others_take_what_was_pushed", |bed| {
        let registry = registry()?;
        let name = registry.image("app:1");
        image(bed, &[&name]);
        let digest = bed.run(&["push", "-q", &name]).succeeds().stdout;
        let inspected =
            run("skopeo", &["inspect", "--tls-verify=false", &format!("docker://{name}")])?;
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["Digest"], digest.trim());
        let layers = bed.image(&name).layers;
        assert_eq!(inspected["Layers"].as_array().unwrap().len(), layers.len());
        for format in ["oci", "v2s2"] {
            let to = format!("dir:{}", bed.join(format).display());
            skopeo_copy(&["--format", format, &format!("docker://{name}"), &to])?;
        }
        let container = buildah(bed, &["from", "--tls-verify=false", &format!("docker://{name}")])?;
        let root = buildah(bed, &["mount", &container])?;
        assert_eq!(fs::read_to_string(Path::new(&root).join("made")).unwrap(), "made\n");
        buildah(bed, &["umount", &container])?;
        Ok(())
    });
}

#[test]
fn others_take_zstd_layers() {
    check("interop::others_take_zstd_layers", |bed| {
        let registry = registry()?;
        let name = registry.image("zstd:1");
        bed.base();
        bed.write("Dockerfile", "FROM base\nRUN echo made > /made\n");
        let output = format!("type=registry,name={name},compression=zstd");
        let _ = bed.build(&["-t", &name, "-o", &output]).succeeds();
        let manifest = raw(&name)?;
        let types = layer_types(&manifest);
        assert!(types.iter().any(|found| found.ends_with("tar+zstd")), "{types:?}");
        let from = format!("docker://{name}");
        skopeo_copy(&[&from, &format!("oci:{}:zstd", bed.join("out/copy").display())])?;
        let container = buildah(bed, &["from", "--tls-verify=false", &from])?;
        let root = buildah(bed, &["mount", &container])?;
        assert_eq!(fs::read_to_string(Path::new(&root).join("made")).unwrap(), "made\n");
        buildah(bed, &["umount", &container])?;
        // The same from an archive.
        let archive = bed.join("out/zstd.tar");
        let _ = bed.run(&["save", "-o", archive.to_str().unwrap(), &name]).succeeds();
        let saved = format!("oci-archive:{}", archive.display());
        let unpacked = buildah(bed, &["from", &saved])?;
        let root = buildah(bed, &["mount", &unpacked])?;
        assert_eq!(fs::read_to_string(Path::new(&root).join("made")).unwrap(), "made\n");
        buildah(bed, &["umount", &unpacked])?;
        Ok(())
    });
}

/// The architecture of an image that skopeo finds for one.
fn found_for(name: &str, architecture: &str) -> Result<Value, Skipped> {
    let choice = format!("--override-arch={architecture}");
    let text =
        run("skopeo", &[&choice, "inspect", "--config", "--raw", "--tls-verify=false", name])?;
    let config: Value = serde_json::from_str(&text).unwrap();
    Ok(config["architecture"].clone())
}

#[test]
fn indexes_for_several_platforms_go_both_ways() {
    check("interop::indexes_for_several_platforms_go_both_ways", |bed| {
        let registry = registry()?;
        let name = registry.image("both:1");
        bed.write("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\n");
        bed.write("file", "made\n");
        let platforms = ["--platform", "linux/amd64,linux/arm64"];
        let _ = bed.build(&[&platforms[..], &["-t", &name, "--push"]].concat()).succeeds();
        let ours = format!("docker://{name}");
        for architecture in ["amd64", "arm64"] {
            assert_eq!(found_for(&ours, architecture)?, architecture);
            let args =
                ["from", "--pull-always", "--tls-verify=false", "--arch", architecture, &ours];
            let container = buildah(bed, &args)?;
            let root = buildah(bed, &["mount", &container])?;
            let file = Path::new(&root).join(architecture);
            assert_eq!(fs::read_to_string(file).unwrap(), "made\n");
            buildah(bed, &["umount", &container])?;
        }
        // What buildah makes of both goes to the registry and into a folder.
        let by_buildah = registry.image("by-buildah:both");
        buildah(bed, &["manifest", "create", "localhost/both"])?;
        let add = ["manifest", "add", "--all", "--tls-verify=false", "localhost/both", &ours];
        buildah(bed, &add)?;
        let folder = bed.join("out/both");
        let push = ["manifest", "push", "-q", "--all", "--tls-verify=false", "localhost/both"];
        for to in [format!("docker://{by_buildah}"), format!("oci:{}:both", folder.display())] {
            buildah(bed, &[&push[..], &[&to]].concat())?;
        }
        bed.own(&folder);
        let loaded = bed.another();
        let _ = loaded.run(&["load", "-i", folder.to_str().unwrap(), "-t", "both"]).succeeds();
        for architecture in ["amd64", "arm64"] {
            let platform = format!("linux/{architecture}");
            let inspect = ["inspect", "--platform", &platform, "-f", "{{.Architecture}}"];
            let _ = elsewhere(bed, &["pull", "--platform", &platform, &by_buildah]).succeeds();
            let pulled = elsewhere(bed, &[&inspect[..], &[&by_buildah]].concat()).succeeds();
            assert_eq!(pulled.stdout.trim(), architecture);
            let loaded = loaded.run(&[&inspect[..], &["both"]].concat()).succeeds();
            assert_eq!(loaded.stdout.trim(), architecture);
        }
        Ok(())
    });
}

#[test]
fn what_buildah_pushed_is_built_upon() {
    check("interop::what_buildah_pushed_is_built_upon", |bed| {
        let registry = registry()?;
        let name = registry.image("app:1");
        image(bed, &[&name]);
        let _ = bed.run(&["push", &name]).succeeds();
        let from = format!("docker://{name}");
        let container = buildah(bed, &["from", "--tls-verify=false", &from])?;
        buildah(bed, &["config", "--label", "by=buildah", &container])?;
        buildah(bed, &["commit", "-q", &container, "localhost/made"])?;
        for (tag, flags, kind, layer) in [
            ("docker", "--format=v2s2", "docker.distribution.manifest.v2", "diff.tar.gzip"),
            ("oci", "--format=oci", "oci.image.manifest", "tar+gzip"),
            ("zstd", "--format=oci --compression-format=zstd", "oci.image.manifest", "tar+zstd"),
        ] {
            // Each in a registry of its own: what buildah met in one it only mounts.
            let other = super::registry()?;
            let name = other.image(&format!("by-buildah:{tag}"));
            let mut args = vec!["push", "-q", "--tls-verify=false"];
            args.extend(flags.split(' '));
            let to = format!("docker://{name}");
            buildah(bed, &[&args[..], &["localhost/made", &to]].concat())?;
            let manifest = raw(&name)?;
            assert!(manifest["mediaType"].as_str().unwrap().contains(kind), "{manifest:#}");
            let types = layer_types(&manifest);
            assert!(types.iter().all(|found| found.ends_with(layer)), "{tag}: {types:?}");
            let _ = fs::remove_dir_all(bed.join("out/elsewhere"));
            is_built_upon(bed, &name);
        }
        let manifest = ["manifest", "create", "localhost/index"];
        buildah(bed, &manifest)?;
        buildah(bed, &["manifest", "add", "localhost/index", "localhost/made"])?;
        let name = registry.image("by-buildah:index");
        let to = format!("docker://{name}");
        buildah(
            bed,
            &["manifest", "push", "-q", "--all", "--tls-verify=false", "localhost/index", &to],
        )?;
        assert_eq!(raw(&name)?["manifests"].as_array().unwrap().len(), 1);
        is_built_upon(bed, &name);
        Ok(())
    });
}

#[test]
fn what_skopeo_pushed_is_built_upon() {
    check("interop::what_skopeo_pushed_is_built_upon", |bed| {
        image(bed, &["app"]);
        let store = format!("oci:{}:app:latest", bed.store().display());
        // What is compressed stays as it is.
        let plain = format!("dir:{}", bed.join("out/plain").display());
        skopeo_copy(&["--dest-decompress", &store, &plain])?;
        for (tag, flags, layer) in [
            ("docker", "--format=v2s2", "diff.tar.gzip"),
            ("zstd", "--format=oci --dest-compress-format=zstd", "zstd"),
        ] {
            let registry = registry()?;
            let name = registry.image(&format!("by-skopeo:{tag}"));
            let flags: Vec<&str> = flags.split(' ').collect();
            skopeo_copy(&[&flags[..], &[&plain, &format!("docker://{name}")]].concat())?;
            let manifest = raw(&name)?;
            let types = layer_types(&manifest);
            assert!(types.iter().all(|found| found.ends_with(layer)), "{tag}: {types:?}");
            let _ = fs::remove_dir_all(bed.join("out/elsewhere"));
            is_built_upon(bed, &name);
        }
        let registry = registry()?;
        let layout = bed.join("out/layout");
        let copy = format!("oci:{}:app", layout.display());
        skopeo_copy(&[&store, &copy])?;
        let digest = push_index(bed, &registry, "multi:1", &layout)?;
        let name = registry.image("multi:1");
        is_built_upon(bed, &name);
        is_built_upon(bed, &format!("{name}@{digest}"));
        // The platform decides.
        let arm = elsewhere(bed, &["pull", "--platform", "linux/arm64", &name]).exits_with(1);
        assert!(arm.stderr.contains("has no image for linux/arm64"), "{}", arm.stderr);
        Ok(())
    });
}

/// Neither of them pushes layers that are not compressed, but others do.
#[test]
fn plain_layers_are_built_upon() {
    check("interop::plain_layers_are_built_upon", |bed| {
        let registry = registry()?;
        image(bed, &["app"]);
        let folder = bed.join("out/plain");
        let store = format!("oci:{}:app:latest", bed.store().display());
        let to = format!("dir:{}", folder.display());
        skopeo_copy(&["--dest-decompress", &store, &to])?;
        let layout = bed.join("out/layout");
        layout_of(&folder, &layout)?;
        bed.write("Dockerfile", "FROM plain\nLABEL plain=yes\n");
        let name = registry.image("plain:1");
        let context = format!("plain=oci-layout://{}", layout.display());
        let _ = bed.build(&["--build-context", &context, "-t", &name, "--push"]).succeeds();
        let manifest = raw(&name)?;
        let types = layer_types(&manifest);
        assert!(types.iter().all(|found| found.ends_with("layer.v1.tar")), "{types:?}");
        is_built_upon(bed, &name);
        Ok(())
    });
}

/// Layers as tools other than Docker write them: parents are left out, links lead to files of a
/// layer below. It makes no difference whether they are unpacked as they come in, each by itself, or
/// later, one upon the other.
#[test]
fn layers_that_depend_on_those_below_are_built_upon() {
    check("interop::layers_that_depend_on_those_below_are_built_upon", |bed| {
        use tar::EntryType::{Directory as Dir, Link, Regular as File};
        let registry = registry()?;
        let base = bed.join("base");
        dfbuild_testkit::fill_base(&base);
        let mut lowest = tar::Builder::new(Vec::new());
        lowest.follow_symlinks(false);
        lowest.append_dir_all("", &base).unwrap();
        add(&mut lowest, &[("./", Dir, 0o711, ""), ("a/one", File, 0o640, "1")]);
        let mut linked = tar::Builder::new(Vec::new());
        add(&mut linked, &[("a/two", Link, 0o604, "a/one"), ("b/c/file", File, 0o600, "2")]);
        let mut whole = tar::Builder::new(Vec::new());
        add(&mut whole, &[("d/", Dir, 0o750, ""), ("d/file", File, 0o440, "3")]);
        let mut hiding = tar::Builder::new(Vec::new());
        add(&mut hiding, &[("a/.wh.one", File, 0o644, ""), ("d/.wh..wh..opq", File, 0o644, "")]);
        add(&mut hiding, &[("d/new", File, 0o644, "4")]);
        let mut no_root = tar::Builder::new(Vec::new());
        add(&mut no_root, &[("top", File, 0o644, "5")]);
        let mut archives = Vec::new();
        for (number, layer) in [lowest, linked, whole, hiding, no_root].into_iter().enumerate() {
            let archive = bed.join(format!("layer{number}.tar"));
            fs::write(&archive, layer.into_inner().unwrap()).unwrap();
            archives.push(archive);
        }
        let layout = bed.join("out/layout");
        image_layout(&layout, &archives)?;
        let name = registry.image("layers:1");
        let from = format!("oci:{}:latest", layout.display());
        skopeo_copy(&[&from, &format!("docker://{name}")])?;
        let text = format!(
            "FROM {name}\nRUN find / -xdev -path /proc -prune -o -path /sys -prune -o \
             -path /dev -prune -o -exec stat -c '%n %a %u %g %s %h' {{}} + > /seen; cat /b/c/file /d/*\n\
             RUN --mount=from={name},target=/m stat -c '%n %a' /m >> /seen\n"
        );
        let mut seen = Vec::new();
        let instead = format!("{name}=oci-layout://{}", layout.display());
        let ways = [&[][..], &["--no-fast-paths"], &["--build-context", &instead]];
        for (number, arguments) in ways.into_iter().enumerate() {
            let tree = bed.join(format!("out/built{number}"));
            let output = format!("type=local,dest={}", tree.display());
            let all = [arguments, &["-o", &output]].concat();
            let mut command = build_elsewhere_command(bed, &text, &all);
            command.env("DFBUILD_ROOT", bed.join(format!("out/store{number}")));
            let built = Outcome::from(command.output().unwrap()).succeeds();
            assert!(built.stderr.contains("24"), "{}", built.stderr);
            seen.push(fs::read_to_string(tree.join("seen")).unwrap());
        }
        assert!(seen[0] == seen[1] && seen[0] == seen[2], "{seen:#?}");
        for line in ["/m 711", "/a/two 604 0 0 1", "/b 755 0 0", "/d 750 0 0", "/d/new 644"] {
            assert!(seen[0].lines().any(|found| found.starts_with(line)), "{line} in {}", seen[0]);
        }
        for gone in ["/a/one", "/d/file"] {
            assert!(!seen[0].contains(gone), "{gone} in {}", seen[0]);
        }
        Ok(())
    });
}

/// Adds members: name, type, mode, and content or what a link leads to.
fn add(archive: &mut tar::Builder<Vec<u8>>, members: &[(&str, tar::EntryType, u32, &str)]) {
    for (name, kind, mode, text) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_mtime(1_600_000_000);
        let content = if *kind == tar::EntryType::Link {
            header.set_link_name(text).unwrap();
            ""
        } else {
            text
        };
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
}

/// Makes an image layout of a folder in skopeo's own form.
fn layout_of(folder: &Path, layout: &Path) -> Result<(), Skipped> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), blobs.join(entry.file_name())).unwrap();
    }
    let manifest = folder.join("manifest.json");
    let hex = sha256(&manifest)?;
    fs::copy(&manifest, blobs.join(&hex)).unwrap();
    let descriptor = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{hex}"),
        "size": fs::metadata(&manifest).unwrap().len(),
    });
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    Ok(())
}

fn sha256(file: &Path) -> Result<String, Skipped> {
    let line = run("sha256sum", &[file.to_str().unwrap()])?;
    Ok(line.split_whitespace().next().unwrap().to_owned())
}

/// Pushes, by skopeo, an index of the image in a layout and one for another platform. Returns its
/// digest.
pub(crate) fn push_index(
    bed: &Bed,
    registry: &DebianRegistry,
    name: &str,
    layout: &Path,
) -> Result<String, Skipped> {
    let path = layout.join("index.json");
    let top: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let manifest = top["manifests"][0].clone();
    let host =
        run("skopeo", &["inspect", "--config", "--raw", &format!("oci:{}:app", layout.display())])?;
    let host: Value = serde_json::from_str(&host).unwrap();
    let entry = |platform: Value| {
        let mut entry = manifest.clone();
        entry.as_object_mut().unwrap().remove("annotations");
        entry["platform"] = platform;
        entry
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            entry(json!({ "os": "plan9", "architecture": "mips" })),
            entry(json!({ "os": host["os"], "architecture": host["architecture"] })),
        ],
    });
    // As a folder in skopeo's own form: with `--all` it pushes the bytes as they are.
    let folder = bed.join("out/index");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    fs::write(folder.join("manifest.json"), index.to_string()).unwrap();
    for blob in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        fs::copy(blob.path(), folder.join(blob.file_name())).unwrap();
    }
    let hex = manifest["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    fs::copy(folder.join(&hex), folder.join(format!("{hex}.manifest.json"))).unwrap();
    let from = format!("dir:{}", folder.display());
    let to = format!("docker://{}", registry.image(name));
    skopeo_copy(&["--all", "--preserve-digests", &from, &to])?;
    Ok(format!("sha256:{}", sha256(&folder.join("manifest.json"))?))
}
