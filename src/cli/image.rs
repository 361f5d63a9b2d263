//! `cove image …`: images in the own registry, by way of the ECR API and `/v2/` as any client would.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use bytes::Bytes;
use clap::{Args, Subcommand};
use cove_model::arn::Tenant;
use cove_model::image::{ImagePlace, ImageReference, ImageSelector, is_repository, is_tag};
use cove_registry::archive::{Archive, ArchiveBlob, ArchiveImage, ArchiveManifest};
use cove_registry::build::{LayerFacts, image_from_layer};
use cove_registry::image_config::RunConfig;
use cove_registry::manifest::OCI_MANIFEST;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Frame;
use hyper::{Request, StatusCode};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::client::{Body, Client, ECR, text};
use super::error::CliError;
use super::{say, table};

/// Read at a time from the archive.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the network.
const QUEUE: usize = 4;
#[derive(Debug, Subcommand)]
pub(super) enum ImageVerb {
    /// Push the images of an archive (docker save, podman save, skopeo oci-archive:)
    Load(LoadArgs),
    /// Make an image of one layer from a tar file of a root filesystem
    Import(ImportArgs),
    /// List images
    Ls {
        /// Only this repository
        repository: Option<String>,
        /// As DescribeImages shows them
        #[arg(long)]
        json: bool,
    },
    /// Remove a tag, or an image by digest
    Rm { image: String },
}

#[derive(Debug, Args)]
pub(super) struct LoadArgs {
    archive: PathBuf,
    /// REPOSITORY[:TAG] instead of the names in the archive, when it holds one image
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
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

pub(super) async fn run(verb: &ImageVerb, client: &Client) -> Result<ExitCode, CliError> {
    match verb {
        ImageVerb::Load(args) => load(args, client).await?,
        ImageVerb::Import(args) => import(args, client).await?,
        ImageVerb::Ls { repository, json } => list(repository.as_deref(), *json, client).await?,
        ImageVerb::Rm { image } => remove(image, client).await?,
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

async fn load(args: &LoadArgs, client: &Client) -> Result<(), CliError> {
    let archive = open(&args.archive)?;
    let images = archive.images().map_err(|error| unreadable(&args.archive, &error))?;
    if args.name.is_some() && images.len() != 1 {
        return Err(CliError::Usage(format!("--name needs an archive of one image; this one holds {}", images.len())));
    }
    for image in &images {
        let names = match &args.name {
            Some(name) => vec![name.clone()],
            None => image.names.clone(),
        };
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
        open: Box::new(move || Ok(archive.read(blob))),
    };
    Pieces { blobs: image.blobs.iter().map(piece).collect(), manifests: image.manifests.clone() }
}

fn open(path: &Path) -> Result<Archive, CliError> {
    Archive::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> CliError {
    CliError::Failed(format!("{}: {}", path.display(), cove_base::error::chain(error)))
}

/// A config or layer to push, wherever its bytes lie.
struct Piece<'a> {
    digest: String,
    size: u64,
    open: Box<dyn Fn() -> io::Result<Box<dyn Read + Send + 'a>> + 'a>,
}

/// An image to push: pieces first, then manifests, an index after what it names.
struct Pieces<'a> {
    blobs: Vec<Piece<'a>>,
    manifests: Vec<ArchiveManifest>,
}

/// Pushes one image under one name; makes the repository when it is not there.
async fn push(image: &Pieces<'_>, name: &str, client: &Client) -> Result<(), CliError> {
    let (repository, tag) = named(name)?;
    let uri = ensure_repository(client, &repository).await?;
    let authorization = registry_login(client).await?;
    let registry = Registry { client, repository: &repository, authorization: &authorization };
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
        registry.push_manifest(manifest, reference).await?;
    }
    say(&format!("{uri}:{tag}"));
    Ok(())
}

fn progress(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

async fn ensure_repository(client: &Client, repository: &str) -> Result<String, CliError> {
    let answer = match client.aws(ECR, "CreateRepository", &json!({"repositoryName": repository})).await {
        Ok(answer) => return Ok(text(&answer["repository"], "repositoryUri").to_owned()),
        Err(CliError::Aws { code, .. }) if code == "RepositoryAlreadyExistsException" => {
            client.aws(ECR, "DescribeRepositories", &json!({"repositoryNames": [repository]})).await?
        }
        Err(error) => return Err(error),
    };
    Ok(text(&answer["repositories"][0], "repositoryUri").to_owned())
}

/// The `Authorization` of `/v2/`.
async fn registry_login(client: &Client) -> Result<String, CliError> {
    let answer = client.aws(ECR, "GetAuthorizationToken", &json!({})).await?;
    Ok(format!("Basic {}", text(&answer["authorizationData"][0], "authorizationToken")))
}

/// A repository behind `/v2/`.
struct Registry<'a> {
    client: &'a Client,
    repository: &'a str,
    authorization: &'a str,
}

impl Registry<'_> {
    async fn has_blob(&self, digest: &str) -> Result<bool, CliError> {
        let path = format!("/v2/{}/blobs/{digest}", self.repository);
        let (status, _, _) = self.send("HEAD", &path, &[], empty()).await?;
        Ok(status == StatusCode::OK)
    }

