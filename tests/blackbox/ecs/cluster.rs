//! Clusters.

use serde_json::{Value, json};

use crate::server::{Server, assert_refused, texts, until};

#[test]
fn a_cluster_survives_restarts_until_it_is_deleted() {
    let mut server = Server::start();
    let made = server
        .ecs(
            "CreateCluster",
            &json!({"clusterName": "blue", "tags": [{"key": "team", "value": "a"}],
                "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
                "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]}),
        )
        .unwrap();
    assert_eq!(made["cluster"]["clusterArn"], "arn:aws:ecs:us-east-1:000000000000:cluster/blue");
    assert_eq!(made["cluster"]["status"], "ACTIVE");
    let enhanced = json!([{"name": "containerInsights", "value": "enhanced"}]);
    server.ecs("UpdateClusterSettings", &json!({"cluster": "blue", "settings": enhanced})).unwrap();
    let logging = json!({"executeCommandConfiguration": {"logging": "NONE"}});
    server.ecs("UpdateCluster", &json!({"cluster": "blue", "configuration": logging})).unwrap();
    server.kill_and_restart();

    let wanted = json!({"clusters": ["blue"], "include": ["TAGS", "SETTINGS", "CONFIGURATIONS", "STATISTICS"]});
    let shown = server.ecs("DescribeClusters", &wanted).unwrap()["clusters"][0].clone();
    assert_eq!(shown["settings"], enhanced);
    assert_eq!(shown["configuration"], logging);
    assert_eq!(shown["tags"], json!([{"key": "team", "value": "a"}]));
    assert_eq!(shown["capacityProviders"], json!(["FARGATE", "FARGATE_SPOT"]));
    assert_eq!(shown["statistics"].as_array().unwrap().len(), 8);
    let definition = json!({"family": "f", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256",
        "memory": "512", "containerDefinitions": [{"name": "c", "image": "none"}]});
    server.ecs("RegisterTaskDefinition", &definition).unwrap();
    let service = json!({"cluster": "blue", "serviceName": "idle", "taskDefinition": "f", "desiredCount": 0,
        "networkConfiguration": server.network()});
    server.ecs("CreateService", &service).unwrap();
    let counted = server.ecs("DescribeClusters", &wanted).unwrap()["clusters"][0]["statistics"].clone();
    assert!(
        counted.as_array().unwrap().contains(&json!({"name": "activeFargateServiceCount", "value": "1"})),
        "{counted}"
    );
    server.ecs("DeleteService", &json!({"cluster": "blue", "service": "idle", "force": true})).unwrap();
    let again = server.ecs("CreateCluster", &json!({"clusterName": "blue"})).unwrap();
    assert_eq!(again["cluster"]["settings"], enhanced, "creating it again shows it as it is");

    let delete = json!({"cluster": shown["clusterArn"]});
    until("its service has drained and it is deleted", || server.ecs("DeleteCluster", &delete).ok());
    server.kill_and_restart();
    let listed = server.ecs("ListClusters", &json!({})).unwrap();
    assert_eq!(texts(&listed["clusterArns"]), ["arn:aws:ecs:us-east-1:000000000000:cluster/default"]);
    let shown = server.ecs("DescribeClusters", &json!({"clusters": ["blue"]})).unwrap();
    assert_eq!(shown["clusters"][0]["status"], "INACTIVE");
    assert_refused(server.ecs("DeleteCluster", &json!({"cluster": "blue"})), "ClusterNotFoundException", "not found");
}

#[test]
fn clusters_are_listed_in_pages() {
    let server = Server::start();
    for name in ["a", "b", "c"] {
        server.ecs("CreateCluster", &json!({"clusterName": name})).unwrap();
    }
    let first = server.ecs("ListClusters", &json!({"maxResults": 3})).unwrap();
    assert_eq!(texts(&first["clusterArns"]).len(), 3);
    let second = server.ecs("ListClusters", &json!({"maxResults": 3, "nextToken": first["nextToken"]})).unwrap();
    assert_eq!(texts(&second["clusterArns"]), ["arn:aws:ecs:us-east-1:000000000000:cluster/default"]);
    assert!(second.get("nextToken").is_none_or(Value::is_null));
    for bad in [json!({"maxResults": 0}), json!({"maxResults": 101}), json!({"nextToken": "???"})] {
        assert_refused(server.ecs("ListClusters", &bad), "InvalidParameterException", "");
    }
}

#[test]
fn an_unknown_cluster_is_a_failure_of_describe_and_an_error_elsewhere() {
    let server = Server::start();
    let shown = server.ecs("DescribeClusters", &json!({"clusters": ["nope", "default"]})).unwrap();
    assert_eq!(shown["clusters"][0]["clusterName"], "default");
    assert_eq!(
        shown["failures"],
        json!([{"arn": "arn:aws:ecs:us-east-1:000000000000:cluster/nope", "reason": "MISSING"}])
    );
    for (operation, mut input) in [
        ("ListTasks", json!({})),
        ("DescribeTasks", json!({"tasks": ["0123456789abcdef0123456789abcdef"]})),
        ("ListContainerInstances", json!({})),
        ("UpdateCluster", json!({})),
        ("StopTask", json!({"task": "0123456789abcdef0123456789abcdef"})),
    ] {
        input["cluster"] = json!("nope");
        assert_refused(server.ecs(operation, &input), "ClusterNotFoundException", "Cluster not found.");
    }
}

#[test]
fn what_cannot_be_a_cluster_is_refused() {
    let server = Server::start();
    let create = |input| server.ecs("CreateCluster", &input);
    let code = "InvalidParameterException";
    assert_refused(create(json!({"clusterName": "with space"})), code, "Cluster name contains invalid characters.");
    assert_refused(create(json!({"clusterName": "a".repeat(256)})), code, "");
    let unknown = json!({"clusterName": "a", "settings": [{"name": "containerInsights", "value": "loud"}]});
    assert_refused(create(unknown), code, "containerInsights=loud");
    let provider = json!({"clusterName": "a", "capacityProviders": ["mine"]});
    assert_refused(create(provider), code, "The specified capacity provider 'mine' was not found.");
    let reserved = json!({"clusterName": "a", "tags": [{"key": "aws:x", "value": "y"}]});
    assert_refused(create(reserved), code, "reserved");
    let insights = |value| json!({"clusterName": "b", "settings": [{"name": "containerInsights", "value": value}]});
    create(insights("enabled")).unwrap();
    create(insights("enabled")).unwrap();
    create(json!({"clusterName": "b"})).unwrap();
    assert_refused(create(insights("disabled")), code, "Arguments on this idempotent request are inconsistent");
    let connects = |namespace| json!({"cluster": "b", "serviceConnectDefaults": {"namespace": namespace}});
    let shown = server.ecs("UpdateCluster", &connects("inner")).unwrap();
    assert_eq!(shown["cluster"]["serviceConnectDefaults"]["namespace"], "inner");
    let shown = server.ecs("UpdateCluster", &connects("")).unwrap();
    assert_eq!(shown["cluster"]["serviceConnectDefaults"], Value::Null);
    let foreign = json!({"cluster": "arn:aws:ecs:eu-west-1:000000000000:cluster/default"});
    assert_refused(server.ecs("UpdateCluster", &foreign), code, "Identifier is for eu-west-1");
}

#[test]
fn a_cluster_with_instances_or_tasks_is_not_deleted() {
    let server = Server::start();
    let image = server.busybox();
    let delete = |name: &str| server.ecs("DeleteCluster", &json!({"cluster": name}));
    assert_refused(delete("default"), "ClusterContainsContainerInstancesException", "Container Instances are active");
    server.ecs("CreateCluster", &json!({"clusterName": "f"})).unwrap();
    let run = json!({"cluster": "f", "launchType": "FARGATE", "networkConfiguration": server.network()});
    let definition =
        json!({"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"});
    let arn = server.run_task_with("f", json!({"image": image, "command": ["sleep", "60"]}), &definition, &run);
    assert_refused(delete("f"), "ClusterContainsTasksException", "Tasks are active");
    let counts = server.ecs("DescribeClusters", &json!({"clusters": ["f"]})).unwrap()["clusters"][0].clone();
    let live = counts["pendingTasksCount"].as_i64().unwrap() + counts["runningTasksCount"].as_i64().unwrap();
    assert_eq!(live, 1, "{counts}");
    server.ecs("StopTask", &json!({"cluster": "f", "task": arn})).unwrap();
    until("the cluster is empty", || delete("f").ok());
}
