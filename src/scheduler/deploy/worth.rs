//! Which tasks go first when there are too many.
//!
//! One that is not up, then one of the fullest zone and instance, the youngest of those. Protected tasks stay.
//! Why groups: equal tasks of one instance stand in one row, so that ten thousand of them are sorted once and each choice
//! looks at the rows only.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use cove_base::Timestamp;

use super::view::TaskView;

/// The tasks in the order in which they go; each choice counts what is left by then.
pub(super) fn least_worth_first<'a>(tasks: &[&'a TaskView], now: Timestamp) -> LeastWorthFirst<'a> {
    let mut order = LeastWorthFirst { rows: BTreeMap::new(), zones: HashMap::new(), instances: HashMap::new() };
    for (at, task) in tasks.iter().enumerate() {
        *order.zones.entry(&task.zone).or_default() += 1;
        if let Some(instance) = &task.instance {
            *order.instances.entry(instance).or_default() += 1;
        }
        if !task.is_protected(now) {
            let of = (task.is_healthy(), &*task.zone, task.instance.as_deref());
            order.rows.entry(of).or_default().push((at, *task));
        }
    }
    // The next one is the last.
    for row in order.rows.values_mut() {
        row.sort_by_key(|(at, task)| (task.created_at, Reverse(*at)));
    }
    order
}

/// See [`least_worth_first`].
pub(super) struct LeastWorthFirst<'a> {
    /// By health, zone and instance.
    rows: BTreeMap<Row<'a>, Vec<(usize, &'a TaskView)>>,
    zones: HashMap<&'a str, usize>,
    instances: HashMap<&'a str, usize>,
}

type Row<'a> = (bool, &'a str, Option<&'a str>);

impl<'a> Iterator for LeastWorthFirst<'a> {
    type Item = &'a TaskView;

    fn next(&mut self) -> Option<&'a TaskView> {
        let worth = |(row, tasks): &(&Row<'a>, &Vec<(usize, &'a TaskView)>)| {
            let (is_healthy, zone, instance) = **row;
            let in_zone = self.zones.get(zone).copied().unwrap_or(0);
            let on_instance = instance.and_then(|id| self.instances.get(id)).copied().unwrap_or(0);
            let next = tasks.last().map(|(at, task)| (Reverse(task.created_at), *at));
            (is_healthy, Reverse(in_zone), Reverse(on_instance), next)
        };
        let row = *self.rows.iter().filter(|(_, tasks)| !tasks.is_empty()).min_by_key(worth)?.0;
        let (_, task) = self.rows.get_mut(&row)?.pop()?;
        *self.zones.get_mut(&*task.zone)? -= 1;
        if let Some(instance) = &task.instance {
            *self.instances.get_mut(&**instance)? -= 1;
        }
        Some(task)
    }
}
