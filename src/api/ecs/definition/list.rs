//! ListTaskDefinitions and ListTaskDefinitionFamilies.

use std::collections::BTreeMap;
use std::sync::Arc;

use cove_model::daemon::daemon_family;
use cove_model::task_definition::{TaskDefinition, TaskDefinitionStatus};
use cove_store::{Prefix, Read};

use super::show;
use crate::Context;
use crate::ecs::error::EcsError;
use crate::ecs::page::{Direction, Listing};
use crate::ecs::wire::{
    FamilyStatus, ListTaskDefinitionFamiliesIn, ListTaskDefinitionFamiliesOut, ListTaskDefinitionsIn,
    ListTaskDefinitionsOut, SortOrder,
};

/// ListTaskDefinitions: by family, then by number.
pub(in crate::ecs) fn list(cx: &Context, input: ListTaskDefinitionsIn) -> Result<ListTaskDefinitionsOut, EcsError> {
    let range = match &input.family_prefix {
        Some(family) => Prefix::parent(&cx.tenant, family),
        None => Prefix::tenant(&cx.tenant),
    };
    let wanted = input.status.unwrap_or(TaskDefinitionStatus::Active);
    let definitions = cx.store.read(|view| view.scan::<TaskDefinition>(&range));
    let place = |it: &TaskDefinition| format!("{}\0{:010}", it.family, it.revision);
    let mut items: Vec<(String, Arc<TaskDefinition>)> = definitions
        .into_iter()
        .filter(|it| it.status == wanted && daemon_family(&it.family).is_none())
        .map(|it| (place(&it), it))
        .collect();
    let direction = match input.sort {
        None | Some(SortOrder::Asc) => Direction::Up,
        Some(SortOrder::Desc) => {
            items.reverse();
            Direction::Down
        }
    };
    let (page, next_token) = Listing::of("definitions").cut(&input.page, direction, items)?;
    Ok(ListTaskDefinitionsOut { task_definition_arns: page.iter().map(|it| show::arn(it)).collect(), next_token })
}

/// ListTaskDefinitionFamilies: those with an ACTIVE revision, those without, or both.
pub(in crate::ecs) fn families(
    cx: &Context,
    input: ListTaskDefinitionFamiliesIn,
) -> Result<ListTaskDefinitionFamiliesOut, EcsError> {
    let prefix = input.family_prefix.as_deref().unwrap_or_default();
    let definitions = cx.store.read(|view| view.scan::<TaskDefinition>(&Prefix::tenant(&cx.tenant)));
    let mut has_active: BTreeMap<&str, bool> = BTreeMap::new();
    for it in definitions.iter().filter(|it| it.family.starts_with(prefix) && daemon_family(&it.family).is_none()) {
        *has_active.entry(&it.family).or_default() |= it.status == TaskDefinitionStatus::Active;
    }
    let wanted = |active: bool| match input.status {
        Some(FamilyStatus::Active) => active,
        Some(FamilyStatus::Inactive) => !active,
        None | Some(FamilyStatus::All) => true,
    };
    let items = has_active
        .into_iter()
        .filter(|(_, active)| wanted(*active))
        .map(|(family, _)| (family.to_owned(), family.to_owned()))
        .collect();
    let (families, next_token) = Listing::of("families").cut(&input.page, Direction::Up, items)?;
    Ok(ListTaskDefinitionFamiliesOut { families, next_token })
}
