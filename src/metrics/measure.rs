//! What tasks use and reserve, as the metrics of `AWS/ECS`.
//!
//! In: live tasks and instances, and what their control groups or the agents of other hosts say at each full minute. Out: one value a minute of
//! CPUUtilization and MemoryUtilization for each running task of a service and for each cluster with container instances,
//! and of CPUReservation and MemoryReservation for the latter; of CapacityProviderReservation (`AWS/ECS/ManagedScaling`) for
//! each capacity provider with managed scaling.
//!
//! Holds: a value covers the whole minute: a task's first minute, of which only a part was seen, has none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cove_base::{Clock, Timestamp};
use cove_model::alarm::Metric;
use cove_model::arn::Tenant;
use cove_model::container_instance::ContainerInstance;
use cove_model::task::{Task, TaskStatus};
use cove_store::{Prefix, Read, Store, View};

use crate::points::Points;
use crate::series::Metrics;

const MINUTE_MILLIS: i64 = 60_000;
const MIB: f64 = 1_048_576.0;
/// ECS's unit of CPU: 1024 are one vCPU, which has a million microseconds a second.
const UNITS_PER_VCPU: f64 = 1024.0;
/// What a container without a share of CPU counts as: the kernel's smallest share.
const CPU_MIN_PER_CONTAINER: f64 = 2.0;

/// What a task's control group has used so far, and holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub cpu_micros: u64,
    /// Without page cache that can be taken back.
    pub memory_bytes: u64,
}

/// Reads the control group of a task by its id; `None` when it has none.
pub type UsageOf = Arc<dyn Fn(&str) -> Option<Usage> + Send + Sync>;

/// What capacity providers with managed scaling need of their groups now: tenant, cluster, provider, percent.
pub type ReservedOf = fn(&View) -> Vec<(Tenant, String, String, f64)>;

/// Readings by task id, and when they were taken.
#[derive(Default)]
struct Readings {
    at: Timestamp,
    of: HashMap<String, Usage>,
}

/// Measures at each full minute, until it is aborted.
pub async fn measure_for_ever(store: Store, metrics: Metrics, clock: Clock, usage: UsageOf, reserved: ReservedOf) {
    let mut before = Readings::default();
    loop {
        let wait = MINUTE_MILLIS - clock.now().millis().rem_euclid(MINUTE_MILLIS);
        tokio::time::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
        let (tasks, instances) =
            store.read(|view| (view.live::<Task>(&Prefix::all()), view.scan::<ContainerInstance>(&Prefix::all())));
        let (tasks, read) = (running(&tasks), Arc::clone(&usage));
        let (of_tasks, at) = (tasks.clone(), clock.now());
        let heard = metrics.clone();
        let work = move || {
            let used = |id: &str, elsewhere: bool| if elsewhere { heard.heard(id) } else { read(id) };
            let of = |task: &Arc<Task>| Some((task.id.clone(), used(&task.id, task.placement.elsewhere)?));
            of_tasks.iter().filter_map(of).collect()
        };
        let Ok(of) = tokio::task::spawn_blocking(work).await else { continue };
        let now = Readings { at, of };
        let begins = Timestamp(at.millis() - MINUTE_MILLIS);
        let reserved = store.read(reserved).into_iter().map(reservation);
        for (tenant, metric, value) in values(&before, &now, &tasks, &instances).into_iter().chain(reserved) {
            // When there are too many metrics, those that come first are measured.
            let _ = metrics.put(&tenant, &metric, "Percent", (begins, 60), &Points::of_value(value, 1.0));
        }
        metrics.trim(at);
        before = now;
    }
}

fn reservation((tenant, cluster, provider, percent): (Tenant, String, String, f64)) -> (Tenant, Metric, f64) {
    let dimensions = [("ClusterName".to_owned(), cluster), ("CapacityProviderName".to_owned(), provider)].into();
    let namespace = "AWS/ECS/ManagedScaling".to_owned();
    (tenant, Metric { namespace, name: "CapacityProviderReservation".to_owned(), dimensions }, percent)
}

fn running(tasks: &[Arc<Task>]) -> Vec<Arc<Task>> {
    tasks.iter().filter(|task| task.observed.status == TaskStatus::Running).cloned().collect()
}

/// What a cluster's instances have, and what tasks on them take.
#[derive(Debug, Default)]
struct Sums {
    registered: (f64, f64),
    reserved: (f64, f64),
    used: (f64, f64),
    is_measured: bool,
}

fn values(
    before: &Readings,
    now: &Readings,
    tasks: &[Arc<Task>],
    instances: &[Arc<ContainerInstance>],
) -> Vec<(Tenant, Metric, f64)> {
    let mut out = Vec::new();
    let mut clusters: BTreeMap<(&Tenant, &str), Sums> = BTreeMap::new();
    for instance in instances.iter().filter(|instance| instance.is_registered()) {
        let sums = clusters.entry((&instance.tenant, &instance.cluster)).or_default();
        sums.registered.0 += float(instance.registered.cpu);
        sums.registered.1 += float(instance.registered.memory_mib);
    }
    for task in tasks {
        let used = used(before, now, &task.id);
        let reserved = (cpu_reserved(task), float(task.placement.memory_mib));
        if let (Some(service), Some(used)) = (task.service(), used) {
            out.extend(both("Utilization", &task.tenant, &task.cluster, Some(service), used, reserved));
        }
        let on_instance = task.placement.container_instance.is_some();
        if let Some(sums) = clusters.get_mut(&(&task.tenant, task.cluster.as_str())).filter(|_| on_instance) {
            sums.reserved.0 += float(task.placement.cpu);
            sums.reserved.1 += reserved.1;
            if let Some(used) = used {
                sums.used = (sums.used.0 + used.0, sums.used.1 + used.1);
            }
        }
    }
    for ((tenant, cluster), sums) in &mut clusters {
        sums.is_measured = before.at != Timestamp::default();
        out.extend(both("Reservation", tenant, cluster, None, sums.reserved, sums.registered));
        if sums.is_measured {
            out.extend(both("Utilization", tenant, cluster, None, sums.used, sums.registered));
        }
    }
    out
}

