//! `cove fsck`: checks a data directory that no server uses, and repairs it on request.

use std::process::ExitCode;

use clap::Args;
use cove_base::Clock;
use cove_base::paths::DataDir;
use cove_base::words::counted;
use cove_store::{Finding, Mode, Remedy, Report, fsck};
use serde_json::{Value, json};

use super::error::CliError;
use super::{Target, say};

#[derive(Debug, Args)]
pub(super) struct FsckArgs {
    /// Repair what can be repaired; what is taken out goes to `set-aside/` in the data directory
    #[arg(long)]
    repair: bool,
    /// Every finding, also where all of them say that the images are gone
    #[arg(long)]
    details: bool,
    /// The findings as one JSON document
    #[arg(long)]
    json: bool,
}

/// Fails while something is wrong.
pub(super) fn run(args: &FsckArgs, target: &Target) -> Result<ExitCode, CliError> {
    let mode = if args.repair { Mode::Repair } else { Mode::Look };
    let report = fsck(&DataDir::new(&target.data_dir), mode, Clock::system().now())?;
    if args.json {
        say(&as_json(&report).to_string());
    } else {
        print(args, &report);
    }
    Ok(if report.is_bad() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is found where a blob is missing.
const OF_MISSING_BLOBS: [&str; 4] = ["blob-missing", "image-broken", "link-broken", "pulled-broken"];

fn print(args: &FsckArgs, report: &Report) {
    let without_images = !args.details && has_no_images(report);
    for finding in &report.findings {
        if without_images && OF_MISSING_BLOBS.contains(&finding.code) {
            continue;
        }
        say(&format!("{}: {}", finding.code, finding.text));
        say(&match finding.remedy {
            Remedy::Possible(what) => format!("    --repair would {what}"),
            Remedy::Done(what) => format!("    repaired: {what}"),
            Remedy::Person(how) => format!("    not to be repaired here: {how}"),
        });
    }
    let Report { records, documents, blobs, findings } = report;
    if without_images {
        say(&format!(
            "blob-missing: none of the {blobs} blobs of images is there, as after a restore of a backup that was made \
             without --with-images: push the images again (--details lists them)"
        ));
    }
    let found = if findings.is_empty() { "nothing wrong".to_owned() } else { counted(findings.len(), "finding") };
    say(&format!("{records} records, {documents} documents, {blobs} blobs: {found}"));
}

/// Whether no blob is there that a record names. One of many would be a loss to look at; all of them were not restored.
fn has_no_images(report: &Report) -> bool {
    let missing = report.findings.iter().filter(|finding| finding.code == OF_MISSING_BLOBS[0]).count();
    missing > 0 && u64::try_from(missing) == Ok(report.blobs)
}

fn as_json(report: &Report) -> Value {
    let list = |finding: &Finding| {
        let (state, remedy) = match finding.remedy {
            Remedy::Possible(what) => ("repairable", what),
            Remedy::Done(what) => ("repaired", what),
            Remedy::Person(how) => ("unrepairable", how),
        };
        json!({"code": finding.code, "text": finding.text, "state": state, "remedy": remedy})
    };
    json!({
        "records": report.records,
        "documents": report.documents,
        "blobs": report.blobs,
        "findings": report.findings.iter().map(list).collect::<Vec<_>>(),
    })
}
