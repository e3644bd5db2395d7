//! What was submitted from this page, and what the nodes answered.

use phaselab_core::client::{Ask, Client};
use phaselab_core::protocol::{ProtocolKind, ReplyView};
use phaselab_core::types::{ClientId, Duration, NodeId, Time};

use crate::picture::{self, Redirect};

/// How long a node has to answer before the next one is asked.
const PATIENCE: Duration = Duration::from_ms(2_000);

/// How often nodes are asked before the page gives up.
const ATTEMPTS_MAX: u32 = 30;

/// Hops from one member to another that are made at once.
const HOPS_MAX: u32 = 4;

/// How long the client waits for a leader to be elected.
const PAUSE: Duration = Duration::from_ms(250);

/// The most submissions that are shown.
const SHOWN_MAX: usize = 8;

/// One submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// What a person calls it.
    pub name: String,
    /// When it was submitted.
    pub at: Time,
    /// Its number.
    pub number: u64,
    /// How long it took to be answered for good.
    pub took: Option<Duration>,
    /// The last answer.
    pub reply: Option<ReplyView>,
    /// Whether nobody answered.
    pub gave_up: bool,
}

/// The submissions of this page. A client has one open request; those that come meanwhile wait.
pub struct Submissions {
    kind: ProtocolKind,
    client: Client,
    shown: Vec<Submission>,
    waiting: Vec<(String, Vec<u8>)>,
    open: Option<u64>,
    /// The group of each node, in order; none where there is only one.
    groups: Vec<u16>,
    /// How often the open request was sent on without anybody being silent or answering, and until when to wait.
    sent_on: u32,
    wait_until: Option<Time>,
}

impl Submissions {
    /// Says which group each node is in, in order.
    pub fn set_groups(&mut self, groups: Vec<u16>) {
        self.groups = groups;
    }

    /// A client of a room. `id` is random, so that no two pages are the same client.
    pub fn new(kind: ProtocolKind, id: ClientId, nodes: u16) -> Submissions {
        let members = (1..=nodes.max(1)).map(NodeId).collect();
        let client = Client::new(id, members, 1, PATIENCE, ATTEMPTS_MAX);
        Submissions {
            kind,
            client,
            shown: Vec::new(),
            waiting: Vec::new(),
            open: None,
            groups: Vec::new(),
            sent_on: 0,
            wait_until: None,
        }
    }

    /// Asks only this node from now on: the only one within reach.
    pub fn ask_only(&mut self, node: u16) {
        let members = vec![NodeId(node)];
        self.client = Client::new(self.client.id(), members, 1, PATIENCE, ATTEMPTS_MAX);
    }

    /// Who asks.
    pub fn client(&self) -> ClientId {
        self.client.id()
    }

    /// What was submitted, newest first.
    pub fn shown(&self) -> impl Iterator<Item = &Submission> {
        self.shown.iter().rev()
    }

    /// Submits the bytes of the protocol's `Request`; the page then polls. Prefers a node that runs in this tab.
    pub fn submit(&mut self, now: Time, request: Vec<u8>, near: Option<u16>) {
        let name = self.kind.request_name(&request).unwrap_or_default();
        if let Some(near) = near {
            self.client.prefer(NodeId(near));
        }
        self.waiting.push((name, request));
        self.open_next(now);
    }

    /// Whom to ask now: (node, number, request). `Err` with the time to poll again.
    ///
    /// # Errors
    /// When to call again; `None` if nothing is open.
    pub fn poll(&mut self, now: Time) -> Result<(NodeId, u64, Vec<u8>), Option<Time>> {
        if let Some(until) = self.wait_until.filter(|until| now < *until) {
            return Err(Some(until));
        }
        self.wait_until = None;
        match self.client.poll(now) {
            Ask::Send {
                to,
                number,
                request,
            } => Ok((to, number, request)),
            Ask::Wait(at) => Err(Some(at)),
            Ask::Idle => Err(None),
            Ask::GaveUp => {
                if let Some(shown) = self.open_mut() {
                    shown.gave_up = true;
                }
                self.open = None;
                self.open_next(now);
                Err(self.open.map(|_| now))
            }
        }
    }

    /// A node answered somebody; whether it was this page.
    pub fn on_reply(&mut self, now: Time, client: ClientId, number: u64, reply: &[u8]) -> bool {
        if client != self.client.id() {
            return false;
        }
        let Some(view) = self.kind.read_reply(reply) else {
            return false;
        };
        if self.open == Some(number)
            && let Some(redirect) = picture::of(self.kind.spec()).redirect(reply)
        {
            self.send_on(now, number, redirect);
            return true;
        }
        let last = view.last;
        self.sent_on = 0;
        self.client.on_reply(now, number, last);
        let Some(shown) = self.shown.iter_mut().find(|shown| shown.number == number) else {
            return false;
        };
        if shown.took.is_none() {
            shown.took = last.then(|| now.since(shown.at));
            shown.reply = Some(view);
        }
        if last && self.open == Some(number) {
            self.open = None;
            self.open_next(now);
        }
        true
    }

