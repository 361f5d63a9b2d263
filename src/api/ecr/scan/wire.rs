//! Replies about scans, exactly as clients see them.

use std::collections::BTreeMap;

use cove_model::scan::{Applied, Eligibility, ImageScan, ScanFrequency, ScanState, ScanType};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize)]
pub(crate) struct StatusWire {
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

/// What DescribeImages shows of an image's scan.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ScanSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    image_scan_status: Option<StatusWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_scan_findings_summary: Option<Counted>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counted {
    image_scan_completed_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vulnerability_source_updated_at: Option<f64>,
    finding_severity_counts: BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterWire {
    pub(super) filter: String,
    pub(super) filter_type: String,
}

pub(super) fn filter(filter: &str) -> FilterWire {
    FilterWire { filter: filter.to_owned(), filter_type: "WILDCARD".to_owned() }
}

/// The status in ECR's words. `applied` is what the registry's owner wants for the repository now.
pub(super) fn status(scan: &ImageScan, applied: &Applied, eligibility: Eligibility) -> StatusWire {
    let ended = |status, description: &str| StatusWire { status, description: description.to_owned() };
    match eligibility {
        Eligibility::Eligible => {}
        Eligibility::Archived => return ended("IMAGE_ARCHIVED", "The image is archived and cannot be scanned."),
        Eligibility::Expired => {
            let why = "The configured scan duration has lapsed for this image.";
            return ended("SCAN_ELIGIBILITY_EXPIRED", why);
        }
    }
    let is_continuous = applied.frequency == ScanFrequency::ContinuousScan;
    let said = |status, otherwise: &str| {
        let description = if scan.description.is_empty() { otherwise } else { &scan.description };
        StatusWire { status, description: description.to_owned() }
    };
    match (scan.state, scan.scan_type) {
        // A scan that is renewed keeps what it found until the next one ends.
        (ScanState::Pending | ScanState::InProgress, ScanType::Enhanced) if is_continuous && scan.result.is_some() => {
            said("ACTIVE", CONTINUOUS)
        }
        (ScanState::Pending, ScanType::Enhanced) => said("PENDING", "The initial scan is pending."),
        (ScanState::Pending | ScanState::InProgress, _) => said("IN_PROGRESS", ""),
        (ScanState::Complete, ScanType::Enhanced) if is_continuous => said("ACTIVE", CONTINUOUS),
        (ScanState::Complete, _) => said("COMPLETE", "The scan was completed successfully."),
        (ScanState::Failed, _) => said("FAILED", ""),
        (ScanState::Unsupported, _) => said("UNSUPPORTED_IMAGE", ""),
    }
}

/// Of a scan whose findings went, as they do with a restore.
pub(super) fn unavailable() -> StatusWire {
    let description = "The findings are not available; the image is scanned again.".to_owned();
    StatusWire { status: "FINDINGS_UNAVAILABLE", description }
}

const CONTINUOUS: &str = "Continuous scan is selected for image.";

/// When the scan completed and how many findings there are; nothing unless they are the answer to the last question.
pub(super) fn counted(scan: &ImageScan, applied: &Applied, eligibility: Eligibility) -> Option<Counted> {
    if eligibility != Eligibility::Eligible {
        return None;
    }
    let is_renewed = scan.state.is_open() && status(scan, applied, eligibility).status == "ACTIVE";
    let result = if is_renewed { scan.result.as_ref()? } else { scan.current_result()? };
    Some(Counted {
        image_scan_completed_at: result.completed_at.epoch_seconds(),
        vulnerability_source_updated_at: result.source_updated_at.map(cove_base::Timestamp::epoch_seconds),
        finding_severity_counts: result.counts.clone(),
    })
}

/// Both for DescribeImages.
pub(crate) fn summary(scan: Option<&ImageScan>, applied: &Applied, eligibility: Eligibility) -> ScanSummary {
    let Some(scan) = scan else { return ScanSummary::default() };
    ScanSummary {
        image_scan_status: Some(status(scan, applied, eligibility)),
        image_scan_findings_summary: counted(scan, applied, eligibility),
    }
}
