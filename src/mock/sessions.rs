//! What was said in each session of a managed agent, so that an agent remembers across invocations.
//!
//! Pure but for its growth, which is bounded: the oldest session is forgotten first. It must never
//! outlive the server.

use indexmap::IndexMap;

/// Most sessions kept.
const MOST: usize = 1000;
/// Most bytes that one session keeps; what was said first goes first.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A session belongs to one agent and to whoever began it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    pub provider: String,
    pub region: Option<String>,
    pub agent: String,
    pub who: String,
    pub id: String,
}

/// The turns of a session: what the user said, and what the agent answered.
#[derive(Debug, Default)]
pub struct Turns(Vec<(String, String)>);

#[derive(Debug, Default)]
pub struct Sessions {
    all: IndexMap<Session, Turns>,
}

impl Sessions {
    /// The turns of a session so far; none of a new one.
    pub fn of(&mut self, session: Session) -> &mut Turns {
        if !self.all.contains_key(&session) && self.all.len() >= MOST {
            self.all.shift_remove_index(0);
        }
        self.all.entry(session).or_default()
    }
}

impl Turns {
    pub fn add(&mut self, user: String, agent: String) {
        self.0.push((user, agent));
        let size = |turns: &[(String, String)]| -> usize {
            turns
                .iter()
                .map(|(one, other)| one.len() + other.len())
                .sum()
        };
        while self.0.len() > 1 && size(&self.0) > MOST_BYTES {
            self.0.remove(0);
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All texts, oldest first.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|(user, agent)| [user.as_str(), agent.as_str()])
    }
}
