//! Headers and query parameters that people add to requests: which ones they may.
//!
//! Core. Used for target files and for the command line alike, so that both say the same.

/// Headers that carry credentials; names in lower case.
const CREDENTIAL_HEADERS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "ocp-apim-subscription-key",
    "cookie",
];
/// Headers that belong to a signature.
const SIGNATURE_HEADERS: [&str; 3] = ["x-amz-security-token", "x-amz-date", "x-amz-content-sha256"];
/// Headers that only the transport may set: of the message, and of the connection (hop by hop,
/// RFC 9110, section 7.6.1).
const TRANSPORT_HEADERS: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "accept",
    "accept-encoding",
    "expect",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
/// Query parameters that carry credentials; names in lower case.
const CREDENTIAL_PARAMETERS: [&str; 9] = [
    "api-key",
    "api_key",
    "apikey",
    "key",
    "access_token",
    "token",
    "sig",
    "signature",
    "subscription-key",
];

/// Why something may not be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong, without the value.
    pub message: String,
    /// What would be right.
    pub help: &'static str,
    /// Whether what was written may hold a secret and must not be shown.
    pub secret: bool,
}

impl Refused {
    fn new(message: String, help: &'static str) -> Refused {
        Refused {
            message,
            help,
            secret: false,
        }
    }
}

/// Whether this can be the name of a header at all (RFC 9110, section 5.6.2).
pub fn is_header_name(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(token)
}

/// Whether a header of this name may be added; `from_environment`: its value comes from a variable,
/// so that it may be a key of a gateway.
pub fn header_name(name: &str, from_environment: bool) -> Result<(), Refused> {
    let lower = name.to_ascii_lowercase();
    if !is_header_name(name) {
        return Err(Refused::new(
            format!("`{name}` is not a header name"),
            "write letters, digits and hyphens",
        ));
    }
    if SIGNATURE_HEADERS.contains(&lower.as_str()) {
        return Err(Refused {
            secret: true,
            ..Refused::new(
                format!("`{name}` is a part of the signature, which is made for each request"),
                "remove it; `auth: aws_chain` signs",
            )
        });
    }
    if TRANSPORT_HEADERS.contains(&lower.as_str()) {
        return Err(Refused::new(
            format!("`{name}` is set by the client itself"),
            "remove it",
        ));
    }
    if from_environment && matches!(lower.as_str(), "authorization" | "proxy-authorization") {
        return Err(Refused::new(
            format!("`{name}` is set by signing in"),
            "use `auth:`, such as `auth: { bearer_env: MY_KEY }`",
        ));
    }
    if !from_environment && CREDENTIAL_HEADERS.contains(&lower.as_str()) {
        return Err(Refused {
            secret: true,
            ..Refused::new(
                format!("`{name}` carries credentials, which never stand in a file or command"),
                "use `auth:`, such as `auth: { bearer_env: MY_KEY }`, or `headers_env:` in the target",
            )
        });
    }
    Ok(())
}

/// Whether a value may stand in a header.
pub fn header_value(name: &str, value: &str) -> Result<(), Refused> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Refused::new(
            format!("the value of `{name}` has control characters"),
            "write it on one line",
        ));
    }
    Ok(())
}

/// Whether a query parameter of this name may be added.
pub fn parameter(name: &str) -> Result<(), Refused> {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() {
        return Err(Refused::new(
            "a query parameter has no name".to_owned(),
            "write `name: value`",
        ));
    }
    if lower.starts_with("x-amz-") {
        return Err(Refused {
            secret: true,
            ..Refused::new(
                format!("`{name}` is a part of a signature, which is made for each request"),
                "remove it; `auth: aws_chain` signs",
            )
        });
    }
    if CREDENTIAL_PARAMETERS.contains(&lower.as_str()) {
        return Err(Refused {
            secret: true,
            ..Refused::new(
                format!("`{name}` carries credentials, which never stand in a file or command"),
                "send it as a header: `headers_env: { X-Api-Key: MY_VARIABLE }`",
            )
        });
    }
    Ok(())
}

/// Whether this is the name of an environment variable.
pub fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use crate::target::additions::{header_name, parameter};

    #[test]
    fn what_others_set_may_not_be_added() {
        for name in [
            "Connection",
            "TE",
            "host",
            "X-Amz-Date",
            "X-Amz-Security-Token",
            "a b",
            "",
        ] {
            assert!(header_name(name, false).is_err(), "{name}");
            assert!(header_name(name, true).is_err(), "{name}");
        }
        for name in ["X-Api-Key", "api-key", "Cookie"] {
            assert!(header_name(name, false).is_err_and(|refused| refused.secret));
            assert_eq!(header_name(name, true), Ok(()), "{name}");
        }
        assert!(header_name("Authorization", true).is_err());
        assert_eq!(header_name("X-Team", false), Ok(()));
        for name in ["X-Amz-Signature", "api_key", ""] {
            assert!(parameter(name).is_err(), "{name}");
        }
        assert_eq!(parameter("api-version"), Ok(()));
    }
}
