//! How a service is deployed: ECS shape `DeploymentConfiguration`, with defaults filled in.
//!
//! Rounding is AWS's: the minimum rounds up, the maximum rounds down.

use serde::{Deserialize, Serialize};

use super::SchedulingStrategy;

/// ECS's ranges.
const BAKE_MAX_MINUTES: i32 = 1440;
const LINEAR_PERCENT: std::ops::RangeInclusive<f64> = 3.0..=100.0;
const CANARY_PERCENT: std::ops::RangeInclusive<f64> = 0.1..=100.0;
const PERCENT_MAX: i32 = 100_000;

/// ECS shape `DeploymentConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_circuit_breaker: Option<CircuitBreaker>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_percent: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_healthy_percent: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms: Option<Alarms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<DeploymentStrategy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bake_time_in_minutes: Option<i32>,
    /// As given; an empty list takes away those that there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_hooks: Option<Vec<LifecycleHook>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_configuration: Option<Linear>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary_configuration: Option<Canary>,
}

/// ECS shape `DeploymentCircuitBreaker`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    pub enable: bool,
    pub rollback: bool,
}

/// ECS shape `DeploymentAlarms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarms {
    pub alarm_names: Vec<String>,
    pub enable: bool,
    pub rollback: bool,
}

/// ECS shape `DeploymentStrategy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStrategy {
    #[default]
    Rolling,
    BlueGreen,
    Linear,
    Canary,
}

/// ECS shape `LinearConfiguration`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linear {
    #[serde(default = "linear_percent")]
    pub step_percent: f64,
    #[serde(default = "linear_minutes")]
    pub step_bake_time_in_minutes: i32,
}

const fn linear_percent() -> f64 {
    10.0
}

const fn linear_minutes() -> i32 {
    6
}

/// ECS shape `CanaryConfiguration`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    #[serde(default = "canary_percent")]
    pub canary_percent: f64,
    #[serde(default = "canary_minutes")]
    pub canary_bake_time_in_minutes: i32,
}

const fn canary_percent() -> f64 {
    5.0
}

const fn canary_minutes() -> i32 {
    10
}

/// ECS shape `DeploymentLifecycleHook`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LifecycleHook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_type: Option<HookTarget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_target_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lifecycle_stages: Vec<HookStage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_details: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_configuration: Option<HookTimeout>,
}

/// ECS shape `DeploymentLifecycleHookTargetType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookTarget {
    AwsLambda,
    Pause,
}

/// ECS shape `DeploymentLifecycleHookStage`, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStage {
    ReconcileService,
    PreScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
}

/// ECS shape `DeploymentLifecycleHookTimeoutConfiguration`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HookTimeout {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_in_minutes: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<HookAction>,
}

/// ECS shape `DeploymentLifecycleHookAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookAction {
    Rollback,
    Continue,
}

/// A configuration that ECS would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadConfiguration(String);

impl DeploymentConfiguration {
    /// The strategy; absent means ROLLING.
    #[must_use]
    pub fn strategy(&self) -> DeploymentStrategy {
        self.strategy.unwrap_or_default()
    }

    /// Those of its lifecycle.
    #[must_use]
    pub fn hooks(&self) -> &[LifecycleHook] {
        self.lifecycle_hooks.as_deref().unwrap_or_default()
    }

    /// Tasks that must stay healthy.
    #[must_use]
    pub fn minimum(&self, desired: u32) -> u32 {
        let percent = i64::from(self.minimum_healthy_percent.unwrap_or(100)).max(0);
        u32::try_from((i64::from(desired) * percent + 99) / 100).unwrap_or(u32::MAX)
    }

    /// Tasks that there may be at once.
    #[must_use]
    pub fn maximum(&self, desired: u32) -> u32 {
        let percent = i64::from(self.maximum_percent.unwrap_or(200)).max(0);
        u32::try_from(i64::from(desired) * percent / 100).unwrap_or(u32::MAX)
    }

