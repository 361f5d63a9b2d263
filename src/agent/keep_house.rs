//! What time does to a node: old records are forgotten, logs expire, and whatever nobody wants any more is removed.
//!
//! Holds: the kernel is listed before the store is read, and tasks are published before anything of them is made; so
//! nothing of a task that is just being made is ever taken for a leftover.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use cove_base::Timestamp;
use cove_model::logs::{LogGroup, LogStream};
use cove_model::task::Task;
use cove_shim::client;
use cove_shim::protocol::{Event, Request};
use cove_store::{Prefix, Read, Record, StoreError};

use crate::agent::live;
use crate::deps::{Deps, blocking};
use crate::driver::{remove, volumes};
use crate::forget::{self, Records};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// Hex digits.
const TASK_ID_LENGTH: usize = 32;
/// How long a shim that nobody wants may take to end.
const UNWANTED_FINISH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Removes what no live task wants. `driven` are tasks that a driver works on.
pub(crate) async fn inventory(deps: &Arc<Deps>, driven: &HashSet<String>) {
    let there = {
        let deps = Arc::clone(deps);
        blocking(move || list(&deps)).await.unwrap_or_default()
    };
    let wanted = live_ids(deps);
    for id in there {
        if wanted.contains(&id) || driven.contains(&id) {
            continue;
        }
        tracing::info!(task = id, "removing what is left of a task that is gone");
        if let Err(error) = remove_leftover(deps, &id).await {
            tracing::warn!(task = id, error, "a leftover could not be removed; it is tried again later");
        }
    }
}

/// Ids of everything that looks like a task's, in the kernel and on disk.
fn list(deps: &Deps) -> HashSet<String> {
    let mut ids: HashSet<String> = HashSet::new();
    match deps.networks.inventory() {
        Ok(found) => ids.extend(found),
        Err(error) => tracing::warn!(error = cove_base::error::chain(&error), "the networks cannot be listed"),
    }
    match deps.snapshots.inventory() {
        Ok(found) => ids.extend(found),
        Err(error) => tracing::warn!(error = cove_base::error::chain(&error), "the writable layers cannot be listed"),
    }
    ids.extend(deps.cgroups.inventory());
    for directory in [deps.run.tasks(), deps.data.exits(), volumes(deps)] {
        ids.extend(names_in(&directory));
    }
    ids
}

fn names_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

fn live_ids(deps: &Deps) -> HashSet<String> {
    live(deps).iter().map(|task| task.id.clone()).collect()
}

async fn remove_leftover(deps: &Arc<Deps>, id: &str) -> Result<(), String> {
    let (of, killed) = (Arc::clone(deps), id.to_owned());
    // Exit records first: a shim without a place for them does not insist on writing. Then containers: a shim whose
    // containers are gone ends when it is told to. What fails of either is met again below.
    let _ = blocking(move || {
        let _ = std::fs::remove_dir_all(of.data.exits().join(&killed));
        of.cgroups.remove_task(&killed)
    })
    .await;
    if let Ok(mut shim) = client::connect(&deps.run.task(id)).await {
        let finish = async {
            // Whatever fails here, the directories go below and the shim with its socket.
            let _ = shim.subscribe().await;
            let _ = shim.send(&Request::Finish).await;
            while let Ok(Some(event)) = shim.next().await {
                // It was still busy with an end that it tells of now.
                if let Event::Changed(_) = event {
                    let _ = shim.send(&Request::Finish).await;
                }
            }
        };
        let _ = tokio::time::timeout(UNWANTED_FINISH_TIMEOUT, finish).await;
    }
    let (deps, id) = (Arc::clone(deps), id.to_owned());
    let removed = blocking(move || {
        let exits = std::fs::remove_dir_all(deps.data.exits().join(&id));
        remove(&deps, &id).map_err(|error| error.to_string())?;
        match exits {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            Ok(()) | Err(_) => Ok(()),
        }
    });
    removed.await.map_err(|error| error.to_string())?
}

/// Forgets what was seen for long enough.
pub(crate) async fn forget(deps: &Deps) {
    let records = deps.store.read(Records::read);
    let forgotten = forget::forgotten(&records, deps.clock.now(), deps.settings.stopped_keep_millis);
    if forgotten.is_empty() {
        return;
    }
    if let Err(error) = deps.store.write(move |tx| forgotten.delete(tx)).await {
        tracing::warn!(error = cove_base::error::chain(&error), "old records could not be forgotten");
    }
}

