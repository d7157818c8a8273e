//! Pushes to a registry that misbehaves.

mod common;

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Registry, Reply, client};
use dfbuild_image::{Descriptor, Digest, MediaType, Reference, descriptor};
use dfbuild_remote::{Client, Error, Pushed};
use dfbuild_testkit::noise;

const MIB: usize = 1024 * 1024;

fn blob(bytes: &[u8]) -> Descriptor {
    descriptor(MediaType::ImageLayerGzip, Digest::of(bytes), bytes.len() as u64)
}

fn push(
    client: &Client,
    reference: &Reference,
    bytes: &[u8],
    from: Option<&Reference>,
) -> Result<Pushed, Error> {
    let open = || Ok(Box::new(io::Cursor::new(bytes.to_vec())) as Box<dyn Read>);
    client.push_blob(reference, &blob(bytes), &open, from, &|_| {})
}

#[test]
fn blob_is_sent_once() {
    let registry = Registry::start();
    let reference = registry.reference("a:1");
    let bytes = noise(MIB);
    let (client, _) = client(|_| {});
    assert_eq!(push(&client, &reference, &bytes, None).unwrap(), Pushed::Uploaded);
    assert!(registry.blob("a", Digest::of(&bytes)).unwrap() == bytes);
    assert_eq!(push(&client, &reference, &bytes, None).unwrap(), Pushed::Existed);
    assert_eq!(registry.count("PUT", "/blobs/"), 1);
    assert_eq!(push(&client, &reference, b"", None).unwrap(), Pushed::Uploaded);
}

#[test]
fn blob_of_another_repository_is_mounted() {
    let registry = Registry::start();
    let bytes = noise(1000);
    registry.put_blob("from/it", &bytes);
    let (client, _) = client(|_| {});
    let from = registry.reference("from/it");
    let to = registry.reference("to/it");
    assert_eq!(push(&client, &to, &bytes, Some(&from)).unwrap(), Pushed::Mounted);
    assert_eq!(registry.count("PUT", "/blobs/"), 0);
    // What is not there is sent, in the upload that the registry began for the mount.
    let other = noise(2000);
    assert_eq!(push(&client, &to, &other, Some(&from)).unwrap(), Pushed::Uploaded);
    assert_eq!(registry.count("POST", "/blobs/uploads/"), 2);
    // Another registry has nothing to mount.
    let elsewhere = Registry::start();
    let from = elsewhere.reference("from/it");
    assert_eq!(push(&client, &to, &noise(3000), Some(&from)).unwrap(), Pushed::Uploaded);
}

#[test]
fn lost_answer_to_a_whole_upload() {
    let registry = Registry::start();
    registry.fault(|request, before, mut reply| {
        if request.method == "PUT" && before == 0 {
            reply = Reply { cut: Some(0), body: vec![0; 10], ..reply };
            reply.headers.push(("content-length".to_owned(), "bad".to_owned()));
        }
        reply
    });
    let (client, clock) = client(|_| {});
    let bytes = noise(1000);
    assert_eq!(push(&client, &registry.reference("a"), &bytes, None).unwrap(), Pushed::Uploaded);
    assert_eq!(registry.count("PUT", "/blobs/"), 1);
    assert_eq!(clock.slept().len(), 1);
}

#[test]
fn upload_that_fails_begins_again() {
    let registry = Registry::start();
    let (client, _) = client(|_| {});
    let bytes = noise(MIB);
    let opened = AtomicUsize::new(0);
    let open = || {
        opened.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(io::Cursor::new(bytes.clone())) as Box<dyn Read>)
    };
    // The registry took the blob before it said 503 here; a real one did not.
    let reference = registry.reference("a");
    registry.fault(|request, before, reply| {
        if request.method == "HEAD" && before < 2 {
            return Reply::new(404);
        }
        match request.path.as_str() {
            path if request.method == "PUT" && path.contains("/u0") => Reply::new(503),
            _ => reply,
        }
    });
    let pushed = client.push_blob(&reference, &blob(&bytes), &open, None, &|_| {}).unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(opened.load(Ordering::SeqCst), 2);
    assert!(registry.blob("a", Digest::of(&bytes)).unwrap() == bytes);
}

