//! Where the members of a new cluster are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use phaselab_core::crypto::{Crypto, Keyring, Member, PublicKey};
use phaselab_core::types::{GroupId, Hash32, NodeId};

use super::NODES_MAX;
use super::ports::{self, CHAIN_PORT};
use crate::failure::Failure;

/// `10.0.0.1` or `10.0.0.1:4701`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostText {
    ip: IpAddr,
    port: Option<u16>,
}

impl HostText {
    /// Reads it.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<HostText, String> {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        let host = match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
            (Ok(address), _) => HostText {
                ip: address.ip(),
                port: Some(address.port()),
            },
            (_, Ok(ip)) => HostText { ip, port: None },
            _ => {
                return Err(
                    "expected an IP address, with a port or without, such as 10.0.0.1 or 10.0.0.1:4701"
                        .to_owned(),
                );
            }
        };
        if host.ip.is_unspecified() || host.port == Some(0) {
            return Err("expected an address and a port at which others can reach it".to_owned());
        }
        Ok(host)
    }
}

/// `10.0.0.1:4701=64 hex digits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemberText {
    host: HostText,
    key: PublicKey,
}

impl MemberText {
    /// Reads it.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<MemberText, String> {
        let (host, key) = text.split_once('=').ok_or(
            "expected an address, `=` and the public key that `phaselab keygen` printed there",
        )?;
        let host = HostText::parse(host)?;
        let key = Hash32::from_hex(key)
            .map(|key| PublicKey(key.0))
            .ok_or("expected a public key of 64 hex digits, as `phaselab keygen` prints it")?;
        if keyring(&[key]).is_none() {
            return Err(
                "these 64 digits are no public key that `phaselab keygen` prints".to_owned(),
            );
        }
        Ok(MemberText { host, key })
    }
}

fn keyring(keys: &[PublicKey]) -> Option<Keyring> {
    let members = (1..).zip(keys).map(|(id, key)| Member {
        id: NodeId(id),
        group: GroupId(0),
        key: *key,
    });
    Keyring::new(Crypto::Ed25519, &members.collect::<Vec<_>>()).ok()
}

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its number.
    pub(super) id: NodeId,
    /// Where the others reach it.
    pub(super) address: SocketAddr,
    /// Its key, if it has made one already.
    pub(super) key: Option<PublicKey>,
    /// Where it serves `/metrics`.
    pub(super) metrics: Option<SocketAddr>,
}

impl Place {
    /// Where it listens: at an address of another machine, which may be a router's, at every one that it has.
    pub(super) fn listen(&self) -> SocketAddr {
        listening(self.address)
    }

    pub(super) fn config_name(&self) -> String {
        format!("node-{}.toml", self.id.0)
    }

    /// The file of its store, beside its configuration.
    pub(super) fn store_name(&self) -> String {
        match self.key {
            // Whoever ran keygen did not know its number yet.
            Some(_) => "node.redb".to_owned(),
            None => format!("node-{}.redb", self.id.0),
        }
    }
}

/// A new cluster.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Its members, by number.
    pub(super) places: Vec<Place>,
    /// Where the others reach the world outside, which member 1 hosts.
    pub(super) chain: SocketAddr,
}

impl Plan {
    /// On this machine.
    ///
    /// # Errors
    /// If there are not so many ports.
    pub(super) fn local(nodes: u16, base: u16, metrics: Option<u16>) -> Result<Plan, Failure> {
        let (ports, chain) = ports::of_nodes(nodes, base)?;
        let addresses = ports.into_iter().map(|port| (loopback(port), None));
        Plan::new(addresses.collect(), loopback(chain), nodes, metrics)
    }

    /// On these hosts, with stores that are made here.
    ///
    /// # Errors
    /// If two have the same address.
    pub(super) fn of_hosts(
        hosts: &[HostText],
        base: u16,
        metrics: Option<u16>,
    ) -> Result<Plan, Failure> {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host, None)).collect();
        Plan::remote("--host", &hosts, base, metrics)
    }

    /// On these hosts, each of which has its key.
    ///
    /// # Errors
    /// If two have the same address or key.
    pub(super) fn of_members(
        members: &[MemberText],
        base: u16,
        metrics: Option<u16>,
    ) -> Result<Plan, Failure> {
        let mut first: BTreeMap<PublicKey, usize> = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            if let Some(same) = first.insert(member.key, index) {
                return Err(Failure::Input(format!(
                    "--member {}: its key is that of member {}; expected one of its own",
                    member.host.ip,
                    same + 1
                )));
            }
        }
        let members: Vec<_> = members
            .iter()
            .map(|member| (member.host, Some(member.key)))
            .collect();
        Plan::remote("--member", &members, base, metrics)
    }

    fn remote(
        option: &str,
        hosts: &[(HostText, Option<PublicKey>)],
        base: u16,
        metrics: Option<u16>,
    ) -> Result<Plan, Failure> {
        if hosts.len() > NODES_MAX as usize {
            return Err(Failure::Input(format!(
                "{option}: {} members; expected at most {NODES_MAX}",
                hosts.len()
            )));
        }
        if base == 0 && hosts.iter().any(|(host, _)| host.port.is_none()) {
            return Err(Failure::Input(
                "--base-port 0: expected a port that the other hosts can be told".to_owned(),
            ));
        }
        let mut addresses = Vec::new();
        let mut seen = BTreeSet::new();
        for (host, key) in hosts {
            let address = SocketAddr::new(host.ip, host.port.unwrap_or(base));
            if !seen.insert(address) {
                return Err(Failure::Input(format!(
                    "{option} {address}: named twice; expected a port of its own for each member of one host"
                )));
            }
            addresses.push((address, *key));
        }
        let first = addresses[0].0;
        let mut chain = SocketAddr::new(first.ip(), CHAIN_PORT);
        while seen.contains(&chain) {
            chain.set_port(chain.port() + 1);
        }
        Plan::new(addresses, chain, 0, metrics)
    }

    /// `together` is how many of them are known to be on this machine.
    fn new(
        addresses: Vec<(SocketAddr, Option<PublicKey>)>,
        chain: SocketAddr,
        together: u16,
        metrics: Option<u16>,
    ) -> Result<Plan, Failure> {
        let metrics = match metrics {
            None => Vec::new(),
            Some(0) if together == 0 => {
                return Err(Failure::Input(
                    "--metrics-port 0: expected a port; which are free on another host is not known here"
                        .to_owned(),
                ));
            }
            Some(base) => {
                let members = addresses.iter().map(|(address, _)| *address);
                let taken: Vec<SocketAddr> = members.chain([chain]).collect();
                ports::of_metrics(&taken, base)?
            }
        };
        let places = addresses
            .iter()
            .enumerate()
            .map(|(index, (address, key))| Place {
                id: NodeId(index as u16 + 1),
                address: *address,
                key: *key,
                metrics: metrics.get(index).map(|port| loopback(*port)),
            });
        Ok(Plan {
            places: places.collect(),
            chain,
        })
    }
}