/// Removes blobs that no record names and unpacked layers that neither a task nor an image of the registry needs.
/// Layers come second, so that an image whose record just went takes its layers with it.
pub(crate) async fn collect(deps: &Arc<Deps>) {
    if let Err(error) = deps.registry.collect().await {
        tracing::warn!(error = cove_base::error::chain(&error), "blobs could not be collected");
    }
    let unused = {
        let deps = Arc::clone(deps);
        blocking(move || deps.snapshots.unused()).await
    };
    // Which layers images have is read from files: only when it matters.
    if let Ok(Ok(unused)) = &unused
        && unused.is_empty()
    {
        return;
    }
    let known = deps.registry.known_layers().await;
    let deps = Arc::clone(deps);
    match blocking(move || deps.snapshots.remove_unused(&known)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(count)) => tracing::info!(count, "removed unpacked layers that nobody needs any more"),
        Ok(Err(error)) => {
            tracing::warn!(error = cove_base::error::chain(&error), "unpacked layers could not be removed");
        }
        Err(error) => tracing::warn!(%error, "unpacked layers could not be removed"),
    }
}

/// Log retention, the node's cap, and streams whose record is gone: their own, or the task's for what the node has. A stream
/// of a task that nobody knows any more goes when its group keeps none of its events: a task a minute would make half a
/// million of them in a year.
pub(crate) async fn logs(deps: &Arc<Deps>) {
    let deps = Arc::clone(deps);
    let done = blocking(move || {
        let root = deps.data.logs();
        let there = names_in(&root);
        let (groups, streams) =
            deps.store.read(|view| (view.scan::<LogGroup>(&Prefix::all()), view.scan::<LogStream>(&Prefix::all())));
        let tasks = deps.store.read(|view| view.scan::<Task>(&Prefix::all()));
        let logs = tasks.iter().flat_map(|task| &task.containers).filter_map(|container| container.log.as_ref());
        let of_tasks = logs.filter(|log| log.is_local()).map(|log| log.directory.as_str());
        let task_ids: HashSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        let mut past = Vec::new();
        let known: HashSet<&str> = streams.iter().map(|stream| stream.directory.as_str()).chain(of_tasks).collect();
        for name in there.iter().filter(|name| !known.contains(name.as_str())) {
            if let Err(error) = std::fs::remove_dir_all(root.join(name)) {
                tracing::warn!(%error, name, "the log of a deleted stream could not be removed");
            }
        }
        for group in &groups {
            let Some(days) = group.retention_days else { continue };
            let before = deps.clock.now().plus_millis(-i64::from(days) * DAY_MILLIS);
            let own = deps.store.read(|view| view.scan::<LogStream>(&Prefix::parent(&group.tenant, &group.name)));
            for stream in &own {
                let directory = root.join(&stream.directory);
                let removed = cove_logs::remove_older_than(&directory, before.millis());
                let is_empty = removed.and_then(|_| {
                    Ok(is_of_the_past(stream, before, &task_ids) && cove_logs::last_event(&directory)?.is_none())
                });
                match is_empty {
                    Ok(true) => past.push(stream.key()),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(
                        error = cove_base::error::chain(&error),
                        stream = stream.name,
                        "old events could not be removed"
                    ),
                }
            }
        }
        // Their directories go next time, for nobody knows them.
        if !past.is_empty()
            && let Err(error) = deps.store.write_blocking(move |tx| {
                for key in &past {
                    tx.delete::<LogStream>(key);
                }
                Ok::<_, StoreError>(())
            })
        {
            tracing::warn!(error = cove_base::error::chain(&error), "streams of past tasks could not be forgotten");
        }
        if let Err(error) = cove_logs::enforce_caps(&root, deps.settings.log_node_max_bytes) {
            tracing::warn!(error = cove_base::error::chain(&error), "the cap of all logs could not be enforced");
        }
    });
    let _ = done.await;
}

/// Whether a stream is of a task that is forgotten, by the id that its name ends with.
fn is_of_the_past(stream: &LogStream, before: Timestamp, task_ids: &HashSet<&str>) -> bool {
    let id = stream.name.rsplit('/').next().unwrap_or_default();
    let is_of_a_task = id.len() == TASK_ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_of_a_task && !task_ids.contains(id) && stream.created_at < before
}

#[cfg(test)]
mod tests {
    use cove_model::arn::Tenant;

    use super::*;

    #[test]
    fn a_stream_of_a_forgotten_task_is_of_the_past() {
        let (known, forgotten) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
        let tasks = HashSet::from([known]);
        let stream = |name: &str, created_at: i64| LogStream {
            tenant: Tenant::new("000000000000", "us-east-1"),
            group: "g".into(),
            name: name.into(),
            created_at: Timestamp(created_at),
            directory: String::new(),
        };
        let past = |stream: &LogStream| is_of_the_past(stream, Timestamp(100), &tasks);
        let of_forgotten = stream(&format!("web/main/{forgotten}"), 99);
        assert!(past(&of_forgotten));
        assert!(!past(&stream(&of_forgotten.name, 100)), "young");
        assert!(!past(&stream(&format!("web/main/{known}"), 99)), "its task is still shown");
        assert!(!past(&stream("made/by/somebody", 99)));
    }
}
