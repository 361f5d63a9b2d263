//! Tasks in the host's own network.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::Server;
use crate::sign::Key;

#[test]
fn a_host_mode_task_finds_metadata_and_credentials_on_loopback_and_nobody_else_does() {
    let mut server = Server::start();
    let image = server.busybox();
    let host = json!({"networkMode": "host", "taskRoleArn": "ecsTaskExecutionRole"});
    let waiting = json!({"image": image, "command": ["sh", "-c", WAITING]});
    let arn = server.run_task_with("host", waiting.clone(), &host, &json!({}));
    let other = server.run_task_with("other", waiting, &host, &json!({}));
    server.wait_task(&arn, "RUNNING");
    server.wait_task(&other, "RUNNING");
    let variables = server.inside(&arn, "env");
    let value = |name: &str| {
        let line = variables.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}: {variables}")).to_owned()
    };
    assert!(!variables.contains("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), "SDKs would ask 169.254.170.2");
    let base = format!("http://127.0.0.1:{}", server.port);
    // The same words go on after the server does.
    server.kill_and_restart();
    let metadata = server.inside(&arn, "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task");
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!((&metadata["TaskARN"], &metadata["Family"]), (&json!(arn), &json!("host")));
    let container: Value = serde_json::from_str(&server.inside(&arn, "wget -qO- $ECS_CONTAINER_METADATA_URI")).unwrap();
    assert_eq!(container["Name"], "main");
    let ask =
        "wget -qO- --header \"Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN\" $AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let credentials: Value = serde_json::from_str(&server.inside(&arn, ask)).unwrap();
    let text = |name: &str| credentials[name].as_str().unwrap_or_else(|| panic!("{credentials}")).to_owned();
    let key = Key { id: text("AccessKeyId"), secret: text("SecretAccessKey") };
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("x-amz-security-token", &text("Token"))];
    let identity = b"Action=GetCallerIdentity&Version=2011-06-15";
    let caller = server.signed(&key, "sts", "POST", "/", &headers, identity).text();
    assert!(caller.contains("assumed-role/ecsTaskExecutionRole"), "{caller}");

    // Another process of the host has the path at best, or a token of its own; a page has its origin.
    let uri = value("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let path = uri.strip_prefix(&base).unwrap();
    let token = value("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    let foreign = server.inside(&other, "echo $AWS_CONTAINER_AUTHORIZATION_TOKEN").trim().to_owned();
    assert_ne!(foreign, token);
    let status = |path: &str, headers: &[(&str, &str)]| server.request("GET", path, headers, b"").0;
    assert_eq!(status(path, &[("authorization", &token)]), 200);
    assert_eq!(status(path, &[]), 401);
    assert_eq!(status(path, &[("authorization", &foreign)]), 401);
    assert_eq!(status(path, &[("authorization", &token), ("origin", "http://evil.example")]), 403);
    let mut guessed = path.to_owned();
    let at = guessed.find("/v2/").unwrap() - 1;
    guessed.replace_range(at..=at, if guessed.as_bytes()[at] == b'0' { "1" } else { "0" });
    assert_eq!(status(&guessed, &[("authorization", &token)]), 404);
    let id = arn.rsplit('/').next().unwrap();
    assert_eq!(status(&format!("/_cove/task/{id}/v4/x"), &[]), 404);
    assert_eq!(
        status(&format!("/v2/credentials/{}", path.rsplit('/').next().unwrap()), &[]),
        404,
        "that is the registry"
    );
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(&arn, "STOPPED");
    assert_eq!(status(path, &[("authorization", &token)]), 404, "it ended with its task");
    // What the environment holds is on disk for root alone.
    use std::os::unix::fs::PermissionsExt;
    let tasks = std::fs::metadata(server.home().join("run/tasks")).unwrap();
    assert_eq!(tasks.permissions().mode() & 0o777, 0o700);
}
