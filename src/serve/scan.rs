//! The `[scan]` table of the config file: scanners and their limits.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cove_api::oci::pull_authorization;
use cove_registry::scan::{
    CommandGroup, CommandGroups, CommandHook, Gives, Hook, HookKind, PullLogin, ReportFormat, SbomFormat, ScanConfig,
    WebhookHook,
};
use cove_runtime::cgroup::{Group, NodeCgroups};
use cove_runtime::spec::TaskLimits;
use serde::Deserialize;

use super::config::ConfigError;

/// Scanners of large images take minutes.
const TIME_LIMIT_SECS: u64 = 600;
/// What Trivy and Syft take for images of a few gigabytes.
const MEMORY_LIMIT_MIB: u64 = 2048;
/// The report of a large image is a few megabytes.
const OUTPUT_MAX_MIB: u64 = 64;
/// Threads and processes of one scanner: far more than any has, far less than a host.
const PIDS_MAX: i64 = 4096;
/// A scan is memory and processor of the host that the tasks want, too.
const AT_ONCE: usize = 1;
/// Beyond that a host does nothing else.
const AT_ONCE_MAX: usize = 8;

/// The table as it was read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScanWish {
    at_once: Option<usize>,
    ask_again_secs: Option<u64>,
    renew_secs: Option<u64>,
    renew_for_days: Option<u64>,
    /// Where these stood before they became conditions of a rule of admission.
    refuse_severity: Option<String>,
    refuse_unscanned: Option<bool>,
    hook: Vec<HookWish>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct HookWish {
    name: String,
    command: Option<Vec<String>>,
    url: Option<String>,
    authorization: Option<String>,
    registry_url: Option<String>,
    report: Option<String>,
    sbom: Option<String>,
    time_limit_secs: Option<f64>,
    memory_limit_mib: Option<u64>,
    output_max_mib: Option<u64>,
}

/// Checks the table.
pub(super) fn config(wish: &ScanWish) -> Result<ScanConfig, ConfigError> {
    let usual = ScanConfig::default();
    let at_once = wish.at_once.unwrap_or(AT_ONCE);
    if !(1..=AT_ONCE_MAX).contains(&at_once) {
        return Err(refused("at_once", &at_once.to_string(), "not between 1 and 8"));
    }
    let millis = |secs: Option<u64>, usual: i64| {
        secs.map_or(usual, |secs| i64::try_from(secs.saturating_mul(1000)).unwrap_or(i64::MAX))
    };
    let mut hooks: Vec<Hook> = Vec::with_capacity(wish.hook.len());
    for one in &wish.hook {
        if hooks.iter().any(|known| known.name == one.name) {
            return Err(refused("hook", &one.name, "another one has this name"));
        }
        hooks.push(hook(one)?);
    }
    let unscanned = wish.refuse_unscanned.map(|wanted| wanted.to_string());
    let moved = [("scan.refuse_severity", &wish.refuse_severity), ("scan.refuse_unscanned", &unscanned)];
    if let Some((key, Some(value))) = moved.into_iter().find(|(_, value)| value.is_some()) {
        return Err(refused(key, value, "say it in a rule: [[admission]] with images = \"*\" and this key"));
    }
    Ok(ScanConfig {
        login: None,
        groups: None,
        hooks,
        at_once,
        ask_again_millis: millis(wish.ask_again_secs, usual.ask_again_millis),
        renew_millis: millis(wish.renew_secs, usual.renew_millis),
        renew_for_millis: wish.renew_for_days.map(|days| millis(Some(days.saturating_mul(24 * 60 * 60)), 0)),
    })
}

