//! Finds the shim of an earlier server, or what it left.

use cove_model::task::Task;
use cove_shim::client::{self, SPEC_FILE, Shim as ShimClient, ShimError, State};
use cove_shim::journal;

use super::{Driver, StepError};
use crate::deps::blocking;
use crate::step::Shim;

impl Driver {
    /// A live shim is taken over. Without one, exit records or a record of a start say that there was one.
    pub(super) async fn connect(&mut self, task: &Task) -> Result<(), StepError> {
        let directory = self.deps.run.task(&task.id);
        // The run directory goes before STOPPED is written; what ran must be remembered in between.
        let exits = self.deps.data.exits().join(&task.id);
        if !directory.join(SPEC_FILE).exists() && task.observed.boot_id.is_none() && !journal::has_begun(&exits) {
            self.known.shim = Shim::Absent;
            return Ok(());
        }
        self.known.residue = true;
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
        self.known.adopt(state.containers);
        self.client = Some(client);
    }

    async fn read_journal(&mut self, task: &Task) -> Result<(), StepError> {
        let exits = self.deps.data.exits().join(&task.id);
        let (records, has_begun) = blocking(move || (journal::read(&exits), journal::has_begun(&exits))).await?;
        let was_started = has_begun || task.containers.iter().any(|container| container.seen.started_at.is_some());
        self.known.inherit(records, was_started);
        let (cgroups, id) = (self.deps.cgroups.clone(), task.id.clone());
        blocking(move || cgroups.remove_task(&id)).await??;
        Ok(())
    }
}
