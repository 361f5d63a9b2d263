//! A setting as it may be given, and where it may come from: a flag, `COVE_NAME` in the environment, a key of the file.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, Parser};
use cove_scheduler::fleet::MachineWish;
use serde::Deserialize;

use super::ConfigError;
use crate::serve::admission::AdmissionWish;
use crate::serve::endpoint::EndpointWish;
use crate::serve::scan::ScanWish;

/// Run the server in the foreground
#[derive(Debug, Parser)]
#[command(name = "cove serve", version, about = "Run the server in the foreground")]
pub(super) struct Flags {
    /// Settings in TOML [default: /etc/cove/cove.toml if there]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Remove everything that a server of this node left behind, then end
    #[arg(long)]
    pub(super) down: bool,
    #[command(flatten)]
    pub(super) given: Given,
}

/// Each setting as it may be given: as a flag, as `COVE_NAME` in the environment, as a key of the file.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Given {
    /// Address and port, repeatable [default: 127.0.0.1:4566]
    #[arg(long, value_name = "ADDR:PORT", action = ArgAction::Append)]
    pub(super) listen: Option<Vec<String>>,
    /// Address and port with TLS, repeatable
    #[arg(long, value_name = "ADDR:PORT", action = ArgAction::Append)]
    pub(super) tls_listen: Option<Vec<String>>,
    /// Where state is kept [default: /var/lib/cove]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// Sockets and mounts; a reboot may empty it [default: /run/cove]
    #[arg(long, value_name = "DIR")]
    pub(super) run_dir: Option<PathBuf>,
    /// Names everything this server makes in the kernel [default: main]
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// Take any credentials; for development on this machine
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub(super) dev: Option<bool>,
    /// Peers beyond loopback that --dev serves, repeatable
    #[arg(long, value_name = "ADDR/NET", action = ArgAction::Append)]
    pub(super) dev_allow: Option<Vec<String>>,
    /// Remove everything at exit; with directories of its own unless they are given
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub(super) ephemeral: Option<bool>,
    /// Region of requests that name none [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Further host names that requests may use, repeatable
    #[arg(long = "name", value_name = "HOST", action = ArgAction::Append)]
    pub(super) names: Option<Vec<String>>,
    /// Host of the registry in repository URIs [default: the first listen address]
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) registry_host: Option<String>,
    /// Registries to ask in place of another, as in docker.io=mirror.lan:5000, repeatable
    #[arg(long = "registry-mirror", value_name = "HOST=MIRROR", action = ArgAction::Append)]
    pub(super) registry_mirrors: Option<Vec<String>>,
    /// Registries that are spoken to without TLS, repeatable
    #[arg(long, value_name = "HOST", action = ArgAction::Append)]
    pub(super) registry_insecure: Option<Vec<String>>,
    /// PEM files of authorities that registries may have, repeatable
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub(super) registry_extra_ca: Option<Vec<PathBuf>>,
    /// Addresses between host and routers [default: 198.19.0.0/16]
    #[arg(long, value_name = "NET")]
    pub(super) transit_range: Option<String>,
    /// Cap of one container's log [default: 1024]
    #[arg(long, value_name = "MIB")]
    pub(super) log_stream_max_mib: Option<u64>,
    /// Cap of all logs together [default: 20480]
    #[arg(long, value_name = "MIB")]
    pub(super) log_node_max_mib: Option<u64>,
    /// What a task may write that asks for no storage of its own; 0 is no cap [default: 20]
    #[arg(long, value_name = "GIB")]
    pub(super) task_storage_gib: Option<u32>,
    /// What a shared Docker volume may hold while tasks have it; 0 is no cap [default: 0]
    #[arg(long, value_name = "GIB")]
    pub(super) shared_volume_gib: Option<u32>,
    /// Cap of the registry's blobs together [default: 102400]
    #[arg(long, value_name = "MIB")]
    pub(super) image_store_max_mib: Option<u64>,
    /// Cap of the unpacked layers together [default: 204800]
    #[arg(long, value_name = "MIB")]
    pub(super) layer_store_max_mib: Option<u64>,
    /// Tasks that may live at once on this node [default: 2000]
    #[arg(long, value_name = "COUNT")]
    pub(super) tasks_max: Option<usize>,
    /// Fargate memory in multiples of the host's [default: 1.5]
    #[arg(long, value_name = "FACTOR")]
    pub(super) memory_overcommit: Option<f64>,
    /// Whether containers get AWS_ENDPOINT_URL [default: true]
    #[arg(long, value_name = "BOOL")]
    pub(super) inject_endpoint: Option<bool>,
    /// How long stopped tasks stay visible [default: 3600, as AWS]
    #[arg(long, value_name = "SECS")]
    pub(super) stopped_task_secs: Option<u64>,
    /// How often old records, expired logs and leftovers are looked for [default: 60]
    #[arg(long, value_name = "SECS")]
    pub(super) housekeeping_secs: Option<u64>,
    /// How often blobs and unpacked layers that nobody needs are looked for [default: 3600]
    #[arg(long, value_name = "SECS")]
    pub(super) collect_secs: Option<u64>,
    /// How old what nobody needs must be before it is collected [default: 3600]
    #[arg(long, value_name = "SECS")]
    pub(super) collect_grace_secs: Option<u64>,
    /// How long an upload may lie idle before it is collected [default: 86400]
    #[arg(long, value_name = "SECS")]
    pub(super) upload_expiry_secs: Option<u64>,
    /// What a repository may hold, as in team/app=2048 or, for all others, *=512; repeatable [default: no quota]
    #[arg(long = "repository-quota", value_name = "NAME=MIB", action = ArgAction::Append)]
    pub(super) repository_quotas: Option<Vec<String>>,
    /// How often every blob is read again and its digest checked; 0 is never [default: 7]
    #[arg(long, value_name = "DAYS")]
    pub(super) scrub_days: Option<u64>,
    /// How fast that goes at most [default: 20]
    #[arg(long, value_name = "MIB")]
    pub(super) scrub_mib_per_sec: Option<u64>,
    /// How often lifecycle policies of repositories are carried out [default: 3600]
    #[arg(long, value_name = "SECS")]
    pub(super) lifecycle_secs: Option<u64>,
    /// Between the warning of a Spot interruption and the end [default: 120, as AWS; 2 with --dev]
    #[arg(long, value_name = "SECS")]
    pub(super) spot_warning_secs: Option<u64>,
    /// How long a task without a health check must have run to count as healthy [default: 40000, as AWS; 500 with --dev]
    #[arg(long, value_name = "MILLIS")]
    pub(super) task_settle_millis: Option<u64>,
    /// How long an instance that managed scaling added stays empty before it goes [default: 900, as AWS; 5 with --dev]
    #[arg(long, value_name = "SECS")]
    pub(super) scale_in_secs: Option<u64>,
    /// How long a task waits in PROVISIONING for the group of its capacity provider [default: 1800, as AWS; 60 with --dev]
    #[arg(long, value_name = "SECS")]
    pub(super) provisioning_secs: Option<u64>,
    /// The fleet: only in the file.
    #[arg(skip)]
    pub(super) instance: Option<Vec<MachineWish>>,
    /// HTTP endpoints that rules may send events to: only in the file.
    #[arg(skip)]
    pub(super) event_endpoint: Option<Vec<EndpointWish>>,
    /// Which images may run: only in the file.
    #[arg(skip)]
    pub(super) admission: Option<Vec<AdmissionWish>>,
    /// Scanners of images: only in the file.
    #[arg(skip)]
    pub(super) scan: Option<ScanWish>,
    /// What is logged to stderr, as in `info` or `cove_agent=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(super) log: Option<String>,
}

