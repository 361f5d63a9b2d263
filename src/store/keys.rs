//! One function per kind of record: which parts of a noun make its key.

use cove_model::arn::Tenant;

use crate::key::Key;

/// A cluster by name.
#[must_use]
pub fn cluster(tenant: &Tenant, name: &str) -> Key {
    Key::new(tenant, "", name)
}

/// A family's counter.
#[must_use]
pub fn family(tenant: &Tenant, family: &str) -> Key {
    Key::new(tenant, "", family)
}

/// A revision; ten digits keep revisions in order.
#[must_use]
pub fn definition(tenant: &Tenant, family: &str, revision: u32) -> Key {
    Key::new(tenant, family, &format!("{revision:010}"))
}

/// A task by id.
#[must_use]
pub fn task(tenant: &Tenant, cluster: &str, id: &str) -> Key {
    Key::new(tenant, cluster, id)
}

/// The list of live tasks on an instance.
#[must_use]
pub fn tasks_on(tenant: &Tenant, cluster: &str, instance: &str) -> Key {
    Key::new(tenant, &format!("{cluster}/on"), instance)
}

/// The list of a service's live tasks.
#[must_use]
pub fn tasks_of(tenant: &Tenant, cluster: &str, service: &str) -> Key {
    Key::new(tenant, &format!("{cluster}/of"), service)
}

/// The list of a daemon's live tasks.
#[must_use]
pub fn tasks_of_daemon(tenant: &Tenant, cluster: &str, daemon: &str) -> Key {
    Key::new(tenant, &format!("{cluster}/of daemon"), daemon)
}

/// The list of live tasks without a place, of all tenants.
#[must_use]
pub fn tasks_unplaced() -> Key {
    Key::new(&Tenant::new("", ""), "unplaced", "")
}

/// A client token of RunTask or StartTask.
#[must_use]
pub fn client_token(tenant: &Tenant, cluster: &str, token: &str) -> Key {
    Key::new(tenant, cluster, token)
}

/// A container instance by id.
#[must_use]
pub fn container_instance(tenant: &Tenant, cluster: &str, id: &str) -> Key {
    Key::new(tenant, cluster, id)
}

/// An account setting; `None` is the account's default.
#[must_use]
pub fn account_setting(tenant: &Tenant, principal_arn: Option<&str>, name: &str) -> Key {
    Key::new(tenant, principal_arn.unwrap_or(""), name)
}

/// The mark of a tenant that has its defaults.
#[must_use]
pub fn tenant(tenant: &Tenant) -> Key {
    Key::new(tenant, "", "")
}

/// A VPC by id.
#[must_use]
pub fn vpc(tenant: &Tenant, id: &str) -> Key {
    Key::new(tenant, "", id)
}

/// A subnet by id.
#[must_use]
pub fn subnet(tenant: &Tenant, id: &str) -> Key {
    Key::new(tenant, "", id)
}

/// A security group by id.
#[must_use]
pub fn security_group(tenant: &Tenant, id: &str) -> Key {
    Key::new(tenant, "", id)
}

/// A role by name: IAM has no regions.
#[must_use]
pub fn role(account: &str, name: &str) -> Key {
    Key::new(&global(account), "", name)
}

/// The tenant under which things without a region are kept; give it to [`crate::Prefix::tenant`] to list roles.
#[must_use]
pub fn global(account: &str) -> Tenant {
    Tenant::new(account, "")
}

/// A log group by name.
#[must_use]
pub fn log_group(tenant: &Tenant, name: &str) -> Key {
    Key::new(tenant, "", name)
}

/// A log stream of a group.
#[must_use]
pub fn log_stream(tenant: &Tenant, group: &str, name: &str) -> Key {
    Key::new(tenant, group, name)
}

/// A repository by name.
#[must_use]
pub fn repository(tenant: &Tenant, name: &str) -> Key {
    Key::new(tenant, "", name)
}

/// A manifest of a repository.
#[must_use]
pub fn image(tenant: &Tenant, repository: &str, digest: &str) -> Key {
    Key::new(tenant, repository, digest)
}

/// A tag of a repository.
#[must_use]
pub fn image_tag(tenant: &Tenant, repository: &str, tag: &str) -> Key {
    Key::new(tenant, repository, tag)
}

/// A blob that may be read through a repository.
#[must_use]
pub fn blob_link(tenant: &Tenant, repository: &str, digest: &str) -> Key {
    Key::new(tenant, repository, digest)
}

/// An upload that is not finished.
#[must_use]
pub fn upload(tenant: &Tenant, repository: &str, id: &str) -> Key {
    Key::new(tenant, repository, id)
}

/// A manifest that refers to another one.
#[must_use]
pub fn referrer(tenant: &Tenant, repository: &str, subject: &str, digest: &str) -> Key {
    Key::new(tenant, &referrer_parent(repository, subject), digest)
}

/// The parent under which the referrers of a subject stand; `@` is in no repository name.
#[must_use]
pub fn referrer_parent(repository: &str, subject: &str) -> String {
    format!("{repository}@{subject}")
}

/// An image that was pulled from elsewhere, by `host/repository` and tag or digest.
#[must_use]
pub fn pulled_image(tenant: &Tenant, name: &str, reference: &str) -> Key {
    Key::new(tenant, name, reference)
}

/// A service by name.
#[must_use]
pub fn service(tenant: &Tenant, cluster: &str, name: &str) -> Key {
    Key::new(tenant, cluster, name)
}

