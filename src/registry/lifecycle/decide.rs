//! What a lifecycle policy does to the images of a repository. Pure: no clock, no store, no await.
//!
//! In: a policy, all images of a repository with their tags, the time. Out: a [`Choice`] for each image that goes.
//!
//! Holds:
//! - an image is taken by one rule or by none: by the first one whose tags and storage class it fits, or not at all;
//! - rules count and age all images that fit them, also those that an earlier rule takes;
//! - older images go before newer ones;
//! - what an index names stays as long as the index does (and is archived at the earliest with it);
//! - who refers to an image of the repository is taken by no rule, and goes with that image.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use cove_base::Timestamp;
use cove_model::registry::Image;

use super::policy::{Action, Count, Policy, Rule};
use crate::tags::TaggedImage;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// That an image goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub digest: String,
    /// The priority of the rule that takes it.
    pub rule: u64,
    pub action: Action,
}

/// What goes, in the order of the rules, the oldest first; referrers stand behind their subject.
#[must_use]
pub fn decide(policy: &Policy, images: &[TaggedImage], now: Timestamp) -> Vec<Choice> {
    let there: HashSet<&str> = images.iter().map(|one| one.image.digest.as_str()).collect();
    let goes_with_another = |image: &Image| image.subject.as_deref().is_some_and(|subject| there.contains(subject));
    let indexed = Indexed::of(images);
    let mut spoken_for: HashSet<&str> = HashSet::new();
    let mut choices = Vec::new();
    let referrers = referrers(images);
    for rule in &policy.rules {
        let mut fitting: Vec<&TaggedImage> = images.iter().filter(|one| fits(rule, one)).collect();
        fitting.retain(|one| !goes_with_another(&one.image));
        fitting.sort_by_key(|one| Reverse((age_from(rule, &one.image), &one.image.digest)));
        let is_too_much = |(place, one): &(usize, &TaggedImage)| match rule.count {
            Count::MoreThan(count) => u64::try_from(*place).is_ok_and(|place| place >= count),
            Count::DaysSincePushed(days) | Count::DaysSincePulled(days) | Count::DaysSinceTransitioned(days) => {
                let days = i64::try_from(days).unwrap_or(i64::MAX / DAY_MILLIS).min(i64::from(u32::MAX));
                age_from(rule, &one.image).plus_millis(days * DAY_MILLIS) <= now
            }
        };
        let marked: Vec<&TaggedImage> =
            fitting.iter().copied().enumerate().filter(is_too_much).map(|(_, one)| one).collect();
        for one in marked.into_iter().rev() {
            let digest = one.image.digest.as_str();
            if !spoken_for.contains(digest) && !indexed.keep(digest, rule.action) {
                take(digest, rule, &referrers, &indexed, &mut choices);
            }
        }
        spoken_for.extend(fitting.iter().map(|one| one.image.digest.as_str()));
    }
    choices
}

fn fits(rule: &Rule, one: &TaggedImage) -> bool {
    rule.of_archive == one.image.is_archived && rule.tags.fit(&one.tags)
}

/// From when on an image ages, for a rule.
fn age_from(rule: &Rule, image: &Image) -> Timestamp {
    let pushed = image.activated_at.unwrap_or(image.pushed_at);
    match rule.count {
        Count::MoreThan(_) | Count::DaysSincePushed(_) => pushed,
        Count::DaysSincePulled(_) => image.last_pulled_at.map_or(pushed, |pulled| pulled.max(pushed)),
        Count::DaysSinceTransitioned(_) => image.archived_at.unwrap_or(pushed),
    }
}

/// An image with those who refer to it, and so on. A circle of referrers ends where it began.
fn take<'a>(
    digest: &'a str,
    rule: &Rule,
    referrers: &HashMap<&'a str, Vec<&'a Image>>,
    indexed: &Indexed<'_>,
    choices: &mut Vec<Choice>,
) {
    let mut waiting = vec![digest];
    let mut seen = HashSet::from([digest]);
    while let Some(digest) = waiting.pop() {
        choices.push(Choice { digest: digest.to_owned(), rule: rule.priority, action: rule.action });
        for image in referrers.get(digest).into_iter().flatten() {
            let is_there_already = rule.action == Action::Archive && image.is_archived;
            let stays = is_there_already || indexed.keep(&image.digest, rule.action);
            if !stays && seen.insert(&image.digest) {
                waiting.push(&image.digest);
            }
        }
    }
}

