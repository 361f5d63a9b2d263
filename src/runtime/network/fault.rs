//! Faults in a task's network, as ECS injects them: ports that swallow, packets that are lost or late.
//!
//! In: a task and a [`NetworkFault`]. Out: rules and queues in the kernel, of which everything is read again: nothing is
//! remembered but that there may be a loss.
//!
//! | fault | where | with |
//! |---|---|---|
//! | black hole | the task's namespace | a table for each port |
//! | packet loss | the router, at the task's link: the sender sees nothing of it | a table for each task |
//! | latency | the task's link, inside | queues (`prio`, `netem`), where the kernel has them |
//!
//! Holds: the metadata endpoint is never concerned, or a fault could not be stopped. All of it goes with the task.

use cove_model::fault::{FaultAct, FaultKind, FaultState, NetworkFault};
use cove_model::network::Cidr;

use super::namespace::Namespace;
use super::netlink::expression::{Is, Rule};
use super::netlink::nft::{self, Hook, Transaction};
use super::netlink::{Channel, Protocol, delay};
use super::networks::{Networks, lock};
use super::outcome::tolerate;
use super::router::{Router, TASK_LINK};
use super::state::TaskRecord;
use super::{METADATA_ADDRESS, NetworkError};

const METADATA: Cidr = Cidr { address: METADATA_ADDRESS, prefix: 32 };
const CHAIN: &str = "fault";
const NANOS_PER_MILLI: u64 = 1_000_000;
const TCP: u8 = 6;
const UDP: u8 = 17;

impl Networks {
    /// Starts, stops or looks at a fault of a task that is attached to a network.
    ///
    /// # Errors
    /// When the task is not attached, or the kernel refuses or lacks what is needed.
    pub fn fault(&self, task_id: &str, act: FaultAct, fault: &NetworkFault) -> Result<FaultState, NetworkError> {
        let record = self.whole(task_id)?;
        let (Some(attachment), Some(link)) = (&record.attachment, record.link) else {
            return Err(NetworkError::NotUp { network: task_id.to_owned() });
        };
        let namespace = Namespace::pinned(&self.pin_of_task(task_id))
            .map_err(|source| NetworkError::System { attempt: "enter a task's network namespace", source })?;
        let mut spared = fault.spared.clone();
        spared.push(METADATA);
        if let FaultKind::BlackholePort { port, udp, egress } = fault.kind {
            return Hole { port, udp, egress }.act(&namespace, act, &spared);
        }
        // One at a time in a network, whoever asks.
        let slot = lock(&self.routers).get(&attachment.network).cloned().unwrap_or_default();
        let mut slot = lock(&slot);
        let router = slot.as_mut().ok_or_else(|| NetworkError::NotUp { network: task_id.to_owned() })?;
        let mut queues = Channel::new(&namespace, Protocol::Route);
        let late = delay::runs(&mut queues, TASK_LINK)?;
        let lossy = router.loses(task_id)?;
        match (act, &fault.kind) {
            (FaultAct::Start, _) if late => Ok(FaultState::LatencyRuns),
            (FaultAct::Start, _) if lossy => Ok(FaultState::PacketLossRuns),
            (FaultAct::Start, FaultKind::Latency { delay_millis, jitter_millis }) => {
                let times = (nanos(*delay_millis), nanos(*jitter_millis));
                delay::start(&mut queues, TASK_LINK, times, &fault.to, &spared)?;
                Ok(FaultState::Running)
            }
            (FaultAct::Start, FaultKind::PacketLoss { percent }) => {
                self.note_loss(task_id)?;
                router.lose(task_id, link, *percent, &fault.to, &spared)?;
                Ok(FaultState::Running)
            }
            (FaultAct::Stop, FaultKind::Latency { .. }) => {
                if late {
                    delay::stop(&mut queues, TASK_LINK)?;
                }
                Ok(FaultState::NotRunning)
            }
            (FaultAct::Stop, FaultKind::PacketLoss { .. }) => {
                if lossy {
                    router.stop_losing(task_id)?;
                }
                Ok(FaultState::NotRunning)
            }
            (FaultAct::Status, FaultKind::Latency { .. }) => Ok(state(late)),
            (FaultAct::Status, FaultKind::PacketLoss { .. }) => Ok(state(lossy)),
            (_, FaultKind::BlackholePort { .. }) => Ok(FaultState::NotRunning),
        }
    }

