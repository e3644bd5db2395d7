//! Histories as text, and judged: small ones whose verdict is known.

use alloc::string::ToString;

use super::*;
use crate::scenario::{builtin, parse};

/// A history of lines such as `0 invoke write 5 3`.
fn history(lines: &[&str]) -> History {
    let event = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<i64>().unwrap();
        let item = |at: usize| words[at].parse::<u64>().unwrap();
        let call = match words[2] {
            "read" => {
                let pairs = words[3..].iter().map(|pair| {
                    let (item, held) = pair.split_once('=').unwrap();
                    (item.parse().unwrap(), held.parse().ok())
                });
                Call::Read(pairs.collect())
            }
            "write" => Call::Write(item(3), number(4)),
            "cas" => Call::Cas(item(3), number(4), number(5)),
            "transfer" => Call::Transfer {
                from: item(3),
                to: item(4),
                amount: number(5),
            },
            other => Call::Other(other.to_string()),
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == words[1]);
        Happened {
            process: item(0),
            kind: kind.unwrap(),
            call,
            at: Time::from_ms(7),
            error: None,
        }
    };
    History {
        initial: Some(0),
        accounts: Vec::from([(1, 100), (2, 50)]),
        events: lines.iter().map(event).collect(),
    }
}

fn holds(workload: Workload, lines: &[&str]) -> bool {
    match judge(&history(lines), workload).unwrap() {
        Verdict::Holds { .. } => true,
        Verdict::Broken { .. } => false,
        Verdict::Undecided { what } => panic!("{what}"),
    }
}

