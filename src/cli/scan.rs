//! `cove scan IMAGE`: by way of the ECR API as any client would, and an endpoint of Cove's own.
//!
//! Exit code 1 when the scan failed: no findings and no scan are not the same.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::{Client, ECR, text};
use super::error::CliError;
use super::image::named;
use super::{say, scan_import, table};

/// Between two looks at a scan that runs.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ScanArgs {
    /// REPOSITORY[:TAG] or REPOSITORY@DIGEST of the own registry
    #[arg(required = true)]
    image: Option<String>,
    /// Findings as a table or as DescribeImageScanFindings shows them, or the inventory as a document
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(subcommand)]
    verb: Option<ScanVerb>,
}

#[derive(Debug, Subcommand)]
enum ScanVerb {
    /// Import OSV records (archives, directories or files) for the built-in scanner
    Import {
        /// As OSV publishes them
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Spdx,
    Cyclonedx,
}

pub(super) async fn run(args: &ScanArgs, client: &Client) -> Result<ExitCode, CliError> {
    if let Some(ScanVerb::Import { sources }) = &args.verb {
        return scan_import::run(sources, client).await;
    }
    let image = args.image.as_deref().unwrap_or_default();
    let (repository, id) = match image.split_once('@') {
        Some((repository, digest)) => (repository.to_owned(), json!({"imageDigest": digest})),
        None => {
            let (repository, tag) = named(image)?;
            (repository, json!({"imageTag": tag}))
        }
    };
    let format = match args.format {
        Format::Table | Format::Json => return findings(args, client, &repository, &id).await,
        Format::Spdx => "spdx",
        Format::Cyclonedx => "cyclonedx",
    };
    let reference = id["imageDigest"].as_str().or(id["imageTag"].as_str()).unwrap_or_default();
    let input = json!({"repository": repository, "reference": reference, "format": format});
    say(&client.cove("POST", "/_cove/v1/scan/sbom", Some(&input)).await?.to_string());
    Ok(ExitCode::SUCCESS)
}

async fn findings(args: &ScanArgs, client: &Client, repository: &str, id: &Value) -> Result<ExitCode, CliError> {
    let input = json!({"repositoryName": repository, "imageId": id});
    match client.aws(ECR, "StartImageScan", &input).await {
        // Scanned not long ago, or as the registry's rules say: what is known is shown.
        Err(CliError::Aws { code, .. })
            if ["LimitExceededException", "ValidationException"].contains(&code.as_str()) => {}
        started => drop(started?),
    }
    let shown = loop {
        let shown = client.aws(ECR, "DescribeImageScanFindings", &input).await?;
        if !["IN_PROGRESS", "PENDING"].contains(&text(&shown["imageScanStatus"], "status")) {
            break shown;
        }
        tokio::time::sleep(LOOK).await;
    };
    let status = &shown["imageScanStatus"];
    let is_good = ["COMPLETE", "ACTIVE"].contains(&text(status, "status"));
    if !is_good {
        return Err(CliError::Failed(format!("{}: {}", text(status, "status"), text(status, "description"))));
    }
    let mut all = Vec::new();
    let mut page = shown.clone();
    loop {
        for name in ["findings", "enhancedFindings"] {
            all.extend(page["imageScanFindings"][name].as_array().cloned().unwrap_or_default());
        }
        let Some(token) = page["nextToken"].as_str() else { break };
        let mut next = input.clone();
        next["nextToken"] = Value::from(token);
        page = client.aws(ECR, "DescribeImageScanFindings", &next).await?;
    }
    if args.format == Format::Json {
        say(&json!({"imageScanStatus": status, "findings": all}).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    table::print(&["SEVERITY", "FINDING", "PACKAGE", "VERSION", "FIXED IN", "FILE"], all.iter().map(row).collect());
    let counts = shown["imageScanFindings"]["findingSeverityCounts"].as_object();
    let counts: Vec<String> = counts.into_iter().flatten().map(|(name, count)| format!("{count} {name}")).collect();
    say(&if counts.is_empty() { "no findings".to_owned() } else { counts.join(", ") });
    if !text(status, "description").is_empty() {
        say(text(status, "description"));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(finding: &Value) -> Vec<String> {
    let details = &finding["packageVulnerabilityDetails"];
    let package = &details["vulnerablePackages"][0];
    let attribute = |name: &str| {
        let all = finding["attributes"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|one| one["key"] == name).map(|one| text(one, "value").to_owned()).unwrap_or_default()
    };
    if details.is_null() {
        let name = text(finding, "name").to_owned();
        let rest = ["package_name", "package_version", "patched_version", "file_path"].map(attribute);
        return [text(finding, "severity").to_owned(), name].into_iter().chain(rest).collect();
    }
    let rest = ["name", "version", "fixedInVersion", "filePath"].map(|name| text(package, name).to_owned());
    let name = text(details, "vulnerabilityId").to_owned();
    [text(finding, "severity").to_owned(), name].into_iter().chain(rest).collect()
}
