//! `cove ps`: the tasks, one a line, the newest first.

use std::process::ExitCode;

use clap::Args;
use cove_base::Clock;
use serde_json::Value;

use super::client::{Client, text};
use super::error::CliError;
use super::{say, table, tasks};

#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// Also tasks that have stopped in the last hour
    #[arg(long, short)]
    all: bool,
    /// Only this cluster
    #[arg(long)]
    cluster: Option<String>,
    /// The tasks as DescribeTasks shows them
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &PsArgs, client: &Client) -> Result<ExitCode, CliError> {
    let mut found = tasks::describe_all(client, args.cluster.as_deref(), args.all).await?;
    found.sort_by(|one, other| began(other).total_cmp(&began(one)));
    if args.json {
        say(&Value::from(found).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let now = Clock::system().now().epoch_seconds();
    let rows = found.iter().map(|task| row(task, now)).collect();
    table::print(&["TASK", "CLUSTER", "DEFINITION", "GROUP", "STATUS", "AGE", "ADDRESS", "PORTS", "WHY"], rows);
    Ok(ExitCode::SUCCESS)
}

fn row(task: &Value, now: f64) -> Vec<String> {
    let id = tasks::id_of(text(task, "taskArn"));
    let containers = task["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    vec![
        id.get(..12).unwrap_or(id).to_owned(),
        tasks::id_of(text(task, "clusterArn")).to_owned(),
        tasks::id_of(text(task, "taskDefinitionArn")).to_owned(),
        text(task, "group").to_owned(),
        status(task),
        table::age(now - began(task)),
        address(containers),
        ports(containers),
        text(task, "stoppedReason").to_owned(),
    ]
}

/// When it began to run, or was made if it has not.
fn began(task: &Value) -> f64 {
    task["startedAt"].as_f64().or(task["createdAt"].as_f64()).unwrap_or_default()
}

/// With the health, where it is known and still means something.
fn status(task: &Value) -> String {
    let status = text(task, "lastStatus");
    match text(task, "healthStatus") {
        _ if status == "STOPPED" => status.to_owned(),
        "HEALTHY" => format!("{status}, healthy"),
        "UNHEALTHY" => format!("{status}, unhealthy"),
        _ => status.to_owned(),
    }
}

fn address(containers: &[Value]) -> String {
    containers
        .iter()
        .find_map(|container| container["networkInterfaces"][0]["privateIpv4Address"].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn ports(containers: &[Value]) -> String {
    let bindings = containers.iter().filter_map(|container| container["networkBindings"].as_array()).flatten();
    let shown: Vec<String> = bindings
        .map(|binding| format!("{}->{}/{}", binding["hostPort"], binding["containerPort"], text(binding, "protocol")))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_stopped_is_neither_healthy_nor_ill() {
        let shown = |status_now: &str, health: &str| status(&json!({"lastStatus": status_now, "healthStatus": health}));
        assert_eq!(shown("RUNNING", "HEALTHY"), "RUNNING, healthy");
        assert_eq!([shown("STOPPED", "HEALTHY"), shown("STOPPED", "UNHEALTHY")], ["STOPPED", "STOPPED"]);
    }
}
