//! What a driver knows of its task beside the record, and what follows from both.
//!
//! In: record, [`Graph`], what the shim said and was asked, the moment. Out: an [`Outlook`]: whom to start, give up or
//! stop, and the [`Facts`] that the next step is chosen by. No store, no await; nothing of it outlives the server.

use std::collections::HashSet;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::task::Task;
use cove_shim::protocol::{ContainerState, Event, ExitRecord, Phase};

use crate::observe::{self, Failure, Said};
use crate::order::{self, Graph, Starts};
use crate::step::{Facts, Shim};

/// What one driver knows.
pub(crate) struct Knowledge {
    pub(crate) shim: Shim,
    pub(crate) said: Said,
    pub(crate) asked: Asked,
    pub(crate) failure: Option<Failure>,
    pub(crate) residue: bool,
}

impl Default for Knowledge {
    fn default() -> Self {
        let (said, asked) = (Said::default(), Asked::default());
        Self { shim: Shim::Unknown, said, asked, failure: None, residue: false }
    }
}

/// What the shim of this connection was asked. Asking again is harmless.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) stops: HashSet<String>,
    /// It was told of the end: its state was asked for after the first stops.
    pub(crate) end: bool,
    /// Everything of the task was killed.
    pub(crate) kill: bool,
}

/// What to do about single containers, and what the next step is chosen by.
pub(crate) struct Outlook {
    /// Without those that were asked already.
    pub(crate) starts: Starts,
    pub(crate) stops: Vec<usize>,
    pub(crate) facts: Facts,
}

impl Outlook {
    /// Nothing is to be started yet.
    pub(crate) fn hold_starts(&mut self) {
        self.starts.now.clear();
        self.facts.to_start = false;
    }
}

impl Knowledge {
    /// `rebooted`: whether the host has booted since the task's containers were made.
    pub(crate) fn outlook(&self, task: &Task, graph: &Graph, rebooted: bool, now: Timestamp) -> Outlook {
        let stages = order::stages(task, &self.said, graph);
        let starting: Vec<bool> = task.containers.iter().map(|container| self.said.is_starting(container)).collect();
        let mut starts = order::starts(graph, &stages, now);
        starts.now.retain(|(at, attempt)| self.said.starts.get(&task.containers[*at].name) != Some(attempt));
        // What it needed was there when it was asked to start; it may be running by now.
        starts.never.retain(|(at, _)| !starting[*at]);
        let mut stops = order::stops(graph, &stages, &starting);
        stops.retain(|at| !self.asked.stops.contains(&task.containers[*at].name));
        let facts = Facts {
            shim: self.shim,
            progress: observe::progress(task, &self.said, graph),
            rebooted,
            failed: self.failure.is_some(),
            news: self.has_news(task, graph, now),
            starting: starting.contains(&true),
            to_start: !starts.now.is_empty(),
            to_give_up: !starts.never.is_empty(),
            to_stop: !self.asked.end || !stops.is_empty(),
            kill_sent: self.asked.kill,
            residue: self.residue || rebooted && self.shim == Shim::Unknown,
        };
        Outlook { starts, stops, facts }
    }

    /// Whether writing what was seen would change the record.
    fn has_news(&self, task: &Task, graph: &Graph, now: Timestamp) -> bool {
        let mut after = task.clone();
        observe::containers(&mut after, &self.said, graph, now);
        after != *task
    }

    /// A shim that lives has said in which state every container is.
    pub(crate) fn adopt(&mut self, states: Vec<ContainerState>) {
        self.said = Said { states, alive: true, ..Said::default() };
        self.shim = Shim::Alive;
        self.residue = true;
        self.asked = Asked::default();
    }

    /// No shim lives; `records` are in order. A task that nothing ever ran of starts again from the beginning; no other
    /// does, or a container would run twice.
    pub(crate) fn inherit(&mut self, records: Vec<ExitRecord>, was_started: bool) {
        self.shim = if records.is_empty() && !was_started { Shim::Absent } else { Shim::Gone };
        self.said = Said { states: last_attempts(records), ..Said::default() };
    }

    /// The connection to the shim is gone; what it said last stays.
    pub(crate) fn lost_shim(&mut self) {
        self.shim = Shim::Unknown;
        self.said.starts.clear();
        self.asked = Asked::default();
    }

    pub(crate) fn last_word(&self, graph: &Arc<Graph>, rebooted: bool, instance: Option<String>) -> LastWord {
        let (said, failure) = (self.said.clone(), self.failure.clone());
        LastWord { said, failure, shim: self.shim, graph: Arc::clone(graph), rebooted, instance }
    }

    pub(crate) fn heard(&mut self, event: Event) {
        match event {
            // After a stop it is the answer to the subscription that followed the stop.
            Event::State { containers, .. } => {
                (self.said.states, self.said.stops) = (containers, self.asked.end);
            }
            Event::Changed(state) => match self.said.states.iter_mut().find(|known| known.name == state.name) {
                Some(known) => *known = state,
                None => self.said.states.push(state),
            },
            Event::Refused { what, why } => tracing::warn!(what, why, "the shim refused a request"),
            Event::ExecStarted { .. } | Event::ExecExited { .. } => {}
        }
    }
}

/// Everything that the last write needs, whoever makes it.
pub(crate) struct LastWord {
    said: Said,
    failure: Option<Failure>,
    shim: Shim,
    graph: Arc<Graph>,
    rebooted: bool,
    /// The task's EC2 instance.
    instance: Option<String>,
}

impl LastWord {
    /// Everything that was seen, why it ended, STOPPED.
    pub(crate) fn write(self, task: &mut Task, now: Timestamp) {
        let lost = task.desired.is_lost();
        if !lost {
            observe::containers(task, &self.said, &self.graph, now);
        }
        if self.rebooted || lost {
            observe::host_lost(task, self.instance.as_deref(), now);
        }
        if self.shim == Shim::Gone && !lost {
            observe::vanished(task, self.failure.as_ref(), now);
        }
        observe::failed(task, self.failure.as_ref(), now);
        observe::stopped(task, now);
    }
}

/// Of each container the last record counts.
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
