//! Dynamic host ports that another program of the host has, exchanged before anything of the task is made.
//!
//! In: the task's record and definition. Out: the record, with other ports in the place of taken ones.
//!
//! Why here and not in placement: placement decides inside a transaction and knows the ports of tasks; which ports the
//! host's other programs have only the kernel knows, and only by trying.

use std::collections::HashSet;
use std::sync::Arc;

use cove_model::task::{NetworkBinding, Task, TaskNetwork};
use cove_model::task_definition::{TaskDefinition, TransportProtocol};
use cove_shim::host_port;
use cove_shim::protocol::HeldPort;
use cove_store::{Prefix, Read, StoreError};

use super::Driver;
use crate::deps::blocking;

/// Free ports to choose from for each that is taken: other tasks may be promised some of them.
const CANDIDATES: usize = 16;

/// A binding of the task, by its container's and its own place in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    container: usize,
    binding: usize,
}

impl Driver {
    /// The task as it is afterwards; unchanged, and nothing written, when every dynamic port is free.
    pub(super) async fn exchange_taken_ports(
        &self,
        task: &Arc<Task>,
        definition: &TaskDefinition,
    ) -> Result<Arc<Task>, StoreError> {
        let wishes = dynamic(task, definition);
        let tried = Arc::clone(task);
        let taken = move || {
            let is_taken = |place: &Place| !held(&tried, *place).all(host_port::is_free);
            let taken: Vec<Place> = wishes.into_iter().filter(is_taken).collect();
            taken.into_iter().map(|place| (place, candidates(binding(&tried, place)))).collect()
        };
        let offers: Vec<(Place, Vec<u16>)> = blocking(taken).await.unwrap_or_default();
        if offers.is_empty() {
            return Ok(Arc::clone(task));
        }
        let key = self.key.clone();
        let written: Result<Option<Arc<Task>>, StoreError> = self
            .deps
            .store
            .write(move |tx| {
                let Some(before) = tx.get::<Task>(&key) else { return Ok(None) };
                let others = tx.live::<Task>(&Prefix::all());
                let after = exchanged(&before, &others, &offers);
                tx.put(after);
                Ok(tx.get::<Task>(&key))
            })
            .await;
        Ok(written?.unwrap_or_else(|| Arc::clone(task)))
    }
}

/// Bindings in bridge mode whose definition fixes no host port.
fn dynamic(task: &Task, definition: &TaskDefinition) -> Vec<Place> {
    if !matches!(task.network, TaskNetwork::Bridge { .. }) {
        return Vec::new();
    }
    let mut places = Vec::new();
    for (at, (container, document)) in
        task.containers.iter().zip(&definition.document.container_definitions).enumerate()
    {
        for (binding, bound) in container.ports.iter().enumerate() {
            let fixes = document.port_mappings.iter().any(|mapping| {
                let same = mapping.container_port == Some(bound.container_port.into());
                same && mapping.host_port.is_some_and(|port| port == i32::from(bound.host_port))
            });
            if !fixes {
                places.push(Place { container: at, binding });
            }
        }
    }
    places
}

fn binding(task: &Task, place: Place) -> &NetworkBinding {
    &task.containers[place.container].ports[place.binding]
}

fn held(task: &Task, place: Place) -> impl Iterator<Item = HeldPort> {
    each(binding(task, place)).map(|(udp, port)| HeldPort { port, udp })
}

/// Every port of a binding, and whether it is of UDP.
fn each(binding: &NetworkBinding) -> impl Iterator<Item = (bool, u16)> + use<> {
    let udp = binding.protocol == TransportProtocol::Udp;
    binding.host_ports().map(move |port| (udp, port))
}

/// First ports that a binding could have instead; those of a range have free ones after them.
fn candidates(taken: &NetworkBinding) -> Vec<u16> {
    let udp = taken.protocol == TransportProtocol::Udp;
    let mut first = host_port::free(udp, CANDIDATES);
    first.retain(|port| {
        let end = port.checked_add(taken.more.unwrap_or(0));
        end.is_some_and(|end| (*port..=end).all(|port| host_port::is_free(HeldPort { port, udp })))
    });
    first
}

/// The first offer for each place that no live task has; where there is none the port stays, and the start says so.
fn exchanged(task: &Task, others: &[Arc<Task>], offers: &[(Place, Vec<u16>)]) -> Task {
    let mut promised: HashSet<(bool, u16)> = HashSet::new();
    for binding in others.iter().filter(|one| one.is_live()).flat_map(|one| &one.containers).flat_map(|one| &one.ports)
    {
        promised.extend(each(binding));
    }
    let mut task = task.clone();
    for (place, ports) in offers {
        let instead = |port: &u16| NetworkBinding { host_port: *port, ..binding(&task, *place).clone() };
        let is_unpromised = |one: &NetworkBinding| !each(one).any(|port| promised.contains(&port));
        if let Some(other) = ports.iter().map(instead).find(is_unpromised) {
            promised.extend(each(&other));
            task.containers[place.container].ports[place.binding] = other;
        }
    }
    task.version += 1;
    task
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::tests::{app, task};

    #[test]
    fn a_taken_port_is_exchanged_for_one_that_no_live_task_has() {
        let bound =
            |host_port| NetworkBinding { container_port: 80, host_port, protocol: TransportProtocol::Tcp, more: None };
        let mut task = task();
        task.containers = vec![app("main", true)];
        task.containers[0].ports = vec![bound(40_000), bound(40_001)];
        let mut other = task.clone();
        other.containers[0].ports = vec![bound(40_002)];
        let offers = [0, 1].map(|binding| (Place { container: 0, binding }, vec![40_002, 40_003, 40_004]));
        let after = exchanged(&task, &[Arc::new(other)], &offers);
        let ports: Vec<u16> = after.containers[0].ports.iter().map(|one| one.host_port).collect();
        assert_eq!(ports, [40_003, 40_004]);
        assert_eq!(after.version, task.version + 1);
    }

    #[test]
    fn a_range_is_exchanged_for_one_of_which_no_live_task_has_a_port() {
        let range = |host_port| NetworkBinding {
            container_port: 80,
            host_port,
            protocol: TransportProtocol::Tcp,
            more: Some(9),
        };
        let mut task = task();
        task.containers = vec![app("main", true)];
        task.containers[0].ports = vec![range(40_000), range(40_100)];
        let mut other = task.clone();
        other.containers[0].ports = vec![range(40_205)];
        let offers = [0, 1].map(|binding| (Place { container: 0, binding }, vec![40_200, 40_300, 40_305, 40_310]));
        let after = exchanged(&task, &[Arc::new(other)], &offers);
        assert_eq!(after.containers[0].ports, [range(40_300), range(40_310)]);
    }
}
