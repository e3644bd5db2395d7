//! Which ports the members of a new cluster take, where nobody said.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use super::{BASE_PORT, entropy};
use crate::failure::Failure;

/// The port of the world outside beside the default ports: above those of all the nodes that one machine runs.
pub(super) const CHAIN_PORT: u16 = 4799;

/// The ports of nodes on one machine, and that of the world outside: from `base` upwards, or free ones.
///
/// # Errors
/// If there are not so many.
pub(super) fn of_nodes(nodes: u16, base: u16) -> Result<(Vec<u16>, u16), Failure> {
    if base == 0 {
        let mut free = free(usize::from(nodes) + 1, &[])?;
        let chain = free.pop().expect("one more than nodes");
        return Ok((free, chain));
    }
    let last = base
        .checked_add(nodes - 1)
        .filter(|last| *last < u16::MAX)
        .ok_or_else(|| {
            Failure::Input(format!(
                "--base-port {base}: {nodes} nodes do not fit below 65535"
            ))
        })?;
    let chain = if base == BASE_PORT {
        CHAIN_PORT
    } else {
        last + 1
    };
    Ok(((base..=last).collect(), chain))
}

/// The ports of `/metrics` beside these addresses, the last of which is the world outside: from `base` upwards among
/// members of one host, or free ones.
///
/// # Errors
/// If there are not so many, or one is taken by a member.
pub(super) fn of_metrics(taken: &[SocketAddr], base: u16) -> Result<Vec<u16>, Failure> {
    let members = &taken[..taken.len() - 1];
    if base == 0 {
        let taken: Vec<u16> = taken.iter().map(SocketAddr::port).collect();
        return free(members.len(), &taken);
    }
    let mut before: BTreeMap<IpAddr, u16> = BTreeMap::new();
    let mut ports = Vec::new();
    for member in members {
        let before = before.entry(member.ip()).or_default();
        let port = base.checked_add(*before).ok_or_else(|| {
            Failure::Input(format!(
                "--metrics-port {base}: {} nodes do not fit below 65535",
                members.len()
            ))
        })?;
        if taken.contains(&SocketAddr::new(member.ip(), port)) {
            return Err(Failure::Input(format!(
                "--metrics-port {base}: {}:{port} is where the cluster listens already",
                member.ip()
            )));
        }
        *before += 1;
        ports.push(port);
    }
    Ok(ports)
}

/// Ports that are free over UDP and TCP alike at this moment, below those that systems give to outgoing connections.
fn free(count: usize, taken: &[u16]) -> Result<Vec<u16>, Failure> {
    const RANGE: std::ops::Range<u16> = 20_000..32_000;
    let random = entropy()?;
    let first = u16::from_le_bytes([random[0], random[1]]) % RANGE.len() as u16;
    let candidates =
        (0..RANGE.len() as u16).map(|step| RANGE.start + (first + step) % RANGE.len() as u16);
    let is_free = |port: &u16| {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, *port));
        !taken.contains(port)
            && udp.is_ok()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let free: Vec<u16> = candidates.filter(is_free).take(count).collect();
    if free.len() == count {
        Ok(free)
    } else {
        Err(Failure::Failed("there are no free ports".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_do_not_overlap() {
        let (nodes, chain) = of_nodes(64, BASE_PORT).unwrap();
        assert_eq!((nodes[0], nodes[63], chain), (4701, 4764, 4799));
        assert_eq!(of_nodes(3, 9000).unwrap(), (vec![9000, 9001, 9002], 9003));
        assert!(of_nodes(64, 65500).is_err());
        let (mut all, chain) = of_nodes(5, 0).unwrap();
        all.push(chain);
        let taken: Vec<SocketAddr> = all
            .iter()
            .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
            .collect();
        all.extend(of_metrics(&taken, 0).unwrap());
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 11);
    }

    #[test]
    fn metrics_have_ports_of_their_own_on_each_host() {
        let taken = [
            "10.0.0.1:4701",
            "10.0.0.2:4701",
            "10.0.0.1:4702",
            "10.0.0.1:4799",
        ]
        .map(|address| address.parse().unwrap());
        assert_eq!(of_metrics(&taken, 9101).unwrap(), [9101, 9101, 9102]);
        for (base, expected) in [
            (4701, "10.0.0.1:4701 is where the cluster listens already"),
            (4798, "10.0.0.1:4799 is where"),
            (65535, "3 nodes do not fit"),
        ] {
            let refused = of_metrics(&taken, base).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
