//! What these endpoints need of the agent. The API and the agent do not know each other: the server wires them.

use std::fs::File;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;

use cove_model::arn::Tenant;
use cove_model::fault::{FaultAct, FaultState, NetworkFault};
use serde::Deserialize;
use serde_json::Value;

use crate::metadata::Sample;

/// An answer that takes a while.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A command for a running container, as the client sends it.
#[derive(Debug, Clone, Deserialize)]
pub struct ExecRequest {
    /// The task's ARN or id.
    pub task: String,
    pub container: String,
    pub args: Vec<String>,
    /// `NAME=value`, beside the container's own.
    #[serde(default)]
    pub env: Vec<String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub cwd: Option<String>,
}

/// A command that runs. Dropping `exit` kills it.
pub struct ExecSession {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// Its exit code, or why it has none.
    pub exit: PortFuture<'static, Result<i32, String>>,
}

/// A command that runs on a terminal. Dropping `exit` kills it.
pub struct TerminalSession {
    /// What is typed goes in, what the command says comes out. Does not block.
    pub keyboard: File,
    /// Tells the command how large its terminal is: columns, rows.
    pub resize: Box<dyn Fn(u16, u16) + Send + Sync>,
    /// Its exit code, or why it has none.
    pub exit: PortFuture<'static, Result<i32, String>>,
}

/// Something about the host that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub text: String,
}

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Good,
    Note,
    Bad,
}

impl Level {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

/// The agent, seen from here.
pub trait ExecPort: Send + Sync {
    /// Starts a command.
    fn exec(&self, tenant: Tenant, request: ExecRequest) -> PortFuture<'_, Result<ExecSession, String>>;
    /// Starts a command on a terminal.
    fn terminal(&self, tenant: Tenant, request: ExecRequest) -> PortFuture<'_, Result<TerminalSession, String>>;
    /// What [`ExecPort::down`] would wait for, as a sentence for people; `None` where no task lives.
    fn stopping(&self) -> Option<String>;
    /// Stops every task and removes everything of the node; how many tasks. The server ends after that.
    fn down(&self) -> PortFuture<'_, Result<usize, String>>;
    /// What is wrong with this host.
    fn findings(&self) -> PortFuture<'_, Vec<Finding>>;
    /// Makes sure that a repository of that name holds the image of the binary itself; its reference.
    fn builtin_image(&self, tenant: Tenant, name: String) -> PortFuture<'_, Result<String, String>>;
    /// Starts, stops or looks at a fault in the network of a task that has one of its own.
    fn fault(&self, task_id: String, act: FaultAct, fault: NetworkFault) -> PortFuture<'_, Result<FaultState, String>>;
    /// A tenant's shared Docker volumes: `name`, `bytes` (nothing where they cannot be told) and `tasks`.
    fn shared_volumes(&self, tenant: Tenant) -> PortFuture<'_, Result<Vec<Value>, String>>;
    /// Removes one that no live task has.
    fn remove_shared_volume(&self, tenant: Tenant, name: String) -> PortFuture<'_, Result<(), String>>;
    /// What a container uses: an earlier sample and one of now.
    fn sample(&self, task_id: &str, container: &str) -> Option<(Sample, Sample)>;
    /// Where state is kept.
    fn data_dir(&self) -> &Path;
}
