//! A client as a state machine: one request at a time, with a number that only rises, retried until it is answered.
//!
//! Shared by the simulator, the command line and the page. Sans-IO: it is told the time and says whom to ask.

use alloc::vec::Vec;

use crate::types::{ClientId, Duration, NodeId, Time};

/// What the shell must do for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send this request to that node.
    Send {
        /// Whom.
        to: NodeId,
        /// The request's number.
        number: u64,
        /// The bytes of the protocol's `Request`.
        request: Vec<u8>,
    },
    /// Wait until then, or for a reply.
    Wait(Time),
    /// Nothing to do: no request is open.
    Idle,
    /// Every member was asked in vain, as often as is allowed.
    GaveUp,
}

/// A client of a cluster.
#[derive(Clone, Debug)]
pub struct Client {
    id: ClientId,
    members: Vec<NodeId>,
    /// Whom to ask next: the last member that answered, or that another pointed to.
    target: usize,
    next_number: u64,
    open: Option<Open>,
    patience: Duration,
    attempts_max: u32,
}

#[derive(Clone, Debug)]
struct Open {
    number: u64,
    request: Vec<u8>,
    asked_at: Option<Time>,
    attempts: u32,
}

impl Client {
    /// A client that knows the members. `first_number` must be above every number that it ever used.
    ///
    /// # Panics
    /// If there are no members.
    pub fn new(
        id: ClientId,
        members: Vec<NodeId>,
        first_number: u64,
        patience: Duration,
        attempts_max: u32,
    ) -> Client {
        assert!(!members.is_empty(), "a cluster has members");
        Client {
            id,
            members,
            target: 0,
            next_number: first_number,
            open: None,
            patience,
            attempts_max,
        }
    }

    /// The client's id.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Prefers a member from now on.
    pub fn prefer(&mut self, node: NodeId) {
        if let Some(place) = self.members.iter().position(|member| *member == node) {
            self.target = place;
        }
    }

    /// Opens a request; the one before it is given up. Returns its number.
    pub fn request(&mut self, request: Vec<u8>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.open = Some(Open {
            number,
            request,
            asked_at: None,
            attempts: 0,
        });
        number
    }

    /// What to do now. Call again after `Send`, at the time of `Wait`, and after each reply.
    pub fn poll(&mut self, now: Time) -> Ask {
        let Some(open) = &mut self.open else {
            return Ask::Idle;
        };
        if let Some(asked_at) = open.asked_at {
            let due = asked_at + self.patience;
            if now < due {
                return Ask::Wait(due);
            }
            // No answer in time: the next member may know better.
            self.target = (self.target + 1) % self.members.len();
        }
        if open.attempts == self.attempts_max {
            self.open = None;
            return Ask::GaveUp;
        }
        open.attempts += 1;
        open.asked_at = Some(now);
        Ask::Send {
            to: self.members[self.target],
            number: open.number,
            request: open.request.clone(),
        }
    }

    /// A reply came. With `last` the request is done; without, it was only accepted, and patience starts anew.
    /// Returns whether the reply is to the open request.
    pub fn on_reply(&mut self, now: Time, number: u64, last: bool) -> bool {
        match &mut self.open {
            Some(open) if open.number == number => {
                open.asked_at = Some(now);
                if last {
                    self.open = None;
                }
                true
            }
            _ => false,
        }
    }

    /// The node asked is not the one to ask; it may know who is.
    pub fn on_redirect(&mut self, number: u64, hint: Option<NodeId>) {
        let Some(open) = self.open.as_mut().filter(|open| open.number == number) else {
            return;
        };
        open.asked_at = None;
        match hint.and_then(|hint| self.members.iter().position(|member| *member == hint)) {
            Some(place) if place != self.target => self.target = place,
            _ => self.target = (self.target + 1) % self.members.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn client() -> Client {
        Client::new(
            ClientId(5),
            vec![NodeId(1), NodeId(2), NodeId(3)],
            1,
            Duration::from_ms(100),
            4,
        )
    }

    fn sent_to(ask: &Ask) -> Option<u16> {
        match ask {
            Ask::Send { to, .. } => Some(to.0),
            _ => None,
        }
    }

    #[test]
    fn it_asks_the_next_member_when_one_stays_silent_and_gives_up_in_the_end() {
        let mut client = client();
        assert_eq!(client.poll(Time::ZERO), Ask::Idle);
        assert_eq!(client.request(vec![1]), 1);
        assert_eq!(sent_to(&client.poll(Time::ZERO)), Some(1));
        assert_eq!(
            client.poll(Time::from_ms(50)),
            Ask::Wait(Time::from_ms(100))
        );
        assert_eq!(sent_to(&client.poll(Time::from_ms(100))), Some(2));
        assert_eq!(sent_to(&client.poll(Time::from_ms(200))), Some(3));
        assert_eq!(sent_to(&client.poll(Time::from_ms(300))), Some(1));
        assert_eq!(client.poll(Time::from_ms(400)), Ask::GaveUp);
        assert_eq!(client.poll(Time::from_ms(401)), Ask::Idle);
    }

    #[test]
    fn numbers_only_rise_and_an_old_reply_is_not_taken_for_a_new_one() {
        let mut client = client();
        client.request(vec![1]);
        client.poll(Time::ZERO);
        assert_eq!(client.request(vec![2]), 2);
        assert!(!client.on_reply(Time::ZERO, 1, true));
        client.poll(Time::ZERO);
        assert!(client.on_reply(Time::from_ms(90), 2, false));
        assert_eq!(
            client.poll(Time::from_ms(120)),
            Ask::Wait(Time::from_ms(190))
        );
        assert!(client.on_reply(Time::from_ms(150), 2, true));
        assert_eq!(client.poll(Time::from_ms(150)), Ask::Idle);
    }

    #[test]
    fn a_hint_is_followed_and_a_useless_one_is_not() {
        let mut client = client();
        let number = client.request(vec![1]);
        client.poll(Time::ZERO);
        client.on_redirect(number, Some(NodeId(3)));
        assert_eq!(sent_to(&client.poll(Time::ZERO)), Some(3));
        client.on_redirect(number, Some(NodeId(3)));
        assert_eq!(
            sent_to(&client.poll(Time::ZERO)),
            Some(1),
            "it points to itself"
        );
        client.on_redirect(number, Some(NodeId(99)));
        assert_eq!(sent_to(&client.poll(Time::ZERO)), Some(2), "not a member");
    }
}
