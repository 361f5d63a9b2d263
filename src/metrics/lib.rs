//! Metrics: what was measured and what clients put, in memory; and alarms, which are records.
//!
//! ```text
//! control groups ──▶ measure ─┐                      ┌──▶ the API's answers
//! PutMetricData ──────────────┴▶ Metrics (in memory) ┼──▶ watch: evaluate ▶ alarms' states ▶ store
//!                                                    └──▶ journal ▶ disk ▶ Metrics of the next start
//! ```
//!
//! Holds: memory is bounded ([`Metrics`] says by what); an alarm's state and its history are durable before anybody hears
//! of them, data points a moment after. While no server runs nothing is measured: a gap, as CloudWatch has them.
//! Why a crate: the agent's measurements, the API and the evaluation meet here, and none of them knows another.

pub mod alarm;
mod elsewhere;
mod journal;
mod measure;
mod points;
mod series;
mod statistic;
mod watch;

pub use journal::Journal;
pub use measure::{ReservedOf, Usage, UsageOf, measure_for_ever};
pub use points::Points;
pub use series::{Data, Full, Metrics};
pub use statistic::Statistic;
pub use watch::watch_for_ever;