#[test]
fn pieces_are_taken_up_where_they_ended() {
    let registry = Registry::start();
    registry.fault(|request, before, reply| {
        // The second piece arrives, but nobody hears of it.
        if request.method == "PATCH" && before == 1 { Reply::new(502) } else { reply }
    });
    let (client, _) = client(|options| options.upload_chunk = Some(100_000));
    let bytes = noise(350_000);
    assert_eq!(push(&client, &registry.reference("a"), &bytes, None).unwrap(), Pushed::Uploaded);
    assert!(registry.blob("a", Digest::of(&bytes)).unwrap() == bytes);
    let ranges: Vec<String> = registry
        .requests()
        .iter()
        .filter(|request| request.method == "PATCH")
        .map(|request| request.header("content-range").to_owned())
        .collect();
    assert_eq!(ranges, ["0-99999", "100000-199999", "200000-299999", "300000-349999"]);
}

#[test]
fn pieces_that_the_registry_forgot() {
    let registry = Registry::start();
    registry.fault(|request, _, reply| {
        let first = request.path.contains("/u0");
        match request.method.as_str() {
            "PATCH" if first && request.header("content-range").starts_with("100000") => {
                Reply::new(500)
            }
            "GET" if first => Reply::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown"),
            _ => reply,
        }
    });
    let (client, _) = client(|options| options.upload_chunk = Some(100_000));
    let bytes = noise(250_000);
    assert_eq!(push(&client, &registry.reference("a"), &bytes, None).unwrap(), Pushed::Uploaded);
    assert!(registry.blob("a", Digest::of(&bytes)).unwrap() == bytes);
}

#[test]
fn pieces_are_as_large_as_the_registry_wants() {
    let registry = Registry::start();
    registry.fault(|request, _, reply| match request.method.as_str() {
        "POST" => reply.with("OCI-Chunk-Min-Length", "200000"),
        _ => reply,
    });
    let (client, _) = client(|options| options.upload_chunk = Some(1000));
    let bytes = noise(250_000);
    push(&client, &registry.reference("a"), &bytes, None).unwrap();
    assert_eq!(registry.count("PATCH", "/blobs/"), 2);
}

#[test]
fn too_large_for_one_piece() {
    let registry = Registry::start();
    registry.fault(|request, _, reply| {
        let large = request.body.len() > 17 * MIB;
        if large { Reply::new(413) } else { reply }
    });
    let (client, _) = client(|_| {});
    let bytes = noise(20 * MIB);
    // The fault sees the registry after it took the blob: it must not be believed to be there.
    assert_eq!(push(&client, &registry.reference("a"), &bytes, None).unwrap(), Pushed::Uploaded);
    assert_eq!(registry.count("PATCH", "/blobs/"), 2);
}

#[test]
fn location_on_another_host_gets_no_credentials() {
    let (registry, storage) = (Registry::start(), Registry::start());
    let target = storage.address;
    registry.fault(move |request, _, reply| match request.method.as_str() {
        "POST" => Reply::new(202).with("location", format!("http://{target}/store?token=t")),
        _ => reply,
    });
    storage.fault(|request, _, _| {
        assert_eq!(request.header("authorization"), "");
        Reply::new(201)
    });
    let (client, _) = client(|_| {});
    push(&client, &registry.reference("a"), b"abc", None).unwrap();
    let sent = &storage.requests()[0];
    assert_eq!(sent.body, b"abc");
    assert!(sent.path.starts_with("/store?token=t&digest=sha256%3A"), "{}", sent.path);
}

#[test]
fn source_that_ends_early_or_fails() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let registry = Registry::start();
    let reference = registry.reference("a");
    let (client, clock) = client(|_| {});
    let short = || Ok(Box::new(&b"ab"[..]) as Box<dyn Read>);
    let error = client.push_blob(&reference, &blob(b"abc"), &short, None, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    let broken = || Ok(Box::new(Broken) as Box<dyn Read>);
    let error = client.push_blob(&reference, &blob(b"abc"), &broken, None, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("disk on fire"), "{error}");
    assert!(clock.slept().is_empty());
}

#[test]
fn wrong_bytes_are_refused() {
    let registry = Registry::start();
    let (client, _) = client(|_| {});
    let open = || Ok(Box::new(&b"xyz"[..]) as Box<dyn Read>);
    let error = client
        .push_blob(&registry.reference("a"), &blob(b"abc"), &open, None, &|_| {})
        .unwrap_err();
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
}

#[test]
fn manifest_by_tag_and_by_digest() {
    let registry = Registry::start();
    let (client, _) = client(|_| {});
    let digest = Digest::of(b"{}");
    let tagged = registry.reference("a:1");
    let pinned = Reference { tag: None, digest: Some(digest), ..tagged.clone() };
    for reference in [&tagged, &pinned] {
        let pushed = client.push_manifest(reference, &MediaType::ImageManifest, b"{}").unwrap();
        assert_eq!(pushed, digest);
        assert_eq!(client.manifest(reference).unwrap().bytes, b"{}");
    }
}
