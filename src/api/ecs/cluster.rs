//! Clusters.

use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::capacity_provider::is_fargate;
use cove_model::cluster::{CapacityProviderStrategyItem, Cluster, ClusterSetting, ClusterStatus, cluster_arn};
use cove_model::container_instance::ContainerInstance;
use cove_model::service::{Service, ServiceStatus};
use cove_model::task::{LaunchType, Task, TaskStatus};
use cove_store::{Prefix, Read, Tx, keys};
use serde_json::Value;

use super::definition::is_name;
use super::error::EcsError;
use super::page::{Direction, Listing, PAGE_MAX};
use super::task::provider_kind;
use super::wire::{
    ClusterField, ClusterOut, CreateClusterIn, DeleteClusterIn, DescribeClustersIn, DescribeClustersOut, Failure,
    ListClustersIn, ListClustersOut, Pair, PutClusterCapacityProvidersIn, UpdateClusterIn,
};
use super::{capacity_provider, daemon, reference, service, session_log, setting, tag, wire};
use crate::Context;

/// ECS's quota of providers in a strategy.
const STRATEGY_MAX: usize = 20;
/// ECS's quota of providers of a cluster.
const PROVIDERS_MAX: usize = 20;

/// The cluster of a request, if it is ACTIVE.
pub(super) fn active(store: &impl Read, tenant: &Tenant, name: &str) -> Result<Arc<Cluster>, EcsError> {
    let found = store.get::<Cluster>(&keys::cluster(tenant, name));
    found.filter(|cluster| cluster.status == ClusterStatus::Active).ok_or(EcsError::ClusterNotFound)
}

/// CreateCluster. Creating an ACTIVE cluster again shows it as it is, if it is what was asked for.
pub(super) async fn create(cx: &Context, input: CreateClusterIn) -> Result<ClusterOut, EcsError> {
    let name = input.cluster_name.clone().unwrap_or_else(|| reference::DEFAULT_CLUSTER.to_owned());
    if !is_name(&name) {
        return Err(EcsError::parameter("Cluster name contains invalid characters."));
    }
    check_settings(&input.settings)?;
    session_log::check(input.configuration.as_ref())?;
    tag::check(&input.tags)?;
    check_strategy(&input.capacity_providers, &input.default_capacity_provider_strategy)?;
    let providers = provider_names(&cx.tenant, &input.capacity_providers)?;
    let (tenant, principal) = (cx.tenant.clone(), cx.caller.arn.clone());
    let cluster = cx
        .store
        .write(move |tx| {
            if let Ok(cluster) = active(tx, &tenant, &name) {
                if !is_what_was_asked_for(&cluster, &input, &providers) {
                    return Err(EcsError::parameter(
                        "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
                    ));
                }
                return Ok(show(tx, &cluster, &ALL_FIELDS));
            }
            check_providers(tx, &tenant, &name, &providers)?;
            provider_kind(tx, &tenant, &input.default_capacity_provider_strategy)?;
            let insights = setting::effective(tx, &tenant, &principal, "containerInsights");
            let cluster = Cluster {
                settings: with_insights(input.settings, insights),
                tenant,
                name,
                status: ClusterStatus::Active,
                configuration: input.configuration,
                service_connect_defaults: input.service_connect_defaults.filter(names_one),
                capacity_providers: providers,
                default_capacity_provider_strategy: input.default_capacity_provider_strategy,
                tags: input.tags,
                created_at: tx.now(),
                gone_at: None,
            };
            tx.put(cluster.clone());
            Ok(show(tx, &cluster, &ALL_FIELDS))
        })
        .await?;
    Ok(ClusterOut { cluster })
}

/// Whether defaults of Service Connect name a namespace.
fn names_one(defaults: &Value) -> bool {
    defaults["namespace"].as_str().is_some_and(|name| !name.is_empty())
}

