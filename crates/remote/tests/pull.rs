//! Pulls from a registry that misbehaves.

mod common;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Registry, Reply, client, manifest};
use dfbuild_image::{
    Descriptor, DescriptorExt, Digest, Index, MediaType, Platform, Reference, descriptor,
};
use dfbuild_remote::{BlobSink, Client, Error, FetchOptions, OneWay, Problem};
use dfbuild_testkit::noise;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const MIB: usize = 1024 * 1024;

/// The blob that comes, or the error, with the steps of its progress.
fn pull(client: &Client, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    client.blob(reference, blob, &mut bytes, &|_| {}).map(|()| bytes)
}

/// A registry with one blob of a few MiB.
fn with_blob() -> (Registry, Vec<u8>, Descriptor, Reference) {
    let registry = Registry::start();
    let bytes = noise(3 * MIB + 17);
    let blob = registry.put_blob("a/b", &bytes);
    let reference = registry.reference("a/b:1");
    (registry, bytes, blob, reference)
}

#[test]
fn blob_comes_whole() {
    let (registry, bytes, blob, reference) = with_blob();
    let (client, clock) = client(|_| {});
    let seen = Mutex::new(Vec::new());
    let mut sink = Vec::new();
    client.blob(&reference, &blob, &mut sink, &|done| seen.lock().unwrap().push(done)).unwrap();
    assert!(sink == bytes);
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&(bytes.len() as u64)));
    assert_eq!(registry.requests().len(), 1);
    assert!(clock.slept().is_empty());
}

#[test]
fn empty_blob() {
    let registry = Registry::start();
    let blob = registry.put_blob("a", b"");
    let (client, _) = client(|_| {});
    assert_eq!(pull(&client, &registry.reference("a"), &blob).unwrap(), b"");
}

#[test]
fn lost_connection_is_taken_up_where_it_ended() {
    let (registry, bytes, blob, reference) = with_blob();
    registry.fault(|request, before, mut reply| {
        if request.is("GET", "/blobs/") && before < 3 {
            reply.cut = Some(MIB / 2);
        }
        reply
    });
    let (client, clock) = client(|_| {});
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
    let starts: Vec<String> =
        registry.requests().iter().map(|request| request.header("range").to_owned()).collect();
    let at = |halves: usize| format!("bytes={}-", halves * MIB / 2);
    assert_eq!(starts, [String::new(), at(1), at(2), at(3)]);
    assert_eq!(clock.slept(), [500, 1000, 2000]);
}

#[test]
fn progress_renews_the_tries() {
    let registry = Registry::start();
    let bytes = noise(20 * MIB);
    let blob = registry.put_blob("a", &bytes);
    registry.fault(|_, _, mut reply| {
        reply.cut = Some(MIB);
        reply
    });
    let (client, clock) = client(|_| {});
    assert!(pull(&client, &registry.reference("a"), &blob).unwrap() == bytes);
    assert!(clock.slept().iter().all(|&wait| wait == 500));
    assert_eq!(registry.requests().len(), 20);
}

#[test]
fn server_without_ranges_sends_all_again() {
    let (registry, bytes, blob, reference) = with_blob();
    let whole = bytes.clone();
    registry.fault(move |_, before, reply| {
        let mut reply = Reply { status: 200, body: whole.clone(), headers: Vec::new(), ..reply };
        if before == 0 {
            reply.cut = Some(MIB + 1);
        }
        reply
    });
    let (client, _) = client(|_| {});
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
    assert_eq!(registry.requests().len(), 2);
}

#[test]
fn connection_that_is_always_lost() {
    let (registry, _, blob, reference) = with_blob();
    registry.fault(|_, _, mut reply| {
        reply.cut = Some(10);
        reply
    });
    let (client, clock) = client(|_| {});
    let error = pull(&client, &reference, &blob).unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { problem: Problem::Dropped, tries: 6, .. }),
        "{error}"
    );
    assert_eq!(clock.slept(), [500, 1000, 2000, 4000, 8000]);
}

#[test]
fn stalled_download_is_taken_up() {
    let (registry, bytes, blob, reference) = with_blob();
    registry.fault(|_, before, mut reply| {
        if before == 0 {
            reply.cut = Some(MIB);
            reply.stall = true;
        }
        reply
    });
    let (client, _) = client(|options| options.timeouts.stall = Duration::from_millis(300));
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
    assert_eq!(registry.requests()[1].header("range"), format!("bytes={MIB}-"));
}

