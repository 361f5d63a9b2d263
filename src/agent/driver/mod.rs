//! One driver per live task: computes the next step, takes it, writes what it saw.
//!
//! In: the task's record, events of its shim, wake-ups. Out: effects in the kernel, observed state in the store.
//!
//! Holds: one effect at a time; each may be taken twice. What is shown was durable first. Between a RunTask that is
//! durable and the container's first instruction the driver waits for no other disk write.

mod connect;
mod docker_volumes;
mod dynamic_ports;
mod gate;
mod knowledge;
mod prepare;
mod release;
#[cfg(test)]
mod simulation;

pub(crate) use docker_volumes::{shared as shared_volumes, turn as shared_volumes_turn};
pub use release::unmount_volumes;
pub(crate) use release::{remove, volumes};

use std::sync::Arc;
use std::time::Duration;

use cove_base::Timestamp;
use cove_base::crash::{self, Point};
use cove_model::service::Departed;
use cove_model::task::{Task, TaskStatus};
use cove_model::task_definition::TaskDefinition;
use cove_shim::client::Shim as ShimClient;
use cove_shim::protocol::Request;
use cove_store::{Key, Read, StoreError, keys};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use self::gate::Gate;
use self::knowledge::{Knowledge, Outlook};
use crate::deps::{Deps, blocking};
use crate::observe;
use crate::order::{Graph, Refusal};
use crate::step::{Progress, Step, next_step};

/// How long a step that the host refused waits before it is taken again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a shim may take to end after it was told to finish, before its processes are killed.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// What one driver knows.
pub(crate) struct Driver {
    pub(crate) deps: Arc<Deps>,
    pub(crate) key: Key,
    pub(crate) wake: Arc<Notify>,
    known: Knowledge,
    client: Option<ShimClient>,
    /// Seen by its pidfd: nobody is to be asked.
    shim_died: bool,
    /// Who needs whom; read when it is first asked for.
    graph: Option<Arc<Graph>>,
    /// What the first start waits for.
    gate: Option<Gate>,
    /// Seen here first, written with the next record.
    pull: PullTimes,
    digests: Vec<(String, String)>,
    /// The network is attached beside other work; nothing of the task is removed before that has ended.
    attaching: Option<JoinHandle<()>>,
}

/// When images began to be fetched and were there, when the network was.
#[derive(Debug, Clone, Copy, Default)]
struct PullTimes {
    started_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    connectivity_at: Option<Timestamp>,
}

/// Why a driver's loop ended.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    Continue,
    /// Nothing is left to do for this task.
    Over,
}

impl Driver {
    pub(crate) fn new(deps: Arc<Deps>, key: Key, wake: Arc<Notify>) -> Self {
        Self {
            deps,
            key,
            wake,
            known: Knowledge::default(),
            client: None,
            shim_died: false,
            graph: None,
            gate: None,
            pull: PullTimes::default(),
            digests: Vec::new(),
            attaching: None,
        }
    }

