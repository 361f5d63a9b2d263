//! What a cluster has of its capacity providers of Auto Scaling groups: the policy that scales the group, and the hook that
//! lets an instance drain before it goes.
//!
//! Holds: both are carried out by our scheduler as soon as the provider says so, hence they are CREATED at once and have
//! no record: their ids and names follow from cluster and provider.

use cove_model::capacity_provider::{CapacityProvider, Switch};
use cove_model::cluster::Cluster;
use cove_store::Read;
use sha2::{Digest, Sha256};

use super::find;
use crate::ecs::wire::{Attachment, Pair};

/// As ECS names them.
const POLICY: &str = "as_policy";
const DRAINING: &str = "managed_draining";
const HOOK: &str = "ecs-managed-draining-termination-hook";

/// Those of a cluster, in the order of its providers.
pub(in crate::ecs) fn attachments(store: &impl Read, cluster: &Cluster) -> Vec<Attachment> {
    let known = cluster.capacity_providers.iter().filter_map(|name| find(store, &cluster.tenant, name));
    known.filter(|it| it.managed.is_none()).flat_map(|it| of_provider(cluster, &it)).collect()
}

fn of_provider(cluster: &Cluster, provider: &CapacityProvider) -> Vec<Attachment> {
    let attachment = |kind: &'static str, detail: Pair| Attachment {
        id: uuid_of(&[kind, &cluster.arn(), &provider.arn()]),
        kind,
        status: "CREATED",
        details: vec![Pair::new("capacityProviderName", provider.name.clone()), detail],
    };
    let mut found = Vec::new();
    if provider.managed_scaling.status == Switch::Enabled {
        let policy = format!("ECSManagedAutoScalingPolicy-{}", uuid_of(&["policy", &provider.arn()]));
        found.push(attachment(POLICY, Pair::new("scalingPolicyName", policy)));
    }
    if provider.managed_draining == Switch::Enabled {
        found.push(attachment(DRAINING, Pair::new("autoScalingLifecycleHookName", HOOK.to_owned())));
    }
    found
}

/// Always the same for the same things.
fn uuid_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let id = hex::encode(hash.finalize());
    [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..32]].join("-")
}
