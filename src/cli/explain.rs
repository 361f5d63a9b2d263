//! `cove explain`: why a service, a daemon or a task is not where it should be.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::client::Client;
use super::error::CliError;
use super::say;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A service's or a daemon's name, a task's id or the beginning of it, or an ARN
    #[arg(value_name = "SERVICE|DAEMON|TASK")]
    what: String,
    /// Cluster [default: default]
    #[arg(long)]
    cluster: Option<String>,
}

pub(super) async fn run(args: &ExplainArgs, client: &Client) -> Result<ExitCode, CliError> {
    let wish = json!({"what": args.what, "cluster": args.cluster});
    let answer = client.cove("POST", "/_cove/v1/explain", Some(&wish)).await?;
    for line in answer["lines"].as_array().into_iter().flatten() {
        say(line.as_str().unwrap_or_default());
    }
    Ok(ExitCode::SUCCESS)
}
