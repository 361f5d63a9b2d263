//! Finds the shim of an earlier server, or what it left.

use cove_model::task::Task;
use cove_shim::client::{self, SPEC_FILE, Shim as ShimClient};
use cove_shim::journal;
use cove_shim::protocol::{ContainerState, ExitRecord, Phase};

use super::{Driver, StepError};
use crate::deps::blocking;
use crate::observe::Said;
use crate::step::Shim;

impl Driver {
    /// A live shim is taken over. Without one, exit records or a record of a start say that there was one.
    pub(super) async fn connect(&mut self, task: &Task) -> Result<(), StepError> {
        let directory = self.deps.run.task(&task.id);
        if !directory.join(SPEC_FILE).exists() && task.observed.boot_id.is_none() {
            self.shim = Shim::Absent;
            return Ok(());
        }
        self.residue = true;
        match client::connect(&directory).await {
            Ok(client) => self.adopt(client).await,
            Err(error) => {
                tracing::info!(
                    task = task.id,
                    error = cove_base::error::chain(&error),
                    "no shim answers for this task"
                );
                self.read_journal(task).await
            }
        }
    }

    /// Subscribes; the shim answers with the state of every container.
    pub(super) async fn adopt(&mut self, mut client: ShimClient) -> Result<(), StepError> {
        self.said = Said { states: client.subscribe().await?.containers, stops: false };
        self.client = Some(client);
        self.shim = Shim::Alive;
        self.residue = true;
        self.start_sent = false;
        self.stop_sent = false;
        Ok(())
    }

    async fn read_journal(&mut self, task: &Task) -> Result<(), StepError> {
        let exits = self.deps.data.exits().join(&task.id);
        let records = blocking(move || journal::read(&exits)).await?;
        let was_started = task.containers.iter().any(|container| container.seen.started_at.is_some());
        // A task that nothing ever ran of starts again from the beginning.
        self.shim = if records.is_empty() && !was_started { Shim::Absent } else { Shim::Gone };
        self.said = Said { states: records.into_iter().map(as_state).collect(), stops: false };
        let (cgroups, id) = (self.deps.cgroups.clone(), task.id.clone());
        blocking(move || cgroups.remove_task(&id)).await??;
        Ok(())
    }
}

fn as_state(record: ExitRecord) -> ContainerState {
    ContainerState { name: record.container.clone(), attempt: record.attempt, phase: Phase::Exited(record) }
}
