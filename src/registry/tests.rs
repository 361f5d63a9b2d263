//! The registry as its doors use it, on a real directory and a real store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_model::access_policy::Principal;
use cove_model::arn::Tenant;
use cove_model::image::ImageSelector;
use cove_model::registry::{Repository, TagMutability};
use cove_store::{Store, StoreOptions};
use http_body_util::Full;
use hyper::body::Frame;

use crate::build::{FileContent, ImageFile, LayerFacts, image_from_layer};
use crate::image_config::RunConfig;
use crate::manifest::{OCI_CONFIG, OCI_MANIFEST};
use crate::pull::Source;
use crate::resolve::Progress;
use crate::{Algorithm, ContentRange, Digest, ManifestPut, Registry, RegistryConfig, RegistryError, UnlinkChecks};

// Not in `tests/`: there Cargo would look for programs.
#[path = "keeping.rs"]
mod keeping;

struct Fixture {
    directory: tempfile::TempDir,
    clock: Clock,
    registry: Registry,
    tenant: Tenant,
}

impl Fixture {
    async fn new() -> Self {
        // File times are the host's, so the clock begins there.
        Self::with(Clock::manual(Clock::system().now()), RegistryConfig::default()).await
    }

    async fn with(clock: Clock, config: RegistryConfig) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let registry = open(&directory, &clock, config);
        let tenant = Tenant::new("000000000000", "us-east-1");
        let fixture = Self { directory, clock, registry, tenant };
        fixture.create("app", TagMutability::Mutable).await;
        fixture
    }

    async fn create(&self, name: &str, tag_mutability: TagMutability) {
        let wanted = Repository { tag_mutability, ..Repository::new(&self.tenant, name) };
        self.registry.create_repository(wanted).await.expect("create a repository");
    }

    async fn restart(self) -> Self {
        let Self { directory, clock, registry, tenant } = self;
        let store = registry.store().clone();
        drop(registry);
        store.close().await;
        let registry = open(&directory, &clock, RegistryConfig::default());
        Self { directory, clock, registry, tenant }
    }

    /// Pushes images of few different layers one after the other, keeps every seventh, and looks at each right after its
    /// push; the digests of those that stay.
    async fn push_and_delete(&self, repository: &str, is_enough: impl Fn(usize) -> bool) -> Vec<String> {
        let mut kept = Vec::new();
        for round in (0..).take_while(|round| !is_enough(*round)) {
            // Some come again and again, at the heels of their collection; some only once, so that there is one.
            let layer = match round % 7 {
                number @ 0..5 => format!("layer {number}"),
                _ => format!("layer of round {round} in {repository}"),
            };
            let digest = loop {
                // What a client that was too slow for the grace time does: it pushes again.
                match self.push(repository, "latest", layer.as_bytes()).await {
                    Ok(digest) => break digest,
                    Err(RegistryError::ManifestBlobUnknown(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            };
            self.is_whole(repository, &digest).await;
            if round % 7 != 0 {
                self.registry
                    .delete_manifest(&self.tenant, repository, &digest, UnlinkChecks::None)
                    .await
                    .expect("delete");
            } else if !kept.contains(&digest) {
                kept.push(digest);
            }
        }
        kept
    }

    async fn is_whole(&self, repository: &str, digest: &str) {
        let selector = ImageSelector::Digest(digest.to_owned());
        let stored = self.registry.manifest(&self.tenant, repository, &selector).await.expect("a manifest");
        assert_eq!(Digest::of(&stored.bytes).as_str(), digest);
        for blob in &stored.image.blobs {
            let blob = Digest::parse(blob).expect("a digest");
            let file = self.registry.blob(&self.tenant, repository, &blob).expect("a member");
            assert_eq!(Digest::of(&std::fs::read(file.path).expect("its bytes")), blob);
        }
    }

    /// As PutAccountSetting does it.
    async fn allow_mounts(&self) {
        let allowed = self.registry.change_settings(&self.tenant, |settings, _| {
            settings.account.insert("BLOB_MOUNTING".to_owned(), "ENABLED".to_owned());
            Ok::<_, RegistryError>(())
        });
        allowed.await.expect("change settings");
    }

    async fn mount(&self, to: &str, digest: &Digest, from: Option<&str>) -> Result<bool, RegistryError> {
        let who = Principal::root(&self.tenant.account);
        self.registry.mount(&who, &self.tenant, to, digest, from).await
    }

    async fn push(&self, repository: &str, tag: &str, layer: &[u8]) -> Result<String, RegistryError> {
        let facts = LayerFacts::read(&mut &layer[..]).expect("facts");
        let parts = image_from_layer(&facts, RunConfig::default());
        self.registry.put_blob(&self.tenant, repository, layer.to_vec()).await?;
        self.registry.put_blob(&self.tenant, repository, parts.config).await?;
        let put =
            ManifestPut { bytes: parts.manifest.into(), media_type: None, digest: None, tags: vec![tag.to_owned()] };
        Ok(self.registry.put_manifest(&self.tenant, repository, put).await?.image.digest)
    }
}

fn open(directory: &tempfile::TempDir, clock: &Clock, config: RegistryConfig) -> Registry {
    let data = DataDir::new(directory.path());
    let store = Store::open(&data, clock.clone(), StoreOptions::default()).expect("a store");
    Registry::open(&data, store, clock.clone(), config).expect("a registry")
}

fn body(bytes: &'static [u8]) -> Full<Bytes> {
    Full::new(Bytes::from_static(bytes))
}

#[tokio::test]
async fn a_chunked_upload_goes_on_after_a_restart_and_becomes_a_blob() {
    let fixture = Fixture::new().await;
    let tenant = fixture.tenant.clone();
    let id = fixture.registry.start_upload(&tenant, "app", Algorithm::Sha256).await.expect("start");
    let range = |start, end| Some(ContentRange { start, end });
    let offset = fixture.registry.append(&tenant, "app", &id, range(0, 4), &mut body(b"hello")).await.expect("append");
    assert_eq!(offset, 5);
    let fixture = fixture.restart().await;
    let registry = &fixture.registry;
    assert_eq!(registry.upload_offset(&tenant, "app", &id).await.expect("offset"), 5);
    let gap = registry.append(&tenant, "app", &id, range(7, 8), &mut body(b"xx")).await;
    assert!(matches!(gap, Err(RegistryError::UploadOutOfOrder { offset: 5, .. })), "{gap:?}");
    let short = registry.append(&tenant, "app", &id, range(5, 99), &mut body(b" w")).await;
    assert!(matches!(short, Err(RegistryError::SizeInvalid { promised: 95, got: 2 })), "{short:?}");
    let digest = Digest::of(b"hello world");
    let size = registry.finish(&tenant, "app", &id, range(5, 10), &mut body(b" world"), &digest).await.expect("finish");
    assert_eq!(size, 11);
    let blob = registry.blob(&tenant, "app", &digest).expect("a blob");
    assert_eq!(std::fs::read(blob.path).expect("read"), b"hello world");
    assert!(matches!(registry.upload_offset(&tenant, "app", &id).await, Err(RegistryError::UploadUnknown(_))));
}

#[tokio::test]
async fn a_stream_that_breaks_is_kept_and_a_wrong_digest_ends_the_upload() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let id = registry.start_upload(tenant, "app", Algorithm::Sha256).await.expect("start");
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"abc"))), Err("cut")];
    let mut cut = Frames(frames.into_iter());
    let broken = registry.append(tenant, "app", &id, None, &mut cut).await;
    assert!(matches!(broken, Err(RegistryError::BodyCut)), "{broken:?}");
    assert_eq!(registry.append(tenant, "app", &id, None, &mut body(b"def")).await.ok(), Some(6));
    let wrong = registry.finish(tenant, "app", &id, None, &mut body(b""), &Digest::of(b"other")).await;
    assert!(matches!(wrong, Err(RegistryError::DigestMismatch { .. })), "{wrong:?}");
    assert!(matches!(registry.upload_offset(tenant, "app", &id).await, Err(RegistryError::UploadUnknown(_))));
    let long = Digest::with(Algorithm::Sha512, b"z");
    registry.upload_whole(tenant, "app", &mut body(b"z"), &long).await.expect("a sha512 blob");
    assert!(registry.blob(tenant, "app", &long).is_ok());
}