/// Members that are not given ask for nothing; tags come and go.
fn is_what_was_asked_for(cluster: &Cluster, input: &CreateClusterIn, providers: &[String]) -> bool {
    let strategy = &input.default_capacity_provider_strategy;
    let has = |setting: &ClusterSetting| show_settings(cluster).contains(setting);
    input.settings.iter().all(has)
        && (input.configuration.is_none() || input.configuration == cluster.configuration)
        && (input.service_connect_defaults.is_none()
            || input.service_connect_defaults == cluster.service_connect_defaults)
        && (providers.is_empty() || providers == cluster.capacity_providers)
        && (strategy.is_empty() || *strategy == cluster.default_capacity_provider_strategy)
}

/// The cluster of a request, which makes the default one if it is gone, with Fargate's capacity.
pub(super) fn active_or_default(tx: &mut Tx<'_>, tenant: &Tenant, name: &str, principal: &str) -> Result<(), EcsError> {
    if active(tx, tenant, name).is_ok() {
        return Ok(());
    }
    if name != reference::DEFAULT_CLUSTER {
        return Err(EcsError::ClusterNotFound);
    }
    let insights = setting::effective(tx, tenant, principal, "containerInsights");
    tx.put(Cluster {
        tenant: tenant.clone(),
        name: name.to_owned(),
        status: ClusterStatus::Active,
        settings: with_insights(Vec::new(), insights),
        configuration: None,
        service_connect_defaults: None,
        capacity_providers: vec!["FARGATE".to_owned()],
        default_capacity_provider_strategy: Vec::new(),
        tags: Vec::new(),
        created_at: tx.now(),
        gone_at: None,
    });
    Ok(())
}

fn with_insights(mut settings: Vec<ClusterSetting>, value: String) -> Vec<ClusterSetting> {
    if settings.is_empty() {
        settings.push(ClusterSetting { name: "containerInsights".to_owned(), value });
    }
    settings
}

fn check_settings(settings: &[ClusterSetting]) -> Result<(), EcsError> {
    for given in settings {
        if given.name != "containerInsights" || !setting::is_value("containerInsights", &given.value) {
            return Err(EcsError::parameter(format!("Invalid cluster setting: {}={}", given.name, given.value)));
        }
    }
    Ok(())
}

fn check_strategy(providers: &[String], strategy: &[CapacityProviderStrategyItem]) -> Result<(), EcsError> {
    if providers.len() > PROVIDERS_MAX {
        return Err(too_many_providers());
    }
    check_strategy_items(strategy)?;
    if strategy.iter().any(|item| !providers.contains(&item.capacity_provider)) {
        return Err(EcsError::parameter(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
        ));
    }
    Ok(())
}

fn too_many_providers() -> EcsError {
    EcsError::parameter("The maximum number of capacity providers per cluster has been exceeded.")
}

