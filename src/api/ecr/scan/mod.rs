//! Scanning as ECR's clients see it: what is scanned when ([`setting`]), and scans with what they came to ([`image`]).
//!
//! Holds: only a scan that completed has findings to show. One that failed says why, and an image that nobody scanned is
//! refused with `ScanNotFoundException`: neither looks like an image without findings.

mod finding;
pub(super) mod image;
pub(super) mod setting;
pub(super) mod wire;
