//! What records say of each other and of blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cove_model::cluster::Cluster;
use cove_model::registry::{BlobLink, Image, ImageTag, PulledImage, Repository, Upload};
use cove_model::task::Task;
use cove_model::task_definition::TaskDefinition;

use super::{Check, Repair};
use crate::backup::named_blobs;
use crate::blob::{self, Fault};
use crate::error::StoreError;
use crate::key::{Key, Prefix};
use crate::keys;
use crate::record::{Record, envelope};
use crate::table::{Read, View};

const PUSH_AGAIN: &str = "push the image again";

/// Looks at every reference.
pub(super) fn check(check: &mut Check<'_>, view: &View) -> Result<(), StoreError> {
    tasks(check, view);
    let faults = blobs(check, view)?;
    repositories(check, view);
    images(check, view, &faults);
    links(check, view, &faults);
    pulled(check, view, &faults);
    uploads(check, view);
    Ok(())
}

fn delete<K: Record>(key: &Key) -> Repair {
    Repair::DeleteRecord { tree: K::TREE, key: key.as_str().as_bytes().to_vec() }
}

fn tasks(check: &mut Check<'_>, view: &View) {
    for task in all::<Task>(view).iter().filter(|task| task.is_live()) {
        let lacks = |what: &str| format!("task {} runs, and its {what} is gone", task.id);
        if view.get::<TaskDefinition>(&keys::definition(&task.tenant, &task.family, task.revision)).is_none() {
            let what = format!("definition {}:{}", task.family, task.revision);
            check.beyond_repair("task-definition-missing", lacks(&what), "stop the task once the server runs");
        }
        if view.get::<Cluster>(&keys::cluster(&task.tenant, &task.cluster)).is_none() {
            let what = format!("cluster {}", task.cluster);
            check.beyond_repair("task-cluster-missing", lacks(&what), "create the cluster again");
        }
    }
}

/// Reads every blob that a record names; what is wrong with which.
fn blobs(check: &mut Check<'_>, view: &View) -> Result<BTreeMap<String, Fault>, StoreError> {
    let directory = check.data.blobs();
    let mut faults = BTreeMap::new();
    for digest in named_blobs(view) {
        check.report.blobs += 1;
        let found = blob::check(&directory, &digest).map_err(StoreError::file("read blobs in", &directory))?;
        let Some(fault) = found else { continue };
        faults.insert(digest.clone(), fault);
        match (fault, blob::path(&directory, &digest)) {
            (Fault::Damaged, Some(path)) => {
                let text = format!("blob {digest} does not match its digest");
                let what = "move the file to `set-aside/`, so that a push replaces it";
                check.repairable("blob-damaged", text, what, Repair::SetFileAside(path));
            }
            (Fault::Damaged | Fault::Missing, _) => {
                check.beyond_repair("blob-missing", format!("blob {digest} is missing"), PUSH_AGAIN);
            }
        }
    }
    Ok(faults)
}

fn repositories(check: &mut Check<'_>, view: &View) {
    for image in all::<Image>(view) {
        if view.get::<Repository>(&keys::repository(&image.tenant, &image.repository)).is_none() {
            let text = format!("image {} is in repository `{}`, which is gone", image.digest, image.repository);
            check.beyond_repair("image-repository-missing", text, "create the repository again");
        }
    }
}

fn images(check: &mut Check<'_>, view: &View, faults: &BTreeMap<String, Fault>) {
    for tag in all::<ImageTag>(view) {
        if view.get::<Image>(&keys::image(&tag.tenant, &tag.repository, &tag.digest)).is_none() {
            let text = format!("tag `{}:{}` names image {}, which is gone", tag.repository, tag.tag, tag.digest);
            check.repairable("tag-image-missing", text, "remove the tag", delete::<ImageTag>(&tag.key()));
        }
    }
    for image in all::<Image>(view) {
        let lost: BTreeSet<&String> =
            image.blobs.iter().chain([&image.digest]).filter(|digest| faults.contains_key(*digest)).collect();
        if !lost.is_empty() {
            let text = format!("image {} of `{}` lacks {} of its blobs", image.digest, image.repository, lost.len());
            check.beyond_repair("image-broken", text, PUSH_AGAIN);
        }
        for manifest in &image.manifests {
            if view.get::<Image>(&keys::image(&image.tenant, &image.repository, manifest)).is_none() {
                let text = format!("index {} of `{}` names {manifest}, which is gone", image.digest, image.repository);
                check.beyond_repair("index-manifest-missing", text, PUSH_AGAIN);
            }
        }
        missing_links(check, view, &image, faults);
    }
}

/// A blob that is there, and that its repository does not let anybody read.
fn missing_links(check: &mut Check<'_>, view: &View, image: &Image, faults: &BTreeMap<String, Fault>) {
    for digest in image.blobs.iter().filter(|digest| !faults.contains_key(*digest)) {
        let key = keys::blob_link(&image.tenant, &image.repository, digest);
        if view.get::<BlobLink>(&key).is_some() {
            continue;
        }
        let path = blob::path(&check.data.blobs(), digest);
        let size = path.and_then(|path| path.metadata().ok()).map_or(0, |meta| meta.len());
        let (tenant, repository) = (image.tenant.clone(), image.repository.clone());
        let link = BlobLink { tenant, repository, digest: digest.clone(), size, linked_at: check.now };
        let Ok(json) = serde_json::to_vec(&link) else { continue };
        let value = envelope(BlobLink::VERSION, 0, &json);
        let put = Repair::PutRecord { tree: BlobLink::TREE, key: key.as_str().as_bytes().to_vec(), value };
        let text = format!("image {} of `{}` may not read its own blob {digest}", image.digest, image.repository);
        check.repairable("image-link-missing", text, "link the blob to the repository again", put);
    }
}

fn links(check: &mut Check<'_>, view: &View, faults: &BTreeMap<String, Fault>) {
    for link in all::<BlobLink>(view) {
        let there = view.get::<Repository>(&keys::repository(&link.tenant, &link.repository)).is_some();
        if there && !faults.contains_key(&link.digest) {
            continue;
        }
        let text = format!("repository `{}` promises blob {}, which nobody can read", link.repository, link.digest);
        let what = "take the promise back, so that a push sends the blob again";
        check.repairable("link-broken", text, what, delete::<BlobLink>(&link.key()));
    }
}

fn pulled(check: &mut Check<'_>, view: &View, faults: &BTreeMap<String, Fault>) {
    for image in all::<PulledImage>(view) {
        if image.blobs.iter().any(|digest| faults.contains_key(digest)) {
            let text = format!("image {}:{}, pulled from elsewhere, lacks blobs", image.name, image.reference);
            check.repairable(
                "pulled-broken",
                text,
                "forget it; it is pulled again",
                delete::<PulledImage>(&image.key()),
            );
        }
    }
}

fn uploads(check: &mut Check<'_>, view: &View) {
    for upload in all::<Upload>(view) {
        if !check.data.uploads().join(&upload.id).exists() {
            let text = format!("upload {} into `{}` has no file", upload.id, upload.repository);
            check.repairable("upload-missing", text, "forget it", delete::<Upload>(&upload.key()));
        }
    }
}

fn all<K: Record>(view: &View) -> Vec<Arc<K>> {
    view.scan::<K>(&Prefix::all())
}
