//! Stores that went bad, byte by byte: what is opened has the rows that were promised, and what is refused stays as found.

use super::faults::{lived_in, reopen};
use super::*;

/// A store after a life: closed, or as a killed process leaves it.
struct Victim {
    image: Vec<u8>,
    rows: Rows,
    draws: u64,
}

impl Victim {
    fn both() -> [Victim; 2] {
        lived_in().map(|(image, rows)| Victim {
            image,
            rows,
            draws: 7,
        })
    }

    fn draw(&mut self, bound: usize) -> usize {
        self.draws = self
            .draws
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.draws >> 33) as usize % bound
    }

    /// Whether a changed image is refused; one that is opened must have the rows.
    fn is_refused(&self, image: Vec<u8>, what: &str) -> bool {
        match panics::caught(|| reopen(image)) {
            Err(panic) => panic!("{what}: {panic}"),
            Ok(Err(_)) => true,
            Ok(Ok(store)) => {
                assert!(store.rows().unwrap() == self.rows, "{what}: other rows");
                assert_eq!(store.secret().unwrap(), [7; 32], "{what}: another key");
                false
            }
        }
    }
}

#[test]
fn a_bent_bit_is_noticed_or_does_not_matter() {
    for (closed, mut victim) in [true, false].into_iter().zip(Victim::both()) {
        assert!(!victim.is_refused(victim.image.clone(), "untouched"));
        let used: Vec<usize> = (0..victim.image.len())
            .filter(|at| victim.image[*at] != 0)
            .collect();
        let mut refused = 0;
        for number in 0..400 {
            // Most of the file was never written to, and most of the rest is of older commits.
            let at = match number % 2 {
                0 => used[victim.draw(used.len())],
                _ => victim.draw(victim.image.len()),
            };
            let mut image = victim.image.clone();
            image[at] ^= 1 << victim.draw(8);
            refused += u32::from(victim.is_refused(image, &format!("bit at {at}, {closed}")));
        }
        assert!((5..400).contains(&refused), "{refused} of 400, {closed}");
    }
}

/// The header has no checksum but those of its two slots, and one bit of it says which of them counts.
#[test]
fn every_byte_of_the_header_may_go_bad() {
    for mut victim in Victim::both() {
        for at in 0..320 {
            let bits = if at == 9 {
                0..8
            } else {
                let bit = victim.draw(8);
                bit..bit + 1
            };
            for bit in bits {
                let mut image = victim.image.clone();
                image[at] ^= 1 << bit;
                victim.is_refused(image, &format!("bit {bit} at {at}"));
            }
        }
    }
}

#[test]
fn a_page_that_was_lost_or_swapped_is_noticed() {
    for victim in Victim::both() {
        let pages = victim.image.len() / 4096;
        let mut refused = 0;
        for page in 1..pages {
            let range = page * 4096..(page + 1) * 4096;
            if victim.image[range.clone()].iter().all(|byte| *byte == 0) {
                continue;
            }
            let mut image = victim.image.clone();
            image[range.clone()].fill(0);
            refused += u32::from(victim.is_refused(image, &format!("page {page} of zeros")));
            let mut image = victim.image.clone();
            let other = 4096 * if page == 1 { 2 } else { 1 };
            image.copy_within(other..other + 4096, range.start);
            refused += u32::from(victim.is_refused(image, &format!("page {page} swapped")));
        }
        assert!(refused > 0);
    }
}

#[test]
fn a_store_that_is_cut_off_or_grew_is_refused() {
    for (closed, mut victim) in [true, false].into_iter().zip(Victim::both()) {
        let length = victim.image.len();
        let mut lengths = vec![
            0,
            1,
            8,
            9,
            319,
            320,
            321,
            4095,
            4096,
            4097,
            8192,
            length - 1,
        ];
        lengths.extend((0..60).map(|_| victim.draw(length)));
        for cut in lengths {
            let image = victim.image[..cut].to_vec();
            let what = format!("cut to {cut}, {closed}");
            assert!(victim.is_refused(image, &what), "{what} is opened");
        }
        for more in [1, 4096, 100_000] {
            let mut image = victim.image.clone();
            image.resize(length + more, 0xa5);
            victim.is_refused(image, &format!("{more} more, {closed}"));
        }
    }
}

/// The same through files, where a refusal must leave every byte.
#[test]
fn a_damaged_file_stays_as_it_was_found() {
    let dir = scratch("store-damage");
    let path = dir.join("node.redb");
    for mut victim in Victim::both() {
        let used: Vec<usize> = (4096..victim.image.len())
            .filter(|at| victim.image[*at] != 0)
            .collect();
        let mut refused = 0;
        for _ in 0..40 {
            let mut image = victim.image.clone();
            let at = used[victim.draw(used.len())];
            image[at] ^= 1 << victim.draw(8);
            std::fs::write(&path, &image).unwrap();
            match Store::open(&path, PROTOCOL) {
                Ok(store) => assert!(store.rows().unwrap() == victim.rows, "byte {at}"),
                Err(error) => {
                    assert!(error.is_damage(), "byte {at}: {error}");
                    assert!(!error.to_string().contains('\n'), "{error}");
                    assert!(std::fs::read(&path).unwrap() == image, "byte {at}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 0);
        // A commit that was promised and is not in force any more is found again, by a node and by a look.
        let mut image = victim.image.clone();
        image[9] ^= 1;
        std::fs::write(&path, &image).unwrap();
        let look = Store::look(&path, PROTOCOL).unwrap();
        assert!(look.rows().unwrap() == victim.rows);
        drop(look);
        assert!(
            std::fs::read(&path).unwrap() == image,
            "it was only looked at"
        );
        let store = Store::open(&path, PROTOCOL).unwrap();
        assert!(store.rows().unwrap() == victim.rows);
    }
}

#[test]
fn other_schemas_are_refused_by_their_number() {
    let dir = scratch("store-schema");
    for (schema, name) in [(SCHEMA + 2, "newer"), (SCHEMA - 1, "older")] {
        let path = dir.join(name);
        Store::create(&path, &[7; 32]).unwrap();
        let store = Store::open(&path, PROTOCOL).unwrap();
        store
            .write(|transaction| {
                let mut meta = transaction.open_table(definition(META_NAME))?;
                meta.insert(SCHEMA_KEY, schema.to_le_bytes().as_slice())?;
                Ok(())
            })
            .unwrap();
        drop(store);
        let said = refusal(&path);
        let expected = format!("written by schema {schema}; this phaselab reads {SCHEMA}");
        assert!(said.contains(&expected), "{said}");
    }
}
