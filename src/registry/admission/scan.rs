//! Which images may run, by what scans found in them.
//!
//! Holds: what the last completed scan found counts, also while it is renewed or after a later one failed: trouble that was
//! seen does not go away because nobody can look.

use cove_model::scan::ImageScan;
use cove_scan::Severity;

/// What a rule refuses to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// Findings of this severity or a worse one.
    pub severity: Option<Severity>,
    /// No completed scan. Images of other registries have none.
    pub unscanned: bool,
}

/// Why an image with this scan may not run; nothing when it may.
pub(super) fn refused(wanted: Refused, scan: Option<&ImageScan>) -> Option<String> {
    let result = scan.and_then(|scan| scan.result.as_ref());
    if let (Some(least), Some(result)) = (wanted.severity, result) {
        let worse = Severity::ALL.iter().filter(|severity| **severity >= least);
        let count: u32 = worse.filter_map(|severity| result.counts.get(severity.name())).sum();
        if count > 0 {
            return Some(format!("its scan has {count} findings of severity {} or above", least.name()));
        }
    }
    let is_scanned = scan.is_some_and(|scan| scan.current_result().is_some());
    (wanted.unscanned && !is_scanned).then(|| "it has no completed scan".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cove_base::Timestamp;
    use cove_model::arn::Tenant;
    use cove_model::scan::{ScanResult, ScanState, ScanTrigger, ScanType};

    fn scan(state: ScanState, found: &[(&str, u32)]) -> ImageScan {
        let counts = found.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let result = ScanResult {
            completed_at: Timestamp(0),
            source_updated_at: None,
            findings: String::new(),
            counts,
            scanner: String::new(),
        };
        ImageScan {
            tenant: Tenant::new("000000000000", "us-east-1"),
            repository: String::new(),
            digest: String::new(),
            scan_type: ScanType::Basic,
            trigger: ScanTrigger::Push,
            state,
            description: String::new(),
            requested_at: Timestamp(0),
            ended_at: None,
            result: Some(result),
        }
    }

    #[test]
    fn trouble_that_was_seen_counts_until_a_scan_says_otherwise() {
        let high = Refused { severity: Some(Severity::High), unscanned: false };
        let no = |wanted, scan: &ImageScan| refused(wanted, Some(scan)).is_some();
        assert!(no(high, &scan(ScanState::Complete, &[("CRITICAL", 1)])));
        assert!(no(high, &scan(ScanState::Failed, &[("HIGH", 1)])));
        assert!(!no(high, &scan(ScanState::Complete, &[("MEDIUM", 9)])));
        assert_eq!(refused(high, None), None);
        let scanned = Refused { severity: None, unscanned: true };
        assert!(refused(scanned, None).is_some() && no(scanned, &scan(ScanState::Failed, &[])));
        assert!(!no(scanned, &scan(ScanState::Complete, &[("CRITICAL", 1)])));
    }
}
