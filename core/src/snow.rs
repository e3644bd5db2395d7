//! Snowflake and Snowball: how one node's polls become its decision, without messages.
//!
//! ```text
//! a poll of k others ends with `count` votes for its leading choice     (a choice is a colour in the paper)
//!
//! count < alpha_preference                 unsuccessful: the confidence is cleared, the preference stays
//! count >= alpha_preference                Snowflake: the preference is the choice; if it was another one, the
//!                                            confidence is cleared first
//!                                          Snowball: strength[choice] += 1, and the preference moves to the choice
//!                                            only if that makes it strictly stronger than all others
//! count >= alpha_confidence as well        confidence += 1; final at beta
//! count < alpha_confidence                 the confidence is cleared
//! final                                    nothing changes any more, but strengths are still counted
//! ```
//!
//! The confidence belongs to the snowflake inside a snowball, which follows the last poll: it may become final for
//! another choice than the strongest, and then the snowball prefers that one. [`Poll`] gathers the answers to one
//! question and says when more of them cannot change the result. Nothing here is certain: [`bound`] says how likely two
//! nodes decide otherwise, and under which assumptions.
//!
//! References: Team Rocket, "Snowflake to Avalanche" (2018); arXiv 1906.08936; avalanchego, snow/consensus/snowball.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::ordered::Map;

pub mod bound;
mod poll;
#[cfg(test)]
mod tests;

pub use poll::Poll;

/// How many are asked, and how many of them have to agree how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Parameters {
    /// How many others a poll asks.
    pub k: u16,
    /// Votes that move the preference.
    pub alpha_preference: u16,
    /// Votes that count towards finality.
    pub alpha_confidence: u16,
    /// Polls in a row, each with `alpha_confidence` votes for the same choice, that make it final.
    pub beta: u32,
}

impl Parameters {
    /// Those of Avalanche's main network.
    pub const MAINNET: Parameters = Parameters {
        k: 20,
        alpha_preference: 15,
        alpha_confidence: 15,
        beta: 20,
    };

    /// Whether k / 2 < alpha_preference <= alpha_confidence <= k and beta > 0: no two choices succeed in one poll.
    ///
    /// # Errors
    /// Which key is wrong, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let Parameters {
            k,
            alpha_preference,
            alpha_confidence,
            beta,
        } = *self;
        if k == 0 {
            return Err("k = 0: expected at least 1".to_string());
        }
        let majority = k / 2 + 1;
        if !(majority..=k).contains(&alpha_preference) {
            return Err(format!(
                "alpha_preference = {alpha_preference}: expected {majority} to {k}, more than half of k = {k}"
            ));
        }
        if !(alpha_preference..=k).contains(&alpha_confidence) {
            return Err(format!(
                "alpha_confidence = {alpha_confidence}: expected {alpha_preference} to {k}, from alpha_preference to k"
            ));
        }
        if beta == 0 {
            return Err("beta = 0: expected at least 1".to_string());
        }
        Ok(())
    }

    /// The same shares where fewer than `k` others exist: all of them are asked, and thresholds are rounded up. What
    /// [`Parameters::check`] accepts stays acceptable as long as there is anyone to ask.
    pub fn scaled_to(&self, others: u16) -> Parameters {
        if others >= self.k {
            return *self;
        }
        let share = |alpha: u16| {
            let scaled = (u32::from(alpha) * u32::from(others)).div_ceil(u32::from(self.k));
            u16::try_from(scaled).unwrap_or(u16::MAX)
        };
        Parameters {
            k: others,
            alpha_preference: share(self.alpha_preference),
            alpha_confidence: share(self.alpha_confidence),
            beta: self.beta,
        }
    }
}

/// Prefers what the last successful poll said, and is final after `beta` of them in a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snowflake<C> {
    preference: C,
    confidence: u32,
    finalized: bool,
}

impl<C: Copy + Ord> Snowflake<C> {
    /// Prefers this choice, with no confidence in it.
    pub fn new(choice: C) -> Snowflake<C> {
        Snowflake {
            preference: choice,
            confidence: 0,
            finalized: false,
        }
    }

