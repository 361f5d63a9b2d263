//! How tasks end when they are told to.

use serde_json::{Value, json};

use crate::server::{Server, until, with};

#[test]
fn a_container_that_does_not_listen_is_killed_after_its_timeout() {
    let server = Server::start();
    let image = server.busybox();
    let command = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"];
    let arn = server.run_task("deaf", json!({"image": image, "command": command, "stopTimeout": 2}));
    server.wait_task(&arn, "RUNNING");
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 137);
    assert_eq!(task["stoppedReason"], "Task stopped by user");
    let took = task["executionStoppedAt"].as_f64().unwrap() - task["stoppingAt"].as_f64().unwrap();
    assert!((1.5..6.0).contains(&took), "{took} s: {task}");
}

#[test]
fn a_task_that_waits_for_its_image_can_be_stopped() {
    let server = Server::start();
    // Nobody answers there, and nobody refuses: the pull hangs.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let image = format!("127.0.0.1:{}/hole:1", hole.local_addr().unwrap().port());
    let arn = server.run_task("pending", json!({"image": image}));
    let task = server.describe_task(&arn);
    assert_eq!(task["lastStatus"], "PENDING");
    server.ecs("StopTask", &json!({"task": arn, "reason": "too slow"})).unwrap();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("UserInitiated"), &json!("too slow")));
    assert!(task["containers"][0].get("exitCode").is_none_or(Value::is_null), "{task}");
}

#[test]
fn a_stop_that_was_asked_for_is_carried_out_though_the_server_was_killed() {
    let mut server = Server::start();
    let image = server.busybox();
    let definition = json!({"family": "two", "containerDefinitions": (["main", "side"].map(|name| {
        let script = "trap 'sleep 0.5; exit 9' TERM; sleep 600 & wait";
        with(&json!({"name": name, "memory": 16}), &json!({"image": image, "command": ["sh", "-c", script]}))
    }))});
    let arn = server.run_definition(&definition, &json!({}));
    server.wait_task(&arn, "RUNNING");
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.kill_and_restart();
    let task = server.wait_task(&arn, "STOPPED");
    for container in task["containers"].as_array().unwrap() {
        assert_eq!(container["exitCode"], 9, "{task}");
    }
}

#[test]
fn a_container_that_dies_while_the_server_is_dead_is_found_out() {
    let mut server = Server::start();
    let image = server.busybox();
    let command = ["sh", "-c", "sleep 0.3; exit 11"];
    let arn = server.run_task("short", json!({"image": image, "command": command}));
    until("it has begun", || (server.describe_task(&arn)["lastStatus"] != "PENDING").then_some(()));
    server.kill_and_restart();
    assert_eq!(server.wait_task(&arn, "STOPPED")["containers"][0]["exitCode"], 11);
}

#[test]
fn down_stops_every_task_and_leaves_nothing_in_the_kernel() {
    let server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("down", json!({"image": image, "command": ["sh", "-c", super::task::WAITING]}));
    server.wait_task(&arn, "RUNNING");
    let done = server.cove(&["down"]);
    assert!(done.status.success(), "{done:?}");
    let waits = "cove: waiting while 1 task stops; the longest stop timeout is 2 s\n";
    assert_eq!(String::from_utf8_lossy(&done.stderr), waits);
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("stopped 1 task;"), "{done:?}");
    let left = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let own = format!("cove-{}", server.node);
    for directory in left.chain([std::path::PathBuf::from("/sys/fs/cgroup")]) {
        assert!(!directory.join(&own).exists(), "{}", directory.display());
    }
    // The server ends a moment after it has answered, and takes the mount of its binary with it.
    let home = server.home().to_str().unwrap();
    until("no mount is left", || {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        (!mounts.contains(home)).then_some(())
    });
}

#[test]
fn a_server_that_is_started_to_take_everything_down_says_what_it_waits_for() {
    let mut server = Server::start();
    let image = server.busybox();
    let command = ["sh", "-c", super::task::WAITING];
    for stop_timeout in [2, 3] {
        let container = json!({"image": image, "command": command, "stopTimeout": stop_timeout});
        let arn = server.run_task("down", container);
        server.wait_task(&arn, "RUNNING");
    }
    assert_eq!(server.terminate(), Some(0));
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_cove"))
        .args(["serve", "--down", "--node", &server.node, "--data-dir"])
        .arg(server.home().join("data"))
        .arg("--run-dir")
        .arg(server.home().join("run"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("cove: waiting while 2 tasks stop; the longest stop timeout is 3 s\n"), "{said}");
}
