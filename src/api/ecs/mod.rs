//! Amazon ECS.
//!
//! In: requests of the ECS API, checked against its model. Out: records in the store, which agent and scheduler act on.
//!
//! Holds: every operation makes at most one transaction; tasks are placed inside theirs, so that nothing is promised
//! twice. RegisterTaskDefinition takes what AWS takes; what this version does not carry out is refused when it is to be
//! run ([`FIELDS`]), never ignored.
//!
//! Where to look: `definition/` checks and keeps task definitions, `task/` runs and shows tasks, `reference` says what a
//! name or ARN means, `page` cuts listings.

#![allow(clippy::needless_pass_by_value, reason = "handlers own their input: the adapters hand it over")]

pub(crate) mod acs;
mod agent;
mod attribute;
mod capacity_provider;
mod cluster;
mod daemon;
mod definition;
mod error;
mod instance;
mod page;
mod reference;
mod report;
mod service;
mod session_log;
mod setting;
mod tag;
mod task;
mod unsupported;
mod wire;

#[cfg(test)]
mod tests;

pub(crate) use task::{own_protection, protect_own};
pub use unsupported::{FIELDS, Field};

use crate::{Op, Service, json, read};

/// ECS.
pub static SERVICE: Service =
    Service::json("ecs", "AmazonEC2ContainerServiceV20141113", include_bytes!("model.json.gz"), OPS);

/// What services lack.
const SERVICES: &str = "load balancers, service discovery, Service Connect, volumes, CODE_DEPLOY";
/// What task sets lack.
const SETS: &str = "load balancers, service discovery";
/// What clusters lack.
const CLUSTERS: &str = "service connect";
/// What agents of other hosts lack.
const AGENTS: &str = "in tasks of other hosts: network interfaces (awsvpc is not placed there) and ExecuteCommand";
const ATTACHMENTS: &str = "network interfaces of other hosts: there is no attachment to report";
const UPDATES: &str = "packages to update agents to: there is never an update";
/// The tests of what agents call.
const AGENT_TEST: &str = "an_agent_of_another_host_runs_tasks_across_restarts";
const REGISTER_TEST: &str = "an_agent_of_another_host_registers_and_waits_for_its_connection";
/// What capacity providers lack, for one host has nothing of the kind.
const PROVIDERS: &str = "of managed instances, refused by name: capacity reservations, FIPS, metadata tags, the price of Spot against on-demand, detailed monitoring";
/// The tests of capacity providers.
const PROVIDERS_TEST: &str = "a_capacity_provider_sends_tasks_to_its_group_across_restarts";
const MANAGED_TEST: &str = "managed_instances_are_made_for_tasks_and_go_when_idle_across_restarts";

/// What Express services lack, and their test.
const EXPRESS: &str = "load balancers; scaling by target";
const EXPRESS_TEST: &str = "an_express_service_runs_is_updated_and_drains_across_restarts";

/// What terminal sessions lack.
const EXECUTE: &str = "of executeCommandConfiguration: logs in S3 and encryption (refused by name); resuming a session whose connection broke";

/// The test of account settings.
const SETTINGS_TEST: &str = "account_settings_are_layered_and_survive_a_restart";

/// The tests of daemons.
const DAEMON_TEST: &str = "a_daemon_runs_once_on_each_instance_of_its_providers_across_restarts";
const DAEMON_DEPLOYMENTS_TEST: &str = "a_daemon_deployment_replaces_its_tasks_and_goes_back_when_they_fail";
const DAEMON_DEFINITIONS_TEST: &str = "a_daemon_task_definition_lives_and_dies_across_restarts";

