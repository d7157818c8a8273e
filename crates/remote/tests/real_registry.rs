//! With a registry and tools that others wrote.
#![expect(clippy::unwrap_used, reason = "this is a test, helpers and all")]

mod common;

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::client;
use dfbuild_image::{
    Descriptor, DescriptorExt, Digest, Index, MediaType, Platform, Reference, descriptor,
};
use dfbuild_remote::{Client, DockerConfig, Error, FetchOptions, Helpers, Problem, Pushed};
use dfbuild_testkit::{DebianRegistry, RegistrySetup, Skipped, noise, program, run_or_skip};

/// An image of one layer, made by hand: manifest, configuration, layer.
struct Image {
    manifest: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

fn image(size: usize) -> Image {
    let tar = tar_of("hello", &noise(size));
    let config = format!(
        r#"{{"architecture":"amd64","config":{{}},"os":"linux","rootfs":{{"diff_ids":["{}"],"type":"layers"}}}}"#,
        Digest::of(&tar)
    )
    .into_bytes();
    let layer = described(MediaType::ImageLayer, &tar);
    let manifest = common::manifest(&described(MediaType::ImageConfig, &config), &[layer]);
    Image { manifest, config, layer: tar }
}

fn described(media_type: MediaType, bytes: &[u8]) -> Descriptor {
    descriptor(media_type, Digest::of(bytes), bytes.len() as u64)
}

/// A ustar archive of one file.
fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

fn push_blob(client: &Client, to: &Reference, bytes: &[u8], from: Option<&Reference>) -> Pushed {
    let open = || Ok(Box::new(io::Cursor::new(bytes.to_vec())) as Box<dyn Read>);
    let blob = described(MediaType::ImageLayer, bytes);
    client.push_blob(to, &blob, &open, from, &|_| {}).unwrap()
}

fn push(client: &Client, to: &Reference, image: &Image) {
    push_blob(client, to, &image.layer, None);
    push_blob(client, to, &image.config, None);
    client.push_manifest(to, &MediaType::ImageManifest, &image.manifest).unwrap();
}

/// A registry, unless the test has to be skipped.
fn start(setup: RegistrySetup) -> Option<DebianRegistry> {
    or_skip(DebianRegistry::start(setup))
}

fn or_skip<T>(had: Result<T, Skipped>) -> Option<T> {
    let mut kept = None;
    let thread = std::thread::current();
    let test = format!("real_registry::{}", thread.name().unwrap_or_default());
    run_or_skip(&test, || {
        kept = Some(had?);
        Ok(())
    });
    kept
}

fn reference(registry: &DebianRegistry, name: &str) -> Reference {
    registry.image(name).parse().unwrap()
}

/// Runs a program that has to succeed.
fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
}

fn skopeo(registry: &DebianRegistry) -> Option<Command> {
    let folder: &Path = &registry.path("");
    let mut command = Command::new(or_skip(program("skopeo"))?);
    command.current_dir(folder).env_clear().env("HOME", folder).env("TMPDIR", folder);
    command.args(["--insecure-policy", "copy", "--quiet"]);
    command.args(["--src-tls-verify=false", "--dest-tls-verify=false"]);
    Some(command)
}

#[test]
fn push_and_pull() {
    let Some(registry) = start(RegistrySetup::default()) else { return };
    let (client, _) = client(|_| {});
    let image = image(300_000);
    let to = reference(&registry, "team/app:1");
    push(&client, &to, &image);

    let found = client.resolve(&to, &Platform::host()).unwrap();
    assert_eq!(
        (found.manifest_bytes, found.config),
        (image.manifest.clone(), image.config.clone())
    );
    assert_eq!(client.describe(&to).unwrap(), found.descriptor);
    let mut layer = Vec::new();
    client.blob(&to, &found.manifest.0.layers()[0], &mut layer, &|_| {}).unwrap();
    assert!(layer == image.layer);
    assert_eq!(client.tags(&to).unwrap(), ["1"]);

    assert_eq!(push_blob(&client, &to, &image.layer, None), Pushed::Existed);
    let other = reference(&registry, "team/other:1");
    assert_eq!(push_blob(&client, &other, &image.layer, Some(&to)), Pushed::Mounted);
    assert_eq!(push_blob(&client, &other, b"not there", Some(&to)), Pushed::Uploaded);

    let error = client.manifest(&reference(&registry, "team/app:2")).unwrap_err();
    assert!(error.hint().unwrap().contains("no such tag"), "{error}");
    let error = client.manifest(&reference(&registry, "nobody/app:2")).unwrap_err();
    assert_eq!(error.status(), Some(404));
    let error =
        client.push_manifest(&other, &MediaType::ImageManifest, &image.manifest).unwrap_err();
    assert!(error.to_string().contains("BLOB_UNKNOWN"), "{error}");
}