#[tokio::test]
async fn a_blob_is_seen_only_through_a_repository_that_has_it() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    fixture.create("other", TagMutability::Mutable).await;
    let digest = registry.put_blob(tenant, "app", b"x".to_vec()).await.expect("put");
    assert!(matches!(registry.blob(tenant, "other", &digest), Err(RegistryError::BlobUnknown(_))));
    let stranger = Tenant::new("111111111111", "us-east-1");
    assert!(matches!(registry.blob(&stranger, "app", &digest), Err(RegistryError::RepositoryUnknown { .. })));
    assert!(!fixture.mount("other", &digest, Some("app")).await.expect("mount"), "nobody has allowed it");
    fixture.allow_mounts().await;
    assert!(fixture.mount("other", &digest, Some("app")).await.expect("mount"));
    assert!(registry.blob(tenant, "other", &digest).is_ok());
    assert!(!fixture.mount("other", &Digest::of(b"absent"), None).await.expect("mount"));
}

#[tokio::test]
async fn a_blob_is_not_mounted_past_a_policy_or_between_repositories_that_differ() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    fixture.allow_mounts().await;
    fixture.create("alike", TagMutability::Mutable).await;
    let keyed = Repository { encryption_type: "KMS".to_owned(), ..Repository::new(tenant, "keyed") };
    registry.create_repository(keyed).await.expect("create");
    let digest = registry.put_blob(tenant, "app", b"x".to_vec()).await.expect("put");
    assert!(!fixture.mount("keyed", &digest, Some("app")).await.expect("mount"), "encrypted otherwise");
    let deny = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "ecr:GetDownloadUrlForLayer"}]}"#;
    registry.set_policy(tenant, "app", Some(deny.to_owned())).await.expect("set");
    for from in [Some("app"), None] {
        assert!(!fixture.mount("alike", &digest, from).await.expect("mount"), "{from:?}: denied where it is");
    }
    registry.set_policy(tenant, "app", None).await.expect("set");
    assert!(fixture.mount("alike", &digest, None).await.expect("mount"));
}

