//! The mocked providers on a socket: takes requests, lets the pure parts decide, sends when it is due.
//!
//! Shell: the only file of this room with sockets and a clock. It must never decide what an answer
//! says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::serve::ListenerExt;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::mock::admit::admit;
use crate::mock::answer::Answer;
use crate::mock::ask::{self, Ask};
use crate::mock::ask_chat::{self, ChatAsk};
use crate::mock::aws;
use crate::mock::chosen::{Chosen, choose};
use crate::mock::data::{ChatKind, Letters, MockData, Model, Principal};
use crate::mock::first_times::FirstTimes;
use crate::mock::guard::Guard;
use crate::mock::items;
use crate::mock::listing;
use crate::mock::memory::{Memory, Place, Stored, unfinished};
use crate::mock::namer::Namer;
use crate::mock::outgoing::Outgoing;
use crate::mock::outgoing_chat;
use crate::mock::outgoing_response::{build, input_tokens};
use crate::mock::pace::Pace;
use crate::mock::plain_model;
use crate::mock::refusal::Refusal;
use crate::mock::route::{self, Operation, Route, Selection};
use crate::mock::sending::{self, Reply, ReplyBody};
use crate::mock::sessions::Sessions;
use crate::mock::sigv4::{self, Arrived};

/// Most bytes of a request body.
const MOST_BODY: usize = 64 * 1024 * 1024;
/// How long a response is worked on in the background.
const BACKGROUND: Duration = Duration::from_millis(400);
/// How long open answers may finish when the server stops.
const GRACE: Duration = Duration::from_millis(500);

/// A running server.
#[derive(Debug)]
pub struct MockServer {
    address: SocketAddr,
    street: Arc<Street>,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
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
    count: AtomicU64,
    memory: Mutex<Memory>,
    pub(in crate::mock) sessions: Mutex<Sessions>,
    pub(in crate::mock) first: Mutex<FirstTimes>,
    seen: broadcast::Sender<Seen>,
    stopped: watch::Receiver<bool>,
}

impl MockServer {
    /// Starts a server in a task of its own. Port 0 picks a free port.
    pub async fn start(bind: SocketAddr, data: MockData, seed: u64) -> std::io::Result<MockServer> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let (seen, _) = broadcast::channel(1024);
        let street = Arc::new(Street {
            data,
            seed,
            count: AtomicU64::new(0),
            memory: Mutex::new(Memory::default()),
            sessions: Mutex::new(Sessions::default()),
            first: Mutex::default(),
            seen,
            stopped: stopped.clone(),
        });
        // Paced events must not wait for each other in the kernel.
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        let router = Router::new()
            .fallback(handle)
            .with_state(Arc::clone(&street));
        let mut until = stopped;
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move {
                    let _ = until.wait_for(|stop| *stop).await;
                })
                .await
        });
        Ok(MockServer {
            address,
            street,
            stop,
            task,
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

    /// Takes no new connections, gives open answers a moment, and ends.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let mut task = self.task;
        if timeout(GRACE, &mut task).await.is_err() {
            task.abort();
        }
    }
}

