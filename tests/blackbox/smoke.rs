//! The shortest way through everything.

use serde_json::json;

use crate::server::Server;

#[test]
fn a_task_runs_and_its_exit_code_outlives_a_killed_server() {
    let mut server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("smoke", json!({"image": image, "command": ["sh", "-c", "exit 3"]}));
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 3);
    server.kill_and_restart();
    assert_eq!(server.describe_task(&arn)["containers"][0]["exitCode"], 3);
}
