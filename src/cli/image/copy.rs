//! `cove image copy`: within the own registry by mounts, from elsewhere by the server.

use clap::Args;
use cove_registry::manifest::Kind;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::pull::{for_platform, parse};
use super::push::ensure_repository;
use super::remote::{Fetched, Repository, progress};
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
    /// The image is in another registry: the server pulls it, of an index the manifest for its own platform
    #[arg(long)]
    remote: bool,
    /// Of an index only the manifest for this architecture, as in amd64
    #[arg(long, value_name = "ARCH")]
    platform: Option<String>,
    /// With --remote: an index with all that it names
    #[arg(long, requires = "remote", conflicts_with = "platform")]
    all: bool,
}

pub(super) async fn run(args: &CopyArgs, client: &Client) -> Result<(), CliError> {
    let (repository, tag) = named(&args.to)?;
    if args.remote {
        ensure_repository(client, &repository).await?;
        let platforms = if args.all { Some("all") } else { args.platform.as_deref() };
        let wish = json!({"from": args.from, "repository": repository, "tag": tag, "platforms": platforms});
        say(&copy_remote(client, &wish).await?);
        return Ok(());
    }
    let (source, reference) = placed(&args.from)?;
    let from = Repository::open(client, &source).await?;
    let mut top = from.manifest(&reference).await?;
    if let Some(arch) = &args.platform {
        top = for_platform(&from, top, arch, &args.from).await?;
    }
    ensure_repository(client, &repository).await?;
    let to = Repository::open(client, &repository).await?;
    copy(&from, &to, &top, &tag).await?;
    say(&top.digest);
    Ok(())
}

/// Watches how the server copies; the digest that it ends with.
async fn copy_remote(client: &Client, wish: &Value) -> Result<String, CliError> {
    let mut body = client.stream("/_cove/v1/images/copy", wish).await?.into_body();
    let bar = progress(0);
    let mut waiting = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| CliError::Http { endpoint: client.url(), source })?;
        let Ok(data) = frame.into_data() else { continue };
        waiting.extend_from_slice(&data);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            let told: Value = serde_json::from_slice(&line).unwrap_or_default();
            if let Some(digest) = told["digest"].as_str() {
                bar.finish_and_clear();
                return Ok(digest.to_owned());
            }
            if !text(&told, "error").is_empty() {
                bar.finish_and_clear();
                return Err(CliError::Refused(text(&told, "error").to_owned()));
            }
            bar.set_length(told["total"].as_u64().unwrap_or(0));
            bar.set_position(told["done"].as_u64().unwrap_or(0));
        }
    }
    Err(CliError::Answer { what: "the copy".to_owned() })
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
        to.take_blob(&blob, from).await?;
    }
    to.push_manifest(&top.media_type, &top.bytes, reference).await
}
