//! Targets: which of them this server reaches, and how they are named.
//!
//! | ARN | what happens |
//! |---|---|
//! | `arn:aws:logs:REGION:ACCOUNT:log-group:NAME` | the input is an event in the group's stream of the rule's name |
//! | `arn:aws:ecs:REGION:ACCOUNT:cluster/NAME` with `EcsParameters` | RunTask |
//! | `arn:aws:events:REGION:ACCOUNT:api-destination/NAME` | the input is sent to the endpoint `NAME` of the config file |
//!
//! Holds: a target is in the tenant of its rule, and an HTTP endpoint is one that the operator named: no client chooses where
//! the server sends requests.

use cove_model::arn::{Arn, Tenant};
use serde_json::{Value, json};

use crate::endpoint::of_client;

/// What an ARN stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    LogGroup(String),
    Cluster(String),
    Endpoint(String),
}

/// Why it stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    #[error("Provided Arn is not in correct format.")]
    Arn,
    #[error("Target {0} is in another account or region.")]
    Elsewhere(String),
    #[error(
        "Targets of this version of Cove are log groups, ECS clusters (EcsParameters) and api-destinations that its config \
         file names; {0} is none of them."
    )]
    Unreachable(String),
    #[error("No [[event_endpoint]] of this server's config file is named {0}.")]
    NoEndpoint(String),
    #[error("EcsParameters is required for target {0}.")]
    NoEcsParameters(String),
    #[error("RoleArn is required for target {0}.")]
    NoRole(String),
    #[error("{0} is not carried out for target {1}.")]
    NotThere(&'static str, String),
    #[error("Header {0} may not be set by a target.")]
    Header(String),
}

/// Reads a target's ARN.
///
/// # Errors
/// When this server cannot reach it.
pub fn reach(tenant: &Tenant, arn: &str) -> Result<Reach, BadTarget> {
    let parsed = Arn::parse(arn).ok_or(BadTarget::Arn)?;
    let unreachable = || BadTarget::Unreachable(arn.to_owned());
    let reach = match parsed.service {
        "logs" => parsed
            .resource
            .strip_prefix("log-group:")
            .map(|name| Reach::LogGroup(name.strip_suffix(":*").unwrap_or(name).to_owned())),
        "ecs" => parsed.path_of("cluster").map(|name| Reach::Cluster(name.to_owned())),
        "events" => {
            // AWS's own have an id behind the name.
            let path = parsed.path_of("api-destination");
            path.map(|path| Reach::Endpoint(path.split('/').next().unwrap_or_default().to_owned()))
        }
        _ => None,
    };
    let reach = reach.ok_or_else(unreachable)?;
    if parsed.belongs_to(tenant) { Ok(reach) } else { Err(BadTarget::Elsewhere(arn.to_owned())) }
}

/// Parameters of targets that are not reached.
const FOREIGN: [&str; 8] = [
    "KinesisParameters",
    "RunCommandParameters",
    "BatchParameters",
    "SqsParameters",
    "RedshiftDataParameters",
    "SageMakerPipelineParameters",
    "AppSyncParameters",
    "DeadLetterConfig",
];

/// Checks a whole target. `has_endpoint` says which endpoints the operator named.
///
/// # Errors
/// When something that it says is not carried out.
pub fn check(tenant: &Tenant, document: &Value, has_endpoint: impl Fn(&str) -> bool) -> Result<Reach, BadTarget> {
    let arn = document["Arn"].as_str().unwrap_or_default();
    let reach = reach(tenant, arn)?;
    if let Some(name) = FOREIGN.iter().find(|name| document.get(**name).is_some()) {
        return Err(BadTarget::NotThere(name, arn.to_owned()));
    }
    let has = |name: &str| document.get(name).is_some();
    match &reach {
        Reach::Endpoint(name) if !has_endpoint(name) => return Err(BadTarget::NoEndpoint(name.clone())),
        Reach::Cluster(_) if !has("EcsParameters") => return Err(BadTarget::NoEcsParameters(arn.to_owned())),
        Reach::Cluster(_) if !has("RoleArn") => return Err(BadTarget::NoRole(arn.to_owned())),
        Reach::LogGroup(_) | Reach::Cluster(_) | Reach::Endpoint(_) => {}
    }
    let mut headers = document["HttpParameters"]["HeaderParameters"].as_object().into_iter().flatten();
    if let Some((name, _)) = headers.find(|(name, _)| of_client(name).is_none()) {
        return Err(BadTarget::Header(name.clone()));
    }
    match &reach {
        Reach::LogGroup(_) | Reach::Endpoint(_) if has("EcsParameters") => {
            Err(BadTarget::NotThere("EcsParameters", arn.to_owned()))
        }
        Reach::LogGroup(_) | Reach::Cluster(_) if has("HttpParameters") => {
            Err(BadTarget::NotThere("HttpParameters", arn.to_owned()))
        }
        Reach::LogGroup(_) | Reach::Cluster(_) | Reach::Endpoint(_) => Ok(reach),
    }
}

