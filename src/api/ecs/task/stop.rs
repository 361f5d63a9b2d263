//! StopTask.

use cove_model::task::{Desired, StopCode, StopOrder, Task};
use cove_store::{Read, keys};

use super::show::{Tags, show};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::wire::{StopTaskIn, StopTaskOut};
use crate::ecs::{cluster, reference};

/// ECS's limit of a reason.
const REASON_MAX: usize = 1024;
const REASON_DEFAULT: &str = "Task stopped by user";

/// StopTask. Records the wish; the agent does the stopping. Stopping a stopped task changes nothing.
pub(in crate::ecs) async fn stop(cx: &Context, input: StopTaskIn) -> Result<StopTaskOut, EcsError> {
    let tenant = cx.tenant.clone();
    let cluster = reference::cluster(&tenant, input.cluster.as_deref())?;
    let id = reference::task(&tenant, &cluster, &input.task)?;
    let reason = input.reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| REASON_DEFAULT.to_owned());
    if reason.chars().count() > REASON_MAX {
        return Err(EcsError::parameter("reason must be at most 1024 characters."));
    }
    let task = cx
        .store
        .write(move |tx| {
            cluster::active(tx, &tenant, &cluster)?;
            let found = tx
                .get::<Task>(&keys::task(&tenant, &cluster, &id))
                .ok_or_else(|| EcsError::parameter("The referenced task was not found."))?;
            let mut task = (*found).clone();
            if task.is_live() && !task.desired.is_stopped() {
                task.desired = Desired::Stopped(StopOrder { code: StopCode::UserInitiated, reason, at: tx.now() });
                task.version += 1;
                tx.put(task.clone());
            }
            Ok::<_, EcsError>(task)
        })
        .await?;
    Ok(StopTaskOut { task: show(&task, Tags::Shown) })
}
