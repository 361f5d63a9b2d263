//! What the host has, as far as decisions need it. Found out once at start by whoever may look.

use std::ops::RangeInclusive;

use cove_model::container_instance::Resources;
use cove_model::task_definition::Attribute;

use crate::fleet::Fleet;

/// The machine that this node runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct HostFacts {
    pub node: String,
    /// In 1/1024 of a core.
    pub cpu: i64,
    pub memory_mib: i64,
    /// Suffixes of zone names, as in `a`; the host's own instance stands in the first.
    pub zones: Vec<String>,
    /// As in `m5.large`; shown as the attribute `ecs.instance-type`.
    pub instance_type: String,
    /// Where dynamic host ports come from (`ip_local_port_range`).
    pub ephemeral_ports: RangeInclusive<u16>,
    /// Host ports that tasks never get: the host's own services, and Cove's.
    pub reserved_ports_tcp: Vec<u16>,
    pub reserved_ports_udp: Vec<u16>,
    /// Custom attributes of the host's instance, beside those that every instance has.
    pub attributes: Vec<Attribute>,
    /// How much of the host's memory Fargate tasks may be promised together, as a factor.
    pub memory_overcommit: f64,
    /// Tasks that may live at once, over all tenants.
    pub tasks_max: usize,
    /// Whether a container is kept to the permissions of its devices: all but those inside other containers do.
    pub enforces_device_permissions: bool,
    pub fleet: Fleet,
}

impl HostFacts {
    /// What the host's own container instance registers.
    #[must_use]
    pub fn resources(&self) -> Resources {
        Resources {
            cpu: self.cpu,
            memory_mib: self.memory_mib,
            ports_tcp: self.reserved_ports_tcp.clone(),
            ports_udp: self.reserved_ports_udp.clone(),
            gpus: Vec::new(),
        }
    }

    /// The memory that Fargate tasks may take together.
    #[must_use]
    pub fn fargate_memory_mib(&self) -> i64 {
        // Memory sizes are far below 2^52, and a factor out of a config file needs no exactness.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        let memory = (self.memory_mib as f64 * self.memory_overcommit) as i64;
        memory
    }
}
