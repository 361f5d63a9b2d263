//! `cove env`: exports that point AWS tools at the server.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::error::CliError;
use super::say;

#[derive(Debug, Args)]
pub(super) struct EnvArgs {
    /// The same as one JSON object
    #[arg(long)]
    json: bool,
}

/// Needs the server: it knows the default subnets and security group.
pub(super) async fn run(args: &EnvArgs, client: &Client) -> Result<ExitCode, CliError> {
    let info = client.cove("GET", "/_cove/v1/info", None).await?;
    let subnets: Vec<&str> = info["subnets"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let group = info["securityGroup"].as_str().unwrap_or_default();
    let registry = info["registry"].as_str().unwrap_or_default();
    let exports = [
        ("AWS_ENDPOINT_URL", client.url()),
        ("AWS_ACCESS_KEY_ID", client.keys.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", client.keys.secret.clone()),
        // boto3 and CLI v1 read the second only, CLI v2 and other SDKs the first.
        ("AWS_REGION", client.region.clone()),
        ("AWS_DEFAULT_REGION", client.region.clone()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true".to_owned()),
        ("COVE_REGISTRY", registry.to_owned()),
        ("COVE_SUBNETS", subnets.join(",")),
        ("COVE_SECURITY_GROUP", group.to_owned()),
    ];
    if args.json {
        let object: serde_json::Map<String, Value> =
            exports.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        say(&Value::Object(object).to_string());
    } else {
        for (name, value) in exports {
            say(&format!("export {name}={}", quoted(&value)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// For a POSIX shell, whatever the value holds.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+=".contains(c);
    if value.chars().all(plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_survive_the_shell() {
        assert_eq!(super::quoted("http://127.0.0.1:4566"), "http://127.0.0.1:4566");
        assert_eq!(super::quoted("it's $x"), r"'it'\''s $x'");
    }
}
