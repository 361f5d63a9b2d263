//! The server's handle: what it needs, its listeners, and stopping.
//!
//! Holds: after [`Server::stop`] no connection is accepted and no request begins; those in flight had [`STOP_GRACE`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cove_base::Clock;
use cove_model::arn::Tenant;
use cove_registry::Registry;
use cove_scheduler::tenant::ensure_tenant;
use cove_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::buffered::Buffered;
use super::connection;
use super::guard::Guard;
use super::metrics::Metrics;
use super::peers::Peers;
use super::settings::Settings;
use crate::aws::{SigningKeys, Tenants};
use crate::cove::ExecPort;
use crate::ecs::acs::Connections;
use crate::metadata::{Metadata, Router};
use crate::terminal::Sessions;

/// Connections over all listeners; more wait in the kernel's queue. Each costs about 20 KiB.
pub const CONNECTIONS_MAX: usize = 4096;
/// Connections of the tasks of one network, apart from those above: tasks must not keep clients out.
const TASK_CONNECTIONS_MAX: usize = 512;
/// How long requests in flight may take when the server stops.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// The wait after the system had no file descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the server was started.
pub struct ServerConfig {
    pub settings: Settings,
}

/// What the server works on.
pub struct Deps {
    pub store: Store,
    pub clock: Clock,
    pub registry: Arc<Registry>,
    pub metrics: cove_metrics::Metrics,
    /// Absent only where no agent runs, as in tests.
    pub exec: Option<Arc<dyn ExecPort>>,
}

/// Who reaches a listener.
#[derive(Clone)]
pub enum ListenerKind {
    /// Clients of the host, or of whatever the address is open to.
    Public { tls: Option<TlsAcceptor> },
    /// The tasks of one network: metadata, credentials and the AWS API, nothing of Cove's own.
    Task { network: Router },
}

/// The server. Clones share it.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    stopping: Arc<watch::Sender<bool>>,
}

/// What requests share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) registry: Arc<Registry>,
    pub(crate) exec: Option<Arc<dyn ExecPort>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tenants: Tenants,
    pub(crate) guard: Guard,
    /// What this server counts about itself.
    pub(crate) metrics: Metrics,
    /// What CloudWatch knows.
    pub(crate) cloudwatch: cove_metrics::Metrics,
    pub(crate) signing_keys: SigningKeys,
    pub(crate) metadata: Metadata,
    /// Bodies of the public listeners, and of those of tasks, which must not keep clients out.
    pub(crate) buffered: Buffered,
    pub(crate) buffered_of_tasks: Buffered,
    /// Sessions that ExecuteCommand made.
    pub(crate) terminals: Arc<Sessions>,
    /// Agents of other hosts that listen for their work.
    pub(crate) agents: Arc<Connections>,
    /// Whether the server stops: who only waits for something to happen gives up.
    pub(crate) stopping: watch::Receiver<bool>,
    connections: Arc<Semaphore>,
}

impl Shared {
    /// Makes sure that the tenant has its defaults.
    pub(crate) async fn ensure_tenant(&self, tenant: &Tenant) -> Result<(), StoreError> {
        let settings = Arc::clone(&self.settings);
        let setup = move |tx: &mut cove_store::Tx<'_>, tenant: &Tenant| ensure_tenant(tx, tenant, &settings.host);
        self.tenants.ensure(&self.store, setup, tenant).await
    }
}

impl Server {
    /// Nothing listens yet.
    #[must_use]
    pub fn new(config: ServerConfig, deps: Deps) -> Self {
        let guard = Guard::new(&config.settings.host_names);
        let metadata = Metadata {
            store: deps.store.clone(),
            node_secret: config.settings.keys.node_secret.clone(),
            stats: deps.exec.clone(),
            throttle: Default::default(),
        };
        let stopping = watch::Sender::new(false);
        let shared = Shared {
            store: deps.store,
            clock: deps.clock,
            registry: deps.registry,
            exec: deps.exec,
            settings: Arc::new(config.settings),
            tenants: Tenants::default(),
            guard,
            metrics: Metrics::default(),
            cloudwatch: deps.metrics,
            signing_keys: SigningKeys::default(),
            metadata,
            buffered: Buffered::default(),
            buffered_of_tasks: Buffered::default(),
            terminals: Arc::default(),
            agents: Arc::default(),
            stopping: stopping.subscribe(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        };
        Self { shared: Arc::new(shared), stopping: Arc::new(stopping) }
    }

    /// The API for rules' targets, without a connection.
    #[must_use]
    pub fn event_port(&self) -> Arc<dyn cove_events::Port> {
        Arc::new(crate::events::Carrier(Arc::clone(&self.shared)))
    }

    /// Accepts connections until the server stops; then waits for those of this listener.
    pub async fn serve(&self, listener: TcpListener, kind: ListenerKind) {
        let mut stopping = self.stopping.subscribe();
        let (slots, peers) = match &kind {
            ListenerKind::Public { .. } => (Arc::clone(&self.shared.connections), None),
            ListenerKind::Task { .. } => (Arc::new(Semaphore::new(TASK_CONNECTIONS_MAX)), Some(Peers::default())),
        };
        let kind = Arc::new(kind);
        let mut open = tokio::task::JoinSet::new();
        loop {
            let permit = Arc::clone(&slots).acquire_owned();
            let accepted = tokio::select! {
                biased;
                () = connection::stopped(&mut stopping) => break,
                // Connections that ended are forgotten as others come.
                Some(_) = open.join_next() => continue,
                accepted = async { (permit.await, listener.accept().await) } => accepted,
            };
            let (Ok(permit), accepted) = accepted else { break };
            match accepted {
                Ok((stream, peer)) => {
                    let counted = peers.as_ref().map(|peers| peers.admit(peer.ip()));
                    if matches!(counted, Some(None)) {
                        // A reset says more than silence.
                        let _ = stream.set_zero_linger();
                        tracing::debug!(%peer, "a task has too many connections; one more was turned away");
                        continue;
                    }
                    let (shared, kind) = (Arc::clone(&self.shared), Arc::clone(&kind));
                    let stopping = self.stopping.subscribe();
                    open.spawn(async move {
                        connection::serve(shared, stream, peer, kind, stopping).await;
                        drop((permit, counted));
                    });
                }
                // The listener was shut down from outside: its network is gone.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                Err(error) => pause_after(&error).await,
            }
        }
        drop(listener);
        if tokio::time::timeout(STOP_GRACE, async { while open.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(connections = open.len(), "requests in flight were cut off at the end of the stop's grace");
        }
    }

    /// Ends every listener; their `serve` return when their requests have been answered.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

/// A failed accept concerns one connection, unless descriptors have run out: then waiting helps and looping does not.
async fn pause_after(error: &io::Error) {
    let of_the_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if !of_the_connection {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
