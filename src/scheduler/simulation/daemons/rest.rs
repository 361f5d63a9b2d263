//! Daemons when the faults are over: each runs its revision once on every instance that is to have it, and nowhere else.

use cove_model::daemon::DaemonDeploymentStatus as Status;
use cove_store::Record;

use super::super::Checked;
use super::super::world::World;
use super::check::Watched;

impl World {
    /// Whoever sees that a deployment has failed makes another one. Whether anybody did.
    pub(in super::super) fn help_daemons(&mut self) -> bool {
        let watched: Vec<_> = self.daemons().iter().filter_map(|it| Watched::of(self, &it.key())).collect();
        let failed = watched.into_iter().filter(|it| it.daemon.is_active() && it.deployment.status.has_failed());
        let failed: Vec<_> = failed.collect();
        let are_some = !failed.is_empty();
        failed.into_iter().for_each(|it| self.update_daemon(it.daemon));
        are_some
    }

    pub(in super::super) fn check_daemons_rest(&self) -> Checked {
        for daemon in self.daemons() {
            let Some(it) = Watched::of(self, &daemon.key()) else { continue };
            let is_current = |id: &String| {
                let revision = cove_model::daemon::daemon_started_by(&daemon.revision);
                let mut here = it.tasks.iter().filter(|task| task.placement.container_instance.as_ref() == Some(id));
                here.any(|task| it.is_healthy(task) && task.started_by.as_ref() == Some(&revision))
            };
            let is_over = matches!(it.deployment.status, Status::Successful | Status::RollbackSuccessful);
            let runs = it.tasks.len() == it.wanted_on.len() && it.wanted_on.iter().all(is_current);
            if !daemon.is_active() || !is_over || !runs || daemon.trouble.is_some() {
                return Err(format!("{} is not at rest: {}", daemon.name, it.tells()));
            }
        }
        Ok(())
    }

    pub(in super::super) fn story_of_daemons(&self) -> String {
        let watched: Vec<_> = self.daemons().iter().filter_map(|it| Watched::of(self, &it.key())).collect();
        watched.iter().map(Watched::tells).collect::<Vec<_>>().join("; ")
    }
}
