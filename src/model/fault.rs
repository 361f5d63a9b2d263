//! Faults that a task injects into its own network, by way of the endpoints of the agent.

use crate::network::Cidr;

/// A fault, and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFault {
    pub kind: FaultKind,
    /// What is lost or late goes here. Of no use to a black hole, which is everywhere.
    pub to: Vec<Cidr>,
    /// Who is left alone.
    pub spared: Vec<Cidr>,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// What comes to a port of the task, or goes to that port elsewhere, is swallowed.
    BlackholePort {
        port: u16,
        udp: bool,
        egress: bool,
    },
    Latency {
        delay_millis: u64,
        jitter_millis: u64,
    },
    /// 1 to 100.
    PacketLoss {
        percent: u8,
    },
}

/// What is asked of a fault. To stop and to look, its kind (of a black hole the port) is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAct {
    Start,
    Stop,
    Status,
}

/// How it stands afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultState {
    Running,
    NotRunning,
    /// Not started: late packets and lost ones exclude each other, and themselves.
    LatencyRuns,
    PacketLossRuns,
}
