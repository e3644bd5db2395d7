//! What the address says: `#live` or `/live`, or `#scenario=NAME&seed=7` for a run, `#workbench&scenario=NAME` for one that
//! things are done to, `#/run/TOKEN` for one that was shared, `#museum` or `#museum=S0-F1` for a flaw;
//! `?room=NAME&nodes=3` for a live room, and `#join=INVITE` for a seat in a hybrid cluster.

use phaselab_core::gateway::Invite;

use crate::builtin;

/// The page's mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A simulated run; what is absent is the default.
    Simulate {
        /// The scenario's name.
        scenario: Option<String>,
        /// The seed.
        seed: Option<u64>,
        /// Whether in the workbench, and where it stands there.
        workbench: Option<Stand>,
    },
    /// A run that somebody shared, by its link's token.
    Run(String),
    /// A live room.
    Live,
    /// A seat in a hybrid cluster; `None` if that is no invite.
    Join(Option<Invite>),
    /// The museum of flaws.
    Museum {
        /// One of its exhibits, by the flaw's id.
        exhibit: Option<String>,
    },
}

/// Where a run stands, and what is to be done next, as one program tells another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stand {
    /// The step.
    pub step: u64,
    /// The node that is selected.
    pub node: Option<u16>,
    /// The guess.
    pub guess: Option<String>,
    /// What is to be done.
    pub wish: Option<String>,
}

impl Stand {
    fn to_pairs(&self) -> impl Iterator<Item = String> {
        let step = (self.step > 0).then(|| format!("step={}", self.step));
        let node = self.node.map(|node| format!("node={node}"));
        let guess = self.guess.as_ref().map(|guess| format!("guess={guess}"));
        let wish = self.wish.as_ref().map(|wish| format!("do={wish}"));
        [step, node, guess, wish].into_iter().flatten()
    }
}

impl Route {
    /// Reads the address: the part after `#` says it, else a path that ends with `/live`.
    pub fn from_address(path: &str, hash: &str) -> Route {
        let hash = hash.trim_start_matches('#');
        if hash.is_empty() && path.trim_end_matches('/').ends_with("/live") {
            return Route::Live;
        }
        if hash == "live" || hash.starts_with("live?") {
            return Route::Live;
        }
        if let Some(token) = hash.strip_prefix("/run/") {
            return Route::Run(token.to_owned());
        }
        if let Some(invite) = hash.strip_prefix("join=") {
            return Route::Join(parse_invite(invite));
        }
        if hash == "museum" {
            return Route::Museum { exhibit: None };
        }
        if let Some(id) = hash.strip_prefix("museum=") {
            let exhibit = Some(id.to_owned());
            return Route::Museum { exhibit };
        }
        let value = |name: &str| {
            let mut pairs = hash.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.replace("%2F", "/"))
        };
        Route::Simulate {
            scenario: value("scenario"),
            seed: value("seed").and_then(|seed| seed.parse().ok()),
            workbench: (hash.split('&').next() == Some("workbench")).then(|| Stand {
                step: value("step")
                    .and_then(|step| step.parse().ok())
                    .unwrap_or(0),
                node: value("node").and_then(|node| node.parse().ok()),
                guess: value("guess"),
                wish: value("do"),
            }),
        }
    }

    /// Whether this program draws it; `index.html` makes the same choice.
    pub fn is_of_this_program(&self) -> bool {
        match self {
            Route::Live | Route::Join(_) => cfg!(feature = "live"),
            Route::Museum { .. } => cfg!(feature = "museum"),
            Route::Simulate {
                workbench: None,
                scenario,
                ..
            } => {
                let wanted = scenario.as_deref().unwrap_or_default();
                cfg!(feature = "simulate") && builtin::elsewhere(wanted).is_none()
            }
            Route::Simulate { .. } | Route::Run(_) => crate::WORKBENCH,
        }
    }

    /// The same by a name that tells `index.html` which program draws it: it knows protocols, and no scenarios.
    pub fn in_full(self) -> Route {
        match self {
            Route::Simulate {
                scenario: Some(name),
                seed,
                workbench,
            } => {
                let whole = builtin::elsewhere(&name).map_or(name, str::to_owned);
                Route::Simulate {
                    scenario: Some(whole),
                    seed,
                    workbench,
                }
            }
            route => route,
        }
    }

    /// The part after `#`.
    pub fn to_hash(&self) -> String {
        match self {
            Route::Live => "#live".to_owned(),
            Route::Run(token) => ["#/run/", token].concat(),
            Route::Join(invite) => {
                let hex = invite.iter().flatten().map(|byte| format!("{byte:02x}"));
                format!("#join={}", hex.collect::<String>())
            }
            Route::Museum { exhibit: None } => "#museum".to_owned(),
            Route::Museum { exhibit: Some(id) } => format!("#museum={id}"),
            Route::Simulate {
                scenario,
                seed,
                workbench,
            } => {
                let mode = workbench.as_ref().map(|_| "workbench".to_owned());
                let scenario = scenario.as_ref().map(|name| format!("scenario={name}"));
                let seed = seed.map(|seed| format!("seed={seed}"));
                let stand = workbench.iter().flat_map(Stand::to_pairs);
                let pairs = mode.into_iter().chain(scenario).chain(seed).chain(stand);
                format!("#{}", pairs.collect::<Vec<_>>().join("&"))
            }
        }
    }
}

