//! Drives the real server as clients do. One test binary; the folders mirror `src/api`, one file per noun.
//!
//! Each test has a server of its own: node name, directories and port. It needs root, and says so loudly without.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod server;
mod sign;

mod autoscaling;
mod care;
mod cove;
mod creation_template;
mod disk;
mod ec2;
mod ecr;
mod ecs;
mod events;
mod full_disk;
mod housekeeping;
mod http;
mod iam;
mod image;
mod limits;
mod logs;
mod monitoring;
mod oci;
mod power;
mod pull_through;
mod replication;
mod scan;
mod secret;
mod service;
mod smoke;
mod sts;
mod upgrade;
