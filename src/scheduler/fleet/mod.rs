//! The fleet in a box: container instances that share one machine, each with the size of an EC2 type.
//!
//! ```text
//! [[instance]] ─▶ Machine ─▶ reconcile ─▶ container instances ◀─ Verb ◀─ cove fleet, the ECS API
//!                                               │ leaves_at
//!                                               └──▶ spot: what was interrupted leaves when its time has come
//! ```
//!
//! In: what was declared, what is known, what somebody wants. Out: records of instances, and orders to their tasks in
//! the same transaction; the agent does what they say.
//!
//! Holds: a declaration keeps its id over restarts. An instance that became INACTIVE and what happens to its tasks is
//! one transaction, so that a crash leaves nothing half done. What was ended by hand stays away until it is recovered
//! or its declaration goes. Every tenant has the declared fleet, as it has a default cluster and network.
//! Why Cove may declare more than the host has: limits are enforced by control groups and sums by placement, so that
//! constraints can be tried on a small box; `cove doctor` says so.

mod machine;
mod managed;
mod promise;
mod reconcile;
mod record;
mod scale;
mod select;
mod spot;
mod verb;

#[cfg(test)]
mod tests;

pub use machine::{BadMachine, HOST_TYPE, Machine, MachineWish};
pub(crate) use managed::leaving;
pub use managed::{has_offers, retire};
pub use promise::beyond;
pub use reconcile::{reconcile, reconcile_tenant};
pub use record::{CAPABILITIES, add, group_arn};
#[cfg(test)]
pub(crate) use scale::scale_in;
#[cfg(test)]
pub(crate) use scale::surplus;
pub use scale::{group_max, is_used, watch_scaling};
pub(crate) use scale::{growth, tasks_on_an_empty};
pub use select::{Selection, select, select_tasks};
#[cfg(test)]
pub(crate) use spot::depart;
pub use spot::{interrupt_task, watch_departures};
pub use verb::{Refused, Verb, apply, is_meant};

/// What the operator decided about the fleet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fleet {
    /// Declared machines; none means the host itself.
    pub machines: Vec<Machine>,
    /// Between the warning of a Spot interruption and the end.
    pub spot_warning_millis: i64,
    /// How long an instance of a group with managed scaling stays empty before it goes.
    pub scale_in_millis: i64,
    /// How long a task waits for such a group to have room.
    pub provisioning_millis: i64,
}