/// Where to listen to be reached at an address.
pub(super) fn listening(address: SocketAddr) -> SocketAddr {
    match address {
        _ if address.ip().is_loopback() => address,
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())),
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::BASE_PORT;
    use phaselab_core::crypto::Signer;

    fn host(text: &str) -> HostText {
        HostText::parse(text).unwrap()
    }

    fn key(seed: u8) -> String {
        Hash32(Signer::from_seed(Crypto::Ed25519, &[seed; 32]).public().0).to_string()
    }

    #[test]
    fn members_of_their_own_hosts_share_a_port_and_listen_everywhere() {
        let hosts = ["10.0.0.1", "10.0.0.2:4705", "[fd00::3]", "10.0.0.1:4799"].map(host);
        let plan = Plan::of_hosts(&hosts, BASE_PORT, Some(9101)).unwrap();
        let shown: Vec<_> = plan
            .places
            .iter()
            .map(|place| {
                let metrics = place.metrics.unwrap().port();
                (
                    place.address.to_string(),
                    place.listen().to_string(),
                    metrics,
                )
            })
            .collect();
        let expected = [
            ("10.0.0.1:4701", "0.0.0.0:4701", 9101),
            ("10.0.0.2:4705", "0.0.0.0:4705", 9101),
            ("[fd00::3]:4701", "[::]:4701", 9101),
            ("10.0.0.1:4799", "0.0.0.0:4799", 9102),
        ];
        for (shown, expected) in shown.iter().zip(expected) {
            assert_eq!((shown.0.as_str(), shown.1.as_str(), shown.2), expected);
        }
        assert_eq!(
            plan.chain.to_string(),
            "10.0.0.1:4800",
            "the next that no member has"
        );
        let near = Plan::of_hosts(&[host("127.0.0.2:5000")], BASE_PORT, None).unwrap();
        assert_eq!(near.places[0].listen().to_string(), "127.0.0.2:5000");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_was_expected() {
        for text in [
            "",
            "node-1",
            "10.0.0.1:",
            "10.0.0.1:70000",
            "10.0.0.256",
            "a:1",
        ] {
            let refused = HostText::parse(text).unwrap_err();
            assert!(
                refused.contains("expected an IP address"),
                "{text}: {refused}"
            );
        }
        for text in ["0.0.0.0", "[::]:4701", "10.0.0.1:0"] {
            assert!(
                HostText::parse(text)
                    .unwrap_err()
                    .contains("others can reach"),
                "{text}"
            );
        }
        for (text, expected) in [
            ("10.0.0.1".to_owned(), "expected an address, `=`"),
            (format!("x={}", key(1)), "expected an IP address"),
            ("10.0.0.1=beef".to_owned(), "64 hex digits"),
            (format!("10.0.0.1={}", "00".repeat(32)), "no public key"),
        ] {
            let refused = MemberText::parse(&text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
        let twice = Plan::of_hosts(&[host("10.0.0.1"), host("10.0.0.1:4701")], BASE_PORT, None);
        assert!(
            twice
                .unwrap_err()
                .to_string()
                .contains("10.0.0.1:4701: named twice")
        );
        let same = [1, 2, 1].map(|seed| {
            MemberText::parse(&format!(
                "10.0.0.{seed}:{}={}",
                4700 + u16::from(seed),
                key(seed)
            ))
            .unwrap()
        });
        let same = Plan::of_members(&same, BASE_PORT, None).unwrap_err();
        assert!(
            same.to_string().contains("its key is that of member 1"),
            "{same}"
        );
        assert!(Plan::of_hosts(&[host("10.0.0.1")], 0, None).is_err());
        assert!(Plan::of_hosts(&[host("10.0.0.1"), host("10.0.0.2")], 4701, Some(0)).is_err());
    }
}
