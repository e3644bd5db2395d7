//! Who watches a run: the judge of events that nodes decide, the bank where items live in clusters, or who pays with coins.

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::NodeId;
use serde::Serialize;
use tokio::sync::mpsc;

use super::bank::{self, Bank};
use super::coins::{self, Coins};
use super::findings::Findings;
use super::judge::{self, Judge};
use super::load::{Heard, Load};
use crate::client::NodeClient;
use crate::config::NodeConfig;
use crate::failure::Failure;
use crate::genesis;
use crate::purse::Purse;
use crate::router::Router;

/// Clients at work, and who judges what comes of it.
#[derive(Debug)]
pub(super) enum Watch {
    /// Events that nodes decide.
    Events {
        /// The judge.
        judge: Judge,
        /// Clients and onlookers.
        load: Load,
        /// What they hear.
        heard: mpsc::Receiver<Heard>,
    },
    /// Items that live in clusters.
    Bank(Box<Bank>),
    /// Coins that clients pay with.
    Coins(Box<Coins>),
}

/// What came of it, in numbers.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Counts {
    /// Of events.
    Events(judge::Counts),
    /// Of the bank.
    Bank(bank::Counts),
    /// Of payments with coins.
    Coins(coins::Counts),
}

impl Watch {
    /// Lets clients begin.
    pub(super) fn start(
        protocol: ProtocolKind,
        nodes: Vec<NodeClient>,
        configs: &[NodeConfig],
        rate: u64,
        seed: u64,
    ) -> Result<Watch, Failure> {
        if let Some(router) = Router::new(configs) {
            return Ok(Watch::Bank(Box::new(Bank::open(router, rate, seed)?)));
        }
        if let Some(purse) = configs.first().and_then(Purse::of) {
            let coins = Coins::start(nodes, purse, rate, seed);
            return Ok(Watch::Coins(Box::new(coins)));
        }
        let request = genesis::sample(protocol).request;
        let (load, heard) = Load::start(nodes, request, rate, seed);
        let judge = Judge::new(protocol.spec());
        Ok(Watch::Events { judge, load, heard })
    }

    /// Hears the next thing. Can be given up without losing anything.
    pub(super) async fn hear(&mut self) {
        match self {
            Watch::Bank(bank) => bank.hear().await,
            Watch::Coins(coins) => coins.hear().await,
            Watch::Events { judge, heard, .. } => match heard.recv().await {
                Some(Heard::Report(report)) => judge.look(&report),
                Some(Heard::Answer(node, answer)) => judge.answer(node, &answer),
                None => std::future::pending().await,
            },
        }
    }

    /// Asks for nothing more; looks go on.
    pub(super) fn rest(&self) {
        match self {
            Watch::Bank(bank) => bank.rest(),
            Watch::Coins(coins) => coins.rest(),
            Watch::Events { load, .. } => load.rest(),
        }
    }

    /// What has not ended everywhere; empty once every client has its last answer, and all is as it should be.
    pub(super) async fn unfinished(&mut self, nodes: &[NodeId]) -> Vec<String> {
        match self {
            Watch::Bank(bank) => bank.unfinished().await,
            Watch::Coins(coins) => coins.unfinished().await,
            Watch::Events { judge, load, .. } => {
                let mut unfinished = judge.unfinished(nodes);
                if !load.is_at_rest() && unfinished.is_empty() {
                    unfinished.push("clients wait for answers".to_owned());
                }
                unfinished
            }
        }
    }

    /// What was wrong so far.
    pub(super) fn findings(&mut self) -> &mut Findings {
        match self {
            Watch::Bank(bank) => bank.findings(),
            Watch::Coins(coins) => coins.findings(),
            Watch::Events { judge, .. } => judge.findings(),
        }
    }

    /// What clients asked for.
    pub(super) fn asked(&self) -> u64 {
        match self {
            Watch::Bank(bank) => bank.asked(),
            Watch::Coins(coins) => coins.asked(),
            Watch::Events { load, .. } => load.asked(),
        }
    }

    /// How far it is, in words.
    pub(super) fn progress(&self) -> String {
        match self {
            Watch::Bank(bank) => bank.progress(),
            Watch::Coins(coins) => coins.progress(),
            Watch::Events { judge, .. } => format!("{} events decided", judge.counts().decided),
        }
    }

    /// What came of it, in numbers.
    pub(super) fn counts(&self) -> Counts {
        match self {
            Watch::Bank(bank) => Counts::Bank(bank.counts()),
            Watch::Coins(coins) => Counts::Coins(coins.counts()),
            Watch::Events { judge, .. } => Counts::Events(judge.counts()),
        }
    }
}

impl Counts {
    /// Two lines for people: what came of what was asked for, and what was watched.
    pub(super) fn lines(&self, asked: u64) -> [String; 2] {
        match self {
            Counts::Bank(counts) => counts.lines(asked),
            Counts::Coins(counts) => counts.lines(asked),
            Counts::Events(judge::Counts {
                acknowledged,
                decided,
                abandoned,
                signatures,
                looks,
            }) => [
                format!(
                    "{asked} events asked for, {acknowledged} acknowledged, {decided} decided, {abandoned} abandoned"
                ),
                format!("{looks} looks at nodes, {signatures} signatures"),
            ],
        }
    }
}
