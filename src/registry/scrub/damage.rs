//! What repositories say they have and the disk does not.

use std::collections::{BTreeMap, BTreeSet};

use cove_model::registry::{BlobLink, Image, PulledImage};
use cove_store::{Prefix, Read};
use serde::Serialize;

use crate::digest::Digest;
use crate::registry::{Registry, blocking};

/// Content that some record names and that is not there, was set aside, or has another length.
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
            let mut named: BTreeMap<String, (Option<u64>, BTreeSet<String>)> = BTreeMap::new();
            let mut add = |digest: &str, size: Option<u64>, place: String| {
                let entry = named.entry(digest.to_owned()).or_default();
                entry.0 = entry.0.or(size);
                entry.1.insert(place);
            };
            for link in view.scan::<BlobLink>(&all) {
                let size = Some(link.size);
                add(&link.digest, size, format!("{}/{}/{}", link.tenant.account, link.tenant.region, link.repository));
            }
            for image in view.scan::<Image>(&all) {
                let size = Some(image.manifest_size);
                add(
                    &image.digest,
                    size,
                    format!("{}/{}/{}", image.tenant.account, image.tenant.region, image.repository),
                );
            }
            for pulled in view.scan::<PulledImage>(&all) {
                pulled.blobs.iter().for_each(|digest| add(digest, None, pulled.name.clone()));
            }
            named
        });
        let files = self.blobs.clone();
        blocking(move || {
            let lost = |digest: &str, size: Option<u64>| {
                let there = Digest::parse(digest).map(|digest| files.size(&digest));
                there.is_some_and(|there| there.is_none() || size.is_some() && there != size)
            };
            let named = named.into_iter().filter(|(digest, (size, _))| lost(digest, *size));
            let told = |(digest, (_, places)): (String, (_, BTreeSet<String>))| Damaged {
                digest,
                repositories: places.into_iter().collect(),
            };
            named.map(told).collect()
        })
        .await
    }
}
