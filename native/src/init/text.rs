//! The configuration file of a member, as `init` writes it.

use std::net::{Ipv4Addr, SocketAddr};

use phaselab_core::protocol::ProtocolKind;
use phaselab_core::types::NodeId;

use super::place::{Place, Plan, listening};

/// The port of node 1 that the example of a switched-off section shows.
const METRICS_PORT: u16 = 9101;

/// The section of recordings.
const RECORDING: &str = "# What happens to this node goes to recordings/, so that `phaselab replay` can run it again. The secret key never does.\n\
                         [recording]\n\
                         enabled = true\n\
                         # Of all its recordings, in bytes; the oldest make room.\n\
                         max_bytes = 67108864\n";

/// Its text.
pub(super) fn of_node(place: &Place, plan: &Plan, protocol: ProtocolKind) -> String {
    let number = place.id.0;
    let mut text = format!(
        "# Node {number} of a {protocol} cluster. Paths are relative to this file.\n\
         id = {number}\n\
         genesis = \"genesis.toml\"\n\
         # Its key and its votes, together.\n\
         store = \"{store}\"\n\
         # QUIC over UDP; the control API takes the same port of the loopback over TCP.\n\
         listen = \"{listen}\"\n\
         \n{chain}{metrics}\n{RECORDING}",
        protocol = protocol.name(),
        store = place.store_name(),
        listen = place.listen(),
        chain = match protocol.has_world() {
            true => format!("{}\n", chain(place.id, plan.chain)),
            false => String::new(),
        },
        metrics = metrics(place),
    );
    for peer in plan.places.iter().filter(|peer| peer.id != place.id) {
        text.push_str(&format!(
            "\n[[peer]]\nid = {}\naddress = \"{}\"\n",
            peer.id.0, peer.address
        ));
    }
    text
}

fn chain(id: NodeId, address: SocketAddr) -> String {
    let is_host = id == NodeId(1);
    let head = format!(
        "# The world outside, simulated. One node hosts it, unless `phaselab cluster` does.\n\
         [chain]\n\
         host = {is_host}\n"
    );
    if is_host && !address.ip().is_loopback() {
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        let listen = listening(address);
        return format!("{head}address = \"{own}\"\nlisten = \"{listen}\"\n");
    }
    format!("{head}address = \"{address}\"\n")
}

fn metrics(place: &Place) -> String {
    match place.metrics {
        Some(address) => {
            format!("# /metrics for Prometheus, and /healthz.\n[metrics]\nlisten = \"{address}\"\n")
        }
        None => format!(
            "# /metrics for Prometheus, and /healthz: off until these two lines say where.\n\
             # [metrics]\n\
             # listen = \"127.0.0.1:{}\"\n",
            // Where each has its own machine, all may have the same.
            match place.address.ip().is_loopback() {
                true => METRICS_PORT - 1 + place.id.0,
                false => METRICS_PORT,
            }
        ),
    }
}