    /// Runs until the task is STOPPED and nothing of it is left.
    pub(crate) async fn run(mut self) {
        loop {
            let Some(task) = self.read() else { return };
            let graph = self.graph(&task);
            let mut outlook = self.known.outlook(&task, &graph, self.is_rebooted(&task), self.deps.clock.now());
            self.gate = Gate::closed(&self.deps.store, &task, &outlook);
            if self.gate.is_some() {
                outlook.hold_starts();
            }
            let step = next_step(&task, &outlook.facts);
            tracing::debug!(task = task.id, ?step, facts = ?outlook.facts, "step");
            match self.take(step, &task, &graph, outlook).await {
                Ok(Flow::Continue) => {}
                Ok(Flow::Over) => return,
                Err(error) => {
                    tracing::warn!(
                        task = task.id,
                        ?step,
                        error = cove_base::error::chain(&*error),
                        "a step failed; it is taken again"
                    );
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    fn read(&self) -> Option<Arc<Task>> {
        self.deps.store.read(|view| view.get::<Task>(&self.key))
    }

    /// A definition that is gone orders nothing any more; what runs can still be stopped.
    fn graph(&mut self, task: &Task) -> Arc<Graph> {
        let read = || {
            let key = keys::definition(&task.tenant, &task.family, task.revision);
            let definition = self.deps.store.read(|view| view.get::<TaskDefinition>(&key));
            let graph = definition.and_then(|definition| Graph::of(task, &definition.document).ok());
            Arc::new(graph.unwrap_or_else(|| Graph::unordered(task)))
        };
        Arc::clone(self.graph.get_or_insert_with(read))
    }

    fn is_rebooted(&self, task: &Task) -> bool {
        task.observed.boot_id.as_ref().is_some_and(|boot| *boot != self.deps.boot_id)
    }

    async fn take(
        &mut self,
        step: Step,
        task: &Arc<Task>,
        graph: &Arc<Graph>,
        outlook: Outlook,
    ) -> Result<Flow, StepError> {
        match step {
            Step::Rest if task.observed.status == TaskStatus::Stopped => return Ok(Flow::Over),
            Step::Rest => self.rest(outlook.starts.look_again_at).await?,
            Step::Connect => self.connect(task).await?,
            Step::Prepare => self.prepare(task).await?,
            Step::Start => self.start(task, &outlook.starts.now).await?,
            Step::GiveUp => self.give_up(graph, outlook.starts.never).await?,
            Step::Record => {
                if outlook.facts.progress == Progress::Ended {
                    // Whoever keeps the task starts another one.
                    self.expect_moves();
                }
                self.record(graph).await?;
            }
            Step::Stop => self.stop(task, &outlook.stops).await?,
            Step::Kill => self.kill(task).await?,
            Step::Release => self.release(task).await?,
            Step::Bury => self.bury(task, graph).await?,
        }
        Ok(Flow::Continue)
    }

    /// Waits for the shim to say something, for the record to change, or for the moment.
    async fn rest(&mut self, until: Option<Timestamp>) -> Result<(), StepError> {
        let wake = Arc::clone(&self.wake);
        let wait = until.map(|until| until.millis().saturating_sub(self.deps.clock.now().millis()));
        let moment = async {
            match wait {
                Some(millis) => tokio::time::sleep(Duration::from_millis(millis.try_into().unwrap_or(0))).await,
                None => std::future::pending().await,
            }
        };
        let gate = self.gate.take();
        let moved = async {
            match gate {
                Some(gate) => gate.moved().await,
                None => std::future::pending().await,
            }
        };
        let Some(client) = &mut self.client else {
            wake.notified().await;
            return Ok(());
        };
        tokio::select! {
            () = wake.notified() => {}
            () = moment => {}
            () = moved => {}
            event = client.next() => match event {
                Ok(Some(event)) => self.known.heard(event),
                Ok(None) => self.lost_shim(),
                Err(error) => {
                    tracing::debug!(key = ?self.key, error = cove_base::error::chain(&error), "connection to the shim ended");
                    self.lost_shim();
                }
            },
        }
        Ok(())
    }

    /// The connection is gone; whether the shim is, [`Driver::connect`] finds out.
    fn lost_shim(&mut self) {
        self.shim_died = self.client.as_ref().is_some_and(ShimClient::has_died);
        self.client = None;
        self.known.lost_shim();
    }

    async fn send(&mut self, request: Request) -> Result<(), StepError> {
        let Some(client) = &self.client else { return Ok(()) };
        if let Err(error) = client.send(&request).await {
            tracing::debug!(key = ?self.key, error = cove_base::error::chain(&error), "the shim cannot be asked");
            self.lost_shim();
        }
        Ok(())
    }

    async fn start(&mut self, task: &Task, starts: &[(usize, u32)]) -> Result<(), StepError> {
        for (at, attempt) in starts {
            let container = &task.containers[*at].name;
            self.known.said.starts.insert(container.clone(), *attempt);
            self.send(Request::Start { container: container.clone(), attempt: *attempt }).await?;
        }
        crash::at(if starts.iter().any(|(_, attempt)| *attempt > 0) { Point::RestartSent } else { Point::StartSent });
        Ok(())
    }

    /// One write: nothing of it is known anywhere else.
    async fn give_up(&mut self, graph: &Arc<Graph>, never: Vec<(usize, Refusal)>) -> Result<(), StepError> {
        let (said, graph) = (self.known.said.clone(), Arc::clone(graph));
        self.write(move |task, now| {
            // The reason quotes what is known of the dependency.
            observe::containers(task, &said, &graph, now);
            if !task.desired.is_stopped() {
                never.into_iter().for_each(|(at, refusal)| observe::give_up(task, at, refusal, now));
            }
            observe::containers(task, &said, &graph, now);
        })
        .await?;
        crash::at(Point::GivenUp);
        Ok(())
    }

    async fn stop(&mut self, task: &Task, stops: &[usize]) -> Result<(), StepError> {
        for at in stops {
            let container = &task.containers[*at].name;
            self.known.asked.stops.insert(container.clone());
            self.send(Request::Stop { container: container.clone() }).await?;
        }
        self.announce_end().await?;
        crash::at(Point::StopSent);
        Ok(())
    }

    /// Requests are carried out in order: the state that answers says what came of every start, and there will be no other.
    async fn announce_end(&mut self) -> Result<(), StepError> {
        if !self.known.asked.end {
            self.send(Request::Subscribe).await?;
            self.known.asked.end = self.client.is_some();
        }
        Ok(())
    }

    /// Everything at once, also what the shim does not know of; then the shim says when its containers are gone.
    async fn kill(&mut self, task: &Task) -> Result<(), StepError> {
        let (cgroups, id) = (Arc::clone(&self.deps.cgroups), task.id.clone());
        blocking(move || cgroups.task(&id).kill()).await?;
        for container in &task.containers {
            // One that starts at this moment is not in the group yet.
            self.send(Request::Kill { container: container.name.clone() }).await?;
        }
        self.announce_end().await?;
        self.known.asked.kill = self.client.is_some();
        Ok(())
    }

    /// Nobody waits for it.
    fn expect_moves(&self) {
        let cgroups = Arc::clone(&self.deps.cgroups);
        tokio::task::spawn_blocking(move || cgroups.expect_moves());
    }

    async fn record(&mut self, graph: &Arc<Graph>) -> Result<(), StepError> {
        crash::at(Point::Recording);
        let (said, graph) = (self.known.said.clone(), Arc::clone(graph));
        self.write(move |task, now| observe::containers(task, &said, &graph, now)).await
    }

    /// The last write: everything that was seen, why it ended, STOPPED.
    async fn bury(&mut self, task: &Arc<Task>, graph: &Arc<Graph>) -> Result<(), StepError> {
        let instance = self.deps.instance_of(task).map(|instance| instance.ec2_instance_id.clone());
        let last_word = self.known.last_word(graph, self.is_rebooted(task), instance);
        self.write(move |task, now| last_word.write(task, now)).await?;
        crash::at(Point::Buried);
        self.forget_exits(&task.id).await;
        Ok(())
    }

    /// One transaction: the record as it is now, changed, with what this driver saw beside.
    async fn write(&self, change: impl FnOnce(&mut Task, Timestamp) + Send + 'static) -> Result<(), StepError> {
        let (key, pull, digests, boot_id) =
            (self.key.clone(), self.pull, self.digests.clone(), self.deps.boot_id.clone());
        let done: Result<(), StoreError> = self
            .deps
            .store
            .write(move |tx| {
                let Some(before) = tx.get::<Task>(&key) else { return Ok(()) };
                let mut task = (*before).clone();
                task.observed.boot_id.get_or_insert(boot_id);
                beside(&mut task, pull, &digests);
                change(&mut task, tx.now());
                if task != *before {
                    task.version += 1;
                    if !task.is_live() && before.is_live() {
                        // Whoever keeps it counts its end once.
                        Departed::of(&task).into_iter().for_each(|ended| tx.put(ended));
                    }
                    tx.put(task);
                }
                Ok(())
            })
            .await;
        done.map_err(StepError::from)
    }
}

/// Times of the pull, digests and runtime ids.
fn beside(task: &mut Task, pull: PullTimes, digests: &[(String, String)]) {
    let observed = &mut task.observed;
    observed.pull_started_at = observed.pull_started_at.or(pull.started_at);
    observed.pull_stopped_at = observed.pull_stopped_at.or(pull.stopped_at);
    observed.connectivity_at = observed.connectivity_at.or(pull.connectivity_at);
    for container in &mut task.containers {
        let Some((_, digest)) = digests.iter().find(|(name, _)| *name == container.name) else { continue };
        container.seen.image_digest.get_or_insert_with(|| digest.clone());
        let id = container.runtime_id(&task.id);
        container.seen.runtime_id.get_or_insert(id);
    }
}

/// A step that could not be taken; it is tried again.
type StepError = Box<dyn std::error::Error + Send + Sync>;