const OPS: &[Op] = &[
    Op::partial("CreateCluster", "a_cluster_survives_restarts_until_it_is_deleted", CLUSTERS, |cx, input| {
        json(cx, input, cluster::create)
    }),
    Op::done("DescribeClusters", "a_cluster_survives_restarts_until_it_is_deleted", |cx, input| {
        read(cx, input, cluster::describe)
    }),
    Op::done("ListClusters", "a_cluster_survives_restarts_until_it_is_deleted", |cx, input| {
        read(cx, input, cluster::list)
    }),
    Op::done("DeleteCluster", "a_cluster_survives_restarts_until_it_is_deleted", |cx, input| {
        json(cx, input, cluster::delete)
    }),
    Op::done("UpdateCluster", "a_cluster_survives_restarts_until_it_is_deleted", |cx, input| {
        json(cx, input, cluster::update)
    }),
    Op::done("UpdateClusterSettings", "a_cluster_survives_restarts_until_it_is_deleted", |cx, input| {
        json(cx, input, cluster::update)
    }),
    Op::done("RegisterTaskDefinition", "a_definition_lives_and_dies_across_restarts", |cx, input| {
        json(cx, input, definition::register)
    }),
    Op::done("DescribeTaskDefinition", "a_definition_lives_and_dies_across_restarts", |cx, input| {
        read(cx, input, definition::describe)
    }),
    Op::done("ListTaskDefinitions", "a_definition_lives_and_dies_across_restarts", |cx, input| {
        read(cx, input, definition::list)
    }),
    Op::done("ListTaskDefinitionFamilies", "families_and_revisions_are_listed_in_order_and_in_pages", |cx, input| {
        read(cx, input, definition::families)
    }),
    Op::done("DeregisterTaskDefinition", "a_definition_lives_and_dies_across_restarts", |cx, input| {
        json(cx, input, definition::deregister)
    }),
    Op::done("DeleteTaskDefinitions", "a_definition_lives_and_dies_across_restarts", |cx, input| {
        json(cx, input, definition::delete)
    }),
    Op::partial(
        "RunTask",
        "a_task_lives_and_dies_across_restarts",
        "the fields of `cove ops --fields` that are not carried out",
        |cx, input| json(cx, input, task::run),
    ),
    Op::partial(
        "StartTask",
        "start_task_puts_a_task_on_the_named_instance",
        "the fields of `cove ops --fields` that are not carried out",
        |cx, input| json(cx, input, task::start),
    ),
    Op::partial("ExecuteCommand", "a_command_is_executed_in_a_terminal_session", EXECUTE, |cx, input| {
        read(cx, input, task::execute)
    }),
    Op::done("StopTask", "a_task_lives_and_dies_across_restarts", |cx, input| json(cx, input, task::stop)),
    Op::done("DescribeTasks", "a_task_lives_and_dies_across_restarts", |cx, input| read(cx, input, task::describe)),
    Op::done("ListTasks", "tasks_are_listed_by_what_they_are_and_in_pages", |cx, input| read(cx, input, task::list)),
    Op::done("GetTaskProtection", "a_protected_task_outlives_scaling_in", |cx, input| {
        read(cx, input, task::protection)
    }),
    Op::done("UpdateTaskProtection", "a_protected_task_outlives_scaling_in", |cx, input| {
        json(cx, input, task::protect)
    }),
    Op::partial("CreateService", "a_service_keeps_its_tasks_across_restarts", SERVICES, |cx, input| {
        json(cx, input, service::create)
    }),
    Op::partial("UpdateService", "a_new_definition_replaces_the_tasks_of_a_service", SERVICES, |cx, input| {
        json(cx, input, service::update)
    }),
    Op::done("DeleteService", "a_deleted_service_drains_and_stays_describable", |cx, input| {
        json(cx, input, service::delete)
    }),
    Op::done("DescribeServices", "a_service_keeps_its_tasks_across_restarts", |cx, input| {
        read(cx, input, service::describe)
    }),
    Op::partial("CreateExpressGatewayService", EXPRESS_TEST, EXPRESS, |cx, input| {
        json(cx, input, service::express::create)
    }),
    Op::partial("DescribeExpressGatewayService", EXPRESS_TEST, EXPRESS, |cx, input| {
        read(cx, input, service::express::describe)
    }),
    Op::partial("UpdateExpressGatewayService", EXPRESS_TEST, EXPRESS, |cx, input| {
        json(cx, input, service::express::update)
    }),
    Op::partial("DeleteExpressGatewayService", EXPRESS_TEST, EXPRESS, |cx, input| {
        json(cx, input, service::express::delete)
    }),
    Op::done("ListServices", "services_are_listed_by_what_they_are", |cx, input| read(cx, input, service::list)),
    Op::partial(
        "ListServicesByNamespace",
        "services_are_listed_by_what_they_are",
        "namespaces of Service Connect",
        |cx, input| read(cx, input, service::list_by_namespace),
    ),
    Op::partial("CreateTaskSet", "task_sets_share_the_desired_count", SETS, |cx, input| {
        json(cx, input, service::create_task_set)
    }),
    Op::done("UpdateTaskSet", "task_sets_share_the_desired_count", |cx, input| {
        json(cx, input, service::update_task_set)
    }),
    Op::done("UpdateServicePrimaryTaskSet", "task_sets_share_the_desired_count", |cx, input| {
        json(cx, input, service::update_primary_task_set)
    }),
    Op::done("DeleteTaskSet", "task_sets_share_the_desired_count", |cx, input| {
        json(cx, input, service::delete_task_set)
    }),
    Op::done("DescribeTaskSets", "task_sets_share_the_desired_count", |cx, input| {
        read(cx, input, service::describe_task_sets)
    }),
    Op::done("ListServiceDeployments", "a_deployment_leaves_its_history", |cx, input| {
        read(cx, input, service::list_deployments)
    }),
    Op::done("DescribeServiceDeployments", "a_deployment_leaves_its_history", |cx, input| {
        read(cx, input, service::describe_deployments)
    }),
    Op::done("DescribeServiceRevisions", "a_deployment_leaves_its_history", |cx, input| {
        read(cx, input, service::describe_revisions)
    }),
    Op::done("StopServiceDeployment", "a_stopped_deployment_rolls_back", |cx, input| {
        json(cx, input, service::stop_deployment)
    }),
    Op::done("ContinueServiceDeployment", "a_paused_deployment_goes_on_when_told", |cx, input| {
        json(cx, input, service::continue_deployment)
    }),
    Op::done(
        "ListContainerInstances",
        "instances_are_found_by_the_query_language_also_after_a_restart",
        |cx, input| read(cx, input, instance::list),
    ),
    Op::done("DescribeContainerInstances", "a_draining_instance_takes_no_tasks_also_after_a_restart", |cx, input| {
        read(cx, input, instance::describe)
    }),
    Op::done("UpdateContainerInstancesState", "a_draining_instance_hands_its_tasks_over", |cx, input| {
        json(cx, input, instance::update_state)
    }),
    Op::done(
        "DeregisterContainerInstance",
        "a_deregistered_instance_takes_its_tasks_along_only_by_force",
        |cx, input| json(cx, input, instance::deregister),
    ),
    Op::partial("CreateCapacityProvider", MANAGED_TEST, PROVIDERS, |cx, input| {
        json(cx, input, capacity_provider::create)
    }),
    Op::partial("UpdateCapacityProvider", MANAGED_TEST, PROVIDERS, |cx, input| {
        json(cx, input, capacity_provider::update)
    }),
    Op::done("DeleteCapacityProvider", PROVIDERS_TEST, |cx, input| json(cx, input, capacity_provider::delete)),
    Op::done("DescribeCapacityProviders", PROVIDERS_TEST, |cx, input| read(cx, input, capacity_provider::describe)),
    Op::done("PutClusterCapacityProviders", PROVIDERS_TEST, |cx, input| json(cx, input, cluster::put_providers)),
    Op::done("RegisterContainerInstance", REGISTER_TEST, |cx, input| json(cx, input, agent::register)),
    Op::done("DiscoverPollEndpoint", AGENT_TEST, |cx, input| read(cx, input, agent::discover)),
    Op::partial("SubmitTaskStateChange", AGENT_TEST, AGENTS, |cx, input| json(cx, input, report::task)),
    Op::partial("SubmitContainerStateChange", AGENT_TEST, AGENTS, |cx, input| json(cx, input, report::container)),
    Op::partial("SubmitAttachmentStateChanges", REGISTER_TEST, ATTACHMENTS, |cx, input| {
        read(cx, input, agent::submit_attachments)
    }),
    Op::partial("UpdateContainerAgent", REGISTER_TEST, UPDATES, |cx, input| read(cx, input, agent::update)),
    Op::done("RegisterDaemonTaskDefinition", DAEMON_DEFINITIONS_TEST, |cx, input| {
        json(cx, input, daemon::definition::register)
    }),
    Op::done("DescribeDaemonTaskDefinition", DAEMON_DEFINITIONS_TEST, |cx, input| {
        read(cx, input, daemon::definition::describe)
    }),
    Op::done("ListDaemonTaskDefinitions", DAEMON_DEFINITIONS_TEST, |cx, input| {
        read(cx, input, daemon::definition::list)
    }),
    Op::done("DeleteDaemonTaskDefinition", DAEMON_DEFINITIONS_TEST, |cx, input| {
        json(cx, input, daemon::definition::delete)
    }),
    Op::done("CreateDaemon", DAEMON_TEST, |cx, input| json(cx, input, daemon::change::create)),
    Op::done("UpdateDaemon", DAEMON_DEPLOYMENTS_TEST, |cx, input| json(cx, input, daemon::change::update)),
    Op::done("DeleteDaemon", DAEMON_TEST, |cx, input| json(cx, input, daemon::change::delete)),
    Op::done("DescribeDaemon", DAEMON_TEST, |cx, input| read(cx, input, daemon::look::describe)),
    Op::done("ListDaemons", DAEMON_TEST, |cx, input| read(cx, input, daemon::look::list)),
    Op::done("DescribeDaemonDeployments", DAEMON_DEPLOYMENTS_TEST, |cx, input| {
        read(cx, input, daemon::rollout::describe)
    }),
    Op::done("ListDaemonDeployments", DAEMON_DEPLOYMENTS_TEST, |cx, input| read(cx, input, daemon::rollout::list)),
    Op::done("DescribeDaemonRevisions", DAEMON_DEPLOYMENTS_TEST, |cx, input| {
        read(cx, input, daemon::rollout::describe_revisions)
    }),
    Op::done("PutAttributes", "attributes_steer_placement_across_restarts", |cx, input| {
        json(cx, input, attribute::put)
    }),
    Op::done("DeleteAttributes", "attributes_steer_placement_across_restarts", |cx, input| {
        json(cx, input, attribute::delete)
    }),
    Op::done("ListAttributes", "attributes_steer_placement_across_restarts", |cx, input| {
        read(cx, input, attribute::list)
    }),
    Op::done("TagResource", "tags_of_every_kind_of_resource_survive_a_restart", |cx, input| json(cx, input, tag::tag)),
    Op::done("UntagResource", "tags_of_every_kind_of_resource_survive_a_restart", |cx, input| {
        json(cx, input, tag::untag)
    }),
    Op::done("ListTagsForResource", "tags_of_every_kind_of_resource_survive_a_restart", |cx, input| {
        read(cx, input, tag::list)
    }),
    Op::done("ListAccountSettings", SETTINGS_TEST, |cx, input| read(cx, input, setting::list)),
    Op::done("PutAccountSetting", SETTINGS_TEST, |cx, input| json(cx, input, setting::put)),
    Op::done("PutAccountSettingDefault", SETTINGS_TEST, |cx, input| json(cx, input, setting::put_default)),
    Op::done("DeleteAccountSetting", SETTINGS_TEST, |cx, input| json(cx, input, setting::delete)),
];
