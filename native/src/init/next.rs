//! What `init` says when it is done: the commands that come next, to be copied.

use std::path::Path;

use phaselab_core::protocol::ProtocolKind;

use super::DIR_DEFAULT;
use super::place::Plan;
use crate::genesis::sample;
use crate::terminal::{Ink, Screen};

/// Says it.
pub(super) fn say(plan: &Plan, protocol: ProtocolKind, dir: &Path) {
    let mut screen = Screen::stdout();
    let count = plan.places.len();
    let nodes = if count == 1 { "node" } else { "nodes" };
    let have_keys = plan.places.iter().all(|place| place.key.is_some());
    let is_local = plan
        .places
        .iter()
        .all(|place| place.address.ip().is_loopback())
        && !have_keys;
    let dir = dir.display();
    let written = if have_keys {
        "genesis and configuration"
    } else {
        "genesis, configuration and store"
    };
    screen.painted(Ink::Bold, &format!("{dir}: {written} of {count} {nodes}"));
    if is_local {
        say_local(&mut screen, plan, protocol, &dir.to_string());
    } else {
        say_hosts(&mut screen, plan, protocol, &dir.to_string(), have_keys);
    }
}

fn say_local(screen: &mut Screen, plan: &Plan, protocol: ProtocolKind, dir: &str) {
    let option = if dir == DIR_DEFAULT {
        String::new()
    } else {
        format!(" --dir {dir}")
    };
    screen.line("");
    screen.line("start each in a terminal of its own:");
    for place in &plan.places {
        screen.line(&format!(
            "  phaselab node --config {dir}/{}",
            place.config_name()
        ));
    }
    screen.line("or all of them in one:");
    screen.line(&format!("  phaselab cluster{option}"));
    screen.line("");
    screen.line("then, in another terminal, have them decide something and look:");
    screen.line(&format!(
        "  phaselab submit{option} {}",
        sample(protocol).submit
    ));
    screen.line(&format!("  phaselab status{option}"));
}

fn say_hosts(screen: &mut Screen, plan: &Plan, protocol: ProtocolKind, dir: &str, have_keys: bool) {
    screen.line("");
    if have_keys {
        screen.line(
            "copy to each host two files, beside the store that keygen made there (node.redb):",
        );
    } else {
        screen.line("move to each host three files, and keep no copy: the key in a store must not run twice");
    }
    for place in &plan.places {
        let store = if have_keys {
            String::new()
        } else {
            format!("  {dir}/{}", place.store_name())
        };
        screen.line(&format!(
            "  {:<21} {dir}/genesis.toml  {dir}/{}{store}",
            place.address.ip(),
            place.config_name()
        ));
    }
    screen.line("");
    screen.line("open between them:");
    for place in &plan.places {
        screen.line(&format!(
            "  {:<21} UDP {}",
            place.address.ip(),
            place.address.port()
        ));
    }
    if protocol.has_world() {
        screen.line(&format!(
            "  {:<21} TCP {}, the simulated chain: for these hosts only",
            plan.chain.ip(),
            plan.chain.port()
        ));
    }
    screen.line("");
    screen.line("then on each host, with its own number:");
    for place in &plan.places {
        screen.line(&format!("  phaselab node --config {}", place.config_name()));
    }
    screen.line("and on any of them:");
    let words = sample(protocol).submit;
    screen.line(&format!("  phaselab submit --dir . {words}"));
    screen.line("  phaselab status --dir .");
}
