use phaselab_core::protocol::ProtocolKind;
use phaselab_core::scenario;

use super::poll::{Stance, strengths, strip};
use super::*;
use crate::picture;
use crate::scene::Scene;
use crate::session::Session;

fn open(name: &str) -> Session {
    let entry = scenario::find(name).unwrap();
    Session::open(&scenario::parse(entry.name, entry.text).unwrap()).unwrap()
}

/// A double spend among few nodes.
fn spend() -> Session {
    let text = "protocol = \"snowball\"\ncrypto = \"simulated\"\nnodes = 8\nuntil_ms = 1500\n\
        [network]\nlatency_ms = [5, 40]\n\
        [[at]]\nms = 0\ndo = \"submit\"\nto = [1]\nrequest = { memo = \"T1\", from = \"alice\", to = \"bob\", amount = 25 }\n\
        [[at]]\nms = 0\ndo = \"submit\"\nto = [2]\nrequest = { memo = \"T2\", from = \"alice\", to = \"carol\", amount = 25 }\n";
    Session::open(&scenario::parse("spend", text).unwrap()).unwrap()
}

fn settle(session: &mut Session) {
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
}

fn at(session: &mut Session, ms: f64) -> Scene {
    session.seek_ms(ms);
    settle(session);
    session.scene()
}

#[test]
fn a_payment_is_what_the_same_text_would_be() {
    let parsed = |text: &str| ProtocolKind::Snowball.parse_request("request", text);
    let asked = |fields: &[&str]| picture::request(ProtocolKind::Snowball, fields, 0);
    assert_eq!(
        asked(&["alice:0", "bob", "25", "T1", "1"]).unwrap(),
        parsed("memo = \"T1\"\nfrom = \"alice\"\nspend = [\"alice:0\"]\nto = \"bob\"\namount = 25\nfee = 1\n").unwrap()
    );
    assert_eq!(
        asked(&["alice", "bob", "25", "", "0"]).unwrap(),
        parsed("from = \"alice\"\nto = \"bob\"\namount = 25\n").unwrap()
    );
    for wrong in [
        ["", "bob", "25", "T1", "1"],
        ["alice:0", "bob", "many", "T1", "1"],
        ["alice:0", "bob", "101", "T1", "1"],
        ["alice:x", "bob", "25", "T1", "1"],
        ["alice:0", "bob", "0", "T1", "1"],
    ] {
        let why = asked(&wrong).unwrap_err();
        assert!(!why.is_empty(), "{wrong:?}");
    }
    assert!(asked(&["alice:0", "bob"]).is_err());
}

#[test]
fn a_strip_has_a_slot_for_each_of_the_sample_and_its_line_is_alpha() {
    let (mut running, mut success, mut against) = (0, 0, 0);
    let mut sessions = [spend(), open("snowball/payment")];
    let moments = (20..1_100).step_by(90).flat_map(|ms| [(0, ms), (1, ms)]);
    for (which, ms) in moments {
        let scene = at(&mut sessions[which], f64::from(ms));
        let crowd = scene.crowd.clone().unwrap();
        for node in &scene.nodes {
            let Some(strip) = scene.focused(node).and_then(strip) else {
                continue;
            };
            let parameters = crowd.polls.parameters;
            assert_eq!(strip.slots.len(), usize::from(parameters.k));
            assert_eq!(strip.need, u64::from(parameters.alpha_confidence));
            assert_eq!(strip.confidence.1, u64::from(parameters.beta));
            let cell = crowd.cell(node.id).unwrap();
            if !cell.is_final {
                assert_eq!(strip.confidence.0, u64::from(cell.confidence));
            }
            let stances: Vec<Stance> = strip.slots.iter().map(|slot| slot.stance).collect();
            assert!(stances.is_sorted(), "{stances:?}");
            if !strip.is_running {
                assert!(strip.words().starts_with("between two polls"));
                continue;
            }
            let mut sample: Vec<u16> = strip.sample().iter().map(|(id, _)| *id).collect();
            assert!(!sample.contains(&node.id), "nobody asks itself");
            sample.sort_unstable();
            sample.dedup();
            assert_eq!(sample.len(), strip.slots.len(), "each is asked once");
            running += 1;
            // A poll ends with the vote that makes it a success.
            assert!((strip.count(Stance::For) as u64) < strip.need);
            success += usize::from(strip.count(Stance::For) as u64 + 1 == strip.need);
            against += usize::from(strip.count(Stance::Against) > 0);
        }
    }
    assert!(
        running > 20 && success > 0 && against > 0,
        "{running} {success} {against}"
    );
}

#[test]
fn strengths_stand_in_the_order_of_the_letters_and_grow() {
    let mut most = 0;
    for (mut session, ms) in [(spend(), 400.0), (open("snowball/payment"), 1_200.0)] {
        let scene = at(&mut session, ms);
        for node in &scene.nodes {
            let Some(own) = scene.focused(node) else {
                continue;
            };
            let strengths = strengths(&scene, own);
            let letters: Vec<_> = strengths
                .iter()
                .map(|of| scene.label(of.value).unwrap().letter.clone())
                .collect();
            assert!(letters.is_sorted(), "{letters:?}");
            most = most.max(strengths.iter().map(|of| of.polls).max().unwrap_or(0));
        }
    }
    assert!(most >= 3, "{most}");
}

#[test]
fn a_lane_shows_the_preference_before_anything_is_final() {
    let mut session = spend();
    let scene = at(&mut session, 150.0);
    for node in &scene.nodes {
        let own = scene.focused(node).unwrap();
        assert_eq!(own.value, None);
        let label = scene.stands_for(node).and_then(|value| scene.label(value));
        assert!(label.is_some(), "node {}", node.id);
        let cell = scene.crowd.as_ref().unwrap().cell(node.id).unwrap();
        assert_eq!(scene.crowd.as_ref().unwrap().letter(cell), label);
    }
}

#[test]
fn the_line_about_errors_is_always_there_and_says_for_what() {
    let mut session = open("snowball/payment");
    let mut crowd = crate::crowd::Crowd::clone(&at(&mut session, 100.0).crowd.unwrap());
    let known = bound::line(&crowd);
    assert!(
        known.starts_with("error ") && known.contains("n 5, k 4"),
        "{known}"
    );
    assert!(!known.contains("certain"));
    crowd.liars = 3;
    assert!(bound::line(&crowd).starts_with("error unknown"));
    crowd.liars = 0;
    crowd.polls.is_by_the_book = false;
    assert!(bound::line(&crowd).starts_with("error unknown"));
}

#[test]
fn a_ribbon_tells_polls_from_pauses_and_what_is_final_from_what_is_in_a_block() {
    let spec = ProtocolKind::Snowball.spec();
    let picture = picture::of(spec);
    let tones = [
        (phase::SUBMITTED, Tone::Idle),
        (phase::QUERYING, Tone::Busy),
        (phase::TALLYING, Tone::Idle),
        (phase::FINALIZED, Tone::Decided),
        (phase::IN_BLOCK, Tone::Done),
        (phase::REJECTED, Tone::Ended),
    ];
    for (phase, tone) in tones {
        assert_eq!(
            picture.tone(spec, phase),
            tone,
            "{}",
            spec.phases[usize::from(phase)].name
        );
    }
    assert_eq!(tones.len(), spec.phases.len());
    let fields = picture.form().unwrap().fields.len();
    assert_eq!((picture.room_nodes(), fields), (5, 5));
}
