//! Daemons: one task on each instance that their capacity providers cover; with the server killed on the way.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, assert_refused, texts, until, with};

/// A capacity provider `agents` of the default cluster, whose instances stay and are not repaired.
fn provider(server: &Server, vcpus_max: u32) {
    let network = server.network()["awsvpcConfiguration"].clone();
    let iam = "arn:aws:iam::000000000000";
    let template = json!({"ec2InstanceProfileArn": format!("{iam}:instance-profile/ecsInstanceRole"),
        "networkConfiguration": {"subnets": network["subnets"]},
        "instanceRequirements": {"vCpuCount": {"min": 2, "max": vcpus_max}, "memoryMiB": {"min": 0}}});
    let managed = json!({"infrastructureRoleArn": format!("{iam}:role/ecsInfrastructureRole"),
        "instanceLaunchTemplate": template, "infrastructureOptimization": {"scaleInAfter": -1},
        "autoRepairConfiguration": {"actionsStatus": "DISABLED"}});
    let input = json!({"name": "agents", "cluster": "default", "managedInstancesProvider": managed});
    server.ecs("CreateCapacityProvider", &input).unwrap();
}

/// The same with two instances: each has room for one task of a service `full`.
fn fleet(server: &Server) {
    provider(server, 2);
    serve(server, 1536, 2);
}

