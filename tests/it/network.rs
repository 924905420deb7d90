//! Proxies and certificates: a proxy and a TLS server of our own stand in for a company's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::program::Project;
use crate::stub_server::Stub;

const LIST: &str = r#"{"object":"list","data":[{"id":"m"}]}"#;

pub(crate) fn certificate(name: &str) -> String {
    format!("{}/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Serves TLS with a certificate that our own authority signed; with `tunnel`, after a CONNECT.
pub(crate) struct TlsServer {
    pub(crate) port: u16,
    /// The first line of each CONNECT, or of each request.
    seen: Arc<Mutex<Vec<String>>>,
}

/// What a server that is `localhost` to the test's own authority needs.
pub(crate) fn serving() -> Arc<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_file_iter(certificate("server.pem"))
        .unwrap()
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

impl TlsServer {
    pub(crate) fn start(tunnel: bool) -> TlsServer {
        let config = serving();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // What a client that trusts nobody breaks off is no failure of the test.
                let _ = answer(stream, &config, tunnel, &kept);
            }
        });
        TlsServer { port, seen }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    config: &Arc<rustls::ServerConfig>,
    tunnel: bool,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    if tunnel {
        seen.lock().unwrap().push(head(&mut stream)?);
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    }
    let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
    let mut secure = rustls::StreamOwned::new(connection, stream);
    seen.lock().unwrap().push(head(&mut secure)?);
    write!(
        secure,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{LIST}",
        LIST.len()
    )?;
    secure.conn.send_close_notify();
    secure.flush()
}

/// Reads a request's head and gives its first line.
fn head(stream: &mut impl Read) -> std::io::Result<String> {
    let mut text = Vec::new();
    let mut one = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read(&mut one)? == 0 {
            break;
        }
        text.push(one[0]);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn ask(url: &str) -> Vec<&str> {
    vec!["models", "--base-url", url, "--model", "m"]
}

#[test]
fn a_server_whose_authority_is_unknown_is_unreachable_until_it_is_known() {
    let server = TlsServer::start(false);
    let url = format!("https://localhost:{}/v1", server.port);
    let said = Project::new().run(&ask(&url)).exits(3);
    let text = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        text.contains("unreachable:")
            && text.contains("UnknownIssuer")
            && text.contains("AWS_CA_BUNDLE or CODEX_CA_CERTIFICATE"),
        "{text}"
    );
    assert!(server.seen().is_empty());
    for variable in ["AWS_CA_BUNDLE", "CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"] {
        Project::new()
            .variable(variable, &certificate("ca.pem"))
            .run(&ask(&url))
            .exits(0);
    }
    let folder = Project::new();
    std::fs::copy(certificate("ca.pem"), folder.path("ca.pem")).unwrap();
    let place = folder.path("").display().to_string();
    folder
        .variable("SSL_CERT_DIR", &place)
        .run(&ask(&url))
        .exits(0);
    assert_eq!(server.seen(), ["GET /v1/models HTTP/1.1"; 4]);

    // The right authority and another name.
    let url = format!("https://127.0.0.1:{}/v1", server.port);
    let said = Project::new()
        .variable("AWS_CA_BUNDLE", &certificate("ca.pem"))
        .run(&ask(&url))
        .exits(3);
    let text = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("does not fit its name or the time"), "{text}");
}

#[test]
fn a_bundle_that_cannot_be_used_is_bad_input() {
    let project = Project::new().file("empty.pem", "# nothing\n");
    let empty = project.path("empty.pem").display().to_string();
    for (variable, value, expected) in [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "cannot be read"),
        ("AWS_CA_BUNDLE", &empty, "holds no certificate in PEM form"),
    ] {
        let project = Project::new().variable(variable, value);
        let said = project.run(&ask("http://127.0.0.1:9/v1")).exits(2);
        let whole = format!("error: {variable}={value}: {expected}");
        assert!(said.stderr.contains(&whole), "{}", said.stderr);
    }
}

#[test]
fn proxies_of_the_environment_are_used_but_never_for_loopback() {
    let proxy = Stub::json("200 OK", "", LIST);
    let address = proxy.base_url.trim_end_matches("/v1").to_owned();
    let project = || {
        Project::new()
            .variable("HTTP_PROXY", &address)
            .variable("NO_PROXY", "direct.example")
    };
    project().run(&ask("http://provider.example/v1")).exits(0);
    let asked = proxy.requests();
    assert!(
        asked[0].starts_with("GET http://provider.example/v1/models HTTP/1.1"),
        "{asked:?}"
    );
    // `.example` never resolves (RFC 2606), so that nobody is reached directly.
    project().run(&ask("http://direct.example/v1")).exits(3);
    let own = Stub::json("200 OK", "", LIST);
    project().run(&ask(&own.base_url)).exits(0);
    assert_eq!(proxy.requests().len(), 1);
    assert_eq!(own.requests().len(), 1);
}

#[test]
fn tls_goes_through_a_proxy_by_connect() {
    let proxy = TlsServer::start(true);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    for variable in ["HTTPS_PROXY", "ALL_PROXY"] {
        Project::new()
            .variable(variable, &address)
            .variable("CODEX_CA_CERTIFICATE", &certificate("ca.pem"))
            .run(&ask("https://provider.example/v1"))
            .exits(0);
    }
    let seen = proxy.seen();
    assert_eq!(seen[0], "CONNECT provider.example:443 HTTP/1.1");
    assert_eq!(seen[1], "GET /v1/models HTTP/1.1");
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn the_aws_sdk_signs_in_through_the_same_proxy_with_the_same_certificates() {
    use sameturn::auth::Wanted;
    use sameturn::auth::environment::Environment;
    use sameturn::auth::sign_in::sign_in;

    let proxy = TlsServer::start(true);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a-web-identity-token").unwrap();
    let provider = sameturn::catalog::shipped()
        .provider("bedrock-runtime")
        .unwrap();
    let environment = Environment::default()
        .with("HOME", folder.path().display().to_string())
        .with("AWS_EC2_METADATA_DISABLED", "true")
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string())
        .with("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")
        .with("AWS_ENDPOINT_URL_STS", "https://provider.example")
        .with("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port))
        .with("AWS_CA_BUNDLE", certificate("ca.pem"));
    let wanted = Wanted {
        provider,
        auth: None,
        region: Some("us-east-1"),
    };
    // The stand-in answers STS with a list of models: it was reached, and that is what is asked here.
    sign_in(&wanted, &environment).await.unwrap_err();
    let seen = proxy.seen();
    assert_eq!(seen[0], "CONNECT provider.example:443 HTTP/1.1");
    assert_eq!(seen[1], "POST / HTTP/1.1", "{seen:?}");
}
