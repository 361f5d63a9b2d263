//! How the containers of a task start, are watched, start again and stop.

use std::fs;

use serde_json::{Value, json};

use crate::server::{Server, until, with};

/// A definition whose containers share the directory `/f`, which is `marks` of the server's home.
fn definition(server: &Server, family: &str, containers: &[Value]) -> Value {
    let marks = server.home().join("marks");
    fs::create_dir_all(&marks).unwrap();
    let image = server.busybox();
    let mount = json!([{"sourceVolume": "f", "containerPath": "/f"}]);
    let base = json!({"image": image, "memory": 16, "mountPoints": mount, "stopTimeout": 5});
    let containers: Vec<Value> = containers.iter().map(|one| with(&base, one)).collect();
    json!({"family": family, "volumes": [{"name": "f", "host": {"sourcePath": marks}}], "containerDefinitions": containers})
}

/// Says when it starts and when it is asked to stop, which takes it a moment.
fn talking(name: &str) -> Value {
    let script = format!(
        "echo {name} >> /f/order; trap 'sleep 0.3; echo {name} stops >> /f/order; exit 9' TERM; \
         while :; do sleep 0.05; done"
    );
    json!({"name": name, "command": ["sh", "-c", script]})
}

fn order(server: &Server) -> Vec<String> {
    let text = fs::read_to_string(server.home().join("marks/order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn container<'a>(task: &'a Value, name: &str) -> &'a Value {
    let all = task["containers"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}: {task}"))
}

fn on(name: &str, condition: &str) -> Value {
    json!([{"containerName": name, "condition": condition}])
}

#[test]
fn containers_start_as_they_depend_and_stop_in_reverse_whenever_the_server_is_killed() {
    let mut server = Server::start();
    let healthy = json!({"command": ["CMD-SHELL", "test -f /f/ok"], "interval": 5, "startPeriod": 60});
    let definition = definition(
        &server,
        "ordered",
        &[
            with(&talking("web"), &json!({"dependsOn": on("db", "HEALTHY")})),
            with(&talking("db"), &json!({"dependsOn": on("init", "SUCCESS"), "healthCheck": healthy})),
            json!({"name": "init", "essential": false, "command": ["sh", "-c", "sleep 0.5; echo init >> /f/order"]}),
            with(&talking("logger"), &json!({"volumesFrom": [{"sourceContainer": "init"}]})),
        ],
    );
    let arn = server.run_definition(&definition, &json!({}));
    until("a first container runs", || order(&server).contains(&"logger".to_owned()).then_some(()));
    server.kill_and_restart();
    until("the database runs", || order(&server).contains(&"db".to_owned()).then_some(()));
    assert_eq!(order(&server), ["logger", "init", "db"]);
    let task = until("it is seen", || {
        Some(server.describe_task(&arn)).filter(|task| container(task, "db")["lastStatus"] == "RUNNING")
    });
    assert_eq!((&task["lastStatus"], &task["healthStatus"]), (&json!("ACTIVATING"), &json!("UNKNOWN")), "{task}");
    assert_eq!(container(&task, "web")["lastStatus"], "PENDING");
    assert_eq!(container(&task, "init")["exitCode"], 0);
    server.kill_and_restart();
    fs::write(server.home().join("marks/ok"), "").unwrap();
    let task = server.wait_task(&arn, "RUNNING");
    assert_eq!(order(&server), ["logger", "init", "db", "web"]);
    assert_eq!(
        (&task["healthStatus"], &container(&task, "db")["healthStatus"]),
        (&json!("HEALTHY"), &json!("HEALTHY"))
    );
    assert_eq!(container(&task, "web")["healthStatus"], "UNKNOWN");

    server.ecs("StopTask", &json!({"task": arn})).unwrap();
    until("the first has stopped", || order(&server).contains(&"web stops".to_owned()).then_some(()));
    server.kill_and_restart();
    let task = server.wait_task(&arn, "STOPPED");
    for name in ["web", "db", "logger"] {
        assert_eq!(container(&task, name)["exitCode"], 9, "{name}: {task}");
    }
    let stops: Vec<String> = order(&server).into_iter().filter(|line| line.ends_with("stops")).collect();
    let place = |name: &str| stops.iter().position(|line| *line == format!("{name} stops"));
    assert!(stops.len() == 3 && place("web") < place("db"), "{stops:?}");
}

#[test]
fn the_end_of_an_essential_container_stops_the_others_in_reverse() {
    let server = Server::start();
    let definition = definition(
        &server,
        "reverse",
        &[
            with(&talking("c"), &json!({"dependsOn": on("b", "START")})),
            with(&talking("b"), &json!({"dependsOn": on("a", "START"), "essential": false})),
            talking("a"),
            json!({"name": "main", "dependsOn": on("c", "START"), "command": ["sh", "-c", "sleep 0.5; exit 4"]}),
        ],
    );
    let arn = server.run_definition(&definition, &json!({}));
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(order(&server), ["a", "b", "c", "c stops", "b stops", "a stops"]);
    assert_eq!(task["stopCode"], "EssentialContainerExited", "{task}");
    assert_eq!(container(&task, "main")["exitCode"], 4);
    for name in ["a", "b", "c"] {
        assert_eq!(container(&task, name)["exitCode"], 9, "{name}: {task}");
    }
}

#[test]
fn a_container_whose_dependency_failed_is_given_up_and_the_task_with_it_if_it_is_essential() {
    let mut server = Server::start();
    let failing = json!({"name": "init", "essential": false, "command": ["sh", "-c", "exit 6"]});
    let first = definition(
        &server,
        "failing",
        &[
            failing.clone(),
            with(&talking("web"), &json!({"dependsOn": on("side", "START")})),
            with(&talking("side"), &json!({"dependsOn": on("init", "SUCCESS"), "essential": false})),
            talking("other"),
        ],
    );
    let arn = server.run_definition(&first, &json!({}));
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(
        (&task["stopCode"], &task["stoppedReason"]),
        (&json!("TaskFailedToStart"), &json!("Task failed to start"))
    );
    assert_eq!(
        (&container(&task, "side")["exitCode"], &container(&task, "web")["exitCode"]),
        (&json!(143), &json!(143))
    );
    let reason = |name: &str| container(&task, name)["reason"].as_str().unwrap().to_owned();
    assert!(reason("side").starts_with("CannotStartContainerError: dependency graph: failed to resolve"), "{task}");
    assert!(reason("side").ends_with("as dependency did not exit successfully."), "{task}");
    assert!(reason("side").contains("- Exit: 6] for target [side("), "{task}");
    assert!(reason("web").ends_with("because dependency will never start"), "{task}");
    assert_eq!((&container(&task, "init")["exitCode"], &container(&task, "other")["exitCode"]), (&json!(6), &json!(9)));

    // A side container alone does not stop the task.
    let second = definition(
        &server,
        "side",
        &[
            failing,
            with(&talking("side"), &json!({"dependsOn": on("init", "SUCCESS"), "essential": false})),
            json!({"name": "main", "command": ["sh", "-c", "while ! test -f /f/end; do sleep 0.05; done; exit 2"]}),
        ],
    );
    let arn = server.run_definition(&second, &json!({}));
    let task = server.wait_task(&arn, "RUNNING");
    assert_eq!(
        (&container(&task, "side")["lastStatus"], &container(&task, "side")["exitCode"]),
        (&json!("STOPPED"), &json!(143))
    );
    server.kill_and_restart();
    fs::write(server.home().join("marks/end"), "").unwrap();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(
        (&task["stopCode"], &container(&task, "main")["exitCode"]),
        (&json!("EssentialContainerExited"), &json!(2))
    );
}

#[test]
fn a_dependency_that_does_not_get_there_in_its_start_timeout_fails_the_task() {
    let mut server = Server::start();
    let definition = definition(
        &server,
        "slow",
        &[
            with(&talking("slow"), &json!({"essential": false, "startTimeout": 3})),
            with(&talking("web"), &json!({"dependsOn": on("slow", "COMPLETE")})),
        ],
    );
    let arn = server.run_definition(&definition, &json!({}));
    until("the dependency runs", || order(&server).contains(&"slow".to_owned()).then_some(()));
    server.kill_and_restart();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(
        (&task["stopCode"], &task["stoppedReason"]),
        (&json!("TaskFailedToStart"), &json!("Task failed to start"))
    );
    let reason = container(&task, "web")["reason"].as_str().unwrap();
    assert!(reason.contains("container ordering dependency [slow(") && reason.ends_with("has timed out."), "{reason}");
    assert_eq!(container(&task, "slow")["exitCode"], 9);
    assert_eq!(order(&server), ["slow", "slow stops"]);
    let took = task["stoppingAt"].as_f64().unwrap() - task["createdAt"].as_f64().unwrap();
    assert!((3.0..8.0).contains(&took), "{took} s");
}

#[test]
fn a_task_that_waits_for_a_dependency_can_be_stopped() {
    let mut server = Server::start();
    let definition = definition(
        &server,
        "waiting",
        &[
            with(&talking("side"), &json!({"essential": false})),
            with(&talking("web"), &json!({"dependsOn": on("side", "COMPLETE")})),
        ],
    );
    let arn = server.run_definition(&definition, &json!({}));
    until("the dependency runs", || order(&server).contains(&"side".to_owned()).then_some(()));
    server.kill_and_restart();
    server.ecs("StopTask", &json!({"task": arn, "reason": "enough"})).unwrap();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("UserInitiated"), &json!("enough")));
    assert_eq!(container(&task, "side")["exitCode"], 9);
    let web = container(&task, "web");
    assert!(web.get("exitCode").is_none() && web.get("reason").is_none(), "{web}");
    assert_eq!(order(&server), ["side", "side stops"]);
}

