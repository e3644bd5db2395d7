//! The `[network]` section of a node's configuration: how it finds its peers beyond the addresses that it is told, and how
//! fast they may send.
//!
//! ```toml
//! [network]
//! relay = "off"                  # or "default", the relays that iroh's makers run, or the URL of one's own
//! discovery = "off"              # or "dns", through the servers of iroh's makers, or "mdns", in the local network
//! packets_per_second = 20000     # from each peer; over it a peer waits
//! bytes_per_second = 33554432
//! ```
//!
//! Relays and discovery are off: a node talks to the addresses of its configuration and to nobody else. With them it
//! tells others where it is, though never more than its public key and its addresses; members are recognised by their
//! keys all the same. They are iroh's own and are not tested over the internet here. `mdns` needs a program that was
//! built with it: `cargo build --release -p phaselab --features discovery`.

use std::net::SocketAddr;

use iroh::address_lookup::{DnsAddressLookup, PkarrPublisher, PkarrResolver};
use iroh::endpoint::Builder;
use iroh::{EndpointAddr, EndpointId, RelayMode, RelayUrl};
use serde::Deserialize;
use serde::de::{self, Deserializer};

/// The section, with defaults.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NetworkOptions {
    /// Who carries packets where no direct way is found.
    pub(crate) relay: Relay,
    /// Who tells where peers are.
    pub(crate) discovery: Discovery,
    /// Packets per second that are read from each peer.
    #[serde(deserialize_with = "at_least_one")]
    pub(crate) packets_per_second: u64,
    /// Bytes per second that are read from each peer.
    #[serde(deserialize_with = "at_least_one")]
    pub(crate) bytes_per_second: u64,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        NetworkOptions {
            relay: Relay::Off,
            discovery: Discovery::Off,
            packets_per_second: 20_000,
            bytes_per_second: 32 * 1024 * 1024,
        }
    }
}

/// Who carries packets where no direct way is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Relay {
    /// Nobody.
    #[default]
    Off,
    /// The relays that iroh's makers run.
    Default,
    /// One's own.
    Url(RelayUrl),
}

/// Who tells where peers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// Nobody.
    #[default]
    Off,
    /// The name servers that iroh's makers run.
    Dns,
    /// The local network.
    Mdns,
}

impl NetworkOptions {
    /// Gives the endpoint what the section asks for.
    pub(super) fn apply(&self, builder: Builder) -> Builder {
        let builder = builder
            .clear_address_lookup()
            .relay_mode(match &self.relay {
                Relay::Off => RelayMode::Disabled,
                Relay::Default => RelayMode::Default,
                Relay::Url(url) => RelayMode::custom([url.clone()]),
            });
        match self.discovery {
            Discovery::Off => builder,
            Discovery::Dns => builder
                .address_lookup(PkarrPublisher::n0_dns())
                .address_lookup(PkarrResolver::n0_dns())
                .address_lookup(DnsAddressLookup::n0_dns()),
            Discovery::Mdns => with_mdns(builder),
        }
    }

    /// Where to dial a peer; `None` if it must dial.
    pub(super) fn way_to(&self, key: EndpointId, told: Option<SocketAddr>) -> Option<EndpointAddr> {
        let mut way = EndpointAddr::new(key);
        if let Some(address) = told {
            way = way.with_ip_addr(address);
        }
        // Members that share a relay meet there.
        if let Relay::Url(url) = &self.relay {
            way = way.with_relay_url(url.clone());
        }
        (self.discovery != Discovery::Off || !way.is_empty()).then_some(way)
    }
}

#[cfg(feature = "discovery")]
fn with_mdns(builder: Builder) -> Builder {
    let service = iroh_mdns_address_lookup::MdnsAddressLookup::builder();
    builder.address_lookup(service.service_name("phaselab"))
}

/// Refused where the configuration is read.
#[cfg(not(feature = "discovery"))]
fn with_mdns(builder: Builder) -> Builder {
    builder
}

impl<'de> Deserialize<'de> for Relay {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "off" => Ok(Relay::Off),
            "default" => Ok(Relay::Default),
            url if url.starts_with("https://") || url.starts_with("http://") => {
                url.parse().map(Relay::Url).map_err(|_| {
                    de::Error::custom(format!("relay = \"{url}\": not the URL of a relay"))
                })
            }
            other => Err(de::Error::custom(format!(
                "relay = \"{other}\": expected off, default, or a URL that begins with https://"
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Discovery {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match String::deserialize(from)?.as_str() {
            "off" => Ok(Discovery::Off),
            "dns" => Ok(Discovery::Dns),
            "mdns" if cfg!(feature = "discovery") => Ok(Discovery::Mdns),
            "mdns" => Err(de::Error::custom(
                "discovery = \"mdns\": this phaselab was built without it; \
                 expected off or dns, or a build with --features discovery",
            )),
            other => Err(de::Error::custom(format!(
                "discovery = \"{other}\": expected off, dns or mdns"
            ))),
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(de::Error::custom("expected at least 1 per second")),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use phaselab_core::scenario::from_toml;

    fn read(text: &str) -> Result<NetworkOptions, String> {
        from_toml("node.toml", text).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_leaves_the_told_addresses_unless_asked() {
        let options = read("").unwrap();
        assert_eq!(options, NetworkOptions::default());
        assert_eq!(options.relay, Relay::Off);
        let key = iroh::SecretKey::from_bytes(&[7; 32]).public();
        assert_eq!(options.way_to(key, None), None);
        let address = "127.0.0.1:5100".parse().unwrap();
        let way = options.way_to(key, Some(address)).unwrap();
        assert_eq!(way.ip_addrs().collect::<Vec<_>>(), [&address]);
        assert_eq!(way.relay_urls().count(), 0);
    }

    #[test]
    fn what_is_asked_for_is_had_and_what_is_wrong_is_refused() {
        let options = read("relay = \"https://relay.example\"\ndiscovery = \"dns\"\n").unwrap();
        let key = iroh::SecretKey::from_bytes(&[7; 32]).public();
        let way = options.way_to(key, None).unwrap();
        assert_eq!(way.relay_urls().count(), 1);
        for (text, expected) in [
            (
                "relay = \"on\"",
                "node.toml:1: relay = \"on\": expected off, default",
            ),
            ("relay = \"https://\"", "not the URL of a relay"),
            ("discovery = \"dht\"", "expected off, dns or mdns"),
            (
                "\npackets_per_second = 0",
                "node.toml:2: expected at least 1",
            ),
            ("byte_per_second = 9", "did you mean bytes_per_second?"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let mdns = read("discovery = \"mdns\"");
        if cfg!(feature = "discovery") {
            assert_eq!(mdns.unwrap().discovery, Discovery::Mdns);
        } else {
            let error = mdns.unwrap_err();
            assert!(error.contains("--features discovery"), "{error}");
        }
    }
}
