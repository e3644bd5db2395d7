//! How fast a peer may send, and how often one may knock whom nobody knows.
//!
//! Over its rate a peer waits: its connections are not read, and QUIC tells it so. Nothing of it is dropped. Who is not
//! known by its address is let in for a handshake a few times a second; more often it is not answered, and whoever means
//! it asks again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::options::NetworkOptions;

/// How much of a rate may be used at once: that of one second.
const BURST: Duration = Duration::from_secs(1);
/// Handshakes under way at once, of known addresses and of all others each.
const HANDSHAKES_MAX: u32 = 32;
/// From so many on, who comes must first show that it receives what is sent to its address.
const HANDSHAKES_UNPROVED_MAX: u32 = HANDSHAKES_MAX / 2;
/// Handshakes under way from one unknown address.
const HANDSHAKES_PER_ADDRESS_MAX: u32 = 8;
/// Handshakes per second from one unknown address.
const HANDSHAKES_PER_ADDRESS_PER_SECOND: u64 = 16;
/// Unknown addresses that are remembered at once; those beyond are not answered.
const ADDRESSES_MAX: usize = 1024;

/// A rate: so much per second, and a second's worth at once.
#[derive(Debug)]
struct Gauge {
    per_second: u64,
    /// When all that was spent will have been earned.
    earned_at: Instant,
}

impl Gauge {
    fn new(per_second: u64, now: Instant) -> Gauge {
        Gauge {
            per_second: per_second.max(1),
            earned_at: now,
        }
    }

    /// Spends so much; returns how long to wait before the next.
    fn spend(&mut self, now: Instant, amount: u64) -> Duration {
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(self.per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.earned_at = self.earned_at.max(now) + takes;
        self.earned_at.saturating_duration_since(now + BURST)
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.earned_at <= now
    }
}

/// What one peer may send, over all of its connections.
#[derive(Debug)]
pub(super) struct PeerLimit(Mutex<[Gauge; 2]>);

impl PeerLimit {
    /// The limit of each peer.
    pub(super) fn new(now: Instant, options: &NetworkOptions) -> PeerLimit {
        PeerLimit(Mutex::new([
            Gauge::new(options.packets_per_second, now),
            Gauge::new(options.bytes_per_second, now),
        ]))
    }

    /// Counts a packet; returns how long its connection is not read.
    pub(super) fn spend(&self, now: Instant, bytes: usize) -> Duration {
        let [packets, sizes] = &mut *lock(&self.0);
        packets
            .spend(now, 1)
            .max(sizes.spend(now, u64::try_from(bytes).unwrap_or(u64::MAX)))
    }
}

/// Who knocks, and how many are being let in.
#[derive(Debug)]
pub(super) struct Door {
    /// Where members listen, and dial from.
    known: BTreeSet<SocketAddr>,
    state: Mutex<Knocking>,
}

#[derive(Debug, Default)]
struct Knocking {
    of_known: u32,
    of_others: u32,
    addresses: BTreeMap<Source, Visitor>,
}

#[derive(Debug)]
struct Visitor {
    underway: u32,
    rate: Gauge,
}

/// An address as far as one who moves within its network cannot change it; `None` for all that relays bring.
type Source = Option<IpAddr>;

/// What becomes of a knock.
#[derive(Debug)]
pub(super) enum Answer {
    /// A handshake, which is under way as long as this lives.
    Enter(Entry),
    /// First it shows that its address is its own.
    Prove,
    /// None.
    Ignore,
}

/// A handshake under way.
#[derive(Debug)]
pub(super) struct Entry {
    door: Arc<Door>,
    /// Whose; `None` for a known address.
    visitor: Option<Source>,
}

impl Door {
    /// A door that knows the members' addresses.
    pub(super) fn new(known: impl IntoIterator<Item = SocketAddr>) -> Arc<Door> {
        Arc::new(Door {
            known: known.into_iter().collect(),
            state: Mutex::default(),
        })
    }

    /// Someone knocks: from an address, unless a relay brings it, that is proved to be its own or not.
    pub(super) fn knock(
        self: &Arc<Door>,
        now: Instant,
        from: Option<SocketAddr>,
        is_proved: bool,
    ) -> Answer {
        let mut state = lock(&self.state);
        let is_known = from.is_some_and(|from| self.known.contains(&from));
        let underway = match is_known {
            true => state.of_known,
            false => state.of_others,
        };
        if underway >= HANDSHAKES_MAX {
            return Answer::Ignore;
        }
        if underway >= HANDSHAKES_UNPROVED_MAX && !is_proved {
            return Answer::Prove;
        }
        let visitor = (!is_known).then(|| from.map(|from| network_of(from.ip())));
        match visitor {
            None => state.of_known += 1,
            Some(source) => {
                if !state.admit(now, source) {
                    return Answer::Ignore;
                }
                state.of_others += 1;
            }
        }
        Answer::Enter(Entry {
            door: self.clone(),
            visitor,
        })
    }
}

impl Knocking {
    fn admit(&mut self, now: Instant, source: Source) -> bool {
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses
                .retain(|_, visitor| visitor.underway > 0 || !visitor.rate.is_idle(now));
        }
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&source) {
            return false;
        }
        let visitor = self.addresses.entry(source).or_insert_with(|| Visitor {
            underway: 0,
            rate: Gauge::new(HANDSHAKES_PER_ADDRESS_PER_SECOND, now),
        });
        // Who is not let in spends nothing, or one that keeps knocking would never come in again.
        if visitor.underway >= HANDSHAKES_PER_ADDRESS_MAX || visitor.rate.earned_at > now + BURST {
            return false;
        }
        visitor.rate.spend(now, 1);
        visitor.underway += 1;
        true
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = lock(&self.door.state);
        match self.visitor {
            None => state.of_known -= 1,
            Some(source) => {
                state.of_others -= 1;
                if let Some(visitor) = state.addresses.get_mut(&source) {
                    visitor.underway -= 1;
                }
            }
        }
    }
}

