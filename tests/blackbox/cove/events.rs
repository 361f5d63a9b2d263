//! `cove events`: what happened, also before the last restart, and what happens now.

use serde_json::{Value, json};

use crate::server::{Server, until};

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
    let follow = server.follow(&["events", "-f", "-n", "0"]);
    let elsewhere = server.cove(&["--region", "eu-west-1", "events", "--json"]);
    let elsewhere = String::from_utf8(elsewhere.stdout).unwrap();
    assert!(elsewhere.lines().all(|line| line.contains("eu-west-1")), "{elsewhere}");
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let id = listed["containerInstanceArns"][0].as_str().unwrap().to_owned();
    let input = json!({"containerInstances": [id], "status": "DRAINING"});
    // The follower may still be on its way: whatever it sees first, it sees in order.
    let mut draining = true;
    let line = until("the follower sees something", || {
        let status = if draining { "DRAINING" } else { "ACTIVE" };
        let mut input = input.clone();
        input["status"] = json!(status);
        server.ecs("UpdateContainerInstancesState", &input).unwrap();
        draining = !draining;
        follow.said().0.split_once('\n').map(|(line, _)| line.to_owned())
    });
    assert!(line.contains("Container Instance State Change") && line.contains("container-instance/default/"), "{line}");
}

#[test]
fn followers_go_on_over_restarts_and_with_another_store() {
    let mut server = Server::start();
    let follow = server.follow(&["events", "-f", "-n", "1000", "--json"]);
    let ids = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    };
    let seen = |from: usize| -> Vec<String> {
        let said = follow.said().0;
        let events: Vec<Value> = said[from..].lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        ids(&events)
    };
    let image = server.busybox();
    server.run_task("before", json!({"image": image, "command": ["true"]}));
    until("it has begun", || (!seen(0).is_empty()).then_some(()));
    server.while_stopped(|_| {
        until("it says that the server is gone", || follow.said().1.contains("does not answer").then_some(()));
    });
    let arn = server.run_task("after", json!({"image": image, "command": ["true"]}));
    server.wait_task(&arn, "STOPPED");
    until("it has seen everything", || (seen(0) == ids(&shown(&server))).then_some(()));
    assert_eq!(follow.said().1.lines().count(), 1, "{}", follow.said().1);
    // A server that begins anew counts from the beginning.
    server.while_stopped(|data| {
        until("it says so again", || (follow.said().1.lines().count() == 2).then_some(()));
        std::fs::rename(data, data.with_file_name("old")).unwrap();
    });
    let before = follow.said().0.len();
    let arn = server.run_task("anew", json!({"image": server.busybox(), "command": ["true"]}));
    server.wait_task(&arn, "STOPPED");
    until("it sees what the new one says", || (seen(before) == ids(&shown(&server))).then_some(()));
}

#[test]
fn who_follows_events_does_not_hold_up_a_stop() {
    let mut server = Server::start();
    let follow = server.follow(&["events", "-f", "-n", "1000", "--json"]);
    server.run_task("seen", json!({"image": server.busybox(), "command": ["true"]}));
    until("it follows", || follow.said().0.contains("ECS Task State Change").then_some(()));
    assert_eq!(server.terminate(), Some(0));
    let log = std::fs::read_to_string(server.home().join("server.log")).unwrap();
    assert!(!log.contains("were cut off"), "{log}");
}