#[test]
fn wrong_bytes_once() {
    let (registry, bytes, blob, reference) = with_blob();
    registry.fault(|_, before, mut reply| {
        if before == 0 {
            reply.body[MIB] ^= 1;
        }
        reply
    });
    let (client, _) = client(|_| {});
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
}

#[test]
fn wrong_rest_of_a_lost_download() {
    let (registry, bytes, blob, reference) = with_blob();
    registry.fault(|_, before, mut reply| {
        match before {
            0 => reply.cut = Some(MIB),
            1 => reply.body[MIB] ^= 1,
            _ => {}
        }
        reply
    });
    let (client, _) = client(|_| {});
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
    let requests = registry.requests();
    let ranges: Vec<&str> = requests.iter().map(|request| request.header("range")).collect();
    // Nobody knows which part was wrong, so all of it comes again.
    assert_eq!(ranges, ["", &format!("bytes={MIB}-"), ""]);
}

#[test]
fn wrong_bytes_always() {
    let (registry, _, blob, reference) = with_blob();
    registry.fault(|_, _, mut reply| {
        reply.body[MIB] ^= 1;
        reply
    });
    let (client, _) = client(|_| {});
    let error = pull(&client, &reference, &blob).unwrap_err();
    assert!(matches!(error, Error::Corrupt { tries: 2, .. }), "{error}");
    assert!(error.to_string().contains(&blob.digest().to_string()), "{error}");
    let mut sink = OneWay(io::sink());
    let error = client.blob(&reference, &blob, &mut sink, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Corrupt { tries: 1, .. }), "{error}");
}

#[test]
fn more_bytes_than_promised() {
    let (registry, _, blob, reference) = with_blob();
    registry.fault(|_, _, mut reply| {
        reply.body.push(0);
        reply
    });
    let (client, _) = client(|_| {});
    let error = pull(&client, &reference, &blob).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn sink_that_fails_is_not_tried_again() {
    struct Full;
    impl BlobSink for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn restart(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (registry, _, blob, reference) = with_blob();
    let (client, _) = client(|_| {});
    let error = client.blob(&reference, &blob, &mut Full, &|_| {}).unwrap_err();
    assert!(matches!(error, Error::Sink { .. }), "{error}");
    assert_eq!(registry.requests().len(), 1);
}

#[test]
fn retry_after_is_obeyed() {
    for (value, millis) in
        [("7", 7000), ("Sun, 06 Nov 1994 08:49:57 GMT", 20_000), ("nonsense", 500)]
    {
        let (registry, bytes, blob, reference) = with_blob();
        registry.fault(move |_, before, reply| match before {
            0 => Reply::error(429, "TOOMANYREQUESTS", "slow down").with("retry-after", value),
            _ => reply,
        });
        let (client, clock) = client(|_| {});
        assert!(pull(&client, &reference, &blob).unwrap() == bytes);
        assert_eq!(clock.slept(), [millis], "{value}");
    }
}

#[test]
fn retry_after_that_is_too_long() {
    let (registry, _, blob, reference) = with_blob();
    registry.fault(|_, _, _| {
        Reply::error(429, "TOOMANYREQUESTS", "slow down").with("retry-after", "3600")
    });
    let (client, clock) = client(|_| {});
    let error = pull(&client, &reference, &blob).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("429") && text.contains("slow down") && text.contains("3600 s"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("limits"));
    assert!(clock.slept().is_empty());
}

#[test]
fn server_in_trouble() {
    let (registry, bytes, blob, reference) = with_blob();
    registry.fault(|_, before, reply| match before {
        0 => Reply::new(503),
        1 => Reply::new(500).body("boom"),
        2 => Reply::new(502),
        _ => reply,
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let (client, _) = client(|options| {
        options.on_retry = Some(Arc::new(move |error, _| {
            heard.lock().unwrap().push(error.status());
        }));
    });
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
    assert_eq!(*told.lock().unwrap(), [Some(503), Some(500), Some(502)]);
    assert_eq!(registry.requests().len(), 4);
}

#[test]
fn unknown_is_not_tried_again() {
    let (registry, _, _, reference) = with_blob();
    let (client, clock) = client(|_| {});
    let error = client.manifest(&reference).unwrap_err();
    assert_eq!(error.status(), Some(404));
    let text = error.to_string();
    for part in [&reference.to_string(), "404 Not Found", "manifest unknown", "MANIFEST_UNKNOWN"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.hint().unwrap().contains("no such tag"));
    assert!(clock.slept().is_empty());
    assert_eq!(registry.requests().len(), 1);
}

#[test]
fn redirect_to_storage() {
    let (registry, bytes, blob, reference) = with_blob();
    let storage = Registry::start();
    storage.put_blob("a/b", &bytes);
    let target = storage.address;
    registry.fault(move |request, _, reply| {
        if request.is("GET", "/blobs/") {
            return Reply::new(307).with("location", format!("http://{target}{}", request.path));
        }
        reply
    });
    storage.fault(|_, before, mut reply| {
        if before == 0 {
            reply.cut = Some(MIB);
        }
        reply
    });
    let (client, _) = client(|_| {});
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
    // An address of storage may be good for one request: each try asks the registry.
    assert_eq!(registry.requests().len(), 2);
    assert_eq!(storage.requests()[1].header("range"), format!("bytes={MIB}-"));
}

#[test]
fn redirects_without_an_end() {
    let (registry, _, blob, reference) = with_blob();
    registry.fault(|request, _, _| Reply::new(302).with("location", request.path.clone()));
    let (client, _) = client(|_| {});
    let error = pull(&client, &reference, &blob).unwrap_err();
    assert!(matches!(error, Error::Unreachable { problem: Problem::Redirects, .. }), "{error}");
}

#[test]
fn nobody_there() {
    let registry = Registry::start();
    let reference = registry.reference("a");
    drop(registry);
    let (client, clock) = client(|_| {});
    let error = client.manifest(&reference).unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { problem: Problem::Refused, tries: 3, .. }),
        "{error}"
    );
    assert_eq!(clock.slept(), [500, 1000]);
}

#[test]
fn offline_asks_nobody() {
    let (registry, _, blob, reference) = with_blob();
    let (client, _) = client(|options| options.offline = true);
    let name = reference.to_string();
    for error in [
        client.manifest(&reference).unwrap_err(),
        client.describe(&reference).unwrap_err(),
        client.resolve(&reference, &Platform::host()).unwrap_err(),
        client.push_manifest(&reference, &MediaType::ImageManifest, b"{}").unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Offline { action } if action.contains(&name)), "{error}");
    }
    assert!(matches!(pull(&client, &reference, &blob), Err(Error::Offline { .. })));
    assert!(matches!(client.tags(&reference), Err(Error::Offline { .. })));
    assert!(matches!(
        client.fetch(&registry.url("/x"), &FetchOptions::default()),
        Err(Error::Offline { .. })
    ));
    assert!(registry.requests().is_empty());
}

