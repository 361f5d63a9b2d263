//! Makes the scans that are wanted, over and over.
//!
//! Woken by a change of a scan, a scan that ended or a timer, it takes no hint what changed, reads all open scans, and
//! begins as many as may run at once. A scan that is in progress but not among its own was begun by a server that died:
//! it is begun again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cove_base::Timestamp;
use cove_base::error::chain;
use cove_model::registry::{Image, Repository};
use cove_model::scan::{
    ImageScan, ScanFrequency, ScanResult, ScanSettings, ScanState, ScanTrigger, UNSUPPORTED, applied, is_scannable,
};
use cove_store::{Prefix, Read, StoreError, Tx, keys};
use tokio::task::{Id, JoinSet};

use super::config::{Gives, Hook, HookKind, SbomFormat};
use super::layout::{self, Workplace};
use super::opened::Opened;
use super::{builtin, command, kept, report};
use crate::registry::{Registry, blocking};

/// How often is looked for scans that are to be renewed and for findings that nobody names.
const TICK: Duration = Duration::from_secs(60);
/// The same where scans are renewed more often than that.
const TICK_SHORTEST: Duration = Duration::from_secs(1);
/// What a description may say: records are small.
const DESCRIPTION_MAX_CHARS: usize = 1000;
/// How long a scan waits that the store could not note.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Scans that are renewed in one go; the rest comes with the next tick.
const RENEWED_AT_ONCE: usize = 64;

/// Why an image was not scanned.
pub(super) enum Unscanned {
    Failed(String),
    Unsupported(String),
    /// The image was removed meanwhile.
    Gone,
}

/// Which scan: its image.
type Which = (cove_model::arn::Tenant, String, String);

fn which(scan: &ImageScan) -> Which {
    (scan.tenant.clone(), scan.repository.clone(), scan.digest.clone())
}

