//! Decides an alarm's state from the data of its last periods, as CloudWatch documents it.
//!
//! In: what the alarm watches, its present state, and one value (or none) for each period of the evaluation range. Out: the
//! state's value with its reason, when there is enough to decide by. No clock, no store.
//!
//! Holds: missing periods count only when there are fewer real values than evaluation periods, and only as many as are
//! lacking: the range reaches back [`EXTRA_PERIODS`] further for that.

use cove_base::Timestamp;
use cove_model::alarm::{AlarmState, MissingData, StateValue, Watch};
use cove_model::event::cloudwatch::with_offset;
use serde_json::json;

/// How many periods more than it evaluates an alarm looks back for real values: CloudWatch's tables show two.
pub const EXTRA_PERIODS: u32 = 2;

/// A period by its first second, and its value if there is one.
pub type Period = (i64, Option<f64>);

/// The periods' first seconds, oldest first, for an evaluation at `now_secs`.
#[must_use]
pub fn range(watch: &Watch, now_secs: i64) -> Vec<i64> {
    let period = i64::from(watch.period_secs);
    let end = now_secs - now_secs.rem_euclid(period.min(60));
    let count = i64::from(watch.evaluation_periods + EXTRA_PERIODS);
    (1..=count).rev().map(|back| end - back * period).collect()
}

/// The state that follows; `None` when the data do not say, so that the alarm stays as it is. `known_from_secs` is the
/// first second since which data are collected: earlier periods are not missing, they are unknown.
#[must_use]
pub fn evaluate(
    watch: &Watch,
    present: StateValue,
    periods: &[Period],
    known_from_secs: i64,
    now: Timestamp,
) -> Option<AlarmState> {
    let wanted = watch.evaluation_periods as usize;
    let real: Vec<(i64, f64)> = periods.iter().filter_map(|(at, value)| Some((*at, (*value)?))).collect();
    let newest = &real[real.len().saturating_sub(wanted)..];
    let lacking = wanted - newest.len();
    // Those before the periods that count can only add values to what there is.
    let counted = &periods[periods.len().saturating_sub(wanted)..];
    if lacking > 0 && counted.first().is_none_or(|(first, _)| *first < known_from_secs) {
        return None;
    }
    let verdict = verdict(watch, newest, periods, lacking)?;
    let reason = reason(watch, present, verdict, newest, lacking);
    let reason_data = Some(data(watch, periods, newest, now));
    Some(AlarmState { value: verdict, reason, reason_data, at: now })
}

/// `newest` are the values that count, oldest first; `lacking` periods are filled by the alarm's rule.
fn verdict(watch: &Watch, newest: &[(i64, f64)], periods: &[Period], lacking: usize) -> Option<StateValue> {
    let needed = watch.datapoints_to_alarm.unwrap_or(watch.evaluation_periods) as usize;
    let breaches = |value: f64| watch.comparison.breaches(value, watch.threshold);
    let breaching = newest.iter().filter(|(_, value)| breaches(*value)).count();
    let decided = |alarm: bool| Some(if alarm { StateValue::Alarm } else { StateValue::Ok });
    if breaching >= needed || lacking == 0 {
        return decided(breaching >= needed);
    }
    match watch.missing_data.unwrap_or_default() {
        MissingData::Breaching => decided(breaching + lacking >= needed),
        MissingData::NotBreaching => decided(false),
        // A value that does not breach is worth more than what is missing.
        MissingData::Ignore | MissingData::Missing if breaching < newest.len() => decided(false),
        MissingData::Ignore => None,
        MissingData::Missing => match newest.first() {
            None => Some(StateValue::InsufficientData),
            // All that is known breaches: enough, when it began long enough ago.
            Some((oldest, _)) => {
                let age = periods.iter().filter(|(at, _)| at >= oldest).count();
                (age >= needed).then_some(StateValue::Alarm)
            }
        },
    }
}

fn reason(watch: &Watch, present: StateValue, next: StateValue, newest: &[(i64, f64)], lacking: usize) -> String {
    let counted = |count: usize, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let was = |count: usize| if count == 1 { "was" } else { "were" };
    if next == StateValue::InsufficientData {
        let (count, was) = (counted(lacking, "datapoint"), was(lacking));
        return format!("Insufficient Data: {count} {was} unknown.");
    }
    let is_alarm = next == StateValue::Alarm;
    let breaches = |value: f64| watch.comparison.breaches(value, watch.threshold);
    let telling: Vec<&(i64, f64)> = newest.iter().filter(|(_, value)| breaches(*value) == is_alarm).collect();
    if telling.is_empty() {
        let treated = if is_alarm { "Breaching" } else { "NonBreaching" };
        let (periods, points) = (counted(lacking, "period"), counted(lacking, "missing datapoint"));
        let was = was(lacking);
        return format!(
            "Threshold Crossed: no datapoints were received for {periods} and {points} {was} treated as [{treated}]."
        );
    }
    let shown: Vec<String> = telling.iter().map(|(at, value)| format!("{value:?} ({})", short_time(*at))).collect();
    let needed = watch.datapoints_to_alarm.unwrap_or(watch.evaluation_periods) as usize;
    let turning = if is_alarm { needed } else { watch.evaluation_periods as usize - needed + 1 };
    format!(
        "Threshold Crossed: {} out of the last {} [{}] {}{} {} the threshold ({:?}) (minimum {} for {} -> {} transition).",
        telling.len(),
        counted(newest.len(), "datapoint"),
        shown.join(", "),
        was(telling.len()),
        if is_alarm { "" } else { " not" },
        watch.comparison.words(),
        watch.threshold,
        counted(turning, "datapoint"),
        present.as_str(),
        next.as_str(),
    )
}

