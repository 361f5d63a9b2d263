//! Collection: what nobody needs goes, beside pushes and pulls.
//!
//! ```text
//! 1 uploads idle for a day ────┐
//! 2 memberships without image ├─▶ records removed in one transaction ─▶ 4 files that no record names, old and unpinned
//! 3 pulled images long unused ┘
//! ```
//!
//! Holds: a file goes only when no published record names it, looked up under the lock that pushes pin with. A crash
//! between any two steps leaves files that the next collection finds.
//! Why the grace time: a push uploads its blobs before the manifest that needs them.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cove_base::Timestamp;
use cove_model::registry::{BlobLink, Image, PulledImage, Upload};
use cove_model::task::{Container, Task};
use cove_store::{Prefix, Read, Tx, keys};

use crate::blobs::{age_millis, entries};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::registry::{Registry, blocking};

/// Files removed per look at the records, so that pushes wait for the lock only briefly.
const SWEEP_BATCH: usize = 256;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub uploads: u64,
    pub links: u64,
    pub pulled_images: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Ages beyond which things go.
#[derive(Clone, Copy)]
struct Limits {
    link_before: Timestamp,
    upload_before: Timestamp,
    pulled_before: Timestamp,
}

impl Registry {
    /// Collects once. Idempotent; call it on a timer and after deletions.
    ///
    /// # Errors
    /// When the store does not take the removal of records.
    pub async fn collect(&self) -> Result<Collected, RegistryError> {
        let now = self.clock.now();
        let limits = Limits {
            link_before: now.plus_millis(-self.config.collect_grace_millis),
            upload_before: now.plus_millis(-self.config.upload_expiry_millis),
            pulled_before: now.plus_millis(-self.config.pulled_keep_millis),
        };
        let sessions = std::sync::Arc::clone(&self.sessions);
        let registry = self.clone();
        let written = blocking(move || registry.uploads_written_lately(now)).await;
        let in_use = move |id: &str| written.contains(id) || sessions.holds(id);
        let mut collected =
            self.store.write(move |tx| Ok::<_, RegistryError>(remove_records(tx, limits, in_use))).await?;
        let registry = self.clone();
        let (files, bytes) = blocking(move || registry.sweep(now)).await;
        (collected.files, collected.bytes) = (files, bytes);
        Ok(collected)
    }

    /// Collects when nothing fits any more: what nobody needs must not keep out what somebody brings.
    pub(crate) async fn make_room(&self) {
        let room = std::sync::Arc::clone(&self.blobs.room);
        if blocking(move || room.is_full()).await
            && let Err(error) = self.collect().await
        {
            tracing::warn!(error = cove_base::error::chain(&error), "a full image store could not be collected");
        }
    }

    /// Uploads whose last byte came within their time, however long ago they began.
    fn uploads_written_lately(&self, now: Timestamp) -> HashSet<String> {
        let (now, expiry) = (file_time(now), u64::try_from(self.config.upload_expiry_millis).unwrap_or(0));
        entries(self.blobs.temporary_directory())
            .filter(|file| age_millis(file, now) < expiry)
            .map(|file| file.file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn sweep(&self, now: Timestamp) -> (u64, u64) {
        let now = file_time(now);
        self.remove_stale_uploads(now);
        let grace = u64::try_from(self.config.collect_grace_millis).unwrap_or(0);
        let old = self.blobs.list(now).into_iter().filter(|(_, age)| *age >= grace).map(|(digest, _)| digest);
        let alive = self.alive();
        let dead: Vec<Digest> = old.filter(|digest| !alive.contains(digest.as_str())).collect();
        self.blobs.sweep_aside(|digest| alive.contains(digest));
        let (mut files, mut bytes) = (0, 0);
        for batch in dead.chunks(SWEEP_BATCH) {
            let swept = self.blobs.sweep(batch, |candidates| {
                let alive = self.alive();
                candidates.iter().map(|digest| alive.contains(digest.as_str())).collect()
            });
            files += swept.0;
            bytes += swept.1;
        }
        (files, bytes)
    }

    /// Digests that some record names.
    fn alive(&self) -> HashSet<String> {
        self.store.read(|view| {
            let all = Prefix::all();
            let mut alive: HashSet<String> =
                view.scan::<BlobLink>(&all).iter().map(|link| link.digest.clone()).collect();
            alive.extend(view.scan::<Image>(&all).iter().map(|image| image.digest.clone()));
            alive.extend(view.scan::<PulledImage>(&all).iter().flat_map(|pulled| pulled.blobs.clone()));
            alive
        })
    }

    /// Temporary files that no recorded upload owns. They are as old as the last write to them.
    fn remove_stale_uploads(&self, now: SystemTime) {
        let expiry = u64::try_from(self.config.upload_expiry_millis).unwrap_or(0);
        let recorded: HashSet<String> = self
            .store
            .read(|view| view.scan::<Upload>(&Prefix::all()))
            .iter()
            .map(|upload| upload.id.clone())
            .collect();
        for file in entries(self.blobs.temporary_directory()) {
            let name = file.file_name().to_string_lossy().into_owned();
            if recorded.contains(&name) || self.sessions.holds(&name) || age_millis(&file, now) < expiry {
                continue;
            }
            self.sessions.remove(&name);
            if let Err(error) = self.blobs.room.remove(&file.path()) {
                tracing::warn!(%error, file = %file.path().display(), "could not remove a stale upload");
            }
        }
    }
}

fn file_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.millis()).unwrap_or(0))
}