/// Runs until the store is closed.
pub async fn scan_for_ever(registry: Registry) {
    let mut changed = registry.store().watch::<ImageScan>();
    let mut running: JoinSet<()> = JoinSet::new();
    let mut under_way: HashMap<Id, Which> = HashMap::new();
    let data = registry.store().data_dir().clone();
    if let Err(error) = blocking(move || layout::sweep(&data)).await {
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

/// What came of a scan, and what is to be said about it.
type Made = Result<(ScanResult, String), Unscanned>;

/// Runs every hook; all must succeed.
async fn scan_image(registry: &Registry, scan: &ImageScan) -> Made {
    let data = registry.store().data_dir().clone();
    let hooks = registry.config.scan.hooks.clone();
    let by_hooks = hooks.iter().any(|hook| matches!(hook.gives, Gives::Findings(_)));
    if !by_hooks && !builtin::database(&data).exists() {
        return Err(Unscanned::Failed(NO_SCANNER.to_owned()));
    }
    let opened = Arc::new(registry.open_image(&scan.tenant, &scan.repository, &scan.digest).await?);
    let (mut reports, mut source_updated_at) = (Vec::new(), None);
    for hook in &hooks {
        let failed = |why: String| Unscanned::Failed(format!("scanner {}: {why}", hook.name));
        let said = run_hook(registry, hook, Arc::clone(&opened)).await.map_err(failed)?;
        match hook.gives {
            Gives::Findings(format) => reports.push(report::findings(format, &said, &opened).map_err(failed)?),
            Gives::Sbom(format) => {
                report::sbom(format, &said, &opened).map_err(failed)?;
                let attached = registry.attach_sbom(&opened, &hook.name, format, said).await;
                attached.map_err(|error| failed(chain(&error)))?;
            }
        }
    }
    if !by_hooks {
        let (report, updated_at) = look_up(registry, &opened).await?;
        reports.push(report);
        source_updated_at = updated_at;
    }
    let found = report::joined(reports);
    let described = problems(&found);
    if found.findings.is_empty() && !found.problems.is_empty() {
        return Err(Unscanned::Failed(described));
    }
    let (counts, scanner) = (report::counts(&found), found.scanner.name.clone());
    let written = blocking(move || kept::write(&data, &found)).await;
    let findings = written.map_err(|error| Unscanned::Failed(format!("the findings could not be kept: {error}")))?;
    let completed_at = registry.clock.now();
    Ok((ScanResult { completed_at, source_updated_at, findings, counts, scanner }, described))
}

/// Says that and how a scan could be made.
const NO_SCANNER: &str = "no scanner is configured that looks for findings: add a [[scan.hook]] to the config, or import \
                          advisories with `cove scan import`";

/// What could not be looked at; empty when nothing was left out.
fn problems(report: &cove_scan::Report) -> String {
    let Some(first) = report.problems.first() else { return String::new() };
    let place = if first.path.is_empty() { String::new() } else { format!("{}: ", first.path) };
    let more = match report.problems.len() - 1 {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    format!("Not everything could be scanned: {place}{}{more}", first.text)
}

/// The built-in scanner's report. Its inventory becomes a referrer.
async fn look_up(
    registry: &Registry,
    opened: &Arc<Opened>,
) -> Result<(cove_scan::Report, Option<Timestamp>), Unscanned> {
    let failed = |why: String| Unscanned::Failed(format!("scanner {}: {why}", builtin::NAME));
    let (data, image, now) = (registry.store().data_dir().clone(), Arc::clone(opened), registry.clock.now());
    let looked = blocking(move || {
        let inventory = builtin::inventory(&image)?;
        // Nothing was recognised: that says nothing about what is there.
        if inventory.packages.is_empty() && inventory.problems.is_empty() {
            return Ok(None);
        }
        let sbom = builtin::document(&image, &inventory, SbomFormat::CycloneDx, now).unwrap_or_default();
        let (report, updated_at) = builtin::report(&data, &inventory)?;
        Ok(Some((report, updated_at, sbom)))
    });
    let Some((report, updated_at, sbom)) = looked.await.map_err(failed)? else {
        return Err(Unscanned::Unsupported(UNSUPPORTED.to_owned()));
    };
    let attached = registry.attach_sbom(opened, builtin::NAME, SbomFormat::CycloneDx, sbom).await;
    attached.map_err(|error| failed(chain(&error)))?;
    Ok((report, updated_at))
}

/// What one hook says.
async fn run_hook(registry: &Registry, hook: &Hook, opened: Arc<Opened>) -> Result<Vec<u8>, String> {
    match &hook.kind {
        HookKind::Command(command) => {
            let (data, hook, command) = (registry.store().data_dir().clone(), hook.clone(), command.clone());
            blocking(move || {
                let place = Workplace::make(&data, &opened);
                let place = place.map_err(|error| format!("the image could not be laid out for it: {error}"))?;
                command::run(&hook, &command, &place)
            })
            .await
        }
        HookKind::Webhook(webhook) => registry.call_scanner(hook, webhook, &opened).await,
    }
}

/// Records how it went, unless the image is gone.
async fn end(registry: &Registry, name: Which, made: Made) {
    let key = keys::image_scan(&name.0, &name.1, &name.2);
    let record = move |tx: &mut Tx<'_>| {
        let Some(scan) = tx.get::<ImageScan>(&key) else { return Ok(()) };
        let mut scan = ImageScan { ended_at: Some(tx.now()), ..(*scan).clone() };
        match made {
            Ok((result, said)) => {
                (scan.state, scan.description, scan.result) = (ScanState::Complete, short(&said), Some(result));
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

/// Asks for another scan of what is under continuous scanning and was scanned long ago, and of what lost its findings.
async fn renew(registry: &Registry) -> Result<(), StoreError> {
    let data = registry.store().data_dir().clone();
    let named = named(registry);
    let lost: HashSet<String> =
        blocking(move || named.into_iter().filter(|digest| !kept::path(&data, digest).exists()).collect()).await;
    let interval = registry.config.scan.renew_millis;
    let ask = move |tx: &mut Tx<'_>| {
        let (now, mut left) = (tx.now(), RENEWED_AT_ONCE);
        for scan in tx.scan::<ImageScan>(&Prefix::all()) {
            if left == 0 || scan.state.is_open() || scan.state == ScanState::Unsupported {
                continue;
            }
            let is_lost = scan.result.as_ref().is_some_and(|result| lost.contains(&result.findings));
            let is_old = scan.ended_at.is_none_or(|at| now >= at.plus_millis(interval));
            if is_lost || (is_old && is_continuous(tx, &scan)) {
                let mut again = scan.again(scan.scan_type, ScanTrigger::Schedule, now);
                again.result = again.result.filter(|_| !is_lost);
                tx.put(again);
                left -= 1;
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

fn is_continuous(tx: &Tx<'_>, scan: &ImageScan) -> bool {
    let image = tx.get::<Image>(&keys::image(&scan.tenant, &scan.repository, &scan.digest));
    let settings = tx.get::<ScanSettings>(&keys::scan_settings(&scan.tenant));
    let repository = tx.get::<Repository>(&keys::repository(&scan.tenant, &scan.repository));
    let (Some(image), Some(repository)) = (image, repository) else { return false };
    is_scannable(&image) && applied(settings.as_deref(), &repository).frequency == ScanFrequency::ContinuousScan
}

fn named(registry: &Registry) -> HashSet<String> {
    let scans = registry.store().read(|view| view.scan::<ImageScan>(&Prefix::all()));
    scans.iter().filter_map(|scan| Some(scan.result.as_ref()?.findings.clone())).collect()
}

async fn sweep(registry: &Registry) {
    let (data, named) = (registry.store().data_dir().clone(), named(registry));
    if let Err(error) = blocking(move || kept::sweep(&data, &named)).await {
        tracing::warn!(%error, "findings that nobody names could not be removed");
    }
}
