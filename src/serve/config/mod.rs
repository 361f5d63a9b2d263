//! What the operator decides. The only reader of the environment and of the config file.
//!
//! In: flags, `COVE_…` variables, a TOML file. Out: one [`Config`], checked. Flag beats variable beats file beats default.
//!
//! Holds: an unknown key or a bad value ends the start with one line; nothing is accepted and then not used.

mod environment;
mod given;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use cove_api::http::settings::Network;
use cove_base::paths::NodeName;
use cove_events::Endpoints;
use cove_model::network::Cidr;
use cove_registry::{AdmissionRule, COLLECT_GRACE_MILLIS, Quotas, UPLOAD_EXPIRY_MILLIS};
use cove_scheduler::deploy::Timing;
use cove_scheduler::fleet::Machine;

use self::environment::{CRASH_POINT, from_environment};
use self::given::{Flags, Given, from_file};
use super::log::Sink;
use super::{admission, endpoint, fleet, scan};

const LISTEN_DEFAULT: &str = "127.0.0.1:4566";
const DATA_DIR_DEFAULT: &str = "/var/lib/cove";
const RUN_DIR_DEFAULT: &str = "/run/cove";
const CONFIG_FILE_DEFAULT: &str = "/etc/cove/cove.toml";
const NODE_DEFAULT: &str = "main";
const REGION_DEFAULT: &str = "us-east-1";
/// Of one container's stream.
const LOG_STREAM_MAX_MIB_DEFAULT: u64 = 1024;
/// Of all streams together.
const LOG_NODE_MAX_MIB_DEFAULT: u64 = 20 * 1024;
/// What Fargate gives a task without being asked.
const TASK_STORAGE_GIB_DEFAULT: u32 = 20;
/// Blobs of the registry, pulled ones too, before unpacking: a few hundred images.
const IMAGE_STORE_MAX_MIB_DEFAULT: u64 = 100 * 1024;
const LAYER_STORE_MAX_MIB_DEFAULT: u64 = 200 * 1024;
/// Each costs a process of under a megabyte and some records: below what a host of 4 GiB carries.
const TASKS_MAX_DEFAULT: usize = 2000;
/// AWS shows stopped tasks for about an hour.
const STOPPED_TASK_SECS_DEFAULT: u64 = 60 * 60;
/// Leftovers are rare, and looking for them costs a few milliseconds.
const HOUSEKEEPING_SECS_DEFAULT: u64 = 60;
/// What is collected is only disk space.
const COLLECT_SECS_DEFAULT: u64 = 60 * 60;
const COLLECT_GRACE_SECS_DEFAULT: u64 = COLLECT_GRACE_MILLIS.unsigned_abs() / 1000;
const UPLOAD_EXPIRY_SECS_DEFAULT: u64 = UPLOAD_EXPIRY_MILLIS.unsigned_abs() / 1000;
/// A whole pass over all blobs a week, slow enough that nobody notices.
const SCRUB_DAYS_DEFAULT: u64 = 7;
const SCRUB_MIB_PER_SEC_DEFAULT: u64 = 20;
/// AWS carries lifecycle policies out within a day.
const LIFECYCLE_SECS_DEFAULT: u64 = 60 * 60;
/// How far Fargate memory may exceed the host's.
const MEMORY_OVERCOMMIT_DEFAULT: f64 = 1.5;
/// Task definitions ask for no size larger than this; more overcommitment only hides a mistake.
const MEMORY_OVERCOMMIT_RANGE: std::ops::RangeInclusive<f64> = 0.1..=16.0;

