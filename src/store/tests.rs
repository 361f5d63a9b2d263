//! The store as its callers see it.

use std::fs;
use std::sync::Arc;

use cove_base::paths::DataDir;
use cove_base::{Clock, Timestamp};
use cove_model::arn::Tenant;
use cove_model::fixture;
use cove_model::registry::{BlobLink, ImageTag, Upload};
use cove_model::role::Role;
use cove_model::task::{Observed, Task, TaskStatus};

use crate::event::EVENTS_KEPT;
use crate::{Prefix, Read, Record, Store, StoreError, StoreHealth, StoreOptions, keys};

pub(crate) fn tenant() -> Tenant {
    Tenant::new("000000000000", "us-east-1")
}

pub(crate) fn tag(repository: &str, name: &str, digest: &str) -> ImageTag {
    ImageTag { tenant: tenant(), repository: repository.into(), tag: name.into(), digest: digest.into() }
}

pub(crate) fn role(name: &str, policy: &str) -> Role {
    Role {
        account: tenant().account,
        name: name.into(),
        path: "/".into(),
        id: "AROA".into(),
        assume_role_policy_document: policy.into(),
        description: None,
        max_session_duration_secs: 3600,
        tags: Vec::new(),
        created_at: Timestamp(1),
    }
}

pub(crate) fn task(id: &str, status: TaskStatus) -> Task {
    Task { observed: Observed::new(status), ..fixture::task(id) }
}

fn live(source: &impl Read) -> Vec<String> {
    source.live::<Task>(&Prefix::all()).iter().map(|task| task.id.clone()).collect()
}

pub(crate) fn open(data: &DataDir) -> Result<Store, StoreError> {
    Store::open(data, Clock::manual(Timestamp(7)), StoreOptions::default())
}

pub(crate) async fn put<K: Record>(store: &Store, record: K) -> Result<(), StoreError> {
    store
        .write(|tx| {
            tx.put(record);
            Ok(())
        })
        .await
}

pub(crate) fn names(source: &impl Read, repository: &str) -> Vec<String> {
    let tags = source.scan::<ImageTag>(&Prefix::parent(&tenant(), repository));
    tags.iter().map(|tag| tag.tag.clone()).collect()
}

#[tokio::test]
async fn what_was_written_is_read_signalled_and_there_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let store = open(&data).unwrap();
    let mut tags_changed = store.watch::<ImageTag>();
    let uploads_changed = store.watch::<Upload>();
    let seen = store
        .write(|tx| {
            tx.put(tag("app", "b", "1"));
            tx.put(tag("app", "a", "1"));
            tx.put(tag("apple", "c", "1"));
            tx.delete::<ImageTag>(&keys::image_tag(&tenant(), "app", "b"));
            Ok::<_, StoreError>(names(tx, "app"))
        })
        .await;
    assert_eq!(seen.unwrap(), ["a"]);
    assert!(tags_changed.has_changed().unwrap());
    assert_eq!(*tags_changed.borrow_and_update(), 1);
    assert!(!uploads_changed.has_changed().unwrap());
    store.close().await;

    let store = open(&data).unwrap();
    assert_eq!(store.read(|view| names(view, "app")), ["a"]);
    assert_eq!(store.read(|view| view.count::<ImageTag>(&Prefix::all())), 2);
    assert_eq!(*store.watch::<ImageTag>().borrow(), 1);
}

#[tokio::test]
async fn a_command_that_fails_or_panics_leaves_no_trace_and_hurts_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&DataDir::new(directory.path())).unwrap();
    put(&store, tag("app", "kept", "1")).await.unwrap();
    let commands = (0..30).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write(move |tx| {
                    tx.put(tag("app", "kept", "changed"));
                    tx.put(tag("app", &format!("n{number:02}"), "1"));
                    tx.delete::<ImageTag>(&keys::image_tag(&tenant(), "app", "kept"));
                    match number % 3 {
                        0 => Err(StoreError::Closed),
                        1 => panic!("on purpose"),
                        _ => {
                            tx.put(tag("app", "kept", "2"));
                            Ok(names(tx, "app").len())
                        }
                    }
                })
                .await
        })
    });
    for (number, command) in commands.collect::<Vec<_>>().into_iter().enumerate() {
        match (number % 3, command.await.unwrap()) {
            (0, Err(StoreError::Closed)) | (2, Ok(_)) => {}
            (1, Err(StoreError::Panicked(message))) => assert_eq!(message, "on purpose"),
            (_, other) => panic!("{number}: {other:?}"),
        }
    }
    let kept = store.read(|view| view.get::<ImageTag>(&keys::image_tag(&tenant(), "app", "kept")));
    assert_eq!(kept.unwrap().digest, "2");
    assert_eq!(store.read(|view| names(view, "app")).len(), 11);
    assert_eq!(store.health(), StoreHealth::Writable);
}

#[tokio::test]
async fn live_records_are_found_under_changes_after_a_restart_and_not_once_they_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let store = open(&data).unwrap();
    for one in [task("a", TaskStatus::Running), task("b", TaskStatus::Stopped), task("c", TaskStatus::Pending)] {
        put(&store, one).await.unwrap();
    }
    let seen = store
        .write(move |tx| {
            let before = live(tx);
            tx.put(task("c", TaskStatus::Stopped));
            tx.put(task("0", TaskStatus::Pending));
            tx.delete::<Task>(&task("a", TaskStatus::Running).key());
            Ok::<_, StoreError>([before, live(tx)])
        })
        .await;
    assert_eq!(seen.unwrap(), [["a", "c"].as_slice(), ["0"].as_slice()]);
    assert_eq!(store.read(live), ["0"]);
    store.close().await;
    assert_eq!(open(&data).unwrap().read(live), ["0"]);
}