/// As in `02/10/19 16:59:00`.
fn short_time(second: i64) -> String {
    let text = Timestamp(second * 1000).rfc3339();
    format!("{}/{}/{} {}", &text[8..10], &text[5..7], &text[2..4], &text[11..19])
}

fn data(watch: &Watch, periods: &[Period], newest: &[(i64, f64)], now: Timestamp) -> String {
    let time = |second: i64| with_offset(Timestamp(second * 1000));
    let evaluated: Vec<_> =
        newest.iter().rev().map(|(at, value)| json!({"timestamp": time(*at), "value": value})).collect();
    let whole = json!({
        "version": "1.0",
        "queryDate": with_offset(now),
        "startDate": periods.first().map(|(at, _)| time(*at)),
        "statistic": watch.statistic,
        "period": watch.period_secs,
        "recentDatapoints": newest.iter().map(|(_, value)| value).collect::<Vec<_>>(),
        "threshold": watch.threshold,
        "evaluatedDatapoints": evaluated,
    });
    whole.to_string()
}

#[cfg(test)]
mod tests {
    use cove_model::alarm::{Comparison, Metric};

    use super::*;

    fn watch(needed: u32, of: u32, missing_data: MissingData) -> Watch {
        Watch {
            metric: Metric { namespace: "N".into(), name: "m".into(), dimensions: Default::default() },
            statistic: "Average".into(),
            unit: None,
            period_secs: 60,
            evaluation_periods: of,
            datapoints_to_alarm: Some(needed),
            threshold: 50.0,
            comparison: Comparison::GreaterThanThreshold,
            missing_data: Some(missing_data),
        }
    }

    /// `0` does not breach, `X` does, `-` is missing; `?` is the result that keeps the present state.
    fn verdicts(needed: u32, pattern: &str) -> String {
        let value = |c: char| match c {
            'X' => Some(99.5),
            '0' => Some(1.0),
            _ => None,
        };
        let periods: Vec<Period> = (0..).map(|n| n * 60).zip(pattern.chars().map(value)).collect();
        [MissingData::Missing, MissingData::Ignore, MissingData::Breaching, MissingData::NotBreaching]
            .map(|missing| evaluate(&watch(needed, 3, missing), StateValue::Ok, &periods, 0, Timestamp(0)))
            .map(|state| match state.map(|state| state.value) {
                None => '?',
                Some(StateValue::Ok) => 'O',
                Some(StateValue::Alarm) => 'A',
                Some(StateValue::InsufficientData) => 'I',
            })
            .iter()
            .collect()
    }

    #[test]
    fn missing_data_counts_as_in_cloudwatchs_tables() {
        let three_of_three =
            [("0-X-X", "OOOO"), ("0----", "OOOO"), ("-----", "I?AO"), ("0XX-X", "AAAA"), ("--X--", "A?AO")];
        for (pattern, expected) in three_of_three {
            assert_eq!(verdicts(3, pattern), expected, "3 of 3: {pattern}");
        }
        let two_of_three =
            [("0-X-X", "AAAA"), ("00X0X", "AAAA"), ("0-X--", "OOAO"), ("----0", "OOAO"), ("---X-", "A?AO")];
        for (pattern, expected) in two_of_three {
            assert_eq!(verdicts(2, pattern), expected, "2 of 3: {pattern}");
        }
    }

    #[test]
    fn reasons_read_as_cloudwatchs() {
        let at = 1_570_035_540;
        let state = |watch: &Watch, present, value| {
            evaluate(watch, present, &[(at - 60, None), (at - 30, None), (at, value)], 0, Timestamp(0)).unwrap().reason
        };
        let one = Watch { datapoints_to_alarm: None, ..watch(1, 1, MissingData::Missing) };
        assert_eq!(
            state(&one, StateValue::Ok, Some(99.5)),
            "Threshold Crossed: 1 out of the last 1 datapoint [99.5 (02/10/19 16:59:00)] was greater than the threshold \
             (50.0) (minimum 1 datapoint for OK -> ALARM transition)."
        );
        assert_eq!(
            state(&one, StateValue::Alarm, Some(1.0)),
            "Threshold Crossed: 1 out of the last 1 datapoint [1.0 (02/10/19 16:59:00)] was not greater than the \
             threshold (50.0) (minimum 1 datapoint for ALARM -> OK transition)."
        );
        assert_eq!(state(&one, StateValue::Ok, None), "Insufficient Data: 1 datapoint was unknown.");
        let strict = watch(1, 1, MissingData::Breaching);
        assert_eq!(
            state(&strict, StateValue::Ok, None),
            "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as \
             [Breaching]."
        );
    }

    #[test]
    fn what_was_before_the_start_is_unknown_and_changes_nothing() {
        let watch = watch(1, 1, MissingData::Missing);
        let periods = [(0, None), (60, None), (120, None)];
        assert_eq!(evaluate(&watch, StateValue::Ok, &periods, 130, Timestamp(0)), None);
        let missing = evaluate(&watch, StateValue::Ok, &periods, 120, Timestamp(0)).unwrap();
        assert_eq!(missing.value, StateValue::InsufficientData, "only the periods that count have to be known");
        let with_data = [(0, None), (60, None), (120, Some(99.0))];
        let state = evaluate(&watch, StateValue::Ok, &with_data, 130, Timestamp(0)).unwrap();
        assert_eq!(state.value, StateValue::Alarm);
    }

    #[test]
    fn the_range_ends_at_the_last_whole_minute_or_short_period() {
        let watch = Watch { period_secs: 300, ..watch(1, 1, MissingData::Missing) };
        assert_eq!(range(&watch, 1210), [300, 600, 900]);
        assert_eq!(range(&Watch { period_secs: 10, ..watch }, 1215), [1180, 1190, 1200]);
    }
}
