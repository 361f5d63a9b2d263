//! Secrets Manager: secrets, their values and versions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::{Server, assert_refused, with};

const VALUE: &str = "correct horse battery staple 4711";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn value(server: &Server, id: &Value, more: &Value) -> Value {
    server.secrets("GetSecretValue", &with(&json!({"SecretId": id}), more)).unwrap()
}

/// Files below a directory that hold these bytes.
fn holding(directory: &std::path::Path, needle: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, needle));
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|part| part == needle)) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_secret_is_kept_sealed_and_told_to_its_owner_alone() {
    let mut server = Server::start();
    let create = json!({"Name": "team/login", "SecretString": VALUE, "ClientRequestToken": TOKEN, "Description": "d",
        "Tags": [{"Key": "a", "Value": "1"}]});
    let made = server.secrets("CreateSecret", &create).unwrap();
    let arn = made["ARN"].clone();
    assert!(arn.as_str().unwrap().starts_with("arn:aws:secretsmanager:us-east-1:000000000000:secret:team/login-"));
    assert_eq!(made["VersionId"], TOKEN);
    // The same request made one secret; another one is another.
    assert_eq!(server.secrets("CreateSecret", &create).unwrap()["ARN"], arn);
    let other = with(&create, &json!({"SecretString": "other"}));
    assert_refused(server.secrets("CreateSecret", &other), "ResourceExistsException", "ClientRequestToken");
    let fresh = with(&create, &json!({"ClientRequestToken": null}));
    assert_refused(server.secrets("CreateSecret", &fresh), "ResourceExistsException", "team/login already exists");
    let both = json!({"Name": "x", "SecretString": "a", "SecretBinary": "YQ=="});
    assert_refused(server.secrets("CreateSecret", &both), "InvalidParameterException", "both a binary");
    assert_refused(server.secrets("CreateSecret", &json!({"Name": "a b"})), "ValidationException", "Invalid name");
    server.kill_and_restart();

    let got = value(&server, &json!("team/login"), &json!({}));
    assert_eq!((&got["SecretString"], &got["VersionStages"]), (&json!(VALUE), &json!(["AWSCURRENT"])));
    let partial = arn.as_str().unwrap().rsplit_once('-').unwrap().0.to_owned();
    for id in [arn.clone(), json!(partial)] {
        assert_eq!(value(&server, &id, &json!({}))["SecretString"], VALUE);
    }
    let foreign = arn.as_str().unwrap().replace("000000000000", "111111111111");
    let refused = server.secrets("GetSecretValue", &json!({"SecretId": foreign}));
    assert_refused(refused, "ResourceNotFoundException", "can't find the specified secret");
    assert_eq!(holding(server.home(), VALUE.as_bytes()), Vec::<std::path::PathBuf>::new());

    let put = json!({"SecretId": arn, "SecretBinary": STANDARD.encode(b"\0second")});
    let second = server.secrets("PutSecretValue", &put).unwrap();
    assert_eq!(second["VersionStages"], json!(["AWSCURRENT"]));
    let got = value(&server, &arn, &json!({}));
    assert_eq!((&got["SecretBinary"], &got["SecretString"]), (&put["SecretBinary"], &Value::Null));
    let previous = value(&server, &arn, &json!({"VersionStage": "AWSPREVIOUS"}));
    assert_eq!((&previous["SecretString"], &previous["VersionId"]), (&json!(VALUE), &json!(TOKEN)));
    let wrong = json!({"SecretId": arn, "VersionStage": "mine"});
    assert_refused(server.secrets("GetSecretValue", &wrong), "ResourceNotFoundException", "staging label: mine");
    let mixed = json!({"SecretId": arn, "VersionId": TOKEN, "VersionStage": "AWSCURRENT"});
    assert_refused(server.secrets("GetSecretValue", &mixed), "InvalidRequestException", "not associated");
    assert_refused(
        server.secrets("PutSecretValue", &json!({"SecretId": arn})),
        "InvalidRequestException",
        "SecretString or SecretBinary",
    );

    let update = json!({"SecretId": arn, "SecretString": "third", "Description": "e", "KmsKeyId": "alias/k"});
    server.secrets("UpdateSecret", &update).unwrap();
    server.secrets("TagResource", &json!({"SecretId": arn, "Tags": [{"Key": "b", "Value": "2"}]})).unwrap();
    server.secrets("UntagResource", &json!({"SecretId": arn, "TagKeys": ["a"]})).unwrap();
    server.kill_and_restart();
    let shown = server.secrets("DescribeSecret", &json!({"SecretId": "team/login"})).unwrap();
    assert_eq!((&shown["Description"], &shown["KmsKeyId"]), (&json!("e"), &json!("alias/k")));
    assert_eq!(shown["Tags"], json!([{"Key": "b", "Value": "2"}]));
    assert_eq!(shown["VersionIdsToStages"].as_object().unwrap().len(), 2);
    assert!(shown["LastAccessedDate"].is_number(), "{shown}");
    assert_eq!(value(&server, &arn, &json!({}))["SecretString"], "third");
    assert_refused(
        server.secrets("RotateSecret", &json!({"SecretId": arn})),
        "UnsupportedOperationException",
        "RotateSecret",
    );
}

