use cove_base::Timestamp;
use cove_model::container_instance::ContainerInstance;
use proptest::prelude::{prop_assert, proptest};

use super::*;
use crate::place::tests::{attribute, instance};

fn machine() -> ContainerInstance {
    let mut it = ContainerInstance::clone(&instance("one", "us-east-1a", 4096));
    it.attributes.extend([
        attribute("ecs.instance-type", "g2.2xlarge"),
        attribute("rack", "r 1"),
        attribute("slots", "12"),
        attribute("ecs.os-type", "linux"),
    ]);
    // 2018-06-18T22:28:30Z
    it.registered_at = Timestamp(1_529_360_910_000);
    it
}

fn occupancy() -> Occupancy {
    let groups = [("service:web".to_owned(), 2), ("family:database".to_owned(), 1)];
    Occupancy { groups: groups.into(), running: 2 }
}

fn holds(text: &str) -> bool {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.matches(&machine(), &occupancy())
}

#[test]
fn every_subject_is_compared_as_what_it_is() {
    for (text, expected) in [
        ("attribute:ecs.os-type == linux", true),
        ("attribute:ecs.os-type equals windows", false),
        ("attribute:ecs.os-type != linux", false),
        ("attribute:absent != linux", true),
        ("attribute:rack in [\"r 1\", r2]", true),
        ("attribute:rack not_in ['r 1',r2]", false),
        ("attribute:rack !in [r1,r2]", true),
        ("attribute:gpu exists", false),
        ("attribute:gpu !exists", true),
        ("attribute:gpu not_exists", true),
        ("attribute:slots > 9", true),
        ("attribute:slots less_than_equal 9", false),
        ("attribute:ecs.instance-type =~ g2.*", true),
        ("attribute:ecs.instance-type =~ (g2|p3)\\.[a-z0-9]+", true),
        ("attribute:ecs.instance-type matches g2", false),
        ("attribute:ecs.instance-type not_matches \"(?i)G2.*\"", false),
        ("attribute:ecs.instance-type !~ t2.*", true),
        ("agentConnected==true", true),
        ("agentConnected in [false]", false),
        ("agentVersion > 1.9.0", true),
        ("agentVersion greater_than_equal 2", false),
        ("ec2InstanceId == i-one", true),
        ("ec2InstanceId =~ i-t.*", false),
        ("runningTasksCount == 2", true),
        ("runningTasksCount < 2", false),
        ("task:group == service:web", true),
        ("task:group != service:web", false),
        ("not(task:group == database)", true),
        ("task:group =~ family:.*", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn a_date_stands_for_all_the_time_that_it_names() {
    for (text, expected) in [
        ("registeredAt == 2018-06-18", true),
        ("registeredAt == 2018-06-18T22:28", true),
        ("registeredAt == 2018-06-18T22:28:30", true),
        ("registeredAt == 2018-06-18T22:28:30Z", true),
        ("registeredAt == 2018-06-18T22:28:31+00:00", false),
        ("registeredAt > 2018-06-18", false),
        ("registeredAt >= 2018-06-18", true),
        ("registeredAt < 2018-06-19", true),
        ("registeredAt not_equals 2018-06-17", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn and_binds_closer_than_or_and_parentheses_closer_than_both() {
    for (text, expected) in [
        ("attribute:rack exists or attribute:gpu exists and attribute:gpu exists", true),
        ("(attribute:rack exists || attribute:gpu exists) && attribute:gpu exists", false),
        ("!(attribute:gpu exists)&&attribute:rack exists", true),
        ("not not attribute:rack exists", true),
        ("(attribute:ecs.instance-type =~ (g2|p3).* and (runningTasksCount >= 1))", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_place() {
    for (text, expected) in [
        ("", "`` ends too early"),
        ("attribute: == a", "unknown subject `attribute:`"),
        ("rack == a", "unknown subject `rack`"),
        ("attribute:a ==", "`attribute:a ==` ends too early"),
        ("attribute:a == \"open", "`\"open` ends too early"),
        ("attribute:a in [", "`attribute:a in [` ends too early"),
        ("attribute:a in []", "unexpected `]` at character 17"),
        ("attribute:a exists b", "unexpected `b` at character 20"),
        ("attribute:a is b", "unexpected `is` at character 13"),
        ("(attribute:a exists", "`(attribute:a exists` ends too early"),
        ("attribute:a exists)", "unexpected `)` at character 19"),
        ("runningTasksCount exists", "operator `exists` is not valid for runningTasksCount"),
        ("task:group > a", "operator `>` is not valid for task:group"),
        ("runningTasksCount > many", "`many` is no number"),
        ("registeredAt > yesterday", "`yesterday` is no date"),
        ("agentVersion > x", "`x` is no version"),
        ("attribute:a =~ (?=b)", "`(?=b)` is no pattern that can be matched"),
        ("attribute:a =~ \"a)|(b\"", "`a)|(b` is no pattern that can be matched"),
        ("attribute:a =~ (a{1000}){1000}", "`(a{1000}){1000}` is no pattern that can be matched"),
    ] {
        let error = Expression::parse(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn length_and_nesting_are_bounded() {
    let deep = format!("{}attribute:a exists{}", "(".repeat(900), ")".repeat(900));
    assert_eq!(Expression::parse(&deep), Err(BadExpression::TooDeep));
    assert_eq!(Expression::parse(&"!".repeat(2000)), Err(BadExpression::TooDeep));
    assert_eq!(Expression::parse(&"a".repeat(2001)), Err(BadExpression::TooLong));
    let wide = vec!["attribute:a exists"; 80].join(" or ");
    assert!(Expression::parse(&wide).is_ok());
}

proptest! {
    /// Whatever is written: no panic, and the negation says the opposite.
    #[test]
    fn a_negation_is_the_opposite(text in r"(attribute:(rack|slots|a)|task:group|runningTasksCount) ?(==|!=|>|<=|exists|!in|in|=~) ?[a-z0-9 \[\],.*()]{0,12}") {
        if let (Ok(plain), Ok(negated)) = (Expression::parse(&text), Expression::parse(&format!("not({text})"))) {
            let (machine, occupancy) = (machine(), occupancy());
            prop_assert!(plain.matches(&machine, &occupancy) != negated.matches(&machine, &occupancy), "{text}");
        }
    }
}

#[test]
fn fuzz_expression() {
    let tokens: [&[u8]; 18] = [
        b"attribute:",
        b" == ",
        b" in [",
        b"]",
        b",",
        b"\"",
        b" and ",
        b" || ",
        b" exists",
        b"!in",
        b"(",
        b")",
        b" not ",
        b"task:group ",
        b"registeredAt > 2018-06-18",
        b" =~ (a|b)*",
        b"runningTasksCount >= 1",
        "\u{3000}".as_bytes(),
    ];
    let (machine, occupancy) = (machine(), occupancy());
    cove_fuzz::Fuzz::new("expression").tokens(&tokens).run(|input| {
        match Expression::parse(&String::from_utf8_lossy(input)) {
            Ok(expression) => format!("{}", expression.matches(&machine, &occupancy)),
            Err(error) => {
                let text = format!("{error:?}");
                text.split(['(', ' ']).next().unwrap_or_default().to_owned()
            }
        }
    });
}
