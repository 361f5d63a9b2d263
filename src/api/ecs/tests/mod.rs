//! The operations over a real store, called as dispatch calls them, with replies that the model must accept.

mod clusters;
mod daemons;
mod definitions;
mod launches;
mod services;

use std::sync::Arc;

use cove_base::paths::DataDir;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::network::Subnet;
use cove_registry::{Registry, RegistryConfig};
use cove_scheduler::{HostFacts, tenant};
use cove_store::{Prefix, Read, Store, StoreError, StoreOptions};
use serde_json::{Value, json};

use super::SERVICE;
use crate::{Caller, CallerKind, Context, Input, Keys, Origin, Settings};

/// Few, so that a test reaches it.
const TASKS_MAX: usize = 20;

/// A tenant with its defaults on a host of 2 cores and 4 GiB, in a directory that goes with it.
struct Api {
    cx: Context,
    _directory: tempfile::TempDir,
}

impl Api {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = DataDir::new(directory.path());
        let clock = Clock::manual(Timestamp(1_700_000_000_000));
        let store = Store::open(&data, clock.clone(), StoreOptions::default()).expect("a store");
        let registry = Registry::open(&data, store.clone(), clock.clone(), RegistryConfig::default());
        let host = Arc::new(host());
        let tenant = Tenant::new("000000000000", "us-east-1");
        let (owner, facts) = (tenant.clone(), Arc::clone(&host));
        store
            .write_blocking(move |tx| {
                tenant::ensure_tenant(tx, &owner, &facts);
                Ok::<_, StoreError>(())
            })
            .expect("the tenant's defaults");
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
            registry: Arc::new(registry.expect("a registry")),
            metrics: cove_metrics::Metrics::default(),
            settings: Arc::new(settings),
            request_id: "test".to_owned(),
            origin: Origin::Public,
            terminals: Arc::default(),
        };
        Self { cx, _directory: directory }
    }

    /// The reply, or the error's code and message joined by `: `.
    fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let op = SERVICE.ops.iter().find(|op| op.name == operation).expect("an operation of the table");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let answer = runtime.block_on((op.run)(&self.cx, Input(input)));
        let body = answer.map_err(|fault| format!("{}: {}", fault.code, fault.message))?;
        Ok(serde_json::from_slice(&body).expect("JSON"))
    }

    fn done(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    fn refused(&self, operation: &str, input: Value) -> String {
        self.call(operation, input).expect_err("should be refused")
    }

    fn subnet(&self) -> String {
        self.cx.store.read(|view| view.scan::<Subnet>(&Prefix::all())[0].id.clone())
    }

    /// A Fargate definition `web` and what RunTask needs to run it in `default`.
    fn web(&self) -> Value {
        self.done(
            "RegisterTaskDefinition",
            json!({"family": "web", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
                "requiresCompatibilities": ["FARGATE"],
                "containerDefinitions": [{"name": "web", "image": "busybox", "portMappings": [{"containerPort": 80}]}]}),
        );
        json!({"taskDefinition": "web", "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": [self.subnet()]}}})
    }

    /// A bridge-mode definition of one container of that memory.
    fn bridge(&self, family: &str, memory: i32) {
        self.done(
            "RegisterTaskDefinition",
            json!({"family": family, "containerDefinitions": [
                {"name": "a", "image": "busybox", "memory": memory, "cpu": 10, "portMappings": [{"containerPort": 80}]}]}),
        );
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
        tasks_max: TASKS_MAX,
        memory_overcommit: 1.5,
        enforces_device_permissions: true,
        fleet: cove_scheduler::fleet::Fleet::default(),
    }
}

/// The value with members of another laid over it.
fn with(mut value: Value, over: Value) -> Value {
    let Value::Object(over) = over else { panic!("an object") };
    for (name, member) in over {
        value[name] = member;
    }
    value
}