/// Reads an invite: 32 hex digits.
fn parse_invite(text: &str) -> Option<Invite> {
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let mut invite = Invite::default();
    for (at, into) in invite.iter_mut().enumerate() {
        *into = byte(at)?;
    }
    (text.len() == 2 * invite.len()).then_some(invite)
}

/// The longest room name.
const ROOM_CHARS_MAX: usize = 40;

/// A room's name from the address: letters, digits and dashes; anything else means the default room.
pub fn room_name(given: Option<&str>) -> String {
    let is_plain = |name: &str| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let given =
        given.filter(|name| !name.is_empty() && name.len() <= ROOM_CHARS_MAX && is_plain(name));
    given.unwrap_or("lobby").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_live_unless_the_hash_says_otherwise() {
        assert_eq!(Route::from_address("/live", ""), Route::Live);
        assert_eq!(Route::from_address("/demo/live/", "#"), Route::Live);
        assert_ne!(Route::from_address("/live", "#seed=7"), Route::Live);
        assert_ne!(Route::from_address("/alive", ""), Route::Live);
    }

    #[test]
    fn routes_come_back_from_their_hash() {
        let run = Route::Simulate {
            scenario: Some("two-phase/three-signers".to_owned()),
            seed: Some(9),
            workbench: None,
        };
        let stands = Route::Simulate {
            scenario: None,
            seed: Some(2),
            workbench: Some(Stand {
                step: 12,
                node: Some(3),
                guess: Some("neither".to_owned()),
                wish: Some("break-1".to_owned()),
            }),
        };
        let begins = Route::Simulate {
            scenario: None,
            seed: None,
            workbench: Some(Stand::default()),
        };
        for route in [
            Route::Live,
            Route::Run("AwD-_9".to_owned()),
            Route::Join(Some([0xa5; 16])),
            run,
            stands,
            begins,
            Route::Museum { exhibit: None },
            Route::Museum {
                exhibit: Some("S0-F1".to_owned()),
            },
            Route::Simulate {
                scenario: None,
                seed: None,
                workbench: None,
            },
        ] {
            assert_eq!(Route::from_address("/", &route.to_hash()), route);
        }
        assert_eq!(
            Route::from_address("/", "#seed=x"),
            Route::Simulate {
                scenario: None,
                seed: None,
                workbench: None,
            }
        );
    }

    #[test]
    fn what_is_no_invite_is_not_taken_for_one() {
        let good = "0f".repeat(16);
        assert_eq!(
            Route::from_address("/live", &format!("#join={good}")),
            Route::Join(Some([15; 16]))
        );
        for bad in ["", "0f", &good[1..], &format!("{good}0"), &"é".repeat(16)] {
            let route = Route::from_address("/live", &format!("#join={bad}"));
            assert_eq!(route, Route::Join(None), "{bad}");
        }
    }

    #[test]
    fn a_room_has_a_plain_name() {
        assert_eq!(room_name(Some("den-2")), "den-2");
        for bad in [None, Some(""), Some("a/b"), Some("x".repeat(41).as_str())] {
            assert_eq!(room_name(bad), "lobby");
        }
    }
}
