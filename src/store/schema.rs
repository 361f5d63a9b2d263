//! Every kind of record: its tree, the version of its form, its key.
//!
//! Holds: a change of form raises the version and adds a [`crate::migration`]; a tree's name never changes meaning.

use cove_model::account::{AccountSetting, TenantRecord};
use cove_model::alarm::{Alarm, AlarmHistory};
use cove_model::capacity_provider::CapacityProvider;
use cove_model::cluster::Cluster;
use cove_model::container_instance::ContainerInstance;
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::event::Event;
use cove_model::logs::{LogGroup, LogStream};
use cove_model::network::{SecurityGroup, Subnet, Vpc};
use cove_model::registry::{BlobLink, Image, ImageTag, PulledImage, Referrer, Repository, Upload};
use cove_model::registry_rules::{
    CreationTemplate, PullThroughRule, Replication, ReplicationConfiguration, UpstreamTag,
};
use cove_model::registry_settings::{LifecyclePolicy, LifecyclePreview, RegistrySettings, RepositoryPolicy};
use cove_model::role::Role;
use cove_model::rule::{Delivery, EventBus, Routed, Rule};
use cove_model::scan::{ImageScan, ScanSettings};
use cove_model::secret::Secret;
use cove_model::service::{
    Departed, Service, ServiceDeployment, ServiceEvent, ServiceRevision, ServiceStatus, TaskSet,
};
use cove_model::taken::Taken;
use cove_model::task::{ClientToken, Keeper, Task};
use cove_model::task_definition::{TaskDefinition, TaskFamily};

use crate::derive;
use crate::key::Key;
use crate::keys;
use crate::record::{Kind, Record};

/// Gives each noun its number (the place in [`KINDS`]), its tree, its version, its key, what makes it live, the
/// lists that it is on, what its live ones amount to, and what follows from its changes.
macro_rules! kinds {
    ($($number:literal $noun:ty, $tree:literal, $version:literal, $record:ident => $key:expr $(, live if $live:expr)?
        $(, on $lists:path)? $(, sums $sum:ty)? $(, derives $derive:path)?;)*) => {
        $(impl Record for $noun {
            const TREE: &'static str = $tree;
            const VERSION: u32 = $version;
            const NUMBER: usize = $number;
            type Sum = sum!($($sum)?);
            $(const DERIVE: Option<derive::Derive<Self>> = Some($derive);)?
            fn key(&self) -> Key {
                let $record = self;
                $key
            }
            $(fn is_live(&self) -> bool {
                let $record = self;
                $live
            })?
            $(fn lists(&self) -> Vec<Key> {
                $lists(self)
            })?
        })*

        /// All kinds, by number.
        pub(crate) const KINDS: &[Kind] = &[$(Kind::of::<$noun>()),*];
    };
}

macro_rules! sum {
    () => {
        ()
    };
    ($sum:ty) => {
        $sum
    };
}