/// A body whose next part comes when the test sends it.
struct Sent(tokio::sync::mpsc::UnboundedReceiver<&'static [u8]>);

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(Bytes::from_static(part)))))
    }
}

#[tokio::test]
async fn an_upload_that_is_cancelled_while_it_is_written_is_unknown_and_forgotten() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (fixture.registry.clone(), fixture.tenant.clone());
    let id = registry.start_upload(&tenant, "app", Algorithm::Sha256).await.expect("start");
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let finishing = tokio::spawn({
        let (registry, tenant, id) = (registry.clone(), tenant.clone(), id.clone());
        let mut body = Sent(receiver);
        async move { registry.finish(&tenant, "app", &id, None, &mut body, &Digest::of(b"hello")).await }
    });
    sender.send(b"hello").expect("somebody reads");
    while !registry.sessions.holds(&id) {
        tokio::task::yield_now().await;
    }
    registry.cancel_upload(&tenant, "app", &id).await.expect("cancel");
    drop(sender);
    let finished = finishing.await.expect("no panic");
    assert!(matches!(finished, Err(RegistryError::UploadUnknown(_))), "{finished:?}");
    let digest = Digest::of(b"whole");
    registry.upload_whole(&tenant, "app", &mut body(b"whole"), &digest).await.expect("upload");
    assert_eq!(registry.sessions.count(), 0);
}

