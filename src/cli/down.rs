//! `cove down`: stop every task, remove everything of the server from the kernel, stop the server.
//!
//! The server does the work, because it knows what is its own. When none runs, one is started for just that.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Args;

use super::client::Client;
use super::error::CliError;
use super::{Target, say};

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
    match client.cove("POST", "/_cove/v1/down", None).await {
        Ok(answer) => {
            say(&format!("stopped {} tasks; the server has removed what was its own and ends", answer["tasks"]));
            Ok(ExitCode::SUCCESS)
        }
        Err(CliError::Connect { .. }) => without_server(args, target),
        Err(error) => Err(error),
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