#[test]
fn push_in_pieces() {
    let Some(registry) = start(RegistrySetup::default()) else { return };
    let (client, _) = client(|options| options.upload_chunk = Some(100_000));
    push(&client, &reference(&registry, "app:1"), &image(350_000));
    client.resolve(&reference(&registry, "app:1"), &Platform::host()).unwrap();
}

#[test]
fn password() {
    let Some(registry) = start(RegistrySetup { password: true, tls: false }) else { return };
    let to = reference(&registry, "app:1");
    let (anonymous, _) = client(|_| {});
    let error = anonymous.manifest(&to).unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert!(error.hint().unwrap().contains("docker login"));
    // me:secret
    let json = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, registry.address());
    let config = DockerConfig::parse(json.as_bytes(), Helpers::default()).unwrap();
    let (knowing, _) = client(|options| options.credentials = Arc::new(config));
    push(&knowing, &to, &image(1000));
    knowing.resolve(&to, &Platform::host()).unwrap();
}

#[test]
fn tls() {
    let Some(registry) = start(RegistrySetup { password: false, tls: true }) else { return };
    // A registry on this machine may have any certificate.
    let (plain, clock) = client(|_| {});
    push(&plain, &reference(&registry, "app:1"), &image(1000));
    // Any other server has to show one that is trusted: here asked as a web server.
    let url = format!("https://{}/v2/", registry.address());
    let options = FetchOptions::default();
    let error = plain.fetch(&url, &options).unwrap_err();
    assert!(matches!(error, Error::Unreachable { problem: Problem::Tls, .. }), "{error}");
    assert!(error.hint().unwrap().contains("CA"));
    assert!(clock.slept().is_empty());
    let pem = std::fs::read(registry.path("cert.pem")).unwrap();
    let (trusting, _) = client(|options| options.extra_ca_pem = vec![pem]);
    trusting.fetch(&url, &options).unwrap();
    let (careless, _) = client(|options| options.insecure = vec!["127.0.0.0/8".to_owned()]);
    careless.fetch(&url, &options).unwrap();
}

#[test]
fn tls_where_there_is_none() {
    let Some(registry) = start(RegistrySetup::default()) else { return };
    let (client, clock) = client(|_| {});
    let url = format!("https://{}/v2/", registry.address());
    let error = client.fetch(&url, &FetchOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { problem: Problem::Tls, .. }), "{error}");
    assert!(clock.slept().is_empty());
}

#[test]
fn threads_share_a_client() {
    let Some(registry) = start(RegistrySetup { password: true, tls: false }) else { return };
    let json = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, registry.address());
    let config = DockerConfig::parse(json.as_bytes(), Helpers::default()).unwrap();
    let (client, _) = client(|options| options.credentials = Arc::new(config));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (client, registry) = (&client, &registry);
            scope.spawn(move || {
                let to = reference(registry, &format!("app{number}:1"));
                push(client, &to, &image(100_000 + number));
                client.resolve(&to, &Platform::host()).unwrap();
            });
        }
    });
}

#[test]
fn skopeo_reads_what_was_pushed() {
    let Some(registry) = start(RegistrySetup::default()) else { return };
    let Some(mut skopeo) = skopeo(&registry) else { return };
    let (client, _) = client(|_| {});
    let image = image(10_000);
    let to = reference(&registry, "app:1");
    push(&client, &to, &image);
    run(skopeo.args([format!("docker://{to}"), "dir:out".to_owned()]));
    assert_eq!(std::fs::read(registry.path("out/manifest.json")).unwrap(), image.manifest);
    let layer = registry.path("out").join(Digest::of(&image.layer).hex());
    assert!(std::fs::read(layer).unwrap() == image.layer);
}

