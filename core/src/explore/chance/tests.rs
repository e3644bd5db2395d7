//! By hand, by other means, and against the bound.

use super::*;
use crate::entropy::{Entropy, Prng};
use crate::snow::bound::{Bound, Question};
use crate::snow::{Poll, Snowball, Snowflake};

const STATES_MAX: u64 = 200_000;

const fn parameters(k: u16, preference: u16, confidence: u16, beta: u32) -> Parameters {
    Parameters {
        k,
        alpha_preference: preference,
        alpha_confidence: confidence,
        beta,
    }
}

fn chance(nodes: u16, byzantine: u16, blue: u16, parameters: Parameters, rule: Rule) -> Chance {
    Chance::new(nodes, byzantine, blue, parameters, rule).unwrap()
}

fn odds(nodes: u16, byzantine: u16, blue: u16, parameters: Parameters, rule: Rule) -> Odds {
    chance(nodes, byzantine, blue, parameters, rule)
        .odds(STATES_MAX)
        .unwrap()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9
}

#[test]
fn small_cases_by_hand() {
    let ball = Rule::Snowball { cap: 3 };
    let one = parameters(1, 1, 1, 1);
    for rule in [Rule::Snowflake, ball] {
        // Whoever polls first takes over the other's choice, and the other follows.
        let two = odds(2, 0, 1, one, rule);
        assert!(close(two.agree, 1.0) && two.disagree == 0.0, "{two:?}");
        // Red, Red, Blue: with 2/3 a Red asks first and decides either; then the other one of its former choice asks
        // first with 1/2 and decides differently with 1/2. If Blue asks first, all are Red.
        let three = odds(3, 0, 1, one, rule);
        assert!(close(three.disagree, 1.0 / 6.0) && close(three.agree, 5.0 / 6.0));
        // Two Red and a liar: the first decides Red with 1/2, and then the second one Blue with 1/2. If the first
        // decides Blue, the second hears nothing else.
        let liar = odds(3, 1, 0, one, rule);
        assert!(
            close(liar.disagree, 0.25) && close(liar.agree, 0.75),
            "{liar:?}"
        );
        // Both others have to agree: only Blue ever hears that they do, and follows.
        let both = odds(3, 0, 1, parameters(2, 2, 2, 1), rule);
        assert!(close(both.agree, 1.0) && both.disagree == 0.0);
        // With a liar, nobody ever hears it: no run ends.
        let never = odds(3, 1, 0, parameters(2, 2, 2, 1), rule);
        assert_eq!(
            (never.agree, never.disagree, never.undecided),
            (0.0, 0.0, 1.0)
        );
        assert_eq!(
            (never.states, never.capped, never.disagree_at_most()),
            (1, 0.0, 1.0)
        );
    }
}

#[test]
fn a_cap_leaves_out_what_runs_beyond_it() {
    // Polls that fail in between let a node win many without a decision.
    let p = parameters(2, 2, 2, 2);
    let mut before: Option<Odds> = None;
    for cap in [1, 2, 3, 5] {
        let now = odds(4, 0, 2, p, Rule::Snowball { cap });
        assert!(close(now.agree + now.disagree + now.capped, 1.0), "{now:?}");
        assert!(now.residual <= RESIDUAL);
        if let Some(before) = before {
            assert!(now.capped < before.capped, "{now:?}");
            assert!(now.agree >= before.agree && now.disagree >= before.disagree);
            assert!(now.disagree <= before.disagree_at_most());
        }
        before = Some(now);
    }
    assert!(before.unwrap().capped < 0.1, "{before:?}");
}

#[test]
fn what_forgets_leads_differs_by_no_more_than_what_is_capped() {
    for (byzantine, p) in [(0, parameters(2, 2, 2, 2)), (1, parameters(3, 2, 3, 1))] {
        for cap in [1, 2, 4] {
            let kept = odds(4, byzantine, 2, p, Rule::Snowball { cap });
            let forgot = odds(4, byzantine, 2, p, Rule::Forgetful { cap });
            assert_eq!(forgot.capped, 0.0);
            for (kept_least, least) in
                [(kept.agree, forgot.agree), (kept.disagree, forgot.disagree)]
            {
                assert!(kept_least <= least + 1e-9, "{kept:?} {forgot:?}");
                assert!(
                    least <= kept_least + kept.undecided + 1e-9,
                    "{kept:?} {forgot:?}"
                );
            }
        }
    }
}