#[test]
fn cancelled_from_another_thread() {
    let (registry, _, blob, reference) = with_blob();
    registry.fault(|request, _, mut reply| {
        reply.stall = request.is("GET", "/blobs/");
        reply.cut = reply.stall.then_some(MIB);
        reply
    });
    let (client, _) = client(|_| {});
    let other = client.clone();
    let mut sink = Vec::new();
    let error = client
        .blob(&reference, &blob, &mut sink, &|done| {
            if done == MIB as u64 {
                other.cancel();
            }
        })
        .unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert!(matches!(client.manifest(&reference), Err(Error::Cancelled { .. })));
}

#[test]
fn index_leads_to_the_platform() {
    let registry = Registry::start();
    let config = registry.put_blob("m", b"{\"os\":\"linux\"}");
    let image = manifest(&config, &[]);
    registry.put_manifest("m", "unused", OCI, &image);
    let of = |platform: &str| {
        descriptor(MediaType::ImageManifest, Digest::of(&image), image.len() as u64)
            .with_platform(&platform.parse().unwrap())
    };
    let index = Index::new(vec![of("linux/arm64"), of("linux/amd64")]).to_json();
    let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
    for media_type in [docker, "application/json; charset=utf-8"] {
        registry.put_manifest("m", "1", media_type, &index);
        let (client, _) = client(|_| {});
        let reference = registry.reference("m:1");
        let found = client.resolve(&reference, &"linux/arm64".parse().unwrap()).unwrap();
        assert_eq!(found.manifest_bytes, image);
        assert_eq!(found.config, b"{\"os\":\"linux\"}");
        assert_eq!(found.index.unwrap().bytes, index);
        let error = client.resolve(&reference, &"linux/s390x".parse().unwrap()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("linux/s390x, only for linux/arm64, linux/amd64"), "{text}");
    }
}

