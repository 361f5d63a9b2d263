//! Uploads: bytes that are not a blob yet.
//!
//! ```text
//! start ──▶ append … append ──▶ finish ──▶ blob + membership
//!              ▲      │             └ wrong digest: the upload ends
//!              └ resume after a restart: the file's length is the offset, the hash is computed again
//! ```
//!
//! Holds: one request writes to an upload at a time; what was acknowledged is in the file; an upload ends as a whole
//! blob or not at all.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cove_model::arn::Tenant;
use cove_model::registry::Upload;
use cove_store::{Read, keys};
use hyper::body::Body;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::RegistryError;
use crate::links::link;
use crate::quota::{Cap, admit, admit_upload, full};
use crate::registry::{Registry, blocking};
use crate::repositories::known;
use crate::writer::{PourError, Writer, pour};

/// Hash states kept between requests (about 200 bytes each). An upload beyond that is read again when it goes on.
const IDLE_MAX: usize = 4096;

/// `Content-Range: START-END`, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    pub start: u64,
    pub end: u64,
}

impl ContentRange {
    /// Reads `^[0-9]+-[0-9]+$`; a leading `bytes ` and a trailing `/total` are tolerated, some clients send them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.trim().strip_prefix("bytes ").unwrap_or(text.trim());
        let bare = bare.split_once('/').map_or(bare, |(range, _)| range);
        let (start, end) = bare.split_once('-')?;
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let range = Self { start: number(start)?, end: number(end)? };
        (range.start <= range.end).then_some(range)
    }

    const fn length(self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }
}

/// What is known of uploads between requests.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Debug)]
enum Session {
    /// A request has it.
    Busy,
    /// The hash of the file's first bytes.
    Idle(Hasher, u64),
}

/// An upload in the hands of one request. Goes back to the sessions when dropped.
struct Checkout {
    id: String,
    writer: Option<Writer>,
    sessions: Arc<Sessions>,
}

