//! Records that tests begin with. Only tests have it: those of other crates by the feature `fixture`.

use cove_base::Timestamp;

use crate::arn::Tenant;
use crate::service::Departed;
use crate::task::{Container, ContainerSeen, Desired, LaunchType, Observed, Placement, Task, TaskNetwork, TaskStatus};

/// A task on EC2 that is PENDING on no instance, of no service, without containers and without a network.
#[must_use]
pub fn task(id: &str) -> Task {
    Task {
        tenant: Tenant::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        id: id.into(),
        family: "web".into(),
        revision: 1,
        placement: Placement {
            launch_type: LaunchType::Ec2,
            container_instance: None,
            capacity_provider: None,
            availability_zone: "us-east-1a".into(),
            platform_version: None,
            platform_family: None,
            cpu: 0,
            memory_mib: 0,
            elsewhere: false,
        },
        unplaced: None,
        group: "family:web".into(),
        started_by: None,
        keeper: None,
        overrides: Default::default(),
        enable_execute_command: false,
        tags: Vec::new(),
        attributes: Vec::new(),
        cpu: None,
        memory: None,
        ephemeral_storage_gib: None,
        network: TaskNetwork::None,
        task_role: None,
        execution_role_arn: None,
        created_at: Timestamp(0),
        desired: Desired::Running,
        protected_until: None,
        observed: Observed::new(TaskStatus::Pending),
        containers: Vec::new(),
        version: 1,
    }
}

/// An essential container that has not started, publishes nothing and logs nowhere.
#[must_use]
pub fn container(name: &str) -> Container {
    Container {
        name: name.into(),
        id: "3f0c2d4e-1111-4222-8333-444455556666".into(),
        image: "busybox".into(),
        pinned_digest: None,
        essential: true,
        log: None,
        cpu: None,
        memory: None,
        memory_reservation: None,
        ports: Vec::new(),
        gpu_ids: Vec::new(),
        seen: ContainerSeen::default(),
    }
}

/// A task of a deployment of the service `web` that ended by itself before it ran.
#[must_use]
pub fn departed(task_id: &str, deployment: &str, stopped_at: Timestamp) -> Departed {
    Departed {
        tenant: Tenant::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        service: "web".into(),
        task_id: task_id.into(),
        deployment: deployment.into(),
        instance: None,
        started_at: None,
        stopped_at,
        was_healthy: None,
        was_ordered: false,
        stop_code: None,
        reason: None,
    }
}
