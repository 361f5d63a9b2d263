//! Carries a decision out: records, new tasks, orders to stop, events; all in the transaction that it was made in.

use std::collections::{BTreeMap, BTreeSet};

use cove_base::Timestamp;
use cove_base::ids::{random_u64, uuid};
use cove_model::arn::Tenant;
use cove_model::container_instance::{ContainerInstance, ContainerInstanceStatus, container_instance_arn};
use cove_model::event::ecs::{ServiceAction, ServiceActionKind};
use cove_model::network::Subnet;
use cove_model::service::{
    Departed, EVENTS_MAX, PinnedImage, PropagateTags, Refused, Service, ServiceEvent, ServiceRevision, ServiceStatus,
    TaskSet, Trouble,
};
use cove_model::tag::Tag;
use cove_model::task::{Desired, Health, Keeper, LaunchType, StopCode, StopOrder, Task, task_arn};
use cove_model::task_definition::TaskDefinition;
use cove_model::task_template::{
    PlacementConstraint, PlacementConstraintType, PlacementStrategy, PlacementStrategyType, TaskTemplate,
};
use cove_store::{Key, Prefix, Read, StoreError, Tx, keys};

use super::read::Scene;
use crate::deploy::{Decision, On, Say, Start, State, Stop, TaskView, Timing, decide, message};
use crate::host::HostFacts;
use crate::launch::{LaunchError, Launched, Shares, launch, launch_now};
use crate::place::{BadRequest, Reason, Refusal, Target};

/// The same complaint is not made again within this time, as on AWS.
const COMPLAINT_MILLIS: i64 = 6 * 60 * 60 * 1000;

/// Tasks, or instances, that one event names: all ten thousand would be more than a target takes.
const EVENT_TASKS_MAX: usize = 100;

/// What zones are told apart by in placement.
const ZONE_FIELD: &str = "attribute:ecs.availability-zone";

/// Decides for one service and does what was decided.
pub(crate) fn reconcile(tx: &mut Tx<'_>, host: &HostFacts, timing: &Timing, key: &Key) -> Result<(), StoreError> {
    let Some(service) = tx.get::<Service>(key).filter(|it| it.status != ServiceStatus::Inactive) else {
        return Ok(());
    };
    let now = tx.now();
    let state = Scene::at(timing, now).state(tx, &service);
    let decision = decide(&state);
    carry_out(tx, host, &state, decision);
    Ok(())
}

/// Does what was decided on that state.
pub(crate) fn carry_out(tx: &mut Tx<'_>, host: &HostFacts, state: &State, decision: Decision) {
    let Decision { mut service, rollouts, task_sets, start, stop, violated, say, wake_at: _ } = decision;
    for ended in &state.departed {
        tx.delete::<Departed>(&keys::departed(&ended.tenant, &ended.cluster, &ended.service, &ended.task_id));
    }
    for (after, before) in rollouts.into_iter().zip(&state.rollouts) {
        if after != *before {
            tx.put(after);
        }
    }
    keep_sets(tx, &state.task_sets, task_sets);
    let mut told = say;
    // By the zone that is to have fewer.
    let mut stopped: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    for Stop { task_id, reason, rebalances } in stop {
        let ordered = order_stop(tx, &service.tenant, &service.cluster, &task_id, reason);
        stopped.entry(rebalances).or_default().extend(ordered);
    }
    for (zone, ids) in stopped.iter().filter(|(_, ids)| !ids.is_empty()) {
        tell_of_stopped(tx, &service, ids);
        told.push(Say::News(match zone {
            None => message::stopped(&service.name, ids),
            Some(zone) => message::stopped_in(&service.name, zone, ids),
        }));
    }
    tell_of_violated(tx, &service, &violated);
    pin_images(tx, &service, state);
    let known = service.trouble.take();
    for one in start {
        told.extend(begin(tx, host, &mut service, one));
    }
    if let (Some(trouble), Some(known)) = (&mut service.trouble, known) {
        trouble.since = known.since;
    }
    for say in told {
        tell(tx, &mut service, say);
    }
    if service != state.service {
        tx.put(service);
    }
}