#[tokio::test]
async fn a_page_goes_on_behind_a_key_through_both_layers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&DataDir::new(directory.path())).unwrap();
    store
        .write(|tx| {
            ["a", "c", "e"].iter().for_each(|name| tx.put(tag("app", name, "1")));
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    let pages = store
        .write(|tx| {
            ["b", "d", "f"].iter().for_each(|name| tx.put(tag("app", name, "2")));
            tx.delete::<ImageTag>(&keys::image_tag(&tenant(), "app", "c"));
            let prefix = Prefix::parent(&tenant(), "app");
            let page = |after: &str, limit| {
                let after = keys::image_tag(&tenant(), "app", after);
                tx.page::<ImageTag>(&prefix, Some(&after), limit).iter().map(|tag| tag.tag.clone()).collect::<String>()
            };
            Ok::<_, StoreError>((page("a", 2), page("c", 9), page("f", 9), names(tx, "app").concat()))
        })
        .await;
    assert_eq!(pages.unwrap(), ("bd".into(), "def".into(), String::new(), "abdef".into()));
}

#[tokio::test]
async fn a_large_record_is_a_document_that_goes_with_its_last_record() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let documents = || fs::read_dir(data.documents()).unwrap().count();
    let large = "x".repeat(64 << 10);
    let store = open(&data).unwrap();
    let policy = large.clone();
    put(&store, role("a", &policy)).await.unwrap();
    assert_eq!(documents(), 1);
    store.close().await;

    fs::write(data.documents().join("left-by-a-crash"), "x").unwrap();
    let store = open(&data).unwrap();
    assert_eq!(documents(), 1, "swept");
    let kept = store.read(|view| view.get::<Role>(&keys::role(&tenant().account, "a"))).unwrap();
    assert_eq!(kept.assume_role_policy_document, large);
    put(&store, role("a", "small")).await.unwrap();
    assert_eq!(documents(), 0);
    store.close().await;
    let store = open(&data).unwrap();
    assert_eq!(store.read(|view| view.count::<Role>(&Prefix::all())), 1);
}

#[tokio::test]
async fn events_are_in_order_and_the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let store = open(&data).unwrap();
    let count = EVENTS_KEPT + 10;
    for number in 0..count {
        put(&store, tag("app", &number.to_string(), "1")).await.unwrap();
    }
    // A command that only reads is no event.
    store.write(|tx| Ok::<_, StoreError>(tx.count::<ImageTag>(&Prefix::all()))).await.unwrap();
    let events = store.events(0, usize::MAX).await.unwrap();
    let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (11..=count).collect::<Vec<_>>());
    assert_eq!(events[0].changes.as_ref().unwrap()[0].tree, "image_tags");
    store.close().await;
    let store = open(&data).unwrap();
    put(&store, tag("app", "last", "1")).await.unwrap();
    let last = store.events(count, 10).await.unwrap();
    assert_eq!((last.len(), last[0].revision), (1, count + 1));
    assert_eq!(store.events(0, usize::MAX).await.unwrap().len() as u64, EVENTS_KEPT);
}

#[tokio::test]
async fn a_second_server_is_kept_out_until_the_first_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let first = open(&data).unwrap();
    let Err(refused) = open(&data) else { panic!("two servers opened one directory") };
    assert!(matches!(refused, StoreError::Locked(_)), "{refused}");
    first.close().await;
    open(&data).unwrap().close().await;
}

#[tokio::test]
async fn a_torn_snapshot_does_not_keep_the_store_closed() {
    let directory = tempfile::tempdir().unwrap();
    let data = DataDir::new(directory.path());
    let store = open(&data).unwrap();
    put(&store, tag("app", "a", "1")).await.unwrap();
    store.close().await;
    fs::write(data.database().join("snap.00000000FFFFFFFF.generating"), "torn").unwrap();
    let store = open(&data).unwrap();
    assert_eq!(store.read(|view| names(view, "app")), ["a"]);
}

#[tokio::test]
async fn writing_after_closing_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&DataDir::new(directory.path())).unwrap();
    store.clone().close().await;
    let refused = put(&store, tag("app", "a", "1")).await;
    assert!(matches!(refused, Err(StoreError::Closed)));
}

#[test]
fn plain_threads_write_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&DataDir::new(directory.path())).unwrap());
    let threads = (0..4).map(|number| {
        let store = Arc::clone(&store);
        let put = move || {
            store.write_blocking(move |tx| {
                tx.put(tag("t", &number.to_string(), "1"));
                Ok::<_, StoreError>(())
            })
        };
        std::thread::spawn(put)
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(store.read(|view| names(view, "t")).len(), 4);
}

#[test]
fn kinds_that_share_a_name_do_not_meet() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&DataDir::new(directory.path())).unwrap();
    let link =
        BlobLink { tenant: tenant(), repository: "app".into(), digest: "x".into(), size: 1, linked_at: Timestamp(1) };
    let put = store.write_blocking(move |tx| {
        tx.put(tag("app", "x", "1"));
        tx.put(link);
        Ok::<_, StoreError>(tx.delete::<ImageTag>(&keys::image_tag(&tenant(), "app", "x")))
    });
    assert!(put.unwrap());
    assert!(store.read(|view| view.get::<BlobLink>(&keys::blob_link(&tenant(), "app", "x"))).is_some());
}
