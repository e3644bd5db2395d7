//! The protocols: the only list of them, and what a shell needs to build one without knowing its types.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::crypto::{Crypto, Member, Signer};
use crate::engine::{Env, Genesis, Protocol, Wire};
use crate::entropy::Prng;
use crate::environment::Environment;
use crate::explore::cluster::Bounds;
use crate::flaw::{self, Flaw};
use crate::history::{Call, End};
use crate::ledger::Coin;
use crate::museum::Exhibit;
use crate::oracle::Oracle;
use crate::replica::{self, BuildError, Node, Replica};
use crate::scenario::{Scenario, member_seed};
use crate::shards::{Item, ReplyParts, Shards, Wish};
use crate::snow::Parameters;
use crate::store::{Rows, TableSpec};
use crate::types::{GroupId, Hash32, Incarnation, NodeId};
use crate::view::Spec;

#[cfg(feature = "sharded-2pc")]
pub mod sharded_2pc;
#[cfg(feature = "snowball")]
pub mod snowball;
pub mod two_phase;

/// A protocol that can be simulated: with a world outside, an oracle, and a swarm of scenarios.
pub trait Simulated: Protocol {
    /// How the world outside starts: the scenario's `[chain]`.
    type Setting: Wire + Default;
    /// What an intervention does to the world outside: `fact = { ... }`.
    type Change: Wire;

    /// Its room of the museum: what shows each flaw of its document that can be restored.
    const MUSEUM: &'static [Exhibit] = &[];

    /// What of what the oracle tells holds with a probability only: the checker does not call it broken.
    const PROBABLE: &'static [&'static str] = &[];

    /// What clients can be told, in the words of [`ReplyView::outcome`].
    const OUTCOMES: &'static [&'static str];

    /// How far the checker goes unless it is told otherwise.
    const BOUNDS: Bounds = Bounds::DEFAULT;
    /// Whether there is a world outside.
    const HAS_WORLD: bool = true;

    /// The world outside at genesis.
    fn environment(setting: &Self::Setting, genesis: &Genesis, seed: u64) -> Box<dyn Environment>;
    /// What watches a run from outside the replicas.
    fn oracle(env: &Env<Self>) -> Box<dyn Oracle>;
    /// Whether the world's settings make sense.
    ///
    /// # Errors
    /// Which key is wrong and what was expected.
    fn check_setting(setting: &Self::Setting) -> Result<(), String>;
    /// The groups of so many members, where nobody says what they are.
    fn groups(nodes: u16) -> Vec<GroupId> {
        alloc::vec![GroupId(0); usize::from(nodes)]
    }
    /// A scenario drawn from a seed: a safety phase in which anything in the fault model fails, then a liveness phase.
    fn swarm(seed: u64) -> Scenario;
    /// What a person calls the instance that a request is about.
    fn request_name(request: &Self::Request) -> String;
    /// The outcome that a reply tells, in words and as JSON-ready parts.
    fn read_reply(reply: &Self::Reply) -> ReplyView;
    /// What items hold at first, for protocols that have some: unless they are named, and those that are.
    fn accounts(_config: &Self::Config) -> Option<(i64, Vec<(u64, i64)>)> {
        None
    }
    /// What a request does to items; `None` if it is not about any.
    fn call(_request: &Self::Request) -> Option<Call> {
        None
    }
    /// How a request ended; `None` if another reply follows, or another member knows.
    fn end(_reply: &Self::Reply) -> Option<End> {
        None
    }

    /// Where items live at first; `None` for a protocol without.
    fn shards(_config: &Self::Config, _members: &[Member]) -> Option<Shards> {
        None
    }

    /// What a client wishes, as the TOML of a request; `None` where nobody can wish that.
    fn wish(_wish: Wish) -> Option<String> {
        None
    }

    /// The item whose cluster a request is sent to.
    fn request_item(_request: &Self::Request) -> Option<Item> {
        None
    }

    /// How polls are judged, before they are scaled to few nodes, or why those of nodes are not alike; `None` for a
    /// protocol that samples nobody.
    fn polls(_config: &Self::Config) -> Option<Result<Parameters, &'static str>> {
        None
    }

    /// The coins of genesis; `None` for a protocol whose clients do not pay with coins.
    fn coins(_config: &Self::Config) -> Option<Vec<Coin>> {
        None
    }

    /// What a reply says beyond its view.
    fn reply_parts(_reply: &Self::Reply) -> ReplyParts {
        ReplyParts::default()
    }
}

/// A reply in a form that every shell can show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplyView {
    /// One word of [`Simulated::OUTCOMES`].
    pub outcome: &'static str,
    /// The decided value.
    pub value: Option<Hash32>,
    /// How many members the proof names.
    pub certificate: u64,
    /// Whether no further reply to this request follows.
    pub last: bool,
    /// Whether it ends a request that did not get its way and of which no instance tells.
    pub refused: bool,
    /// A sentence.
    pub text: String,
}