#[test]
fn manifest_with_another_digest() {
    let registry = Registry::start();
    registry.put_manifest("m", "1", OCI, b"{}");
    let pinned =
        Reference { tag: None, digest: Some(Digest::of(b"{}")), ..registry.reference("m:1") };
    registry.fault(|_, _, mut reply| {
        if reply.body == b"{}" {
            reply.headers.retain(|(name, _)| name != "docker-content-digest");
            reply.body = b"{ }".to_vec();
        }
        reply
    });
    let (client, _) = client(|_| {});
    let error = client.manifest(&pinned).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    // A tag promises no digest.
    assert_eq!(client.manifest(&registry.reference("m:1")).unwrap().bytes, b"{ }");
}

#[test]
fn schema_1_is_refused() {
    let registry = Registry::start();
    let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    registry.put_manifest("m", "1", old, b"{}");
    let (client, _) = client(|_| {});
    let error = client.resolve(&registry.reference("m:1"), &Platform::host()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.hint().unwrap().contains("schema 1"));
}

#[test]
fn digest_of_a_tag() {
    let registry = Registry::start();
    registry.put_manifest("m", "1", OCI, b"{}");
    let (client, _) = client(|_| {});
    let found = client.describe(&registry.reference("m:1")).unwrap();
    assert_eq!(found, descriptor(MediaType::ImageManifest, Digest::of(b"{}"), 2));
    assert_eq!(registry.count("GET", "/manifests/"), 0);
    registry.fault(|request, _, mut reply| {
        if request.is("HEAD", "/manifests/") {
            reply.headers.clear();
        }
        reply
    });
    assert_eq!(client.describe(&registry.reference("m:1")).unwrap(), found);
}

#[test]
fn mirrors_come_first() {
    let (upstream, mirror) = (Registry::start(), Registry::start());
    let dead = Registry::start().address.to_string();
    upstream.put_manifest("m", "1", OCI, b"{\"from\":\"upstream\"}");
    mirror.put_manifest("cache/m", "1", OCI, b"{\"from\":\"mirror\"}");
    let mirrors = BTreeMap::from([(
        upstream.address.to_string(),
        vec![dead.clone(), format!("http://{}/cache", mirror.address)],
    )]);
    let (client, _) = client(|options| options.mirrors = mirrors);
    let one = upstream.reference("m:1");
    assert_eq!(client.manifest(&one).unwrap().bytes, b"{\"from\":\"mirror\"}");
    assert!(upstream.requests().is_empty());

    upstream.put_manifest("m", "2", OCI, b"{}");
    assert_eq!(client.manifest(&upstream.reference("m:2")).unwrap().bytes, b"{}");

    let error = client.manifest(&upstream.reference("m:3")).unwrap_err();
    assert_eq!(error.status(), Some(404));
    let text = error.to_string();
    assert!(text.contains(&upstream.address.to_string()), "{text}");
    assert!(text.contains(&mirror.address.to_string()) && !text.contains(&dead), "{text}");
}

#[test]
fn wrong_bytes_from_a_mirror() {
    let (upstream, bytes, blob, reference) = with_blob();
    let mirror = Registry::start();
    mirror.put_blob("a/b", &bytes);
    mirror.fault(|_, _, mut reply| {
        if let Some(byte) = reply.body.get_mut(MIB) {
            *byte ^= 1;
        }
        reply
    });
    let mirrors =
        BTreeMap::from([(upstream.address.to_string(), vec![mirror.address.to_string()])]);
    let (client, _) = client(|options| options.mirrors = mirrors);
    assert!(pull(&client, &reference, &blob).unwrap() == bytes);
}

#[test]
fn tags_over_pages() {
    let registry = Registry::start();
    registry.fault(|request, _, reply| match request.path.as_str() {
        "/v2/m/tags/list" => Reply::new(200)
            .with("link", "</v2/m/tags/list?last=b>; rel=\"next\"")
            .body(r#"{"name":"m","tags":["a","b"]}"#),
        "/v2/m/tags/list?last=b" => Reply::new(200).body(r#"{"name":"m","tags":["c"]}"#),
        "/v2/none/tags/list" => Reply::new(200).body(r#"{"name":"none","tags":null}"#),
        _ => reply,
    });
    let (client, _) = client(|_| {});
    assert_eq!(client.tags(&registry.reference("m")).unwrap(), ["a", "b", "c"]);
    assert!(client.tags(&registry.reference("none")).unwrap().is_empty());
}