#[test]
fn a_read_that_overlaps_a_write_sees_the_old_or_the_new_and_never_the_old_after_the_new() {
    let case = |first: &str, second: &str| {
        let told = |process: u64, held: &str| format!("{process} ok read 5={held}");
        let lines = [
            "0 invoke write 5 3".to_string(),
            "1 invoke read 5=?".to_string(),
            told(1, first),
            "2 invoke read 5=?".to_string(),
            told(2, second),
            "0 ok write 5 3".to_string(),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        holds(Workload::Register, &lines)
    };
    assert!(case("0", "0") && case("0", "3") && case("3", "3"));
    assert!(!case("3", "0"));
    assert!(!case("4", "3"));
}

#[test]
fn what_failed_did_nothing_and_what_nobody_knows_may_have() {
    let after = |end: &str, held: &str| {
        let end = format!("0 {end} cas 5 0 8");
        let told = format!("1 ok read 5={held}");
        let lines = ["0 invoke cas 5 0 8", &end, "1 invoke read 5=?", &told];
        holds(Workload::Register, &lines)
    };
    assert!(after("ok", "8") && !after("ok", "0"));
    assert!(after("fail", "0") && !after("fail", "8"));
    assert!(after("info", "0") && after("info", "8"));
    // It may also take effect long after its client gave up; and once at most.
    let late = |last: &str| {
        holds(
            Workload::Register,
            &[
                "0 invoke cas 5 0 8",
                "0 info cas 5 0 8",
                "1 invoke read 5=?",
                "1 ok read 5=0",
                "1 invoke read 5=?",
                "1 ok read 5=8",
                "1 invoke write 5 0",
                "1 ok write 5 0",
                "1 invoke read 5=?",
                last,
            ],
        )
    };
    assert!(late("1 ok read 5=0"));
    assert!(!late("1 ok read 5=8"));
}

#[test]
fn a_bank_keeps_its_money_and_nobody_owes_any() {
    let moved = ["0 invoke transfer 1 2 30", "0 ok transfer 1 2 30"];
    let read = |told: &str| {
        let ask = "1 invoke read 1=? 2=?";
        let lines = [moved[0], moved[1], ask, told];
        judge(&history(&lines), Workload::Bank).unwrap()
    };
    assert!(matches!(read("1 ok read 1=70 2=80"), Verdict::Holds { .. }));
    let wrong = |told: &str, expected: &str| match read(told) {
        Verdict::Broken { what } => assert!(what.contains(expected), "{what}"),
        other => panic!("{other:?}"),
    };
    wrong("1 ok read 1=70 2=50", "hold 120 together, of 150");
    wrong("1 ok read 1=-5 2=155", "owes 5");
    wrong("1 ok read 1=100 2=50", "fits nowhere");
    // More than there is cannot be moved.
    assert!(!holds(
        Workload::Bank,
        &["0 invoke transfer 1 2 101", "0 ok transfer 1 2 101"]
    ));
    assert!(holds(
        Workload::Bank,
        &["0 invoke transfer 1 2 101", "0 info transfer 1 2 101"]
    ));
}

#[test]
fn what_shares_no_item_is_judged_apart() {
    let mut lines = Vec::new();
    for item in 10..40 {
        for process in 0..4 {
            lines.push(format!(
                "{} invoke write {item} {process}",
                item * 4 + process
            ));
        }
        for process in 0..4 {
            lines.push(format!("{} ok write {item} {process}", item * 4 + process));
        }
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let Ok(Verdict::Holds { ended, open, parts }) = judge(&history(&lines), Workload::Register)
    else {
        panic!("registers that were only written");
    };
    assert_eq!((ended, open, parts), (120, 0, 30));
}

#[test]
fn what_is_too_large_is_said_to_be() {
    // Nothing that these writes leave explains the read: every order of them has to be tried.
    let mut lines = Vec::new();
    for process in 0..20 {
        lines.push(format!("{process} invoke write 5 {process}"));
    }
    lines.push("99 invoke read 5=?".to_string());
    lines.push("99 ok read 5=1000".to_string());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let verdict = judge_within(&history(&lines), Workload::Register, 10_000).unwrap();
    assert!(
        matches!(&verdict, Verdict::Undecided { what } if what.contains("no answer after")),
        "{verdict:?}"
    );
}

#[test]
fn what_is_written_is_read_back() {
    let mut written = history(&[
        "0 invoke write 5 3",
        "1 invoke read 5=?",
        "1 ok read 5=3",
        "0 info write 5 3",
        "2 invoke cas 5 3 4",
        "3 invoke transfer 1 2 30",
        "3 fail transfer 1 2 30",
        "4 invoke move",
        "4 ok move",
    ]);
    written.events[6].error = Some("INSUFFICIENT_BALANCE".to_string());
    for form in [Form::Edn, Form::Json] {
        let text = write(&written, form);
        assert_eq!(read(&text).unwrap(), written, "{text}");
    }
}

#[test]
fn what_jepsen_writes_is_read() {
    let text = "\
{:type :invoke, :f :read, :value nil, :process 0, :time 3, :index 0} ; a comment
#jepsen.history.Op{:index 1, :time 5, :type :ok, :process 0, :f :read, :value 4}
{:type :info, :f :start, :process :nemesis, :value [:isolated {\"n1\" [\"n2\"]}]}
{:type :invoke, :f :write, :value [7 2], :process 0}
{:type :ok, :f :write, :value [7 2], :process 0}
{:type :invoke, :f :cas, :value [7 [2 3]], :process 0, :error [:timeout 5]}
";
    let events = read(text).unwrap().events;
    let calls: Vec<&Call> = events.iter().map(|event| &event.call).collect();
    let (read_it, write_it) = (Call::Read(Vec::from([(0, Some(4))])), Call::Write(7, 2));
    let expected = [
        &Call::Read(Vec::new()),
        &read_it,
        &write_it,
        &write_it,
        &Call::Cas(7, 2, 3),
    ];
    assert_eq!(calls, expected);
}

#[test]
fn malformed_histories_are_refused_with_the_line_and_what_was_expected() {
    let line = "{:type :invoke, :process 0, :f :write, :value [1 2]}\n";
    let cases = [
        ("", 0, "no client did anything"),
        ("17", 1, "expected a map"),
        ("{:type :invoke, :f :read}", 1, "expected process"),
        (
            "{:type :begun, :process 0, :f :read}",
            1,
            "expected invoke, ok, fail or info",
        ),
        (
            "{:type :invoke, :process -1, :f :read}",
            1,
            "expected a number from 0",
        ),
        (
            "{:type :invoke, :process 0, :f :write, :value 1.5}",
            1,
            "whole number",
        ),
        (
            "{:type :invoke, :process 0, :f :write, :value \"x",
            1,
            "end of a string",
        ),
        (
            "{:type :invoke, :process 0, :f :write, :value nil}",
            1,
            "expected [item held]",
        ),
        (
            "{:type :invoke, :process 0, :f :transfer, :value {:from 1}}",
            1,
            "expected from, to",
        ),
        ("{:type :invoke, :process 0, :f", 1, "expected a"),
        (
            "{\"type\": \"ok\", \"process\": 0, \"f\": \"read\"}",
            1,
            "expected invoke",
        ),
    ];
    for (text, at, expected) in cases {
        let error = read(text).unwrap_err();
        assert!(
            error.line == at && error.what.contains(expected),
            "{text}: {error}"
        );
    }
    let twice = read(&format!("{line}{line}")).unwrap_err();
    assert!(
        twice
            .to_string()
            .starts_with("line 2: process 0 invokes before"),
        "{twice}"
    );
    let deep = format!("{line}{}", "[".repeat(100));
    assert!(read(&deep).unwrap_err().what.contains("at most 16 values"));
    let transfer = "{:type :invoke, :process 0, :f :transfer, :value {:from 1, :to 2, :amount 3}}";
    let history = read(transfer).unwrap();
    let wrong = judge(&history, Workload::Register).unwrap_err();
    assert!(
        wrong.what.contains("expected read, write or cas"),
        "{wrong}"
    );
}

#[test]
fn a_run_tells_what_its_clients_asked_and_were_told() {
    let named = |name: &str| {
        let entry = builtin().iter().find(|entry| entry.name == name).unwrap();
        Sim::new(&parse(name, entry.text).unwrap()).unwrap()
    };
    let history = of_run(named("sharded-2pc/reference-transfer"), None).unwrap();
    let told: Vec<(u64, &str, Call)> = history
        .events
        .iter()
        .map(|event| (event.process, event.kind.name(), event.call.clone()))
        .collect();
    let transfer = Call::Transfer {
        from: 1001,
        to: 3001,
        amount: 10,
    };
    let read = |item, held| Call::Read(Vec::from([(item, held)]));
    assert_eq!(
        told,
        [
            (0, "invoke", transfer.clone()),
            (0, "ok", transfer),
            (1, "invoke", read(1001, None)),
            (2, "invoke", read(3001, None)),
            (1, "ok", read(1001, Some(90))),
            (2, "ok", read(3001, Some(60))),
        ]
    );
    let verdict = judge(&history, Workload::Bank).unwrap();
    assert!(
        matches!(
            verdict,
            Verdict::Holds {
                ended: 3,
                open: 0,
                parts: 1
            }
        ),
        "{verdict:?}"
    );
    // A balance that was not there.
    let mut wrong = history.clone();
    wrong.events[4].call = read(1001, Some(100));
    let verdict = judge(&wrong, Workload::Bank).unwrap();
    assert!(matches!(verdict, Verdict::Broken { .. }), "{verdict:?}");
    let none = of_run(named("two-phase/three-signers"), None).unwrap_err();
    assert!(none.what.contains("expected sharded-2pc"), "{none}");
}