/// The protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolKind {
    /// Two-phase threshold signing.
    TwoPhase,
    /// Sharded two-phase commit over Multi-Paxos.
    #[cfg(feature = "sharded-2pc")]
    #[serde(rename = "sharded-2pc")]
    Sharded2pc,
    /// Snowball on a ledger that makes blocks.
    #[cfg(feature = "snowball")]
    Snowball,
}

/// Runs an expression with `$P` bound to the protocol's type: the one place that maps names to types.
macro_rules! with_protocol {
    ($kind:expr, $P:ident => $body:expr) => {
        match $kind {
            $crate::protocol::ProtocolKind::TwoPhase => {
                type $P = $crate::protocol::two_phase::TwoPhase;
                $body
            }
            #[cfg(feature = "sharded-2pc")]
            $crate::protocol::ProtocolKind::Sharded2pc => {
                type $P = $crate::protocol::sharded_2pc::Sharded2pc;
                $body
            }
            #[cfg(feature = "snowball")]
            $crate::protocol::ProtocolKind::Snowball => {
                type $P = $crate::protocol::snowball::Snowball;
                $body
            }
        }
    };
}
pub(crate) use with_protocol;

impl ProtocolKind {
    /// Every protocol that is built in.
    pub const ALL: &[ProtocolKind] = &[
        ProtocolKind::TwoPhase,
        #[cfg(feature = "sharded-2pc")]
        ProtocolKind::Sharded2pc,
        #[cfg(feature = "snowball")]
        ProtocolKind::Snowball,
    ];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        with_protocol!(self, P => P::NAME)
    }

    /// The names of all.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.name()).collect()
    }

    /// The protocol with this name.
    pub fn from_name(name: &str) -> Option<ProtocolKind> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// How far the checker goes with it unless it is told otherwise.
    pub fn bounds(self) -> Bounds {
        with_protocol!(self, P => P::BOUNDS)
    }

    /// The tag in envelopes and genesis.
    pub fn tag(self) -> u8 {
        with_protocol!(self, P => P::TAG)
    }

    /// The protocol with this tag.
    pub fn from_tag(tag: u8) -> Option<ProtocolKind> {
        Self::ALL.iter().copied().find(|kind| kind.tag() == tag)
    }

    /// Its shape.
    pub fn spec(self) -> &'static Spec {
        with_protocol!(self, P => P::spec())
    }

    /// The flaws of its source document.
    pub fn flaws(self) -> &'static [Flaw] {
        with_protocol!(self, P => P::FLAWS)
    }

    /// Its room of the museum.
    pub fn museum(self) -> &'static [Exhibit] {
        with_protocol!(self, P => <P as Simulated>::MUSEUM)
    }

    /// Its tables, for stores that name theirs.
    pub fn tables(self) -> &'static [TableSpec] {
        with_protocol!(self, P => P::TABLES)
    }

    /// The groups of so many members, where nobody says what they are.
    pub fn groups(self, nodes: u16) -> Vec<GroupId> {
        with_protocol!(self, P => P::groups(nodes))
    }

    /// Its parameters' defaults, encoded.
    pub fn default_config(self) -> Vec<u8> {
        with_protocol!(self, P => codec::encode(&<P as Protocol>::Config::default()))
    }

    /// Its world's defaults, encoded.
    pub fn default_environment(self) -> Vec<u8> {
        with_protocol!(self, P => codec::encode(&<P as Simulated>::Setting::default()))
    }

    /// Its parameters from TOML text (the body of a `[config]` section).
    ///
    /// # Errors
    /// What is wrong and what was expected.
    pub fn parse_config(
        self,
        file: &str,
        text: &str,
    ) -> Result<Vec<u8>, crate::scenario::ScenarioError> {
        with_protocol!(self, P => crate::scenario::parse_part::<<P as Protocol>::Config>(file, text))
    }

    /// Its world's settings from TOML text (the body of a `[chain]` section).
    ///
    /// # Errors
    /// What is wrong and what was expected.
    pub fn parse_environment(
        self,
        file: &str,
        text: &str,
    ) -> Result<Vec<u8>, crate::scenario::ScenarioError> {
        with_protocol!(self, P => crate::scenario::parse_part::<<P as Simulated>::Setting>(file, text))
    }

    /// A request from TOML text, such as `event = "withdraw-1"` and `amount = 25` on lines of their own.
    ///
    /// # Errors
    /// What is wrong and what was expected.
    pub fn parse_request(
        self,
        file: &str,
        text: &str,
    ) -> Result<Vec<u8>, crate::scenario::ScenarioError> {
        with_protocol!(self, P => crate::scenario::parse_part::<<P as Protocol>::Request>(file, text))
    }

    /// What a person calls the instance that an encoded request is about.
    pub fn request_name(self, request: &[u8]) -> Option<String> {
        with_protocol!(self, P => codec::decode(request).ok().map(|request| P::request_name(&request)))
    }

    /// What an encoded reply says.
    pub fn read_reply(self, reply: &[u8]) -> Option<ReplyView> {
        let view =
            with_protocol!(self, P => codec::decode(reply).ok().map(|reply| P::read_reply(&reply)));
        debug_assert!(
            view.iter()
                .all(|view| self.outcomes().contains(&view.outcome))
        );
        view
    }

    /// What clients can be told, in one word each.
    pub fn outcomes(self) -> &'static [&'static str] {
        with_protocol!(self, P => <P as Simulated>::OUTCOMES)
    }

    /// What items hold at first under encoded parameters; `None` for a protocol that has none.
    pub fn accounts(self, config: &[u8]) -> Option<(i64, Vec<(u64, i64)>)> {
        with_protocol!(self, P => P::accounts(&codec::decode(config).ok()?))
    }

    /// What an encoded request does to items.
    pub fn call(self, request: &[u8]) -> Option<Call> {
        with_protocol!(self, P => P::call(&codec::decode(request).ok()?))
    }

    /// How a request ended, by an encoded reply.
    pub fn end(self, reply: &[u8]) -> Option<End> {
        with_protocol!(self, P => P::end(&codec::decode(reply).ok()?))
    }

    /// Whether there is a world outside.
    pub fn has_world(self) -> bool {
        with_protocol!(self, P => <P as Simulated>::HAS_WORLD)
    }

    /// Where items live at first; `None` for a protocol without, or parameters of another.
    pub fn shards(self, config: &[u8], members: &[Member]) -> Option<Shards> {
        with_protocol!(self, P => P::shards(&codec::decode(config).ok()?, members))
    }

    /// What a client wishes, as the TOML of a request; `None` where nobody can wish that.
    pub fn wish(self, wish: Wish) -> Option<String> {
        with_protocol!(self, P => P::wish(wish))
    }

    /// The item whose cluster an encoded request is sent to.
    pub fn request_item(self, request: &[u8]) -> Option<Item> {
        with_protocol!(self, P => P::request_item(&codec::decode(request).ok()?))
    }

    /// The coins of genesis under encoded parameters; `None` for a protocol without coins.
    pub fn coins(self, config: &[u8]) -> Option<Vec<Coin>> {
        with_protocol!(self, P => P::coins(&codec::decode(config).ok()?))
    }

    /// What of what its oracle tells holds with a probability only.
    pub fn probable(self) -> &'static [&'static str] {
        with_protocol!(self, P => <P as Simulated>::PROBABLE)
    }

    /// How polls are judged under encoded parameters, before they are scaled to few nodes, or why they are not alike;
    /// `None` where nobody polls.
    pub fn polls(self, config: &[u8]) -> Option<Result<Parameters, &'static str>> {
        with_protocol!(self, P => P::polls(&codec::decode(config).ok()?))
    }

    /// What an encoded reply says beyond its view.
    pub fn reply_parts(self, reply: &[u8]) -> ReplyParts {
        with_protocol!(self, P => codec::decode(reply).map_or_else(|_| ReplyParts::default(), |reply| P::reply_parts(&reply)))
    }

    /// The fact that the link to a peer came or went, encoded; `None` for a protocol that does not ask.
    pub fn peer_fact(self, peer: NodeId, up: bool) -> Option<Vec<u8>> {
        with_protocol!(self, P => P::peer_fact(peer, up).map(|fact| codec::encode(&fact)))
    }

    /// Whether the parameters and settings of a scenario make sense for its topology.
    ///
    /// # Errors
    /// Which key is wrong and what was expected.
    pub fn check(self, scenario: &Scenario) -> Result<(), String> {
        let members = members(scenario.crypto, &scenario.groups);
        with_protocol!(self, P => {
            let config = codec::decode(&scenario.config).map_err(|_| String::from("config is not of this protocol"))?;
            let flaws = flaw::check::<P>(scenario.rules, &scenario.flaws)?;
            P::check_config(&config, &members, scenario.rules, flaws)?;
            let setting = codec::decode(&scenario.environment).map_err(|_| String::from("chain is not of this protocol"))?;
            P::check_setting(&setting)
        })
    }

    /// The world outside, as a scenario starts it.
    ///
    /// # Panics
    /// If the scenario was not checked.
    pub fn environment(self, scenario: &Scenario) -> Box<dyn Environment> {
        self.environment_of(
            &scenario.environment,
            &simulated_genesis(scenario),
            scenario.seed,
        )
        .expect("a checked scenario's parts decode")
    }

    /// The world outside of a cluster; `None` if the settings are not of this protocol.
    pub fn environment_of(
        self,
        setting: &[u8],
        genesis: &Genesis,
        seed: u64,
    ) -> Option<Box<dyn Environment>> {
        with_protocol!(self, P => {
            let setting = codec::decode(setting).ok()?;
            Some(<P as Simulated>::environment(&setting, genesis, seed))
        })
    }

    /// A scenario drawn from a seed.
    pub fn swarm(self, seed: u64) -> Scenario {
        with_protocol!(self, P => P::swarm(seed))
    }

    /// Builds the nodes of a cluster.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn cluster(self, genesis: &Genesis) -> Result<Arc<dyn Cluster>, BuildError> {
        with_protocol!(self, P => Ok(Arc::new(TypedCluster::<P>::new(genesis)?) as Arc<dyn Cluster>))
    }
}

