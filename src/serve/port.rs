//! The agent as the API sees it: the one place where the two meet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cove_agent::{AgentHandle, ExecCommand, Reading};
use cove_api::cove::{ExecPort, ExecRequest, ExecSession, Finding, Level, PortFuture, TerminalSession};
use cove_api::metadata::Sample;
use cove_base::error::chain;
use cove_model::arn::Tenant;
use cove_model::fault::{FaultAct, FaultState, NetworkFault};
use cove_registry::build::{FileContent, ImageFile};
use cove_registry::image_config::RunConfig;
use cove_runtime::network::{self, NetworkConfig};
use cove_runtime::pty;
use cove_runtime::rootfs::Used;
use cove_scheduler::services::Turn;
use cove_scheduler::{HostFacts, fleet};
use cove_store::{Prefix, Read, StoreHealth};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Where the binary lies in its own image.
const BINARY_IN_IMAGE: &str = "/cove";

/// The agent and what else of the server the API may ask for.
pub(crate) struct NodePort {
    pub agent: Arc<AgentHandle>,
    pub network: NetworkConfig,
    pub data_dir: PathBuf,
    pub registry_host: String,
    pub host: Arc<HostFacts>,
    pub cores: u32,
    pub services_turn: Turn,
    /// Told when everything is down and the server should end.
    pub ended: Arc<Notify>,
}

impl ExecPort for NodePort {
    fn exec(&self, tenant: Tenant, request: ExecRequest) -> PortFuture<'_, Result<ExecSession, String>> {
        Box::pin(async move {
            let ExecRequest { task, container, args, env, user, cwd } = request;
            let command = ExecCommand { task_id: task, container, args, env, user, cwd };
            let run = self.agent.exec(&tenant, command).await.map_err(|error| chain(&error))?;
            let mut end = run.end;
            Ok(ExecSession {
                stdin: run.stdin.into(),
                stdout: run.stdout.into(),
                stderr: run.stderr.into(),
                exit: Box::pin(async move { end.wait().await.map_err(|error| chain(&error)) }),
            })
        })
    }

    fn terminal(&self, tenant: Tenant, request: ExecRequest) -> PortFuture<'_, Result<TerminalSession, String>> {
        Box::pin(async move {
            let ExecRequest { task, container, args, env, user, cwd } = request;
            let command = ExecCommand { task_id: task, container, args, env, user, cwd };
            let run = self.agent.exec_on_terminal(&tenant, command).await.map_err(|error| chain(&error))?;
            let resized = run.keyboard.try_clone().map_err(|error| error.to_string())?;
            let mut end = run.end;
            Ok(TerminalSession {
                keyboard: run.keyboard,
                // A terminal that is gone has no size.
                resize: Box::new(move |columns, rows| drop(pty::resize(&resized, columns, rows))),
                exit: Box::pin(async move { end.wait().await.map_err(|error| chain(&error)) }),
            })
        })
    }

    fn stopping(&self) -> Option<String> {
        self.agent.stopping().map(|stopping| stopping.to_string())
    }

    fn down(&self) -> PortFuture<'_, Result<usize, String>> {
        Box::pin(async move {
            // For good, if it succeeds: the server ends.
            let turn = self.services_turn.lock().await;
            let tasks = self.agent.down().await.map_err(|error| chain(&error))?;
            self.ended.notify_one();
            std::mem::forget(turn);
            Ok(tasks)
        })
    }

    fn findings(&self) -> PortFuture<'_, Vec<Finding>> {
        let (config, deps, host) = (self.network.clone(), Arc::clone(self.agent.deps()), Arc::clone(&self.host));
        Box::pin(async move {
            let look = tokio::task::spawn_blocking(move || {
                let mut all: Vec<Finding> = network::doctor(&config).into_iter().map(of_network).collect();
                if let Some(why) = deps.snapshots.doctor().no_overlay {
                    let text =
                        format!("root filesystems are copied, which is slow: {why}; put --data-dir on ext4 or xfs");
                    all.push(Finding { level: Level::Note, text });
                }
                let instances = deps.store.read(|view| view.scan(&Prefix::all()));
                if let Some(text) = fleet::beyond(&host, &instances) {
                    all.push(Finding { level: Level::Note, text });
                }
                match deps.store.health() {
                    StoreHealth::Writable => {}
                    StoreHealth::ReadOnly { reason } => {
                        let text = format!("the store cannot write: {reason}; containers go on, see to the disk");
                        all.push(Finding { level: Level::Bad, text });
                    }
                }
                all
            });
            look.await.unwrap_or_else(|error| vec![Finding { level: Level::Bad, text: error.to_string() }])
        })
    }

    fn builtin_image(&self, tenant: Tenant, name: String) -> PortFuture<'_, Result<String, String>> {
        Box::pin(async move {
            if !cove_model::image::is_repository(&name) {
                return Err(format!("`{name}` is no repository name"));
            }
            let binary = FileContent::File("/proc/self/exe".into());
            let files = [ImageFile { path: BINARY_IN_IMAGE.to_owned(), content: binary, mode: 0o755 }];
            let run = RunConfig { entrypoint: Some(vec![BINARY_IN_IMAGE.to_owned()]), ..RunConfig::default() };
            let registry = &self.agent.deps().registry;
            registry.ensure_builtin(&tenant, &name, &files, run).await.map_err(|error| chain(&error))?;
            Ok(format!("{}/{name}:latest", self.registry_host))
        })
    }

    fn fault(&self, task_id: String, act: FaultAct, fault: NetworkFault) -> PortFuture<'_, Result<FaultState, String>> {
        let deps = Arc::clone(self.agent.deps());
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || deps.networks.fault(&task_id, act, &fault));
            done.await.map_err(|error| error.to_string())?.map_err(|error| chain(&error))
        })
    }

    fn shared_volumes(&self, tenant: Tenant) -> PortFuture<'_, Result<Vec<Value>, String>> {
        Box::pin(async move {
            let volumes = self.agent.shared_volumes(&tenant).await.map_err(|error| chain(&error))?;
            let show = |one: cove_agent::SharedVolume| {
                let bytes = match one.used {
                    Used::Bytes(bytes) => Value::from(bytes),
                    Used::Unmeasurable => Value::Null,
                };
                json!({"name": one.name, "bytes": bytes, "tasks": one.tasks})
            };
            Ok(volumes.into_iter().map(show).collect())
        })
    }

    fn remove_shared_volume(&self, tenant: Tenant, name: String) -> PortFuture<'_, Result<(), String>> {
        Box::pin(async move { self.agent.remove_shared_volume(&tenant, &name).await.map_err(|error| chain(&error)) })
    }

    fn sample(&self, task_id: &str, container: &str) -> Option<(Sample, Sample)> {
        let (before, now) = self.agent.usage(task_id, container)?;
        Some((self.sample_of(before), self.sample_of(now)))
    }

    fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

impl NodePort {
    fn sample_of(&self, reading: Reading) -> Sample {
        Sample {
            at: reading.at,
            cpu_micros: reading.usage.cpu_micros,
            system_cpu_micros: reading.host_cpu_micros,
            online_cpus: self.cores,
            memory_bytes: reading.usage.memory_bytes,
            inactive_file_bytes: reading.usage.inactive_file_bytes,
            memory_limit_bytes: reading.usage.memory_limit_bytes,
            pids: reading.usage.pids,
        }
    }
}

fn of_network(found: network::Finding) -> Finding {
    let level = match found.level {
        network::Level::Good => Level::Good,
        network::Level::Warning => Level::Note,
        network::Level::Failure => Level::Bad,
    };
    Finding { level, text: found.text }
}
