//! Uploads: in order, out of order, cancelled, mounted.

use sha2::{Digest, Sha512};

use super::{code, create, digest, push_blob};
use crate::ecr::allow_mounts;
use crate::server::Server;

fn open(server: &Server, path: &str) -> String {
    let opened = server.exchange("POST", path, &[], b"");
    assert_eq!(opened.status, 202, "{path}: {}", opened.text());
    opened.header("location").to_owned()
}

#[test]
fn chunks_out_of_order_are_refused_and_the_upload_goes_on() {
    let server = Server::start();
    create(&server, &["app"]);
    let blob = b"0123456789";
    let location = open(&server, "/v2/app/blobs/uploads/");
    let close = format!("{location}?digest={}", digest(blob));
    let refused = |method: &str, path: &str, range: &str, body: &[u8], at: &str| {
        let answer = server.exchange(method, path, &[("content-range", range)], body);
        assert_eq!((answer.status, answer.header("range")), (416, at), "{method} {range}: {}", answer.text());
        assert_eq!(code(&answer), "BLOB_UPLOAD_INVALID");
        let status = server.exchange("GET", answer.header("location"), &[], b"");
        assert_eq!((status.status, status.header("range"), status.header("location")), (204, at, location.as_str()));
    };
    refused("PATCH", &location, "4-7", b"4567", "0-0");
    let first = server.exchange("PATCH", &location, &[("content-range", "0-3")], b"0123");
    assert_eq!((first.status, first.header("range"), first.header("location")), (202, "0-3", location.as_str()));
    refused("PATCH", &location, "0-3", b"0123", "0-3");
    refused("PATCH", &location, "6-7", b"67", "0-3");
    refused("PUT", &close, "6-9", b"6789", "0-3");
    refused("PUT", &close, "0-9", blob, "0-3");
    for bad in ["4", "7-4", "x-y", "-7", "4-"] {
        let answer = server.exchange("PATCH", &location, &[("content-range", bad)], b"4567");
        assert_eq!((answer.status, code(&answer).as_str()), (400, "BLOB_UPLOAD_INVALID"), "{bad}");
    }
    let short = server.exchange("PATCH", &location, &[("content-range", "4-9")], b"45");
    assert_eq!((short.status, code(&short).as_str()), (400, "SIZE_INVALID"));
    let done = server.exchange("PUT", &close, &[("content-range", "4-9")], b"456789");
    assert_eq!((done.status, done.header("docker-content-digest")), (201, digest(blob).as_str()), "{}", done.text());
    assert_eq!(server.exchange("GET", done.header("location"), &[], b"").body, blob);
    assert_eq!(code(&server.exchange("GET", &location, &[], b"")), "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn an_upload_takes_the_algorithm_that_it_was_opened_with_across_a_restart() {
    let mut server = Server::start();
    create(&server, &["app"]);
    let long = format!("sha512:{}", hex::encode(Sha512::digest(b"first second")));
    let location = open(&server, "/v2/app/blobs/uploads/?digest-algorithm=sha512");
    assert_eq!(server.exchange("PATCH", &location, &[], b"first ").status, 202);
    server.kill_and_restart();
    let done = server.exchange("PUT", &format!("{location}?digest={long}"), &[], b"second");
    assert_eq!((done.status, done.header("docker-content-digest")), (201, long.as_str()), "{}", done.text());
    assert_eq!(server.exchange("HEAD", &format!("/v2/app/blobs/{long}"), &[], b"").status, 200);
    let canonical = format!("/v2/app/blobs/{}", digest(b"first second"));
    assert_eq!(server.exchange("HEAD", &canonical, &[], b"").status, 404, "the client's digest is its only name");
    let unknown = server.exchange("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5", &[], b"");
    assert_eq!((unknown.status, code(&unknown).as_str()), (400, "DIGEST_INVALID"));
    // A wrong digest ends the upload; nothing of it is a blob.
    let location = open(&server, "/v2/app/blobs/uploads/");
    let wrong = server.exchange("PUT", &format!("{location}?digest={}", digest(b"this")), &[], b"that");
    assert_eq!((wrong.status, code(&wrong).as_str()), (400, "DIGEST_INVALID"));
    assert_eq!(code(&server.exchange("PUT", &location, &[], b"")), "DIGEST_INVALID", "the digest is missing");
    for bytes in [&b"this"[..], b"that"] {
        assert_eq!(server.exchange("HEAD", &format!("/v2/app/blobs/{}", digest(bytes)), &[], b"").status, 404);
    }
}

#[test]
fn a_cancelled_upload_is_gone_and_another_repository_never_sees_it() {
    let mut server = Server::start();
    create(&server, &["app", "other"]);
    let location = open(&server, "/v2/app/blobs/uploads/");
    let elsewhere = location.replace("/app/", "/other/");
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(code(&server.exchange(method, &elsewhere, &[], b"x")), "BLOB_UPLOAD_UNKNOWN", "{method}");
    }
    assert_eq!(server.exchange("PATCH", &location, &[], b"x").status, 202);
    assert_eq!(server.exchange("DELETE", &location, &[], b"").status, 204);
    server.kill_and_restart();
    for method in ["GET", "PATCH", "DELETE"] {
        assert_eq!(code(&server.exchange(method, &location, &[], b"x")), "BLOB_UPLOAD_UNKNOWN", "{method}");
    }
    assert_eq!(std::fs::read_dir(server.home().join("data/uploads")).unwrap().count(), 0, "no bytes are left");
}

