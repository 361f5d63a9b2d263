//! Tags of rules and buses.

use cove_model::arn::Arn;
use cove_model::event::DEFAULT_BUS;
use cove_model::rule::{EventBus, Rule};
use cove_model::tag::Tag;
use cove_store::{Read, Tx, keys};

use super::error::EventsError;
use super::wire::{self, ListTagsIn, Nothing, TagIn, TagsOut, UntagIn};
use crate::Context;

/// AWS's quota of a resource.
const TAGS_MAX: usize = 50;

/// What an ARN names.
enum Resource {
    Rule { bus: String, name: String },
    Bus(String),
}

/// TagResource.
pub(super) async fn tag(cx: &Context, input: TagIn) -> Result<Nothing, EventsError> {
    change(cx, input.resource_arn, move |tags| laid_over(tags, input.tags)).await
}

/// UntagResource.
pub(super) async fn untag(cx: &Context, input: UntagIn) -> Result<Nothing, EventsError> {
    let remove = move |mut tags: Vec<Tag>| {
        tags.retain(|tag| !input.tag_keys.contains(&tag.key));
        Ok(tags)
    };
    change(cx, input.resource_arn, remove).await
}

/// ListTagsForResource.
pub(super) fn list(cx: &Context, input: ListTagsIn) -> Result<TagsOut, EventsError> {
    let arn = &input.resource_arn;
    let tags = cx.store.read(|view| match resource(cx, arn)? {
        Resource::Rule { bus, name } => {
            view.get::<Rule>(&keys::rule(&cx.tenant, &bus, &name)).map(|rule| rule.tags.clone())
        }
        Resource::Bus(name) => view.get::<EventBus>(&keys::event_bus(&cx.tenant, &name)).map(|bus| bus.tags.clone()),
    });
    let tags = tags.ok_or_else(|| not_found(arn))?;
    let show = |tag: Tag| wire::Tag { key: tag.key, value: tag.value };
    Ok(TagsOut { tags: tags.into_iter().map(show).collect() })
}

/// New tags over those that are there.
pub(super) fn laid_over(mut tags: Vec<Tag>, new: Vec<wire::Tag>) -> Result<Vec<Tag>, EventsError> {
    let new: Vec<Tag> = new.into_iter().map(|tag| Tag { key: tag.key, value: tag.value }).collect();
    if new.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(EventsError::validation("Tag keys beginning with aws: are reserved."));
    }
    tags.retain(|old| new.iter().all(|tag| tag.key != old.key));
    tags.extend(new);
    if tags.len() > TAGS_MAX {
        return Err(EventsError::LimitExceeded(format!("A resource has at most {TAGS_MAX} tags.")));
    }
    Ok(tags)
}

async fn change(
    cx: &Context,
    arn: String,
    f: impl FnOnce(Vec<Tag>) -> Result<Vec<Tag>, EventsError> + Send + 'static,
) -> Result<Nothing, EventsError> {
    let resource = resource(cx, &arn).ok_or_else(|| not_found(&arn))?;
    let tenant = cx.tenant.clone();
    let write = move |tx: &mut Tx<'_>| {
        match resource {
            Resource::Rule { bus, name } => {
                let rule = tx.get::<Rule>(&keys::rule(&tenant, &bus, &name)).ok_or_else(|| not_found(&arn))?;
                tx.put(Rule { tags: f(rule.tags.clone())?, ..(*rule).clone() });
            }
            Resource::Bus(name) => {
                let bus = tx.get::<EventBus>(&keys::event_bus(&tenant, &name)).ok_or_else(|| not_found(&arn))?;
                tx.put(EventBus { tags: f(bus.tags.clone())?, ..(*bus).clone() });
            }
        }
        Ok(Nothing {})
    };
    cx.store.write(write).await
}

fn resource(cx: &Context, arn: &str) -> Option<Resource> {
    let arn = Arn::parse(arn).filter(|arn| arn.service == "events" && arn.belongs_to(&cx.tenant))?;
    if let Some(name) = arn.path_of("event-bus") {
        return Some(Resource::Bus(name.to_owned()));
    }
    let path = arn.path_of("rule")?;
    let (bus, name) = path.rsplit_once('/').unwrap_or((DEFAULT_BUS, path));
    Some(Resource::Rule { bus: bus.to_owned(), name: name.to_owned() })
}

fn not_found(arn: &str) -> EventsError {
    EventsError::NotFound(format!("Resource {arn} does not exist."))
}
