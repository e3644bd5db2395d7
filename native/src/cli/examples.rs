//! What `--help` shows below the options of each command: lines to copy. Every one is a command that is understood.

use clap::Command;

/// An example: what it does, and the line without the program's name.
type Example = (&'static str, &'static str);

/// The examples of each command, by its name; of one below another, by both names. A command may have others of its
/// own.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "sim",
        &[
            ("one payment, three signers", "sim three-signers"),
            (
                "the same with other luck, as JSON",
                "sim three-signers --seed 11 --json",
            ),
            (
                "A file of your own, recorded",
                "sim mine.toml --trace mine.trace",
            ),
            (
                "a run that somebody shared from the page",
                "sim --link 'http://localhost:4700/#/run/...'",
            ),
        ],
    ),
    ("scenarios", &[("as JSON, for scripts", "scenarios --json")]),
    (
        "export",
        &[
            (
                "a picture of a run",
                "export three-signers --format svg --out run.svg",
            ),
            (
                "what live nodes recorded, for ui.perfetto.dev",
                "export phaselab-cluster --format perfetto --out live.json",
            ),
            (
                "a run that somebody shared, for ShiViz",
                "export 'http://localhost:4700/#/run/...' --format shiviz",
            ),
        ],
    ),
    (
        "history",
        &[(
            "what the clients of a run saw, judged as a bank",
            "history reference-transfer.history.edn --workload bank",
        )],
    ),
    (
        "sweep",
        &[
            (
                "A thousand runs with random faults",
                "sweep --protocol two-phase --seeds 0..1000",
            ),
            (
                "how often nodes disagree, beside the bound",
                "sweep snowball/double-spend --seeds 0..1000",
            ),
            (
                "one scenario with a hundred seeds, as JSON lines",
                "sweep three-signers --seeds 0..100 --json",
            ),
        ],
    ),
    (
        "soak",
        &[
            ("a day under faults", "soak"),
            ("an hour, with other faults", "soak --hours 1 --seed 11"),
        ],
    ),
    (
        "keygen",
        &[(
            "on a host that keeps its own key",
            "keygen --store node.redb",
        )],
    ),
    (
        "init",
        &[
            ("three nodes on this machine", "init --nodes 3 --dir demo"),
            (
                "three clusters of three",
                "init --protocol sharded-2pc --nodes 9 --clusters 3 --dir bank",
            ),
            (
                "with /metrics at ports 9101 to 9103",
                "init --nodes 3 --dir demo --metrics-port 9101",
            ),
            (
                "three machines; their stores are made here and moved there",
                "init --host 10.0.0.1 --host 10.0.0.2 --host 10.0.0.3:4705 --dir demo",
            ),
            (
                "machines that ran keygen; only their public keys are told",
                "init --member 10.0.0.1=d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a --member 10.0.0.2=3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c --dir demo",
            ),
        ],
    ),
    (
        "node",
        &[
            (
                "one of the nodes that init prepared",
                "node --config phaselab-cluster/node-1.toml",
            ),
            (
                "with an invite of `phaselab serve --lobby`",
                "node --join http://localhost:4700 --invite 00112233445566778899aabbccddeeff --dir my-node",
            ),
            (
                "with /metrics, and a log for machines",
                "node --config node-1.toml --metrics 127.0.0.1:9101 --log-format json",
            ),
            (
                "another store, another address, more to read",
                "node --config node-1.toml --store /srv/node.redb --listen 0.0.0.0:4701 --log debug",
            ),
        ],
    ),
    (
        "cluster",
        &[
            (
                "three processes; made first if there are none",
                "cluster --nodes 3",
            ),
            (
                "nine processes in three clusters",
                "cluster --protocol sharded-2pc --nodes 9",
            ),
            (
                "five that pay with coins",
                "cluster --protocol snowball --nodes 5",
            ),
            ("a cluster that init prepared", "cluster --dir demo"),
            ("on the whole screen, with faults as keys", "cluster --tui"),
        ],
    ),
    (
        "submit",
        &[
            (
                "decide a payment, and wait for the proof",
                "submit --event withdraw-1 --amount 25",
            ),
            (
                "wait a minute, answer as JSON",
                "submit --event withdraw-1 --amount 25 --wait 1m --json",
            ),
            (
                "many at once, with latencies in the end",
                "submit --file requests.jsonl --at-once 16",
            ),
            (
                "a transfer between items, across clusters or not",
                "submit --from 1001 --to 3001 --amount 5",
            ),
            (
                "a payment with a coin of genesis",
                "submit --from alice --to bob --amount 25 --fee 1 --memo T1 --spend alice:0",
            ),
            ("what an item holds", "submit --read 1001"),
            (
                "an item, with what it holds, to another cluster",
                "submit --move 1001 --to-cluster 2",
            ),
        ],
    ),
    (
        "print",
        &[
            (
                "an item at each member of its cluster",
                "print balance 1001",
            ),
            (
                "what alice's wallet holds, at each node",
                "print balance alice",
            ),
            (
                "every item that changed, or unspent output, at every node",
                "print db",
            ),
            ("the blocks, and who has them", "print chain"),
            ("what is pending, final and rejected", "print pools"),
            ("who leads, and since which ballot", "print view"),
            (
                "what was done, and how fast it goes now",
                "print performance",
            ),
            (
                "where items should live after these transfers",
                "print reshard --file transfers.csv",
            ),
        ],
    ),
    (
        "bench",
        &[
            (
                "a thousand transfers, every second across clusters",
                "bench --transfers 1000 --cross-shard 50",
            ),
            (
                "mostly reads, of few items",
                "bench --read-only 80 --skew 0.9 --concurrency 32",
            ),
            (
                "the same in the simulator, in virtual time",
                "bench --read-only 80 --skew 0.9 --sim --nodes 9",
            ),
            (
                "payments with coins, and their time to finality",
                "bench --protocol snowball --transfers 200 --sim",
            ),
            (
                "write it to a file, for submit and reshard",
                "bench --transfers 500 --partners 1 --out transfers.csv",
            ),
        ],
    ),
    (
        "bound",
        &[
            (
                "a hundred nodes, ten of them faulty",
                "bound --nodes 100 --byzantine 10",
            ),
            (
                "few nodes with weak polls, beside the exact probability",
                "bound --nodes 7 --sample-size 3 --alpha-confidence 3 --beta 2 --exact",
            ),
        ],
    ),
    (
        "reshard",
        &[
            ("the plan alone", "reshard --file transfers.csv"),
            (
                "items that are used together, moved together",
                "reshard --file transfers.csv --apply",
            ),
        ],
    ),
    (
        "fault",
        &[
            ("node 1 alone, 2 and 3 together", "fault cut 1 2,3"),
            (
                "late packets, in one direction",
                "fault link --from 1 --to 2 --latency-ms 50,80",
            ),
            ("every link loses a tenth", "fault link --loss-permille 100"),
            ("all of it taken back", "fault heal"),
        ],
    ),
    (
        "chaos",
        &[
            (
                "half a minute of random faults under load, judged",
                "chaos --seconds 30",
            ),
            (
                "the same faults again, until 300 nodes were killed",
                "chaos --kills 300 --seed 7",
            ),
            (
                "three clusters of three, and not a coin lost",
                "chaos --protocol sharded-2pc --nodes 9",
            ),
            (
                "payments with coins, some of them spent twice",
                "chaos --protocol snowball --nodes 5",
            ),
        ],
    ),
    (
        "store check",
        &[(
            "all stores of a cluster that is stopped",
            "store check phaselab-cluster",
        )],
    ),
    (
        "store export",
        &[(
            "every row as JSON",
            "store export phaselab-cluster/node-1.redb --json",
        )],
    ),
    (
        "status",
        &[
            ("what each node is doing", "status"),
            ("how one event is at each", "status --event withdraw-1"),
            ("all of it, for scripts", "status --dir demo --json"),
        ],
    ),
    (
        "serve",
        &[
            (
                "the page that `npm run build:page` built",
                "serve --dir web/dist --port 4700",
            ),
            (
                "browser tabs and terminals, five of them, as one cluster",
                "serve --lobby --nodes 5",
            ),
        ],
    ),
    (
        "completions",
        &[("for bash: source what this prints", "completions bash")],
    ),
];

