//! Steps as tables, and every sequence of polls up to a length.

use alloc::vec::Vec;

use super::*;
use crate::entropy::{Entropy, Prng};

const P: Parameters = parameters(3, 2, 3, 2);
const EQUAL: Parameters = parameters(3, 2, 2, 2);

const fn parameters(k: u16, preference: u16, confidence: u16, beta: u32) -> Parameters {
    Parameters {
        k,
        alpha_preference: preference,
        alpha_confidence: confidence,
        beta,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Colour {
    Red,
    Blue,
    Green,
}
use Colour::{Blue, Green, Red};

/// A poll's leading choice and its votes; `None` is an unsuccessful poll.
type Step = Option<(Colour, u16)>;

/// A poll, and then the preference and whether it is final.
type Row = (Step, Colour, bool);

fn check_snowball(name: &str, beta: u32, start: Colour, rows: &[Row]) -> Snowball<Colour> {
    let parameters = Parameters { beta, ..P };
    let mut snowball = Snowball::new(start);
    assert_eq!(
        (snowball.preference(), snowball.is_finalized()),
        (start, false),
        "{name}"
    );
    for (at, (step, preference, finalized)) in rows.iter().enumerate() {
        record(&mut snowball, &parameters, *step);
        let found = (snowball.preference(), snowball.is_finalized());
        assert_eq!(found, (*preference, *finalized), "{name}, poll {at}");
    }
    snowball
}

fn record(snowball: &mut Snowball<Colour>, parameters: &Parameters, step: Step) {
    match step {
        Some((choice, count)) => snowball.record_poll(parameters, choice, count),
        None => snowball.record_unsuccessful_poll(),
    }
}

#[test]
fn which_parameters_make_sense() {
    let good = [
        Parameters::MAINNET,
        parameters(1, 1, 1, 1),
        parameters(1, 1, 1, 28),
        parameters(2, 2, 2, 1),
        parameters(3, 2, 2, 1),
        parameters(4, 3, 4, 1),
        parameters(5, 3, 5, 3),
        parameters(u16::MAX, u16::MAX, u16::MAX, u32::MAX),
    ];
    for good in good {
        assert_eq!(good.check(), Ok(()), "{good:?}");
    }
    let bad = [
        (parameters(0, 1, 1, 1), "k = 0: expected at least 1"),
        (
            parameters(1, 0, 1, 1),
            "alpha_preference = 0: expected 1 to 1, more than half of k = 1",
        ),
        (
            parameters(4, 2, 4, 1),
            "alpha_preference = 2: expected 3 to 4, more than half of k = 4",
        ),
        (
            parameters(5, 2, 4, 1),
            "alpha_preference = 2: expected 3 to 5, more than half of k = 5",
        ),
        (
            parameters(5, 6, 6, 1),
            "alpha_preference = 6: expected 3 to 5, more than half of k = 5",
        ),
        (
            parameters(5, 4, 3, 1),
            "alpha_confidence = 3: expected 4 to 5, from alpha_preference to k",
        ),
        (
            parameters(5, 4, 6, 1),
            "alpha_confidence = 6: expected 4 to 5, from alpha_preference to k",
        ),
        (parameters(1, 1, 1, 0), "beta = 0: expected at least 1"),
    ];
    for (bad, why) in bad {
        assert_eq!(bad.check().unwrap_err(), why);
    }
}

#[test]
fn fewer_others_than_k() {
    let main = Parameters::MAINNET;
    for (others, scaled) in [
        (25, main),
        (20, main),
        (19, parameters(19, 15, 15, 20)),
        (10, parameters(10, 8, 8, 20)),
        (4, parameters(4, 3, 3, 20)),
        (1, parameters(1, 1, 1, 20)),
    ] {
        assert_eq!(main.scaled_to(others), scaled, "{others} others");
    }
    assert!(main.scaled_to(0).check().is_err(), "nobody to ask");
    assert_eq!(
        parameters(0, 0, 0, 1).scaled_to(3),
        parameters(0, 0, 0, 1),
        "what is wrong stays wrong"
    );
    for k in 1..=24 {
        for preference in k / 2 + 1..=k {
            for confidence in preference..=k {
                for others in 1..=k {
                    let scaled = parameters(k, preference, confidence, 1).scaled_to(others);
                    assert_eq!(scaled.check(), Ok(()), "{scaled:?}");
                }
            }
        }
    }
}

/// The trace of ground-truth.md.
#[test]
fn a_snowflake_follows_the_last_poll() {
    let parameters = parameters(2, 1, 2, 2);
    let mut snowflake = Snowflake::new(Red);
    for (choice, count, confidence, finalized) in [
        (Blue, 2, 1, false),
        (Red, 2, 1, false),
        (Blue, 2, 1, false),
        (Red, 1, 0, false),
        (Blue, 2, 1, false),
        (Blue, 2, 2, true),
        (Red, 2, 2, true),
        (Red, 0, 2, true),
    ] {
        snowflake.record_poll(&parameters, choice, count);
        let preference = if finalized { Blue } else { choice };
        assert_eq!(
            (
                snowflake.preference(),
                snowflake.confidence(),
                snowflake.is_finalized()
            ),
            (preference, confidence, finalized)
        );
    }
    snowflake.record_unsuccessful_poll();
    assert_eq!(
        (snowflake.confidence(), snowflake.is_finalized()),
        (2, true)
    );
}

#[test]
fn too_few_votes_clear_the_confidence_and_keep_the_preference() {
    let mut snowflake = Snowflake::new(Red);
    snowflake.record_poll(&P, Red, 3);
    assert_eq!(snowflake.confidence(), 1);
    snowflake.record_poll(&P, Blue, 1);
    assert_eq!((snowflake.preference(), snowflake.confidence()), (Red, 0));
}

/// After avalanchego's TestBinarySnowball and its relatives; the same with a third choice around.
#[test]
fn a_snowball_prefers_the_strongest() {
    let (red, blue, green) = (Some((Red, 3)), Some((Blue, 3)), Some((Green, 3)));
    let weak_red = Some((Red, 2));

    let rows = [
        (blue, Blue, false),
        (red, Blue, false),
        (blue, Blue, false),
        (blue, Blue, true),
    ];
    check_snowball("after blue and red it remains blue", 2, Red, &rows);

    let rows = [
        (blue, Blue, false),
        (red, Blue, false),
        (weak_red, Red, false),
        (red, Red, false),
        (red, Red, true),
    ];
    let ball = check_snowball("votes for the preference only", 2, Red, &rows);
    assert_eq!((ball.strength(Red), ball.strength(Blue)), (4, 1));
    assert_eq!(ball.confidence(), 2);

    let rows = [
        (blue, Blue, false),
        (None, Blue, false),
        (blue, Blue, false),
        (blue, Blue, true),
        (red, Blue, true),
        (red, Blue, true),
        (red, Blue, true),
        (red, Blue, true),
    ];
    let ball = check_snowball("an unsuccessful poll starts anew", 2, Red, &rows);
    assert_eq!((ball.strength(Red), ball.strength(Blue)), (4, 3));
    assert_eq!(ball.confidence(), 2);

    let rows = [
        (red, Red, false),
        (None, Red, false),
        (red, Red, false),
        (None, Red, false),
        (blue, Red, false),
        (blue, Blue, true),
    ];
    let ball = check_snowball("final for what is not the strongest", 2, Red, &rows);
    assert_eq!((ball.strength(Red), ball.strength(Blue)), (2, 2));

    let rows = [
        (red, Red, true),
        (blue, Red, true),
        (Some((Blue, 2)), Red, true),
        (blue, Red, true),
    ];
    let ball = check_snowball("final at the first poll", 1, Red, &rows);
    assert_eq!((ball.strength(Red), ball.strength(Blue)), (1, 3));
    assert_eq!(ball.confidence(), 1);

    let rows = [(blue, Blue, false), (red, Blue, false)];
    let ball = check_snowball("the candidate is the last poll's", 2, Red, &rows);
    assert_eq!(ball.candidate(), Red);

    let rows = [
        (blue, Blue, false),
        (green, Blue, false),
        (red, Blue, false),
        (green, Green, false),
        (blue, Green, false),
        (blue, Blue, true),
    ];
    let ball = check_snowball("three choices", 2, Red, &rows);
    let strengths: Vec<_> = ball.strengths().map(|(c, s)| (*c, *s)).collect();
    assert_eq!(strengths, [(Red, 1), (Blue, 3), (Green, 2)]);

    let rows = [(Some((Blue, 1)), Red, false), (Some((Blue, 0)), Red, false)];
    let ball = check_snowball("too few votes add no strength", 2, Red, &rows);
    assert_eq!(ball.strength(Blue), 0);
}

#[test]
fn a_choice_that_died_leaves_its_place_to_the_strongest() {
    let with = |polls: &[(Colour, u32)]| {
        let mut ball = Snowball::new(Red);
        ball.add(Blue);
        ball.add(Green);
        for (choice, times) in polls {
            for _ in 0..*times {
                ball.record_poll(&Parameters { beta: 9, ..P }, *choice, 3);
            }
        }
        ball
    };
    let mut ball = with(&[(Green, 2), (Blue, 1), (Red, 3)]);
    assert_eq!((ball.preference(), ball.confidence()), (Red, 3));
    assert_eq!(ball.remove(&Red), Some(Green));
    assert_eq!((ball.confidence(), ball.candidate()), (0, Green));
    assert_eq!((ball.strength(Red), ball.strength(Green)), (0, 2));
    assert!(ball.strengths().all(|(choice, _)| *choice != Red));

    let mut ball = with(&[(Red, 1)]);
    assert_eq!(ball.remove(&Red), Some(Blue), "the least of equals");

    let mut ball = with(&[(Red, 3), (Blue, 2)]);
    assert_eq!((ball.preference(), ball.candidate()), (Red, Blue));
    assert_eq!(ball.remove(&Red), Some(Blue));
    assert_eq!(ball.confidence(), 2, "it was for another choice");
    let mut ball = with(&[(Red, 3), (Blue, 2)]);
    assert_eq!(ball.remove(&Blue), Some(Red));
    assert_eq!((ball.confidence(), ball.candidate()), (0, Red));

    let mut ball = with(&[(Blue, 2), (Red, 9)]);
    assert!(ball.is_finalized());
    assert_eq!(ball.remove(&Green), Some(Red));
    assert!(ball.is_finalized());
    assert_eq!(ball.remove(&Red), Some(Blue), "it reopens");
    assert_eq!(
        (ball.is_finalized(), ball.confidence(), ball.strength(Blue)),
        (false, 0, 0)
    );
    assert_eq!(ball.remove(&Blue), None, "nothing else is known");
    assert_eq!(ball.preference(), Blue);
}

#[test]
fn only_who_was_asked_counts_and_once() {
    let mut poll = Poll::new([3, 1, 2, 1]);
    assert_eq!((poll.asked(), poll.outstanding()), (3, 3));
    assert_eq!(poll.leading(), None);
    assert!(poll.vote(1, Some(Blue)));
    assert!(!poll.vote(1, Some(Red)) && !poll.vote(4, Some(Red)) && !poll.vote(1, None));
    assert_eq!(poll.leading(), Some((Blue, 1)));
    assert!(poll.vote(2, Some(Red)));
    assert_eq!(poll.leading(), Some((Red, 1)), "the least choice on a tie");
    assert_eq!(poll.waiting().collect::<Vec<_>>(), [&3]);
    assert!(poll.vote(3, None) && !poll.vote(3, Some(Blue)));
    assert_eq!(
        (poll.count(Blue), poll.count(Red), poll.count(Green)),
        (1, 1, 0)
    );
    let votes: Vec<_> = poll.votes().map(|(who, vote)| (*who, *vote)).collect();
    assert_eq!(votes, [(1, Some(Blue)), (2, Some(Red)), (3, None)]);
    assert_eq!((poll.asked(), poll.outstanding()), (3, 0));
}

/// Thresholds, the votes in order (`None` answers without one), and after how many the poll is over.
type Ending = (&'static str, Parameters, &'static [Option<Colour>], usize);

/// After avalanchego's tests of early termination.
#[test]
fn a_poll_is_over_as_soon_as_its_result_stands() {
    const B: Option<Colour> = Some(Blue);
    const R: Option<Colour> = Some(Red);
    let endings: [Ending; 9] = [
        ("1: all answered", parameters(1, 1, 1, 1), &[B], 1),
        ("1: all answered, k = 2", parameters(2, 2, 2, 1), &[B, B], 2),
        ("1: split", parameters(3, 3, 3, 1), &[B, R, R], 3),
        (
            "2: too few votes left",
            parameters(3, 2, 2, 1),
            &[None, None, B],
            2,
        ),
        (
            "3: no confidence any more",
            parameters(5, 3, 5, 1),
            &[B, B, B, None, B],
            4,
        ),
        (
            "3: for another choice",
            parameters(5, 3, 5, 1),
            &[R, B, B, B, B],
            4,
        ),
        (
            "3: confidence still possible",
            parameters(5, 3, 4, 1),
            &[R, B, B, B, B],
            5,
        ),
        ("4: enough", parameters(5, 3, 3, 1), &[B, B, B, R, R], 3),
        (
            "4: enough for confidence",
            parameters(5, 3, 4, 1),
            &[B, B, B, B, R],
            4,
        ),
    ];
    for (name, parameters, votes, after) in endings {
        let mut poll = Poll::new(0..votes.len());
        for (from, vote) in votes.iter().enumerate() {
            assert_eq!(
                poll.is_over(&parameters),
                from >= after,
                "{name}, {from} votes"
            );
            poll.vote(from, *vote);
        }
        assert!(poll.is_over(&parameters), "{name}");
    }
    assert!(Poll::<u8, u8>::new([]).is_over(&P), "nobody was asked");
}

/// Once a poll is over, no further answers change what it does to a snowball.
#[test]
fn what_comes_after_the_end_changes_nothing() {
    let answers = [None, Some(Red), Some(Blue)];
    let result = |poll: &Poll<usize, Colour>, parameters: &Parameters| match poll.leading() {
        Some((choice, count)) if count >= parameters.alpha_preference => {
            Some((choice, count >= parameters.alpha_confidence))
        }
        _ => None,
    };
    for parameters in [
        parameters(5, 3, 3, 1),
        parameters(5, 3, 4, 1),
        parameters(5, 4, 5, 1),
    ] {
        for all in 0..3_usize.pow(5) {
            let mut poll = Poll::new(0..5);
            let mut stood = None;
            for from in 0..5 {
                if poll.is_over(&parameters) && stood.is_none() {
                    stood = Some(result(&poll, &parameters));
                }
                poll.vote(from, answers[all / 3_usize.pow(from as u32) % 3]);
            }
            if let Some(stood) = stood {
                assert_eq!(stood, result(&poll, &parameters), "{parameters:?} {all}");
            }
        }
    }
}

/// What a run of polls has to show: written without the code that it checks.
#[derive(Clone, Default)]
struct Oracle {
    /// The choice of the confident polls at the end, and how many there are in a row.
    row: Option<(Colour, u32)>,
    strengths: [u32; 3],
    decided: Option<Colour>,
}

impl Oracle {
    fn see(&mut self, parameters: &Parameters, step: Step) {
        let confident = step.filter(|(_, count)| *count >= parameters.alpha_confidence);
        self.row = confident.map(|(choice, _)| match self.row {
            Some((same, times)) if same == choice => (choice, times + 1),
            _ => (choice, 1),
        });
        if let Some((choice, _)) = step.filter(|(_, count)| *count >= parameters.alpha_preference) {
            self.strengths[choice as usize] += 1;
        }
        if let Some((choice, times)) = self.row
            && times >= parameters.beta
        {
            self.decided.get_or_insert(choice);
        }
    }

    fn check(&self, ball: &Snowball<Colour>) {
        assert_eq!(ball.is_finalized(), self.decided.is_some());
        match self.decided {
            Some(choice) => assert_eq!(ball.preference(), choice),
            None => {
                let most = self.strengths.iter().max().unwrap();
                assert_eq!(ball.strength(ball.preference()), *most);
            }
        }
        for choice in [Red, Blue, Green] {
            assert_eq!(ball.strength(choice), self.strengths[choice as usize]);
        }
    }
}

const STEPS: [Step; 8] = [
    None,
    Some((Red, 1)),
    Some((Red, 2)),
    Some((Red, 3)),
    Some((Blue, 2)),
    Some((Blue, 3)),
    Some((Green, 2)),
    Some((Green, 3)),
];

fn walk(ball: &Snowball<Colour>, oracle: &Oracle, parameters: &Parameters, depth: u32) {
    for step in STEPS {
        let (mut ball, mut oracle) = (ball.clone(), oracle.clone());
        record(&mut ball, parameters, step);
        oracle.see(parameters, step);
        oracle.check(&ball);
        if depth > 1 {
            walk(&ball, &oracle, parameters, depth - 1);
        }
    }
}

#[test]
fn every_sequence_of_polls_keeps_the_rules() {
    for parameters in [
        P,
        EQUAL,
        Parameters { beta: 1, ..P },
        Parameters { beta: 3, ..EQUAL },
    ] {
        walk(&Snowball::new(Red), &Oracle::default(), &parameters, 5);
    }
}

#[test]
fn long_sequences_of_polls_keep_the_rules() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed, "polls", 0, 0);
        let parameters = Parameters {
            beta: 1 + prng.below(6) as u32,
            ..if seed % 2 == 0 { P } else { EQUAL }
        };
        let (mut ball, mut oracle) = (Snowball::new(Red), Oracle::default());
        for _ in 0..300 {
            let step = STEPS[prng.below(8) as usize];
            record(&mut ball, &parameters, step);
            oracle.see(&parameters, step);
            oracle.check(&ball);
        }
    }
}
