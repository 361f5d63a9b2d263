//! The life of a task: run, listed, described, overridden, stopped.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, texts, until, with};

/// Ends at once when it is asked to.
pub(crate) const WAITING: &str = "trap 'exit 0' TERM; sleep 600 & wait";

#[test]
fn a_task_lives_and_dies_across_restarts() {
    let mut server = Server::start();
    let image = server.busybox();
    let run = json!({"startedBy": "me", "group": "mine"});
    let arn = server.run_task_with("life", json!({"image": image, "command": ["sh", "-c", WAITING]}), &json!({}), &run);
    server.kill_and_restart();
    let task = server.wait_task(&arn, "RUNNING");
    assert_eq!(
        (&task["startedBy"], &task["group"], &task["launchType"]),
        (&json!("me"), &json!("mine"), &json!("EC2"))
    );
    assert_eq!((&task["desiredStatus"], &task["connectivity"]), (&json!("RUNNING"), &json!("CONNECTED")));
    for moment in ["createdAt", "connectivityAt", "pullStartedAt", "pullStoppedAt", "startedAt"] {
        assert!(task[moment].is_number(), "{moment}: {task}");
    }
    let container = &task["containers"][0];
    assert!(container["imageDigest"].as_str().unwrap().starts_with("sha256:"), "{container}");
    assert!(container["runtimeId"].is_string());
    let process = server.inside(&arn, "readlink /proc/1/ns/pid");
    server.kill_and_restart();
    assert_eq!(server.inside(&arn, "readlink /proc/1/ns/pid"), process, "the same process goes on");
    assert_eq!(server.describe_task(&arn)["startedAt"], task["startedAt"]);

    let stopped = server.ecs("StopTask", &json!({"task": arn, "reason": "enough"})).unwrap();
    assert_eq!(stopped["task"]["desiredStatus"], "STOPPED");
    server.kill_and_restart();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("UserInitiated"), &json!("enough")));
    assert_eq!(task["containers"][0]["exitCode"], 0);
    for moment in ["stoppingAt", "executionStoppedAt", "stoppedAt"] {
        assert!(task[moment].is_number(), "{moment}: {task}");
    }
    let again = server.ecs("StopTask", &json!({"task": arn, "reason": "more"})).unwrap();
    assert_eq!(again["task"]["stoppedReason"], "enough", "stopping a stopped task changes nothing");
}

#[test]
fn tasks_are_listed_by_what_they_are_and_in_pages() {
    let mut server = Server::start();
    let image = server.busybox();
    let waiting = json!({"image": image, "command": ["sh", "-c", WAITING]});
    let one = server.run_task_with("one", waiting.clone(), &json!({}), &json!({"startedBy": "me"}));
    let two = server.run_task("two", waiting);
    let done = server.run_task("done", json!({"image": image, "command": ["true"]}));
    server.wait_task(&done, "STOPPED");
    server.kill_and_restart();
    let list = |input: Value| {
        let got = server.ecs("ListTasks", &input).unwrap();
        (texts(&got["taskArns"]).into_iter().map(str::to_owned).collect::<Vec<_>>(), got["nextToken"].clone())
    };
    let mut both = vec![one.clone(), two.clone()];
    both.sort();
    assert_eq!(list(json!({})).0, both);
    assert_eq!(list(json!({"desiredStatus": "STOPPED"})).0, [done]);
    assert_eq!(list(json!({"family": "two"})).0, std::slice::from_ref(&two));
    assert_eq!(list(json!({"startedBy": "me"})).0, std::slice::from_ref(&one));
    assert!(list(json!({"launchType": "FARGATE"})).0.is_empty());
    let instance = server.describe_task(&one)["containerInstanceArn"].clone();
    assert_eq!(list(json!({"containerInstance": instance})).0, both);
    let (first, token) = list(json!({"maxResults": 1}));
    let (second, _) = list(json!({"maxResults": 1, "nextToken": token}));
    assert_eq!([first, second].concat(), both);
}

