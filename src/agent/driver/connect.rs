//! Finds the shim of an earlier server, or what it left.

use cove_model::task::Task;
use cove_shim::client::{self, SPEC_FILE, Shim as ShimClient, ShimError, State};
use cove_shim::journal;
use cove_shim::protocol::{ContainerState, ExitRecord, Phase};

use super::{Asked, Driver, StepError};
use crate::deps::blocking;
use crate::observe::Said;
use crate::step::Shim;

impl Driver {
    /// A live shim is taken over. Without one, exit records or a record of a start say that there was one.
    pub(super) async fn connect(&mut self, task: &Task) -> Result<(), StepError> {
        let directory = self.deps.run.task(&task.id);
        // The run directory goes before STOPPED is written; what ran must be remembered in between.
        let exits = self.deps.data.exits().join(&task.id);
        if !directory.join(SPEC_FILE).exists() && task.observed.boot_id.is_none() && !journal::has_begun(&exits) {
            self.shim = Shim::Absent;
            return Ok(());
        }
        self.residue = true;
        if std::mem::take(&mut self.shim_died) {
            return self.read_journal(task).await;
        }
        match client::take_over(&directory).await {
            Ok((client, state)) => self.adopt(client, state),
            // Silent: only what a dead shim forked for a start is left of it; that is killed with the rest.
            Err(error @ (ShimError::Gone { .. } | ShimError::Silent)) => {
                tracing::info!(
                    task = task.id,
                    error = cove_base::error::chain(&error),
                    "no shim answers for this task"
                );
                self.read_journal(task).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes over a shim that said in which state every container is.
    pub(super) fn adopt(&mut self, client: ShimClient, state: State) {
        self.said = Said { states: state.containers, alive: true, stops: false };
        self.client = Some(client);
        self.shim = Shim::Alive;
        self.residue = true;
        self.asked = Asked::default();
    }

    async fn read_journal(&mut self, task: &Task) -> Result<(), StepError> {
        let exits = self.deps.data.exits().join(&task.id);
        let (records, has_begun) = blocking(move || (journal::read(&exits), journal::has_begun(&exits))).await?;
        let was_started = has_begun || task.containers.iter().any(|container| container.seen.started_at.is_some());
        // A task that nothing ever ran of starts again from the beginning; no other does, or a container would run twice.
        self.shim = if records.is_empty() && !was_started { Shim::Absent } else { Shim::Gone };
        self.said = Said { states: last_attempts(records), alive: false, stops: false };
        let (cgroups, id) = (self.deps.cgroups.clone(), task.id.clone());
        blocking(move || cgroups.remove_task(&id)).await??;
        Ok(())
    }
}

/// Records are in order: of each container the last one counts.
fn last_attempts(records: Vec<ExitRecord>) -> Vec<ContainerState> {
    let mut states: Vec<ContainerState> = Vec::new();
    for state in records.into_iter().map(as_state) {
        states.retain(|earlier| earlier.name != state.name);
        states.push(state);
    }
    states
}

fn as_state(record: ExitRecord) -> ContainerState {
    ContainerState {
        name: record.container.clone(),
        attempt: record.attempt,
        phase: Phase::Exited(record),
        recording: false,
        health: None,
        health_since: None,
    }
}