fn tell_of_stopped(tx: &mut Tx<'_>, service: &Service, ids: &[String]) {
    let arn = service.arn();
    let task_arns: Vec<String> = ids.iter().map(|id| task_arn(&service.tenant, &service.cluster, id)).collect();
    let action = ServiceAction::new(ServiceActionKind::TasksStopped, &service.tenant, &service.cluster, &arn);
    for some in task_arns.chunks(EVENT_TASKS_MAX) {
        tx.emit(ServiceAction { task_arns: some, ..action }.event(tx.now()));
    }
}

fn tell_of_violated(tx: &mut Tx<'_>, service: &Service, ids: &BTreeSet<String>) {
    let kind = ServiceActionKind::ServiceDaemonPlacementConstraintViolated;
    let (tenant, cluster, arn) = (&service.tenant, &service.cluster, service.arn());
    let instance_arns: Vec<String> = ids.iter().map(|id| container_instance_arn(tenant, cluster, id)).collect();
    let action = ServiceAction::new(kind, tenant, cluster, &arn);
    for some in instance_arns.chunks(EVENT_TASKS_MAX) {
        tx.emit(ServiceAction { container_instance_arns: some, ..action }.event(tx.now()));
    }
}

/// Writes those that changed and removes those that are gone.
fn keep_sets(tx: &mut Tx<'_>, before: &[TaskSet], after: Vec<TaskSet>) {
    for old in before.iter().filter(|old| !after.iter().any(|set| set.id == old.id)) {
        tx.delete::<TaskSet>(&keys::task_set(&old.tenant, &old.cluster, &old.service, &old.id));
    }
    for set in after.into_iter().filter(|set| !before.contains(set)) {
        tx.put(set);
    }
}

/// What the first task of a revision found its tags to mean is what all others run.
fn pin_images(tx: &mut Tx<'_>, service: &Service, state: &State) {
    let deployments = service.deployments.iter().map(|it| (&it.id, &it.revision));
    for (id, revision) in deployments.chain(state.task_sets.iter().map(|it| (&it.id, &it.revision))) {
        let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, revision);
        let Some(known) = tx.get::<ServiceRevision>(&key) else { continue };
        let mut revision = (*known).clone();
        find_images(&state.tasks, id, &mut revision.images);
        if revision != *known {
            tx.put(revision);
        }
    }
}

/// Adds the digests that the live tasks of a deployment have found, for containers that have none yet.
pub(crate) fn find_images(tasks: &[TaskView], deployment: &str, images: &mut Vec<PinnedImage>) {
    for task in tasks.iter().filter(|task| *task.deployment == *deployment).map(|view| &view.task) {
        for container in &task.containers {
            let is_known = images.iter().any(|image| image.container == container.name);
            let (false, Some(digest)) = (is_known, &container.seen.image_digest) else { continue };
            let (container, image) = (container.name.clone(), container.image.clone());
            images.push(PinnedImage { container, image, digest: digest.clone() });
        }
    }
}

/// Its id, if it is there and had not been asked before.
pub(crate) fn order_stop(
    tx: &mut Tx<'_>,
    tenant: &Tenant,
    cluster: &str,
    task_id: &str,
    reason: String,
) -> Option<String> {
    let found = tx.get::<Task>(&keys::task(tenant, cluster, task_id))?;
    if !found.is_live() || found.desired.is_stopped() {
        return None;
    }
    let mut task = (*found).clone();
    let order = StopOrder { code: StopCode::ServiceSchedulerInitiated, reason, at: tx.now() };
    task.desired = Desired::Stopped(order);
    task.version += 1;
    tx.put(task);
    Some(task_id.to_owned())
}

