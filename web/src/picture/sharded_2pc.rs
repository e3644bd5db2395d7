//! Sharded two-phase commit: transfers and slots by their phases.

use phaselab_core::codec;
use phaselab_core::protocol::sharded_2pc::{Request, phase};
use phaselab_core::view::Spec;

use super::{Picture, Tone};

/// Draws sharded two-phase commit.
pub struct ShardedPicture;

impl Picture for ShardedPicture {
    fn tone(&self, _: &Spec, of: u8) -> Tone {
        match of {
            phase::PREPARED | phase::ACCEPTED => Tone::Busy,
            phase::COMMITTED | phase::CHOSEN => Tone::Decided,
            phase::DONE | phase::EXECUTED => Tone::Done,
            phase::REFUSED => Tone::Stalled,
            phase::ABORTED => Tone::Ended,
            _ => Tone::Idle,
        }
    }

    /// A transfer. The numbers in the name are the items, as in `1001 -> 3001`; 1 and 2 where it has none.
    fn request(&self, name: &str, amount: u64) -> Option<Vec<u8>> {
        let words = name.split(|c: char| !c.is_ascii_digit());
        let mut items = words.filter_map(|word| word.parse().ok());
        Some(codec::encode(&Request::Transfer {
            sender: items.next().unwrap_or(1),
            receiver: items.next().unwrap_or(2),
            amount,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_in_a_name_are_the_items() {
        let asked = |name: &str| {
            codec::decode::<Request>(&ShardedPicture.request(name, 10).unwrap()).unwrap()
        };
        let transfer = |sender, receiver| Request::Transfer {
            sender,
            receiver,
            amount: 10,
        };
        assert_eq!(asked("1001 -> 3001"), transfer(1001, 3001));
        assert_eq!(asked("rent"), transfer(1, 2));
    }
}
