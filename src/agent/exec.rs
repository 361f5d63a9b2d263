//! Runs a command in a running container, over a connection of its own to the task's shim.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cove_base::ids::random_hex;
use cove_model::arn::Tenant;
use cove_model::task::{ContainerState, Task};
use cove_runtime::pty::Pty;
use cove_shim::client::{self, Requests, SPEC_FILE, ShimError};
use cove_shim::protocol::{Event, Request, TaskSpec};
use cove_store::{Prefix, Read};
use tokio::task::JoinHandle;

use crate::agent::AgentHandle;
use crate::deps::Deps;

const SIGKILL: i32 = 9;

/// What to run.
#[derive(Debug, Clone)]
pub struct ExecCommand {
    pub task_id: String,
    pub container: String,
    pub args: Vec<String>,
    /// Added to the container's own.
    pub env: Vec<String>,
    pub user: Option<String>,
    pub cwd: Option<String>,
}

/// A command that runs. Dropping it kills the command.
#[derive(Debug)]
pub struct Execution {
    pub stdin: PipeWriter,
    pub stdout: PipeReader,
    pub stderr: PipeReader,
    pub end: ExecEnd,
}

/// A command that runs on a terminal. Dropping it kills the command.
#[derive(Debug)]
pub struct TerminalExecution {
    /// Does not block.
    pub keyboard: File,
    pub end: ExecEnd,
}

/// The end of a command, to be waited for.
#[derive(Debug)]
pub struct ExecEnd {
    exit: JoinHandle<Result<i32, ExecError>>,
    kill: Option<Kill>,
}

#[derive(Debug)]
struct Kill {
    requests: Requests,
    exec_id: String,
}

/// Why a command did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    #[error("no task `{0}` runs here")]
    NoTask(String),
    #[error("task has no running container `{0}`")]
    NoContainer(String),
    #[error("no command given")]
    NoCommand,
    #[error("make pipes or a terminal for the command")]
    Pipe(#[source] io::Error),
    #[error("reach the task's supervisor")]
    Shim(#[from] ShimError),
    #[error("{0}")]
    Refused(String),
    #[error("the task ended before the command did")]
    Ended,
}

impl AgentHandle {
    /// Starts a command; returns when the kernel has it or refused it.
    ///
    /// # Errors
    /// When there is no such running container, or the command cannot be started.
    pub async fn exec(&self, tenant: &Tenant, command: ExecCommand) -> Result<Execution, ExecError> {
        let pipes = || io::pipe().map_err(ExecError::Pipe);
        let ((their_in, stdin), (stdout, their_out), (stderr, their_err)) = (pipes()?, pipes()?, pipes()?);
        let end = self.start(tenant, command, [their_in.into(), their_out.into(), their_err.into()]).await?;
        Ok(Execution { stdin, stdout, stderr, end })
    }

    /// The same on a pseudo terminal.
    ///
    /// # Errors
    /// As [`Self::exec`].
    pub async fn exec_on_terminal(
        &self,
        tenant: &Tenant,
        command: ExecCommand,
    ) -> Result<TerminalExecution, ExecError> {
        let Pty { keyboard, terminal } = cove_runtime::pty::open().map_err(ExecError::Pipe)?;
        let again = || terminal.try_clone().map_err(ExecError::Pipe);
        let streams = [again()?, again()?, again()?];
        drop(terminal);
        let end = self.start(tenant, command, streams).await?;
        Ok(TerminalExecution { keyboard, end })
    }

    async fn start(&self, tenant: &Tenant, command: ExecCommand, streams: [OwnedFd; 3]) -> Result<ExecEnd, ExecError> {
        let deps = self.deps();
        check(deps, tenant, &command)?;
        let directory = deps.run.task(&command.task_id);
        let mut shim = client::connect(&directory).await?;
        shim.subscribe().await?;
        let exec_id = random_hex(8);
        let request = Request::Exec {
            exec_id: exec_id.clone(),
            env: environment(&directory, &command),
            container: command.container,
            args: command.args,
            user: command.user,
            cwd: command.cwd,
        };
        shim.exec(&request, streams).await?;
        let kill = Kill { requests: shim.requests(), exec_id: exec_id.clone() };
        let exit = tokio::spawn(async move {
            loop {
                match shim.next().await? {
                    Some(Event::ExecExited { exec_id: ended, exit_code }) if ended == exec_id => return Ok(exit_code),
                    Some(Event::Refused { why, .. }) => return Err(ExecError::Refused(why)),
                    Some(
                        Event::ExecExited { .. } | Event::ExecStarted { .. } | Event::State { .. } | Event::Changed(_),
                    ) => {}
                    None => return Err(ExecError::Ended),
                }
            }
        });
        Ok(ExecEnd { exit, kill: Some(kill) })
    }
}

impl ExecEnd {
    /// Waits for the exit code: status, or 128 + signal.
    ///
    /// # Errors
    /// When the command was refused or its task ended first.
    pub async fn wait(&mut self) -> Result<i32, ExecError> {
        let code = (&mut self.exit).await.unwrap_or(Err(ExecError::Ended));
        self.kill = None;
        code
    }
}

impl Drop for ExecEnd {
    fn drop(&mut self) {
        let Some(Kill { requests, exec_id }) = self.kill.take() else { return };
        // The caller went away: nobody reads what the command says any more.
        tokio::spawn(async move { requests.send(&Request::SignalExec { exec_id, signal: SIGKILL }).await });
    }
}

fn check(deps: &Arc<Deps>, tenant: &Tenant, command: &ExecCommand) -> Result<(), ExecError> {
    if command.args.first().is_none_or(String::is_empty) {
        return Err(ExecError::NoCommand);
    }
    let tasks = deps.store.read(|view| view.live::<Task>(&Prefix::tenant(tenant)));
    let task = tasks.iter().find(|task| task.id == command.task_id && !task.placement.elsewhere);
    let task = task.ok_or_else(|| ExecError::NoTask(command.task_id.clone()))?;
    let runs = |state: ContainerState| state == ContainerState::Running;
    let found = task.containers.iter().any(|one| one.name == command.container && runs(one.seen.state));
    if found { Ok(()) } else { Err(ExecError::NoContainer(command.container.clone())) }
}

/// The container's own variables, then those given.
fn environment(directory: &std::path::Path, command: &ExecCommand) -> Vec<String> {
    let spec = std::fs::read(directory.join(SPEC_FILE)).ok();
    let spec = spec.and_then(|bytes| serde_json::from_slice::<TaskSpec>(&bytes).ok());
    let own = spec.and_then(|spec| spec.containers.into_iter().find(|one| one.name == command.container));
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let mut env: Vec<String> = own.map(|one| one.env).unwrap_or_default();
    env.retain(|line| !command.env.iter().any(|given| name(given) == name(line)));
    env.extend(command.env.iter().cloned());
    env
}
