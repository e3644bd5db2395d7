//! Retries: exponential backoff in integers, with jitter drawn by the caller's entropy.

use serde::{Deserialize, Deserializer, Serialize};

use crate::types::Duration;

/// When to try again. Key names are those of seeds/000, `[two_phase.retry]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// How many retries there are before giving up is allowed.
    pub max_retries: u32,
    /// The first delay, in milliseconds.
    pub base_delay_ms: u64,
    /// The longest delay, in milliseconds.
    pub max_delay_ms: u64,
    /// Each delay is so many times the one before, in thousandths; `2.0` in a file becomes 2000.
    #[serde(rename = "backoff_multiplier", deserialize_with = "permille")]
    pub backoff_multiplier_permille: u32,
    /// Up to this much is added to each delay, in milliseconds, so that nodes do not retry in phase.
    pub jitter_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        RetryConfig {
            max_retries: 3,
            base_delay_ms: 5_000,
            max_delay_ms: 30_000,
            backoff_multiplier_permille: 2_000,
            jitter_ms: 250,
        }
    }
}

impl RetryConfig {
    /// The delay before a retry, of which `retries` were made before: the base, then exponentially more, at most the
    /// longest. Without jitter, which the caller adds.
    ///
    /// The document's code and its test disagree by one (S0-F6). This is its test: 0 gives the base.
    pub fn delay_for_retry(&self, retries: u32) -> Duration {
        let longest = self.max_delay_ms;
        let mut delay_ms = self.base_delay_ms.min(longest);
        for _ in 0..retries {
            if delay_ms == longest || delay_ms == 0 {
                break;
            }
            let next = u128::from(delay_ms) * u128::from(self.backoff_multiplier_permille) / 1_000;
            let next = u64::try_from(next).unwrap_or(u64::MAX).min(longest);
            if next == delay_ms {
                break;
            }
            delay_ms = next;
        }
        Duration::from_ms(delay_ms)
    }
}

/// Reads a decimal number as thousandths in text formats; binary ones hold the thousandths.
fn permille<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    if !deserializer.is_human_readable() {
        return u32::deserialize(deserializer);
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u32),
        Decimal(f64),
    }
    let thousandths = match Number::deserialize(deserializer)? {
        Number::Whole(whole) => f64::from(whole) * 1_000.0,
        Number::Decimal(decimal) => decimal * 1_000.0,
    };
    if (1_000.0..=100_000.0).contains(&thousandths) {
        Ok((thousandths + 0.5) as u32)
    } else {
        Err(serde::de::Error::custom(
            "expected backoff_multiplier from 1.0 to 100.0",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S0-97, `test_retry_config_delay`.
    #[test]
    fn delays_are_those_of_the_documents_test() {
        let config = RetryConfig::default();
        for (retries, ms) in [
            (0, 5_000),
            (1, 10_000),
            (2, 20_000),
            (3, 30_000),
            (10, 30_000),
            (u32::MAX, 30_000),
        ] {
            assert_eq!(
                config.delay_for_retry(retries).as_ms(),
                ms,
                "after {retries}"
            );
        }
    }

    #[test]
    fn a_decimal_becomes_thousandths_and_an_absurd_one_is_refused() {
        let parsed: RetryConfig = toml::from_str("backoff_multiplier = 1.5").unwrap();
        assert_eq!(parsed.backoff_multiplier_permille, 1_500);
        assert_eq!(parsed.delay_for_retry(1).as_ms(), 7_500);
        assert!(toml::from_str::<RetryConfig>("backoff_multiplier = 0.5").is_err());
        assert!(toml::from_str::<RetryConfig>("backoff_multiplier = nan").is_err());
        assert_eq!(
            crate::codec::decode(&crate::codec::encode(&parsed)),
            Ok(parsed)
        );
    }
}