/// The checked configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub listen: Vec<SocketAddr>,
    pub tls_listen: Vec<SocketAddr>,
    pub data_dir: PathBuf,
    pub run_dir: PathBuf,
    pub node: NodeName,
    pub dev: bool,
    pub dev_allow: Vec<Network>,
    pub ephemeral: bool,
    /// Remove what an earlier server left, then end.
    pub down: bool,
    pub region: String,
    pub names: Vec<String>,
    pub registry_host: Option<String>,
    pub registry_mirrors: BTreeMap<String, Vec<String>>,
    pub registry_insecure: Vec<String>,
    pub registry_extra_ca: Vec<PathBuf>,
    pub transit_range: Cidr,
    pub log_stream_max_bytes: u64,
    pub log_node_max_bytes: u64,
    /// 0 is no limit.
    pub task_storage_gib: u32,
    /// 0 is no limit.
    pub shared_volume_gib: u32,
    pub image_store_max_bytes: u64,
    pub layer_store_max_bytes: u64,
    pub tasks_max: usize,
    pub memory_overcommit: f64,
    pub inject_endpoint: bool,
    pub stopped_task: Duration,
    pub housekeeping: Duration,
    pub collect: Duration,
    pub collect_grace: Duration,
    pub upload_expiry: Duration,
    pub repository_quotas: Quotas,
    /// `None`: blobs are read again only when somebody asks for it.
    pub scrub: Option<Duration>,
    pub scrub_bytes_per_sec: u64,
    pub lifecycle: Duration,
    pub machines: Vec<Machine>,
    pub event_endpoints: Endpoints,
    pub admission: Vec<AdmissionRule>,
    pub scan: cove_registry::scan::ScanConfig,
    pub spot_warning: Duration,
    /// How long a task without a health check must have run before a service counts it as healthy.
    pub task_settle: Duration,
    pub scale_in: Duration,
    pub provisioning: Duration,
    /// Where the server user's Docker logins are.
    pub docker_config: Option<PathBuf>,
    /// The socket of the service manager that waits for our readiness.
    pub notify_socket: Option<std::ffi::OsString>,
    /// What is logged, in the form of `RUST_LOG`.
    pub log: String,
    /// What reads the log.
    pub sink: Sink,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(transparent)]
    Usage(clap::Error),
    #[error("read the config file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("config file {path}: {why}")]
    Parse { path: PathBuf, why: String },
    #[error("{name} in the environment is no setting of Cove")]
    UnknownVariable { name: String },
    #[error("{key} = `{value}`: {why}")]
    Value { key: &'static str, value: String, why: String },
    #[error("--dev takes any credentials, so it listens beyond loopback ({0}) only with --dev-allow ADDR/NET")]
    DevBeyondLoopback(SocketAddr),
}

/// Reads flags, environment and file.
pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<Config, ConfigError> {
    let words = std::iter::once("cove serve".to_owned()).chain(args);
    let flags = Flags::try_parse_from(words).map_err(ConfigError::Usage)?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    if let Some(point) = environment.get(CRASH_POINT) {
        cove_base::crash::arm(point).map_err(|error| bad(CRASH_POINT, point, error))?;
    }
    let variables = from_environment(&environment)?;
    let path = flags.config.or_else(|| environment.get("COVE_CONFIG").map(PathBuf::from));
    let file = match path {
        Some(path) => from_file(&path)?,
        None if Path::new(CONFIG_FILE_DEFAULT).exists() => from_file(Path::new(CONFIG_FILE_DEFAULT))?,
        None => Given::default(),
    };
    let mut config = check(flags.given.or(variables).or(file), flags.down)?;
    config.notify_socket = std::env::var_os("NOTIFY_SOCKET");
    config.sink = sink(environment.get("JOURNAL_STREAM").map(String::as_str));
    let home = environment.get("HOME").map(PathBuf::from);
    config.docker_config = match environment.get("DOCKER_CONFIG") {
        Some(directory) => Some(Path::new(directory).join("config.json")),
        None => home.map(|home| home.join(".docker/config.json")),
    };
    Ok(config)
}

/// The journal names the stream that it reads by device and inode. A redirected stderr is another one.
fn sink(journal_stream: Option<&str>) -> Sink {
    let stderr = nix::sys::stat::fstat(std::io::stderr().as_raw_fd());
    let is_journal = stderr.is_ok_and(|stat| journal_stream == Some(&format!("{}:{}", stat.st_dev, stat.st_ino)));
    if is_journal { Sink::Journal } else { Sink::Plain }
}

fn bad(key: &'static str, value: &str, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::Value { key, value: value.to_owned(), why: why.to_string() }
}

