//! Coins as nodes show them: outputs that nobody has spent, whose they are, and what wallets hold together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use phaselab_core::ledger::{Coin, wallet};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::{Hash32, NodeId};
use serde::Serialize;

use crate::client::NodeClient;
use crate::config::NodeConfig;
use crate::failure::Failure;
use crate::node::NodeReport;

const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// An output that can be spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unspent {
    /// What `--spend` calls it: a coin of genesis such as `alice:0`, or a transaction with an index.
    pub(crate) output: String,
    /// What it holds.
    pub(crate) amount: u64,
    /// Whose it is: a wallet's name, or a key that no known wallet has.
    pub(crate) owner: String,
}

/// What genesis gave to whom, and whose keys are whose.
#[derive(Clone, Debug)]
pub(crate) struct Purse {
    coins: Vec<Coin>,
    /// Wallets by their keys in hexadecimal digits.
    wallets: BTreeMap<String, String>,
}

/// Whether clients of a protocol pay with coins.
pub(crate) fn has_coins(protocol: ProtocolKind) -> bool {
    protocol.coins(&protocol.default_config()).is_some()
}

impl Purse {
    /// The purse of a folder's cluster; `None` where nobody pays with coins.
    ///
    /// # Errors
    /// If no configuration can be read.
    pub(crate) fn of_folder(folder: &BTreeMap<NodeId, PathBuf>) -> Result<Option<Purse>, Failure> {
        let Some(path) = folder.values().next() else {
            return Ok(None);
        };
        Ok(Purse::of(&NodeConfig::load(path)?))
    }

    /// The same by a node's configuration.
    pub(crate) fn of(config: &NodeConfig) -> Option<Purse> {
        let file = &config.genesis;
        let coins = file.protocol.coins(&file.genesis.config)?;
        let builders = file.ids().into_iter().map(|id| format!("node-{}", id.0));
        Some(Purse::new(coins, builders))
    }

    fn new(coins: Vec<Coin>, others: impl Iterator<Item = String>) -> Purse {
        let mut purse = Purse {
            wallets: BTreeMap::new(),
            coins,
        };
        let owners: BTreeSet<String> = purse.coins.iter().map(|coin| coin.owner.clone()).collect();
        for name in owners.into_iter().chain(others) {
            purse.know(&name);
        }
        purse
    }

    /// Makes a wallet's name known.
    pub(crate) fn know(&mut self, name: &str) {
        let key = Hash32(wallet(name).public().0).to_string();
        self.wallets.insert(key, name.to_owned());
    }

    /// The coins of genesis.
    pub(crate) fn coins(&self) -> &[Coin] {
        &self.coins
    }

    /// Who owns coins of genesis, in the file's order.
    pub(crate) fn owners(&self) -> Vec<&str> {
        let mut owners: Vec<&str> = Vec::new();
        for coin in &self.coins {
            if !owners.contains(&coin.owner.as_str()) {
                owners.push(&coin.owner);
            }
        }
        owners
    }

    /// What is unspent at a node, by a view in full.
    pub(crate) fn unspent(&self, report: &NodeReport) -> Vec<Unspent> {
        let spent = report.instances.iter();
        let spent = spent.filter(|instance| instance.value.is_some());
        let spent: BTreeSet<&str> = spent.map(|instance| instance.instance.as_str()).collect();
        let coins = self.coins.iter();
        let coins = coins.filter(|coin| !spent.contains(coin.name.as_str()));
        let coins = coins.map(|coin| Unspent {
            output: coin.name.clone(),
            amount: coin.amount,
            owner: coin.owner.clone(),
        });
        let made = report.fields.iter().filter(|field| field.name == "unspent");
        coins
            .chain(made.filter_map(|field| self.made(&field.text)))
            .collect()
    }

    /// `<64 digits>:0: 75 for <64 digits>`.
    fn made(&self, text: &str) -> Option<Unspent> {
        let (output, rest) = text.split_once(": ")?;
        let (amount, key) = rest.split_once(" for ")?;
        let owner = self.wallets.get(key).map_or(key, String::as_str);
        Some(Unspent {
            output: output.to_owned(),
            amount: amount.parse().ok()?,
            owner: owner.to_owned(),
        })
    }
}

