//! `cove demo`: a server if none runs, a service of two tasks of a sample web application, a look at them, and how to go
//! on. Run again, it deploys the service anew.
//!
//! Everything goes over the AWS API as any client would do it; only the image comes from the binary itself, so that no
//! network is needed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use serde_json::{Value, json};

use super::client::{Client, ECS, LOGS, text};
use super::error::CliError;
use super::{Target, say, tasks};

const NAME: &str = "cove-demo";
const LOG_GROUP: &str = "/cove/demo";
const APP_PORT: u16 = 8080;
const TASKS: usize = 2;
/// A server is up in milliseconds and a task in tens of them; a slow host may take its time.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The run directory, for the server that is started if none runs
    #[arg(long, env = "COVE_RUN_DIR")]
    run_dir: Option<std::path::PathBuf>,
    /// The node name, for the server that is started if none runs
    #[arg(long, env = "COVE_NODE")]
    node: Option<String>,
}

pub(super) async fn run(args: &DemoArgs, target: &Target) -> Result<ExitCode, CliError> {
    let client = Client::new(target)?;
    if get(&client, "/_cove/health").await.is_err() {
        start_server(args, target, &client).await?;
    } else {
        say(&format!("a server answers on {}", client.url()));
    }
    // The key of a server that was only just started for the first time.
    let client = Client::new(target)?;
    let image = client.cove("POST", "/_cove/v1/images/builtin", Some(&json!({"name": NAME}))).await?;
    let image = text(&image, "image").to_owned();
    say(&format!("image       {image} (made from this binary)"));
    let definition = register(&client, &image).await?;
    let began = Instant::now();
    let deployment = deploy(&client, &definition).await?;
    let running = wait_running(&client, &deployment).await?;
    say(&format!("running     {TASKS} tasks after {} ms", began.elapsed().as_millis()));
    for task in &running {
        look_at(&client, task).await?;
    }
    wait_replaced(&client).await?;
    next_steps(&client, &running);
    Ok(ExitCode::SUCCESS)
}

async fn start_server(args: &DemoArgs, target: &Target, client: &Client) -> Result<(), CliError> {
    let spawn = |source| CliError::Spawn { what: "cove serve".to_owned(), source };
    let log_path = std::env::temp_dir().join(format!("cove-demo-{}.log", std::process::id()));
    let log = File::create(&log_path).map_err(spawn)?;
    let mut command = Command::new(std::env::current_exe().map_err(spawn)?);
    command.args(["serve", "--dev", "--listen", &client.authority]).arg("--data-dir").arg(&target.data_dir);
    if let Some(run_dir) = &args.run_dir {
        command.arg("--run-dir").arg(run_dir);
    }
    if let Some(node) = &args.node {
        command.arg("--node").arg(node);
    }
    // A process group of its own: the server stays when the terminal's group gets its interrupt.
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(spawn)?).stderr(log).process_group(0);
    let mut server = command.spawn().map_err(spawn)?;
    let deadline = Instant::now() + PATIENCE;
    while get(client, "/_cove/health").await.is_err() {
        if let Some(status) = server.try_wait().map_err(spawn)? {
            let why = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last = why.lines().last().unwrap_or_default();
            return Err(CliError::Failed(format!("the server ended with {status}: {last}")));
        }
        if Instant::now() > deadline {
            return Err(CliError::Failed(format!("the server does not answer; see {}", log_path.display())));
        }
        tokio::time::sleep(POLL).await;
    }
    say(&format!("server      started on {} (pid {}, log {})", client.url(), server.id(), log_path.display()));
    Ok(())
}

/// The definition's ARN.
async fn register(client: &Client, image: &str) -> Result<String, CliError> {
    match client.aws(LOGS, "CreateLogGroup", &json!({"logGroupName": LOG_GROUP})).await {
        Err(CliError::Aws { code, .. }) if code == "ResourceAlreadyExistsException" => {}
        other => drop(other?),
    }
    let definition = json!({
        "family": NAME,
        "networkMode": "bridge",
        "containerDefinitions": [{
            "name": "web",
            "image": image,
            "cpu": 64,
            "memory": 64,
            "command": ["demo-app", "--port", APP_PORT.to_string()],
            "portMappings": [{"containerPort": APP_PORT}],
            // PID 1 ignores SIGTERM unless it handles it; an init of Cove's passes it on.
            "linuxParameters": {"initProcessEnabled": true},
            "logConfiguration": {"logDriver": "awslogs", "options": {
                "awslogs-group": LOG_GROUP, "awslogs-region": client.region, "awslogs-stream-prefix": "demo",
            }},
        }],
    });
    let answer = client.aws(ECS, "RegisterTaskDefinition", &definition).await?;
    let arn = text(&answer["taskDefinition"], "taskDefinitionArn");
    say(&format!("definition  {arn}"));
    Ok(arn.to_owned())
}

