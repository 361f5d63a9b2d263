//! What a verb can fail with, each as the one line that a person reads.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error("endpoint `{0}` is not http://HOST:PORT")]
    Endpoint(String),
    #[error("no address for `{host}`: {why}")]
    Resolve { host: String, why: String },
    #[error("no server answers on {endpoint}: start one with `cove serve` or name another with --endpoint")]
    Connect {
        endpoint: String,
        #[source]
        source: io::Error,
    },
    #[error("talking to {endpoint} failed")]
    Http {
        endpoint: String,
        #[source]
        source: hyper::Error,
    },
    #[error("{what} answered what this version does not understand")]
    Answer { what: String },
    #[error("{operation}: {code}{}", behind(.message))]
    Aws { operation: String, code: String, message: String },
    #[error("the server refused: {0}")]
    Refused(String),
    #[error("{what} answered {status}{}", behind(.body))]
    Status { what: String, status: u16, body: String },
    #[error("no image `{image}`{}", behind(.why))]
    NoImage { image: String, why: String },
    #[error("{what} failed{}", behind(.why))]
    Registry { what: String, why: String },
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path}")]
    Archive {
        path: PathBuf,
        #[source]
        source: cove_registry::archive::ArchiveError,
    },
    #[error(transparent)]
    Backup(#[from] cove_store::BackupError),
    #[error(transparent)]
    Store(#[from] cove_store::StoreError),
    #[error("no task `{0}`: `cove ps --all` lists them")]
    NoTask(String),
    #[error("`{0}` begins the ids of several tasks: give more of it")]
    Ambiguous(String),
    #[error("task {task} has several containers ({names}): choose one with --container")]
    ChooseContainer { task: String, names: String },
    #[error("no container `{container}` in task {task}")]
    NoContainer { task: String, container: String },
    #[error("task {task} has no containers yet: `cove explain {task}` says what it waits for")]
    NoContainers { task: String },
    #[error("the log of container `{container}` is elsewhere: its definition names the driver {driver}")]
    NoLogs { container: String, driver: String },
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot run {what}")]
    Spawn {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Failed(String),
}

/// A text that explains, behind what it explains; nothing where there is none.
fn behind(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
