//! `cove logs`: what a task's containers wrote: by way of CloudWatch Logs, or of the node's own file (`json-file`, or
//! where no driver is named).

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use cove_base::Timestamp;
use serde_json::{Value, json};

use super::client::{Client, ECS, LOGS, text};
use super::error::CliError;
use super::{follow, say, tasks};

/// How often `-f` asks for more.
const POLL: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Task: ARN, id or the first digits of an id
    task: String,
    /// Container, when the task has several
    #[arg(long, short)]
    container: Option<String>,
    /// Go on until the task has stopped
    #[arg(long, short)]
    follow: bool,
    /// Begin each line with its time
    #[arg(long, short)]
    timestamps: bool,
    /// Events as GetLogEvents shows them, one a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &LogsArgs, client: &Client) -> Result<ExitCode, CliError> {
    let task = tasks::find(client, &args.task).await?;
    let container = tasks::container(&task, args.container.as_deref())?;
    let stream = stream_of(client, &task, container).await?;
    let mut token: Option<String> = None;
    if !args.follow {
        read_all(args, client, &stream, &mut token).await?;
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        // Asked before the read: what a task wrote before it stopped is there when it shows as stopped.
        let ended = follow::answered(client, async || is_stopped(client, &task).await).await?;
        let more = read_all(args, client, &stream, &mut token).await?;
        if ended {
            return Ok(ExitCode::SUCCESS);
        }
        if !more {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Where a container's output is.
enum Stream {
    CloudWatch { group: String, name: String },
    OfNode { task: String, container: String },
}

impl Stream {
    /// The next events from `token` on, or the first.
    async fn page(&self, client: &Client, token: Option<&str>) -> Result<Value, CliError> {
        let mut input = match self {
            Self::CloudWatch { group, name } => {
                json!({"logGroupName": group, "logStreamName": name, "startFromHead": true})
            }
            Self::OfNode { task, container } => json!({"task": task, "container": container}),
        };
        if let Some(token) = token {
            input["nextToken"] = Value::from(token);
        }
        match self {
            Self::CloudWatch { .. } => client.aws(LOGS, "GetLogEvents", &input).await,
            Self::OfNode { .. } => client.cove("POST", "/_cove/v1/logs", Some(&input)).await,
        }
    }
}

async fn stream_of(client: &Client, task: &Value, container: &Value) -> Result<Stream, CliError> {
    let name = text(container, "name");
    let definitions = container_definitions(client, text(task, "taskDefinitionArn")).await?;
    let log = definitions
        .iter()
        .find(|definition| text(definition, "name") == name)
        .map(|definition| definition["logConfiguration"].clone())
        .unwrap_or_default();
    let options = &log["options"];
    let id = tasks::id_of(text(task, "taskArn"));
    match text(&log, "logDriver") {
        "awslogs" => {}
        "json-file" | "" => return Ok(Stream::OfNode { task: id.to_owned(), container: name.to_owned() }),
        driver => return Err(CliError::NoLogs { container: name.to_owned(), driver: driver.to_owned() }),
    }
    let stream = match text(options, "awslogs-stream-prefix") {
        "" => text(container, "runtimeId").to_owned(),
        prefix => format!("{prefix}/{name}/{id}"),
    };
    Ok(Stream::CloudWatch { group: text(options, "awslogs-group").to_owned(), name: stream })
}

/// Those of daemons have a describing operation of their own.
async fn container_definitions(client: &Client, arn: &str) -> Result<Vec<Value>, CliError> {
    let (operation, named) = if arn.contains(":daemon-task-definition/") {
        ("DescribeDaemonTaskDefinition", "daemonTaskDefinition")
    } else {
        ("DescribeTaskDefinition", "taskDefinition")
    };
    let answer = client.aws(ECS, operation, &json!({named: arn})).await?;
    Ok(answer[named]["containerDefinitions"].as_array().cloned().unwrap_or_default())
}

async fn is_stopped(client: &Client, task: &Value) -> Result<bool, CliError> {
    let input = json!({"cluster": text(task, "clusterArn"), "tasks": [text(task, "taskArn")]});
    let answer = client.aws(ECS, "DescribeTasks", &input).await?;
    Ok(answer["tasks"].as_array().is_none_or(|found| found.iter().all(|task| text(task, "lastStatus") == "STOPPED")))
}

/// Prints everything that is there by now. Whether there was anything.
async fn read_all(
    args: &LogsArgs,
    client: &Client,
    stream: &Stream,
    token: &mut Option<String>,
) -> Result<bool, CliError> {
    let mut any = false;
    loop {
        let page = if args.follow {
            follow::answered(client, async || stream.page(client, token.as_deref()).await).await?
        } else {
            stream.page(client, token.as_deref()).await?
        };
        for event in page["events"].as_array().into_iter().flatten() {
            any = true;
            print(args, event);
        }
        let next = page["nextForwardToken"].as_str().map(str::to_owned);
        let at_end = next == *token || next.is_none();
        if next.is_some() {
            *token = next;
        }
        if at_end {
            return Ok(any);
        }
    }
}

fn print(args: &LogsArgs, event: &Value) {
    if args.json {
        say(&event.to_string());
    } else if args.timestamps {
        let at = Timestamp(event["timestamp"].as_i64().unwrap_or_default());
        say(&format!("{} {}", at.rfc3339(), text(event, "message")));
    } else {
        say(text(event, "message"));
    }
}
