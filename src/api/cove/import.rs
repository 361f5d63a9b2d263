//! Advisories for the built-in scanner, over an upgraded connection: they are larger than what a request should carry.
//!
//! The request's body names the sources: `{"sources": [{"name", "is_directory"}]}`. After the upgrade the client sends their
//! files, each as the number of its source (`u32`), the length of its name (`u16`), its name, its size (`u64`), its bytes,
//! numbers big endian; the source `u32::MAX` is the end. The server answers once with a length (`u32`) and a JSON document:
//! what was imported, or `{"error"}`.
//!
//! Holds: one import at a time, of bounded size; what was sent is gone afterwards, also after a crash: it lies where a
//! server that starts sweeps. A name leads nowhere but into its source.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use cove_base::error::chain;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::{problem, read};
use crate::{Body, RawContext, Request, Response};

/// The protocol's name in the upgrade.
const PROTOCOL: &str = "cove-import";
/// OSV's archive of everything has about one gigabyte.
const BYTES_MAX: u64 = 8 << 30;
/// Files of one import: OSV has about 300,000 records.
const FILES_MAX: u32 = 1_000_000;
const SOURCES_MAX: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;
/// A client that sends nothing for this long is gone.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
const END: u32 = u32::MAX;

static SLOT: Semaphore = Semaphore::const_new(1);

/// Answers 101, takes the files and imports them.
pub(super) async fn answer(cx: &RawContext, mut request: Request) -> Response {
    let asked =
        request.headers().get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes()));
    if !asked {
        return problem(426, "UpgradeRequired", "this is an upgrade to `cove-import`");
    }
    let Ok(slot) = SLOT.try_acquire() else {
        return problem(429, "TooManyImports", "another import is under way; try again later");
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let body = match read(request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let sources = body["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sources: Option<Vec<Source>> = sources.iter().map(Source::read).collect();
    let Some(sources) = sources.filter(|sources| (1..=SOURCES_MAX).contains(&sources.len())) else {
        return problem(400, "InvalidParameter", "`sources` must be names of files or directories");
    };
    let cx = cx.clone();
    tokio::spawn(async move {
        if let Err(error) = serve(&cx, upgrade, sources).await {
            tracing::debug!(%error, "an import ended early");
        }
        drop(slot);
    });
    let response = hyper::Response::builder().status(101).header(CONNECTION, "upgrade").header(UPGRADE, PROTOCOL);
    response.body(Body::empty()).expect("constant headers make a response")
}

/// What the client calls it, and whether it has files of its own.
struct Source {
    name: PathBuf,
    is_directory: bool,
}

impl Source {
    fn read(value: &Value) -> Option<Self> {
        let name = inside(value["name"].as_str()?)?;
        Some(Self { name, is_directory: value["is_directory"].as_bool()? })
    }
}

/// A path that climbs nowhere.
fn inside(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_plain = !text.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| path.to_owned())
}

/// Where the files wait; gone with the value.
struct Spool(PathBuf);

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "could not remove what was sent for an import");
        }
    }
}

async fn serve(cx: &RawContext, upgrade: OnUpgrade, sources: Vec<Source>) -> io::Result<()> {
    let mut stream = TokioIo::new(upgrade.await.map_err(io::Error::other)?);
    let spool = Spool(cx.store().data_dir().scans().join(format!("import-{}", cove_base::ids::random_hex(8))));
    let said = match take(&mut stream, &spool.0, &sources).await {
        Ok(()) => import(cx, &spool.0, &sources).await,
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            json!({"error": format!("the files could not be taken: {error}")})
        }
        Err(gone) => return Err(gone),
    };
    drop(spool);
    let said = said.to_string();
    stream.write_u32(u32::try_from(said.len()).unwrap_or(0)).await?;
    stream.write_all(said.as_bytes()).await?;
    stream.shutdown().await?;
    // What a client still sends is read away, so that it gets to the answer.
    let mut rest = vec![0; CHUNK_BYTES];
    while let Ok(Ok(1..)) = tokio::time::timeout(IDLE_LIMIT, stream.read(&mut rest)).await {}
    Ok(())
}

/// What a client that says nothing does not hold for ever: the one place of an import, and what it has sent.
async fn soon<T>(read: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(IDLE_LIMIT, read).await?
}

async fn take(stream: &mut TokioIo<Upgraded>, spool: &Path, sources: &[Source]) -> io::Result<()> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut left = BYTES_MAX;
    let mut chunk = vec![0; CHUNK_BYTES];
    tokio::fs::create_dir_all(spool).await?;
    for (at, source) in sources.iter().enumerate().filter(|(_, source)| source.is_directory) {
        tokio::fs::create_dir_all(spool.join(at.to_string()).join(&source.name)).await?;
    }
    for _ in 0..FILES_MAX {
        let at = soon(stream.read_u32()).await?;
        if at == END {
            return Ok(());
        }
        let mut name = vec![0; usize::from(soon(stream.read_u16()).await?)];
        soon(stream.read_exact(&mut name)).await?;
        let size = soon(stream.read_u64()).await?;
        let source = usize::try_from(at).ok().and_then(|at| sources.get(at)).ok_or_else(|| bad("no such source"))?;
        left = left.checked_sub(size).ok_or_else(|| bad("they are more than 8 GiB"))?;
        let mut path = spool.join(at.to_string()).join(&source.name);
        if source.is_directory {
            let name = std::str::from_utf8(&name).ok().and_then(inside).ok_or_else(|| bad("a name leads elsewhere"))?;
            path.push(name);
        }
        if let Some(above) = path.parent() {
            tokio::fs::create_dir_all(above).await?;
        }
        let mut file = tokio::fs::OpenOptions::new().write(true).create_new(true).open(&path).await?;
        let mut missing = size;
        while missing > 0 {
            let wanted = CHUNK_BYTES.min(usize::try_from(missing).unwrap_or(CHUNK_BYTES));
            let got = soon(stream.read(&mut chunk[..wanted])).await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_all(&chunk[..got]).await?;
            missing -= got as u64;
        }
        file.flush().await?;
    }
    Err(bad("they are too many"))
}

async fn import(cx: &RawContext, spool: &Path, sources: &[Source]) -> Value {
    let paths = sources.iter().enumerate().map(|(at, source)| spool.join(at.to_string()).join(&source.name)).collect();
    // People know their own names of the files.
    let known = |text: &str| {
        let mut text = text.to_owned();
        for at in 0..sources.len() {
            text = text.replace(&format!("{}/", spool.join(at.to_string()).display()), "");
        }
        text
    };
    match cx.registry().import_advisories(paths).await {
        Ok(done) => {
            let ecosystems = done.info.ecosystems.iter();
            let ecosystems: Vec<Value> = ecosystems
                .map(|(name, of)| json!({"name": name, "advisories": of.advisories, "newest": of.newest}))
                .collect();
            let refused = done.problems.iter().map(|one| known(&format!("{}: {}", one.path, one.text)));
            json!({"records": done.records, "withdrawn": done.withdrawn, "refused": done.refused,
                "problems": refused.collect::<Vec<_>>(), "ecosystems": ecosystems})
        }
        Err(error) => json!({"error": known(&chain(&error))}),
    }
}
