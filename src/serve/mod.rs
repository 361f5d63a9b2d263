//! `cove serve`: wires the parts together, and owns the order in which they start and stop.
//!
//! ```text
//! start  directories, locks ▸ store, kernel parts, agent ▸ fleet ▸ listeners ▸ "ready"
//! stop   listeners ▸ agent (containers go on, unless the machine goes down) ▸ store
//! ```
//!
//! Holds: "ready" is printed when every listener answers. SIGTERM leaves containers running; `--ephemeral` leaves nothing.

mod admission;
mod config;
mod directories;
mod endpoint;
mod fleet;
mod host;
mod listeners;
mod log;
mod parts;
mod port;
mod scan;
mod service_manager;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use cove_base::error::chain;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use config::{Config, ConfigError};
use directories::{Directories, DirectoryError};
use parts::Parts;

/// Exit codes as in sysexits.
const EXIT_USAGE: u8 = 64;
const EXIT_CONFIG: u8 = 78;
/// Requests wait for the store and the kernel, not for a processor.
const WORKER_THREADS: usize = 2;
/// Unpacking, attaching and spawning block; each thread costs 8 KiB until it is used.
const BLOCKING_THREADS_MAX: usize = 32;

/// Why the server did not start or end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("the server makes containers and networks, so it must run as root: try `sudo cove serve`")]
    NotRoot,
    #[error(
        "root without CAP_{0} cannot make containers and networks: run Cove on the host, or in a container with --privileged"
    )]
    Capabilities(String),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("prepare TLS")]
    Tls(#[source] cove_api::http::tls::TlsError),
    #[error("start the async runtime")]
    Runtime(#[source] std::io::Error),
    #[error("watch for signals")]
    Signals(#[source] std::io::Error),
    #[error("read this boot's identity")]
    BootId(#[source] std::io::Error),
    #[error("open the keys")]
    Keys(#[from] cove_api::aws::credentials::KeyError),
    #[error("open the store")]
    Store(#[from] cove_store::StoreError),
    #[error("open the registry")]
    Registry(#[from] cove_registry::RegistryError),
    #[error("open the snapshots")]
    Snapshots(#[from] cove_runtime::rootfs::RootfsError),
    #[error("open the networks")]
    Networks(#[from] cove_runtime::network::NetworkError),
    #[error("open the control groups")]
    Cgroups(#[from] cove_runtime::cgroup::CgroupError),
    #[error("make the program available to containers")]
    Publish(#[from] cove_shim::binary::PublishError),
    #[error("take everything down")]
    Down(#[from] cove_agent::DownError),
    #[error("a part of the start panicked")]
    Panicked,
    #[error("say that the server is ready")]
    Say(#[source] std::io::Error),
}

/// Runs the server until it is told to stop.
pub(crate) fn run(args: impl Iterator<Item = String>) -> ExitCode {
    let config = match config::read(args) {
        Ok(config) => config,
        Err(ConfigError::Usage(error)) => {
            // Nobody is left to tell when the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
        Err(error) => return give_up(&chain(&error), EXIT_CONFIG),
    };
    let filter = match tracing_subscriber::EnvFilter::try_new(&config.log) {
        Ok(filter) => filter,
        Err(error) => return give_up(&format!("log = `{}`: {error}", config.log), EXIT_CONFIG),
    };
    log::start(filter, config.sink);
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => give_up(&chain(&error), 1),
    }
}

fn give_up(why: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "cove: {}", why.replace('\n', " "));
    ExitCode::from(code)
}

fn serve(mut config: Config) -> Result<(), ServeError> {
    if !host::is_root() {
        return Err(ServeError::NotRoot);
    }
    let missing = cove_runtime::capability::missing();
    if !missing.is_empty() {
        return Err(ServeError::Capabilities(missing.join(", CAP_")));
    }
    cove_runtime::memory::share_heaps();
    host::raise_descriptors();
    let directories = Directories::take(&config.data_dir, &config.run_dir)?;
    directories.refuse_newer()?;
    // Mounts and pins are compared with what the kernel shows, so paths must be absolute and free of links.
    config.data_dir = canonical(&config.data_dir);
    config.run_dir = canonical(&config.run_dir);
    if directories.was_ephemeral() {
        parts::remove_everything(&config)?;
        directories.empty()?;
    }
    if config.ephemeral {
        directories.mark_ephemeral()?;
    }
    directories.mark_format()?;
    let bound = if config.down { listeners::Bound::default() } else { listeners::bind(&config)? };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("cove")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let served = runtime.block_on(work(&config, bound));
    runtime.shutdown_background();
    if config.ephemeral && served.is_ok() {
        parts::remove_everything(&config)?;
        directories.empty()?;
        directories.remove();
    }
    served
}

fn canonical(path: &std::path::Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

async fn work(config: &Config, bound: listeners::Bound) -> Result<(), ServeError> {
    // Before anything takes time: a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let parts = Parts::open(config, &bound)?;
    let ended = Arc::new(Notify::new());
    if config.down {
        if let Some(stopping) = parts.agent.stopping() {
            // Nobody is left to tell when the terminal is gone.
            let _ = writeln!(std::io::stderr(), "cove: {stopping}");
        }
        let result = parts.agent.down().await;
        parts.close().await;
        cove_shim::binary::withdraw(&config.run_dir);
        return Ok(result.map(drop)?);
    }
    let host = Arc::new(host::facts(config, &bound.ports()));
    let mut loops = parts.begin(&host, config.timing()).await?;
    let server = listeners::start(config, bound, &parts, host, &ended)?;
    parts.pass_events_on(&mut loops, server.event_port(), config);
    say_ready(&server.first)?;
    service_manager::tell(config.notify_socket.as_deref(), "READY=1");
    let down = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = ended.notified() => true,
    };
    service_manager::tell(config.notify_socket.as_deref(), "STOPPING=1");
    let stopping = async {
        server.stop().await;
        // What a service has begun is in the store by then, and nothing follows. `cove down` has the turn already.
        let _turn = if down { None } else { Some(Arc::clone(&parts.services_turn).lock_owned().await) };
        loops.shutdown().await;
        if !down && service_manager::is_shutting_down(config.notify_socket.as_deref()).await {
            leave_host(&parts).await;
        }
        parts.close().await;
    };
    tokio::select! {
        () = stopping => {}
        // Whoever asks twice does not want to wait; the next start finds everything as after a crash.
        _ = terminate.recv() => tracing::warn!("stopping at once"),
        _ = interrupt.recv() => tracing::warn!("stopping at once"),
    }
    if down {
        cove_shim::binary::withdraw(&config.run_dir);
    }
    Ok(())
}

/// Tasks would die with the machine; their containers get the time that they ask for. Nobody can start one meanwhile.
async fn leave_host(parts: &Parts) {
    match parts.agent.leave_host().await {
        Ok(count) => tracing::info!(count, "the machine goes down: tasks are stopped"),
        Err(error) => tracing::warn!(error = chain(&error), "the machine goes down under its tasks"),
    }
}

/// The line that scripts and tests wait for.
fn say_ready(first: &str) -> Result<(), ServeError> {
    let mut out = std::io::stdout();
    writeln!(out, "cove: ready on {first}").and_then(|()| out.flush()).map_err(ServeError::Say)
}
