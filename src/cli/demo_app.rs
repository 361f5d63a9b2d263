//! The sample web application of `cove demo`: what runs inside the container, from the image that holds only this binary.
//!
//! One request per connection, one connection at a time, bounded in size and time: enough to be looked at.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::error::CliError;
use super::say;

/// A visitor that says nothing may not keep others waiting longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request that is read, in bytes.
const REQUEST_MAX: u64 = 8 << 10;

#[derive(Debug, Args)]
pub(super) struct DemoAppArgs {
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

pub(super) fn run(args: &DemoAppArgs) -> Result<ExitCode, CliError> {
    let listener = TcpListener::bind(("0.0.0.0", args.port))
        .map_err(|source| CliError::Connect { endpoint: format!("port {}", args.port), source })?;
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    say(&format!("listening on port {}", args.port));
    for (number, visitor) in listener.incoming().enumerate() {
        match visitor.and_then(|stream| answer(&stream, name.trim(), number + 1)) {
            Ok(line) => say(&format!("{line} -> visit {}", number + 1)),
            Err(error) => say(&format!("a visitor went away: {error}")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a request, answers it, gives its first line.
fn answer(stream: &TcpStream, name: &str, visit: usize) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(REQUEST_MAX)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let body = format!("Hello from {name}, a container of Cove. Visit {visit}.\n");
    let mut out = stream;
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(first.chars().filter(|c| !c.is_control()).collect())
}
