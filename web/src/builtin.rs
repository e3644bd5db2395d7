//! The scenarios that come with the core, read at build time: see build.rs.

use phaselab_core::codec;
use phaselab_core::scenario::Scenario;

/// Names, such as `two-phase/three-signers`, and encoded scenarios; none where the protocol is not in this program.
static SCENARIOS: &[(&str, Option<&[u8]>)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

/// Their names, in the order in which they are shown.
pub fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|(name, _)| *name)
}

/// The scenario with this name, and the whole name; the part after the slash is enough where it is unique.
pub fn find(wanted: &str) -> Option<(&'static str, Scenario)> {
    let (name, encoded) = entry(wanted)?;
    Some((name, codec::decode(encoded?).ok()?))
}

/// The whole name of a scenario whose protocol is in the workbench alone.
pub fn elsewhere(wanted: &str) -> Option<&'static str> {
    entry(wanted)
        .filter(|(_, encoded)| encoded.is_none())
        .map(|(name, _)| name)
}

/// The protocols of which there are scenarios, in the order in which they are shown.
pub fn protocols() -> Vec<&'static str> {
    let mut protocols: Vec<&str> = names().filter_map(|name| name.split('/').next()).collect();
    protocols.dedup();
    protocols
}

fn entry(wanted: &str) -> Option<(&'static str, Option<&'static [u8]>)> {
    let is_meant = |name: &str| name == wanted || name.rsplit('/').next() == Some(wanted);
    let mut found = SCENARIOS.iter().filter(|(name, _)| is_meant(name));
    match (found.next(), found.next()) {
        (Some(entry), None) => Some(*entry),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario;

    use super::*;

    #[test]
    fn every_scenario_of_the_core_is_here_and_the_same() {
        assert_eq!(
            names().collect::<Vec<_>>(),
            scenario::builtin()
                .iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
        );
        for entry in scenario::builtin() {
            let (name, found) = find(entry.name).unwrap();
            assert_eq!(
                (name, found),
                (entry.name, scenario::parse(entry.name, entry.text).unwrap())
            );
        }
        assert_eq!(find("three-signers").unwrap().0, "two-phase/three-signers");
        assert!(find("three").is_none());
        assert_eq!(elsewhere("three-signers"), None);
        let known: Vec<_> = phaselab_core::protocol::ProtocolKind::names();
        assert_eq!(protocols(), known);
    }
}