/// Builds a live node from its genesis, key and rows.
///
/// # Errors
/// See [`BuildError`].
pub fn build(
    genesis: &Genesis,
    id: NodeId,
    signer: Signer,
    rows: &Rows,
    entropy: [u8; 32],
) -> Result<Box<dyn Replica>, BuildError> {
    let kind = ProtocolKind::from_tag(genesis.protocol)
        .ok_or(BuildError::UnknownProtocol(genesis.protocol))?;
    with_protocol!(kind, P => {
        let env = replica::env::<P>(genesis, id, signer)?;
        let node = Node::open(env, rows, |_| Prng::from_seed(entropy)).map_err(BuildError::Recover)?;
        Ok(Box::new(node) as Box<dyn Replica>)
    })
}

/// The genesis of a simulated cluster.
pub fn simulated_genesis(scenario: &Scenario) -> Genesis {
    Genesis {
        protocol: scenario.protocol.tag(),
        rules: scenario.rules,
        flaws: scenario.flaws.clone(),
        crypto: scenario.crypto,
        name: String::from("simulated"),
        members: members(scenario.crypto, &scenario.groups),
        config: scenario.config.clone(),
    }
}

/// The members of a simulated cluster, whose keys are functions of their numbers.
pub fn members(crypto: Crypto, groups: &[GroupId]) -> Vec<Member> {
    let member = |(index, group): (usize, &GroupId)| {
        let id = NodeId(index as u16 + 1);
        Member {
            id,
            group: *group,
            key: Signer::from_seed(crypto, &member_seed(id)).public(),
        }
    };
    groups.iter().enumerate().map(member).collect()
}

