use cove_base::Timestamp;
use cove_model::event::Event;
use cove_model::logs::{LogGroup, LogStream};
use cove_model::task::Task;
use cove_store::{Prefix, Read, Record, StoreError};
use serde_json::{Value, json};

use super::{Api, with};

#[test]
fn a_fargate_task_has_its_interface_from_the_start() {
    let api = Api::new();
    let run = api.web();
    let out = api.done("RunTask", with(run, json!({"startedBy": "me", "enableECSManagedTags": true})));
    let task = &out["tasks"][0];
    assert_eq!((&task["lastStatus"], &task["desiredStatus"]), (&json!("PROVISIONING"), &json!("RUNNING")));
    assert_eq!((&task["cpu"], &task["group"]), (&json!("256"), &json!("family:web")));
    assert_eq!(task["tags"], json!([{"key": "aws:ecs:clusterName", "value": "default"}]));
    let details = task["attachments"][0]["details"].as_array().expect("details");
    let value = |name: &str| details.iter().find(|pair| pair["name"] == name).map(|pair| pair["value"].clone());
    assert_eq!(
        value("privateIPv4Address").as_ref(),
        task["containers"][0]["networkInterfaces"][0].get("privateIpv4Address")
    );
    let listed = api.done("ListTasks", json!({"startedBy": "me"}));
    assert_eq!(listed["taskArns"][0], task["taskArn"]);
}

#[test]
fn a_client_token_stands_for_one_request() {
    let api = Api::new();
    let run = with(api.web(), json!({"clientToken": "t", "count": 2}));
    let first = api.done("RunTask", run.clone());
    let second = api.done("RunTask", run.clone());
    assert_eq!(first["tasks"][1]["taskArn"], second["tasks"][1]["taskArn"]);
    assert_eq!(api.done("ListTasks", json!({}))["taskArns"].as_array().map(Vec::len), Some(2));
    let error = api.refused("RunTask", with(run, json!({"count": 1})));
    assert!(error.starts_with("ConflictException"), "{error}");
    let arn = first["tasks"][1]["taskArn"].as_str().unwrap();
    let id = arn.rsplit('/').next().unwrap().to_owned();
    let key = api.cx.store.read(|view| view.scan::<Task>(&Prefix::all()).iter().find(|it| it.id == id).unwrap().key());
    let forgotten = api.cx.store.write_blocking(move |tx| Ok::<_, StoreError>(tx.delete::<Task>(&key)));
    assert!(forgotten.unwrap());
    let third = api.done("RunTask", with(api.web(), json!({"clientToken": "t", "count": 2})));
    assert_eq!(third["tasks"].as_array().map(Vec::len), Some(1));
    assert_eq!((&third["failures"][0]["arn"], &third["failures"][0]["reason"]), (&json!(arn), &json!("MISSING")));
}

#[test]
fn what_does_not_fit_is_among_the_failures_and_leaves_nothing() {
    let api = Api::new();
    api.bridge("big", 3000);
    let out = api.done("RunTask", json!({"taskDefinition": "big", "count": 2}));
    assert_eq!(out["tasks"].as_array().map(Vec::len), Some(1));
    assert_eq!(out["failures"][0]["reason"], "RESOURCE:MEMORY");
    assert_eq!(api.done("ListTasks", json!({}))["taskArns"].as_array().map(Vec::len), Some(1));
}

