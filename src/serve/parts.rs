//! The parts of a server, opened in an order that wastes no time: the store's disk and the kernel side by side.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cove_agent::{AgentHandle, Endpoint, HostMode, HostModeAccess, Settings};
use cove_api::aws::credentials::Keys;
use cove_api::metadata::host_mode;
use cove_base::Clock;
use cove_base::paths::{DataDir, RunDir};
use cove_metrics::{Journal, Metrics, Usage};
use cove_registry::{Registry, RegistryConfig};
use cove_runtime::cgroup::NodeCgroups;
use cove_runtime::network::{NetworkConfig, NetworkId, Networks, RouterListeners};
use cove_runtime::rootfs::Snapshots;
use cove_scheduler::daemons::DaemonScheduler;
use cove_scheduler::deploy::Timing;
use cove_scheduler::services::{ServiceScheduler, Turn};
use cove_scheduler::{HostFacts, fleet, launch};
use cove_store::{Store, StoreError, StoreOptions, Tx, Vault};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::config::Config;
use super::listeners::Bound;
use super::{ServeError, directories, host};

/// Everything but the listeners.
pub(crate) struct Parts {
    pub store: Store,
    pub clock: Clock,
    pub registry: Registry,
    pub keys: Keys,
    pub metrics: Metrics,
    pub agent: Arc<AgentHandle>,
    /// Whoever holds it keeps services from starting tasks.
    pub services_turn: Turn,
    routers: Mutex<Option<Routers>>,
}

/// Sockets of routers as they come up.
type Routers = mpsc::UnboundedReceiver<(NetworkId, RouterListeners)>;

/// What the kernel side needs of the configuration.
pub(crate) fn network_config(config: &Config) -> NetworkConfig {
    NetworkConfig {
        node: config.node.clone(),
        run_dir: RunDir::new(&config.run_dir),
        transit_range: config.transit_range,
    }
}

impl Parts {
    /// Opens everything and starts the agent. Must be called inside the async runtime.
    pub(crate) fn open(config: &Config, bound: &Bound) -> Result<Self, ServeError> {
        let (data, run) = (DataDir::new(&config.data_dir), RunDir::new(&config.run_dir));
        let clock = Clock::system();
        // Specs of tasks hold their environment, in which secrets are.
        directories::make_private(&run.tasks())?;
        // The kernel's side takes as long as the disk's, and neither needs the other.
        let (kernel, disk) = std::thread::scope(|scope| {
            let kernel = scope.spawn(|| -> Result<_, ServeError> {
                let cgroups = NodeCgroups::open(&config.node)?;
                let networks = Networks::open(network_config(config))?;
                let binary = cove_shim::binary::publish(&config.run_dir)?;
                Ok((cgroups, networks, binary))
            });
            let disk = (|| -> Result<_, ServeError> {
                let store = Store::open(&data, clock.clone(), StoreOptions::default())?;
                let snapshots = Snapshots::open(&data.snapshots())?.capped(config.layer_store_max_bytes);
                let keys = Keys::open(&data)?;
                Ok((store, snapshots, keys))
            })();
            (kernel.join(), disk)
        });
        let (cgroups, networks, shim_binary) = kernel.map_err(|_| ServeError::Panicked)??;
        let (store, snapshots, keys) = disk?;
        let registry =
            Registry::open(&data, store.clone(), clock.clone(), registry_config(config, bound, &keys, &cgroups))?;
        let (routers_in, routers) = mpsc::unbounded_channel();
        let agent = cove_agent::start(cove_agent::Deps {
            store: store.clone(),
            registry: registry.clone(),
            networks: Arc::new(networks),
            snapshots: Arc::new(snapshots),
            cgroups: Arc::new(cgroups),
            clock: clock.clone(),
            data,
            run,
            node: config.node.clone(),
            shim_binary,
            boot_id: cove_runtime::process::boot_id().map_err(ServeError::BootId)?,
            host: host::limits(),
            endpoint: Endpoint { inject: config.inject_endpoint, host_mode_url: bound.local_url() },
            vault: Vault::new(&keys.node_secret),
            host_mode: host_mode_access(bound.loopback_url(), keys.node_secret.clone()),
            settings: Settings {
                log_stream_max_bytes: config.log_stream_max_bytes,
                log_node_max_bytes: config.log_node_max_bytes,
                task_storage_gib: config.task_storage_gib,
                shared_volume_gib: config.shared_volume_gib,
                stopped_keep_millis: millis(config.stopped_task),
                housekeeping_interval: config.housekeeping,
                collect_interval: config.collect,
            },
            routers: routers_in,
        });
        Ok(Self {
            store,
            clock,
            registry,
            keys,
            metrics: Metrics::default(),
            agent: Arc::new(agent),
            services_turn: Turn::default(),
            routers: Mutex::new(Some(routers)),
        })
    }

