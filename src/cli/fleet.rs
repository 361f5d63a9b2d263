//! `cove fleet`: the container instances that share this machine, one a line; and machines that come, drain, die.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use cove_base::words::counted;
use serde_json::{Value, json};

use super::client::{Client, text};
use super::error::CliError;
use super::{say, say_error, table};

#[derive(Debug, Args)]
pub(super) struct FleetArgs {
    /// Also instances that are gone
    #[arg(long, short)]
    all: bool,
    /// The instances as the server shows them
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Option<FleetVerb>,
}

/// clap shows what excludes each other in a form of its own.
macro_rules! usage {
    ($verb:literal) => {
        concat!("cove fleet ", $verb, " [OPTIONS] <INSTANCE>...\n       cove fleet ", $verb, " [OPTIONS] --zone <ZONE>")
    };
}

#[derive(Debug, Subcommand)]
enum FleetVerb {
    /// Register one more instance, until it is removed
    Add(AddArgs),
    /// Deregister instances
    #[command(override_usage = usage!("remove"))]
    Remove(RemoveArgs),
    /// No new tasks; those that run go on
    #[command(override_usage = usage!("drain"))]
    Drain(Which),
    /// Take tasks again
    #[command(override_usage = usage!("activate"))]
    Activate(Which),
    /// Interrupt Spot instances: they drain, and leave when the warning is over; or tasks on Fargate Spot
    #[command(override_usage = concat!(usage!("interrupt"), "\n       cove fleet interrupt [OPTIONS] --task <TASK>"))]
    Interrupt(InterruptArgs),
    /// As if the machines had died: their tasks are lost at once
    #[command(override_usage = usage!("fail"))]
    Fail(Which),
    /// Bring back what is gone
    #[command(override_usage = usage!("recover"))]
    Recover(Which),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// EC2 type, as in m5.large
    #[arg(long = "type", value_name = "TYPE")]
    instance_type: String,
    /// How many [default: 1]
    #[arg(long)]
    count: Option<u32>,
    /// Suffix of the zone [default: a]
    #[arg(long)]
    zone: Option<String>,
    /// Cluster [default: default]
    #[arg(long)]
    cluster: Option<String>,
    /// CPU in 1/1024 of a core [default: the type's]
    #[arg(long)]
    cpu: Option<i64>,
    /// Memory [default: the type's]
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<i64>,
    /// Network interfaces [default: the type's]
    #[arg(long)]
    eni_limit: Option<u32>,
    /// Custom attribute, as in rack=r1, repeatable
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// Spot capacity: may be interrupted
    #[arg(long)]
    spot: bool,
    /// Auto Scaling group that a capacity provider may stand for
    #[arg(long, value_name = "NAME")]
    asg: Option<String>,
    /// How many instances managed scaling lets that group have [default: no more]
    #[arg(long, value_name = "COUNT", requires = "asg")]
    asg_max: Option<u32>,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    #[command(flatten)]
    which: Which,
    /// Stop the tasks that run there
    #[arg(long)]
    force: bool,
}

/// Instances by name, or all of a zone.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// EC2 id, id, ARN, or the first digits
    #[arg(value_name = "INSTANCE")]
    instances: Vec<String>,
    /// Every instance of this zone, as in a
    #[arg(long)]
    zone: Option<String>,
}

/// What is interrupted.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct InterruptArgs {
    /// EC2 id, id, ARN, or the first digits
    #[arg(value_name = "INSTANCE")]
    instances: Vec<String>,
    /// Every instance of this zone, as in a
    #[arg(long)]
    zone: Option<String>,
    /// A task on Fargate Spot: id, ARN, or the first digits; repeatable
    #[arg(long = "task", value_name = "TASK")]
    tasks: Vec<String>,
}

