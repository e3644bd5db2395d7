//! Files become runs, in slices, or are refused in a sentence.

use super::*;
use phaselab_core::crypto::Crypto;
use phaselab_core::scenario::Scenario;
use phaselab_core::trace::Trace;
use phaselab_tests::recorded::three_nodes;

fn files() -> Vec<(String, Vec<u8>)> {
    let files = three_nodes(Crypto::Simulated, [0, 9_000_000, 40]).into_iter();
    let named = files.enumerate();
    named
        .map(|(place, bytes)| (format!("{place}.rec"), bytes))
        .collect()
}

/// Opens lives, one step to a slice.
fn open(files: &[(String, Vec<u8>)]) -> Result<Opened, String> {
    let Files::Lives(mut opening) = Files::read(files)? else {
        panic!("lives run again first");
    };
    let mut percent = 0;
    for _ in 0..100_000 {
        if let Some(opened) = opening.work(&mut || false) {
            return opened;
        }
        assert!(opening.percent() >= percent, "it goes on");
        percent = opening.percent();
    }
    panic!("it ends");
}

#[test]
fn recordings_become_a_run_that_is_seeked_like_any_other() {
    let mut opened = open(&files()).unwrap();
    assert!(!opened.differs, "{}", opened.note);
    assert!(
        opened
            .note
            .starts_with("5 recorded lives of simulated, which all came the same.")
    );
    let session = &mut opened.session;
    assert!(session.sim().is_live());
    session.end();
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
    let (steps, hash) = (session.sim().steps(), session.sim().trace_hash());
    assert!(session.is_at_end() && steps > 100);
    assert!(session.horizon_ms() > 0.0 && !session.faults_ms().is_empty());
    let decided = session.sim().report().decisions.len();
    assert_eq!(decided, 3);
    assert!(!session.scene().nodes.is_empty());
    session.home();
    assert_eq!(session.sim().steps(), 0);
    let mut drawn = 0;
    for _ in 0..150 {
        session.step();
        drawn += session.scene().flights.len();
    }
    assert!(drawn > 10, "messages are drawn on their way: {drawn}");
    session.end();
    while session.is_busy() {
        session.frame(16.0, &mut || true);
    }
    assert_eq!(session.sim().trace_hash(), hash);
}

#[test]
fn what_differs_is_named_and_what_is_missing_is_said() {
    let mut files = files();
    let mut life = recording::read(&files[1].1).unwrap().remove(0);
    let last = life
        .moments
        .iter_mut()
        .rev()
        .find_map(|moment| match moment {
            recording::Moment::Input { digest, .. } => Some(digest),
            recording::Moment::Durable { .. } => None,
        });
    *last.unwrap() ^= 1;
    files[1].1 = life.to_bytes();
    let opened = open(&files).unwrap();
    assert!(opened.differs);
    assert!(
        opened
            .note
            .contains("it is not the same run: node 2, life 1: input"),
        "{}",
        opened.note
    );
    assert!(
        opened
            .note
            .contains("Part of what the nodes did is not recorded.")
    );
    // A life that was cut off before it began is no life, and among others no error.
    files.truncate(1);
    files.push(("empty.rec".to_owned(), Vec::new()));
    let alone = open(&files).unwrap();
    assert!(
        alone
            .note
            .starts_with("One recorded life of simulated, which came the same.")
    );
}

#[test]
fn other_files_are_refused_by_name() {
    let refused = |name: &str, bytes: Vec<u8>| match Files::read(&[(name.to_owned(), bytes)]) {
        Ok(_) => panic!("{name} is opened"),
        Err(why) => why,
    };
    assert!(refused("notes.txt", b"hello".to_vec()).starts_with("notes.txt: not a trace"));
    let mut bent = files().remove(0).1;
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    assert!(refused("bent.rec", bent).starts_with("bent.rec: the file is damaged at byte "));
    let cut = files().remove(0).1[..20].to_vec();
    assert!(refused("cut.rec", cut).contains("nothing was recorded"));

    let scenario = Scenario::new(phaselab_core::protocol::ProtocolKind::TwoPhase, 3);
    let (trace, _) = Trace::record(Sim::new(&scenario).unwrap());
    let Ok(Files::Run(opened)) = Files::read(&[("run.trace".to_owned(), trace.to_bytes())]) else {
        panic!("a trace is a run at once");
    };
    assert!(!opened.session.sim().is_live());
}