fn check(given: Given, down: bool) -> Result<Config, ConfigError> {
    let dev = given.dev.unwrap_or(false);
    let ephemeral = given.ephemeral.unwrap_or(false);
    let node = given.node.as_deref().unwrap_or(NODE_DEFAULT);
    let node = NodeName::parse(node).map_err(|error| bad("node", node, error))?;
    let listen = addresses("listen", given.listen.unwrap_or_else(|| vec![LISTEN_DEFAULT.to_owned()]))?;
    let tls_listen = addresses("tls_listen", given.tls_listen.unwrap_or_default())?;
    let dev_allow = given
        .dev_allow
        .unwrap_or_default()
        .iter()
        .map(|text| Network::parse(text).ok_or_else(|| bad("dev_allow", text, "not an address or network")))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(far) = listen.iter().chain(&tls_listen).find(|address| dev && !address.ip().is_loopback())
        && dev_allow.is_empty()
    {
        return Err(ConfigError::DevBeyondLoopback(*far));
    }
    let region = given.region.unwrap_or_else(|| REGION_DEFAULT.to_owned());
    if region.is_empty()
        || !region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    {
        return Err(bad("region", &region, "not a region name"));
    }
    let overcommit = given.memory_overcommit.unwrap_or(MEMORY_OVERCOMMIT_DEFAULT);
    if !MEMORY_OVERCOMMIT_RANGE.contains(&overcommit) {
        return Err(bad("memory_overcommit", &overcommit.to_string(), "not between 0.1 and 16"));
    }
    let transit = given.transit_range.map(|text| network("transit_range", &text)).transpose()?;
    let (data_default, run_default) = directories(ephemeral, &node);
    Ok(Config {
        listen,
        tls_listen,
        data_dir: given.data_dir.unwrap_or(data_default),
        run_dir: given.run_dir.unwrap_or(run_default),
        node,
        dev,
        dev_allow,
        ephemeral,
        down,
        region,
        names: names(given.names.unwrap_or_default(), given.registry_host.as_deref()),
        registry_host: given.registry_host,
        registry_mirrors: mirrors(given.registry_mirrors.unwrap_or_default())?,
        registry_insecure: given.registry_insecure.unwrap_or_default(),
        registry_extra_ca: authorities(given.registry_extra_ca.unwrap_or_default())?,
        transit_range: transit.unwrap_or(cove_runtime::network::DEFAULT_TRANSIT_RANGE),
        log_stream_max_bytes: mib(
            "log_stream_max_mib",
            given.log_stream_max_mib.unwrap_or(LOG_STREAM_MAX_MIB_DEFAULT),
        )?,
        log_node_max_bytes: mib("log_node_max_mib", given.log_node_max_mib.unwrap_or(LOG_NODE_MAX_MIB_DEFAULT))?,
        task_storage_gib: given.task_storage_gib.unwrap_or(TASK_STORAGE_GIB_DEFAULT),
        shared_volume_gib: given.shared_volume_gib.unwrap_or(0),
        image_store_max_bytes: mib(
            "image_store_max_mib",
            given.image_store_max_mib.unwrap_or(IMAGE_STORE_MAX_MIB_DEFAULT),
        )?,
        layer_store_max_bytes: mib(
            "layer_store_max_mib",
            given.layer_store_max_mib.unwrap_or(LAYER_STORE_MAX_MIB_DEFAULT),
        )?,
        tasks_max: given.tasks_max.unwrap_or(TASKS_MAX_DEFAULT),
        memory_overcommit: overcommit,
        inject_endpoint: given.inject_endpoint.unwrap_or(true),
        stopped_task: Duration::from_secs(given.stopped_task_secs.unwrap_or(STOPPED_TASK_SECS_DEFAULT)),
        housekeeping: interval("housekeeping_secs", given.housekeeping_secs.unwrap_or(HOUSEKEEPING_SECS_DEFAULT))?,
        collect: interval("collect_secs", given.collect_secs.unwrap_or(COLLECT_SECS_DEFAULT))?,
        collect_grace: Duration::from_secs(given.collect_grace_secs.unwrap_or(COLLECT_GRACE_SECS_DEFAULT)),
        upload_expiry: interval("upload_expiry_secs", given.upload_expiry_secs.unwrap_or(UPLOAD_EXPIRY_SECS_DEFAULT))?,
        repository_quotas: quotas(&given.repository_quotas.unwrap_or_default())?,
        scrub: Some(given.scrub_days.unwrap_or(SCRUB_DAYS_DEFAULT))
            .filter(|days| *days > 0)
            .map(|days| Duration::from_secs(days.saturating_mul(24 * 60 * 60))),
        scrub_bytes_per_sec: mib("scrub_mib_per_sec", given.scrub_mib_per_sec.unwrap_or(SCRUB_MIB_PER_SEC_DEFAULT))?,
        lifecycle: interval("lifecycle_secs", given.lifecycle_secs.unwrap_or(LIFECYCLE_SECS_DEFAULT))?,
        machines: fleet::machines(&given.instance.unwrap_or_default())?,
        event_endpoints: endpoint::endpoints(&given.event_endpoint.unwrap_or_default())?,
        admission: admission::rules(&given.admission.unwrap_or_default())?,
        scan: scan::config(&given.scan.unwrap_or_default())?,
        spot_warning: fleet::spot_warning(given.spot_warning_secs, dev),
        task_settle: task_settle(given.task_settle_millis, dev),
        scale_in: fleet::scale_in(given.scale_in_secs, dev),
        provisioning: fleet::provisioning(given.provisioning_secs, dev),
        docker_config: None,
        notify_socket: None,
        log: given.log.unwrap_or_else(|| "info".to_owned()),
        sink: Sink::Plain,
    })
}

