//! `cove restore FILE`: makes a data directory from a backup, while no server uses it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cove_base::paths::DataDir;

use super::error::CliError;
use super::{Target, say};

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// What `cove backup` wrote
    file: PathBuf,
}

pub(super) fn run(args: &RestoreArgs, target: &Target) -> Result<ExitCode, CliError> {
    let restored = cove_store::restore(&args.file, &DataDir::new(&target.data_dir))?;
    for digest in &restored.bad_blobs {
        say(&format!("blob {digest} was missing or damaged when the backup was made: push its image again"));
    }
    let images = match (restored.images, restored.blobs) {
        (true, blobs) => format!(" and {blobs} blobs of images"),
        (false, _) => "; the backup has no images (`--with-images` keeps them): push them again".to_owned(),
    };
    say(&format!("{}: {} records{images}", target.data_dir.display(), restored.records));
    Ok(ExitCode::SUCCESS)
}
