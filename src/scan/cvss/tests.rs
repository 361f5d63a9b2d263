use super::score;

/// Vectors of all versions with the tenths that the FIRST's calculators give.
const KNOWN: &[(&str, u8)] = &[
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 98),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 100),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 100),
    ("CVSS:3.0/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:L/A:L", 35),
    ("CVSS:3.0/AV:A/AC:H/PR:N/UI:R/S:U/C:N/I:H/A:N", 48),
    ("CVSS:3.1/AV:L/AC:L/PR:L/UI:R/S:U/C:L/I:H/A:L", 61),
    ("CVSS:3.0/AV:P/AC:L/PR:H/UI:N/S:U/C:L/I:H/A:N", 46),
    ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:L/I:H/A:L", 76),
    ("CVSS:3.0/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 18),
    ("CVSS:3.0/AV:A/AC:H/PR:N/UI:N/S:C/C:N/I:L/A:H", 69),
    ("CVSS:3.0/AV:N/AC:L/PR:L/UI:R/S:C/C:N/I:L/A:N", 41),
    ("AV:N/AC:M/Au:M/C:C/I:C/A:P", 75),
    ("AV:N/AC:M/Au:S/C:N/I:C/A:P", 70),
    ("AV:A/AC:M/Au:M/C:N/I:N/A:C", 48),
    ("AV:A/AC:H/Au:M/C:C/I:P/A:N", 47),
    ("CVSS:4.0/AV:A/AC:H/AT:N/PR:N/UI:P/VC:L/VI:H/VA:H/SC:L/SI:H/SA:L", 72),
    ("CVSS:4.0/AV:L/AC:L/AT:P/PR:H/UI:N/VC:H/VI:H/VA:H/SC:L/SI:H/SA:L", 86),
    ("CVSS:4.0/AV:P/AC:L/AT:P/PR:H/UI:N/VC:L/VI:H/VA:N/SC:N/SI:L/SA:H", 57),
    ("CVSS:4.0/AV:N/AC:H/AT:N/PR:L/UI:A/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N", 72),
    ("CVSS:4.0/AV:P/AC:H/AT:N/PR:L/UI:P/VC:L/VI:L/VA:N/SC:L/SI:L/SA:N", 10),
    ("CVSS:4.0/AV:A/AC:H/AT:N/PR:N/UI:A/VC:H/VI:L/VA:N/SC:N/SI:L/SA:H", 69),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:A/VC:L/VI:H/VA:N/SC:N/SI:N/SA:H", 83),
    ("CVSS:4.0/AV:A/AC:L/AT:P/PR:L/UI:N/VC:L/VI:H/VA:H/SC:N/SI:L/SA:L", 60),
    ("CVSS:4.0/AV:L/AC:H/AT:N/PR:N/UI:A/VC:N/VI:L/VA:H/SC:N/SI:L/SA:L", 57),
    ("CVSS:4.0/AV:A/AC:H/AT:P/PR:N/UI:N/VC:H/VI:N/VA:H/SC:L/SI:N/SA:H", 72),
    ("CVSS:4.0/AV:A/AC:L/AT:N/PR:L/UI:P/VC:N/VI:H/VA:N/SC:H/SI:L/SA:L", 69),
    ("CVSS:4.0/AV:L/AC:L/AT:P/PR:H/UI:P/VC:N/VI:H/VA:L/SC:L/SI:H/SA:H", 59),
    ("CVSS:4.0/AV:N/AC:H/AT:P/PR:H/UI:A/VC:N/VI:L/VA:N/SC:H/SI:L/SA:L", 45),
    ("CVSS:4.0/AV:N/AC:L/AT:P/PR:H/UI:P/VC:H/VI:L/VA:L/SC:N/SI:L/SA:N", 58),
    ("CVSS:4.0/AV:N/AC:H/AT:P/PR:L/UI:P/VC:H/VI:N/VA:L/SC:N/SI:N/SA:H", 70),
    ("CVSS:4.0/AV:P/AC:H/AT:P/PR:L/UI:A/VC:H/VI:L/VA:L/SC:H/SI:L/SA:H", 60),
    ("CVSS:4.0/AV:P/AC:H/AT:P/PR:L/UI:A/VC:H/VI:H/VA:L/SC:N/SI:L/SA:N", 53),
    ("CVSS:4.0/AV:L/AC:H/AT:P/PR:N/UI:A/VC:H/VI:L/VA:L/SC:N/SI:N/SA:L", 57),
    ("CVSS:4.0/AV:N/AC:H/AT:P/PR:N/UI:P/VC:H/VI:N/VA:N/SC:L/SI:H/SA:L", 71),
    ("CVSS:4.0/AV:N/AC:H/AT:P/PR:N/UI:A/VC:N/VI:H/VA:N/SC:N/SI:H/SA:N", 69),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:H/VA:N/SC:N/SI:L/SA:L", 88),
    ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:P/VC:H/VI:H/VA:L/SC:H/SI:H/SA:H", 94),
    ("CVSS:4.0/AV:A/AC:L/AT:P/PR:N/UI:P/VC:L/VI:N/VA:N/SC:L/SI:L/SA:L", 21),
    ("CVSS:4.0/AV:A/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:L/SC:H/SI:L/SA:H", 88),
];

#[test]
fn vectors_have_the_scores_that_the_calculators_give() {
    let mut wrong = Vec::new();
    for (vector, tenths) in KNOWN {
        let found = score(vector).map(|(_, score)| score.tenths());
        if found != Some(*tenths) {
            wrong.push(format!("{vector}: {tenths}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_version_is_told_and_what_counts_elsewhere_does_not_count() {
    let bare = score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H").unwrap();
    let more = score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:U/RL:O/CR:L").unwrap();
    assert_eq!((bare.0, bare.1), ("3.1", more.1));
    assert_eq!(
        score("(AV:N/AC:L/Au:N/C:P/I:P/A:P)").map(|(version, score)| (version, score.tenths())),
        Some(("2.0", 75))
    );
}

#[test]
fn what_is_no_vector_has_no_score() {
    let long = "CVSS:3.1/".repeat(1000);
    for text in ["", "7.5", "CVSS:3.1", "CVSS:3.1/AV:X", "CVSS:5.0/AV:N", "CVSS:4.0/AV:N/AC:L", &long] {
        assert!(score(text).is_none(), "{text}");
    }
}
