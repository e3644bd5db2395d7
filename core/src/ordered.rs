//! Ordered maps and sets as sorted vectors: quick to copy, to compare and to walk, and a few hundred bytes of wasm for
//! each pair of types, where a B-tree takes some three kilobytes.
//!
//! Entries stand in runs of at most [`RUN`], so that an insertion into a large map moves no more than one run. How they
//! are spread over runs is invisible: equality, order and hash are those of the sequence of entries.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::iter;
use core::marker::PhantomData;
use core::ops::{Bound, Index, RangeBounds};
use core::slice;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// The longest run; a longer one is split into halves.
const RUN: usize = 64;

/// An ordered map.
#[derive(Clone)]
pub struct Map<K, V> {
    /// No run is empty, and all keys ascend.
    runs: Vec<Vec<(K, V)>>,
}

/// Where an entry stands, or would: run, and place in it.
type Place = (usize, usize);

type Pairs<'a, K, V> = iter::Flatten<slice::Iter<'a, Vec<(K, V)>>>;

/// The entries of a map in order.
pub type Iter<'a, K, V> = iter::Map<Pairs<'a, K, V>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

impl<K, V> Map<K, V> {
    /// A map without entries; allocates nothing.
    pub const fn new() -> Map<K, V> {
        Map { runs: Vec::new() }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.runs.clear();
    }

    /// All entries in order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.runs.iter().flatten().map(|(key, value)| (key, value))
    }

    /// All entries in order, their values to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        let entries = self.runs.iter_mut().flatten();
        entries.map(|(key, value)| (&*key, value))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.runs.iter().flatten().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.runs.iter().flatten().map(|(_, value)| value)
    }

    /// All values in the order of their keys, to be changed.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> {
        self.runs.iter_mut().flatten().map(|(_, value)| value)
    }

    /// Keeps the entries that the predicate is true of.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for run in &mut self.runs {
            run.retain_mut(|(key, value)| keep(key, value));
        }
        self.runs.retain(|run| !run.is_empty());
    }

    /// Removes the least entry.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        (!self.is_empty()).then(|| self.take((0, 0)))
    }

    /// The least entry.
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The greatest entry.
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next_back()
    }

    fn take(&mut self, (run, at): Place) -> (K, V) {
        let entry = self.runs[run].remove(at);
        if self.runs[run].is_empty() {
            self.runs.remove(run);
        }
        entry
    }
}

impl<K: Ord, V> Map<K, V> {
    /// Where the key stands, or where it would.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Place, Place>
    where
        K: Borrow<Q>,
    {
        let run = match self.runs.len() {
            0 => return Err((0, 0)),
            1 => 0,
            _ => {
                let later = self.runs.partition_point(|run| run[0].0.borrow() <= key);
                later.saturating_sub(1)
            }
        };
        match self.runs[run].binary_search_by(|(held, _)| held.borrow().cmp(key)) {
            Ok(at) => Ok((run, at)),
            Err(at) => Err((run, at)),
        }
    }

    fn put_at(&mut self, (run, at): Place, key: K, value: V) -> Place {
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        let entries = &mut self.runs[run];
        entries.insert(at, (key, value));
        if entries.len() <= RUN {
            return (run, at);
        }
        // What grows at its end leaves full runs behind.
        let half = if at + 1 == entries.len() { at } else { RUN / 2 };
        let rest = entries.split_off(half);
        self.runs.insert(run + 1, rest);
        if at < half {
            (run, at)
        } else {
            (run + 1, at - half)
        }
    }

    /// The key's value.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.find(key).ok()?;
        Some(&self.runs[run][at].1)
    }

    /// The key's value, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.find(key).ok()?;
        Some(&mut self.runs[run][at].1)
    }

    /// Whether the key has a value.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Sets the key's value and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok((run, at)) => Some(core::mem::replace(&mut self.runs[run][at].1, value)),
            Err(place) => {
                self.put_at(place, key, value);
                None
            }
        }
    }

    /// Removes the key and returns its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.find(key).ok()?;
        Some(self.take(place).1)
    }

    /// The key's value, which is made if there is none yet.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let (run, at) = match self.find(&key) {
            Ok(place) => place,
            Err(place) => self.put_at(place, key, make()),
        };
        &mut self.runs[run][at].1
    }

    /// The key's value, which is the default if there is none yet.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.get_or_insert_with(key, V::default)
    }

    /// The entries whose keys stand in the range, in order.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        let place = |key| self.find(key).unwrap_or_else(|place| place);
        let after = |key| match self.find(key) {
            Ok((run, at)) => (run, at + 1),
            Err(place) => place,
        };
        let low = match range.start_bound() {
            Bound::Included(key) => place(key),
            Bound::Excluded(key) => after(key),
            Bound::Unbounded => (0, 0),
        };
        let high = match range.end_bound() {
            Bound::Included(key) => after(key),
            Bound::Excluded(key) => place(key),
            Bound::Unbounded => (self.runs.len(), 0),
        };
        let runs = self.runs.iter().enumerate().take(high.0 + 1).skip(low.0);
        let entries = runs.flat_map(move |(run, entries)| {
            let from = if run == low.0 { low.1 } else { 0 };
            let to = if run == high.0 { high.1 } else { entries.len() };
            entries[from..to.max(from)].iter()
        });
        entries.map(|(key, value)| (key, value))
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map::new()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for Map<K, V> {}

impl<K: PartialOrd, V: PartialOrd> PartialOrd for Map<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.iter().partial_cmp(other.iter())
    }
}

