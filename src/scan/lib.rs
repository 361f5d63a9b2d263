//! The built-in scanner.
//!
//! In: the layers of an image and a database of advisories that was imported from OSV records; or the report of another
//! scanner. Out: the packages of the image, findings about them, and inventories (SPDX, CycloneDX).
//!
//! ```text
//! layers ─▶ image (whiteouts, wanted files) ─▶ Inventory ─▶ matching ─▶ Report
//!                                                  │            ▲          ▲
//!                                                  ▼            │          │
//!                                                sbom     database ◀─ osv  report (Trivy, Grype, SARIF, CycloneDX, Harbor)
//! ```
//!
//! Holds: no network, no clock, no store; the same input gives the same bytes. Every file of an image, every record and
//! every report is hostile: sizes are bounded by named constants, and what cannot be read is a [`Problem`] that the report
//! carries, never silence.

mod cvss;
mod database;
mod files;
mod finding;
#[cfg(test)]
mod fuzz;
mod image;
mod matching;
mod osv;
mod package;
mod report;
mod sbom;
mod severity;
#[cfg(test)]
mod shared;
mod version;

pub use database::{Database, DatabaseError, DatabaseInfo, EcosystemInfo, Imported, import};
pub use finding::{Cvss, Finding, FindingKind, Report, Scanner};
pub use image::{ImageReader, LayerError};
pub use matching::{ecosystems, scan};
pub use package::{Distribution, Inventory, Manager, Package, Problem, SourcePackage};
pub use report::{REPORT_MAX_BYTES, ReportError, read_report};
pub use sbom::{Document, cyclonedx, spdx};
pub use severity::{Score, Severity};
pub use version::VersionOrder;

#[cfg(test)]
use shared::shared_data;
