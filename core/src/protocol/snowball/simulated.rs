//! How the simulator runs snowball: no world outside, its oracle, its swarm, and what clients are told.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::conflict::output_name;
use super::{Reply, Request, Snowball, SnowballConfig, museum, oracle, swarm};
use crate::engine::{Env, Genesis, Never};
use crate::environment::{Environment, Nowhere, Void};
use crate::explore::cluster::Bounds;
use crate::ledger::Coin;
use crate::museum::Exhibit;
use crate::oracle::Oracle;
use crate::protocol::{ReplyView, Simulated};
use crate::scenario::Scenario;
use crate::snow::Parameters;

impl Simulated for Snowball {
    type Setting = Nowhere;
    type Change = Never;

    const MUSEUM: &'static [Exhibit] = museum::EXHIBITS;
    const OUTCOMES: &'static [&'static str] = &["accepted", "decided", "abandoned", "refused"];
    const PROBABLE: &'static [&'static str] = oracle::PROBABLE;

    /// Timers of polls fire within the rounds; how often is what a search takes most of its states for.
    const BOUNDS: Bounds = Bounds {
        rounds: 3,
        timeouts: Some(1),
        crashes: 0,
        ..Bounds::DEFAULT
    };
    const HAS_WORLD: bool = false;

    fn environment(_: &Nowhere, _: &Genesis, _: u64) -> Box<dyn Environment> {
        Box::new(Void)
    }

    fn oracle(env: &Env<Self>) -> Box<dyn Oracle> {
        Box::new(oracle::SnowballOracle::new(env))
    }

    fn check_setting(_: &Nowhere) -> Result<(), String> {
        Ok(())
    }

    fn swarm(seed: u64) -> Scenario {
        swarm::draw(seed)
    }

    fn polls(config: &SnowballConfig) -> Option<Result<Parameters, &'static str>> {
        let is_even = config.weights.iter().all(|(_, weight)| *weight == 1);
        Some(match is_even {
            true => Ok(config.unscaled()),
            false => Err("weights are not equal"),
        })
    }

    fn coins(config: &SnowballConfig) -> Option<Vec<Coin>> {
        Some(config.named_coins())
    }

    fn request_name(request: &Request) -> String {
        request.name.clone()
    }

    fn read_reply(reply: &Reply) -> ReplyView {
        let view = |outcome, value, certificate, last, text| ReplyView {
            outcome,
            value,
            certificate,
            last,
            refused: outcome == "refused",
            text,
        };
        match reply {
            Reply::Accepted { txid } => view(
                "accepted",
                Some(*txid),
                0,
                false,
                format!("{} is valid; its inputs are locked", txid.short()),
            ),
            Reply::Finalized { txid, confidence } => view(
                "decided",
                Some(*txid),
                u64::from(*confidence),
                true,
                format!(
                    "{} is final after {confidence} successful polls in a row",
                    txid.short()
                ),
            ),
            Reply::Rejected { txid, by } => view(
                "abandoned",
                None,
                0,
                true,
                format!(
                    "{} is rejected: {} spends an input of it",
                    txid.short(),
                    by.short()
                ),
            ),
            Reply::Locked { input, by } => view(
                "refused",
                None,
                0,
                true,
                format!("input {} is locked by {}", output_name(input), by.short()),
            ),
            Reply::Refused(why) => view("refused", None, 0, true, why.to_string()),
        }
    }
}
