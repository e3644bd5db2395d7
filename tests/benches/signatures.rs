//! What signatures allow: how long one takes to verify and to make, and how many of them a packet of a live cluster
//! brings, read from the recordings in a folder. One line of JSON. See README.md.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use phaselab_core::codec;
use phaselab_core::crypto::{Crypto, Keyring, Member, Signer};
use phaselab_core::envelope;
use phaselab_core::protocol::ProtocolKind;
use phaselab_core::protocol::two_phase::message::{Message, Proposal};
use phaselab_core::recording::{self, Input, Moment, Recording};
use phaselab_core::types::{GroupId, Hash32, NodeId};

/// Other programs can only make a run slower: the fastest of so many counts.
const RUNS: usize = 25;
/// Signatures of one run.
const EACH: u32 = 100;

fn main() -> Result<(), String> {
    let (verify_ns, sign_ns) = speed();
    // Cargo adds an option of its own.
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let counted = match folder {
        Some(folder) => count(Path::new(&folder))?,
        None => Counted::default(),
    };
    println!(
        "{{\"verify_ns\":{verify_ns:.0},\"sign_ns\":{sign_ns:.0},\"packets\":{},\"verified\":{},\"signed\":{}}}",
        counted.packets, counted.verified, counted.signed
    );
    Ok(())
}

/// Nanoseconds of one verification and of one signature, on one core, through what nodes call.
fn speed() -> (f64, f64) {
    let signer = Signer::from_seed(Crypto::Ed25519, &[7; 32]);
    let member = Member {
        id: NodeId(1),
        group: GroupId(0),
        key: signer.public(),
    };
    let keyring = Keyring::new(Crypto::Ed25519, &[member]).expect("a key that was just made");
    let preimage = |number: u32| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Hash32(bytes)
    };
    let signed: Vec<_> = (0..EACH)
        .map(|number| (preimage(number), signer.sign(&preimage(number))))
        .collect();
    let verify = fastest(|| {
        let all = signed
            .iter()
            .all(|(preimage, signature)| keyring.verify(NodeId(1), preimage, signature));
        assert!(black_box(all), "what was signed verifies");
    });
    let sign = fastest(|| {
        for number in 0..EACH {
            black_box(signer.sign(&preimage(number)));
        }
    });
    (verify, sign)
}

fn fastest(mut run: impl FnMut()) -> f64 {
    let took = (0..RUNS).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_nanos()
    });
    took.min().expect("some runs") as f64 / f64::from(EACH)
}

/// What nodes handled, as far as they were recorded.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    packets: u64,
    /// Signatures that those packets made nodes verify: of envelopes, and of all that they carry.
    verified: u64,
    /// Signatures that nodes made meanwhile.
    signed: u64,
}

fn count(folder: &Path) -> Result<Counted, String> {
    let refuse = |what: &dyn std::fmt::Display| format!("{}: {what}", folder.display());
    let mut counted = Counted::default();
    for file in fs::read_dir(folder).map_err(|error| refuse(&error))? {
        let path = file.map_err(|error| refuse(&error))?.path();
        if path.extension().is_none_or(|extension| extension != "rec") {
            continue;
        }
        let bytes = fs::read(&path).map_err(|error| refuse(&error))?;
        for life in recording::read(&bytes).map_err(|error| refuse(&error))? {
            count_life(&life, &mut counted).map_err(|what| refuse(&what))?;
        }
    }
    match counted.packets {
        0 => Err(refuse(
            &"no recorded packets; expected node-K.LIFE.rec of a cluster",
        )),
        _ => Ok(counted),
    }
}

fn count_life(life: &Recording, counted: &mut Counted) -> Result<(), String> {
    let genesis = &life.head.genesis;
    if genesis.protocol != ProtocolKind::TwoPhase.tag() {
        return Err("not a two-phase cluster; its messages are counted by their fields".to_owned());
    }
    let keyring = Keyring::new(genesis.crypto, &genesis.members);
    let keyring = keyring.map_err(|error| error.to_string())?;
    let hash = genesis.hash();
    for moment in &life.moments {
        let Moment::Input {
            input: Input::Packet(bytes),
            ..
        } = moment
        else {
            continue;
        };
        let (_, payload) = envelope::open(bytes, genesis.protocol, &hash, &keyring)
            .map_err(|why| why.to_string())?;
        let message: Message = codec::decode(payload).map_err(|why| why.to_string())?;
        counted.packets += 1;
        counted.verified += 1 + carried(&message);
    }
    counted.signed += life.signatures.len() as u64;
    Ok(())
}

/// Signatures that a message carries besides its envelope's; each is verified.
fn carried(message: &Message) -> u64 {
    let count = match message {
        Message::ProposalBroadcast(proposal) => of_proposal(proposal),
        Message::NoProposal { .. } | Message::Lock(_) => 1,
        Message::EventStateBroadcast(commit) => {
            commit.certificate.signatures.len() + commit.state.signatures.len()
        }
        Message::Abandon { certificate, .. } | Message::Valid { certificate, .. } => {
            certificate.signatures.len()
        }
        Message::Equivocation(_) => 2,
        Message::StateSyncRequest { .. } => 0,
        Message::StateSyncResponse {
            proposals, locks, ..
        } => proposals.iter().map(of_proposal).sum::<usize>() + locks.len(),
    };
    count as u64
}

fn of_proposal(proposal: &Proposal) -> usize {
    let proof = proposal.valid_proof.as_ref();
    1 + proof.map_or(0, |proof| proof.signatures.len())
}
