//! Which instances to make for tasks that wait.
//!
//! In: offers, zones, how many tasks. Out: types and zones. Pure.
//!
//! Holds: every task that waits has a place on what is chosen, if any offer fits anywhere. Zones come before price:
//! tasks are spread over up to three of them, those with the fewest instances first, as AWS does; in a zone the cheapest
//! way to hold its share is taken, and of equally cheap ways the one with the fewest instances.

use super::offer::Offer;

/// AWS spreads over three zones where it can.
const ZONES: usize = 3;

/// A zone that an instance may stand in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) name: String,
    /// Of the provider, ACTIVE, there already.
    pub(super) instances: usize,
}

/// An instance to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) name: &'static str,
    pub(super) zone: String,
}

/// Chooses. `is_fitting` says whether a type in a zone is what the tasks ask for.
pub(super) fn choose(
    offers: &[Offer],
    mut zones: Vec<Zone>,
    tasks: usize,
    is_fitting: impl Fn(&str, &str) -> bool,
) -> Vec<Chosen> {
    zones.sort_by(|one, other| (one.instances, &one.name).cmp(&(other.instances, &other.name)));
    let mut chosen = Vec::new();
    let mut left = tasks;
    let mut shares = ZONES.min(tasks);
    // A zone in which nothing fits leaves its share to the others.
    let mut open: Vec<Zone> =
        zones.into_iter().filter(|zone| cheapest(offers, 1, &zone.name, &is_fitting).is_some()).collect();
    open.truncate(shares);
    shares = open.len();
    for zone in open {
        let share = left.div_ceil(shares);
        shares -= 1;
        left -= share;
        if let Some((offer, count)) = cheapest(offers, share, &zone.name, &is_fitting) {
            chosen.extend((0..count).map(|_| Chosen { name: offer.name, zone: zone.name.clone() }));
        }
    }
    chosen
}

/// The cheapest way to hold so many tasks: the type, and how many of it.
fn cheapest(
    offers: &[Offer],
    tasks: usize,
    zone: &str,
    is_fitting: &impl Fn(&str, &str) -> bool,
) -> Option<(Offer, usize)> {
    let ways = offers.iter().map(|offer| (*offer, tasks.div_ceil(offer.tasks)));
    let mut ways: Vec<(Offer, usize)> = ways.collect();
    let cost = |(offer, count): &(Offer, usize)| {
        (offer.price.saturating_mul(i64::try_from(*count).unwrap_or(i64::MAX)), *count, offer.name)
    };
    ways.sort_by(|one, other| cost(one).cmp(&cost(other)));
    ways.into_iter().find(|(offer, _)| is_fitting(offer.name, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Offer = Offer { name: "small", tasks: 1, price: 10 };
    const MIDDLE: Offer = Offer { name: "middle", tasks: 4, price: 35 };
    const LARGE: Offer = Offer { name: "large", tasks: 8, price: 70 };

    fn zones(of: &[(&str, usize)]) -> Vec<Zone> {
        of.iter().map(|(name, instances)| Zone { name: (*name).to_owned(), instances: *instances }).collect()
    }

    fn chosen(all: &[Chosen]) -> Vec<(&str, &str)> {
        all.iter().map(|one| (one.name, &*one.zone)).collect()
    }

    #[test]
    fn one_task_gets_the_cheapest_type_where_there_are_fewest() {
        let got = choose(&[LARGE, SMALL, MIDDLE], zones(&[("a", 1), ("b", 0), ("c", 0)]), 1, |_, _| true);
        assert_eq!(chosen(&got), [("small", "b")]);
    }

    #[test]
    fn tasks_are_spread_over_three_zones_and_packed_in_each() {
        let of = zones(&[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
        let got = choose(&[SMALL, MIDDLE, LARGE], of, 10, |_, _| true);
        assert_eq!(
            chosen(&got),
            [
                ("middle", "a"),
                ("small", "b"),
                ("small", "b"),
                ("small", "b"),
                ("small", "c"),
                ("small", "c"),
                ("small", "c")
            ]
        );
        let got = choose(&[SMALL, MIDDLE, LARGE], zones(&[("a", 0)]), 8, |_, _| true);
        assert_eq!(chosen(&got), [("large", "a")], "as cheap as two, and fewer");
    }

    #[test]
    fn what_does_not_fit_is_passed_over_and_zones_too() {
        let of = || zones(&[("a", 0), ("b", 0)]);
        let got = choose(&[SMALL, LARGE], of(), 3, |name, zone| name == "large" && zone == "b");
        assert_eq!(chosen(&got), [("large", "b")]);
        assert_eq!(choose(&[SMALL], of(), 3, |_, _| false), []);
        assert_eq!(choose(&[], of(), 3, |_, _| true), []);
        assert_eq!(choose(&[SMALL], of(), 0, |_, _| true), []);
    }

    /// Over every small number of tasks and zones.
    #[test]
    fn what_is_chosen_holds_all_tasks() {
        let offers = [SMALL, MIDDLE, LARGE];
        for tasks in 0..40 {
            for count in 1..5 {
                let of: Vec<Zone> = (0..count).map(|at| Zone { name: format!("z{at}"), instances: at % 2 }).collect();
                let got = choose(&offers, of, tasks, |_, _| true);
                let holds = |one: &Chosen| offers.iter().find(|offer| offer.name == one.name).unwrap().tasks;
                assert!(got.iter().map(holds).sum::<usize>() >= tasks, "{tasks} {count}: {got:?}");
            }
        }
    }
}
