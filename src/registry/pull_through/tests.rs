//! A tag of another registry through a day and more, in turned time.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use cove_base::paths::DataDir;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry_rules::{PullThroughRule, ROOT};
use cove_store::{Store, StoreError, StoreOptions};
use serde_json::json;

use crate::manifest::{OCI_CONFIG, OCI_LAYER_TAR, OCI_MANIFEST};
use crate::{Digest, Registry, RegistryConfig, RegistryError};

const HOUR: i64 = 60 * 60 * 1000;

/// What lies at which path.
type Contents = HashMap<String, Vec<u8>>;

/// A registry of one repository, `app`, that counts what it is asked for. Dropped contents are a registry that is down.
#[derive(Clone, Default)]
struct Upstream {
    contents: Arc<Mutex<Option<Contents>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// What is not answered yet.
    held: Arc<Mutex<Option<String>>>,
}

impl Upstream {
    fn listen(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let upstream = upstream.clone();
                std::thread::spawn(move || upstream.serve(stream));
            }
        });
        port
    }

    fn serve(&self, mut stream: std::net::TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let Some(line) = lines.next() else { return };
        // What shakes hands for TLS gets no answer that it understands.
        let Some(path) = line.strip_prefix("GET /v2/app/").and_then(|rest| rest.split(' ').next()) else { return };
        drop(lines.find(String::is_empty));
        self.asked.lock().unwrap().push(path.to_owned());
        while self.held.lock().unwrap().as_deref() == Some(path) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let found = self.contents.lock().unwrap().as_ref().map(|contents| contents.get(path).cloned());
        let (status, body) = match found {
            None => ("503 Service Unavailable", Vec::new()),
            Some(None) => ("404 Not Found", Vec::new()),
            Some(Some(body)) => ("200 OK", body),
        };
        let kind = if path.starts_with("manifests") { OCI_MANIFEST } else { "application/octet-stream" };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    }

    /// The tag `1` is this image now; its digest.
    fn tag(&self, text: &str) -> String {
        let (config, layer) = (json!({"text": text}).to_string().into_bytes(), text.as_bytes().to_vec());
        let part = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "size": bytes.len(), "digest": Digest::of(bytes).to_string()});
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part(OCI_CONFIG, &config),
            "layers": [part(OCI_LAYER_TAR, &layer)]});
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::of(&manifest).to_string();
        let mut contents = self.contents.lock().unwrap();
        let contents = contents.get_or_insert_default();
        for blob in [config, layer] {
            contents.insert(format!("blobs/{}", Digest::of(&blob)), blob);
        }
        contents.insert(format!("manifests/{digest}"), manifest.clone());
        contents.insert("manifests/1".to_owned(), manifest);
        digest
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

struct Fixture {
    _directory: tempfile::TempDir,
    clock: Clock,
    registry: Registry,
    tenant: Tenant,
}

