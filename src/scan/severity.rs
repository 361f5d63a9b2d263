//! How bad a finding is: ECR's six words, and CVSS scores in tenths so that they compare exactly.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// ECR's words for severity, from the least to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// Nobody said.
    #[default]
    Undefined,
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    /// All, from the least to the worst.
    pub const ALL: [Self; 6] =
        [Self::Undefined, Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As ECR writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undefined => "UNDEFINED",
            Self::Informational => "INFORMATIONAL",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// Whatever word a database or scanner uses, in any case: `moderate`, `important`, `negligible`, `error`, …
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        match word.trim().to_ascii_lowercase().as_str() {
            "critical" | "emergency" => Self::Critical,
            "high" | "important" | "error" => Self::High,
            "medium" | "moderate" | "warning" => Self::Medium,
            "low" | "minor" => Self::Low,
            "informational" | "info" | "negligible" | "note" | "none" | "unimportant" => Self::Informational,
            _ => Self::Undefined,
        }
    }
}

/// A CVSS score, 0.0 to 10.0. Written as a number with one decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u8);

impl Score {
    /// From tenths; more than 100 is 100.
    #[must_use]
    pub const fn from_tenths(tenths: u8) -> Self {
        Self(if tenths > 100 { 100 } else { tenths })
    }

    /// Rounded to a tenth. Nothing when it is no number from 0 to 10.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100 after the check")]
        (0.0..=10.0).contains(&value).then(|| Self((value * 10.0).round() as u8))
    }

    /// 0 to 100.
    #[must_use]
    pub const fn tenths(self) -> u8 {
        self.0
    }

    /// As a number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }

    /// CVSS's own scale; 0.0 is informational.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self.0 {
            0 => Severity::Informational,
            1..=39 => Severity::Low,
            40..=69 => Severity::Medium,
            70..=89 => Severity::High,
            _ => Severity::Critical,
        }
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        Self::from_f64(value).ok_or_else(|| serde::de::Error::custom("a score is a number from 0 to 10"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_all_databases_become_the_six_of_ecr() {
        let words = ["Critical", "IMPORTANT", "moderate", "low", "negligible", "unknown"];
        let expected = [5, 4, 3, 2, 1, 0].map(|at: usize| Severity::ALL[at]);
        assert_eq!(words.map(Severity::from_word), expected);
        for severity in Severity::ALL {
            assert_eq!(Severity::from_word(severity.name()), severity);
        }
    }

    #[test]
    fn scores_are_exact_tenths() {
        assert_eq!(Score::from_f64(9.8).map(Score::tenths), Some(98));
        assert_eq!(serde_json::to_string(&Score::from_tenths(53)).unwrap(), "5.3");
        assert_eq!(serde_json::from_str::<Score>("7.1").unwrap().severity(), Severity::High);
        assert!(serde_json::from_str::<Score>("10.1").is_err() && Score::from_f64(f64::NAN).is_none());
    }
}
