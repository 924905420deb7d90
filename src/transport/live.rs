//! Real sockets, by reqwest.
//!
//! What reqwest would do behind our back is switched off: retries, redirects, decompression. Proxies
//! from the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) are used, but never for loopback.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use reqwest::redirect::Policy;
use tokio::time::timeout;

use crate::transport::trust::{self, Bundle};
use crate::transport::{Limits, Outgoing, Transport};
use crate::turn::exchange::{End, Exchange, Head, Read};

/// Sends through the network.
#[derive(Debug, Clone)]
pub struct Live {
    clients: Arc<Clients>,
}

/// A client with its own connection pool per kind of way. To read the system's certificates takes longer than a
/// request on loopback, so a client that may need them is made with the first request that does.
#[derive(Debug)]
struct Clients {
    connect: Duration,
    /// Certificates trusted besides the system's.
    added: Vec<reqwest::Certificate>,
    plain_loopback: reqwest::Client,
    tls_loopback: LateClient,
    /// Plain HTTP too: a proxy may speak TLS.
    remote: LateClient,
}

/// A client, or why it could not be made.
type LateClient = OnceLock<Result<reqwest::Client, String>>;

impl Live {
    /// A transport with its own connection pools, which trusts these certificates too.
    pub fn new(connect: Duration, bundles: &[Bundle]) -> Result<Live, reqwest::Error> {
        let added: Vec<reqwest::Certificate> = bundles
            .iter()
            .filter(|bundle| bundle.added)
            .flat_map(|bundle| &bundle.certificates)
            .map(|certificate| reqwest::Certificate::from_der(certificate))
            .collect::<Result<_, _>>()?;
        let nobody = std::iter::empty();
        Ok(Live {
            clients: Arc::new(Clients {
                connect,
                added,
                plain_loopback: builder(connect).no_proxy().tls_certs_only(nobody).build()?,
                tls_loopback: OnceLock::new(),
                remote: OnceLock::new(),
            }),
        })
    }
}

impl Clients {
    /// The client for a URL.
    fn of(&self, url: &str) -> Result<&reqwest::Client, String> {
        let trusting = || builder(self.connect).tls_certs_merge(self.added.iter().cloned());
        let made = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| chain(&error));
        let late = match way(url) {
            Way::PlainLoopback => return Ok(&self.plain_loopback),
            Way::TlsLoopback => self
                .tls_loopback
                .get_or_init(|| made(trusting().no_proxy())),
            Way::Remote => self.remote.get_or_init(|| made(trusting())),
        };
        late.as_ref().map_err(Clone::clone)
    }
}

fn builder(connect: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .retry(reqwest::retry::never())
        .redirect(Policy::none())
        .tcp_nodelay(true)
        .connect_timeout(connect)
}

impl Transport for Live {
    async fn send(&self, request: Outgoing, limits: Limits) -> Exchange {
        let start = Instant::now();
        let failed = |end: End| Exchange {
            head: None,
            body: bytes::Bytes::new(),
            reads: Vec::new(),
            end,
            total: start.elapsed(),
        };
        let client = match self.clients.of(&request.url) {
            Ok(client) => client,
            Err(reason) => return failed(End::Unreachable { reason }),
        };
        let built = match build(client, request) {
            Ok(built) => built,
            Err(error) => {
                return failed(End::Unreachable {
                    reason: chain(&error),
                });
            }
        };
        let response = match timeout(limits.idle.min(limits.total), client.execute(built)).await {
            Err(_) if limits.total < limits.idle => {
                return failed(End::TooLong {
                    after: limits.total,
                });
            }
            Err(_) => {
                return failed(End::NoHead { after: limits.idle });
            }
            Ok(Err(error)) if error.is_connect() => {
                return failed(End::Unreachable {
                    reason: trust::explained(chain(&error)),
                });
            }
            Ok(Err(error)) => {
                return failed(End::Refused {
                    reason: chain(&error),
                });
            }
            Ok(Ok(response)) => response,
        };
        let head = Head {
            status: response.status().as_u16(),
            headers: response
                .headers()
                .iter()
                .map(|(name, value)| {
                    (
                        name.as_str().to_owned(),
                        String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    )
                })
                .collect(),
            at: start.elapsed(),
        };
        let (body, reads, end) = read_body(response, start, limits).await;
        Exchange {
            head: Some(head),
            body: body.freeze(),
            reads,
            end,
            total: start.elapsed(),
        }
    }
}