    /// Takes in a poll that ended with so many votes for its leading choice.
    pub fn record_poll(&mut self, parameters: &Parameters, choice: C, count: u16) {
        if self.finalized {
            return;
        }
        if count < parameters.alpha_preference {
            self.confidence = 0;
            return;
        }
        if choice != self.preference {
            self.confidence = 0;
            self.preference = choice;
        }
        if count < parameters.alpha_confidence {
            self.confidence = 0;
            return;
        }
        self.confidence += 1;
        self.finalized = self.confidence >= parameters.beta;
    }

    /// Takes in a poll without a leading choice, or one that nobody answered: "in a row" starts anew. (S1-F9)
    pub fn record_unsuccessful_poll(&mut self) {
        if !self.finalized {
            self.confidence = 0;
        }
    }

    /// The choice of the last successful poll; the decision once it is final.
    pub fn preference(&self) -> C {
        self.preference
    }

    /// How many polls in a row counted towards finality.
    pub fn confidence(&self) -> u32 {
        self.confidence
    }

    /// Whether the preference is the decision.
    pub fn is_finalized(&self) -> bool {
        self.finalized
    }
}

/// Prefers what most polls said so far, and is final when the snowflake inside it is. (S1-F10)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snowball<C> {
    snowflake: Snowflake<C>,
    /// No choice is stronger; among equals, the one that was there first.
    preference: C,
    /// Successful polls by choice; 0 for a choice that is known and never won one.
    strengths: Map<C, u32>,
}

impl<C: Copy + Ord> Snowball<C> {
    /// Prefers this choice, with no strength and no confidence.
    pub fn new(choice: C) -> Snowball<C> {
        Snowball {
            snowflake: Snowflake::new(choice),
            preference: choice,
            strengths: Map::from([(choice, 0)]),
        }
    }

    /// Makes a choice known, so that it can be preferred once stronger ones are removed.
    pub fn add(&mut self, choice: C) {
        self.strengths.get_or_default(choice);
    }

    /// Takes in a poll that ended with so many votes for its leading choice.
    pub fn record_poll(&mut self, parameters: &Parameters, choice: C, count: u16) {
        if count >= parameters.alpha_preference {
            let most = self.strength(self.preference);
            let strength = self.strengths.get_or_default(choice);
            *strength = strength.saturating_add(1);
            if *strength > most {
                self.preference = choice;
            }
        }
        self.snowflake.record_poll(parameters, choice, count);
    }

    /// Takes in a poll without a leading choice, or one that nobody answered.
    pub fn record_unsuccessful_poll(&mut self) {
        self.snowflake.record_unsuccessful_poll();
    }

    /// The strongest choice; the decision once it is final.
    pub fn preference(&self) -> C {
        if self.is_finalized() {
            return self.snowflake.preference();
        }
        self.preference
    }

    /// How many polls in a row counted towards finality.
    pub fn confidence(&self) -> u32 {
        self.snowflake.confidence()
    }

    /// What the confidence is for: the choice of the last successful poll.
    pub fn candidate(&self) -> C {
        self.snowflake.preference()
    }

    /// Whether the preference is the decision.
    pub fn is_finalized(&self) -> bool {
        self.snowflake.is_finalized()
    }

    /// How many polls this choice won.
    pub fn strength(&self, choice: C) -> u32 {
        self.strengths.get(&choice).copied().unwrap_or(0)
    }

    /// Every known choice with the polls that it won, in the order of choices.
    pub fn strengths(&self) -> impl Iterator<Item = (&C, &u32)> {
        self.strengths.iter()
    }

    /// Forgets a choice that died, and gives the preference after it: the same one if another choice died, else the
    /// strongest of the rest, the least of equals. `None` if nothing else is known: then nothing changes, and the
    /// instance is of no use.
    ///
    /// If the choice was final, the instance reopens at zero: with every other choice, and no strength.
    pub fn remove(&mut self, choice: &C) -> Option<C> {
        let rest = self.strengths.iter().filter(|(other, _)| *other != choice);
        // The least of equals: a later one has to be stronger.
        let strongest = rest.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (strongest, _) = strongest.map(|(choice, strength)| (*choice, *strength))?;
        self.strengths.remove(choice);
        let was_candidate = self.snowflake.preference() == *choice;
        if was_candidate && self.is_finalized() {
            self.strengths
                .values_mut()
                .for_each(|strength| *strength = 0);
            self.preference = strongest;
        } else if self.preference == *choice {
            self.preference = strongest;
        }
        if was_candidate {
            self.snowflake = Snowflake::new(self.preference);
        }
        Some(self.preference())
    }
}
