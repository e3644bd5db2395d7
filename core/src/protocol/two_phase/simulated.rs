//! How the simulator runs two-phase: its chain, its oracle, its swarm, and what clients are told.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use super::{
    ChainChange, ChainSetting, Reply, SubmitEvent, TwoPhase, chain, museum, oracle, swarm,
};
use crate::engine::{Env, Genesis};
use crate::environment::Environment;
use crate::museum::Exhibit;
use crate::oracle::Oracle;
use crate::protocol::{ReplyView, Simulated};
use crate::scenario::Scenario;

impl Simulated for TwoPhase {
    type Setting = ChainSetting;
    type Change = ChainChange;

    const MUSEUM: &'static [Exhibit] = museum::EXHIBITS;
    const OUTCOMES: &'static [&'static str] =
        &["accepted", "in-progress", "decided", "abandoned", "refused"];

    fn environment(setting: &ChainSetting, genesis: &Genesis, seed: u64) -> Box<dyn Environment> {
        Box::new(chain::Chain::new(setting, genesis, seed))
    }

    fn oracle(env: &Env<Self>) -> Box<dyn Oracle> {
        Box::new(oracle::TwoPhaseOracle::new(env))
    }

    fn check_setting(setting: &ChainSetting) -> Result<(), String> {
        setting.check()
    }

    fn swarm(seed: u64) -> Scenario {
        swarm::draw(seed)
    }

    fn request_name(request: &SubmitEvent) -> String {
        request.event.clone()
    }

    fn read_reply(reply: &Reply) -> ReplyView {
        let view = |outcome, value, certificate: u16, last, text: String| ReplyView {
            outcome,
            value,
            certificate: u64::from(certificate),
            last,
            refused: outcome == "refused",
            text,
        };
        match reply {
            Reply::Accepted => view(
                "accepted",
                None,
                0,
                false,
                "accepted; a decision follows".to_string(),
            ),
            Reply::InProgress => view(
                "in-progress",
                None,
                0,
                false,
                "already in progress".to_string(),
            ),
            Reply::Decided {
                tx_template_hash: hash,
                locks,
            } => view(
                "decided",
                Some(*hash),
                *locks,
                true,
                format!("certificate: {locks} locks"),
            ),
            Reply::Abandoned { withdrawals } => view(
                "abandoned",
                None,
                *withdrawals,
                true,
                format!("certificate: {withdrawals} withdrawals"),
            ),
            Reply::Refused(why) => view("refused", None, 0, true, why.clone()),
        }
    }
}
