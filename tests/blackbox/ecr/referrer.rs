//! Who refers to an image.

use serde_json::{Value, json};

use super::{create, digest, push_image, put_by_oci};
use crate::server::{Server, assert_refused};

#[test]
fn referrers_are_listed_by_type_and_status() {
    let mut server = Server::start();
    create(&server, "repo");
    let (manifest, image) = push_image(&server, "repo", "1", "a");
    let mut referrers = Vec::new();
    for kind in ["text/sbom", "text/signature"] {
        let mut made: Value = serde_json::from_str(&manifest).unwrap();
        made["subject"] = json!({"mediaType": made["mediaType"], "digest": image, "size": manifest.len()});
        made["artifactType"] = json!(kind);
        made["annotations"] = json!({"is": kind});
        let made = made.to_string();
        let its = digest(made.as_bytes());
        assert_eq!(put_by_oci(&server, "repo", &its, &made).status, 201);
        referrers.push(its);
    }
    server.kill_and_restart();
    let list = |more: Value| {
        let wanted = json!({"repositoryName": "repo", "subjectId": {"imageDigest": image}});
        server.ecr("ListImageReferrers", &crate::server::with(&wanted, &more))
    };
    let all = list(json!({})).unwrap();
    assert_eq!(all["referrers"].as_array().unwrap().len(), 2);
    let typed = list(json!({"filter": {"artifactTypes": ["text/sbom"]}})).unwrap()["referrers"].clone();
    let expected = (json!(referrers[0]), json!("text/sbom"), json!("ACTIVE"), json!({"is": "text/sbom"}));
    let one = &typed[0];
    let got = (&one["digest"], &one["artifactType"], &one["artifactStatus"], &one["annotations"]);
    assert_eq!(got, (&expected.0, &expected.1, &expected.2, &expected.3));
    let first = list(json!({"maxResults": 1})).unwrap();
    let second = list(json!({"maxResults": 1, "nextToken": first["nextToken"]})).unwrap();
    assert_eq!(second.get("nextToken"), None);
    assert_eq!(json!([first["referrers"][0], second["referrers"][0]]), all["referrers"]);

    let moved =
        json!({"repositoryName": "repo", "imageId": {"imageDigest": referrers[1]}, "targetStorageClass": "ARCHIVE"});
    server.ecr("UpdateImageStorageClass", &moved).unwrap();
    let archived = list(json!({"filter": {"artifactStatus": "ARCHIVED"}})).unwrap()["referrers"].clone();
    assert_eq!((&archived[0]["digest"], archived.as_array().unwrap().len()), (&json!(referrers[1]), 1));
    let bad = server.ecr("ListImageReferrers", &json!({"repositoryName": "repo", "subjectId": {"imageDigest": "x"}}));
    assert_refused(bad, "InvalidParameterException", "");
}
