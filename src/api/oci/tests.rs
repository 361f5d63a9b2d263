//! `/v2/` and ECR through real sockets: a server on a free port, requests as clients send them.

use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_model::arn::Tenant;
use cove_model::registry::Repository;
use cove_registry::build::{FileContent, ImageFile};
use cove_registry::image_config::RunConfig;
use cove_registry::{Digest, Registry, RegistryConfig};
use cove_scheduler::HostFacts;
use cove_store::{Store, StoreOptions};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::token;
use crate::{Deps, Keys, ListenerKind, Server, ServerConfig, Settings};

fn host_facts() -> HostFacts {
    HostFacts {
        node: "cove".to_owned(),
        cpu: 2048,
        memory_mib: 4096,
        zones: vec!["a".to_owned()],
        instance_type: "m5.large".to_owned(),
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

struct Reply {
    status: u16,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or("").to_owned()
    }
}

struct Door {
    registry: Arc<Registry>,
    tenant: Tenant,
    host: String,
    keys: Keys,
    login: Option<String>,
    _directory: tempfile::TempDir,
}

impl Door {
    async fn open(dev: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(directory.path());
        let clock = Clock::system();
        let store = Store::open(&data, clock.clone(), StoreOptions::default()).expect("a store");
        let config = RegistryConfig::default();
        let registry = Arc::new(Registry::open(&data, store.clone(), clock.clone(), config).expect("a registry"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let keys = Keys::random();
        let settings = Settings {
            node: "cove".to_owned(),
            dev,
            dev_allow: Vec::new(),
            region: "us-east-1".to_owned(),
            registry_host: host.clone(),
            registry_tls: false,
            host_names: Vec::new(),
            timing: Default::default(),
            keys: keys.clone(),
            host: Arc::new(host_facts()),
            event_endpoints: Default::default(),
        };
        let deps = Deps { store, clock, registry: Arc::clone(&registry), exec: None, metrics: Default::default() };
        let server = Server::new(ServerConfig { settings }, deps);
        tokio::spawn(async move { server.serve(listener, ListenerKind::Public { tls: None }).await });
        let tenant = Tenant::new("000000000000", "us-east-1");
        let door = Self { registry, tenant, host, keys, login: None, _directory: directory };
        door.create("app").await;
        door
    }

    async fn create(&self, name: &str) {
        let wanted = Repository::new(&self.tenant, name);
        self.registry.create_repository(wanted).await.expect("create a repository");
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let stream = TcpStream::connect(&self.host).await.expect("connect");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("handshake");
        tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(login) = &self.login {
            request = request.header("authorization", login);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).expect("a request");
        let response = sender.send_request(request).await.expect("a response");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn push_image(&self, name: &str) -> String {
        let file = ImageFile { path: "/bin/app".into(), content: FileContent::Bytes(vec![7; 300_000]), mode: 0o755 };
        let run = RunConfig { cmd: Some(vec!["/bin/app".into()]), ..RunConfig::default() };
        self.registry.ensure_builtin(&self.tenant, name, &[file], run).await.expect("an image")
    }
}

#[tokio::test]
async fn a_blob_goes_up_in_chunks_and_comes_down_in_ranges() {
    let door = Door::open(true).await;
    let digest = Digest::of(b"hello world");
    let missing = door.send("HEAD", &format!("/v2/app/blobs/{digest}"), &[], b"").await;
    assert_eq!(missing.status, 404);
    let opened = door.send("POST", "/v2/app/blobs/uploads/", &[], b"").await;
    assert_eq!(opened.status, 202);
    let at = opened.header("location").to_owned();
    let chunk = door.send("PATCH", &at, &[("content-range", "0-5")], b"hello ").await;
    assert_eq!((chunk.status, chunk.header("range")), (202, "0-5"));
    let early = door.send("PATCH", &at, &[("content-range", "9-10")], b"xx").await;
    assert_eq!((early.status, early.header("range")), (416, "0-5"));
    let early = door.send("PUT", &format!("{at}?digest={digest}"), &[("content-range", "0-4")], b"world").await;
    assert_eq!(early.status, 416);
    let status = door.send("GET", &at, &[], b"").await;
    assert_eq!((status.status, status.header("range")), (204, "0-5"));
    let done = door.send("PUT", &format!("{at}?digest={digest}"), &[("content-range", "6-10")], b"world").await;
    assert_eq!((done.status, done.header("docker-content-digest")), (201, digest.as_str()));
    let whole = door.send("GET", done.header("location"), &[], b"").await;
    assert_eq!((whole.status, &whole.body[..]), (200, &b"hello world"[..]));
    let part = door.send("GET", done.header("location"), &[("range", "bytes=6-")], b"").await;
    assert_eq!((part.status, &part.body[..]), (206, &b"world"[..]));
    assert_eq!(part.header("content-range"), "bytes 6-10/11");
    let beyond = door.send("GET", done.header("location"), &[("range", "bytes=11-")], b"").await;
    assert_eq!(beyond.status, 416);
    let empty = Digest::of(b"");
    let zero = door.send("POST", &format!("/v2/app/blobs/uploads/?digest={empty}"), &[], b"").await;
    assert_eq!(zero.status, 201);
    assert_eq!(door.send("GET", zero.header("location"), &[], b"").await.body.len(), 0);
    let wrong = door.send("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), &[], b"other").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "DIGEST_INVALID"));
}

#[tokio::test]
async fn manifests_come_back_byte_for_byte_and_errors_speak_oci() {
    let door = Door::open(true).await;
    let digest = door.push_image("app").await;
    let head = door.send("HEAD", "/v2/app/manifests/latest", &[], b"").await;
    assert_eq!((head.status, head.header("docker-content-digest")), (200, digest.as_str()));
    let got = door.send("GET", &format!("/v2/app/manifests/{digest}"), &[], b"").await;
    assert_eq!(Digest::of(&got.body).as_str(), digest);
    assert_eq!(got.header("content-type"), cove_registry::manifest::OCI_MANIFEST);
    let long = Digest::with(cove_registry::Algorithm::Sha512, &got.body);
    let path = format!("/v2/app/manifests/{long}?tag=b&tag=a");
    let again = door.send("PUT", &path, &[("content-type", got.header("content-type"))], &got.body).await;
    assert_eq!((again.status, again.header("docker-content-digest")), (201, long.as_str()));
    assert_eq!(again.headers.get_all("oci-tag").iter().count(), 2);
    let tags = door.send("GET", "/v2/app/tags/list?n=2", &[], b"").await;
    assert_eq!(tags.json()["tags"], serde_json::json!(["a", "b"]));
    assert!(tags.header("link").contains("last=b"), "{}", tags.header("link"));
    let rest = door.send("GET", "/v2/app/tags/list?n=2&last=b", &[], b"").await;
    assert_eq!((rest.json()["tags"].clone(), rest.header("link")), (serde_json::json!(["latest"]), ""));
    assert_eq!(door.send("GET", "/v2/app/tags/list?n=0", &[], b"").await.json()["tags"], serde_json::json!([]));
    let unknown = door.send("GET", "/v2/nope/manifests/latest", &[], b"").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "NAME_UNKNOWN"));
    assert!(unknown.json()["errors"][0]["message"].as_str().is_some_and(|text| {
        text.starts_with("The repository with name 'nope' does not exist in the registry with id '000000000000'")
    }));
    assert_eq!(door.send("PUT", "/v2/app/manifests/x", &[], b"{}").await.code(), "MANIFEST_INVALID");
    assert_eq!(door.send("GET", "/v2/app/manifests/nope", &[], b"").await.code(), "MANIFEST_UNKNOWN");
    let referrers = door.send("GET", &format!("/v2/app/referrers/{digest}?artifactType=x"), &[], b"").await;
    assert_eq!((referrers.status, referrers.header("oci-filters-applied")), (200, "artifactType"));
    assert_eq!(door.send("GET", "/v2/app/referrers/junk", &[], b"").await.status, 400);
    assert_eq!(door.send("DELETE", "/v2/app/manifests/a", &[], b"").await.status, 202);
    assert_eq!(door.send("HEAD", "/v2/app/manifests/b", &[], b"").await.status, 200);
    assert_eq!(door.send("DELETE", &format!("/v2/app/manifests/{digest}"), &[], b"").await.status, 202);
    assert_eq!(door.send("HEAD", "/v2/app/manifests/latest", &[], b"").await.status, 404);
}

#[tokio::test]
async fn a_login_token_opens_its_own_tenant_only() {
    let mut door = Door::open(false).await;
    let refused = door.send("GET", "/v2/", &[], b"").await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Basic realm="));
    let now = Clock::system().now();
    let basic = |user: &str, password: &str| Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    let token = token::login(&door.keys.node_secret, &door.tenant, None, now.plus_millis(60_000));
    door.login = basic("AWS", &token);
    assert_eq!(door.send("GET", "/v2/", &[], b"").await.status, 200);
    assert_eq!(door.send("GET", "/v2/app/tags/list", &[], b"").await.status, 200);
    let stranger = Tenant::new("111111111111", "us-east-1");
    door.login = basic("AWS", &token::login(&door.keys.node_secret, &stranger, None, now.plus_millis(60_000)));
    assert_eq!(door.send("GET", "/v2/app/tags/list", &[], b"").await.code(), "NAME_UNKNOWN");
    door.login = basic("AWS", &token::login(&door.keys.node_secret, &door.tenant, None, now.plus_millis(-1)));
    assert_eq!(door.send("GET", "/v2/", &[], b"").await.status, 401);
    door.login = basic(&door.keys.root.access_key_id, &door.keys.root.secret_access_key);
    assert_eq!(door.send("GET", "/v2/app/tags/list", &[], b"").await.status, 200);
}

/// Our own puller against our own server: what a task on one Cove does with another Cove's registry.
#[tokio::test]
async fn another_cove_pulls_the_image_and_keeps_it() {
    let door = Door::open(true).await;
    let digest = door.push_image("app").await;
    let puller = Door::open(true).await;
    let reference = puller.registry.reference(&format!("{}/app", door.host), &puller.tenant).expect("a reference");
    let (first, second) = tokio::join!(
        puller.registry.resolve(&puller.tenant, &reference, None, None),
        puller.registry.resolve(&puller.tenant, &reference, None, None),
    );
    let (first, second) = (first.expect("an image"), second.expect("the same image"));
    assert_eq!((first.digest.as_str(), second.digest.as_str()), (digest.as_str(), digest.as_str()));
    assert_eq!(first.config.config.cmd, Some(vec!["/bin/app".to_owned()]));
    let layer = std::fs::read(&first.layers[0].path).expect("a layer");
    assert_eq!(Digest::of(&layer).as_str(), first.layers[0].digest);
    let absent = puller.registry.reference(&format!("{}/app:nope", door.host), &puller.tenant).expect("a reference");
    let refused = puller.registry.resolve(&puller.tenant, &absent, None, None).await.expect_err("no such tag");
    assert!(refused.to_string().ends_with("app:nope not found: manifest unknown: manifest unknown"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_copies_in_and_out() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        println!("SKIPPED: skopeo is not installed");
        return;
    }
    let door = Door::open(true).await;
    let digest = door.push_image("app").await;
    door.create("copy").await;
    let out = tempfile::tempdir().expect("a directory");
    let host = door.host.clone();
    let layout = format!("oci:{}:x", out.path().join("layout").display());
    // Without --preserve-digests skopeo compresses plain layers, and the digest is another one.
    let steps = [
        (format!("docker://{host}/app:latest"), layout.clone(), "--preserve-digests"),
        (layout.clone(), format!("docker://{host}/copy:oci"), "--preserve-digests"),
        (layout, format!("docker://{host}/copy:gz"), "--dest-compress"),
        (format!("docker://{host}/copy:gz"), format!("dir:{}", out.path().join("dir").display()), "--preserve-digests"),
    ];
    for (from, to, flag) in steps {
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", flag]);
        command.args(["--src-tls-verify=false", "--dest-tls-verify=false", &from, &to]);
        let done = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("skopeo");
        assert!(done.status.success(), "{from} → {to}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let copied = door.send("HEAD", "/v2/copy/manifests/oci", &[], b"").await;
    assert_eq!(copied.header("docker-content-digest"), digest);
    assert_eq!(door.send("HEAD", "/v2/copy/manifests/gz", &[], b"").await.status, 200);
}
