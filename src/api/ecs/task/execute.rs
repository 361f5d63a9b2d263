//! ExecuteCommand: makes a terminal session, which its client opens with the token in the reply.

use cove_model::task::{Container, ContainerState, Task};
use cove_model::task_definition::TaskDefinition;
use cove_store::{Read, keys};

use super::words::words;
use crate::ecs::error::EcsError;
use crate::ecs::wire::{ExecuteCommandIn, ExecuteCommandOut, Session};
use crate::ecs::{cluster, reference, session_log};
use crate::terminal::{PREFIX, Wanted};
use crate::{Context, Origin};

/// The kernel takes 128 KiB as one argument.
const COMMAND_MAX_BYTES: usize = 64 << 10;
/// In AWS's words; its agent is what carries commands out.
const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when the task was run or the execute command agent isn’t running. Wait and try again or run a new task with execute command enabled and try again.";

/// ExecuteCommand. Changes nothing in the store: a session lives as long as its connection.
pub(in crate::ecs) fn execute(cx: &Context, input: ExecuteCommandIn) -> Result<ExecuteCommandOut, EcsError> {
    let tenant = &cx.tenant;
    if cx.origin == Origin::Task {
        return Err(EcsError::AccessDenied("Terminal sessions cannot be opened from inside a task.".to_owned()));
    }
    if !input.interactive {
        return Err(EcsError::parameter("Interactive is the only mode supported currently."));
    }
    if input.command.len() > COMMAND_MAX_BYTES {
        return Err(EcsError::parameter(format!("command must be at most {COMMAND_MAX_BYTES} bytes long.")));
    }
    let args = words(&input.command).filter(|args| !args.is_empty());
    let args = args.ok_or_else(|| EcsError::parameter("command is empty or has an open quotation mark."))?;
    let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
    let id = reference::task(tenant, &cluster, &input.task)?;
    let (cluster, task, definition) = cx.store.read(|view| {
        let cluster = cluster::active(view, tenant, &cluster)?;
        let found = view.get::<Task>(&keys::task(tenant, &cluster.name, &id));
        let task = found.ok_or_else(|| EcsError::parameter("The referenced task was not found."))?;
        let definition = view.get::<TaskDefinition>(&keys::definition(tenant, &task.family, task.revision));
        Ok::<_, EcsError>((cluster, task, definition))
    })?;
    let container = container(&task, input.container.as_deref())?;
    if !task.enable_execute_command || task.placement.elsewhere || container.seen.state != ContainerState::Running {
        return Err(EcsError::parameter(NOT_ENABLED));
    }
    let log = match &definition {
        Some(definition) => session_log::of(&cluster, definition, &container.name)?,
        None => None,
    };
    let (task_id, name) = (task.id.clone(), container.name.clone());
    let ticket = cx.terminals.make(Wanted { tenant: tenant.clone(), task_id, container: name, args, log });
    let ticket = ticket.map_err(|most| {
        EcsError::client(format!(
            "Unable to start new execute sessions because the maximum session limit of {most} has been reached."
        ))
    })?;
    let (host, scheme) = (&cx.settings.registry_host, if cx.settings.registry_tls { "wss" } else { "ws" });
    Ok(ExecuteCommandOut {
        cluster_arn: task.cluster_arn(),
        container_arn: task.container_arn(container),
        container_name: container.name.clone(),
        interactive: true,
        session: Session {
            stream_url: format!("{scheme}://{host}{PREFIX}{}?role=publish_subscribe", ticket.session_id),
            session_id: ticket.session_id,
            token_value: ticket.token,
        },
        task_arn: task.arn(),
    })
}

fn container<'a>(task: &'a Task, name: Option<&str>) -> Result<&'a Container, EcsError> {
    match (name, task.containers.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(EcsError::parameter("A container name is required for a task with several containers.")),
        (Some(name), all) => all
            .iter()
            .find(|it| it.name == name)
            .ok_or_else(|| EcsError::parameter(format!("The task has no container named {name}."))),
    }
}
