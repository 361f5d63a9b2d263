//! Express services: made from an image, updated, seen and changed as services, drained; with the server killed on the way.

use serde_json::{Value, json};

use super::WAITING;
use crate::server::{Server, assert_refused, texts, until, with};

fn wish(server: &Server, over: &Value) -> Value {
    let account = "arn:aws:iam::000000000000:role";
    let container = json!({"image": server.busybox(), "containerPort": 8080, "command": ["sh", "-c", WAITING],
        "environment": [{"name": "COLOUR", "value": "blue"}]});
    let wish = json!({"serviceName": "web", "cpu": "256", "memory": "512", "primaryContainer": container,
        "executionRoleArn": format!("{account}/ecsTaskExecutionRole"),
        "infrastructureRoleArn": format!("{account}/ecsInfrastructureRoleForExpressServices")});
    with(&wish, over)
}

fn create(server: &Server, over: &Value) -> Value {
    server.ecs("CreateExpressGatewayService", &wish(server, over)).unwrap()["service"].clone()
}

fn describe(server: &Server, arn: &Value) -> Value {
    let input = json!({"serviceArn": arn, "include": ["TAGS"]});
    server.ecs("DescribeExpressGatewayService", &input).unwrap()["service"].clone()
}

fn service(server: &Server) -> Value {
    server.ecs("DescribeServices", &json!({"services": ["web"]})).unwrap()["services"][0].clone()
}

fn wait_stable(server: &Server, count: u64) -> Value {
    until("the service is stable", || {
        let service = service(server);
        let alone = service["deployments"].as_array().map(Vec::len) == Some(1);
        let completed = service["deployments"][0]["rolloutState"] == "COMPLETED";
        (alone && completed && service["runningCount"] == count).then_some(service)
    })
}

fn tasks(server: &Server) -> Vec<String> {
    let listed = server.ecs("ListTasks", &json!({"serviceName": "web"})).unwrap();
    texts(&listed["taskArns"]).into_iter().map(str::to_owned).collect()
}

#[test]
fn an_express_service_runs_is_updated_and_drains_across_restarts() {
    let mut server = Server::start();
    let made = create(&server, &json!({"tags": [{"key": "a", "value": "b"}], "scalingTarget": {"minTaskCount": 2}}));
    server.kill_and_restart();
    let arn = made["serviceArn"].clone();
    assert_eq!(arn, "arn:aws:ecs:us-east-1:000000000000:service/default/web");
    assert_eq!(made["status"]["statusCode"], "ACTIVE");
    let stable = wait_stable(&server, 2);
    assert_eq!(stable["resourceManagementType"], "ECS");
    assert_eq!(stable["launchType"], "FARGATE");
    let shown = describe(&server, &arn);
    assert_eq!(shown["currentDeployment"], stable["currentServiceDeployment"]);
    assert_eq!(shown["tags"], json!([{"key": "a", "value": "b"}]));
    let configurations = shown["activeConfigurations"].as_array().unwrap();
    assert_eq!(configurations.len(), 1);
    let first = &configurations[0];
    assert_eq!(first["cpu"], "256");
    assert_eq!(first["healthCheckPath"], "/");
    assert_eq!(first["scalingTarget"]["minTaskCount"], 2);
    assert_eq!(first["primaryContainer"]["containerPort"], 8080);
    assert!(first.get("ingressPaths").is_none(), "no load balancer leads in: {first}");
    assert!(shown["status"]["statusReason"].as_str().unwrap().contains("no load balancer"), "{shown}");

    let definition = json!({"taskDefinition": stable["taskDefinition"]});
    let definition = server.ecs("DescribeTaskDefinition", &definition).unwrap()["taskDefinition"].clone();
    assert_eq!(definition["family"], "default-web");
    assert_eq!(definition["containerDefinitions"][0]["name"], "Main");
    let group = first["primaryContainer"]["awsLogsConfiguration"]["logGroup"].as_str().unwrap();
    assert!(group.starts_with("/aws/ecs/default/web-"), "{group}");
    let groups = server.logs("DescribeLogGroups", &json!({"logGroupNamePrefix": group})).unwrap();
    assert_eq!(groups["logGroups"].as_array().unwrap().len(), 1);

    let old = tasks(&server);
    let change = json!({"image": server.busybox(), "environment": [{"name": "COLOUR", "value": "green"}]});
    let updated = json!({"serviceArn": arn, "primaryContainer": change, "healthCheckPath": "/up"});
    let updated = server.ecs("UpdateExpressGatewayService", &updated).unwrap()["service"].clone();
    assert_eq!(updated["targetConfiguration"]["healthCheckPath"], "/up");
    assert_eq!(describe(&server, &arn)["activeConfigurations"].as_array().unwrap().len(), 2, "both run for a while");
    server.kill_and_restart();
    wait_stable(&server, 2);
    let now = tasks(&server);
    assert!(now.len() == 2 && !now.iter().any(|task| old.contains(task)), "{now:?} for {old:?}");
    let container = describe(&server, &arn)["activeConfigurations"][0]["primaryContainer"].clone();
    assert_eq!(container["environment"][0]["value"], "green");
    assert_eq!(container["command"], json!(["sh", "-c", WAITING]), "what is not said stays");
    assert_eq!(container["awsLogsConfiguration"]["logGroup"], group);

    let deleted = server.ecs("DeleteExpressGatewayService", &json!({"serviceArn": arn})).unwrap();
    assert_eq!(deleted["service"]["status"]["statusCode"], "DRAINING");
    server.kill_and_restart();
    until("the service is gone", || {
        Some(describe(&server, &arn)).filter(|it| it["status"]["statusCode"] == "INACTIVE")
    });
    assert!(tasks(&server).is_empty());
    let again = server.ecs("DeleteExpressGatewayService", &json!({"serviceArn": arn}));
    assert_refused(again, "ServiceNotActiveException", "INACTIVE status");
}

