//! `cove image pull`: an image of the own registry into an OCI layout, or into an archive.
//!
//! Holds: every byte is hashed on its way and a wrong one ends the pull; what is under the name that was asked for is
//! whole: it is made beside it and renamed.
//! The archive has Docker's `manifest.json` beside the layout, as `docker save` writes it, so that old readers load it.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use cove_registry::digest::Hasher;
use cove_registry::manifest::{Descriptor, Kind, MANIFEST_MAX_BYTES, Manifest};
use cove_registry::{Digest, archive::BLOCK};
use http_body_util::BodyExt;
use hyper::StatusCode;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::placed;
use super::remote::{Fetched, Repository, progress};
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::say;

#[derive(Debug, Args)]
pub(in crate::cli) struct PullArgs {
    /// REPOSITORY[:TAG] or REPOSITORY@DIGEST
    image: String,
    /// A directory for an OCI layout, or a file that ends in .tar; must not be there
    to: PathBuf,
    /// Of an index only the manifest for this architecture, as in amd64
    #[arg(long, value_name = "ARCH")]
    platform: Option<String>,
}

/// Everything of an image: manifests, an index after what it names, and blobs.
#[derive(Default)]
struct Content {
    manifests: Vec<Fetched>,
    blobs: Vec<Descriptor>,
}

pub(super) async fn run(args: &PullArgs, client: &Client) -> Result<(), CliError> {
    let (repository, reference) = placed(&args.image)?;
    if args.to.exists() {
        return Err(CliError::Usage(format!("{} is there already", args.to.display())));
    }
    let repository = Repository::open(client, &repository).await?;
    let mut content = Content::default();
    let mut top = repository.manifest(&reference).await?;
    if let Some(arch) = &args.platform {
        top = for_platform(&repository, top, arch, &args.image).await?;
    }
    gather(&repository, top, &mut content).await?;
    let fresh = args.to.with_extension("partial");
    let written = write(&repository, &content, &args.image, &args.to, &fresh).await;
    if written.is_err() {
        let _ = fs::remove_dir_all(&fresh).or_else(|_| fs::remove_file(&fresh));
    }
    written?;
    fs::rename(&fresh, &args.to).map_err(|source| CliError::Write { path: args.to.clone(), source })?;
    say(&content.manifests.last().map_or_else(String::new, |top| top.digest.clone()));
    Ok(())
}

/// Of an index the manifest for an architecture; what is none as it is.
pub(super) async fn for_platform(
    repository: &Repository<'_>,
    top: Fetched,
    arch: &str,
    name: &str,
) -> Result<Fetched, CliError> {
    let manifest = parse(&top)?;
    match (manifest.for_platform(arch), &manifest.kind) {
        (Some(chosen), _) => repository.manifest(&chosen.digest).await,
        (None, Kind::Image { .. }) => Ok(top),
        (None, Kind::Index { .. }) => Err(CliError::Failed(format!("{name} has no manifest for {arch}"))),
    }
}

async fn gather(repository: &Repository<'_>, top: Fetched, content: &mut Content) -> Result<(), CliError> {
    let manifest = parse(&top)?;
    match &manifest.kind {
        Kind::Index { manifests } => {
            for inner in manifests {
                if !content.manifests.iter().any(|known| known.digest == inner.digest) {
                    let inner = repository.manifest(&inner.digest).await?;
                    Box::pin(gather(repository, inner, content)).await?;
                }
            }
        }
        Kind::Image { .. } => {
            let here = manifest.blobs();
            for blob in manifest.descriptors().filter(|blob| here.contains(&blob.digest)) {
                if !content.blobs.iter().any(|known| known.digest == blob.digest) {
                    content.blobs.push(blob.clone());
                }
            }
        }
    }
    content.manifests.push(top);
    Ok(())
}

/// Reads a manifest, once its bytes have the digest that was said.
pub(super) fn parse(fetched: &Fetched) -> Result<Manifest, CliError> {
    let named = Digest::parse(&fetched.digest);
    if fetched.bytes.len() > MANIFEST_MAX_BYTES
        || named.as_ref().is_none_or(|named| Digest::with(named.algorithm(), &fetched.bytes) != *named)
    {
        return Err(CliError::Failed(format!("the manifest is not {}", fetched.digest)));
    }
    Manifest::parse(&fetched.bytes, Some(&fetched.media_type))
        .map_err(|fault| CliError::Failed(format!("{} is no manifest: {fault}", fetched.digest)))
}

