//! ECR: repositories that are made as a template says.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused};

fn repository(server: &Server, name: &str) -> Value {
    server.ecr("DescribeRepositories", &json!({"repositoryNames": [name]})).unwrap()["repositories"][0].clone()
}

/// The status of a client's first request of a push.
fn push(server: &Server, name: &str) -> u16 {
    server.request("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").0
}

#[test]
fn a_template_dresses_the_repositories_that_are_made_by_a_push() {
    let mut server = Server::start();
    assert_eq!(push(&server, "team/app"), 404);
    let create = |server: &Server, input: &Value| server.ecr("CreateRepositoryCreationTemplate", input);
    let keep = json!({"rules": [{"rulePriority": 1, "action": {"type": "expire"}, "selection":
        {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 3}}]})
    .to_string();
    let open = json!({"Version": "2012-10-17", "Statement":
        [{"Effect": "Allow", "Principal": {"AWS": "111111111111"}, "Action": "ecr:BatchGetImage"}]})
    .to_string();
    let excluded = json!([{"filterType": "WILDCARD", "filter": "dev*"}]);
    let team = json!({"prefix": "team", "appliedFor": ["CREATE_ON_PUSH"], "imageTagMutability":
        "IMMUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": excluded, "description": "of the team",
        "resourceTags": [{"Key": "owner", "Value": "team"}], "lifecyclePolicy": keep, "repositoryPolicy": open});
    let made = create(&server, &team).unwrap()["repositoryCreationTemplate"].clone();
    assert_eq!(
        (&made["prefix"], &made["encryptionConfiguration"]["encryptionType"]),
        (&json!("team"), &json!("AES256"))
    );
    create(&server, &json!({"prefix": "team/fast", "appliedFor": ["CREATE_ON_PUSH", "REPLICATION"]})).unwrap();
    create(&server, &json!({"prefix": "ROOT", "appliedFor": ["PULL_THROUGH_CACHE"]})).unwrap();
    assert_refused(create(&server, &team), "TemplateAlreadyExistsException", "prefix 'team'");
    let holes = json!({"prefix": "x", "appliedFor": ["REPLICATION"], "repositoryPolicy": "{"});
    assert_refused(create(&server, &holes), "InvalidParameterException", "repositoryPolicy");
    let holes = json!({"prefix": "x", "appliedFor": ["REPLICATION"], "lifecyclePolicy": "{}"});
    assert_refused(create(&server, &holes), "InvalidParameterException", "Lifecycle policy validation failure");
    let nothing = json!({"prefix": "x", "appliedFor": []});
    assert_refused(create(&server, &nothing), "InvalidParameterException", "appliedFor");
    server.kill_and_restart();

    assert_eq!(
        (push(&server, "team/app"), push(&server, "team/fast/app"), push(&server, "teams/app")),
        (202, 202, 404)
    );
    let app = repository(&server, "team/app");
    assert_eq!(app["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION");
    assert_eq!(app["imageTagMutabilityExclusionFilters"], excluded);
    let named = json!({"repositoryName": "team/app"});
    assert_eq!(server.ecr("GetLifecyclePolicy", &named).unwrap()["lifecyclePolicyText"], keep);
    assert_eq!(server.ecr("GetRepositoryPolicy", &named).unwrap()["policyText"], open);
    let arn = &repository(&server, "team/app")["repositoryArn"];
    let tags = server.ecr("ListTagsForResource", &json!({"resourceArn": arn})).unwrap();
    assert_eq!(tags["tags"], team["resourceTags"]);
    // The longest prefix counts.
    assert_eq!(repository(&server, "team/fast/app")["imageTagMutability"], "MUTABLE");

    let update = json!({"prefix": "team", "imageTagMutability": "MUTABLE", "resourceTags": []});
    let changed =
        server.ecr("UpdateRepositoryCreationTemplate", &update).unwrap()["repositoryCreationTemplate"].clone();
    assert_eq!((&changed["description"], &changed["imageTagMutability"]), (&json!("of the team"), &json!("MUTABLE")));
    let absent = server.ecr("UpdateRepositoryCreationTemplate", &json!({"prefix": "none"}));
    assert_refused(absent, "TemplateNotFoundException", "prefix 'none'");
    assert_eq!(push(&server, "team/later"), 202);
    assert_eq!(repository(&server, "team/later")["imageTagMutability"], "MUTABLE");

    let first = server.ecr("DescribeRepositoryCreationTemplates", &json!({"maxResults": 2})).unwrap();
    let prefixes = |shown: &Value| -> Vec<String> {
        let all = shown["repositoryCreationTemplates"].as_array().unwrap();
        all.iter().map(|one| one["prefix"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(prefixes(&first), ["ROOT", "team"]);
    let rest = json!({"nextToken": first["nextToken"]});
    assert_eq!(prefixes(&server.ecr("DescribeRepositoryCreationTemplates", &rest).unwrap()), ["team/fast"]);
    server.ecr("DeleteRepositoryCreationTemplate", &json!({"prefix": "team"})).unwrap();
    assert_eq!(push(&server, "team/none"), 404);
    let named = json!({"prefixes": ["team", "ROOT"]});
    assert_eq!(prefixes(&server.ecr("DescribeRepositoryCreationTemplates", &named).unwrap()), ["ROOT"]);
}
