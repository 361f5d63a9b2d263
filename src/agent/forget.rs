//! What a node forgets with time: stopped tasks, client tokens, deleted task definitions, clusters and instances that are
//! gone, secrets whose recovery window is over, the history of alarms.
//!
//! In: the records, and when a task has been seen long enough. Out: the keys that go. No clock, store or await.
//!
//! Holds: a task that is not STOPPED stays; a definition goes only once it is DELETE_IN_PROGRESS and no task that is
//! still visible, nor any revision of a daemon or of a service, refers to it. Nothing new can refer to it by then: RunTask
//! refuses such definitions. An instance that is declared is remembered as gone, or the next start would register it again.

use std::collections::HashSet;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::alarm::AlarmHistory;
use cove_model::arn::Tenant;
use cove_model::cluster::{Cluster, ClusterStatus};
use cove_model::container_instance::{ContainerInstance, Origin};
use cove_model::daemon::DaemonRevision;
use cove_model::secret::Secret;
use cove_model::service::{Service, ServiceRevision, ServiceStatus, TaskSet};
use cove_model::task::{ClientToken, Task};
use cove_model::task_definition::{TaskDefinition, TaskDefinitionStatus};
use cove_store::{Key, Prefix, Read, Record, StoreError, Tx, keys};

/// How long a client token of RunTask is remembered, as AWS says for idempotency tokens.
const TOKEN_KEEP_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// As CloudWatch keeps it, that of deleted alarms too.
const HISTORY_KEEP_MILLIS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Stopped tasks that stay visible at most, the youngest: the agent and the API walk over all of them.
const STOPPED_MAX: usize = 5_000;

/// The records that something may be forgotten of.
#[derive(Default)]
pub(crate) struct Records {
    pub tasks: Vec<Arc<Task>>,
    pub tokens: Vec<Arc<ClientToken>>,
    pub definitions: Vec<Arc<TaskDefinition>>,
    pub instances: Vec<Arc<ContainerInstance>>,
    pub daemon_revisions: Vec<Arc<DaemonRevision>>,
    /// Those that services run or may go back to.
    pub service_revisions: Vec<Arc<ServiceRevision>>,
    pub secrets: Vec<Arc<Secret>>,
    pub clusters: Vec<Arc<Cluster>>,
    pub alarm_history: Vec<Arc<AlarmHistory>>,
}

impl Records {
    pub(crate) fn read(from: &impl Read) -> Self {
        let all = Prefix::all();
        let (tasks, tokens) = (from.scan(&all), from.scan(&all));
        Self {
            tasks,
            tokens,
            definitions: from.scan(&all),
            instances: from.scan(&all),
            daemon_revisions: from.scan(&all),
            service_revisions: revisions_in_use(from),
            secrets: from.scan(&all),
            clusters: from.scan(&all),
            alarm_history: from.scan(&all),
        }
    }
}

/// ECS keeps a definition for a service that is scaled in to nothing, and for one that may be rolled back to it.
fn revisions_in_use(from: &impl Read) -> Vec<Arc<ServiceRevision>> {
    let revision = |tenant: &Tenant, cluster: &str, service: &str, id: &str| {
        from.get::<ServiceRevision>(&keys::service_revision(tenant, cluster, service, id))
    };
    let services = from.scan::<Service>(&Prefix::all());
    let of_services = services.iter().filter(|service| service.status != ServiceStatus::Inactive).flat_map(|service| {
        let ids = service.deployments.iter().map(|it| &it.revision).chain(&service.completed_revision);
        ids.filter_map(|id| revision(&service.tenant, &service.cluster, &service.name, id))
    });
    let sets = from.scan::<TaskSet>(&Prefix::all());
    let of_sets = sets.iter().filter_map(|set| revision(&set.tenant, &set.cluster, &set.service, &set.revision));
    of_services.chain(of_sets).collect()
}

/// Keys of what is forgotten.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    tasks: Vec<Key>,
    tokens: Vec<Key>,
    definitions: Vec<Key>,
    instances: Vec<Key>,
    secrets: Vec<Key>,
    clusters: Vec<Key>,
    alarm_history: Vec<Key>,
}

