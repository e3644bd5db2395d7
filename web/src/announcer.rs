//! Sentences for those who listen: at most one message in a while.

use phaselab_core::narrate;

use crate::session::Session;

/// The least time between two announcements, in milliseconds.
const ANNOUNCE_MS: f64 = 1_500.0;

/// Sentences in one announcement.
const ANNOUNCED_MAX: usize = 4;

/// What was said, and when.
#[derive(Debug, Default)]
pub struct Announcer {
    said: usize,
    at_ms: Option<f64>,
    text: String,
}

impl Announcer {
    /// The last message.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Puts what was told since into one message.
    pub fn listen(&mut self, session: &Session, now_ms: f64) {
        let told = session.sim().log().len();
        self.said = self.said.min(told);
        let is_early = self.at_ms.is_some_and(|at| now_ms - at < ANNOUNCE_MS);
        if told == self.said || is_early {
            return;
        }
        let log = session.sim().log();
        let fresh = log
            .iter_from(self.said)
            .filter(|entry| narrate::is_worth_telling(session.sim().spec(), &entry.event))
            .count();
        (self.said, self.at_ms) = (told, Some(now_ms));
        if fresh > 0 {
            let lines = session.events(false, fresh.min(ANNOUNCED_MAX));
            let sentences: Vec<String> = lines.into_iter().map(|line| line.sentence).collect();
            self.text = sentences.join(" ");
        }
    }

    /// Whether something was told that was not said.
    pub fn is_behind(&self, session: &Session) -> bool {
        session.sim().log().len() > self.said
    }
}

#[cfg(test)]
mod tests {
    use phaselab_core::scenario;

    use super::*;

    #[test]
    fn what_came_in_a_while_is_one_message() {
        let entry = scenario::find("three-signers").unwrap();
        let scenario = scenario::parse(entry.name, entry.text).unwrap();
        let mut session = Session::open(&scenario).unwrap();
        let mut announcer = Announcer::default();
        session.seek_ms(130.0);
        session.frame(0.0, &mut || true);
        announcer.listen(&session, 0.0);
        let first = announcer.text().to_owned();
        assert_eq!(first.matches(". ").count() + 1, ANNOUNCED_MAX, "{first}");
        session.seek_ms(200.0);
        session.frame(0.0, &mut || true);
        announcer.listen(&session, 1_000.0);
        assert_eq!(announcer.text(), first);
        assert!(announcer.is_behind(&session));
        announcer.listen(&session, 1_500.0);
        assert_ne!(announcer.text(), first);
        assert!(!announcer.is_behind(&session));
    }
}
