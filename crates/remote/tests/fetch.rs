//! Files from web servers.
#![expect(clippy::unwrap_used, reason = "this is a test, helpers and all")]

mod common;

use std::io::Read;
use std::net::TcpListener;

use common::{Registry, Reply, client};
use dfbuild_remote::{Error, FetchOptions, Problem, Proxy, Validators};

fn web() -> Registry {
    let web = Registry::start();
    web.fault(|request, before, _| match request.path.as_str() {
        "/files/a%20b.txt?version=1" => Reply::new(200)
            .with("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")
            .with("etag", "\"v1\"")
            .body("content"),
        "/moved/name" => Reply::new(302).with("location", "../files/a%20b.txt?version=1"),
        "/moved" => Reply::new(301).with("location", "/files/a%20b.txt?version=1"),
        "/secret" if request.header("authorization").is_empty() => Reply::new(401),
        "/secret" => Reply::new(200).body(request.header("authorization")),
        "/flaky" if before < 2 => Reply::new(503),
        "/flaky" => Reply::new(200).body("steady"),
        "/short" => {
            let mut reply = Reply::new(200).body(vec![0; 1000]);
            reply.cut = Some(10);
            reply
        }
        _ => Reply::new(404).body("<html>not found</html>"),
    });
    web
}

fn text(mut body: impl Read) -> String {
    let mut text = String::new();
    body.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn file_with_what_is_known_of_it() {
    let web = web();
    let (client, _) = client(|_| {});
    let options = FetchOptions::default();
    let file = client.fetch(&web.url("/files/a b.txt?version=1#part"), &options).unwrap();
    assert_eq!(file.info.last_modified, Some(784_111_777));
    assert_eq!(file.info.etag.as_deref(), Some("\"v1\""));
    assert_eq!(file.info.size, Some(7));
    assert_eq!(file.info.name.as_deref(), Some("a b.txt"));
    assert_eq!(text(file.body), "content");
    // The name is that of the address that was asked for.
    let moved = client.fetch(&web.url("/moved"), &options).unwrap();
    assert_eq!(moved.info.name.as_deref(), Some("moved"));
    assert_eq!(text(moved.body), "content");
}

#[test]
fn errors() {
    let web = web();
    let (client, clock) = client(|_| {});
    let options = FetchOptions::default();
    let error = client.fetch(&web.url("/none?token=secret"), &options).unwrap_err();
    assert_eq!(error.status(), Some(404));
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(clock.slept().is_empty());
    assert_eq!(text(client.fetch(&web.url("/flaky"), &options).unwrap().body), "steady");
    assert_eq!(clock.slept(), [500, 1000]);
    let mut cut = client.fetch(&web.url("/short"), &options).unwrap().body;
    cut.read_to_end(&mut Vec::new()).unwrap_err();
}

#[test]
fn limit() {
    let web = web();
    let (client, _) = client(|_| {});
    let options = FetchOptions { limit: Some(6), ..FetchOptions::default() };
    let error = client.fetch(&web.url("/moved"), &options).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 6, .. }), "{error}");
    let options = FetchOptions { limit: Some(7), ..FetchOptions::default() };
    assert_eq!(text(client.fetch(&web.url("/moved"), &options).unwrap().body), "content");
}

#[test]
fn authorization_stays_with_the_first_host() {
    let (web, other) = (web(), Registry::start());
    let target = web.url("/secret");
    other.fault(move |_, _, _| Reply::new(302).with("location", target.clone()));
    let (client, _) = client(|_| {});
    let options =
        FetchOptions { authorization: Some("Bearer t".to_owned()), ..FetchOptions::default() };
    assert_eq!(text(client.fetch(&web.url("/secret"), &options).unwrap().body), "Bearer t");
    let error = client.fetch(&other.url("/x"), &options).unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(other.requests()[0].header("authorization"), "Bearer t");
    let with_user = web.url("/secret").replace("http://", "http://me:secret@");
    let body = client.fetch(&with_user, &FetchOptions::default()).unwrap().body;
    assert_eq!(text(body), "Basic bWU6c2VjcmV0");
}

