//! `cove events`: what happened, one event a line; with `-f` also what happens from now on.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, text};
use super::error::CliError;
use super::{follow, say};

/// How long the server may keep an answer back.
const WAIT_MILLIS: u64 = 15_000;
/// Of a detail that we have no words for.
const DETAIL_CHARS_MAX: usize = 120;

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// At most so many of what happened so far
    #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 100)]
    lines: usize,
    /// Instead: what was on its way to a rule's target and was given up
    #[arg(long, conflicts_with_all = ["follow", "lines"])]
    dead: bool,
    /// As EventBridge, or the server, shows them, one a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &EventsArgs, client: &Client) -> Result<ExitCode, CliError> {
    if args.dead {
        return dead(args, client).await;
    }
    let mut page = ask(client, &json!({"limit": args.lines})).await?;
    loop {
        for event in page["events"].as_array().into_iter().flatten() {
            say(&if args.json { event.to_string() } else { line(event) });
        }
        if !args.follow {
            return Ok(ExitCode::SUCCESS);
        }
        let wish = json!({"after": page["next"], "wait_millis": WAIT_MILLIS});
        page = follow::answered(client, async || ask(client, &wish).await).await?;
    }
}

async fn dead(args: &EventsArgs, client: &Client) -> Result<ExitCode, CliError> {
    let answer = client.cove("GET", "/_cove/v1/events/dead", None).await?;
    for one in answer["dead"].as_array().into_iter().flatten() {
        let words = [text(one, "deadAt"), text(one, "rule"), text(one, "target"), text(one, "error")];
        say(&if args.json { one.to_string() } else { words.join("  ").replace(['\n', '\r'], " ") });
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(client: &Client, wish: &Value) -> Result<Value, CliError> {
    client.cove("POST", "/_cove/v1/events", Some(wish)).await
}

/// As in `2026-11-22T21:17:20Z  Task State Change  task/default/0af1  RUNNING`.
fn line(event: &Value) -> String {
    let kind = text(event, "detail-type");
    let resource = event["resources"][0].as_str().unwrap_or_else(|| text(event, "source"));
    // Everything behind the account, which is the caller's own.
    let resource = resource.splitn(6, ':').nth(5).unwrap_or(resource);
    let kind_shown = kind.strip_prefix("ECS ").unwrap_or(kind);
    let line = format!("{}  {kind_shown:<31}  {resource}  {}", text(event, "time"), what(kind, &event["detail"]));
    line.replace(['\n', '\r'], " ")
}

fn what(kind: &str, detail: &Value) -> String {
    let words: Vec<&str> = match kind {
        "ECS Task State Change" => {
            let desired = text(detail, "desiredStatus");
            let stopping =
                if desired == "STOPPED" && text(detail, "lastStatus") != desired { "(stopping)" } else { "" };
            vec![text(detail, "lastStatus"), stopping, text(detail, "stoppedReason")]
        }
        "ECS Container Instance State Change" => vec![text(detail, "status")],
        "ECS Deployment State Change" | "ECS Service Action" => vec![text(detail, "eventName"), text(detail, "reason")],
        "CloudWatch Alarm State Change" => {
            vec![text(detail, "alarmName"), text(&detail["state"], "value"), text(&detail["state"], "reason")]
        }
        _ => return detail.to_string().chars().take(DETAIL_CHARS_MAX).collect(),
    };
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_that_says_what_became_of_whom() {
        let event = json!({
            "time": "2026-11-22T21:17:20Z", "detail-type": "ECS Task State Change", "source": "aws.ecs",
            "resources": ["arn:aws:ecs:us-east-1:000000000000:task/default/0af1"],
            "detail": {"lastStatus": "RUNNING", "desiredStatus": "STOPPED", "stoppedReason": "two\nlines"},
        });
        let expected =
            "2026-11-22T21:17:20Z  Task State Change                task/default/0af1  RUNNING (stopping) two lines";
        assert_eq!(line(&event), expected);
        let own = json!({"time": "t", "detail-type": "Order", "source": "my.app", "resources": [], "detail": {"a": 1}});
        assert!(line(&own).ends_with(r#"  my.app  {"a":1}"#), "{}", line(&own));
    }
}