#[test]
fn a_deleted_secret_can_be_restored_within_its_window() {
    let mut server = Server::start();
    for name in ["a", "b", "c"] {
        server.secrets("CreateSecret", &json!({"Name": name, "SecretString": name})).unwrap();
    }
    let delete = |server: &Server, more: &Value| server.secrets("DeleteSecret", &with(&json!({"SecretId": "b"}), more));
    let both = json!({"ForceDeleteWithoutRecovery": true, "RecoveryWindowInDays": 7});
    assert_refused(delete(&server, &both), "InvalidParameterException", "in conjunction");
    let short = json!({"RecoveryWindowInDays": 6});
    assert_refused(delete(&server, &short), "InvalidParameterException", "between 7 and 30");
    delete(&server, &json!({"RecoveryWindowInDays": 7})).unwrap();
    server.kill_and_restart();
    let marked = "marked for deletion";
    for operation in ["GetSecretValue", "DeleteSecret"] {
        assert_refused(server.secrets(operation, &json!({"SecretId": "b"})), "InvalidRequestException", marked);
    }
    let again = server.secrets("CreateSecret", &json!({"Name": "b"}));
    assert_refused(again, "InvalidRequestException", "scheduled for deletion");
    let names = |input: Value| -> Vec<String> {
        let shown = server.secrets("ListSecrets", &input).unwrap();
        let all = shown["SecretList"].as_array().unwrap();
        all.iter().map(|one| one["Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(json!({})), ["a", "c"]);
    assert_eq!(names(json!({"IncludePlannedDeletion": true, "SortBy": "name", "SortOrder": "desc"})), ["c", "b", "a"]);
    assert_eq!(names(json!({"Filters": [{"Key": "name", "Values": ["!a"]}]})), ["c"]);
    server.secrets("UpdateSecret", &json!({"SecretId": "a", "Description": "The Prod database"})).unwrap();
    for (key, value, found) in [
        ("description", "the prod", true),
        ("description", "prod", false),
        ("all", "DATABASE prod", true),
        ("all", "no", false),
    ] {
        let shown = names(json!({"Filters": [{"Key": key, "Values": [value]}]}));
        assert_eq!(shown.contains(&"a".to_owned()), found, "{key} {value}");
    }
    let first = server.secrets("ListSecrets", &json!({"MaxResults": 1})).unwrap();
    assert_eq!(names(json!({"MaxResults": 1, "NextToken": first["NextToken"]})), ["c"]);
    server.secrets("RestoreSecret", &json!({"SecretId": "b"})).unwrap();
    assert_eq!(value(&server, &json!("b"), &json!({}))["SecretString"], "b");
    delete(&server, &json!({"ForceDeleteWithoutRecovery": true})).unwrap();
    let never = delete(&server, &json!({"ForceDeleteWithoutRecovery": true})).unwrap();
    assert_eq!((&never["Name"], never["DeletionDate"].is_number()), (&json!("b"), true), "as good as gone");
    let gone = server.secrets("DescribeSecret", &json!({"SecretId": "b"}));
    assert_refused(gone, "ResourceNotFoundException", "can't find");
    server.secrets("CreateSecret", &json!({"Name": "b", "SecretString": "new"})).unwrap();
    server.kill_and_restart();
    assert_eq!(value(&server, &json!("b"), &json!({}))["SecretString"], "new");
}

#[test]
fn what_terraform_asks_of_every_secret_is_answered() {
    let mut server = Server::start();
    let named = json!({"SecretId": "a"});
    server.secrets("CreateSecret", &json!({"Name": "a"})).unwrap();
    let shown = server.secrets("GetResourcePolicy", &named).unwrap();
    assert_eq!((&shown["Name"], shown.get("ResourcePolicy")), (&json!("a"), None));
    let policy = |principal: &str| {
        let statement = json!({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "*", "Resource": "*"});
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    let put = |server: &Server, text: &str| {
        let input = json!({"SecretId": "a", "ResourcePolicy": text, "BlockPublicPolicy": true});
        server.secrets("PutResourcePolicy", &input)
    };
    assert_refused(put(&server, "x"), "MalformedPolicyDocumentException", "syntax error");
    assert_refused(put(&server, &policy("*")), "PublicPolicyException", "everybody");
    let own = policy("arn:aws:iam::000000000000:root");
    put(&server, &own).unwrap();
    server.kill_and_restart();
    assert_eq!(server.secrets("GetResourcePolicy", &named).unwrap()["ResourcePolicy"], own.as_str());
    server.secrets("DeleteResourcePolicy", &named).unwrap();
    assert_eq!(server.secrets("GetResourcePolicy", &named).unwrap().get("ResourcePolicy"), None);
    assert_refused(server.secrets("GetResourcePolicy", &json!({"SecretId": "b"})), "ResourceNotFoundException", "");

    let password = |input: Value| {
        let made = server.secrets("GetRandomPassword", &input).unwrap();
        made["RandomPassword"].as_str().unwrap().to_owned()
    };
    let usual = password(json!({}));
    assert_eq!(usual.len(), 32);
    let kinds: [fn(char) -> bool; 4] = [
        |one| one.is_ascii_lowercase(),
        |one| one.is_ascii_uppercase(),
        |one| one.is_ascii_digit(),
        |one| one.is_ascii_punctuation(),
    ];
    assert!(kinds.iter().all(|is| usual.chars().any(is)), "{usual}");
    let plain = password(json!({"PasswordLength": 200, "ExcludePunctuation": true, "ExcludeCharacters": "abc0"}));
    assert!(
        plain.len() == 200 && plain.chars().all(|one| one.is_ascii_alphanumeric() && !"abc0".contains(one)),
        "{plain}"
    );
    let short = server.secrets("GetRandomPassword", &json!({"PasswordLength": 3}));
    assert_refused(short, "InvalidParameterException", "each type");
}

#[test]
fn a_stage_moves_from_version_to_version() {
    let server = Server::start();
    server.secrets("CreateSecret", &json!({"Name": "a"})).unwrap();
    let put = |text: &str, stages: Value| {
        let input = json!({"SecretId": "a", "SecretString": text, "VersionStages": stages});
        server.secrets("PutSecretValue", &input)
    };
    let first = put("1", json!(["blue"])).unwrap();
    assert_eq!(first["VersionStages"], json!(["blue", "AWSCURRENT"]), "the first is the current one");
    let second = put("2", json!(["green"])).unwrap();
    let (first, second) = (first["VersionId"].clone(), second["VersionId"].clone());
    let update = |stage: &str, more: Value| {
        let input = with(&json!({"SecretId": "a", "VersionStage": stage}), &more);
        server.secrets("UpdateSecretVersionStage", &input)
    };
    let code = "InvalidParameterException";
    assert_refused(
        update("AWSCURRENT", json!({"MoveToVersionId": second})),
        code,
        "RemoveFromVersionId can't be empty",
    );
    let wrong = json!({"MoveToVersionId": second, "RemoveFromVersionId": second});
    assert_refused(update("AWSCURRENT", wrong), code, "is not attached");
    assert_refused(update("AWSCURRENT", json!({"RemoveFromVersionId": first})), code, "completely removed");
    let unknown = json!({"MoveToVersionId": "0".repeat(32)});
    assert_refused(update("new", unknown), "ResourceNotFoundException", "VersionId");
    update("AWSCURRENT", json!({"MoveToVersionId": second, "RemoveFromVersionId": first})).unwrap();
    update("green", json!({"RemoveFromVersionId": second})).unwrap();
    assert_eq!(value(&server, &json!("a"), &json!({}))["SecretString"], "2");
    let listed = server.secrets("ListSecretVersionIds", &json!({"SecretId": "a"})).unwrap();
    let shown: Vec<_> = listed["Versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["VersionId"], it["VersionStages"].clone()))
        .collect();
    assert_eq!(shown, [(&first, json!(["blue", "AWSPREVIOUS"])), (&second, json!(["AWSCURRENT"]))]);
    for number in 0..17 {
        put("x", json!([format!("label-{number}")])).unwrap();
    }
    assert_refused(put("x", json!(["one-more"])), "LimitExceededException", "quota");
}
