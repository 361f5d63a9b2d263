//! Tasks that protect themselves from scaling in, from inside.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, texts, until, with};

const ROLE: &str = "ecsTaskExecutionRole";

/// What the endpoint answers a container: status and body. Its `wget` knows GET and POST alone, so the request goes
/// through `nc`, which closes its side when it has said everything.
fn protection(server: &Server, arn: &str, method: &str, body: &str) -> (u16, Value) {
    asked(server, arn, method, body, r#"nc "${host%:*}" "$port" < /said"#)
}

/// The same of a task in host mode, which reaches what clients do: there who closes wants no answer.
fn protection_kept_open(server: &Server, arn: &str, method: &str, body: &str) -> (u16, Value) {
    let open = r#"rm -f /f; mkfifo /f; exec 3<>/f; cat /said >&3; nc "${host%:*}" "$port" <&3"#;
    asked(server, arn, method, body, open)
}

fn asked(server: &Server, arn: &str, method: &str, body: &str, send: &str) -> (u16, Value) {
    let script = format!(
        r#"url=${{ECS_AGENT_URI#http://}}; host=${{url%%/*}}; port=${{host#*:}}; [ "$port" = "$host" ] && port=80
        printf '%s /%s/task-protection/v1/state HTTP/1.1\r\nHost: %s\r\nContent-Length: {}\r\nConnection: close\r\n\r\n%s' \
            {method} "${{url#*/}}" "$host" '{body}' > /said
        {send}"#,
        body.len()
    );
    let said = server.inside(arn, &script);
    let status = said.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    let body = said.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{said}")))
}

fn create(server: &Server, definition: &Value) {
    let main = json!({"name": "main", "memory": 16, "stopTimeout": 2, "image": server.busybox(),
        "command": ["sh", "-c", WAITING]});
    let definition = with(&json!({"family": "web", "containerDefinitions": [main]}), definition);
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let service = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 3});
    server.ecs("CreateService", &service).unwrap();
}

fn tasks(server: &Server) -> Vec<String> {
    let listed = server.ecs("ListTasks", &json!({"serviceName": "web"})).unwrap();
    texts(&listed["taskArns"]).into_iter().map(str::to_owned).collect()
}

fn all_running(server: &Server) -> Vec<String> {
    until("all three run", || {
        let service = server.ecs("DescribeServices", &json!({"services": ["web"]})).unwrap();
        (service["services"][0]["runningCount"] == 3).then(|| tasks(server))
    })
}

fn scale(server: &Server, count: u32) {
    server.ecs("UpdateService", &json!({"service": "web", "desiredCount": count})).unwrap();
}

