//! Tag lists, page by page.

use std::collections::HashMap;
use std::sync::Arc;

use cove_model::arn::Tenant;
use cove_model::registry::{Image, ImageTag};
use cove_store::{Prefix, Read, keys};

use crate::error::RegistryError;
use crate::registry::Registry;
use crate::repositories::known;

/// Tags of one answer when the client names no number: a thousand short lines.
pub const TAGS_PAGE: usize = 1000;
/// More per answer is not given, whatever was asked for.
pub const TAGS_PAGE_MAX: usize = 10_000;

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub items: Vec<String>,
    /// Whether there is more after the last item.
    pub more: bool,
}

/// An image and the tags that point at it.
#[derive(Debug, Clone)]
pub struct TaggedImage {
    pub image: Arc<Image>,
    pub tags: Vec<String>,
}

impl Registry {
    /// Tags after `last` in byte order (`last` need not exist), at most `count`.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub fn tags(
        &self,
        tenant: &Tenant,
        repository: &str,
        last: Option<&str>,
        count: usize,
    ) -> Result<Page, RegistryError> {
        let count = count.min(TAGS_PAGE_MAX);
        self.store.read(|view| {
            known(view, tenant, repository)?;
            if count == 0 {
                return Ok(Page { items: Vec::new(), more: false });
            }
            let after = last.map(|last| keys::image_tag(tenant, repository, last));
            let found = view.page::<ImageTag>(&Prefix::parent(tenant, repository), after.as_ref(), count + 1);
            let items = found.iter().take(count).map(|tag| tag.tag.clone()).collect();
            Ok(Page { items, more: found.len() > count })
        })
    }

    /// Every image of a repository with its tags, by digest.
    ///
    /// # Errors
    /// When the repository is unknown.
    pub fn images(&self, tenant: &Tenant, repository: &str) -> Result<Vec<TaggedImage>, RegistryError> {
        self.store.read(|view| {
            known(view, tenant, repository)?;
            Ok(tagged_images(view, tenant, repository))
        })
    }
}

/// Every image of a repository with its tags, by digest.
pub(crate) fn tagged_images(read: &impl Read, tenant: &Tenant, repository: &str) -> Vec<TaggedImage> {
    let inside = Prefix::parent(tenant, repository);
    let mut by_digest: HashMap<String, Vec<String>> = HashMap::new();
    for tag in read.scan::<ImageTag>(&inside) {
        by_digest.entry(tag.digest.clone()).or_default().push(tag.tag.clone());
    }
    let with_tags = |image: Arc<Image>| {
        let tags = by_digest.remove(&image.digest).unwrap_or_default();
        TaggedImage { image, tags }
    };
    read.scan::<Image>(&inside).into_iter().map(with_tags).collect()
}
