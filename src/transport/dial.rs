//! From an address to a connection that speaks: DNS, TCP, a proxy's tunnel and TLS, each with its time.
//!
//! Trusts what `check` trusts and takes the proxies that `check` takes (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY,
//! NO_PROXY; never for loopback). Never retries: addresses of one name are tried in their order, once.

use std::collections::HashMap;
use std::fmt;
use std::future::{self, Ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::transport::live::{chain, is_loopback};
use crate::transport::reader::Reader;
use crate::transport::stamped::{Shared, Socket};
use crate::transport::trust::{self, Bundle};
use crate::transport::wire::{Clock, HttpVersion};

/// How long a worker uses the addresses of a name. Short enough that a provider's change of address shows,
/// long enough that a storm of new connections asks once.
const ADDRESSES_KEPT: Duration = Duration::from_secs(10);

/// What a new connection took. A phase that did not happen is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dial {
    /// Name resolution. `None` for a literal address and for one that was known.
    pub dns: Option<Duration>,
    /// The TCP connection, to the proxy where there is one; with every address that was tried.
    pub tcp: Duration,
    /// The CONNECT exchange with a proxy.
    pub proxy: Option<Duration>,
    pub tls: Option<Duration>,
}

impl Dial {
    /// All of it.
    pub fn total(&self) -> Duration {
        let parts = [self.dns, Some(self.tcp), self.proxy, self.tls];
        parts.into_iter().flatten().sum()
    }
}

/// The TLS configuration of a run: the system's certificates (or what SSL_CERT_FILE and SSL_CERT_DIR put in
/// their place, unless nothing secure is asked: reading them takes longer than a request on loopback) and the
/// bundles on top. ALPN offers only the version that was chosen. Sessions are resumed
/// as every client does it.
pub fn tls(
    version: HttpVersion,
    bundles: &[Bundle],
    system: bool,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in bundles
        .iter()
        .filter(|bundle| bundle.added)
        .flat_map(|bundle| &bundle.certificates)
    {
        roots.add(certificate.clone())?;
    }
    if system {
        // A certificate of the system's that cannot be read is passed over, as reqwest passes over it.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![match version {
        HttpVersion::One => b"http/1.1".to_vec(),
        HttpVersion::Two => b"h2".to_vec(),
    }];
    Ok(Arc::new(config))
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) secure: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Origin {
    /// The origin of an absolute `http` or `https` URL.
    pub(super) fn of(uri: &Uri) -> Result<Origin, String> {
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{uri} is not an http or https URL")),
        };
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| format!("{uri} names no host"))?;
        Ok(Origin {
            secure,
            host: host.trim_matches(['[', ']']).to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        })
    }
}

/// How a request reaches its origin.
pub(super) enum Route {
    Direct,
    /// Through the proxy's CONNECT.
    Tunnel {
        proxy: Uri,
        auth: Option<HeaderValue>,
    },
    /// The proxy itself is asked, with the absolute URL.
    Forward {
        proxy: Uri,
        auth: Option<HeaderValue>,
    },
}

/// The route to a URL.
pub(super) fn route(uri: &Uri, proxies: &Matcher) -> Route {
    if is_loopback(&uri.to_string()) {
        return Route::Direct;
    }
    let Some(found) = proxies.intercept(uri) else {
        return Route::Direct;
    };
    let proxy = found.uri().clone();
    let auth = found.basic_auth().cloned();
    if uri.scheme_str() == Some("https") {
        Route::Tunnel { proxy, auth }
    } else {
        Route::Forward { proxy, auth }
    }
}

/// A connection, before HTTP.
pub(super) enum Stream {
    Plain(Socket),
    Secure(Box<TlsStream<Socket>>),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stream::Plain(_) => "Plain",
            Stream::Secure(_) => "Secure",
        })
    }
}

/// What a dial gives.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) stream: Stream,
    pub(super) clock: Clock,
    pub(super) dial: Dial,
}

/// A name's addresses, asked for once by whoever comes first.
#[derive(Debug)]
struct Name {
    since: Instant,
    addresses: OnceCell<Result<Vec<SocketAddr>, String>>,
}