async fn handle(State(street): State<Arc<Street>>, request: Request) -> Response {
    let arrived_at = Instant::now();
    let number = street.count.fetch_add(1, Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str().to_owned();
    let path = parts.uri.path().to_owned();
    let mut headers = lower_headers(&parts.headers);
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key("host")
    {
        headers.push(("host".to_owned(), authority.to_string()));
    }
    let (selection, rest) = select(&path, &headers);
    let rest = rest.to_owned();
    let body = to_bytes(body, MOST_BODY).await.ok();
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
    let reply = street.answer(&request, &rest);
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
    sending::send(reply, arrived_at, street.stopped.clone()).await
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
    fn answer(&self, request: &Incoming<'_>, path: &str) -> Reply {
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
            return reply.unwrap_or_else(|nowhere| nowhere_reply(&nowhere));
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
            Err(nowhere) => return nowhere_reply(&nowhere),
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
            .push((manner.request_id_header.clone(), request_id));
        for (name, value) in &manner.headers {
            reply.headers.push((name.clone(), value.clone()));
        }
        reply.principal = principal.map(|one| one.name.clone());
        reply
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

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn respond(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        place: impl Fn(&str) -> Place,
    ) -> Result<Reply, Refusal> {
        if let Some(early) = self.instead(request, route, chosen) {
            return early;
        }
        let bytes = request.arrived.body;
        let region = route.region.region.as_deref();
        let base_path = route.base_path.unwrap_or_default();
        let (ask, model) = ask::read(route.provider, region, base_path, bytes)?;
        let (heard, _) = ask::read(route.provider, region, base_path, &chosen.heard(bytes))?;
        let model = &*chosen.model(model);
        let conversation = self.conversation(&ask, model, &place)?;
        items::check_pairs(&conversation)?;
        let tokens = input_tokens(&ask, &conversation);
        if tokens > model.kind.context {
            return Err(Refusal::new("context-overflow")
                .with("tokens", tokens)
                .with("maximum", model.kind.context)
                .with("model", &ask.model));
        }
        let answer = if chosen.no_items {
            Answer::default()
        } else {
            let question = items::question(route.provider, model, &heard, &conversation);
            chosen.said(plain_model::answer(&question, chosen.script))
        };
        let mut namer = Namer::of(self.seed, request.number | 1 << 63);
        let now = request.now.unix_timestamp();
        let outgoing = build(
            route.provider,
            model,
            &ask,
            &conversation,
            &answer,
            &mut namer,
            now,
        );
        let background = match &route.provider.manner.background_status {
            Some(status) if ask.flag("background", false) && !ask.stream => {
                Some((request.now + BACKGROUND, status.clone()))
            }
            _ => None,
        };
        if ask.flag("store", true) || background.is_some() {
            let id = outgoing.whole["id"].as_str().unwrap_or_default();
            let mut conversation = conversation;
            conversation.extend(
                outgoing.whole["output"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            );
            let size = bytes.len()
                + conversation
                    .iter()
                    .map(|item| item.to_string().len())
                    .sum::<usize>();
            let stored = Stored {
                response: outgoing.whole.clone(),
                pending: background.clone(),
                conversation,
                size,
            };
            self.memory().keep(place(id), stored);
        }
        if let Some((_, status)) = background {
            return Ok(Reply::json(200, &unfinished(&outgoing.whole, &status)));
        }
        let pace = Pace::of(self.seed, request.number, route.region);
        Ok(sending::good(
            ask.stream,
            outgoing,
            chosen.wire.as_ref(),
            pace,
        ))
    }

    /// A chat completion. `deployment` is the model that the address names, if it does.
    fn complete(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        deployment: Option<&str>,
    ) -> Result<Reply, Refusal> {
        if let Some(early) = self.instead(request, route, chosen) {
            return early;
        }
        let read = |body| {
            let region = route.region.region.as_deref();
            let base_path = route.base_path.unwrap_or_default();
            ask_chat::read(route.provider, region, base_path, deployment, body)
        };
        let (mut ask, model, kind) = read(request.arrived.body)?;
        ask.question = read(&chosen.heard(request.arrived.body))?.0.question;
        let outgoing = self.completion(request, route, chosen, &ask, model, kind)?;
        let pace = Pace::of(self.seed, request.number, route.region);
        Ok(sending::good(
            ask.stream,
            outgoing,
            chosen.wire.as_ref(),
            pace,
        ))
    }

    /// What a model of Chat Completions says, guarded as the request wants it.
    pub(in crate::mock) fn completion(
        &self,
        request: &Incoming<'_>,
        route: &Route<'_>,
        chosen: &Chosen<'_>,
        ask: &ChatAsk,
        model: &Model,
        kind: &ChatKind,
    ) -> Result<Outgoing, Refusal> {
        let tokens = outgoing_chat::input_tokens(ask);
        if tokens > model.kind.context {
            return Err(Refusal::new("context-overflow")
                .with("tokens", tokens)
                .with("maximum", model.kind.context)
                .with("model", &model.id));
        }
        let mut guard = Guard::of_headers(route.provider, request.arrived.headers)?;
        let mut answer = match chosen.no_items {
            true => Answer::default(),
            false => chosen.said(plain_model::answer(&ask.question, chosen.script)),
        };
        if let Some(guard) = &mut guard {
            answer = guard.judge(&ask.body["messages"], answer);
        }
        let mut namer = Namer::of(self.seed, request.number | 1 << 63);
        let now = request.now.unix_timestamp();
        let mut outgoing =
            outgoing_chat::build(route.provider, model, kind, ask, &answer, &mut namer, now);
        if let Some(guard) = &guard {
            guard.mark_completion(&mut outgoing);
        }
        Ok(outgoing)
    }

    /// All that the model is told: what was stored, then the items of this request.
    fn conversation(
        &self,
        ask: &Ask,
        model: &Model,
        place: &impl Fn(&str) -> Place,
    ) -> Result<Vec<Value>, Refusal> {
        let Some(id) = ask.body.get("previous_response_id").and_then(Value::as_str) else {
            return Ok(ask.items.clone());
        };
        let memory = self.memory();
        let Some(stored) = memory.get(&place(id)) else {
            let row = if model.kind.stored_id_in_message {
                "previous-not-found-named"
            } else {
                "previous-not-found"
            };
            return Err(Refusal::new(row).with("id", id));
        };
        let mut all = stored.conversation.clone();
        all.extend(ask.items.iter().cloned());
        Ok(all)
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