    /// Failed tasks at which the circuit breaker trips: half of the desired ones, but at least 3 and at most 200.
    #[must_use]
    pub fn breaker_threshold(desired: u32) -> u32 {
        desired.div_ceil(2).clamp(3, 200)
    }

    /// Lays what a request gives over what there was, and fills in what nobody gave.
    #[must_use]
    pub fn updated(&self, given: Self, scheduling: SchedulingStrategy) -> Self {
        let (minimum, maximum) = match scheduling {
            SchedulingStrategy::Replica => (100, 200),
            SchedulingStrategy::Daemon => (0, 100),
        };
        let strategy = given.strategy.or(self.strategy).unwrap_or_default();
        let is = |wanted| strategy == wanted;
        let linear = given.linear_configuration.or_else(|| self.linear_configuration.clone());
        let canary = given.canary_configuration.or_else(|| self.canary_configuration.clone());
        let default_linear = Linear { step_percent: linear_percent(), step_bake_time_in_minutes: linear_minutes() };
        let default_canary = Canary { canary_percent: canary_percent(), canary_bake_time_in_minutes: canary_minutes() };
        // What was to follow a shift of traffic does not follow a rolling update.
        let shifts = |strategy| strategy != DeploymentStrategy::Rolling;
        let bake_before = self.bake_time_in_minutes.filter(|_| shifts(self.strategy()) == shifts(strategy));
        let bake = given.bake_time_in_minutes.or(bake_before).unwrap_or(0);
        Self {
            deployment_circuit_breaker: given
                .deployment_circuit_breaker
                .or_else(|| self.deployment_circuit_breaker.clone())
                .or(Some(CircuitBreaker { enable: false, rollback: false })),
            maximum_percent: given.maximum_percent.or(self.maximum_percent).or(Some(maximum)),
            minimum_healthy_percent: given.minimum_healthy_percent.or(self.minimum_healthy_percent).or(Some(minimum)),
            alarms: given.alarms.or_else(|| self.alarms.clone()).or_else(|| Some(Alarms::default())),
            strategy: Some(strategy),
            bake_time_in_minutes: Some(bake),
            lifecycle_hooks: match given.lifecycle_hooks {
                None if given.strategy == Some(DeploymentStrategy::Rolling) => None,
                None => self.lifecycle_hooks.clone(),
                Some(given) => Some(given).filter(|hooks| !hooks.is_empty()),
            },
            linear_configuration: is(DeploymentStrategy::Linear).then(|| linear.unwrap_or(default_linear)),
            canary_configuration: is(DeploymentStrategy::Canary).then(|| canary.unwrap_or(default_canary)),
        }
    }

    /// Whether ECS takes it for a service of that kind.
    ///
    /// # Errors
    /// In ECS's words where they are known.
    pub fn check(&self, scheduling: SchedulingStrategy) -> Result<(), BadConfiguration> {
        let bad = |text: &str| Err(BadConfiguration(text.to_owned()));
        let maximum = self.maximum_percent.unwrap_or(200);
        let minimum = self.minimum_healthy_percent.unwrap_or(100);
        if !(0..=PERCENT_MAX).contains(&maximum) || !(0..=PERCENT_MAX).contains(&minimum) {
            return bad("maximumPercent and minimumHealthyPercent must not be negative.");
        }
        match scheduling {
            SchedulingStrategy::Replica if maximum < 100 => {
                return bad("maximumPercent must be at least 100.");
            }
            SchedulingStrategy::Replica if minimum > 100 => {
                return bad("minimumHealthyPercent must be at most 100.");
            }
            SchedulingStrategy::Replica if maximum == 100 && minimum == 100 => {
                return bad(
                    "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
                );
            }
            SchedulingStrategy::Daemon if maximum < 100 || minimum > 100 || (maximum == 100 && minimum == 100) => {
                return bad(
                    "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
                );
            }
            SchedulingStrategy::Replica | SchedulingStrategy::Daemon => {}
        }
        self.check_strategy(scheduling)
    }

