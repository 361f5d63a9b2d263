//! Tests of caps, quotas, conditions and the scrub.

use super::*;
use crate::{Expectation, Quotas};

const MIB: usize = 1 << 20;

fn quota_of_a_mib() -> RegistryConfig {
    let quotas = Quotas { named: [("free".to_owned(), 1 << 30)].into(), others: Some(MIB as u64) };
    RegistryConfig { quotas, ..RegistryConfig::default() }
}

async fn fixture(config: RegistryConfig) -> Fixture {
    Fixture::with(Clock::manual(Clock::system().now()), config).await
}

fn of_zeros(size: usize) -> Full<Bytes> {
    Full::new(Bytes::from(vec![0; size]))
}

#[tokio::test]
async fn a_repository_takes_what_its_quota_holds_and_not_a_byte_more() {
    let fixture = fixture(quota_of_a_mib()).await;
    fixture.create("free", TagMutability::Mutable).await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let is_full = |error: RegistryError| match error {
        RegistryError::RepositoryFull { repository, max_mib: 1 } => assert_eq!(repository, "app"),
        other => panic!("{other}"),
    };
    let half = Digest::of(&vec![0; MIB / 2]);
    let size = registry.upload_whole(tenant, "app", &mut of_zeros(MIB / 2), &half).await.expect("half of it");
    assert_eq!(size, MIB as u64 / 2);
    // Cut on its way, in each form of a push; nothing of it stays.
    let more = Digest::of(&vec![0; MIB]);
    is_full(registry.upload_whole(tenant, "app", &mut of_zeros(MIB), &more).await.expect_err("whole"));
    let id = registry.start_upload(tenant, "app", Algorithm::Sha256).await.expect("start");
    is_full(registry.append(tenant, "app", &id, None, &mut of_zeros(MIB)).await.expect_err("streamed"));
    assert_eq!(registry.upload_offset(tenant, "app", &id).await.expect("offset"), 0);
    let range = Some(ContentRange { start: 0, end: MIB as u64 - 1 });
    is_full(registry.append(tenant, "app", &id, range, &mut of_zeros(MIB)).await.expect_err("chunked"));
    is_full(registry.finish(tenant, "app", &id, None, &mut of_zeros(MIB), &more).await.expect_err("at the end"));
    // Another repository has its own quota, and a mount into this one counts like a push.
    registry.upload_whole(tenant, "free", &mut of_zeros(MIB), &more).await.expect("another quota");
    fixture.allow_mounts().await;
    is_full(fixture.mount("app", &more, Some("free")).await.expect_err("mounted"));
    // What is there already costs nothing.
    registry.upload_whole(tenant, "app", &mut of_zeros(MIB / 2), &half).await.expect("the same again");
    // Two uploads that fit alone and not together: the later one goes, with its session.
    let mut ids = Vec::new();
    for letter in [1, 2] {
        let id = registry.start_upload(tenant, "app", Algorithm::Sha256).await.expect("start");
        let content = vec![letter; MIB / 3];
        let mut body = Full::new(Bytes::from(content.clone()));
        registry.append(tenant, "app", &id, None, &mut body).await.expect("append");
        ids.push((id, Digest::of(&content)));
    }
    registry.finish(tenant, "app", &ids[0].0, None, &mut body(b""), &ids[0].1).await.expect("the first");
    is_full(registry.finish(tenant, "app", &ids[1].0, None, &mut body(b""), &ids[1].1).await.expect_err("the second"));
    let gone = registry.upload_offset(tenant, "app", &ids[1].0).await;
    assert!(matches!(gone, Err(RegistryError::UploadUnknown(_))), "{gone:?}");
}

#[tokio::test]
async fn manifests_count_for_the_quota() {
    let quotas = Quotas { others: Some(1000), ..Quotas::default() };
    let fixture = fixture(RegistryConfig { quotas, ..RegistryConfig::default() }).await;
    fixture.push("app", "1", b"x").await.expect("a small image");
    let refused = fixture.push("app", "2", b"y").await;
    assert!(matches!(refused, Err(RegistryError::RepositoryFull { .. })), "{refused:?}");
    fixture.push("app", "3", b"x").await.expect("another tag of the image that is there");
}

