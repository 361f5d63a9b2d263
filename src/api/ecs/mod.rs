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

mod attribute;
mod cluster;
mod definition;
mod error;
mod instance;
mod page;
mod reference;
mod setting;
mod tag;
mod task;
mod unsupported;
mod wire;

#[cfg(test)]
mod tests;

pub use task::purge;
pub use unsupported::{FIELDS, Field};

use crate::{Op, Service, json, read};

/// ECS.
pub static SERVICE: Service =
    Service::json("ecs", "AmazonEC2ContainerServiceV20141113", include_bytes!("model.json.gz"), OPS);

/// What memberOf expressions and ListContainerInstances' filter lack.
const QUERY_LANGUAGE: &str = "the rest of the cluster query language";
/// What clusters lack.
const PROVIDERS: &str = "capacity providers other than Fargate's, service connect";

const OPS: &[Op] = &[
    Op::partial("CreateCluster", "ecs::create_cluster", PROVIDERS, |cx, input| json(cx, input, cluster::create)),
    Op::done("DescribeClusters", "ecs::describe_clusters", |cx, input| read(cx, input, cluster::describe)),
    Op::done("ListClusters", "ecs::list_clusters", |cx, input| read(cx, input, cluster::list)),
    Op::done("DeleteCluster", "ecs::delete_cluster", |cx, input| json(cx, input, cluster::delete)),
    Op::done("UpdateCluster", "ecs::update_cluster", |cx, input| json(cx, input, cluster::update)),
    Op::done("UpdateClusterSettings", "ecs::update_cluster_settings", |cx, input| json(cx, input, cluster::update)),
    Op::done("RegisterTaskDefinition", "ecs::register_task_definition", |cx, input| {
        json(cx, input, definition::register)
    }),
    Op::done("DescribeTaskDefinition", "ecs::describe_task_definition", |cx, input| {
        read(cx, input, definition::describe)
    }),
    Op::done("ListTaskDefinitions", "ecs::list_task_definitions", |cx, input| read(cx, input, definition::list)),
    Op::done("ListTaskDefinitionFamilies", "ecs::list_task_definition_families", |cx, input| {
        read(cx, input, definition::families)
    }),
    Op::done("DeregisterTaskDefinition", "ecs::deregister_task_definition", |cx, input| {
        json(cx, input, definition::deregister)
    }),
    Op::done("DeleteTaskDefinitions", "ecs::delete_task_definitions", |cx, input| json(cx, input, definition::delete)),
    Op::partial(
        "RunTask",
        "ecs::run_task",
        "the fields of `cove ops --fields` that are not carried out",
        |cx, input| json(cx, input, task::run),
    ),
    Op::partial(
        "StartTask",
        "ecs::start_task",
        "the fields of `cove ops --fields` that are not carried out",
        |cx, input| json(cx, input, task::start),
    ),
    Op::done("StopTask", "ecs::stop_task", |cx, input| json(cx, input, task::stop)),
    Op::done("DescribeTasks", "ecs::describe_tasks", |cx, input| read(cx, input, task::describe)),
    Op::partial("ListTasks", "ecs::list_tasks", "services and daemons", |cx, input| read(cx, input, task::list)),
    Op::partial("ListContainerInstances", "ecs::list_container_instances", QUERY_LANGUAGE, |cx, input| {
        read(cx, input, instance::list)
    }),
    Op::done("DescribeContainerInstances", "ecs::describe_container_instances", |cx, input| {
        read(cx, input, instance::describe)
    }),
    Op::partial(
        "UpdateContainerInstancesState",
        "ecs::update_container_instances_state",
        "services, whose tasks a draining instance hands over",
        |cx, input| json(cx, input, instance::update_state),
    ),
    Op::done("PutAttributes", "ecs::put_attributes", |cx, input| json(cx, input, attribute::put)),
    Op::done("DeleteAttributes", "ecs::delete_attributes", |cx, input| json(cx, input, attribute::delete)),
    Op::done("ListAttributes", "ecs::list_attributes", |cx, input| read(cx, input, attribute::list)),
    Op::partial("TagResource", "ecs::tag_resource", "services and capacity providers", |cx, input| {
        json(cx, input, tag::tag)
    }),
    Op::partial("UntagResource", "ecs::untag_resource", "services and capacity providers", |cx, input| {
        json(cx, input, tag::untag)
    }),
    Op::partial(
        "ListTagsForResource",
        "ecs::list_tags_for_resource",
        "services and capacity providers",
        |cx, input| read(cx, input, tag::list),
    ),
    Op::partial("ListAccountSettings", "ecs::list_account_settings", SETTINGS, |cx, input| {
        read(cx, input, setting::list)
    }),
    Op::partial("PutAccountSetting", "ecs::put_account_setting", SETTINGS, |cx, input| json(cx, input, setting::put)),
    Op::partial("PutAccountSettingDefault", "ecs::put_account_setting_default", SETTINGS, |cx, input| {
        json(cx, input, setting::put_default)
    }),
    Op::partial("DeleteAccountSetting", "ecs::delete_account_setting", SETTINGS, |cx, input| {
        json(cx, input, setting::delete)
    }),
];

/// Which settings change nothing yet.
const SETTINGS: &str = "what settings other than containerInsights change";
