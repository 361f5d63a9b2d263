//! Where the server listens: public addresses, and the sockets inside each router.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use cove_api::http::server::Deps;
use cove_api::http::settings::Settings;
use cove_api::metadata::{DnsServer, Router, serve_dns};
use cove_api::{ListenerKind, Server, ServerConfig};
use cove_runtime::network::{NetworkId, RouterListeners};
use cove_scheduler::HostFacts;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::config::Config;
use super::parts::{Parts, network_config};
use super::port::NodePort;
use super::{ServeError, host};

/// The port of a registry whose name has none.
const HTTPS_PORT: u16 = 443;
/// The host's resolvers, which tasks ask through us.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Public sockets, bound early so that a taken port ends the start before anything is touched.
#[derive(Default)]
pub(crate) struct Bound {
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

/// A server that answers.
pub(crate) struct Listening {
    server: Server,
    serving: JoinSet<()>,
    /// The URL of the first listener.
    pub first: String,
}

impl Listening {
    /// The API for rules' targets.
    pub(crate) fn event_port(&self) -> Arc<dyn cove_events::Port> {
        self.server.event_port()
    }

    /// Takes no more requests and waits for those in flight.
    pub(crate) async fn stop(mut self) {
        self.server.stop();
        while self.serving.join_next().await.is_some() {}
    }
}

/// Binds every public address.
pub(crate) fn bind(config: &Config) -> Result<Bound, ServeError> {
    let bind_all = |addresses: &[SocketAddr]| {
        addresses.iter().map(|address| bind_one(*address)).collect::<Result<Vec<_>, ServeError>>()
    };
    Ok(Bound { plain: bind_all(&config.listen)?, tls: bind_all(&config.tls_listen)? })
}

fn bind_one(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

impl Bound {
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.plain.iter().chain(&self.tls).filter_map(|listener| listener.local_addr().ok())
    }

    /// Ports that tasks on this host cannot have.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.addresses().map(|address| address.port()).collect()
    }

    /// The first plain listener as this host reaches it.
    fn local(&self) -> Option<SocketAddr> {
        let addresses = || self.plain.iter().filter_map(|listener| listener.local_addr().ok());
        let loopback = addresses().find(|address| address.ip().is_loopback());
        loopback.or_else(|| addresses().next()).map(|address| {
            let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
            SocketAddr::new(ip, address.port())
        })
    }

    /// The first plain listener, else the first with TLS: what the ready line says, and the AWS endpoint for processes
    /// in the host's network.
    pub(crate) fn local_url(&self) -> String {
        match (self.local(), self.first_tls()) {
            (Some(address), _) => format!("http://{address}"),
            (None, Some(address)) => format!("https://{address}"),
            (None, None) => String::new(),
        }
    }

    /// The first plain listener, only when it is on loopback.
    pub(crate) fn loopback_url(&self) -> Option<String> {
        self.local().filter(|address| address.ip().is_loopback()).map(|address| format!("http://{address}"))
    }

    fn first_tls(&self) -> Option<SocketAddr> {
        self.tls.first().and_then(|listener| listener.local_addr().ok())
    }

