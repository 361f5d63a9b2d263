//! Zones and instances: where tasks of services come to be, with instances that come, go and come back.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, assert_refused, texts, until, with};

/// Two instances in each of three zones; the waits of services are short.
const SIX: &str = r#"
[[instance]]
type = "m5.large"
zone = "a"
count = 2

[[instance]]
type = "m5.large"
zone = "b"
count = 2

[[instance]]
type = "m5.large"
zone = "c"
count = 2
"#;

fn register(server: &Server, family: &str, container: &Value) {
    let main = json!({"name": "main", "image": server.busybox(), "memory": 8, "stopTimeout": 2,
        "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": family, "containerDefinitions": [with(&main, container)]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
}

fn create(server: &Server, over: &Value) -> Result<Value, crate::server::AwsError> {
    let input = json!({"serviceName": "web", "taskDefinition": "web"});
    server.ecs("CreateService", &with(&input, over))
}

fn fleet(server: &Server, args: &[&str]) {
    let done = server.cove(&[&["fleet"], args].concat());
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn describe(server: &Server) -> Value {
    server.ecs("DescribeServices", &json!({"services": ["web"]})).unwrap()["services"][0].clone()
}

/// RUNNING tasks of the service, counted by a member, as in `availabilityZone`.
fn spread(server: &Server, member: &str) -> BTreeMap<String, usize> {
    let listed = server.ecs("ListTasks", &json!({"serviceName": "web"})).unwrap();
    let arns = texts(&listed["taskArns"]);
    if arns.is_empty() {
        return BTreeMap::new();
    }
    let all = server.ecs("DescribeTasks", &json!({"tasks": arns})).unwrap();
    counted(all["tasks"].as_array().unwrap().iter().filter(|task| task["lastStatus"] == "RUNNING"), member)
}

fn counted<'a>(tasks: impl IntoIterator<Item = &'a Value>, member: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for task in tasks {
        *counts.entry(task[member].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

/// So many tasks per zone, in the order of the zones that have some; and nothing is on its way.
fn wait_zones(server: &Server, expected: &[usize]) {
    until(&format!("tasks by zone are {expected:?}"), || {
        let service = describe(server);
        let at_rest = service["pendingCount"] == 0 && service["runningCount"] == service["desiredCount"];
        let zones: Vec<usize> = spread(server, "availabilityZone").into_values().collect();
        (at_rest && zones == expected).then_some(())
    });
}

fn events(server: &Server) -> Vec<String> {
    let service = describe(server);
    service["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

fn wait_event(server: &Server, words: &str) {
    until(words, || events(server).iter().any(|text| text.contains(words)).then_some(()));
}

#[test]
fn tasks_come_back_to_a_zone_that_was_lost_and_returned() {
    let mut server = Server::start_configured(SIX);
    register(&server, "web", &json!({}));
    let made = create(&server, &json!({"desiredCount": 6})).unwrap();
    assert_eq!(made["service"]["availabilityZoneRebalancing"], "ENABLED", "ECS turns it on by itself");
    wait_zones(&server, &[2, 2, 2]);
    fleet(&server, &["fail", "--zone", "c"]);
    wait_zones(&server, &[3, 3]);
    let before = spread(&server, "containerInstanceArn");
    assert!(before.len() == 4 && before.values().all(|tasks| *tasks < 3), "{before:?}");
    fleet(&server, &["recover", "--zone", "c"]);
    wait_event(
        &server,
        "is not AZ balanced with 3 tasks in us-east-1a, 3 tasks in us-east-1b, and 0 tasks in us-east-1c",
    );
    server.kill_and_restart();
    wait_zones(&server, &[2, 2, 2]);
    wait_event(&server, "is AZ balanced with 2 tasks in us-east-1a, 2 tasks in us-east-1b, and 2 tasks in us-east-1c.");
    wait_event(&server, "has started 2 tasks in us-east-1c to AZ Rebalance: (task ");
    wait_event(&server, "has stopped 1 running tasks in us-east-1b due to AZ rebalancing: (task ");
}

#[test]
fn a_service_without_rebalancing_stays_as_it_is_until_it_is_turned_on() {
    let server = Server::start_configured(SIX);
    register(&server, "web", &json!({}));
    let off = json!({"desiredCount": 4, "availabilityZoneRebalancing": "DISABLED"});
    assert_eq!(create(&server, &off).unwrap()["service"]["availabilityZoneRebalancing"], "DISABLED");
    until("four tasks", || (describe(&server)["runningCount"] == 4).then_some(()));
    fleet(&server, &["drain", "--zone", "c"]);
    fleet(&server, &["drain", "--zone", "b"]);
    wait_zones(&server, &[4]);
    fleet(&server, &["activate", "--zone", "b"]);
    wait_event(&server, "has reached a steady state.");
    assert!(!events(&server).iter().any(|text| text.contains("AZ")), "{:?}", events(&server));
    // What may not be moved is left where it is.
    let listed = server.ecs("ListTasks", &json!({"serviceName": "web"})).unwrap();
    let tasks = &listed["taskArns"];
    let protect = |on: bool| {
        let input = json!({"cluster": "default", "tasks": tasks, "protectionEnabled": on});
        server.ecs("UpdateTaskProtection", &input).unwrap();
    };
    protect(true);
    let on = json!({"service": "web", "availabilityZoneRebalancing": "ENABLED"});
    let updated = server.ecs("UpdateService", &on).unwrap();
    assert_eq!(updated["service"]["availabilityZoneRebalancing"], "ENABLED");
    assert_eq!(updated["service"]["deployments"].as_array().unwrap().len(), 1, "it begins no deployment");
    wait_zones(&server, &[4]);
    protect(false);
    wait_zones(&server, &[2, 2]);
    let kept = server.ecs("UpdateService", &json!({"service": "web", "desiredCount": 2})).unwrap();
    assert_eq!(kept["service"]["availabilityZoneRebalancing"], "ENABLED");
    wait_zones(&server, &[1, 1]);
}

#[test]
fn services_that_ecs_does_not_rebalance_are_refused_and_default_to_disabled() {
    let server = Server::start_configured(SIX);
    register(&server, "web", &json!({}));
    let zone = "attribute:ecs.availability-zone";
    let constraint = json!([{"type": "memberOf", "expression": format!("{zone} == us-east-1a")}]);
    for over in [
        json!({"desiredCount": 1, "deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 0}}),
        json!({"desiredCount": 1, "placementStrategy": [{"type": "binpack", "field": "memory"}]}),
        json!({"desiredCount": 1, "placementStrategy":
            [{"type": "spread", "field": "instanceId"}, {"type": "spread", "field": zone}]}),
        json!({"desiredCount": 1, "placementConstraints": constraint}),
        json!({"schedulingStrategy": "DAEMON"}),
    ] {
        let asked = with(&over, &json!({"availabilityZoneRebalancing": "ENABLED"}));
        assert_refused(
            create(&server, &asked),
            "InvalidParameterException",
            "availabilityZoneRebalancing does not support",
        );
        let made = create(&server, &over).unwrap();
        assert_eq!(made["service"]["availabilityZoneRebalancing"], "DISABLED", "{over}");
        let asked = json!({"service": "web", "availabilityZoneRebalancing": "ENABLED"});
        assert_refused(server.ecs("UpdateService", &asked), "InvalidParameterException", "does not support");
        server.ecs("DeleteService", &json!({"service": "web", "force": true})).unwrap();
        until("it is gone", || (describe(&server)["status"] == "INACTIVE").then_some(()));
    }
    let zones_first = json!({"desiredCount": 1, "placementStrategy":
        [{"type": "spread", "field": zone}, {"type": "binpack", "field": "memory"}]});
    assert_eq!(create(&server, &zones_first).unwrap()["service"]["availabilityZoneRebalancing"], "ENABLED");
    let narrow = json!({"service": "web",
        "deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 0}});
    assert_refused(server.ecs("UpdateService", &narrow), "InvalidParameterException", "a maximumPercent of 100");
    let both = with(&narrow, &json!({"availabilityZoneRebalancing": "DISABLED"}));
    server.ecs("UpdateService", &both).unwrap();
}

#[test]
fn fargate_tasks_are_spread_over_the_zones_of_their_subnets() {
    let server = Server::start();
    let main = json!({"name": "main", "image": server.busybox(), "stopTimeout": 2, "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": "web", "containerDefinitions": [main], "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let over = json!({"desiredCount": 3, "launchType": "FARGATE", "networkConfiguration": server.network()});
    create(&server, &over).unwrap();
    wait_zones(&server, &[1, 1, 1]);
    assert!(!events(&server).iter().any(|text| text.contains("AZ")), "{:?}", events(&server));
}

/// How many tasks each instance has that has some, the fullest first.
fn heights(counts: BTreeMap<String, usize>) -> Vec<usize> {
    let mut heights: Vec<usize> = counts.into_values().collect();
    heights.sort_unstable_by(|left, right| right.cmp(left));
    heights
}

#[test]
fn binpack_fills_one_instance_before_the_next_and_spread_makes_equal_counts() {
    let server = Server::start_configured(SIX);
    // Three of them fill an m5.large.
    register(&server, "web", &json!({"memory": 2500}));
    let run = |group: &str, count: u32, strategy: Value| {
        let input = json!({"taskDefinition": "web", "count": count, "group": group, "placementStrategy": strategy});
        let ran = server.ecs("RunTask", &input).unwrap();
        assert_eq!(ran["failures"], json!([]), "{ran}");
        ran["tasks"].as_array().unwrap().clone()
    };
    let packed = || json!([{"type": "binpack", "field": "memory"}]);
    let mut tasks = run("p", 4, packed());
    assert_eq!(heights(counted(&tasks, "containerInstanceArn")), [3, 1]);
    tasks.extend(run("p", 4, packed()));
    assert_eq!(heights(counted(&tasks, "containerInstanceArn")), [3, 3, 2], "the one that was begun is filled first");
    for task in &tasks {
        server.ecs("StopTask", &json!({"task": task["taskArn"]})).unwrap();
    }
    for task in &tasks {
        server.wait_task(task["taskArn"].as_str().unwrap(), "STOPPED");
    }
    let zone = "attribute:ecs.availability-zone";
    let spread = || json!([{"type": "spread", "field": zone}, {"type": "spread", "field": "instanceId"}]);
    let mut tasks = run("s", 6, spread());
    assert_eq!(heights(counted(&tasks, "containerInstanceArn")), [1; 6]);
    assert_eq!(heights(counted(&tasks, "availabilityZone")), [2; 3]);
    tasks.extend(run("s", 6, spread()));
    assert_eq!(heights(counted(&tasks, "containerInstanceArn")), [2; 6]);
}

#[test]
fn services_are_packed_or_spread_and_leave_an_instance_that_drains() {
    let server = Server::start_configured(SIX);
    register(&server, "web", &json!({"memory": 2500}));
    let packed = json!({"desiredCount": 4, "placementStrategy": [{"type": "binpack", "field": "memory"}]});
    create(&server, &packed).unwrap();
    let places = || spread(&server, "containerInstanceArn");
    until("one is full before the next", || (heights(places()) == [3, 1]).then_some(()));
    server.ecs("DeleteService", &json!({"service": "web", "force": true})).unwrap();
    until("it is gone", || (describe(&server)["status"] == "INACTIVE").then_some(()));
    create(&server, &json!({"desiredCount": 6})).unwrap();
    until("one on each", || (heights(places()) == [1; 6]).then_some(()));
    let full = places().into_keys().next().unwrap();
    fleet(&server, &["drain", &full]);
    until("its task has moved", || {
        let places = places();
        (!places.contains_key(&full) && heights(places) == [2, 1, 1, 1, 1]).then_some(())
    });
    let shown = server.ecs("DescribeContainerInstances", &json!({"containerInstances": [full]})).unwrap();
    let instance = &shown["containerInstances"][0];
    assert_eq!((&instance["status"], &instance["runningTasksCount"]), (&json!("DRAINING"), &json!(0)));
}

#[test]
fn a_daemon_service_has_one_task_on_each_instance_that_it_wants_and_follows_the_fleet() {
    let server = Server::start_configured(SIX);
    register(&server, "web", &json!({}));
    let places = || spread(&server, "containerInstanceArn");
    let constraint = json!([{"type": "memberOf", "expression": "attribute:ecs.availability-zone != us-east-1c"}]);
    create(&server, &json!({"schedulingStrategy": "DAEMON", "placementConstraints": constraint})).unwrap();
    until("one on each of two zones", || (heights(places()) == [1; 4]).then_some(()));
    assert_eq!(describe(&server)["desiredCount"], 4);
    fleet(&server, &["add", "--type", "m5.large", "--zone", "b"]);
    until("on the new one too", || (heights(places()) == [1; 5]).then_some(()));
    fleet(&server, &["add", "--type", "m5.large", "--zone", "c"]);
    let left = places().into_keys().next().unwrap();
    fleet(&server, &["drain", &left]);
    until("it leaves the one that drains", || {
        let places = places();
        (!places.contains_key(&left) && heights(places) == [1; 4]).then_some(())
    });
    fleet(&server, &["activate", &left]);
    until("and comes back", || (heights(places()) == [1; 5]).then_some(()));
}
