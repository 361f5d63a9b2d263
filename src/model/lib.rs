//! The nouns of the domain and the rules that hold between them. No I/O, no clock, no store.
//!
//! Holds: a stored record carries its [`Tenant`](arn::Tenant), so that nothing leaks from one account or region to another.

pub mod access_policy;
pub mod account;
pub mod alarm;
pub mod arn;
pub mod capacity_provider;
pub mod cbor;
pub mod cluster;
pub mod container_instance;
pub mod daemon;
pub mod event;
pub mod fargate;
pub mod fault;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod image;
pub mod instance_type;
pub mod logs;
pub mod managed_instances;
pub mod network;
pub mod registry;
pub mod registry_rules;
pub mod registry_settings;
pub mod role;
pub mod rule;
pub mod scan;
pub mod secret;
pub mod service;
pub mod tag;
pub mod taken;
pub mod task;
pub mod task_definition;
pub mod task_end;
pub mod task_override;
pub mod task_template;
pub mod wildcard;
