use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_model::fixture;
use cove_model::task::{ElasticNetworkInterface, Health, LaunchType, Observed, Placement, TaskRole, TaskStatus};
use cove_store::{StoreError, StoreOptions};
use serde_json::json;

use super::*;

const CONTAINER: &str = "3f0c2d4e-1111-4222-8333-444455556666";

fn task(id: &str, network: TaskNetwork, credentials: &str) -> Task {
    let fresh = fixture::task(id);
    Task {
        revision: 3,
        placement: Placement { launch_type: LaunchType::Fargate, cpu: 256, memory_mib: 512, ..fresh.placement },
        cpu: Some("256".into()),
        memory: Some("512".into()),
        network,
        task_role: Some(TaskRole {
            role_arn: "arn:aws:iam::000000000000:role/app".into(),
            credentials_id: credentials.into(),
            access_key_id: format!("ASIA{id}"),
        }),
        observed: Observed::new(TaskStatus::Running),
        containers: vec![Container { id: CONTAINER.into(), cpu: Some("0".into()), ..fixture::container("app") }],
        ..fresh
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
    Metadata { store, node_secret: b"secret".to_vec(), stats: None, throttle: Default::default() }
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
fn health_is_told_of_a_container_with_a_check_only() {
    let home = tempfile::tempdir().unwrap();
    let metadata = metadata(home.path());
    assert_eq!(ask(&metadata, "vpc-1", &format!("/v4/{CONTAINER}")).body["Health"], Value::Null);
    let mut checked = task("one", eni("vpc-1"), "cred-one");
    (checked.containers[0].seen.health, checked.containers[0].seen.health_since) =
        (Some(Health::Healthy), Some(Timestamp(1000)));
    metadata
        .store
        .write_blocking(|tx| {
            tx.put(checked);
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let told = ask(&metadata, "vpc-1", &format!("/v4/{CONTAINER}")).body["Health"].clone();
    assert_eq!(told, json!({"status": "HEALTHY", "statusSince": "1970-01-01T00:00:01.000Z"}));
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

#[test]
fn a_host_mode_task_is_answered_on_loopback_with_its_own_secrets_only() {
    let home = tempfile::tempdir().unwrap();
    let metadata = metadata(home.path());
    metadata
        .store
        .write_blocking(|tx| {
            tx.put(task("three", TaskNetwork::Host, "cred-three"));
            tx.put(task("four", TaskNetwork::Host, "cred-four"));
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let loopback: IpAddr = [127, 0, 0, 1].into();
    let secret = metadata.node_secret.clone();
    let path = |id: &str| host_mode::path(&secret, id);
    let ask = |peer: IpAddr, path: &str, token: Option<&str>| {
        metadata.answer_host_mode(peer, path, token.map(str::as_bytes), Timestamp(0))
    };
    let own = host_mode::token(&secret, "three");
    let document = format!("{}/v4/{CONTAINER}/task", path("three"));
    assert!(ask(loopback, &document, None).body["TaskARN"].as_str().unwrap().ends_with("/three"));
    let credentials = format!("{}/v2/credentials/cred-three", path("three"));
    assert_eq!(ask(loopback, &credentials, Some(&own)).body["AccessKeyId"], "ASIAthree");
    let other = host_mode::token(&secret, "four");
    for token in [None, Some(""), Some(other.as_str()), Some(&own[1..])] {
        assert_eq!(ask(loopback, &credentials, token).status, 401, "{token:?}");
    }
    // The id of another task's credentials is of no use, nor is another task's path with one's own token.
    assert_eq!(ask(loopback, &credentials.replace("cred-three", "cred-four"), Some(&own)).status, 400);
    assert_eq!(ask(loopback, &format!("{}/v2/credentials/cred-four", path("four")), Some(&own)).status, 401);
    assert_eq!(ask([192, 168, 1, 9].into(), &credentials, Some(&own)).status, 404);
    // A task that has an address of its own has no such path.
    assert_eq!(ask(loopback, &format!("{}/v4/{CONTAINER}", path("one")), Some(&own)).status, 404);
    let swapped = document.replace("/three/", "/four/");
    for bad in [swapped.as_str(), "/_cove/task/three//v4/x", "/_cove/task/three", "/_cove/task/"] {
        assert_eq!(ask(loopback, bad, Some(&own)).status, 404, "{bad}");
    }
}
