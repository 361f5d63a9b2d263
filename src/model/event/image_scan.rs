//! The event of a basic scan that ended, as ECR documents it. Enhanced ones are [`super::inspector`]'s.

use serde_json::json;

use super::{DEFAULT_BUS, NewEvent};
use crate::scan::{ImageScan, ScanState};
use cove_base::Timestamp;

/// A scan came to its end.
#[must_use]
pub fn ended(scan: &ImageScan, tags: &[String], at: Timestamp) -> NewEvent {
    let status = if scan.state == ScanState::Complete { "COMPLETE" } else { "FAILED" };
    let mut detail = json!({
        "scan-status": status,
        "repository-name": scan.repository,
        "image-digest": scan.digest,
        "image-tags": tags,
    });
    if let Some(result) = scan.current_result() {
        detail["finding-severity-counts"] = json!(result.counts);
    }
    NewEvent {
        tenant: scan.tenant.clone(),
        id: None,
        bus: DEFAULT_BUS.to_owned(),
        source: "aws.ecr".to_owned(),
        detail_type: "ECR Image Scan".to_owned(),
        at,
        resources: vec![scan.tenant.arn("ecr", format_args!("repository/{}", scan.repository))],
        detail: detail.to_string(),
        is_routed: false,
    }
}
