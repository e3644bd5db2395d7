//! Rule R on a small model: members with [`RoundState`] and [`VoteSet`] and a network that loses, repeats and reorders
//! never decide two values; without the lock, the same search finds two.
//!
//! The model is the rule and nothing else: no chain, no timers, no store. Any armed step may happen at any moment.

use phaselab_core::certificate::Certificate;
use phaselab_core::crypto::Signature;
use phaselab_core::entropy::{Entropy, Prng};
use phaselab_core::quorum::Quorum;
use phaselab_core::rounds::{OnPolka, RoundState};
use phaselab_core::types::{Hash32, InstanceId, NodeId, Round};
use phaselab_core::votes::{Ballot, Vote, VoteKind, VoteSet};

/// Which part of the rule a search leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    /// None: the rule as it is.
    Whole,
    /// The lock binds nobody.
    NoLock,
    /// A member that locked may withdraw.
    WithdrawLocked,
    /// A claimed valid round is taken without its proof.
    NoProof,
    /// One vote less than a majority is a quorum.
    SmallQuorum,
}

/// What came of a search.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    TwoValues,
    DecidedAndAbandoned,
}

#[derive(Clone)]
enum Message {
    Vote(Vote),
    /// A leader's proposal: value, and the round in which a quorum prevoted it, with the votes.
    Proposal(Round, Hash32, Option<(Round, Certificate)>),
}

struct Member {
    id: NodeId,
    state: RoundState,
    votes: VoteSet,
    withdrawn: bool,
    decided: Option<Hash32>,
}

struct Model {
    rules: Rules,
    quorum: Quorum,
    rounds_max: u32,
    members: Vec<Member>,
    /// What was sent to whom; never removed, so that anything may arrive late, twice or not at all.
    sent: Vec<(usize, Message)>,
    entropy: Prng,
}

