//! What only the circumstances of an exchange tell about its failure: two clocks, and the region asked.
//!
//! Pure. Changes the class of a failure and adds to its message, never the provider's words in it.

use std::time::SystemTime;

use crate::auth::clock;
use crate::auth::credentials::Credentials;
use crate::plan::PlannedTarget;
use crate::turn::exchange::{End, Exchange};
use crate::turn::trace::{Failure, Layer};

/// Classes that a server may name where it is the clock.
const OF_CREDENTIALS: [&str; 3] = ["clock_skew", "credentials_expired", "invalid_credentials"];

/// Looks at a failure again. `signed_at` is the time in the signature.
pub fn reconsider(
    failure: &mut Failure,
    exchange: &Exchange,
    credentials: &Credentials,
    target: &PlannedTarget,
    signed_at: SystemTime,
) {
    let date = exchange.head.as_ref().and_then(|head| {
        let mut dates = head.headers.iter().filter(|(name, _)| name == "date");
        let (_, date) = dates.next()?;
        clock::skew(date, signed_at + head.at)
    });
    // A server without a `Date` may name its time in the message.
    let date = date.or_else(|| clock::skew_in_words(&failure.message, signed_at));
    if let Some(skew) = date
        && failure.layer == Layer::Response
        && matches!(credentials, Credentials::Aws { .. })
        && OF_CREDENTIALS.contains(&failure.class.as_str())
    {
        failure.class = "clock_skew".to_owned();
        failure.message = format!("{}; it said: {}", skew.words(), failure.message);
    }
    // A bearer is not signed here: where it holds a signature, that is as old as the key.
    if matches!(credentials, Credentials::Bearer(_))
        && failure.class == "clock_skew"
        && failure
            .message
            .to_ascii_lowercase()
            .contains("signature expired")
    {
        failure.class = "credentials_expired".to_owned();
    }
    // A host of the provider's own pattern that cannot be reached, for a region that nobody has seen.
    if matches!(exchange.end, End::Unreachable { .. })
        && let Some(region) = &target.region
        && !target.mocked
        && !target.provider.regions.contains(region)
        && own_host(target, region)
    {
        failure.class = "region_not_served".to_owned();
        failure.message = format!(
            "`{}` is not known to serve {region} (it serves {}): {}",
            target.provider.id,
            target.provider.regions.join(", "),
            failure.message
        );
    }
}

fn own_host(target: &PlannedTarget, region: &str) -> bool {
    target
        .provider
        .origin_in(Some(region))
        .is_some_and(|origin| origin.replace("{region}", region) == target.route.origin)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use crate::auth::credentials::{Credentials, Secret};
    use crate::catalog;
    use crate::conduct::circumstance::reconsider;
    use crate::dialect::Dialect;
    use crate::dialect::agentcore::mapping::Mapping;
    use crate::plan::{self, PlannedTarget};
    use crate::transport::memory::answer;
    use crate::turn::exchange::{End, Exchange};
    use crate::turn::trace::{Failure, Layer};

    fn target(region: &str) -> PlannedTarget {
        let provider = catalog::shipped()
            .provider("bedrock-mantle")
            .expect("it is there");
        PlannedTarget {
            name: "t".to_owned(),
            provider: provider.clone(),
            dialect: Dialect::Responses,
            model: "openai.gpt-5.5".to_owned(),
            region: Some(region.to_owned()),
            route: plan::route(provider, None, "responses", Some(region), None).expect("a route"),
            auth: None,
            headers: Vec::new(),
            agent: Mapping::default(),
            guardrail: None,
            endpoint_from: None,
            warnings: Vec::new(),
            mocked: false,
            unknown_faults: Vec::new(),
        }
    }

    fn failure(class: &str, layer: Layer) -> Failure {
        Failure {
            class: class.to_owned(),
            layer,
            status: None,
            code: None,
            kind: None,
            param: None,
            message: "Signature expired: x".to_owned(),
            retry_after: None,
        }
    }

    /// 2026-11-18T11:07:00Z
    fn server() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_020)
    }

    fn dated() -> Exchange {
        let mut exchange = answer(401, "application/json", "{}".to_owned());
        if let Some(head) = &mut exchange.head {
            let date = "Wed, 18 Nov 2026 11:07:00 GMT".to_owned();
            head.headers.push(("date".to_owned(), date));
        }
        exchange
    }

    fn keys() -> Credentials {
        let keys = aws_credential_types::Credentials::new("AKIDEXAMPLE", "s", None, None, "test");
        Credentials::Aws {
            identity: keys.into(),
            region: "us-east-1".to_owned(),
            service: "s".to_owned(),
            expires: None,
        }
    }

    #[test]
    fn expired_is_the_clock_only_where_the_clocks_differ() {
        let class = |class: &str, credentials: &Credentials, late: u64| {
            let mut failure = failure(class, Layer::Response);
            let at = server() + Duration::from_secs(late);
            reconsider(
                &mut failure,
                &dated(),
                credentials,
                &target("us-east-1"),
                at,
            );
            failure.class
        };
        assert_eq!(class("credentials_expired", &keys(), 1200), "clock_skew");
        assert_eq!(class("invalid_credentials", &keys(), 1200), "clock_skew");
        assert_eq!(
            class("credentials_expired", &keys(), 60),
            "credentials_expired"
        );
        assert_eq!(class("access_denied", &keys(), 1200), "access_denied");
        let bearer = Credentials::Bearer(Secret::new("x"));
        assert_eq!(class("clock_skew", &bearer, 60), "credentials_expired");
        assert_eq!(
            class("credentials_expired", &bearer, 1200),
            "credentials_expired"
        );
    }

    #[test]
    fn a_host_that_is_not_there_is_a_region_that_is_not_served() {
        let class = |region: &str| {
            let mut failure = failure("unreachable", Layer::Connection);
            let mut exchange = dated();
            exchange.head = None;
            exchange.end = End::Unreachable {
                reason: "no such host".to_owned(),
            };
            reconsider(&mut failure, &exchange, &keys(), &target(region), server());
            failure.class
        };
        assert_eq!(class("no-region-1"), "region_not_served");
        assert_eq!(class("us-east-1"), "unreachable");
    }
}