#[test]
fn a_task_that_protects_itself_outlives_scaling_in_across_restarts() {
    let mut server = Server::start();
    create(&server, &json!({"taskRoleArn": ROLE}));
    let kept = all_running(&server)[1].clone();
    let bare = json!({"protection": {"ExpirationDate": null, "ProtectionEnabled": false, "TaskArn": kept}});
    assert_eq!(protection(&server, &kept, "GET", ""), (200, bare.clone()));
    let wish = r#"{"ProtectionEnabled":true,"ExpiresInMinutes":60}"#;
    let (status, answer) = protection(&server, &kept, "PUT", wish);
    assert_eq!((status, &answer["protection"]["ProtectionEnabled"]), (200, &json!(true)), "{answer}");
    assert!(answer["protection"]["ExpirationDate"].as_str().unwrap().ends_with('Z'), "{answer}");
    server.kill_and_restart();
    assert_eq!(protection(&server, &kept, "GET", ""), (200, answer));
    let seen = server.ecs("GetTaskProtection", &json!({"cluster": "default", "tasks": [kept]})).unwrap();
    assert_eq!(seen["protectedTasks"][0]["protectionEnabled"], true, "the same that the API shows");
    scale(&server, 0);
    until("the others are gone", || (tasks(&server) == [kept.clone()]).then_some(()));
    server.kill_and_restart();
    assert_eq!(protection(&server, &kept, "PUT", r#"{"ProtectionEnabled":false}"#), (200, bare));
    until("the last one is gone", || tasks(&server).is_empty().then_some(()));
}

#[test]
fn a_task_in_host_mode_protects_itself_by_the_path_that_it_alone_knows() {
    let server = Server::start();
    create(&server, &json!({"taskRoleArn": ROLE, "networkMode": "host"}));
    let kept = all_running(&server)[0].clone();
    let (status, answer) = protection_kept_open(&server, &kept, "PUT", r#"{"ProtectionEnabled":true}"#);
    assert_eq!((status, &answer["protection"]["TaskArn"]), (200, &json!(kept)), "{answer}");
    let id = kept.rsplit('/').next().unwrap();
    let guessed = format!("/_cove/task/{id}/0000/api/x/task-protection/v1/state");
    assert_eq!(server.request("PUT", &guessed, &[], br#"{"ProtectionEnabled":false}"#).0, 404);
    scale(&server, 0);
    until("the others are gone", || (tasks(&server) == [kept.clone()]).then_some(()));
}

#[test]
fn what_a_task_may_not_or_cannot_do_is_refused_as_the_agent_refuses_it() {
    let server = Server::start();
    let container = json!({"image": server.busybox(), "command": ["sh", "-c", WAITING]});
    let run = |name: &str, definition: &Value| {
        let arn = server.run_task_with(name, container.clone(), definition, &json!({}));
        server.wait_task(&arn, "RUNNING");
        arn
    };
    let wish = r#"{"ProtectionEnabled":true}"#;
    // Its execution role is the agent's, not its own.
    let nobody = run("nobody", &json!({"executionRoleArn": ROLE}));
    let why = "Invalid Request: no task IAM role credentials available for task";
    let denied = json!({"error": {"Arn": nobody, "Code": "AccessDeniedException", "Message": why}});
    assert_eq!(protection(&server, &nobody, "PUT", wish), (403, denied.clone()));
    assert_eq!(protection(&server, &nobody, "GET", ""), (403, denied));

    let alone = run("alone", &json!({"taskRoleArn": ROLE}));
    let failure = json!({"failure": {"Arn": alone, "Detail": null, "Reason": "TASK_NOT_VALID"}});
    assert_eq!(protection(&server, &alone, "PUT", wish), (200, failure.clone()));
    assert_eq!(protection(&server, &alone, "GET", ""), (200, failure));
    let error = |body: &str| {
        let (status, answer) = protection(&server, &alone, "PUT", body);
        assert_eq!((status, &answer["error"]["Code"]), (400, &json!("InvalidParameterException")), "{body}: {answer}");
        answer
    };
    assert_eq!(error("{")["error"]["Message"], "UpdateTaskProtection: failed to decode request");
    assert_eq!(error(r#"{"Minutes":1}"#)["error"]["Arn"], Value::Null);
    let missing = error(r#"{"ExpiresInMinutes":1}"#);
    assert_eq!(missing["error"]["Message"], "Invalid request: does not contain 'ProtectionEnabled' field");
    assert_eq!(missing["error"]["Arn"], alone);
    let late = error(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":2881}"#);
    assert!(late["requestID"].is_string(), "the API has refused it: {late}");
    error(&format!(r#"{{"ProtectionEnabled":true,"{}":1}}"#, "x".repeat(5000)));
    assert_eq!(protection(&server, &alone, "POST", wish).0, 405);
    // The id of another task's container is of no use.
    let theirs = server.inside(&nobody, "echo ${ECS_AGENT_URI##*/}");
    let script = format!("wget -qO- ${{ECS_AGENT_URI%/*}}/{}/task-protection/v1/state 2>&1; true", theirs.trim());
    assert!(server.inside(&alone, &script).contains("404"));
}
