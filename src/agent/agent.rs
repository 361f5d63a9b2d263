//! The loop: every live task has a driver.
//!
//! Woken by the store or a timer, it takes no hint what changed, reads all live tasks, starts missing drivers and wakes
//! those whose record changed. After a crash the same path runs; there is no recovery path.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cove_base::words::counted;
use cove_model::task::{Desired, StopCode, StopOrder, Task};
use cove_model::task_definition::TaskDefinition;
use cove_store::{Prefix, Read, Record, StoreError, Tx, keys};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::deps::{Deps, blocking, instance_in};
use crate::driver::Driver;
use crate::usage::Readings;
use crate::{elsewhere, keep_house, machines, observe, resolve, routers, storage};

/// A driver that ended while its task lives panicked; its successor waits this long.
const RESTART_DELAY: Duration = Duration::from_secs(1);
/// Beyond the longest stop timeout that ECS allows nothing is waited for. Each container that stops begins it anew:
/// those of a task may have to wait for each other.
const DOWN_TIMEOUT: Patience = Patience::Each(Duration::from_secs(150));
/// Less than the unit's `TimeoutStopSec`: a machine that goes down does not wait for ever.
const LEAVE_TIMEOUT: Patience = Patience::Whole(Duration::from_secs(100));

/// How long tasks may take to stop.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// From one change of any task to the next.
    Each(Duration),
    Whole(Duration),
}

/// A running agent.
pub struct AgentHandle {
    deps: Arc<Deps>,
    main: Loop,
    groups: Loop,
    storage: Loop,
    readings: Readings,
}

/// Starts the loop. Returns at once; nothing was touched yet.
#[must_use]
pub fn start(deps: Deps) -> AgentHandle {
    let deps = Arc::new(deps);
    let main = Loop::spawn(|stopped| run(Arc::clone(&deps), stopped));
    let groups = Loop::spawn(|stopped| machines::run(Arc::clone(&deps), stopped));
    let storage = Loop::spawn(|stopped| storage::run(Arc::clone(&deps), stopped));
    AgentHandle { deps, main, groups, storage, readings: Readings::default() }
}

/// A loop of its own that ends when it is told to.
struct Loop {
    stop: watch::Sender<bool>,
    join: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Loop {
    fn spawn<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(watch::Receiver<bool>) -> F) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, join: std::sync::Mutex::new(Some(tokio::spawn(run(stopped)))) }
    }

    /// Returns when it has ended. A second call finds nothing to do.
    async fn end(&self) {
        // The receiver is gone only when the loop has ended already.
        let _ = self.stop.send(true);
        let join = self.join.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(join) = join {
            // A loop that panicked has ended as well.
            let _ = join.await;
        }
    }
}

/// Something that could not be taken down.
#[derive(Debug, thiserror::Error)]
pub enum DownError {
    #[error("ask every task to stop")]
    Order(#[source] StoreError),
    #[error("{0} tasks did not stop in time")]
    StillRunning(usize),
    #[error("remove what is left in the kernel: {}", .0.join("; "))]
    Leftovers(Vec<String>),
}

/// What a stop of every task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    pub tasks: usize,
    /// The longest stop timeout of their containers.
    pub longest_secs: u32,
}

impl std::fmt::Display for Stopping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = if self.tasks == 1 { "stops" } else { "stop" };
        let tasks = counted(self.tasks, "task");
        write!(f, "waiting while {tasks} {verb}; the longest stop timeout is {} s", self.longest_secs)
    }
}

impl AgentHandle {
    /// What [`AgentHandle::down`] would wait for; `None` where no task lives.
    #[must_use]
    pub fn stopping(&self) -> Option<Stopping> {
        let mut tasks = live(&self.deps);
        tasks.retain(|task| !task.is_waiting());
        let longest = self.deps.store.read(|view| {
            let definition = |task: &Arc<Task>| {
                view.get::<TaskDefinition>(&keys::definition(&task.tenant, &task.family, task.revision))
            };
            let definitions: Vec<_> = tasks.iter().filter_map(definition).collect();
            let containers = definitions.iter().flat_map(|it| &it.document.container_definitions);
            containers.map(resolve::stop_timeout_secs).max()
        });
        longest.map(|longest_secs| Stopping { tasks: tasks.len(), longest_secs })
    }