/// Starts tasks, and says how that went.
pub(super) fn begin(tx: &mut Tx<'_>, host: &HostFacts, service: &mut Service, start: Start) -> Vec<Say> {
    let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, &start.revision);
    let Some(revision) = tx.get::<ServiceRevision>(&key) else {
        let text = message::misconfigured(&service.name, "the service revision is missing");
        return complain(service, tx.now(), text, None);
    };
    let mut template = template(tx, service, &revision, &start.deployment);
    let (target, zone) = match start.on {
        On::Anywhere(count) => (Target::Count(count as usize), None),
        On::Instances(ids) => (Target::Instances(ids), None),
        On::Zone(zone, count) => (Target::Count(count as usize), Some(zone)),
    };
    if let Some(zone) = &zone {
        only_in(tx, &mut template, zone);
    }
    let shares = shares(tx, &template);
    // What only makes the zones even is no reason to wait, and to have failed when it has waited for too long.
    let launched = match &zone {
        None => launch(tx, host, &template, target, &shares, random_u64()),
        Some(_) => launch_now(tx, host, &template, target, &shares, random_u64()),
    };
    match launched {
        Ok(Launched { tasks, refusals }) => {
            let mut told = Vec::new();
            if !tasks.is_empty() {
                let ids: Vec<String> = tasks.into_iter().map(|task| task.id).collect();
                told.push(Say::News(match &zone {
                    None => message::started(&service.name, &ids),
                    Some(zone) => message::started_in(&service.name, zone, &ids),
                }));
            }
            let is_on_instances = template.placing.launch_type != LaunchType::Fargate;
            if let Some(refusal) = closest(&refusals) {
                let text = match &zone {
                    None => unplaced(service, refusal),
                    Some(zone) => message::unplaced_in(&service.name, zone, is_on_instances),
                };
                told.extend(complain(service, tx.now(), text, Some(refused(refusal, is_on_instances))));
            }
            told
        }
        Err(LaunchError::Place(BadRequest::NoContainerInstances)) => {
            let text = message::unplaced(&service.name, None);
            complain(service, tx.now(), text, Some(Refused::default()))
        }
        Err(error) => {
            let text = message::misconfigured(&service.name, &error.to_string());
            complain(service, tx.now(), text, None)
        }
    }
}

/// What the tasks of a deployment are made from: the revision, and what the service adds to each task.
fn template(tx: &Tx<'_>, service: &Service, revision: &ServiceRevision, deployment: &str) -> TaskTemplate {
    let mut template = revision.template.clone();
    template.started_by = Some(deployment.to_owned());
    template.pinned.clone_from(&revision.images);
    template.keeper = Some(Keeper::Service(service.name.clone()));
    template.group = service.group();
    template.enable_execute_command = service.enable_execute_command;
    template.strategies.clone_from(&service.strategies);
    if template.strategies.is_empty() && template.placing.launch_type != LaunchType::Fargate {
        template.strategies = default_strategies();
    }
    template.constraints.extend(service.constraints.iter().cloned());
    match service.propagates {
        PropagateTags::None => {}
        PropagateTags::TaskDefinition => {
            let key = keys::definition(&template.tenant, &template.family, template.revision);
            let definition = tx.get::<TaskDefinition>(&key);
            template.tags.extend(definition.iter().flat_map(|it| it.tags.iter().cloned()));
        }
        PropagateTags::Service => template.tags.extend(service.tags.iter().cloned()),
    }
    if service.managed_tags {
        let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
        template.tags.push(tag("aws:ecs:clusterName", &service.cluster));
        template.tags.push(tag("aws:ecs:serviceName", &service.name));
    }
    template
}

/// Tasks for that zone alone: by its instances, and where tasks have interfaces of their own by its subnets.
fn only_in(tx: &Tx<'_>, template: &mut TaskTemplate, zone: &str) {
    if template.placing.launch_type != LaunchType::Fargate {
        template.constraints.push(PlacementConstraint {
            kind: Some(PlacementConstraintType::MemberOf),
            expression: Some(format!("{ZONE_FIELD} == {zone}")),
        });
    }
    if let Some(interface) = &mut template.interface {
        let tenant = &template.tenant;
        let is_there = |id: &String| {
            let subnet = tx.get::<Subnet>(&keys::subnet(tenant, id));
            subnet.is_some_and(|subnet| subnet.availability_zone == zone)
        };
        interface.subnets.retain(is_there);
    }
}

/// ECS's own: over the zones, then over their instances.
fn default_strategies() -> Vec<PlacementStrategy> {
    let over =
        |field: &str| PlacementStrategy { kind: Some(PlacementStrategyType::Spread), field: Some(field.to_owned()) };
    vec![over(ZONE_FIELD), over("instanceId")]
}

