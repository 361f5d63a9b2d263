//! `cove down`: stop every task, remove everything of the server from the kernel, stop the server.
//!
//! The server does the work, because it knows what is its own. When none runs, one is started for just that.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Args;
use cove_base::words::counted;

use super::client::Client;
use super::error::CliError;
use super::{Target, say, say_error};

/// A server that was asked to end has nothing left to wait for but its own listeners.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug, Args)]
pub(super) struct DownArgs {
    /// The run directory of the server, when none answers
    #[arg(long, env = "COVE_RUN_DIR")]
    run_dir: Option<PathBuf>,
    /// The node name of the server, when none answers
    #[arg(long, env = "COVE_NODE")]
    node: Option<String>,
}

pub(super) async fn run(args: &DownArgs, target: &Target) -> Result<ExitCode, CliError> {
    let client = Client::new(target)?;
    // What cannot be asked is met again below.
    if let Ok(answer) = client.cove("GET", "/_cove/v1/down", None).await
        && let Some(waits_for) = answer["waitsFor"].as_str()
    {
        say_error(waits_for);
    }
    match client.cove("POST", "/_cove/v1/down", None).await {
        Ok(answer) => {
            wait_for_end(&client).await?;
            let tasks = answer["tasks"].as_u64().and_then(|tasks| usize::try_from(tasks).ok()).unwrap_or_default();
            let tasks = counted(tasks, "task");
            say(&format!("stopped {tasks}; the server has removed what was its own and ended"));
            Ok(ExitCode::SUCCESS)
        }
        Err(CliError::Connect { .. }) => without_server(args, target),
        Err(error) => Err(error),
    }
}

/// The server answers before its last steps; what comes after `cove down` may remove its directories.
async fn wait_for_end(client: &Client) -> Result<(), CliError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.cove("GET", "/_cove/v1/info", None).await {
            Err(CliError::Connect { .. }) => return Ok(()),
            _ if Instant::now() > deadline => {
                let why = format!("the server on {} removed its tasks but does not end", client.url());
                return Err(CliError::Failed(why));
            }
            // Still there, or its connections are being closed.
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

fn without_server(args: &DownArgs, target: &Target) -> Result<ExitCode, CliError> {
    let spawn = |source| CliError::Spawn { what: "cove serve --down".to_owned(), source };
    let mut command = Command::new(std::env::current_exe().map_err(spawn)?);
    command.arg("serve").arg("--down").arg("--data-dir").arg(&target.data_dir);
    if let Some(run_dir) = &args.run_dir {
        command.arg("--run-dir").arg(run_dir);
    }
    if let Some(node) = &args.node {
        command.arg("--node").arg(node);
    }
    let status = command.status().map_err(spawn)?;
    if status.success() {
        say("no server was running; what one left behind is removed");
        return Ok(ExitCode::SUCCESS);
    }
    Err(CliError::Failed(format!("`cove serve --down` ended with {status}")))
}