#[test]
fn what_ends_sums_to_one() {
    for (nodes, byzantine, blue, p) in [
        (4, 0, 2, parameters(1, 1, 1, 2)),
        (5, 0, 2, parameters(3, 2, 3, 2)),
        (6, 1, 2, parameters(3, 2, 2, 3)),
    ] {
        let odds = odds(nodes, byzantine, blue, p, Rule::Snowflake);
        assert!(close(odds.agree + odds.disagree, 1.0), "{odds:?}");
        assert_eq!(odds.capped, 0.0);
    }
}

#[test]
fn more_in_a_row_means_less_disagreement() {
    for (nodes, byzantine, blue, k, alpha) in [(4, 0, 2, 1, 1), (5, 0, 2, 3, 2), (5, 1, 2, 3, 2)] {
        let mut before = 1.0;
        for beta in 1..=4 {
            let now = odds(
                nodes,
                byzantine,
                blue,
                parameters(k, alpha, alpha, beta),
                Rule::Snowflake,
            );
            assert!(
                now.disagree < before && now.disagree > 0.0,
                "beta {beta}: {now:?}"
            );
            before = now.disagree;
        }
    }
}

#[test]
fn a_node_is_what_ships() {
    use Effect::{Confident, Prefers, Unsuccessful};
    const EFFECTS: [Effect; 5] = [
        Unsuccessful,
        Prefers(Red),
        Prefers(Blue),
        Confident(Red),
        Confident(Blue),
    ];
    let p = parameters(3, 2, 3, 3);
    let flakes = chance(4, 0, 0, p, Rule::Snowflake);
    let balls = chance(4, 0, 0, p, Rule::Snowball { cap: 9 });
    for sequence in 0..5_u32.pow(6) {
        let (mut flake, mut ball) = (Snowflake::new(Red), Snowball::new(Red));
        let (mut as_flake, mut as_ball) = (Correct::new(Red), Correct::new(Red));
        for at in 0..6 {
            let effect = EFFECTS[sequence as usize / 5_usize.pow(at) % 5];
            let (choice, count) = match effect {
                Unsuccessful => (Blue, 1),
                Prefers(choice) => (choice, 2),
                Confident(choice) => (choice, 3),
            };
            flake.record_poll(&p, choice, count);
            ball.record_poll(&p, choice, count);
            as_flake = flakes.after(as_flake, effect).unwrap();
            as_ball = balls.after(as_ball, effect).unwrap();
            for (mine, preference, confidence, is_final) in [
                (
                    as_flake,
                    flake.preference(),
                    flake.confidence(),
                    flake.is_finalized(),
                ),
                (
                    as_ball,
                    ball.preference(),
                    ball.confidence(),
                    ball.is_finalized(),
                ),
            ] {
                assert_eq!(mine.preference(), preference);
                match mine {
                    Correct::Open {
                        confidence: row, ..
                    } => {
                        assert_eq!((row, false), (confidence, is_final));
                    }
                    Correct::Final(_) => assert!(is_final),
                }
            }
        }
    }
}

/// One run of the snowballs that ship, with their polls; `None` if it takes too long.
fn run(chance: &Chance, prng: &mut Prng) -> Option<bool> {
    const POLLS_MAX: u32 = 2_000;
    let correct = usize::from(chance.nodes - chance.byzantine);
    let first = |node| {
        if node < usize::from(chance.blue) {
            Blue
        } else {
            Red
        }
    };
    let mut balls: Vec<Snowball<Choice>> = (0..correct)
        .map(|node| Snowball::new(first(node)))
        .collect();
    let mut open: Vec<usize> = (0..correct).collect();
    for _ in 0..POLLS_MAX {
        if open.is_empty() {
            break;
        }
        let asker = open[prng.below(open.len() as u64) as usize];
        let mut others: Vec<usize> = (0..usize::from(chance.nodes))
            .filter(|node| *node != asker)
            .collect();
        let draw = |_| others.swap_remove(prng.below(others.len() as u64) as usize);
        let mut poll = Poll::new((0..chance.parameters.k).map(draw).collect::<Vec<_>>());
        let asked: Vec<usize> = poll.waiting().copied().collect();
        for from in asked {
            if poll.is_over(&chance.parameters) {
                break;
            }
            let lie = match balls[asker].preference() {
                Red => Blue,
                Blue => Red,
            };
            poll.vote(
                from,
                Some(balls.get(from).map_or(lie, Snowball::preference)),
            );
        }
        match poll.leading() {
            Some((choice, count)) => balls[asker].record_poll(&chance.parameters, choice, count),
            None => balls[asker].record_unsuccessful_poll(),
        }
        open.retain(|node| !balls[*node].is_finalized());
    }
    let decided = |choice| {
        balls
            .iter()
            .any(|ball| ball.is_finalized() && ball.preference() == choice)
    };
    if decided(Red) && decided(Blue) {
        return Some(false);
    }
    open.is_empty().then_some(true)
}

