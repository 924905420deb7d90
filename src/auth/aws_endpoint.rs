//! The endpoint that the AWS configuration names for a service, by the SDK's own rules.
//!
//! `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, the profile's `services` section, the profile's
//! `endpoint_url`, and the settings that have all of those ignored
//! (https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html, read 2026-11-21). Only
//! reads files; never the network.

use aws_config::BehaviorVersion;
use aws_types::os_shim_internal::Env;
use aws_types::region::Region;
use aws_types::service_config::ServiceConfigKey;

use crate::auth::aws_profile::{sdk_variables, selected};
use crate::auth::environment::Environment;

/// An endpoint and what named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub url: String,
    /// The profile whose configuration is in use. A variable may have named the endpoint instead.
    pub profile: String,
}

/// The endpoint of an AWS service (`Bedrock Runtime`), if anything names one. `profile` is the one
/// that the target asks for.
pub async fn endpoint(
    service: &str,
    profile: Option<&str>,
    environment: &Environment,
) -> Option<Named> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .env(Env::from(sdk_variables(environment)))
        // Neither is used; they only keep the SDK from looking for its own.
        .region(Region::from_static("us-east-1"))
        .no_credentials();
    if let Some(name) = profile {
        loader = loader.profile_name(name);
    }
    let config = loader.load().await;
    // In sections it is written `bedrock_runtime`
    // (https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html); aws-runtime 1.x would
    // make `bedrock-runtime` of the id with its space. In variables both are the same.
    let service = service.replace(' ', "_");
    let key = ServiceConfigKey::builder()
        .service_id(&service)
        .profile("endpoint_url")
        .env("AWS_ENDPOINT_URL")
        .build()
        .ok()?;
    let of_service = config
        .service_config()
        .and_then(|service| service.load_config(key));
    let url = of_service.or_else(|| config.endpoint_url().map(str::to_owned))?;
    Some(Named {
        url: url.trim().to_owned(),
        profile: selected(profile, environment).to_owned(),
    })
}