/// Chooses. `keep_millis` is how long a stopped task stays visible, and whatever else is gone.
pub(crate) fn forgotten(records: &Records, now: Timestamp, keep_millis: i64) -> Forgotten {
    let (stopped_before, token_before) = (now.plus_millis(-keep_millis), now.plus_millis(-TOKEN_KEEP_MILLIS));
    let mut stopped: Vec<&Arc<Task>> = records.tasks.iter().filter(|task| !task.is_live()).collect();
    stopped.sort_by_key(|task| std::cmp::Reverse(task.observed.stopped_at));
    let is_old = |task: &Task| task.observed.stopped_at.is_none_or(|at| at < stopped_before);
    let gone: Vec<&Arc<Task>> = stopped
        .into_iter()
        .enumerate()
        .filter(|(place, task)| *place >= STOPPED_MAX || is_old(task))
        .map(|(_, task)| task)
        .collect();
    let gone_ids: HashSet<&str> = gone.iter().map(|task| task.id.as_str()).collect();
    let of_daemons = records.daemon_revisions.iter().map(|one| &one.template);
    let kept = of_daemons.chain(records.service_revisions.iter().map(|one| &one.template));
    let of_revisions = kept.map(|template| (&template.tenant, template.family.as_str(), template.revision));
    let needed: HashSet<_> = records
        .tasks
        .iter()
        .filter(|task| !gone_ids.contains(task.id.as_str()))
        .map(|task| (&task.tenant, task.family.as_str(), task.revision))
        .chain(of_revisions)
        .collect();
    let is_unused = |definition: &TaskDefinition| {
        definition.status == TaskDefinitionStatus::DeleteInProgress
            && !needed.contains(&(&definition.tenant, definition.family.as_str(), definition.revision))
    };
    let tokens = records.tokens.iter().filter(|token| token.at < token_before);
    let definitions = records.definitions.iter().filter(|definition| is_unused(definition));
    let instances = records.instances.iter().filter(|one| match one.origin {
        Origin::Host | Origin::Declared => false,
        Origin::Added => one.gone_at.is_some_and(|at| at < stopped_before) && !is_model(one, &records.instances),
    });
    let secrets = records.secrets.iter().filter(|secret| secret.gone_at.is_some_and(|gone| gone <= now));
    // One of an older version does not know since when.
    let is_past =
        |it: &Cluster| it.status == ClusterStatus::Inactive && it.gone_at.is_none_or(|at| at < stopped_before);
    let clusters = records.clusters.iter().filter(|cluster| is_past(cluster));
    let history_before = now.plus_millis(-HISTORY_KEEP_MILLIS);
    let alarm_history = records.alarm_history.iter().filter(|item| item.at < history_before);
    Forgotten {
        tasks: gone.iter().map(|task| task.key()).collect(),
        tokens: tokens.map(|token| token.key()).collect(),
        definitions: definitions.map(|definition| definition.key()).collect(),
        instances: instances.map(|instance| instance.key()).collect(),
        secrets: secrets.map(|secret| secret.key()).collect(),
        clusters: clusters.map(|cluster| cluster.key()).collect(),
        alarm_history: alarm_history.map(|item| item.key()).collect(),
    }
}

/// Whether it is the last that says what its scaled group is made of in its zone: of it new ones are made.
fn is_model(one: &ContainerInstance, all: &[Arc<ContainerInstance>]) -> bool {
    let place =
        |it: &ContainerInstance| (it.tenant.clone(), it.cluster.clone(), it.asg.clone(), it.availability_zone.clone());
    let is_better = |it: &Arc<ContainerInstance>| {
        it.id != one.id
            && place(it) == place(one)
            && (it.is_registered() || (it.gone_at, &it.id) > (one.gone_at, &one.id))
    };
    one.asg.is_some() && one.is_terminated && !all.iter().any(is_better)
}