#[test]
fn what_skopeo_pushed_is_read() {
    let Some(registry) = start(RegistrySetup::default()) else { return };
    let (client, _) = client(|_| {});
    for (tag, arguments, manifest_type, layer_type) in [
        (
            "docker",
            "--format=v2s2",
            "application/vnd.docker.distribution.manifest.v2+json",
            "diff.tar.gzip",
        ),
        (
            "zstd",
            "--format=oci --dest-compress-format=zstd",
            "application/vnd.oci.image.manifest.v1+json",
            "zstd",
        ),
        (
            "gzipped",
            "--format=oci --dest-compress-format=gzip",
            "application/vnd.oci.image.manifest.v1+json",
            "gzip",
        ),
    ] {
        let Some(mut skopeo) = skopeo(&registry) else { return };
        let to = reference(&registry, &format!("by-skopeo/{tag}:1"));
        // A folder in skopeo's own form; a blob that it met in a registry it would only mount.
        let image = image(100_000 + tag.len());
        let folder = registry.path(tag);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("version"), "Directory Transport Version: 1.1\n").unwrap();
        std::fs::write(folder.join("manifest.json"), &image.manifest).unwrap();
        for blob in [&image.config, &image.layer] {
            std::fs::write(folder.join(Digest::of(blob).hex()), blob).unwrap();
        }
        skopeo.args(arguments.split(' '));
        run(skopeo.args([format!("dir:{tag}"), format!("docker://{to}")]));
        let found = client.resolve(&to, &Platform::host()).unwrap();
        assert_eq!(found.descriptor.media_type().to_string(), manifest_type);
        let layer = &found.manifest.0.layers()[0];
        assert!(layer.media_type().to_string().ends_with(layer_type), "{layer:?}");
        let mut bytes = Vec::new();
        client.blob(&to, layer, &mut bytes, &|_| {}).unwrap();
    }
}

#[test]
fn index_pushed_and_copied_by_skopeo() {
    let Some(registry) = start(RegistrySetup::default()) else { return };
    let (client, _) = client(|_| {});
    let to = reference(&registry, "multi:1");
    let mut manifests = Vec::new();
    for (platform, size) in [("linux/amd64", 1000), ("linux/arm64", 2000)] {
        let image = image(size);
        let pinned =
            Reference { tag: None, digest: Some(Digest::of(&image.manifest)), ..to.clone() };
        push(&client, &pinned, &image);
        let named = described(MediaType::ImageManifest, &image.manifest);
        manifests.push(named.with_platform(&platform.parse().unwrap()));
    }
    let index = Index::new(manifests.clone()).to_json();
    client.push_manifest(&to, &MediaType::ImageIndex, &index).unwrap();
    let Some(mut skopeo) = skopeo(&registry) else { return };
    let copy = reference(&registry, "copy/multi:1");
    run(skopeo.args([
        "--all",
        "--preserve-digests",
        &format!("docker://{to}"),
        &format!("docker://{copy}"),
    ]));
    for (platform, manifest) in [("linux/amd64", &manifests[0]), ("linux/arm64", &manifests[1])] {
        let found = client.resolve(&copy, &platform.parse().unwrap()).unwrap();
        assert_eq!(found.descriptor.digest(), manifest.digest());
        assert_eq!(found.index.unwrap().bytes, index);
    }
}

/// `cargo test --release -p dfbuild-remote --test real_registry -- --ignored --nocapture`
#[test]
#[ignore = "measures; says nothing about right or wrong"]
fn throughput() {
    let Some(registry) = start(RegistrySetup::default()) else { return };
    let (client, _) = client(|_| {});
    let to = reference(&registry, "big:1");
    let layers: Vec<Vec<u8>> = (0..3)
        .map(|number| {
            let mut bytes = noise(90 << 20);
            bytes[0] = number;
            bytes
        })
        .collect();
    let rate = |what: &str, bytes: usize, work: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        work();
        let seconds = start.elapsed().as_secs_f64();
        let megabytes = f64::from(u32::try_from(bytes >> 10).unwrap()) / 1024.0;
        println!("{what}: {megabytes:.0} MiB in {seconds:.2} s, {:.0} MiB/s", megabytes / seconds);
    };
    let all = layers.iter().map(Vec::len).sum();
    rate("push, one after another", all, &mut || {
        for layer in &layers {
            push_blob(&client, &to, layer, None);
        }
    });
    let pull = |layer: &[u8]| {
        let blob = described(MediaType::ImageLayer, layer);
        let path = registry.path(&Digest::of(&layer[..1]).short());
        let mut file = std::fs::File::create(path).unwrap();
        client.blob(&to, &blob, &mut file, &|_| {}).unwrap();
    };
    rate("pull, one after another", all, &mut || layers.iter().for_each(|layer| pull(layer)));
    rate("pull, three at once", all, &mut || {
        std::thread::scope(|scope| {
            for layer in &layers {
                scope.spawn(|| pull(layer));
            }
        });
    });
}
