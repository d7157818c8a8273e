//! Caches that are not there, closed, broken or lying. None of them fails a build.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use dfbuild_testkit::{
    Bed, DebianRegistry, FaultProxy, HttpServer, RegistrySetup, Reply, Request, Skipped,
};
use serde_json::{Value, json};

use super::{STEPS, check, image, project, push_base, registry};

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("{}/cache:1", listener.local_addr().unwrap())
}

#[test]
fn caches_that_cannot_be_had_or_written() {
    check("faults::caches_that_cannot_be_had_or_written", |bed| {
        bed.base();
        project(bed, "base", 1);
        let closed = DebianRegistry::start(RegistrySetup { password: true, tls: false })?;
        let garbage = HttpServer::start(|request, _| match request.method.as_str() {
            "GET" if request.path.contains("/manifests/") => Reply {
                body: b"{\"layers\": 5".to_vec(),
                ..Reply::new(200).with("content-type", "application/vnd.oci.image.manifest.v1+json")
            },
            "GET" => Reply::new(200),
            _ => Reply::new(500),
        });
        let open = DebianRegistry::start(RegistrySetup::default())?;
        let from = [
            nobody(),
            closed.image("cache:1"),
            format!("{}/cache:1", garbage.address()),
            open.image("missing:1"),
            "type=local,src=/nonexistent".to_owned(),
            "type=gha".to_owned(),
        ];
        let to = [
            format!("type=registry,ref={}", nobody()),
            format!("type=registry,ref={}", closed.image("cache:1")),
            "type=local,dest=/proc/nothing".to_owned(),
            "type=s3,bucket=x".to_owned(),
        ];
        let mut args = vec!["-t", "app"];
        args.extend(from.iter().flat_map(|from| ["--cache-from", from]));
        args.extend(to.iter().flat_map(|to| ["--cache-to", to]));
        let built = bed.build(&args).succeeds();
        assert_eq!(built.ran(), STEPS, "{}", built.stderr);
        for from in &from[..4] {
            assert!(
                built.stderr.contains(&format!("cache {from} is not used: ")),
                "{}",
                built.stderr
            );
        }
        let built = built.says(&[
            "there is none yet",
            "cache /nonexistent is not used: ",
            "cache type=gha is ignored",
            "cache type=s3 is ignored",
            "cache /proc/nothing is not written: ",
        ]);
        assert_eq!(built.stderr.matches(" is not written: ").count(), 3, "{}", built.stderr);
        Ok(())
    });
}

#[test]
fn images_without_a_cache() {
    check("faults::images_without_a_cache", |bed| {
        let (_registry, proxy) = registry()?;
        let base = push_base(bed, &proxy);
        project(bed, &base, 1);
        let built = bed.build(&["--cache-from", &base]).succeeds();
        let _ = built.says(&["it holds no cache of dfbuild"]);
        Ok(())
    });
}

/// Builds on a second machine behind a proxy that does not give the layers of the cache.
fn lost_layers(
    bed: &Bed,
    fault: impl Fn(&Request, &dyn Fn() -> Reply) -> Reply + Send + Sync + 'static,
    says: &str,
) -> Result<(), Skipped> {
    let (registry, proxy) = registry()?;
    bed.base();
    project(bed, "base", 1);
    let to = format!("type=registry,ref={},mode=max", image(&proxy, "cache:1"));
    let first = bed.build(&["-t", "app", "--cache-to", &to]).succeeds();
    let faulty = FaultProxy::start(registry.address(), move |request, _, ask| {
        if request.is("GET", "/blobs/") { fault(request, ask) } else { ask() }
    });
    let cache = image(&faulty, "cache:1");
    let two = bed.another();
    two.base();
    project(&two, "base", 2);
    // All is promised as long as nobody looks.
    let promised = two.build(&["--cache-from", &cache]).succeeds();
    assert_eq!(promised.ran(), 0, "{}", promised.stderr);
    let built = two.build(&["-t", "app", "-o", "out/tree", "--cache-from", &cache]).succeeds();
    let built = built.says(&[" could not be had from ", says, "what needs it is made again"]);
    assert!(built.ran() > 0, "{}", built.stderr);
    assert_eq!(two.exported("app/out"), "main\npart\n");
    assert_eq!(two.image("app").layers.len(), bed.image("app").layers.len());
    assert!(first.ran() == STEPS);
    Ok(())
}