#[tokio::test]
async fn a_download_is_shared_by_those_who_want_the_same_of_the_same_registry() {
    let fixture = Fixture::new().await;
    let quiet: Progress = Arc::new(|_| {});
    let begin = |host: &str, size| {
        let source = Source { host: host.to_owned(), repository: "app".to_owned(), credentials: None };
        let wanted = vec![(Digest::of(b"x"), size)];
        fixture.registry.begin_all(&fixture.tenant, &source, wanted, &quiet).remove(0).1.done
    };
    let first = begin("127.0.0.1:1", 1);
    assert!(first.same_channel(&begin("127.0.0.1:1", 1)));
    assert!(!first.same_channel(&begin("127.0.0.1:2", 1)), "what one registry cannot give another may");
    assert!(!first.same_channel(&begin("127.0.0.1:1", 2)), "somebody is wrong about its size");
}

#[tokio::test]
async fn the_uploads_of_a_repository_go_with_it() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    for _ in 0..3 {
        let id = registry.start_upload(tenant, "app", Algorithm::Sha256).await.expect("start");
        registry.append(tenant, "app", &id, None, &mut body(b"some")).await.expect("append");
    }
    registry.delete_repository(tenant, "app").await.expect("delete");
    let files = std::fs::read_dir(registry.blobs().temporary_directory()).expect("uploads").count();
    assert_eq!((files, registry.sessions.count()), (0, 0));
}

#[tokio::test]
async fn a_config_is_no_larger_than_its_place_whatever_its_descriptor_says() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let push = async |padding: usize, tag: &str| {
        let config = format!("{{\"rootfs\": {{\"type\": \"layers\", \"diff_ids\": []}}}}{}", " ".repeat(padding));
        let digest = registry.put_blob(tenant, "app", config.into_bytes()).await.expect("put");
        let config = serde_json::json!({"mediaType": OCI_CONFIG, "digest": digest.as_str(), "size": 2});
        let manifest =
            serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []});
        let bytes = manifest.to_string().into();
        let put = ManifestPut { bytes, media_type: None, digest: None, tags: vec![tag.to_owned()] };
        registry.put_manifest(tenant, "app", put).await.expect("push");
        let reference = registry.reference(&format!("app:{tag}"), tenant).expect("a reference");
        registry.resolve(tenant, &reference, None, None).await
    };
    assert!(push(0, "small").await.is_ok());
    assert_eq!(registry.known_layers().await.len(), 1);
    let large = push(9 << 20, "large").await;
    assert!(large.is_err_and(|error| error.to_string().contains("its config is too large")));
    assert_eq!(registry.known_layers().await.len(), 1, "it is not read for its layers either");
}

#[tokio::test]
async fn a_manifest_needs_its_blobs_and_an_immutable_tag_stays() {
    let fixture = Fixture::new().await;
    fixture.create("fixed", TagMutability::Immutable).await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let facts = LayerFacts::read(&mut &b"absent"[..]).expect("facts");
    let parts = image_from_layer(&facts, RunConfig::default());
    let put = ManifestPut { bytes: parts.manifest.into(), media_type: None, digest: None, tags: vec![] };
    let refused = registry.put_manifest(tenant, "app", put).await;
    assert!(matches!(&refused, Err(RegistryError::ManifestBlobUnknown(missing)) if missing.len() == 2), "{refused:?}");
    let first = fixture.push("fixed", "1", b"one").await.expect("push");
    assert_eq!(fixture.push("fixed", "1", b"one").await.expect("the same again"), first);
    let moved = fixture.push("fixed", "1", b"two").await;
    assert!(matches!(moved, Err(RegistryError::TagImmutable { .. })), "{moved:?}");
    let tag = ImageSelector::Tag("1".to_owned());
    assert_eq!(registry.image(tenant, "fixed", &tag).expect("an image").digest, first);
}

