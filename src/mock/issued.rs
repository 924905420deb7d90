//! Temporary keys that the mock lends: a principal's own, with the time of their end in the session token.
//!
//! Pure. Nothing is remembered: the token says all, as it does in AWS, where it is sealed.

use time::OffsetDateTime;

use crate::mock::data::Principal;

const UNTIL: &str = "/until-";

/// What a session token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Good,
    Ended,
    Unknown,
}

/// The session token of keys that end at a time.
pub fn token(who: &Principal, until: OffsetDateTime) -> String {
    format!(
        "{}{UNTIL}{}",
        who.session_token.as_deref().unwrap_or_default(),
        until.unix_timestamp()
    )
}

/// Judges the session token that came with a principal's key.
pub fn standing(who: &Principal, told: Option<&str>, now: OffsetDateTime) -> Standing {
    let own = who.session_token.as_deref();
    if told == own {
        return Standing::Good;
    }
    let until = told
        .and_then(|told| told.split_once(UNTIL))
        .filter(|(start, _)| Some(*start) == own)
        .and_then(|(_, until)| until.parse::<i64>().ok());
    match until {
        Some(until) if until > now.unix_timestamp() => Standing::Good,
        Some(_) => Standing::Ended,
        None => Standing::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use crate::mock::data::MockData;
    use crate::mock::issued::*;

    #[test]
    fn a_lent_token_is_good_until_its_end() {
        let data = MockData::shipped().expect("the shipped data");
        let who = |name: &str| {
            let mut all = data.principals().iter();
            all.find(|one| one.name == name).expect("there is one")
        };
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let lent = token(who("temporary"), now + Duration::seconds(5));
        assert_eq!(standing(who("temporary"), Some(&lent), now), Standing::Good);
        let later = now + Duration::seconds(5);
        assert_eq!(
            standing(who("temporary"), Some(&lent), later),
            Standing::Ended
        );
        for (name, told) in [
            ("expired", Some(lent.as_str())),
            ("temporary", None),
            ("temporary", Some("other")),
            ("default", Some(lent.as_str())),
        ] {
            assert_eq!(standing(who(name), told, now), Standing::Unknown, "{name}");
        }
        assert_eq!(standing(who("default"), None, now), Standing::Good);
    }
}
