//! Repositories and their tags.

use serde_json::json;

use super::{ARN, create, push_image};
use crate::server::{Server, assert_refused, with};

#[test]
fn a_repository_lives_and_dies() {
    let mut server = Server::start();
    let made = server.ecr("CreateRepository", &json!({"repositoryName": "team/app"})).unwrap()["repository"].clone();
    assert_eq!(made["repositoryUri"], format!("127.0.0.1:{}/team/app", server.port));
    assert_eq!(made["repositoryArn"], format!("{ARN}team/app"));
    create(&server, "other");
    server.kill_and_restart();
    let shown = server.ecr("DescribeRepositories", &json!({})).unwrap();
    assert_eq!((&shown["repositories"][0]["repositoryName"], &shown["repositories"][1]), (&json!("other"), &made));
    let again = server.ecr("CreateRepository", &json!({"repositoryName": "other"}));
    assert_refused(again, "RepositoryAlreadyExistsException", "already exists in the registry with id '000000000000'");
    let first = server.ecr("DescribeRepositories", &json!({"maxResults": 1})).unwrap();
    let second =
        server.ecr("DescribeRepositories", &json!({"maxResults": 1, "nextToken": first["nextToken"]})).unwrap();
    assert_eq!(second["repositories"][0]["repositoryName"], "team/app");

    push_image(&server, "other", "1", "x");
    let delete = |server: &Server, force: bool| {
        server.ecr("DeleteRepository", &json!({"repositoryName": "other", "force": force}))
    };
    assert_refused(delete(&server, false), "RepositoryNotEmptyException", "still contains images");
    delete(&server, true).unwrap();
    server.kill_and_restart();
    let gone = server.ecr("DescribeRepositories", &json!({"repositoryNames": ["other"]}));
    assert_refused(gone, "RepositoryNotFoundException", "The repository with name 'other' does not exist");
    for bad in ["UPPER", "a//b", "-a", ""] {
        assert_refused(
            server.ecr("CreateRepository", &json!({"repositoryName": bad})),
            "InvalidParameterException",
            "",
        );
    }
}

#[test]
fn a_repository_shows_the_key_that_it_is_said_to_be_encrypted_with() {
    let mut server = Server::start();
    let create = |server: &Server, name: &str, encryption: &serde_json::Value| {
        let input = json!({"repositoryName": name, "encryptionConfiguration": encryption});
        server.ecr("CreateRepository", &input).map(|made| made["repository"]["encryptionConfiguration"].clone())
    };
    let own = json!({"encryptionType": "KMS", "kmsKey": "arn:aws:kms:us-east-1:000000000000:key/own"});
    assert_eq!(create(&server, "own", &own).unwrap(), own);
    assert_eq!(create(&server, "plain", &json!({"encryptionType": "AES256"})).unwrap()["kmsKey"], json!(null));
    let managed = create(&server, "managed", &json!({"encryptionType": "KMS"})).unwrap();
    let key = managed["kmsKey"].as_str().unwrap();
    assert!(key.starts_with("arn:aws:kms:us-east-1:000000000000:key/"), "the key that AWS manages: {key}");
    assert_eq!(create(&server, "twice", &json!({"encryptionType": "KMS_DSSE"})).unwrap()["kmsKey"], key);
    server.kill_and_restart();
    let shown = server.ecr("DescribeRepositories", &json!({"repositoryNames": ["managed"]})).unwrap();
    assert_eq!(shown["repositories"][0]["encryptionConfiguration"], managed);

    let both = with(&own, &json!({"encryptionType": "AES256"}));
    assert_refused(create(&server, "both", &both), "InvalidParameterException", "'encryptionConfiguration'");
    let template = json!({"prefix": "x", "appliedFor": ["REPLICATION"], "encryptionConfiguration": both});
    let refused = server.ecr("CreateRepositoryCreationTemplate", &template);
    assert_refused(refused, "InvalidParameterException", "'encryptionConfiguration'");
}

#[test]
fn a_repository_is_tagged_and_untagged() {
    let mut server = Server::start();
    let tags = json!([{"Key": "a", "Value": "1"}]);
    server.ecr("CreateRepository", &json!({"repositoryName": "repo", "tags": tags})).unwrap();
    let arn = format!("{ARN}repo");
    let more = json!([{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]);
    server.ecr("TagResource", &json!({"resourceArn": arn, "tags": more})).unwrap();
    server.kill_and_restart();
    let list =
        |server: &Server| server.ecr("ListTagsForResource", &json!({"resourceArn": arn})).unwrap()["tags"].clone();
    assert_eq!(list(&server), more);
    server.ecr("UntagResource", &json!({"resourceArn": arn, "tagKeys": ["a"]})).unwrap();
    server.kill_and_restart();
    assert_eq!(list(&server), json!([{"Key": "b", "Value": "3"}]));
    let reserved = server.ecr("TagResource", &json!({"resourceArn": arn, "tags": [{"Key": "aws:a", "Value": "b"}]}));
    assert_refused(reserved, "InvalidTagParameterException", "");
    let foreign = "arn:aws:ecr:us-east-1:111111111111:repository/repo";
    assert_refused(
        server.ecr("ListTagsForResource", &json!({"resourceArn": foreign})),
        "InvalidParameterException",
        "ARN",
    );
}

#[test]
fn clients_that_tag_at_the_same_time_stay_within_the_limit_together() {
    let server = Server::start();
    server.ecr("CreateRepository", &json!({"repositoryName": "repo"})).unwrap();
    let arn = format!("{ARN}repo");
    let taken: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|client| {
                let (server, arn) = (&server, &arn);
                scope.spawn(move || {
                    let tags: Vec<_> =
                        (0..10).map(|tag| json!({"Key": format!("{client}-{tag}"), "Value": ""})).collect();
                    match server.ecr("TagResource", &json!({"resourceArn": arn, "tags": tags})) {
                        Ok(_) => 1,
                        refused => {
                            assert_refused(refused, "TooManyTagsException", "50");
                            0
                        }
                    }
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(taken, 5);
    let tags = server.ecr("ListTagsForResource", &json!({"resourceArn": arn})).unwrap()["tags"].clone();
    assert_eq!(tags.as_array().unwrap().len(), 50);
}
