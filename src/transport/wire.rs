//! stub
use crate::transport::{Limits, Outgoing};
use crate::turn::exchange::{End, Head};
use std::sync::Arc;
use std::time::{Duration, Instant};
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Go,
    Stop,
}
pub trait Hearing {
    fn head(&mut self, head: &Head, read_at: Duration);
    fn bytes(&mut self, at: Duration, read_at: Duration, bytes: &[u8]) -> Flow;
}
#[derive(Debug)]
pub struct WireSettings {
    pub limits: Limits,
}
#[derive(Debug, Clone, Copy)]
pub struct Dial {
    pub dns: Option<Duration>,
    pub tcp: Duration,
    pub tls: Option<Duration>,
}
#[derive(Debug)]
pub struct Sent {
    pub start: Instant,
    pub dial: Option<Dial>,
    pub queued: Duration,
    pub sent: Option<Duration>,
    pub bytes_out: u64,
    pub bytes_in: u64,
    pub end: End,
    pub total: Duration,
    pub redialled: bool,
    pub stampless_reads: u32,
    pub reads: u32,
}
#[derive(Debug)]
pub struct Wire {
    client: reqwest::Client,
    tls: std::sync::OnceLock<reqwest::Client>,
    settings: Arc<WireSettings>,
}
impl Wire {
    pub fn new(settings: Arc<WireSettings>) -> Wire {
        Wire {
            client: reqwest::Client::builder()
                .no_proxy()
                .tls_certs_only([])
                .build()
                .expect("stub"),
            tls: std::sync::OnceLock::new(),
            settings,
        }
    }
    pub async fn send(&self, request: Outgoing, hear: &mut impl Hearing) -> Sent {
        let start = Instant::now();
        let client = if request.url.starts_with("http:") {
            &self.client
        } else {
            self.tls
                .get_or_init(|| reqwest::Client::builder().no_proxy().build().expect("stub"))
        };
        let mut b = client.post(&request.url).body(request.body);
        for (k, v) in request.headers {
            b = b.header(k, v);
        }
        let mut sent = Sent {
            start,
            dial: None,
            queued: Duration::ZERO,
            sent: Some(Duration::ZERO),
            bytes_out: 0,
            bytes_in: 0,
            end: End::Complete,
            total: Duration::ZERO,
            redialled: false,
            stampless_reads: 0,
            reads: 0,
        };
        let _ = self.settings.limits;
        match b.send().await {
            Err(e) => {
                sent.end = End::Unreachable {
                    reason: e.to_string(),
                }
            }
            Ok(mut r) => {
                let headers = r
                    .headers()
                    .iter()
                    .map(|(k, v)| {
                        (
                            k.as_str().to_owned(),
                            String::from_utf8_lossy(v.as_bytes()).into_owned(),
                        )
                    })
                    .collect();
                hear.head(
                    &Head {
                        status: r.status().as_u16(),
                        headers,
                        at: start.elapsed(),
                    },
                    start.elapsed(),
                );
                loop {
                    match r.chunk().await {
                        Ok(Some(c)) => {
                            sent.bytes_in += c.len() as u64;
                            sent.reads += 1;
                            if hear.bytes(start.elapsed(), start.elapsed(), &c) == Flow::Stop {
                                break;
                            }
                        }
                        Ok(None) => break,
                        Err(e) => {
                            sent.end = End::Dropped {
                                reason: e.to_string(),
                            };
                            break;
                        }
                    }
                }
            }
        }
        sent.total = start.elapsed();
        sent
    }
}
