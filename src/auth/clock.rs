//! This machine's clock against a server's.
//!
//! A signature is good for five minutes either way, and some servers call one that is too old
//! "expired" as they call old credentials: only the `Date` of their answer tells the two apart.

use std::time::{Duration, SystemTime};

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
    let server = timestamp::read_http(date)?;
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
}
