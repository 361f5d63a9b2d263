//! `cove scan import SOURCE…`: sends OSV records to the server, wherever that runs.
//!
//! Protocol: see the server's end, `src/api/cove/import.rs`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, text};
use super::error::CliError;
use super::image::progress;
use super::{say, table};

const CHUNK_BYTES: usize = 256 << 10;
/// Directories within directories, as the server reads them.
const DEPTH_MAX: usize = 8;
/// The longest answer that is taken.
const ANSWER_MAX: u32 = 16 << 20;

/// A file to send: whose it is, what it is called there, where it lies here.
struct Sent {
    source: u32,
    name: String,
    path: PathBuf,
    size: u64,
}

pub(super) async fn run(sources: &[PathBuf], client: &Client) -> Result<ExitCode, CliError> {
    let (mut wish, mut files) = (Vec::new(), Vec::new());
    for (at, path) in sources.iter().enumerate() {
        let read = |source| CliError::Read { path: path.clone(), source };
        let whole = fs::canonicalize(path).map_err(read)?;
        let is_directory = whole.is_dir();
        let name = whole.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy().into_owned());
        let source = u32::try_from(at).unwrap_or(u32::MAX);
        if is_directory {
            gather(&whole, "", source, DEPTH_MAX, &mut files).map_err(read)?;
        } else {
            let size = fs::metadata(&whole).map_err(read)?.len();
            files.push(Sent { source, name: name.clone(), path: whole, size });
        }
        wish.push(json!({"name": name, "is_directory": is_directory}));
    }
    let mut stream = client.upgrade("/_cove/v1/scan/import", "cove-import", &json!({"sources": wish})).await?;
    let bar = progress(files.iter().map(|file| file.size).sum());
    for file in &files {
        let read = |source| CliError::Read { path: file.path.clone(), source };
        send(&mut stream, file, &bar).await.map_err(read)?;
    }
    bar.finish_and_clear();
    let done = end(&mut stream).await.map_err(|_| CliError::Answer { what: "the import".to_owned() })?;
    if !text(&done, "error").is_empty() {
        return Err(CliError::Refused(text(&done, "error").to_owned()));
    }
    show(&done);
    Ok(ExitCode::SUCCESS)
}

/// The records of a directory, in the order of their names. Links are not followed.
fn gather(directory: &Path, above: &str, source: u32, depth: usize, files: &mut Vec<Sent>) -> io::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, found) = (entry.path(), entry.metadata()?);
        let name = format!("{above}{}", entry.file_name().to_string_lossy());
        if found.is_dir() && depth > 0 {
            gather(&path, &format!("{name}/"), source, depth - 1, files)?;
        } else if found.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            files.push(Sent { source, name, path, size: found.len() });
        }
    }
    Ok(())
}

async fn send(stream: &mut TokioIo<Upgraded>, sent: &Sent, bar: &ProgressBar) -> io::Result<()> {
    let mut file = File::open(&sent.path)?;
    let name = sent.name.as_bytes();
    let length = u16::try_from(name.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    stream.write_u32(sent.source).await?;
    stream.write_u16(length).await?;
    stream.write_all(name).await?;
    stream.write_u64(sent.size).await?;
    let (mut left, mut chunk) = (sent.size, vec![0; CHUNK_BYTES]);
    while left > 0 {
        let wanted = CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES));
        file.read_exact(&mut chunk[..wanted])?;
        stream.write_all(&chunk[..wanted]).await?;
        bar.inc(wanted as u64);
        left -= wanted as u64;
    }
    Ok(())
}

/// Says that that was all, and waits for what came of it.
async fn end(stream: &mut TokioIo<Upgraded>) -> io::Result<Value> {
    stream.write_u32(u32::MAX).await?;
    stream.flush().await?;
    let length = stream.read_u32().await?;
    if length > ANSWER_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut said = vec![0; usize::try_from(length).unwrap_or(0)];
    stream.read_exact(&mut said).await?;
    Ok(serde_json::from_slice(&said)?)
}

fn show(done: &Value) {
    let ecosystems = done["ecosystems"].as_array().into_iter().flatten();
    let row =
        |one: &Value| vec![text(one, "name").to_owned(), one["advisories"].to_string(), text(one, "newest").to_owned()];
    table::print(&["ECOSYSTEM", "ADVISORIES", "NEWEST"], ecosystems.map(row).collect());
    say(&format!("{} records read, {} withdrawn, {} refused", done["records"], done["withdrawn"], done["refused"]));
    for problem in done["problems"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(&format!("refused {problem}"));
    }
}
