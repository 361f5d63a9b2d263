//! Tags that do not move.

use serde_json::{Value, json};

use super::{create, push_image, put_by_oci};
use crate::server::{Server, assert_refused};

#[test]
fn an_immutable_tag_does_not_move() {
    let mut server = Server::start();
    create(&server, "repo");
    push_image(&server, "repo", "1", "a");
    server.ecr("PutImageTagMutability", &json!({"repositoryName": "repo", "imageTagMutability": "IMMUTABLE"})).unwrap();
    let (manifest, _) = push_image(&server, "repo", "2", "b");
    server.kill_and_restart();
    let shown = server.ecr("DescribeRepositories", &json!({})).unwrap();
    assert_eq!(shown["repositories"][0]["imageTagMutability"], "IMMUTABLE");
    let moved = server.ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": "1"}));
    assert_refused(moved, "ImageTagAlreadyExistsException", "immutable");
}

#[test]
fn an_excluded_tag_does_the_opposite_of_others() {
    let mut server = Server::start();
    let filters = |patterns: &[&str]| -> Vec<Value> {
        patterns.iter().map(|pattern| json!({"filterType": "WILDCARD", "filter": pattern})).collect()
    };
    let made = json!({"repositoryName": "repo", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": filters(&["latest", "dev-*"])});
    let made = server.ecr("CreateRepository", &made).unwrap()["repository"].clone();
    assert_eq!(made["imageTagMutabilityExclusionFilters"], json!(filters(&["latest", "dev-*"])));
    for tag in ["latest", "dev-1", "1"] {
        push_image(&server, "repo", tag, tag);
    }
    let (manifest, _) = push_image(&server, "repo", "new", "new");
    server.kill_and_restart();
    let shown = server.ecr("DescribeRepositories", &json!({})).unwrap();
    assert_eq!(shown["repositories"][0], made);
    let by_api = |server: &Server, tag: &str| {
        server.ecr("PutImage", &json!({"repositoryName": "repo", "imageManifest": manifest, "imageTag": tag}))
    };
    by_api(&server, "latest").unwrap();
    assert_eq!(put_by_oci(&server, "repo", "dev-1", &manifest).status, 201);
    assert_refused(by_api(&server, "1"), "ImageTagAlreadyExistsException", "'1' already exists");
    let refused = put_by_oci(&server, "repo", "1", &manifest);
    assert_eq!((refused.status, refused.text().contains("TAG_INVALID")), (400, true), "{}", refused.text());

    let put = |server: &Server, word: &str, patterns: &[&str]| {
        let mut wanted = json!({"repositoryName": "repo", "imageTagMutability": word});
        if !patterns.is_empty() {
            wanted["imageTagMutabilityExclusionFilters"] = json!(filters(patterns));
        }
        server.ecr("PutImageTagMutability", &wanted)
    };
    let changed = put(&server, "MUTABLE_WITH_EXCLUSION", &["*rel*"]).unwrap();
    assert_eq!(changed["imageTagMutability"], "MUTABLE_WITH_EXCLUSION");
    server.kill_and_restart();
    by_api(&server, "1").unwrap();
    by_api(&server, "my-rel-1").unwrap();
    let (other, _) = push_image(&server, "repo", "other", "other");
    assert_eq!(put_by_oci(&server, "repo", "my-rel-1", &other).status, 400);

    let bare = put(&server, "IMMUTABLE_WITH_EXCLUSION", &[]);
    let why = "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as \
               IMMUTABLE_WITH_EXCLUSION";
    assert_refused(bare, "InvalidParameterException", why);
    for (word, patterns) in
        [("MUTABLE", &["a"][..]), ("IMMUTABLE_WITH_EXCLUSION", &["*a*b*"]), ("IMMUTABLE_WITH_EXCLUSION", &["a/b"])]
    {
        assert_refused(put(&server, word, patterns), "InvalidParameterException", "");
    }
    put(&server, "MUTABLE", &[]).unwrap();
    let shown = server.ecr("DescribeRepositories", &json!({})).unwrap();
    assert_eq!(shown["repositories"][0].get("imageTagMutabilityExclusionFilters"), None);
}