/// What each capacity provider has of the deployment's tasks: each deployment keeps to its own strategy, whatever the one
/// before it has. Tasks that are on their way out do not count: others come in their place.
fn shares(tx: &Tx<'_>, template: &TaskTemplate) -> Shares {
    let Some(Keeper::Service(name)) = template.keeper.as_ref().filter(|_| !template.placing.strategy.is_empty()) else {
        return Shares::default();
    };
    let tasks = tx.listed::<Task>(&keys::tasks_of(&template.tenant, &template.cluster, name));
    let stays = |task: &Task| {
        task.started_by == template.started_by
            && !task.is_stopping()
            && task.health() != Health::Unhealthy
            && !is_on_draining(tx, task)
    };
    let staying = tasks.iter().filter(|task| stays(task));
    Shares::of(staying.filter_map(|task| task.placement.capacity_provider.as_deref()))
}

fn is_on_draining(tx: &Tx<'_>, task: &Task) -> bool {
    let Some(id) = &task.placement.container_instance else { return false };
    let instance = tx.get::<ContainerInstance>(&keys::container_instance(&task.tenant, &task.cluster, id));
    instance.is_some_and(|one| one.status == ContainerInstanceStatus::Draining)
}

fn complain(service: &mut Service, now: Timestamp, text: String, refused: Option<Refused>) -> Vec<Say> {
    service.trouble = Some(Trouble { since: now, reason: text.clone(), refused });
    vec![Say::Trouble(text)]
}

/// The refusal in the words of ECS's events. On Fargate nobody sees which resource the host is out of.
fn refused(refusal: &Refusal, is_on_instances: bool) -> Refused {
    let code = refusal.reason.as_str();
    let is_resource = code.starts_with("RESOURCE:");
    let code = if is_resource && !is_on_instances { "RESOURCE:FARGATE" } else { code };
    Refused { code: Some(code.to_owned()), instance: refusal.arn.clone() }
}

/// The refusal that was nearest to a yes: it passed the most checks. Of equal ones always the same, in whatever order they
/// were tried, or each attempt would be news.
fn closest(refusals: &[Refusal]) -> Option<&Refusal> {
    refusals.iter().max_by_key(|refusal| (refusal.reason, &refusal.arn))
}

fn unplaced(service: &Service, refusal: &Refusal) -> String {
    let lack = match refusal.reason {
        Reason::Cpu => "has insufficient CPU units available".to_owned(),
        Reason::Memory => "has insufficient memory available".to_owned(),
        Reason::Ports => "is already using a port required by your task".to_owned(),
        Reason::Eni => "has no available network interfaces".to_owned(),
        Reason::Attribute => "is missing an attribute required by your task".to_owned(),
        other => format!("encountered error \"{}\"", other.as_str()),
    };
    let Some(arn) = &refusal.arn else {
        return message::misconfigured(&service.name, refusal.detail.as_deref().unwrap_or(&lack));
    };
    message::unplaced(&service.name, Some((arn.rsplit('/').next().unwrap_or(arn), &lack)))
}

/// Adds an event and drops the oldest beyond the hundred.
pub(crate) fn tell(tx: &mut Tx<'_>, service: &mut Service, say: Say) {
    let now = tx.now();
    let message = match say {
        Say::News(text) => text,
        Say::Trouble(text) if was_said(tx, service, &text, now) => return,
        Say::Trouble(text) => text,
    };
    let (tenant, cluster, name) = (service.tenant.clone(), service.cluster.clone(), service.name.clone());
    let number = service.next_event;
    service.next_event += 1;
    if let Some(oldest) = number.checked_sub(EVENTS_MAX) {
        tx.delete::<ServiceEvent>(&keys::service_event(&tenant, &cluster, &name, oldest));
    }
    tx.put(ServiceEvent { tenant, cluster, service: name, number, id: uuid(), at: now, message });
}

/// Two complaints are the same when their first sentences are: which instance was closest changes all the time.
fn was_said(tx: &Tx<'_>, service: &Service, text: &str, now: Timestamp) -> bool {
    let first = |text: &str| text.split(". ").next().unwrap_or_default().to_owned();
    let inside = Prefix::parent(&service.tenant, &keys::service_parent(&service.cluster, &service.name));
    let young = now.plus_millis(-COMPLAINT_MILLIS);
    tx.scan::<ServiceEvent>(&inside).iter().any(|event| event.at > young && first(&event.message) == first(text))
}
