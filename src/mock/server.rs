//! The mocked providers: takes requests, lets the pure parts decide, and hands over what is to be sent.
//!
//! Shell: with `serving` (threads, sockets), `sending` (bodies) and `stamped` (clocks) the only files of this
//! room that know the outside. It must never decide what an answer says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{broadcast, mpsc, watch};

use crate::mock::admit::admit;
use crate::mock::ask;
use crate::mock::aws;
use crate::mock::chosen::{Chosen, choose};
use crate::mock::data::{Letters, MockData, Principal};
use crate::mock::first_times::FirstTimes;
use crate::mock::lateness::{Lateness, PaceReport, Streams};
use crate::mock::listing;
use crate::mock::memory::{Memory, Place};
use crate::mock::namer::Namer;
use crate::mock::pace::Stall;
use crate::mock::refusal::Refusal;
use crate::mock::route::{self, Operation, Route, Selection};
use crate::mock::sending::{self, Reply, ReplyBody, Sending, Way};
use crate::mock::serving;
use crate::mock::sessions::Sessions;
use crate::mock::sigv4::{self, Arrived};
use crate::mock::stamped::{Line, Moment};
use crate::mock::truth::{Truth, TruthWriter};

/// Most bytes of a request body.
const MOST_BODY: usize = 64 * 1024 * 1024;
/// Where the pace so far can be read.
pub const PACE: &str = "/mock/pace";

/// How a server runs.
#[derive(Debug)]
pub struct MockSettings {
    /// Of everything random.
    pub seed: u64,
    /// How many threads share the connections.
    pub threads: NonZeroUsize,
    /// How many words the plain model answers with, where the request does not say.
    pub words: Option<usize>,
    /// A while in which the whole server sends nothing.
    pub stall: Option<Stall>,
    /// Where a line per stream goes: what really left, and when.
    pub truth: Option<(Truth, TruthWriter)>,
}

impl Default for MockSettings {
    fn default() -> MockSettings {
        MockSettings {
            seed: 1,
            threads: NonZeroUsize::MIN,
            words: None,
            stall: None,
            truth: None,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct MockServer {
    address: SocketAddr,
    street: Arc<Street>,
    stop: watch::Sender<bool>,
    /// Has no sender left once all threads have ended.
    ended: mpsc::Receiver<()>,
    truth: Option<TruthWriter>,
}

/// Where a provider can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub provider: String,
    pub region: Option<String>,
    /// For an OpenAI library, or as Codex's `base_url`.
    pub base_url: String,
    /// For the models that are not served on the first base path, where there are such.
    pub other_base_url: Option<String>,
    /// For a library that appends `/openai/deployments/NAME` and a date itself, where there are such.
    pub resource_url: Option<String>,
}

/// One request as it was answered, for a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub number: u64,
    pub method: String,
    pub path: String,
    /// Absent where no answer was ever sent.
    pub status: Option<u16>,
    pub principal: Option<String>,
    pub fault: Option<String>,
    pub script: Option<String>,
}

#[derive(Debug)]
pub(in crate::mock) struct Street {
    data: MockData,
    pub(in crate::mock) seed: u64,
    pub(in crate::mock) words: Option<usize>,
    started: Instant,
    since: OffsetDateTime,
    /// Of each thread.
    pub(in crate::mock) lateness: Vec<Arc<Lateness>>,
    streams: Arc<Streams>,
    stall: Option<Stall>,
    truth: Option<Truth>,
    /// Lines of the truth file that were lost.
    lost: Option<Arc<AtomicU64>>,
    count: AtomicU64,
    memory: Mutex<Memory>,
    pub(in crate::mock) sessions: Mutex<Sessions>,
    pub(in crate::mock) first: Mutex<FirstTimes>,
    seen: broadcast::Sender<Seen>,
    stopped: watch::Receiver<bool>,
}

impl MockServer {
    /// Starts a server on a thread of its own. Port 0 picks a free port.
    pub async fn start(bind: SocketAddr, data: MockData, seed: u64) -> std::io::Result<MockServer> {
        let settings = MockSettings {
            seed,
            ..MockSettings::default()
        };
        MockServer::start_with(bind, data, settings).await
    }

