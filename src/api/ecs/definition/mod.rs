//! Task definitions: pure checks (`check` and what it calls), how they are shown, and the operations on them.

mod attributes;
mod check;
mod container;
mod dependency;
mod fargate;
mod list;
mod managed;
mod port;
mod register;
mod remove;
mod show;
mod size;
mod volume;

#[cfg(test)]
mod tests;

use show::show;

pub(super) use check::{CONSTRAINTS_MAX, check, is_name};
pub(super) use container::is_requirement;
pub(super) use list::{families, list};
pub(super) use register::{describe, find, keep, next_revision, register};
pub(super) use remove::{delete, deregister};
pub(super) use size::{check_fargate_size, parse_cpu, parse_memory};
