//! Which instances are meant: by id, EC2 id, ARN or the first digits of an id, or all of a zone.

use std::sync::Arc;

use cove_model::container_instance::ContainerInstance;
use cove_model::task::Task;
use serde::Deserialize;

/// Fewer digits would mean another instance tomorrow.
const PREFIX_MIN: usize = 4;

/// What a client names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    #[serde(default)]
    pub instances: Vec<String>,
    /// A zone's name or its suffix.
    #[serde(default)]
    pub zone: Option<String>,
    /// For an interruption: tasks on Fargate Spot, in place of instances.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// For a removal: tasks are stopped instead of being in the way.
    #[serde(default)]
    pub force: bool,
}

/// The instances among those known that `fits` is true of; what is named must be there, a zone must have one.
///
/// # Errors
/// Says what was not found, or means several.
pub fn select(
    known: &[Arc<ContainerInstance>],
    wanted: &Selection,
    fits: impl Fn(&ContainerInstance) -> bool,
) -> Result<Vec<Arc<ContainerInstance>>, String> {
    match (wanted.instances.as_slice(), &wanted.zone) {
        ([], None) => Err("name instances, or a zone".to_owned()),
        ([], Some(zone)) => {
            let in_zone = |one: &&Arc<ContainerInstance>| {
                one.availability_zone == *zone || one.availability_zone == format!("{}{zone}", one.tenant.region)
            };
            let found: Vec<_> = known.iter().filter(in_zone).filter(|one| fits(one)).cloned().collect();
            if found.is_empty() { Err(format!("no such instance in zone {zone}")) } else { Ok(found) }
        }
        (_, Some(_)) => Err("name instances or a zone, not both".to_owned()),
        (names, None) => names.iter().map(|name| named(known, name)).collect(),
    }
}

/// The live tasks that are named.
///
/// # Errors
/// Says what was not found, or means several.
pub fn select_tasks(known: &[Arc<Task>], names: &[String]) -> Result<Vec<Arc<Task>>, String> {
    let find = |name: &String| {
        let text = name.rsplit('/').next().unwrap_or_default();
        let begins = |one: &&Arc<Task>| one.id == text || text.len() >= PREFIX_MIN && one.id.starts_with(text);
        let found: Vec<_> = known.iter().filter(begins).collect();
        match found.as_slice() {
            [] => Err(format!("there is no live task `{name}`")),
            [one] => Ok(Arc::clone(one)),
            _ => Err(format!("`{name}` begins the ids of several tasks: give more of it")),
        }
    };
    names.iter().map(find).collect()
}

fn named(known: &[Arc<ContainerInstance>], name: &str) -> Result<Arc<ContainerInstance>, String> {
    let text = name.rsplit('/').next().unwrap_or_default();
    let begins = |one: &&Arc<ContainerInstance>| {
        one.id == text
            || text.len() >= PREFIX_MIN && (one.id.starts_with(text) || one.ec2_instance_id.starts_with(text))
    };
    let found: Vec<_> = known.iter().filter(begins).collect();
    match found.as_slice() {
        [] => Err(format!("there is no instance `{name}`")),
        [one] => Ok(Arc::clone(one)),
        _ => Err(format!("`{name}` begins the ids of several instances: give more of it")),
    }
}