    /// Brings the fleet in line with what is declared. Before anybody can ask, so that the answer is the declared one.
    /// The loops that come back let interrupted and empty instances leave, keep services, measure, and watch alarms;
    /// whoever closes the store ends them.
    pub(crate) async fn begin(&self, host: &Arc<HostFacts>, timing: Timing) -> Result<JoinSet<()>, ServeError> {
        let of_host = Arc::clone(host);
        let reconcile = move |tx: &mut Tx<'_>| {
            fleet::reconcile(tx, &of_host);
            Ok::<_, StoreError>(())
        };
        self.store.write(reconcile).await?;
        let (store, metrics, clock) = (|| self.store.clone(), || self.metrics.clone(), || self.clock.clone());
        let agent = Arc::clone(&self.agent);
        let usage = move |task: &str| {
            let used = agent.task_usage(task)?;
            let memory_bytes = used.memory_bytes.saturating_sub(used.inactive_file_bytes);
            Some(Usage { cpu_micros: used.cpu_micros, memory_bytes })
        };
        let daemons = DaemonScheduler {
            store: store(),
            host: Arc::clone(host),
            timing: timing.clone(),
            clock: clock(),
            turn: Arc::clone(&self.services_turn),
        };
        let services = ServiceScheduler {
            store: store(),
            host: Arc::clone(host),
            timing,
            clock: clock(),
            turn: Arc::clone(&self.services_turn),
        };
        let mut loops = JoinSet::new();
        loops.spawn(fleet::watch_departures(store(), clock()));
        loops.spawn(fleet::watch_scaling(store(), clock(), Arc::clone(host)));
        loops.spawn(launch::watch_waiting(store(), clock(), Arc::clone(host)));
        loops.spawn(self.registry.clone().scrub_for_ever());
        loops.spawn(services.run());
        loops.spawn(daemons.run());
        self.keep_metrics(&mut loops).await;
        loops.spawn(cove_metrics::measure_for_ever(store(), metrics(), clock(), Arc::new(usage), launch::reservations));
        loops.spawn(cove_registry::scan::scan_for_ever(self.registry.clone()));
        loops.spawn(cove_metrics::watch_for_ever(store(), metrics(), clock()));
        Ok(loops)
    }

    /// The metrics of earlier starts, before anybody can ask for them; and what comes is written. A server that cannot write
    /// or read them measures all the same.
    async fn keep_metrics(&self, loops: &mut JoinSet<()>) {
        let (directory, metrics) = (self.store.data_dir().metrics(), self.metrics.clone());
        match tokio::task::spawn_blocking(move || Journal::open(&directory, metrics)).await {
            Ok(Ok(journal)) => drop(loops.spawn(journal.keep_for_ever())),
            Ok(Err(error)) => tracing::warn!(%error, "metrics are not kept over a restart"),
            Err(error) => tracing::error!(%error, "metrics are not kept over a restart"),
        }
    }

    /// Passes events on to the targets of rules, once the API is there that carries them out; lifecycle policies, whose
    /// events those are too, run from then on.
    pub(crate) fn pass_events_on(&self, loops: &mut JoinSet<()>, port: Arc<dyn cove_events::Port>, config: &Config) {
        let (store, clock) = (|| self.store.clone(), || self.clock.clone());
        loops.spawn(self.registry.clone().keep_lifecycles(config.lifecycle));
        loops.spawn(cove_events::route_for_ever(store(), clock()));
        loops.spawn(cove_events::tick_for_ever(store(), clock()));
        loops.spawn(cove_events::deliver_for_ever(store(), clock(), port, config.event_endpoints.clone()));
    }

    /// Sockets of routers as they come up; there once.
    pub(crate) fn take_routers(&self) -> Option<Routers> {
        self.routers.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the agent and closes the store. Containers go on.
    pub(crate) async fn close(self) {
        self.agent.stop().await;
        self.store.close().await;
    }
}

/// SDKs take credentials without TLS from loopback only, so no other address is offered.
fn host_mode_access(loopback_url: Option<String>, node_secret: Vec<u8>) -> HostMode {
    Arc::new(move |task| {
        let url = format!("{}{}", loopback_url.as_ref()?, host_mode::path(&node_secret, task));
        Some(HostModeAccess { url, token: host_mode::token(&node_secret, task) })
    })
}

fn registry_config(config: &Config, bound: &Bound, keys: &Keys, cgroups: &NodeCgroups) -> RegistryConfig {
    let mut scan = config.scan.clone();
    super::scan::complete(&mut scan, &bound.local_url(), &keys.node_secret, cgroups.clone());
    RegistryConfig {
        own_hosts: bound.registry_hosts(config),
        mirrors: config.registry_mirrors.clone(),
        insecure_hosts: config.registry_insecure.clone(),
        extra_ca: config.registry_extra_ca.clone(),
        docker_config: config.docker_config.clone(),
        vault: Vault::new(&keys.node_secret),
        store_max_bytes: config.image_store_max_bytes,
        admission: config.admission.clone(),
        collect_grace_millis: millis(config.collect_grace),
        upload_expiry_millis: millis(config.upload_expiry),
        quotas: config.repository_quotas.clone(),
        scrub_every: config.scrub,
        scrub_bytes_per_sec: config.scrub_bytes_per_sec,
        scan,
        ..RegistryConfig::default()
    }
}

/// Past any time that is asked for.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Removes what a server of this node has in the kernel, without asking tasks: for an ephemeral server.
pub(crate) fn remove_everything(config: &Config) -> Result<(), ServeError> {
    // Processes first: they hold the networks and the mounts.
    NodeCgroups::open(&config.node)?.remove_all()?;
    Networks::open(network_config(config))?.remove_all()?;
    cove_agent::unmount_volumes(&config.data_dir);
    cove_shim::binary::withdraw(&config.run_dir);
    Ok(())
}