/// What is true of every node, whatever starts it.
const NODE_NOTES: &str = "\
An option counts more than the environment, and the environment more than the
file. Signals: INT, TERM and HUP stop the node cleanly, with exit status 0; a
second one ends it at once.
";

/// The command line with its examples.
pub(super) fn with_examples(mut command: Command) -> Command {
    for (name, examples) in EXAMPLES {
        let mut names = name.split(' ');
        let first = names.next().unwrap_or_default();
        command = command.mut_subcommand(first, |inner| match names.next() {
            Some(second) => inner.mut_subcommand(second, |inner| shown(inner, name, examples)),
            None => shown(inner, name, examples),
        });
    }
    command
}

fn shown(command: Command, name: &str, examples: &[Example]) -> Command {
    let before = command.get_after_help().map(ToString::to_string);
    let mut text = before.map_or_else(String::new, |before| format!("{before}\n\n"));
    if name == "node" {
        text.push_str(NODE_NOTES);
        text.push('\n');
    }
    text.push_str("Examples:\n");
    let width = |of: fn(&Example) -> &str| {
        let widths = examples.iter().map(|example| of(example).chars().count());
        widths.max().unwrap_or(0)
    };
    let (lines, words) = (width(|example| example.1), width(|example| example.0));
    let fits = INDENT.len() + PROGRAM.len() + lines + GAP.len() + words <= COLUMNS;
    for (what, line) in examples {
        text.push_str(&match fits {
            true => format!("{INDENT}{PROGRAM}{line:lines$}{GAP}{what}\n"),
            false => format!("{INDENT}{PROGRAM}{line}\n{INDENT}{INDENT}{INDENT}{what}\n"),
        });
    }
    command.after_help(text.trim_end().to_owned())
}

