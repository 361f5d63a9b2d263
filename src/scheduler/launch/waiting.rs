//! Tasks that wait for capacity: in PROVISIONING, without a place, until their provider's group has room for them.
//!
//! ```text
//! launch: no room, and managed scaling is on ─▶ waits ─┬─▶ placed     an instance joined or grew, a task ended
//!                                                       ├─▶ stopped    somebody asked for it
//!                                                       └─▶ given up   after AWS's time: TaskFailedToStart, with the lack
//! ```
//!
//! In: the records, no hint what changed. Out: places, or orders to stop: a round, in one transaction or a few.
//!
//! Holds: the oldest of those that wait are placed first, as far as equal ones go; one that has a place never waits again;
//! all have had their turn before the next round begins, however many different ones there are. Nothing is remembered
//! outside the records but how far a round is, so that a server that starts goes on where another one ended.
//! Why on the writer thread, without a look before: what was found free there stays free, and who waits is rare.

use std::sync::Arc;
use std::time::Duration;

use cove_base::ids::random_u64;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::container_instance::ContainerInstance;
use cove_model::task::{Desired, StopCode, StopOrder, Task};
use cove_model::task_definition::TaskDefinition;
use cove_model::task_template::TaskTemplate;
use cove_store::{Prefix, Read, Store, StoreError, Tx, keys};

use super::{LaunchError, definition, provider, record, request, scaling};
use crate::deploy::message::NOT_STARTED;
use crate::host::HostFacts;
use crate::place::{BadRequest, Reason, Refusal, Request, Target};

/// AWS's quota, of a cluster.
const TASKS_MAX: usize = 500;
/// After the store refused a write.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Changes come in crowds: what comes within this time is looked at together.
const CROWD: Duration = Duration::from_millis(1);
/// Crowds that one transaction looks for places for: each may look at every instance twice, and others want to write.
const CROWDS_MAX: usize = 8;
/// Looking for places takes at most one part in so many of the writer's time.
const SHARE: u32 = 5;

