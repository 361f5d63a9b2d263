//! Disks that fail, fill up, or cannot be written: the store becomes read-only, readers go on, nothing acknowledged is
//! lost, and it writes again when the disk does.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cove_base::paths::DataDir;
use nix::mount::{MsFlags, mount};
use tokio::runtime::Runtime;

use super::disk::{Disk, with_own_mounts};
use crate::tests::{names, open, put, tag};
use crate::{Store, StoreError, StoreHealth};

/// How long a test waits for the store to recover.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many records fill any of the disks here.
const ENOUGH: usize = 100_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Records of 3000 bytes until the store refuses: how many were acknowledged in all, and the refusal.
async fn fill(store: &Store, mut acknowledged: usize) -> (usize, StoreError) {
    loop {
        match put(store, tag("full", &format!("{acknowledged:06}"), &"d".repeat(3000))).await {
            Ok(()) => acknowledged += 1,
            Err(refused) => return (acknowledged, refused),
        }
        assert!(acknowledged < ENOUGH, "the disk never failed");
    }
}

/// Waits until a record is taken again.
async fn recover(store: &Store) {
    let deadline = Instant::now() + PATIENCE;
    while put(store, tag("after", "first", "1")).await.is_err() {
        assert!(Instant::now() < deadline, "{:?}", store.health());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.health(), StoreHealth::Writable);
}

#[track_caller]
fn assert_read_only(store: &Store, refused: &StoreError, there: usize) {
    assert!(matches!(refused, StoreError::ReadOnly(_)), "{refused}");
    assert!(matches!(store.health(), StoreHealth::ReadOnly { .. }));
    assert_eq!(store.read(|view| names(view, "full")).len(), there, "readers see what was acknowledged");
}

/// A tmpfs of that size; it goes with the thread's mounts.
fn small_memory_disk(point: &Path, mib: u32) {
    fs::create_dir_all(point).unwrap();
    let size = format!("size={mib}m");
    mount(Some("cove-test"), point, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
}

/// Takes what is left of a file system; removed, it gives it back.
fn ballast(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    let chunk = vec![1; 64 << 10];
    while std::io::Write::write_all(&mut file, &chunk).is_ok() {}
}

#[test]
fn a_full_disk_makes_the_store_read_only_until_there_is_room_again() {
    with_own_mounts(|home| {
        let point = home.join("small");
        small_memory_disk(&point, 16);
        let data = DataDir::new(point.join("data"));
        runtime().block_on(async {
            let store = open(&data).unwrap();
            fs::write(point.join("ballast"), vec![0; 6 << 20]).unwrap();
            let (acknowledged, refused) = fill(&store, 0).await;
            assert_read_only(&store, &refused, acknowledged);
            // A large record writes a document first.
            let refused = put(&store, tag("full", "large", &"d".repeat(64 << 10))).await.unwrap_err();
            assert_read_only(&store, &refused, acknowledged);

            fs::remove_file(point.join("ballast")).unwrap();
            recover(&store).await;
            let there = store.read(|view| names(view, "full")).len();
            // The refused record may have reached the disk before the disk was full.
            assert!(there >= acknowledged, "{there} of {acknowledged}");
            store.close().await;
            let store = open(&data).unwrap();
            assert_eq!(store.read(|view| names(view, "full")).len(), there);
            store.close().await;
        });
    });
}

#[test]
fn a_disk_that_dies_loses_nothing_that_was_acknowledged() {
    with_own_mounts(|home| {
        let disk = Disk::make(home, 64);
        let data = DataDir::new(disk.point().join("data"));
        let acknowledged = runtime().block_on(async {
            let store = open(&data).unwrap();
            for number in 0..50 {
                put(&store, tag("full", &format!("{number:06}"), &"d".repeat(number * 200))).await.unwrap();
            }
            disk.cut_off();
            let (acknowledged, refused) = fill(&store, 50).await;
            assert_read_only(&store, &refused, acknowledged);
            assert!(refused.to_string().contains("Input/output error"), "{refused}");
            store.close().await;
            acknowledged
        });
        disk.unmount();
        disk.mount();
        runtime().block_on(async {
            let store = open(&data).unwrap();
            assert!(store.read(|view| names(view, "full")).len() >= acknowledged);
            store.close().await;
        });
    });
}

/// A page whose writing failed stays in the page cache as if it had been written. A store that reads it there when it
/// opens again, and goes on behind it, loses everything behind it with the next power cut.
#[test]
fn what_a_failed_write_left_in_the_page_cache_is_not_taken_for_durable() {
    with_own_mounts(|home| {
        // The disk's own memory is small: parts of it that were never written fail when that is full.
        let memory = home.join("memory");
        small_memory_disk(&memory, 48);
        let disk = Disk::make(&memory, 32);
        let single_pages = disk.allocate();
        let data = DataDir::new(disk.point().join("data"));
        let (full, after) = runtime().block_on(async {
            let store = open(&data).unwrap();
            for number in 0..20 {
                put(&store, tag("full", &format!("{number:06}"), "1")).await.unwrap();
            }
            ballast(&memory.join("ballast"));
            let (full, refused) = fill(&store, 20).await;
            assert_read_only(&store, &refused, full);
            fs::remove_file(memory.join("ballast")).unwrap();
            recover(&store).await;
            for number in 0..200 {
                put(&store, tag("after", &format!("{number:06}"), &"d".repeat(number * 20))).await.unwrap();
            }
            let received = disk.received();
            store.close().await;
            drop(single_pages);
            disk.replace(&received);
            (full, 201)
        });
        runtime().block_on(async {
            let store = open(&data).unwrap();
            let (full_there, after_there) = store.read(|view| (names(view, "full").len(), names(view, "after").len()));
            assert!(full_there >= full, "{full_there} of {full} from before");
            assert_eq!(after_there, after, "from after the failure");
            store.close().await;
        });
    });
}

#[test]
fn a_directory_that_cannot_be_written_says_so() {
    with_own_mounts(|home| {
        let point = home.join("small");
        small_memory_disk(&point, 8);
        let data = DataDir::new(point.join("data"));
        runtime().block_on(async { open(&data).unwrap().close().await });
        let options = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        let begun = Instant::now();
        // Another test's process that is being spawned holds copies of our descriptors for a moment.
        while mount(None::<&str>, &point, None::<&str>, options, None::<&str>) == Err(nix::errno::Errno::EBUSY) {
            assert!(begun.elapsed() < Duration::from_secs(10), "files are still open for writing");
            std::thread::sleep(Duration::from_millis(5));
        }
        let refused = open(&data).err().unwrap();
        let text = cove_base::error::chain(&refused);
        assert!(text.contains(point.to_str().unwrap()) && text.contains("Read-only file system"), "{text}");
    });
}