#[tokio::test]
async fn open_uploads_are_capped_and_those_past_their_time_do_not_count() {
    let config = RegistryConfig { repository_uploads_max: 2, uploads_max: 3, ..RegistryConfig::default() };
    let fixture = fixture(config).await;
    fixture.create("other", TagMutability::Mutable).await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let start = |name: &'static str| registry.start_upload(tenant, name, Algorithm::Sha256);
    let first = start("app").await.expect("one");
    start("app").await.expect("two");
    let refused = start("app").await;
    assert!(matches!(refused, Err(RegistryError::TooManyUploads { max: 2 })), "{refused:?}");
    start("other").await.expect("three");
    let refused = start("other").await;
    assert!(matches!(refused, Err(RegistryError::TooManyUploads { max: 3 })), "{refused:?}");
    let files = || std::fs::read_dir(registry.blobs().temporary_directory()).expect("uploads").count();
    assert_eq!(files(), 3, "nothing of what was refused");
    registry.cancel_upload(tenant, "app", &first).await.expect("cancel");
    start("app").await.expect("in its place");
    fixture.clock.advance(crate::UPLOAD_EXPIRY_MILLIS + 1);
    start("app").await.expect("the old ones do not count");
}

#[tokio::test]
async fn what_is_pushed_again_cut_back_or_healed_takes_no_room_twice() {
    let config = RegistryConfig { store_max_bytes: 4 * MIB as u64, ..RegistryConfig::default() };
    let fixture = fixture(config).await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    registry.blobs.room.measure_no_more();
    let content = vec![0; MIB];
    let digest = Digest::of(&content);
    for _ in 0..5 {
        registry.upload_whole(tenant, "app", &mut of_zeros(MIB), &digest).await.expect("the same again");
    }
    let id = registry.start_upload(tenant, "app", Algorithm::Sha256).await.expect("start");
    for _ in 0..5 {
        // It promises another length: nothing of it is kept.
        let range = Some(ContentRange { start: 0, end: 2 * MIB as u64 });
        let cut = registry.append(tenant, "app", &id, range, &mut of_zeros(2 * MIB)).await;
        assert!(matches!(cut, Err(RegistryError::SizeInvalid { .. })), "{cut:?}");
    }
    for _ in 0..3 {
        std::fs::write(registry.blobs().path(&digest), vec![1; MIB]).expect("damage it");
        registry.scrub_pass().await;
        registry.upload_whole(tenant, "app", &mut of_zeros(MIB), &digest).await.expect("heal it");
    }
    let rest = vec![2; 3 * MIB];
    let mut body = Full::new(Bytes::from(rest.clone()));
    registry.upload_whole(tenant, "app", &mut body, &Digest::of(&rest)).await.expect("what is left");
    let more = registry.put_blob(tenant, "app", vec![3; 1 << 10]).await;
    assert!(matches!(more, Err(RegistryError::StoreFull { max_mib: 4 })), "{more:?}");
}

#[tokio::test]
async fn a_manifest_is_pushed_only_over_what_its_client_expects() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let one = fixture.push("app", "1", b"one").await.expect("push");
    let two = fixture.push("app", "2", b"two").await.expect("push");
    let bytes = registry.manifest(tenant, "app", &ImageSelector::Digest(two.clone())).await.expect("a manifest").bytes;
    let put = |tag: &str, expected: Expectation| {
        let put = ManifestPut { bytes: bytes.clone(), media_type: None, digest: None, tags: vec![tag.to_owned()] };
        registry.put_manifest_if(tenant, "app", put, expected)
    };
    let refused = put("1", Expectation::Is(vec![two.clone()])).await;
    assert!(matches!(&refused, Err(RegistryError::NotAsExpected { found: Some(found), .. }) if *found == one));
    assert!(put("1", Expectation::IsNot(vec!["*".to_owned()])).await.is_err(), "it must not be there");
    assert!(put("3", Expectation::Is(vec!["*".to_owned()])).await.is_err(), "it must be there");
    put("1", Expectation::Is(vec![one])).await.expect("as expected");
    let tag = ImageSelector::Tag("1".to_owned());
    assert_eq!(registry.image(tenant, "app", &tag).expect("an image").digest, two);
}

