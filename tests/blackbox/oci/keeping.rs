//! What the registry keeps, how much of it, and for how long.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{MANIFEST, artifact, code, create, digest, push, push_blob, put_manifest};
use crate::ecr::{allow_mounts, push_layer};
use crate::server::{Server, assert_refused, until};

#[test]
fn a_manifest_push_may_say_what_it_expects_to_be_there() {
    let mut server = Server::start();
    create(&server, &["app"]);
    let (one, two) = (artifact(&server, "app", &json!({})), artifact(&server, "app", &json!({"artifactType": "x/y"})));
    let put = |text: &str, header: (&str, &str)| {
        server.exchange("PUT", "/v2/app/manifests/1", &[("content-type", MANIFEST), header], text.as_bytes())
    };
    let missing = put(&one, ("if-match", "*"));
    assert_eq!((missing.status, code(&missing).as_str()), (412, "PRECONDITION_FAILED"));
    assert_eq!(put(&one, ("if-none-match", "*")).status, 201);
    assert_eq!(put(&two, ("if-none-match", "*")).status, 412, "it is there by now");
    let head = server.exchange("HEAD", "/v2/app/manifests/1", &[], b"");
    let tag = head.header("etag").to_owned();
    assert_eq!(tag, format!("\"{}\"", digest(one.as_bytes())));
    assert_eq!(put(&two, ("if-match", &tag)).status, 201);
    let late = put(&one, ("if-match", &tag));
    let found: Value = serde_json::from_slice(&late.body).unwrap();
    assert_eq!((late.status, &found["errors"][0]["detail"]["digest"]), (412, &json!(digest(two.as_bytes()))));
    server.kill_and_restart();
    assert_eq!(server.exchange("GET", "/v2/app/manifests/1", &[], b"").text(), two);
}

