//! Makes everything that a task's containers need: images, root file systems, network, shim.
//!
//! ```text
//! images ─▶ unpack ─▶ writable layers ─▶ spec ─▶ shim ─┐
//! network ─────────────────────────────────────────────┴─▶ Start
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cove_base::crash::{self, Point};
use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::logs::LogStream;
use cove_model::network::{Cidr, Vpc};
use cove_model::task::{Container, ElasticNetworkInterface, LaunchType, NetworkBinding, Task, TaskNetwork, TaskStatus};
use cove_model::task_definition::{ContainerDefinition, TaskDefinition, TransportProtocol};
use cove_registry::{Arrival, ArrivingLayer, Credentials, LocalImage, Progress, PullProgress};
use cove_runtime::network::{Attachment, BRIDGE_RANGE, NetworkId, PortMap};
use cove_runtime::rootfs::{self, Ahead, Arriving, Layer, Opening, Stack};
use cove_runtime::spec::NetworkNamespace;
use cove_shim::protocol::{HeldPort, TaskSpec, VERSION};
use cove_store::{Read, keys};

use super::{Driver, StepError, docker_volumes, release};
use crate::deps::{Deps, blocking};
use crate::machines;
use crate::observe::{self, Failure};
use crate::order::Graph;
use crate::resolve::{self, ImageDefaults, Resolved, Surroundings};
use crate::secrets::{self, Environment};

/// A pull that takes longer than this is shown as PENDING; a shorter one costs no write of its own.
const SHOW_PENDING_AFTER: Duration = Duration::from_millis(150);
/// Of the host.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A blob that comes within this time is unpacked when it is here: beside downloads that need the processors themselves,
/// unpacking is no faster (100 MB from this host were RUNNING after 0.47 s instead of 0.40).
const FAST_DOWNLOAD: Duration = Duration::from_millis(300);

/// An image of a container, unpacked.
struct Ready {
    defaults: ImageDefaults,
    stack: Stack,
    digest: String,
}

impl Driver {
    pub(super) async fn prepare(&mut self, task: &Arc<Task>) -> Result<(), StepError> {
        self.known.residue = true;
        self.expect_moves();
        match self.prepared(task).await {
            Ok(()) => Ok(()),
            Err(Trouble::ShouldStop) => Ok(()),
            Err(Trouble::Failed(failure)) => {
                tracing::info!(task = task.id, reason = failure.reason, "the task cannot be started");
                self.known.failure = Some(failure);
                Ok(())
            }
        }
    }

    async fn prepared(&mut self, task: &Arc<Task>) -> Result<(), Trouble> {
        let definition = self.definition(task)?;
        Graph::of(task, &definition.document).map_err(|error| whole(error.to_string()))?;
        check_log_streams(&self.deps, task, &definition)?;
        let secrets = secrets::environment(&self.deps, task, &definition.document);
        let secrets = secrets.map_err(|error| whole(format!("ResourceInitializationError: {error}")))?;
        let exchanged = self.exchange_taken_ports(task, &definition).await;
        let task = &exchanged.map_err(|error| whole(format!("ResourceInitializationError: {error}")))?;
        crash::at(Point::TaskPreparing);
        let network = self.begin_attach(task)?;
        self.pull.started_at = Some(self.deps.clock.now());
        let ready = self.images(task, &definition).await?;
        crash::at(Point::TaskUnpacked);
        self.pull.stopped_at = Some(self.deps.clock.now());
        self.digests = ready.iter().map(|(name, ready)| (name.clone(), ready.digest.clone())).collect();
        let namespace = match &task.network {
            TaskNetwork::Host => NetworkNamespace::Host,
            TaskNetwork::None | TaskNetwork::Bridge { .. } | TaskNetwork::Awsvpc(_) => {
                NetworkNamespace::Path(self.deps.networks.pins().join(&task.id))
            }
        };
        let (deps, of) = (Arc::clone(&self.deps), Arc::clone(task));
        let spec = blocking(move || build(&deps, &of, &definition, &ready, &secrets, namespace)).await;
        let mut spec = spec.map_err(|error| whole(format!("CannotCreateContainerError: {error}")))??;
        crash::at(Point::TaskBuilt);
        if let Some(pending) = network {
            let path = pending
                .await
                .map_err(|_| whole("ResourceInitializationError: the network was not attached".to_owned()))??;
            self.pull.connectivity_at = Some(self.deps.clock.now());
            spec.network = NetworkNamespace::Path(path);
        }
        if self.should_stop() {
            return Err(Trouble::ShouldStop);
        }
        let spawned = cove_shim::client::spawn(&self.deps.shim_binary, &self.deps.cgroups, &spec).await;
        let (client, state) = spawned.map_err(|error| {
            whole(format!("ResourceInitializationError: unable to start the task: {}", cove_base::error::chain(&error)))
        })?;
        crash::at(Point::ShimAnswered);
        self.adopt(client, state);
        Ok(())
    }

