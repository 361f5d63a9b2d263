//! Custom attributes of container instances.

use cove_model::arn::Tenant;
use cove_model::container_instance::{ContainerInstance, container_instance_arn};
use cove_model::task_definition::{Attribute, TargetType};
use cove_store::{Prefix, Read, Tx, keys};

use super::error::EcsError;
use super::page::{Direction, Listing};
use super::wire::{AttributesIn, AttributesOut, ListAttributesIn};
use super::{cluster, reference};
use crate::Context;

/// ECS's quotas: of custom attributes on one instance, and in one call.
const CUSTOM_MAX: usize = 10;
const CALL_MAX: usize = 10;
const LENGTH_MAX: usize = 128;

/// PutAttributes: adds them, or replaces those of the same name.
pub(super) async fn put(cx: &Context, input: AttributesIn) -> Result<AttributesOut, EcsError> {
    change(cx, input, |instance, given| {
        instance.attributes.retain(|known| known.name != given.name);
        let (name, value) = (given.name.clone(), given.value.clone());
        instance.attributes.push(Attribute { name, value, ..Attribute::default() });
        check_custom(&instance.attributes)
    })
    .await
}

/// DeleteAttributes: a value, if given, must be the attribute's.
pub(super) async fn delete(cx: &Context, input: AttributesIn) -> Result<AttributesOut, EcsError> {
    change(cx, input, |instance, given| {
        let same =
            |known: &Attribute| known.name == given.name && (given.value.is_none() || known.value == given.value);
        instance.attributes.retain(|known| !same(known));
        Ok(())
    })
    .await
}

async fn change(
    cx: &Context,
    input: AttributesIn,
    apply: impl Fn(&mut ContainerInstance, &Attribute) -> Result<(), EcsError> + Send + 'static,
) -> Result<AttributesOut, EcsError> {
    if input.attributes.is_empty() {
        return Err(EcsError::parameter("Attributes cannot be empty."));
    }
    if input.attributes.len() > CALL_MAX {
        return Err(EcsError::parameter("Attributes cannot have more than 10 elements."));
    }
    input.attributes.iter().try_for_each(check)?;
    let tenant = cx.tenant.clone();
    let name = reference::cluster(&tenant, input.cluster.as_deref())?;
    let attributes = cx
        .store
        .write(move |tx| {
            cluster::active(tx, &tenant, &name)?;
            let mut shown = Vec::new();
            for given in &input.attributes {
                let mut instance = target(tx, &tenant, &name, given)?;
                apply(&mut instance, given)?;
                instance.version += 1;
                shown.push(show(given, &instance));
                tx.put(instance);
            }
            Ok::<_, EcsError>(shown)
        })
        .await?;
    Ok(AttributesOut { attributes, next_token: None })
}

fn target(tx: &Tx<'_>, tenant: &Tenant, cluster: &str, given: &Attribute) -> Result<ContainerInstance, EcsError> {
    let text = given.target_id.as_deref().unwrap_or_default();
    let id = reference::container_instance(tenant, cluster, text)?;
    let found = tx.get::<ContainerInstance>(&keys::container_instance(tenant, cluster, &id));
    found.filter(|instance| instance.is_registered()).map(|instance| (*instance).clone()).ok_or_else(|| {
        let arn = container_instance_arn(tenant, cluster, &id);
        EcsError::TargetNotFound(format!("The specified target {arn} was not found."))
    })
}

fn check(given: &Attribute) -> Result<(), EcsError> {
    check_text(given)?;
    match given.name.as_deref().filter(|name| is_built_in(name)) {
        None => Ok(()),
        Some(name) => Err(EcsError::parameter(format!("The attribute {name} is reserved."))),
    }
}

/// Characters and lengths of a name and a value.
pub(super) fn check_text(given: &Attribute) -> Result<(), EcsError> {
    let name = given.name.as_deref().unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_/\\.".contains(c);
    if name.is_empty() || name.len() > LENGTH_MAX || !name.chars().all(legal) {
        return Err(EcsError::parameter("Attribute name contains invalid characters."));
    }
    let Some(value) = given.value.as_deref() else { return Ok(()) };
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.@/\\: ".contains(c);
    if value.is_empty() || value.len() > LENGTH_MAX || value.trim() != value || !value.chars().all(legal) {
        return Err(EcsError::parameter("Attribute value contains invalid characters."));
    }
    Ok(())
}

/// Whether there are no more custom ones than ECS lets an instance have.
pub(super) fn check_custom(attributes: &[Attribute]) -> Result<(), EcsError> {
    let count = attributes.iter().filter(|it| is_custom(it)).count();
    if count > CUSTOM_MAX { Err(EcsError::AttributeLimitExceeded(CUSTOM_MAX)) } else { Ok(()) }
}

pub(super) fn is_custom(attribute: &Attribute) -> bool {
    !is_built_in(attribute.name.as_deref().unwrap_or_default())
}

/// What the agent says of its instance; clients cannot change it.
fn is_built_in(name: &str) -> bool {
    name.starts_with("ecs.") || name.starts_with("com.amazonaws.ecs.")
}

/// ListAttributes: every attribute of the cluster's instances, custom or not.
pub(super) fn list(cx: &Context, input: ListAttributesIn) -> Result<AttributesOut, EcsError> {
    match input.target_type {
        TargetType::ContainerInstance => {}
    }
    if input.attribute_value.is_some() && input.attribute_name.is_none() {
        return Err(EcsError::parameter("attributeName must be specified together with attributeValue."));
    }
    let tenant = &cx.tenant;
    let name = reference::cluster(tenant, input.cluster.as_deref())?;
    let instances = cx.store.read(|view| {
        cluster::active(view, tenant, &name)?;
        Ok::<_, EcsError>(view.scan::<ContainerInstance>(&Prefix::parent(tenant, &name)))
    })?;
    let wanted = |it: &Attribute| {
        (input.attribute_name.is_none() || it.name == input.attribute_name)
            && (input.attribute_value.is_none() || it.value == input.attribute_value)
    };
    let mut items = Vec::new();
    for instance in instances.iter().filter(|instance| instance.is_registered()) {
        for it in instance.attributes.iter().filter(|it| wanted(it)) {
            items.push((format!("{}\0{}", instance.id, it.name.as_deref().unwrap_or_default()), show(it, instance)));
        }
    }
    items.sort_by(|(left, _), (right, _)| left.cmp(right));
    let (attributes, next_token) = Listing::of("attributes").cut(&input.page, Direction::Up, items)?;
    Ok(AttributesOut { attributes, next_token })
}

fn show(it: &Attribute, instance: &ContainerInstance) -> Attribute {
    Attribute {
        name: it.name.clone(),
        value: it.value.clone(),
        target_type: Some(TargetType::ContainerInstance),
        target_id: Some(instance.arn()),
    }
}
