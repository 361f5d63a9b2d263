//! `cove backup FILE`: every record, the keys and, if wanted, the images, in one file.
//!
//! A running server is asked for it and goes on meanwhile; without one the data directory is read directly. Either way
//! the file is verified before it takes its name, so that an older backup of that name is replaced only by a whole one.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cove_base::Clock;
use cove_base::files::sync_directory;
use cove_base::paths::DataDir;
use cove_store::{Images, Store, StoreOptions, verify};
use http_body_util::BodyExt;

use super::client::Client;
use super::error::CliError;
use super::{Target, say, table};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where the backup goes; it holds the node's keys, so only its owner may read it
    file: PathBuf,
    /// With the registry's images
    #[arg(long)]
    with_images: bool,
}

pub(super) async fn run(args: &BackupArgs, target: &Target) -> Result<ExitCode, CliError> {
    let partial = partial(&args.file);
    let done = write(args, target, &partial).await;
    if done.is_err() {
        // What is there is no backup; it may not even exist.
        let _ = fs::remove_file(&partial);
    }
    let from = done?;
    let size = fs::metadata(&args.file).map(|meta| meta.len()).unwrap_or_default();
    say(&format!("{}: {} {from}, verified", args.file.display(), table::size(size)));
    Ok(ExitCode::SUCCESS)
}

fn partial(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Where the backup came from.
async fn write(args: &BackupArgs, target: &Target, partial: &Path) -> Result<&'static str, CliError> {
    let failed = |source| CliError::Write { path: args.file.clone(), source };
    let mut file = OpenOptions::new();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(partial).map_err(failed)?;
    let from = match from_server(args, target, &mut file).await {
        Ok(()) => "from the running server",
        Err(CliError::Connect { .. }) if target.data_dir.join("db").is_dir() => {
            from_directory(args, target, &file).await?;
            "from the data directory"
        }
        Err(other) => return Err(other),
    };
    verify(partial)?;
    file.sync_all().and_then(|()| fs::rename(partial, &args.file)).map_err(failed)?;
    let parent = args.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_directory(parent).map_err(failed)?;
    Ok(from)
}

async fn from_server(args: &BackupArgs, target: &Target, file: &mut File) -> Result<(), CliError> {
    let client = Client::new(target)?;
    let path = if args.with_images { "/_cove/v1/backup/images" } else { "/_cove/v1/backup" };
    let mut response = client.download(path).await?;
    while let Some(frame) = response.body_mut().frame().await {
        let frame = frame.map_err(|source| CliError::Http { endpoint: client.url(), source })?;
        let Ok(bytes) = frame.into_data() else { continue };
        file.write_all(&bytes).map_err(|source| CliError::Write { path: args.file.clone(), source })?;
    }
    Ok(())
}

async fn from_directory(args: &BackupArgs, target: &Target, file: &File) -> Result<(), CliError> {
    let images = if args.with_images { Images::With } else { Images::Without };
    let store = Store::open(&DataDir::new(&target.data_dir), Clock::system(), StoreOptions::default())?;
    let written = store.backup(images).write(file);
    store.close().await;
    for digest in written?.bad_blobs {
        say(&format!("blob {digest} is missing or damaged: `cove fsck` says more"));
    }
    Ok(())
}
