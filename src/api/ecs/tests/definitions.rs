use cove_model::task_definition::{TaskDefinition, TaskDefinitionStatus};
use cove_store::{Prefix, Read, Record, StoreError};
use serde_json::json;

use super::Api;

#[test]
fn revisions_count_up_and_are_never_used_again() {
    let api = Api::new();
    api.bridge("app", 64);
    api.bridge("app", 64);
    assert_eq!(api.done("DescribeTaskDefinition", json!({"taskDefinition": "app"}))["taskDefinition"]["revision"], 2);
    let gone = api.done("DeregisterTaskDefinition", json!({"taskDefinition": "app:2"}));
    assert_eq!(gone["taskDefinition"]["status"], "INACTIVE");
    assert_eq!(api.done("DescribeTaskDefinition", json!({"taskDefinition": "app"}))["taskDefinition"]["revision"], 1);
    api.done("DeleteTaskDefinitions", json!({"taskDefinitions": ["app:2"]}));
    // As house-keeping does once no task refers to it.
    let gone = |tx: &mut cove_store::Tx<'_>| {
        let all = tx.scan::<TaskDefinition>(&Prefix::all());
        all.iter().filter(|it| it.status == TaskDefinitionStatus::DeleteInProgress).for_each(|it| {
            tx.delete::<TaskDefinition>(&it.key());
        });
        Ok::<_, StoreError>(())
    };
    api.cx.store.write_blocking(gone).expect("a removal");
    let error = api.refused("DescribeTaskDefinition", json!({"taskDefinition": "app:2"}));
    assert_eq!(error, "ClientException: Unable to describe task definition.");
    api.bridge("app", 64);
    assert_eq!(api.done("DescribeTaskDefinition", json!({"taskDefinition": "app"}))["taskDefinition"]["revision"], 3);
}

#[test]
fn only_inactive_definitions_are_deleted() {
    let api = Api::new();
    api.bridge("app", 64);
    let out = api.done("DeleteTaskDefinitions", json!({"taskDefinitions": ["app:1", "none:1"]}));
    assert_eq!(out["failures"][0]["reason"], "ACTIVE");
    assert_eq!(out["failures"][1]["reason"], "MISSING");
    assert!(api.refused("RunTask", json!({"taskDefinition": "none"})).ends_with("TaskDefinition not found."));
    api.done("DeregisterTaskDefinition", json!({"taskDefinition": "app:1"}));
    assert!(api.refused("RunTask", json!({"taskDefinition": "app:1"})).ends_with("TaskDefinition is inactive"));
}

#[test]
fn listings_follow_family_and_number_both_ways() {
    let api = Api::new();
    for family in ["b", "a", "a-b"] {
        api.bridge(family, 64);
    }
    for _ in 0..10 {
        api.bridge("a", 64);
    }
    let page = |input| {
        let out = api.done("ListTaskDefinitions", input);
        let arns = out["taskDefinitionArns"].as_array().expect("a list").clone();
        let name = |arn: &serde_json::Value| arn.as_str().expect("text").rsplit('/').next().expect("a part").to_owned();
        (arns.iter().map(name).collect::<Vec<_>>(), out["nextToken"].clone())
    };
    let (all, token) = page(json!({}));
    assert_eq!((all.len(), token.is_null()), (13, true));
    assert_eq!(&all[8..], ["a:9", "a:10", "a:11", "a-b:1", "b:1"]);
    let (first, token) = page(json!({"sort": "DESC", "maxResults": 3}));
    assert_eq!(first, ["b:1", "a-b:1", "a:11"]);
    let (second, _) = page(json!({"sort": "DESC", "maxResults": 1, "nextToken": token}));
    assert_eq!(second, ["a:10"]);
    let families = api.done("ListTaskDefinitionFamilies", json!({"familyPrefix": "a"}));
    assert_eq!(families["families"], json!(["a", "a-b"]));
}

#[test]
fn tags_come_with_include_and_change() {
    let api = Api::new();
    let made = api.done(
        "RegisterTaskDefinition",
        json!({"family": "app", "tags": [{"key": "a", "value": "1"}],
            "containerDefinitions": [{"name": "a", "image": "x", "memory": 64}]}),
    );
    let arn = made["taskDefinition"]["taskDefinitionArn"].clone();
    api.done("TagResource", json!({"resourceArn": arn, "tags": [{"key": "b", "value": "2"}]}));
    api.done("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a"]}));
    let shown = api.done("DescribeTaskDefinition", json!({"taskDefinition": "app", "include": ["TAGS"]}));
    assert_eq!(shown["tags"], json!([{"key": "b", "value": "2"}]));
    let reserved = json!({"resourceArn": arn, "tags": [{"key": "aws:x", "value": "2"}]});
    assert!(api.refused("TagResource", reserved).starts_with("InvalidParameterException"));
}