    /// What the agent works with.
    #[must_use]
    pub fn deps(&self) -> &Arc<Deps> {
        &self.deps
    }

    pub(crate) const fn readings(&self) -> &Readings {
        &self.readings
    }

    /// Ends the loop and its drivers; containers go on. A second call finds nothing to do.
    pub async fn stop(&self) {
        self.storage.end().await;
        self.groups.end().await;
        self.main.end().await;
    }

    /// Stops every task, each with its own timeout, then removes everything of this node from the kernel.
    ///
    /// # Errors
    /// When the store cannot be written, tasks do not stop, or something is left.
    pub async fn down(&self) -> Result<usize, DownError> {
        let count = self.stop_all(|_, _| Some("cove down".to_owned()), DOWN_TIMEOUT).await?;
        keep_house::inventory(&self.deps, &HashSet::new()).await;
        // It would make again what is removed now.
        self.groups.end().await;
        let deps = Arc::clone(&self.deps);
        let failures = blocking(move || remove_all(&deps)).await.unwrap_or_else(|error| vec![error.to_string()]);
        if failures.is_empty() { Ok(count) } else { Err(DownError::Leftovers(failures)) }
    }

    /// The machine goes down: stops every task, each with its own timeout. Afterwards they are like tasks that a reboot
    /// found running, only that their containers could end well. What has no place yet waits on, as it does over a reboot.
    ///
    /// # Errors
    /// When the store cannot be written or tasks do not stop; the kernel then ends them, and the next start says so.
    pub async fn leave_host(&self) -> Result<usize, DownError> {
        let reason = |tx: &Tx<'_>, task: &Task| {
            if task.is_waiting() {
                return None;
            }
            let instance = instance_in(tx, task);
            Some(observe::host_stopped(instance.as_ref().map(|instance| instance.ec2_instance_id.as_str())))
        };
        self.stop_all(reason, LEAVE_TIMEOUT).await
    }

    /// Stops each task that there is a reason for, and waits until none lives any more that has a place or is to stop.
    async fn stop_all(
        &self,
        reason: impl Fn(&Tx<'_>, &Task) -> Option<String> + Send + 'static,
        patience: Patience,
    ) -> Result<usize, DownError> {
        let count = self.order_all_to_stop(reason).await.map_err(DownError::Order)?;
        let mut tasks = self.deps.store.watch::<Task>();
        let begun = tokio::time::Instant::now();
        while driven(&self.deps) > 0 {
            let deadline = match patience {
                Patience::Each(time) => tokio::time::Instant::now() + time,
                Patience::Whole(time) => begun + time,
            };
            match tokio::time::timeout_at(deadline, tasks.changed()).await {
                Ok(Ok(())) => {}
                // The store is closed: nobody would see them stop.
                Ok(Err(_)) => break,
                Err(_) => return Err(DownError::StillRunning(driven(&self.deps))),
            }
        }
        Ok(count)
    }

    async fn order_all_to_stop(
        &self,
        reason: impl Fn(&Tx<'_>, &Task) -> Option<String> + Send + 'static,
    ) -> Result<usize, StoreError> {
        self.deps
            .store
            .write(move |tx| {
                let mut count = 0;
                for task in tx.live::<Task>(&Prefix::all()).into_iter().filter(|task| !task.placement.elsewhere) {
                    let Some(reason) = reason(tx, &task) else { continue };
                    count += 1;
                    if task.desired.is_stopped() {
                        continue;
                    }
                    let order = StopOrder { code: StopCode::TerminationNotice, reason, at: tx.now() };
                    let mut task = (*task).clone();
                    task.desired = Desired::Stopped(order);
                    task.version += 1;
                    tx.put(task);
                }
                Ok(count)
            })
            .await
    }
}

fn remove_all(deps: &Deps) -> Vec<String> {
    let mut failures = Vec::new();
    if let Err(error) = deps.networks.remove_all() {
        failures.push(cove_base::error::chain(&error));
    }
    if let Err(error) = deps.cgroups.remove_all() {
        failures.push(cove_base::error::chain(&error));
    }
    failures
}

/// Those of this node. What other hosts run is their own agents'.
pub(crate) fn live(deps: &Deps) -> Vec<Arc<Task>> {
    let mut all: Vec<Arc<Task>> = deps.store.read(|view| view.live(&Prefix::all()));
    all.retain(|task| !task.placement.elsewhere);
    all
}

/// How many tasks live that are not the scheduler's alone.
fn driven(deps: &Deps) -> usize {
    live(deps).iter().filter(|task| !task.is_waiting()).count()
}

/// A driver and the version of the record that it was last woken for.
struct Entry {
    wake: Arc<Notify>,
    join: JoinHandle<()>,
    version: u64,
}

async fn run(deps: Arc<Deps>, mut stopped: watch::Receiver<bool>) {
    let mut changed = deps.store.watch::<Task>();
    let mut drivers: HashMap<String, Entry> = HashMap::new();
    let (ended_in, mut ended) = mpsc::unbounded_channel::<()>();
    let mut house = tokio::time::interval(deps.settings.housekeeping_interval);
    house.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let pause = deps.settings.collect_interval;
    let mut collect = tokio::time::interval_at(tokio::time::Instant::now() + pause, pause);
    collect.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut housework, mut collection): (Option<JoinHandle<()>>, Option<JoinHandle<()>>) = (None, None);
    let at_start = Arc::clone(&deps);
    let _ = blocking(move || routers::open_all(&at_start)).await;
    loop {
        reconcile(&deps, &mut drivers, &ended_in);
        elsewhere::bury(&deps);
        tokio::select! {
            // Marks the change as seen before the next reading.
            result = changed.changed() => if result.is_err() { break },
            _ = ended.recv() => {}
            _ = house.tick() => {
                if housework.as_ref().is_none_or(JoinHandle::is_finished) {
                    let driven = drivers.keys().cloned().collect();
                    housework = Some(tokio::spawn(keep(Arc::clone(&deps), driven)));
                }
            }
            _ = collect.tick() => {
                if collection.as_ref().is_none_or(JoinHandle::is_finished) {
                    let deps = Arc::clone(&deps);
                    collection = Some(tokio::spawn(async move { keep_house::collect(&deps).await }));
                }
            }
            _ = stopped.changed() => break,
        }
    }
    for entry in drivers.into_values() {
        entry.join.abort();
    }
    for work in [housework, collection].into_iter().flatten() {
        work.abort();
    }
}