/// RunTask's input for an ECS target. `overrides` is the target's input, when it has one of its own; `token` makes that a
/// second try starts nothing again.
#[must_use]
pub fn run_task(cluster: &str, document: &Value, overrides: Option<Value>, started_by: &str, token: &str) -> Value {
    let parameters = &document["EcsParameters"];
    let mut input = json!({
        "cluster": cluster,
        "taskDefinition": parameters["TaskDefinitionArn"],
        "count": parameters["TaskCount"].as_i64().unwrap_or(1),
        "startedBy": started_by,
        "clientToken": token,
    });
    let names = [
        ("LaunchType", "launchType"),
        ("PlatformVersion", "platformVersion"),
        ("Group", "group"),
        ("CapacityProviderStrategy", "capacityProviderStrategy"),
        ("EnableECSManagedTags", "enableECSManagedTags"),
        ("EnableExecuteCommand", "enableExecuteCommand"),
        ("PlacementConstraints", "placementConstraints"),
        ("PlacementStrategy", "placementStrategy"),
        ("PropagateTags", "propagateTags"),
        ("ReferenceId", "referenceId"),
    ];
    for (theirs, ours) in names {
        if let Some(value) = parameters.get(theirs) {
            input[ours] = value.clone();
        }
    }
    if let Some(network) = parameters["NetworkConfiguration"].get("awsvpcConfiguration") {
        let mut awsvpc = json!({"subnets": network["Subnets"]});
        for (theirs, ours) in [("SecurityGroups", "securityGroups"), ("AssignPublicIp", "assignPublicIp")] {
            if let Some(value) = network.get(theirs) {
                awsvpc[ours] = value.clone();
            }
        }
        input["networkConfiguration"] = json!({"awsvpcConfiguration": awsvpc});
    }
    if let Some(tags) = parameters["Tags"].as_array() {
        let tag = |tag: &Value| json!({"key": tag["Key"], "value": tag["Value"]});
        input["tags"] = tags.iter().map(tag).collect();
    }
    if let Some(overrides) = overrides {
        input["overrides"] = overrides;
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        Tenant::new("000000000000", "us-east-1")
    }

    fn checked(document: Value) -> Result<Reach, BadTarget> {
        check(&tenant(), &document, |name| name == "hook")
    }

    #[test]
    fn an_arn_says_what_is_reached_and_a_clear_error_what_is_not() {
        let arn =
            |resource: &str| tenant().arn(resource.split_once(' ').unwrap().0, resource.split_once(' ').unwrap().1);
        assert_eq!(checked(json!({"Arn": arn("logs log-group:/a/b:*")})), Ok(Reach::LogGroup("/a/b".into())));
        assert_eq!(
            checked(json!({"Arn": arn("events api-destination/hook/0123")})),
            Ok(Reach::Endpoint("hook".into()))
        );
        assert_eq!(checked(json!({"Arn": arn("events api-destination/x")})), Err(BadTarget::NoEndpoint("x".into())));
        let stolen = json!({"HeaderParameters": {"X-Own": "1", "Host": "metadata"}});
        let stolen = json!({"Arn": arn("events api-destination/hook/0123"), "HttpParameters": stolen});
        assert_eq!(checked(stolen), Err(BadTarget::Header("Host".into())));
        let cluster = arn("ecs cluster/default");
        assert_eq!(checked(json!({"Arn": cluster})), Err(BadTarget::NoEcsParameters(cluster.clone())));
        assert_eq!(checked(json!({"Arn": cluster, "EcsParameters": {}})), Err(BadTarget::NoRole(cluster.clone())));
        assert_eq!(
            checked(json!({"Arn": cluster, "EcsParameters": {}, "RoleArn": "r"})),
            Ok(Reach::Cluster("default".into()))
        );
        assert_eq!(checked(json!({"Arn": "x"})), Err(BadTarget::Arn));
        assert!(matches!(checked(json!({"Arn": arn("sqs q")})), Err(BadTarget::Unreachable(_))));
        let other = "arn:aws:ecs:eu-west-1:000000000000:cluster/default";
        assert!(matches!(checked(json!({"Arn": other})), Err(BadTarget::Elsewhere(_))));
        let with_queue = json!({"Arn": arn("logs log-group:g"), "DeadLetterConfig": {"Arn": "q"}});
        assert!(matches!(checked(with_queue), Err(BadTarget::NotThere("DeadLetterConfig", _))));
    }

    #[test]
    fn parameters_of_a_target_are_those_of_run_task() {
        let document = json!({"EcsParameters": {
            "TaskDefinitionArn": "web:1", "TaskCount": 2, "LaunchType": "FARGATE", "Tags": [{"Key": "a", "Value": "b"}],
            "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": ["s"], "AssignPublicIp": "DISABLED"}},
        }});
        let overrides = json!({"containerOverrides": [{"name": "main", "command": ["x"]}]});
        let got = run_task("c", &document, Some(overrides.clone()), "events-rule/r", "7");
        let expected = json!({
            "cluster": "c", "taskDefinition": "web:1", "count": 2, "launchType": "FARGATE", "startedBy": "events-rule/r",
            "clientToken": "7", "tags": [{"key": "a", "value": "b"}], "overrides": overrides,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"], "assignPublicIp": "DISABLED"}},
        });
        assert_eq!(got, expected);
    }
}