const INDENT: &str = "  ";
const PROGRAM: &str = "phaselab ";
const GAP: &str = "   ";
const COLUMNS: usize = 80;

#[cfg(test)]
mod tests {
    use super::super::{Cli, command};
    use super::*;
    use clap::FromArgMatches;

    /// What a command's help shows to be copied: a line that begins as a command does, up to what it says about itself.
    fn examples(command: &Command) -> Vec<String> {
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let lines = help.lines().map(str::trim);
        lines
            .filter(|line| line.starts_with("phaselab "))
            .map(|line| line.split("  ").next().unwrap_or(line).to_owned())
            .collect()
    }

    /// Words as a shell makes them of a line with single quotes.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        parts
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }

    #[test]
    fn every_command_shows_examples_and_each_is_understood() {
        let all = command();
        for inner in all.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let name = inner.get_name();
            let mut lines = examples(inner);
            for inner_most in inner.get_subcommands() {
                lines.extend(examples(inner_most));
            }
            let own = |line: &String| line.split(' ').nth(1) == Some(name);
            assert!(
                lines.iter().any(own),
                "{name} has no example, neither here nor of its own"
            );
            let help = inner.get_after_help().map(ToString::to_string);
            let headings = help.unwrap_or_default().matches("Examples:").count();
            assert!(headings <= 1, "{name} shows its examples twice");
            for line in &lines {
                let matches = command()
                    .try_get_matches_from(words(line))
                    .unwrap_or_else(|error| panic!("{line}: {error}"));
                Cli::from_arg_matches(&matches).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
        for (name, _) in EXAMPLES {
            let first = name.split(' ').next().unwrap();
            assert!(all.find_subcommand(first).is_some(), "{name} is no command");
        }
    }

    #[test]
    fn what_the_book_says_of_a_bank_is_understood() {
        what_the_book_says_is_understood("A bank");
    }

    #[test]
    fn what_the_book_says_of_coins_is_understood() {
        what_the_book_says_is_understood("Coins");
    }

    fn what_the_book_says_is_understood(section: &str) {
        let book = include_str!("../../../docs/operating.md");
        let section = book.split("\n## ").find(|part| part.starts_with(section));
        let lines = section.expect("a section").lines();
        let lines: Vec<&str> = lines
            .filter(|line| line.starts_with("phaselab "))
            .map(|line| line.split('#').next().unwrap_or(line).trim())
            .collect();
        assert!(lines.len() >= 12, "{lines:?}");
        for line in lines {
            let matches = command().try_get_matches_from(words(line));
            matches.unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn the_environment_is_told_where_it_is_read() {
        let mut node = command().find_subcommand("node").unwrap().clone();
        let help = node.render_help().to_string();
        // Lines are wrapped.
        let help: Vec<&str> = help.split_whitespace().collect();
        let help = help.join(" ");
        for name in crate::config::ENVIRONMENT_OF_ONE
            .into_iter()
            .chain(["PHASELAB_LOG"])
        {
            assert!(help.contains(&format!("[env: {name}=]")), "{name}: {help}");
        }
        assert!(
            help.contains("An option counts more than the environment"),
            "{help}"
        );
    }
}
