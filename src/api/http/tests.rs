//! A server on a free port, and requests as clients send them.

use std::sync::Arc;

use bytes::Bytes;
use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_registry::{Registry, RegistryConfig};
use cove_scheduler::HostFacts;
use cove_store::{Store, StoreOptions};
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::aws::credentials::RootKey;
use crate::{Deps, Keys, ListenerKind, Server, ServerConfig, Settings};

const ECS: &str = "AmazonEC2ContainerServiceV20141113";

struct Reply {
    status: u16,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status, code and message.
    fn fault(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(self.headers["x-amzn-errortype"], text("__type").as_str());
        (self.status, text("__type"), text("message"))
    }
}

struct Door {
    host: String,
    keys: Keys,
    store: Store,
    server: Server,
    serving: tokio::task::JoinHandle<()>,
    directory: tempfile::TempDir,
}

impl Door {
    async fn open(dev: bool) -> Self {
        Self::over(tempfile::tempdir().unwrap(), dev).await
    }

    /// A server over what an earlier one left.
    async fn over(directory: tempfile::TempDir, dev: bool) -> Self {
        let data = DataDir::new(directory.path());
        let clock = Clock::system();
        let store = Store::open(&data, clock.clone(), StoreOptions::default()).unwrap();
        let registry = Registry::open(&data, store.clone(), clock.clone(), RegistryConfig::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let keys = Keys::open(&data).unwrap();
        let settings = Settings {
            node: "cove".into(),
            dev,
            dev_allow: Vec::new(),
            region: "us-east-1".into(),
            registry_host: host.clone(),
            registry_tls: false,
            host_names: Vec::new(),
            timing: Default::default(),
            keys: keys.clone(),
            host: Arc::new(host_facts()),
            event_endpoints: Default::default(),
        };
        let deps =
            Deps { store: store.clone(), clock, registry: Arc::new(registry), exec: None, metrics: Default::default() };
        let server = Server::new(ServerConfig { settings }, deps);
        let own = server.clone();
        let serving = tokio::spawn(async move { own.serve(listener, ListenerKind::Public { tls: None }).await });
        Self { host, keys, store, server, serving, directory }
    }

    async fn restarted(self) -> Self {
        self.server.stop();
        self.serving.await.unwrap();
        drop(self.server);
        self.store.close().await;
        Self::over(self.directory, true).await
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let stream = TcpStream::connect(&self.host).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", &self.host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert!(parts.headers.contains_key("x-amzn-requestid"), "every answer has a request id");
        assert!(!parts.headers.contains_key("access-control-allow-origin"));
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn ecs(&self, operation: &str, body: &str) -> Reply {
        self.send("POST", "/", &[("x-amz-target", &format!("{ECS}.{operation}"))], body).await
    }

    async fn query(&self, body: &str) -> Reply {
        self.send("POST", "/", &[("content-type", "application/x-www-form-urlencoded")], body).await
    }

    async fn signed(&self, key: &RootKey, service: &str, target: &str, body: &str) -> Reply {
        let date = Clock::system().now().amz_date();
        let authorization = sign(key, service, &self.host, &date, body);
        let headers = [("x-amz-target", target), ("x-amz-date", date.as_str()), ("authorization", &authorization)];
        self.send("POST", "/", &headers, body).await
    }
}

fn host_facts() -> HostFacts {
    HostFacts {
        node: "cove".into(),
        cpu: 2048,
        memory_mib: 4096,
        zones: vec!["a".into()],
        instance_type: "m5.large".into(),
        ephemeral_ports: 32768..=60999,
        reserved_ports_tcp: Vec::new(),
        reserved_ports_udp: Vec::new(),
        attributes: Vec::new(),
        tasks_max: 2000,
        memory_overcommit: 1.5,
        enforces_device_permissions: true,
        fleet: cove_scheduler::fleet::Fleet::default(),
    }
}

fn sign(key: &RootKey, service: &str, host: &str, date: &str, body: &str) -> String {
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let canonical = format!("POST\n/\n\nhost:{host}\nx-amz-date:{date}\n\nhost;x-amz-date\n{}", hash(body));
    let scope = format!("{}/eu-west-1/{service}/aws4_request", &date[..8]);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(&canonical));
    let first = format!("AWS4{}", key.secret_access_key).into_bytes();
    let signing = [&date[..8], "eu-west-1", service, "aws4_request"].iter().fold(first, |key, part| mac(&key, part));
    let signature = hex::encode(mac(&signing, &to_sign));
    let id = &key.access_key_id;
    format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}")
}

