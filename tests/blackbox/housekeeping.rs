//! What goes by itself, and what does not.

use std::path::PathBuf;

use serde_json::json;

use crate::ecs::WAITING;
use crate::server::{Server, assert_refused, until};

/// A server that cleans up all the time.
fn tidy() -> Server {
    Server::start_set(&["--housekeeping-secs", "1", "--collect-secs", "1", "--stopped-task-secs", "2"])
}

fn unpacked(server: &Server) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(server.home().join("data/snapshots/chains")).unwrap();
    let mut links: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    links.sort();
    links
}

fn stop(server: &Server, arn: &str) {
    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    server.wait_task(arn, "STOPPED");
}

#[test]
fn unpacked_layers_go_with_the_last_image_and_task_that_need_them() {
    let mut server = tidy();
    let mut links: Vec<PathBuf> = Vec::new();
    let mut tasks = Vec::new();
    for name in ["known", "running", "unused"] {
        let image = server.image(name, &format!("echo {name} > etc/name"), &[]);
        let arn = server.run_task(name, json!({"image": image, "command": ["sh", "-c", WAITING]}));
        server.wait_task(&arn, "RUNNING");
        tasks.push(arn);
        let new = unpacked(&server).into_iter().find(|link| !links.contains(link));
        links.push(new.expect("a layer of its own"));
    }
    let directory = links[2].parent().unwrap().with_file_name("l").join(std::fs::read_link(&links[2]).unwrap());
    for name in ["running", "unused"] {
        assert!(server.cove(&["image", "rm", &format!("{name}:latest")]).status.success());
    }
    stop(&server, &tasks[0]);
    stop(&server, &tasks[2]);
    until("the layer that nobody needs is gone", || (!directory.exists()).then_some(()));
    let mut kept = links[..2].to_vec();
    kept.sort();
    assert_eq!(unpacked(&server), kept, "one belongs to an image, one to a task");
    server.kill_and_restart();
    assert_eq!(server.inside(&tasks[1], "cat /etc/name"), "running\n");
    stop(&server, &tasks[1]);
    until("its layer goes after the task", || (unpacked(&server) == links[..1]).then_some(()));
    // What goes is made again.
    let image = server.image("unused", "echo unused > etc/name", &[]);
    let again = server.run_task("again", json!({"image": image, "command": ["cat", "/etc/name"]}));
    assert_eq!(server.wait_task(&again, "STOPPED")["containers"][0]["exitCode"], 0);
}

#[test]
fn a_deleted_definition_is_gone_once_its_last_task_is_no_longer_seen() {
    let mut server = tidy();
    let image = server.busybox();
    let arn = server.run_task("going", json!({"image": image, "command": ["sh", "-c", WAITING]}));
    server.wait_task(&arn, "RUNNING");
    let definition = json!({"taskDefinition": "going:1"});
    let service = json!({"serviceName": "asleep", "taskDefinition": "going:1", "desiredCount": 0});
    server.ecs("CreateService", &service).unwrap();
    server.ecs("DeregisterTaskDefinition", &definition).unwrap();
    server.ecs("DeleteTaskDefinitions", &json!({"taskDefinitions": ["going:1"]})).unwrap();
    // Another goes at once, which shows that house-keeping came by.
    server
        .ecs(
            "RegisterTaskDefinition",
            &json!({"family": "idle", "containerDefinitions": [{"name": "a", "image": "x", "memory": 8}]}),
        )
        .unwrap();
    server.ecs("DeregisterTaskDefinition", &json!({"taskDefinition": "idle:1"})).unwrap();
    server.ecs("DeleteTaskDefinitions", &json!({"taskDefinitions": ["idle:1"]})).unwrap();
    until("a definition without tasks is gone", || {
        server.ecs("DescribeTaskDefinition", &json!({"taskDefinition": "idle:1"})).err()
    });
    let shown = server.ecs("DescribeTaskDefinition", &definition).unwrap();
    assert_eq!(shown["taskDefinition"]["status"], "DELETE_IN_PROGRESS");
    server.kill_and_restart();
    stop(&server, &arn);
    until("the task is seen no more", || {
        let seen = server.ecs("DescribeTasks", &json!({"tasks": [arn]})).unwrap();
        (seen["failures"][0]["reason"] == "MISSING").then_some(())
    });
    // The service still can start tasks of it.
    server.ecs("UpdateService", &json!({"service": "asleep", "desiredCount": 1})).unwrap();
    let started = until("the service has its task", || {
        let listed = server.ecs("ListTasks", &json!({"serviceName": "asleep"})).unwrap();
        listed["taskArns"][0].as_str().map(str::to_owned)
    });
    server.wait_task(&started, "RUNNING");
    server.ecs("DeleteService", &json!({"service": "asleep", "force": true})).unwrap();
    until("the definition is gone", || server.ecs("DescribeTaskDefinition", &definition).err());
    assert_refused(server.ecs("DescribeTaskDefinition", &definition), "ClientException", "Unable to describe");
    let seen = server.ecs("DescribeTasks", &json!({"tasks": [arn]})).unwrap();
    assert_eq!(seen["failures"][0]["reason"], "MISSING", "{seen}");
}

/// A mounted file system without a free byte; unmounted when dropped.
struct FullDisk(PathBuf);

impl FullDisk {
    fn mount(path: PathBuf) -> Self {
        let words = ["-t", "tmpfs", "-o", "size=64k", "full"];
        assert!(std::process::Command::new("mount").args(words).arg(&path).status().unwrap().success());
        assert!(std::fs::write(path.join(".ballast"), vec![0; 128 << 10]).is_err());
        Self(path)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn an_exit_that_the_disk_cannot_hold_is_told_once_it_can_though_the_server_was_killed() {
    let mut server = Server::start();
    let image = server.busybox();
    let exits = server.home().join("data/exits");
    std::fs::create_dir_all(&exits).unwrap();
    let disk = FullDisk::mount(exits);
    let command = "trap 'exit 7' TERM; sleep 600 & wait";
    let arn = server.run_task("full", json!({"image": image, "command": ["sh", "-c", command]}));
    server.wait_task(&arn, "RUNNING");
    let id = arn.rsplit('/').next().unwrap();
    let log = server.home().join("run/tasks").join(id).join("shim.log");
    let noted = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("cannot record the exit"));
    until("the shim could not record", || {
        // A shell that has not set its trap yet, as process 1, does not hear it.
        server.cove(&["exec", &arn, "--", "kill", "-TERM", "1"]);
        noted().then_some(())
    });
    server.kill_and_restart();
    let task = server.describe_task(&arn);
    assert_eq!((&task["lastStatus"], &task["containers"][0]["exitCode"]), (&json!("RUNNING"), &json!(null)), "{task}");
    std::fs::remove_file(disk.0.join(".ballast")).unwrap();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 7, "{task}");
    assert_eq!(task["stopCode"], "EssentialContainerExited");
}