    fn definition(&self, task: &Task) -> Result<Arc<TaskDefinition>, Trouble> {
        let key = keys::definition(&task.tenant, &task.family, task.revision);
        let found = self.deps.store.read(|view| view.get::<TaskDefinition>(&key));
        found.ok_or_else(|| whole("ResourceInitializationError: the task definition is gone".to_owned()).into())
    }

    fn should_stop(&self) -> bool {
        self.read().is_none_or(|task| task.desired.is_stopped())
    }

    /// Begins to attach the network on a thread of its own; `None` in host mode.
    fn begin_attach(&mut self, task: &Arc<Task>) -> Result<Option<Attaching>, Trouble> {
        let Some(plan) = plan(&self.deps, task)? else { return Ok(None) };
        let (deps, id) = (Arc::clone(&self.deps), task.id.clone());
        let (send, receive) = tokio::sync::oneshot::channel();
        self.attaching = Some(tokio::task::spawn_blocking(move || {
            // Nobody listens when the task should stop meanwhile; what was made is removed by its release.
            let _ = send.send(attach(&deps, &id, plan));
        }));
        Ok(Some(receive))
    }

    /// Every container's image, fetched and unpacked, all at once.
    async fn images(&self, task: &Arc<Task>, definition: &TaskDefinition) -> Result<Vec<(String, Ready)>, Trouble> {
        let mut work = tokio::task::JoinSet::new();
        for container in &task.containers {
            let (deps, task, container) = (Arc::clone(&self.deps), Arc::clone(task), container.clone());
            let login = match container_definition(definition, &container.name) {
                Some(given) => secrets::login(&deps, &task, given)
                    .map_err(|error| whole(format!("ResourceInitializationError: {error}")))?,
                None => None,
            };
            work.spawn(
                async move { image(&deps, &task, &container, login).await.map(|ready| (container.name, ready)) },
            );
        }
        let mut ready = Vec::new();
        let mut shown = false;
        let late = tokio::time::sleep(SHOW_PENDING_AFTER);
        tokio::pin!(late);
        loop {
            tokio::select! {
                one = work.join_next() => match one {
                    None => return Ok(ready),
                    Some(Ok(one)) => ready.push(one?),
                    Some(Err(error)) => {
                        return Err(whole(format!("CannotPullContainerError: {error}")).into());
                    }
                },
                () = &mut late, if !shown => {
                    shown = true;
                    // A refused write is not this step's trouble: the next record says the same.
                    let _ = self.write(|task, _| observe::advance(task, TaskStatus::Pending)).await;
                }
                () = self.wake.notified() => if self.should_stop() {
                    return Err(Trouble::ShouldStop);
                },
            }
        }
    }
}

/// Answered with the path of the task's namespace.
type Attaching = tokio::sync::oneshot::Receiver<Result<PathBuf, Failure>>;