#[test]
fn refusals_have_the_texts_of_ecs() {
    let api = Api::new();
    api.bridge("app", 64);
    api.done("CreateCluster", json!({"clusterName": "empty"}));
    let web = api.web();
    let network = web["networkConfiguration"].clone();
    let cases = [
        (json!({"taskDefinition": "app", "cluster": "none"}), "ClusterNotFoundException: Cluster not found."),
        (
            json!({"taskDefinition": "app", "cluster": "empty"}),
            "InvalidParameterException: No Container Instances were found in your cluster.",
        ),
        (
            json!({"taskDefinition": "app", "launchType": "FARGATE"}),
            "InvalidParameterException: Task definition does not support launch_type FARGATE.",
        ),
        (
            json!({"taskDefinition": "app", "networkConfiguration": network}),
            "InvalidParameterException: Network Configuration is not valid for the given networkMode of this task definition.",
        ),
        (
            json!({"taskDefinition": "web"}),
            "InvalidParameterException: Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ),
        (
            with(web.clone(), json!({"launchType": "EC2", "platformVersion": "1.4.0"})),
            "InvalidParameterException: The platform version must be null when specifying an EC2 launch type.",
        ),
        (
            with(web.clone(), json!({"platformVersion": "9"})),
            "PlatformUnknownException: The specified platform version does not exist.",
        ),
        (
            with(web.clone(), json!({"overrides": {"containerOverrides": [{"name": "x"}]}})),
            "InvalidParameterException: Override for container named x is not a container in the TaskDefinition.",
        ),
        (
            with(web.clone(), json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]})),
            "InvalidParameterException: Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ),
        (
            json!({"taskDefinition": "app", "placementConstraints": [{"type": "memberOf", "expression": "attribute:stack == blue"}]}),
            "MemberOf placement constraint unsatisfied.",
        ),
    ];
    for (input, expected) in cases {
        let got = match api.call("RunTask", input.clone()) {
            Ok(out) => out["failures"][0]["reason"].as_str().unwrap_or("nothing").to_owned(),
            Err(error) => error,
        };
        assert_eq!(got, expected, "{input}");
    }
    let role = with(web, json!({"overrides": {"taskRoleArn": "arn:aws:iam::000000000000:role/none"}}));
    let error = api.refused("RunTask", role);
    assert!(
        error.starts_with("ClientException: ECS was unable to assume the role 'arn:aws:iam::000000000000:role/none'"),
        "{error}"
    );
}

#[test]
fn log_streams_are_made_with_the_task_where_their_group_is() {
    let api = Api::new();
    let container = |name: &str, group: &str, creates: bool| {
        let mut options =
            json!({"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs"});
        if creates {
            options["awslogs-create-group"] = json!("true");
        }
        json!({"name": name, "image": "x", "memory": 64, "logConfiguration": {"logDriver": "awslogs", "options": options}})
    };
    api.done(
        "RegisterTaskDefinition",
        json!({"family": "app", "containerDefinitions": [container("a", "/made", true), container("b", "/absent", false)]}),
    );
    api.done("RunTask", json!({"taskDefinition": "app"}));
    let (groups, streams, tasks) = api.cx.store.read(|view| {
        let all = Prefix::all();
        (view.scan::<LogGroup>(&all), view.scan::<LogStream>(&all), view.scan::<Task>(&all))
    });
    assert_eq!(groups.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["/made"]);
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].name, format!("ecs/a/{}", tasks[0].id));
    assert!(tasks[0].containers.iter().all(|container| container.log.is_some()));
}

#[test]
fn a_stop_is_recorded_once_with_its_reason() {
    let api = Api::new();
    let run = api.web();
    let arn = api.done("RunTask", run)["tasks"][0]["taskArn"].clone();
    let stopped = api.done("StopTask", json!({"task": arn, "reason": "enough"}));
    assert_eq!(stopped["task"]["stoppedReason"], "enough");
    assert_eq!((&stopped["task"]["stopCode"], &stopped["task"]["version"]), (&json!("UserInitiated"), &json!(2)));
    let again = api.done("StopTask", json!({"task": arn}));
    assert_eq!((&again["task"]["stoppedReason"], &again["task"]["version"]), (&json!("enough"), &json!(2)));
    assert_eq!(api.done("ListTasks", json!({}))["taskArns"], json!([]));
    assert_eq!(api.done("ListTasks", json!({"desiredStatus": "STOPPED"}))["taskArns"], json!([arn]));
    let missing = api.refused("StopTask", json!({"task": "0123456789abcdef0123456789abcdef"}));
    assert_eq!(missing, "InvalidParameterException: The referenced task was not found.");
}

#[test]
fn start_task_goes_to_the_named_instance() {
    let api = Api::new();
    api.bridge("app", 64);
    let arn = api.done("ListContainerInstances", json!({}))["containerInstanceArns"][0].clone();
    let started = api.done("StartTask", json!({"taskDefinition": "app", "containerInstances": [arn]}));
    assert_eq!(started["tasks"][0]["containerInstanceArn"], arn);
    api.done("UpdateContainerInstancesState", json!({"containerInstances": [arn], "status": "DRAINING"}));
    let refused: Value = api.done("StartTask", json!({"taskDefinition": "app", "containerInstances": [arn]}));
    assert_eq!(refused["failures"][0]["reason"], "INACTIVE");
}