/// Makes connections; keeps the addresses of names for some seconds.
#[derive(Debug)]
pub(super) struct Dialler {
    /// Reads what is connected.
    pub(super) reader: Arc<Reader>,
    names: Mutex<HashMap<(String, u16), Arc<Name>>>,
}

impl Dialler {
    pub(super) fn new(reader: Arc<Reader>) -> Dialler {
        Dialler {
            reader,
            names: Mutex::default(),
        }
    }

    /// A connection to an origin within the limit. An error says why there is none.
    pub(super) async fn dial(
        &self,
        origin: &Origin,
        route: &Route,
        tls: &Arc<ClientConfig>,
        stamps: bool,
        ledger: Shared,
        limit: Duration,
    ) -> Result<Dialled, String> {
        // What a connection takes is measured by when we hear of it.
        let _pressing = self.reader.press();
        let end = Instant::now() + limit;
        let dialled = timeout(limit, self.connect(origin, route, tls, stamps, ledger, end)).await;
        match dialled {
            Ok(outcome) => outcome.map_err(trust::explained),
            Err(_) => Err(format!(
                "no connection to {}:{} within {} s",
                origin.host,
                origin.port,
                limit.as_secs_f64()
            )),
        }
    }

    async fn connect(
        &self,
        origin: &Origin,
        route: &Route,
        tls: &Arc<ClientConfig>,
        stamps: bool,
        ledger: Shared,
        end: Instant,
    ) -> Result<Dialled, String> {
        let mut dial = Dial::default();
        let (host, port) = match route {
            Route::Direct => (origin.host.clone(), origin.port),
            Route::Tunnel { proxy, .. } | Route::Forward { proxy, .. } => at_proxy(proxy)?,
        };
        let (addresses, dns) = self.addresses(&host, port).await?;
        dial.dns = dns;
        let begun = Instant::now();
        let stream = first_of(&addresses, &host, end).await?;
        dial.tcp = begun.elapsed();
        // Without it the kernel may hold back a request's last bytes; those that cannot have it go on.
        let _ = stream.set_nodelay(true);
        let socket = Socket::new(stream, &self.reader, stamps, ledger)
            .map_err(|error| format!("tcp socket error: {host}: {error}"))?;
        let clock = socket.clock();
        let socket = if let Route::Tunnel { proxy, auth } = route {
            let begun = Instant::now();
            let socket = tunnel(socket, proxy, auth.as_ref(), origin).await?;
            dial.proxy = Some(begun.elapsed());
            socket
        } else {
            socket
        };
        if !origin.secure {
            return Ok(Dialled {
                stream: Stream::Plain(socket),
                clock,
                dial,
            });
        }
        let begun = Instant::now();
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|_| format!("{} is not a name that TLS can check", origin.host))?;
        let secure = TlsConnector::from(Arc::clone(tls))
            .connect(name, socket)
            .await
            .map_err(|error| chain(&error))?;
        dial.tls = Some(begun.elapsed());
        let chosen = secure.get_ref().1.alpn_protocol();
        if tls.alpn_protocols == [b"h2"] && chosen != Some(b"h2") {
            return Err(format!(
                "{} does not speak HTTP/2 (by ALPN); choose HTTP/1.1",
                origin.host
            ));
        }
        Ok(Dialled {
            stream: Stream::Secure(Box::new(secure)),
            clock,
            dial,
        })
    }

    /// The addresses of a host, and how long they were waited for.
    async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<(Vec<SocketAddr>, Option<Duration>), String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok((vec![SocketAddr::new(address, port)], None));
        }
        let begun = Instant::now();
        let name = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.retain(|_, name| name.since.elapsed() < ADDRESSES_KEPT);
            let fresh = || {
                Arc::new(Name {
                    since: begun,
                    addresses: OnceCell::new(),
                })
            };
            Arc::clone(names.entry((host.to_owned(), port)).or_insert_with(fresh))
        };
        if let Some(Ok(addresses)) = name.addresses.get() {
            return Ok((addresses.clone(), None));
        }
        let asked = name.addresses.get_or_init(|| async {
            match tokio::net::lookup_host((host, port)).await {
                Ok(found) => Ok(found.collect()),
                Err(error) => Err(format!("dns error: {host}: {error}")),
            }
        });
        let addresses = asked.await.clone();
        if addresses.is_err() {
            // The next one asks again.
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (host.to_owned(), port);
            if names.get(&key).is_some_and(|kept| Arc::ptr_eq(kept, &name)) {
                names.remove(&key);
            }
        }
        Ok((addresses?, Some(begun.elapsed())))
    }
}