pub(super) async fn run(args: &FleetArgs, client: &Client) -> Result<ExitCode, CliError> {
    let answer = match &args.verb {
        None => client.cove("GET", "/_cove/v1/fleet", None).await?,
        Some(verb) => {
            let (path, body) = request(verb)?;
            client.cove("POST", &format!("/_cove/v1/fleet/{path}"), Some(&body)).await?
        }
    };
    if let Some(tasks) = answer["tasks"].as_array() {
        if args.json {
            say(&answer["tasks"].to_string());
        } else {
            table::print(
                &["TASK"],
                tasks.iter().map(|arn| vec![arn.as_str().unwrap_or_default().to_owned()]).collect(),
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let listed = answer["instances"].as_array().cloned().unwrap_or_default();
    let is_hidden = |one: &Value| !args.all && args.verb.is_none() && text(one, "status") == "INACTIVE";
    let (hidden, shown): (Vec<Value>, Vec<Value>) = listed.into_iter().partition(is_hidden);
    if args.json {
        say(&Value::from(shown).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let heading = ["INSTANCE", "TYPE", "ZONE", "CLUSTER", "STATUS", "CPU FREE", "MIB FREE", "ENIS", "TASKS", "FROM"];
    table::print(&heading, shown.iter().map(row).collect());
    let missing = hidden.iter().filter(|one| one["terminated"] != true).count();
    if missing > 0 {
        let hidden = counted(missing, "instance");
        say_error(&format!(
            "{hidden} more failed or left: `cove fleet --all` shows them, `cove fleet recover` brings them back"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn request(verb: &FleetVerb) -> Result<(&'static str, Value), CliError> {
    Ok(match verb {
        FleetVerb::Add(args) => ("add", machine(args)?),
        FleetVerb::Remove(args) => {
            let mut body = selection(&args.which);
            body["force"] = args.force.into();
            ("remove", body)
        }
        FleetVerb::Drain(which) => ("drain", selection(which)),
        FleetVerb::Activate(which) => ("activate", selection(which)),
        FleetVerb::Interrupt(args) => {
            ("interrupt", json!({"instances": args.instances, "zone": args.zone, "tasks": args.tasks}))
        }
        FleetVerb::Fail(which) => ("fail", selection(which)),
        FleetVerb::Recover(which) => ("recover", selection(which)),
    })
}

fn selection(which: &Which) -> Value {
    json!({"instances": which.instances, "zone": which.zone})
}

fn machine(args: &AddArgs) -> Result<Value, CliError> {
    let mut attributes = serde_json::Map::new();
    for given in &args.attributes {
        let bad = || CliError::Usage(format!("attribute `{given}` is not NAME=VALUE"));
        let (name, value) = given.split_once('=').ok_or_else(bad)?;
        attributes.insert(name.to_owned(), value.into());
    }
    Ok(json!({
        "type": args.instance_type,
        "count": args.count,
        "zone": args.zone,
        "cluster": args.cluster,
        "cpu": args.cpu,
        "memory_mib": args.memory_mib,
        "eni_limit": args.eni_limit,
        "attributes": attributes,
        "capacity": if args.spot { "spot" } else { "on-demand" },
        "asg": args.asg,
        "asg_max": args.asg_max,
    }))
}

fn row(one: &Value) -> Vec<String> {
    let free = |of: &Value| format!("{}/{}", of["free"], of["total"]);
    let interfaces = &one["taskInterfaces"];
    let limit = interfaces["limit"].as_u64().map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    let origin = match one["managedBy"].as_str() {
        Some(provider) => format!("managed by {provider}"),
        None => text(one, "origin").to_owned(),
    };
    let from = match text(one, "capacity") {
        "spot" => format!("{origin}, spot"),
        _ => origin,
    };
    let status = match one["leavesAt"].as_str() {
        Some(at) => format!("{} until {at}", text(one, "status")),
        None => text(one, "status").to_owned(),
    };
    vec![
        text(one, "ec2InstanceId").to_owned(),
        text(one, "type").to_owned(),
        text(one, "zone").to_owned(),
        text(one, "cluster").to_owned(),
        status,
        free(&one["cpu"]),
        free(&one["memoryMib"]),
        format!("{}/{limit}", interfaces["used"]),
        one["tasks"].to_string(),
        from,
    ]
}
