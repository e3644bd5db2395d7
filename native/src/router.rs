//! Whom to ask where items live in clusters: the leader of the item's cluster, found by asking. (S4-41)
//!
//! A request keeps its client and number however often and whomever it is asked, so that it is done once. What is
//! learned on the way, who leads and where items moved, serves all that ask through the same router.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Method;
use phaselab_core::client::{Ask, Client};
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::shards::{Item, ReplyParts, Shards, Wish};
use phaselab_core::types::{ClientId, GroupId, NodeId, Time};
use serde::Serialize;

use crate::client::{AskError, NodeClient};
use crate::config::NodeConfig;
use crate::control::{Submit, Submitted};
use crate::failure::Failure;
use crate::init::entropy;
use crate::node::NOT_LEADER;

/// How long a member may take to answer before another is asked.
const PATIENCE: Duration = Duration::from_secs(1);
/// More time for its answer to travel.
const GRACE: Duration = Duration::from_millis(500);
/// The pause after an answer that did not help, doubled for each one in a row up to the longest.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The way to the leaders of clusters.
#[derive(Debug)]
pub(crate) struct Router {
    protocol: ProtocolKind,
    shards: Shards,
    nodes: BTreeMap<NodeId, NodeClient>,
    groups: BTreeMap<GroupId, Vec<NodeId>>,
    learned: Mutex<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    leaders: BTreeMap<GroupId, NodeId>,
    homes: BTreeMap<Item, GroupId>,
}

/// Someone who asks one request after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// Its id: drawn for it, so that no two are the same.
    pub(crate) client: u64,
    /// The number of its last request.
    pub(crate) number: u64,
}

impl Asker {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no entropy.
    pub(crate) fn new() -> Result<Asker, Failure> {
        let client = u64::from_le_bytes(entropy()?[..8].try_into().expect("eight bytes"));
        Ok(Asker { client, number: 0 })
    }

    /// The same for its next request.
    pub(crate) fn next(&mut self) -> Asker {
        self.number += 1;
        *self
    }
}

/// How a request ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told {
    /// The request in words.
    pub(crate) request: String,
    /// `committed`, `read`, `aborted`, or `undecided` if there was no end in time.
    pub(crate) outcome: &'static str,
    /// What the transaction is called.
    pub(crate) transaction: Option<String>,
    /// What the item holds.
    pub(crate) balance: Option<u64>,
    /// Why it was aborted, or how far it is.
    pub(crate) reason: Option<String>,
    /// Who said so.
    pub(crate) node: Option<NodeId>,
    /// Its cluster.
    pub(crate) cluster: Option<GroupId>,
    /// How often somebody was asked.
    pub(crate) asked: u32,
    /// How long it took.
    pub(crate) ms: u64,
    /// Whether any node answered at all.
    #[serde(skip)]
    pub(crate) heard: bool,
}

impl Router {
    /// The router of a folder's cluster; `None` where nothing lives in clusters.
    ///
    /// # Errors
    /// If a configuration is wrong.
    pub(crate) fn of_folder(folder: &BTreeMap<NodeId, PathBuf>) -> Result<Option<Router>, Failure> {
        let configs = folder.values().map(|path| NodeConfig::load(path));
        let configs = configs.collect::<Result<Vec<_>, _>>()?;
        Ok(Router::new(&configs))
    }

    /// The router of these nodes; `None` where nothing lives in clusters.
    pub(crate) fn new(configs: &[NodeConfig]) -> Option<Router> {
        let first = &configs.first()?.genesis;
        let members = &first.genesis.members;
        let shards = first.protocol.shards(&first.genesis.config, members)?;
        let mut groups: BTreeMap<GroupId, Vec<NodeId>> = BTreeMap::new();
        for member in members {
            groups.entry(member.group).or_default().push(member.id);
        }
        let nodes = configs.iter();
        let nodes = nodes.map(|config| (config.id, NodeClient::new(config.id, &config.path)));
        Some(Router {
            protocol: first.protocol,
            shards,
            nodes: nodes.collect(),
            groups,
            learned: Mutex::default(),
        })
    }

    /// The protocol.
    pub(crate) fn protocol(&self) -> ProtocolKind {
        self.protocol
    }

    /// Where items live at first.
    pub(crate) fn shards(&self) -> &Shards {
        &self.shards
    }

    /// The members of a cluster.
    pub(crate) fn members(&self, cluster: GroupId) -> &[NodeId] {
        self.groups.get(&cluster).map_or(&[], Vec::as_slice)
    }

    /// All nodes that can be asked here.
    pub(crate) fn nodes(&self) -> Vec<NodeClient> {
        self.nodes.values().cloned().collect()
    }

    /// Where an item lives, as far as is known.
    pub(crate) fn home(&self, item: Item) -> Option<GroupId> {
        let moved = self.learned().homes.get(&item).copied();
        moved.or_else(|| self.shards.home(item))
    }

