//! What follows from changes of records, in the transaction that changes them.
//!
//! In: a record before and after a command. Out: events, the version of an instance whose resources changed, and the
//! history of an alarm.
//!
//! Holds: each state of a task or instance that became durable and that raised its version has exactly one event, kept
//! with it or not at all. A state that a command overwrote itself was never there.
//! Why here: there are many writers of tasks, and this is the one place that none of them gets around.

use cove_model::alarm::{Alarm, AlarmHistory, HistoryKind};
use cove_model::capacity_provider::capacity_provider_arn;
use cove_model::container_instance::{ContainerInstance, remaining};
use cove_model::event::ecs::{DeploymentState, ServiceAction, ServiceActionKind};
use cove_model::event::{cloudwatch, ecs, image_scan as scan_event, inspector};
use cove_model::registry::{Image, ImageTag, Repository};
use cove_model::scan::{self, ImageScan, ScanSettings, ScanState, ScanType};
use cove_model::service::{RolloutState, SchedulingStrategy, Service, ServiceRevision, TaskSet};
use cove_model::task::Task;
use serde_json::{Value, json};

use crate::key::Prefix;
use crate::keys;
use crate::record::Record;
use crate::table::Read;
use crate::tx::Tx;

/// Called with the record before the command (`None`: there was none) and after it (`None`: deleted).
pub(crate) type Derive<K> = fn(&mut Tx<'_>, Option<&K>, Option<&K>);

/// A change of state is an event; a task that comes or goes changes what is left on its instance.
pub(crate) fn task(tx: &mut Tx<'_>, before: Option<&Task>, after: Option<&Task>) {
    // A task is forgotten long after it stopped.
    let Some(task) = after else { return };
    if before.is_some_and(|before| before.version == task.version) {
        return;
    }
    let event = ecs::task_state_change(task, tx.now());
    tx.emit(event);
    if before.is_some_and(Task::is_live) != task.is_live() {
        resources_changed(tx, task);
    }
}

/// Raises the version of the task's instance, from which its event follows.
fn resources_changed(tx: &mut Tx<'_>, task: &Task) {
    let Some(id) = &task.placement.container_instance else { return };
    let key = keys::container_instance(&task.tenant, &task.cluster, id);
    // Many tasks of one command are one change of their instance.
    if tx.is_underived::<ContainerInstance>(&key) {
        return;
    }
    if let Some(instance) = tx.get::<ContainerInstance>(&key) {
        tx.put(ContainerInstance { version: instance.version + 1, ..(*instance).clone() });
    }
}

/// A change of state is an event.
pub(crate) fn container_instance(
    tx: &mut Tx<'_>,
    before: Option<&ContainerInstance>,
    after: Option<&ContainerInstance>,
) {
    let Some(instance) = after else { return };
    if before.is_some_and(|before| before.version == instance.version) {
        return;
    }
    let tasks = tx.listed::<Task>(&keys::tasks_on(&instance.tenant, &instance.cluster, &instance.id));
    let left = remaining(instance, tasks.iter().map(|task| &**task));
    let event = ecs::container_instance_state_change(instance, &left, tx.now());
    tx.emit(event);
}

/// What a service goes through: deployments that begin and end, steadiness, trouble.
pub(crate) fn service(tx: &mut Tx<'_>, before: Option<&Service>, after: Option<&Service>) {
    let Some(service) = after else { return };
    deployments(tx, before, service);
    let changed = |is_so: fn(&Service) -> bool| is_so(service) && !before.is_some_and(is_so);
    let mut kinds = Vec::new();
    if changed(|it| it.is_steady) {
        kinds.push(ServiceActionKind::ServiceSteadyState);
    }
    if changed(|it| it.rebalancing.is_some()) {
        kinds.push(ServiceActionKind::ServiceRebalancingStarted);
    }
    // A deployment, another desired count or the switch may end it, too.
    let is_over = service.rebalancing.is_none() && service.rebalances_zones && service.is_steady;
    if is_over && before.is_some_and(|before| before.rebalancing.is_some()) {
        kinds.push(ServiceActionKind::ServiceRebalancingCompleted);
    }
    if changed(Service::is_throttled) {
        kinds.push(ServiceActionKind::ServiceTaskStartImpaired);
    }
    let arn = service.arn();
    let action = |kind| ServiceAction::new(kind, &service.tenant, &service.cluster, &arn);
    let mut actions: Vec<ServiceAction<'_>> = kinds.into_iter().map(action).collect();
    // Not what a user asked for, only what ECS works out itself.
    let is_computed = service.scheduling == SchedulingStrategy::Daemon;
    if is_computed && before.is_some_and(|before| before.desired_count != service.desired_count) {
        let updated = action(ServiceActionKind::ServiceDesiredCountUpdated);
        actions.push(ServiceAction { desired_count: Some(service.desired_count), ..updated });
    }
    let provider_arns = provider_arns(tx, service);
    if changed(|it| it.is_steady) && !provider_arns.is_empty() {
        let steady = action(ServiceActionKind::CapacityProviderSteadyState);
        actions.push(ServiceAction { capacity_provider_arns: &provider_arns, ..steady });
    }
    let refused = service.trouble.as_ref().and_then(|trouble| trouble.refused.as_ref());
    let instance_arns: Vec<String> = refused.and_then(|it| it.instance.clone()).into_iter().collect();
    if let Some(trouble) = service.trouble.as_ref().filter(|_| changed(|it| it.trouble.is_some())) {
        actions.push(match refused {
            Some(refused) => ServiceAction {
                capacity_provider_arns: &provider_arns,
                container_instance_arns: &instance_arns,
                reason: refused.code.as_deref(),
                ..action(ServiceActionKind::ServiceTaskPlacementFailure)
            },
            None => ServiceAction {
                reason: Some(&trouble.reason),
                ..action(ServiceActionKind::ServiceTaskConfigurationFailure)
            },
        });
    }
    for action in actions {
        tx.emit(action.event(tx.now()));
    }
}

/// Those that the tasks of the primary deployment may come to.
fn provider_arns(tx: &Tx<'_>, service: &Service) -> Vec<String> {
    let Some(primary) = service.primary() else { return Vec::new() };
    let key = keys::service_revision(&service.tenant, &service.cluster, &service.name, &primary.revision);
    let Some(revision) = tx.get::<ServiceRevision>(&key) else { return Vec::new() };
    let strategy = revision.template.placing.strategy.iter();
    strategy.map(|item| capacity_provider_arn(&service.tenant, &item.capacity_provider)).collect()
}

/// A task set comes to have the tasks that it should.
pub(crate) fn task_set(tx: &mut Tx<'_>, before: Option<&TaskSet>, after: Option<&TaskSet>) {
    let Some(set) = after.filter(|set| set.is_steady && before.is_none_or(|before| !before.is_steady)) else { return };
    let arn = set.arn();
    let steady = ServiceAction::new(ServiceActionKind::TasksetSteadyState, &set.tenant, &set.cluster, &arn);
    tx.emit(steady.event(tx.now()));
}

fn deployments(tx: &mut Tx<'_>, before: Option<&Service>, service: &Service) {
    let known = |id: &str| before.and_then(|before| before.deployments.iter().find(|it| it.id == id));
    for it in &service.deployments {
        if known(&it.id).is_some_and(|known| known.rollout == it.rollout) {
            continue;
        }
        let state = match it.rollout {
            RolloutState::InProgress => DeploymentState::InProgress,
            RolloutState::Completed => DeploymentState::Completed,
            RolloutState::Failed => DeploymentState::Failed,
        };
        let event =
            ecs::deployment_state_change(&service.tenant, &service.arn(), &it.id, state, &it.rollout_reason, tx.now());
        tx.emit(event);
    }
}

/// Items of one alarm's history; CloudWatch shows a hundred at a time.
const HISTORY_MAX: usize = 100;

/// Alarms have a history, and a change of state is an event too.
pub(crate) fn alarm(tx: &mut Tx<'_>, before: Option<&Alarm>, after: Option<&Alarm>) {
    let (Some(alarm), is_deleted) = (after.or(before), after.is_none()) else { return };
    let configured = before.map(|before| before.configured_at) != after.map(|after| after.configured_at);
    if configured {
        let (kind, what) = match (before.is_some(), is_deleted) {
            (false, _) => ("Create", "created"),
            (true, true) => ("Delete", "deleted"),
            (true, false) => ("Update", "updated"),
        };
        let data = json!({"version": "1.0", "type": kind});
        note(tx, alarm, HistoryKind::ConfigurationUpdate, format!("Alarm \"{}\" {what}", alarm.name), &data);
    }
    let (Some(before), false) = (before, is_deleted) else { return };
    if before.state.value == alarm.state.value {
        return;
    }
    let event = cloudwatch::alarm_state_change(before, alarm, tx.now());
    tx.emit(event);
    let (old, new) = (before.state.value.as_str(), alarm.state.value.as_str());
    let data = json!({
        "version": "1.0",
        "oldState": {"stateValue": old, "stateReason": before.state.reason},
        "newState": {"stateValue": new, "stateReason": alarm.state.reason},
    });
    note(tx, alarm, HistoryKind::StateUpdate, format!("Alarm updated from {old} to {new}"), &data);
    let actions = if alarm.actions_enabled { alarm.actions(alarm.state.value) } else { &[] };
    for action in actions {
        // AWS too says so in the history, and nowhere else.
        let data = json!({"actionState": "Failed", "notificationResource": action, "stateUpdateTimestamp": tx.now().millis(),
            "error": "Cove carries out no actions of alarms; a rule on the alarm's event does"});
        note(tx, alarm, HistoryKind::Action, format!("Failed to execute action {action}"), &data);
    }
}

fn note(tx: &mut Tx<'_>, alarm: &Alarm, kind: HistoryKind, summary: String, data: &Value) {
    let (tenant, name) = (alarm.tenant.clone(), alarm.name.clone());
    let of_alarm = Prefix::parent(&tenant, &name);
    let there = tx.count::<AlarmHistory>(&of_alarm);
    for old in tx.page::<AlarmHistory>(&of_alarm, None, (there + 1).saturating_sub(HISTORY_MAX)) {
        tx.delete::<AlarmHistory>(&old.key());
    }
    let (number, at, data) = (tx.next_number(), tx.now(), data.to_string());
    tx.put(AlarmHistory { tenant, alarm: name, number, at, kind, summary, data });
}

/// An image that came may have to be scanned; what is known of one that went goes with it.
pub(crate) fn image(tx: &mut Tx<'_>, before: Option<&Image>, after: Option<&Image>) {
    match (before, after) {
        (None, Some(image)) => {
            let Some(repository) = tx.get::<Repository>(&keys::repository(&image.tenant, &image.repository)) else {
                return;
            };
            let settings = tx.get::<ScanSettings>(&keys::scan_settings(&image.tenant));
            if let Some(wanted) = scan::on_push(settings.as_deref(), &repository, image, tx.now()) {
                tx.put(wanted);
            }
        }
        (Some(image), None) => {
            tx.delete::<ImageScan>(&keys::image_scan(&image.tenant, &image.repository, &image.digest));
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
}

/// A scan that ended is an event.
pub(crate) fn image_scan(tx: &mut Tx<'_>, before: Option<&ImageScan>, after: Option<&ImageScan>) {
    let Some(scan) = after else { return };
    let ended = matches!(scan.state, ScanState::Complete | ScanState::Failed);
    if !ended || before.is_some_and(|before| before.state == scan.state && before.ended_at == scan.ended_at) {
        return;
    }
    let tags = tx.scan::<ImageTag>(&Prefix::parent(&scan.tenant, &scan.repository));
    let tags: Vec<String> = tags.iter().filter(|tag| tag.digest == scan.digest).map(|tag| tag.tag.clone()).collect();
    let is_first = before.is_none_or(|before| before.result.is_none());
    let event = match (scan.scan_type, scan.current_result()) {
        (ScanType::Basic, _) => scan_event::ended(scan, &tags, tx.now()),
        (ScanType::Enhanced, Some(result)) if is_first => inspector::initial_scan(scan, result, &tags, tx.now()),
        // Its findings are events of their own.
        (ScanType::Enhanced, _) => return,
    };
    tx.emit(event);
}

#[cfg(test)]
mod tests {
    use cove_base::Timestamp;
    use cove_base::paths::DataDir;
    use cove_model::container_instance::{Capacity, ContainerInstanceStatus, Origin, Resources};
    use cove_model::event::Event;
    use cove_model::task::{Desired, StopCode, StopOrder, TaskStatus};
    use serde_json::Value;

    use super::*;
    use crate::tests::{open, task as a_task, tenant};
    use crate::{Store, StoreError};

    fn instance() -> ContainerInstance {
        ContainerInstance {
            tenant: tenant(),
            cluster: "default".into(),
            id: "i".into(),
            ec2_instance_id: "i-0".into(),
            status: ContainerInstanceStatus::Active,
            registered: Resources { cpu: 2048, memory_mib: 4096, ..Resources::default() },
            attributes: Vec::new(),
            availability_zone: "us-east-1a".into(),
            registered_at: Timestamp(1),
            version: 1,
            tags: Vec::new(),
            task_interfaces_max: None,
            origin: Origin::Declared,
            capacity: Capacity::OnDemand,
            leaves_at: None,
            leaves_when_empty: false,
            leaves_since: None,
            gone_at: None,
            asg: None,
            managed_by: None,
            asg_max: None,
            agent: None,
            replaces: None,
            room_for: Vec::new(),
            is_terminated: false,
            declared_attributes: Vec::new(),
            storage_gib: None,
        }
    }

    fn placed(id: &str) -> Task {
        let mut task = a_task(id, TaskStatus::Pending);
        task.placement.container_instance = Some("i".into());
        task.placement.cpu = 512;
        task
    }

    async fn write(store: &Store, f: impl FnOnce(&mut Tx<'_>) + Send + 'static) {
        let write = move |tx: &mut Tx<'_>| {
            f(tx);
            Ok::<_, StoreError>(())
        };
        store.write(write).await.unwrap();
    }

    /// Each event as `task 1 PENDING` or `instance 2 1536`: its subject, version, and status or CPU that is left.
    fn seen(store: &Store) -> Vec<String> {
        let show = |event: &Event| {
            let detail: Value = serde_json::from_str(&event.detail).unwrap();
            if event.detail_type == "ECS Task State Change" {
                format!("task {} {}", detail["version"], detail["lastStatus"].as_str().unwrap())
            } else {
                format!("instance {} {}", detail["version"], detail["remainingResources"][0]["integerValue"])
            }
        };
        store.read(|view| view.scan::<Event>(&Prefix::all())).iter().map(|event| show(event)).collect()
    }

    #[tokio::test]
    async fn every_state_that_became_durable_has_one_event_also_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        let store = open(&data).unwrap();
        write(&store, |tx| tx.put(instance())).await;
        write(&store, |tx| {
            tx.put(placed("a"));
            tx.put(placed("b"));
        })
        .await;
        write(&store, |tx| {
            // Two steps of one command were never two states; a write that raises no version is no change.
            for version in [2, 3] {
                tx.put(Task { version, desired: Desired::Running, ..placed("a") });
            }
            tx.put(Task { started_by: Some("x".into()), ..placed("b") });
        })
        .await;
        let expected = ["instance 1 2048", "task 1 PENDING", "task 1 PENDING", "instance 2 1024", "task 3 PENDING"];
        assert_eq!(seen(&store), expected);
        store.close().await;
        let store = open(&data).unwrap();
        assert_eq!(seen(&store), expected);
        write(&store, |tx| {
            let mut stopped = placed("a");
            stopped.observed.status = TaskStatus::Stopped;
            stopped.version = 4;
            tx.put(stopped);
            tx.delete::<Task>(&keys::task(&tenant(), "default", "b"));
        })
        .await;
        assert_eq!(seen(&store)[5..], ["task 4 STOPPED", "instance 3 2048"]);
        store.close().await;
    }

    #[tokio::test]
    async fn a_command_that_fails_or_panics_leaves_no_event() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&DataDir::new(dir.path())).unwrap();
        let failed: Result<(), StoreError> = store
            .write(|tx| {
                tx.put(placed("a"));
                Err(StoreError::Closed)
            })
            .await;
        assert!(failed.is_err());
        let order = StopOrder { code: StopCode::UserInitiated, reason: String::new(), at: Timestamp(0) };
        let panicked: Result<(), StoreError> = store
            .write(move |tx| {
                tx.put(Task { desired: Desired::Stopped(order), ..placed("a") });
                panic!("on purpose")
            })
            .await;
        assert!(panicked.is_err());
        assert_eq!(seen(&store), Vec::<String>::new());
        store.close().await;
    }
}