#[test]
fn an_express_service_is_a_service_to_the_other_operations() {
    let server = Server::start();
    let arn = create(&server, &json!({}))["serviceArn"].clone();
    let listed = |kind: &str| {
        let listed = server.ecs("ListServices", &json!({"resourceManagementType": kind})).unwrap();
        listed["serviceArns"].as_array().unwrap().len()
    };
    assert_eq!((listed("ECS"), listed("CUSTOMER")), (1, 0));
    wait_stable(&server, 1);
    let before = tasks(&server);
    let rollouts = || {
        let input = json!({"service": "web"});
        server.ecs("ListServiceDeployments", &input).unwrap()["serviceDeployments"].as_array().unwrap().len()
    };
    server.ecs("UpdateExpressGatewayService", &json!({"serviceArn": arn, "cpu": "256"})).unwrap();
    assert_eq!(rollouts(), 1, "nothing changes, nothing is deployed");
    server.ecs("UpdateService", &json!({"service": "web", "forceNewDeployment": true})).unwrap();
    assert_eq!(rollouts(), 2);
    wait_stable(&server, 1);
    assert_ne!(tasks(&server), before);
    assert_eq!(
        describe(&server, &arn)["activeConfigurations"][0]["healthCheckPath"],
        "/",
        "it is still an Express one"
    );
    server
        .ecs("UpdateExpressGatewayService", &json!({"serviceArn": arn, "scalingTarget": {"minTaskCount": 2}}))
        .unwrap();
    wait_stable(&server, 2);
    server.ecs("DeleteService", &json!({"service": "web", "force": true})).unwrap();
    let draining = server.ecs("UpdateExpressGatewayService", &json!({"serviceArn": arn}));
    assert_refused(draining, "ServiceNotActiveException", "");
}

#[test]
fn express_services_that_cannot_be_made_are_refused() {
    let server = Server::start();
    let refused = |over: &Value, code: &str, text: &str| {
        assert_refused(server.ecs("CreateExpressGatewayService", &wish(&server, over)), code, text);
    };
    let invalid = "InvalidParameterException";
    refused(&json!({"healthCheckPath": "up"}), invalid, "forward slash");
    refused(&json!({"scalingTarget": {"minTaskCount": 3, "maxTaskCount": 2}}), invalid, "maxTaskCount");
    refused(&json!({"cluster": "nowhere"}), "ClusterNotFoundException", "Cluster not found.");
    refused(&json!({"memory": "100"}), "ClientException", "");
    refused(
        &json!({"infrastructureRoleArn": "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"}),
        invalid,
        "assume",
    );
    let secrets = json!({"image": "x", "secrets": [{"name": "A", "valueFrom": "b"}]});
    refused(&json!({"primaryContainer": secrets}), "UnsupportedFeatureException", "containerDefinitions[Main].secrets");
    assert!(server.ecs("ListServices", &json!({})).unwrap()["serviceArns"].as_array().unwrap().is_empty());
    let families = server.ecs("ListTaskDefinitionFamilies", &json!({})).unwrap();
    assert!(families["families"].as_array().unwrap().is_empty(), "nothing is left of what was refused: {families}");

    let made = create(&server, &json!({}));
    assert_eq!(create(&server, &json!({}))["createdAt"], made["createdAt"], "the same request makes nothing new");
    refused(&json!({"cpu": "512", "memory": "1024"}), invalid, "Creation of service was not idempotent.");
    let nameless = |()| {
        let mut input = wish(&server, &json!({}));
        input.as_object_mut().unwrap().remove("serviceName");
        let made = server.ecs("CreateExpressGatewayService", &input).unwrap();
        made["service"]["serviceName"].as_str().unwrap().to_owned()
    };
    let (one, other) = (nameless(()), nameless(()));
    assert!(one.starts_with("busybox-") && one != other, "{one} and {other}");

    let absent = json!({"serviceArn": "arn:aws:ecs:us-east-1:000000000000:service/default/none"});
    assert_refused(server.ecs("DescribeExpressGatewayService", &absent), "ResourceNotFoundException", "not found");
    assert_refused(server.ecs("DeleteExpressGatewayService", &absent), invalid, "Resource not found");
    let plain = json!({"family": "plain", "containerDefinitions": [{"name": "a", "image": "x", "memory": 8}]});
    server.ecs("RegisterTaskDefinition", &plain).unwrap();
    let service = json!({"serviceName": "plain", "taskDefinition": "plain", "desiredCount": 0});
    let plain = server.ecs("CreateService", &service).unwrap()["service"]["serviceArn"].clone();
    assert_refused(
        server.ecs("DescribeExpressGatewayService", &json!({"serviceArn": plain})),
        invalid,
        "not an Express",
    );
}

#[test]
fn the_default_cluster_is_made_again_for_an_express_service() {
    let server = Server::start();
    let instances = server.ecs("ListContainerInstances", &json!({})).unwrap();
    for instance in texts(&instances["containerInstanceArns"]) {
        let input = json!({"containerInstance": instance, "force": true});
        server.ecs("DeregisterContainerInstance", &input).unwrap();
    }
    server.ecs("DeleteCluster", &json!({"cluster": "default"})).unwrap();
    create(&server, &json!({"primaryContainer": {"image": "x"}}));
    let cluster = server.ecs("DescribeClusters", &json!({"clusters": ["default"]})).unwrap();
    assert_eq!(cluster["clusters"][0]["capacityProviders"], json!(["FARGATE"]));
}
