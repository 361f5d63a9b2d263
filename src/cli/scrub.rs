//! `cove scrub`: whether what the registry keeps is still what was pushed.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, text};
use super::error::CliError;
use super::{say, table};

const PATH: &str = "/_cove/v1/scrub";
/// Between two looks at a pass under way.
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct ScrubArgs {
    /// Read everything again now, and wait for it
    #[arg(long)]
    now: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// Fails while something is damaged.
pub(super) async fn run(args: &ScrubArgs, client: &Client) -> Result<ExitCode, CliError> {
    let mut answer = client.cove(if args.now { "POST" } else { "GET" }, PATH, None).await?;
    while args.now && (answer["asked"] == true || !answer["running"].is_null()) {
        tokio::time::sleep(POLL).await;
        answer = client.cove("GET", PATH, None).await?;
    }
    if args.json {
        say(&answer.to_string());
    } else {
        print(&answer);
    }
    let is_whole = answer["damaged"].as_array().is_none_or(Vec::is_empty);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(answer: &Value) {
    let counted = |pass: &Value| {
        let number = |member: &str| pass[member].as_u64().unwrap_or_default();
        format!("{} files, {}, {} damaged", number("files"), table::size(number("bytes")), number("damaged"))
    };
    if !answer["running"].is_null() {
        say(&format!("under way: {}", counted(&answer["running"])));
    }
    match &answer["last"] {
        last if last["files"].as_u64().unwrap_or_default() > 0 || last["endedAt"] != last["beganAt"] => {
            let now = cove_base::Clock::system().now().epoch_seconds();
            let ended = last["endedAt"].as_f64().unwrap_or_default() / 1000.0;
            say(&format!("last pass ended {} ago: {}", table::age(now - ended), counted(last)));
        }
        _ => say("no pass has ended yet; `cove scrub --now` begins one"),
    }
    for lost in answer["damaged"].as_array().into_iter().flatten() {
        let places: Vec<&str> =
            lost["repositories"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        say(&format!("damaged or gone: {} of {}", text(lost, "digest"), places.join(", ")));
    }
    if answer["damaged"].as_array().is_some_and(|damaged| !damaged.is_empty()) {
        say("pushing an image again heals what it holds");
    }
}
