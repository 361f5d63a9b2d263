//! Tags of alarms.

use cove_model::alarm::Alarm;
use cove_model::arn::Arn;
use cove_model::tag::Tag;
use cove_store::{Read, keys};

use super::alarm::{change, stored};
use super::error::MonitoringError;
use super::wire::{self, ListTagsIn, Nothing, TagIn, TagsOut, UntagIn};
use crate::Context;

/// AWS's quota of a resource.
const TAGS_MAX: usize = 50;

/// TagResource.
pub(super) async fn tag(cx: &Context, input: TagIn) -> Result<Nothing, MonitoringError> {
    let name = name_of(cx, &input.resource_arn)?;
    let added = move |alarm: &mut Alarm, _| {
        alarm.tags = checked(std::mem::take(&mut alarm.tags), input.tags)?;
        Ok(())
    };
    change(cx, &name, added).await.map_err(|error| of_resource(error, &input.resource_arn))
}

/// UntagResource.
pub(super) async fn untag(cx: &Context, input: UntagIn) -> Result<Nothing, MonitoringError> {
    let name = name_of(cx, &input.resource_arn)?;
    let removed = move |alarm: &mut Alarm, _| {
        alarm.tags.retain(|tag| !input.tag_keys.contains(&tag.key));
        Ok(())
    };
    change(cx, &name, removed).await.map_err(|error| of_resource(error, &input.resource_arn))
}

/// ListTagsForResource.
pub(super) fn list(cx: &Context, input: ListTagsIn) -> Result<TagsOut, MonitoringError> {
    let name = name_of(cx, &input.resource_arn)?;
    let alarm = cx.store.read(|view| view.get::<Alarm>(&keys::alarm(&cx.tenant, &name)));
    let alarm = alarm.ok_or(MonitoringError::NoResource(input.resource_arn))?;
    let show = |tag: &Tag| wire::Tag { key: tag.key.clone(), value: tag.value.clone() };
    Ok(TagsOut { tags: alarm.tags.iter().map(show).collect() })
}

/// Tags laid over those that are there.
pub(super) fn checked(mut tags: Vec<Tag>, new: Vec<wire::Tag>) -> Result<Vec<Tag>, MonitoringError> {
    let new = stored(new);
    if new.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(MonitoringError::value("Tag keys beginning with aws: are reserved."));
    }
    tags.retain(|old| new.iter().all(|tag| tag.key != old.key));
    tags.extend(new);
    if tags.len() > TAGS_MAX {
        return Err(MonitoringError::value(format!("A resource has at most {TAGS_MAX} tags.")));
    }
    Ok(tags)
}

fn name_of(cx: &Context, arn: &str) -> Result<String, MonitoringError> {
    let parsed = Arn::parse(arn).filter(|parsed| parsed.service == "cloudwatch");
    let parsed = parsed.ok_or_else(|| MonitoringError::value(format!("Invalid arn syntax: {arn}")))?;
    let name = parsed.resource.strip_prefix("alarm:").filter(|_| parsed.belongs_to(&cx.tenant));
    name.map(str::to_owned).ok_or_else(|| MonitoringError::NoResource(arn.to_owned()))
}

fn of_resource(error: MonitoringError, arn: &str) -> MonitoringError {
    match error {
        MonitoringError::NoAlarm(_) => MonitoringError::NoResource(arn.to_owned()),
        other => other,
    }
}
