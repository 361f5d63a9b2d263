//! The registry as image clients see it.

mod blobs;
mod keeping;
mod manifests;
mod referrers;
mod uploads;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server::{Answer, Server};

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}

/// Makes repositories.
fn create(server: &Server, names: &[&str]) {
    for name in names {
        server.ecr("CreateRepository", &json!({"repositoryName": name})).unwrap();
    }
}

/// Pushes a blob in one request; a descriptor of it.
fn push_blob(server: &Server, name: &str, media_type: &str, bytes: &[u8]) -> Value {
    let put = server.exchange("POST", &format!("/v2/{name}/blobs/uploads/?digest={}", digest(bytes)), &[], bytes);
    assert_eq!((put.status, put.header("docker-content-digest")), (201, digest(bytes).as_str()), "{}", put.text());
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// Pushes a manifest, an index if it has manifests, by what the path says of it.
fn put_manifest(server: &Server, name: &str, reference: &str, manifest: &str) -> Answer {
    let media_type = if manifest.contains("\"manifests\"") { INDEX } else { MANIFEST };
    let path = format!("/v2/{name}/manifests/{reference}");
    server.exchange("PUT", &path, &[("content-type", media_type)], manifest.as_bytes())
}

/// A manifest of a config blob that is pushed for it, with these members beside or instead.
fn artifact(server: &Server, name: &str, members: &Value) -> String {
    let config = push_blob(server, name, "application/vnd.oci.empty.v1+json", b"{}");
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [config]});
    crate::server::with(&manifest, members).to_string()
}

fn tags(server: &Server, path: &str) -> (Value, String) {
    let answer = server.exchange("GET", path, &[], b"");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    (body["tags"].clone(), answer.header("link").to_owned())
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Pushes an image in chunks; its manifest.
fn push(server: &Server, name: &str, tag: &str) -> String {
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let layer = b"one layer in two chunks";
    let whole = server.exchange("POST", &format!("/v2/{name}/blobs/uploads/?digest={}", digest(config)), &[], config);
    assert_eq!(whole.status, 201, "{}", whole.text());
    let session = server.exchange("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"");
    assert_eq!(session.status, 202, "{}", session.text());
    let location = session.header("location").to_owned();
    let first = server.exchange("PATCH", &location, &[("content-range", "0-9")], &layer[..10]);
    assert_eq!((first.status, first.header("range")), (202, "0-9"));
    let again = server.exchange("PATCH", &location, &[("content-range", "0-9")], &layer[..10]);
    assert_eq!(again.status, 416, "a chunk out of order");
    let done = server.exchange(
        "PUT",
        &format!("{location}?digest={}", digest(layer)),
        &[("content-range", "10-22")],
        &layer[10..],
    );
    assert_eq!((done.status, done.header("docker-content-digest")), (201, digest(layer).as_str()), "{}", done.text());
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": digest(config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": layer.len(), "digest": digest(layer)}]})
    .to_string();
    let put = server.exchange(
        "PUT",
        &format!("/v2/{name}/manifests/{tag}"),
        &[("content-type", MANIFEST)],
        manifest.as_bytes(),
    );
    assert_eq!(put.status, 201, "{}", put.text());
    manifest
}

#[test]
fn an_image_pushed_in_chunks_is_pulled_byte_for_byte_after_a_restart() {
    let mut server = Server::start();
    server.ecr("CreateRepository", &json!({"repositoryName": "team/app"})).unwrap();
    let manifest = push(&server, "team/app", "1");
    server.kill_and_restart();
    let got = server.exchange("GET", "/v2/team/app/manifests/1", &[], b"");
    assert_eq!((got.status, got.text()), (200, manifest.clone()));
    assert_eq!(got.header("docker-content-digest"), digest(manifest.as_bytes()));
    assert_eq!(got.header("content-type"), MANIFEST);
    let head = server.exchange("HEAD", &format!("/v2/team/app/manifests/{}", digest(manifest.as_bytes())), &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, manifest.len().to_string().as_str()));
    let layer = format!("/v2/team/app/blobs/{}", digest(b"one layer in two chunks"));
    assert_eq!(server.request("GET", &layer, &[], b""), (200, b"one layer in two chunks".to_vec()));
    let part = server.exchange("GET", &layer, &[("range", "bytes=4-8")], b"");
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "layer".to_owned(), "bytes 4-8/23"));
    assert_eq!(server.exchange("GET", &layer, &[("range", "bytes=99-")], b"").status, 416);
    let tags = server.exchange("GET", "/v2/team/app/tags/list", &[], b"").text();
    assert_eq!(serde_json::from_str::<Value>(&tags).unwrap(), json!({"name": "team/app", "tags": ["1"]}));
    let gone = server.exchange("DELETE", "/v2/team/app/manifests/1", &[], b"");
    assert_eq!(gone.status, 202, "{}", gone.text());
    server.kill_and_restart();
    assert_eq!(code(&server.exchange("GET", "/v2/team/app/manifests/1", &[], b"")), "MANIFEST_UNKNOWN");
}