#[test]
fn a_link_is_a_name_and_an_order() {
    let server = Server::start();
    let show = "grep database /etc/hosts >> /f/order; echo web >> /f/order";
    let definition = definition(
        &server,
        "linked",
        &[json!({"name": "web", "links": ["db:database"], "command": ["sh", "-c", show]}), talking("db")],
    );
    let arn = server.run_definition(&definition, &json!({}));
    server.wait_task(&arn, "STOPPED");
    let said = order(&server);
    assert!(said.len() == 4 && said[1].ends_with(" database db"), "{said:?}");
    assert_eq!((said[0].as_str(), said[2].as_str(), said[3].as_str()), ("db", "web", "db stops"));
}

#[test]
fn health_changes_with_the_probes_is_shown_everywhere_and_survives_the_server() {
    let mut server = Server::start();
    let check = json!({"command": ["CMD-SHELL", "test -f /f/ok"], "interval": 5, "retries": 1});
    let definition = definition(&server, "watched", &[with(&talking("main"), &json!({"healthCheck": check}))]);
    let arn = server.run_definition(&definition, &json!({}));
    let task = server.wait_task(&arn, "RUNNING");
    assert_eq!(task["healthStatus"], "UNKNOWN");
    let becomes = |server: &Server, health: &str| {
        let task = until(health, || Some(server.describe_task(&arn)).filter(|task| task["healthStatus"] == health));
        assert_eq!(container(&task, "main")["healthStatus"], health);
        task["version"].as_u64().unwrap()
    };
    becomes(&server, "UNHEALTHY");
    server.kill_and_restart();
    let version = becomes(&server, "UNHEALTHY");
    assert_eq!(server.describe_task(&arn)["lastStatus"], "RUNNING", "nobody stops a task of no service");
    fs::write(server.home().join("marks/ok"), "").unwrap();
    assert_eq!(becomes(&server, "HEALTHY"), version + 1, "only a change is written");
    let inside = server.inside(&arn, "wget -qO- $ECS_CONTAINER_METADATA_URI_V4");
    let inside: Value = serde_json::from_str(&inside).unwrap();
    assert_eq!(inside["Health"]["status"], "HEALTHY");
    let listed = server.cove(&["ps"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("RUNNING, healthy"), "{listed:?}");
    assert!(inside["Health"]["statusSince"].is_string(), "{inside}");
}

/// The shortest period that ECS allows makes this the slowest test.
#[test]
fn a_container_starts_again_by_its_policy_in_the_same_task_also_when_the_server_was_dead() {
    let mut server = Server::start();
    server.logs("CreateLogGroup", &json!({"logGroupName": "again"})).unwrap();
    let options = json!({"awslogs-group": "again", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"});
    let log = json!({"logDriver": "awslogs", "options": options});
    let policy = json!({"enabled": true, "restartAttemptPeriod": 60, "ignoredExitCodes": [0]});
    let script = "echo >> /f/starts; echo start $(wc -l < /f/starts); n=$(wc -l < /f/starts); \
                  test $n = 1 && sleep 60.3; test $n = 1 && exit 7; while ! test -f /f/end; do sleep 0.1; done; exit 8";
    let main =
        json!({"name": "main", "command": ["sh", "-c", script], "restartPolicy": policy, "logConfiguration": log});
    let brief =
        json!({"name": "brief", "essential": false, "command": ["sh", "-c", "exit 3"], "restartPolicy": policy});
    let arn = server.run_definition(&definition(&server, "again", &[main, brief]), &json!({}));
    let task = server.wait_task(&arn, "RUNNING");
    let brief = until("the brief one ends for good", || {
        let task = server.describe_task(&arn);
        Some(container(&task, "brief").clone()).filter(|brief| brief["lastStatus"] == "STOPPED")
    });
    assert_eq!(brief["exitCode"], 3);
    let marks = server.home().join("marks/starts");
    let starts = || fs::read(&marks).map_or(0, |bytes| bytes.len());
    assert_eq!(starts(), 1);
    let began = std::time::Instant::now();
    // Killed just before the end, started again after it.
    while began.elapsed() < std::time::Duration::from_secs(58) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let exits = server.home().join("data/exits");
    server.while_stopped(|_| {
        until("it has ended", || {
            let mut directories = fs::read_dir(&exits).unwrap().flatten();
            directories.any(|one| one.path().join("main.0.json").exists()).then_some(())
        });
    });
    until("it starts again", || (starts() == 2).then_some(()));
    let inside = until("the restart is seen", || {
        let text = server.inside(&arn, "wget -qO- $ECS_CONTAINER_METADATA_URI_V4");
        let inside: Value = serde_json::from_str(&text).unwrap();
        (inside["RestartCount"] == 1).then_some(inside)
    });
    assert_eq!(inside["KnownStatus"], "RUNNING");
    let again = server.describe_task(&arn);
    assert_eq!((&again["lastStatus"], &again["startedAt"]), (&json!("RUNNING"), &task["startedAt"]));
    server.kill_and_restart();
    fs::write(server.home().join("marks/end"), "").unwrap();
    let task = server.wait_task(&arn, "STOPPED");
    assert_eq!(
        (&task["stopCode"], &container(&task, "main")["exitCode"]),
        (&json!("EssentialContainerExited"), &json!(8))
    );
    let stream = format!("p/main/{}", arn.rsplit('/').next().unwrap());
    let events =
        server.logs("GetLogEvents", &json!({"logGroupName": "again", "logStreamName": stream, "startFromHead": true}));
    let events = events.unwrap();
    let lines: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap()).collect();
    assert_eq!(lines, ["start 1", "start 2"]);
}