impl Registry {
    /// Opens an upload; its id.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub async fn start_upload(
        &self,
        tenant: &Tenant,
        repository: &str,
        algorithm: Algorithm,
    ) -> Result<String, RegistryError> {
        let id = cove_base::ids::uuid();
        let (path, made_id, sessions) = (self.blobs.temporary(&id), id.clone(), Arc::clone(&self.sessions));
        let room = Arc::clone(&self.blobs.room);
        self.repository(tenant, repository)?;
        self.upload_cap(tenant, repository, None)?;
        self.make_room().await;
        blocking(move || {
            Writer::create(&path, algorithm, room)?;
            sessions.keep(&made_id, Hasher::new(algorithm));
            Ok(())
        })
        .await
        .map_err(RegistryError::io("open an upload"))?;
        let (tenant, repository, record_id) = (tenant.clone(), repository.to_owned(), id.clone());
        let registry = self.clone();
        let recorded = self
            .store
            .write(move |tx| {
                known(tx, &tenant, &repository)?;
                admit_upload(tx, &registry, &tenant, &repository)?;
                let started_at = tx.now();
                tx.put(Upload { tenant, repository, id: record_id, started_at });
                Ok::<_, RegistryError>(())
            })
            .await;
        if recorded.is_err() {
            self.forget(&id).await;
        }
        recorded.map(|()| id)
    }

    /// How many bytes an upload has.
    ///
    /// # Errors
    /// When there is no such upload in the repository.
    pub async fn upload_offset(&self, tenant: &Tenant, repository: &str, id: &str) -> Result<u64, RegistryError> {
        let path = self.upload_path(tenant, repository, id)?;
        let unknown = RegistryError::UploadUnknown(id.to_owned());
        blocking(move || fs::metadata(path)).await.map(|meta| meta.len()).map_err(|_| unknown)
    }

    /// Adds a body to an upload; answers the new length. A body that ends early is kept as far as it came, unless a
    /// range promised its length: then nothing of it is kept.
    ///
    /// # Errors
    /// When the upload is unknown, the range does not begin at its end, or the body or disk fails.
    pub async fn append<B>(
        &self,
        tenant: &Tenant,
        repository: &str,
        id: &str,
        range: Option<ContentRange>,
        body: &mut B,
    ) -> Result<u64, RegistryError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let path = self.upload_path(tenant, repository, id)?;
        let cap = self.upload_cap(tenant, repository, None)?;
        let checkout = self.check_out(id, path, None).await?;
        let (checkout, length) = append_to(checkout, range, body, (repository, cap)).await;
        drop(checkout);
        length
    }

    /// Adds the last body, if any, checks the digest and makes the upload a blob of the repository.
    ///
    /// # Errors
    /// As [`Registry::append`]; when the digest differs, the upload is gone.
    pub async fn finish<B>(
        &self,
        tenant: &Tenant,
        repository: &str,
        id: &str,
        range: Option<ContentRange>,
        body: &mut B,
        digest: &Digest,
    ) -> Result<u64, RegistryError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        let path = self.upload_path(tenant, repository, id)?;
        let cap = self.upload_cap(tenant, repository, Some(digest))?;
        let checkout = self.check_out(id, path, Some(digest.algorithm())).await?;
        let (checkout, length) = append_to(checkout, range, body, (repository, cap)).await;
        let length = length?;
        if length > cap.left {
            // What was there before others pushed fits no more.
            drop(checkout);
            self.cancel_upload(tenant, repository, id).await?;
            return Err(full(repository, cap.max));
        }
        let kept = self.keep(checkout, digest).await;
        let (tenant, repository, id) = (tenant.clone(), repository.to_owned(), id.to_owned());
        let pin = match kept {
            Ok(pin) => pin,
            Err(error @ RegistryError::DigestMismatch { .. }) => {
                self.cancel_upload(&tenant, &repository, &id).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let (digest, quota) = (digest.to_string(), self.config.quotas.of(&repository));
        let (of, name, upload) = (tenant.clone(), repository.clone(), id.clone());
        let linked = self
            .store
            .write(move |tx| {
                known(tx, &of, &name)?;
                admit(tx, quota, &of, &name, &digest, length)?;
                tx.delete::<Upload>(&keys::upload(&of, &name, &upload));
                link(tx, &of, &name, &digest, length);
                Ok::<_, RegistryError>(())
            })
            .await;
        drop(pin);
        if let Err(RegistryError::RepositoryFull { .. }) = &linked {
            self.cancel_upload(&tenant, &repository, &id).await?;
        }
        linked.map(|()| length)
    }

    /// A whole blob in one request: no session, no record but the membership.
    ///
    /// # Errors
    /// When the repository is unknown, the digest differs, or the body or disk fails.
    pub async fn upload_whole<B>(
        &self,
        tenant: &Tenant,
        repository: &str,
        body: &mut B,
        digest: &Digest,
    ) -> Result<u64, RegistryError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        self.repository(tenant, repository)?;
        let cap = self.upload_cap(tenant, repository, Some(digest))?;
        self.make_room().await;
        let id = cove_base::ids::uuid();
        let (path, algorithm, room) = (self.blobs.temporary(&id), digest.algorithm(), Arc::clone(&self.blobs.room));
        let created = blocking(move || Writer::create(&path, algorithm, room)).await;
        let writer = created.map_err(RegistryError::io("open an upload"))?;
        let checkout = Checkout { id: id.clone(), writer: Some(writer), sessions: Arc::clone(&self.sessions) };
        // If this request is dropped, the file is found by its age and removed by the collection.
        let (checkout, length) = append_to(checkout, None, body, (repository, cap)).await;
        let kept = match length {
            Ok(length) => self.keep(checkout, digest).await.map(|pin| (pin, length)),
            Err(error) => Err(error),
        };
        match kept {
            Ok((pin, length)) => {
                self.link_blob(tenant, repository, digest, length).await?;
                drop(pin);
                Ok(length)
            }
            Err(error) => {
                self.forget(&id).await;
                Err(error)
            }
        }
    }

    /// Ends an upload; nothing of it remains.
    ///
    /// # Errors
    /// When there is no such upload in the repository.
    pub async fn cancel_upload(&self, tenant: &Tenant, repository: &str, id: &str) -> Result<(), RegistryError> {
        self.upload_path(tenant, repository, id)?;
        self.forget(id).await;
        let key = keys::upload(tenant, repository, id);
        self.store
            .write(move |tx| {
                tx.delete::<Upload>(&key);
                Ok(())
            })
            .await
    }

    /// Moves a complete upload under its digest, pinned until its membership is recorded.
    async fn keep(&self, mut checkout: Checkout, digest: &Digest) -> Result<crate::blobs::Pin, RegistryError> {
        let writer = checkout.writer.as_mut().ok_or_else(|| RegistryError::UploadUnknown(checkout.id.clone()))?;
        let got = writer.hasher.clone().finish();
        if got != *digest {
            return Err(RegistryError::DigestMismatch { promised: digest.to_string(), got: got.to_string() });
        }
        let pin = self.blobs.pin(digest);
        let (files, digest, id) = (self.blobs.clone(), digest.clone(), checkout.id.clone());
        blocking(move || {
            let path = files.temporary(&checkout.id);
            let adopted = match &checkout.writer {
                Some(writer) => files.adopt(&writer.file, &path, &digest),
                None => Err(io::Error::from(io::ErrorKind::NotFound)),
            };
            if adopted.is_ok() {
                // There is no upload to give back any more.
                drop(checkout.writer.take());
            }
            adopted
        })
        .await
        .map_err(|error| match error.kind() {
            // Cancelled while its last bytes came.
            io::ErrorKind::NotFound => RegistryError::UploadUnknown(id),
            _ => RegistryError::io("keep a blob")(error),
        })?;
        Ok(pin)
    }

    /// The file of an upload that is recorded.
    fn upload_path(&self, tenant: &Tenant, repository: &str, id: &str) -> Result<PathBuf, RegistryError> {
        self.store.read(|view| {
            known(view, tenant, repository)?;
            view.get::<Upload>(&keys::upload(tenant, repository, id))
                .ok_or_else(|| RegistryError::UploadUnknown(id.to_owned()))
        })?;
        // The id equals that of a record, so it is a UUID and no path.
        Ok(self.blobs.temporary(id))
    }

    /// Takes an upload for this request; reads its file again when the hash is not known.
    async fn check_out(&self, id: &str, path: PathBuf, wanted: Option<Algorithm>) -> Result<Checkout, RegistryError> {
        let known = self.sessions.take(id)?;
        let mut checkout = Checkout { id: id.to_owned(), writer: None, sessions: Arc::clone(&self.sessions) };
        let algorithm = wanted.or(known.as_ref().map(|(hasher, _)| hasher.algorithm())).unwrap_or(Algorithm::Sha256);
        let unknown = RegistryError::UploadUnknown(id.to_owned());
        let room = Arc::clone(&self.blobs.room);
        blocking(move || match Writer::resume(&path, algorithm, known, room) {
            Ok(writer) => {
                checkout.writer = Some(writer);
                Ok(checkout)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown),
            Err(error) => Err(RegistryError::io("open an upload")(error)),
        })
        .await
    }

    /// Removes the file and the session of an upload.
    pub(crate) async fn forget(&self, id: &str) {
        self.sessions.remove(id);
        let (room, path) = (Arc::clone(&self.blobs.room), self.blobs.temporary(id));
        if let Err(error) = blocking(move || room.remove(&path)).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "could not remove an upload; the collection will");
        }
    }
}