    /// The same with all there is to choose.
    pub async fn start_with(
        bind: SocketAddr,
        data: MockData,
        settings: MockSettings,
    ) -> std::io::Result<MockServer> {
        let listener = serving::listen(bind)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let (seen, _) = broadcast::channel(1024);
        let (truth, writer) = settings.truth.unzip();
        let threads = settings.threads;
        let street = Arc::new(Street {
            data,
            seed: settings.seed,
            words: settings.words,
            started: Instant::now(),
            since: OffsetDateTime::now_utc(),
            lateness: (0..threads.get()).map(|_| Arc::default()).collect(),
            streams: Arc::default(),
            stall: settings.stall,
            lost: writer.as_ref().map(TruthWriter::lost),
            truth,
            count: AtomicU64::new(0),
            memory: Mutex::new(Memory::default()),
            sessions: Mutex::new(Sessions::default()),
            first: Mutex::default(),
            seen,
            stopped: stopped.clone(),
        });
        let ended = serving::start(listener, &street, &stopped, threads).await?;
        Ok(MockServer {
            address,
            street,
            stop,
            ended,
            truth: writer,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every provider in every region.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let mut all = Vec::new();
        for provider in &self.street.data.providers {
            for region in &provider.regions {
                let name = &provider.manner.name;
                let start = self.base_url(name, region.region.as_deref(), &Selection::default());
                let mut urls = provider
                    .manner
                    .base_paths
                    .iter()
                    .map(|path| format!("{start}{path}"));
                all.push(Endpoint {
                    provider: name.clone(),
                    region: region.region.clone(),
                    base_url: urls.next().unwrap_or_else(|| start.clone()),
                    other_base_url: urls.next(),
                    resource_url: provider.manner.dated.is_some().then(|| start.clone()),
                });
            }
        }
        all
    }

    /// The start of a provider's address, without its base path: a client appends
    /// `/v1/responses` or `/openai/v1/responses` itself.
    pub fn base_url(&self, provider: &str, region: Option<&str>, selection: &Selection) -> String {
        format!(
            "http://{}{}",
            self.address,
            route::address(provider, region, selection)
        )
    }

    /// Whether there is a mock of this provider in this region.
    pub fn serves(&self, provider: &str, region: Option<&str>) -> bool {
        let provider = self.street.data.provider(provider);
        provider.is_some_and(|provider| provider.region(region).is_some())
    }

    /// The faults that this provider cannot show, because its rows of error bodies do not have theirs.
    pub fn lacks(&self, provider: &str) -> Vec<String> {
        self.street.data.lacks(provider)
    }

    /// The variables that send AWS SDKs here to sign in, with their values.
    pub fn sign_in_variables(&self) -> Vec<(&aws::Service, String)> {
        let services = self.street.data.aws.services.iter();
        services
            .map(|one| {
                let url = format!("http://{}{}{}", self.address, aws::ROOT, one.name);
                (one, url)
            })
            .collect()
    }

    /// Who may call, and who may not.
    pub fn principals(&self) -> &[Principal] {
        self.street.data.principals()
    }

    /// How many requests have come in.
    pub fn requests(&self) -> u64 {
        self.street.count.load(Ordering::Relaxed)
    }

    /// Each request from now on, once its answer begins. A slow reader loses the oldest.
    pub fn watch(&self) -> broadcast::Receiver<Seen> {
        self.street.seen.subscribe()
    }

    /// How many streams were paced so far, and how late.
    pub fn pace(&self) -> PaceReport {
        self.street.pace()
    }

    /// Takes no new connections, gives open answers a moment, and ends: with the pace of the whole.
    pub async fn stop(mut self) -> PaceReport {
        let _ = self.stop.send(true);
        // Each thread gives its connections a moment of its own and then drops them.
        while self.ended.recv().await.is_some() {}
        let report = self.street.pace();
        // With the street goes the last one who adds to the truth; then its writer ends.
        drop(self.street);
        let Some(writer) = self.truth else {
            return report;
        };
        let finished = tokio::task::spawn_blocking(|| writer.finish()).await;
        PaceReport {
            truth_lines_lost: finished.unwrap_or(report.truth_lines_lost),
            ..report
        }
    }
}

pub(in crate::mock) async fn handle(
    street: Arc<Street>,
    line: Arc<Line>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Sending>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MOST_BODY).collect().await.ok();
    let body = body.map(|body| body.to_bytes());
    // Streams of HTTP/2 share a connection: the last bytes may be another one's.
    let arrived_at = match parts.version {
        Version::HTTP_2 => Moment::now(),
        _ => line.last_read(),
    };
    let path = parts.uri.path().to_owned();
    let mut way = Way {
        line,
        arrived: arrived_at,
        streams: Arc::clone(&street.streams),
        truth: street.truth.clone(),
        stall: street.stall,
        started: street.started,
        stopped: street.stopped.clone(),
        request_id: String::new(),
    };
    if path == PACE && parts.method == Method::GET {
        let report = serde_json::to_value(street.pace()).unwrap_or_default();
        return sending::send(Reply::json(200, &report), way).await;
    }
    let number = street.count.fetch_add(1, Ordering::Relaxed);
    let method = parts.method.as_str().to_owned();
    let mut headers = lower_headers(&parts.headers);
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key("host")
    {
        headers.push(("host".to_owned(), authority.to_string()));
    }
    let (selection, rest) = select(&path, &headers);
    let rest = rest.to_owned();
    let arrived = Arrived {
        method: &method,
        path: &path,
        query: parts.uri.query(),
        headers: &headers,
        body: body.as_deref().unwrap_or_default(),
    };
    let request = Incoming {
        number,
        arrived,
        too_large: body.is_none(),
        selection: &selection,
        now: OffsetDateTime::now_utc(),
    };
    let (reply, request_id) = street.answer(&request, &rest);
    way.request_id = request_id;
    let never = matches!(reply.body, ReplyBody::Never | ReplyBody::Closed);
    let _ = street.seen.send(Seen {
        number,
        status: (!never).then_some(reply.status),
        principal: reply.principal.clone(),
        fault: selection.fault.clone(),
        script: selection.script.clone(),
        method,
        path,
    });
    // A stream may take long: it must not keep the request alive.
    drop((headers, body, parts, street));
    sending::send(reply, way).await
}

pub(in crate::mock) struct Incoming<'a> {
    pub(in crate::mock) number: u64,
    pub(in crate::mock) arrived: Arrived<'a>,
    too_large: bool,
    selection: &'a Selection,
    pub(in crate::mock) now: OffsetDateTime,
}

/// What a request selects by its path, and by headers where the path does not say.
fn select<'a>(path: &'a str, headers: &[(String, String)]) -> (Selection, &'a str) {
    let (mut selection, rest) = route::take_prefixes(path);
    for (name, value) in headers {
        match name.as_str() {
            "x-sameturn-fault" => {
                selection.fault.get_or_insert_with(|| value.clone());
            }
            "x-sameturn-script" => {
                selection.script.get_or_insert_with(|| value.clone());
            }
            _ => {}
        }
    }
    (selection, rest)
}

