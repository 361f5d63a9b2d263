//! Tasks without an instance: their sizes and strategies, interruptions of Spot capacity, and what must hold of them.
//!
//! | | of |
//! |---|---|
//! | a task on Fargate is on no instance, has an interface in its zone and a size that Fargate has | everything |
//! | capacity that nobody declared is promised as far as the host has memory | everything |
//! | the base of a strategy comes first, then each provider has its share | one decision |

use std::collections::BTreeMap;
use std::sync::Arc;

use cove_model::capacity_provider::{FARGATE, FARGATE_SPOT};
use cove_model::cluster::CapacityProviderStrategyItem as Item;
use cove_model::fargate::is_fargate_size;
use cove_model::task::{LaunchType, Task, TaskNetwork};
use cove_model::task_template::TaskTemplate;
use cove_store::{Prefix, Read};

use super::Checked;
use super::world::World;
use crate::fleet::interrupt_task;
use crate::host::HostFacts;

/// Sizes out of Fargate's table.
const SIZES: [(i64, i64); 4] = [(256, 512), (256, 1024), (512, 1024), (1024, 2048)];

impl World {
    /// Moves what the template runs to Fargate: by its launch type, or divided between its two providers.
    pub(super) fn move_to_fargate(&mut self, template: &mut TaskTemplate) {
        let (cpu, memory_mib) = self.dice.pick(&SIZES);
        assert!(is_fargate_size(cpu, memory_mib));
        (template.size.cpu, template.size.memory_mib) = (cpu, memory_mib);
        (template.size.task_cpu, template.size.task_memory) = (Some(cpu.to_string()), Some(memory_mib.to_string()));
        template.placing.launch_type = LaunchType::Fargate;
        let item = |name: &str, weight, base| Item { capacity_provider: name.into(), weight, base };
        template.placing.strategy = match self.dice.roll(5) {
            0 => Vec::new(),
            1 => vec![item(FARGATE_SPOT, 0, 0)],
            2 => vec![item(FARGATE, 1, 1), item(FARGATE_SPOT, 1, 0)],
            3 => vec![item(FARGATE_SPOT, 3, 0), item(FARGATE, 1, 2)],
            _ => vec![item(FARGATE, 0, 1), item(FARGATE_SPOT, 1, 0)],
        };
    }

    /// AWS wants the capacity of some task on Spot back.
    pub(super) fn interrupt_spot(&mut self) -> Checked {
        let all = self.memory.view().live::<Task>(&Prefix::all());
        let is_spot = |task: &Arc<Task>| task.placement.capacity_provider.as_deref() == Some(FARGATE_SPOT);
        let spot: Vec<_> = all.into_iter().filter(is_spot).collect();
        if spot.is_empty() {
            return Ok(());
        }
        let task = &spot[self.dice.roll(spot.len())];
        // One that ends anyhow is left alone.
        let done = self.memory.write(self.now, |tx| interrupt_task(tx, task).map(drop));
        if done.is_ok() {
            self.tell(|| format!("interrupt {}", &task.id[..6]));
        }
        self.check_all()
    }
}

/// Where the task is, by its launch type.
pub(super) fn check_place(task: &Task) -> Checked {
    let place = &task.placement;
    let is_well = match place.launch_type {
        LaunchType::Fargate => {
            place.container_instance.is_none()
                && place.platform_version.is_some()
                && is_fargate_size(place.cpu, place.memory_mib)
                && matches!(&task.network, TaskNetwork::Awsvpc(it) if it.subnet_id.ends_with(&place.availability_zone))
        }
        LaunchType::Ec2 | LaunchType::External | LaunchType::ManagedInstances => {
            place.container_instance.is_some() && place.platform_version.is_none()
        }
    };
    if is_well { Ok(()) } else { Err(format!("{} is at {place:?}", task.id)) }
}

/// What all tasks together were promised of the host.
pub(super) fn check_host(tasks: &[Arc<Task>], host: &HostFacts) -> Checked {
    let elastic = tasks.iter().filter(|task| task.placement.launch_type.is_elastic());
    let promised: i64 = elastic.map(|task| task.placement.memory_mib).sum();
    let has = host.fargate_memory_mib();
    if promised > has { Err(format!("{promised} MiB are promised of {has}")) } else { Ok(()) }
}

/// Whether tasks that were started went where the strategy says. `staying`: those of the same deployment that nobody is
/// going to replace, with the ones that were started.
pub(super) fn check_strategy(strategy: &[Item], staying: &[&Task], started: &[&Task]) -> Checked {
    let count = |tasks: &[&Task]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for task in tasks {
            *counts.entry(task.placement.capacity_provider.clone().unwrap_or_default()).or_default() += 1;
        }
        counts
    };
    let (there, new) = (count(staying), count(started));
    if strategy.is_empty() {
        let odd = new.keys().find(|name| !name.is_empty());
        return odd.map_or(Ok(()), |odd| Err(format!("nobody asked for {odd}")));
    }
    let broken = || Err(format!("{new:?} of {there:?} do not follow {strategy:?}"));
    let number =
        |counts: &BTreeMap<String, i64>, item: &Item| counts.get(&item.capacity_provider).copied().unwrap_or(0);
    let beyond = |item: &Item| (number(&there, item) - i64::from(item.base)).max(0);
    if strategy.iter().map(|item| number(&new, item)).sum::<i64>() != new.values().sum::<i64>() {
        return broken();
    }
    let is_met = |item: &Item| number(&there, item) >= i64::from(item.base);
    for item in strategy.iter().filter(|item| number(&new, item) > 0) {
        let others = || strategy.iter().filter(|other| other.capacity_provider != item.capacity_provider);
        if others().next().is_none() || beyond(item) == 0 {
            // Up to its own base another's comes first only when it stands before.
            continue;
        }
        let weight = i64::from(item.weight);
        let is_ahead = |other: &Item| beyond(item) * i64::from(other.weight) > (beyond(other) + 1) * weight;
        if others().any(|other| !is_met(other) || other.weight > 0 && is_ahead(other)) {
            return broken();
        }
    }
    Ok(())
}
