//! `cove image …`: images in the own registry, by way of the ECR API and `/v2/` as any client would.
//!
//! Images of other registries come by way of the server (`copy`): it has the credentials, mirrors and authorities for
//! them, and keeps what it pulls without another trip over this process.

mod copy;
mod inspect;
mod list;
mod prune;
mod pull;
mod push;
mod remote;
mod tree;

use std::process::ExitCode;

use clap::Subcommand;
use cove_model::arn::Tenant;
use cove_model::image::{ImagePlace, ImageReference, ImageSelector, is_repository, is_tag};

pub(super) use remote::progress;

use super::client::Client;
use super::error::CliError;

#[derive(Debug, Subcommand)]
pub(super) enum ImageVerb {
    /// Push an OCI layout or an archive (docker save, podman save, skopeo oci-archive:) under a name
    Push(push::PushArgs),
    /// Pull an image into an OCI layout or an archive that docker, podman and skopeo load
    Pull(pull::PullArgs),
    /// Copy an image into another repository, without sending a byte, or from another registry
    Copy(copy::CopyArgs),
    /// Push the images of an archive under the names in it
    Load(push::LoadArgs),
    /// Make an image of one layer from a tar file of a root filesystem (for archives of images: push)
    Import(push::ImportArgs),
    /// List images
    Ls {
        /// Only this repository
        repository: Option<String>,
        /// As DescribeImages shows them
        #[arg(long)]
        json: bool,
    },
    /// Show what an image is: platforms, layers, how it runs
    Inspect(inspect::InspectArgs),
    /// Show how an image was built, newest step first
    History(inspect::InspectArgs),
    /// Show an index, its manifests, their layers, and what refers to them
    Tree(inspect::InspectArgs),
    /// Remove a tag, or an image by digest
    Rm {
        /// REPOSITORY[:TAG] or REPOSITORY@DIGEST
        image: String,
    },
    /// Remove images that no tag leads to, or old ones
    Prune(prune::PruneArgs),
}

pub(super) async fn run(verb: &ImageVerb, client: &Client) -> Result<ExitCode, CliError> {
    match verb {
        ImageVerb::Push(args) => push::push_one(args, client).await?,
        ImageVerb::Pull(args) => pull::run(args, client).await?,
        ImageVerb::Copy(args) => copy::run(args, client).await?,
        ImageVerb::Load(args) => push::load(args, client).await?,
        ImageVerb::Import(args) => push::import(args, client).await?,
        ImageVerb::Ls { repository, json } => list::list(repository.as_deref(), *json, client).await?,
        ImageVerb::Inspect(args) => inspect::inspect(args, client).await?,
        ImageVerb::History(args) => inspect::history(args, client).await?,
        ImageVerb::Tree(args) => tree::run(args, client).await?,
        ImageVerb::Rm { image } => list::remove(image, client).await?,
        ImageVerb::Prune(args) => prune::run(args, client).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Repository and tag of `REPOSITORY[:TAG]`, also behind a registry's host.
pub(super) fn named(name: &str) -> Result<(String, String), CliError> {
    let nobody = Tenant::new("000000000000", "us-east-1");
    let usage = || CliError::Usage(format!("`{name}` is not REPOSITORY[:TAG]"));
    let reference = ImageReference::parse(name, &[], &nobody).map_err(|_| usage())?;
    let repository = match reference.place {
        ImagePlace::Own(_) | ImagePlace::OwnOrHub(_) | ImagePlace::Remote(_) => reference.repository,
    };
    match reference.selector {
        ImageSelector::Tag(tag) if is_repository(&repository) && is_tag(&tag) => Ok((repository, tag)),
        ImageSelector::Tag(_) | ImageSelector::Digest(_) => Err(usage()),
    }
}

/// Repository and tag or digest of an image in the own registry.
fn placed(name: &str) -> Result<(String, String), CliError> {
    match name.split_once('@') {
        Some((repository, digest)) => {
            let repository = named(repository).map_or_else(|_| repository.to_owned(), |(repository, _)| repository);
            Ok((repository, digest.to_owned()))
        }
        None => named(name),
    }
}
