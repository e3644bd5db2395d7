//! A payment with coins, as options say it: what it spends, and what that holds.

use serde_json::Value;

use super::SubmitArgs;
use crate::client::NodeClient;
use crate::failure::Failure;
use crate::node::runtime;
use crate::purse::{self, Purse};

/// The payment that options stand for, as TOML.
///
/// # Errors
/// If nobody knows what it spends.
pub(super) fn text(
    args: &SubmitArgs,
    purse: Option<&Purse>,
    clients: &[NodeClient],
) -> Result<String, Failure> {
    let from = args.from.as_deref().unwrap_or_default();
    let spend = match (args.spend.as_slice(), purse) {
        ([], Some(purse)) => vec![first_coin(from, purse)?],
        (named, _) => named.to_vec(),
    };
    let holds = match purse {
        Some(purse) => holds(&spend, purse, clients)?,
        None => Vec::new(),
    };
    // A JSON string or array is a TOML one too.
    let mut text = format!(
        "from = {}\nto = {}\namount = {}\nfee = {}\n",
        Value::from(from),
        Value::from(args.to.as_deref().unwrap_or_default()),
        args.amount.unwrap_or_default(),
        args.fee.unwrap_or_default(),
    );
    if let Some(memo) = &args.memo {
        text.push_str(&format!("memo = {}\n", Value::from(memo.as_str())));
    }
    if !spend.is_empty() {
        text.push_str(&format!("spend = {}\n", Value::from(spend)));
    }
    if !holds.is_empty() {
        text.push_str(&format!("holds = {}\n", Value::from(holds)));
    }
    Ok(text)
}

/// The first coin that genesis gave to a wallet, spent or not: the same words are the same payment.
fn first_coin(from: &str, purse: &Purse) -> Result<String, Failure> {
    let coin = purse.coins().iter().find(|coin| coin.owner == from);
    coin.map(|coin| coin.name.clone()).ok_or_else(|| {
        Failure::Input(format!(
            "--from {from}: genesis gave it no coin; expected one of {}, or --spend with an output of its own",
            purse.owners().join(", ")
        ))
    })
}

/// What outputs hold: by genesis, or by what nodes that run have unspent.
fn holds(spend: &[String], purse: &Purse, clients: &[NodeClient]) -> Result<Vec<u64>, Failure> {
    let issued = |name: &String| {
        let mut coins = purse.coins().iter();
        coins
            .find(|coin| coin.name == *name)
            .map(|coin| coin.amount)
    };
    let unspent = match spend.iter().all(|name| issued(name).is_some()) {
        true => Vec::new(),
        false => {
            let reports = runtime()?.block_on(purse::looks(clients.to_vec()));
            let of_each = reports.values().map(|report| purse.unspent(report));
            of_each.flatten().collect()
        }
    };
    let held = |name: &String| {
        let mut made = unspent.iter();
        let made = || {
            made.find(|unspent| unspent.output.eq_ignore_ascii_case(name))
                .map(|unspent| unspent.amount)
        };
        issued(name).or_else(made).ok_or_else(|| {
            Failure::Input(format!(
                "--spend {name}: no coin of genesis, and no node that runs has it unspent; `phaselab print db` lists what is"
            ))
        })
    };
    spend.iter().map(held).collect()
}
