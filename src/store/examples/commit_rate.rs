//! Prints how many durable commands per second the store takes from 1, 8 and 64 callers, and how long opening takes.
//!
//! `cargo run --release -p cove-store --example commit_rate [DIRECTORY] [SECONDS]`; the directory decides which disk is
//! measured.
#![allow(clippy::print_stdout, reason = "it prints figures")]

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cove_base::paths::DataDir;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::registry::Repository;
use cove_store::{Prefix, Read, Store, StoreError, StoreOptions, Tx};

/// About 500 bytes as JSON.
fn record(caller: usize, number: u64) -> Repository {
    Repository {
        created_at: Timestamp(i64::try_from(number).unwrap_or(0)),
        kms_key: Some("k".repeat(250)),
        ..Repository::new(&Tenant::new("000000000000", "us-east-1"), &format!("caller{caller}/{}", number % 1000))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2);
    let directory = directory.join(format!("cove-commit-rate-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let measured = runtime.block_on(measure(&directory, Duration::from_secs(seconds)));
    std::fs::remove_dir_all(&directory)?;
    Ok(measured?)
}

async fn measure(directory: &std::path::Path, time: Duration) -> Result<(), StoreError> {
    let open = |what: &str| {
        let begin = Instant::now();
        let store = Store::open(&DataDir::new(directory), Clock::system(), StoreOptions::default())?;
        let records = store.read(|view| view.count::<Repository>(&Prefix::all()));
        println!("open, {what}, {records} records: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
        Ok::<_, StoreError>(store)
    };
    open("new")?.close().await;
    let store = open("empty")?;
    for callers in [1, 8, 64] {
        let until = Instant::now() + time;
        let tasks = (0..callers).map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while Instant::now() < until {
                    let begin = Instant::now();
                    let record = record(caller, waits.len() as u64);
                    let put = move |tx: &mut Tx<'_>| {
                        tx.put(record);
                        Ok::<_, StoreError>(())
                    };
                    store.write(put).await?;
                    waits.push(begin.elapsed());
                }
                Ok::<_, StoreError>(waits)
            })
        });
        let mut waits = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            waits.extend(task.await.map_err(|_| StoreError::Closed)??);
        }
        waits.sort();
        let at = |percent: usize| waits.get(waits.len() * percent / 100).map_or(0.0, Duration::as_secs_f64) * 1e3;
        let rate = waits.len() as f64 / time.as_secs_f64();
        println!("{callers:>3} callers: {rate:>7.0} commands/s, p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
    }
    store.close().await;
    open("after that")?.close().await;
    Ok(())
}
