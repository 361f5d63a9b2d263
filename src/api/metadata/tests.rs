use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_model::arn::Tenant;
use cove_model::task::{
    ContainerSeen, Desired, ElasticNetworkInterface, LaunchType, Observed, Placement, TaskRole, TaskStatus,
};
use cove_store::{StoreError, StoreOptions};

use super::*;

const CONTAINER: &str = "3f0c2d4e-1111-4222-8333-444455556666";

fn task(id: &str, network: TaskNetwork, credentials: &str) -> Task {
    Task {
        tenant: Tenant::new("000000000000", "us-east-1"),
        cluster: "default".into(),
        id: id.into(),
        family: "web".into(),
        revision: 3,
        placement: Placement {
            launch_type: LaunchType::Fargate,
            container_instance: None,
            capacity_provider: None,
            availability_zone: "us-east-1a".into(),
            platform_version: None,
            platform_family: None,
            cpu: 256,
            memory_mib: 512,
        },
        group: "family:web".into(),
        started_by: None,
        overrides: Default::default(),
        enable_execute_command: false,
        tags: Vec::new(),
        attributes: Vec::new(),
        cpu: Some("256".into()),
        memory: Some("512".into()),
        ephemeral_storage_gib: None,
        network,
        task_role: Some(TaskRole {
            role_arn: "arn:aws:iam::000000000000:role/app".into(),
            credentials_id: credentials.into(),
            access_key_id: format!("ASIA{id}"),
        }),
        execution_role_arn: None,
        created_at: Timestamp(0),
        desired: Desired::Running,
        observed: Observed::new(TaskStatus::Running),
        containers: vec![Container {
            name: "app".into(),
            id: CONTAINER.into(),
            image: "busybox".into(),
            essential: true,
            log: None,
            cpu: Some("0".into()),
            memory: None,
            memory_reservation: None,
            ports: Vec::new(),
            seen: ContainerSeen::default(),
        }],
        version: 1,
    }
}

fn eni(vpc: &str) -> TaskNetwork {
    TaskNetwork::Awsvpc(ElasticNetworkInterface {
        attachment_id: "a".into(),
        id: "eni-1".into(),
        vpc_id: vpc.into(),
        subnet_id: "subnet-1".into(),
        security_groups: Vec::new(),
        address: [172, 31, 0, 5].into(),
        mac: "02:c0:ac:1f:00:05".into(),
        assign_public_ip: false,
    })
}

/// Two tasks with one address in two VPCs.
fn metadata(home: &std::path::Path) -> Metadata {
    let store = Store::open(&DataDir::new(home), Clock::system(), StoreOptions::default()).unwrap();
    store
        .write_blocking(|tx| {
            tx.put(task("one", eni("vpc-1"), "cred-one"));
            tx.put(task("two", eni("vpc-2"), "cred-two"));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    Metadata { store, node_secret: b"secret".to_vec(), stats: None }
}

fn ask(metadata: &Metadata, vpc: &str, path: &str) -> Reply {
    metadata.answer(&Router::Vpc(vpc.into()), [172, 31, 0, 5].into(), path, Timestamp(0))
}

#[test]
fn a_task_gets_its_own_credentials_and_nobody_elses() {
    let home = tempfile::tempdir().unwrap();
    let metadata = metadata(home.path());
    let own = ask(&metadata, "vpc-1", "/v2/credentials/cred-one");
    assert_eq!(own.status, 200);
    assert_eq!(own.body["AccessKeyId"], "ASIAone");
    assert_eq!(own.body["Expiration"], "1970-01-01T06:00:00.000Z");
    assert_eq!(own.body.as_object().unwrap().len(), 5);
    let other = ask(&metadata, "vpc-2", "/v2/credentials/cred-one");
    assert_eq!((other.status, &other.body["code"]), (400, &json!("InvalidIdInRequest")));
    let stranger = metadata.answer(&Router::Bridge, [172, 31, 0, 5].into(), "/v2/credentials/cred-one", Timestamp(0));
    assert_eq!(stranger.status, 400);
}

#[test]
fn metadata_is_of_the_task_that_asks() {
    let home = tempfile::tempdir().unwrap();
    let metadata = metadata(home.path());
    for (vpc, id) in [("vpc-1", "one"), ("vpc-2", "two")] {
        let got = ask(&metadata, vpc, &format!("/v4/{CONTAINER}/task"));
        assert_eq!(got.body["TaskARN"], format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}"));
        assert_eq!(got.body["Limits"], json!({"CPU": 0.25, "Memory": 512}));
        assert_eq!(got.body["VPCID"], vpc);
        assert_eq!(got.body["Containers"][0]["Networks"][0]["PrivateDNSName"], "ip-172-31-0-5.ec2.internal");
    }
    let got = ask(&metadata, "vpc-1", &format!("/v4/{CONTAINER}"));
    assert_eq!(got.body["Labels"]["com.amazonaws.ecs.task-definition-version"], "3");
    assert_eq!(ask(&metadata, "vpc-1", &format!("/v4/{CONTAINER}/stats")).body, Value::Null);
}

#[test]
fn unknown_paths_and_ids_are_not_found() {
    let home = tempfile::tempdir().unwrap();
    let metadata = metadata(home.path());
    for path in ["/v4/none/task", "/v4/none", "/v3/", "/v4/x/y/z/w"] {
        assert_eq!(ask(&metadata, "vpc-1", path).status, 404, "{path}");
    }
    assert!(Metadata::serves("/v2/credentials/x") && !Metadata::serves("/") && !Metadata::serves("/v2/app/tags/list"));
}
