use serde_json::json;

use super::{Api, with};

#[test]
fn a_cluster_is_made_once_shown_and_deleted() {
    let api = Api::new();
    let made = api.done("CreateCluster", json!({"clusterName": "blue", "tags": [{"key": "a", "value": "1"}]}));
    assert_eq!(made["cluster"]["clusterArn"], "arn:aws:ecs:us-east-1:000000000000:cluster/blue");
    assert_eq!(made["cluster"]["settings"], json!([{"name": "containerInsights", "value": "disabled"}]));
    let again = api.done("CreateCluster", json!({"clusterName": "blue"}));
    assert_eq!(again["cluster"]["tags"], json!([{"key": "a", "value": "1"}]));
    let listed = api.done("ListClusters", json!({}));
    assert_eq!(listed["clusterArns"].as_array().map(Vec::len), Some(2));
    assert_eq!(api.done("DeleteCluster", json!({"cluster": "blue"}))["cluster"]["status"], "INACTIVE");
    let shown = api.done("DescribeClusters", json!({"clusters": ["blue", "none"]}));
    assert_eq!(shown["clusters"][0]["status"], "INACTIVE");
    assert_eq!(shown["failures"][0]["reason"], "MISSING");
    assert_eq!(
        api.refused("DeleteCluster", json!({"cluster": "blue"})),
        "ClusterNotFoundException: Cluster not found."
    );
}

#[test]
fn a_cluster_that_holds_something_stays() {
    let api = Api::new();
    api.done("CreateCluster", json!({"clusterName": "blue"}));
    let run = api.web();
    api.done("RunTask", with(run, json!({"cluster": "blue"})));
    let error = api.refused("DeleteCluster", json!({"cluster": "blue"}));
    assert!(error.starts_with("ClusterContainsTasksException"), "{error}");
    let error = api.refused("DeleteCluster", json!({"cluster": "default"}));
    assert!(error.starts_with("ClusterContainsContainerInstancesException"), "{error}");
}

#[test]
fn an_account_setting_is_what_new_clusters_begin_with() {
    let api = Api::new();
    api.done("PutAccountSettingDefault", json!({"name": "containerInsights", "value": "enabled"}));
    let made = api.done("CreateCluster", json!({"clusterName": "a"}));
    assert_eq!(made["cluster"]["settings"][0]["value"], "enabled");
    api.done("PutAccountSetting", json!({"name": "containerInsights", "value": "enhanced"}));
    let made = api.done("CreateCluster", json!({"clusterName": "b"}));
    assert_eq!(made["cluster"]["settings"][0]["value"], "enhanced");
    let left = api.done("DeleteAccountSetting", json!({"name": "containerInsights"}));
    assert_eq!(left["setting"]["value"], "disabled", "root's setting is the account's, of which none is left");
    assert!(api.call("PutAccountSetting", json!({"name": "containerInsights", "value": "loud"})).is_err());
}

#[test]
fn settings_are_listed_ten_at_a_time() {
    let api = Api::new();
    let first = api.done("ListAccountSettings", json!({"effectiveSettings": true}));
    assert_eq!(first["settings"].as_array().map(Vec::len), Some(10));
    let second =
        api.done("ListAccountSettings", json!({"effectiveSettings": true, "nextToken": first["nextToken"].clone()}));
    assert_eq!(second["settings"][0]["name"], "taskLongArnFormat");
    assert_eq!(second.get("nextToken"), None);
}

#[test]
fn an_instance_shows_what_is_left_and_takes_attributes() {
    let api = Api::new();
    api.bridge("app", 512);
    api.done("RunTask", json!({"taskDefinition": "app", "count": 2}));
    let arn = api.done("ListContainerInstances", json!({}))["containerInstanceArns"][0].clone();
    let shown = api.done("DescribeContainerInstances", json!({"containerInstances": [arn]}));
    let instance = &shown["containerInstances"][0];
    assert_eq!(instance["pendingTasksCount"], 2);
    assert_eq!(instance["remainingResources"][0]["integerValue"], 2028);
    assert_eq!(instance["remainingResources"][1]["integerValue"], 3072);
    assert_eq!(instance["remainingResources"][2]["stringSetValue"].as_array().map(Vec::len), Some(3));
    api.done("PutAttributes", json!({"attributes": [{"name": "stack", "value": "blue", "targetId": arn}]}));
    let listed = api.done("ListAttributes", json!({"targetType": "container-instance", "attributeName": "stack"}));
    assert_eq!(listed["attributes"][0]["value"], "blue");
    assert!(api.call("PutAttributes", json!({"attributes": [{"name": "ecs.os-type", "targetId": arn}]})).is_err());
}