/// Makes the service, or brings the one of an earlier demo to this definition; the id of the deployment.
async fn deploy(client: &Client, definition: &str) -> Result<String, CliError> {
    let described = client.aws(ECS, "DescribeServices", &json!({"services": [NAME]})).await?;
    let is_there = text(&described["services"][0], "status") == "ACTIVE";
    let (operation, input) = if is_there {
        let input = json!({"service": NAME, "taskDefinition": definition, "desiredCount": TASKS});
        ("UpdateService", input)
    } else {
        let input = json!({"serviceName": NAME, "taskDefinition": definition, "desiredCount": TASKS});
        ("CreateService", input)
    };
    let answer = client.aws(ECS, operation, &input).await?;
    let service = &answer["service"];
    let how = if is_there { "deployed anew" } else { "made" };
    say(&format!("service     {} ({how})", text(service, "serviceArn")));
    Ok(text(&service["deployments"][0], "id").to_owned())
}

/// The tasks of the deployment, once all of them run.
async fn wait_running(client: &Client, deployment: &str) -> Result<Vec<Value>, CliError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let arns = client.list(ECS, "ListTasks", &json!({"startedBy": deployment}), "taskArns").await?;
        let found = if arns.is_empty() {
            Value::Null
        } else {
            client.aws(ECS, "DescribeTasks", &json!({"tasks": arns})).await?
        };
        let found = found["tasks"].as_array().cloned().unwrap_or_default();
        if found.len() == TASKS && found.iter().all(|task| text(task, "lastStatus") == "RUNNING") {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(CliError::Failed(why_not(client).await));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Lets the tasks of an earlier demo leave. Where AWS's forty seconds apply to healthy tasks, they leave later.
async fn wait_replaced(client: &Client) -> Result<(), CliError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = client.aws(ECS, "DescribeServices", &json!({"services": [NAME]})).await?;
        let service = &answer["services"][0];
        let alone = service["deployments"].as_array().is_some_and(|all| all.len() == 1);
        if alone && service["runningCount"] == TASKS || Instant::now() > deadline {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What the service itself says last.
async fn why_not(client: &Client) -> String {
    let stopped = json!({"serviceName": NAME, "desiredStatus": "STOPPED"});
    let arns = client.list(ECS, "ListTasks", &stopped, "taskArns").await.unwrap_or_default();
    let of_task = match arns.first() {
        Some(arn) => client.aws(ECS, "DescribeTasks", &json!({"tasks": [arn]})).await.unwrap_or_default(),
        None => Value::Null,
    };
    let stopped = &of_task["tasks"][0];
    let reason = format!("{} {}", text(stopped, "stoppedReason"), text(&stopped["containers"][0], "reason"));
    format!("the tasks do not run yet: {}; `cove explain {NAME}` says more", reason.trim())
}

/// Calls the application on its host port.
async fn look_at(client: &Client, task: &Value) -> Result<(), CliError> {
    let port = task["containers"][0]["networkBindings"][0]["hostPort"].as_u64().unwrap_or_default();
    let mut there = client.clone();
    there.authority = format!("127.0.0.1:{port}");
    let deadline = Instant::now() + PATIENCE;
    let said = loop {
        match get(&there, "/").await {
            Ok(said) => break said,
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    };
    say(&format!("GET {}/  ->  {}", there.url(), said.trim_end()));
    Ok(())
}

fn next_steps(client: &Client, running: &[Value]) {
    let id = running.first().map(|task| tasks::id_of(text(task, "taskArn"))).unwrap_or_default();
    let short = id.get(..12).unwrap_or(id);
    say("");
    say("how to go on:");
    say("  eval \"$(cove env)\"                # then aws ecs …, boto3, Terraform as usual");
    say("  cove ps                           # the tasks");
    say(&format!("  cove explain {NAME}            # how the service is"));
    say(&format!("  cove logs -f {short}         # what one of them writes"));
    say(&format!("  cove exec {short} /cove --version"));
    say(&format!("  aws ecs delete-service --service {NAME} --force    # or it comes back with the server"));
    say("  cove down                         # stop the tasks and the server, leave nothing behind");
    if client.authority != "127.0.0.1:4566" {
        say(&format!("  (with --endpoint {} or AWS_ENDPOINT_URL set to it)", client.url()));
    }
}

/// An unsigned GET; the body as text when it succeeds.
async fn get(client: &Client, path: &str) -> Result<String, CliError> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed();
    let request = Request::get(path)
        .header("host", &client.authority)
        .body(body)
        .map_err(|_| CliError::Endpoint(client.url()))?;
    let response = client.send(request).await?;
    let status = response.status();
    let body = String::from_utf8_lossy(&client.collect(response).await?).into_owned();
    if status.is_success() {
        return Ok(body);
    }
    Err(CliError::Status { what: path.to_owned(), status: status.as_u16(), body })
}
