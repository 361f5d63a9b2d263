//! Container instances.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, texts};

fn instance(server: &Server) -> String {
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    texts(&listed["containerInstanceArns"])[0].to_owned()
}

fn describe(server: &Server, arn: &str) -> Value {
    server.ecs("DescribeContainerInstances", &json!({"containerInstances": [arn]})).unwrap()["containerInstances"][0]
        .clone()
}

fn resource(shown: &Value, list: &str, name: &str) -> Value {
    let found = shown[list].as_array().unwrap().iter().find(|resource| resource["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {shown}")).clone()
}

#[test]
fn a_draining_instance_takes_no_tasks_also_after_a_restart() {
    let mut server = Server::start();
    let image = server.busybox();
    let arn = instance(&server);
    let set = |server: &Server, status: &str| {
        server.ecs("UpdateContainerInstancesState", &json!({"containerInstances": [arn], "status": status})).unwrap()
    };
    let set_draining = set(&server, "DRAINING");
    assert_eq!(set_draining["containerInstances"][0]["status"], "DRAINING");
    server.kill_and_restart();
    assert_eq!(instance(&server), arn, "its id is stable");
    assert_eq!(describe(&server, &arn)["status"], "DRAINING");
    let draining = server.ecs("ListContainerInstances", &json!({"status": "DRAINING"})).unwrap();
    assert_eq!(texts(&draining["containerInstanceArns"]), [arn.as_str()]);
    let active = server.ecs("ListContainerInstances", &json!({"status": "ACTIVE"})).unwrap();
    assert!(texts(&active["containerInstanceArns"]).is_empty());

    let definition = json!({"family": "a", "containerDefinitions": [{"name": "main", "image": image, "memory": 16}]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let start = server.ecs("StartTask", &json!({"taskDefinition": "a", "containerInstances": [arn]})).unwrap();
    assert_eq!(start["failures"][0]["reason"], "INACTIVE");
    assert_eq!(start["tasks"], json!([]));
    set(&server, "ACTIVE");
    let start = server.ecs("StartTask", &json!({"taskDefinition": "a", "containerInstances": [arn]})).unwrap();
    assert_eq!(start["failures"], json!([]));
}

#[test]
fn what_a_task_takes_is_missing_from_its_instance_until_it_stops() {
    let server = Server::start();
    let image = server.busybox();
    let arn = instance(&server);
    let before = describe(&server, &arn);
    assert_eq!(before["agentConnected"], true);
    let container = json!({"image": image, "cpu": 64, "memory": 48, "command": ["sleep", "60"],
        "portMappings": [{"containerPort": 80, "hostPort": 18_471}], "stopTimeout": 2});
    let task = server.run_task("taking", container);
    let after = describe(&server, &arn);
    let left =
        |shown: &Value, name: &str| resource(shown, "remainingResources", name)["integerValue"].as_i64().unwrap();
    assert_eq!(left(&before, "CPU") - left(&after, "CPU"), 64);
    assert_eq!(left(&before, "MEMORY") - left(&after, "MEMORY"), 48);
    let ports = resource(&after, "remainingResources", "PORTS");
    assert!(texts(&ports["stringSetValue"]).contains(&"18471"), "{ports}");
    assert_eq!(resource(&after, "registeredResources", "CPU"), resource(&before, "registeredResources", "CPU"));
    server.wait_task(&task, "RUNNING");
    assert_eq!(describe(&server, &arn)["runningTasksCount"], 1);
    server.ecs("StopTask", &json!({"task": task})).unwrap();
    server.wait_task(&task, "STOPPED");
    let end = describe(&server, &arn);
    assert_eq!(end["remainingResources"], before["remainingResources"]);
}

#[test]
fn unknown_instances_are_failures_and_bad_ids_are_refused() {
    let server = Server::start();
    let id = "0123456789abcdef0123456789abcdef";
    let shown = server.ecs("DescribeContainerInstances", &json!({"containerInstances": [id]})).unwrap();
    assert_eq!(shown["failures"][0]["reason"], "MISSING");
    let (code, call) = ("InvalidParameterException", "DescribeContainerInstances");
    assert_refused(server.ecs(call, &json!({"containerInstances": []})), code, "cannot be empty");
    assert_refused(server.ecs(call, &json!({"containerInstances": ["x"]})), code, "length should be one of [32,36]");
    let arn = instance(&server);
    let odd = json!({"containerInstances": [arn], "status": "REGISTERING"});
    assert_refused(server.ecs("UpdateContainerInstancesState", &odd), code, "[ACTIVE,DRAINING]");
    let filter = json!({"filter": "agentConnected = true"});
    let text = "Invalid filter expression: unexpected `=` at character 16";
    assert_refused(server.ecs("ListContainerInstances", &filter), code, text);
}

#[test]
fn instances_are_found_by_the_query_language_also_after_a_restart() {
    let mut server = Server::start();
    let arn = instance(&server);
    let rack = json!({"name": "rack", "value": "r1", "targetType": "container-instance", "targetId": arn});
    server.ecs("PutAttributes", &json!({"attributes": [rack]})).unwrap();
    let task = server.run_task("web", json!({"image": server.busybox(), "command": ["sleep", "60"]}));
    server.wait_task(&task, "RUNNING");
    server.kill_and_restart();
    let found = |filter: &str| {
        let listed = server.ecs("ListContainerInstances", &json!({"filter": filter})).unwrap();
        !texts(&listed["containerInstanceArns"]).is_empty()
    };
    assert!(found("attribute:rack == r1 and (task:group == family:web or runningTasksCount > 7)"));
    assert!(found("runningTasksCount == 1 and agentConnected == true and agentVersion > 1.9.0"));
    assert!(found("attribute:ecs.os-type =~ lin.* and registeredAt > 2018-06-18"));
    assert!(!found("not(attribute:rack in [r1, r2])"));
    assert!(!found("task:group =~ service:.*"));
}

#[test]
fn a_deregistered_instance_takes_its_tasks_along_only_by_force() {
    let mut server = Server::start();
    let arn = instance(&server);
    let task = server.run_task("held", json!({"image": server.busybox(), "command": ["sleep", "60"]}));
    server.wait_task(&task, "RUNNING");
    let deregister = |server: &Server, force: bool| {
        server.ecs("DeregisterContainerInstance", &json!({"containerInstance": arn, "force": force}))
    };
    let code = "InvalidParameterException";
    assert_refused(deregister(&server, false), code, "Found running tasks on the instance.");
    let gone = deregister(&server, true).unwrap();
    assert_eq!(gone["containerInstance"]["status"], "INACTIVE");
    server.kill_and_restart();
    let stopped = server.wait_task(&task, "STOPPED");
    assert_eq!(stopped["stoppedReason"], "Container instance deregistration forced by user");
    assert_eq!(describe(&server, &arn)["status"], "INACTIVE", "it stays describable");
    let listed = server.ecs("ListContainerInstances", &json!({})).unwrap();
    assert_eq!(listed["containerInstanceArns"], json!([]));
    let clusters = server.ecs("DescribeClusters", &json!({})).unwrap();
    assert_eq!(clusters["clusters"][0]["registeredContainerInstancesCount"], 0);
    assert_refused(deregister(&server, true), code, "not found");
    let update = json!({"containerInstances": [arn], "status": "ACTIVE"});
    let update = server.ecs("UpdateContainerInstancesState", &update).unwrap();
    assert_eq!(update["failures"][0]["reason"], "INACTIVE");
}

#[test]
fn an_agent_of_another_host_registers_and_waits_for_its_connection() {
    let mut server = Server::start();
    let own = instance(&server);
    let integer = |name: &str, value: i64| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let ports = json!({"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "51678"]});
    let document = json!({"instanceId": "i-0abc", "availabilityZone": "us-east-1b", "instanceType": "m5.large"});
    let far = json!({"totalResources": [integer("CPU", 2048), integer("MEMORY", 7000), ports],
        "instanceIdentityDocument": document.to_string(), "versionInfo": {"agentVersion": "1.80.0"},
        "attributes": [{"name": "ecs.os-type", "value": "linux"}, {"name": "rack", "value": "r9"}]});
    let made = server.ecs("RegisterContainerInstance", &far).unwrap();
    let arn = made["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
    let rack = json!({"name": "row", "value": "7", "targetType": "container-instance", "targetId": arn});
    server.ecs("PutAttributes", &json!({"attributes": [rack]})).unwrap();
    let mut more = far.clone();
    more["containerInstanceArn"] = json!(arn);
    more["totalResources"][0]["integerValue"] = json!(4096);
    server.ecs("RegisterContainerInstance", &more).unwrap();
    server.kill_and_restart();
    let shown = describe(&server, &arn);
    assert_eq!((&shown["agentConnected"], &shown["status"]), (&json!(false), &json!("ACTIVE")));
    assert_eq!((&shown["ec2InstanceId"], &shown["versionInfo"]["agentVersion"]), (&json!("i-0abc"), &json!("1.80.0")));
    assert_eq!(resource(&shown, "registeredResources", "CPU")["integerValue"], 4096);
    let filter = json!({"filter": "agentConnected == false and attribute:row == 7 and agentVersion < 1.81"});
    let found = server.ecs("ListContainerInstances", &filter).unwrap();
    assert_eq!(texts(&found["containerInstanceArns"]), [arn.as_str()]);

    let definition = json!({"family": "a", "containerDefinitions": [{"name": "main", "image": "x", "memory": 16}]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let start = server.ecs("StartTask", &json!({"taskDefinition": "a", "containerInstances": [arn]})).unwrap();
    assert_eq!(start["failures"][0]["reason"], "AGENT");
    let code = "ClientException";
    let discover = server.ecs("DiscoverPollEndpoint", &json!({"containerInstance": arn})).unwrap();
    assert_eq!(discover["endpoint"], format!("http://127.0.0.1:{}/", server.port));
    assert_eq!(discover["telemetryEndpoint"], format!("http://127.0.0.1:{}/telemetry/", server.port));
    let unknown = json!({"containerInstance": "0".repeat(32)});
    assert_refused(server.ecs("DiscoverPollEndpoint", &unknown), code, "not found");
    let task = server.run_task("own", json!({"image": server.busybox(), "command": ["sleep", "60"]}));
    let stopped = json!({"task": task, "status": "STOPPED", "containerName": "main"});
    assert_refused(server.ecs("SubmitTaskStateChange", &stopped), code, "its own agent alone");
    assert_refused(server.ecs("SubmitContainerStateChange", &stopped), code, "its own agent alone");
    let attachments = json!({"attachments": [{"attachmentArn": "a", "status": "ATTACHED"}]});
    assert_refused(server.ecs("SubmitAttachmentStateChanges", &attachments), code, "No attachment");
    let update = |arn: &str| server.ecs("UpdateContainerAgent", &json!({"containerInstance": arn}));
    assert_refused(update(&own), "NoUpdateAvailableException", "no update available");
    assert_refused(update(&arn), "InvalidParameterException", "disconnected");
    let mut mine = far.clone();
    mine["containerInstanceArn"] = json!(own);
    assert_refused(server.ecs("RegisterContainerInstance", &mine), code, "belongs to this node");
    let empty = json!({"totalResources": []});
    assert_refused(server.ecs("RegisterContainerInstance", &empty), "InvalidParameterException", "should contain CPU");
    server.wait_task(&task, "RUNNING");
    server.ecs("DeregisterContainerInstance", &json!({"containerInstance": arn})).unwrap();
    assert_eq!(describe(&server, &arn)["status"], "INACTIVE");
}
