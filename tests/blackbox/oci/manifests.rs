//! Manifests and tags: their names, their limits, their ends.

use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::{INDEX, MANIFEST, artifact, code, create, digest, push_blob, put_manifest, tags};
use crate::server::Server;

#[test]
fn a_manifest_keeps_the_digest_and_gets_the_tags_that_its_client_names() {
    let mut server = Server::start();
    create(&server, &["app"]);
    // White space is part of it.
    let manifest = format!("{}\n ", artifact(&server, "app", &json!({})));
    let long = format!("sha512:{}", hex::encode(Sha512::digest(&manifest)));
    let put = put_manifest(&server, "app", &format!("{long}?tag=b&tag=a"), &manifest);
    assert_eq!((put.status, put.header("docker-content-digest")), (201, long.as_str()), "{}", put.text());
    assert_eq!((put.header("location"), put.header("oci-tag")), (format!("/v2/app/manifests/{long}").as_str(), "b"));
    server.kill_and_restart();
    for reference in ["a", "b", &long] {
        for method in ["GET", "HEAD"] {
            let got = server.exchange(method, &format!("/v2/app/manifests/{reference}"), &[], b"");
            assert_eq!((got.status, got.header("docker-content-digest")), (200, long.as_str()), "{method} {reference}");
            assert_eq!(
                (got.header("content-type"), got.header("content-length")),
                (MANIFEST, manifest.len().to_string().as_str())
            );
            assert_eq!(got.text(), if method == "GET" { manifest.as_str() } else { "" });
        }
    }
    let short = format!("/v2/app/manifests/{}", digest(manifest.as_bytes()));
    assert_eq!(server.exchange("GET", &short, &[], b"").status, 404, "nobody pushed it under that name");
    assert_eq!(
        put_manifest(&server, "app", "c", &manifest).header("docker-content-digest"),
        digest(manifest.as_bytes())
    );
    for (reference, wanted) in [
        (digest(b"other"), "DIGEST_INVALID"),
        ("sha256:short".to_owned(), "DIGEST_INVALID"),
        ("-dash".to_owned(), "TAG_INVALID"),
        ("t".repeat(129), "TAG_INVALID"),
        (format!("{long}?tag=good&tag=-bad"), "TAG_INVALID"),
    ] {
        let refused = put_manifest(&server, "app", &reference, &manifest);
        assert_eq!((refused.status, code(&refused).as_str()), (400, wanted), "{reference}");
    }
    // A tag goes alone; a manifest takes its tags with it.
    assert_eq!(server.exchange("DELETE", "/v2/app/manifests/a", &[], b"").status, 202);
    assert_eq!(server.exchange("GET", "/v2/app/manifests/b", &[], b"").status, 200);
    assert_eq!(server.exchange("DELETE", &format!("/v2/app/manifests/{long}"), &[], b"").status, 202);
    server.kill_and_restart();
    assert_eq!(tags(&server, "/v2/app/tags/list").0, json!(["c"]));
    for (method, reference) in [("GET", "b"), ("DELETE", "b"), ("DELETE", long.as_str()), ("GET", "good")] {
        let gone = server.exchange(method, &format!("/v2/app/manifests/{reference}"), &[], b"");
        assert_eq!((gone.status, code(&gone).as_str()), (404, "MANIFEST_UNKNOWN"), "{method} {reference}");
    }
    assert_eq!(code(&server.exchange("DELETE", "/v2/none/manifests/a", &[], b"")), "NAME_UNKNOWN");
}

