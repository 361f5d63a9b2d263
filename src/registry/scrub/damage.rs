//! What repositories say they have and the disk does not.

use std::collections::{BTreeMap, BTreeSet};

use cove_model::registry::{BlobLink, Image, PulledImage};
use cove_store::{Prefix, Read};
use serde::Serialize;

use crate::digest::Digest;
use crate::registry::{Registry, blocking};

/// Content that some record names and that is not there, or was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damaged {
    pub digest: String,
    /// `ACCOUNT/REGION/NAME` of the repositories that have it; of pulled images their names.
    pub repositories: Vec<String>,
}

impl Registry {
    /// Looks for the file of everything that records name.
    pub async fn damaged(&self) -> Vec<Damaged> {
        let named = self.store.read(|view| {
            let all = Prefix::all();
            let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            let mut add = |digest: &str, place: String| {
                named.entry(digest.to_owned()).or_default().insert(place);
            };
            for link in view.scan::<BlobLink>(&all) {
                add(&link.digest, format!("{}/{}/{}", link.tenant.account, link.tenant.region, link.repository));
            }
            for image in view.scan::<Image>(&all) {
                add(&image.digest, format!("{}/{}/{}", image.tenant.account, image.tenant.region, image.repository));
            }
            for pulled in view.scan::<PulledImage>(&all) {
                pulled.blobs.iter().for_each(|digest| add(digest, pulled.name.clone()));
            }
            named
        });
        let files = self.blobs.clone();
        blocking(move || {
            let lost = |digest: &str| Digest::parse(digest).is_some_and(|digest| files.size(&digest).is_none());
            let named = named.into_iter().filter(|(digest, _)| lost(digest));
            named.map(|(digest, places)| Damaged { digest, repositories: places.into_iter().collect() }).collect()
        })
        .await
    }
}
