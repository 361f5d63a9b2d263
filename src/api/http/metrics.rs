//! Counters, and their form for Prometheus.
//!
//! Holds: labels come from tables in the binary, never from requests, so their number is bounded.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use cove_store::StoreHealth;

/// What one process has counted since its start.
#[derive(Default)]
pub struct Metrics {
    requests: RwLock<HashMap<Label, Row>>,
    pub(crate) panics: AtomicU64,
}

/// Service and operation.
pub(crate) type Label = (&'static str, &'static str);

#[derive(Default)]
struct Row {
    /// By the status's first digit, from 1.
    classes: [AtomicU64; 5],
    micros: AtomicU64,
}

impl Metrics {
    /// Counts one answered request.
    pub(crate) fn count(&self, label: Label, status: u16, took: Duration) {
        if let Some(row) = self.requests.read().unwrap_or_else(PoisonError::into_inner).get(&label) {
            return row.count(status, took);
        }
        self.requests.write().unwrap_or_else(PoisonError::into_inner).entry(label).or_default().count(status, took);
    }

    /// As Prometheus reads it.
    pub(crate) fn text(&self, health: &StoreHealth) -> String {
        let rows = self.requests.read().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<(&Label, &Row)> = rows.iter().collect();
        sorted.sort_by_key(|(label, _)| **label);
        let mut counts = String::new();
        let mut times = String::new();
        for ((service, operation), row) in sorted {
            let labels = format!("service=\"{service}\",operation=\"{operation}\"");
            let mut all = 0;
            for (index, class) in row.classes.iter().enumerate() {
                let count = class.load(Ordering::Relaxed);
                all += count;
                if count > 0 {
                    let _ = writeln!(counts, "cove_requests_total{{{labels},class=\"{}xx\"}} {count}", index + 1);
                }
            }
            let micros = row.micros.load(Ordering::Relaxed);
            let seconds = Duration::from_micros(micros).as_secs_f64();
            let _ = writeln!(times, "cove_request_duration_seconds_sum{{{labels}}} {seconds}");
            let _ = writeln!(times, "cove_request_duration_seconds_count{{{labels}}} {all}");
        }
        let panics = self.panics.load(Ordering::Relaxed);
        let writable = u8::from(*health == StoreHealth::Writable);
        format!(
            "# TYPE cove_requests_total counter\n{counts}\
             # TYPE cove_request_duration_seconds summary\n{times}\
             # TYPE cove_panics_total counter\ncove_panics_total {panics}\n\
             # TYPE cove_store_writable gauge\ncove_store_writable {writable}\n"
        )
    }
}

impl Row {
    fn count(&self, status: u16, took: Duration) {
        let class = usize::from((status / 100).clamp(1, 5)) - 1;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}