    /// Notes where an item lives.
    pub(crate) fn learn_home(&self, item: Item, cluster: GroupId) {
        self.learned().homes.insert(item, cluster);
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks what a client wishes.
    ///
    /// # Errors
    /// If the cluster refuses it as wrong input.
    pub(crate) async fn wish(
        &self,
        asker: Asker,
        wish: Wish,
        wait: Duration,
    ) -> Result<Told, Failure> {
        let request = self.protocol.wish(wish).ok_or_else(|| {
            Failure::Input(format!("{} has no such request", self.protocol.name()))
        })?;
        self.ask(asker, &request, wait).await
    }

    /// Asks one request, given as TOML, until it has ended or the time is over.
    ///
    /// # Errors
    /// If the cluster refuses it as wrong input.
    pub(crate) async fn ask(
        &self,
        asker: Asker,
        request: &str,
        wait: Duration,
    ) -> Result<Told, Failure> {
        let bytes = self.protocol.parse_request("request", request)?;
        let name = self.protocol.request_name(&bytes).unwrap_or_default();
        let item = self.protocol.request_item(&bytes).unwrap_or_default();
        let begun = Instant::now();
        let mut told = Told {
            request: name,
            outcome: "undecided",
            transaction: None,
            balance: None,
            reason: None,
            node: None,
            cluster: None,
            asked: 0,
            ms: 0,
            heard: false,
        };
        let first = self.groups.keys().next().copied().unwrap_or_default();
        // An item that does not exist is refused by whoever is asked.
        let mut cluster = self.home(item).unwrap_or(first);
        let mut asking = self.asking(asker, cluster, &bytes);
        let mut vain = 0;
        loop {
            let left = wait.saturating_sub(begun.elapsed());
            let Ask::Send { to, .. } = asking.poll(Time::ZERO) else {
                break;
            };
            if left.is_zero() {
                break;
            }
            told.asked += 1;
            let answer = self.ask_one(to, asker, request, left.min(PATIENCE)).await;
            let answer = match answer {
                Err(AskError::Refused(why)) => return Err(Failure::Input(why)),
                answer => answer.ok(),
            };
            told.heard |= answer.is_some();
            if let Some(answer) = answer {
                if let Some(other) = answer.parts.ask_group.filter(|other| *other != cluster) {
                    self.learn_home(item, other);
                    cluster = other;
                    asking = self.asking(asker, cluster, &bytes);
                    vain = pause(vain).await;
                    continue;
                }
                if is_end(&answer) {
                    self.learned().leaders.insert(cluster, to);
                    told.end(answer, to, cluster);
                    break;
                }
                told.reason = Some(answer.outcome.clone());
                let hint = answer.parts.ask_node.filter(|hint| *hint != to);
                asking.on_redirect(asker.number, hint);
                if let (NOT_LEADER, Some(leader)) = (answer.outcome.as_str(), hint) {
                    self.learned().leaders.insert(cluster, leader);
                    // One hint is followed at once; hints that go in circles are not.
                    if vain == 0 {
                        vain = 1;
                        continue;
                    }
                }
            } else {
                asking.on_redirect(asker.number, None);
            }
            vain = pause(vain).await;
        }
        told.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(told)
    }

    /// A client that knows a cluster, and prefers who led it last.
    fn asking(&self, asker: Asker, cluster: GroupId, request: &[u8]) -> Client {
        let members = match self.members(cluster) {
            // A cluster that genesis does not have: anybody can say so.
            [] => self.nodes.keys().copied().collect(),
            members => members.to_vec(),
        };
        // Every answer is waited for here; the client is never left to its own patience.
        let mut client = Client::new(
            ClientId(asker.client),
            members,
            asker.number,
            phaselab_core::types::Duration::from_ms(1),
            u32::MAX,
        );
        if let Some(leader) = self.learned().leaders.get(&cluster) {
            client.prefer(*leader);
        }
        client.request(request.to_vec());
        client
    }

    async fn ask_one(
        &self,
        to: NodeId,
        asker: Asker,
        request: &str,
        wait: Duration,
    ) -> Result<Submitted, AskError> {
        let Some(node) = self.nodes.get(&to) else {
            return Err(AskError::Down);
        };
        let body = Submit {
            request: request.to_owned(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            client: Some(asker.client),
            number: Some(asker.number),
        };
        node.ask(Method::POST, "/v1/submit", Some(&body), wait + GRACE)
            .await
    }
}

impl Told {
    fn end(&mut self, answer: Submitted, node: NodeId, cluster: GroupId) {
        let parts = answer.parts;
        self.outcome = outcome(&parts);
        self.reason = parts.reason;
        (self.transaction, self.balance) = (parts.transaction, parts.balance);
        (self.node, self.cluster) = (Some(node), Some(cluster));
    }
}

/// How a request ended, by what its last answer says.
pub(crate) fn outcome(parts: &ReplyParts) -> &'static str {
    match (parts.balance, parts.transaction.is_some()) {
        (Some(_), _) => "read",
        (None, true) => "committed",
        (None, false) => "aborted",
    }
}

/// Whether an answer is the last to its request.
fn is_end(answer: &Submitted) -> bool {
    let is_open = matches!(
        answer.outcome.as_str(),
        "accepted" | "in-progress" | "no-answer" | NOT_LEADER
    );
    !is_open && answer.parts.ask_group.is_none()
}

async fn pause(vain: u32) -> u32 {
    let pause = PAUSE.saturating_mul(1 << vain.min(10));
    tokio::time::sleep(pause.min(PAUSE_MAX)).await;
    vain + 1
}
