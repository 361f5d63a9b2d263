//! Tags: the rules of their keys and values, and the operations that change them.

use std::collections::BTreeSet;

use cove_model::arn::Tenant;
use cove_model::capacity_provider::CapacityProvider;
use cove_model::cluster::Cluster;
use cove_model::container_instance::ContainerInstance;
use cove_model::daemon::Daemon;
use cove_model::service::{Service, TaskSet};
use cove_model::tag::Tag;
use cove_model::task::Task;
use cove_model::task_definition::TaskDefinition;
use cove_store::{Read, Tx, keys};

use super::error::EcsError;
use super::reference::{self, Taggable};
use super::wire::{ListTagsForResourceIn, Nothing, TagResourceIn, TagsOut, UntagResourceIn};
use super::{capacity_provider, cluster, daemon, service};
use crate::Context;

/// ECS's quota of tags per resource.
const TAGS_MAX: usize = 50;

/// Checks the tags that a request brings.
pub(super) fn check(tags: &[Tag]) -> Result<(), EcsError> {
    if tags.len() > TAGS_MAX {
        return Err(EcsError::parameter(format!(
            "Too many tags. The maximum number of tags per resource is {TAGS_MAX}."
        )));
    }
    let mut keys = BTreeSet::new();
    for tag in tags {
        check_key(&tag.key)?;
        if reserved(&tag.value) {
            return Err(EcsError::parameter("Tag values beginning with 'aws:' are reserved."));
        }
        if !keys.insert(tag.key.as_str()) {
            return Err(EcsError::parameter(format!("Duplicate tag key '{}'.", tag.key)));
        }
    }
    Ok(())
}

/// Keys beginning with `aws:` are AWS's own.
fn check_key(key: &str) -> Result<(), EcsError> {
    if key.is_empty() {
        return Err(EcsError::parameter("Tag key must not be null or empty."));
    }
    if reserved(key) {
        return Err(EcsError::parameter("Tag keys beginning with 'aws:' are reserved."));
    }
    Ok(())
}