/// Names and ARNs mean the same; one that stands twice counts once.
fn provider_names(tenant: &Tenant, texts: &[String]) -> Result<Vec<String>, EcsError> {
    let mut names: Vec<String> = Vec::new();
    for text in texts {
        let name = reference::capacity_provider(tenant, text)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether the cluster may have them all.
fn check_providers(store: &impl Read, tenant: &Tenant, cluster: &str, names: &[String]) -> Result<(), EcsError> {
    for name in names.iter().filter(|name| !is_fargate(name)) {
        let found = capacity_provider::find(store, tenant, name);
        let provider = found
            .ok_or_else(|| EcsError::parameter(format!("The specified capacity provider '{name}' was not found.")))?;
        if provider.managed.as_ref().is_some_and(|managed| managed.cluster != cluster) {
            return Err(EcsError::parameter(
                "Cannot associate Managed Instances capacity provider to clusters using this API. Managed Instances capacity providers are already associated with the cluster that they were created in.",
            ));
        }
    }
    Ok(())
}

/// Gives a cluster managed instances: they are its alone from then on.
pub(super) fn associate(tx: &mut Tx<'_>, tenant: &Tenant, cluster: &str, provider: &str) -> Result<(), EcsError> {
    let mut cluster = (*active(tx, tenant, cluster)?).clone();
    if cluster.capacity_providers.len() >= PROVIDERS_MAX {
        return Err(too_many_providers());
    }
    cluster.capacity_providers.push(provider.to_owned());
    tx.put(cluster);
    Ok(())
}

/// Takes them from it again, with the provider.
pub(super) fn dissociate(tx: &mut Tx<'_>, tenant: &Tenant, cluster: &str, provider: &str) {
    if let Ok(found) = active(tx, tenant, cluster) {
        let mut cluster = (*found).clone();
        cluster.capacity_providers.retain(|name| name != provider);
        tx.put(cluster);
    }
}

/// Providers of managed instances that the cluster has.
fn managed_providers(store: &impl Read, cluster: &Cluster) -> Vec<String> {
    let is_managed =
        |name: &&String| capacity_provider::find(store, &cluster.tenant, name).is_some_and(|it| it.managed.is_some());
    cluster.capacity_providers.iter().filter(is_managed).cloned().collect()
}

/// PutClusterCapacityProviders: what is not named is taken from the cluster, unless tasks are on it. Managed instances
/// stay, because they are the cluster's own.
pub(super) async fn put_providers(cx: &Context, input: PutClusterCapacityProvidersIn) -> Result<ClusterOut, EcsError> {
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, Some(&input.cluster))?;
    let mut providers = provider_names(&tenant, &input.capacity_providers)?;
    let cluster = cx
        .store
        .write(move |tx| {
            let mut cluster = (*active(tx, &tenant, &name)?).clone();
            check_providers(tx, &tenant, &name, &providers)?;
            let own = managed_providers(tx, &cluster);
            let unnamed: Vec<String> = own.into_iter().filter(|it| !providers.contains(it)).collect();
            providers.extend(unnamed);
            check_strategy(&providers, &input.default_capacity_provider_strategy)?;
            provider_kind(tx, &tenant, &input.default_capacity_provider_strategy)?;
            let tasks = tx.live::<Task>(&Prefix::parent(&tenant, &name));
            let goes = |given: &String| cluster.capacity_providers.contains(given) && !providers.contains(given);
            if tasks.iter().any(|task| task.placement.capacity_provider.as_ref().is_some_and(goes)) {
                return Err(EcsError::ProviderInUse);
            }
            cluster.capacity_providers = providers;
            cluster.default_capacity_provider_strategy = input.default_capacity_provider_strategy;
            tx.put(cluster.clone());
            Ok(show(tx, &cluster, &[&ALL_FIELDS[..], &[ClusterField::Attachments]].concat()))
        })
        .await?;
    Ok(ClusterOut { cluster })
}

/// What a strategy must be wherever it stands.
pub(super) fn check_strategy_items(strategy: &[CapacityProviderStrategyItem]) -> Result<(), EcsError> {
    if strategy.len() > STRATEGY_MAX {
        return Err(EcsError::parameter(
            "A capacity provider strategy can contain a maximum of 20 capacity providers.",
        ));
    }
    if strategy.iter().filter(|item| item.base > 0).count() > 1 {
        return Err(EcsError::parameter("Only one capacity provider in a strategy can have a base defined."));
    }
    if !strategy.is_empty() && strategy.iter().all(|item| item.weight == 0) && strategy.len() > 1 {
        return Err(EcsError::parameter("At least one capacity provider in a strategy must have a weight above 0."));
    }
    Ok(())
}

/// DescribeClusters.
pub(super) fn describe(cx: &Context, input: DescribeClustersIn) -> Result<DescribeClustersOut, EcsError> {
    let named = if input.clusters.is_empty() { vec![reference::DEFAULT_CLUSTER.to_owned()] } else { input.clusters };
    if named.len() > PAGE_MAX {
        return Err(EcsError::parameter("Clusters cannot have more than 100 elements."));
    }
    let names: Vec<String> =
        named.iter().map(|text| reference::cluster(&cx.tenant, Some(text))).collect::<Result<_, _>>()?;
    Ok(cx.store.read(|view| {
        let mut out = DescribeClustersOut { clusters: Vec::new(), failures: Vec::new() };
        for name in &names {
            match view.get::<Cluster>(&keys::cluster(&cx.tenant, name)) {
                Some(cluster) => out.clusters.push(show(view, &cluster, &input.include)),
                None => out.failures.push(Failure::missing(cluster_arn(&cx.tenant, name))),
            }
        }
        out
    }))
}

/// ListClusters.
pub(super) fn list(cx: &Context, input: ListClustersIn) -> Result<ListClustersOut, EcsError> {
    let clusters = cx.store.read(|view| view.scan::<Cluster>(&Prefix::tenant(&cx.tenant)));
    let items = clusters
        .into_iter()
        .filter(|cluster| cluster.status == ClusterStatus::Active)
        .map(|cluster| (cluster.name.clone(), cluster.arn()))
        .collect();
    let (cluster_arns, next_token) = Listing::of("clusters").cut(&input.page, Direction::Up, items)?;
    Ok(ListClustersOut { cluster_arns, next_token })
}

/// DeleteCluster. What it holds must be gone first; the cluster stays describable as INACTIVE for a while.
pub(super) async fn delete(cx: &Context, input: DeleteClusterIn) -> Result<ClusterOut, EcsError> {
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, Some(&input.cluster))?;
    let cluster = cx
        .store
        .write(move |tx| {
            let mut cluster = (*active(tx, &tenant, &name)?).clone();
            let inside = Prefix::parent(&tenant, &name);
            if registered_instances(tx, &inside) > 0 {
                return Err(EcsError::ClusterContainsContainerInstances);
            }
            if service::count(tx, &tenant, &name) > 0 || daemon::count(tx, &tenant, &name) > 0 {
                return Err(EcsError::ClusterContainsServices);
            }
            if !tx.live::<Task>(&inside).is_empty() {
                return Err(EcsError::ClusterContainsTasks);
            }
            if !managed_providers(tx, &cluster).is_empty() {
                return Err(EcsError::client(
                    "The Cluster cannot be deleted while Cluster Scoped Capacity Providers are attached to the cluster.",
                ));
            }
            cluster.status = ClusterStatus::Inactive;
            cluster.gone_at = Some(tx.now());
            tx.put(cluster.clone());
            Ok(show(tx, &cluster, &ALL_FIELDS))
        })
        .await?;
    Ok(ClusterOut { cluster })
}

