//! Models from the textbook, on which the search itself is tested: their numbers of states are published.

pub mod tcommit;