/// An ephemeral server never shares directories with a lasting one unless it is told to.
fn directories(ephemeral: bool, node: &NodeName) -> (PathBuf, PathBuf) {
    match (ephemeral, node.as_str()) {
        (true, node) => (
            format!("{DATA_DIR_DEFAULT}-ephemeral-{node}").into(),
            format!("{RUN_DIR_DEFAULT}-ephemeral-{node}").into(),
        ),
        (false, NODE_DEFAULT) => (DATA_DIR_DEFAULT.into(), RUN_DIR_DEFAULT.into()),
        (false, node) => (format!("{DATA_DIR_DEFAULT}-{node}").into(), format!("{RUN_DIR_DEFAULT}-{node}").into()),
    }
}

fn addresses(key: &'static str, texts: Vec<String>) -> Result<Vec<SocketAddr>, ConfigError> {
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        let loopback = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let address = match loopback {
            Some(port) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            None => text.parse().map_err(|_| bad(key, &text, "not ADDRESS:PORT"))?,
        };
        all.push(address);
    }
    Ok(all)
}

fn network(key: &'static str, text: &str) -> Result<Cidr, ConfigError> {
    Cidr::parse(text).ok_or_else(|| bad(key, text, "not an IPv4 network"))
}

fn mib(key: &'static str, value: u64) -> Result<u64, ConfigError> {
    let bytes = value.checked_mul(1 << 20).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| bad(key, &value.to_string(), "not a size in MiB"))
}

fn interval(key: &'static str, secs: u64) -> Result<Duration, ConfigError> {
    if secs == 0 { Err(bad(key, "0", "not a number of seconds above 0")) } else { Ok(Duration::from_secs(secs)) }
}

/// The host in repository URIs is a name of ours: clients will call it.
fn names(mut names: Vec<String>, registry_host: Option<&str>) -> Vec<String> {
    let host = registry_host.map(|text| text.rsplit_once(':').map_or(text, |(host, _)| host));
    let host = host.filter(|host| host.parse::<IpAddr>().is_err() && !host.starts_with('['));
    names.extend(host.filter(|host| !host.is_empty()).map(str::to_owned));
    names
}

/// Read here only to refuse a wrong path now and not at the first pull.
fn authorities(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, ConfigError> {
    for path in &paths {
        let refused = |why: String| bad("registry_extra_ca", &path.to_string_lossy(), why);
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(refused("holds no certificate".to_owned()));
        }
    }
    Ok(paths)
}

fn mirrors(texts: Vec<String>) -> Result<BTreeMap<String, Vec<String>>, ConfigError> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for text in texts {
        let (host, mirror) = text.split_once('=').ok_or_else(|| bad("registry_mirrors", &text, "not HOST=MIRROR"))?;
        all.entry(host.to_owned()).or_default().push(mirror.to_owned());
    }
    Ok(all)
}