fn hook(wish: &HookWish) -> Result<Hook, ConfigError> {
    let bad = |why: &str| refused("hook", &wish.name, why);
    let gives = match (&wish.report, &wish.sbom) {
        (Some(format), None) => {
            Gives::Findings(named(ReportFormat::ALL, format).ok_or_else(|| bad("`report` is no form of reports"))?)
        }
        (None, Some(format)) => {
            Gives::Sbom(named(SbomFormat::ALL, format).ok_or_else(|| bad("`sbom` is no form of inventories"))?)
        }
        (Some(_), Some(_)) | (None, None) => return Err(bad("give one of `report` and `sbom`")),
    };
    let limit = wish.time_limit_secs.map_or(Ok(Duration::from_secs(TIME_LIMIT_SECS)), Duration::try_from_secs_f64);
    let time_limit = limit.ok().filter(|limit| !limit.is_zero()).ok_or_else(|| bad("`time_limit_secs` is no time"))?;
    let bytes =
        |mib: u64| mib.checked_mul(1 << 20).filter(|bytes| *bytes > 0).ok_or_else(|| bad("a limit is no size in MiB"));
    let output = usize::try_from(bytes(wish.output_max_mib.unwrap_or(OUTPUT_MAX_MIB))?);
    let kind = match (&wish.command, &wish.url) {
        (Some(words), None) => HookKind::Command(CommandHook {
            words: checked(words).map_err(bad)?,
            memory_bytes: bytes(wish.memory_limit_mib.unwrap_or(MEMORY_LIMIT_MIB))?,
            cage: std::env::current_exe().map_err(|error| bad(&format!("cannot find our own program: {error}")))?,
        }),
        (None, Some(url)) => {
            if !matches!(gives, Gives::Findings(ReportFormat::Harbor)) {
                return Err(bad("a scanner with a `url` gives `report = \"harbor\"`"));
            }
            HookKind::Webhook(WebhookHook {
                url: url.clone(),
                authorization: wish.authorization.clone(),
                registry_url: wish.registry_url.clone().unwrap_or_default(),
            })
        }
        (Some(_), Some(_)) | (None, None) => return Err(bad("give one of `command` and `url`")),
    };
    let is_web = wish.url.is_some();
    if (is_web && wish.memory_limit_mib.is_some())
        || (!is_web && (wish.authorization.is_some() || wish.registry_url.is_some()))
    {
        return Err(bad("`memory_limit_mib` is for a `command`; `authorization` and `registry_url` are for a `url`"));
    }
    Ok(Hook {
        name: wish.name.clone(),
        kind,
        gives,
        time_limit,
        output_max_bytes: output.map_err(|_| bad("`output_max_mib` is too large"))?,
    })
}

fn checked(words: &[String]) -> Result<Vec<String>, &'static str> {
    if words.first().is_none_or(|program| !program.starts_with('/')) {
        return Err("`command` must begin with the absolute path of a program");
    }
    if !words.iter().any(|word| word.contains("{image}")) {
        return Err("`command` must say where the image goes: `{image}`");
    }
    Ok(words.to_vec())
}

/// Gives what only a running server knows: where it is found, its secret, its control groups.
pub(super) fn complete(config: &mut ScanConfig, registry_url: &str, node_secret: &[u8], cgroups: NodeCgroups) {
    for hook in &mut config.hooks {
        if let HookKind::Webhook(webhook) = &mut hook.kind
            && webhook.registry_url.is_empty()
        {
            registry_url.clone_into(&mut webhook.registry_url);
        }
    }
    config.groups = Some(Arc::new(Groups(cgroups)));
    let secret = node_secret.to_vec();
    config.login =
        Some(PullLogin::new(move |tenant, repository, ends| pull_authorization(&secret, tenant, repository, ends)));
}

/// The node's control groups, as scans want them.
#[derive(Debug)]
struct Groups(NodeCgroups);

impl CommandGroups for Groups {
    fn make(&self, id: &str, memory_bytes: u64) -> io::Result<Box<dyn CommandGroup>> {
        let made = OfCommand(self.0.scan(id));
        let limits = TaskLimits { memory_bytes: Some(memory_bytes), pids: Some(PIDS_MAX), ..TaskLimits::default() };
        let limited = made.0.create().and_then(|()| made.0.limit(&limits));
        if let Err(error) = limited {
            made.remove();
            return Err(io::Error::other(error));
        }
        Ok(Box::new(made))
    }

    fn sweep(&self) {
        if let Err(error) = self.0.remove_scans() {
            tracing::warn!(%error, "control groups of earlier scans are left");
        }
    }
}

struct OfCommand(Group);

impl CommandGroup for OfCommand {
    fn procs_files(&self) -> Vec<PathBuf> {
        self.0.procs_files()
    }

    fn lacked_memory(&self) -> bool {
        self.0.oom_kills() > 0
    }

    fn remove(&self) {
        if let Err(error) = self.0.kill_and_wait().and_then(|()| self.0.remove()) {
            tracing::warn!(%error, "the control group of a scan is left");
        }
    }
}

fn named<T: Copy>(all: &[(&str, T)], name: &str) -> Option<T> {
    all.iter().find(|(known, _)| *known == name).map(|(_, form)| *form)
}

fn refused(key: &'static str, value: &str, why: &str) -> ConfigError {
    ConfigError::Value { key, value: value.to_owned(), why: why.to_owned() }
}
