//! Names and ARNs in requests: which thing of the caller's tenant they mean.
//!
//! In: the client's text. Out: the key's parts. No store.
//!
//! Holds: an ARN of another account or region is refused, as is one of another cluster than the request's; so nothing
//! outside the tenant can be named.

use cove_model::arn::{Arn, Tenant};
use cove_model::daemon::kept_family;

use super::error::EcsError;

/// The cluster that is meant when none is named.
pub(crate) const DEFAULT_CLUSTER: &str = "default";

/// Whether the text is an ARN: names never contain a colon, but `family:revision` does.
fn is_arn(text: &str) -> bool {
    text.starts_with("arn:")
}

/// The resource part of an ECS ARN of this tenant.
fn own_resource<'a>(tenant: &Tenant, text: &'a str) -> Result<&'a str, EcsError> {
    let arn = Arn::parse(text).ok_or_else(|| EcsError::parameter("Invalid identifier: the ARN is malformed."))?;
    if arn.service != "ecs" {
        return Err(EcsError::parameter(format!("Invalid identifier: Unexpected service {}.", arn.service)));
    }
    if arn.region != tenant.region {
        return Err(EcsError::parameter(format!(
            "Invalid identifier: Identifier is for {}. Your region is {}",
            arn.region, tenant.region
        )));
    }
    if arn.account != tenant.account {
        return Err(EcsError::parameter(format!(
            "Invalid identifier: Identifier is for {}. Your accountId is {}",
            arn.account, tenant.account
        )));
    }
    Ok(arn.resource)
}

fn unexpected(resource: &str) -> EcsError {
    let kind = resource.split('/').next().unwrap_or_default();
    EcsError::parameter(format!("Invalid identifier: Unexpected resource type {kind}."))
}

/// A cluster's name, from a name, an ARN or nothing.
pub(crate) fn cluster(tenant: &Tenant, text: Option<&str>) -> Result<String, EcsError> {
    let text = text.map(str::trim).filter(|text| !text.is_empty()).unwrap_or(DEFAULT_CLUSTER);
    if !is_arn(text) {
        return Ok(text.to_owned());
    }
    let resource = own_resource(tenant, text)?;
    resource.strip_prefix("cluster/").map(str::to_owned).ok_or_else(|| unexpected(resource))
}

/// A capacity provider's name, from a name or an ARN.
pub(crate) fn capacity_provider(tenant: &Tenant, text: &str) -> Result<String, EcsError> {
    if !is_arn(text) {
        return Ok(text.to_owned());
    }
    let resource = own_resource(tenant, text)?;
    resource.strip_prefix("capacity-provider/").map(str::to_owned).ok_or_else(|| unexpected(resource))
}

/// A task's id, from an id or an ARN (long: with the cluster; short: without).
pub(crate) fn task(tenant: &Tenant, cluster: &str, text: &str) -> Result<String, EcsError> {
    let id = within_cluster(tenant, cluster, "task/", text)?;
    check_id("taskId", id)
}

/// A container instance's id, from an id or an ARN.
pub(crate) fn container_instance(tenant: &Tenant, cluster: &str, text: &str) -> Result<String, EcsError> {
    let id = within_cluster(tenant, cluster, "container-instance/", text)?;
    check_id("containerInstanceId", id)
}

/// A service's name, from a name or an ARN (long: with the cluster; short: without).
pub(crate) fn service(tenant: &Tenant, cluster: &str, text: &str) -> Result<String, EcsError> {
    let name = within_cluster(tenant, cluster, "service/", text)?;
    if name.is_empty() {
        return Err(EcsError::parameter("Service name can not be blank."));
    }
    Ok(name.to_owned())
}

/// The cluster and name of an Express service: only its ARN names it.
pub(crate) fn express_service(tenant: &Tenant, text: &str) -> Result<(String, String), EcsError> {
    match of_kind(tenant, "service", text)?.split_once('/') {
        Some((cluster, name)) if !cluster.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((cluster.to_owned(), name.to_owned()))
        }
        _ => Err(EcsError::parameter("Invalid identifier: the ARN of the service is malformed.")),
    }
}

/// A daemon's cluster and name: only its ARN names it.
pub(crate) fn daemon(tenant: &Tenant, text: &str) -> Result<(String, String), EcsError> {
    let path = of_kind(tenant, "daemon", text)?;
    match path.split_once('/') {
        Some((cluster, name)) if !cluster.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((cluster.to_owned(), name.to_owned()))
        }
        _ => Err(EcsError::parameter("Invalid identifier: the ARN of the daemon is malformed.")),
    }
}