/// Places tasks that wait when there is room, and gives them up when they have waited for too long. Runs until the store
/// closes. Cancel safe.
pub async fn watch_waiting(store: Store, clock: Clock, host: Arc<HostFacts>) {
    let (mut tasks, mut instances) = (store.watch::<Task>(), store.watch::<ContainerInstance>());
    let mut providers = store.watch::<CapacityProvider>();
    let mut from = None;
    loop {
        if from.is_none() {
            for changed in [&mut tasks, &mut instances, &mut providers] {
                changed.mark_unchanged();
            }
        }
        let oldest = store.read(|view| waiting(view).iter().map(|task| task.created_at).min());
        let mut wait = None;
        if let Some(oldest) = oldest {
            let (host, begun) = (Arc::clone(&host), tokio::time::Instant::now());
            let give_up_at = oldest.plus_millis(host.fleet.provisioning_millis);
            let start = from.take();
            match store.write(move |tx| place_waiting(tx, &host, start.as_ref())).await {
                Ok(next) => from = next,
                Err(error) => {
                    tracing::warn!(
                        error = cove_base::error::chain(&error),
                        "tasks that wait for capacity cannot be placed"
                    );
                    tokio::time::sleep(RETRY_DELAY).await;
                    continue;
                }
            }
            tokio::time::sleep(CROWD.max(begun.elapsed() * (SHARE - 1))).await;
            if from.is_some() {
                continue;
            }
            let millis = give_up_at.millis().saturating_sub(clock.now().millis());
            wait = Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)).max(CROWD));
        }
        let pause = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        let changed = tokio::select! {
            result = tasks.changed() => result,
            result = instances.changed(), if oldest.is_some() => result,
            result = providers.changed(), if oldest.is_some() => result,
            () = pause => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// All that wait, of all tenants.
pub(crate) fn waiting(source: &impl Read) -> Vec<Arc<Task>> {
    let mut all = source.listed::<Task>(&keys::tasks_unplaced());
    all.retain(|task| task.is_waiting());
    all
}

/// How many more may wait in the cluster.
pub(super) fn seats(source: &Tx<'_>, tenant: &Tenant, cluster: &str) -> usize {
    let here = waiting(source).iter().filter(|task| task.cluster == cluster && task.tenant == *tenant).count();
    TASKS_MAX.saturating_sub(here)
}

/// Where a round goes on: with the oldest task that it has not looked at.
pub(crate) type Mark = (Timestamp, String);

fn mark(task: &Task) -> Mark {
    (task.created_at, task.id.clone())
}

/// Equal tasks that wait for the same provider, the oldest first.
pub(super) struct Crowd {
    pub(super) provider: String,
    pub(super) tasks: Vec<Arc<Task>>,
}

impl Crowd {
    /// All that wait; the crowd first whose oldest task has waited longest.
    pub(super) fn all(source: &impl Read) -> Vec<Self> {
        Self::some(source, None, usize::MAX).0
    }

    /// So many of the crowds from a task on, and the task that the next ones begin with.
    fn some(source: &impl Read, from: Option<&Mark>, most: usize) -> (Vec<Self>, Option<Mark>) {
        let mut tasks = waiting(source);
        tasks.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
        let (mut crowds, mut next) = (Vec::<Self>::new(), None);
        for task in tasks.into_iter().filter(|task| from.is_none_or(|from| mark(task) >= *from)) {
            let Some(provider) = &task.placement.capacity_provider else { continue };
            let is_like = |it: &&mut Self| it.provider == *provider && it.tasks[0].unplaced == task.unplaced;
            let is_full = crowds.len() >= most;
            match crowds.iter_mut().find(is_like) {
                Some(crowd) => crowd.tasks.push(task),
                None if !is_full => crowds.push(Self { provider: provider.clone(), tasks: vec![task] }),
                None => drop(next.get_or_insert_with(|| mark(&task))),
            }
        }
        (crowds, next)
    }

    /// What its tasks are made from.
    pub(super) fn template(&self) -> Option<&TaskTemplate> {
        self.tasks[0].unplaced.as_deref()
    }

    /// What placement is asked for all of them.
    pub(super) fn request(
        &self,
        source: &impl Read,
        template: &TaskTemplate,
        definition: &TaskDefinition,
    ) -> Result<Request, LaunchError> {
        let count = self.tasks.len();
        let pools = provider::pools(source, template, &vec![self.provider.clone(); count]);
        Ok(Request { pools, ..request(template, definition, Target::Count(count), random_u64())? })
    }

    /// Whether an instance of the provider's is registered, in whatever state.
    fn has_instances(&self, source: &impl Read) -> bool {
        let task = &self.tasks[0];
        let provider = source.get::<CapacityProvider>(&keys::capacity_provider(&task.tenant, &self.provider));
        let instances = source.scan::<ContainerInstance>(&Prefix::parent(&task.tenant, &task.cluster));
        provider.is_some_and(|it| instances.iter().any(|one| one.is_registered() && it.pool().has(one)))
    }
}

/// Places whatever there is room for; who waits for too long is asked to stop. Begins with the oldest or at the mark; where
/// to go on, if not all have had their turn.
pub(crate) fn place_waiting(
    tx: &mut Tx<'_>,
    host: &HostFacts,
    from: Option<&Mark>,
) -> Result<Option<Mark>, StoreError> {
    let (crowds, next) = Crowd::some(tx, from, CROWDS_MAX);
    for crowd in crowds {
        let Some(template) = crowd.template() else { continue };
        let answers = match places(tx, host, &crowd, template) {
            Ok((definition, answers)) => {
                let places = answers.into_iter().map(|it| it.map(|placed| (Arc::clone(&definition), placed)));
                places.map(|it| it.map_err(|refusals| lack(tx, &crowd, &refusals))).collect()
            }
            Err(error) => vec![Err(error.to_string()); crowd.tasks.len()],
        };
        for (task, answer) in crowd.tasks.iter().zip(answers) {
            match answer {
                Ok((definition, placed)) => record::settle(tx, task, template, &definition, placed),
                Err(lack) => give_up_late(tx, host, task, &lack),
            }
        }
    }
    Ok(next)
}

/// Asks placement for all of them, and lets the group grow.
fn places(
    tx: &mut Tx<'_>,
    host: &HostFacts,
    crowd: &Crowd,
    template: &TaskTemplate,
) -> Result<(Arc<TaskDefinition>, scaling::Answers), LaunchError> {
    let definition = definition(tx, template)?;
    let request = crowd.request(tx, template, &definition)?;
    let providers = vec![crowd.provider.clone(); crowd.tasks.len()];
    let answers = match scaling::place(tx, host, &request, &providers) {
        Err(BadRequest::NoContainerInstances) => vec![Err(Vec::new()); crowd.tasks.len()],
        answers => answers?,
    };
    Ok((definition, answers))
}

/// Asks a task to stop that has waited for AWS's time.
fn give_up_late(tx: &mut Tx<'_>, host: &HostFacts, task: &Task, lack: &str) {
    let now = tx.now();
    if task.created_at.plus_millis(host.fleet.provisioning_millis) > now {
        return;
    }
    let reason = format!("{NOT_STARTED}{lack}");
    let desired = Desired::Stopped(StopOrder { code: StopCode::TaskFailedToStart, reason, at: now });
    tx.put(Task { desired, version: task.version + 1, ..task.clone() });
}

/// What the provider lacks, in AWS's words: of the refusal that was nearest to a yes.
fn lack(source: &impl Read, crowd: &Crowd, refusals: &[Refusal]) -> String {
    let closest = refusals.iter().map(|refusal| refusal.reason).max();
    match closest.filter(|reason| *reason != Reason::NoCapacity) {
        Some(reason) => reason.as_str().trim_end_matches('.').to_owned(),
        None if crowd.has_instances(source) => "NO ACTIVE INSTANCES".to_owned(),
        None => "EMPTY CAPACITY PROVIDER".to_owned(),
    }
}