#[test]
fn blobs_are_mounted_from_the_callers_repositories_and_from_no_others() {
    let mut server = Server::start();
    create(&server, &["from", "to", "third"]);
    allow_mounts(&server);
    push_blob(&server, "from", "x/y", b"a blob");
    let blob = digest(b"a blob");
    let mount = |name: &str, query: &str, headers: &[(&str, &str)]| {
        server.exchange("POST", &format!("/v2/{name}/blobs/uploads/?mount={blob}{query}"), headers, b"")
    };
    assert_eq!(server.exchange("HEAD", &format!("/v2/to/blobs/{blob}"), &[], b"").status, 404, "not a member yet");
    for query in ["&from=third", "&from=nowhere", "&from=..%2Ffrom"] {
        let missing = mount("to", query, &[]);
        assert_eq!(missing.status, 202, "{query}");
        assert_eq!(server.exchange("DELETE", missing.header("location"), &[], b"").status, 204, "{query}");
    }
    let mounted = mount("to", "&from=from", &[]);
    assert_eq!((mounted.status, mounted.header("docker-content-digest")), (201, blob.as_str()));
    assert_eq!(server.exchange("GET", mounted.header("location"), &[], b"").body, b"a blob");
    assert_eq!(mount("third", "", &[]).status, 201, "from wherever it is");
    assert_eq!(mount("nowhere", "", &[]).status, 404);
    // User 111111111111, any password: another account, with a repository of its own.
    let stranger = [("authorization", "Basic MTExMTExMTExMTExOng=")];
    let own = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.CreateRepository"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=111111111111/20260101/us-east-1/ecr/aws4_request, SignedHeaders=host, Signature=00",
        ),
        ("x-amz-date", "20260101T000000Z"),
    ];
    assert_eq!(server.request("POST", "/", &own, br#"{"repositoryName": "mine"}"#).0, 200);
    for query in ["", "&from=from"] {
        assert_eq!(mount("mine", query, &stranger).status, 202, "{query}: another account's blob");
    }
    // A mount outlives the place that it came from, and a crash.
    assert_eq!(server.exchange("DELETE", &format!("/v2/from/blobs/{blob}"), &[], b"").status, 202);
    server.kill_and_restart();
    assert_eq!(server.exchange("HEAD", &format!("/v2/from/blobs/{blob}"), &[], b"").status, 404);
    assert_eq!(server.exchange("GET", &format!("/v2/third/blobs/{blob}"), &[], b"").body, b"a blob");
}