/// UpdateCluster and UpdateClusterSettings: members that are not given stay.
pub(super) async fn update(cx: &Context, input: UpdateClusterIn) -> Result<ClusterOut, EcsError> {
    check_settings(input.settings.as_deref().unwrap_or_default())?;
    session_log::check(input.configuration.as_ref())?;
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, Some(&input.cluster))?;
    let cluster = cx
        .store
        .write(move |tx| {
            let mut cluster = (*active(tx, &tenant, &name)?).clone();
            if let Some(settings) = input.settings {
                cluster.settings = settings;
            }
            cluster.configuration = input.configuration.or(cluster.configuration);
            // An empty namespace takes the default away.
            let defaults = input.service_connect_defaults.or(cluster.service_connect_defaults);
            cluster.service_connect_defaults = defaults.filter(names_one);
            tx.put(cluster.clone());
            Ok::<_, EcsError>(show(tx, &cluster, &ALL_FIELDS))
        })
        .await?;
    Ok(ClusterOut { cluster })
}

/// What replies to changes show.
const ALL_FIELDS: [ClusterField; 3] = [ClusterField::Configurations, ClusterField::Settings, ClusterField::Tags];

/// ECS shape `Cluster`, with the members that were asked for. Counts are taken now.
fn show(store: &impl Read, cluster: &Cluster, include: &[ClusterField]) -> wire::Cluster {
    let inside = Prefix::parent(&cluster.tenant, &cluster.name);
    let counts = Counts::of(&store.live::<Task>(&inside));
    let shown = |field: ClusterField| include.contains(&field);
    let with_attachments = shown(ClusterField::Attachments);
    wire::Cluster {
        cluster_arn: cluster.arn(),
        cluster_name: cluster.name.clone(),
        configuration: cluster.configuration.clone().filter(|_| shown(ClusterField::Configurations)),
        status: cluster.status,
        registered_container_instances_count: registered_instances(store, &inside),
        running_tasks_count: counts.running_ec2 + counts.running_fargate,
        pending_tasks_count: counts.pending_ec2 + counts.pending_fargate,
        active_services_count: active_services(store, &inside),
        statistics: if shown(ClusterField::Statistics) { statistics(store, &inside, &counts) } else { Vec::new() },
        tags: if shown(ClusterField::Tags) { cluster.tags.clone() } else { Vec::new() },
        settings: if shown(ClusterField::Settings) { show_settings(cluster) } else { Vec::new() },
        capacity_providers: cluster.capacity_providers.clone(),
        default_capacity_provider_strategy: cluster.default_capacity_provider_strategy.clone(),
        service_connect_defaults: cluster.service_connect_defaults.clone(),
        attachments: with_attachments.then(|| capacity_provider::attachments(store, cluster)),
        attachments_status: with_attachments.then_some("UPDATE_COMPLETE"),
    }
}