impl<K: Ord, V: Ord> Ord for Map<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl<K: Hash, V: Hash> Hash for Map<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.len() as u64);
        for entry in self.runs.iter().flatten() {
            entry.hash(state);
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Serialize, V: Serialize> Serialize for Map<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Deserialize<'de> for Map<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = Map<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut map = Map::new();
                while let Some((key, value)) = access.next_entry()? {
                    map.insert(key, value);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<K: Ord, V> Extend<(K, V)> for Map<K, V> {
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, entries: T) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
        let mut map = Map::new();
        map.extend(entries);
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Map<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        Map::from_iter(entries)
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = iter::Flatten<alloc::vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.runs.into_iter().flatten()
    }
}

impl<K: Borrow<Q> + Ord, V, Q: Ord + ?Sized> Index<&Q> for Map<K, V> {
    type Output = V;

    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the key is in the map")
    }
}

/// An ordered set.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set<K>(Map<K, ()>);

impl<K> Set<K> {
    /// A set without members; allocates nothing.
    pub const fn new() -> Set<K> {
        Set(Map::new())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.0.keys()
    }

    /// Removes the least member.
    pub fn pop_first(&mut self) -> Option<K> {
        Some(self.0.pop_first()?.0)
    }

    /// The least member.
    pub fn first(&self) -> Option<&K> {
        Some(self.0.first_key_value()?.0)
    }

    /// Keeps the members that the predicate is true of.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.0.retain(|key, ()| keep(key));
    }
}

impl<K: Ord> Set<K> {
    /// Whether it is a member.
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// Adds a member; whether it is new.
    pub fn insert(&mut self, key: K) -> bool {
        self.0.insert(key, ()).is_none()
    }

    /// Removes a member; whether it was one.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).is_some()
    }

    /// The members that stand in the range, in order.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = &K> {
        self.0.range(range).map(|(key, ())| key)
    }
}

impl<K> Default for Set<K> {
    fn default() -> Self {
        Set::new()
    }
}

impl<K: fmt::Debug> fmt::Debug for Set<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<K: Serialize> Serialize for Set<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_seq(Some(self.len()))?;
        for member in self.iter() {
            members.serialize_element(member)?;
        }
        members.end()
    }
}

impl<'de, K: Deserialize<'de> + Ord> Deserialize<'de> for Set<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Set::from_iter)
    }
}

impl<K: Ord> Extend<K> for Set<K> {
    fn extend<T: IntoIterator<Item = K>>(&mut self, members: T) {
        self.0.extend(members.into_iter().map(|key| (key, ())));
    }
}

impl<K: Ord> FromIterator<K> for Set<K> {
    fn from_iter<T: IntoIterator<Item = K>>(members: T) -> Self {
        let mut set = Set::new();
        set.extend(members);
        set
    }
}

impl<K: Ord, const N: usize> From<[K; N]> for Set<K> {
    fn from(members: [K; N]) -> Self {
        Set::from_iter(members)
    }
}

impl<K> IntoIterator for Set<K> {
    type Item = K;
    type IntoIter = iter::Map<<Map<K, ()> as IntoIterator>::IntoIter, fn((K, ())) -> K>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(key, ())| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::{Entropy, Prng};
    use alloc::collections::BTreeMap;

    /// The standard library's map is the oracle.
    #[test]
    fn it_does_what_a_b_tree_does() {
        let mut random = Prng::from_seed([7; 32]);
        for keys in [3, 40, 3000] {
            let (mut map, mut tree) = (Map::new(), BTreeMap::new());
            for step in 0..12_000_u64 {
                let key = random.below(keys);
                match random.below(8) {
                    0..=3 => assert_eq!(map.insert(key, step), tree.insert(key, step)),
                    4 | 5 => assert_eq!(map.remove(&key), tree.remove(&key)),
                    6 => assert_eq!(
                        map.get_or_insert_with(key, || step),
                        tree.entry(key).or_insert(step)
                    ),
                    _ => assert_eq!(map.get(&key), tree.get(&key)),
                }
                if step % 61 == 0 {
                    let to = key + random.below(keys / 2 + 1);
                    assert!(map.range(key..to).eq(tree.range(key..to)));
                    assert!(map.range(key..=to).rev().eq(tree.range(key..=to).rev()));
                    let bounds = (Bound::Excluded(key), Bound::Unbounded);
                    assert!(map.range(bounds).eq(tree.range(bounds)));
                    assert!(map.range(..key).eq(tree.range(..key)));
                }
                if step % 997 == 0 {
                    let odd = |key: &u64, _: &mut u64| key % 2 == 1;
                    map.retain(odd);
                    tree.retain(odd);
                    assert_eq!(map.pop_first(), tree.pop_first());
                }
                assert_eq!(map.len(), tree.len());
                assert!(map.runs.iter().all(|run| (1..=RUN).contains(&run.len())));
            }
            assert!(map.iter().eq(&tree));
            assert_eq!(map.last_key_value(), tree.last_key_value());
            assert!(map.into_iter().eq(tree));
        }
    }

    #[test]
    fn how_entries_are_spread_is_invisible() {
        let up: Map<u32, ()> = (0..1000).map(|key| (key, ())).collect();
        let down: Map<u32, ()> = (0..1000).rev().map(|key| (key, ())).collect();
        assert_ne!(up.runs.len(), down.runs.len());
        assert_eq!(up, down);
        let digest = |map: &Map<u32, ()>| {
            let mut hasher = std::hash::DefaultHasher::new();
            map.hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(digest(&up), digest(&down));
    }
}
