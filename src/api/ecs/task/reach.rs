//! Who may run what reaches the host: privileged containers, host namespaces, host paths, devices, capabilities that
//! undo the walls.
//!
//! Holds: a request that comes from inside a task with credentials that nobody checked (`--dev` lets those in) never
//! gets a container that could leave its own.

use cove_model::task_definition::{ContainerDefinition, IpcMode, NetworkMode, PidMode, TaskDefinitionDocument};

use crate::ecs::error::EcsError;
use crate::{CallerKind, Context, Origin};

/// Capabilities that act inside the container's own namespaces only, beside those that every container has.
const HARMLESS_CAPABILITIES: [&str; 17] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "KILL",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
    "SYS_PTRACE",
];

/// How far the caller's containers may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ecs) enum Reach {
    Host,
    OwnContainers,
}

/// What the caller may.
pub(in crate::ecs) fn of(cx: &Context) -> Reach {
    match (&cx.origin, cx.caller.kind) {
        (Origin::Task, CallerKind::Dev) => Reach::OwnContainers,
        (Origin::Task, CallerKind::Root | CallerKind::Role) | (Origin::Public, _) => Reach::Host,
    }
}

/// Refuses a definition that reaches further than its caller may.
pub(super) fn check(document: &TaskDefinitionDocument, reach: Reach) -> Result<(), EcsError> {
    let found = match reach {
        Reach::Host => None,
        Reach::OwnContainers => first_reach(document),
    };
    match found {
        None => Ok(()),
        Some(member) => Err(EcsError::AccessDenied(format!(
            "{member} reaches the host: from inside a task this needs the credentials of the task's role."
        ))),
    }
}

fn first_reach(document: &TaskDefinitionDocument) -> Option<String> {
    let task_members = [
        ("networkMode host", document.network_mode == Some(NetworkMode::Host)),
        ("pidMode host", document.pid_mode == Some(PidMode::Host)),
        ("ipcMode host", document.ipc_mode == Some(IpcMode::Host)),
        (
            "volumes[].host.sourcePath",
            document.volumes.iter().any(|it| it.host.as_ref().is_some_and(|host| host.source_path.is_some())),
        ),
    ];
    let of_task = task_members.into_iter().find(|(_, given)| *given).map(|(member, _)| member.to_owned());
    of_task.or_else(|| document.container_definitions.iter().find_map(of_container))
}

fn of_container(it: &ContainerDefinition) -> Option<String> {
    if it.privileged == Some(true) {
        return Some("privileged".to_owned());
    }
    let linux = it.linux_parameters.as_ref()?;
    if !linux.devices.is_empty() {
        return Some("linuxParameters.devices".to_owned());
    }
    let added = linux.capabilities.as_ref()?.add.iter();
    added
        .into_iter()
        .find(|name| !HARMLESS_CAPABILITIES.contains(&name.as_str()))
        .map(|name| format!("the capability {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn nothing_that_reaches_the_host_is_run_for_unknown_callers_inside_tasks() {
        let document = |task: Value, container: Value| -> TaskDefinitionDocument {
            let mut whole = json!({"containerDefinitions": [container]});
            for (name, value) in task.as_object().expect("an object") {
                whole[name] = value.clone();
            }
            serde_json::from_value(whole).expect("a document")
        };
        let reaching = [
            document(json!({"networkMode": "host"}), json!({})),
            document(json!({"pidMode": "host"}), json!({})),
            document(json!({"ipcMode": "host"}), json!({})),
            document(json!({"volumes": [{"name": "a", "host": {"sourcePath": "/"}}]}), json!({})),
            document(json!({}), json!({"privileged": true})),
            document(json!({}), json!({"linuxParameters": {"devices": [{"hostPath": "/dev/sda"}]}})),
            document(json!({}), json!({"linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}})),
            document(json!({}), json!({"linuxParameters": {"capabilities": {"add": ["ALL"]}}})),
        ];
        for document in &reaching {
            assert!(check(document, Reach::OwnContainers).is_err());
            assert!(check(document, Reach::Host).is_ok());
        }
        let tame = document(
            json!({"volumes": [{"name": "a", "host": {}}]}),
            json!({"linuxParameters": {"initProcessEnabled": true}}),
        );
        assert!(check(&tame, Reach::OwnContainers).is_ok());
    }
}
