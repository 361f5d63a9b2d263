//! `cove image tree`: an index, its manifests, their layers, and what refers to each.

use cove_registry::manifest::{Descriptor, Kind};
use serde_json::{Value, json};

use super::inspect::{InspectArgs, platform};
use super::list::short;
use super::placed;
use super::pull::parse;
use super::remote::Repository;
use crate::cli::client::{Client, text};
use crate::cli::error::CliError;
use crate::cli::{say, table};

/// Signatures of signatures of indexes of indexes.
const DEPTH_MAX: usize = 8;

pub(super) async fn run(args: &InspectArgs, client: &Client) -> Result<(), CliError> {
    let (name, reference) = placed(&args.image)?;
    let repository = Repository::open(client, &name).await?;
    let top = repository.manifest(&reference).await?;
    let node = node(&repository, &top.digest, args.image.clone(), 0).await?;
    if args.json {
        say(&node.to_string());
    } else {
        print(&node, "", "");
    }
    Ok(())
}

/// A manifest as `{what, digest, size, children}`.
async fn node(repository: &Repository<'_>, digest: &str, what: String, depth: usize) -> Result<Value, CliError> {
    let fetched = repository.manifest(digest).await?;
    let manifest = parse(&fetched)?;
    let mut children = Vec::new();
    match &manifest.kind {
        Kind::Image { config, layers } => {
            children.push(leaf("config", config));
            children.extend(layers.iter().map(|layer| leaf("layer", layer)));
        }
        Kind::Index { manifests } if depth < DEPTH_MAX => {
            for inner in manifests {
                let what = format!("manifest {}", platform(inner.platform.as_ref()));
                children.push(Box::pin(node(repository, &inner.digest, what.trim().to_owned(), depth + 1)).await?);
            }
        }
        Kind::Index { .. } => {}
    }
    if depth < DEPTH_MAX {
        for referrer in repository.referrers(digest).await? {
            let what = format!("refers to it: {}", text(&referrer, "artifactType"));
            let digest = text(&referrer, "digest").to_owned();
            children.push(Box::pin(node(repository, &digest, what, depth + 1)).await?);
        }
    }
    Ok(json!({"what": what, "digest": digest, "size": manifest.content_size(), "children": children}))
}

fn leaf(what: &str, descriptor: &Descriptor) -> Value {
    json!({"what": what, "digest": descriptor.digest, "size": descriptor.size, "mediaType": descriptor.media_type})
}

fn print(node: &Value, before: &str, below: &str) {
    let size = node["size"].as_u64().filter(|size| *size > 0).map(|size| format!("  {}", table::size(size)));
    say(&format!("{before}{}  {}{}", text(node, "what"), short(text(node, "digest")), size.unwrap_or_default()));
    let children = node["children"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (place, child) in children.iter().enumerate() {
        let (branch, beside) = if place + 1 == children.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        print(child, &format!("{below}{branch}"), &format!("{below}{beside}"));
    }
}
