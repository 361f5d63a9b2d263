//! Makes the scans that are wanted, over and over.
//!
//! Woken by a change of a scan, a scan that ended or a timer, it takes no hint what changed, reads all open scans, and
//! begins as many as may run at once. A scan that is in progress but not among its own was begun by a server that died:
//! it is begun again.

use std::collections::HashMap;
use std::time::Duration;

use cove_base::error::chain;
use cove_model::arn::Tenant;
use cove_model::scan::{ImageScan, ScanState};
use cove_store::{Prefix, Read, StoreError, Tx, keys};
use tokio::task::{Id, JoinSet};

use super::renew::{named, renew};
use super::run::{Made, Unscanned, scan_image};
use super::{kept, layout};
use crate::registry::{Registry, blocking};

/// How often is looked for scans that are to be renewed and for findings that nobody names.
const TICK: Duration = Duration::from_secs(60);
/// The same where scans are renewed more often than that.
const TICK_SHORTEST: Duration = Duration::from_secs(1);
/// What a description may say: records are small.
const DESCRIPTION_MAX_CHARS: usize = 1000;
/// How long a scan waits that the store could not note.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Which scan: its image.
pub(super) type Which = (Tenant, String, String);

pub(super) fn which(scan: &ImageScan) -> Which {
    (scan.tenant.clone(), scan.repository.clone(), scan.digest.clone())
}

/// Runs until the store is closed.
pub async fn scan_for_ever(registry: Registry) {
    let mut changed = registry.store().watch::<ImageScan>();
    let mut running: JoinSet<()> = JoinSet::new();
    let mut under_way: HashMap<Id, Which> = HashMap::new();
    let (data, groups) = (registry.store().data_dir().clone(), registry.config.scan.groups.clone());
    let swept = blocking(move || {
        if let Some(groups) = groups {
            groups.sweep();
        }
        layout::sweep(&data)
    });
    if let Err(error) = swept.await {
        tracing::warn!(%error, "what earlier scans left could not be removed");
    }
    let due = Duration::from_millis(u64::try_from(registry.config.scan.renew_millis).unwrap_or(0));
    let mut tick = tokio::time::interval(due.clamp(TICK_SHORTEST, TICK));
    loop {
        begin(&registry, &mut running, &mut under_way).await;
        tokio::select! {
            woken = changed.changed() => if woken.is_err() { return },
            Some(ended) = running.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                let Some(scan) = under_way.remove(&id) else { continue };
                if ended.is_err() {
                    let broken = Err(Unscanned::Failed("the scan broke off inside the server; its log says more".to_owned()));
                    end(&registry, scan, broken).await;
                }
            }
            _ = tick.tick() => {
                if renew(&registry).await.is_err() { return }
                if under_way.is_empty() { sweep(&registry).await }
            }
        }
    }
}

/// Begins what is open and not under way, the oldest first.
async fn begin(registry: &Registry, running: &mut JoinSet<()>, under_way: &mut HashMap<Id, Which>) {
    let mut open = registry.store().read(|view| view.live::<ImageScan>(&Prefix::all()));
    open.sort_by_key(|scan| scan.requested_at);
    for scan in open {
        if under_way.len() >= registry.config.scan.at_once {
            return;
        }
        let (name, registry) = (which(&scan), registry.clone());
        if under_way.values().any(|known| *known == name) {
            continue;
        }
        let handle = running.spawn(async move {
            let name = which(&scan);
            if let Err(error) = note_begun(&registry, &name).await {
                tracing::warn!(error = chain(&error), "a scan could not be begun");
                return tokio::time::sleep(STORE_PAUSE).await;
            }
            let made = scan_image(&registry, &scan).await;
            end(&registry, name, made).await;
        });
        under_way.insert(handle.id(), name);
    }
}

async fn note_begun(registry: &Registry, name: &Which) -> Result<(), StoreError> {
    let key = keys::image_scan(&name.0, &name.1, &name.2);
    let begin = move |tx: &mut Tx<'_>| {
        if let Some(scan) = tx.get::<ImageScan>(&key)
            && scan.state == ScanState::Pending
        {
            tx.put(ImageScan { state: ScanState::InProgress, ..(*scan).clone() });
        }
        Ok(())
    };
    registry.store().write(begin).await
}

/// Records how it went, unless the image is gone.
async fn end(registry: &Registry, name: Which, made: Made) {
    let key = keys::image_scan(&name.0, &name.1, &name.2);
    let record = move |tx: &mut Tx<'_>| {
        let Some(scan) = tx.get::<ImageScan>(&key) else { return Ok(()) };
        let mut scan = ImageScan { ended_at: Some(tx.now()), ..(*scan).clone() };
        match made {
            Ok(done) => {
                let described = short(&done.described);
                (scan.state, scan.description, scan.result) = (ScanState::Complete, described, Some(done.result));
                for event in done.events {
                    tx.emit(event);
                }
            }
            Err(Unscanned::Failed(why)) => (scan.state, scan.description) = (ScanState::Failed, short(&why)),
            Err(Unscanned::Unsupported(why)) => (scan.state, scan.description) = (ScanState::Unsupported, short(&why)),
            Err(Unscanned::Gone) => return Ok(()),
        }
        tx.put(scan);
        Ok::<_, StoreError>(())
    };
    if let Err(error) = registry.store().write(record).await {
        tracing::warn!(error = chain(&error), "how a scan went could not be recorded; it is made again");
    }
}

fn short(text: &str) -> String {
    text.chars().take(DESCRIPTION_MAX_CHARS).collect()
}

async fn sweep(registry: &Registry) {
    let (data, named) = (registry.store().data_dir().clone(), named(registry));
    if let Err(error) = blocking(move || kept::sweep(&data, &named)).await {
        tracing::warn!(%error, "findings that nobody names could not be removed");
    }
}
