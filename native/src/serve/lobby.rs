//! The lobby: who takes part, until genesis is frozen.
//!
//! ```text
//! gathering:  invite unused, key new      -> the next id, in the order of joining
//!             invite used with this key   -> the same id again: a guest that comes back
//!             invite used, or key seated  -> refused
//! frozen:     key seated                  -> the same id again
//!             anything else               -> refused
//! ```
//!
//! A seat is a public key; whoever brought it showed that it holds the private one, which stays where it was made. Once
//! frozen nothing changes any more.

use std::fmt;

use phaselab_core::crypto::{Member, PublicKey};
use phaselab_core::gateway::{Invite, Place, Placed};
use phaselab_core::types::{GroupId, NodeId};

/// Who is there, and who may still come.
#[derive(Debug)]
pub(crate) struct Lobby {
    invites: Vec<(Invite, Option<PublicKey>)>,
    /// In the order of joining; a seat's number is its place in here.
    seats: Vec<(PublicKey, Place)>,
    needed: u16,
    is_frozen: bool,
}

/// Why somebody cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// No such invite.
    Unknown,
    /// Somebody else used it.
    Used,
    /// The key has a seat already, by another invite.
    Seated,
    /// Genesis is frozen, without this key.
    Frozen,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Unknown => "this lobby gave no such invite; ask its host for one",
            JoinError::Used => {
                "somebody else used this invite, and each is good once; ask its host for another"
            }
            JoinError::Seated => "this key has a seat already, by another invite",
            JoinError::Frozen => {
                "the cluster began without this key, and its members never change; ask its host for a new lobby"
            }
        })
    }
}

impl Lobby {
    /// A lobby that is frozen of itself once `needed` have joined.
    pub(crate) fn new(invites: Vec<Invite>, needed: u16) -> Lobby {
        Lobby {
            invites: invites.into_iter().map(|invite| (invite, None)).collect(),
            seats: Vec::new(),
            needed,
            is_frozen: false,
        }
    }

    /// Takes a seat. The caller has checked that the guest holds the key.
    pub(crate) fn join(
        &mut self,
        invite: &Invite,
        key: PublicKey,
        place: Place,
    ) -> Result<NodeId, JoinError> {
        let seated = self.seats.iter().position(|(seat, _)| *seat == key);
        if self.is_frozen {
            return seated.map(id_of).ok_or(JoinError::Frozen);
        }
        // Each is looked at, so that time does not tell which one is near.
        let mut known = None;
        for entry in &mut self.invites {
            if is_same(&entry.0, invite) {
                known = Some(&mut entry.1);
            }
        }
        match (known, seated) {
            (None, _) => Err(JoinError::Unknown),
            (Some(Some(user)), Some(seat)) if *user == key => Ok(id_of(seat)),
            (Some(Some(_)), _) => Err(JoinError::Used),
            (Some(None), Some(_)) => Err(JoinError::Seated),
            (Some(unused), None) => {
                *unused = Some(key);
                self.seats.push((key, place));
                Ok(id_of(self.seats.len() - 1))
            }
        }
    }

    /// How many must join.
    pub(crate) fn needed(&self) -> u16 {
        self.needed
    }

    /// Who has joined, in id order.
    pub(crate) fn joined(&self) -> Vec<Placed> {
        let placed = |(seat, (_, place)): (usize, &(PublicKey, Place))| (id_of(seat), *place);
        self.seats.iter().enumerate().map(placed).collect()
    }

    /// Whether as many have joined as are needed.
    pub(crate) fn is_complete(&self) -> bool {
        self.seats.len() >= usize::from(self.needed)
    }

    /// Freezes it: the members of genesis. Nobody joins from now on.
    pub(crate) fn freeze(&mut self) -> Vec<Member> {
        self.is_frozen = true;
        let member = |(seat, (key, _)): (usize, &(PublicKey, Place))| Member {
            id: id_of(seat),
            group: GroupId(0),
            key: *key,
        };
        self.seats.iter().enumerate().map(member).collect()
    }
}

/// The member that sits here: from 1.
fn id_of(seat: usize) -> NodeId {
    NodeId(u16::try_from(seat + 1).expect("there are fewer invites than ids"))
}

fn is_same(known: &Invite, given: &Invite) -> bool {
    known.iter().zip(given).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// An invite as people pass it on.
pub(crate) fn invite_text(invite: &Invite) -> String {
    invite.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads an invite.
///
/// # Errors
/// What was expected.
pub(crate) fn parse_invite(text: &str) -> Result<Invite, String> {
    let expected = || "expected the 32 hex digits that `phaselab serve --lobby` printed".to_owned();
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(expected());
    }
    let mut invite = [0; 16];
    for (byte, at) in invite.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| expected())?;
    }
    Ok(invite)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: Place = Place::Browser;

    fn lobby() -> Lobby {
        Lobby::new(vec![[1; 16], [2; 16], [3; 16]], 2)
    }

    fn key(id: u8) -> PublicKey {
        PublicKey([id; 32])
    }

    #[test]
    fn an_invite_is_good_for_one_key_and_its_guest_may_come_back() {
        let mut lobby = lobby();
        assert_eq!(lobby.join(&[2; 16], key(9), BROWSER), Ok(NodeId(1)));
        assert_eq!(
            lobby.join(&[2; 16], key(9), BROWSER),
            Ok(NodeId(1)),
            "the same guest"
        );
        assert_eq!(
            lobby.join(&[2; 16], key(8), BROWSER),
            Err(JoinError::Used),
            "another one"
        );
        assert_eq!(
            lobby.join(&[1; 16], key(9), BROWSER),
            Err(JoinError::Seated),
            "two seats for one key"
        );
        assert_eq!(
            lobby.join(&[7; 16], key(8), BROWSER),
            Err(JoinError::Unknown)
        );
        assert_eq!(lobby.joined(), [(NodeId(1), BROWSER)]);
        assert!(!lobby.is_complete());
        assert_eq!(
            lobby.join(&[1; 16], key(8), Place::Terminal),
            Ok(NodeId(2)),
            "ids follow the order of joining"
        );
        assert!(lobby.is_complete());
    }

    #[test]
    fn once_frozen_nothing_changes() {
        let mut lobby = lobby();
        for (invite, id) in [([1; 16], 9), ([2; 16], 8)] {
            lobby.join(&invite, key(id), BROWSER).unwrap();
        }
        let members = lobby.freeze();
        assert_eq!(
            members
                .iter()
                .map(|member| (member.id.0, member.key))
                .collect::<Vec<_>>(),
            [(1, key(9)), (2, key(8))]
        );
        assert_eq!(
            lobby.join(&[3; 16], key(7), BROWSER),
            Err(JoinError::Frozen),
            "even with an unused invite"
        );
        assert_eq!(
            lobby.join(&[3; 16], key(8), BROWSER),
            Ok(NodeId(2)),
            "a member, whatever its invite"
        );
        assert_eq!(lobby.freeze().len(), members.len());
    }

    #[test]
    fn invites_are_read_back_and_nothing_else_is() {
        let invite = [0xa5; 16];
        assert_eq!(parse_invite(&invite_text(&invite)), Ok(invite));
        for bad in ["", "a5", "zz".repeat(16).as_str(), "é".repeat(16).as_str()] {
            assert!(parse_invite(bad).is_err(), "{bad}");
        }
    }
}
