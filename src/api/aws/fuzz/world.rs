//! A tenant with its defaults, a definition, a repository and a log group, in memory where that is possible.

use std::path::Path;
use std::sync::Arc;

use cove_base::paths::DataDir;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_registry::{Registry, RegistryConfig};
use cove_scheduler::{HostFacts, tenant};
use cove_store::{Store, StoreError, StoreOptions};
use serde_json::json;

use crate::aws::service::{Answer, Input, Op};
use crate::{Caller, CallerKind, Context, Keys, Origin, Settings};

/// Syncing a disk for every input would be most of the time.
const MEMORY_DISK: &str = "/dev/shm";

pub(super) struct World {
    cx: Context,
    runtime: tokio::runtime::Runtime,
    _directory: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let directory = if Path::new(MEMORY_DISK).is_dir() {
            tempfile::tempdir_in(MEMORY_DISK).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let data = DataDir::new(directory.path());
        let clock = Clock::manual(Timestamp(1_700_000_000_000));
        let store = Store::open(&data, clock.clone(), StoreOptions::default()).unwrap();
        let registry = Registry::open(&data, store.clone(), clock.clone(), RegistryConfig::default()).unwrap();
        let host = Arc::new(host());
        let tenant = Tenant::new("000000000000", "us-east-1");
        let (owner, facts) = (tenant.clone(), Arc::clone(&host));
        store
            .write_blocking(move |tx| {
                tenant::ensure_tenant(tx, &owner, &facts);
                Ok::<_, StoreError>(())
            })
            .unwrap();
        let settings = Settings {
            node: "cove".to_owned(),
            dev: true,
            dev_allow: Vec::new(),
            region: "us-east-1".to_owned(),
            registry_host: "127.0.0.1:4566".to_owned(),
            registry_tls: false,
            host_names: Vec::new(),
            timing: Default::default(),
            keys: Keys::random(),
            host,
            event_endpoints: Default::default(),
        };
        let caller = Caller {
            arn: "arn:aws:iam::000000000000:root".to_owned(),
            user_id: "000000000000".to_owned(),
            access_key_id: "test".to_owned(),
            kind: CallerKind::Dev,
        };
        let cx = Context {
            store,
            clock,
            tenant,
            caller,
            registry: Arc::new(registry),
            metrics: cove_metrics::Metrics::default(),
            settings: Arc::new(settings),
            request_id: "test".to_owned(),
            origin: Origin::Public,
            terminals: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = Self { cx, runtime, _directory: directory };
        world.fill();
        world
    }

    pub(super) fn call(&self, op: &Op, input: Input) -> Answer {
        self.runtime.block_on((op.run)(&self.cx, input))
    }

    /// Something for the names in the samples to mean.
    fn fill(&self) {
        let containers = json!([{"name": "web", "image": "busybox", "memory": 64}]);
        let made = [
            ("ecs", "RegisterTaskDefinition", json!({"family": "web", "containerDefinitions": containers})),
            ("ecr", "CreateRepository", json!({"repositoryName": "a/b"})),
            ("logs", "CreateLogGroup", json!({"logGroupName": "web"})),
            ("logs", "CreateLogStream", json!({"logGroupName": "web", "logStreamName": "a"})),
        ];
        for (service, operation, input) in made {
            let service = crate::SERVICES.iter().find(|one| one.signing_name == service).unwrap();
            let op = service.ops.iter().find(|op| op.name == operation).unwrap();
            self.call(op, Input(input)).unwrap_or_else(|fault| panic!("{operation}: {}", fault.message));
        }
    }
}

fn host() -> HostFacts {
    HostFacts {
        node: "cove".to_owned(),
        cpu: 2048,
        memory_mib: 4096,
        zones: vec!["a".to_owned(), "b".to_owned()],
        instance_type: "m5.large".to_owned(),
        ephemeral_ports: 32768..=60999,
        reserved_ports_tcp: vec![22],
        reserved_ports_udp: Vec::new(),
        attributes: Vec::new(),
        tasks_max: 2000,
        memory_overcommit: 1.5,
        enforces_device_permissions: true,
        fleet: cove_scheduler::fleet::Fleet::default(),
    }
}
