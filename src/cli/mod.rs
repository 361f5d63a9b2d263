//! `cove <verb>`: the command line for people. A plain HTTP client of the server, like any other.
//!
//! In: arguments, and the same environment variables that the AWS CLI reads. Out: readable tables, or with `--json` the
//! server's own JSON. Exit codes: 0; 1 failure with one line why; 64 bad usage.
//!
//! Deliberately absent: a second way into the server. What a verb can do, a client can do over HTTP. Only what cares for
//! a data directory at rest (`backup` without a server, `restore`, `fsck`) opens the store, under the server's lock.

mod backup;
mod client;
mod demo;
mod demo_app;
mod doctor;
mod down;
mod env;
mod error;
mod events;
mod exec;
mod explain;
mod fleet;
mod follow;
mod fsck;
mod image;
mod install;
mod logs;
mod ops;
mod ps;
mod restore;
mod scan;
mod scan_import;
mod scrub;
mod sign;
mod table;
mod tasks;
mod volume;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use client::Client;
use error::CliError;

/// The port that LocalStack's tools use, too.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4566";
/// The data directory whose root key is used when no key is given.
const DEFAULT_DATA_DIR: &str = "/var/lib/cove";

/// Under which the options stand that all verbs have, apart from a verb's own.
const HEADING: &str = "Which server, and as whom";

/// A mini-cloud in one binary: ECS, ECR and the services around them, with containers that really run.
#[derive(Debug, Parser)]
#[command(name = "cove", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Verb,
}

/// Which server, and as whom.
#[derive(Debug, Clone, Args)]
struct Target {
    /// The server's address
    #[arg(long, global = true, help_heading = HEADING, env = "AWS_ENDPOINT_URL", default_value = DEFAULT_ENDPOINT)]
    endpoint: String,
    /// Region of the things to show
    #[arg(long, global = true, help_heading = HEADING, env = "AWS_DEFAULT_REGION", default_value = "us-east-1")]
    region: String,
    /// Key id; without one the root key in the data directory is used, if it can be read
    #[arg(long, global = true, help_heading = HEADING, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    access_key_id: Option<String>,
    #[arg(long, global = true, env = "AWS_SECRET_ACCESS_KEY", hide = true, hide_env_values = true)]
    secret_access_key: Option<String>,
    /// Where the server keeps its state
    #[arg(long, global = true, help_heading = HEADING, env = "COVE_DATA_DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server (see `cove serve --help`)
    Serve,
    /// Print shell exports that point AWS tools at the server
    Env(env::EnvArgs),
    /// Run a sample web application and show how to go on
    Demo(demo::DemoArgs),
    /// Install the binary as a systemd service, or upgrade it
    Install(install::InstallArgs),
    /// Say what this host lacks
    Doctor(doctor::DoctorArgs),
    /// List tasks
    Ps(ps::PsArgs),
    /// Show what a task's containers wrote
    Logs(logs::LogsArgs),
    /// Show what happened: tasks, container instances, deployments, services
    Events(events::EventsArgs),
    /// Say why a service, a daemon or a task is not where it should be
    Explain(explain::ExplainArgs),
    /// Run a command in a task's container
    Exec(exec::ExecArgs),
    /// List container instances; add, drain, interrupt and fail them
    Fleet(fleet::FleetArgs),
    /// Push, pull, copy, show and remove images of the registry
    #[command(subcommand)]
    Image(image::ImageVerb),
    /// List and remove shared Docker volumes
    #[command(subcommand)]
    Volume(volume::VolumeVerb),
    /// Scan an image, or import advisories to scan with
    Scan(scan::ScanArgs),
    /// Stop every task and remove everything of the server from the kernel
    Down(down::DownArgs),
    /// Write every record, the keys and, if wanted, the images to one file
    Backup(backup::BackupArgs),
    /// Make a data directory from a backup
    Restore(restore::RestoreArgs),
    /// Say whether the registry's content is whole; read all of it again with --now
    Scrub(scrub::ScrubArgs),
    /// Check a data directory that no server uses, and repair it
    Fsck(fsck::FsckArgs),
    /// List the operations of every service: done, partial or missing
    Ops(ops::OpsArgs),
    /// Print a completion script for a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// The sample application (runs inside the demo's container)
    #[command(hide = true)]
    DemoApp(demo_app::DemoAppArgs),
}

/// Runs one verb. `verb` is the first argument, `args` the rest.
pub(crate) fn run(verb: Option<&str>, args: impl Iterator<Item = String>) -> ExitCode {
    let words = std::iter::once("cove".to_owned()).chain(verb.map(str::to_owned)).chain(args).map(OsString::from);
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            say_error(&cove_base::error::chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Help and version are answers (0); everything else is bad usage (64).
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(64) } else { ExitCode::SUCCESS }
}

fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    let target = cli.target;
    match cli.verb {
        Verb::Serve => Err(CliError::Usage("`serve` is answered before this point".to_owned())),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cove", &mut script);
            // Whoever reads only its head has had enough.
            let _ = std::io::stdout().write_all(&script);
            Ok(ExitCode::SUCCESS)
        }
        Verb::DemoApp(args) => demo_app::run(&args),
        Verb::Ops(args) => ops::run(&args),
        Verb::Backup(args) => block_on(backup::run(&args, &target)),
        Verb::Install(args) => install::run(&args),
        Verb::Fsck(args) => fsck::run(&args, &target),
        Verb::Restore(args) => restore::run(&args, &target),
        Verb::Doctor(args) => block_on(doctor::run(&args, &target)),
        Verb::Down(args) => block_on(down::run(&args, &target)),
        Verb::Demo(args) => block_on(demo::run(&args, &target)),
        Verb::Env(args) => block_on(async { env::run(&args, &Client::new(&target)?).await }),
        Verb::Ps(args) => block_on(async { ps::run(&args, &Client::new(&target)?).await }),
        Verb::Logs(args) => block_on(async { logs::run(&args, &Client::new(&target)?).await }),
        Verb::Events(args) => block_on(async { events::run(&args, &Client::new(&target)?).await }),
        Verb::Explain(args) => block_on(async { explain::run(&args, &Client::new(&target)?).await }),
        Verb::Exec(args) => block_on(async { exec::run(&args, &Client::new(&target)?).await }),
        Verb::Fleet(args) => block_on(async { fleet::run(&args, &Client::new(&target)?).await }),
        Verb::Scrub(args) => block_on(async { scrub::run(&args, &Client::new(&target)?).await }),
        Verb::Scan(args) => block_on(async { scan::run(&args, &Client::new(&target)?).await }),
        Verb::Volume(verb) => block_on(async { volume::run(&verb, &Client::new(&target)?).await }),
        Verb::Image(verb) => block_on(async { image::run(&verb, &Client::new(&target)?).await }),
    }
}

fn block_on(work: impl Future<Output = Result<ExitCode, CliError>>) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    let result = runtime.block_on(work);
    // A read of the terminal may still be blocked in a thread of its own.
    runtime.shutdown_background();
    result
}

/// One line on stdout. A closed pipe (`cove ps | head`) ends quietly.
fn say(line: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// One line on stderr.
fn say_error(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "cove: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_and_every_argument_says_what_it_is() {
        let mut open = vec![Cli::command()];
        while let Some(command) = open.pop() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{}: {}", command.get_name(), argument.get_id());
            }
            open.extend(command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned());
        }
    }
}
