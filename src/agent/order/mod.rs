//! The order in which a task's containers start and stop, and which of them start again.
//!
//! In: the [`Graph`] of a task definition, the [`Stage`] of each container, the moment. Out: whom to start, whom to give
//! up and why, when to look again; whom to ask to stop. No clock, no store, no await.
//!
//! ```text
//! dependsOn, links, volumesFrom ─▶ Graph ─┐
//! record, what the shim said ─▶ Stages ───┼─▶ starts: now · never · look again at
//!                          restartPolicy ─┘   stops: those that nobody who still runs depends on
//! ```
//!
//! Holds: a container is started only when all it needs is there; one is asked to stop only when nobody that runs needs
//! it; what can never be started is given up, with the ECS agent's words. Why here and not in the shim: the agent of ECS
//! decides it too, every decision follows from what was seen and recorded, so that whoever comes after a crash decides
//! the same, and shims stay small.

mod graph;
mod restart;
mod stage;
mod start;
mod stop;
#[cfg(test)]
mod tests;

pub(crate) use graph::Graph;
pub(crate) use stage::{Stage, stages};
pub(crate) use start::{GIVEN_UP_EXIT, Refusal, Starts, starts};
pub(crate) use stop::stops;
