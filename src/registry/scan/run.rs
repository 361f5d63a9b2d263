//! One scan: every hook, or the built-in scanner.

use std::sync::Arc;

use cove_base::Timestamp;
use cove_base::error::chain;
use cove_model::event::NewEvent;
use cove_model::scan::{ImageScan, ScanResult, ScanType, UNSUPPORTED};

use super::config::{Gives, Hook, HookKind, SbomFormat};
use super::layout::Workplace;
use super::opened::Opened;
use super::{builtin, command, inspector, kept, report};
use crate::registry::{Registry, blocking};

/// Why an image was not scanned.
pub(super) enum Unscanned {
    Failed(String),
    Unsupported(String),
    /// The image was removed meanwhile.
    Gone,
}

/// What came of a scan, what is to be said about it, and to whom.
pub(super) struct Completed {
    pub(super) result: ScanResult,
    pub(super) described: String,
    pub(super) events: Vec<NewEvent>,
}

pub(super) type Made = Result<Completed, Unscanned>;

/// Runs every hook; all must succeed.
pub(super) async fn scan_image(registry: &Registry, scan: &ImageScan) -> Made {
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
    let completed_at = registry.clock.now();
    let events = match scan.scan_type {
        ScanType::Basic => Vec::new(),
        ScanType::Enhanced => {
            let tags = registry.tags_of(&scan.tenant, &scan.repository, &scan.digest);
            let before = match &scan.result {
                Some(result) => registry.findings(&result.findings).await.map(Some),
                None => Ok(None),
            };
            match before {
                Ok(before) => inspector::events(&opened.image, &tags, before.as_ref(), &found, completed_at),
                Err(error) => {
                    // All would be told as new, and none as closed.
                    tracing::error!(digest = %scan.digest, %error, "findings cannot be read: what has changed is not told");
                    Vec::new()
                }
            }
        }
    };
    let (counts, scanner) = (report::counts(&found), found.scanner.name.clone());
    let written = blocking(move || kept::write(&data, &found)).await;
    let findings = written.map_err(|error| Unscanned::Failed(format!("the findings could not be kept: {error}")))?;
    let result = ScanResult { completed_at, source_updated_at, findings, counts, scanner };
    Ok(Completed { result, described, events })
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
            let groups = registry.config.scan.groups.clone();
            blocking(move || {
                let place = Workplace::make(&data, &opened);
                let place = place.map_err(|error| format!("the image could not be laid out for it: {error}"))?;
                command::run(&hook, &command, &place, groups.as_deref())
            })
            .await
        }
        HookKind::Webhook(webhook) => registry.call_scanner(hook, webhook, &opened).await,
    }
}