#[test]
fn snowballs_drawn_at_random_do_what_was_computed() {
    const RUNS: u32 = 4_000;
    for (seed, nodes, byzantine, blue, p, cap) in [
        (1, 4, 0, 2, parameters(1, 1, 1, 1), 3),
        (2, 4, 0, 2, parameters(3, 2, 2, 2), 6),
        (3, 4, 0, 2, parameters(1, 1, 1, 2), 8),
        (4, 5, 1, 1, parameters(3, 2, 2, 1), 4),
        (5, 5, 1, 2, parameters(3, 2, 3, 1), 8),
    ] {
        let chance = chance(nodes, byzantine, blue, p, Rule::Snowball { cap });
        let odds = chance.odds(STATES_MAX).unwrap();
        let mut prng = Prng::new(seed, "chance", 0, 0);
        let ends: Vec<_> = (0..RUNS).map(|_| run(&chance, &mut prng)).collect();
        for (end, low) in [(Some(false), odds.disagree), (Some(true), odds.agree)] {
            let share = ends.iter().filter(|other| **other == end).count() as f64 / f64::from(RUNS);
            // 99.9 % of a normal distribution lie within 3.29 of its deviations.
            let deviation = |p: f64| 3.29 * (p * (1.0 - p) / f64::from(RUNS)).max(0.0).sqrt();
            let high = (low + odds.undecided).min(1.0);
            assert!(
                share >= low - deviation(low) - 1e-9 && share <= high + deviation(high) + 1e-9,
                "seed {seed}, {end:?}: {share}, computed {odds:?}"
            );
        }
    }
}

/// The probability that some node decides Blue within so many polls in all, while at most half prefer Blue all along.
fn blue_against_half(chain: &Chain, polls: u32) -> f64 {
    let blue_is_wrong = |group: &Group| match group {
        Group::Open(nodes) => {
            2 * nodes.iter().filter(|n| n.preference() == Blue).count() <= nodes.len()
        }
        _ => true,
    };
    let blue_decided = |group: &Group| match group {
        Group::Open(nodes) => nodes.contains(&Correct::Final(Blue)),
        other => *other == Group::Disagreed,
    };
    let mut mass = alloc::vec![0.0; chain.states.len()];
    mass[0] = 1.0;
    let mut decided = 0.0;
    for _ in 0..polls {
        let mut next = alloc::vec![0.0; mass.len()];
        for (state, here) in mass.iter().enumerate().filter(|(_, here)| **here > 0.0) {
            next[state] += here * chain.stays[state];
            for (to, p) in chain.steps(state) {
                let there = here * p * (1.0 - chain.stays[state]);
                let group = &chain.states[*to as usize];
                if blue_decided(group) {
                    // Also where the decision itself makes it more than half, and so more than the bound speaks of.
                    decided += there;
                } else if blue_is_wrong(group) {
                    next[*to as usize] += there;
                }
            }
        }
        mass = next;
    }
    decided
}

#[test]
fn the_bound_holds_where_its_assumptions_do() {
    let flake = Rule::Snowflake;
    let mut told = 0;
    for (nodes, byzantine, p, rule) in [
        (4, 0, parameters(1, 1, 1, 8), flake),
        (5, 0, parameters(1, 1, 1, 5), flake),
        (6, 1, parameters(1, 1, 1, 6), flake),
        (6, 1, parameters(3, 3, 3, 3), flake),
        (7, 0, parameters(2, 2, 2, 3), flake),
        (7, 0, parameters(3, 2, 2, 4), flake),
        (7, 0, parameters(3, 2, 3, 3), flake),
        (3, 0, parameters(1, 1, 1, 4), Rule::Snowball { cap: 3 }),
        (4, 1, parameters(2, 2, 2, 3), Rule::Snowball { cap: 3 }),
    ] {
        let correct = nodes - byzantine;
        for blue in 0..=correct / 2 {
            let chance = chance(nodes, byzantine, blue, p, rule);
            let chain = Chain::new(chance, STATES_MAX).unwrap();
            // Either choice may turn out to be the wrong one if both have half.
            let sides = if 2 * blue == correct { 2.0 } else { 1.0 };
            for polls in [p.beta, 2 * p.beta - 1, 2 * p.beta + 2] {
                let question = Question {
                    nodes,
                    parameters: p,
                    byzantine,
                    polls: polls.into(),
                };
                let Bound::AtMost { probability, .. } = question.bound() else {
                    continue;
                };
                // The nodes' rows begin at so many polls in all, whoever takes them.
                let all = u32::from(correct) * (polls - p.beta + 1);
                let exact = sides * blue_against_half(&chain, all);
                assert!(
                    exact <= probability,
                    "{question}, {blue} blue: {exact} > {probability}"
                );
                told += u32::from(exact > 0.0);
            }
        }
    }
    assert!(told >= 10, "{told} cases say something");
}