/// What is done to a document.
type Change = fn(&mut Value);

/// Replaces the document of the only cache in a folder.
fn change_document(folder: &Path, change: impl FnOnce(&mut Value)) {
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob =
        |digest: &Value| folder.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
    let put = |value: &Value| {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = Value::from(dfbuild::Digest::of(&bytes).to_string());
        fs::write(blob(&digest), &bytes).unwrap();
        (digest, Value::from(bytes.len()))
    };
    let mut index = read(&folder.join("index.json"));
    let mut manifest = read(&blob(&index["manifests"][0]["digest"]));
    let mut document = read(&blob(&manifest["config"]["digest"]));
    change(&mut document);
    let (digest, size) = put(&document);
    let media_type = manifest["config"]["mediaType"].clone();
    // A document that is not embedded is a blob of its own.
    manifest["config"] = json!({"mediaType": media_type, "digest": digest, "size": size});
    let (digest, size) = put(&manifest);
    (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (digest, size);
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_cache_that_is_wrong_about_a_layer() {
    check("faults::a_cache_that_is_wrong_about_a_layer", |one| {
        let (_registry, proxy) = registry()?;
        let base = push_base(one, &proxy);
        project(one, &base, 1);
        let folder = one.join("out/cache");
        let to = format!("type=local,dest={},mode=max", folder.display());
        let first = one.build(&["-t", "app", "--cache-to", &to]).succeeds();
        change_document(&folder, |document| {
            for layer in document["layers"].as_array_mut().unwrap() {
                if layer["compressor"].as_str().unwrap().starts_with("base-") {
                    layer["content_id"] = Value::from(dfbuild::Digest::of("a lie").to_string());
                }
            }
        });
        let two = one.another();
        project(&two, &base, 2);
        let from = format!("type=local,src={}", folder.display());
        let built = two.build(&["-t", "app", "-o", "out/tree", "--cache-from", &from]).succeeds();
        assert_eq!(two.exported("app/out"), "main\npart\n");
        assert!(built.ran() > 0 || built.image_id() == first.image_id(), "{}", built.stderr);
        // The store did not learn the lie: without the cache all is as it was built here.
        let again = two.build(&["-t", "app"]).succeeds();
        assert_eq!(again.ran(), 0, "{}", again.stderr);
        assert_eq!(again.image_id(), built.image_id());
        Ok(())
    });
}

#[test]
fn documents_of_another_kind() {
    check("faults::documents_of_another_kind", |bed| {
        bed.base();
        project(bed, "base", 1);
        let folder = bed.join("out/cache");
        let to = format!("type=local,dest={}", folder.display());
        let _ = bed.build(&["--cache-to", &to]).succeeds();
        let from = format!("type=local,src={}", folder.display());
        let changes: [(&str, Change); 3] = [
            ("its version is 7", |document| document["version"] = Value::from(7)),
            ("missing field `layers`", |document| {
                document.as_object_mut().unwrap().remove("layers");
            }),
            ("", |document| document["records"][0]["record"] = Value::from("dfbuild record 0\n")),
        ];
        for (says, change) in changes {
            change_document(&folder, change);
            let built = bed.build(&["--cache-from", &from]).succeeds();
            assert_eq!(built.ran(), 0, "{}", built.stderr);
            assert_eq!(
                built.stderr.contains(" is not used: "),
                !says.is_empty(),
                "{}",
                built.stderr
            );
            let _ = built.says(&[says]);
            change_document(&folder, |document| {
                document["version"] = Value::from(1);
                document["layers"] = json!([]);
            });
        }
        Ok(())
    });
}

#[test]
fn layers_that_are_gone() {
    check("faults::layers_that_are_gone", |bed| {
        lost_layers(bed, |_, _| Reply::error(404, "BLOB_UNKNOWN", "gone"), "gone")
    });
}

#[test]
fn layers_that_are_others() {
    check("faults::layers_that_are_others", |bed| {
        let wrong = |_: &Request, ask: &dyn Fn() -> Reply| {
            let mut reply = ask();
            reply.body.iter_mut().for_each(|byte| *byte ^= 1);
            reply
        };
        lost_layers(bed, wrong, "sha256:")
    });
}

#[test]
fn a_registry_that_closes() {
    check("faults::a_registry_that_closes", |bed| {
        lost_layers(bed, |_, _| Reply::error(403, "DENIED", "closed now"), "closed now")
    });
}