    async fn push_blob(&self, blob: &Piece<'_>, bar: &ProgressBar) -> Result<(), CliError> {
        let (status, location, body) =
            self.send("POST", &format!("/v2/{}/blobs/uploads/", self.repository), &[], empty()).await?;
        expect(status, StatusCode::ACCEPTED, "starting an upload", &body)?;
        let location = self.relative(&location)?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let path = format!("{location}{separator}digest={}", blob.digest);
        let headers =
            [("content-length", blob.size.to_string()), ("content-type", "application/octet-stream".to_owned())];
        let (sender, receiver) = mpsc::channel(QUEUE);
        let sent = self.send("PUT", &path, &headers, Fed(receiver).boxed());
        // The file is read on this thread while the connection has room: a command line has nothing else to do.
        let (read, answer) = tokio::join!(feed(blob, sender, bar), sent);
        read?;
        let (status, _, body) = answer?;
        expect(status, StatusCode::CREATED, &format!("pushing {}", blob.digest), &body)
    }

    async fn push_manifest(&self, manifest: &ArchiveManifest, reference: &str) -> Result<(), CliError> {
        let path = format!("/v2/{}/manifests/{reference}", self.repository);
        let headers = [("content-type", manifest.media_type.clone())];
        let (status, _, body) = self.send("PUT", &path, &headers, full(manifest.bytes.clone())).await?;
        expect(status, StatusCode::CREATED, &format!("pushing manifest {reference}"), &body)
    }

    /// Status, `Location` and body of the answer.
    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Body,
    ) -> Result<(StatusCode, String, Bytes), CliError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.client.authority)
            .header("authorization", self.authorization);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(body).map_err(|_| CliError::Answer { what: path.to_owned() })?;
        let response = self.client.send(request).await?;
        let location = response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (status, location) = (response.status(), location.to_owned());
        Ok((status, location, self.client.collect(response).await?))
    }

    /// A `Location` may be a whole URL of this server or a path.
    fn relative(&self, location: &str) -> Result<String, CliError> {
        let path = location.strip_prefix(&self.client.url()).unwrap_or(location);
        if path.starts_with('/') { Ok(path.to_owned()) } else { Err(CliError::Answer { what: "an upload".to_owned() }) }
    }
}

/// Sends a piece chunk by chunk; the channel ends with the sender.
async fn feed(
    blob: &Piece<'_>,
    sender: mpsc::Sender<io::Result<Frame<Bytes>>>,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    let failed = |error: io::Error| CliError::Failed(format!("reading {} failed: {error}", blob.digest));
    let mut reader = (blob.open)().map_err(failed)?;
    let mut left = blob.size;
    while left > 0 {
        let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        reader.read_exact(&mut chunk).map_err(failed)?;
        left -= chunk.len() as u64;
        bar.inc(chunk.len() as u64);
        if sender.send(Ok(Frame::data(Bytes::from(chunk)))).await.is_err() {
            // The server has answered early; its answer says why.
            return Ok(());
        }
    }
    Ok(())
}

/// The receiving end of a channel as a body.
struct Fed(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context)
    }
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn full(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed()
}

fn expect(status: StatusCode, wanted: StatusCode, what: &str, body: &[u8]) -> Result<(), CliError> {
    if status == wanted {
        return Ok(());
    }
    let body = String::from_utf8_lossy(body).into_owned();
    Err(CliError::Status { what: what.to_owned(), status: status.as_u16(), body })
}

/// The tar file is the layer, as it is.
async fn import(args: &ImportArgs, client: &Client) -> Result<(), CliError> {
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

async fn list(repository: Option<&str>, as_json: bool, client: &Client) -> Result<(), CliError> {
    let repositories = match repository {
        Some(name) => vec![Value::from(name)],
        None => {
            let all = client.list(ECR, "DescribeRepositories", &json!({}), "repositories").await?;
            all.iter().map(|repository| repository["repositoryName"].clone()).collect()
        }
    };
    let mut images = Vec::new();
    for name in repositories {
        images.extend(client.list(ECR, "DescribeImages", &json!({"repositoryName": name}), "imageDetails").await?);
    }
    if as_json {
        say(&Value::from(images).to_string());
        return Ok(());
    }
    let now = cove_base::Clock::system().now().epoch_seconds();
    let rows = images.iter().map(|image| {
        let tags: Vec<&str> = image["imageTags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        vec![
            text(image, "repositoryName").to_owned(),
            tags.join(", "),
            text(image, "imageDigest").get(..19).unwrap_or_default().to_owned(),
            table::size(image["imageSizeInBytes"].as_u64().unwrap_or_default()),
            table::age(now - image["imagePushedAt"].as_f64().unwrap_or(now)),
        ]
    });
    table::print(&["REPOSITORY", "TAGS", "DIGEST", "SIZE", "PUSHED"], rows.collect());
    Ok(())
}

async fn remove(image: &str, client: &Client) -> Result<(), CliError> {
    let (repository, id) = match image.split_once('@') {
        Some((repository, digest)) => (repository.to_owned(), json!({"imageDigest": digest})),
        None => {
            let (repository, tag) = named(image)?;
            (repository, json!({"imageTag": tag}))
        }
    };
    let input = json!({"repositoryName": repository, "imageIds": [id]});
    let answer = client.aws(ECR, "BatchDeleteImage", &input).await?;
    if let Some(failure) = answer["failures"].as_array().and_then(|failures| failures.first()) {
        return Err(CliError::Failed(format!("{image}: {}", text(failure, "failureReason"))));
    }
    say(&format!("removed {image}"));
    Ok(())
}