impl Given {
    /// What is missing here comes from there.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            tls_listen: self.tls_listen.or(other.tls_listen),
            data_dir: self.data_dir.or(other.data_dir),
            run_dir: self.run_dir.or(other.run_dir),
            node: self.node.or(other.node),
            dev: self.dev.or(other.dev),
            dev_allow: self.dev_allow.or(other.dev_allow),
            ephemeral: self.ephemeral.or(other.ephemeral),
            region: self.region.or(other.region),
            names: self.names.or(other.names),
            registry_host: self.registry_host.or(other.registry_host),
            registry_mirrors: self.registry_mirrors.or(other.registry_mirrors),
            registry_insecure: self.registry_insecure.or(other.registry_insecure),
            registry_extra_ca: self.registry_extra_ca.or(other.registry_extra_ca),
            transit_range: self.transit_range.or(other.transit_range),
            log_stream_max_mib: self.log_stream_max_mib.or(other.log_stream_max_mib),
            log_node_max_mib: self.log_node_max_mib.or(other.log_node_max_mib),
            memory_overcommit: self.memory_overcommit.or(other.memory_overcommit),
            task_storage_gib: self.task_storage_gib.or(other.task_storage_gib),
            shared_volume_gib: self.shared_volume_gib.or(other.shared_volume_gib),
            image_store_max_mib: self.image_store_max_mib.or(other.image_store_max_mib),
            layer_store_max_mib: self.layer_store_max_mib.or(other.layer_store_max_mib),
            tasks_max: self.tasks_max.or(other.tasks_max),
            inject_endpoint: self.inject_endpoint.or(other.inject_endpoint),
            stopped_task_secs: self.stopped_task_secs.or(other.stopped_task_secs),
            housekeeping_secs: self.housekeeping_secs.or(other.housekeeping_secs),
            collect_secs: self.collect_secs.or(other.collect_secs),
            collect_grace_secs: self.collect_grace_secs.or(other.collect_grace_secs),
            upload_expiry_secs: self.upload_expiry_secs.or(other.upload_expiry_secs),
            repository_quotas: self.repository_quotas.or(other.repository_quotas),
            scrub_days: self.scrub_days.or(other.scrub_days),
            scrub_mib_per_sec: self.scrub_mib_per_sec.or(other.scrub_mib_per_sec),
            lifecycle_secs: self.lifecycle_secs.or(other.lifecycle_secs),
            spot_warning_secs: self.spot_warning_secs.or(other.spot_warning_secs),
            task_settle_millis: self.task_settle_millis.or(other.task_settle_millis),
            scale_in_secs: self.scale_in_secs.or(other.scale_in_secs),
            provisioning_secs: self.provisioning_secs.or(other.provisioning_secs),
            instance: self.instance.or(other.instance),
            event_endpoint: self.event_endpoint.or(other.event_endpoint),
            admission: self.admission.or(other.admission),
            scan: self.scan.or(other.scan),
            log: self.log.or(other.log),
        }
    }
}

pub(super) fn from_file(path: &Path) -> Result<Given, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|error| ConfigError::Parse { path: path.to_owned(), why: error.message().replace('\n', " ") })
}