fn reserved(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

/// The tags with others laid over them; AWS's own do not count towards the quota.
pub(super) fn merged(mut tags: Vec<Tag>, over: Vec<Tag>) -> Result<Vec<Tag>, EcsError> {
    for tag in over {
        match tags.iter_mut().find(|known| known.key == tag.key) {
            Some(known) => known.value = tag.value,
            None => tags.push(tag),
        }
    }
    if tags.iter().filter(|tag| !reserved(&tag.key)).count() > TAGS_MAX {
        return Err(EcsError::parameter(format!(
            "Too many tags. The maximum number of tags per resource is {TAGS_MAX}."
        )));
    }
    Ok(tags)
}

/// TagResource.
pub(super) async fn tag(cx: &Context, input: TagResourceIn) -> Result<Nothing, EcsError> {
    check(&input.tags)?;
    change(cx, &input.resource_arn, move |tags| merged(tags, input.tags)).await
}

/// UntagResource. Keys that are not there do not matter.
pub(super) async fn untag(cx: &Context, input: UntagResourceIn) -> Result<Nothing, EcsError> {
    input.tag_keys.iter().try_for_each(|key| check_key(key))?;
    change(cx, &input.resource_arn, move |mut tags| {
        tags.retain(|tag| !input.tag_keys.contains(&tag.key));
        Ok(tags)
    })
    .await
}

/// ListTagsForResource.
pub(super) fn list(cx: &Context, input: ListTagsForResourceIn) -> Result<TagsOut, EcsError> {
    let resource = reference::taggable(&cx.tenant, &input.resource_arn)?;
    let found = cx.store.read(|view| find(view, &cx.tenant, &resource))?;
    Ok(TagsOut { tags: found.tags().to_vec() })
}

/// A record with tags.
enum Tagged {
    Cluster(Box<Cluster>),
    TaskDefinition(Box<TaskDefinition>),
    Task(Box<Task>),
    ContainerInstance(Box<ContainerInstance>),
    Service(Box<Service>),
    TaskSet(Box<TaskSet>),
    CapacityProvider(Box<CapacityProvider>),
    Daemon(Box<Daemon>),
}

impl Tagged {
    fn tags(&self) -> &[Tag] {
        match self {
            Self::Cluster(it) => &it.tags,
            Self::TaskDefinition(it) => &it.tags,
            Self::Task(it) => &it.tags,
            Self::ContainerInstance(it) => &it.tags,
            Self::Service(it) => &it.tags,
            Self::TaskSet(it) => &it.tags,
            Self::CapacityProvider(it) => &it.tags,
            Self::Daemon(it) => &it.tags,
        }
    }

    fn put(self, tx: &mut Tx<'_>, tags: Vec<Tag>) {
        match self {
            Self::Cluster(it) => tx.put(Cluster { tags, ..*it }),
            Self::TaskDefinition(it) => tx.put(TaskDefinition { tags, ..*it }),
            Self::Task(it) => tx.put(Task { tags, ..*it }),
            Self::ContainerInstance(it) => tx.put(ContainerInstance { tags, ..*it }),
            Self::Service(it) => tx.put(Service { tags, ..*it }),
            Self::TaskSet(it) => tx.put(TaskSet { tags, ..*it }),
            Self::CapacityProvider(it) => tx.put(CapacityProvider { tags, ..*it }),
            Self::Daemon(it) => tx.put(Daemon { tags, ..*it }),
        }
    }
}

fn find(store: &impl Read, tenant: &Tenant, resource: &Taggable) -> Result<Tagged, EcsError> {
    let not_found = || EcsError::parameter("The specified resource could not be found.");
    match resource {
        Taggable::Cluster(name) => Ok(Tagged::Cluster(Box::new((*cluster::active(store, tenant, name)?).clone()))),
        Taggable::TaskDefinition { family, revision } => store
            .get::<TaskDefinition>(&keys::definition(tenant, family, *revision))
            .map(|it| Tagged::TaskDefinition(Box::new((*it).clone())))
            .ok_or_else(not_found),
        Taggable::Task { cluster, id } => store
            .get::<Task>(&keys::task(tenant, cluster, id))
            .map(|it| Tagged::Task(Box::new((*it).clone())))
            .ok_or_else(not_found),
        Taggable::TaskSet { cluster, service, id } => store
            .get::<TaskSet>(&keys::task_set(tenant, cluster, service, id))
            .map(|it| Tagged::TaskSet(Box::new((*it).clone())))
            .ok_or_else(not_found),
        Taggable::CapacityProvider(name) => capacity_provider::find(store, tenant, name)
            .map(|it| Tagged::CapacityProvider(Box::new((*it).clone())))
            .ok_or_else(not_found),
        Taggable::Daemon { cluster, name } => daemon::active(store, tenant, cluster, name)
            .map(|it| Tagged::Daemon(Box::new((*it).clone())))
            .map_err(|_| not_found()),
        Taggable::ContainerInstance { cluster, id } => store
            .get::<ContainerInstance>(&keys::container_instance(tenant, cluster, id))
            .map(|it| Tagged::ContainerInstance(Box::new((*it).clone())))
            .ok_or_else(not_found),
        Taggable::Service { cluster, name } => service::active(store, tenant, cluster, name)
            .map(|it| Tagged::Service(Box::new((*it).clone())))
            .map_err(|_| not_found()),
    }
}

async fn change(
    cx: &Context,
    arn: &str,
    apply: impl FnOnce(Vec<Tag>) -> Result<Vec<Tag>, EcsError> + Send + 'static,
) -> Result<Nothing, EcsError> {
    let tenant = cx.tenant.clone();
    let resource = reference::taggable(&tenant, arn)?;
    cx.store
        .write(move |tx| {
            let found = find(tx, &tenant, &resource)?;
            let tags = apply(found.tags().to_vec())?;
            found.put(tx, tags);
            Ok::<_, EcsError>(Nothing {})
        })
        .await
}