/// A service `full` of that many tasks, which take so much of an instance.
fn serve(server: &Server, cpu: u32, count: u32) {
    let main = json!({"name": "main", "image": server.busybox(), "memory": 16, "cpu": cpu, "stopTimeout": 2,
        "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": "full", "containerDefinitions": [main], "networkMode": "none",
        "requiresCompatibilities": ["MANAGED_INSTANCES"]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let service = json!({"serviceName": "full", "taskDefinition": "full", "desiredCount": count,
        "capacityProviderStrategy": [{"capacityProvider": "agents", "weight": 1}]});
    server.ecs("CreateService", &service).unwrap();
    until("all run", || {
        let shown = server.ecs("DescribeServices", &json!({"services": ["full"]})).unwrap();
        (shown["services"][0]["runningCount"] == count).then_some(())
    });
}

fn register(server: &Server, command: &str) -> String {
    let main = json!({"name": "main", "image": server.busybox(), "memory": 8, "cpu": 16, "stopTimeout": 2,
        "command": ["sh", "-c", command]});
    let definition = json!({"family": "watch", "containerDefinitions": [main]});
    let made = server.ecs("RegisterDaemonTaskDefinition", &definition).unwrap();
    made["daemonTaskDefinitionArn"].as_str().unwrap().to_owned()
}

fn request(definition: &str, over: &Value) -> Value {
    let input = json!({"daemonName": "watch", "daemonTaskDefinitionArn": definition,
        "capacityProviderArns": ["arn:aws:ecs:us-east-1:000000000000:capacity-provider/agents"]});
    with(&input, over)
}

fn tasks(server: &Server) -> Vec<Value> {
    let listed = server.ecs("ListTasks", &json!({"daemonName": "watch"})).unwrap();
    let arns = texts(&listed["taskArns"]);
    if arns.is_empty() {
        return Vec::new();
    }
    let described = server.ecs("DescribeTasks", &json!({"tasks": arns, "include": ["TAGS"]})).unwrap();
    described["tasks"].as_array().unwrap().clone()
}

fn deployment(server: &Server, arn: &Value) -> Value {
    let named = json!({"daemonDeploymentArns": [arn]});
    server.ecs("DescribeDaemonDeployments", &named).unwrap()["daemonDeployments"][0].clone()
}

fn wait_status(server: &Server, arn: &Value, status: &str) -> Value {
    until(&format!("the deployment is {status}"), || {
        Some(deployment(server, arn)).filter(|seen| seen["status"] == status)
    })
}

#[test]
fn a_daemon_task_definition_lives_and_dies_across_restarts() {
    let mut server = Server::start();
    let (first, second) = (register(&server, WAITING), register(&server, WAITING));
    assert!(first.ends_with(":daemon-task-definition/watch:1"), "{first}");
    server.kill_and_restart();
    let shown = server.ecs("DescribeDaemonTaskDefinition", &json!({"daemonTaskDefinition": "watch"})).unwrap();
    let shown = &shown["daemonTaskDefinition"];
    assert_eq!(
        (&shown["revision"], &shown["family"], &shown["status"]),
        (&json!(2), &json!("watch"), &json!("ACTIVE"))
    );
    assert_eq!(shown["containerDefinitions"][0]["name"], "main");
    let others = server.ecs("ListTaskDefinitions", &json!({})).unwrap();
    assert_eq!(others["taskDefinitionArns"], json!([]), "daemons' are listed by themselves");
    let describe = json!({"taskDefinition": "daemon/watch:1"});
    assert_refused(server.ecs("DescribeTaskDefinition", &describe), "ClientException", "Unable to describe");
    let listed = |over: &Value| {
        let listed = server.ecs("ListDaemonTaskDefinitions", over).unwrap();
        let all = listed["daemonTaskDefinitions"].as_array().unwrap().clone();
        all.iter().map(|one| one["arn"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&json!({"sort": "DESC"})), [second.clone(), first.clone()]);
    assert_eq!(listed(&json!({"revision": "LAST_REGISTERED"})), std::slice::from_ref(&second));
    let named = json!({"daemonTaskDefinition": first});
    server.ecs("DeleteDaemonTaskDefinition", &named).unwrap();
    assert_eq!(listed(&json!({"familyPrefix": "wat"})), [second]);
    assert_refused(server.ecs("DeleteDaemonTaskDefinition", &named), "ClientException", "");
    server.kill_and_restart();
    assert_refused(server.ecs("RegisterDaemonTaskDefinition", &json!({})), "InvalidParameterException", "");
}

#[test]
fn a_daemon_runs_once_on_each_instance_of_its_providers_across_restarts() {
    let mut server = Server::start();
    fleet(&server);
    let definition = register(&server, WAITING);
    let tags = json!({"tags": [{"key": "team", "value": "a"}], "propagateTags": "DAEMON", "clientToken": "once"});
    let input = request(&definition, &tags);
    let made = server.ecs("CreateDaemon", &input).unwrap();
    assert_eq!(made["status"], "ACTIVE");
    server.kill_and_restart();
    assert_eq!(server.ecs("CreateDaemon", &input).unwrap()["daemonArn"], made["daemonArn"], "the same token");
    wait_status(&server, &made["deploymentArn"], "SUCCESSFUL");
    let running = tasks(&server);
    assert_eq!(running.len(), 2);
    assert_ne!(running[0]["containerInstanceArn"], running[1]["containerInstanceArn"]);
    for task in &running {
        assert_eq!((&task["taskDefinitionArn"], &task["capacityProviderName"]), (&json!(definition), &json!("agents")));
        assert_eq!((&task["group"], &task["tags"][0]["value"]), (&json!("daemon:watch"), &json!("a")));
    }
    server.ecs("StopTask", &json!({"task": running[0]["taskArn"]})).unwrap();
    server.kill_and_restart();
    until("the instance has its task again", || {
        let now = tasks(&server);
        let is_other =
            now.iter().all(|task| task["taskArn"] != running[0]["taskArn"] && task["lastStatus"] == "RUNNING");
        (now.len() == 2 && is_other).then_some(())
    });
    server.ecs("UpdateService", &json!({"service": "full", "desiredCount": 3})).unwrap();
    until("the new instance has its task", || (tasks(&server).len() == 3).then_some(()));
    let named = json!({"daemonArn": made["daemonArn"]});
    until("the daemon says so", || {
        let shown = server.ecs("DescribeDaemon", &named).unwrap();
        (shown["daemon"]["currentRevisions"][0]["totalRunningCount"] == 3).then_some(())
    });
    let listed = server.ecs("ListDaemons", &json!({"capacityProviderArns": ["agents"]})).unwrap();
    assert_eq!(listed["daemonSummariesList"][0]["daemonArn"], made["daemonArn"]);
    assert!(server.cove(&["fleet", "add", "--type", "t3.small", "--asg", "blue"]).status.success());
    let group = json!({"name": "group", "autoScalingGroupProvider": {"autoScalingGroupArn": "blue"}});
    server.ecs("CreateCapacityProvider", &group).unwrap();
    for (other, why) in
        [("FARGATE", "only supported for"), ("group", "only supported for"), ("none", "'none' was not found")]
    {
        let input = request(&definition, &json!({"daemonName": "b", "capacityProviderArns": [other]}));
        assert_refused(server.ecs("CreateDaemon", &input), "InvalidParameterException", why);
        let input = json!({"daemonArn": made["daemonArn"], "daemonTaskDefinitionArn": definition,
            "capacityProviderArns": [other]});
        assert_refused(server.ecs("UpdateDaemon", &input), "InvalidParameterException", why);
    }
    server.ecs("DeleteDaemon", &named).unwrap();
    server.kill_and_restart();
    until("the daemon is gone", || server.ecs("DescribeDaemon", &named).err());
    assert_refused(server.ecs("DescribeDaemon", &named), "DaemonNotFoundException", "");
}

#[test]
fn a_daemon_deployment_replaces_its_tasks_and_goes_back_when_they_fail() {
    let mut server = Server::start();
    fleet(&server);
    let (first, second) = (register(&server, WAITING), register(&server, WAITING));
    let broken = register(&server, "exit 1");
    let made = server.ecs("CreateDaemon", &request(&first, &json!({"propagateTags": "DAEMON"}))).unwrap();
    wait_status(&server, &made["deploymentArn"], "SUCCESSFUL");
    let propagates = |server: &Server, arn: &str| {
        let found = server.ecs("DescribeDaemonRevisions", &json!({"daemonRevisionArns": [arn]})).unwrap();
        found["daemonRevisions"][0]["propagateTags"].clone()
    };
    let update = |server: &Server, definition: &str| {
        let input = json!({"daemonArn": made["daemonArn"], "daemonTaskDefinitionArn": definition,
            "capacityProviderArns": ["agents"], "deploymentConfiguration": {"drainPercent": 50.0}});
        server.ecs("UpdateDaemon", &input).unwrap()["deploymentArn"].clone()
    };
    let good = update(&server, &second);
    server.kill_and_restart();
    let seen = wait_status(&server, &good, "SUCCESSFUL");
    assert_eq!(seen["targetDaemonRevision"]["totalRunningInstanceCount"], 2);
    assert!(tasks(&server).iter().all(|task| task["taskDefinitionArn"] == json!(second)));
    assert_eq!(seen["targetDaemonRevision"]["arn"].as_str().map(|arn| propagates(&server, arn)), Some(json!("NONE")));
    let bad = update(&server, &broken);
    server.kill_and_restart();
    let seen = wait_status(&server, &bad, "ROLLBACK_SUCCESSFUL");
    assert_eq!(seen["circuitBreaker"]["status"], "TRIGGERED");
    let target = json!({"daemonRevisionArns": [seen["rollback"]["rollbackTargetDaemonRevisionArn"]]});
    let target = server.ecs("DescribeDaemonRevisions", &target).unwrap();
    assert_eq!(target["daemonRevisions"][0]["daemonTaskDefinitionArn"], json!(second));
    assert!(target["daemonRevisions"][0]["containerImages"][0]["imageDigest"].is_string(), "{target}");
    let listed = server.ecs("ListDaemonDeployments", &json!({"daemonArn": made["daemonArn"]})).unwrap();
    assert_eq!(listed["daemonDeployments"].as_array().unwrap().len(), 3);
    assert_eq!(listed["daemonDeployments"][0]["daemonDeploymentArn"], bad);
    let delete = json!({"daemonArn": made["daemonArn"]});
    server.ecs("DeleteDaemon", &delete).unwrap();
    let again = server.ecs("DeleteDaemon", &delete);
    assert_refused(again, "InvalidParameterException", "deployment deletion is ongoing");
    server.ecs("DeleteService", &json!({"service": "full", "force": true})).unwrap();
    until("nothing is left", || tasks_of_cluster(&server).is_empty().then_some(()));
}

#[test]
fn instances_that_have_no_room_for_a_daemon_are_replaced_across_restarts() {
    let mut server = Server::start();
    provider(&server, 4);
    serve(&server, 2048, 2);
    let instances = |server: &Server| {
        let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
        let named = json!({"containerInstances": listed["containerInstanceArns"]});
        let mut all = server.ecs("DescribeContainerInstances", &named).unwrap()["containerInstances"].clone();
        let all = std::mem::take(all.as_array_mut().unwrap()).into_iter();
        all.filter(|one| one["capacityProviderName"] == "agents").collect::<Vec<_>>()
    };
    let first = instances(&server);
    let cpu = |one: &Value| one["remainingResources"][0]["integerValue"].as_i64();
    assert!(first.iter().all(|one| cpu(one) == Some(0)), "full: {first:?}");
    let made = server.ecs("CreateDaemon", &request(&register(&server, WAITING), &json!({}))).unwrap();
    server.kill_and_restart();
    wait_status(&server, &made["deploymentArn"], "SUCCESSFUL");
    let now = instances(&server);
    let stayed = now.iter().any(|one| first.iter().any(|it| it["containerInstanceArn"] == one["containerInstanceArn"]));
    assert!(!stayed, "{first:?}, {now:?}");
    assert_eq!(tasks(&server).len(), now.len());
    let shown = server.ecs("DescribeServices", &json!({"services": ["full"]})).unwrap();
    assert_eq!(shown["services"][0]["runningCount"], 2);
}

#[test]
fn tasks_of_a_provider_wait_for_its_daemon() {
    let mut server = Server::start();
    provider(&server, 2);
    let first = json!({"name": "first", "image": server.busybox(), "memory": 8, "cpu": 16, "essential": false,
        "command": ["sleep", "3"]});
    let main = json!({"name": "main", "image": server.busybox(), "memory": 8, "cpu": 16, "stopTimeout": 2,
        "command": ["sh", "-c", WAITING], "dependsOn": [{"containerName": "first", "condition": "SUCCESS"}]});
    let definition = json!({"family": "watch", "containerDefinitions": [first, main]});
    let made = server.ecs("RegisterDaemonTaskDefinition", &definition).unwrap();
    let definition = made["daemonTaskDefinitionArn"].as_str().unwrap();
    server.ecs("CreateDaemon", &request(definition, &json!({}))).unwrap();
    let main = json!({"name": "main", "image": server.busybox(), "memory": 16, "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": "a", "containerDefinitions": [main], "networkMode": "none",
        "requiresCompatibilities": ["MANAGED_INSTANCES"]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let input =
        json!({"taskDefinition": "a", "capacityProviderStrategy": [{"capacityProvider": "agents", "weight": 1}]});
    let run = server.ecs("RunTask", &input).unwrap();
    assert_eq!(run["failures"], json!([]));
    server.kill_and_restart();
    let task = server.wait_task(run["tasks"][0]["taskArn"].as_str().unwrap(), "RUNNING");
    let daemon = tasks(&server).into_iter().find(|it| it["containerInstanceArn"] == task["containerInstanceArn"]);
    let started = |it: &Value| it["startedAt"].as_f64().unwrap();
    assert!(started(&task) >= started(&daemon.unwrap()), "the daemon comes first");
}

fn tasks_of_cluster(server: &Server) -> Vec<String> {
    let listed = server.ecs("ListTasks", &json!({})).unwrap();
    texts(&listed["taskArns"]).into_iter().map(str::to_owned).collect()
}

#[test]
fn why_a_daemon_is_not_where_it_should_be_is_explained_and_its_log_is_read() {
    let server = Server::start();
    fleet(&server);
    let good = register(&server, &format!("echo watching; {WAITING}"));
    let made = server.ecs("CreateDaemon", &request(&good, &json!({}))).unwrap();
    wait_status(&server, &made["deploymentArn"], "SUCCESSFUL");
    let explain = |what: &str| {
        let done = server.cove(&["explain", what]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let lines = explain("watch");
    let wanted = "daemon watch is ACTIVE: 2 container instances to run on, 2 with its task, 2 of them healthy";
    assert!(lines.starts_with(wanted) && lines.contains(" has succeeded"), "{lines}");
    assert_eq!(explain(made["daemonArn"].as_str().unwrap()), lines);
    let task = tasks(&server)[0]["taskArn"].as_str().unwrap().to_owned();
    let log = server.cove(&["logs", &task]);
    assert_eq!(String::from_utf8_lossy(&log.stdout), "watching\n", "{log:?}");
    let input = json!({"daemonArn": made["daemonArn"], "daemonTaskDefinitionArn": register(&server, "exit 4"),
        "capacityProviderArns": ["agents"]});
    server.ecs("UpdateDaemon", &input).unwrap();
    until("what failed is told", || {
        let lines = explain("watch");
        lines.contains("container main has ended with exit code 4").then_some(())
    });
}