#[tokio::test]
async fn deleting_an_image_frees_its_blobs_at_the_collection_after_the_grace_time() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let kept = fixture.push("app", "kept", b"shared").await.expect("push");
    let gone = fixture.push("app", "gone", b"alone").await.expect("push");
    registry.delete_manifest(tenant, "app", &gone, UnlinkChecks::None).await.expect("delete");
    assert_eq!(registry.tags(tenant, "app", None, 10).expect("tags").items, ["kept"]);
    assert_eq!(registry.collect().await.expect("collect").files, 0, "within the grace time nothing goes");
    fixture.clock.advance(crate::COLLECT_GRACE_MILLIS + 60_000);
    let collected = registry.collect().await.expect("collect");
    assert_eq!((collected.links, collected.files), (2, 3), "layer, config and manifest");
    assert!(registry.manifest(tenant, "app", &ImageSelector::Digest(kept)).await.is_ok());
    assert!(registry.blob(tenant, "app", &Digest::of(b"shared")).is_ok_and(|blob| blob.path.exists()));
    registry.delete_repository_with_images(tenant, "app").await.expect("delete");
    assert_eq!(registry.collect().await.expect("collect").files, 3);
}

/// With a grace time of a few pushes, so that the collection is always at their heels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_beside_pushes_takes_nothing_from_an_image_that_is_there() {
    let config = RegistryConfig { collect_grace_millis: 100, ..RegistryConfig::default() };
    let fixture = Fixture::with(Clock::system(), config).await;
    fixture.create("other", TagMutability::Mutable).await;
    let (pushing, files) = (AtomicUsize::new(2), AtomicU64::new(0));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // A fast machine pushes many images before the first file is old.
    let is_enough = |round| round >= 60 && files.load(Ordering::Relaxed) > 0 || std::time::Instant::now() > deadline;
    let push = async |repository: &str| {
        let kept = fixture.push_and_delete(repository, is_enough).await;
        pushing.fetch_sub(1, Ordering::Relaxed);
        kept
    };
    let collect = async {
        while pushing.load(Ordering::Relaxed) > 0 {
            let collected = fixture.registry.collect().await.expect("collect");
            files.fetch_add(collected.files, Ordering::Relaxed);
        }
    };
    let (app, other, ()) = tokio::join!(push("app"), push("other"), collect);
    assert!(files.load(Ordering::Relaxed) > 0, "nothing was collected meanwhile");
    assert_eq!((app.len(), &app), (1, &other), "the same image");
    // Layer, config and manifest of one image in two repositories.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while fixture.registry.blobs().list(std::time::UNIX_EPOCH).len() > 3 {
        assert!(std::time::Instant::now() < deadline, "something is never collected");
        fixture.registry.collect().await.expect("collect");
    }
    for repository in ["app", "other"] {
        fixture.is_whole(repository, &app[0]).await;
    }
}

#[tokio::test]
async fn an_abandoned_upload_expires() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let id = registry.start_upload(tenant, "app", Algorithm::Sha256).await.expect("start");
    registry.append(tenant, "app", &id, None, &mut body(b"abc")).await.expect("append");
    fixture.clock.advance(crate::UPLOAD_EXPIRY_MILLIS + 60_000);
    assert_eq!(registry.collect().await.expect("collect").uploads, 1);
    assert!(!registry.blobs().temporary(&id).exists());
    assert!(registry.upload_offset(tenant, "app", &id).await.is_err());
}

#[tokio::test]
async fn an_upload_that_goes_on_does_not_expire_however_old_it_is() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let id = registry.start_upload(tenant, "app", Algorithm::Sha256).await.expect("start");
    fixture.clock.advance(crate::UPLOAD_EXPIRY_MILLIS + 60_000);
    let written = std::time::UNIX_EPOCH + std::time::Duration::from_millis(fixture.clock.now().millis().unsigned_abs());
    let file = std::fs::File::options().write(true).open(registry.blobs().temporary(&id)).expect("the upload's file");
    file.set_modified(written).expect("a time");
    assert_eq!(registry.collect().await.expect("collect").uploads, 0);
    assert_eq!(registry.append(tenant, "app", &id, None, &mut body(b"abc")).await.ok(), Some(3));
    fixture.clock.advance(crate::UPLOAD_EXPIRY_MILLIS + 60_000);
    assert_eq!(registry.collect().await.expect("collect").uploads, 1);
}

