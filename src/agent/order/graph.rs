//! Who needs whom, as a task definition says it.

use cove_model::task::Task;
use cove_model::task_definition::{ContainerCondition, ContainerDefinition, TaskDefinitionDocument};

use super::restart::RestartPolicy;

/// The containers of a task by their place in the record, each with what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Places, each after all that it needs.
    pub(super) sorted: Vec<usize>,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) needs: Vec<Need>,
    /// How long others wait for this one, counted from its start.
    pub(super) start_timeout_secs: Option<u32>,
    pub(super) restart: Option<RestartPolicy>,
}

/// What one container needs of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) on: usize,
    pub(super) until: Until,
}

/// How far the other must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Everything that it needs itself is there: what `volumesFrom` waits for.
    Created,
    Started,
    Complete,
    Success,
    Healthy,
}

/// The agent's words for containers that need each other in a circle, or one that is not there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("TaskDependencyError: Task dependencies cannot be resolved, taskArn: {task_arn}")]
pub(crate) struct Unresolvable {
    task_arn: String,
}

impl Graph {
    /// Reads it from the definition.
    pub(crate) fn of(task: &Task, document: &TaskDefinitionDocument) -> Result<Self, Unresolvable> {
        let unresolvable = || Unresolvable { task_arn: task.arn() };
        let find = |name: Option<&str>| task.containers.iter().position(|it| Some(it.name.as_str()) == name);
        let mut nodes = Vec::with_capacity(task.containers.len());
        for container in &task.containers {
            let definitions = &document.container_definitions;
            let given = definitions.iter().find(|it| it.name.as_deref() == Some(&container.name));
            let mut node = Node::default();
            if let Some(given) = given {
                for (name, until) in named(given) {
                    node.needs.push(Need { on: find(name).ok_or_else(unresolvable)?, until });
                }
                node.start_timeout_secs = given.start_timeout.and_then(|secs| u32::try_from(secs).ok());
                node.restart = given.restart_policy.as_ref().and_then(RestartPolicy::of);
            }
            nodes.push(node);
        }
        Self::sorted(nodes).ok_or_else(unresolvable)
    }

    /// Containers that need nobody: what is left to go by when the definition is gone.
    pub(crate) fn unordered(task: &Task) -> Self {
        let nodes = vec![Node::default(); task.containers.len()];
        Self { sorted: (0..nodes.len()).collect(), nodes }
    }

    /// `None` when there is a circle.
    pub(super) fn sorted(nodes: Vec<Node>) -> Option<Self> {
        let mut sorted: Vec<usize> = Vec::with_capacity(nodes.len());
        let mut done = vec![false; nodes.len()];
        while sorted.len() < nodes.len() {
            let next = (0..nodes.len()).find(|at| !done[*at] && nodes[*at].needs.iter().all(|need| done[need.on]))?;
            done[next] = true;
            sorted.push(next);
        }
        Some(Self { nodes, sorted })
    }
}

/// Names with conditions, in the agent's order: dependsOn as it stands, then links and volumes.
fn named(given: &ContainerDefinition) -> impl Iterator<Item = (Option<&str>, Until)> {
    let depends = given.depends_on.iter().map(|one| (one.container_name.as_deref(), until(one.condition)));
    let links = given.links.iter().map(|link| (link.split(':').next(), Until::Started));
    let volumes = given.volumes_from.iter().map(|one| (one.source_container.as_deref(), Until::Created));
    depends.chain(links).chain(volumes)
}

fn until(condition: Option<ContainerCondition>) -> Until {
    match condition {
        None | Some(ContainerCondition::Start) => Until::Started,
        Some(ContainerCondition::Complete) => Until::Complete,
        Some(ContainerCondition::Success) => Until::Success,
        Some(ContainerCondition::Healthy) => Until::Healthy,
    }
}
