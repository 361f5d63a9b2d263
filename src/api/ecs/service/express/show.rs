//! An Express service as clients see it.

use cove_model::service::{Express, Service, ServiceRevision, ServiceStatus};
use cove_model::task_definition::TaskDefinition;
use cove_store::{Read, keys};

use super::document;
use crate::ecs::service::show::{deployment_arn, revision};
use crate::ecs::wire::{ExpressConfiguration, ExpressNetwork, ExpressService, ExpressStatus, UpdatedExpressService};

/// Why there is no endpoint, and why there are never more tasks than the least.
const PRESENT: &str = "Tasks are kept as a service of the fewest tasks that were asked for: this version of Cove has no load balancer that would lead to them, and does not scale them.";

/// ECS shape `ECSExpressGatewayService`. The configuration that is deployed comes first.
pub(super) fn show(store: &impl Read, service: &Service, express: &Express, with_tags: bool) -> ExpressService {
    ExpressService {
        cluster: service.cluster_arn(),
        service_name: service.name.clone(),
        service_arn: service.arn(),
        infrastructure_role_arn: express.infrastructure_role_arn.clone(),
        status: status(service),
        current_deployment: service.primary().map(|primary| deployment_arn(service, primary)),
        active_configurations: configurations(store, service),
        tags: with_tags.then(|| service.tags.clone()),
        created_at: service.created_at.epoch_seconds(),
        updated_at: express.updated_at.epoch_seconds(),
    }
}

/// ECS shape `UpdatedExpressGatewayService`.
pub(super) fn show_updated(store: &impl Read, service: &Service, express: &Express) -> UpdatedExpressService {
    UpdatedExpressService {
        cluster: service.cluster_arn(),
        service_name: service.name.clone(),
        service_arn: service.arn(),
        status: status(service),
        target_configuration: configurations(store, service).into_iter().next(),
        created_at: service.created_at.epoch_seconds(),
        updated_at: express.updated_at.epoch_seconds(),
    }
}

fn status(service: &Service) -> ExpressStatus {
    let status_reason = match service.status {
        ServiceStatus::Active => Some(PRESENT),
        ServiceStatus::Draining | ServiceStatus::Inactive => None,
    };
    ExpressStatus { status_code: service.status, status_reason }
}

fn configurations(store: &impl Read, service: &Service) -> Vec<ExpressConfiguration> {
    let revisions = service.deployments.iter().filter_map(|it| revision(store, service, &it.revision));
    revisions.map(|revision| configuration(store, &revision)).collect()
}

fn configuration(store: &impl Read, it: &ServiceRevision) -> ExpressConfiguration {
    let template = &it.template;
    let key = keys::definition(&it.tenant, &template.family, template.revision);
    let definition = store.get::<TaskDefinition>(&key);
    let network = template.interface.as_ref().map(|interface| ExpressNetwork {
        security_groups: interface.security_groups.clone(),
        subnets: interface.subnets.clone(),
    });
    ExpressConfiguration {
        service_revision_arn: it.arn(),
        execution_role_arn: template.execution_role.clone(),
        task_role_arn: template.task_role.clone(),
        cpu: template.size.task_cpu.clone(),
        memory: template.size.task_memory.clone(),
        network_configuration: network,
        health_check_path: it.express.as_ref().map(|express| express.health_check_path.clone()),
        primary_container: definition.and_then(|definition| document::primary(&definition.document)),
        scaling_target: it.express.as_ref().map(|express| express.scaling.clone()),
        created_at: it.created_at.epoch_seconds(),
    }
}