#[tokio::test]
async fn a_blob_that_a_client_asked_for_waits_for_its_manifest() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let asked = registry.put_blob(tenant, "app", b"asked".to_vec()).await.expect("put");
    let alone = registry.put_blob(tenant, "app", b"alone".to_vec()).await.expect("put");
    fixture.clock.advance(crate::COLLECT_GRACE_MILLIS + 60_000);
    registry.blob_wanted(tenant, "app", &asked).await.expect("a blob");
    assert_eq!(registry.collect().await.expect("collect").links, 1);
    assert!(registry.blob_wanted(tenant, "app", &asked).await.is_ok_and(|blob| blob.path.exists()));
    assert!(matches!(registry.blob_wanted(tenant, "app", &alone).await, Err(RegistryError::BlobUnknown(_))));
}

#[tokio::test]
async fn a_builtin_image_resolves_locally_and_is_made_once() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let file = ImageFile { path: "/bin/app".into(), content: FileContent::Bytes(b"#!".to_vec()), mode: 0o755 };
    let run = RunConfig { entrypoint: Some(vec!["/bin/app".into()]), ..RunConfig::default() };
    let files = [file];
    let first = registry.ensure_builtin(tenant, "cove/demo", &files, run.clone()).await.expect("build");
    assert_eq!(registry.ensure_builtin(tenant, "cove/demo", &files, run).await.expect("again"), first);
    let reference = registry.reference("cove/demo", tenant).expect("a reference");
    let image = registry.resolve(tenant, &reference, None, None).await.expect("an image");
    assert_eq!(image.manifest_digest, first);
    assert_eq!(image.layers[0].digest, image.layers[0].diff_id);
    assert_eq!(image.config.config.entrypoint, Some(vec!["/bin/app".to_owned()]));
    let mut tar = tar::Archive::new(std::fs::File::open(&image.layers[0].path).expect("a layer"));
    let names: Vec<String> = tar
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
        .collect();
    assert_eq!(names, ["bin/", "bin/app"]);
    let absent = registry.reference("127.0.0.1:1/x", tenant).expect("a reference");
    let refused = registry.resolve(tenant, &absent, None, None).await.expect_err("nobody listens there");
    assert!(refused.to_string().contains("dial tcp 127.0.0.1:1"), "{refused}");
}

#[tokio::test]
async fn referrers_show_at_once_and_go_with_their_manifest() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let subject = Digest::of(b"a manifest that is not there yet");
    registry.put_blob(tenant, "app", b"{}".to_vec()).await.expect("put");
    let empty = serde_json::json!({ "mediaType": "application/x", "digest": Digest::of(b"{}").as_str(), "size": 2 });
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "artifactType": "text/sbom", "config": empty, "layers": [empty], "annotations": { "a": "b" },
        "subject": { "mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 1 } });
    let put = ManifestPut {
        bytes: manifest.to_string().into_bytes().into(),
        media_type: None,
        digest: None,
        tags: Vec::new(),
    };
    let digest = registry.put_manifest(tenant, "app", put).await.expect("put").image.digest;
    let found =
        registry.referrers(tenant, "app", &subject, Some("text/sbom"), None).await.expect("referrers").manifests;
    assert_eq!((found[0].digest.as_str(), found[0].artifact_type.as_deref()), (digest.as_str(), Some("text/sbom")));
    assert!(
        registry.referrers(tenant, "app", &subject, Some("other"), None).await.expect("referrers").manifests.is_empty()
    );
    registry.delete_manifest(tenant, "app", &digest, UnlinkChecks::None).await.expect("delete");
    assert!(registry.referrers(tenant, "app", &subject, None, None).await.expect("referrers").manifests.is_empty());
}

/// A stream of frames, without a stream crate.
struct Frames<I>(I);

impl<I: Iterator + Unpin> hyper::body::Body for Frames<I>
where
    I: Iterator<Item = Result<Frame<Bytes>, &'static str>>,
{
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        std::task::Poll::Ready(self.0.next())
    }
}
