//! What may stand as an endpoint, and what its host says about the region.
//!
//! Core: text in, a judgement out. Messages never repeat the text, which may hold a password.

/// Whether a text is an absolute http(s) URL with a host and without user, query and fragment, once
/// `{region}` in it is a region. The error goes on from `the endpoint`.
pub fn check(text: &str) -> Result<(), &'static str> {
    let text = text.replace("{region}", "us-east-1");
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err("must begin with `http://` or `https://`");
    }
    let uri: http::Uri = text.parse().map_err(|_| "is not a URL")?;
    let authority = uri.authority().ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("must not carry a user or password");
    }
    if authority.host().is_empty() {
        return Err("has no host");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("must not have a query or fragment");
    }
    Ok(())
}

/// The AWS region that a URL's host names, as one of its labels:
/// `vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com` is in `us-east-1`.
pub fn region_in_host(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    host.split('.')
        .find(|label| is_region(label))
        .map(str::to_owned)
}

/// The region in an ARN, where it has one: `arn:aws:SERVICE:REGION:ACCOUNT:…`.
pub fn region_in_arn(model: &str) -> Option<&str> {
    let region = model.strip_prefix("arn:")?.split(':').nth(2)?;
    (!region.is_empty()).then_some(region)
}

/// How regions begin: the partitions of botocore 1.44.5.
const BEGINNINGS: [&str; 11] = [
    "us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx", "cn", "eusc",
];

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`: words of letters and then a number.
fn is_region(label: &str) -> bool {
    let mut parts: Vec<&str> = label.split('-').collect();
    let Some(number) = parts.pop() else {
        return false;
    };
    let word = |part: &&str| part.len() >= 2 && part.bytes().all(|byte| byte.is_ascii_lowercase());
    let number = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let begins = parts
        .first()
        .is_some_and(|first| BEGINNINGS.contains(first));
    number && begins && (2..=3).contains(&parts.len()) && parts.iter().all(word)
}

#[cfg(test)]
mod tests {
    use crate::target::endpoint::region_in_host;

    #[test]
    fn a_region_is_a_label_of_the_host() {
        for (url, region) in [
            (
                "https://bedrock-runtime.us-east-1.amazonaws.com",
                Some("us-east-1"),
            ),
            (
                "https://vpce-0a1b-c2d3.bedrock-runtime.eu-west-2.vpce.amazonaws.com/openai/v1",
                Some("eu-west-2"),
            ),
            (
                "https://vpce-0a1b-us-east-1a.bedrock-runtime.us-east-1.vpce.amazonaws.com",
                Some("us-east-1"),
            ),
            (
                "https://bedrock-mantle.us-gov-west-1.api.aws/v1",
                Some("us-gov-west-1"),
            ),
            (
                "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu",
                Some("eusc-de-east-1"),
            ),
            ("https://gateway.example.com/us-east-1", None),
            ("https://my-gateway-1.example.com", None),
            ("http://127.0.0.1:8642/bedrock-mantle/us-east-1", None),
            ("no url", None),
        ] {
            assert_eq!(region_in_host(url).as_deref(), region, "{url}");
        }
    }
}