    /// Asks whom the reply points to. Where nobody is known to lead, or members point to one another, it waits a little:
    /// a leader is being elected.
    fn send_on(&mut self, now: Time, number: u64, to: Redirect) {
        let hint = match to {
            Redirect::Member(hint) => hint,
            Redirect::Group(group) => {
                let place = self.groups.iter().position(|known| *known == group);
                place.map(|place| place as u16 + 1)
            }
        };
        self.client.on_redirect(number, hint.map(NodeId));
        self.sent_on += 1;
        if hint.is_none() || self.sent_on.is_multiple_of(HOPS_MAX) {
            self.wait_until = Some(now + PAUSE);
        }
    }

    fn open_next(&mut self, now: Time) {
        if self.open.is_some() || self.waiting.is_empty() {
            return;
        }
        let (name, request) = self.waiting.remove(0);
        let number = self.client.request(request);
        self.open = Some(number);
        self.shown.push(Submission {
            name,
            at: now,
            number,
            took: None,
            reply: None,
            gave_up: false,
        });
        if self.shown.len() > SHOWN_MAX {
            self.shown.remove(0);
        }
    }

    fn open_mut(&mut self) -> Option<&mut Submission> {
        let open = self.open?;
        self.shown.iter_mut().find(|shown| shown.number == open)
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::codec;
    use phaselab_core::protocol::sharded_2pc::Reply;
    use phaselab_core::types::GroupId;

    use super::*;

    fn request(name: &str, amount: &str) -> Vec<u8> {
        picture::request(ProtocolKind::TwoPhase, &[name, amount], 0).unwrap()
    }

    fn submissions() -> Submissions {
        Submissions::new(ProtocolKind::TwoPhase, ClientId(5), 3)
    }

    #[test]
    fn a_node_of_this_tab_is_asked_first_and_the_others_when_it_is_silent() {
        let mut submissions = submissions();
        submissions.submit(Time::ZERO, request("rent", "25"), Some(2));
        let (to, number, _) = submissions.poll(Time::ZERO).unwrap();
        assert_eq!((to, number), (NodeId(2), 1));
        assert_eq!(
            submissions.poll(Time::from_ms(1)),
            Err(Some(Time::from_ms(2_000)))
        );
        assert_eq!(submissions.poll(Time::from_ms(2_000)).unwrap().0, NodeId(3));
        assert_eq!(submissions.shown().next().unwrap().name, "rent");
    }

    #[test]
    fn a_second_request_waits_for_the_first() {
        let mut submissions = submissions();
        for name in ["a", "b"] {
            submissions.submit(Time::ZERO, request(name, "1"), None);
        }
        assert_eq!(submissions.shown().count(), 1);
        assert!(
            !submissions.on_reply(Time::ZERO, ClientId(6), 1, &[]),
            "another page's"
        );
        assert!(
            !submissions.on_reply(Time::ZERO, ClientId(5), 1, &[0xff, 0xff]),
            "junk"
        );
    }
    #[test]
    fn the_leader_is_found_across_clusters_and_waited_for_where_there_is_none() {
        let kind = ProtocolKind::Sharded2pc;
        let mut submissions = Submissions::new(kind, ClientId(5), 6);
        submissions.set_groups(vec![1, 1, 1, 2, 2, 2]);
        let transfer = picture::request(kind, &["3001", "1001", "5"], 0).unwrap();
        submissions.submit(Time::ZERO, transfer, Some(2));
        let asked = |submissions: &mut Submissions, ms| {
            let ask = submissions.poll(Time::from_ms(ms));
            ask.map(|(node, ..)| node.0)
        };
        let told = |submissions: &mut Submissions, ms, reply: &Reply| {
            submissions.on_reply(Time::from_ms(ms), ClientId(5), 1, &codec::encode(reply))
        };
        let not_leader = |hint: Option<u16>| Reply::NotLeader {
            hint: hint.map(NodeId),
            ballot: 1,
        };
        assert_eq!(asked(&mut submissions, 0), Ok(2));
        assert!(told(&mut submissions, 1, &not_leader(Some(1))));
        assert_eq!(asked(&mut submissions, 1), Ok(1));
        let elsewhere = Reply::WrongCluster {
            cluster: GroupId(2),
        };
        told(&mut submissions, 2, &elsewhere);
        assert_eq!(asked(&mut submissions, 2), Ok(4));
        told(&mut submissions, 3, &not_leader(None));
        assert_eq!(
            submissions.poll(Time::from_ms(3)),
            Err(Some(Time::from_ms(253)))
        );
        assert_eq!(asked(&mut submissions, 253), Ok(5));
        assert_eq!(submissions.shown().next().unwrap().reply, None);
        told(&mut submissions, 300, &Reply::Accepted);
        assert_eq!(
            submissions
                .shown()
                .next()
                .unwrap()
                .reply
                .as_ref()
                .unwrap()
                .outcome,
            "accepted"
        );
    }
}