#[test]
fn no_more_tasks_live_than_the_node_may_have() {
    let api = Api::new();
    api.bridge("small", 6);
    let run = json!({"taskDefinition": "small", "count": 10});
    for _ in 0..super::TASKS_MAX / 10 {
        assert_eq!(api.done("RunTask", run.clone())["failures"], json!([]));
    }
    let refused = api.done("RunTask", run);
    assert_eq!(refused["tasks"], json!([]));
    assert_eq!(refused["failures"].as_array().map(Vec::len), Some(10));
    let reason = "You've reached the limit on the number of tasks you can run concurrently";
    assert_eq!(refused["failures"][0]["reason"], reason);
    assert_eq!(refused["failures"][0]["detail"], "this node runs at most 20 tasks (tasks_max)");
}

/// Seconds become RFC 3339, as the two forms of a task have them.
fn with_times_as_text(mut task: Value) -> Value {
    for (name, value) in task.as_object_mut().expect("an object") {
        if name.ends_with("At") {
            #[allow(clippy::cast_possible_truncation)]
            let millis = (value.as_f64().expect("seconds") * 1000.0).round() as i64;
            *value = json!(Timestamp(millis).rfc3339());
        }
    }
    task
}

#[test]
fn an_event_says_of_a_task_what_describe_tasks_says() {
    let api = Api::new();
    let run = api.web();
    let arn = api.done("RunTask", with(run, json!({"startedBy": "me"})))["tasks"][0]["taskArn"].clone();
    api.done("StopTask", json!({"task": arn, "reason": "enough"}));
    let described = with_times_as_text(api.done("DescribeTasks", json!({"tasks": [arn]}))["tasks"][0].clone());
    let events = api.cx.store.read(|view| view.scan::<Event>(&Prefix::all()));
    let of_tasks = events.iter().filter(|event| event.detail_type == "ECS Task State Change");
    let details: Vec<Value> = of_tasks.map(|event| serde_json::from_str(&event.detail).expect("JSON")).collect();
    assert_eq!(details.iter().map(|detail| &detail["version"]).collect::<Vec<_>>(), [1, 2]);
    let last = details[1].as_object().expect("an object");
    assert_eq!((&last["stoppedReason"], &last["updatedAt"]), (&json!("enough"), &last["createdAt"]));
    // What an event does not have, by AWS's documentation or its examples.
    let absent = ["tags", "healthStatus", "platformFamily", "fargateEphemeralStorage"];
    for (name, value) in described.as_object().expect("an object") {
        match name.as_str() {
            name if absent.contains(&name) => assert!(!last.contains_key(name), "{name}"),
            "attachments" => {
                assert_eq!(
                    (&last[name][0]["type"], &value[0]["type"]),
                    (&json!("eni"), &json!("ElasticNetworkInterface"))
                );
                assert_eq!(last[name][0]["details"], value[0]["details"]);
            }
            "containers" => {
                for member in ["containerArn", "name", "image", "lastStatus", "networkInterfaces", "taskArn"] {
                    assert_eq!(last[name][0][member], value[0][member], "{member}");
                }
            }
            "overrides" => assert_eq!(last[name]["containerOverrides"], value["containerOverrides"]),
            name => assert_eq!(Some(value), last.get(name), "{name}"),
        }
    }
}

#[test]
fn a_task_on_an_instance_is_also_an_event_of_the_instance() {
    let api = Api::new();
    api.bridge("small", 100);
    api.done("RunTask", json!({"taskDefinition": "small", "count": 2}));
    let events = api.cx.store.read(|view| view.scan::<Event>(&Prefix::all()));
    let instance: Vec<Value> = events
        .iter()
        .filter(|event| event.detail_type == "ECS Container Instance State Change")
        .map(|event| serde_json::from_str(&event.detail).expect("JSON"))
        .collect();
    // Registered, then two tasks in one request.
    let cpu = |detail: &Value| detail["remainingResources"][0]["integerValue"].clone();
    assert_eq!(instance.iter().map(cpu).collect::<Vec<_>>(), [2048, 2028]);
    let listed = api.done("ListContainerInstances", json!({}))["containerInstanceArns"].clone();
    let shown = api.done("DescribeContainerInstances", json!({"containerInstances": listed}));
    assert_eq!(shown["containerInstances"][0]["version"], instance[1]["version"]);
}