/// What the bound says of one poll holds in every state in which its assumption does, and is met in some.
#[test]
fn no_poll_errs_more_often_than_the_bound_says() {
    for (nodes, byzantine, p) in [
        (4, 0, parameters(1, 1, 1, 9)),
        (5, 0, parameters(2, 2, 2, 4)),
        (6, 1, parameters(3, 2, 3, 3)),
        (7, 0, parameters(4, 3, 3, 6)),
        (8, 2, parameters(3, 3, 3, 4)),
        (9, 3, parameters(5, 4, 4, 9)),
    ] {
        let correct = nodes - byzantine;
        let question = Question {
            nodes,
            parameters: p,
            byzantine,
            polls: p.beta.into(),
        };
        let Bound::AtMost { per_poll, .. } = question.bound() else {
            panic!("a bound for {question}");
        };
        let mut most = 0.0;
        for blue in 0..=correct / 2 {
            let chance = chance(nodes, byzantine, blue, p, Rule::Snowflake);
            let group = chance.init().remove(0);
            let Group::Open(states) = &group else {
                panic!("undecided")
            };
            let mut asks = Vec::new();
            chance.actions(&group, &mut asks);
            for ask in asks
                .iter()
                .filter(|ask| ask.effect == Effect::Confident(Blue))
            {
                let alike = states
                    .iter()
                    .filter(|node| **node == states[ask.node])
                    .count();
                let samples = chance.ways(&states[..1]) * alike as u128;
                let errs = ask.ways as f64 / samples as f64;
                assert!(
                    errs <= per_poll,
                    "{question}, {blue} blue: {errs} > {per_poll}"
                );
                most = errs.max(most);
            }
        }
        assert!(
            most >= per_poll * (1.0 - 1e-8),
            "{question}: {most}, {per_poll}"
        );
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let p = parameters(3, 2, 2, 1);
    for (nodes, byzantine, blue, p, why) in [
        (1, 0, 0, p, "nodes = 1: expected 2 to 64"),
        (65, 0, 0, p, "nodes = 65: expected 2 to 64"),
        (4, 4, 0, p, "byzantine = 4: expected fewer than 4 nodes"),
        (4, 1, 4, p, "blue = 4: expected at most 3 correct nodes"),
        (
            4,
            1,
            0,
            Parameters { beta: 0, ..p },
            "beta = 0: expected at least 1",
        ),
    ] {
        let found = Chance::new(nodes, byzantine, blue, p, Rule::Snowflake);
        assert_eq!(found.unwrap_err(), why);
    }
    let many = chance(8, 0, 4, parameters(3, 2, 3, 4), Rule::Snowball { cap: 8 });
    assert_eq!(many.odds(1_000).unwrap_err(), "more than 1000 states");
    let few = chance(3, 0, 1, parameters(1, 1, 1, 1), Rule::Snowflake);
    let states = few.odds(STATES_MAX).unwrap().states;
    assert!(few.odds(states).is_ok() && few.odds(states - 1).is_err());
}

#[test]
fn samples_are_counted_exactly() {
    assert_eq!(choose(5, 2), 10);
    assert_eq!(choose(3, 4), 0);
    assert_eq!(choose(63, 31), 916_312_070_471_295_267);
    let chance = chance(64, 10, 27, parameters(31, 20, 25, 1), Rule::Snowflake);
    let group = chance.init().remove(0);
    let mut asks = Vec::new();
    chance.actions(&group, &mut asks);
    let ways: u128 = asks.iter().map(|ask| ask.ways).sum();
    assert_eq!(ways, 54 * choose(63, 31));
}