/// Cluster, daemon and id, of a revision or a deployment.
pub(crate) fn daemon_part(tenant: &Tenant, kind: &str, text: &str) -> Result<[String; 3], EcsError> {
    let parts: Vec<String> = of_kind(tenant, kind, text)?.split('/').map(str::to_owned).collect();
    parts
        .try_into()
        .map_err(|_| EcsError::parameter(format!("Invalid identifier: the ARN of the {kind} is malformed.")))
}

/// What follows the kind in an ARN of that kind.
pub(crate) fn of_kind<'a>(tenant: &Tenant, kind: &str, text: &'a str) -> Result<&'a str, EcsError> {
    let resource = own_resource(tenant, text)?;
    let path = resource.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
    path.ok_or_else(|| unexpected(resource))
}

fn within_cluster<'a>(tenant: &Tenant, cluster: &str, kind: &str, text: &'a str) -> Result<&'a str, EcsError> {
    if !is_arn(text) {
        return Ok(text);
    }
    let resource = own_resource(tenant, text)?;
    let path = resource.strip_prefix(kind).ok_or_else(|| unexpected(resource))?;
    match path.split_once('/') {
        None => Ok(path),
        Some((named, id)) if named == cluster => Ok(id),
        Some((named, _)) => Err(EcsError::parameter(format!(
            "Invalid identifier: Identifier is for cluster {named}. Your cluster is {cluster}"
        ))),
    }
}

/// Ids are 32 hex digits; ECS's first ones were UUIDs.
fn check_id(what: &str, id: &str) -> Result<String, EcsError> {
    if matches!(id.len(), 32 | 36) && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Ok(id.to_owned());
    }
    Err(EcsError::parameter(format!("{what} length should be one of [32,36]")))
}

/// Which revision of a task definition is meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DefinitionRef {
    /// The newest ACTIVE one.
    Latest {
        family: String,
    },
    Revision {
        family: String,
        revision: u32,
    },
}

/// `family`, `family:revision` or an ARN.
pub(crate) fn definition(tenant: &Tenant, text: &str) -> Result<DefinitionRef, EcsError> {
    let name = if is_arn(text) {
        let resource = own_resource(tenant, text)?;
        resource.strip_prefix("task-definition/").ok_or_else(|| unexpected(resource))?
    } else {
        text
    };
    // Families of daemons are kept beside the others, under names with a slash.
    if name.contains('/') {
        return Err(EcsError::client("Unable to describe task definition."));
    }
    revision_of(name)
}

/// A daemon task definition, as [`definition`]; the family is the kept one.
pub(crate) fn daemon_definition(tenant: &Tenant, text: &str) -> Result<DefinitionRef, EcsError> {
    let name = if is_arn(text) { of_kind(tenant, "daemon-task-definition", text)? } else { text };
    if name.contains('/') {
        return Err(EcsError::client("Unable to describe daemon task definition."));
    }
    Ok(match revision_of(name)? {
        DefinitionRef::Latest { family } => DefinitionRef::Latest { family: kept_family(&family) },
        DefinitionRef::Revision { family, revision } => {
            DefinitionRef::Revision { family: kept_family(&family), revision }
        }
    })
}

fn revision_of(name: &str) -> Result<DefinitionRef, EcsError> {
    if name.trim().is_empty() {
        return Err(EcsError::client("TaskDefinition can not be blank."));
    }
    let Some((family, revision)) = name.split_once(':') else {
        return Ok(DefinitionRef::Latest { family: name.to_owned() });
    };
    match revision.parse() {
        Ok(number) if number > 0 => Ok(DefinitionRef::Revision { family: family.to_owned(), revision: number }),
        _ => Err(EcsError::client(format!("Invalid revision number. Number: {revision}"))),
    }
}

/// What TagResource and its companions can be about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taggable {
    Cluster(String),
    TaskDefinition { family: String, revision: u32 },
    Task { cluster: String, id: String },
    ContainerInstance { cluster: String, id: String },
    Service { cluster: String, name: String },
    TaskSet { cluster: String, service: String, id: String },
    CapacityProvider(String),
    Daemon { cluster: String, name: String },
}

