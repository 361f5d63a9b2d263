//! Tasks on other hosts. Their own agents run and report them; what is left for this one is the last word about those
//! whose host is none of the cluster any more, because nobody listens to its agent then.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::service::Departed;
use cove_model::task::Task;
use cove_store::{Key, Prefix, Read, Record, StoreError};

use crate::deps::{Deps, instance_in};
use crate::observe;

/// Writes STOPPED for tasks that were ordered to stop, or are lost, on a host that was deregistered. Doing it again is
/// fine; what cannot be written is tried again at the next change of any task, or with the housekeeping.
pub(crate) fn bury(deps: &Arc<Deps>) {
    let orphans: Vec<Key> = deps.store.read(|view| {
        let live = view.live::<Task>(&Prefix::all());
        live.iter().filter(|task| is_orphan(view, task)).map(|task| task.key()).collect()
    });
    if orphans.is_empty() {
        return;
    }
    let store = deps.store.clone();
    tokio::spawn(async move {
        let done = store.write(move |tx| {
            for key in &orphans {
                let Some(task) = tx.get::<Task>(key).filter(|task| task.is_live() && is_orphan(tx, task)) else {
                    continue;
                };
                let instance = instance_in(tx, &task).map(|instance| instance.ec2_instance_id.clone());
                let buried = buried(&task, instance.as_deref(), tx.now());
                Departed::of(&buried).into_iter().for_each(|ended| tx.put(ended));
                tx.put(buried);
            }
            Ok::<_, StoreError>(())
        });
        if let Err(error) = done.await {
            tracing::warn!(error = cove_base::error::chain(&error), "tasks of a host that is gone stay as they were");
        }
    });
}

fn is_orphan(state: &impl Read, task: &Task) -> bool {
    task.placement.elsewhere
        && task.desired.is_stopped()
        && instance_in(state, task).is_none_or(|instance| !instance.is_registered())
}

/// Nobody sees any more how its containers end.
fn buried(task: &Task, instance: Option<&str>, now: Timestamp) -> Task {
    let mut task = task.clone();
    observe::host_lost(&mut task, instance, now);
    observe::stopped(&mut task, now);
    task.version += 1;
    task
}

#[cfg(test)]
mod tests {
    use cove_model::task::{Desired, StopCode, StopOrder, TaskStatus};

    use super::*;
    use crate::resolve::tests::{app, task};

    #[test]
    fn a_task_of_a_host_that_is_gone_ends_for_the_reason_of_its_order_without_exit_codes() {
        let mut running = task();
        running.containers = vec![app("main", true)];
        let order = StopOrder { code: StopCode::UserInitiated, reason: "forced".into(), at: Timestamp(1) };
        running.desired = Desired::Stopped(order);
        let buried = buried(&running, Some("i-0"), Timestamp(9));
        assert_eq!((buried.observed.status, buried.version), (TaskStatus::Stopped, running.version + 1));
        assert_eq!(buried.observed.stopped_reason.as_deref(), Some("forced"));
        assert_eq!((buried.containers[0].seen.exit_code, buried.observed.stopped_at), (None, Some(Timestamp(9))));
    }
}