const SIGNATURE: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

#[tokio::test]
async fn only_the_root_key_opens_the_door_without_dev() {
    let door = Door::open(false).await;
    let target = format!("{ECS}.ListClusters");
    let good = door.signed(&door.keys.root, "ecs", &target, "{}").await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(good.json()["clusterArns"][0], "arn:aws:ecs:eu-west-1:000000000000:cluster/default");
    let wrong = RootKey { secret_access_key: "no".into(), ..door.keys.root.clone() };
    let refused = door.signed(&wrong, "ecs", &target, "{}").await.fault();
    assert_eq!(refused, (400, "InvalidSignatureException".into(), SIGNATURE.into()));
    let unknown = RootKey { access_key_id: "AKIAUNKNOWN".into(), ..door.keys.root.clone() };
    let text = "The security token included in the request is invalid.";
    let refused = door.signed(&unknown, "ecs", &target, "{}").await.fault();
    assert_eq!(refused, (400, "UnrecognizedClientException".into(), text.into()));
    let refused = door.ecs("ListClusters", "{}").await.fault();
    assert_eq!(refused, (400, "MissingAuthenticationTokenException".into(), "Missing Authentication Token".into()));
    let other = door.signed(&door.keys.root, "ecr", &target, "{}").await.fault();
    assert_eq!((other.0, other.1.as_str()), (400, "InvalidSignatureException"));
    let refused = door.query("Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("<Code>MissingAuthenticationToken</Code>"), "{}", refused.text());
    assert_eq!(door.send("GET", "/_cove/v1/info", &[], "").await.status, 403);
}

#[tokio::test]
async fn an_account_is_a_tenant_of_its_own() {
    let door = Door::open(true).await;
    let key = |id: &str| RootKey { access_key_id: id.into(), secret_access_key: "any".into() };
    let make = format!("{ECS}.CreateCluster");
    let made = door.signed(&key("111122223333"), "ecs", &make, r#"{"clusterName":"mine"}"#).await;
    assert_eq!(made.json()["cluster"]["clusterArn"], "arn:aws:ecs:eu-west-1:111122223333:cluster/mine");
    let other = door.signed(&key("test"), "ecs", &format!("{ECS}.ListClusters"), "{}").await.json();
    assert_eq!(other["clusterArns"], json!(["arn:aws:ecs:eu-west-1:000000000000:cluster/default"]));
}

#[tokio::test]
async fn bad_input_is_refused_with_the_texts_of_aws() {
    let door = Door::open(true).await;
    let cases = [
        (
            "NoSuch",
            "{}",
            "UnknownOperationException",
            "ecs has no operation NoSuch in this version of Cove; `cove ops` lists what is",
        ),
        ("ListClusters", "{", "SerializationException", "Unexpected token received from parser"),
        ("ListClusters", "[]", "SerializationException", "Start of list found where not expected"),
        (
            "ListClusters",
            r#"{"maxResults":"1"}"#,
            "SerializationException",
            "STRING_VALUE cannot be converted to Integer",
        ),
        (
            "ListClusters",
            r#"{"maxResults":1e99}"#,
            "SerializationException",
            "NUMBER_VALUE cannot be converted to Integer",
        ),
        (
            "ListClusters",
            r#"{"nextToken":{}}"#,
            "SerializationException",
            "Start of structure or map found where not expected.",
        ),
        ("DescribeClusters", r#"{"clusters":"x"}"#, "SerializationException", "Expected list or null"),
        (
            "RegisterTaskDefinition",
            r#"{"family":null,"containerDefinitions":[]}"#,
            "InvalidParameterException",
            "1 validation error detected: Value null at 'family' failed to satisfy constraint: Member must not be null",
        ),
    ];
    for (operation, body, code, text) in cases {
        assert_eq!(door.ecs(operation, body).await.fault(), (400, code.into(), text.into()), "{operation} {body}");
    }
    let missing = [("x-amz-target", "Logs_20140328.AssociateKmsKey")];
    let missing = door.send("POST", "/", &missing, "{}").await.fault();
    assert_eq!((missing.0, missing.1.as_str()), (400, "UnsupportedOperationException"));
    let deep = format!("{{\"clusters\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(door.ecs("DescribeClusters", &deep).await.status, 400);
    assert_eq!(door.ecs("ListClusters", &"x".repeat(5 << 20)).await.status, 413);
    let ecr = [("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.CreateRepository")];
    let refused = door.send("POST", "/", &ecr, r#"{"repositoryName":"A"}"#).await.fault();
    let text = "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must have length greater than or equal to 2'";
    assert_eq!(refused, (400, "InvalidParameterException".into(), text.into()));
}

#[tokio::test]
async fn the_caller_is_told_who_it_is() {
    let door = Door::open(true).await;
    let reply = door.query("Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!((reply.status, &reply.headers["content-type"].to_str().unwrap()[..8]), (200, "text/xml"));
    let result = "<GetCallerIdentityResult><Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn><UserId>000000000000</UserId></GetCallerIdentityResult>";
    assert!(reply.text().contains(result), "{}", reply.text());
    let unknown = door.query("Action=Nonsense&Version=2011-06-15").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains("<Type>Sender</Type><Code>InvalidAction</Code>"), "{}", unknown.text());
}

#[tokio::test]
async fn a_role_survives_a_restart_until_it_is_deleted() {
    let door = Door::open(true).await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
    let encoded: String = form_urlencoded::byte_serialize(policy.as_bytes()).collect();
    let version = "&Version=2010-05-08";
    let create = format!(
        "Action=CreateRole{version}&RoleName=app&AssumeRolePolicyDocument={encoded}&Tags.member.1.Key=a&Description=%3C%26&Tags.member.1.Value=b"
    );
    let made = door.query(&create).await;
    assert_eq!(made.status, 200, "{}", made.text());
    assert!(made.text().contains("<Tags><member><Key>a</Key><Value>b</Value></member></Tags>"), "{}", made.text());
    assert!(made.text().contains("<Description>&lt;&amp;</Description>"), "{}", made.text());
    assert_eq!(door.query(&create).await.status, 409);
    let door = door.restarted().await;
    let shown = door.query(&format!("Action=GetRole{version}&RoleName=app")).await.text();
    assert!(shown.contains("<Arn>arn:aws:iam::000000000000:role/app</Arn>"), "{shown}");
    let first = door.query(&format!("Action=ListRoles{version}&MaxItems=1")).await.text();
    assert!(first.contains("<IsTruncated>true</IsTruncated>") && first.contains("<Marker>app</Marker>"), "{first}");
    assert_eq!(door.query(&format!("Action=DeleteRole{version}&RoleName=app")).await.status, 200);
    let door = door.restarted().await;
    let gone = door.query(&format!("Action=GetRole{version}&RoleName=app")).await;
    assert!(gone.status == 404 && gone.text().contains("<Code>NoSuchEntity</Code>"), "{}", gone.text());
    let bad = door.query(&format!("Action=CreateRole{version}&RoleName=x&AssumeRolePolicyDocument=%7B")).await;
    assert!(bad.text().contains("<Code>MalformedPolicyDocument</Code>"), "{}", bad.text());
    let short = door.query(&format!("Action=GetRole{version}&RoleName=")).await;
    assert!(short.text().contains("<Code>ValidationError</Code>"), "{}", short.text());
}

#[tokio::test]
async fn web_pages_are_turned_away_and_health_is_read_without_a_signature() {
    let door = Door::open(false).await;
    for path in ["/_cove/health", "/_localstack/health", "/_cove/metrics"] {
        assert_eq!(door.send("GET", path, &[], "").await.status, 200, "{path}");
        assert_eq!(door.send("GET", path, &[("origin", "https://evil.example")], "").await.status, 403, "{path}");
        assert_eq!(door.send("GET", path, &[("host", "evil.example")], "").await.status, 403, "{path}");
    }
    let metrics = door.send("GET", "/_cove/metrics", &[], "").await.text();
    let counted = "cove_requests_total{service=\"cove\",operation=\"foreign\",class=\"4xx\"} 6";
    assert!(metrics.contains(counted) && metrics.contains("cove_store_writable 1"), "{metrics}");
}

#[tokio::test]
async fn a_stopping_server_closes_idle_connections_and_takes_no_more() {
    let door = Door::open(true).await;
    let mut idle = TcpStream::connect(&door.host).await.unwrap();
    let ask = format!("GET /_cove/health HTTP/1.1\r\nhost: {}\r\n\r\n", door.host);
    idle.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    door.server.stop();
    tokio::time::timeout(std::time::Duration::from_secs(5), door.serving).await.unwrap().unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(&door.host).await.is_err());
}