fn quotas(texts: &[String]) -> Result<Quotas, ConfigError> {
    let mut all = Quotas::default();
    for text in texts {
        let refused = || bad("repository_quotas", text, "not NAME=MIB");
        let (name, size) = text.split_once('=').ok_or_else(refused)?;
        let bytes = mib("repository_quotas", size.parse().map_err(|_| refused())?)?;
        match name {
            "*" => all.others = Some(bytes),
            name if cove_model::image::is_repository(name) => drop(all.named.insert(name.to_owned(), bytes)),
            _ => return Err(refused()),
        }
    }
    Ok(all)
}

impl Config {
    /// How patient the service scheduler is.
    pub(crate) fn timing(&self) -> Timing {
        let settle_millis = i64::try_from(self.task_settle.as_millis()).unwrap_or(i64::MAX);
        Timing { settle_millis, ..Timing::default() }
    }
}

/// AWS's 40 seconds; with `--dev` as long as a container needs to fall over.
const TASK_SETTLE: Duration = Duration::from_secs(40);
const TASK_SETTLE_DEV: Duration = Duration::from_millis(500);

fn task_settle(given_millis: Option<u64>, dev: bool) -> Duration {
    let usual = if dev { TASK_SETTLE_DEV } else { TASK_SETTLE };
    given_millis.map_or(usual, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Result<Given, ConfigError> {
        from_environment(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn flags(words: &[&str]) -> Given {
        Flags::try_parse_from(std::iter::once("cove serve").chain(words.iter().copied())).unwrap().given
    }

    fn file(text: &str) -> Result<Given, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
        let file = || file("node = \"file\"\nregion = \"eu-west-1\"\nlisten = [\"127.0.0.1:1\"]").unwrap();
        let variable = || variables(&[("COVE_NODE", "variable"), ("COVE_LISTEN", "127.0.0.1:2,127.0.0.1:3")]).unwrap();
        let config = check(flags(&["--node", "flag"]).or(variable()).or(file()), false).unwrap();
        assert_eq!(config.node.as_str(), "flag");
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.region, "eu-west-1");
        let config = check(Given::default(), false).unwrap();
        assert_eq!(config.listen, ["127.0.0.1:4566".parse().unwrap()]);
        assert_eq!(config.data_dir, Path::new("/var/lib/cove"));
    }

    #[test]
    fn an_unknown_key_or_variable_is_an_error() {
        assert!(file("lisen = []").is_err());
        assert!(matches!(variables(&[("COVE_LISEN", "x")]), Err(ConfigError::UnknownVariable { .. })));
        assert!(variables(&[("COVE_SUBNETS", "x"), ("PATH", "y")]).is_ok());
    }

    #[test]
    fn dev_beyond_loopback_needs_to_be_allowed() {
        let far = ["--dev", "--listen", "0.0.0.0:4566"];
        assert!(matches!(check(flags(&far), false), Err(ConfigError::DevBeyondLoopback(_))));
        let allowed = ["--dev", "--listen", "0.0.0.0:4566", "--dev-allow", "10.0.0.0/8"];
        assert!(check(flags(&allowed), false).is_ok());
        assert!(check(flags(&["--listen", "0.0.0.0:4566"]), false).is_ok());
    }

    #[test]
    fn an_ephemeral_server_does_not_share_the_lasting_ones_directories() {
        let config = check(flags(&["--ephemeral"]), false).unwrap();
        assert_eq!(config.data_dir, Path::new("/var/lib/cove-ephemeral-main"));
    }

    #[test]
    fn a_fleet_is_declared_in_the_file_and_checked() {
        let declared = "[[instance]]\ntype = \"m5.large\"\ncount = 2\nzone = \"b\"\ncapacity = \"spot\"\n\
            attributes = { rack = \"r1\" }\n[[instance]]\ntype = \"host\"";
        let config = check(file(declared).unwrap(), false).unwrap();
        assert_eq!(config.machines.len(), 3);
        assert_eq!(config.spot_warning, Duration::from_secs(120));
        assert_eq!(config.task_settle, Duration::from_secs(40));
        for bad in ["type = \"m5.huge\"", "type = \"m5.large\"\nzone = \"x\"", "type = \"host\"\ncount = 2"] {
            let error = check(file(&format!("[[instance]]\n{bad}")).unwrap(), false).unwrap_err().to_string();
            assert!(error.starts_with("instance.type = `") && !error.contains('\n'), "{error}");
        }
        assert!(check(file("[[instance]]\ntype = \"host\"\n[[instance]]\ntype = \"host\"").unwrap(), false).is_err());
        assert!(file("[[instance]]\ntype = \"m5.large\"\nsize = 1").is_err());
        assert!(file("[[instance]]\ncount = 1").is_err());
    }

    /// Its settings are comments that begin without a space.
    #[test]
    fn the_shipped_config_file_names_only_settings_that_exist() {
        let shipped = include_str!("../../../config/cove.toml");
        let settings: Vec<&str> =
            shipped.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' ')).collect();
        assert!(settings.len() > 15);
        file(&settings.join("\n")).unwrap();
    }

    #[test]
    fn the_host_of_repository_uris_is_a_name_of_ours() {
        for (given, names) in
            [("cove.lan:5000", &["cove.lan"][..]), ("cove.lan", &["cove.lan"]), ("192.0.2.1:5000", &[])]
        {
            assert_eq!(check(flags(&["--registry-host", given]), false).unwrap().names, names, "{given}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for words in [
            ["--node", "Bad"],
            ["--listen", "4566"],
            ["--transit-range", "10.0.0.1/8"],
            ["--region", "X"],
            ["--collect-secs", "0"],
            ["--upload-expiry-secs", "0"],
            ["--repository-quota", "app"],
            ["--repository-quota", "App=1"],
            ["--repository-quota", "app=0"],
            ["--scrub-mib-per-sec", "0"],
            ["--registry-extra-ca", "/nonexistent"],
            ["--registry-extra-ca", "/dev/null"],
        ] {
            assert!(check(flags(&words), false).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_rule_of_admission_is_checked_at_the_start() {
        for (rule, why) in [
            ("images = \"*\"\nsigned_by = []", "needs signed_by, refuse_severity or refuse_unscanned"),
            ("images = \"*\"\nrefuse_severity = \"BAD\"", "`BAD` is no severity"),
            ("images = \"*\"\nsigned_by = [\"/none\"]", "/none: No such file"),
            ("images = \"*\"\nsigned_by = [\"/dev/null\"]", "/dev/null: it is no public key"),
        ] {
            let error = check(file(&format!("[[admission]]\n{rule}")).unwrap(), false).unwrap_err().to_string();
            assert!(error.starts_with(&format!("admission = `*`: {why}")), "{error}");
        }
        let good =
            "[[admission]]\nimages = [\"prod/*\", \"base\"]\nrefuse_severity = \"HIGH\"\nrefuse_unscanned = true";
        let rules = check(file(good).unwrap(), false).unwrap().admission;
        assert_eq!((rules[0].images.len(), rules[0].refused.unscanned), (2, true));
        for old in ["refuse_severity = \"HIGH\"", "refuse_unscanned = true"] {
            let error = check(file(&format!("[scan]\n{old}")).unwrap(), false).unwrap_err().to_string();
            assert!(error.starts_with("scan.refuse_") && error.contains("[[admission]]"), "{error}");
        }
    }

    #[test]
    fn an_event_endpoint_is_checked_at_the_start() {
        let good = "[[event_endpoint]]\nname = \"hook\"\nurl = \"http://127.0.0.1:1/\"\nheaders = { X = \"y\" }";
        assert!(check(file(good).unwrap(), false).unwrap().event_endpoints.has("hook"));
        let metadata = "[[event_endpoint]]\nname = \"hook\"\nurl = \"http://169.254.169.254/\"";
        let error = check(file(metadata).unwrap(), false).unwrap_err().to_string();
        assert!(error.starts_with("event_endpoint = `hook`: an address of the link"), "{error}");
        assert!(check(file(&format!("{good}\n{good}")).unwrap(), false).is_err());
    }
}
