//! `cove ps`, `exec`, `logs`: tasks as people name and see them.

use serde_json::json;

use crate::ecs::WAITING;
use crate::server::Server;

fn failed(server: &Server, args: &[&str]) -> String {
    let done = server.cove(args);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn tasks_are_listed_newest_first_and_what_has_stopped_has_no_health() {
    let server = Server::start();
    let image = server.busybox();
    let check = json!({"command": ["CMD", "true"], "interval": 5, "startPeriod": 0});
    let container = json!({"image": image, "command": ["sh", "-c", WAITING], "healthCheck": check});
    let mut arns = Vec::new();
    for name in ["one", "two", "three"] {
        let arn = server.run_task(name, container.clone());
        server.wait_task(&arn, "RUNNING");
        arns.push(arn);
    }
    let listed = |args: &[&str]| -> Vec<String> {
        let done = server.cove(args);
        String::from_utf8(done.stdout).unwrap().lines().skip(1).map(str::to_owned).collect()
    };
    crate::server::until("the second one is healthy", || {
        (server.describe_task(&arns[1])["healthStatus"] == "HEALTHY").then_some(())
    });
    server.ecs("StopTask", &json!({"task": arns[1]})).unwrap();
    server.wait_task(&arns[1], "STOPPED");
    let ids: Vec<&str> = arns.iter().map(|arn| &arn.rsplit('/').next().unwrap()[..12]).collect();
    let rows = listed(&["ps", "-a"]);
    let begins: Vec<&str> = rows.iter().map(|row| row.split_whitespace().next().unwrap()).collect();
    assert_eq!(begins, [ids[2], ids[1], ids[0]]);
    assert!(rows[0].contains(" three:1 ") && rows[0].contains(" family:three "), "{rows:?}");
    assert!(rows[1].contains("STOPPED") && !rows[1].contains("healthy"), "{rows:?}");
    assert_eq!(listed(&["ps"]).len(), 2);
}

#[test]
fn what_a_command_is_refused_for_is_one_line_of_text() {
    let server = Server::start();
    let arn = server.run_task("none", json!({"image": server.busybox(), "command": ["true"]}));
    server.wait_task(&arn, "STOPPED");
    let said = failed(&server, &["exec", &arn, "--", "true"]);
    assert!(said.starts_with("cove: the server refused: ") && !said.contains('{'), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let body = json!({"task": "x"}).to_string();
    for path in ["logs", "exec", "explain", "events"] {
        let headers = [("upgrade", "cove-exec"), ("connection", "upgrade")];
        let headers = if path == "exec" { &headers[..] } else { &[] };
        let answer = server.exchange("POST", &format!("/_cove/v1/{path}"), headers, body.as_bytes());
        assert!(answer.status == 400 && answer.text().contains("InvalidParameter"), "{path}: {}", answer.text());
    }
}