/// Tags need the long ARN, the one with the cluster in it.
pub(crate) fn taggable(tenant: &Tenant, text: &str) -> Result<Taggable, EcsError> {
    if !is_arn(text) {
        return Err(EcsError::parameter("Invalid identifier: The resourceArn must be an ARN."));
    }
    let resource = own_resource(tenant, text)?;
    let (kind, path) = resource.split_once('/').ok_or_else(|| unexpected(resource))?;
    let long = || {
        path.split_once('/')
            .map(|(cluster, id)| (cluster.to_owned(), id.to_owned()))
            .ok_or_else(|| EcsError::parameter("Long arn format must be used for tagging operations"))
    };
    match kind {
        "cluster" => Ok(Taggable::Cluster(path.to_owned())),
        "capacity-provider" => Ok(Taggable::CapacityProvider(path.to_owned())),
        "task-definition" => match definition(tenant, path)? {
            DefinitionRef::Revision { family, revision } => Ok(Taggable::TaskDefinition { family, revision }),
            DefinitionRef::Latest { .. } => Err(EcsError::client("Invalid revision number. Number: null")),
        },
        "daemon-task-definition" => match daemon_definition(tenant, path)? {
            DefinitionRef::Revision { family, revision } => Ok(Taggable::TaskDefinition { family, revision }),
            DefinitionRef::Latest { .. } => Err(EcsError::client("Invalid revision number. Number: null")),
        },
        "daemon" => long().map(|(cluster, name)| Taggable::Daemon { cluster, name }),
        "task" => long().map(|(cluster, id)| Taggable::Task { cluster, id }),
        "container-instance" => long().map(|(cluster, id)| Taggable::ContainerInstance { cluster, id }),
        "service" => long().map(|(cluster, name)| Taggable::Service { cluster, name }),
        // The id has a slash of its own.
        "task-set" => match path.splitn(3, '/').collect::<Vec<_>>()[..] {
            [cluster, service, id] => {
                Ok(Taggable::TaskSet { cluster: cluster.to_owned(), service: service.to_owned(), id: id.to_owned() })
            }
            _ => Err(unexpected(resource)),
        },
        _ => Err(unexpected(resource)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn tenant() -> Tenant {
        Tenant::new("000000000000", "us-east-1")
    }

    #[test]
    fn names_ids_and_both_forms_of_arns_mean_the_same() {
        let long = format!("arn:aws:ecs:us-east-1:000000000000:task/blue/{ID}");
        let short = format!("arn:aws:ecs:us-east-1:000000000000:task/{ID}");
        for text in [ID, &long, &short] {
            assert_eq!(task(&tenant(), "blue", text).ok().as_deref(), Some(ID), "{text}");
        }
        assert_eq!(
            cluster(&tenant(), Some("arn:aws:ecs:us-east-1:000000000000:cluster/blue")).ok().as_deref(),
            Some("blue")
        );
        assert_eq!(cluster(&tenant(), None).ok().as_deref(), Some("default"));
    }

    #[test]
    fn what_belongs_to_others_is_refused() {
        let text = |result: Result<String, EcsError>| result.expect_err("refused").to_string();
        assert_eq!(
            text(cluster(&tenant(), Some("arn:aws:ecs:eu-west-1:000000000000:cluster/a"))),
            "Invalid identifier: Identifier is for eu-west-1. Your region is us-east-1"
        );
        assert_eq!(
            text(cluster(&tenant(), Some("arn:aws:ecs:us-east-1:111111111111:cluster/a"))),
            "Invalid identifier: Identifier is for 111111111111. Your accountId is 000000000000"
        );
        let other = format!("arn:aws:ecs:us-east-1:000000000000:task/green/{ID}");
        assert_eq!(
            text(task(&tenant(), "blue", &other)),
            "Invalid identifier: Identifier is for cluster green. Your cluster is blue"
        );
        assert_eq!(text(task(&tenant(), "blue", "nope")), "taskId length should be one of [32,36]");
        assert!(cluster(&tenant(), Some("arn:aws:sns:us-east-1:000000000000:topic")).is_err());
    }

    #[test]
    fn task_definitions_are_families_revisions_or_arns() {
        let revision = DefinitionRef::Revision { family: "app".to_owned(), revision: 7 };
        assert_eq!(definition(&tenant(), "app:7").ok(), Some(revision));
        assert_eq!(definition(&tenant(), "app").ok(), Some(DefinitionRef::Latest { family: "app".to_owned() }));
        for bad in ["app:", "app:0", "app:x", "app:-1", "app:99999999999"] {
            assert!(definition(&tenant(), bad).is_err(), "{bad}");
        }
    }
}
