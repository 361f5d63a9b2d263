//! Why a service, a daemon or a task is not where it should be, in sentences that a person can read.
//!
//! In: records as they are now. Out: lines. Nothing is changed; placement is asked again without taking anything.

mod daemon;
mod service;
mod task;

use cove_base::Timestamp;
use cove_base::words::counted;
use cove_model::arn::Tenant;
use cove_model::service::Pacing;
use cove_model::task::{Keeper, Task};
use cove_store::{Prefix, Read};

use crate::place::Refusal;

pub use daemon::daemon;
pub use service::service;
pub use task::task;

/// Instances that are listed with what they lack.
const REFUSALS_MAX: usize = 20;

fn refusal(it: &Refusal) -> String {
    let place = it.arn.as_deref().and_then(|arn| arn.rsplit('/').next()).unwrap_or("this host");
    let detail = it.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{place}: {}{detail}", it.reason.as_str())
}

/// When the next one is tried, after several that did not stay.
fn pause(pacing: &Pacing, now: Timestamp) -> Option<String> {
    let at = pacing.not_before.filter(|at| *at > now)?;
    let secs = (at.millis() - now.millis() + 999) / 1000;
    let failures = counted(pacing.failures as usize, "task");
    Some(format!("{failures} in a row did not stay: the next one starts in {secs} s, at {}", at.rfc3339()))
}

/// What became of the task of it that stopped last, as long as that is known.
fn last_stopped(source: &impl Read, tenant: &Tenant, cluster: &str, keeper: &Keeper) -> Vec<String> {
    let tasks = source.scan::<Task>(&Prefix::parent(tenant, cluster));
    let stopped = tasks.iter().filter(|task| !task.is_live() && task.keeper.as_ref() == Some(keeper));
    let Some(last) = stopped.max_by_key(|task| task.observed.stopped_at) else { return Vec::new() };
    let at = last.observed.stopped_at.map(|at| format!(" at {}", at.rfc3339())).unwrap_or_default();
    let reason = last.observed.stopped_reason.as_deref().unwrap_or("nobody knows why");
    let mut lines = vec![format!("the last task that stopped is {}{at}: {reason}", last.id)];
    lines.extend(last.containers.iter().map(|container| format!("    {}", task::container(last, container))));
    lines
}