fn build(client: &reqwest::Client, request: Outgoing) -> Result<reqwest::Request, reqwest::Error> {
    let method = match request.method {
        "GET" => reqwest::Method::GET,
        "DELETE" => reqwest::Method::DELETE,
        _ => reqwest::Method::POST,
    };
    let mut builder = client.request(method, &request.url).body(request.body);
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    builder.build()
}

async fn read_body(
    mut response: reqwest::Response,
    start: Instant,
    limits: Limits,
) -> (BytesMut, Vec<Read>, End) {
    let mut body = BytesMut::new();
    let mut reads = Vec::new();
    loop {
        let left = limits.total.saturating_sub(start.elapsed());
        if left.is_zero() {
            let end = End::TooLong {
                after: limits.total,
            };
            return (body, reads, end);
        }
        let end = match timeout(limits.idle.min(left), response.chunk()).await {
            Err(_) if limits.idle <= left => End::Stalled { after: limits.idle },
            Err(_) => End::TooLong {
                after: limits.total,
            },
            Ok(Err(error)) => End::Dropped {
                reason: chain(&error),
            },
            Ok(Ok(None)) => End::Complete,
            Ok(Ok(Some(chunk))) => {
                let at = start.elapsed();
                let room = limits.body - body.len();
                let kept = chunk.len().min(room);
                body.extend_from_slice(&chunk[..kept]);
                reads.push(Read { at, len: kept });
                if kept < chunk.len() {
                    End::TooBig { limit: limits.body }
                } else {
                    continue;
                }
            }
        };
        return (body, reads, end);
    }
}

/// An error and its sources on one line. reqwest's top line alone says nothing.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut out = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !out.contains(&text) {
            if !out.is_empty() {
                out.push_str(": ");
            }
            out.push_str(&text);
        }
        next = error.source();
    }
    out
}

/// Whether a URL's host is this machine.
pub(super) fn is_loopback(url: &str) -> bool {
    way(url) != Way::Remote
}

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To this machine without TLS: nobody's certificate is looked at.
    PlainLoopback,
    TlsLoopback,
    /// Through proxies, where the environment names any.
    Remote,
}

fn way(url: &str) -> Way {
    let Ok(url) = reqwest::Url::parse(url) else {
        return Way::Remote;
    };
    let loopback = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match (loopback, url.scheme()) {
        (true, "http") => Way::PlainLoopback,
        (true, _) => Way::TlsLoopback,
        (false, _) => Way::Remote,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::transport::live::{Live, Way, way};

    #[test]
    fn loopback_is_told_from_the_rest() {
        for url in [
            "http://127.0.0.1:1/v1",
            "http://127.9.0.1/",
            "http://localhost:8",
            "http://[::1]:8/",
        ] {
            assert_eq!(way(url), Way::PlainLoopback, "{url}");
        }
        assert_eq!(way("https://localhost:8/v1"), Way::TlsLoopback);
        for url in ["https://api.openai.com/v1", "http://10.0.0.1/", "x"] {
            assert_eq!(way(url), Way::Remote, "{url}");
        }
    }

    #[test]
    fn the_systems_certificates_wait_for_who_needs_them() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let live = Live::new(Duration::from_secs(1), &[]).expect("a client");
        let clients = &live.clients;
        clients.of("http://127.0.0.1:1/v1").expect("a client");
        assert!(clients.remote.get().is_none() && clients.tls_loopback.get().is_none());
        clients.of("https://127.0.0.1:1/v1").expect("a client");
        assert!(clients.remote.get().is_none() && clients.tls_loopback.get().is_some());
        clients.of("https://api.openai.com/v1").expect("a client");
        assert!(clients.remote.get().is_some());
    }
}
