//! What many requests have in common: a repository, images of it, a page of a list.
//!
//! Each struct serves several operations; which of its members one has is the service model's business.

use cove_model::arn::Tenant;
use serde::Deserialize;

use super::access::reach;
use super::error::EcrError;
use super::image::Filter;
use super::wire::ImageId;
use crate::aws::context::Context;

/// About a repository.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RepositoryIn {
    registry_id: Option<String>,
    pub(super) repository_name: String,
}

/// A page of a list.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageIn {
    pub(super) next_token: Option<String>,
    pub(super) max_results: Option<usize>,
}

/// About one image, and a page of what is known of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageIn {
    #[serde(flatten)]
    pub(super) of: RepositoryIn,
    pub(super) image_id: ImageId,
    #[serde(flatten)]
    pub(super) page: PageIn,
}

/// About these images, or a page of those that a filter takes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImagesIn {
    #[serde(flatten)]
    pub(super) of: RepositoryIn,
    #[serde(default)]
    pub(super) image_ids: Vec<ImageId>,
    #[serde(flatten)]
    pub(super) page: PageIn,
    #[serde(default)]
    pub(super) filter: Filter,
}

impl RepositoryIn {
    /// The registry that is meant, once the caller may do that there.
    pub(super) fn reach(&self, cx: &Context, operation: &str) -> Result<Tenant, EcrError> {
        reach(cx, self.registry_id.as_deref(), &self.repository_name, operation)
    }
}
