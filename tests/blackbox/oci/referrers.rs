//! Who refers to whom: listed, filtered, paged, gone.

use serde_json::{Value, json};

use super::{INDEX, MANIFEST, artifact, create, digest, put_manifest};
use crate::server::Server;

/// One page of a list and the path of the next.
fn page(server: &Server, path: &str) -> (Vec<Value>, Option<String>) {
    let answer = server.exchange("GET", path, &[], b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, INDEX), "{path}: {}", answer.text());
    let filtered = if path.contains("artifactType=") { "artifactType" } else { "" };
    assert_eq!(answer.header("oci-filters-applied"), filtered, "{path}");
    let index: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((index["schemaVersion"].clone(), index["mediaType"].clone()), (json!(2), json!(INDEX)));
    let link = answer.header("link");
    let next = link.strip_suffix(">; rel=\"next\"").and_then(|link| link.strip_prefix('<')).map(str::to_owned);
    assert_eq!(next.is_some(), !link.is_empty(), "{link}");
    (index["manifests"].as_array().unwrap().clone(), next)
}

/// All pages, and how many there were.
fn pages(server: &Server, path: &str) -> (Vec<Value>, usize) {
    let (mut all, mut next, mut count) = (Vec::new(), Some(path.to_owned()), 0);
    while let Some(path) = next {
        let (found, more) = page(server, &path);
        assert!(!found.is_empty() || more.is_none(), "an empty page");
        (next, count) = (more, count + 1);
        all.extend(found);
    }
    (all, count)
}

fn subject_of(text: &str) -> Value {
    json!({"mediaType": MANIFEST, "digest": digest(text.as_bytes()), "size": text.len()})
}

#[test]
fn referrers_show_what_their_manifests_say_and_go_with_them() {
    let mut server = Server::start();
    create(&server, &["app"]);
    let image = artifact(&server, "app", &json!({"annotations": {"is": "the subject"}}));
    let list = format!("/v2/app/referrers/{}", digest(image.as_bytes()));
    assert_eq!(page(&server, &list), (vec![], None), "nobody knows the subject yet");
    let subject = subject_of(&image);
    let typed = artifact(
        &server,
        "app",
        &json!({"subject": subject, "artifactType": "text/sbom+json", "annotations": {"a": "b"}}),
    );
    let untyped = artifact(&server, "app", &json!({"subject": subject}));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": subject}).to_string();
    for manifest in [&typed, &untyped, &index] {
        let put = put_manifest(&server, "app", &digest(manifest.as_bytes()), manifest);
        assert_eq!(
            (put.status, put.header("oci-subject")),
            (201, subject["digest"].as_str().unwrap()),
            "{}",
            put.text()
        );
    }
    let put = put_manifest(&server, "app", "1", &image);
    assert_eq!((put.status, put.header("oci-subject")), (201, ""));
    server.kill_and_restart();
    let shown = |text: &str, media_type: &str, more: Value| {
        let descriptor = json!({"mediaType": media_type, "digest": digest(text.as_bytes()), "size": text.len()});
        crate::server::with(&descriptor, &more)
    };
    let sbom = shown(&typed, MANIFEST, json!({"artifactType": "text/sbom+json", "annotations": {"a": "b"}}));
    let plain = shown(&untyped, MANIFEST, json!({"artifactType": "application/vnd.oci.empty.v1+json"}));
    let mut all = vec![sbom.clone(), plain.clone(), shown(&index, INDEX, json!({}))];
    all.sort_by_key(|one| one["digest"].to_string());
    assert_eq!(page(&server, &list), (all, None));
    assert_eq!(page(&server, &format!("{list}?artifactType=text/sbom%2Bjson")), (vec![sbom], None));
    assert_eq!(page(&server, &format!("{list}?artifactType=none")), (vec![], None));
    for gone in [&typed, &index] {
        let path = format!("/v2/app/manifests/{}", digest(gone.as_bytes()));
        assert_eq!(server.exchange("DELETE", &path, &[], b"").status, 202);
    }
    assert_eq!(page(&server, &list), (vec![plain.clone()], None));
    assert_eq!(server.exchange("DELETE", "/v2/app/manifests/1", &[], b"").status, 202, "the subject's tag");
    server.kill_and_restart();
    assert_eq!(page(&server, &list), (vec![plain], None));
    // A 404 would tell clients that this registry has no referrers at all.
    assert_eq!(page(&server, &list.replace("/app/", "/unknown/")), (vec![], None));
    for bad in ["sha256:short", "latest", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        assert_eq!(server.exchange("GET", &format!("/v2/app/referrers/{bad}"), &[], b"").status, 400, "{bad}");
    }
}

#[test]
fn a_list_of_large_referrers_comes_in_pages_that_clients_can_read() {
    let mut server = Server::start();
    create(&server, &["app"]);
    let subject = subject_of("absent");
    let mut expected = Vec::new();
    for number in 0..5 {
        let kind = if number == 0 { "x/other" } else { "x/large +1" };
        let annotations = json!({"number": number.to_string(), "large": "a".repeat(1_000_000)});
        let members = json!({"subject": subject, "artifactType": kind, "annotations": annotations});
        let manifest = artifact(&server, "app", &members);
        assert_eq!(put_manifest(&server, "app", &digest(manifest.as_bytes()), &manifest).status, 201);
        expected.push((digest(manifest.as_bytes()), number.to_string()));
    }
    server.kill_and_restart();
    let list = format!("/v2/app/referrers/{}", digest(b"absent"));
    let seen = |found: &[Value]| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        found.iter().map(|one| (text(&one["digest"]), text(&one["annotations"]["number"]))).collect()
    };
    let large: Vec<_> = expected[1..].to_vec();
    for (path, mut wanted) in [(list.clone(), expected), (format!("{list}?artifactType=x/large+%2B1"), large)] {
        wanted.sort();
        let (found, count) = pages(&server, &path);
        assert_eq!((seen(&found), count), (wanted, 2), "{path}");
        assert!(
            found.iter().all(|one| one["annotations"]["large"].as_str().is_some_and(|text| text.len() == 1_000_000))
        );
    }
}

/// Clients of registries without the list keep one themselves, under a tag. What of it is true is listed.
#[test]
fn an_index_under_the_older_tag_schema_adds_what_has_the_subject_and_nothing_else() {
    let server = Server::start();
    create(&server, &["app"]);
    let subject = subject_of("absent");
    let manifest = artifact(&server, "app", &json!({"subject": subject, "artifactType": "x/signature"}));
    assert_eq!(put_manifest(&server, "app", "signature", &manifest).status, 201);
    let stranger = artifact(&server, "app", &json!({"artifactType": "x/stranger"}));
    assert_eq!(put_manifest(&server, "app", "stranger", &stranger).status, 201);
    let listed = [manifest.as_str(), stranger.as_str(), "never pushed"].map(subject_of);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).to_string();
    let tag = digest(b"absent").replace(':', "-");
    assert_eq!(put_manifest(&server, "app", &tag, &index).status, 201);
    let (found, _) = page(&server, &format!("/v2/app/referrers/{}", digest(b"absent")));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["digest"], json!(digest(manifest.as_bytes())));
}
