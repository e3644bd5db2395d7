//! Sharded two-phase commit: transfers and slots by their phases.

use phaselab_core::codec;
use phaselab_core::protocol::sharded_2pc::{Request, phase};

use super::Tone;

/// How a phase feels, by its number.
pub fn tone(of: u8) -> Tone {
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
pub fn request(name: &str, amount: u64) -> Vec<u8> {
    let words = name.split(|c: char| !c.is_ascii_digit());
    let mut items = words.filter_map(|word| word.parse().ok());
    codec::encode(&Request::Transfer {
        sender: items.next().unwrap_or(1),
        receiver: items.next().unwrap_or(2),
        amount,
    })
}

#[cfg(target_arch = "wasm32")]
pub use drawn::ShardedPicture;

#[cfg(target_arch = "wasm32")]
mod drawn {
    use yew::prelude::*;

    use crate::picture::{Picture, Tone};
    use crate::scene::{NodeScene, Scene};

    /// Draws sharded two-phase commit.
    pub struct ShardedPicture;

    impl Picture for ShardedPicture {
        fn tone(&self, phase: u8) -> Tone {
            super::tone(phase)
        }

        fn table(&self, _: &Scene) -> Html {
            html! {}
        }

        fn slot(&self, _: &Scene, _: &NodeScene) -> Html {
            html! {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_in_a_name_are_the_items() {
        let asked = |name: &str| codec::decode::<Request>(&request(name, 10)).unwrap();
        let transfer = |sender, receiver| Request::Transfer {
            sender,
            receiver,
            amount: 10,
        };
        assert_eq!(asked("1001 -> 3001"), transfer(1001, 3001));
        assert_eq!(asked("rent"), transfer(1, 2));
    }
}
