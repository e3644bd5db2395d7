use alloc::string::ToString;
use alloc::vec;

use super::*;

const HEAD: &str = "protocol = \"two-phase\"\nnodes = 3\n";

fn error(tail: &str) -> String {
    parse("three.toml", &format!("{HEAD}{tail}"))
        .unwrap_err()
        .to_string()
}

#[test]
fn errors_say_where_what_and_what_was_expected() {
    let cases: &[(&str, &str)] = &[
        (
            "[network]\nlantency_ms = [1, 2]\n",
            "three.toml:4: unknown key \"lantency_ms\"; did you mean latency_ms?",
        ),
        (
            "[[view.break]]\nlabel = \"Crash\"\n",
            "three.toml:4: view.break: expected exactly one of at and exhibit",
        ),
        (
            "[[view.break]]\nlabel = \"Crash\"\nat = { ms = 5, do = \"crash\", node = 4 }\n",
            "three.toml:4: crash: node 4 does not exist; expected 1 to 3",
        ),
        (
            "[[view.break]]\nlabel = \"Crash\"\nexhibit = \"S0-F99\"\n",
            "three.toml:4: view.break: no exhibit \"S0-F99\" of two-phase; `phaselab museum` lists them",
        ),
        (
            "[[view.break]]\nlabel = \"Crash\"\nat = { ms = 5, do = \"crush\", node = 1 }\n",
            "three.toml:4: unknown do \"crush\"; did you mean crash?",
        ),
        (
            "seeds = 1\n",
            "three.toml:3: unknown key \"seeds\"; did you mean seed?",
        ),
        (
            "[network]\nlatency_ms = [9, 2]\n",
            "three.toml:4: network.latency_ms = [9, 2]: expected the lower bound first",
        ),
        (
            "[[at]]\nms = 1\ndo = \"crush\"\nnode = 1\n",
            "three.toml:5: unknown do \"crush\"; did you mean crash?",
        ),
        (
            "[[at]]\nms = 1\ndo = \"crash\"\n",
            "three.toml:5: crash: the key node is missing",
        ),
        (
            "[[at]]\ndo = \"heal\"\n",
            "three.toml:4: heal: expected exactly one of ms and step",
        ),
        (
            "[[at]]\nms = 1\ndo = \"crash\"\nnode = 9\n",
            "three.toml:5: crash: node 9 does not exist; expected 1 to 3",
        ),
        (
            "[[group]]\nid = 1\nnodes = [1, 2]\n[[group]]\nid = 2\nnodes = [2, 3]\n",
            "three.toml:7: group 2: node 2 is in group 1 already; expected each node once",
        ),
        (
            "[[group]]\nid = 0\nnodes = [1, 2]\n[[group]]\nid = 2\nnodes = [2, 3]\n",
            "three.toml:7: group 2: node 2 is in group 0 already; expected each node once",
        ),
        (
            "[[group]]\nid = 1\nnodes = [1, 2, 4]\n",
            "three.toml:4: group 1: node 4 does not exist; expected 1 to 3",
        ),
        (
            "[[group]]\nid = 1\nnodes = [1, 2]\n[[group]]\nid = 1\nnodes = [3]\n",
            "three.toml:7: group 1: is told twice; expected each group once",
        ),
        (
            "[[group]]\nid = 1\nnodes = []\n",
            "three.toml:4: group 1: expected at least one node",
        ),
        (
            "[[group]]\nid = 1\nnodes = [1, 2]\n",
            "three.toml:4: group: node 3 is in none; expected each of 1 to 3 in one",
        ),
        (
            "[[expect]]\nevent = \"decided\"\n\n[[expect]]\nnode = 1\n",
            "three.toml:6: expect: expected exactly one of phase, event, invariant, field and reply",
        ),
        (
            "[[expect]]\nevent = \"decided\"\n[[expect]]\ninvariant = \"agrement\"\nholds = true\n",
            "three.toml:5: expect: unknown invariant \"agrement\"; did you mean agreement?",
        ),
        (
            "[[expect]]\nreply = \"decide\"\nnever = true\n",
            "three.toml:3: expect: unknown reply \"decide\"; did you mean decided?",
        ),
        (
            "[[expect]]\nfield = \"retry count\"\nis = \"0\"\nnever = true\n",
            "three.toml:3: expect: unknown field \"retry count\"; did you mean retry_count?",
        ),
        (
            "[config]\ncommit_quorum = 9\n",
            "three.toml:4: commit_quorum = 9: expected 2 to 3 (more than half of 3 members), or 0 to derive it",
        ),
    ];
    for (tail, expected) in cases {
        assert_eq!(&error(tail), expected);
    }
    let head = "protocol = \"sharded-2pc\"\nnodes = 6\n";
    let nothing = format!("{head}[[at]]\nms = 1\ndo = \"submit\"\nrequest = {{}}\n");
    assert_eq!(
        parse("six.toml", &nothing).unwrap_err().to_string(),
        "six.toml:6: expected exactly one kind with its keys, such as { kind = { key = 1 } }"
    );
    assert!(error("foo = 1\n").contains("unknown key \"foo\"; expected one of title"));
    assert!(
        parse("x", "protocol = \"three-phase\"\nnodes = 3")
            .unwrap_err()
            .to_string()
            .contains("two-phase")
    );
    assert!(
        error("rules = \"soft\"\n").starts_with("three.toml:3: "),
        "{}",
        error("rules = \"soft\"\n")
    );
}