fn referrers(images: &[TaggedImage]) -> HashMap<&str, Vec<&Image>> {
    let mut by_subject: HashMap<&str, Vec<&Image>> = HashMap::new();
    for one in images {
        if let Some(subject) = &one.image.subject {
            by_subject.entry(subject).or_default().push(&one.image);
        }
    }
    by_subject
}

/// Who is named by an index of the repository.
struct Indexed<'a> {
    by_active: HashSet<&'a str>,
    by_archived: HashSet<&'a str>,
}

impl<'a> Indexed<'a> {
    fn of(images: &'a [TaggedImage]) -> Self {
        let named = |archived: bool| {
            let indexes = images.iter().filter(move |one| one.image.is_archived == archived);
            indexes.flat_map(|one| one.image.manifests.iter().map(String::as_str)).collect()
        };
        Self { by_active: named(false), by_archived: named(true) }
    }

    fn keep(&self, digest: &str, action: Action) -> bool {
        match action {
            Action::Expire => self.by_active.contains(digest) || self.by_archived.contains(digest),
            Action::Archive => self.by_active.contains(digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cove_model::arn::Tenant;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Pushed so many days before day 1000.
    fn image(digest: &str, tags: &[&str], days_ago: i64) -> TaggedImage {
        let image = Image {
            tenant: Tenant::new("000000000000", "us-east-1"),
            repository: "app".into(),
            digest: digest.into(),
            media_type: "m".into(),
            manifest_size: 1,
            image_size: 1,
            artifact_type: None,
            config_media_type: None,
            blobs: Vec::new(),
            manifests: Vec::new(),
            subject: None,
            pushed_at: day(1000 - days_ago),
            last_pulled_at: None,
            is_archived: false,
            archived_at: None,
            activated_at: None,
        };
        TaggedImage { image: Arc::new(image), tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }
    }

    fn day(number: i64) -> Timestamp {
        Timestamp(number * DAY_MILLIS)
    }

    fn changed(mut one: TaggedImage, change: impl FnOnce(&mut Image)) -> TaggedImage {
        let mut image = (*one.image).clone();
        change(&mut image);
        one.image = Arc::new(image);
        one
    }

    fn policy(rules: serde_json::Value) -> Policy {
        Policy::parse(&json!({ "rules": rules }).to_string()).expect("a policy")
    }

    fn keep_one(priority: u64, prefix: &str) -> serde_json::Value {
        json!({"rulePriority": priority, "action": {"type": "expire"}, "selection": {"tagStatus": "tagged",
            "tagPrefixList": [prefix], "countType": "imageCountMoreThan", "countNumber": 1}})
    }

    fn going(policy: &Policy, images: &[TaggedImage]) -> Vec<(String, u64)> {
        decide(policy, images, day(1000)).into_iter().map(|choice| (choice.digest, choice.rule)).collect()
    }

    #[test]
    fn the_examples_of_aws_come_out_as_awss_guide_says() {
        let images =
            [image("a", &["beta-1", "prod-1"], 10), image("b", &["beta-2", "prod-2"], 9), image("c", &["beta-3"], 8)];
        let first = policy(json!([keep_one(1, "prod"), keep_one(2, "beta")]));
        assert_eq!(going(&first, &images), [("a".to_owned(), 1)]);
        let second = policy(json!([keep_one(1, "beta"), keep_one(2, "prod")]));
        assert_eq!(going(&second, &images), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    }

    #[test]
    fn all_prefixes_of_a_rule_must_fit_and_images_age_from_their_return() {
        let old = |tags: serde_json::Value| {
            let mut selection = json!({"countType": "sinceImagePushed", "countUnit": "days", "countNumber": 5});
            selection.as_object_mut().expect("an object").extend(tags.as_object().expect("an object").clone());
            policy(json!([{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]))
        };
        let both = old(json!({"tagStatus": "tagged", "tagPrefixList": ["alpha", "beta"]}));
        let images = [image("a", &["alpha-1"], 9), image("b", &["beta-1", "alpha-2"], 9), image("c", &[], 9)];
        assert_eq!(going(&both, &images), [("b".to_owned(), 1)]);
        let untagged = old(json!({"tagStatus": "untagged"}));
        assert_eq!(going(&untagged, &images), [("c".to_owned(), 1)]);
        let back = changed(images[2].clone(), |image| image.activated_at = Some(day(999)));
        assert_eq!(going(&untagged, &[back]), []);
    }

    #[test]
    fn what_an_index_names_waits_and_referrers_go_along() {
        let any = |count: u64| {
            policy(json!([{"rulePriority": 7, "action": {"type": "expire"},
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count}}]))
        };
        let index = changed(image("index", &["1"], 3), |image| image.manifests = vec!["inner".into()]);
        let signature = changed(image("signature", &["sha256-x.sig"], 2), |image| image.subject = Some("index".into()));
        let inner = image("inner", &[], 4);
        let new = image("new", &["2"], 1);
        let images = [index, inner, signature, new];
        let expected = [("index".to_owned(), 7), ("signature".to_owned(), 7)];
        assert_eq!(going(&any(1), &images), expected);
        assert_eq!(going(&any(3), &images), []);
        let after: Vec<TaggedImage> =
            images.into_iter().filter(|one| matches!(&*one.image.digest, "inner" | "new")).collect();
        assert_eq!(going(&any(1), &after), [("inner".to_owned(), 7)]);
    }

    #[test]
    fn pulls_keep_an_image_out_of_the_archive_and_time_there_ends_it() {
        let policy = policy(json!([
            {"rulePriority": 1, "action": {"type": "transition", "targetStorageClass": "archive"}, "selection":
                {"tagStatus": "any", "countType": "sinceImagePulled", "countUnit": "days", "countNumber": 30}},
            {"rulePriority": 2, "action": {"type": "expire"}, "selection": {"tagStatus": "any",
                "storageClass": "archive", "countType": "sinceImageTransitioned", "countUnit": "days", "countNumber": 90}}]));
        let pulled = changed(image("pulled", &["a"], 400), |image| image.last_pulled_at = Some(day(990)));
        let never = image("never", &["b"], 400);
        let archived = |digest: &str, at: i64| {
            changed(image(digest, &["c"], 400), |image| {
                image.is_archived = true;
                image.archived_at = Some(day(at));
            })
        };
        let images = [pulled, never, archived("recent", 950), archived("long", 900)];
        let choices = decide(&policy, &images, day(1000));
        let expected = [("never", 1, Action::Archive), ("long", 2, Action::Expire)]
            .map(|(digest, rule, action)| Choice { digest: digest.to_owned(), rule, action });
        assert_eq!(choices, expected);
    }

    fn any_image() -> impl Strategy<Value = (Vec<u8>, i64, Option<i64>, bool, Option<u8>, Vec<u8>)> {
        let tags = proptest::collection::vec(0..4u8, 0..3);
        let inner = proptest::collection::vec(0..12u8, 0..3);
        (tags, 0..60i64, proptest::option::of(0..60i64), any::<bool>(), proptest::option::of(0..12u8), inner)
    }

    fn any_rule() -> impl Strategy<Value = serde_json::Value> {
        (0..4u8, 1..40u64, 0..4u8, any::<bool>()).prop_map(|(prefix, number, kind, archives)| {
            let mut selection = match prefix {
                0 => json!({"tagStatus": "untagged"}),
                prefix => json!({"tagStatus": "tagged", "tagPrefixList": [format!("t{prefix}")]}),
            };
            let (count, archives) = match kind {
                0 => (json!({"countType": "imageCountMoreThan", "countNumber": number % 4 + 1}), archives),
                1 => (json!({"countType": "sinceImagePushed", "countUnit": "days", "countNumber": number}), archives),
                2 => (json!({"countType": "sinceImagePulled", "countUnit": "days", "countNumber": number}), archives),
                _ => (
                    json!({"countType": "sinceImageTransitioned", "countUnit": "days", "countNumber": number + 89,
                    "storageClass": "archive"}),
                    false,
                ),
            };
            selection.as_object_mut().expect("an object").extend(count.as_object().expect("an object").clone());
            let expire = json!({"type": "expire"});
            let action = if archives { json!({"type": "transition", "targetStorageClass": "archive"}) } else { expire };
            json!({"selection": selection, "action": action})
        })
    }

    proptest! {
        /// The "holds" lines of the module, over repositories of any shape.
        #[test]
        fn the_rules_of_the_guide_hold(
            made in proptest::collection::vec(any_image(), 0..12),
            rules in proptest::collection::vec(any_rule(), 1..4),
        ) {
            let images: Vec<TaggedImage> = made.iter().enumerate().map(|(place, (tags, ago, pulled, archived, subject, inner))| {
                let tags: Vec<String> = tags.iter().filter(|tag| **tag > 0).map(|tag| format!("t{tag}-{place}")).collect();
                let names: Vec<&str> = tags.iter().map(String::as_str).collect();
                changed(image(&format!("d{place}"), &names, *ago), |image| {
                    image.last_pulled_at = pulled.map(|days| day(1000 - days));
                    image.is_archived = *archived;
                    image.archived_at = archived.then(|| day(1000 - ago * 3));
                    image.subject = subject.map(|of| format!("d{of}")).filter(|of| *of != image.digest);
                    image.manifests = inner.iter().map(|of| format!("d{of}")).filter(|of| *of != image.digest).collect();
                })
            }).collect();
            let rules: Vec<serde_json::Value> = rules.into_iter().enumerate().map(|(place, mut rule)| {
                rule["rulePriority"] = json!(place + 1);
                rule
            }).collect();
            let Ok(policy) = Policy::parse(&json!({ "rules": rules }).to_string()) else { return Ok(()) };
            let choices = decide(&policy, &images, day(1000));
            let by_digest: HashMap<&str, &TaggedImage> = images.iter().map(|one| (one.image.digest.as_str(), one)).collect();
            let mut seen = HashSet::new();
            for choice in &choices {
                prop_assert!(seen.insert(&choice.digest), "an image goes once: {choices:?}");
                let one = by_digest[choice.digest.as_str()];
                let owner = policy.rules.iter().find(|rule| fits(rule, one)).map(|rule| rule.priority);
                let goes_along = one.image.subject.as_ref().is_some_and(|subject| by_digest.contains_key(subject.as_str()));
                prop_assert!(goes_along || owner == Some(choice.rule), "the first rule that fits it takes it");
                if goes_along {
                    let with = choices.iter().find(|other| Some(&other.digest) == one.image.subject.as_ref());
                    prop_assert_eq!(with.map(|with| (with.rule, with.action)), Some((choice.rule, choice.action)));
                }
                for other in &images {
                    let is_named = other.image.manifests.contains(&choice.digest);
                    prop_assert!(!is_named || (choice.action == Action::Archive && other.image.is_archived));
                }
                prop_assert!(choice.action == Action::Expire || !one.image.is_archived, "nothing is archived twice");
            }
            for rule in &policy.rules {
                let Count::MoreThan(count) = rule.count else { continue };
                let stays = |one: &&TaggedImage| fits(rule, one) && !seen.contains(&one.image.digest);
                let fitting = images.iter().filter(|one| fits(rule, one)).filter(|one| {
                    !one.image.subject.as_ref().is_some_and(|subject| by_digest.contains_key(subject.as_str()))
                }).count() as u64;
                let taken = choices.iter().filter(|choice| choice.rule == rule.priority).filter(|choice| {
                    !by_digest[choice.digest.as_str()].image.subject.as_ref().is_some_and(|subject| by_digest.contains_key(subject.as_str()))
                }).count() as u64;
                prop_assert!(taken <= fitting.saturating_sub(count), "so many stay at least: {}", images.iter().filter(stays).count());
            }
        }
    }
}