kinds! {
    0 Cluster, "clusters", 1, it => keys::cluster(&it.tenant, &it.name);
    1 TaskFamily, "task_families", 1, it => keys::family(&it.tenant, &it.family);
    2 TaskDefinition, "task_definitions", 1, it => keys::definition(&it.tenant, &it.family, it.revision);
    3 Task, "tasks", 1, it => keys::task(&it.tenant, &it.cluster, &it.id), live if it.is_live(), on task_lists,
        sums Taken, derives derive::task;
    4 ClientToken, "client_tokens", 1, it => keys::client_token(&it.tenant, &it.cluster, &it.token);
    5 ContainerInstance, "container_instances", 1,
        it => keys::container_instance(&it.tenant, &it.cluster, &it.id), derives derive::container_instance;
    6 AccountSetting, "account_settings", 1,
        it => keys::account_setting(&it.tenant, it.principal_arn.as_deref(), &it.name);
    7 TenantRecord, "tenants", 1, it => keys::tenant(&it.tenant);
    8 Vpc, "vpcs", 1, it => keys::vpc(&it.tenant, &it.id);
    9 Subnet, "subnets", 1, it => keys::subnet(&it.tenant, &it.id);
    10 SecurityGroup, "security_groups", 1, it => keys::security_group(&it.tenant, &it.id);
    11 Role, "roles", 1, it => keys::role(&it.account, &it.name);
    12 LogGroup, "log_groups", 1, it => keys::log_group(&it.tenant, &it.name);
    13 LogStream, "log_streams", 1, it => keys::log_stream(&it.tenant, &it.group, &it.name);
    14 Repository, "repositories", 1, it => keys::repository(&it.tenant, &it.name);
    15 Image, "images", 1, it => keys::image(&it.tenant, &it.repository, &it.digest), derives derive::image;
    16 ImageTag, "image_tags", 1, it => keys::image_tag(&it.tenant, &it.repository, &it.tag);
    17 BlobLink, "blob_links", 1, it => keys::blob_link(&it.tenant, &it.repository, &it.digest);
    18 Upload, "uploads", 1, it => keys::upload(&it.tenant, &it.repository, &it.id);
    19 Referrer, "referrers", 1, it => keys::referrer(&it.tenant, &it.repository, &it.subject, &it.digest);
    20 PulledImage, "pulled_images", 1, it => keys::pulled_image(&it.tenant, &it.name, &it.reference);
    21 Service, "services", 1, it => keys::service(&it.tenant, &it.cluster, &it.name),
        live if it.status != ServiceStatus::Inactive, derives derive::service;
    22 ServiceRevision, "service_revisions", 1,
        it => keys::service_revision(&it.tenant, &it.cluster, &it.service, &it.id);
    23 ServiceDeployment, "service_deployments", 1,
        it => keys::service_deployment(&it.tenant, &it.cluster, &it.service, &it.id), live if it.is_open();
    24 ServiceEvent, "service_events", 1, it => keys::service_event(&it.tenant, &it.cluster, &it.service, it.number);
    25 Departed, "departed", 1, it => keys::departed(&it.tenant, &it.cluster, &it.service, &it.task_id);
    26 Event, "bus_events", 1, it => keys::event(it.number), live if it.is_large();
    27 Alarm, "alarms", 1, it => keys::alarm(&it.tenant, &it.name), derives derive::alarm;
    28 AlarmHistory, "alarm_history", 1, it => keys::alarm_history(&it.tenant, &it.alarm, it.number);
    29 EventBus, "event_buses", 1, it => keys::event_bus(&it.tenant, &it.name);
    30 Rule, "rules", 1, it => keys::rule(&it.tenant, &it.bus, &it.name);
    31 Delivery, "deliveries", 1, it => keys::delivery(it.number), live if it.dead_at.is_none();
    32 Routed, "routed", 1, it => { let _ = it; keys::routed() };
    33 TaskSet, "task_sets", 1, it => keys::task_set(&it.tenant, &it.cluster, &it.service, &it.id),
        derives derive::task_set;
    34 CapacityProvider, "capacity_providers", 1, it => keys::capacity_provider(&it.tenant, &it.name);
    35 Daemon, "daemons", 1, it => keys::daemon(&it.tenant, &it.cluster, &it.name);
    36 DaemonRevision, "daemon_revisions", 1, it => keys::daemon_part(&it.tenant, &it.cluster, &it.daemon, &it.id);
    37 DaemonDeployment, "daemon_deployments", 1,
        it => keys::daemon_part(&it.tenant, &it.cluster, &it.daemon, &it.id), live if it.status.is_open();
    38 CreationTemplate, "creation_templates", 1, it => keys::creation_template(&it.tenant, &it.prefix);
    39 Secret, "secrets", 1, it => keys::secret(&it.tenant, &it.name);
    40 PullThroughRule, "pull_through_rules", 1, it => keys::pull_through_rule(&it.tenant, &it.prefix);
    41 UpstreamTag, "upstream_tags", 1, it => keys::image_tag(&it.tenant, &it.repository, &it.tag);
    42 ImageScan, "image_scans", 1, it => keys::image_scan(&it.tenant, &it.repository, &it.digest),
        live if it.state.is_open(), derives derive::image_scan;
    43 ScanSettings, "scan_settings", 1, it => keys::scan_settings(&it.tenant);
    44 LifecyclePolicy, "lifecycle_policies", 1, it => keys::lifecycle_policy(&it.tenant, &it.repository);
    45 LifecyclePreview, "lifecycle_previews", 1, it => keys::lifecycle_policy(&it.tenant, &it.repository);
    46 RepositoryPolicy, "repository_policies", 1, it => keys::repository_policy(&it.tenant, &it.repository);
    47 RegistrySettings, "registry_settings", 1, it => keys::registry_settings(&it.tenant);
    48 ReplicationConfiguration, "replication_configurations", 1, it => keys::replication_configuration(&it.tenant);
    49 Replication, "replications", 1,
        it => keys::replication(&it.tenant, &it.repository, &it.digest, &it.destination);
}

/// Its instance's or that of those without one, and its service's or daemon's.
fn task_lists(task: &Task) -> Vec<Key> {
    let on = task.placement.container_instance.as_ref().map(|id| keys::tasks_on(&task.tenant, &task.cluster, id));
    let of = task.keeper.as_ref().map(|keeper| match keeper {
        Keeper::Service(name) => keys::tasks_of(&task.tenant, &task.cluster, name),
        Keeper::Daemon(name) => keys::tasks_of_daemon(&task.tenant, &task.cluster, name),
    });
    let waiting = task.unplaced.as_ref().map(|_| keys::tasks_unplaced());
    on.into_iter().chain(waiting).chain(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_its_own_tree_and_stands_at_its_number() {
        let trees: HashSet<_> = KINDS.iter().map(|kind| kind.tree).collect();
        assert_eq!(trees.len(), KINDS.len());
        for (place, kind) in KINDS.iter().enumerate() {
            assert_eq!(kind.number, place, "{}", kind.tree);
        }
    }
}
