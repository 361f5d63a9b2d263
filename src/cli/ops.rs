//! `cove ops`: what this version carries out. Reads the tables in the binary; no server is asked.

use std::process::ExitCode;

use clap::Args;
use cove_api::ecs::FIELDS;
use cove_api::{Coverage, State};
use serde_json::{Value, json};

use super::error::CliError;
use super::{say, table};

#[derive(Debug, Args)]
pub(super) struct OpsArgs {
    /// Only this service
    service: Option<String>,
    /// As a JSON list
    #[arg(long)]
    json: bool,
    /// Instead: fields of tasks, and which of them are refused when a task is run or shown without effect
    #[arg(long)]
    fields: bool,
}

pub(super) fn run(args: &OpsArgs) -> Result<ExitCode, CliError> {
    if args.fields {
        fields(args.json);
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = cove_api::ops();
    if let Some(service) = &args.service {
        rows.retain(|row| row.service == service);
        if rows.is_empty() {
            return Err(CliError::Usage(format!("no service `{service}` here")));
        }
    }
    if args.json {
        say(&Value::from(rows.iter().map(as_json).collect::<Vec<_>>()).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let shown = rows.iter().map(|row| {
        let (state, waits_for) = words(row.state);
        vec![row.service.to_owned(), row.operation.clone(), state.to_owned(), waits_for.to_owned()]
    });
    table::print(&["SERVICE", "OPERATION", "STATE", "WAITS FOR"], shown.collect());
    let done = rows.iter().filter(|row| row.state == State::Done).count();
    let partial = rows.iter().filter(|row| matches!(row.state, State::Partial(_))).count();
    say(&format!("{done} done, {partial} partial, {} missing", rows.len() - done - partial));
    Ok(ExitCode::SUCCESS)
}

fn words(state: State) -> (&'static str, &'static str) {
    match state {
        State::Done => ("done", ""),
        State::Partial(waits_for) => ("partial", waits_for),
        State::Missing => ("missing", ""),
    }
}

fn as_json(row: &Coverage) -> Value {
    let (state, waits_for) = words(row.state);
    json!({"service": row.service, "operation": row.operation, "state": state, "waitsFor": waits_for, "test": row.test})
}

fn fields(as_json: bool) {
    if as_json {
        let list: Vec<Value> = FIELDS
            .iter()
            .map(|field| json!({"field": field.name, "state": field.state(), "missing": field.missing}))
            .collect();
        say(&Value::from(list).to_string());
        return;
    }
    let rows =
        FIELDS.iter().map(|field| vec![field.name.to_owned(), field.state().to_owned(), field.missing.to_owned()]);
    table::print(&["FIELD", "STATE", "WHAT IS MISSING"], rows.collect());
}
