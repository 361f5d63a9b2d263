//! How a capacity provider strategy divides tasks.

use std::collections::BTreeMap;

use cove_model::capacity_provider::{CapacityProvider, Pool, is_fargate};
use cove_model::cluster::CapacityProviderStrategyItem;
use cove_model::task_template::TaskTemplate;
use cove_store::{Read, keys};

/// Live tasks of the same template by capacity provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares(BTreeMap<String, usize>);

impl Shares {
    /// Counts what each provider has.
    #[must_use]
    pub fn of<'a>(providers: impl IntoIterator<Item = &'a str>) -> Self {
        let mut shares = BTreeMap::new();
        for provider in providers {
            *shares.entry(provider.to_owned()).or_default() += 1;
        }
        Self(shares)
    }
}

/// The providers of `count` more tasks in order; empty without a strategy. The base first; then each task goes to the
/// provider that is furthest behind its share.
pub(super) fn divide(strategy: &[CapacityProviderStrategyItem], shares: &Shares, count: usize) -> Vec<String> {
    if strategy.is_empty() {
        return Vec::new();
    }
    let base = |item: &CapacityProviderStrategyItem| usize::try_from(item.base).unwrap_or(0);
    let mut taken: Vec<usize> =
        strategy.iter().map(|item| shares.0.get(&item.capacity_provider).copied().unwrap_or(0)).collect();
    let mut names = Vec::with_capacity(count);
    let only = strategy.len() == 1;
    for _ in 0..count {
        let below_base = (0..strategy.len()).find(|at| taken[*at] < base(&strategy[*at]));
        // Shares are compared without division: the smallest (given + 1) / weight is furthest behind.
        let given = |at: usize| i64::try_from(taken[at].saturating_sub(base(&strategy[at])) + 1).unwrap_or(i64::MAX);
        let weight = |at: usize| i64::from(strategy[at].weight.max(1));
        let behind = (0..strategy.len())
            .filter(|at| only || strategy[*at].weight > 0)
            .min_by(|left, right| (given(*left) * weight(*right)).cmp(&(given(*right) * weight(*left))));
        let chosen = below_base.or(behind).unwrap_or(0);
        taken[chosen] += 1;
        names.push(strategy[chosen].capacity_provider.clone());
    }
    names
}

/// The instances behind each provider; Fargate's have none. Neither has one that is gone.
pub(super) fn pools(source: &impl Read, template: &TaskTemplate, providers: &[String]) -> Vec<Option<Pool>> {
    let mut known: BTreeMap<&str, Option<Pool>> = BTreeMap::new();
    let pool_of = |name: &str| match source.get::<CapacityProvider>(&keys::capacity_provider(&template.tenant, name)) {
        _ if is_fargate(name) => None,
        Some(provider) if provider.is_active() => Some(provider.pool()),
        // No group has an empty name.
        Some(_) | None => Some(Pool::Group(String::new())),
    };
    providers.iter().map(|name| known.entry(name).or_insert_with(|| pool_of(name)).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, weight: i32, base: i32) -> CapacityProviderStrategyItem {
        CapacityProviderStrategyItem { capacity_provider: name.to_owned(), weight, base }
    }

    #[test]
    fn a_strategy_fills_its_base_and_then_follows_the_weights() {
        let got = divide(&[item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 0)], &Shares::default(), 10);
        let on_demand = got.iter().filter(|name| *name == "FARGATE").count();
        assert_eq!(&got[..2], ["FARGATE", "FARGATE"]);
        assert_eq!((on_demand, got.len()), (4, 10));
    }

    #[test]
    fn one_provider_without_weight_takes_all() {
        assert_eq!(divide(&[item("FARGATE", 0, 0)], &Shares::default(), 2), ["FARGATE", "FARGATE"]);
    }

    #[test]
    fn what_is_there_already_counts_as_given() {
        let strategy = [item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 0)];
        let whole = divide(&strategy, &Shares::default(), 10);
        let mut pieces: Vec<String> = Vec::new();
        for _ in 0..10 {
            let shares = Shares::of(pieces.iter().map(String::as_str));
            pieces.extend(divide(&strategy, &shares, 1));
        }
        assert_eq!(pieces, whole);
    }
}
