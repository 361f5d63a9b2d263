use std::cmp::Ordering;

use proptest::prelude::*;

use super::VersionOrder as Order;

const ALL: [Order; 10] = [
    Order::Alpine,
    Order::Cran,
    Order::Debian,
    Order::Maven,
    Order::NuGet,
    Order::Packagist,
    Order::PyPi,
    Order::RedHat,
    Order::RubyGems,
    Order::SemVer,
];

/// Lines `a OP b` of a file of vectors, both ways round.
fn vectors(order: Order, file: &str) {
    let Some(path) = crate::shared_data(&format!("version-order/{file}-versions.txt")) else { return };
    let mut wrong = Vec::new();
    let mut count = 0;
    let generated = path.with_file_name(format!("{file}-versions-generated.txt"));
    for path in [path, generated].iter().filter(|path| path.exists()) {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [one, sign, other] = words[..] else { continue };
            if one.starts_with('#') || one.starts_with("//") {
                continue;
            }
            let expected = match sign {
                "<" => Ordering::Less,
                "=" => Ordering::Equal,
                ">" => Ordering::Greater,
                _ => panic!("{line}"),
            };
            count += 1;
            let found = (order.compare(one, other), order.compare(other, one));
            if found != (expected, expected.reverse()) {
                wrong.push(format!("{line}  (found {found:?})"));
            }
        }
    }
    assert!(count > 30, "{count} vectors");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}

#[test]
fn alpine_orders_as_apk() {
    vectors(Order::Alpine, "alpine");
}

#[test]
fn cran_orders_as_r() {
    vectors(Order::Cran, "cran");
}

#[test]
fn debian_orders_as_dpkg() {
    vectors(Order::Debian, "debian");
}

#[test]
fn maven_orders_as_maven() {
    vectors(Order::Maven, "maven");
}

#[test]
fn nuget_orders_as_nuget() {
    vectors(Order::NuGet, "nuget");
}

#[test]
fn pypi_orders_as_pep_440() {
    vectors(Order::PyPi, "pypi");
}

#[test]
fn red_hat_orders_as_rpm() {
    vectors(Order::RedHat, "redhat");
}

#[test]
fn ruby_gems_order_as_ruby() {
    vectors(Order::RubyGems, "rubygems");
}

#[test]
fn semantic_versions_order_as_their_specification() {
    vectors(Order::SemVer, "semver");
}

#[test]
fn packagist_orders_as_php() {
    let ascending = ["1.0-foo", "1.0-dev", "1.0-alpha", "1.0a2", "v1.0-beta.3", "1.0RC1", "1.0", "1.0.0", "1.0.0pl1"];
    let ascending = ascending.iter().zip(&ascending[1..]);
    for (one, other) in ascending {
        assert_eq!(Order::Packagist.compare(one, other), Ordering::Less, "{one} {other}");
    }
    assert_eq!(Order::Packagist.compare("v2.0-beta1", "2.0b1"), Ordering::Equal);
}

#[test]
fn every_ecosystem_has_its_order_whatever_the_release() {
    assert_eq!(Order::of_ecosystem("Debian:12"), Some(Order::Debian));
    assert_eq!(Order::of_ecosystem("Alpine:v3.19"), Some(Order::Alpine));
    assert_eq!(Order::of_ecosystem("Ubuntu:22.04:LTS"), Some(Order::Debian));
    assert_eq!(Order::of_ecosystem("Go"), Some(Order::SemVer));
    assert_eq!(Order::of_ecosystem("Nowhere"), None);
}

#[test]
fn a_long_version_costs_little() {
    let long = "1.a-".repeat(1 << 18);
    for order in ALL {
        assert_eq!(order.compare(&long, &long), Ordering::Equal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_texts_compare_and_the_other_way_round_as_well(
        one in "[ -~]{0,12}|\\PC{0,6}|([0-9]{1,3}[.-]?(rc|alpha|_p|~|\\^|-r|[a-z])?){1,4}",
        other in "[ -~]{0,12}|\\PC{0,6}|([0-9]{1,3}[.-]?(rc|alpha|_p|~|\\^|-r|[a-z])?){1,4}",
    ) {
        for order in ALL {
            prop_assert_eq!(order.compare(&one, &other), order.compare(&other, &one).reverse(), "{:?}", order);
            prop_assert_eq!(order.compare(&one, &one), Ordering::Equal, "{:?}", order);
        }
    }

    #[test]
    fn orders_are_transitive(texts in prop::array::uniform3("[0-2.a~^_+!-]{0,6}")) {
        for order in ALL.into_iter().filter(|order| *order != Order::Maven) {
            let [one, two, three] = &texts;
            let (first, second) = (order.compare(one, two), order.compare(two, three));
            if first.is_le() && second.is_le() {
                prop_assert!(order.compare(one, three).is_le(), "{:?} {:?}", order, texts);
                if first.is_lt() || second.is_lt() {
                    prop_assert!(order.compare(one, three).is_lt(), "{:?} {:?}", order, texts);
                }
            }
        }
    }
}