/// An IPv6 host has as many addresses as it likes in its network of 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// What a lock guards is right between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_second_is_free_and_then_the_rate_holds() {
        let now = Instant::now();
        let mut gauge = Gauge::new(10, now);
        for _ in 0..10 {
            assert_eq!(gauge.spend(now, 1), Duration::ZERO);
        }
        assert_eq!(gauge.spend(now, 1), SECOND / 10);
        assert_eq!(gauge.spend(now, 9), SECOND);
        assert_eq!(gauge.spend(now + SECOND, 1), SECOND / 10);
        // Nothing is saved beyond a second's worth.
        let later = now + 100 * SECOND;
        assert_eq!(gauge.spend(later, 11), SECOND / 10);
    }

    #[test]
    fn packets_and_bytes_both_count() {
        let options = NetworkOptions {
            packets_per_second: 4,
            bytes_per_second: 1_000,
            ..NetworkOptions::default()
        };
        let now = Instant::now();
        let limit = PeerLimit::new(now, &options);
        assert_eq!(limit.spend(now, 1_000), Duration::ZERO);
        assert_eq!(limit.spend(now, 500), SECOND / 2);
        assert_eq!(limit.spend(now, 0), SECOND / 2);
        assert_eq!(limit.spend(now + 2 * SECOND, 0), Duration::ZERO);
    }

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_of_a_stranger_does_not_keep_others_out() {
        let door = Door::new(address("10.0.0.1:4701"));
        let now = Instant::now();
        let mut inside = Vec::new();
        loop {
            match door.knock(now, address("10.0.0.9:1000"), true) {
                Answer::Enter(entry) => inside.push(entry),
                Answer::Ignore => break,
                Answer::Prove => panic!("it is proved"),
            }
        }
        assert_eq!(inside.len() as u32, HANDSHAKES_PER_ADDRESS_MAX);
        let other = door.knock(now, address("10.0.0.8:1000"), false);
        assert!(matches!(other, Answer::Enter(_)));
        // Its port is no other address, and neither is one of the same network of IPv6.
        assert!(matches!(
            door.knock(now, address("10.0.0.9:2000"), true),
            Answer::Ignore
        ));
        assert_eq!(
            network_of("2001:db8::1".parse().unwrap()),
            network_of("2001:db8::2:1".parse().unwrap())
        );
        // When they are gone the rate holds, until it was earned again.
        drop(inside);
        let more = (0..100).filter(|_| {
            let answer = door.knock(now, address("10.0.0.9:1000"), true);
            matches!(answer, Answer::Enter(_))
        });
        let more = more.count() as u64;
        let allowed = HANDSHAKES_PER_ADDRESS_PER_SECOND - u64::from(HANDSHAKES_PER_ADDRESS_MAX);
        assert!(more <= allowed + 1, "{more}");
        let later = door.knock(now + SECOND, address("10.0.0.9:1000"), true);
        assert!(matches!(later, Answer::Enter(_)));
    }

    #[test]
    fn a_crowd_must_prove_itself_and_members_have_their_own_way_in() {
        let door = Door::new(address("10.0.0.1:4701"));
        let now = Instant::now();
        let stranger = |number: u32| address(&format!("10.1.{}.{}:9", number / 256, number % 256));
        let mut inside = Vec::new();
        for number in 0..HANDSHAKES_UNPROVED_MAX {
            let Answer::Enter(entry) = door.knock(now, stranger(number), false) else {
                panic!("{number}")
            };
            inside.push(entry);
        }
        assert!(matches!(
            door.knock(now, stranger(900), false),
            Answer::Prove
        ));
        for number in HANDSHAKES_UNPROVED_MAX..HANDSHAKES_MAX {
            let Answer::Enter(entry) = door.knock(now, stranger(number), true) else {
                panic!("{number}")
            };
            inside.push(entry);
        }
        assert!(matches!(
            door.knock(now, stranger(900), true),
            Answer::Ignore
        ));
        let member = door.knock(now, address("10.0.0.1:4701"), false);
        assert!(matches!(member, Answer::Enter(_)));
        drop(inside);
        assert!(matches!(
            door.knock(now, stranger(900), false),
            Answer::Enter(_)
        ));
        assert!(matches!(door.knock(now, None, false), Answer::Enter(_)));
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let door = Door::new(None);
        let now = Instant::now();
        let stranger = |number: u32| address(&format!("10.{}.{}.1:9", number / 256, number % 256));
        for number in 0..5_000 {
            drop(door.knock(now, stranger(number), true));
            assert!(lock(&door.state).addresses.len() <= ADDRESSES_MAX);
        }
        let later = now + 2 * SECOND;
        assert!(matches!(
            door.knock(later, stranger(6_000), true),
            Answer::Enter(_)
        ));
    }
}