/// Not in the spec, but clients ask for it: crane catalog, oras repo ls, podman search.
#[test]
fn the_catalog_lists_the_callers_repositories_page_by_page() {
    let server = Server::start();
    for name in ["bb", "aa/x", "cc"] {
        server.ecr("CreateRepository", &json!({"repositoryName": name})).unwrap();
    }
    let page = |path: &str, headers: &[(&str, &str)]| {
        let answer = server.exchange("GET", path, headers, b"");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (body["repositories"].clone(), answer.header("link").to_owned())
    };
    assert_eq!(page("/v2/_catalog", &[]), (json!(["aa/x", "bb", "cc"]), String::new()));
    let (first, next) = page("/v2/_catalog?n=1", &[]);
    assert_eq!((first, next.as_str()), (json!(["aa/x"]), "</v2/_catalog?n=1&last=aa/x>; rel=\"next\""));
    assert_eq!(page("/v2/_catalog?n=5&last=aa/x", &[]), (json!(["bb", "cc"]), String::new()));
    // User 111111111111, any password: another account.
    assert_eq!(page("/v2/_catalog", &[("authorization", "Basic MTExMTExMTExMTExOng=")]), (json!([]), String::new()));
}

#[test]
fn an_upload_goes_on_after_a_restart() {
    let mut server = Server::start();
    server.ecr("CreateRepository", &json!({"repositoryName": "repo"})).unwrap();
    let session = server.exchange("POST", "/v2/repo/blobs/uploads/", &[], b"");
    let location = session.header("location").to_owned();
    assert_eq!(server.exchange("PATCH", &location, &[], b"first ").status, 202);
    server.kill_and_restart();
    let status = server.exchange("GET", &location, &[], b"");
    assert_eq!((status.status, status.header("range")), (204, "0-5"));
    let done = server.exchange("PUT", &format!("{location}?digest={}", digest(b"first second")), &[], b"second");
    assert_eq!(done.status, 201, "{}", done.text());
    let cancelled = server.exchange("POST", "/v2/repo/blobs/uploads/", &[], b"");
    let location = cancelled.header("location").to_owned();
    assert_eq!(server.exchange("DELETE", &location, &[], b"").status, 204);
    assert_eq!(server.exchange("GET", &location, &[], b"").status, 404);
}

#[test]
fn what_is_wrong_is_refused_with_the_specs_codes() {
    let server = Server::start();
    server.ecr("CreateRepository", &json!({"repositoryName": "repo"})).unwrap();
    let none = digest(b"none");
    let broken = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1, "digest": none}, "layers": []})
    .to_string();
    for (method, path, body, status, wanted) in [
        ("GET", "/v2/none/manifests/1".to_owned(), &b""[..], 404, "NAME_UNKNOWN"),
        ("GET", "/v2/repo/manifests/1".to_owned(), b"", 404, "MANIFEST_UNKNOWN"),
        ("GET", format!("/v2/repo/blobs/{none}"), b"", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/repo/blobs/sha256:short".to_owned(), b"", 400, "DIGEST_INVALID"),
        ("GET", "/v2/UPPER/tags/list".to_owned(), b"", 400, "NAME_INVALID"),
        ("POST", format!("/v2/repo/blobs/uploads/?digest={none}"), b"other", 400, "DIGEST_INVALID"),
        ("POST", "/v2/none/blobs/uploads/".to_owned(), b"", 404, "NAME_UNKNOWN"),
        ("PATCH", "/v2/repo/blobs/uploads/nope".to_owned(), b"x", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", "/v2/repo/manifests/1".to_owned(), b"{}", 400, "MANIFEST_INVALID"),
        ("PUT", "/v2/repo/manifests/1".to_owned(), b"\xff\xfe", 400, "MANIFEST_INVALID"),
        ("PUT", "/v2/repo/manifests/1".to_owned(), broken.as_bytes(), 404, "MANIFEST_BLOB_UNKNOWN"),
    ] {
        let answer = server.exchange(method, &path, &[("content-type", MANIFEST)], body);
        assert_eq!(code(&answer), wanted, "{method} {path}: {}", answer.text());
        assert!(answer.status == status || wanted == "MANIFEST_BLOB_UNKNOWN", "{method} {path}: {answer:?}");
    }
    for path in [
        "/v2/../../etc/passwd",
        "/v2/repo/blobs/..%2f..%2fetc",
        "/v2/%00/tags/list",
        "/v2/repo/manifests/%ff",
        "/v2/repo/tags/list?n=x",
    ] {
        let answer = server.exchange("GET", path, &[], b"");
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
}