/// The parent under which what belongs to a service stands; `/` is in no name of a cluster or service.
#[must_use]
pub fn service_parent(cluster: &str, service: &str) -> String {
    format!("{cluster}/{service}")
}

/// A revision of a service.
#[must_use]
pub fn service_revision(tenant: &Tenant, cluster: &str, service: &str, id: &str) -> Key {
    Key::new(tenant, &service_parent(cluster, service), id)
}

/// A service deployment.
#[must_use]
pub fn service_deployment(tenant: &Tenant, cluster: &str, service: &str, id: &str) -> Key {
    Key::new(tenant, &service_parent(cluster, service), id)
}

/// An event of a service; twelve digits keep events in order.
#[must_use]
pub fn service_event(tenant: &Tenant, cluster: &str, service: &str, number: u64) -> Key {
    Key::new(tenant, &service_parent(cluster, service), &format!("{number:012}"))
}

/// A task set of a service; the `ecs-svc/` of its id is left out.
#[must_use]
pub fn task_set(tenant: &Tenant, cluster: &str, service: &str, id: &str) -> Key {
    Key::new(tenant, &service_parent(cluster, service), id.rsplit('/').next().unwrap_or(id))
}

/// A task of a service that has stopped.
#[must_use]
pub fn departed(tenant: &Tenant, cluster: &str, service: &str, task_id: &str) -> Key {
    Key::new(tenant, &service_parent(cluster, service), task_id)
}

/// An event by its number; twenty digits keep events in order. They stand below no tenant: whoever passes them on reads
/// those of all tenants in the order in which they happened.
#[must_use]
pub fn event(number: u64) -> Key {
    Key::new(&Tenant::new("", ""), "", &format!("{number:020}"))
}

/// A daemon by name.
#[must_use]
pub fn daemon(tenant: &Tenant, cluster: &str, name: &str) -> Key {
    Key::new(tenant, cluster, name)
}

/// The parent under which what belongs to a daemon stands.
#[must_use]
pub fn daemon_parent(cluster: &str, name: &str) -> String {
    service_parent(cluster, &cove_model::daemon::daemon_owner(name))
}

/// A revision or a deployment of a daemon.
#[must_use]
pub fn daemon_part(tenant: &Tenant, cluster: &str, daemon: &str, id: &str) -> Key {
    Key::new(tenant, &daemon_parent(cluster, daemon), id)
}

/// An alarm by name.
#[must_use]
pub fn alarm(tenant: &Tenant, name: &str) -> Key {
    Key::new(tenant, "", name)
}

/// What befell an alarm, in order.
#[must_use]
pub fn alarm_history(tenant: &Tenant, alarm: &str, number: u64) -> Key {
    Key::new(tenant, alarm, &format!("{number:020}"))
}

/// An event bus beside the default one.
#[must_use]
pub fn event_bus(tenant: &Tenant, name: &str) -> Key {
    Key::new(tenant, "", name)
}

/// A rule of a bus.
#[must_use]
pub fn rule(tenant: &Tenant, bus: &str, name: &str) -> Key {
    Key::new(tenant, bus, name)
}

/// A delivery by its number, below no tenant: whoever carries them out takes the oldest first.
#[must_use]
pub fn delivery(number: u64) -> Key {
    event(number)
}

/// How far events were passed on.
#[must_use]
pub fn routed() -> Key {
    Key::new(&Tenant::new("", ""), "", "")
}

/// A capacity provider by name.
#[must_use]
pub fn capacity_provider(tenant: &Tenant, name: &str) -> Key {
    Key::new(tenant, "", name)
}

/// A repository creation template by its prefix.
#[must_use]
pub fn creation_template(tenant: &Tenant, prefix: &str) -> Key {
    Key::new(tenant, "", prefix)
}

/// A secret by name.
#[must_use]
pub fn secret(tenant: &Tenant, name: &str) -> Key {
    Key::new(tenant, "", name)
}

/// A pull through cache rule by its prefix.
#[must_use]
pub fn pull_through_rule(tenant: &Tenant, prefix: &str) -> Key {
    Key::new(tenant, "", prefix)
}

/// The scan of an image.
#[must_use]
pub fn image_scan(tenant: &Tenant, repository: &str, digest: &str) -> Key {
    Key::new(tenant, repository, digest)
}

/// What a registry's owner decided about scanning.
#[must_use]
pub fn scan_settings(tenant: &Tenant) -> Key {
    Key::new(tenant, "", "")
}

/// A repository's lifecycle policy, or the one that is tried.
#[must_use]
pub fn lifecycle_policy(tenant: &Tenant, repository: &str) -> Key {
    Key::new(tenant, "", repository)
}

/// A repository's policy.
#[must_use]
pub fn repository_policy(tenant: &Tenant, repository: &str) -> Key {
    Key::new(tenant, "", repository)
}

/// What holds for all repositories of a tenant.
#[must_use]
pub fn registry_settings(tenant: &Tenant) -> Key {
    Key::new(tenant, "", "")
}

/// What a registry replicates.
#[must_use]
pub fn replication_configuration(tenant: &Tenant) -> Key {
    Key::new(tenant, "", "")
}

/// The copy of an image in another registry.
#[must_use]
pub fn replication(tenant: &Tenant, repository: &str, digest: &str, to: &Tenant) -> Key {
    Key::new(tenant, &replication_parent(repository, digest), &format!("{}/{}", to.account, to.region))
}

/// The parent under which the copies of an image stand.
#[must_use]
pub fn replication_parent(repository: &str, digest: &str) -> String {
    referrer_parent(repository, digest)
}
