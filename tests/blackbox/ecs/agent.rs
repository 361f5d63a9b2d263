//! Agents of other hosts: they poll for work and report what became of it.

use std::time::Duration;

use serde_json::{Value, json};

use super::far_agent::{Agent, register, submit, telemetry_query, work_query};
use crate::server::{Server, assert_refused, texts, until, with};

fn instance(server: &Server, arn: &str) -> Value {
    server.ecs("DescribeContainerInstances", &json!({"containerInstances": [arn]})).unwrap()["containerInstances"][0]
        .clone()
}

fn wait_connected(server: &Server, arn: &str, connected: bool) {
    until(&format!("connected: {connected}"), || (instance(server, arn)["agentConnected"] == connected).then_some(()));
}

/// A definition of one container.
fn define(server: &Server, family: &str, container: &Value, over: &Value) {
    let main = with(&json!({"name": "main", "image": "busybox", "memory": 64}), container);
    let definition = with(&json!({"family": family, "containerDefinitions": [main]}), over);
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
}

fn start(server: &Server, family: &str, instance: &str) -> Value {
    server.ecs("StartTask", &json!({"taskDefinition": family, "containerInstances": [instance]})).unwrap()
}

#[test]
fn an_agent_of_another_host_runs_tasks_across_restarts() {
    let mut server = Server::start();
    let far = register(&server, &json!({}));
    define(&server, "web", &json!({"portMappings": [{"containerPort": 80}], "cpu": 128}), &json!({}));
    assert_eq!(start(&server, "web", &far)["failures"][0]["reason"], "AGENT");
    let mut agent = Agent::connect(&server, &far);
    wait_connected(&server, &far, true);
    assert_eq!(agent.next("TaskManifestMessage")["tasks"], json!([]));
    let task = start(&server, "web", &far)["tasks"][0]["taskArn"].clone();
    let payload = agent.next("PayloadMessage");
    let (shown, first) = (&payload["tasks"][0], payload["seqNum"].as_i64().unwrap());
    assert_eq!((&shown["arn"], &shown["desiredStatus"], &shown["version"]), (&task, &json!("RUNNING"), &json!("1")));
    assert_eq!((&shown["containers"][0]["image"], &shown["networkMode"]), (&json!("busybox"), &json!("bridge")));
    assert_eq!(shown["containers"][0]["portMappings"][0]["hostPort"], 0);
    // Nobody has acknowledged it: it comes again, also from the next server.
    server.kill_and_restart();
    assert_eq!(instance(&server, &far)["agentConnected"], false, "nobody came yet");
    assert_eq!(server.describe_task(task.as_str().unwrap())["lastStatus"], "PENDING");
    let explained = String::from_utf8(server.cove(&["explain", task.as_str().unwrap()]).stdout).unwrap();
    assert!(explained.contains("has not acknowledged the task yet; it is not connected"), "{explained}");
    let mut agent = Agent::connect(&server, &far);
    let manifest = agent.next("TaskManifestMessage");
    assert_eq!(manifest["tasks"][0]["taskArn"], task);
    assert!(manifest["timeline"].as_i64().unwrap() > first, "it is newer than what the agent knows");
    assert_eq!(agent.take()["arn"], task);
    // Messages are taken in order: after the answer to this one the acknowledgement is durable.
    let verification = json!({"messageId": manifest["messageId"], "stopCandidates": []});
    agent.say("TaskStopVerificationMessage", &verification);
    agent.next("TaskStopVerificationAck");
    // What was acknowledged is not said again.
    server.kill_and_restart();
    let mut agent = Agent::connect(&server, &far);
    assert_eq!(agent.next("TaskManifestMessage")["tasks"][0]["desiredStatus"], "RUNNING");
    assert!(agent.within("PayloadMessage", Duration::from_secs(1)).is_none());

    let bindings = json!([{"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 32_768, "protocol": "tcp"}]);
    let up = json!({"runtimeId": "r1", "imageDigest": "sha256:1", "networkBindings": bindings});
    assert_eq!(submit(&server, &task, "RUNNING", &up)["acknowledgment"], "ACK");
    submit(&server, &task, "RUNNING", &up);
    let arn = task.as_str().unwrap();
    server.kill_and_restart();
    let running = server.describe_task(arn);
    let container = &running["containers"][0];
    assert_eq!((&running["lastStatus"], &container["runtimeId"]), (&json!("RUNNING"), &json!("r1")));
    assert_eq!(
        (&container["imageDigest"], &container["networkBindings"][0]["hostPort"]),
        (&json!("sha256:1"), &json!(32_768))
    );
    let shown = instance(&server, &far);
    let left = |name: &str| {
        let all = shown["remainingResources"].as_array().unwrap().iter();
        all.clone().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (left("CPU")["integerValue"].as_i64(), left("MEMORY")["integerValue"].as_i64()),
        (Some(1920), Some(3936))
    );
    assert!(texts(&left("PORTS")["stringSetValue"]).contains(&"32768"));
    assert_eq!(shown["runningTasksCount"], 1);

    let mut agent = Agent::connect(&server, &far);
    server.ecs("StopTask", &json!({"task": task, "reason": "enough"})).unwrap();
    let stop = agent.take();
    assert_eq!((&stop["arn"], &stop["desiredStatus"]), (&task, &json!("STOPPED")));
    assert_eq!(server.describe_task(arn)["lastStatus"], "RUNNING", "only its agent says that it ended");
    submit(&server, &task, "STOPPED", &json!({"exitCode": 143}));
    let stopped = server.wait_task(arn, "STOPPED");
    assert_eq!((&stopped["stoppedReason"], &stopped["stopCode"]), (&json!("enough"), &json!("UserInitiated")));
    assert_eq!(stopped["containers"][0]["exitCode"], 143);
    submit(&server, &task, "RUNNING", &up);
    assert_eq!(server.describe_task(arn), stopped, "nothing goes back");
    drop(agent);
    wait_connected(&server, &far, false);
}

#[test]
fn tasks_of_another_host_have_its_ports_and_no_interfaces() {
    let server = Server::start();
    let far = register(&server, &json!({}));
    let _agent = Agent::connect(&server, &far);
    wait_connected(&server, &far, true);
    let container = json!({"image": server.busybox(), "command": ["sleep", "60"],
        "portMappings": [{"containerPort": 80, "hostPort": 18_472}]});
    let here = json!({"placementConstraints": [{"type": "memberOf", "expression": "not(attribute:rack == far)"}]});
    let own = server.run_task_with("own", container, &json!({}), &here);
    define(&server, "fixed", &json!({"portMappings": [{"containerPort": 80, "hostPort": 18_472}]}), &json!({}));
    // This node's port is not the other's.
    assert_eq!(start(&server, "fixed", &far)["failures"], json!([]));
    assert_eq!(start(&server, "fixed", &far)["failures"][0]["reason"], "RESOURCE:PORTS");
    define(&server, "reserved", &json!({"portMappings": [{"containerPort": 80, "hostPort": 51_678}]}), &json!({}));
    assert_eq!(start(&server, "reserved", &far)["failures"][0]["reason"], "RESOURCE:PORTS");
    define(&server, "vpc", &json!({}), &json!({"networkMode": "awsvpc"}));
    let input = json!({"taskDefinition": "vpc", "containerInstances": [far], "networkConfiguration": server.network()});
    let refused = server.ecs("StartTask", &input).unwrap();
    assert_eq!(refused["failures"][0]["reason"], "RESOURCE:ENI");
    define(&server, "large", &json!({"memory": 5000}), &json!({}));
    assert_eq!(start(&server, "large", &far)["failures"][0]["reason"], "RESOURCE:MEMORY");
    server.wait_task(&own, "RUNNING");
}

#[test]
fn hosts_on_premises_take_external_tasks_alone() {
    let server = Server::start();
    define(&server, "web", &json!({}), &json!({}));
    let external = json!({"taskDefinition": "web", "launchType": "EXTERNAL"});
    let code = "InvalidParameterException";
    assert_refused(server.ecs("RunTask", &external), code, "No Container Instances were found in your cluster.");
    let far = register(&server, &json!({"attributes": [{"name": "ecs.capability.external"}]}));
    let mut agent = Agent::connect(&server, &far);
    wait_connected(&server, &far, true);
    assert_eq!(start(&server, "web", &far)["failures"][0]["reason"], "ATTRIBUTE");
    let ran = server.ecs("RunTask", &external).unwrap();
    assert_eq!(
        (&ran["tasks"][0]["launchType"], &ran["tasks"][0]["containerInstanceArn"]),
        (&json!("EXTERNAL"), &json!(far))
    );
    assert_eq!(agent.take()["launchType"], "EXTERNAL");
}

/// The task that the agent is handed next, running.
fn serve(server: &Server, agent: &mut Agent) -> Value {
    let task = agent.take();
    assert_eq!(task["desiredStatus"], "RUNNING");
    submit(server, &task["arn"], "RUNNING", &json!({}));
    task["arn"].clone()
}

#[test]
fn a_service_keeps_its_tasks_on_another_host_until_that_is_deregistered_by_force() {
    let mut server = Server::start();
    let far = register(&server, &json!({}));
    let mut agent = Agent::connect(&server, &far);
    wait_connected(&server, &far, true);
    define(&server, "web", &json!({}), &json!({}));
    let there = json!([{"type": "memberOf", "expression": "attribute:rack == far"}]);
    let service = json!({"serviceName": "s", "taskDefinition": "web", "desiredCount": 2, "launchType": "EC2",
        "placementConstraints": there});
    server.ecs("CreateService", &service).unwrap();
    let tasks = [serve(&server, &mut agent), serve(&server, &mut agent)];
    let counts = |server: &Server| {
        let shown = server.ecs("DescribeServices", &json!({"services": ["s"]})).unwrap()["services"][0].clone();
        (shown["runningCount"].as_i64().unwrap(), shown["deployments"][0]["rolloutState"].as_str().unwrap().to_owned())
    };
    until("it is steady", || (counts(&server) == (2, "COMPLETED".to_owned())).then_some(()));
    submit(&server, &tasks[0], "STOPPED", &json!({"exitCode": 1}));
    let ended = server.describe_task(tasks[0].as_str().unwrap());
    assert_eq!(ended["stoppedReason"], "Essential container in task exited");
    let replacement = serve(&server, &mut agent);
    assert!(!tasks.contains(&replacement));
    // Without its agent everything stays as it is known, also for the next server, and nothing is started there.
    drop(agent);
    wait_connected(&server, &far, false);
    server.kill_and_restart();
    assert_eq!(counts(&server).0, 2);
    server.ecs("UpdateService", &json!({"service": "s", "desiredCount": 3})).unwrap();
    until("it says why it waits", || {
        let shown = server.ecs("DescribeServices", &json!({"services": ["s"]})).unwrap();
        let events = shown["services"][0]["events"].as_array().unwrap().clone();
        events.iter().any(|it| it["message"].as_str().unwrap().contains("unable to place a task")).then_some(())
    });
    let mut agent = Agent::connect(&server, &far);
    serve(&server, &mut agent);
    until("the third runs", || (counts(&server).0 == 3).then_some(()));
    server.ecs("UpdateService", &json!({"service": "s", "desiredCount": 2})).unwrap();
    let stop = agent.take();
    assert_eq!(stop["desiredStatus"], "STOPPED");
    submit(&server, &stop["arn"], "STOPPED", &json!({"exitCode": 0}));
    until("two are left", || (counts(&server).0 == 2).then_some(()));

    let deregister =
        |force: bool| server.ecs("DeregisterContainerInstance", &json!({"containerInstance": far, "force": force}));
    assert_refused(deregister(false), "InvalidParameterException", "Found running tasks on the instance.");
    deregister(true).unwrap();
    assert!(agent.until_closed().contains(&"CloseMessage".to_owned()));
    let orphan = server.wait_task(replacement.as_str().unwrap(), "STOPPED");
    assert_eq!(orphan["stoppedReason"], "Container instance deregistration forced by user");
    let (status, body) = Agent::open(&server, &work_query(&far, false), None).err().unwrap();
    assert_eq!((status, body["type"].as_str()), (400, Some("InactiveInstanceException")));
    server.kill_and_restart();
    until("nothing counts as running", || (counts(&server).0 == 0).then_some(()));
}

#[test]
fn an_agent_is_told_what_to_stop_that_nobody_knows() {
    let server = Server::start();
    let far = register(&server, &json!({}));
    let mut agent = Agent::connect(&server, &far);
    wait_connected(&server, &far, true);
    define(&server, "web", &json!({}), &json!({}));
    let task = start(&server, "web", &far)["tasks"][0]["taskArn"].clone();
    agent.take();
    let mut agent = Agent::connect(&server, &far);
    let manifest = agent.next("TaskManifestMessage");
    let known = task.as_str().unwrap();
    let stray = format!("{}{}", &known[..known.len() - 1], if known.ends_with('0') { '1' } else { '0' });
    let candidate = |arn: &Value| json!({"taskArn": arn, "desiredStatus": "STOPPED"});
    let candidates = json!([candidate(&task), candidate(&json!(stray))]);
    agent.say("TaskStopVerificationMessage", &json!({"messageId": "another", "stopCandidates": candidates}));
    let verification = json!({"messageId": manifest["messageId"], "stopCandidates": candidates});
    agent.say("TaskStopVerificationMessage", &verification);
    let verdict = agent.next("TaskStopVerificationAck");
    assert_eq!(
        (&verdict["messageId"], &verdict["stopTasks"]),
        (&manifest["messageId"], &json!([candidate(&json!(stray))]))
    );
}

#[test]
fn only_an_instances_own_agent_connects_and_what_makes_no_sense_ends_it() {
    let server = Server::start_strict();
    let key = server.root_key();
    let call = |operation: &str, input: &Value| {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
        let answer = server.signed(&key, "ecs", "POST", "/", &headers, input.to_string().as_bytes());
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let integer = |name: &str, value: i64| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let far = json!({"totalResources": [integer("CPU", 2048), integer("MEMORY", 4000)]});
    let far = call("RegisterContainerInstance", &far)["containerInstance"]["containerInstanceArn"].clone();
    let far = far.as_str().unwrap();
    let refused = |path: &str, key: Option<&crate::sign::Key>| {
        let (status, body) = Agent::open(&server, path, key).err().expect("it is refused");
        (status, body["type"].as_str().unwrap().to_owned())
    };
    let work = work_query(far, false);
    assert_eq!(refused(&work, None), (403, "AccessDeniedException".to_owned()));
    let wrong = crate::sign::Key { secret: "x".into(), ..key.clone() };
    assert_eq!(refused(&work, Some(&wrong)), (403, "AccessDeniedException".to_owned()));
    let own = call("ListContainerInstances", &json!({}))["containerInstanceArns"].clone();
    let own = texts(&own).into_iter().find(|arn| *arn != far).unwrap().to_owned();
    let foreign = far.replace("us-east-1", "eu-west-1");
    for other in [own, foreign, "x".to_owned(), "0".repeat(32)] {
        let expected = (400, "InvalidInstanceException".to_owned());
        assert_eq!(refused(&work_query(&other, false), Some(&key)), expected, "{other}");
        assert_eq!(refused(&telemetry_query(&other), Some(&key)), expected, "{other}");
    }
    let nowhere = work.replace("clusterArn=default", "clusterArn=nowhere");
    assert_eq!(refused(&nowhere, Some(&key)), (400, "InvalidClusterException".to_owned()));
    let answer = server.signed(&key, "ecs", "GET", &work, &[], b"");
    assert_eq!(answer.status, 426, "no upgrade");

    let mut first = Agent::open(&server, &work, Some(&key)).unwrap_or_else(|refused| panic!("{refused:?}"));
    first.next("TaskManifestMessage");
    let mut second = Agent::open(&server, &work, Some(&key)).unwrap_or_else(|refused| panic!("{refused:?}"));
    second.next("TaskManifestMessage");
    assert_eq!(first.until_closed(), ["CloseMessage"], "the newest wins");
    let connected = || {
        let shown = call("DescribeContainerInstances", &json!({"containerInstances": [far]}));
        shown["containerInstances"][0]["agentConnected"].clone()
    };
    assert_eq!(connected(), true);
    second.say("Unheard", &json!({"of": 7}));
    second.raw("{");
    assert_eq!(second.until_closed(), ["BadRequestException"]);
    until("it has gone", || (connected() == false).then_some(()));
    let mut third = Agent::open(&server, &work, Some(&key)).unwrap_or_else(|refused| panic!("{refused:?}"));
    third.next("TaskManifestMessage");
    third.raw(&"x".repeat(2 << 20));
    third.until_closed();
    until("it has gone", || (connected() == false).then_some(()));
}

#[test]
fn what_agents_measure_of_health_is_their_tasks() {
    let mut server = Server::start();
    let far = register(&server, &json!({}));
    let mut agent = Agent::connect(&server, &far);
    wait_connected(&server, &far, true);
    define(&server, "web", &json!({"healthCheck": {"command": ["CMD", "true"]}}), &json!({}));
    let task = start(&server, "web", &far)["tasks"][0]["taskArn"].clone();
    assert_eq!(agent.take()["containers"][0]["healthCheckType"], "docker");
    submit(&server, &task, "RUNNING", &json!({}));
    let arn = task.as_str().unwrap();
    assert_eq!(server.describe_task(arn)["healthStatus"], "UNKNOWN");
    let mut telemetry =
        Agent::open(&server, &telemetry_query(&far), None).unwrap_or_else(|refused| panic!("{refused:?}"));
    let say = |telemetry: &mut Agent, kind: &str, body: Value| {
        // Each message is a signed request of its own.
        let message = json!({"type": kind, "message": body});
        telemetry.raw(&format!("Host: x\r\nX-Amz-Date: y\r\n\r\n{message}"));
    };
    let health = |status: &str| {
        let container = json!({"containerName": "main", "healthStatus": status, "statusSince": 1_700_000_000.5});
        json!({"metadata": {}, "timestamp": 1, "tasks": [{"taskArn": arn, "containers": [container]}]})
    };
    for status in ["HEALTHY", "UNHEALTHY"] {
        say(&mut telemetry, "PublishHealthRequest", health(status));
        telemetry.next("AckPublishHealth");
        assert_eq!(server.describe_task(arn)["healthStatus"], status);
    }
    say(&mut telemetry, "PublishMetricsRequest", json!({"metadata": {"idle": true}}));
    telemetry.next("AckPublishMetric");
    for status in ["OK", "IMPAIRED"] {
        let said = json!({"type": "CONTAINER_RUNTIME", "status": status, "lastUpdated": 1, "lastStatusChange": 1});
        say(&mut telemetry, "PublishInstanceStatusRequest", json!({"statuses": [said]}));
        telemetry.next("AckPublishInstanceStatus");
        let input = json!({"containerInstances": [far], "include": ["CONTAINER_INSTANCE_HEALTH"]});
        let shown = server.ecs("DescribeContainerInstances", &input).unwrap();
        assert_eq!(shown["containerInstances"][0]["healthStatus"]["overallStatus"], status);
    }
    telemetry.raw("no message");
    telemetry.until_closed();
    server.kill_and_restart();
    assert_eq!(server.describe_task(arn)["healthStatus"], "UNHEALTHY");
}

#[test]
fn a_task_of_another_host_is_handed_the_credentials_of_its_roles() {
    let server = Server::start();
    let far = register(&server, &json!({}));
    let mut agent = Agent::connect(&server, &far);
    wait_connected(&server, &far, true);
    let role = |name: &str| format!("arn:aws:iam::000000000000:role/{name}");
    let options = json!({"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"});
    let container = json!({"logConfiguration": {"logDriver": "awslogs", "options": options}, "command": ["a"],
        "environment": [{"name": "A", "value": "1"}], "user": "7", "linuxParameters": {"initProcessEnabled": true}});
    let roles = json!({"taskRoleArn": role("ecsTaskExecutionRole"), "executionRoleArn": role("ecsTaskExecutionRole"),
        "volumes": [{"name": "v", "host": {"sourcePath": "/srv"}}]});
    define(&server, "web", &container, &roles);
    let overrides = json!({"containerOverrides": [{"name": "main", "command": ["b"],
        "environment": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]}]});
    let input = json!({"taskDefinition": "web", "containerInstances": [far], "overrides": overrides});
    let started = server.ecs("StartTask", &input).unwrap();
    assert_eq!(started["failures"], json!([]));
    let task = agent.take();
    let shown = &task["containers"][0];
    assert_eq!((&shown["command"], &shown["environment"]), (&json!(["b"]), &json!({"A": "2", "B": "3"})));
    assert_eq!(task["volumes"], json!([{"name": "v", "type": "host", "host": {"sourcePath": "/srv"}}]));
    let read = |name: &str| -> Value { serde_json::from_str(shown["dockerConfig"][name].as_str().unwrap()).unwrap() };
    assert_eq!(read("config"), json!({"User": "7"}));
    let host = read("hostConfig");
    assert_eq!((&host["Init"], &host["LogConfig"]["Type"]), (&json!(true), &json!("awslogs")));
    let id = task["arn"].as_str().unwrap().rsplit('/').next().unwrap();
    assert_eq!(host["LogConfig"]["Config"]["awslogs-stream"], format!("p/main/{id}"));
    assert_eq!(shown["logsAuthStrategy"], "ExecutionRole");
    let given = [&task["roleCredentials"], &task["executionRoleCredentials"]];
    assert_ne!(given[0]["accessKeyId"], given[1]["accessKeyId"]);
    assert_eq!(given[1]["roleArn"], role("ecsTaskExecutionRole"));
    // An agent that comes anew asks for them again.
    submit(&server, &task["arn"], "RUNNING", &json!({}));
    let mut agent = Agent::open(&server, &work_query(&far, true), None).unwrap_or_else(|refused| panic!("{refused:?}"));
    for (kind, before) in [("TaskApplication", given[0]), ("TaskExecution", given[1])] {
        let renewed = agent.next("IAMRoleCredentialsMessage");
        assert_eq!((&renewed["roleType"], &renewed["taskArn"]), (&json!(kind), &task["arn"]));
        for member in ["credentialsId", "accessKeyId", "secretAccessKey", "sessionToken"] {
            assert_eq!(renewed["roleCredentials"][member], before[member], "{member}");
        }
    }
}
