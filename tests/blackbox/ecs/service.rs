//! Services: kept, deployed, scaled, drained, deleted; with the server killed on the way.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, assert_refused, texts, until, with};

/// Two machines in two zones.
const TWO_MACHINES: &str = r#"
[[instance]]
type = "m5.large"
zone = "a"

[[instance]]
type = "m5.large"
zone = "b"
"#;

/// Registers a revision of one container under `web`.
fn register(server: &Server, container: &Value) -> String {
    let main = json!({"name": "main", "memory": 8, "cpu": 16, "stopTimeout": 2});
    let definition = json!({"family": "web", "containerDefinitions": [with(&main, container)]});
    let made = server.ecs("RegisterTaskDefinition", &definition).unwrap();
    made["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
}

fn waiting(server: &Server) -> String {
    register(server, &json!({"image": server.busybox(), "command": ["sh", "-c", WAITING]}))
}

fn create(server: &Server, definition: &str, over: &Value) -> Value {
    let input = json!({"serviceName": "web", "taskDefinition": definition, "desiredCount": 2});
    server.ecs("CreateService", &with(&input, over)).unwrap()["service"].clone()
}

fn describe(server: &Server) -> Value {
    server.ecs("DescribeServices", &json!({"services": ["web"]})).unwrap()["services"][0].clone()
}

/// As the waiter `services-stable` has it, and the rollout is over.
fn wait_stable(server: &Server) -> Value {
    until("the service is stable", || {
        let service = describe(server);
        let alone = service["deployments"].as_array().map(Vec::len) == Some(1);
        let whole = service["runningCount"] == service["desiredCount"] && service["pendingCount"] == 0;
        let completed = service["deployments"][0]["rolloutState"] == "COMPLETED";
        (alone && whole && completed).then_some(service)
    })
}

fn tasks(server: &Server) -> Vec<String> {
    let listed = server.ecs("ListTasks", &json!({"serviceName": "web"})).unwrap();
    let mut arns: Vec<String> = texts(&listed["taskArns"]).into_iter().map(str::to_owned).collect();
    arns.sort();
    arns
}

fn described(server: &Server, arns: &[String]) -> Vec<Value> {
    server.ecs("DescribeTasks", &json!({"tasks": arns})).unwrap()["tasks"].as_array().unwrap().clone()
}

fn said(service: &Value, text: &str) -> bool {
    service["events"].as_array().unwrap().iter().any(|event| event["message"].as_str().unwrap().contains(text))
}

#[test]
fn a_service_keeps_its_tasks_across_restarts() {
    let mut server = Server::start();
    let definition = waiting(&server);
    create(&server, &definition, &json!({"tags": [{"key": "a", "value": "b"}], "propagateTags": "SERVICE"}));
    server.kill_and_restart();
    let service = wait_stable(&server);
    assert!(said(&service, "has reached a steady state."), "{service}");
    let before = tasks(&server);
    assert_eq!(before.len(), 2);
    for task in described(&server, &before) {
        assert_eq!(task["group"], "service:web");
        assert_eq!(task["startedBy"], service["deployments"][0]["id"]);
    }
    server.kill_and_restart();
    assert_eq!(tasks(&server), before, "nothing is started twice");
    server.ecs("StopTask", &json!({"task": before[0]})).unwrap();
    server.kill_and_restart();
    until("another task runs", || Some(tasks(&server)).filter(|now| now.len() == 2 && !now.contains(&before[0])));
    let again =
        server.ecs("CreateService", &json!({"serviceName": "web", "taskDefinition": definition, "desiredCount": 3}));
    assert_eq!(again.unwrap_err().1, "Creation of service was not idempotent.");
    let scaled = server.ecs("UpdateService", &json!({"service": "web", "desiredCount": 3})).unwrap();
    assert_eq!(scaled["service"]["deployments"].as_array().unwrap().len(), 1, "scaling is no deployment");
    wait_stable(&server);
    server.ecs("UpdateService", &json!({"service": "web", "desiredCount": 1})).unwrap();
    let service = wait_stable(&server);
    assert_eq!(service["runningCount"], 1);
}

#[test]
fn a_new_definition_replaces_the_tasks_of_a_service() {
    let mut server = Server::start();
    let first = waiting(&server);
    create(&server, &first, &json!({}));
    let old = {
        wait_stable(&server);
        tasks(&server)
    };
    let second = waiting(&server);
    let updated = server.ecs("UpdateService", &json!({"service": "web", "taskDefinition": second})).unwrap();
    let statuses = |service: &Value| {
        let all = service["deployments"].as_array().unwrap().clone();
        all.iter().map(|it| it["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&updated["service"]), ["PRIMARY", "ACTIVE"]);
    server.kill_and_restart();
    let service = wait_stable(&server);
    assert_eq!(service["taskDefinition"], second.as_str());
    let now = tasks(&server);
    assert!(now.len() == 2 && !now.iter().any(|task| old.contains(task)));
    assert!(described(&server, &now).iter().all(|task| task["taskDefinitionArn"] == second.as_str()));
    for task in described(&server, &old) {
        assert_eq!(task["stopCode"], "ServiceSchedulerInitiated", "{task}");
        assert!(
            task["stoppedReason"].as_str().unwrap().starts_with("Scaling activity initiated by (deployment ecs-svc/")
        );
    }
    let same = server.ecs("UpdateService", &json!({"service": "web", "taskDefinition": second})).unwrap();
    assert_eq!(statuses(&same["service"]), ["PRIMARY"], "nothing changes, nothing is deployed");
    server.ecs("UpdateService", &json!({"service": "web", "forceNewDeployment": true})).unwrap();
    until("forced tasks", || Some(tasks(&server)).filter(|forced| forced.iter().all(|task| !now.contains(task))));
}

#[test]
fn a_broken_revision_trips_the_circuit_breaker_and_rolls_back() {
    let mut server = Server::start();
    let good = waiting(&server);
    let breaker = json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}});
    create(&server, &good, &json!({"deploymentConfiguration": breaker}));
    wait_stable(&server);
    let before = tasks(&server);
    let broken = register(&server, &json!({"image": format!("127.0.0.1:{}/none:1", server.port)}));
    server.ecs("UpdateService", &json!({"service": "web", "taskDefinition": broken})).unwrap();
    server.kill_and_restart();
    let service = until("it is rolled back", || {
        Some(describe(&server)).filter(|service| {
            service["taskDefinition"] == good.as_str() && service["deployments"][0]["rolloutState"] == "COMPLETED"
        })
    });
    assert!(said(&service, "deployment failed: tasks failed to start."), "{service}");
    assert!(said(&service, "rolling back to deployment ecs-svc/"), "{service}");
    assert_eq!(tasks(&server), before, "the old tasks were there all the time");
    let listed = server.ecs("ListServiceDeployments", &json!({"service": "web"})).unwrap();
    assert_eq!(listed["serviceDeployments"][0]["status"], "ROLLBACK_SUCCESSFUL", "{listed}");
}

#[test]
fn a_first_deployment_that_fails_has_nothing_to_go_back_to_and_says_so() {
    let server = Server::start();
    let broken = register(&server, &json!({"image": format!("127.0.0.1:{}/none:1", server.port)}));
    let breaker = json!({"deploymentCircuitBreaker": {"enable": true, "rollback": true}});
    create(&server, &broken, &json!({"deploymentConfiguration": breaker}));
    until("it fails", || (describe(&server)["deployments"][0]["rolloutState"] == "FAILED").then_some(()));
    let listed = server.ecs("ListServiceDeployments", &json!({"service": "web"})).unwrap();
    assert_eq!(listed["serviceDeployments"][0]["status"], "ROLLBACK_FAILED", "{listed}");
    let explained = String::from_utf8(server.cove(&["explain", "web"]).stdout).unwrap();
    assert!(explained.contains("no other has completed that it could go back to"), "{explained}");
}

#[test]
fn an_alarm_rolls_back_and_one_that_was_there_before_lets_a_deployment_be() {
    let mut server = Server::start();
    let alarm = json!({"AlarmName": "errors", "Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 10,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "ignore"});
    server.monitoring("PutMetricAlarm", &alarm).unwrap();
    let set = |server: &Server, state: &str| {
        let input = json!({"AlarmName": "errors", "StateValue": state, "StateReason": "told"});
        server.monitoring("SetAlarmState", &input).unwrap();
    };
    set(&server, "OK");
    let good = waiting(&server);
    let alarms = json!({"alarmNames": ["errors"], "enable": true, "rollback": true});
    create(&server, &good, &json!({}));
    wait_stable(&server);
    let watched = json!({"service": "web", "deploymentConfiguration": {"alarms": alarms}});
    server.ecs("UpdateService", &watched).unwrap();
    // The new tasks run alone, and are still watched.
    let bad = waiting(&server);
    server.ecs("UpdateService", &json!({"service": "web", "taskDefinition": bad})).unwrap();
    until("the new tasks run alone", || {
        let service = describe(&server);
        let alone = service["deployments"].as_array().map(Vec::len) == Some(1);
        (alone && service["taskDefinition"] == bad.as_str() && service["runningCount"] == 2).then_some(())
    });
    assert_eq!(describe(&server)["deployments"][0]["rolloutState"], "IN_PROGRESS");
    let explained = |server: &Server| String::from_utf8(server.cove(&["explain", "web"]).stdout).unwrap();
    let said = explained(&server);
    assert!(said.contains("the deployment is watched by the alarms errors until"), "{said}");
    set(&server, "ALARM");
    let newest = |server: &Server| {
        let listed = server.ecs("ListServiceDeployments", &json!({"service": "web"})).unwrap();
        let ended = |it: &Value| !it["finishedAt"].is_null();
        until("the deployment ends", || {
            let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
            let shown = server.ecs("DescribeServiceDeployments", &json!({"serviceDeploymentArns": [arn]})).unwrap();
            Some(shown["serviceDeployments"][0].clone()).filter(ended)
        })
    };
    let shown = newest(&server);
    assert_eq!(shown["status"], "ROLLBACK_SUCCESSFUL", "{shown}");
    assert_eq!(shown["alarms"]["triggeredAlarmNames"], json!(["errors"]), "{shown}");
    server.kill_and_restart();
    let service = wait_stable(&server);
    assert_eq!(service["taskDefinition"], good.as_str());
    let (said, names) = (explained(&server), [&bad, &good].map(|arn| arn.rsplit('/').next().unwrap()));
    assert!(said.contains(&format!("the last deployment went back from {} to {} at", names[0], names[1])), "{said}");
    // It is still in ALARM: tasks are replaced, and what mends it can be deployed.
    let gone = tasks(&server)[0].clone();
    server.ecs("StopTask", &json!({"task": gone})).unwrap();
    until("it is replaced", || Some(tasks(&server)).filter(|now| now.len() == 2 && !now.contains(&gone)));
    let mended = waiting(&server);
    server.ecs("UpdateService", &json!({"service": "web", "taskDefinition": mended})).unwrap();
    assert_eq!(newest(&server)["status"], "SUCCESSFUL");
}

#[test]
fn a_deleted_service_drains_and_stays_describable() {
    let mut server = Server::start();
    let definition = waiting(&server);
    create(&server, &definition, &json!({"desiredCount": 1}));
    wait_stable(&server);
    let refused = server.ecs("DeleteService", &json!({"service": "web"})).unwrap_err();
    assert_eq!(refused.1, "The service cannot be stopped while it is scaled above 0.");
    let deleted = server.ecs("DeleteService", &json!({"service": "web", "force": true})).unwrap();
    assert_eq!(deleted["service"]["status"], "DRAINING");
    server.kill_and_restart();
    until("INACTIVE", || Some(describe(&server)).filter(|service| service["status"] == "INACTIVE"));
    assert!(tasks(&server).is_empty());
    let updated = server.ecs("UpdateService", &json!({"service": "web", "desiredCount": 1})).unwrap_err();
    assert_eq!(updated.0, "ServiceNotActiveException");
    let again = create(&server, &definition, &json!({"desiredCount": 1}));
    assert_eq!((&again["status"], again["events"].as_array().unwrap().len()), (&json!("ACTIVE"), 0));
    wait_stable(&server);
}

#[test]
fn services_are_listed_by_what_they_are() {
    let mut server = Server::start();
    let definition = waiting(&server);
    create(&server, &definition, &json!({"desiredCount": 0}));
    server
        .ecs(
            "CreateService",
            &json!({"serviceName": "all", "taskDefinition": definition, "schedulingStrategy": "DAEMON"}),
        )
        .unwrap();
    server.kill_and_restart();
    let list = |input: Value| {
        let answer = server.ecs("ListServices", &input).unwrap();
        let names = texts(&answer["serviceArns"]).into_iter().map(|arn| arn.rsplit('/').next().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(list(json!({})), ["all", "web"]);
    assert_eq!(list(json!({"schedulingStrategy": "DAEMON"})), ["all"]);
    assert_eq!(list(json!({"launchType": "FARGATE"})), Vec::<String>::new());
    let first = server.ecs("ListServices", &json!({"maxResults": 1})).unwrap();
    assert_eq!(list(json!({"maxResults": 1, "nextToken": first["nextToken"]})), ["web"]);
    let none = server.ecs("ListServicesByNamespace", &json!({"namespace": "blue"})).unwrap_err();
    assert_eq!(none.0, "NamespaceNotFoundException");
    let both = server.ecs("DescribeServices", &json!({"services": ["web", "nobody"]})).unwrap();
    assert_eq!(both["failures"][0]["reason"], "MISSING");
}

#[test]
fn a_deployment_leaves_its_history() {
    let mut server = Server::start();
    let definition = waiting(&server);
    create(&server, &definition, &json!({"desiredCount": 1}));
    wait_stable(&server);
    server.ecs("UpdateService", &json!({"service": "web", "forceNewDeployment": true})).unwrap();
    wait_stable(&server);
    server.kill_and_restart();
    let listed = server.ecs("ListServiceDeployments", &json!({"service": "web"})).unwrap();
    let all = listed["serviceDeployments"].as_array().unwrap();
    assert!(all.len() == 2 && all.iter().all(|it| it["status"] == "SUCCESSFUL"), "{listed}");
    // By its digits Terraform finds the deployment that it waits for.
    let id = describe(&server)["deployments"][0]["id"].as_str().unwrap().replace("ecs-svc/", "");
    let target = all[0]["targetServiceRevisionArn"].as_str().unwrap();
    assert!(target.ends_with(&format!("/{id}")), "{id} {target}");
    let arn = all[0]["serviceDeploymentArn"].clone();
    let found = server.ecs("DescribeServiceDeployments", &json!({"serviceDeploymentArns": [arn]})).unwrap();
    let found = &found["serviceDeployments"][0];
    assert_eq!(found["targetServiceRevision"]["runningTaskCount"], 1);
    assert_eq!(found["sourceServiceRevisions"].as_array().unwrap().len(), 1);
    let revision = found["targetServiceRevision"]["arn"].clone();
    let found = server.ecs("DescribeServiceRevisions", &json!({"serviceRevisionArns": [revision]})).unwrap();
    assert_eq!(found["serviceRevisions"][0]["taskDefinition"], definition.as_str());
    let none = server.ecs("ListServiceDeployments", &json!({"service": "web", "status": ["STOPPED"]})).unwrap();
    assert_eq!(none["serviceDeployments"], json!([]));
}

#[test]
fn a_stopped_deployment_rolls_back() {
    let mut server = Server::start();
    let first = waiting(&server);
    create(&server, &first, &json!({"desiredCount": 1}));
    wait_stable(&server);
    let broken = register(&server, &json!({"image": format!("127.0.0.1:{}/none:1", server.port)}));
    server.ecs("UpdateService", &json!({"service": "web", "taskDefinition": broken})).unwrap();
    let arn = describe(&server)["currentServiceDeployment"].clone();
    for _ in 0..2 {
        // The second finds it going back, or gone back.
        let stop = json!({"serviceDeploymentArn": arn, "stopType": "ROLLBACK"});
        if let Err((_, why)) = server.ecs("StopServiceDeployment", &stop) {
            assert_eq!(why, "The service deployment is not in progress.");
        }
    }
    server.kill_and_restart();
    let service = wait_stable(&server);
    assert_eq!(service["taskDefinition"], first.as_str());
    let found = server.ecs("DescribeServiceDeployments", &json!({"serviceDeploymentArns": [arn]})).unwrap();
    assert_eq!(found["serviceDeployments"][0]["status"], "ROLLBACK_SUCCESSFUL", "{found}");
}

#[test]
fn a_paused_deployment_goes_on_when_told() {
    let mut server = Server::start();
    let first = waiting(&server);
    create(&server, &first, &json!({"desiredCount": 1}));
    wait_stable(&server);
    let old = tasks(&server);
    let configuration = json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0,
        "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]});
    let update = json!({"service": "web", "forceNewDeployment": true, "deploymentConfiguration": configuration});
    server.ecs("UpdateService", &update).unwrap();
    let arn = describe(&server)["currentServiceDeployment"].clone();
    let look = |server: &Server| {
        let found = server.ecs("DescribeServiceDeployments", &json!({"serviceDeploymentArns": [arn]})).unwrap();
        found["serviceDeployments"][0].clone()
    };
    let paused = until("it pauses", || {
        Some(look(&server)).filter(|it| it["lifecycleHookDetails"][0]["status"] == "AWAITING_ACTION")
    });
    assert_eq!(paused["lifecycleStage"], "POST_SCALE_UP");
    server.kill_and_restart();
    assert_eq!(tasks(&server).len(), 2, "blue and green");
    assert!(tasks(&server).contains(&old[0]));
    let hook = paused["lifecycleHookDetails"][0]["hookId"].clone();
    let go = json!({"serviceDeploymentArn": arn, "hookId": hook, "action": "CONTINUE"});
    server.ecs("ContinueServiceDeployment", &go).unwrap();
    wait_stable(&server);
    assert_eq!(look(&server)["status"], "SUCCESSFUL");
    assert!(!tasks(&server).contains(&old[0]));
    assert!(server.ecs("ContinueServiceDeployment", &go).is_err());
}

#[test]
fn how_long_a_step_or_a_bake_takes_is_explained() {
    let server = Server::start();
    let first = waiting(&server);
    create(&server, &first, &json!({"desiredCount": 1}));
    wait_stable(&server);
    let canary = json!({"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 7});
    let steps = [
        (json!({"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5}), "BAKE_TIME until 2"),
        (
            json!({"strategy": "CANARY", "canaryConfiguration": canary, "bakeTimeInMinutes": 5}),
            "PRODUCTION_TRAFFIC_SHIFT with 10 % of the traffic until 2",
        ),
    ];
    for (configuration, expected) in steps {
        let update = json!({"service": "web", "forceNewDeployment": true, "deploymentConfiguration": configuration});
        server.ecs("UpdateService", &update).unwrap();
        until(expected, || {
            let said = String::from_utf8(server.cove(&["explain", "web"]).stdout).unwrap();
            said.contains(&format!("the deployment is in the stage {expected}")).then_some(())
        });
    }
}

#[test]
fn a_daemon_has_one_task_on_each_instance_and_follows_a_new_one() {
    let mut server = Server::start_configured(TWO_MACHINES);
    let definition = waiting(&server);
    let daemon = json!({"serviceName": "web", "taskDefinition": definition, "schedulingStrategy": "DAEMON"});
    let strategy = json!({"capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]});
    let refused = |answer| assert_refused(answer, "InvalidParameterException", "using the DAEMON scheduling strategy");
    refused(server.ecs("CreateService", &with(&daemon, &strategy)));
    server.ecs("CreateService", &daemon).unwrap();
    let update = json!({"service": "web", "forceNewDeployment": true});
    refused(server.ecs("UpdateService", &with(&update, &strategy)));
    let places = |server: &Server| {
        let running = described(server, &tasks(server));
        let mut all: Vec<String> =
            running.iter().map(|task| task["containerInstanceArn"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    };
    wait_stable(&server);
    let two = places(&server);
    assert!(two.len() == 2 && two[0] != two[1]);
    let added = server.cove(&["fleet", "add", "--type", "m5.large", "--zone", "a"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    server.kill_and_restart();
    until("a task on the third", || Some(places(&server)).filter(|all| all.len() == 3));
    wait_stable(&server);
}

#[test]
fn a_draining_instance_hands_its_tasks_over() {
    let mut server = Server::start_configured(TWO_MACHINES);
    let definition = waiting(&server);
    create(&server, &definition, &json!({"desiredCount": 4}));
    wait_stable(&server);
    let by_instance = |server: &Server| {
        let running = described(server, &tasks(server));
        running.iter().map(|task| task["containerInstanceArn"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = by_instance(&server);
    let first = before[0].clone();
    assert_eq!(before.iter().filter(|arn| **arn == first).count(), 2, "spread over the zones: {before:?}");
    let drain = json!({"containerInstances": [first], "status": "DRAINING"});
    server.ecs("UpdateContainerInstancesState", &drain).unwrap();
    server.kill_and_restart();
    until("all tasks are on the other one", || {
        let now = by_instance(&server);
        (now.len() == 4 && !now.contains(&first)).then_some(())
    });
}

#[test]
fn a_protected_task_outlives_scaling_in() {
    let mut server = Server::start();
    let definition = waiting(&server);
    create(&server, &definition, &json!({"desiredCount": 3}));
    wait_stable(&server);
    let kept = tasks(&server)[1].clone();
    let protect = json!({"cluster": "default", "tasks": [kept], "protectionEnabled": true, "expiresInMinutes": 5});
    let protected = server.ecs("UpdateTaskProtection", &protect).unwrap();
    assert_eq!(protected["protectedTasks"][0]["protectionEnabled"], true, "{protected}");
    server.kill_and_restart();
    server.ecs("UpdateService", &json!({"service": "web", "desiredCount": 0})).unwrap();
    until("the others are gone", || Some(tasks(&server)).filter(|left| left.len() == 1 && left[0] == kept));
    let seen = server.ecs("GetTaskProtection", &json!({"cluster": "default", "tasks": [kept]})).unwrap();
    assert!(seen["protectedTasks"][0]["expirationDate"].is_number(), "{seen}");
    let free = json!({"cluster": "default", "tasks": [kept], "protectionEnabled": false});
    server.ecs("UpdateTaskProtection", &free).unwrap();
    until("the last one is gone", || tasks(&server).is_empty().then_some(()));
    let alone = server.run_task("alone", json!({"image": server.busybox(), "command": ["sh", "-c", WAITING]}));
    let refused = json!({"cluster": "default", "tasks": [alone], "protectionEnabled": true});
    let refused = server.ecs("UpdateTaskProtection", &refused).unwrap();
    assert_eq!(refused["failures"][0]["reason"], "TASK_NOT_VALID");
}

#[test]
fn why_a_service_waits_is_explained() {
    let server = Server::start_configured(TWO_MACHINES);
    let image = server.busybox();
    let definition = register(&server, &json!({"image": image, "memory": 6000, "command": ["sh", "-c", WAITING]}));
    create(&server, &definition, &json!({"desiredCount": 4}));
    until("one has no place", || said(&describe(&server), "was unable to place a task").then_some(()));
    let explain = |what: &str| {
        let done = server.cove(&["explain", what]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let lines = explain("web");
    assert!(lines.starts_with("service web is ACTIVE: 4 tasks wanted, 2 there"), "{lines}");
    assert_eq!(lines.matches(": RESOURCE:MEMORY").count(), 2, "{lines}");
    let lines = explain(&tasks(&server)[0]);
    assert!(lines.contains("container main"), "{lines}");
    let none = server.cove(&["explain", "nobody"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn why_a_service_that_keeps_failing_waits_is_explained() {
    let server = Server::start();
    let definition = register(&server, &json!({"image": server.busybox(), "command": ["sh", "-c", "exit 3"]}));
    create(&server, &definition, &json!({"desiredCount": 1}));
    let lines = until("it pauses", || {
        let done = server.cove(&["explain", "web"]);
        let lines = String::from_utf8(done.stdout).unwrap();
        lines.contains("in a row did not stay: the next one starts in ").then_some(lines)
    });
    assert!(lines.starts_with("service web is ACTIVE: 1 task wanted"), "{lines}");
    let last = lines.lines().find(|line| line.starts_with("the last task that stopped is ")).unwrap();
    assert!(last.ends_with(": Essential container in task exited"), "{lines}");
    assert!(lines.contains("    container main has ended with exit code 3"), "{lines}");
}

#[test]
fn task_sets_share_the_desired_count() {
    let mut server = Server::start();
    let definition = waiting(&server);
    let service = json!({"serviceName": "web", "desiredCount": 3, "deploymentController": {"type": "EXTERNAL"}});
    let refused = server.ecs("CreateService", &with(&service, &json!({"taskDefinition": definition}))).unwrap_err();
    assert_eq!(refused.0, "InvalidParameterException");
    server.ecs("CreateService", &service).unwrap();
    let of_web = json!({"cluster": "default", "service": "web"});
    let set = |percent: f64| {
        let input = json!({"taskDefinition": definition, "scale": {"value": percent, "unit": "PERCENT"}});
        let made = server.ecs("CreateTaskSet", &with(&of_web, &input)).unwrap();
        made["taskSet"]["id"].as_str().unwrap().to_owned()
    };
    let (blue, green) = (set(100.0), set(40.0));
    let steady = |server: &Server, id: &str, count: u32| {
        until(&format!("{id} has {count}"), || {
            let all = server.ecs("DescribeTaskSets", &with(&of_web, &json!({"taskSets": [id]}))).unwrap();
            let one = &all["taskSets"][0];
            (one["runningCount"] == count && one["stabilityStatus"] == "STEADY_STATE").then(|| one.clone())
        })
    };
    assert_eq!(describe(&server)["taskDefinition"], Value::Null);
    server.ecs("UpdateServicePrimaryTaskSet", &with(&of_web, &json!({"primaryTaskSet": blue}))).unwrap();
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task-set/default/web/{blue}");
    let tags = json!([{"key": "a", "value": "b"}]);
    server.ecs("TagResource", &json!({"resourceArn": arn, "tags": tags})).unwrap();
    server.kill_and_restart();
    assert_eq!(server.ecs("ListTagsForResource", &json!({"resourceArn": arn})).unwrap()["tags"], tags);
    assert_eq!(steady(&server, &blue, 3)["status"], "PRIMARY");
    let service = describe(&server);
    assert_eq!((&service["taskDefinition"], &service["launchType"]), (&json!(definition), &json!("EC2")));
    assert_eq!(steady(&server, &green, 2)["computedDesiredCount"], 2, "rounded up");
    let explained = String::from_utf8(server.cove(&["explain", "web"]).stdout).unwrap();
    assert!(
        explained.contains(&format!("task set {green} is ACTIVE: 40 % are 2 tasks, 2 there, steady")),
        "{explained}"
    );
    let scale = json!({"taskSet": green, "scale": {"value": 100.0, "unit": "PERCENT"}});
    server.ecs("UpdateTaskSet", &with(&of_web, &scale)).unwrap();
    server.ecs("UpdateServicePrimaryTaskSet", &with(&of_web, &json!({"primaryTaskSet": green}))).unwrap();
    let refused = server.ecs("DeleteTaskSet", &with(&of_web, &json!({"taskSet": blue}))).unwrap_err();
    assert_eq!(refused.0, "InvalidParameterException");
    server.ecs("DeleteTaskSet", &with(&of_web, &json!({"taskSet": blue, "force": true}))).unwrap();
    server.kill_and_restart();
    steady(&server, &green, 3);
    until("blue is gone", || {
        let sets = describe(&server)["taskSets"].as_array().unwrap().clone();
        (sets.len() == 1 && sets[0]["status"] == "PRIMARY").then_some(())
    });
    let none = server.ecs("DeleteTaskSet", &with(&of_web, &json!({"taskSet": blue}))).unwrap_err();
    assert_eq!(none.0, "TaskSetNotFoundException");
    server.ecs("DeleteService", &json!({"service": "web", "force": true})).unwrap();
    until("INACTIVE", || Some(describe(&server)).filter(|service| service["status"] == "INACTIVE"));
}

#[test]
fn what_a_service_asks_of_its_tasks_is_carried_out_or_refused() {
    let server = Server::start();
    let definition = waiting(&server);
    let tag = json!({"resourceArn": definition, "tags": [{"key": "team", "value": "blue"}]});
    server.ecs("TagResource", &tag).unwrap();
    create(&server, &definition, &json!({"desiredCount": 1}));
    wait_stable(&server);
    let update = json!({"service": "web", "propagateTags": "TASK_DEFINITION", "desiredCount": 2,
        "enableExecuteCommand": true});
    server.ecs("UpdateService", &update).unwrap();
    wait_stable(&server);
    let all = server.ecs("DescribeTasks", &json!({"tasks": tasks(&server), "include": ["TAGS"]})).unwrap();
    let tagged = all["tasks"].as_array().unwrap().iter().filter(|task| task["tags"][0]["value"] == "blue").count();
    assert_eq!(tagged, 1, "the one that was started since: {all}");
    let executes = all["tasks"].as_array().unwrap().iter().filter(|task| task["enableExecuteCommand"] == true).count();
    assert_eq!(executes, 1, "the same one: {all}");
    let before = describe(&server)["deployments"].clone();
    let same = json!({"service": "web", "taskDefinition": definition, "enableExecuteCommand": false});
    let after = server.ecs("UpdateService", &same).unwrap()["service"].clone();
    assert_eq!(after["deployments"], before, "neither is a reason to deploy");
    server.ecs("DeregisterTaskDefinition", &json!({"taskDefinition": definition})).unwrap();
    let inactive = server.ecs("UpdateService", &same).unwrap_err();
    assert_eq!(inactive, ("ClientException".to_owned(), "TaskDefinition is inactive".to_owned()));
}

#[test]
fn the_network_that_a_service_was_given_is_read_back_whatever_it_comes_to() {
    let server = Server::start();
    let main = json!({"name": "main", "image": server.busybox(), "command": ["sh", "-c", WAITING]});
    let definition = json!({"family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "containerDefinitions": [main]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let named = server.network();
    let unnamed = json!({"awsvpcConfiguration": {"subnets": named["awsvpcConfiguration"]["subnets"]}});
    let input = json!({"launchType": "FARGATE", "networkConfiguration": unnamed, "desiredCount": 0});
    create(&server, "web", &input);
    let update = json!({"service": "web", "networkConfiguration": named});
    server.ecs("UpdateService", &update).unwrap();
    let service = describe(&server);
    let groups = &named["awsvpcConfiguration"]["securityGroups"];
    assert_eq!(service["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"], *groups, "{service}");
    let id = service["deployments"][0]["id"].clone();
    server.ecs("UpdateService", &update).unwrap();
    assert_eq!(describe(&server)["deployments"][0]["id"], id, "the second time it is what there is");
}
