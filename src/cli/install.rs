//! `cove install`: the binary, a systemd unit and a config file, each where a host expects it, and the service running.
//!
//! ```text
//! binary ▸ unit ▸ config (only if there is none) ▸ daemon-reload ▸ enable ▸ start, or restart if something changed
//! ```
//!
//! Holds: every file appears whole under its name or not at all; a second run changes only what differs, so installing
//! a newer binary is the upgrade. Containers go on through all of it. `--uninstall` keeps the data and the config.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;

use super::error::CliError;
use super::{DEFAULT_DATA_DIR, say};

const UNIT: &str = "cove.service";
const UNIT_PATH: &str = "/etc/systemd/system/cove.service";
const UNIT_TEXT: &str = include_str!("../../config/cove.service");
const CONFIG_PATH: &str = "/etc/cove/cove.toml";
const CONFIG_TEXT: &str = include_str!("../../config/cove.toml");
/// Where the unit's text says that the binary is.
const USUAL_BINARY: &str = "/usr/local/bin/cove";
/// There when systemd runs this machine: sd_booted(3).
const BOOTED: &str = "/run/systemd/system";

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// The binary goes to PREFIX/bin
    #[arg(long, default_value = "/usr/local")]
    prefix: PathBuf,
    /// Stop the tasks and the service, remove binary and unit; data and config stay
    #[arg(long)]
    uninstall: bool,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    New,
    Replaced,
    Same,
}

pub(super) fn run(args: &InstallArgs) -> Result<ExitCode, CliError> {
    let verb = if args.uninstall { "--uninstall" } else { "" };
    if !fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        return Err(CliError::Failed(format!("a service is installed by root: try `sudo cove install {verb}`")));
    }
    if !Path::new(BOOTED).exists() {
        let why =
            "systemd does not run this machine, so there is no service to install: start `cove serve` by what does";
        return Err(CliError::Failed(why.to_owned()));
    }
    if !args.prefix.is_absolute() || args.prefix.to_string_lossy().contains(char::is_whitespace) {
        return Err(CliError::Usage("--prefix must be an absolute path without spaces".to_owned()));
    }
    let binary = args.prefix.join("bin/cove");
    if args.uninstall { uninstall(&binary) } else { install(&binary) }
}

fn install(binary: &Path) -> Result<ExitCode, CliError> {
    let program = Path::new("/proc/self/exe");
    let content = fs::read(program).map_err(|source| CliError::Read { path: program.to_owned(), source })?;
    let changed = [
        put(binary, &content, 0o755)?,
        put(Path::new(UNIT_PATH), unit(binary).as_bytes(), 0o644)?,
        if Path::new(CONFIG_PATH).exists() {
            say(&format!("kept       {CONFIG_PATH}"));
            Became::Same
        } else {
            put(Path::new(CONFIG_PATH), CONFIG_TEXT.as_bytes(), 0o644)?
        },
    ]
    .iter()
    .any(|became| *became != Became::Same);
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--quiet", UNIT])?;
    let verb = match (is_active(), changed) {
        (true, false) => {
            say(&format!("running    {UNIT}, as before"));
            return Ok(ExitCode::SUCCESS);
        }
        (true, true) => "restart",
        (false, _) => "start",
    };
    // Both return when the server says that it is ready.
    systemctl(&[verb, UNIT]).map_err(|error| {
        let why = cove_base::error::chain(&error);
        CliError::Failed(format!("{why}; `journalctl -u cove -n 20` says what the server said"))
    })?;
    say(&format!("{verb}ed{}  {UNIT}, at every boot from now on; containers are left alone", pad(verb)));
    say("go on with: eval \"$(cove env)\"; cove doctor; journalctl -fu cove");
    Ok(ExitCode::SUCCESS)
}

fn pad(verb: &str) -> &'static str {
    if verb == "start" { "  " } else { "" }
}

