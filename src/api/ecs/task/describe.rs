//! DescribeTasks and ListTasks.

use cove_model::daemon::family_name;
use cove_model::task::Task;
use cove_store::{Prefix, Read, keys};

use super::show::{Tags, show};
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::page::{Direction, Listing, PAGE_MAX};
use crate::ecs::wire::{DescribeTasksIn, DesiredStatus, Failure, ListTasksIn, ListTasksOut, TagsField, TasksOut};
use crate::ecs::{cluster, daemon, reference, service};

/// DescribeTasks. Unknown ids are among the failures.
pub(in crate::ecs) fn describe(cx: &Context, input: DescribeTasksIn) -> Result<TasksOut, EcsError> {
    let tenant = &cx.tenant;
    let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
    if input.tasks.is_empty() {
        return Err(EcsError::parameter("Tasks cannot be empty."));
    }
    if input.tasks.len() > PAGE_MAX {
        return Err(EcsError::parameter("Tasks cannot have more than 100 elements."));
    }
    let ids = input.tasks.iter().map(|text| reference::task(tenant, &cluster, text)).collect::<Result<Vec<_>, _>>()?;
    let tags = if input.include.contains(&TagsField::Tags) { Tags::Shown } else { Tags::Hidden };
    let found = cx.store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        let find = |id: &String| view.get::<Task>(&keys::task(tenant, &cluster, id));
        Ok::<_, EcsError>(ids.iter().map(find).collect::<Vec<_>>())
    })?;
    let mut out = TasksOut { tasks: Vec::new(), failures: Vec::new() };
    for (id, task) in ids.iter().zip(found) {
        match task {
            Some(task) => out.tasks.push(show(&task, tags)),
            None => out.failures.push(Failure::missing(tenant.arn("ecs", format_args!("task/{cluster}/{id}")))),
        }
    }
    Ok(out)
}

/// ListTasks. Without a status, those that should be running.
pub(in crate::ecs) fn list(cx: &Context, input: ListTasksIn) -> Result<ListTasksOut, EcsError> {
    let tenant = &cx.tenant;
    let cluster = reference::cluster(tenant, input.cluster.as_deref())?;
    check_filters(&input)?;
    let instance = input.container_instance.as_deref();
    let instance = instance.map(|text| reference::container_instance(tenant, &cluster, text)).transpose()?;
    let stopped = match input.desired_status {
        None | Some(DesiredStatus::Running) => Some(false),
        Some(DesiredStatus::Stopped) => Some(true),
        // ECS never wishes a task to be PENDING.
        Some(DesiredStatus::Pending) => None,
    };
    let service = input.service_name.as_deref().map(|text| reference::service(tenant, &cluster, text)).transpose()?;
    let wanted = |task: &Task| {
        stopped == Some(task.is_stopping())
            && service.as_ref().is_none_or(|name| task.service() == Some(name))
            && input.daemon_name.as_deref().is_none_or(|name| task.daemon() == Some(name))
            && instance.as_ref().is_none_or(|id| task.placement.container_instance.as_ref() == Some(id))
            && input.family.as_ref().is_none_or(|family| family_name(&task.family) == family)
            && input.started_by.as_ref().is_none_or(|by| task.started_by.as_ref() == Some(by))
            && input.launch_type.is_none_or(|kind| task.placement.launch_type == kind)
    };
    let tasks = cx.store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        if let Some(name) = &service {
            service::known(view, tenant, &cluster, name)?;
        }
        if let Some(name) = &input.daemon_name {
            // ListTasks knows no DaemonNotFoundException.
            daemon::known(view, tenant, &cluster, name).map_err(|error| EcsError::parameter(error.to_string()))?;
        }
        Ok::<_, EcsError>(view.scan::<Task>(&Prefix::parent(tenant, &cluster)))
    })?;
    let items = tasks.iter().filter(|task| wanted(task)).map(|task| (task.id.clone(), task.arn())).collect();
    let (task_arns, next_token) = Listing::of("tasks").cut(&input.page, Direction::Up, items)?;
    Ok(ListTasksOut { task_arns, next_token })
}

fn check_filters(input: &ListTasksIn) -> Result<(), EcsError> {
    if input.daemon_name.is_some() && input.service_name.is_some() {
        return Err(EcsError::parameter("serviceName and daemonName cannot both be given."));
    }
    let others = input.family.is_some() || input.container_instance.is_some();
    if input.started_by.is_some() && others {
        return Err(EcsError::parameter("startedBy must be the only filter that you use."));
    }
    Ok(())
}
