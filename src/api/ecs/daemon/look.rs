//! DescribeDaemon and ListDaemons.

use cove_model::arn::Tenant;
use cove_model::capacity_provider::capacity_provider_arn;
use cove_model::daemon::{Daemon, DaemonDeployment, DaemonRevision};
use cove_model::task::{Task, TaskStatus};
use cove_store::{Prefix, Read, keys};

use super::known;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::page::{Direction, Listing};
use crate::ecs::wire::{
    DaemonCapacityProvider, DaemonDetail, DaemonIn, DaemonRevisionDetail, DaemonSummary, DescribeDaemonOut,
    ListDaemonsIn, ListDaemonsOut,
};
use crate::ecs::{cluster, reference};

/// DescribeDaemon: with the revision that is wanted, and those that still have tasks.
pub(in crate::ecs) fn describe(cx: &Context, input: DaemonIn) -> Result<DescribeDaemonOut, EcsError> {
    let tenant = &cx.tenant;
    let (cluster, name) = reference::daemon(tenant, &input.daemon_arn)?;
    cx.store.read(|view| {
        cluster::active(view, tenant, &cluster)?;
        let daemon = known(view, tenant, &cluster, &name)?;
        let deployment = view.get::<DaemonDeployment>(&keys::daemon_part(tenant, &cluster, &name, &daemon.deployment));
        Ok(DescribeDaemonOut {
            daemon: DaemonDetail {
                daemon_arn: daemon.arn(),
                cluster_arn: daemon.cluster_arn(),
                status: daemon.status,
                current_revisions: current(view, &daemon),
                deployment_arn: deployment.map(|it| it.arn()).unwrap_or_default(),
                created_at: daemon.created_at.epoch_seconds(),
                updated_at: daemon.updated_at.epoch_seconds(),
            },
        })
    })
}

fn current(view: &impl Read, daemon: &Daemon) -> Vec<DaemonRevisionDetail> {
    let (tenant, cluster) = (&daemon.tenant, &daemon.cluster);
    let tasks = view.listed::<Task>(&keys::tasks_of_daemon(tenant, cluster, &daemon.name));
    let inside = Prefix::parent(tenant, &keys::daemon_parent(cluster, &daemon.name));
    let mut revisions = view.scan::<DaemonRevision>(&inside);
    // The one that is wanted comes first: clients take the daemon's own from it.
    revisions.sort_by_key(|it| (it.id != daemon.revision, std::cmp::Reverse(it.created_at)));
    let mut shown = Vec::new();
    for revision in revisions {
        let by = revision.started_by();
        let is_own = |task: &&std::sync::Arc<Task>| task.started_by.as_deref() == Some(&*by);
        let own: Vec<_> = tasks.iter().filter(is_own).collect();
        if own.is_empty() && revision.id != daemon.revision {
            continue;
        }
        let running = || own.iter().filter(|task| task.observed.status == TaskStatus::Running);
        let of = |name: &String| running().filter(|it| it.placement.capacity_provider.as_ref() == Some(name)).count();
        let provider = |name: &String| DaemonCapacityProvider {
            arn: capacity_provider_arn(tenant, name),
            running_count: of(name),
        };
        shown.push(DaemonRevisionDetail {
            arn: revision.arn(),
            capacity_providers: revision.capacity_providers.iter().map(provider).collect(),
            total_running_count: running().count(),
        });
    }
    shown
}

/// ListDaemons: of one cluster or of all, of all or of some capacity providers.
pub(in crate::ecs) fn list(cx: &Context, input: ListDaemonsIn) -> Result<ListDaemonsOut, EcsError> {
    let tenant = &cx.tenant;
    let cluster = input.cluster_arn.as_deref().map(|text| reference::cluster(tenant, Some(text))).transpose()?;
    let providers = input.capacity_provider_arns.iter().map(|text| reference::capacity_provider(tenant, text));
    let providers = providers.collect::<Result<Vec<String>, _>>()?;
    let found = cx.store.read(|view| {
        let within = match &cluster {
            Some(name) => {
                cluster::active(view, tenant, name)?;
                Prefix::parent(tenant, name)
            }
            None => Prefix::tenant(tenant),
        };
        let mut found = view.scan::<Daemon>(&within);
        found.retain(|daemon| providers.is_empty() || names_one(view, tenant, daemon, &providers));
        Ok::<_, EcsError>(found)
    })?;
    let summary = |it: &Daemon| DaemonSummary {
        daemon_arn: it.arn(),
        status: it.status,
        created_at: it.created_at.epoch_seconds(),
        updated_at: it.updated_at.epoch_seconds(),
    };
    let mut items: Vec<_> = found.iter().map(|it| (it.arn(), summary(it))).collect();
    items.sort_by(|left, right| left.0.cmp(&right.0));
    let (daemon_summaries_list, next_token) = Listing::of("daemons").cut(&input.page, Direction::Up, items)?;
    Ok(ListDaemonsOut { daemon_summaries_list, next_token })
}

fn names_one(view: &impl Read, tenant: &Tenant, daemon: &Daemon, providers: &[String]) -> bool {
    let key = keys::daemon_part(tenant, &daemon.cluster, &daemon.name, &daemon.revision);
    let revision = view.get::<DaemonRevision>(&key);
    revision.is_some_and(|it| it.capacity_providers.iter().any(|name| providers.contains(name)))
}
