//! The task definition of an Express service.
//!
//! In: what a request says, and the document that runs now. Out: the document to run. No clock, no store.
//!
//! Holds: what a request does not say stays as it is in the running document, also what somebody else put there.

use cove_model::task_definition::{
    CPUArchitecture, Compatibility, ContainerDefinition, LogConfiguration, LogDriver, NetworkMode, OSFamily,
    PortMapping, RuntimePlatform, TaskDefinitionDocument, TransportProtocol,
};

use crate::ecs::error::EcsError;
use crate::ecs::wire::{ExpressContainer, ExpressLogs, ExpressWish};

/// AWS's name of the container that takes the requests.
const PRIMARY: &str = "Main";
/// AWS's defaults.
const CPU: &str = "1024";
const MEMORY: &str = "2048";
const PORT: i32 = 80;
const STREAM_PREFIX: &str = "ecs";

const GROUP_OPTION: &str = "awslogs-group";
const PREFIX_OPTION: &str = "awslogs-stream-prefix";

/// What a new service begins with, but for its image.
pub(super) fn first(family: String, region: &str, log_group: String) -> TaskDefinitionDocument {
    let logs = ExpressLogs { log_group, log_stream_prefix: STREAM_PREFIX.to_owned() };
    TaskDefinitionDocument {
        family: Some(family),
        network_mode: Some(NetworkMode::Awsvpc),
        requires_compatibilities: vec![Compatibility::Fargate],
        runtime_platform: Some(RuntimePlatform {
            operating_system_family: Some(OSFamily::Linux),
            cpu_architecture: Some(CPUArchitecture::X8664),
        }),
        cpu: Some(CPU.to_owned()),
        memory: Some(MEMORY.to_owned()),
        container_definitions: vec![ContainerDefinition {
            name: Some(PRIMARY.to_owned()),
            essential: Some(true),
            port_mappings: vec![mapping(PORT)],
            log_configuration: Some(log_configuration(&logs, region)),
            ..ContainerDefinition::default()
        }],
        ..TaskDefinitionDocument::default()
    }
}

/// The document with what the request says laid over it.
pub(super) fn laid_over(
    mut document: TaskDefinitionDocument,
    wish: &ExpressWish,
    region: &str,
) -> Result<TaskDefinitionDocument, EcsError> {
    let lay = |given: &Option<String>, over: &mut Option<String>| {
        if given.is_some() {
            over.clone_from(given);
        }
    };
    lay(&wish.execution_role_arn, &mut document.execution_role_arn);
    lay(&wish.task_role_arn, &mut document.task_role_arn);
    lay(&wish.cpu, &mut document.cpu);
    lay(&wish.memory, &mut document.memory);
    if let Some(given) = &wish.primary_container {
        let mut containers = document.container_definitions.iter_mut();
        let container = containers.find(|it| it.name.as_deref() == Some(PRIMARY)).ok_or_else(|| {
            EcsError::parameter(format!("The task definition of the service has no container named {PRIMARY}."))
        })?;
        lay_container(given, container, region);
    }
    Ok(document)
}

fn lay_container(given: &ExpressContainer, container: &mut ContainerDefinition, region: &str) {
    container.image = Some(given.image.clone());
    if let Some(port) = given.container_port {
        container.port_mappings = vec![mapping(port)];
    }
    if let Some(logs) = &given.aws_logs_configuration {
        container.log_configuration = Some(log_configuration(logs, region));
    }
    if given.repository_credentials.is_some() {
        container.repository_credentials.clone_from(&given.repository_credentials);
    }
    if let Some(command) = &given.command {
        container.command.clone_from(command);
    }
    if let Some(environment) = &given.environment {
        container.environment.clone_from(environment);
    }
    if let Some(secrets) = &given.secrets {
        container.secrets.clone_from(secrets);
    }
}

fn mapping(port: i32) -> PortMapping {
    let protocol = Some(TransportProtocol::Tcp);
    PortMapping { container_port: Some(port), protocol, ..PortMapping::default() }
}

fn log_configuration(logs: &ExpressLogs, region: &str) -> LogConfiguration {
    let options = [
        (GROUP_OPTION, logs.log_group.as_str()),
        ("awslogs-region", region),
        (PREFIX_OPTION, logs.log_stream_prefix.as_str()),
    ];
    LogConfiguration {
        log_driver: Some(LogDriver::Awslogs),
        options: options.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        secret_options: Vec::new(),
    }
}

/// The container as the Express operations show it; absent where somebody else's definition has none of that name.
pub(super) fn primary(document: &TaskDefinitionDocument) -> Option<ExpressContainer> {
    let container = document.container_definitions.iter().find(|it| it.name.as_deref() == Some(PRIMARY))?;
    let many = |some: &Vec<String>| (!some.is_empty()).then(|| some.clone());
    let logs = container.log_configuration.as_ref().and_then(|it| {
        let option = |name: &str| it.options.get(name).cloned();
        Some(ExpressLogs { log_group: option(GROUP_OPTION)?, log_stream_prefix: option(PREFIX_OPTION)? })
    });
    Some(ExpressContainer {
        image: container.image.clone()?,
        container_port: container.port_mappings.first().and_then(|it| it.container_port),
        aws_logs_configuration: logs,
        repository_credentials: container.repository_credentials.clone(),
        command: many(&container.command),
        environment: (!container.environment.is_empty()).then(|| container.environment.clone()),
        secrets: (!container.secrets.is_empty()).then(|| container.secrets.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecs::definition;
    use serde_json::json;

    fn wish(value: serde_json::Value) -> ExpressWish {
        serde_json::from_value(value).expect("a wish")
    }

    #[test]
    fn an_update_changes_what_it_says_and_nothing_else() {
        let role = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole";
        let first = first("default-web".into(), "us-east-1", "/aws/ecs/default/web-1234".into());
        let asked = wish(json!({"executionRoleArn": role, "primaryContainer": {"image": "a:1", "containerPort": 8080,
            "environment": [{"name": "A", "value": "b"}], "command": ["run"]}}));
        let made = laid_over(first, &asked, "us-east-1").expect("a document");
        let made = definition::check(made).expect("a good document").document;
        let updated = wish(json!({"primaryContainer": {"image": "a:2", "environment": []}, "memory": "4096"}));
        let updated = laid_over(made, &updated, "us-east-1").expect("a document");
        let shown = serde_json::to_value(primary(&updated)).expect("JSON");
        let logs = json!({"logGroup": "/aws/ecs/default/web-1234", "logStreamPrefix": "ecs"});
        let wanted = json!({"image": "a:2", "containerPort": 8080, "command": ["run"], "awsLogsConfiguration": logs});
        assert_eq!(shown, wanted);
        assert_eq!((updated.cpu.as_deref(), updated.memory.as_deref()), (Some("1024"), Some("4096")));
        assert_eq!(updated.execution_role_arn.as_deref(), Some(role));
    }
}