/// Tries the addresses in order; an address that does not answer leaves the others their share of the time.
async fn first_of(addresses: &[SocketAddr], host: &str, end: Instant) -> Result<TcpStream, String> {
    let mut said = format!("{host} has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left = addresses.len() - index;
        let share =
            end.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
        said = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => format!("tcp connect error: {address}: {error}"),
            Err(_) => format!("tcp connect error: {address}: no answer"),
        };
    }
    Err(said)
}

fn at_proxy(proxy: &Uri) -> Result<(String, u16), String> {
    if proxy.scheme_str() != Some("http") {
        return Err(format!(
            "the proxy {}://{} cannot be used here: only http:// proxies are (for https:// URLs they tunnel)",
            proxy.scheme_str().unwrap_or_default(),
            proxy.host().unwrap_or_default()
        ));
    }
    let host = proxy.host().unwrap_or_default();
    Ok((
        host.trim_matches(['[', ']']).to_owned(),
        proxy.port_u16().unwrap_or(80),
    ))
}

/// A connection that exists already, in the form that hyper-util's tunnel wants.
struct Given(Option<Socket>);

impl Service<Uri> for Given {
    type Response = TokioIo<Socket>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<Socket>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        future::ready(
            self.0
                .take()
                .map(TokioIo::new)
                .ok_or_else(|| io::Error::other("the connection is used up")),
        )
    }
}

async fn tunnel(
    socket: Socket,
    proxy: &Uri,
    auth: Option<&HeaderValue>,
    origin: &Origin,
) -> Result<Socket, String> {
    let host = if origin.host.contains(':') {
        format!("[{}]", origin.host)
    } else {
        origin.host.clone()
    };
    let target: Uri = format!("https://{host}:{}", origin.port)
        .parse()
        .map_err(|error| format!("{host}: {error}"))?;
    let mut tunnel = Tunnel::new(proxy.clone(), Given(Some(socket)));
    if let Some(auth) = auth {
        tunnel = tunnel.with_auth(auth.clone());
    }
    let through = tunnel.call(target).await.map_err(|error| {
        format!(
            "proxy {}: {}",
            proxy.host().unwrap_or_default(),
            chain(&error)
        )
    })?;
    Ok(through.into_inner())
}

/// Gives no more at once than one read has brought. TLS's own would ask again as long as there is room.
impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Stream>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let came = ready!(self.as_mut().poll_fill_buf(cx))?;
        let taken = came.len().min(into.remaining());
        into.put_slice(&came[..taken]);
        self.consume(taken);
        Poll::Ready(Ok(()))
    }
}

/// What one read of the socket has brought, without TLS: nothing of a later one.
impl AsyncBufRead for Stream {
    fn poll_fill_buf(self: Pin<&mut Stream>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_fill_buf(cx),
            // It reads on only where nothing is left to be taken (`wants_read` of rustls).
            Stream::Secure(secure) => Pin::new(secure).poll_fill_buf(cx),
        }
    }

    fn consume(self: Pin<&mut Stream>, taken: usize) {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).consume(taken),
            Stream::Secure(secure) => Pin::new(secure).consume(taken),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Stream>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Secure(secure) => Pin::new(secure).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Stream>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bytes),
            Stream::Secure(secure) => Pin::new(secure).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Stream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Secure(secure) => Pin::new(secure).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Stream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Secure(secure) => Pin::new(secure).poll_shutdown(cx),
        }
    }
}