fn active_services(store: &impl Read, inside: &Prefix) -> usize {
    store.live::<Service>(inside).iter().filter(|service| service.status == ServiceStatus::Active).count()
}

/// Those that are ACTIVE or DRAINING.
fn registered_instances(store: &impl Read, inside: &Prefix) -> usize {
    store.scan::<ContainerInstance>(inside).iter().filter(|instance| instance.is_registered()).count()
}

/// A cluster that nobody set anything for has AWS's default.
fn show_settings(cluster: &Cluster) -> Vec<ClusterSetting> {
    with_insights(cluster.settings.clone(), setting::default_value("containerInsights").to_owned())
}

/// Tasks of a cluster by launch type; what is not Fargate's counts as EC2's.
#[derive(Default)]
struct Counts {
    running_ec2: usize,
    running_fargate: usize,
    pending_ec2: usize,
    pending_fargate: usize,
}

impl Counts {
    fn of(tasks: &[Arc<Task>]) -> Self {
        let mut counts = Self::default();
        for task in tasks {
            let on_fargate = match task.placement.launch_type {
                LaunchType::Fargate => true,
                LaunchType::Ec2 | LaunchType::External | LaunchType::ManagedInstances => false,
            };
            match (phase(task), on_fargate) {
                (Phase::Pending, false) => counts.pending_ec2 += 1,
                (Phase::Pending, true) => counts.pending_fargate += 1,
                (Phase::Running, false) => counts.running_ec2 += 1,
                (Phase::Running, true) => counts.running_fargate += 1,
                (Phase::Ending, _) => {}
            }
        }
        counts
    }
}

fn statistics(store: &impl Read, inside: &Prefix, tasks: &Counts) -> Vec<Pair> {
    let services = store.live::<Service>(inside);
    let number = |status, on_fargate| {
        let counts = |service: &&Arc<Service>| service.status == status && is_on_fargate(store, service) == on_fargate;
        services.iter().filter(counts).count()
    };
    let rows = [
        ("runningEC2TasksCount", tasks.running_ec2),
        ("runningFargateTasksCount", tasks.running_fargate),
        ("pendingEC2TasksCount", tasks.pending_ec2),
        ("pendingFargateTasksCount", tasks.pending_fargate),
        ("activeEC2ServiceCount", number(ServiceStatus::Active, false)),
        ("activeFargateServiceCount", number(ServiceStatus::Active, true)),
        ("drainingEC2ServiceCount", number(ServiceStatus::Draining, false)),
        ("drainingFargateServiceCount", number(ServiceStatus::Draining, true)),
    ];
    rows.into_iter().map(|(name, count)| Pair::new(name, count.to_string())).collect()
}

/// Where the tasks of its newest deployment run, by its launch type or its capacity providers.
fn is_on_fargate(store: &impl Read, service: &Service) -> bool {
    service::revision_in_force(store, service).is_some_and(|revision| {
        let placing = &revision.template.placing;
        let mut providers = placing.strategy.iter();
        placing.launch_type == LaunchType::Fargate || providers.any(|item| is_fargate(&item.capacity_provider))
    })
}

/// How clusters and container instances count a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Pending,
    Running,
    Ending,
}

/// Where a task is, for counting.
pub(super) fn phase(task: &Task) -> Phase {
    match task.observed.status {
        TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => Phase::Pending,
        TaskStatus::Running => Phase::Running,
        TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning | TaskStatus::Stopped => {
            Phase::Ending
        }
    }
}