fn lower_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

impl Street {
    fn pace(&self) -> PaceReport {
        let lost = self
            .lost
            .as_ref()
            .map_or(0, |lost| lost.load(Ordering::Relaxed));
        let since = self.since.format(&Rfc3339).unwrap_or_default();
        let threads = self.lateness.iter().map(|one| &**one);
        PaceReport::of(&self.streams, threads, lost, since)
    }

    /// The answer, and its id where the provider gives it one.
    fn answer(&self, request: &Incoming<'_>, path: &str) -> (Reply, String) {
        if let Some(path) = path.strip_prefix(aws::ROOT) {
            let call = aws::Call {
                arrived: &request.arrived,
                path,
                fault: request.selection.fault.as_deref(),
                now: request.now,
                request_id: &Namer::of(self.seed, request.number).letters("", Letters::Hex, 32),
                principals: self.data.principals(),
            };
            let reply = self.data.aws.answer(&call);
            let reply = reply.unwrap_or_else(|nowhere| nowhere_reply(&nowhere));
            return (reply, String::new());
        }
        let found = route::find(&self.data, path, request.arrived.query);
        let found = found.and_then(|route| {
            let chosen = choose(
                &self.data,
                request.selection,
                route.operation.api(),
                request.arrived.body,
            )?;
            Ok((route, chosen))
        });
        let (route, chosen) = match found {
            Ok(found) => found,
            Err(nowhere) => return (nowhere_reply(&nowhere), String::new()),
        };
        let mut principal = None;
        let done = self.admitted(request, &route, &chosen, path, &mut principal);
        let mut reply = match done {
            Ok(reply) => reply,
            Err(refusal) => refuse(&route, &refusal),
        };
        let mut namer = Namer::of(self.seed, request.number);
        let manner = &route.provider.manner;
        let request_id = namer.id(&manner.ids.request);
        reply
            .headers
            .push((manner.request_id_header.clone(), request_id.clone()));
        for (name, value) in &manner.headers {
            reply.headers.push((name.clone(), value.clone()));
        }
        reply.principal = principal.map(|one| one.name.clone());
        (reply, request_id)
    }

