//! Blobs: whole, in part, under conditions, deleted.

use super::{artifact, code, create, digest, push_blob, put_manifest};
use crate::server::Server;

#[test]
fn a_part_of_a_blob_is_what_was_asked_for_or_a_refusal() {
    let server = Server::start();
    create(&server, &["app"]);
    let blob: Vec<u8> = (0..=255).cycle().take(3000).collect();
    push_blob(&server, "app", "x/y", &blob);
    let (path, tag) = (format!("/v2/app/blobs/{}", digest(&blob)), format!("\"{}\"", digest(&blob)));
    let whole = server.exchange("GET", &path, &[], b"");
    assert_eq!((whole.status, whole.header("accept-ranges"), whole.header("etag")), (200, "bytes", tag.as_str()));
    assert!(whole.body == blob);
    for (range, start, end) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=2000-9999", 2000, 2999),
        ("bytes=2990-", 2990, 2999),
        ("bytes=-10", 2990, 2999),
        ("bytes=-99999", 0, 2999),
        ("bytes=1-99999999999999999999", 1, 2999),
    ] {
        let part = server.exchange("GET", &path, &[("range", range)], b"");
        let shown = format!("bytes {start}-{end}/3000");
        assert_eq!((part.status, part.header("content-range")), (206, shown.as_str()), "{range}");
        assert_eq!(part.header("docker-content-digest"), digest(&blob), "of the whole");
        assert!(part.body == blob[start..=end], "{range}");
    }
    for range in ["bytes=3000-", "bytes=-0", "bytes=9-8", "bytes=5000-6000", "bytes=99999999999999999999-"] {
        let beyond = server.exchange("GET", &path, &[("range", range)], b"");
        assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */3000"), "{range}");
        assert_eq!(code(&beyond), "RANGE_INVALID");
    }
    for range in ["bytes=0-1,5-6", "lines=0-1", "bytes=a-b"] {
        assert_eq!(
            server.exchange("GET", &path, &[("range", range)], b"").status,
            200,
            "{range} is not served in parts"
        );
    }
    for (condition, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let part = server.exchange("GET", &path, &[("range", "bytes=0-9"), ("if-range", condition)], b"");
        assert_eq!(part.status, status, "if it still is {condition}");
    }
    for (condition, status) in [(tag.as_str(), 304), ("\"other\"", 200)] {
        let answer = server.exchange("GET", &path, &[("if-none-match", condition)], b"");
        assert_eq!((answer.status, answer.body.is_empty()), (status, status == 304), "unless it is {condition}");
    }
    let head = server.exchange("HEAD", &path, &[("range", "bytes=0-9")], b"");
    assert_eq!((head.status, head.header("content-length")), (200, "3000"));
    assert_eq!(head.header("docker-content-digest"), digest(&blob));
}

#[test]
fn a_blob_is_deleted_once_no_manifest_needs_it() {
    let mut server = Server::start();
    create(&server, &["app"]);
    let manifest = artifact(&server, "app", &serde_json::json!({}));
    assert_eq!(put_manifest(&server, "app", "1", &manifest).status, 201);
    push_blob(&server, "app", "x/y", b"");
    let (used, empty) = (format!("/v2/app/blobs/{}", digest(b"{}")), format!("/v2/app/blobs/{}", digest(b"")));
    let got = server.exchange("GET", &empty, &[], b"");
    assert_eq!((got.status, got.header("content-length")), (200, "0"), "a blob of no bytes is one");
    assert_eq!(server.exchange("DELETE", &empty, &[], b"").status, 202);
    assert_eq!(code(&server.exchange("DELETE", &empty, &[], b"")), "BLOB_UNKNOWN");
    let refused = server.exchange("DELETE", &used, &[], b"");
    assert_eq!((refused.status, code(&refused).as_str()), (405, "UNSUPPORTED"));
    let by_digest = format!("/v2/app/manifests/{}", digest(manifest.as_bytes()));
    assert_eq!(server.exchange("DELETE", &by_digest, &[], b"").status, 202);
    assert_eq!(server.exchange("DELETE", &used, &[], b"").status, 202);
    server.kill_and_restart();
    for path in [used, empty] {
        assert_eq!(code(&server.exchange("GET", &path, &[], b"")), "BLOB_UNKNOWN");
    }
    let posted = server.exchange("POST", "/v2/app/tags/list", &[], b"");
    assert_eq!((posted.status, posted.header("allow"), code(&posted).as_str()), (405, "GET", "UNSUPPORTED"));
}
