//! Secrets of containers, and logins for their images.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, assert_refused, until, with};

const ROLE: &str = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole";

fn create(server: &Server, name: &str, value: &str) -> String {
    let made = server.secrets("CreateSecret", &json!({"Name": name, "SecretString": value})).unwrap();
    made["ARN"].as_str().unwrap().to_owned()
}

#[test]
fn a_container_is_given_the_secrets_that_its_definition_names() {
    let server = Server::start();
    let image = server.busybox();
    let login = create(&server, "app/login", &json!({"user": "me", "port": 5432}).to_string());
    let plain = create(&server, "app/plain", "first value");
    server.secrets("PutSecretValue", &json!({"SecretId": plain, "SecretString": "second"})).unwrap();
    let secrets = json!([
        {"name": "USER_NAME", "valueFrom": format!("{login}:user::")},
        {"name": "PORT", "valueFrom": format!("{login}:port::")},
        {"name": "PLAIN", "valueFrom": plain},
        {"name": "BEFORE", "valueFrom": format!("{plain}::AWSPREVIOUS:")},
    ]);
    let more = json!({"executionRoleArn": ROLE});
    let container = json!({"image": image, "secrets": secrets, "command": ["sleep", "1000"],
        "environment": [{"name": "OWN", "value": "x"}]});
    let task = server.run_task_with("secrets", container.clone(), &more, &json!({}));
    server.wait_task(&task, "RUNNING");
    let seen =
        server.inside(&task, "tr '\\0' '\\n' < /proc/1/environ | grep -E '^(USER_NAME|PORT|PLAIN|BEFORE|OWN)=' | sort");
    assert_eq!(seen, "BEFORE=first value\nOWN=x\nPLAIN=second\nPORT=5432\nUSER_NAME=me\n");

    let fails = |name: &str, value_from: &str, words: &str| {
        let secrets = json!([{"name": "A", "valueFrom": value_from}]);
        let container = with(&container, &json!({"secrets": secrets}));
        let task = server.run_task_with(name, container, &more, &json!({}));
        let stopped = server.wait_task(&task, "STOPPED");
        let reason = stopped["stoppedReason"].as_str().unwrap();
        assert!(reason.starts_with("ResourceInitializationError: unable to pull secrets"), "{reason}");
        assert!(reason.contains(words) && !reason.contains("second"), "{reason}");
    };
    fails(
        "absent",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:none-AbCdEf",
        "can't find the specified secret",
    );
    fails("key", &format!("{login}:none::"), "did not contain json key none");
    fails("text", &format!("{plain}:key::"), "no JSON object");
    fails("foreign", &plain.replace("000000000000", "111111111111"), "another account's");

    let parameter = json!([{"name": "A", "valueFrom": "a-parameter"}]);
    let definition = json!({"family": "ssm", "executionRoleArn": ROLE,
        "containerDefinitions": [{"name": "main", "image": image, "memory": 32, "secrets": parameter}]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let refused = server.ecs("RunTask", &json!({"taskDefinition": "ssm"}));
    assert_refused(refused, "UnsupportedFeatureException", "containerDefinitions[main].secrets");
}

#[test]
fn a_service_comes_back_while_the_registry_of_its_image_is_away() {
    let (upstream, mut server) = (Server::start(), Server::start());
    let image = upstream.busybox();
    let main =
        json!({"name": "main", "image": image, "memory": 16, "command": ["sh", "-c", WAITING], "stopTimeout": 2});
    server.ecs("RegisterTaskDefinition", &json!({"family": "a", "containerDefinitions": [main]})).unwrap();
    server.ecs("CreateService", &json!({"serviceName": "s", "taskDefinition": "a", "desiredCount": 1})).unwrap();
    let running = |server: &Server| {
        let listed = server.ecs("ListTasks", &json!({"serviceName": "s"})).unwrap();
        let arn = listed["taskArns"][0].as_str()?.to_owned();
        (server.describe_task(&arn)["lastStatus"] == "RUNNING").then_some(arn)
    };
    let first = until("it runs", || running(&server));
    drop(upstream);
    // Its tag was pulled, and its deployment asks for the digest.
    server.ecs("StopTask", &json!({"task": first})).unwrap();
    server.kill_and_restart();
    let second = until("another one runs", || running(&server).filter(|arn| *arn != first));
    server.ecs("StopTask", &json!({"task": second})).unwrap();
    until("and another", || running(&server).filter(|arn| *arn != second));
}

#[test]
fn an_image_is_pulled_with_the_login_of_a_secret() {
    let upstream = Server::start_strict();
    let keys: Value =
        serde_json::from_slice(&std::fs::read(upstream.home().join("data/keys/root.json")).unwrap()).unwrap();
    let (id, key) = (keys["access_key_id"].as_str().unwrap(), keys["secret_access_key"].as_str().unwrap());
    crate::server::load_busybox(&upstream, id, key, "box:1");
    let server = Server::start();
    let run = |name: &str, password: &str| {
        let secret = create(&server, name, &json!({"username": id, "password": password}).to_string());
        let container = json!({"image": format!("127.0.0.1:{}/box:1", upstream.port), "command": ["true"],
            "repositoryCredentials": {"credentialsParameter": secret}});
        let task = server.run_task_with(name, container, &json!({"executionRoleArn": ROLE}), &json!({}));
        server.wait_task(&task, "STOPPED")
    };
    let denied = run("wrong", "wrong");
    assert!(denied["stoppedReason"].as_str().unwrap().contains("pull access denied"), "{denied}");
    let done = run("right", key);
    assert_eq!(done["containers"][0]["exitCode"], 0, "{done}");
}
