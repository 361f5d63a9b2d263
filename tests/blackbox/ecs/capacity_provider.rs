//! Capacity providers.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::server::{AwsError, Server, assert_refused, texts, until};

/// A provider `web` of an Auto Scaling group of one instance; the instance's ARN.
fn provider(server: &Server) -> String {
    let before = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let added = server.cove(&["fleet", "add", "--type", "t3.small", "--asg", "blue"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let group = json!({"autoScalingGroupArn": "blue"});
    let tags = json!([{"key": "team", "value": "a"}]);
    let input = json!({"name": "web", "autoScalingGroupProvider": group, "tags": tags});
    let made = server.ecs("CreateCapacityProvider", &input).unwrap();
    assert_eq!(made["capacityProvider"]["status"], "ACTIVE");
    let after = server.ecs("ListContainerInstances", &json!({})).unwrap();
    let before = texts(&before["containerInstanceArns"]);
    texts(&after["containerInstanceArns"]).into_iter().find(|arn| !before.contains(arn)).unwrap().to_owned()
}

fn describe(server: &Server, name: &str) -> Value {
    let named = json!({"capacityProviders": [name], "include": ["TAGS"]});
    server.ecs("DescribeCapacityProviders", &named).unwrap()["capacityProviders"][0].clone()
}

fn put(server: &Server, providers: &Value, strategy: &Value) -> Result<Value, AwsError> {
    let input = json!({"cluster": "default", "capacityProviders": providers,
        "defaultCapacityProviderStrategy": strategy});
    server.ecs("PutClusterCapacityProviders", &input)
}

#[test]
fn a_capacity_provider_sends_tasks_to_its_group_across_restarts() {
    let mut server = Server::start();
    let image = server.busybox();
    let instance = provider(&server);
    put(&server, &json!(["web", "FARGATE"]), &json!([{"capacityProvider": "web", "weight": 1}])).unwrap();
    let draining = json!({"managedDraining": "DISABLED"});
    server.ecs("UpdateCapacityProvider", &json!({"name": "web", "autoScalingGroupProvider": draining})).unwrap();
    server.kill_and_restart();
    let shown = describe(&server, "web");
    assert_eq!(shown["type"], "EC2_AUTOSCALING");
    assert_eq!(shown["updateStatus"], "UPDATE_COMPLETE");
    assert_eq!(shown["autoScalingGroupProvider"]["managedDraining"], "DISABLED");
    assert_eq!(shown["tags"], json!([{"key": "team", "value": "a"}]));
    let main = json!({"name": "main", "image": image, "memory": 16, "command": ["sleep", "60"], "stopTimeout": 2});
    server.ecs("RegisterTaskDefinition", &json!({"family": "a", "containerDefinitions": [main]})).unwrap();
    let run = server.ecs("RunTask", &json!({"taskDefinition": "a", "count": 3})).unwrap();
    for task in run["tasks"].as_array().unwrap() {
        assert_eq!((&task["capacityProviderName"], &task["launchType"]), (&json!("web"), &json!("EC2")));
        assert_eq!(task["containerInstanceArn"], json!(instance));
    }
    assert_eq!(run["tasks"].as_array().unwrap().len(), 3);
    let described = json!({"containerInstances": [instance]});
    let described = server.ecs("DescribeContainerInstances", &described).unwrap();
    assert_eq!(described["containerInstances"][0]["capacityProviderName"], "web");

    let attachments = |include: &Value| {
        let cluster = server.ecs("DescribeClusters", &json!({"include": include})).unwrap()["clusters"][0].clone();
        (cluster["attachmentsStatus"].clone(), cluster["attachments"].clone())
    };
    assert_eq!(attachments(&json!([])), (Value::Null, Value::Null), "only who asks is shown them");
    let (status, shown_first) = attachments(&json!(["ATTACHMENTS"]));
    assert_eq!((&status, &shown_first), (&json!("UPDATE_COMPLETE"), &json!([])), "it neither scales nor drains");
    let scaling = json!({"managedScaling": {"status": "ENABLED"}, "managedDraining": "ENABLED"});
    server.ecs("UpdateCapacityProvider", &json!({"name": "web", "autoScalingGroupProvider": scaling})).unwrap();
    let (_, both) = attachments(&json!(["ATTACHMENTS"]));
    let kinds: Vec<_> = both.as_array().unwrap().iter().map(|it| (&it["type"], &it["status"])).collect();
    let created = json!("CREATED");
    assert_eq!(kinds, [(&json!("as_policy"), &created), (&json!("managed_draining"), &created)]);
    let [of, policy] = &both[0]["details"].as_array().unwrap()[..] else { panic!("{both}") };
    assert_eq!((&of["name"], &of["value"]), (&json!("capacityProviderName"), &json!("web")));
    assert_eq!(policy["name"], "scalingPolicyName");
    assert!(policy["value"].as_str().unwrap().starts_with("ECSManagedAutoScalingPolicy-"), "{policy}");
    assert_eq!(attachments(&json!(["ATTACHMENTS"])).1, both, "their ids stay");

    assert_refused(put(&server, &json!([]), &json!([])), "ResourceInUseException", "is in use and cannot be removed.");
    let delete = json!({"capacityProvider": shown["capacityProviderArn"]});
    let kept = server.ecs("DeleteCapacityProvider", &delete).unwrap()["capacityProvider"].clone();
    assert_eq!((&kept["status"], &kept["updateStatus"]), (&json!("ACTIVE"), &json!("DELETE_FAILED")));
    let why = kept["updateStatusReason"].as_str().unwrap();
    assert!(why.contains("associated with cluster: default"), "{why}");
    for task in run["tasks"].as_array().unwrap() {
        let arn = task["taskArn"].as_str().unwrap();
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
        server.wait_task(arn, "STOPPED");
    }
    let without = put(&server, &json!(["FARGATE"]), &json!([])).unwrap()["cluster"].clone();
    assert_eq!((&without["attachmentsStatus"], &without["attachments"]), (&json!("UPDATE_COMPLETE"), &json!([])));
    server.ecs("DeleteCapacityProvider", &delete).unwrap();
    server.kill_and_restart();
    assert_eq!(describe(&server, "web")["status"], "INACTIVE");
    let all = server.ecs("DescribeCapacityProviders", &json!({})).unwrap();
    let names: Vec<&str> =
        all["capacityProviders"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["FARGATE", "FARGATE_SPOT"]);
    let clusters = server.ecs("DescribeClusters", &json!({})).unwrap();
    assert_eq!(clusters["clusters"][0]["capacityProviders"], json!(["FARGATE"]));
}

#[test]
fn a_group_grows_for_tasks_and_shrinks_when_it_is_empty() {
    let mut server = Server::start_configured("scale_in_secs = 1\n");
    let image = server.busybox();
    let add = ["fleet", "add", "--type", "t3.nano", "--asg", "blue", "--asg-max", "3"];
    assert!(server.cove(&add).status.success());
    let scaling = json!({"status": "ENABLED", "instanceWarmupPeriod": 0});
    let group = json!({"autoScalingGroupArn": "blue", "managedScaling": scaling,
        "managedTerminationProtection": "ENABLED"});
    server.ecs("CreateCapacityProvider", &json!({"name": "web", "autoScalingGroupProvider": group})).unwrap();
    put(&server, &json!(["web"]), &json!([{"capacityProvider": "web", "weight": 1}])).unwrap();
    let main = json!({"name": "main", "image": image, "memory": 300, "command": ["sleep", "60"], "stopTimeout": 2});
    server.ecs("RegisterTaskDefinition", &json!({"family": "a", "containerDefinitions": [main]})).unwrap();
    let run =
        |server: &Server, count: u32| server.ecs("RunTask", &json!({"taskDefinition": "a", "count": count})).unwrap();
    let members = |server: &Server| {
        let filter = json!({"filter": "attribute:ecs.instance-type == t3.nano"});
        let listed = server.ecs("ListContainerInstances", &filter).unwrap();
        texts(&listed["containerInstanceArns"]).len()
    };
    // One task fills an instance; the group may have three.
    let first = run(&server, 3);
    assert_eq!(first["tasks"].as_array().unwrap().len(), 3);
    assert_eq!(members(&server), 3);
    for task in first["tasks"].as_array().unwrap() {
        let arn = task["taskArn"].as_str().unwrap();
        server.wait_task(arn, "RUNNING");
        server.ecs("StopTask", &json!({"task": arn})).unwrap();
    }
    server.kill_and_restart();
    until("empty instances go", || (members(&server) == 0).then_some(()));
    let again = run(&server, 1);
    assert_eq!(again["tasks"].as_array().unwrap().len(), 1, "it grows from nothing: {again}");
    assert_eq!(members(&server), 1);
}

/// A group of one instance, which one task fills, and which does not grow; the default cluster's strategy.
fn full_group(server: &Server) {
    let image = server.busybox();
    let add = ["fleet", "add", "--type", "t3.nano", "--asg", "blue", "--asg-max", "1"];
    assert!(server.cove(&add).status.success());
    let group = json!({"autoScalingGroupArn": "blue", "managedScaling": {"status": "ENABLED"}});
    server.ecs("CreateCapacityProvider", &json!({"name": "web", "autoScalingGroupProvider": group})).unwrap();
    put(server, &json!(["web"]), &json!([{"capacityProvider": "web", "weight": 1}])).unwrap();
    // It ends when it is told to, and at no other time.
    let command = json!(["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000000 & wait; done"]);
    let main = json!({"name": "main", "image": image, "memory": 300, "command": command, "stopTimeout": 2});
    server.ecs("RegisterTaskDefinition", &json!({"family": "a", "containerDefinitions": [main]})).unwrap();
}

fn described(server: &Server, arn: &str) -> Value {
    server.ecs("DescribeTasks", &json!({"tasks": [arn]})).unwrap()["tasks"][0].clone()
}

#[test]
fn a_task_waits_in_provisioning_until_its_group_has_room_across_restarts() {
    let mut server = Server::start_configured("provisioning_secs = 3600\n");
    full_group(&server);
    let run = |server: &Server| {
        let ran = server.ecs("RunTask", &json!({"taskDefinition": "a"})).unwrap();
        assert_eq!(ran["failures"], json!([]));
        ran["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
    };
    let (first, second, third) = (run(&server), run(&server), run(&server));
    server.wait_task(&first, "RUNNING");
    let check = |server: &Server, arn: &str| {
        let task = described(server, arn);
        assert_eq!((&task["lastStatus"], &task["desiredStatus"]), (&json!("PROVISIONING"), &json!("RUNNING")));
        let main = &task["containers"][0];
        assert_eq!((&main["lastStatus"], &main["networkBindings"]), (&json!("PENDING"), &json!([])));
        assert_eq!(task["capacityProviderName"], "web");
        assert!(task.get("containerInstanceArn").is_none() && task.get("availabilityZone").is_none(), "{task}");
        main["containerArn"].clone()
    };
    let container = check(&server, &second);
    let explained = server.cove(&["explain", &second]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    for part in ["PROVISIONING and has no place", "capacity provider web", "may grow to 1", "RESOURCE:MEMORY"] {
        assert!(explained.contains(part), "{explained}");
    }
    server.kill_and_restart();
    check(&server, &second);
    server.ecs("StopTask", &json!({"task": first})).unwrap();
    // The older one of them.
    let placed = server.wait_task(&second, "RUNNING");
    assert!(placed["containerInstanceArn"].is_string() && placed["containers"][0]["name"] == "main", "{placed}");
    assert_eq!(placed["containers"][0]["containerArn"], container);
    check(&server, &third);
    server.ecs("StopTask", &json!({"task": third, "reason": "enough"})).unwrap();
    let ended = server.wait_task(&third, "STOPPED");
    assert_eq!((&ended["stopCode"], &ended["stoppedReason"]), (&json!("UserInitiated"), &json!("enough")));
    assert_eq!(
        (&ended["containers"][0]["lastStatus"], &ended["containers"][0]["exitCode"]),
        (&json!("STOPPED"), &json!(null))
    );

    let service = json!({"serviceName": "s", "taskDefinition": "a", "desiredCount": 2});
    server.ecs("CreateService", &service).unwrap();
    let counts = |server: &Server| {
        let shown = server.ecs("DescribeServices", &json!({"services": ["s"]})).unwrap();
        (shown["services"][0]["runningCount"].clone(), shown["services"][0]["pendingCount"].clone())
    };
    until("both wait", || (counts(&server) == (json!(0), json!(2))).then_some(()));
    server.ecs("StopTask", &json!({"task": second})).unwrap();
    until("one has its place", || (counts(&server) == (json!(1), json!(1))).then_some(()));
    server.ecs("DeleteService", &json!({"service": "s", "force": true})).unwrap();
}

#[test]
fn a_task_that_waits_for_its_place_does_so_over_a_shutdown_of_the_machine() {
    let home = tempfile::tempdir().unwrap();
    // What the server asks whether the machine goes down.
    let asked = home.path().join("systemctl");
    std::fs::write(&asked, "#!/bin/sh\necho stopping\n").unwrap();
    std::fs::set_permissions(&asked, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("PATH={}:{}", home.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut server = Server::start_set(&[&format!("NOTIFY_SOCKET={}", home.path().join("notify").display()), &path]);
    full_group(&server);
    let ran = server.ecs("RunTask", &json!({"taskDefinition": "a", "count": 2})).unwrap();
    let is_waiting = |task: &&Value| task["lastStatus"] == "PROVISIONING";
    let (waits, runs): (Vec<&Value>, Vec<&Value>) = ran["tasks"].as_array().unwrap().iter().partition(is_waiting);
    let arn = |tasks: &[&Value]| tasks[0]["taskArn"].as_str().unwrap().to_owned();
    let (waits, runs) = (arn(&waits), arn(&runs));
    server.wait_task(&runs, "RUNNING");
    assert_eq!(server.terminate(), Some(0));
    server.kill_and_restart();
    let ended = server.wait_task(&runs, "STOPPED");
    assert_eq!(ended["stopCode"], "TerminationNotice");
    server.wait_task(&waits, "RUNNING");
}

#[test]
fn tasks_that_wait_are_given_up_after_a_time_and_are_not_too_many() {
    let server = Server::start_configured("provisioning_secs = 2\n");
    full_group(&server);
    let run = |count: u32| server.ecs("RunTask", &json!({"taskDefinition": "a", "count": count}));
    let first = run(2).unwrap();
    let waits = first["tasks"].as_array().unwrap().iter().find(|task| task["lastStatus"] == "PROVISIONING").unwrap();
    let ended = server.wait_task(waits["taskArn"].as_str().unwrap(), "STOPPED");
    assert_eq!(ended["stopCode"], "TaskFailedToStart");
    assert_eq!(ended["stoppedReason"], "TaskFailedToStart: RESOURCE:MEMORY");

    let server = Server::start_configured("provisioning_secs = 3600\n");
    full_group(&server);
    let run = |count: u32| server.ecs("RunTask", &json!({"taskDefinition": "a", "count": count}));
    run(1).unwrap();
    (0..50).for_each(|_| drop(run(10).unwrap()));
    assert_refused(run(1), "ClientException", "Tasks provisioning capacity limit exceeded.");
    let clusters = server.ecs("DescribeClusters", &json!({})).unwrap();
    assert_eq!(clusters["clusters"][0]["pendingTasksCount"].as_u64().unwrap() / 100, 5);
}

#[test]
fn an_instance_that_is_taken_away_drains_first_unless_managed_draining_is_off() {
    let mut server = Server::start();
    let image = server.busybox();
    let instance = provider(&server);
    put(&server, &json!(["web"]), &json!([{"capacityProvider": "web", "weight": 1}])).unwrap();
    let main = json!({"name": "main", "image": image, "memory": 16, "command": ["sleep", "60"], "stopTimeout": 2});
    server.ecs("RegisterTaskDefinition", &json!({"family": "a", "containerDefinitions": [main]})).unwrap();
    let run = |server: &Server| {
        let ran = server.ecs("RunTask", &json!({"taskDefinition": "a"})).unwrap();
        let arn = ran["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
        server.wait_task(&arn, "RUNNING");
        arn
    };
    let status = |server: &Server, instance: &str| {
        let named = json!({"containerInstances": [instance]});
        let shown = server.ecs("DescribeContainerInstances", &named).unwrap();
        shown["containerInstances"][0]["status"].as_str().unwrap().to_owned()
    };
    let task = run(&server);
    assert!(server.cove(&["fleet", "remove", &instance]).status.success());
    assert_eq!(status(&server, &instance), "DRAINING");
    let back = server.cove(&["fleet", "activate", &instance]);
    assert!(String::from_utf8_lossy(&back.stderr).contains("leaves soon"));
    server.kill_and_restart();
    assert_eq!(
        (status(&server, &instance), server.describe_task(&task)["lastStatus"].clone()),
        ("DRAINING".to_owned(), json!("RUNNING")),
        "its task goes on"
    );
    server.ecs("StopTask", &json!({"task": task})).unwrap();
    server.wait_task(&task, "STOPPED");
    until("it leaves with its last task", || (status(&server, &instance) == "INACTIVE").then_some(()));

    let off = json!({"managedDraining": "DISABLED"});
    server.ecs("UpdateCapacityProvider", &json!({"name": "web", "autoScalingGroupProvider": off})).unwrap();
    assert!(server.cove(&["fleet", "recover", &instance]).status.success());
    let task = run(&server);
    assert!(server.cove(&["fleet", "remove", &instance]).status.success());
    assert_eq!(status(&server, &instance), "INACTIVE");
    let lost = server.wait_task(&task, "STOPPED");
    assert_eq!(lost["stopCode"], "TerminationNotice");
}

#[test]
fn an_interrupted_fargate_spot_task_gets_its_warning_and_its_service_another() {
    let mut server = Server::start();
    put(&server, &json!(["FARGATE", "FARGATE_SPOT"]), &json!([])).unwrap();
    let command = "trap 'exit 5' TERM; while :; do sleep 0.1; done";
    let main = json!({"name": "main", "image": server.busybox(), "command": ["sh", "-c", command]});
    let definition = json!({"family": "a", "containerDefinitions": [main], "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let strategy = json!([{"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3}]);
    let service = json!({"serviceName": "web", "taskDefinition": "a", "desiredCount": 5,
        "capacityProviderStrategy": strategy, "networkConfiguration": server.network()});
    server.ecs("CreateService", &service).unwrap();
    let of = |server: &Server, provider: &str| -> Vec<String> {
        let listed = server.ecs("ListTasks", &json!({"serviceName": "web"})).unwrap();
        let named = json!({"tasks": listed["taskArns"]});
        if texts(&listed["taskArns"]).is_empty() {
            return Vec::new();
        }
        let tasks = server.ecs("DescribeTasks", &named).unwrap()["tasks"].as_array().unwrap().clone();
        let fits = |it: &&Value| it["capacityProviderName"] == provider && it["lastStatus"] == "RUNNING";
        tasks.iter().filter(fits).map(|it| it["taskArn"].as_str().unwrap().to_owned()).collect()
    };
    let wait = |server: &Server| {
        until("two on demand, three on Spot", || {
            (of(server, "FARGATE").len() == 2 && of(server, "FARGATE_SPOT").len() == 3).then_some(())
        });
    };
    wait(&server);
    let refused = server.cove(&["fleet", "interrupt", "--task", &of(&server, "FARGATE")[0]]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("only Spot capacity is interrupted"));
    let task = of(&server, "FARGATE_SPOT").remove(0);
    let done = server.cove(&["fleet", "interrupt", "--task", &task]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(server.describe_task(&task)["desiredStatus"], "STOPPED");
    server.kill_and_restart();
    let stopped = server.wait_task(&task, "STOPPED");
    assert_eq!(stopped["stopCode"], "SpotInterruption");
    assert_eq!(stopped["stoppedReason"], "Your Spot Task was interrupted.");
    assert_eq!(stopped["containers"][0]["exitCode"], 5, "the warning is SIGTERM: {stopped}");
    wait(&server);
    assert!(!of(&server, "FARGATE_SPOT").contains(&task));
    server.ecs("UpdateService", &json!({"service": "web", "desiredCount": 1})).unwrap();
    until("the base stays", || {
        (of(&server, "FARGATE").len() == 1 && of(&server, "FARGATE_SPOT").is_empty()).then_some(())
    });
    // An empty strategy is the way back to the launch type, and not to the cluster's own strategy.
    put(&server, &json!(["FARGATE", "FARGATE_SPOT"]), &strategy).unwrap();
    let back = json!({"service": "web", "capacityProviderStrategy": []});
    assert_refused(server.ecs("UpdateService", &back), "InvalidParameterException", "you must force a new deployment.");
    let back = json!({"service": "web", "capacityProviderStrategy": [], "forceNewDeployment": true});
    let service = server.ecs("UpdateService", &back).unwrap()["service"].clone();
    assert_eq!((&service["launchType"], &service["capacityProviderStrategy"]), (&json!("FARGATE"), &Value::Null));
    let awsvpc = &service["networkConfiguration"]["awsvpcConfiguration"];
    assert_eq!(awsvpc["assignPublicIp"], "DISABLED", "{service}");
    let alarms = json!({"alarmNames": [], "enable": false, "rollback": false});
    assert_eq!(service["deploymentConfiguration"]["alarms"], alarms, "{service}");
}

#[test]
fn capacity_providers_that_ecs_refuses_are_refused() {
    let server = Server::start();
    provider(&server);
    let create = |name: &str, group: Value| {
        server.ecs("CreateCapacityProvider", &json!({"name": name, "autoScalingGroupProvider": group}))
    };
    let blue = json!({"autoScalingGroupArn": "blue"});
    let code = "ClientException";
    assert_refused(create("web", blue.clone()), code, "The specified capacity provider already exists.");
    assert_refused(create("other", blue.clone()), code, "already being used by another capacity provider.");
    assert_refused(create("awsome", blue), code, "cannot be prefixed with");
    assert_refused(create("other", json!({"autoScalingGroupArn": "none"})), code, "was not found.");
    let update =
        |given: Value| server.ecs("UpdateCapacityProvider", &json!({"name": "web", "autoScalingGroupProvider": given}));
    assert_refused(update(json!({"managedTerminationProtection": "ENABLED"})), code, "enable managed scaling.");
    let code = "InvalidParameterException";
    assert_refused(put(&server, &json!(["none"]), &json!([])), code, "'none' was not found.");
    let foreign = json!([{"capacityProvider": "web", "weight": 1}]);
    assert_refused(put(&server, &json!(["FARGATE"]), &foreign), code, "not associated with the cluster.");
    put(&server, &json!(["FARGATE", "web"]), &json!([])).unwrap();
    server
        .ecs(
            "RegisterTaskDefinition",
            &json!({"family": "a", "containerDefinitions": [
        {"name": "main", "image": "x", "memory": 16}]}),
        )
        .unwrap();
    let mixed = json!([{"capacityProvider": "web", "weight": 1}, {"capacityProvider": "FARGATE", "weight": 1}]);
    let run = server.ecs("RunTask", &json!({"taskDefinition": "a", "capacityProviderStrategy": mixed}));
    assert_refused(run, code, "cannot contain a mix of capacity providers");
    assert_refused(server.ecs("DeleteCapacityProvider", &json!({"capacityProvider": "FARGATE"})), code, "reserved");
    let unknown = server.ecs("DeleteCapacityProvider", &json!({"capacityProvider": "x"}));
    assert_refused(unknown, "ClientException", "does not exist.");
}
