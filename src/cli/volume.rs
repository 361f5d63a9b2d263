//! `cove volume …`: Docker volumes of scope shared, which stay until somebody removes them.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{Client, text};
use super::error::CliError;
use super::{say, table};

const PATH: &str = "/_cove/v1/volumes";

#[derive(Debug, Subcommand)]
pub(super) enum VolumeVerb {
    /// List shared volumes, their sizes and the live tasks that have them
    Ls {
        /// As a JSON list
        #[arg(long)]
        json: bool,
    },
    /// Remove shared volumes with all that is in them; what a live task has stays
    Rm {
        /// As `ls` shows them
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

pub(super) async fn run(verb: &VolumeVerb, client: &Client) -> Result<ExitCode, CliError> {
    match verb {
        VolumeVerb::Ls { json } => {
            let answer = client.cove("GET", PATH, None).await?;
            if *json {
                say(&answer["volumes"].to_string());
            } else {
                let volumes = answer["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
                table::print(&["VOLUME", "SIZE", "TASKS"], volumes.iter().map(row).collect());
            }
        }
        VolumeVerb::Rm { names } => {
            for name in names {
                client.cove("POST", &format!("{PATH}/remove"), Some(&json!({"name": name}))).await?;
                say(&format!("removed {name}"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(volume: &Value) -> Vec<String> {
    let size = volume["bytes"].as_u64().map_or_else(|| "too deep to be measured".to_owned(), table::size);
    let tasks: Vec<&str> = volume["tasks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ids: Vec<&str> = tasks.iter().map(|arn| super::tasks::id_of(arn)).collect();
    vec![text(volume, "name").to_owned(), size, ids.join(" ")]
}
