//! This machine's clock against a server's.
//!
//! A signature is good for five minutes either way, and some servers call one that is too old
//! "expired" as they call old credentials: only the `Date` of their answer tells the two apart.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use regex::Regex;

use crate::auth::timestamp;

/// From here on a signature is refused for its time. AWS allows 5 minutes; the answer's second and
/// its way back are left out of account.
const REFUSED_FROM: Duration = Duration::from_secs(290);

/// Two clocks that are too far apart for signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    pub server: SystemTime,
    pub ours: SystemTime,
}

/// The difference, where it is too much. `date` is the header of an answer that came at `ours`.
pub fn skew(date: &str, ours: SystemTime) -> Option<Skew> {
    apart(timestamp::read_http(date)?, ours)
}

/// The same from what AWS says of a signature, which names the time in it and the server's own:
/// `Signature expired: A is now earlier than B (C - 5 min.)`. `None` where A is not the signature made at
/// `signed`: then it is another one that is old, as that inside a short-term key.
pub fn skew_in_words(message: &str, signed: SystemTime) -> Option<Skew> {
    static TIMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"(?is)signature (?:expired|not yet current): (\d{8}T\d{6}Z) is .{1,80}\((\d{8}T\d{6}Z) [+-] \d{1,3} ?min",
        )
        .ok()
    });
    let found = TIMES.as_ref()?.captures(message)?;
    let named = timestamp::read_basic(&found[1])?;
    let server = timestamp::read_basic(&found[2])?;
    // A signature has whole seconds.
    let off = signed
        .duration_since(named)
        .unwrap_or_else(|early| early.duration());
    if off > Duration::from_secs(1) {
        return None;
    }
    apart(server, signed)
}

fn apart(server: SystemTime, ours: SystemTime) -> Option<Skew> {
    let apart = match server.duration_since(ours) {
        Ok(apart) => apart,
        Err(behind) => behind.duration(),
    };
    (apart >= REFUSED_FROM).then_some(Skew { server, ours })
}

impl Skew {
    /// What is wrong, in words.
    pub fn words(&self) -> String {
        let (apart, word) = match self.server.duration_since(self.ours) {
            Ok(apart) => (apart, "behind"),
            Err(ahead) => (ahead.duration(), "ahead"),
        };
        format!(
            "the clock of this machine is {} minutes {word}: it says {}, the server says {}",
            (apart.as_secs() + 30) / 60,
            timestamp::write(self.ours),
            timestamp::write(self.server),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use crate::auth::clock::*;
    use crate::auth::timestamp;

    fn at(minutes: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_020 + 60 * minutes)
    }

    #[test]
    fn clocks_that_are_apart_are_told() {
        let date = "Wed, 18 Nov 2026 11:07:00 GMT";
        assert_eq!(timestamp::read_http(date), Some(at(0)));
        let words = |ours| skew(date, ours).map(|skew| skew.words());
        assert_eq!(words(at(4)), None);
        assert_eq!(words(at(0) - Duration::from_secs(240)), None);
        assert_eq!(
            words(at(20)).as_deref(),
            Some(
                "the clock of this machine is 20 minutes ahead: it says 2026-11-18T11:27:00Z, \
                 the server says 2026-11-18T11:07:00Z"
            )
        );
        let behind = words(at(0) - Duration::from_secs(1200)).unwrap_or_default();
        assert!(behind.contains("20 minutes behind"), "{behind}");
        assert_eq!(skew("yesterday", at(0)), None);
    }

    #[test]
    fn the_words_of_the_server_tell_it_too() {
        let message = "Signature expired: 20261118T110700Z is now earlier than 20261118T112200Z \
                       (20261118T112700Z - 5 min.)";
        let told = skew_in_words(message, at(0) + Duration::from_millis(400));
        assert!(told.is_some_and(|told| told.server == at(20)));
        assert_eq!(skew_in_words(message, at(20)), None, "not our signature");
        assert_eq!(skew_in_words("Signature expired: x", at(0)), None);
        let early = "Signature not yet current: 20261118T112700Z is still later than \
                     20261118T111200Z (20261118T110700Z + 5 min.)";
        let words = skew_in_words(early, at(20)).map(|told| told.words());
        assert!(words.is_some_and(|words| words.contains("20 minutes ahead")));
    }
}
