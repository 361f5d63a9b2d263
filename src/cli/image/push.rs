//! `cove image push`, `load` and `import`: images of files into the own registry.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use cove_registry::archive::{Archive, ArchiveBlob, ArchiveImage, ArchiveManifest, is_image};
use cove_registry::build::{LayerFacts, image_from_layer};
use cove_registry::image_config::RunConfig;
use cove_registry::manifest::OCI_MANIFEST;
use serde_json::json;

use super::named;
use super::remote::{Piece, Repository, progress};
use crate::cli::client::{Client, ECR, text};
use crate::cli::error::CliError;
use crate::cli::say;

#[derive(Debug, Args)]
pub(in crate::cli) struct LoadArgs {
    /// A tar file, or the directory of an OCI layout
    archive: PathBuf,
    /// REPOSITORY[:TAG] instead of the names in the archive, when it holds one image
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PushArgs {
    /// The directory of an OCI layout, or a tar file (docker save, podman save, skopeo oci-archive:)
    image: PathBuf,
    /// REPOSITORY[:TAG]
    name: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// A tar file of a root filesystem, plain or compressed; an image archive is pushed as `push` does
    tar: PathBuf,
    /// REPOSITORY[:TAG]
    name: String,
    /// Command of the image, once for each word
    #[arg(long)]
    cmd: Vec<String>,
    /// NAME=value, once for each
    #[arg(long)]
    env: Vec<String>,
    /// Path that gets a volume of its own unless one is mounted there, once for each
    #[arg(long, value_name = "PATH")]
    volume: Vec<String>,
}

/// An image to push: pieces first, then manifests, an index after what it names.
struct Pieces<'a> {
    blobs: Vec<Piece<'a>>,
    manifests: Vec<ArchiveManifest>,
}

pub(super) async fn push_one(args: &PushArgs, client: &Client) -> Result<(), CliError> {
    load_as(&args.image, Some(&args.name), client).await
}

pub(super) async fn load(args: &LoadArgs, client: &Client) -> Result<(), CliError> {
    load_as(&args.archive, args.name.as_ref(), client).await
}

async fn load_as(path: &Path, given: Option<&String>, client: &Client) -> Result<(), CliError> {
    let unreadable = |source| CliError::Archive { path: path.to_owned(), source };
    let archive = Archive::open(path).map_err(unreadable)?;
    let images = archive.images().map_err(unreadable)?;
    if given.is_some() && images.len() != 1 {
        return Err(CliError::Usage(format!("a name needs an archive of one image; this one holds {}", images.len())));
    }
    for image in &images {
        let names = given.map_or_else(|| image.names.clone(), |name| vec![name.clone()]);
        if names.is_empty() {
            return Err(CliError::Usage("an image in the archive has no name: give one with --name".to_owned()));
        }
        let pieces = pieces_of(&archive, image);
        for name in names {
            push(&pieces, &name, client).await?;
        }
    }
    Ok(())
}

fn pieces_of<'a>(archive: &'a Archive, image: &'a ArchiveImage) -> Pieces<'a> {
    let piece = |blob: &'a ArchiveBlob| Piece {
        digest: blob.digest.clone(),
        size: blob.size,
        open: Box::new(move || archive.read(blob)),
    };
    Pieces { blobs: image.blobs.iter().map(piece).collect(), manifests: image.manifests.clone() }
}

/// Pushes one image under one name; makes the repository when it is not there.
async fn push(image: &Pieces<'_>, name: &str, client: &Client) -> Result<(), CliError> {
    let (repository, tag) = named(name)?;
    let uri = ensure_repository(client, &repository).await?;
    let registry = Repository::open(client, &repository).await?;
    let bar = progress(image.blobs.iter().map(|blob| blob.size).sum());
    for blob in &image.blobs {
        if registry.has_blob(&blob.digest).await? {
            bar.inc(blob.size);
        } else {
            registry.push_blob(blob, &bar).await?;
        }
    }
    bar.finish_and_clear();
    for (index, manifest) in image.manifests.iter().enumerate() {
        let last = index + 1 == image.manifests.len();
        let reference = if last { tag.as_str() } else { manifest.digest.as_str() };
        registry.push_manifest(&manifest.media_type, &manifest.bytes, reference).await?;
    }
    say(&format!("{uri}:{tag}"));
    Ok(())
}

pub(super) async fn ensure_repository(client: &Client, repository: &str) -> Result<String, CliError> {
    let answer = match client.aws(ECR, "CreateRepository", &json!({"repositoryName": repository})).await {
        Ok(answer) => return Ok(text(&answer["repository"], "repositoryUri").to_owned()),
        Err(CliError::Aws { code, .. }) if code == "RepositoryAlreadyExistsException" => {
            client.aws(ECR, "DescribeRepositories", &json!({"repositoryNames": [repository]})).await?
        }
        Err(error) => return Err(error),
    };
    Ok(text(&answer["repositories"][0], "repositoryUri").to_owned())
}

/// The tar file is the layer, as it is. An image archive is pushed instead: from such a layer nothing could run.
pub(super) async fn import(args: &ImportArgs, client: &Client) -> Result<(), CliError> {
    let is_image = is_image(&args.tar).map_err(|source| CliError::Archive { path: args.tar.clone(), source })?;
    if is_image && [&args.cmd, &args.env, &args.volume].iter().any(|given| !given.is_empty()) {
        let tar = args.tar.display();
        let why =
            format!("{tar} is an image archive, which says itself how it runs: `cove image push {tar} {}`", args.name);
        return Err(CliError::Usage(why));
    }
    if is_image {
        return load_as(&args.tar, Some(&args.name), client).await;
    }
    let read = |source| CliError::Read { path: args.tar.clone(), source };
    let facts = LayerFacts::read(&mut File::open(&args.tar).map_err(read)?).map_err(read)?;
    let cmd = Some(args.cmd.clone()).filter(|cmd| !cmd.is_empty());
    let volumes = args.volume.iter().map(|path| (path.clone(), serde_json::json!({}))).collect();
    let run = RunConfig { cmd, env: args.env.clone(), volumes, ..RunConfig::default() };
    let parts = image_from_layer(&facts, run);
    let config = Piece {
        digest: parts.config_digest.to_string(),
        size: parts.config.len() as u64,
        open: Box::new(|| Ok(Box::new(io::Cursor::new(parts.config.clone())))),
    };
    let layer = Piece {
        digest: facts.digest.to_string(),
        size: facts.size,
        open: Box::new(|| Ok(Box::new(File::open(&args.tar)?))),
    };
    let manifest = ArchiveManifest {
        digest: parts.manifest_digest.to_string(),
        media_type: OCI_MANIFEST.to_owned(),
        bytes: parts.manifest.clone(),
    };
    push(&Pieces { blobs: vec![config, layer], manifests: vec![manifest] }, &args.name, client).await
}