    fn whole(&self, task_id: &str) -> Result<TaskRecord, NetworkError> {
        let tasks = lock(&self.tasks);
        match tasks.get(task_id) {
            Some(task) if task.busy => Err(NetworkError::Busy { task: task_id.to_owned() }),
            Some(task) => Ok(task.record.clone()),
            None => Err(NetworkError::NotUp { network: task_id.to_owned() }),
        }
    }

    /// The file says it before the kernel has it.
    fn note_loss(&self, task_id: &str) -> Result<(), NetworkError> {
        let mut tasks = lock(&self.tasks);
        let Some(task) = tasks.get_mut(task_id).filter(|task| !task.busy) else {
            return Err(NetworkError::Busy { task: task_id.to_owned() });
        };
        if task.record.lossy {
            return Ok(());
        }
        let record = TaskRecord { lossy: true, ..task.record.clone() };
        self.records.write_task(&record)?;
        task.record = record;
        Ok(())
    }
}

impl Router {
    fn loses(&mut self, task_id: &str) -> Result<bool, NetworkError> {
        Ok(nft::tables(&mut self.nft)?.0.contains(&loss_table(task_id)))
    }

    fn lose(
        &mut self,
        task_id: &str,
        link: i32,
        percent: u8,
        to: &[Cidr],
        spared: &[Cidr],
    ) -> Result<(), NetworkError> {
        let name = loss_table(task_id);
        let mut table = Transaction::on(&name);
        table.fresh_table();
        table.chain(CHAIN, Some(Hook::FIRST));
        let of_task = || Rule::new().input_link(Is::In, link);
        for range in spared {
            table.rule(CHAIN, &of_task().destination(Is::In, *range).accept());
        }
        for range in to {
            table.rule(CHAIN, &of_task().destination(Is::In, *range).in_a_hundred(percent).counter().drop());
        }
        Ok(table.commit(&mut self.nft)?)
    }

    /// Also when there is nothing to stop.
    pub(super) fn stop_losing(&mut self, task_id: &str) -> Result<(), NetworkError> {
        let name = loss_table(task_id);
        let mut table = Transaction::on(&name);
        table.delete_table();
        tolerate(table.commit(&mut self.nft), &[libc::ENOENT])
    }
}

/// No other table of a router has a dot in its name.
fn loss_table(task_id: &str) -> String {
    format!("loss.{task_id}")
}

/// A port that swallows.
struct Hole {
    port: u16,
    udp: bool,
    egress: bool,
}

impl Hole {
    fn act(&self, namespace: &Namespace, act: FaultAct, spared: &[Cidr]) -> Result<FaultState, NetworkError> {
        let mut channel = Channel::new(namespace, Protocol::Netfilter);
        let name = self.table();
        let runs = nft::tables(&mut channel)?.0.contains(&name);
        match act {
            FaultAct::Start if runs => Ok(FaultState::Running),
            FaultAct::Start => {
                let mut table = Transaction::on(&name);
                self.build(&mut table, spared);
                table.commit(&mut channel)?;
                Ok(FaultState::Running)
            }
            FaultAct::Stop => {
                if runs {
                    let mut table = Transaction::on(&name);
                    table.delete_table();
                    tolerate(table.commit(&mut channel), &[libc::ENOENT])?;
                }
                Ok(FaultState::NotRunning)
            }
            FaultAct::Status => Ok(state(runs)),
        }
    }

    fn table(&self) -> String {
        let way = if self.egress { "egress" } else { "ingress" };
        format!("{way}-{}-{}", if self.udp { "udp" } else { "tcp" }, self.port)
    }

    fn build(&self, table: &mut Transaction<'_>, spared: &[Cidr]) {
        table.fresh_table();
        table.chain(CHAIN, Some(if self.egress { Hook::LEAVING } else { Hook::INPUT }));
        let hit = || Rule::new().protocol(if self.udp { UDP } else { TCP }).destination_port(self.port);
        for range in spared {
            let rule = if self.egress { hit().destination(Is::In, *range) } else { hit().source(Is::In, *range) };
            table.rule(CHAIN, &rule.accept());
        }
        table.rule(CHAIN, &hit().counter().drop());
    }
}

fn state(runs: bool) -> FaultState {
    if runs { FaultState::Running } else { FaultState::NotRunning }
}

fn nanos(millis: u64) -> i64 {
    i64::try_from(millis.saturating_mul(NANOS_PER_MILLI)).unwrap_or(i64::MAX)
}
