//! `cove exec TASK COMMAND`: a command in a running container, without a terminal.
//!
//! Frames both ways after the upgrade: one byte stream (0 stdin, 1 stdout, 2 stderr, 3 exit code), a big-endian `u32`
//! length, the bytes. An empty stdin frame is end of input.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::{Client, text};
use super::error::CliError;
use super::tasks;

/// The longest frame that we take, in bytes; the server sends smaller ones.
const FRAME_MAX: usize = 1 << 20;
/// Read from the terminal at a time, in bytes.
const STDIN_CHUNK: usize = 32 << 10;
/// Chunks that wait for the connection.
const STDIN_QUEUE: usize = 4;
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// Task: ARN, id or the first digits of an id
    task: String,
    /// Container, when the task has several
    #[arg(long, short)]
    container: Option<String>,
    /// User, as in a task definition
    #[arg(long, short)]
    user: Option<String>,
    /// Working directory
    #[arg(long, short)]
    workdir: Option<String>,
    /// NAME=value, once for each
    #[arg(long, short)]
    env: Vec<String>,
    /// Command and arguments; what follows is no option of ours
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<String>,
}

/// Exits with the command's own exit code.
pub(super) async fn run(args: &ExecArgs, client: &Client) -> Result<ExitCode, CliError> {
    let task = tasks::find(client, &args.task).await?;
    let container = tasks::container(&task, args.container.as_deref())?;
    let header = json!({
        "task": text(&task, "taskArn"),
        "container": text(container, "name"),
        "args": args.command,
        "env": args.env,
        "user": args.user,
        "cwd": args.workdir,
    });
    let stream = client.upgrade("/_cove/v1/exec", "cove-exec", &header).await?;
    let (mut from, mut to) = tokio::io::split(stream);
    let input = tokio::spawn(async move { forward_stdin(&mut to).await });
    let code = read_frames(&mut from).await;
    input.abort();
    code
}

/// Reads the terminal in a thread of its own, because such a read cannot be cancelled.
async fn forward_stdin(to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    let (sender, mut chunks) = tokio::sync::mpsc::channel::<Vec<u8>>(STDIN_QUEUE);
    std::thread::spawn(move || {
        let mut buffer = vec![0; STDIN_CHUNK];
        while let Ok(count) = io::stdin().read(&mut buffer) {
            if count == 0 || sender.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    while let Some(chunk) = chunks.recv().await {
        send_stdin(to, &chunk).await?;
    }
    send_stdin(to, &[]).await
}

async fn send_stdin(to: &mut (impl AsyncWriteExt + Unpin), chunk: &[u8]) -> io::Result<()> {
    to.write_u8(STDIN).await?;
    to.write_u32(u32::try_from(chunk.len()).unwrap_or(0)).await?;
    to.write_all(chunk).await?;
    to.flush().await
}

async fn read_frames(from: &mut (impl AsyncReadExt + Unpin)) -> Result<ExitCode, CliError> {
    let answer = || CliError::Answer { what: "exec".to_owned() };
    let ended = |_| CliError::Failed("the connection ended before the command did".to_owned());
    loop {
        let kind = from.read_u8().await.map_err(ended)?;
        let length = from.read_u32().await.map_err(ended)? as usize;
        if length > FRAME_MAX {
            return Err(answer());
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).await.map_err(ended)?;
        match kind {
            STDOUT => write(&mut io::stdout(), &bytes)?,
            STDERR => write(&mut io::stderr(), &bytes)?,
            EXIT => {
                let code = <[u8; 4]>::try_from(bytes).map(i32::from_be_bytes).map_err(|_| answer())?;
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            _ => return Err(answer()),
        }
    }
}

fn write(out: &mut impl Write, bytes: &[u8]) -> Result<(), CliError> {
    out.write_all(bytes).and_then(|()| out.flush()).map_err(CliError::Terminal)
}
