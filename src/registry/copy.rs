//! An image of another registry as one of a repository here.

use bytes::Bytes;
use cove_model::arn::Tenant;

use crate::digest::Digest;
use crate::images::ManifestPut;
use crate::registry::Registry;

impl Registry {
    /// Pulls an image as a task of the tenant would, its manifest for our platform, and gives it a tag in a repository
    /// that is there. Answers the manifest's digest.
    ///
    /// # Errors
    /// Why it cannot be had or not be kept.
    pub async fn copy_in(&self, tenant: &Tenant, from: &str, repository: &str, tag: &str) -> Result<String, String> {
        let told = |error: &dyn std::error::Error| cove_base::error::chain(error);
        let reference = self.reference(from, tenant).map_err(|error| told(&error))?;
        // What it holds keeps the blobs from being collected until the memberships are recorded.
        let image = self.resolve(tenant, &reference, None, None).await.map_err(|error| told(&error))?;
        let bytes: Bytes = self.manifest_bytes(&image.manifest_digest).await.map_err(|error| told(&error))?;
        let manifest = crate::manifest::Manifest::parse(&bytes, None).map_err(|error| told(&error))?;
        for text in manifest.blobs() {
            let Some(digest) = Digest::parse(&text) else { continue };
            let size = self.blobs.size(&digest).ok_or_else(|| format!("blob {text} is not there"))?;
            self.link_blob(tenant, repository, &digest, size).await.map_err(|error| told(&error))?;
        }
        let put = ManifestPut {
            bytes,
            media_type: None,
            digest: Digest::parse(&image.manifest_digest),
            tags: vec![tag.to_owned()],
        };
        let pushed = self.put_manifest(tenant, repository, put).await.map_err(|error| told(&error))?;
        Ok(pushed.image.digest)
    }
}
