use serde_json::json;

use super::Api;

#[test]
fn rules_of_placement_are_checked_where_task_sets_run_the_tasks_too() {
    let api = Api::new();
    let external = json!({"type": "EXTERNAL"});
    let create = |name: &str, strategy: serde_json::Value| json!({"serviceName": name, "desiredCount": 1, "deploymentController": external, "placementStrategy": strategy});
    let refused = "InvalidParameterException: Placement strategy type should not be null.";
    assert_eq!(api.refused("CreateService", create("web", json!([{}]))), refused);
    api.done("CreateService", create("web", json!([{"type": "random"}])));
    assert_eq!(api.refused("UpdateService", json!({"service": "web", "placementStrategy": [{}]})), refused);
    let constraint = json!({"service": "web", "placementConstraints": [{}]});
    let refused = "InvalidParameterException: Placement constraint type should not be null.";
    assert_eq!(api.refused("UpdateService", constraint), refused);
    let shown = api.done("DescribeServices", json!({"services": ["web"]}));
    assert_eq!(shown["services"][0]["placementStrategy"], json!([{"type": "random"}]));
}