#[tokio::test]
async fn a_damaged_blob_is_set_aside_and_healed_by_a_push() {
    let fixture = Fixture::new().await;
    fixture.create("other", TagMutability::Mutable).await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let image = fixture.push("app", "1", b"layer").await.expect("push");
    let (layer, manifest) = (Digest::of(b"layer"), Digest::parse(&image).expect("a digest"));
    registry.scrub_pass().await;
    assert_eq!(registry.damaged().await, []);
    for digest in [&layer, &manifest] {
        std::fs::write(registry.blobs().path(digest), b"rotten").expect("damage it");
    }
    // In use: whoever has the pin may be about to replace it.
    let pin = registry.blobs().pin(&layer);
    registry.scrub_pass().await;
    assert!(registry.blobs().size(&layer).is_some());
    drop(pin);
    registry.scrub_pass().await;
    let damaged = registry.damaged().await;
    let digests: Vec<&str> = damaged.iter().map(|lost| lost.digest.as_str()).collect();
    let mut wanted = [layer.as_str(), manifest.as_str()];
    wanted.sort_unstable();
    assert_eq!(digests, wanted);
    assert_eq!(damaged[0].repositories, ["000000000000/us-east-1/app"]);
    let pass = registry.scrub_state().last.expect("a pass");
    assert_eq!((pass.files, pass.damaged), (2, 1), "the manifest went in the pass before");
    // Nobody is told that it is there; a collection beside it does not throw away what may still be rescued.
    assert!(matches!(registry.blob_wanted(tenant, "app", &layer).await, Err(RegistryError::BlobUnknown(_))));
    fixture.allow_mounts().await;
    assert!(!fixture.mount("other", &layer, Some("app")).await.expect("no mount"));
    registry.collect().await.expect("collect");
    let aside = || std::fs::read_dir(fixture.directory.path().join("blobs/damaged")).expect("a directory").count();
    assert_eq!(aside(), 2);
    fixture.push("app", "1", b"layer").await.expect("push again");
    fixture.is_whole("app", &image).await;
    assert_eq!((registry.damaged().await, aside()), (vec![], 0));
    let text = registry.scrub_metrics();
    assert!(text.contains("cove_registry_damaged_blobs_total 2\n"), "{text}");
}

#[tokio::test]
async fn a_damaged_blob_that_nobody_names_goes_with_the_collection() {
    let fixture = Fixture::new().await;
    let (registry, tenant) = (&fixture.registry, &fixture.tenant);
    let digest = registry.put_blob(tenant, "app", b"x".to_vec()).await.expect("put");
    std::fs::write(registry.blobs().path(&digest), b"y").expect("damage it");
    registry.scrub_pass().await;
    registry.delete_blob(tenant, "app", &digest).await.expect("delete");
    registry.collect().await.expect("collect");
    assert_eq!(std::fs::read_dir(fixture.directory.path().join("blobs/damaged")).expect("a directory").count(), 0);
}

#[tokio::test]
async fn a_scrub_goes_on_after_a_restart_behind_what_it_has_read() {
    let fixture = Fixture::new().await;
    for number in 0..9_u8 {
        fixture.registry.put_blob(&fixture.tenant, "app", vec![number]).await.expect("put");
    }
    let path = fixture.directory.path().join("blobs/scrub.json");
    let mut digests: Vec<Digest> = (0..9_u8).map(|number| Digest::of(&[number])).collect();
    digests.sort_unstable();
    let began = serde_json::json!({"running": {"beganAt": 5, "after": digests[5].as_str(), "files": 6, "bytes": 6}});
    std::fs::write(path, began.to_string()).expect("an earlier server's note");
    let fixture = fixture.restart().await;
    // What lies before it was read already.
    std::fs::write(fixture.registry.blobs().path(&digests[0]), b"not seen now").expect("damage it");
    let scrubbing = tokio::spawn(fixture.registry.clone().scrub_for_ever());
    let last = loop {
        if let Some(last) = fixture.registry.scrub_state().last {
            break last;
        }
        tokio::task::yield_now().await;
    };
    scrubbing.abort();
    assert_eq!((last.began_at.millis(), last.files, last.damaged), (5, 9, 0));
}
