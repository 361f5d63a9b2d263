//! `cove events`: what happened, also before the last restart, and what happens now.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::Server;

fn shown(server: &Server) -> Vec<Value> {
    let done = server.cove(&["events", "--json", "-n", "1000"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_state_of_a_task_is_an_event_once_also_across_restarts() {
    let mut server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("seen", json!({"image": image, "command": ["true"]}));
    server.kill_and_restart();
    let task = server.wait_task(&arn, "STOPPED");
    server.kill_and_restart();
    let events = shown(&server);
    let of_task: Vec<&Value> = events.iter().filter(|event| event["resources"][0] == arn.as_str()).collect();
    let versions: Vec<i64> = of_task.iter().map(|event| event["detail"]["version"].as_i64().unwrap()).collect();
    // No version twice, none missing: the counter counts events.
    assert_eq!(versions, (1..=task["version"].as_i64().unwrap()).collect::<Vec<_>>());
    let statuses: Vec<&str> = of_task.iter().map(|event| event["detail"]["lastStatus"].as_str().unwrap()).collect();
    assert_eq!((statuses[0], statuses[statuses.len() - 1]), ("PENDING", "STOPPED"));
    let last = of_task[of_task.len() - 1];
    for (member, value) in
        [("source", "aws.ecs"), ("detail-type", "ECS Task State Change"), ("version", "0"), ("account", "000000000000")]
    {
        assert_eq!(last[member], value);
    }
    assert_eq!(last["detail"]["containers"][0]["exitCode"], 0);
    let instance: Vec<&Value> =
        events.iter().filter(|event| event["detail-type"] == "ECS Container Instance State Change").collect();
    let cpu = |event: &Value| event["detail"]["remainingResources"][1]["integerValue"].as_i64().unwrap();
    let (before, during, after) = (cpu(instance[0]), cpu(instance[1]), cpu(instance[instance.len() - 1]));
    assert!(during < before && after == before, "memory left: {before}, {during}, {after}");
}

#[test]
fn events_of_another_region_are_not_shown_and_followers_see_what_happens() {
    let server = Server::start();
    let follow = Command::new(env!("CARGO_BIN_EXE_cove"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .args(["--endpoint", &format!("http://127.0.0.1:{}", server.port), "events", "-f", "-n", "0"])
        .stdout(Stdio::piped())
        .spawn();
    let mut follow = follow.unwrap();
    let elsewhere = server.cove(&["--region", "eu-west-1", "events", "--json"]);
    let elsewhere = String::from_utf8(elsewhere.stdout).unwrap();
    assert!(elsewhere.lines().all(|line| line.contains("eu-west-1")), "{elsewhere}");
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let id = listed["containerInstanceArns"][0].as_str().unwrap().to_owned();
    let input = json!({"containerInstances": [id], "status": "DRAINING"});
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    // The follower may still be on its way: whatever it sees first, it sees in order.
    let seen = std::thread::spawn(move || lines.next().unwrap().unwrap());
    let deadline = std::time::Instant::now() + crate::server::PATIENCE;
    let mut draining = true;
    while !seen.is_finished() {
        assert!(std::time::Instant::now() < deadline, "the follower sees nothing");
        let status = if draining { "DRAINING" } else { "ACTIVE" };
        let mut input = input.clone();
        input["status"] = json!(status);
        server.ecs("UpdateContainerInstancesState", &input).unwrap();
        draining = !draining;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let line = seen.join().unwrap();
    assert!(line.contains("Container Instance State Change") && line.contains("container-instance/default/"), "{line}");
    follow.kill().unwrap();
    follow.wait().unwrap();
}
