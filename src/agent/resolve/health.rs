//! The health check of a container, as Docker reads it.
//!
//! Only the definition's: one that the image brings is not run, as in ECS.

use std::time::Duration;

use cove_model::task_definition::ContainerDefinition;
use cove_runtime::spec::HealthCheck;

/// ECS's defaults, which RegisterTaskDefinition fills in.
const INTERVAL_DEFAULT_SECS: i32 = 30;
const TIMEOUT_DEFAULT_SECS: i32 = 5;
const RETRIES_DEFAULT: i32 = 3;

/// The check to run; `shell` is the image's own, if it names one.
pub(super) fn check(definition: &ContainerDefinition, shell: &[String]) -> Option<HealthCheck> {
    let given = definition.health_check.as_ref()?;
    let (kind, words) = given.command.split_first()?;
    let args = match kind.as_str() {
        "CMD" => words.to_vec(),
        "CMD-SHELL" if shell.is_empty() => ["/bin/sh", "-c"].map(str::to_owned).iter().chain(words).cloned().collect(),
        "CMD-SHELL" => shell.iter().chain(words).cloned().collect(),
        _ => return None,
    };
    let millis = |secs: Option<i32>, default: i32| {
        let secs = u64::try_from(secs.unwrap_or(default)).unwrap_or(0);
        u64::try_from(Duration::from_secs(secs).as_millis()).unwrap_or(u64::MAX)
    };
    Some(HealthCheck {
        args,
        interval_millis: millis(given.interval, INTERVAL_DEFAULT_SECS),
        timeout_millis: millis(given.timeout, TIMEOUT_DEFAULT_SECS),
        retries: u32::try_from(given.retries.unwrap_or(RETRIES_DEFAULT)).unwrap_or(1),
        start_period_millis: millis(given.start_period, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(command: &[&str], shell: &[&str]) -> Option<Vec<String>> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let given = cove_model::task_definition::HealthCheck { command: owned(command), ..Default::default() };
        let definition = ContainerDefinition { health_check: Some(given), ..Default::default() };
        check(&definition, &owned(shell)).map(|check| check.args)
    }

    #[test]
    fn a_command_is_run_as_it_is_and_a_script_by_the_images_shell() {
        assert_eq!(args(&["CMD", "curl", "-f", "x"], &[]).unwrap(), ["curl", "-f", "x"]);
        assert_eq!(args(&["CMD-SHELL", "a || b"], &[]).unwrap(), ["/bin/sh", "-c", "a || b"]);
        assert_eq!(args(&["CMD-SHELL", "a"], &["/bin/bash", "-ec"]).unwrap(), ["/bin/bash", "-ec", "a"]);
        assert_eq!((args(&["NONE"], &[]), args(&[], &[])), (None, None));
        assert_eq!(check(&ContainerDefinition::default(), &[]), None);
    }

    #[test]
    fn what_is_not_said_is_ecss_default() {
        let given =
            cove_model::task_definition::HealthCheck { command: vec!["CMD".into(), "x".into()], ..Default::default() };
        let definition = ContainerDefinition { health_check: Some(given), ..Default::default() };
        let check = check(&definition, &[]).unwrap();
        assert_eq!((check.interval_millis, check.timeout_millis), (30_000, 5000));
        assert_eq!((check.retries, check.start_period_millis), (3, 0));
    }
}
