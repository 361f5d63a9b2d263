//! PutReplicationConfiguration, DescribeImageReplicationStatus, and the configuration as DescribeRegistry shows it.

use std::collections::BTreeSet;

use cove_model::arn::Tenant;
use cove_model::network::Vpc;
use cove_model::registry_rules::{Replication, ReplicationConfiguration, ReplicationRule};
use cove_store::{Prefix, Read};
use serde::{Deserialize, Serialize};

use super::error::{EcrError, of};
use super::image::selector;
use super::request::ImageIn;
use super::wire::ImageId;
use crate::aws::context::Context;

/// AWS's limit over all rules.
const DESTINATIONS_MAX: usize = 25;
/// AWS's, of all partitions that anybody may use.
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PutIn {
    replication_configuration: ConfigurationWire,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ConfigurationWire {
    rules: Vec<RuleWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleWire {
    destinations: Vec<DestinationWire>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    repository_filters: Vec<FilterWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DestinationWire {
    region: String,
    registry_id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterWire {
    filter: String,
    filter_type: String,
}

/// Replaces the whole configuration. What was pushed before is not replicated by it.
pub(super) async fn put(cx: &Context, input: PutIn) -> Result<PutIn, EcrError> {
    let rules: Vec<ReplicationRule> = input.replication_configuration.rules.into_iter().map(rule).collect();
    let all: Vec<&Tenant> = rules.iter().flat_map(|rule| &rule.destinations).collect();
    if all.contains(&&cx.tenant) {
        return Err(invalid("Replication destination cannot be the same as the source registry"));
    }
    for rule in &rules {
        if rule.destinations.iter().collect::<BTreeSet<_>>().len() < rule.destinations.len() {
            return Err(invalid("Replication destinations of a rule must be unique"));
        }
    }
    if all.iter().collect::<BTreeSet<_>>().len() > DESTINATIONS_MAX {
        return Err(invalid("A replication configuration can have at most 25 unique destinations"));
    }
    if let Some(unknown) = all.iter().find(|to| !is_region(cx, &to.region)) {
        let region = &unknown.region;
        return Err(invalid(&format!("Region '{region}' is not a valid region to replicate to")));
    }
    let tenant = cx.tenant.clone();
    let put = cx.store.write(move |tx| {
        tx.put(ReplicationConfiguration { tenant, rules });
        Ok::<_, EcrError>(())
    });
    put.await?;
    Ok(PutIn { replication_configuration: configuration(cx) })
}

/// A mistyped one would take images that nobody finds again. Beside AWS's it may be one that somebody has used here: an
/// owner's own names are as good.
fn is_region(cx: &Context, name: &str) -> bool {
    let is_used = || cx.store.read(|view| view.scan::<Vpc>(&Prefix::all()).iter().any(|it| it.tenant.region == name));
    REGIONS.contains(&name) || name == cx.settings.region || is_used()
}

/// What DescribeRegistry shows of it.
pub(super) fn configuration(cx: &Context) -> ConfigurationWire {
    shown(cx.registry.replication_rules(&cx.tenant))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusOut {
    repository_name: String,
    image_id: ImageId,
    replication_statuses: Vec<StatusWire>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusWire {
    region: String,
    registry_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_code: Option<String>,
}

pub(super) fn status(cx: &Context, input: ImageIn) -> Result<StatusOut, EcrError> {
    let name = &input.of.repository_name;
    let tenant = input.of.reach(cx, "DescribeImageReplicationStatus")?;
    let selector = selector(&input.image_id).map_err(|failure| {
        EcrError::InvalidParameter(format!("Invalid parameter at 'imageId': {}", failure.failure_reason))
    })?;
    let (image, copies) = cx.registry.replications(&tenant, name, &selector).map_err(of(&tenant, name))?;
    let status = |copy: &Replication| StatusWire {
        region: copy.destination.region.clone(),
        registry_id: copy.destination.account.clone(),
        status: if copy.failure.is_none() { "COMPLETE" } else { "FAILED" },
        failure_code: copy.failure.clone(),
    };
    Ok(StatusOut {
        image_id: ImageId { image_digest: Some(image.digest.clone()), image_tag: input.image_id.image_tag },
        replication_statuses: copies.iter().map(|copy| status(copy)).collect(),
        repository_name: input.of.repository_name,
    })
}

fn rule(wire: RuleWire) -> ReplicationRule {
    ReplicationRule {
        destinations: wire.destinations.into_iter().map(|to| Tenant::new(to.registry_id, to.region)).collect(),
        prefixes: wire.repository_filters.into_iter().map(|filter| filter.filter).collect(),
    }
}

fn shown(rules: Vec<ReplicationRule>) -> ConfigurationWire {
    let destination = |to: Tenant| DestinationWire { region: to.region, registry_id: to.account };
    let filter = |filter| FilterWire { filter, filter_type: "PREFIX_MATCH".to_owned() };
    let rule = |rule: ReplicationRule| RuleWire {
        destinations: rule.destinations.into_iter().map(destination).collect(),
        repository_filters: rule.prefixes.into_iter().map(filter).collect(),
    };
    ConfigurationWire { rules: rules.into_iter().map(rule).collect() }
}

fn invalid(why: &str) -> EcrError {
    EcrError::InvalidParameter(format!(
        "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint: '{why}'"
    ))
}
