//! The registry: blobs as files by digest, small store records around them, and the client that pulls from other
//! registries. `/v2/` and ECR are two doors to it; the agent asks it for images to run.
//!
//! Holds: nothing is acknowledged before it is durable; a blob is visible in a repository only through its membership
//! record; a manifest's bytes are kept and returned exactly as pushed.
//!
//! Why files and not store records: layers are gigabytes, and the kernel serves files best. See facts in `DESIGN.md`.

pub mod access;
mod admission;
pub mod archive;
mod arrival;
pub mod blobs;
pub mod build;
mod collect;
mod copy;
pub mod digest;
mod disk;
mod error;
mod expectation;
pub mod image_config;
mod images;
mod layers;
pub mod lifecycle;
mod links;
pub mod manifest;
pub mod pull;
mod pull_through;
mod quota;
mod referrers;
mod registry;
mod replicate;
mod repositories;
mod resolve;
mod room;
pub mod scan;
mod scrub;
mod storage;
mod tags;
mod templates;
mod uploads;
mod writer;

pub use admission::{AdmissionRule, BadKey, Refused, Signer};
pub use arrival::{Arrival, ArrivingLayer};
pub use collect::Collected;
pub use copy::Platforms;
pub use digest::{Algorithm, Digest};
pub use error::{ManifestFault, RegistryError};
pub use expectation::Expectation;
pub use image_config::ImageConfig;
pub use images::{ManifestPut, Pushed, StoredManifest, UnlinkChecks};
pub use lifecycle::Previewed;
pub use links::BlobFile;
pub use pull::{Credentials, PullError};
pub use quota::Quotas;
pub use referrers::ReferrersPage;
pub use registry::{COLLECT_GRACE_MILLIS, PULLED_KEEP_MILLIS, Registry, RegistryConfig, UPLOAD_EXPIRY_MILLIS};
pub use resolve::{LayerBlob, LocalImage, Progress, PullProgress};
pub use scrub::{Damaged, ScrubPass, ScrubState};
pub use storage::StorageClass;
pub use tags::{Page, TAGS_PAGE, TAGS_PAGE_MAX, TaggedImage};
pub use uploads::ContentRange;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;