/// Removes records that are past their time.
fn remove_records(tx: &mut Tx<'_>, limits: Limits, in_use: impl Fn(&str) -> bool) -> Collected {
    let all = Prefix::all();
    let mut collected = Collected::default();
    for upload in tx.scan::<Upload>(&all) {
        if upload.started_at < limits.upload_before && !in_use(&upload.id) {
            tx.delete::<Upload>(&keys::upload(&upload.tenant, &upload.repository, &upload.id));
            collected.uploads += 1;
        }
    }
    let images = tx.scan::<Image>(&all);
    let needed: HashSet<_> = images
        .iter()
        .flat_map(|image| image.blobs.iter().map(|blob| (&image.tenant, image.repository.as_str(), blob.as_str())))
        .collect();
    for link in tx.scan::<BlobLink>(&all) {
        let place = (&link.tenant, link.repository.as_str(), link.digest.as_str());
        if link.linked_at < limits.link_before && !needed.contains(&place) {
            tx.delete::<BlobLink>(&keys::blob_link(&link.tenant, &link.repository, &link.digest));
            collected.links += 1;
        }
    }
    let running: HashSet<String> = tx.live::<Task>(&all).iter().flat_map(|task| digests(task)).collect();
    for pulled in tx.scan::<PulledImage>(&all) {
        if pulled.used_at >= limits.pulled_before {
            continue;
        }
        if [&pulled.digest, &pulled.manifest_digest].into_iter().any(|digest| running.contains(digest)) {
            // A task that has run all the time is a use, up to now.
            tx.put(PulledImage { used_at: tx.now(), ..(*pulled).clone() });
        } else {
            tx.delete::<PulledImage>(&keys::pulled_image(&pulled.tenant, &pulled.name, &pulled.reference));
            collected.pulled_images += 1;
        }
    }
    collected
}

/// Of the images that the task's containers run.
fn digests(task: &Task) -> Vec<String> {
    let of = |one: &Container| [one.seen.image_digest.clone(), one.pinned_digest.clone()];
    task.containers.iter().flat_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use cove_model::arn::Tenant;
    use cove_model::fixture;
    use cove_model::task::TaskStatus;
    use cove_store::{Memory, Record};

    use super::*;

    #[test]
    fn what_a_task_runs_is_kept_as_if_it_had_been_pulled_now() {
        let (mut memory, now) = (Memory::default(), Timestamp(1_000_000));
        let tenant = Tenant::new("000000000000", "us-east-1");
        let pulled = |name: &str, digest: &str| PulledImage {
            tenant: tenant.clone(),
            name: name.into(),
            reference: "1".into(),
            digest: digest.into(),
            manifest_digest: format!("{digest}-amd64"),
            blobs: Vec::new(),
            pulled_at: Timestamp(0),
            used_at: Timestamp(0),
        };
        let images =
            [pulled("runs", "a"), pulled("is pinned", "b"), pulled("is over", "c"), pulled("is nobody's", "d")];
        let task = |id: &str, digest: Option<&str>, pinned: Option<&str>, status| {
            let mut task = fixture::task(id);
            task.observed.status = status;
            let mut container = fixture::container("main");
            container.seen.image_digest = digest.map(str::to_owned);
            container.pinned_digest = pinned.map(str::to_owned);
            task.containers = vec![container];
            task
        };
        let limits = Limits { link_before: Timestamp(0), upload_before: Timestamp(0), pulled_before: Timestamp(1) };
        let collected = memory.write(now, |tx| {
            images.iter().cloned().for_each(|image| tx.put(image));
            tx.put(task("1", Some("a-amd64"), None, TaskStatus::Running));
            tx.put(task("2", None, Some("b"), TaskStatus::Pending));
            tx.put(task("3", Some("c"), None, TaskStatus::Stopped));
            Ok::<_, cove_store::StoreError>(remove_records(tx, limits, |_| false))
        });
        assert_eq!(collected.unwrap().pulled_images, 2);
        let left = images.map(|image| memory.view().get::<PulledImage>(&image.key()).map(|it| it.used_at));
        assert_eq!(left, [Some(now), Some(now), None, None]);
    }
}