async fn keep(deps: Arc<Deps>, driven: HashSet<String>) {
    keep_house::inventory(&deps, &driven).await;
    keep_house::forget(&deps).await;
    keep_house::logs(&deps).await;
    // Whatever was busy since the last time has left free memory behind. Nobody waits for this.
    let _ = blocking(cove_runtime::memory::trim).await;
}

fn reconcile(deps: &Arc<Deps>, drivers: &mut HashMap<String, Entry>, ended: &mpsc::UnboundedSender<()>) {
    let mut fallen = HashSet::new();
    drivers.retain(|id, entry| {
        let over = entry.join.is_finished();
        if over {
            fallen.insert(id.clone());
        }
        !over
    });
    // A task that has no place yet is the scheduler's alone; once it is to stop, somebody must bury it.
    for task in live(deps).into_iter().filter(|task| !task.is_waiting()) {
        match drivers.get_mut(&task.id) {
            Some(entry) if entry.version != task.version => {
                entry.version = task.version;
                entry.wake.notify_one();
            }
            Some(_) => {}
            None => {
                let delay = if fallen.contains(&task.id) { RESTART_DELAY } else { Duration::ZERO };
                drivers.insert(task.id.clone(), drive(deps, &task, delay, ended.clone()));
            }
        }
    }
}

fn drive(deps: &Arc<Deps>, task: &Task, delay: Duration, ended: mpsc::UnboundedSender<()>) -> Entry {
    /// Tells the loop, also when the driver panics.
    struct Tell(mpsc::UnboundedSender<()>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let wake = Arc::new(Notify::new());
    let driver = Driver::new(Arc::clone(deps), task.key(), Arc::clone(&wake));
    let join = tokio::spawn(async move {
        let _tell = Tell(ended);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        driver.run().await;
    });
    Entry { wake, join, version: task.version }
}