    /// The part of an answer that comes after the provider is known.
    fn admitted<'a>(
        &'a self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        path: &str,
        principal: &mut Option<&'a Principal>,
    ) -> Result<Reply, Refusal> {
        let arrived = &request.arrived;
        let method = arrived.method;
        let wrong_method = || {
            Refusal::new("method")
                .with("value", method)
                .with("path", path)
        };
        let unknown_path = || {
            Refusal::new("unknown-path")
                .with("value", method)
                .with("path", path)
        };
        let upgrade = arrived
            .headers
            .iter()
            .any(|(name, value)| name == "upgrade" && value.eq_ignore_ascii_case("websocket"));
        if upgrade
            && route.operation == Operation::Respond
            && route.provider.manner.web_socket_status.is_some()
        {
            return Err(Refusal::new("web-socket"));
        }
        if route.operation == Operation::Unknown {
            return Err(unknown_path());
        }
        let region = route.region.region.as_deref();
        match admit(
            route.provider,
            region,
            self.data.principals(),
            arrived,
            request.now,
        ) {
            Ok(who) => *principal = Some(who),
            Err((who, refusal)) => {
                *principal = who;
                return Err(refusal
                    .with("model", model_asked(route, arrived.body))
                    .with("action", listing::action(route.operation)));
            }
        }
        if request.too_large {
            return Err(Refusal::new("too-large").with("maximum", MOST_BODY));
        }
        listing::check_project(route, arrived)?;
        let place = |id: &str| Place {
            provider: route.provider.manner.name.clone(),
            region: route.region.region.clone(),
            id: id.to_owned(),
        };
        match (route.operation, method) {
            (Operation::Respond, "POST") => self.respond(request, route, chosen, place),
            (Operation::Chat, "POST") => self.complete(request, route, chosen, None),
            (Operation::ChatOf(name), "POST") => self.complete(request, route, chosen, Some(name)),
            (Operation::Converse(_, stream), "POST") => {
                self.converse(request, route, chosen, stream)
            }
            (Operation::Invoke(_, stream), "POST") => self.invoke(request, route, chosen, stream),
            (Operation::InvokeAgent(_), "POST") => {
                let who = principal.map(|who| who.name.as_str()).unwrap_or_default();
                self.invoke_agent(request, route, chosen, who)
            }
            (Operation::Stored(id), "GET") => {
                let memory = self.memory();
                let found = memory.get(&place(id));
                found
                    .map(|stored| Reply::json(200, &stored.at(request.now)))
                    .ok_or_else(|| Refusal::new("response-not-found").with("id", id))
            }
            (Operation::Cancel(id), "POST") => {
                let mut memory = self.memory();
                let found = memory.get_mut(&place(id));
                found
                    .map(|stored| {
                        stored.cancel(request.now);
                        Reply::json(200, &stored.at(request.now))
                    })
                    .ok_or_else(|| Refusal::new("response-not-found").with("id", id))
            }
            (Operation::Stored(id), "DELETE") => {
                if self.memory().forget(&place(id)) {
                    Ok(Reply::json(
                        200,
                        &json!({"id": id, "object": "response", "deleted": true}),
                    ))
                } else {
                    Err(Refusal::new("response-not-found").with("id", id))
                }
            }
            (Operation::ListModels, "GET") => {
                let here = route
                    .provider
                    .models
                    .iter()
                    .filter(|model| model.is_in(region));
                let rows: Vec<Value> = here.map(|model| listing::row(route, model)).collect();
                Ok(Reply::json(200, &json!({"object": "list", "data": rows})))
            }
            (Operation::OneModel(id), "GET") => {
                let found = route.provider.model(id).filter(|model| model.is_in(region));
                found
                    .map(|model| Reply::json(200, &listing::one(route, model)))
                    .ok_or_else(|| Refusal::new("unknown-model").with("model", id))
            }
            _ => Err(wrong_method()),
        }
    }

    pub(in crate::mock) fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The model that a request asks for: in its path, else in its body.
pub(in crate::mock) fn model_asked(route: &Route<'_>, body: &[u8]) -> String {
    match route.operation {
        Operation::Converse(id, _) | Operation::Invoke(id, _) | Operation::InvokeAgent(id) => {
            String::from_utf8_lossy(&sigv4::decode(id)).into_owned()
        }
        Operation::ChatOf(name) => name.to_owned(),
        _ => ask::model_named(body),
    }
}

fn refuse(route: &Route<'_>, refusal: &Refusal) -> Reply {
    let Some((row, body)) = refusal.body(route.provider, route.operation.api()) else {
        let text = format!(
            "the mock of {} has no body for `{}`",
            route.provider.manner.name, refusal.id
        );
        return Reply::json(500, &json!({"sameturn_mock": text}));
    };
    let mut headers: Vec<(String, String)> = row
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !row.headers.contains_key("content-type") {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Reply {
        status: row.status,
        headers,
        body: ReplyBody::Whole(body),
        principal: None,
    }
}

/// The mock's own words, not a provider's: a name in the address that it does not know.
fn nowhere_reply(nowhere: &route::Nowhere) -> Reply {
    let message = format!("the mock has no {} named `{}`", nowhere.what, nowhere.name);
    Reply::json(
        404,
        &json!({"sameturn_mock": {"message": message, "there_are": nowhere.there_are}}),
    )
}