/// Everything of the service in the kernel goes; the data stays for the next installation.
fn uninstall(binary: &Path) -> Result<ExitCode, CliError> {
    let mut failures = Vec::new();
    let mut note = |result: Result<(), CliError>| {
        if let Err(error) = result {
            failures.push(cove_base::error::chain(&error));
        }
    };
    if Path::new(UNIT_PATH).exists() {
        note(systemctl(&["disable", "--quiet", "--now", UNIT]));
        // What the service would use, its config says.
        note(take_down());
        note(remove(Path::new(UNIT_PATH)));
        note(systemctl(&["daemon-reload"]));
    }
    note(remove(binary));
    say(&format!("kept       {DEFAULT_DATA_DIR} and {CONFIG_PATH}"));
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(CliError::Failed(failures.join("; "))) }
}

fn take_down() -> Result<(), CliError> {
    let spawn = |source| CliError::Spawn { what: "cove serve --down".to_owned(), source };
    let program = std::env::current_exe().map_err(spawn)?;
    let status = Command::new(program).args(["serve", "--down"]).stderr(Stdio::null()).status().map_err(spawn)?;
    if status.success() {
        say("stopped    tasks and service");
        return Ok(());
    }
    Err(CliError::Failed(format!("`cove serve --down` ended with {status}: what it left is still there")))
}

fn remove(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Ok(()) => say(&format!("removed    {}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(CliError::Write { path: path.to_owned(), source }),
    }
    Ok(())
}

/// The shipped unit, for a binary at this place.
fn unit(binary: &Path) -> String {
    UNIT_TEXT.replace(USUAL_BINARY, &binary.to_string_lossy())
}

/// Puts a file in place under a name that shows either the old or the new content. A program that runs keeps its own.
fn put(path: &Path, content: &[u8], mode: u32) -> Result<Became, CliError> {
    let became = place(path, content, mode).map_err(|source| CliError::Write { path: path.to_owned(), source })?;
    let word = match became {
        Became::New => "installed",
        Became::Replaced => "replaced",
        Became::Same => "up to date",
    };
    say(&format!("{word:10} {}", path.display()));
    Ok(became)
}

fn place(path: &Path, content: &[u8], mode: u32) -> io::Result<Became> {
    let became = match fs::read(path) {
        Ok(old) if old == content => return Ok(Became::Same),
        Ok(_) => Became::Replaced,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Became::New,
        Err(error) => return Err(error),
    };
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(directory)?;
    let partial = directory.join(format!(".{}.{}", path.file_name().unwrap_or_default().display(), std::process::id()));
    let written = (|| {
        let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&partial);
    }
    written.map(|()| became)
}

fn is_active() -> bool {
    let asked = Command::new("systemctl").args(["is-active", "--quiet", UNIT]).status();
    asked.is_ok_and(|status| status.success())
}

fn systemctl(words: &[&str]) -> Result<(), CliError> {
    let what = format!("systemctl {}", words.join(" "));
    let done = Command::new("systemctl").args(words).stdin(Stdio::null()).output();
    let done = done.map_err(|source| CliError::Spawn { what: what.clone(), source })?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let first = said.lines().next().unwrap_or("it did not say why").to_owned();
    Err(CliError::Failed(format!("`{what}` failed: {first}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_placed_whole_replaced_when_it_differs_and_else_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("bin/cove");
        assert_eq!(place(&path, b"one", 0o755).unwrap(), Became::New);
        let mut running = File::open(&path).unwrap();
        let before = fs::metadata(&path).unwrap();
        assert_eq!(before.permissions().mode() & 0o777, 0o755);
        assert_eq!(place(&path, b"one", 0o755).unwrap(), Became::Same);
        assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
        assert_eq!(place(&path, b"two", 0o755).unwrap(), Became::Replaced);
        let mut kept = String::new();
        io::Read::read_to_string(&mut running, &mut kept).unwrap();
        assert_eq!((kept.as_str(), fs::read(&path).unwrap().as_slice()), ("one", b"two".as_slice()));
        assert_eq!(fs::read_dir(home.path().join("bin")).unwrap().count(), 1);
    }

    #[test]
    fn the_unit_starts_the_binary_where_it_was_put() {
        assert_eq!(unit(Path::new(USUAL_BINARY)), UNIT_TEXT);
        let moved = unit(Path::new("/opt/cove/bin/cove"));
        assert!(moved.contains("\nExecStart=/opt/cove/bin/cove serve\n") && !moved.contains(USUAL_BINARY), "{moved}");
    }
}
