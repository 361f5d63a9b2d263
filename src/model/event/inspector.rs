//! The events of Amazon Inspector about images under enhanced scanning, as AWS documents them.

use cove_base::Timestamp;
use serde_json::{Value, json};

use super::{DEFAULT_BUS, NewEvent};
use crate::arn::Tenant;
use crate::scan::{ImageScan, ScanResult};

/// The first scan of an image came to its end. AWS counts three severities by name, and all.
#[must_use]
pub fn initial_scan(scan: &ImageScan, result: &ScanResult, tags: &[String], at: Timestamp) -> NewEvent {
    let repository = scan.tenant.arn("ecr", format_args!("repository/{}", scan.repository));
    let count = |severity: &str| result.counts.get(severity).copied().unwrap_or(0);
    let detail = json!({
        "scan-status": "INITIAL_SCAN_COMPLETE",
        "repository-name": repository,
        "finding-severity-counts": {
            "CRITICAL": count("CRITICAL"),
            "HIGH": count("HIGH"),
            "MEDIUM": count("MEDIUM"),
            "TOTAL": result.counts.values().sum::<u32>(),
        },
        "image-digest": scan.digest,
        "image-tags": tags,
        "version": "1.0",
    });
    event(&scan.tenant, "Inspector2 Scan", repository, &detail, at)
}

/// A finding came, or went. `image`: the ARN of where it is.
#[must_use]
pub fn finding(tenant: &Tenant, image: String, detail: &Value, at: Timestamp) -> NewEvent {
    event(tenant, "Inspector2 Finding", image, detail, at)
}

fn event(tenant: &Tenant, detail_type: &str, resource: String, detail: &Value, at: Timestamp) -> NewEvent {
    NewEvent {
        tenant: tenant.clone(),
        id: None,
        bus: DEFAULT_BUS.to_owned(),
        source: "aws.inspector2".to_owned(),
        detail_type: detail_type.to_owned(),
        at,
        resources: vec![resource],
        detail: detail.to_string(),
        is_routed: false,
    }
}
