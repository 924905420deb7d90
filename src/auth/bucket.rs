//! Access to a bucket of an object store, by the AWS credentials that everything else uses.
//!
//! The keys go from the credential chain into the client and nowhere else. Never asks the network for
//! anything but credentials.

use std::time::Duration;

use object_store::ClientOptions;
use object_store::aws::AmazonS3Builder;

use crate::auth::aws_chain::LIMITS;
use crate::auth::credentials::Secret;
use crate::auth::environment::Environment;
use crate::auth::seen::Seen;
use crate::auth::{SignInFailure, aws_chain, aws_endpoint, sign_in};
use crate::target::model::Auth;

/// A client's settings for this bucket: keys, region and endpoint of the environment and the profile, and path
/// style, which S3 and what is compatible with it both take. What it knows of secrets, `seen` knows too.
pub async fn bucket(
    name: &str,
    environment: &Environment,
    seen: &Seen,
) -> Result<AmazonS3Builder, SignInFailure> {
    let region = sign_in::region(Some(&Auth::AwsChain), environment)
        .await
        .unwrap_or_else(|| "us-east-1".to_owned());
    let sources = aws_chain::sources(None, environment).await?;
    let keys = aws_chain::load(&sources, None, &region, environment, &LIMITS).await?;
    let endpoint = aws_endpoint::endpoint("S3", None, environment).await;
    // Plain HTTP is for servers that the user named as such.
    let plain = endpoint
        .as_ref()
        .is_some_and(|named| named.url.starts_with("http://"));
    let mut builder = AmazonS3Builder::new()
        .with_client_options(
            ClientOptions::new()
                .with_timeout(Duration::from_secs(60))
                .with_connect_timeout(Duration::from_secs(10))
                .with_allow_http(plain),
        )
        .with_bucket_name(name)
        .with_region(&region)
        .with_virtual_hosted_style_request(false);
    if let Some(keys) = keys.identity.data::<aws_credential_types::Credentials>() {
        let texts = [
            Some(keys.access_key_id()),
            Some(keys.secret_access_key()),
            keys.session_token(),
        ];
        seen.learn_secrets(texts.into_iter().flatten().map(Secret::new));
        builder = builder
            .with_access_key_id(keys.access_key_id())
            .with_secret_access_key(keys.secret_access_key());
        if let Some(token) = keys.session_token() {
            builder = builder.with_token(token);
        }
    }
    if let Some(named) = endpoint {
        builder = builder.with_endpoint(named.url);
    }
    Ok(builder)
}
