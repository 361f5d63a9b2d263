//! `cove image copy`: within the own registry by mounts, from elsewhere by the server.

use clap::Args;
use cove_registry::manifest::Kind;
use serde_json::json;

use super::pull::parse;
use super::push::ensure_repository;
use super::remote::{Fetched, Repository};
use super::{named, placed};
use crate::cli::client::{Client, text};
use crate::cli::error::CliError;
use crate::cli::say;

#[derive(Debug, Args)]
pub(in crate::cli) struct CopyArgs {
    /// REPOSITORY[:TAG] or REPOSITORY@DIGEST; with --remote what a task definition would say, as in docker.io/library/nginx:1
    from: String,
    /// REPOSITORY[:TAG]
    to: String,
    /// The image is in another registry: the server pulls it, for its own platform
    #[arg(long)]
    remote: bool,
}

pub(super) async fn run(args: &CopyArgs, client: &Client) -> Result<(), CliError> {
    let (repository, tag) = named(&args.to)?;
    if args.remote {
        ensure_repository(client, &repository).await?;
        let wish = json!({"from": args.from, "repository": repository, "tag": tag});
        let answer = client.cove("POST", "/_cove/v1/images/copy", Some(&wish)).await?;
        say(text(&answer, "digest"));
        return Ok(());
    }
    let (source, reference) = placed(&args.from)?;
    let from = Repository::open(client, &source).await?;
    let top = from.manifest(&reference).await?;
    ensure_repository(client, &repository).await?;
    let to = Repository::open(client, &repository).await?;
    copy(&from, &to, &top, &tag).await?;
    say(&top.digest);
    Ok(())
}

/// What it is made of first.
async fn copy(from: &Repository<'_>, to: &Repository<'_>, top: &Fetched, reference: &str) -> Result<(), CliError> {
    let manifest = parse(top)?;
    if let Kind::Index { manifests } = &manifest.kind {
        for inner in manifests {
            let inner = from.manifest(&inner.digest).await?;
            Box::pin(copy(from, to, &inner, &inner.digest)).await?;
        }
    }
    for blob in manifest.blobs() {
        if !to.mount(&blob, &from.name).await? {
            return Err(CliError::Failed(format!("`{}` lacks {blob}", from.name)));
        }
    }
    to.push_manifest(&top.media_type, &top.bytes, reference).await
}