/// Why preparing ended early.
enum Trouble {
    /// The task should stop; nothing failed.
    ShouldStop,
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The API makes a stream's record together with the task, unless its group does not exist. What Docker looks at when it
/// opens a log is looked at here.
fn check_log_streams(deps: &Deps, task: &Task, definition: &TaskDefinition) -> Result<(), Failure> {
    for (container, document) in task.containers.iter().zip(&definition.document.container_definitions) {
        let Some(log) = container.log.as_ref().filter(|log| !log.is_local()) else { continue };
        let options = document.log_configuration.as_ref().map(|log| &log.options);
        // Fargate looks before it makes a container; elsewhere Docker says it of the container.
        let failed = |why: String| match task.placement.launch_type {
            LaunchType::Fargate => whole(format!("ResourceInitializationError: failed to validate logger args: {why}")),
            LaunchType::Ec2 | LaunchType::External | LaunchType::ManagedInstances => of(
                &container.name,
                format!(
                    "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: {why}"
                ),
            ),
        };
        check_event_start(document).map_err(failed)?;
        let region = options.and_then(|options| options.get("awslogs-region")).unwrap_or(&task.tenant.region);
        let tenant = Tenant::new(task.tenant.account.clone(), region);
        let key = keys::log_stream(&tenant, &log.group, &log.stream);
        if deps.store.read(|view| view.get::<LogStream>(&key)).is_none() {
            return Err(failed(format!(
                "failed to create Cloudwatch log stream {} in {}: ResourceNotFoundException: The specified log group does not exist.",
                log.stream, log.group
            )));
        }
    }
    Ok(())
}

/// In Docker's words.
fn check_event_start(document: &ContainerDefinition) -> Result<(), String> {
    const NAMES: [&str; 2] = ["awslogs-datetime-format", "awslogs-multiline-pattern"];
    let options = document.log_configuration.as_ref().map(|log| &log.options);
    if options.is_some_and(|options| NAMES.iter().all(|name| options.contains_key(*name))) {
        return Err(format!("you cannot configure log opt '{}' and '{}' at the same time", NAMES[0], NAMES[1]));
    }
    let Some(pattern) = resolve::event_start(document) else { return Ok(()) };
    cove_logs::check_pattern(&pattern).map_err(|error| cove_base::error::chain(&error))
}

/// A failure of the task as a whole.
fn whole(reason: String) -> Failure {
    Failure { container: None, reason }
}

fn of(container: &str, reason: String) -> Failure {
    Failure { container: Some(container.to_owned()), reason }
}

async fn image(
    deps: &Arc<Deps>,
    task: &Task,
    container: &Container,
    login: Option<Credentials>,
) -> Result<Ready, Failure> {
    let failed = |why: String| of(&container.name, format!("CannotPullContainerError: {why}"));
    let mut reference =
        deps.registry.reference(&container.image, &task.tenant).map_err(|error| failed(error.to_string()))?;
    if let Some(digest) = &container.pinned_digest {
        reference.selector = ImageSelector::Digest(digest.clone());
    }
    // As on AWS the execution role pulls, where there is one.
    let who = Principal { account: task.tenant.account.clone(), arn: task.execution_role_arn.clone() };
    let ahead = Arc::new(Ahead::new(&deps.snapshots));
    let local = deps
        .registry
        .resolve_as(&who, &task.tenant, &reference, login, Some(unpacking(&ahead)))
        .await
        .map_err(|error| failed(cove_base::error::chain(&error)))?;
    let defaults = defaults(&local);
    let digest = local.digest.clone();
    let stack = blocking(move || {
        let layers: Vec<Layer> = local
            .layers
            .iter()
            .map(|layer| Layer {
                diff_id: layer.diff_id.clone(),
                media_type: layer.media_type.clone(),
                blob: layer.path.clone(),
                digest: layer.digest.clone(),
            })
            .collect();
        ahead.finish(&layers)
    })
    .await
    .map_err(|error| failed(error.to_string()))?
    .map_err(|error| failed(cove_base::error::chain(&error)))?;
    Ok(Ready { defaults, stack, digest })
}

/// Unpacks layers while they arrive.
fn unpacking(ahead: &Arc<Ahead>) -> Progress {
    let ahead = Arc::downgrade(ahead);
    Arc::new(move |news| {
        if let (PullProgress::Layers(layers), Some(ahead)) = (news, ahead.upgrade()) {
            let arriving = |layer: ArrivingLayer| Arriving {
                diff_id: layer.diff_id,
                media_type: layer.media_type,
                size: layer.size,
                blob: layer.arrival.map(opening),
            };
            ahead.begin(layers.into_iter().map(arriving).collect());
        }
    })
}

fn opening(arrival: Arc<Arrival>) -> Opening {
    Box::new(move || {
        let is_slow = arrival.takes_longer_than(FAST_DOWNLOAD);
        is_slow.then(|| Box::new(arrival.reader()) as Box<dyn io::Read + Send>)
    })
}

fn defaults(image: &LocalImage) -> ImageDefaults {
    let config = &image.config.config;
    ImageDefaults {
        env: config.env.clone(),
        entrypoint: config.entrypoint.clone().unwrap_or_default(),
        cmd: config.cmd.clone().unwrap_or_default(),
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        stop_signal: config.stop_signal.clone(),
        shell: config.shell.clone(),
        volumes: config.volumes.keys().cloned().collect(),
    }
}

/// What to attach: a place in a network, or an empty namespace.
enum Plan {
    Isolated,
    Attach(Attachment),
}

fn plan(deps: &Deps, task: &Task) -> Result<Option<Plan>, Failure> {
    match &task.network {
        TaskNetwork::Host => Ok(None),
        TaskNetwork::None => Ok(Some(Plan::Isolated)),
        TaskNetwork::Bridge { address } => {
            let [a, b, c, d] = address.octets();
            Ok(Some(Plan::Attach(Attachment {
                task_id: task.id.clone(),
                network: NetworkId::Bridge,
                cidr: BRIDGE_RANGE,
                address: *address,
                mac: [0x02, 0xc0, a, b, c, d],
                security_groups: Vec::new(),
                ports: ports(task),
            })))
        }
        TaskNetwork::Awsvpc(eni) => Ok(Some(Plan::Attach(Attachment {
            task_id: task.id.clone(),
            network: NetworkId::Vpc(eni.vpc_id.clone()),
            cidr: vpc_range(deps, task, eni)?,
            address: eni.address,
            mac: mac(&eni.mac)
                .ok_or_else(|| whole(format!("ResourceInitializationError: bad MAC address {}", eni.mac)))?,
            security_groups: eni.security_groups.clone(),
            ports: Vec::new(),
        }))),
    }
}

fn vpc_range(deps: &Deps, task: &Task, eni: &ElasticNetworkInterface) -> Result<Cidr, Failure> {
    let key = keys::vpc(&task.tenant, &eni.vpc_id);
    let vpc = deps.store.read(|view| view.get::<Vpc>(&key));
    vpc.map(|vpc| vpc.cidr).ok_or_else(|| whole(format!("ResourceInitializationError: there is no VPC {}", eni.vpc_id)))
}

/// Published ports of all containers, in bridge mode.
fn ports(task: &Task) -> Vec<PortMap> {
    let bindings = task.containers.iter().flat_map(|container| &container.ports);
    let each = |port: &NetworkBinding| {
        let (udp, own) = (port.protocol == TransportProtocol::Udp, port.container_port);
        let map = move |(host_port, container_port)| PortMap { udp, host_port, container_port };
        port.host_ports().zip(own..=u16::MAX).map(map)
    };
    bindings.flat_map(each).collect()
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let octets: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    octets?.try_into().ok()
}

fn attach(deps: &Deps, id: &str, plan: Plan) -> Result<PathBuf, Failure> {
    let refused = |error: &dyn std::error::Error| {
        whole(format!(
            "ResourceInitializationError: unable to attach the task's network: {}",
            cove_base::error::chain(error)
        ))
    };
    match plan {
        Plan::Isolated => deps.networks.isolated(id).map_err(|error| refused(&error)),
        Plan::Attach(attachment) => {
            let path = deps.networks.attach(&attachment).map_err(|error| refused(&error))?;
            crate::routers::open(deps, &attachment.network);
            Ok(path)
        }
    }
}

/// Writable layers, small files and the document for the shim.
fn build(
    deps: &Deps,
    task: &Task,
    definition: &TaskDefinition,
    ready: &[(String, Ready)],
    secrets: &Environment,
    network: NetworkNamespace,
) -> Result<TaskSpec, Failure> {
    let directory = deps.run.task(&task.id);
    let volumes = release::volumes(deps).join(&task.id);
    let shared_volumes = docker_volumes::shared(deps, &task.tenant).unwrap_or_default();
    // Until everything is filled.
    let _turn = docker_volumes::prepare(deps, task, &definition.document).map_err(whole)?;
    let image_volumes = ready.iter().map(|(name, image)| (name.clone(), image.defaults.volumes.clone())).collect();
    let host_mode = if task.network == TaskNetwork::Host { (deps.host_mode)(&task.id) } else { None };
    let resolv_conf = match task.network {
        TaskNetwork::Host | TaskNetwork::None => std::fs::read_to_string(RESOLV_CONF).unwrap_or_default(),
        TaskNetwork::Bridge { .. } | TaskNetwork::Awsvpc(_) => String::new(),
    };
    let around = Surroundings {
        task,
        document: &definition.document,
        volumes: &volumes,
        shared_volumes: &shared_volumes,
        image_volumes: &image_volumes,
        logs: &deps.data.logs(),
        log_max_bytes: deps.settings.log_stream_max_bytes,
        endpoint: &deps.endpoint,
        host_mode: host_mode.as_ref(),
        host: &deps.host,
        resolv_conf: &resolv_conf,
    };
    let mut containers = Vec::with_capacity(task.containers.len());
    for container in &task.containers {
        let cannot = |why: String| of(&container.name, format!("CannotCreateContainerError: {why}"));
        let given =
            container_definition(definition, &container.name).ok_or_else(|| cannot("no such container".into()))?;
        let (_, image) = ready
            .iter()
            .find(|(name, _)| *name == container.name)
            .ok_or_else(|| cannot("its image is missing".into()))?;
        let root = deps
            .snapshots
            .writable(&task.id, &container.name, &image.stack)
            .map_err(|error| cannot(cove_base::error::chain(&error)))?;
        let mut resolved = resolve::container(&around, given, container, &image.defaults, root)
            .map_err(|error| cannot(error.to_string()))?;
        for (name, value) in secrets.get(&container.name).into_iter().flatten() {
            let line = format!("{name}={value}");
            match resolved.spec.env.iter_mut().find(|known| known.split('=').next() == Some(name)) {
                Some(known) => *known = line,
                None => resolved.spec.env.push(line),
            }
        }
        lay_out(&resolved).map_err(|error| cannot(error.to_string()))?;
        rootfs::fill(&resolved.spec.rootfs, &resolved.fills)
            .map_err(|error| cannot(cove_base::error::chain(&error)))?;
        containers.push(resolved.spec);
    }
    let instance = machines::hold(deps, task)
        .map_err(|error| whole(format!("CannotCreateContainerError: {}", cove_base::error::chain(&error))))?;
    let is_bridge = matches!(task.network, TaskNetwork::Bridge { .. });
    let held = if is_bridge { ports(task) } else { Vec::new() };
    Ok(TaskSpec {
        version: VERSION,
        node: deps.node.to_string(),
        task_id: task.id.clone(),
        exits: deps.data.exits().join(&task.id),
        cgroup: deps.cgroups.task_path(instance.as_deref(), &task.id),
        limits: resolve::task_limits(task, deps.host.cores),
        network,
        pid: resolve::pid_sharing(&definition.document),
        ipc: resolve::ipc_sharing(&definition.document),
        held_ports: held.iter().map(|port| HeldPort { port: port.host_port, udp: port.udp }).collect(),
        containers,
        directory,
    })
}

fn container_definition<'a>(definition: &'a TaskDefinition, name: &str) -> Option<&'a ContainerDefinition> {
    definition.document.container_definitions.iter().find(|given| given.name.as_deref() == Some(name))
}

/// Writes the small files and makes the directories of volumes; a host path that exists may be a file.
fn lay_out(resolved: &Resolved) -> io::Result<()> {
    for directory in &resolved.directories {
        if !directory.exists() {
            std::fs::create_dir_all(directory)?;
        }
    }
    for (path, content) in &resolved.files {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}
