//! `cove image prune`: images that nobody can name any more, or old ones.
//!
//! An image stays when a tag leads to it: its own, one of an index that holds it, or one of what it refers to (a
//! signature of a tagged image has no tag of its own).

use std::collections::{HashMap, HashSet};

use clap::Args;
use cove_base::words::counted;
use cove_registry::manifest::Manifest;
use serde_json::{Value, json};

use super::list::{described, short, tags};
use super::remote::Repository;
use crate::cli::client::{Client, ECR, text};
use crate::cli::error::CliError;
use crate::cli::{say, table};

/// What BatchDeleteImage takes at once.
const DELETE_MAX: usize = 100;

#[derive(Debug, Args)]
pub(in crate::cli) struct PruneArgs {
    /// Only this repository
    repository: Option<String>,
    /// Only what was pushed that long ago or longer, as in 12h or 30d
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    older_than: Option<f64>,
    /// Tagged images too; needs --older-than
    #[arg(long, requires = "older_than")]
    tagged: bool,
    /// Show what would go
    #[arg(long)]
    dry_run: bool,
    /// What goes, as a JSON list
    #[arg(long)]
    json: bool,
}

/// An image as far as pruning looks at it.
#[derive(Debug, Clone)]
struct Candidate {
    digest: String,
    is_tagged: bool,
    age: f64,
    manifests: Vec<String>,
    subject: Option<String>,
}

/// What goes, indexes before what they name. Pure.
fn chosen(images: &[Candidate], older_than: f64, with_tagged: bool) -> Vec<String> {
    let by_digest: HashMap<&str, &Candidate> = images.iter().map(|image| (image.digest.as_str(), image)).collect();
    let mut kept: HashSet<&str> = HashSet::new();
    let mut open: Vec<&Candidate> =
        images.iter().filter(|image| image.age < older_than || image.is_tagged && !with_tagged).collect();
    while let Some(image) = open.pop() {
        if kept.insert(&image.digest) {
            open.extend(image.manifests.iter().filter_map(|inner| by_digest.get(inner.as_str())));
            open.extend(images.iter().filter(|other| other.subject.as_ref() == Some(&image.digest)));
        }
    }
    let mut gone: Vec<&Candidate> = images.iter().filter(|image| !kept.contains(image.digest.as_str())).collect();
    gone.sort_by_key(|image| image.manifests.is_empty());
    gone.into_iter().map(|image| image.digest.clone()).collect()
}

pub(super) async fn run(args: &PruneArgs, client: &Client) -> Result<(), CliError> {
    let images = described(args.repository.as_deref(), client).await?;
    let now = cove_base::Clock::system().now().epoch_seconds();
    let mut by_repository: HashMap<&str, Vec<&Value>> = HashMap::new();
    for image in &images {
        by_repository.entry(text(image, "repositoryName")).or_default().push(image);
    }
    let mut names: Vec<&str> = by_repository.keys().copied().collect();
    names.sort_unstable();
    let mut gone = Vec::new();
    for name in names {
        let candidates = candidates(name, &by_repository[name], now, client).await?;
        let digests = chosen(&candidates, args.older_than.unwrap_or(0.0), args.tagged);
        for batch in digests.chunks(DELETE_MAX).filter(|_| !args.dry_run) {
            let ids: Vec<Value> = batch.iter().map(|digest| json!({"imageDigest": digest})).collect();
            let input = json!({"repositoryName": name, "imageIds": ids});
            let answer = client.aws(ECR, "BatchDeleteImage", &input).await?;
            if let Some(failure) = answer["failures"].as_array().and_then(|failures| failures.first()) {
                return Err(CliError::Failed(format!("{name}: {}", text(failure, "failureReason"))));
            }
        }
        let goes = |image: &&&Value| digests.iter().any(|digest| digest == text(image, "imageDigest"));
        gone.extend(by_repository[name].iter().filter(goes).copied().cloned());
    }
    show(args, &gone, now);
    Ok(())
}

async fn candidates(name: &str, images: &[&Value], now: f64, client: &Client) -> Result<Vec<Candidate>, CliError> {
    let repository = Repository::open(client, name).await?;
    let mut all = Vec::with_capacity(images.len());
    for image in images {
        let digest = text(image, "imageDigest").to_owned();
        let fetched = repository.manifest(&digest).await?;
        // What this version cannot read names nothing that it knows of.
        let manifest = Manifest::parse(&fetched.bytes, Some(&fetched.media_type)).ok();
        all.push(Candidate {
            is_tagged: !tags(image).is_empty(),
            age: now - image["imagePushedAt"].as_f64().unwrap_or(now),
            manifests: manifest.as_ref().map(Manifest::manifests).unwrap_or_default(),
            subject: manifest.and_then(|manifest| manifest.subject).map(|subject| subject.digest),
            digest,
        });
    }
    Ok(all)
}

fn show(args: &PruneArgs, gone: &[Value], now: f64) {
    if args.json {
        say(&Value::from(gone).to_string());
        return;
    }
    let size = |image: &Value| image["imageSizeInBytes"].as_u64().unwrap_or_default();
    let rows = gone.iter().map(|image| {
        vec![
            text(image, "repositoryName").to_owned(),
            tags(image).join(", "),
            short(text(image, "imageDigest")).to_owned(),
            table::size(size(image)),
            table::age(now - image["imagePushedAt"].as_f64().unwrap_or(now)),
        ]
    });
    table::print(&["REPOSITORY", "TAGS", "DIGEST", "SIZE", "PUSHED"], rows.collect());
    let verb = if args.dry_run { "would go" } else { "removed; the next collection frees what no other image has" };
    say(&format!("{} of {}: {verb}", counted(gone.len(), "image"), table::size(gone.iter().map(size).sum())));
}

/// `90s`, `30m`, `12h`, `7d`.
fn seconds(text: &str) -> Result<f64, String> {
    let factor = match text.chars().last().unwrap_or(' ') {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err("not a number with s, m, h or d".to_owned()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| "not a number with s, m, h or d".to_owned())?;
    Ok(f64::from(number) * f64::from(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(digest: &str, tagged: bool, age: f64, manifests: &[&str], subject: Option<&str>) -> Candidate {
        let manifests = manifests.iter().map(|one| (*one).to_owned()).collect();
        Candidate { digest: digest.to_owned(), is_tagged: tagged, age, manifests, subject: subject.map(str::to_owned) }
    }

    #[test]
    fn what_a_tag_leads_to_stays() {
        let images = [
            image("index", true, 9.0, &["a", "b"], None),
            image("a", false, 9.0, &[], None),
            image("b", false, 9.0, &[], None),
            image("signature", false, 9.0, &[], Some("a")),
            image("loose", false, 9.0, &[], None),
            image("of loose", false, 9.0, &[], Some("loose")),
            image("loose index", false, 9.0, &["loose"], None),
            image("new", false, 1.0, &[], None),
        ];
        assert_eq!(chosen(&images, 5.0, false), ["loose index", "loose", "of loose"]);
        assert_eq!(chosen(&images, 0.0, false).len(), 4, "the new one too");
        assert_eq!(chosen(&images, 5.0, true).len(), 7, "all but the new one");
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(seconds("30d"), Ok(30.0 * 86_400.0));
        for bad in ["", "30", "d", "-1h", "1.5h", "1w", "1é"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
