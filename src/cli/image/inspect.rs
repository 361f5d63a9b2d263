//! `cove image inspect` and `history`.

use clap::Args;
use cove_base::words::counted;
use cove_registry::manifest::{Descriptor, Kind, Manifest, Platform};
use cove_registry::{Digest, ImageConfig};
use serde_json::{Value, json};

use super::placed;
use super::pull::parse;
use super::remote::{Fetched, Repository};
use crate::cli::client::{Client, text};
use crate::cli::error::CliError;
use crate::cli::{say, table};

/// Steps that are longer are cut for people.
const STEP_CHARS_MAX: usize = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct InspectArgs {
    /// REPOSITORY[:TAG] or REPOSITORY@DIGEST
    pub(super) image: String,
    /// Of an index the manifest for this architecture [default: this machine's]
    #[arg(long, value_name = "ARCH")]
    pub(super) platform: Option<String>,
    /// As one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// An image with the manifest of one platform.
struct Shown {
    top: Fetched,
    /// The same as the top one unless that is an index.
    manifest: Fetched,
    parsed: Manifest,
    platforms: Vec<Descriptor>,
    config: Value,
}

async fn read(args: &InspectArgs, client: &Client) -> Result<Shown, CliError> {
    let (name, reference) = placed(&args.image)?;
    let repository = Repository::open(client, &name).await?;
    let top = repository.manifest(&reference).await?;
    let mut parsed = parse(&top)?;
    let mut platforms = Vec::new();
    let mut manifest =
        Fetched { digest: top.digest.clone(), media_type: top.media_type.clone(), bytes: top.bytes.clone() };
    if let Kind::Index { manifests } = &parsed.kind {
        platforms.clone_from(manifests);
        let arch = args.platform.as_deref().unwrap_or(if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
        let Some(chosen) = parsed.for_platform(arch).map(|chosen| chosen.digest.clone()) else {
            return Ok(Shown { top, manifest, parsed, platforms, config: Value::Null });
        };
        manifest = repository.manifest(&chosen).await?;
        parsed = parse(&manifest)?;
    }
    let mut config = Value::Null;
    if let Kind::Image { config: named, .. } = &parsed.kind {
        let bytes = repository.document(&named.digest).await?;
        if Digest::parse(&named.digest).is_none_or(|digest| Digest::with(digest.algorithm(), &bytes) != digest) {
            return Err(CliError::Failed(format!("the config is not {}", named.digest)));
        }
        // An artifact's config may be anything.
        config = serde_json::from_slice(&bytes).unwrap_or_default();
    }
    Ok(Shown { top, manifest, parsed, platforms, config })
}

pub(super) async fn inspect(args: &InspectArgs, client: &Client) -> Result<(), CliError> {
    let shown = read(args, client).await?;
    if args.json {
        let document = |fetched: &Fetched| serde_json::from_slice::<Value>(&fetched.bytes).unwrap_or_default();
        let index = if shown.platforms.is_empty() { Value::Null } else { document(&shown.top) };
        let all = json!({"digest": shown.top.digest, "mediaType": shown.top.media_type, "index": index,
            "manifestDigest": shown.manifest.digest, "manifest": document(&shown.manifest), "config": shown.config});
        say(&all.to_string());
        return Ok(());
    }
    let row = |name: &str, value: String| {
        if !value.is_empty() {
            say(&format!("{name:<12} {value}"));
        }
    };
    row("digest", shown.top.digest.clone());
    row("type", shown.top.media_type.clone());
    for one in &shown.platforms {
        row("has", format!("{} {}", platform(one.platform.as_ref()), one.digest));
    }
    if let Kind::Image { layers, .. } = &shown.parsed.kind {
        row("size", format!("{} in {}", table::size(shown.parsed.content_size()), counted(layers.len(), "layer")));
    }
    let run = &shown.config["config"];
    row(
        "platform",
        [text(&shown.config, "os"), text(&shown.config, "architecture")].join("/").trim_matches('/').into(),
    );
    row("created", text(&shown.config, "created").to_owned());
    row("artifact", shown.parsed.artifact_type.clone().unwrap_or_default());
    for (name, member) in [("entrypoint", "Entrypoint"), ("command", "Cmd"), ("environment", "Env")] {
        row(name, words(&run[member]));
    }
    for (name, member) in [("user", "User"), ("directory", "WorkingDir"), ("stop signal", "StopSignal")] {
        row(name, text(run, member).to_owned());
    }
    row("ports", keys(&run["ExposedPorts"]));
    row("volumes", keys(&run["Volumes"]));
    for (name, value) in run["Labels"].as_object().into_iter().flatten() {
        row("label", format!("{name}={}", value.as_str().unwrap_or_default()));
    }
    Ok(())
}

/// `linux/arm64/v8`.
pub(super) fn platform(platform: Option<&Platform>) -> String {
    platform.map_or_else(String::new, |platform| {
        let parts = [Some(&platform.os), Some(&platform.architecture), platform.variant.as_ref()];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/")
    })
}

fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

fn keys(object: &Value) -> String {
    object.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(" ")
}

pub(super) async fn history(args: &InspectArgs, client: &Client) -> Result<(), CliError> {
    let shown = read(args, client).await?;
    let config: ImageConfig = serde_json::from_value(shown.config).unwrap_or_default();
    let Kind::Image { layers, .. } = &shown.parsed.kind else {
        return Err(CliError::Failed(format!("{} is an index without this platform", args.image)));
    };
    let steps = steps(&config.history, layers);
    if args.json {
        say(&Value::from(steps).to_string());
        return Ok(());
    }
    let rows = steps.iter().map(|step| {
        let command: String = text(step, "createdBy").split_whitespace().collect::<Vec<_>>().join(" ");
        vec![
            text(step, "created").to_owned(),
            step["size"].as_u64().map_or_else(String::new, table::size),
            command.chars().take(STEP_CHARS_MAX).collect(),
        ]
    });
    table::print(&["CREATED", "SIZE", "STEP"], rows.collect());
    Ok(())
}

/// Newest first. A step without a layer changed the config only; layers that no step tells of come last, as their own.
fn steps(history: &[Value], layers: &[Descriptor]) -> Vec<Value> {
    let mut left = layers.iter();
    let mut steps: Vec<Value> = history
        .iter()
        .map(|step| {
            let layer = if step["empty_layer"] == true { None } else { left.next() };
            json!({"created": step["created"], "createdBy": step["created_by"], "comment": step["comment"],
                "layer": layer.map(|layer| &layer.digest), "size": layer.map(|layer| layer.size)})
        })
        .collect();
    steps.extend(left.map(|layer| json!({"layer": layer.digest, "size": layer.size, "createdBy": layer.digest})));
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_layers_are_lined_up_newest_first() {
        let layer = |digest: &str, size| -> Descriptor {
            serde_json::from_value(json!({"digest": digest, "size": size})).unwrap()
        };
        let history = [json!({"created_by": "ADD"}), json!({"created_by": "ENV", "empty_layer": true})];
        let found = steps(&history, &[layer("a", 1), layer("b", 2)]);
        let told: Vec<_> = found.iter().map(|step| (text(step, "createdBy"), step["size"].as_u64())).collect();
        assert_eq!(told, [("b", Some(2)), ("ENV", None), ("ADD", Some(1))]);
    }
}