    fn check_strategy(&self, scheduling: SchedulingStrategy) -> Result<(), BadConfiguration> {
        let bad = |text: String| Err(BadConfiguration(text));
        let minutes = 0..=BAKE_MAX_MINUTES;
        if self.strategy() != DeploymentStrategy::Rolling && scheduling == SchedulingStrategy::Daemon {
            return bad("DAEMON services support the ROLLING deployment strategy only.".to_owned());
        }
        if self.bake_time_in_minutes.is_some_and(|bake| !minutes.contains(&bake)) {
            return bad(format!("bakeTimeInMinutes must be between 0 and {BAKE_MAX_MINUTES}."));
        }
        if let Some(linear) = &self.linear_configuration
            && (!LINEAR_PERCENT.contains(&linear.step_percent) || !minutes.contains(&linear.step_bake_time_in_minutes))
        {
            return bad("linearConfiguration takes a stepPercent of 3.0 to 100.0 and 0 to 1440 minutes.".to_owned());
        }
        if let Some(canary) = &self.canary_configuration
            && (!CANARY_PERCENT.contains(&canary.canary_percent)
                || !minutes.contains(&canary.canary_bake_time_in_minutes))
        {
            return bad("canaryConfiguration takes a canaryPercent of 0.1 to 100.0 and 0 to 1440 minutes.".to_owned());
        }
        if self.hooks().iter().any(|hook| hook.lifecycle_stages.is_empty()) {
            return bad("lifecycleStages of a lifecycle hook must not be empty.".to_owned());
        }
        if self.strategy() == DeploymentStrategy::Rolling && !self.hooks().is_empty() {
            return bad("lifecycleHooks are not supported with the ROLLING deployment strategy.".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(minimum: i32, maximum: i32) -> DeploymentConfiguration {
        DeploymentConfiguration {
            minimum_healthy_percent: Some(minimum),
            maximum_percent: Some(maximum),
            ..DeploymentConfiguration::default()
        }
    }

    #[test]
    fn the_minimum_rounds_up_and_the_maximum_down() {
        assert_eq!((percent(50, 150).minimum(3), percent(50, 150).maximum(3)), (2, 4));
        assert_eq!((percent(100, 200).minimum(1), percent(100, 200).maximum(1)), (1, 2));
        assert_eq!((percent(0, 100).minimum(5), percent(0, 100).maximum(5)), (0, 5));
        assert_eq!((percent(1, 199).minimum(1), percent(1, 199).maximum(1)), (1, 1));
    }

    #[test]
    fn the_breaker_trips_at_half_of_the_desired_tasks_within_bounds() {
        let thresholds = [0, 1, 6, 7, 100, 1000].map(DeploymentConfiguration::breaker_threshold);
        assert_eq!(thresholds, [3, 3, 3, 4, 50, 200]);
    }

    #[test]
    fn what_would_block_deployments_is_refused() {
        use SchedulingStrategy::{Daemon, Replica};
        assert!(percent(100, 100).check(Replica).is_err());
        assert!(percent(99, 100).check(Replica).is_ok());
        assert!(percent(0, 99).check(Replica).is_err());
        assert!(percent(0, 100).check(Daemon).is_ok());
        assert!(percent(-1, 200).check(Replica).is_err());
    }

    #[test]
    fn an_update_keeps_what_it_does_not_mention() {
        let first = DeploymentConfiguration::default().updated(percent(50, 150), SchedulingStrategy::Replica);
        let given = DeploymentConfiguration { maximum_percent: Some(300), ..DeploymentConfiguration::default() };
        let second = first.updated(given, SchedulingStrategy::Replica);
        assert_eq!((second.minimum_healthy_percent, second.maximum_percent), (Some(50), Some(300)));
        assert_eq!(second.strategy(), DeploymentStrategy::Rolling);
    }
}