impl Forgotten {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Deletes the records; doing it again is fine.
    pub(crate) fn delete(&self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for key in &self.tasks {
            tx.delete::<Task>(key);
        }
        for key in &self.tokens {
            tx.delete::<ClientToken>(key);
        }
        for key in &self.definitions {
            tx.delete::<TaskDefinition>(key);
        }
        for key in &self.instances {
            tx.delete::<ContainerInstance>(key);
        }
        for key in &self.secrets {
            tx.delete::<Secret>(key);
        }
        for key in &self.clusters {
            // Somebody may have made one of that name again.
            if tx.get::<Cluster>(key).is_some_and(|cluster| cluster.status == ClusterStatus::Inactive) {
                tx.delete::<Cluster>(key);
            }
        }
        for key in &self.alarm_history {
            tx.delete::<AlarmHistory>(key);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cove_model::alarm::HistoryKind;
    use cove_model::container_instance::ContainerInstanceStatus;
    use cove_model::task::TaskStatus;

    use super::*;
    use crate::resolve::tests::task;

    const HOUR: i64 = 60 * 60 * 1000;
    const NOW: Timestamp = Timestamp(1000 * HOUR);

    fn stopped(id: &str, millis_ago: i64, revision: u32) -> Arc<Task> {
        let mut task = task();
        (task.id, task.revision) = (id.to_owned(), revision);
        task.observed.status = TaskStatus::Stopped;
        task.observed.stopped_at = Some(NOW.plus_millis(-millis_ago));
        Arc::new(task)
    }

    fn definition(revision: u32, status: TaskDefinitionStatus) -> Arc<TaskDefinition> {
        let task = task();
        Arc::new(TaskDefinition {
            tenant: task.tenant,
            family: task.family,
            revision,
            status,
            document: Default::default(),
            tags: Vec::new(),
            requires_attributes: Vec::new(),
            compatibilities: Vec::new(),
            registered_at: Timestamp(0),
            registered_by: String::new(),
            deregistered_at: None,
            delete_requested_at: None,
        })
    }

    fn chosen(tasks: Vec<Arc<Task>>, definitions: Vec<Arc<TaskDefinition>>) -> Forgotten {
        forgotten(&Records { tasks, definitions, ..Records::default() }, NOW, HOUR)
    }

    #[test]
    fn a_stopped_task_is_seen_for_as_long_as_was_said() {
        let live = Arc::new(task());
        let got = chosen(vec![stopped("young", HOUR, 1), stopped("old", HOUR + 1, 1), live], Vec::new());
        assert_eq!(got, Forgotten { tasks: vec![stopped("old", 0, 1).key()], ..Forgotten::default() });
    }

    #[test]
    fn a_client_token_stands_for_a_day() {
        let token = |token: &str, millis_ago: i64| {
            Arc::new(ClientToken {
                tenant: task().tenant,
                cluster: "default".into(),
                token: token.into(),
                at: NOW.plus_millis(-millis_ago),
                request_digest: String::new(),
                task_ids: Vec::new(),
            })
        };
        let tokens = vec![token("young", 24 * HOUR), token("old", 24 * HOUR + 1)];
        let records = Records { tokens, ..Records::default() };
        let got = forgotten(&records, NOW, HOUR);
        assert_eq!(got.tokens, [keys::client_token(&task().tenant, "default", "old")]);
    }

    #[test]
    fn a_deleted_definition_goes_with_the_last_task_that_is_seen_of_it() {
        use TaskDefinitionStatus::{Active, DeleteInProgress, Inactive};
        let all = || {
            vec![
                definition(1, Active),
                definition(2, Inactive),
                definition(3, DeleteInProgress),
                definition(4, DeleteInProgress),
            ]
        };
        let key = |revision| keys::definition(&task().tenant, "web", revision);
        assert_eq!(chosen(vec![stopped("a", HOUR, 3)], all()).definitions, [key(4)]);
        assert_eq!(chosen(vec![stopped("a", HOUR + 1, 3)], all()).definitions, [key(3), key(4)]);
    }

    #[test]
    fn an_instance_that_is_gone_is_forgotten_unless_it_is_declared() {
        let gone = |id: &str, origin, millis_ago: Option<i64>| {
            let gone_at = millis_ago.map(|ago| NOW.plus_millis(-ago));
            Arc::new(ContainerInstance { id: id.into(), origin, gone_at, ..crate::machines::tests::instance() })
        };
        let instances = vec![
            gone("there", Origin::Added, None),
            gone("young", Origin::Added, Some(HOUR)),
            gone("old", Origin::Added, Some(HOUR + 1)),
            gone("declared", Origin::Declared, Some(HOUR + 1)),
            gone("host", Origin::Host, Some(HOUR + 1)),
        ];
        let old = instances[2].key();
        let got = forgotten(&Records { instances, ..Records::default() }, NOW, HOUR);
        assert_eq!(got.instances, [old]);
    }

    #[test]
    fn the_last_that_says_what_a_group_is_made_of_is_not_forgotten() {
        let gone = |id: &str, is_terminated, millis_ago: i64| {
            Arc::new(ContainerInstance {
                id: id.into(),
                origin: Origin::Added,
                status: ContainerInstanceStatus::Inactive,
                gone_at: Some(NOW.plus_millis(-millis_ago)),
                asg: Some("blue".into()),
                is_terminated,
                ..crate::machines::tests::instance()
            })
        };
        let chosen = |instances: &[Arc<ContainerInstance>]| {
            let records = Records { instances: instances.to_vec(), ..Records::default() };
            let got = forgotten(&records, NOW, HOUR).instances;
            instances.iter().filter(|one| got.contains(&one.key())).map(|one| one.id.clone()).collect::<Vec<_>>()
        };
        let [older, newer] = [gone("older", true, 3 * HOUR), gone("newer", true, 2 * HOUR)];
        assert_eq!(chosen(&[older.clone(), newer.clone()]), ["older"]);
        let there = Arc::new(ContainerInstance { status: ContainerInstanceStatus::Active, ..(*newer).clone() });
        let there = Arc::new(ContainerInstance { id: "there".into(), gone_at: None, ..(*there).clone() });
        assert_eq!(chosen(&[older, newer, there]), ["older", "newer"]);
        assert_eq!(chosen(&[gone("removed", false, 2 * HOUR)]), ["removed"], "somebody wanted it gone");
    }

    #[test]
    fn a_cluster_that_is_gone_and_what_befell_alarms_are_forgotten() {
        let cluster = |name: &str, status, millis_ago: Option<i64>| {
            Arc::new(Cluster {
                tenant: task().tenant,
                name: name.into(),
                status,
                settings: Vec::new(),
                configuration: None,
                service_connect_defaults: None,
                capacity_providers: Vec::new(),
                default_capacity_provider_strategy: Vec::new(),
                tags: Vec::new(),
                created_at: Timestamp(0),
                gone_at: millis_ago.map(|ago| NOW.plus_millis(-ago)),
            })
        };
        let clusters = vec![
            cluster("there", ClusterStatus::Active, None),
            cluster("young", ClusterStatus::Inactive, Some(HOUR)),
            cluster("old", ClusterStatus::Inactive, Some(HOUR + 1)),
            cluster("older", ClusterStatus::Inactive, None),
        ];
        let item = |number: u64, days_ago: i64| {
            Arc::new(AlarmHistory {
                tenant: task().tenant,
                alarm: "a".into(),
                number,
                at: NOW.plus_millis(-days_ago * 24 * HOUR),
                kind: HistoryKind::StateUpdate,
                summary: String::new(),
                data: String::new(),
            })
        };
        let (old, past) = ([clusters[2].key(), clusters[3].key()], [item(1, 31).key()]);
        let records = Records { clusters, alarm_history: vec![item(1, 31), item(2, 30)], ..Records::default() };
        let got = forgotten(&records, NOW, HOUR);
        assert_eq!((got.clusters, got.alarm_history), (old.to_vec(), past.to_vec()));
    }
}