impl Fixture {
    async fn new(upstream: &Upstream) -> Self {
        let (directory, clock) = (tempfile::tempdir().unwrap(), Clock::manual(Clock::system().now()));
        let data = DataDir::new(directory.path());
        let store = Store::open(&data, clock.clone(), StoreOptions::default()).unwrap();
        let registry = Registry::open(&data, store, clock.clone(), RegistryConfig::default()).unwrap();
        let tenant = Tenant::new("000000000000", "us-east-1");
        let rule = PullThroughRule {
            tenant: tenant.clone(),
            prefix: "up".into(),
            upstream_url: format!("127.0.0.1:{}", upstream.listen()),
            upstream: None,
            upstream_prefix: ROOT.into(),
            credential_arn: None,
            custom_role_arn: None,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        let made = registry.store.write(move |tx| {
            tx.put(rule);
            Ok::<_, StoreError>(())
        });
        made.await.unwrap();
        Self { _directory: directory, clock, registry, tenant }
    }

    /// The digest of the tag, once its image is kept.
    async fn pull(&self) -> Result<String, RegistryError> {
        let tag = ImageSelector::Tag("1".into());
        let found = self.registry.manifest_through(&self.tenant, "up/app", &tag).await?;
        self.registry.whole_through(&self.tenant, "up/app", &tag).await.map_err(RegistryError::Upstream)?;
        Ok(found.image.digest.clone())
    }
}

#[tokio::test]
async fn a_tag_is_asked_for_once_a_day_and_kept_while_nobody_answers() {
    let upstream = Upstream::default();
    let fixture = Fixture::new(&upstream).await;
    let first = upstream.tag("first");
    assert_eq!(fixture.pull().await.unwrap(), first);
    assert_eq!(upstream.asked().len(), 3);
    let second = upstream.tag("second");
    fixture.clock.advance(23 * HOUR);
    assert_eq!((fixture.pull().await.unwrap(), upstream.asked().len()), (first.clone(), 0));
    fixture.clock.advance(HOUR);
    assert_eq!((fixture.pull().await.unwrap(), upstream.asked().len()), (second.clone(), 3));
    // What the tag was before stays under its digest.
    let before = ImageSelector::Digest(first);
    fixture.registry.manifest_through(&fixture.tenant, "up/app", &before).await.unwrap();
    assert_eq!(upstream.asked(), [""; 0]);

    *upstream.contents.lock().unwrap() = None;
    fixture.clock.advance(25 * HOUR);
    assert_eq!(fixture.pull().await.unwrap(), second);
    assert!(!upstream.asked().is_empty());
    // It is not asked at every pull while it is down, and soon again all the same.
    assert_eq!((fixture.pull().await.unwrap(), upstream.asked().len()), (second, 0));
    let third = upstream.tag("third");
    fixture.clock.advance(HOUR);
    assert_eq!(fixture.pull().await.unwrap(), third);
}

#[tokio::test]
async fn those_who_miss_an_image_at_the_same_time_share_one_download() {
    let upstream = Upstream::default();
    let fixture = Fixture::new(&upstream).await;
    let digest = upstream.tag("shared");
    let pulls = futures_of(8, || fixture.pull()).await;
    assert!(pulls.into_iter().all(|pulled| pulled.unwrap() == digest));
    assert_eq!(upstream.asked().len(), 3);
}

#[tokio::test]
async fn a_blob_of_an_image_on_its_way_is_waited_for_and_others_are_unknown() {
    let upstream = Upstream::default();
    let fixture = Fixture::new(&upstream).await;
    upstream.tag("early");
    let tag = ImageSelector::Tag("1".into());
    let (tenant, layer) = (&fixture.tenant, Digest::of(b"early"));
    let unknown = fixture.registry.blob_through(tenant, "up/app", &layer).await;
    assert!(matches!(unknown, Err(RegistryError::RepositoryUnknown { .. })), "{unknown:?}");
    fixture.registry.manifest_through(tenant, "up/app", &tag).await.unwrap();
    let blob = fixture.registry.blob_through(tenant, "up/app", &layer).await.unwrap();
    assert_eq!(std::fs::read(blob.path).unwrap(), b"early");
    let other = fixture.registry.blob_through(tenant, "up/app", &Digest::of(b"other")).await;
    assert!(matches!(other, Err(RegistryError::BlobUnknown(_) | RegistryError::RepositoryUnknown { .. })), "{other:?}");
}

/// That a file is here says nothing of whose it is: a manifest that merely names another tenant's blob opens nothing.
#[tokio::test]
async fn another_tenants_blob_is_not_opened_by_a_manifest_that_names_it() {
    let upstream = Upstream::default();
    let fixture = Fixture::new(&upstream).await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let other = Tenant::new("111111111111", "us-east-1");
    registry.create_repository(cove_model::registry::Repository::new(&other, "private")).await.unwrap();
    let secret = registry.put_blob(&other, "private", b"secret".to_vec()).await.unwrap();
    // The other registry has neither; what comes first keeps the image on its way.
    let part = |bytes: &[u8]| json!({"mediaType": OCI_LAYER_TAR, "size": bytes.len(), "digest": Digest::of(bytes).to_string()});
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": part(b"slow"),
        "layers": [part(b"secret")]});
    let slow = format!("blobs/{}", Digest::of(b"slow"));
    *upstream.held.lock().unwrap() = Some(slow);
    let contents = HashMap::from([("manifests/1".to_owned(), manifest.to_string().into_bytes())]);
    *upstream.contents.lock().unwrap() = Some(contents);
    let tag = ImageSelector::Tag("1".into());
    registry.manifest_through(tenant, "up/app", &tag).await.unwrap();
    for _ in 0..3 {
        let got = registry.blob_through(tenant, "up/app", &secret).await;
        assert!(matches!(got, Err(RegistryError::Upstream(_))), "{got:?}");
    }
    *upstream.held.lock().unwrap() = None;
    assert!(registry.blob(&other, "private", &secret).is_ok());
}

/// The same at the same time.
async fn futures_of<T, F: Future<Output = T>>(count: usize, make: impl Fn() -> F) -> Vec<T> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        running.retain_mut(|one| match one.as_mut().poll(cx) {
            std::task::Poll::Ready(value) => {
                done.push(value);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}
