//! What the operator decides about scans.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cove_base::Timestamp;
use cove_model::arn::Tenant;

/// ECR takes one request a day for each image.
const ASK_AGAIN_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// How often images under continuous scanning are scanned: as often as advisories come in bulk.
const RENEW_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The scanners and their limits.
#[derive(Debug, Clone)]
pub struct ScanConfig {
    /// All are run for each image; their findings are joined.
    pub hooks: Vec<Hook>,
    /// Scans that run at once.
    pub at_once: usize,
    /// How long after a scan another one may be asked for.
    pub ask_again_millis: i64,
    /// How old the last scan of an image under continuous scanning may become.
    pub renew_millis: i64,
    /// How long after its push or last pull an image is scanned over and over; `None` is for ever.
    pub renew_for_millis: Option<i64>,
    /// What servers of scanners pull with.
    pub login: Option<PullLogin>,
    /// Where commands run, where the kernel can hold them together.
    pub groups: Option<Arc<dyn CommandGroups>>,
}

/// Makes the control groups in which commands run: who knows the kernel gives it.
pub trait CommandGroups: fmt::Debug + Send + Sync {
    /// A group for one run, its processes together limited to that much memory.
    ///
    /// # Errors
    /// When the kernel does not make it.
    fn make(&self, id: &str, memory_bytes: u64) -> io::Result<Box<dyn CommandGroup>>;

    /// Removes what earlier runs left.
    fn sweep(&self);
}

/// The group of one run.
pub trait CommandGroup {
    /// What a process writes itself into to be in it.
    fn procs_files(&self) -> Vec<PathBuf>;

    /// Whether somebody in it was killed for want of memory.
    fn lacked_memory(&self) -> bool;

    /// Ends whoever is in it, and removes it.
    fn remove(&self);
}

/// Makes logins that read one repository and end at a time: a whole `Authorization` header.
#[derive(Clone)]
pub struct PullLogin(Arc<MakeLogin>);

/// Of a tenant and one of its repositories, until a time.
type MakeLogin = dyn Fn(&Tenant, &str, Timestamp) -> String + Send + Sync;

impl PullLogin {
    /// Wraps what makes them.
    pub fn new(make: impl Fn(&Tenant, &str, Timestamp) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(super) fn of(&self, tenant: &Tenant, repository: &str, ends: Timestamp) -> String {
        (self.0)(tenant, repository, ends)
    }
}

impl fmt::Debug for PullLogin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PullLogin")
    }
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            hooks: Vec::new(),
            at_once: 1,
            ask_again_millis: ASK_AGAIN_MILLIS,
            renew_millis: RENEW_MILLIS,
            renew_for_millis: None,
            login: None,
            groups: None,
        }
    }
}

/// One scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub name: String,
    pub kind: HookKind,
    pub gives: Gives,
    /// From the start to the last byte of the report.
    pub time_limit: Duration,
    /// Longer reports end the scan.
    pub output_max_bytes: usize,
}

/// How a scanner is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookKind {
    Command(CommandHook),
    Webhook(WebhookHook),
}

/// A server that speaks Harbor's scanner API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHook {
    /// Up to the path before `/metadata`.
    pub url: String,
    /// The `Authorization` header that it wants.
    pub authorization: Option<String>,
    /// Where it finds our registry.
    pub registry_url: String,
}

/// A program of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandHook {
    /// The program and its arguments; `{image}` stands for the image's OCI layout.
    pub words: Vec<String>,
    /// Of all its processes together; of each where there are no control groups.
    pub memory_bytes: u64,
    /// Our own program, which builds the cage.
    pub cage: PathBuf,
}

/// What comes out of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    Findings(ReportFormat),
    /// An inventory, which is attached to the image as a referrer. It says nothing about flaws.
    Sbom(SbomFormat),
}

/// Forms of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    Trivy,
    Grype,
    Sarif,
    /// With vulnerabilities: an inventory alone is no report.
    CycloneDx,
    Harbor,
    /// Our own: a JSON `Report` as [`cove_scan`] has it.
    Cove,
}

impl ReportFormat {
    /// All, by the name that the config has.
    pub const ALL: &[(&str, Self)] = &[
        ("trivy", Self::Trivy),
        ("grype", Self::Grype),
        ("sarif", Self::Sarif),
        ("cyclonedx", Self::CycloneDx),
        ("harbor", Self::Harbor),
        ("cove", Self::Cove),
    ];

    /// A member that every report of this form has at its top.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Trivy => "SchemaVersion",
            Self::Grype => "matches",
            Self::Sarif => "runs",
            Self::CycloneDx => "bomFormat",
            Self::Harbor => "vulnerabilities",
            Self::Cove => "findings",
        }
    }
}

/// Forms of inventories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SbomFormat {
    CycloneDx,
    Spdx,
    Syft,
}

impl SbomFormat {
    /// All, by the name that the config has.
    pub const ALL: &[(&str, Self)] = &[("cyclonedx", Self::CycloneDx), ("spdx", Self::Spdx), ("syft", Self::Syft)];

    /// The artifact type of the referrer.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::CycloneDx => "application/vnd.cyclonedx+json",
            Self::Spdx => "application/spdx+json",
            Self::Syft => "application/vnd.syft+json",
        }
    }

    /// A member that every document of this form has at its top.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::CycloneDx => "bomFormat",
            Self::Spdx => "spdxVersion",
            Self::Syft => "artifacts",
        }
    }
}