    /// Addresses that the certificate is for. Who listens on all of them is reached by any that the host has now.
    fn tls_addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> =
            self.tls.iter().filter_map(|listener| Some(listener.local_addr().ok()?.ip())).collect();
        if addresses.iter().any(IpAddr::is_unspecified) {
            addresses.extend(host::addresses());
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The registry's host in repository URIs.
    pub(crate) fn registry_host(&self, config: &Config) -> String {
        let local =
            || self.local().or_else(|| self.first_tls()).map_or_else(String::new, |address| address.to_string());
        config.registry_host.clone().unwrap_or_else(local)
    }

    /// Whether clients speak TLS to this host of ours. Of one that is none of our listeners, behind a proxy, the port says it.
    fn speaks_tls(&self, host: &str) -> bool {
        let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(HTTPS_PORT);
        let listens = |listeners: &[TcpListener]| {
            listeners.iter().any(|listener| listener.local_addr().is_ok_and(|address| address.port() == port))
        };
        listens(&self.tls) || (port == HTTPS_PORT && !listens(&self.plain))
    }

    /// Every `host:port` under which our own registry may be named in a task definition.
    pub(crate) fn registry_hosts(&self, config: &Config) -> Vec<String> {
        let mut hosts = vec![self.registry_host(config)];
        for port in self.ports() {
            hosts.push(format!("127.0.0.1:{port}"));
            hosts.push(format!("localhost:{port}"));
            hosts.extend(config.names.iter().map(|name| format!("{name}:{port}")));
            if port == HTTPS_PORT {
                hosts.extend(config.names.iter().cloned());
            }
        }
        hosts.extend(self.addresses().map(|address| address.to_string()));
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}

/// Serves every listener, and those of routers as they come up.
pub(crate) fn start(
    config: &Config,
    bound: Bound,
    parts: &Parts,
    host: Arc<HostFacts>,
    ended: &Arc<Notify>,
) -> Result<Listening, ServeError> {
    let registry_host = bound.registry_host(config);
    let settings = Settings {
        node: config.node.to_string(),
        dev: config.dev,
        dev_allow: config.dev_allow.clone(),
        region: config.region.clone(),
        registry_tls: bound.speaks_tls(&registry_host),
        registry_host: registry_host.clone(),
        host_names: config.names.clone(),
        timing: config.timing(),
        keys: parts.keys.clone(),
        host: Arc::clone(&host),
        event_endpoints: config.event_endpoints.clone(),
    };
    let port = NodePort {
        agent: Arc::clone(&parts.agent),
        network: network_config(config),
        data_dir: config.data_dir.clone(),
        registry_host,
        host,
        cores: host::cores(),
        services_turn: Arc::clone(&parts.services_turn),
        ended: Arc::clone(ended),
    };
    let deps = Deps {
        store: parts.store.clone(),
        clock: parts.clock.clone(),
        registry: Arc::new(parts.registry.clone()),
        metrics: parts.metrics.clone(),
        exec: Some(Arc::new(port)),
    };
    let acceptor = if bound.tls.is_empty() {
        None
    } else {
        let addresses: Vec<IpAddr> = bound.tls_addresses();
        let data = cove_base::paths::DataDir::new(&config.data_dir);
        Some(cove_api::http::tls::acceptor(&data, &addresses, &config.names).map_err(ServeError::Tls)?)
    };
    let server = Server::new(ServerConfig { settings }, deps);
    let first = bound.local_url();
    let mut serving = JoinSet::new();
    let kinds = bound.plain.into_iter().map(|listener| (listener, None));
    for (listener, tls) in kinds.chain(bound.tls.into_iter().map(|listener| (listener, acceptor.clone()))) {
        let (server, listener) = (server.clone(), adopt(listener)?);
        serving.spawn(async move { server.serve(listener, ListenerKind::Public { tls }).await });
    }
    serve_routers(&server, parts);
    Ok(Listening { server, serving, first })
}

fn adopt(listener: TcpListener) -> Result<tokio::net::TcpListener, ServeError> {
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    tokio::net::TcpListener::from_std(listener).map_err(|source| ServeError::Listen { address, source })
}

/// Each router gets its in-task endpoint and its name server as soon as it is up.
fn serve_routers(server: &Server, parts: &Parts) {
    let Some(mut routers) = parts.take_routers() else { return };
    let server = server.clone();
    tokio::spawn(async move {
        while let Some((network, sockets)) = routers.recv().await {
            if let Err(error) = serve_router(&server, &network, sockets) {
                tracing::warn!(?network, %error, "the sockets of a router cannot be served");
            }
        }
    });
}

fn serve_router(server: &Server, network: &NetworkId, sockets: RouterListeners) -> std::io::Result<()> {
    let http = tokio::net::TcpListener::from_std(sockets.http)?;
    let udp = tokio::net::UdpSocket::from_std(sockets.dns)?;
    let tcp = tokio::net::TcpListener::from_std(sockets.dns_tcp)?;
    let router = match network {
        NetworkId::Bridge => Router::Bridge,
        NetworkId::Vpc(id) => Router::Vpc(id.clone()),
    };
    let server = server.clone();
    tokio::spawn(async move { server.serve(http, ListenerKind::Task { network: router }).await });
    tokio::spawn(serve_dns(DnsServer::new(PathBuf::from(RESOLV_CONF)), udp, tcp));
    Ok(())
}