#[test]
fn addresses_that_are_none() {
    let (client, _) = client(|_| {});
    for address in ["file:///etc/passwd", "host/a", "http:///a", ""] {
        let error = client.fetch(address, &FetchOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{address}: {error}");
    }
}

#[test]
fn this_machine_is_never_asked_through_a_proxy() {
    let web = web();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Proxy { http: Some(format!("http://{nobody}")), ..Proxy::default() };
    let (client, _) = client(|options| options.proxy = proxy);
    let options = FetchOptions::default();
    assert_eq!(text(client.fetch(&web.url("/moved"), &options).unwrap().body), "content");
    // Anybody else is: the proxy is not there, and no other way is tried.
    let error = client.fetch("http://192.0.2.1/", &options).unwrap_err();
    let refused =
        matches!(error, Error::Unreachable { problem: Problem::Refused | Problem::Proxy, .. });
    assert!(refused, "{error}");
}

#[test]
fn lost_download_is_taken_up_if_the_file_is_the_same() {
    for (tag, second, ranges) in [
        ("\"v1\"", "\"v1\"", ["", "bytes=400-"]),
        ("\"v1\"", "\"v2\"", ["", "bytes=400-"]),
        ("W/\"v1\"", "W/\"v1\"", ["", ""]),
    ] {
        let web = Registry::start();
        web.fault(move |request, before, _| {
            let content = if before == 0 { [b'a'; 1000] } else { [b'b'; 1000] };
            let tag = if before == 0 { tag } else { second };
            let mut reply = Reply::new(200).with("etag", tag).body(content);
            if request.header("range") == "bytes=400-" && request.header("if-range") == tag {
                reply =
                    Reply::new(206).with("content-range", "bytes 400-999/1000").with("etag", tag);
                reply.body = content[400..].to_vec();
            }
            if before == 0 {
                reply.cut = Some(400);
            }
            reply
        });
        let (client, _) = client(|_| {});
        let mut bytes = Vec::new();
        let options = FetchOptions { limit: Some(1000), ..FetchOptions::default() };
        let info = client.download_file(&web.url("/f"), &options, &mut bytes, &|_| {}).unwrap();
        assert_eq!(info.size, Some(1000));
        let kept = if tag == second && !tag.starts_with('W') { 400 } else { 0 };
        let expect = ["a".repeat(kept), "b".repeat(1000 - kept)].concat();
        assert_eq!(String::from_utf8(bytes).unwrap(), expect, "{tag} {second}");
        let asked: Vec<String> =
            web.requests().iter().map(|request| request.header("range").to_owned()).collect();
        assert_eq!(asked, ranges);
    }
}

#[test]
fn unchanged_file_is_not_sent_again() {
    let web = Registry::start();
    web.fault(|request, _, _| {
        let known = request.header("if-none-match") == "\"v1\""
            || request.header("if-modified-since") == "Sun, 06 Nov 1994 08:49:37 GMT";
        match request.path.as_str() {
            "/liar" => Reply::new(304),
            _ if known => Reply::new(304),
            _ => Reply::new(200).with("etag", "\"v1\"").body("content"),
        }
    });
    let (client, _) = client(|options| options.retry.tries = 1);
    let tag = |tag: &str| Validators { etag: Some(tag.to_owned()), last_modified: None };
    let date = Validators { etag: None, last_modified: Some(784_111_777) };
    for (known, changed) in [
        (tag("\"v1\""), false),
        (date, false),
        (tag("\"v0\""), true),
        (Validators::default(), true),
        // What no header can hold is as good as nothing.
        (tag("a\nb"), true),
    ] {
        let mut bytes = Vec::new();
        let (url, options) = (web.url("/f"), FetchOptions::default());
        let info = client.download_if_changed(&url, &options, &known, &mut bytes, &|_| {}).unwrap();
        assert_eq!(info.is_some(), changed, "{known:?}");
        assert_eq!(bytes, if changed { &b"content"[..] } else { b"" }, "{known:?}");
    }
    let options = FetchOptions::default();
    let error = client.download_file(&web.url("/liar"), &options, &mut Vec::new(), &|_| {});
    assert!(matches!(error, Err(Error::Unreachable { problem: Problem::Protocol, .. })));
}
