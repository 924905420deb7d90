//! Tokens that the server refuses although a command has just given them: when the command is asked again,
//! and how that is told.
//!
//! Pure. Codex does the same: one more try with a new token after a 401
//! (https://github.com/openai/codex/pull/16288, 2026-03-31).

use crate::auth::SignInFailure;
use crate::auth::credentials::SignedIn;
use crate::scenario::model::Scenario;

/// Whether a 401 may be answered with a new token: never where the scenario itself chose whose
/// credentials are in use, because then the 401 is what it is about.
pub fn allowed(scenario: &Scenario, signed: &SignedIn) -> bool {
    let given = &scenario.given;
    signed.renewal.is_some() && given.credentials.is_none() && given.region.is_none()
}

/// A command that gave no new token.
pub fn failed(failure: SignInFailure) -> SignInFailure {
    SignInFailure {
        message: format!(
            "the server refused the token with 401, and {}",
            failure.message
        ),
        ..failure
    }
}

/// What became of the tokens that a target refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Renewals {
    /// How often another token came, and the turn was sent again.
    new: usize,
    /// How often the same came.
    same: usize,
}

impl Renewals {
    /// Counts one, by whether another token came.
    pub fn count(&mut self, new: bool) {
        if new {
            self.new += 1;
        } else {
            self.same += 1;
        }
    }

    /// A sentence for each kind that there was.
    pub fn words(&self) -> Vec<String> {
        let times = |count: usize| match count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        let mut words = Vec::new();
        if self.new > 0 {
            words.push(format!(
                "the server refused a token with 401 {}; the auth command was run again, and the turn was \
                 sent once more with the new token (the next `attempt` in turns.jsonl)",
                times(self.new)
            ));
        }
        if self.same > 0 {
            words.push(format!(
                "the server refused a token with 401 {}, and the auth command gave the same token again",
                times(self.same)
            ));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use crate::conduct::renewal::Renewals;

    #[test]
    fn each_kind_is_told_once() {
        let mut renewals = Renewals::default();
        assert!(renewals.words().is_empty());
        renewals.count(true);
        assert!(renewals.words()[0].contains("401 once;"));
        renewals.count(true);
        renewals.count(false);
        let words = renewals.words();
        assert!(words[0].contains("401 2 times;"), "{words:?}");
        assert!(words[1].contains("the same token again"), "{words:?}");
        assert_eq!(words.len(), 2);
    }
}
