//! Which tasks go first when there are too many.
//!
//! One that is not up, then one of the fullest zone and instance, the youngest of those. Protected tasks stay, and those of
//! a base that are not to spare.
//! Why rows: equal tasks of one instance stand in one row, so that ten thousand of them are sorted once; the rows of a zone
//! are kept in order, so that a choice looks at the zones only and moves the rows of one instance.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use cove_base::Timestamp;

use super::base::Spare;
use super::view::TaskView;

/// The tasks in the order in which they go; each choice counts what is left by then.
pub(super) fn least_worth_first<'a>(tasks: &[&'a TaskView], now: Timestamp, spare: &Spare<'_>) -> LeastWorthFirst<'a> {
    let mut order = LeastWorthFirst {
        of_base_left: spare.left,
        rows: BTreeMap::new(),
        of_zone: BTreeMap::new(),
        of_instance: HashMap::new(),
        zones: HashMap::new(),
        instances: HashMap::new(),
    };
    for (at, task) in tasks.iter().enumerate() {
        *order.zones.entry(task.zone()).or_default() += 1;
        if let Some(instance) = task.instance() {
            *order.instances.entry(instance).or_default() += 1;
        }
        if !task.is_protected(now) {
            let of = (task.is_healthy(), task.zone(), task.instance(), spare.is_of_base(task));
            order.rows.entry(of).or_default().push((at, *task));
        }
    }
    // The next one is the last.
    for row in order.rows.values_mut() {
        row.sort_by_key(|(at, task)| (task.created_at, Reverse(*at)));
    }
    let all: Vec<Row<'a>> = order.rows.keys().copied().collect();
    for row in all {
        if let Some(instance) = row.2 {
            order.of_instance.entry(instance).or_default().push(row);
        }
        order.stand(row);
    }
    order
}

/// See [`least_worth_first`].
pub(super) struct LeastWorthFirst<'a> {
    /// How many of the base may still go.
    of_base_left: usize,
    /// By health, zone, instance and whether they are of the base.
    rows: BTreeMap<Row<'a>, Vec<(usize, &'a TaskView)>>,
    /// Rows that are not empty, by health and zone, in the order in which they are taken from.
    of_zone: BTreeMap<(bool, &'a str), BTreeSet<(Worth, Row<'a>)>>,
    /// Those that change with the instance.
    of_instance: HashMap<&'a str, Vec<Row<'a>>>,
    zones: HashMap<&'a str, usize>,
    instances: HashMap<&'a str, usize>,
}

type Row<'a> = (bool, &'a str, Option<&'a str>, bool);

/// What a row is worth within its zone: how full its instance is, how young its next task is, and where that stood.
type Worth = (Reverse<usize>, Reverse<Timestamp>, usize);

impl<'a> LeastWorthFirst<'a> {
    /// `None` of a row that is empty.
    fn worth(&self, row: Row<'a>) -> Option<Worth> {
        let (at, next) = self.rows.get(&row)?.last()?;
        let on_instance = row.2.and_then(|id| self.instances.get(id)).copied().unwrap_or(0);
        Some((Reverse(on_instance), Reverse(next.created_at), *at))
    }

    /// Puts the row where it belongs.
    fn stand(&mut self, row: Row<'a>) {
        if row.3 && self.of_base_left == 0 {
            return;
        }
        if let Some(worth) = self.worth(row) {
            self.of_zone.entry((row.0, row.1)).or_default().insert((worth, row));
        }
    }

    /// Takes the row out, before what it is worth changes.
    fn leave(&mut self, row: Row<'a>) {
        if let Some(worth) = self.worth(row)
            && let Some(rows) = self.of_zone.get_mut(&(row.0, row.1))
        {
            rows.remove(&(worth, row));
        }
    }
}

impl<'a> Iterator for LeastWorthFirst<'a> {
    type Item = &'a TaskView;

    fn next(&mut self) -> Option<&'a TaskView> {
        let firsts = self.of_zone.iter().filter_map(|((is_healthy, zone), rows)| {
            let ((on_instance, created_at, at), row) = *rows.first()?;
            let in_zone = self.zones.get(zone).copied().unwrap_or(0);
            Some(((*is_healthy, Reverse(in_zone), on_instance, created_at, at), row))
        });
        let row = firsts.min_by_key(|(worth, _)| *worth)?.1;
        let (_, zone, instance, is_of_base) = row;
        let moved = instance.and_then(|id| self.of_instance.get(id)).cloned().unwrap_or_else(|| vec![row]);
        moved.iter().for_each(|row| self.leave(*row));
        let (_, task) = self.rows.get_mut(&row)?.pop()?;
        if is_of_base {
            self.of_base_left -= 1;
            if self.of_base_left == 0 {
                self.of_zone.values_mut().for_each(|rows| rows.retain(|(_, row)| !row.3));
            }
        }
        *self.zones.get_mut(zone)? -= 1;
        if let Some(instance) = instance {
            *self.instances.get_mut(instance)? -= 1;
        }
        moved.iter().for_each(|row| self.stand(*row));
        Some(task)
    }
}