#[test]
fn tags_are_listed_in_byte_order_page_by_page() {
    let server = Server::start();
    create(&server, &["app", "empty"]);
    let manifest = artifact(&server, "app", &json!({}));
    let names = ["0", "A", "Z", "_", "a", "a.b", "b", "v1.10", "v1.9"];
    for tag in names.iter().rev() {
        assert_eq!(put_manifest(&server, "app", tag, &manifest).status, 201);
    }
    assert_eq!(tags(&server, "/v2/app/tags/list"), (json!(names), String::new()));
    assert_eq!(tags(&server, "/v2/app/tags/list?n=0"), (json!([]), String::new()));
    assert_eq!(tags(&server, "/v2/app/tags/list?n=9").1, "", "nothing is behind the last page");
    assert_eq!(tags(&server, "/v2/empty/tags/list?n=3"), (json!([]), String::new()));
    let (mut path, mut seen) = ("/v2/app/tags/list?n=4".to_owned(), Vec::new());
    loop {
        let (page, link) = tags(&server, &path);
        seen.push(page.as_array().unwrap().len());
        let Some(next) = link.strip_suffix(">; rel=\"next\"").and_then(|link| link.strip_prefix('<')) else { break };
        path = next.to_owned();
    }
    assert_eq!(seen, [4, 4, 1]);
    // `last` need not exist, is no index, and needs no `n`.
    for (query, rest) in [("last=aa", 6), ("last=a", 5), ("last=1", 1), ("last=zzz", 9), ("last=%00", 0)] {
        assert_eq!(tags(&server, &format!("/v2/app/tags/list?{query}")).0, json!(names[rest..]), "{query}");
    }
    for bad in ["n=-1", "n=x", "n=1.5", "n=99999999999999999999999"] {
        let answer = server.exchange("GET", &format!("/v2/app/tags/list?{bad}"), &[], b"");
        assert_eq!((answer.status, code(&answer).as_str()), (400, "PAGINATION_NUMBER_INVALID"), "{bad}");
    }
}

#[test]
fn large_manifests_are_taken_up_to_the_limit() {
    let server = Server::start();
    create(&server, &["app"]);
    let sized = |bytes: usize| {
        let bare = artifact(&server, "app", &json!({"annotations": {"a": ""}}));
        let fill = "a".repeat(bytes - bare.len());
        artifact(&server, "app", &json!({"annotations": {"a": fill}}))
    };
    const LIMIT: usize = 8 << 20;
    for bytes in [4 << 20, LIMIT] {
        let manifest = sized(bytes);
        assert_eq!(manifest.len(), bytes);
        assert_eq!(put_manifest(&server, "app", "large", &manifest).status, 201, "{bytes}");
        assert!(server.exchange("GET", "/v2/app/manifests/large", &[], b"").body == manifest.as_bytes());
    }
    let refused = put_manifest(&server, "app", "larger", &sized(LIMIT + 1));
    assert_eq!((refused.status, code(&refused).as_str()), (413, "MANIFEST_INVALID"));
    assert_eq!(server.exchange("HEAD", "/v2/app/manifests/larger", &[], b"").status, 404);
}

#[test]
fn only_what_registries_distribute_must_be_there() {
    let server = Server::start();
    create(&server, &["app", "other"]);
    let layer =
        |media_type: &str, text: &str| json!({"mediaType": media_type, "digest": digest(text.as_bytes()), "size": 9});
    let foreign = [
        layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "one"),
        layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "pushed"),
    ];
    push_blob(&server, "app", "x/y", b"pushed");
    let manifest = artifact(&server, "app", &json!({"layers": foreign}));
    let put = put_manifest(&server, "app", "foreign", &manifest);
    assert_eq!(put.status, 201, "{}", put.text());
    let kept = server.exchange("DELETE", &format!("/v2/app/blobs/{}", digest(b"pushed")), &[], b"");
    assert_eq!(kept.status, 405, "a foreign layer that was pushed all the same belongs to the image");
    let lacking = artifact(&server, "app", &json!({"layers": [layer("x/y", "absent"), layer("x/y", "missing")]}));
    let refused = put_manifest(&server, "app", "lacking", &lacking);
    assert_eq!((refused.status, code(&refused).as_str()), (404, "MANIFEST_BLOB_UNKNOWN"));
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(body["errors"][0]["detail"].as_array().unwrap().len(), 2, "{body}");
    let elsewhere = put_manifest(&server, "other", "1", &artifact(&server, "app", &json!({})));
    assert_eq!(code(&elsewhere), "MANIFEST_BLOB_UNKNOWN", "another repository's blobs are not this one's");
    // An index may name platforms that were not copied.
    let sparse = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [layer(MANIFEST, "arm64")]}).to_string();
    assert_eq!(put_manifest(&server, "app", "sparse", &sparse).status, 201);
    let got = server.exchange("GET", "/v2/app/manifests/sparse", &[], b"");
    assert_eq!((got.header("content-type"), got.text()), (INDEX, sparse));
}