/// Whether what is unspent and due is what was issued and minted, by a node's own words.
pub(crate) fn is_conserved(text: &str) -> bool {
    // `1574 unspent + 1 unpaid fees = 1600 issued + 0 minted`
    let number = |part: &str| part.split_whitespace().next()?.parse::<u128>().ok();
    let side = |text: &str| {
        text.split(" + ")
            .try_fold(0u128, |sum, part| sum.checked_add(number(part)?))
    };
    let sides = text.split_once(" = ");
    sides.is_some_and(|(left, right)| side(left).is_some() && side(left) == side(right))
}

/// What every node that runs says of itself, in full.
pub(crate) async fn looks(nodes: Vec<NodeClient>) -> BTreeMap<NodeId, NodeReport> {
    let asks = nodes.into_iter().map(|node| {
        tokio::spawn(async move {
            let report = node.ask::<(), NodeReport>(Method::GET, "/v1/view", None, LOOK_TIMEOUT);
            (node.id, report.await)
        })
    });
    let mut looks = BTreeMap::new();
    for ask in asks.collect::<Vec<_>>() {
        if let Ok((id, Ok(report))) = ask.await {
            looks.insert(id, report);
        }
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coin(owner: &str, index: u32, amount: u64) -> Coin {
        Coin {
            name: format!("{owner}:{index}"),
            owner: owner.to_owned(),
            amount,
        }
    }

    #[test]
    fn what_is_unspent_is_what_genesis_gave_and_nobody_took_and_what_was_made() {
        let coins = vec![
            coin("alice", 0, 100),
            coin("alice", 1, 7),
            coin("bob", 0, 5),
        ];
        let purse = Purse::new(coins, ["node-1".to_owned()].into_iter());
        assert_eq!(purse.owners(), ["alice", "bob"]);
        let key = |name: &str| Hash32(wallet(name).public().0).to_string();
        let (txid, value) = ("ab".repeat(32), "cd".repeat(32));
        let text = format!(
            r#"{{"id":1,"pid":1,"incarnation":1,"uptime_ms":0,"current":null,"peers":[],"refused":0,"counters":{{}},
            "chain":{{"connected":false,"reported":0}},"instances":[
            {{"instance":"alice:0","phase":"in block","open":false,"round":0,"value":"{value}","label":null,"signed":null,"meter":null}},
            {{"instance":"bob:0","phase":"querying","open":true,"round":3,"value":null,"label":null,"signed":null,"meter":null}}],
            "fields":[{{"name":"unspent","text":"{txid}:0: 25 for {}"}},{{"name":"unspent","text":"{txid}:1: 75 for {}"}},
            {{"name":"height","text":"1"}}]}}"#,
            key("node-1"),
            key("zoe"),
        );
        let report: NodeReport = serde_json::from_str(&text).unwrap();
        let unspent = |output: &str, amount, owner: &str| Unspent {
            output: output.to_owned(),
            amount,
            owner: owner.to_owned(),
        };
        let (first, second) = (format!("{txid}:0"), format!("{txid}:1"));
        let mut expected = vec![
            unspent("alice:1", 7, "alice"),
            unspent("bob:0", 5, "bob"),
            unspent(&first, 25, "node-1"),
            unspent(&second, 75, &key("zoe")),
        ];
        assert_eq!(purse.unspent(&report), expected);
        // Once a name is known, its key is not shown.
        let mut knows = purse;
        knows.know("zoe");
        expected[3].owner = "zoe".to_owned();
        assert_eq!(knows.unspent(&report), expected);
    }

    #[test]
    fn sums_are_compared() {
        assert!(is_conserved(
            "1599 unspent + 1 unpaid fees = 1600 issued + 0 minted"
        ));
        assert!(is_conserved(
            "9 unspent + 0 unpaid fees = 4 issued + 5 minted"
        ));
        for text in [
            "1600 unspent + 1 unpaid fees = 1600 issued + 0 minted",
            "1 unspent = x issued",
            "1 unspent",
            "",
        ] {
            assert!(!is_conserved(text), "{text}");
        }
    }
}