impl Model {
    fn new(rules: Rules, members: u16, rounds_max: u32, seed: u64) -> Model {
        let need = match rules {
            Rules::SmallQuorum => u128::from(members / 2),
            _ => Quorum::crash_majority(members).need(),
        };
        let member = |id| Member {
            id: NodeId(id),
            state: RoundState::default(),
            votes: VoteSet::default(),
            withdrawn: false,
            decided: None,
        };
        Model {
            rules,
            quorum: Quorum::at_least(need, u128::from(members)).expect("a quorum that exists"),
            rounds_max,
            members: (1..=members).map(member).collect(),
            sent: Vec::new(),
            entropy: Prng::new(seed, "rounds", u64::from(members), rounds_max),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.entropy.below(bound as u64) as usize
    }

    /// Any one step of any member.
    fn step(&mut self) {
        let at = self.below(self.members.len());
        match self.below(40) {
            0..3 => self.propose(at),
            3..6 => self.prevote_without_leader(at),
            6..8 => self.end_round(at),
            8 if self.below(8) == 0 => self.withdraw(at),
            _ if self.sent.is_empty() => {}
            _ => {
                let which = self.below(self.sent.len());
                let (to, message) = self.sent[which].clone();
                self.receive(to, message);
            }
        }
    }

    fn may_vote(&self, at: usize) -> bool {
        let member = &self.members[at];
        !member.withdrawn && member.decided.is_none() && member.state.can_prevote()
    }

    /// What a member would propose of its own: one of two values, another one each time it is asked.
    fn fresh(&mut self) -> Hash32 {
        Hash32([self.below(2) as u8 + 1; 32])
    }

    /// Every member may take itself for the leader: safety never depends on who leads.
    fn propose(&mut self, at: usize) {
        if !self.may_vote(at) {
            return;
        }
        let fresh = self.fresh();
        let member = &self.members[at];
        let round = member.state.round;
        let valid = member.state.valid.filter(|(at, _)| *at < round);
        let proof = valid.and_then(|(valid_round, value)| {
            let votes = member
                .votes
                .for_value(valid_round, VoteKind::Prevote, Some(value));
            let ballot = ballot(valid_round, VoteKind::Prevote, Some(value));
            let proof = Certificate::collect(ballot, votes, self.quorum)?;
            Some((value, (valid_round, proof)))
        });
        let (value, valid) = match proof {
            Some((value, proof)) => (value, Some(proof)),
            None => (fresh, None),
        };
        self.broadcast(at, Message::Proposal(round, value, valid.clone()));
        self.consider(at, value, valid.map(|(round, _)| round), true);
    }

    /// Prevotes a proposal, if the lock allows it.
    fn consider(&mut self, at: usize, value: Hash32, valid_round: Option<Round>, proven: bool) {
        if !self.may_vote(at) {
            return;
        }
        let allowed = match self.rules {
            Rules::NoLock => true,
            Rules::NoProof => self.members[at]
                .state
                .lock_allows(&value, valid_round, true),
            _ => self.members[at]
                .state
                .lock_allows(&value, valid_round, proven),
        };
        if allowed {
            self.prevote(at, Some(value));
        }
    }

    fn prevote_without_leader(&mut self, at: usize) {
        if !self.may_vote(at) {
            return;
        }
        let fresh = Some(self.fresh()).filter(|_| self.below(3) > 0);
        let value = match self.rules {
            Rules::NoLock => fresh,
            _ => self.members[at].state.on_propose_timeout(fresh),
        };
        self.prevote(at, value);
    }

    fn prevote(&mut self, at: usize, value: Option<Hash32>) {
        let member = &mut self.members[at];
        member.state.prevote(value);
        let round = member.state.round;
        self.vote(at, ballot(round, VoteKind::Prevote, value));
    }

    fn end_round(&mut self, at: usize) {
        let member = &mut self.members[at];
        let next = member.state.next_round();
        if let Some(next) = next.filter(|next| next.0 < self.rounds_max) {
            member.state.enter(next);
        }
    }

    fn withdraw(&mut self, at: usize) {
        let member = &mut self.members[at];
        let allowed = member.state.locked.is_none() || self.rules == Rules::WithdrawLocked;
        if allowed && !member.withdrawn && member.decided.is_none() {
            member.withdrawn = true;
            self.vote(at, ballot(Round(0), VoteKind::Abandon, None));
        }
    }

    fn vote(&mut self, at: usize, ballot: Ballot) {
        let vote = Vote {
            ballot,
            signer: self.members[at].id,
            signature: Signature([0; 64]),
        };
        self.members[at].votes.add(vote);
        self.broadcast(at, Message::Vote(vote));
        self.count(at);
    }

    fn broadcast(&mut self, from: usize, message: Message) {
        for to in (0..self.members.len()).filter(|to| *to != from) {
            // Agreement is easy when all hear all.
            if self.below(4) > 0 {
                self.sent.push((to, message.clone()));
            }
        }
    }

    fn receive(&mut self, at: usize, message: Message) {
        match message {
            Message::Vote(vote) => {
                self.members[at].votes.add(vote);
                self.follow(at, vote.ballot.round);
            }
            Message::Proposal(round, value, valid) => {
                let (valid_round, proof) = valid.unzip();
                if let Some(proof) = &proof
                    && self.rules != Rules::NoProof
                {
                    self.members[at].votes.add_all(proof.votes());
                }
                self.follow(at, round);
                if self.members[at].state.round == round {
                    self.consider(at, value, valid_round, proof.is_some());
                }
            }
        }
        self.count(at);
    }

    fn follow(&mut self, at: usize, round: Round) {
        let member = &mut self.members[at];
        if round > member.state.round && !member.withdrawn {
            member.state.enter(round);
        }
    }

    /// Applies what the votes allow: lock, decide.
    fn count(&mut self, at: usize) {
        let quorum = self.quorum;
        let member = &self.members[at];
        let reached = |kind| {
            let cast = move |round: &Round| member.votes.of(*round, kind).count() as u128;
            let rounds = member
                .votes
                .rounds()
                .filter(move |round| quorum.is_reached(cast(round)));
            let tallies = rounds.flat_map(move |round| {
                let tally = member.votes.tally(round, kind).into_iter();
                tally.map(move |(value, count)| (round, value, count))
            });
            let enough = tallies.filter(|(_, _, count)| quorum.is_reached(*count));
            enough
                .filter_map(|(round, value, _)| Some((round, value?)))
                .collect::<Vec<_>>()
        };
        let (polkas, decisions) = (reached(VoteKind::Prevote), reached(VoteKind::Precommit));
        let member = &mut self.members[at];
        if let Some((_, value)) = decisions.first() {
            member.decided.get_or_insert(*value);
        }
        for (round, value) in polkas {
            let member = &mut self.members[at];
            // With too small a quorum one round may have two, which the rule itself takes for a bug.
            let is_second = member
                .state
                .locked
                .is_some_and(|(at, known)| at == round && known != value);
            if member.withdrawn || member.decided.is_some() || is_second {
                continue;
            }
            if member.state.on_polka(round, value) == OnPolka::LockAndPrecommit {
                self.vote(at, ballot(round, VoteKind::Precommit, Some(value)));
            }
        }
    }

    fn found(&self) -> Found {
        let mut decided = self.members.iter().filter_map(|member| member.decided);
        let withdrawn = self
            .members
            .iter()
            .filter(|member| member.withdrawn)
            .count();
        let abandoned = self.quorum.blocking().is_reached(withdrawn as u128);
        match decided.next() {
            Some(first) if decided.any(|other| other != first) => Found::TwoValues,
            Some(_) if abandoned => Found::DecidedAndAbandoned,
            _ => Found::Nothing,
        }
    }
}

fn ballot(round: Round, kind: VoteKind, value: Option<Hash32>) -> Ballot {
    let instance = InstanceId::default();
    Ballot {
        instance,
        round,
        kind,
        value,
    }
}

/// Steps of one run.
const STEPS: usize = 250;

/// Runs many interleavings; returns the first that breaks a promise, and how many decided at all.
fn search(rules: Rules, members: u16, runs: u64) -> (Found, u64) {
    let mut decided = 0;
    for seed in 0..runs {
        let mut model = Model::new(rules, members, 2 + (seed % 2) as u32, seed);
        for _ in 0..STEPS {
            model.step();
            let found = model.found();
            if found != Found::Nothing {
                return (found, seed);
            }
        }
        decided += u64::from(model.members.iter().any(|member| member.decided.is_some()));
    }
    (Found::Nothing, decided)
}

#[test]
fn no_interleaving_decides_two_values() {
    for members in [3, 4, 5] {
        let (found, decided) = search(Rules::Whole, members, 800);
        assert_eq!(found, Found::Nothing, "{members} members, seed {decided}");
        println!("{members} members: {decided} of 800 runs decided");
        assert!(
            decided > 200,
            "only {decided} of 800 runs of {members} members decided: a search that finds nothing because nothing happens"
        );
    }
}

/// The search can fail: it finds what each part of the rule prevents.
#[test]
fn each_part_of_the_rule_is_needed() {
    for (rules, expected) in [
        (Rules::NoLock, Found::TwoValues),
        (Rules::SmallQuorum, Found::TwoValues),
        (Rules::WithdrawLocked, Found::DecidedAndAbandoned),
    ] {
        for members in [3, 4, 5] {
            let (found, seed) = search(rules, members, 5_000);
            println!("{rules:?}, {members} members: seed {seed}");
            assert_eq!(
                found, expected,
                "{rules:?}, {members} members, to seed {seed}"
            );
        }
    }
}

/// Under crash faults a claimed valid round is always true, so that a member that skips the proof breaks nothing; the
/// proof guards against claims. It must still refuse a claim that is not backed.
#[test]
fn a_claim_without_proof_is_refused_by_a_locked_member() {
    let mut state = RoundState {
        round: Round(3),
        locked: Some((Round(1), Hash32([1; 32]))),
        ..RoundState::default()
    };
    assert!(!state.lock_allows(&Hash32([2; 32]), Some(Round(2)), false));
    assert!(state.lock_allows(&Hash32([2; 32]), Some(Round(2)), true));
    state.locked = None;
    assert!(!state.lock_allows(&Hash32([2; 32]), Some(Round(2)), false));
    let (found, _) = search(Rules::NoProof, 3, 300);
    assert_eq!(found, Found::Nothing);
}