#[test]
fn a_repository_holds_no_more_than_its_quota_at_either_door() {
    let mut server = Server::start_set(&["--repository-quota", "small=1", "--repository-quota", "*=2"]);
    create(&server, &["small", "other"]);
    let content = vec![7; 1 << 20];
    let large = vec![8; (1 << 20) + 1];
    let whole = format!("/v2/small/blobs/uploads/?digest={}", digest(&large));
    let refused = server.exchange("POST", &whole, &[], &large);
    assert_eq!((refused.status, code(&refused).as_str()), (403, "DENIED"));
    assert!(refused.text().contains("`small` is full: it may hold 1 MiB (repository_quotas)"), "{}", refused.text());
    push_blob(&server, "other", "x/y", &large);
    push_blob(&server, "small", "x/y", &content);
    for path in ["/v2/small/blobs/uploads/".to_owned(), whole] {
        let refused = server.exchange("POST", &path, &[], b"x");
        assert_eq!((refused.status, code(&refused).as_str()), (403, "DENIED"), "{path}");
    }
    allow_mounts(&server);
    let mount = format!("/v2/small/blobs/uploads/?mount={}&from=other", digest(&large));
    assert_eq!(server.exchange("POST", &mount, &[], b"").status, 403);
    let index = json!({"schemaVersion": 2, "mediaType": super::INDEX, "manifests": []}).to_string();
    assert_eq!(code(&put_manifest(&server, "small", "1", &index)), "DENIED");
    // ECR's door.
    let start = server.ecr("InitiateLayerUpload", &json!({"repositoryName": "small"}));
    assert_refused(start, "InvalidParameterException", "is full");
    let put = json!({"repositoryName": "small", "imageManifest": index, "imageTag": "1"});
    assert_refused(server.ecr("PutImage", &put), "LimitExceededException", "is full");
    // Room that is made is room.
    let gone = server.exchange("DELETE", &format!("/v2/small/blobs/{}", digest(&content)), &[], b"");
    assert_eq!(gone.status, 202);
    server.kill_and_restart();
    assert_eq!(put_manifest(&server, "small", "1", &index).status, 201);
    let started = server.ecr("InitiateLayerUpload", &json!({"repositoryName": "small"})).unwrap();
    let part = json!({"repositoryName": "small", "uploadId": started["uploadId"], "partFirstByte": 0,
        "partLastByte": large.len() - 1, "layerPartBlob": base64(&large)});
    assert_refused(server.ecr("UploadLayerPart", &part), "LimitExceededException", "is full");
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn abandoned_uploads_expire_and_leave_nothing() {
    let settings = ["--collect-secs", "1", "--upload-expiry-secs", "2", "--collect-grace-secs", "2"];
    let mut server = Server::start_set(&settings);
    create(&server, &["app"]);
    let opened = || server.exchange("POST", "/v2/app/blobs/uploads/", &[], b"").header("location").to_owned();
    let mut last = Instant::now();
    let (left, mut used) = (opened(), opened());
    assert_eq!(server.exchange("PATCH", &left, &[], b"never finished").status, 202);
    push_blob(&server, "app", "x/y", b"in no image");
    let files = |server: &Server, name: &str| std::fs::read_dir(server.home().join("data").join(name)).unwrap().count();
    // One that is written to now and then lives on, however old it is.
    until("the abandoned one is gone", || {
        let begun = Instant::now();
        let status = server.exchange("PATCH", &used, &[], b".").status;
        if status == 202 {
            last = begun;
        } else {
            // Only when this test did not write for so long either, on a machine that has much to do.
            assert!(last.elapsed() >= Duration::from_secs(2), "{status}");
            last = Instant::now();
            used = opened();
        }
        (server.exchange("GET", &left, &[], b"").status == 404).then_some(())
    });
    until("its file too", || (files(&server, "uploads") <= 1).then_some(()));
    let blob = format!("/v2/app/blobs/{}", digest(b"in no image"));
    until("so is a blob of no image", || (server.exchange("GET", &blob, &[], b"").status == 404).then_some(()));
    // What a server that died left expires with the next one.
    server.kill_and_restart();
    until("nothing is left", || (files(&server, "uploads") == 0).then_some(()));
}

#[test]
fn damaged_content_is_found_reported_and_healed_by_a_push() {
    let mut server = Server::start();
    create(&server, &["app"]);
    let manifest = push(&server, "app", "1");
    let whole = server.cove(&["scrub", "--now"]);
    assert!(whole.status.success(), "{whole:?}");
    assert!(String::from_utf8_lossy(&whole.stdout).contains("3 files"), "{whole:?}");
    let layer = digest(b"one layer in two chunks");
    let hex = layer.strip_prefix("sha256:").unwrap();
    let path = server.home().join("data/blobs/sha256").join(&hex[..2]).join(hex);
    std::fs::write(&path, b"one layer in two churks").unwrap();
    server.kill_and_restart();
    let found = server.cove(&["scrub", "--now", "--json"]);
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["damaged"], json!([{"digest": layer, "repositories": ["000000000000/us-east-1/app"]}]), "{found}");
    let text = server.exchange("GET", "/_cove/metrics", &[], b"").text();
    assert!(text.contains("cove_registry_damaged_blobs_total 1\n"), "{text}");
    // No client is given what is wrong, and pushing clients are told to send it.
    let blob = format!("/v2/app/blobs/{layer}");
    assert_eq!(server.exchange("GET", &blob, &[], b"").status, 404);
    assert_eq!(server.exchange("HEAD", &blob, &[], b"").status, 404);
    let known =
        server.ecr("BatchCheckLayerAvailability", &json!({"repositoryName": "app", "layerDigests": [layer]})).unwrap();
    assert_eq!(known["layers"][0]["layerAvailability"], "UNAVAILABLE");
    assert_eq!(code(&put_manifest(&server, "app", "2", &manifest)), "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(push(&server, "app", "1"), manifest);
    assert_eq!(server.exchange("GET", &blob, &[], b"").text(), "one layer in two chunks");
    let healed = server.cove(&["scrub"]);
    assert!(healed.status.success(), "{healed:?}");
    // And by ECR's door.
    std::fs::write(&path, b"one layer in two churks").unwrap();
    assert_eq!(server.cove(&["scrub", "--now"]).status.code(), Some(1));
    assert_eq!(push_layer(&server, "app", b"one layer in two chunks"), layer);
    assert_eq!(server.exchange("GET", &blob, &[], b"").text(), "one layer in two chunks");
}
