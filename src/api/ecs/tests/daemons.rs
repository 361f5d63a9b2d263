use cove_model::daemon::{DaemonDeployment, DaemonRevision};
use cove_store::{Prefix, Read};
use serde_json::json;

use super::Api;

/// A daemon `watch` of instances that nothing has needed yet.
fn daemon(api: &Api) -> serde_json::Value {
    let template = json!({"ec2InstanceProfileArn": "arn:aws:iam::000000000000:instance-profile/ecsInstanceRole",
        "networkConfiguration": {"subnets": [api.subnet()]}});
    let managed = json!({"infrastructureRoleArn": "ecsInfrastructureRole", "instanceLaunchTemplate": template});
    let provider = json!({"name": "agents", "cluster": "default", "managedInstancesProvider": managed});
    api.done("CreateCapacityProvider", provider);
    let containers = json!([{"name": "main", "image": "busybox", "memory": 8}]);
    let made = api.done("RegisterDaemonTaskDefinition", json!({"family": "watch", "containerDefinitions": containers}));
    let definition = &made["daemonTaskDefinitionArn"];
    let create =
        json!({"daemonName": "watch", "daemonTaskDefinitionArn": definition, "capacityProviderArns": ["agents"]});
    let made = api.done("CreateDaemon", create);
    json!({"daemonArn": made["daemonArn"], "daemonTaskDefinitionArn": definition, "capacityProviderArns": ["agents"]})
}

#[test]
fn a_daemon_that_is_updated_for_years_keeps_its_last_deployments() {
    let api = Api::new();
    let update = daemon(&api);
    let mut last = json!(null);
    for _ in 0..110 {
        last = api.done("UpdateDaemon", update.clone())["deploymentArn"].clone();
    }
    let (deployments, revisions) = api.cx.store.read(|view| {
        (view.scan::<DaemonDeployment>(&Prefix::all()).len(), view.scan::<DaemonRevision>(&Prefix::all()).len())
    });
    assert_eq!((deployments, revisions), (100, 100));
    let shown = api.done("DescribeDaemonDeployments", json!({"daemonDeploymentArns": [last]}));
    assert_eq!(shown["daemonDeployments"][0]["status"], "PENDING");
    let daemon = api.done("DescribeDaemon", json!({"daemonArn": update["daemonArn"]}));
    assert_eq!(daemon["daemon"]["currentRevisions"].as_array().map(Vec::len), Some(1));
}
