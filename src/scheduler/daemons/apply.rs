//! Carries a decision out: records, new tasks, orders to stop; all in the transaction that it was made in.

use cove_base::ids::random_u64;
use cove_model::container_instance::ContainerInstance;
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::service::{Departed, Trouble};
use cove_model::tag::Tag;
use cove_model::task::{Keeper, LaunchType, Task};
use cove_model::task_template::TaskTemplate;
use cove_store::{Key, Prefix, Read, StoreError, Tx, keys};

use super::decide::{Decision, State, decide};
use super::read::{covered_by, covering, state};
use crate::deploy::{TaskView, Timing};
use crate::fleet::leaving;
use crate::host::HostFacts;
use crate::launch::{Launched, Shares, launch};
use crate::place::Target;
use crate::services::apply::{find_images, order_stop};

/// Decides for one daemon and does what was decided.
pub(crate) fn reconcile(tx: &mut Tx<'_>, host: &HostFacts, timing: &Timing, key: &Key) -> Result<(), StoreError> {
    let Some(daemon) = tx.get::<Daemon>(key) else { return Ok(()) };
    let Some(state) = state(tx, &daemon, timing, tx.now()) else { return Ok(()) };
    let decision = decide(&state);
    carry_out(tx, host, &state, decision);
    Ok(())
}

pub(crate) fn carry_out(tx: &mut Tx<'_>, host: &HostFacts, state: &State, decision: Decision) {
    let Decision { mut daemon, deployment, start, stop, drain, is_gone, wake_at: _ } = decision;
    for ended in &state.departed {
        tx.delete::<Departed>(&keys::departed(&ended.tenant, &ended.cluster, &ended.service, &ended.task_id));
    }
    if is_gone {
        return forget(tx, &daemon);
    }
    for one in stop {
        order_stop(tx, &daemon.tenant, &daemon.cluster, &one.task_id, one.reason);
    }
    for id in drain {
        if let Some(one) = tx.get::<ContainerInstance>(&keys::container_instance(&daemon.tenant, &daemon.cluster, &id))
        {
            tx.put(leaving(&one, tx.now()));
        }
    }
    pin_images(tx, &daemon, &state.tasks);
    daemon.trouble = if start.is_empty() { None } else { begin(tx, host, &daemon, start) };
    if deployment != state.deployment {
        tx.put(deployment);
    }
    if daemon != state.daemon {
        tx.put(daemon);
    }
}

/// With a daemon its revisions and deployments go: its name may be used again, and they would be taken for the new one's.
fn forget(tx: &mut Tx<'_>, daemon: &Daemon) {
    let (tenant, cluster, name) = (&daemon.tenant, &daemon.cluster, &daemon.name);
    let inside = Prefix::parent(tenant, &keys::daemon_parent(cluster, name));
    for one in tx.scan::<DaemonRevision>(&inside) {
        tx.delete::<DaemonRevision>(&keys::daemon_part(tenant, cluster, name, &one.id));
    }
    for one in tx.scan::<DaemonDeployment>(&inside) {
        tx.delete::<DaemonDeployment>(&keys::daemon_part(tenant, cluster, name, &one.id));
    }
    tx.delete::<Daemon>(&keys::daemon(tenant, cluster, name));
}

fn revision(tx: &Tx<'_>, daemon: &Daemon) -> Option<DaemonRevision> {
    let key = keys::daemon_part(&daemon.tenant, &daemon.cluster, &daemon.name, &daemon.revision);
    tx.get::<DaemonRevision>(&key).map(|it| (*it).clone())
}

/// What the first task of a revision found its tags to mean is what all others run.
fn pin_images(tx: &mut Tx<'_>, daemon: &Daemon, tasks: &[TaskView]) {
    let Some(mut revision) = revision(tx, daemon) else { return };
    let known = revision.images.len();
    find_images(tasks, &revision.started_by(), &mut revision.images);
    if revision.images.len() != known {
        tx.put(revision);
    }
}

/// Starts one task on each of the instances; what is in the way of those that found no room.
fn begin(tx: &mut Tx<'_>, host: &HostFacts, daemon: &Daemon, instances: Vec<String>) -> Option<Trouble> {
    let now = tx.now();
    let trouble = |reason: String| {
        let since = daemon.trouble.as_ref().map_or(now, |trouble| trouble.since);
        Some(Trouble { since, reason, refused: None })
    };
    let Some(revision) = revision(tx, daemon) else { return trouble("the daemon's revision is missing".to_owned()) };
    let template = template(daemon, &revision);
    let launched = launch(tx, host, &template, Target::Instances(instances), &Shares::default(), random_u64());
    let Launched { tasks, refusals } = match launched {
        Ok(launched) => launched,
        Err(error) => return trouble(error.to_string()),
    };
    name_providers(tx, &revision, tasks);
    let nearest = refusals.iter().max_by_key(|refusal| refusal.reason)?;
    let place = nearest.arn.as_deref().unwrap_or_default();
    trouble(format!("{} {place} {}", nearest.reason.as_str(), nearest.detail.as_deref().unwrap_or_default()))
}

/// The instance was chosen by us, so that we say which provider it belongs to.
fn name_providers(tx: &mut Tx<'_>, revision: &DaemonRevision, tasks: Vec<Task>) {
    let covering = covering(tx, &revision.tenant, &revision.capacity_providers);
    for mut task in tasks {
        let id = task.placement.container_instance.clone().unwrap_or_default();
        let key = keys::container_instance(&task.tenant, &task.cluster, &id);
        let Some(instance) = tx.get::<ContainerInstance>(&key) else { continue };
        task.placement.capacity_provider = covered_by(&instance, &covering).map(str::to_owned);
        if instance.managed_by.is_some() {
            task.placement.launch_type = LaunchType::ManagedInstances;
        }
        tx.put(task);
    }
}

/// What the daemon's tasks are made from: the revision, and what the daemon adds to each task.
fn template(daemon: &Daemon, revision: &DaemonRevision) -> TaskTemplate {
    let mut template = revision.template.clone();
    template.started_by = Some(revision.started_by());
    template.pinned.clone_from(&revision.images);
    template.keeper = Some(Keeper::Daemon(daemon.name.clone()));
    if revision.propagates_tags {
        template.tags.extend(daemon.tags.iter().cloned());
    }
    if revision.managed_tags {
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        template.tags.push(tag("aws:ecs:clusterName", &daemon.cluster));
        template.tags.push(tag("aws:ecs:daemonName", &daemon.name));
    }
    template
}