async fn append_to<B>(
    mut checkout: Checkout,
    range: Option<ContentRange>,
    body: &mut B,
    (repository, cap): (&str, Cap),
) -> (Checkout, Result<u64, RegistryError>)
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mark = checkout.as_mut().mark();
    if let Some(range) = range
        && range.start != mark.1
    {
        let refused = RegistryError::UploadOutOfOrder { id: checkout.id.clone(), offset: mark.1 };
        return (checkout, Err(refused));
    }
    let promised = range.map(ContentRange::length);
    let fits = cap.left.saturating_sub(mark.1);
    let (mut checkout, poured) = pour(checkout, body, promised.unwrap_or(u64::MAX).min(fits), |_| {}).await;
    let writer = checkout.as_mut();
    let failure = match (poured, promised) {
        (Ok(got), Some(promised)) if got != promised => RegistryError::SizeInvalid { promised, got },
        (Ok(_), Some(_) | None) => {
            let length = writer.length;
            return (checkout, Ok(length));
        }
        (Err(PourError::TooLong), promised) if promised.is_none_or(|promised| promised > fits) => {
            full(repository, cap.max)
        }
        (Err(PourError::TooLong), promised) => {
            RegistryError::SizeInvalid { promised: promised.unwrap_or(0), got: promised.unwrap_or(0) + 1 }
        }
        (Err(PourError::Body(error)), promised) => {
            tracing::debug!(%error, id = %checkout.id, "an upload's body ended early");
            if promised.is_none() {
                return (checkout, Err(RegistryError::BodyCut));
            }
            RegistryError::BodyCut
        }
        (Err(PourError::File(error)), _) => RegistryError::io("write an upload")(error),
    };
    // Nothing of a chunk that failed is kept: its sender sends it again from its start.
    let checkout = blocking(move || {
        if let Err(error) = checkout.as_mut().roll_back(mark) {
            tracing::warn!(%error, id = %checkout.id, "could not cut an upload back");
        }
        checkout
    })
    .await;
    (checkout, Err(failure))
}

impl AsMut<Writer> for Checkout {
    fn as_mut(&mut self) -> &mut Writer {
        self.writer.as_mut().expect("an upload is poured into only after it was opened")
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let whole = self.writer.take().filter(|writer| !writer.broken);
        self.sessions.give_back(&self.id, whole.map(|writer| (writer.hasher, writer.length)));
    }
}

impl Sessions {
    /// Marks the upload as busy; its hash state when it is known.
    fn take(&self, id: &str) -> Result<Option<(Hasher, u64)>, RegistryError> {
        let mut sessions = self.lock();
        match sessions.insert(id.to_owned(), Session::Busy) {
            Some(Session::Busy) => Err(RegistryError::UploadBusy(id.to_owned())),
            Some(Session::Idle(hasher, length)) => Ok(Some((hasher, length))),
            None => Ok(None),
        }
    }

    /// Remembers a new one.
    fn keep(&self, id: &str, hasher: Hasher) {
        let mut sessions = self.lock();
        if sessions.len() < IDLE_MAX {
            sessions.insert(id.to_owned(), Session::Idle(hasher, 0));
        }
    }

    /// Ends the hold of a request. One that was cancelled meanwhile, or that was none, is not remembered.
    fn give_back(&self, id: &str, state: Option<(Hasher, u64)>) {
        let mut sessions = self.lock();
        let was_known = sessions.remove(id).is_some();
        if let Some((hasher, length)) = state.filter(|_| was_known && sessions.len() < IDLE_MAX) {
            sessions.insert(id.to_owned(), Session::Idle(hasher, length));
        }
    }

    pub(crate) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Whether a request or a client that may come back has this upload.
    pub(crate) fn holds(&self, id: &str) -> bool {
        matches!(self.lock().get(id), Some(Session::Busy))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