/// CPU units and MiB that the task used in the minute.
fn used(before: &Readings, now: &Readings, task_id: &str) -> Option<(f64, f64)> {
    let (earlier, later) = (before.of.get(task_id)?, now.of.get(task_id)?);
    let micros = float_of(later.cpu_micros.saturating_sub(earlier.cpu_micros));
    let millis = float(now.at.millis() - before.at.millis());
    (millis > 0.0).then(|| (micros / (millis * 1000.0) * UNITS_PER_VCPU, float_of(later.memory_bytes) / MIB))
}

fn cpu_reserved(task: &Task) -> f64 {
    let containers = float(i64::try_from(task.containers.len()).unwrap_or(i64::MAX));
    float(task.placement.cpu).max(CPU_MIN_PER_CONTAINER * containers)
}

/// `CPU…` and `Memory…` in percent; nothing where there is nothing to be a part of.
fn both(
    what: &str,
    tenant: &Tenant,
    cluster: &str,
    service: Option<&str>,
    part: (f64, f64),
    whole: (f64, f64),
) -> Vec<(Tenant, Metric, f64)> {
    let metric = |kind: &str, part: f64, whole: f64| {
        let mut dimensions = BTreeMap::from([("ClusterName".to_owned(), cluster.to_owned())]);
        dimensions.extend(service.map(|name| ("ServiceName".to_owned(), name.to_owned())));
        let metric = Metric { namespace: "AWS/ECS".to_owned(), name: format!("{kind}{what}"), dimensions };
        (whole > 0.0).then(|| (tenant.clone(), metric, part / whole * 100.0))
    };
    [metric("CPU", part.0, whole.0), metric("Memory", part.1, whole.1)].into_iter().flatten().collect()
}

#[allow(clippy::cast_precision_loss, reason = "percentages need no more than 52 bits")]
fn float(number: i64) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss, reason = "percentages need no more than 52 bits")]
fn float_of(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use cove_model::container_instance::{Capacity, ContainerInstanceStatus, Origin, Resources};
    use cove_model::fixture;
    use cove_model::task::{Keeper, Observed, Placement, TaskNetwork};

    use super::*;

    fn task(id: &str, group: &str) -> Arc<Task> {
        let fresh = fixture::task(id);
        let container_instance = Some("i".into());
        Arc::new(Task {
            placement: Placement { container_instance, cpu: 512, memory_mib: 100, ..fresh.placement },
            group: group.into(),
            keeper: group.strip_prefix("service:").map(|name| Keeper::Service(name.to_owned())),
            network: TaskNetwork::Host,
            observed: Observed::new(TaskStatus::Running),
            containers: vec![fixture::container("main")],
            ..fresh
        })
    }

    fn instance() -> Arc<ContainerInstance> {
        Arc::new(ContainerInstance {
            tenant: Tenant::new("000000000000", "us-east-1"),
            cluster: "default".into(),
            id: "i".into(),
            ec2_instance_id: "i-0".into(),
            status: ContainerInstanceStatus::Active,
            registered: Resources { cpu: 2048, memory_mib: 1000, ..Resources::default() },
            attributes: Vec::new(),
            availability_zone: "us-east-1a".into(),
            registered_at: Timestamp(0),
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
            storage_gib: None,
            replaces: None,
            room_for: Vec::new(),
            is_terminated: false,
            declared_attributes: Vec::new(),
            asg_max: None,
            agent: None,
        })
    }

    #[test]
    fn a_service_is_measured_by_what_it_reserved_and_a_cluster_by_what_it_has() {
        let reading = |at: i64, seconds: u64| Readings {
            at: Timestamp(at),
            // Half a gigabyte would be more than they reserved; a quarter of a core for `a`, half a core for `b`.
            of: [("a", 250_000 * seconds, 50 << 20), ("b", 500_000 * seconds, 25 << 20)]
                .map(|(id, cpu_micros, memory_bytes)| (id.to_owned(), Usage { cpu_micros, memory_bytes }))
                .into(),
        };
        let tasks = [task("a", "service:web"), task("b", "family:x")];
        let got = values(&reading(1, 0), &reading(60_001, 60), &tasks, &[instance()]);
        let shown: Vec<(String, f64)> = got
            .into_iter()
            .map(|(_, metric, value)| {
                let service = metric.dimensions.get("ServiceName").map(String::as_str).unwrap_or_default();
                (format!("{}/{service}/{}", metric.dimensions["ClusterName"], metric.name), value)
            })
            .collect();
        let expected = [
            ("default/web/CPUUtilization", 50.0),
            ("default/web/MemoryUtilization", 50.0),
            ("default//CPUReservation", 50.0),
            ("default//MemoryReservation", 20.0),
            ("default//CPUUtilization", 37.5),
            ("default//MemoryUtilization", 7.5),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn what_was_not_seen_for_a_whole_minute_has_no_value() {
        let got = values(&Readings::default(), &Readings::default(), &[task("a", "service:web")], &[instance()]);
        assert!(got.iter().all(|(_, metric, _)| metric.name.ends_with("Reservation")), "{got:?}");
    }
}