/// Builds nodes of one simulated cluster, again and again.
pub trait Cluster: Send + Sync {
    /// The protocol's shape.
    fn spec(&self) -> &'static Spec;
    /// A node in its next life.
    ///
    /// # Errors
    /// When its rows do not give a state back.
    fn node(&self, id: NodeId, rows: &Rows, seed: u64) -> Result<Box<dyn Replica>, BuildError>;
    /// What watches from outside.
    fn oracle(&self) -> Box<dyn Oracle>;
}

/// A cluster of one protocol.
pub struct TypedCluster<P: Protocol> {
    genesis: Genesis,
    shared: Env<P>,
    oracle: fn(&Env<P>) -> Box<dyn Oracle>,
}

impl<P: Simulated> TypedCluster<P> {
    /// Prepares a cluster with the protocol's own oracle.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn new(genesis: &Genesis) -> Result<TypedCluster<P>, BuildError> {
        Self::with_oracle(genesis, P::oracle)
    }
}

impl<P: Protocol> TypedCluster<P> {
    /// Prepares a cluster that something else watches.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn with_oracle(
        genesis: &Genesis,
        oracle: fn(&Env<P>) -> Box<dyn Oracle>,
    ) -> Result<TypedCluster<P>, BuildError> {
        let first = genesis
            .members
            .first()
            .map_or(NodeId(0), |member| member.id);
        let signer = Signer::from_seed(genesis.crypto, &member_seed(first));
        let shared = replica::env::<P>(genesis, first, signer)?;
        Ok(TypedCluster {
            genesis: genesis.clone(),
            shared,
            oracle,
        })
    }
}

impl<P: Protocol> Cluster for TypedCluster<P> {
    fn spec(&self) -> &'static Spec {
        P::spec()
    }

    fn node(&self, id: NodeId, rows: &Rows, seed: u64) -> Result<Box<dyn Replica>, BuildError> {
        let signer = Signer::from_seed(self.genesis.crypto, &member_seed(id));
        let env = self.shared.for_member(&self.genesis, id, signer)?;
        let entropy = |Incarnation(life)| Prng::new(seed, "node", u64::from(id.0), life);
        let node = Node::open(env, rows, entropy).map_err(BuildError::Recover)?;
        Ok(Box::new(node))
    }

    fn oracle(&self) -> Box<dyn Oracle> {
        (self.oracle)(&self.shared)
    }
}
