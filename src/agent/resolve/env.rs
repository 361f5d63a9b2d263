//! The environment of a container: image, then definition, then override; ECS's own variables where nobody set them.

use cove_model::task::{Container, TaskNetwork};
use cove_model::task_definition::{ContainerDefinition, KeyValue};
use cove_model::task_override::ContainerOverride;

use super::{ImageDefaults, Surroundings, execution_env, has_router};

/// Docker's default search path.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where a task finds metadata, credentials and the AWS API.
pub(crate) const AGENT_ADDRESS: &str = "http://169.254.170.2";

/// `NAME=value`, in order, each name once.
pub(super) fn merge(
    around: &Surroundings<'_>,
    definition: &ContainerDefinition,
    given: Option<&ContainerOverride>,
    container: &Container,
    image: &ImageDefaults,
    hostname: Option<&str>,
) -> Vec<String> {
    let mut env = Environment::default();
    env.set("PATH", PATH_DEFAULT);
    if let Some(hostname) = hostname {
        env.set("HOSTNAME", hostname);
    }
    if definition.pseudo_terminal == Some(true) {
        env.set("TERM", "xterm");
    }
    for line in &image.env {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        env.set(name, value);
    }
    agent_variables(&mut env, around, container);
    for list in [Some(&definition.environment), given.map(|given| &given.environment)].into_iter().flatten() {
        for KeyValue { name, value } in list {
            if let Some(name) = name {
                env.set(name, value.as_deref().unwrap_or_default());
            }
        }
    }
    client_defaults(&mut env, around);
    env.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// What the ECS agent sets. Where a task asks about itself depends on its network: through a router, on loopback with a
/// secret in the path, or (`none`) nowhere.
fn agent_variables(env: &mut Environment, around: &Surroundings<'_>, container: &Container) {
    env.set("AWS_EXECUTION_ENV", execution_env(around.task.placement.launch_type));
    // The declared GPUs of a fleet are counted and named, as the agent names them; there is no device behind them.
    if !container.gpu_ids.is_empty() {
        env.set("NVIDIA_VISIBLE_DEVICES", &container.gpu_ids.join(","));
    }
    let base = match (has_router(&around.task.network), around.host_mode) {
        (true, _) => AGENT_ADDRESS,
        (false, Some(access)) => &access.url,
        (false, None) => return,
    };
    let id = &container.id;
    env.set("ECS_CONTAINER_METADATA_URI", &format!("{base}/v3/{id}"));
    env.set("ECS_CONTAINER_METADATA_URI_V4", &format!("{base}/v4/{id}"));
    env.set("ECS_AGENT_URI", &format!("{base}/api/{id}"));
    let Some(role) = &around.task.task_role else { return };
    let path = format!("/v2/credentials/{}", role.credentials_id);
    match around.host_mode {
        None => env.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &path),
        Some(access) => {
            env.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{base}{path}"));
            env.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", &access.token);
        }
    }
}

/// Region and endpoint, unless image or definition set them: an endpoint that cannot be reached from inside is the most
/// common trouble with emulated AWS.
fn client_defaults(env: &mut Environment, around: &Surroundings<'_>) {
    if !env.has("AWS_REGION") && !env.has("AWS_DEFAULT_REGION") {
        env.set("AWS_REGION", &around.task.tenant.region);
        env.set("AWS_DEFAULT_REGION", &around.task.tenant.region);
    }
    if !around.endpoint.inject || env.has("AWS_ENDPOINT_URL") {
        return;
    }
    match around.task.network {
        TaskNetwork::Bridge { .. } | TaskNetwork::Awsvpc(_) => env.set("AWS_ENDPOINT_URL", AGENT_ADDRESS),
        TaskNetwork::Host => env.set("AWS_ENDPOINT_URL", &around.endpoint.host_mode_url),
        TaskNetwork::None => {}
    }
}

/// Names in the order they first appeared.
#[derive(Default)]
struct Environment(Vec<(String, String)>);

impl Environment {
    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}