#[test]
fn a_client_token_stands_for_one_request_also_after_a_restart() {
    let mut server = Server::start();
    let image = server.busybox();
    let container = json!([{"name": "main", "image": image, "memory": 16, "command": ["true"]}]);
    server.ecs("RegisterTaskDefinition", &json!({"family": "once", "containerDefinitions": container})).unwrap();
    let run = |server: &Server, count: i32| {
        server.ecs("RunTask", &json!({"taskDefinition": "once", "clientToken": "a-token", "count": count}))
    };
    let first = run(&server, 1).unwrap()["tasks"][0]["taskArn"].clone();
    server.kill_and_restart();
    let second = run(&server, 1).unwrap();
    assert_eq!(second["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(second["tasks"][0]["taskArn"], first);
    assert_refused(run(&server, 2), "ConflictException", "clientToken");
}

#[test]
fn start_task_puts_a_task_on_the_named_instance() {
    let mut server = Server::start();
    let image = server.busybox();
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let instance = texts(&listed["containerInstanceArns"])[0].to_owned();
    let container = json!([{"name": "main", "image": image, "memory": 16, "command": ["sh", "-c", "exit 4"]}]);
    server.ecs("RegisterTaskDefinition", &json!({"family": "s", "containerDefinitions": container})).unwrap();
    let start = json!({"taskDefinition": "s", "containerInstances": [instance], "startedBy": "starter"});
    let task = server.ecs("StartTask", &start).unwrap()["tasks"][0].clone();
    assert_eq!(task["containerInstanceArn"], instance);
    server.kill_and_restart();
    let task = server.wait_task(task["taskArn"].as_str().unwrap(), "STOPPED");
    assert_eq!((&task["containers"][0]["exitCode"], &task["startedBy"]), (&json!(4), &json!("starter")));
    assert_refused(
        server.ecs("StartTask", &json!({"taskDefinition": "s", "containerInstances": []})),
        "InvalidParameterException",
        "cannot be empty",
    );
}

#[test]
fn overrides_are_laid_over_the_definition_and_shown() {
    let server = Server::start();
    let image = server.busybox();
    let over = json!({"containerOverrides": [{"name": "main", "memory": 40, "cpu": 7,
        "command": ["sh", "-c", "[ $A-$B = new-kept ] || exit 1; trap 'exit 0' TERM; sleep 600 & wait"],
        "environment": [{"name": "A", "value": "new"}]}]});
    let container = json!({"image": image, "command": ["false"],
        "environment": [{"name": "A", "value": "old"}, {"name": "B", "value": "kept"}]});
    let arn = server.run_task_with("over", container, &json!({}), &json!({"overrides": over}));
    let task = server.wait_task(&arn, "RUNNING");
    assert_eq!(task["overrides"]["containerOverrides"], over["containerOverrides"]);
    assert_eq!((&task["containers"][0]["memory"], &task["containers"][0]["cpu"]), (&json!("40"), &json!("7")));
    assert_eq!(server.inside(&arn, "echo $A-$B"), "new-kept\n", "exec sees the container's environment");
}

#[test]
fn a_task_whose_image_is_missing_says_so() {
    let server = Server::start();
    let image = server.busybox().replace(":1", ":nope");
    let image = image.rsplit_once("nope").map(|(front, _)| format!("{front}nope")).unwrap();
    let arn = server.run_task("missing", json!({"image": image}));
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    assert!(task["stoppedReason"].as_str().unwrap().contains("CannotPullContainerError"), "{task}");
    assert!(task["containers"][0].get("exitCode").is_none_or(Value::is_null), "{task}");
}

#[test]
fn a_program_that_is_not_there_says_so() {
    let server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("nothing", json!({"image": image, "command": ["/no/such/program"]}));
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    let reason = task["containers"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("CannotStartContainerError") && reason.contains("/no/such/program"), "{task}");
}

#[test]
fn a_container_that_eats_too_much_memory_is_killed_and_it_is_said_why() {
    let server = Server::start();
    let image = server.busybox();
    let arn = server.run_task("glutton", json!({"image": image, "memory": 16, "command": ["tail", "/dev/zero"]}));
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 137);
    assert!(task["containers"][0]["reason"].as_str().unwrap_or_default().starts_with("OutOfMemoryError"), "{task}");
    assert_eq!(task["stoppedReason"], "Essential container in task exited");
}

#[test]
fn only_an_essential_container_takes_the_others_with_it() {
    let server = Server::start();
    let image = server.busybox();
    let container = |name: &str, over: Value| with(&json!({"name": name, "image": image, "memory": 16}), &over);
    let definition = json!({"family": "pair", "containerDefinitions": [
        container("main", json!({"command": ["sh", "-c", "until [ -e /end ]; do sleep 0.05; done; exit 5"]})),
        container("quick", json!({"command": ["sh", "-c", "exit 6"], "essential": false})),
        container("slow", json!({"command": ["sh", "-c", WAITING], "essential": false}))]});
    let arn = server.run_definition(&definition, &json!({}));
    let named = |task: &Value, name: &str| {
        task["containers"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
    };
    let task = until("the quick one ends", || {
        let task = server.wait_task(&arn, "RUNNING");
        (named(&task, "quick")["lastStatus"] == "STOPPED").then_some(task)
    });
    assert_eq!(named(&task, "quick")["exitCode"], 6);
    assert_eq!(named(&task, "slow")["lastStatus"], "RUNNING");
    server.inside(&arn, "touch /end");
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(
        (&task["stopCode"], &task["stoppedReason"]),
        (&json!("EssentialContainerExited"), &json!("Essential container in task exited"))
    );
    assert_eq!((&named(&task, "main")["exitCode"], &named(&task, "slow")["exitCode"]), (&json!(5), &json!(0)));
}

#[test]
fn the_role_of_a_task_is_checked_and_its_credentials_are_inside() {
    let server = Server::start();
    let image = server.busybox();
    let container = json!({"image": image, "command": ["sh", "-c", WAITING]});
    let arn = server.run_task_with("role", container, &json!({"taskRoleArn": "ecsTaskExecutionRole"}), &json!({}));
    server.wait_task(&arn, "RUNNING");
    let credentials = server.inside(&arn, "wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let credentials: Value = serde_json::from_str(&credentials).unwrap();
    assert!(credentials["AccessKeyId"].as_str().unwrap().starts_with("ASIA"), "{credentials}");
    assert_eq!(credentials["RoleArn"], "arn:aws:iam::000000000000:role/ecsTaskExecutionRole");
    let metadata: Value =
        serde_json::from_str(&server.inside(&arn, "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task")).unwrap();
    assert_eq!((&metadata["TaskARN"], &metadata["Family"]), (&json!(arn), &json!("role")));
}