#[test]
fn what_can_never_be_done_is_refused_with_its_line() {
    let at = |keys: &str| error(&format!("[[at]]\nms = 1\ndo = {keys}\n"));
    let cases = [
        (
            "\"drop\"\nkind = \"lok\"",
            "drop: unknown kind \"lok\"; did you mean lock?",
        ),
        (
            "\"drop\"\nkind = \"zzz\"",
            "drop: unknown kind \"zzz\"; expected one of proposal, ",
        ),
        (
            "\"corrupt\"\nnth = 0",
            "corrupt: nth = 0: expected at least 1",
        ),
        (
            "\"delay\"\nby_ms = 9223372036854775807",
            "delay: by_ms = 9223372036854775807: expected at most 86400000",
        ),
        (
            "\"fact\"\nnode = 1\nfact = { hide = [99] }",
            "fact: output 99 does not exist; expected 0 to 7",
        ),
        (
            "\"fact\"\nfact = { hide = [1] }",
            "fact: hide and show need the node whose view is meant",
        ),
        (
            "\"partition\"\ngroups = [[1, 2], [2, 3]]",
            "partition: node 2 is named twice; expected it in one group",
        ),
        (
            "\"partition\"\ngroups = [[1, 2], []]",
            "partition: an empty group; a node in no group is alone anyhow",
        ),
        (
            "\"crash\"\nnode = 1\nto = 2",
            "crash: takes no key to; expected node, when",
        ),
        (
            "\"deliver\"\nfrom = 1",
            "deliver: needs schedule = \"manual\" in the scenario",
        ),
        (
            "\"heal\"\nnode = 1",
            "heal: takes no key node; expected none but ms or step",
        ),
        (
            "\"partition\"\ngroups = []",
            "partition: no group names a node; expected at least one",
        ),
    ];
    for (keys, expected) in cases {
        let found = at(keys);
        assert!(
            found.starts_with(&format!("three.toml:5: {expected}")),
            "{found}"
        );
    }
    let late = "until_ms = 100\n[[at]]\nms = 101\ndo = \"heal\"\n";
    assert_eq!(
        error(late),
        "three.toml:6: heal: ms = 101: expected at most until_ms, where the run ends: 100"
    );
    let last = late.replace("101", "100");
    assert!(parse("three.toml", &format!("{HEAD}{last}")).is_ok());
    let lost = "[[at]]\nms = 9\ndo = \"restart\"\nnode = 2\n\
                [[at]]\nms = 5\ndo = \"disk\"\nnode = 2\nfault = \"lose\"\n";
    assert!(
        error(lost).starts_with("three.toml:5: restart: node 2 lost its disk before"),
        "{}",
        error(lost)
    );
    let before = lost.replace("ms = 9", "ms = 4");
    assert!(parse("three.toml", &format!("{HEAD}{before}")).is_ok());
}

#[test]
fn a_setup_and_expectations_that_cannot_be_are_refused() {
    let cases = [
        (
            "[[network.link]]\nfrom = 1\nto = 9\n",
            "network.link: to = 9: expected 1 to 3",
        ),
        (
            "until_ms = 9223372036854775807\n",
            "three.toml:3: until_ms: expected at most 31622400000, 366 days of virtual time",
        ),
        (
            "[[expect]]\ninvariant = \"agremeent\"\nholds = true\n",
            "three.toml:3: expect: unknown invariant \"agremeent\"; did you mean agreement?",
        ),
        (
            "[[expect]]\ninvariant = \"nope\"\nholds = true\n",
            "expected one of agreement, validity, one signature, one vote, withdrawal, every event ends",
        ),
    ];
    for (tail, expected) in cases {
        assert!(error(tail).contains(expected), "{}", error(tail));
    }
}

#[test]
fn one_act_is_read_without_its_time() {
    let read = |text: &str| {
        parse_act(ProtocolKind::TwoPhase, "faults", text).map_err(|error| error.to_string())
    };
    let groups = vec![vec![NodeId(1)], vec![NodeId(2), NodeId(3)]];
    assert_eq!(
        read("do = \"partition\"\ngroups = [[1], [2, 3]]"),
        Ok(Act::Partition { groups })
    );
    assert_eq!(read("do = \"heal\""), Ok(Act::Heal));
    assert_eq!(
        read("do = \"heal\"\nms = 5"),
        Err("faults: heal: happens now; expected neither ms nor step".to_owned())
    );
    assert_eq!(
        read("do = \"partition\""),
        Err("faults: partition: the key groups is missing".to_owned())
    );
    assert_eq!(
        read("do = \"link\"\nlatency_msec = [1, 2]"),
        Err("faults:2: unknown key \"latency_msec\"; did you mean latency_ms?".to_owned())
    );
}

#[test]
fn a_minimal_file_takes_the_documents_defaults() {
    let scenario = parse("dir/three.toml", HEAD).unwrap();
    assert_eq!(
        (scenario.name.as_str(), scenario.seed, scenario.until),
        ("three", 7, Time::from_ms(60_000))
    );
    assert_eq!(scenario.groups, vec![GroupId(0); 3]);
}