async fn write(
    repository: &Repository<'_>,
    content: &Content,
    name: &str,
    to: &Path,
    fresh: &Path,
) -> Result<(), CliError> {
    let failed = |source| CliError::Write { path: to.to_owned(), source };
    let is_archive = to.extension().is_some_and(|extension| extension == "tar");
    let mut sink = Sink::create(fresh, is_archive).map_err(failed)?;
    sink.whole("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(failed)?;
    let bar = progress(content.blobs.iter().map(|blob| blob.size).sum());
    for blob in &content.blobs {
        fetch(repository, blob, &mut sink, &bar, &failed).await?;
    }
    bar.finish_and_clear();
    for manifest in &content.manifests {
        sink.whole(&blob_name(&manifest.digest), &manifest.bytes).map_err(failed)?;
    }
    if is_archive && let Some(list) = docker_list(content, name)? {
        sink.whole("manifest.json", list.to_string().as_bytes()).map_err(failed)?;
    }
    sink.whole("index.json", layout_index(content, name).to_string().as_bytes()).map_err(failed)?;
    sink.end().map_err(failed)
}

async fn fetch(
    repository: &Repository<'_>,
    blob: &Descriptor,
    sink: &mut Sink,
    bar: &ProgressBar,
    failed: &impl Fn(io::Error) -> CliError,
) -> Result<(), CliError> {
    let wrong = || CliError::Failed(format!("the content of {} is another one", blob.digest));
    let digest = Digest::parse(&blob.digest).ok_or_else(wrong)?;
    let answer = repository.blob(&blob.digest).await?;
    if answer.status() != StatusCode::OK {
        return repository.expect(answer, StatusCode::OK, &format!("getting {}", blob.digest)).await.map(drop);
    }
    sink.begin(&blob_name(&blob.digest), blob.size).map_err(failed)?;
    let (mut hasher, mut left, mut body) = (Hasher::new(digest.algorithm()), blob.size, answer.into_body());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|source| CliError::Http { endpoint: repository.client.url(), source })?;
        let Ok(bytes) = frame.into_data() else { continue };
        left = left.checked_sub(bytes.len() as u64).ok_or_else(wrong)?;
        hasher.update(&bytes);
        sink.write(&bytes).map_err(failed)?;
        bar.inc(bytes.len() as u64);
    }
    sink.finish().map_err(failed)?;
    if left == 0 && hasher.finish() == digest { Ok(()) } else { Err(wrong()) }
}

/// The layout's index: the one image, with its name.
fn layout_index(content: &Content, name: &str) -> Value {
    let top = content.manifests.last().map(|top| {
        let short = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or("latest", |(_, tag)| tag);
        json!({"mediaType": top.media_type, "digest": top.digest, "size": top.bytes.len(),
            "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": short}})
    });
    json!({"schemaVersion": 2, "manifests": top.into_iter().collect::<Vec<_>>()})
}

/// What `docker load` of before the layouts reads; nothing of an index, of which it would take one manifest at random.
fn docker_list(content: &Content, name: &str) -> Result<Option<Value>, CliError> {
    let [only] = content.manifests.as_slice() else { return Ok(None) };
    let Kind::Image { config, layers } = parse(only)?.kind else { return Ok(None) };
    let layers: Vec<String> = layers.iter().map(|layer| blob_name(&layer.digest)).collect();
    let tags: Vec<&str> = if name.contains('@') { Vec::new() } else { vec![name] };
    Ok(Some(json!([{"Config": blob_name(&config.digest), "RepoTags": tags, "Layers": layers}])))
}

fn blob_name(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// Where files go, one after the other.
enum Sink {
    Directory { root: PathBuf, file: Option<File> },
    Tar { file: io::BufWriter<File>, size: u64 },
}

impl Sink {
    fn create(path: &Path, is_archive: bool) -> io::Result<Self> {
        if is_archive {
            return Ok(Self::Tar { file: io::BufWriter::new(File::create_new(path)?), size: 0 });
        }
        fs::create_dir(path)?;
        Ok(Self::Directory { root: path.to_owned(), file: None })
    }

    fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        match self {
            Self::Directory { root, file } => {
                let path = root.join(name);
                fs::create_dir_all(path.parent().unwrap_or(root))?;
                *file = Some(File::create(path)?);
                Ok(())
            }
            Self::Tar { file, size: current } => {
                *current = size;
                file.write_all(&cove_registry::archive::header(name, size))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Directory { file, .. } => file.as_mut().map_or(Ok(()), |file| file.write_all(bytes)),
            Self::Tar { file, .. } => file.write_all(bytes),
        }
    }

    /// After a file's last byte.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Directory { file, .. } => {
                *file = None;
                Ok(())
            }
            Self::Tar { file, size } => {
                let over = usize::try_from(*size % BLOCK as u64).unwrap_or(0);
                file.write_all(&[0; BLOCK][..(BLOCK - over) % BLOCK])
            }
        }
    }

    fn whole(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.begin(name, bytes.len() as u64)?;
        self.write(bytes)?;
        self.finish()
    }

    /// After the last file.
    fn end(self) -> io::Result<()> {
        match self {
            Self::Directory { .. } => Ok(()),
            Self::Tar { mut file, .. } => {
                file.write_all(&[0; 2 * BLOCK])?;
                file.flush()?;
                let end = file.stream_position()?;
                file.get_ref().set_len(end)
            }
        }
    }
}
