//! Scans that are made again without being asked for.
//!
//! Holds: what is due is decided on published state and once more where it is written, so that a scan that somebody asked
//! for meanwhile is not asked for twice; nothing is written when nothing is due.

use std::collections::HashSet;

use cove_base::Timestamp;
use cove_base::error::chain;
use cove_model::registry::{Image, Repository};
use cove_model::scan::{
    Eligibility, ImageScan, ScanFrequency, ScanSettings, ScanState, ScanTrigger, applied, eligibility, is_scannable,
};
use cove_store::{Prefix, Read, StoreError, Tx, keys};

use super::kept;
use super::work::which;
use crate::registry::{Registry, blocking};

/// Scans that are renewed in one go; the rest comes with the next tick.
const RENEWED_AT_ONCE: usize = 64;

/// Asks for another scan of what is under continuous scanning and was scanned long ago, and of what lost its findings.
pub(super) async fn renew(registry: &Registry) -> Result<(), StoreError> {
    let data = registry.store().data_dir().clone();
    let named = named(registry);
    let lost: HashSet<String> =
        blocking(move || named.into_iter().filter(|digest| !kept::path(&data, digest).exists()).collect()).await;
    let config = &registry.config.scan;
    let rule = Renewal { lost, interval: config.renew_millis, renew_for: config.renew_for_millis };
    // Most often nothing is due: then nothing is written.
    let now = registry.clock.now();
    let due = registry.store().read(|view| {
        let all = view.scan::<ImageScan>(&Prefix::all());
        let due = all.into_iter().filter(|scan| rule.is_due(view, scan, now));
        due.take(RENEWED_AT_ONCE).map(|scan| which(&scan)).collect::<Vec<_>>()
    });
    if due.is_empty() {
        return Ok(());
    }
    let ask = move |tx: &mut Tx<'_>| {
        for (tenant, repository, digest) in due {
            let now = tx.now();
            let scan = tx.get::<ImageScan>(&keys::image_scan(&tenant, &repository, &digest));
            if let Some(scan) = scan.filter(|scan| rule.is_due(tx, scan, now)) {
                let mut again = scan.again(scan.scan_type, ScanTrigger::Schedule, now);
                again.result = again.result.filter(|result| !rule.lost.contains(&result.findings));
                tx.put(again);
            }
        }
        Ok::<_, StoreError>(())
    };
    match registry.store().write(ask).await {
        Err(StoreError::Closed) => Err(StoreError::Closed),
        Err(error) => {
            tracing::warn!(error = chain(&error), "scans could not be renewed; the next round tries again");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Which scans are to be made again without being asked for.
struct Renewal {
    /// Findings whose file is not there, as after a restore.
    lost: HashSet<String>,
    interval: i64,
    renew_for: Option<i64>,
}

impl Renewal {
    fn is_due(&self, read: &impl Read, scan: &ImageScan, now: Timestamp) -> bool {
        if scan.state.is_open() || scan.state == ScanState::Unsupported {
            return false;
        }
        let is_lost = scan.result.as_ref().is_some_and(|result| self.lost.contains(&result.findings));
        let is_old = scan.ended_at.is_none_or(|at| now >= at.plus_millis(self.interval));
        is_lost || (is_old && self.is_continuous(read, scan, now))
    }

    fn is_continuous(&self, read: &impl Read, scan: &ImageScan, now: Timestamp) -> bool {
        let image = read.get::<Image>(&keys::image(&scan.tenant, &scan.repository, &scan.digest));
        let settings = read.get::<ScanSettings>(&keys::scan_settings(&scan.tenant));
        let repository = read.get::<Repository>(&keys::repository(&scan.tenant, &scan.repository));
        let (Some(image), Some(repository)) = (image, repository) else { return false };
        let applied = applied(settings.as_deref(), &repository);
        is_scannable(&image)
            && applied.frequency == ScanFrequency::ContinuousScan
            && eligibility(&image, &applied, self.renew_for, now) == Eligibility::Eligible
    }
}

pub(super) fn named(registry: &Registry) -> HashSet<String> {
    let scans = registry.store().read(|view| view.scan::<ImageScan>(&Prefix::all()));
    scans.iter().filter_map(|scan| Some(scan.result.as_ref()?.findings.clone())).collect()
}
