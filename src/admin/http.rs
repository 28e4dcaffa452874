//! `/metrics`, `/healthz`, `/readyz`: HTTP/1.1, one request per connection.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::metrics::Exposition;
use super::{Source, source};
use crate::cluster::{Health, Topology};
use crate::shared::Shared;
use crate::version;

const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Connections served at once; more wait in the listen queue.
const MAX_CONNECTIONS: usize = 32;
/// Of a request's head.
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// For the head of the request, and for all of a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

type Metrics = Arc<Mutex<Exposition>>;

/// Serves HTTP on `listener` until dropped.
pub async fn serve_http(listener: TcpListener, shared: Arc<Shared>) {
    serve_http_from(listener, source(shared)).await;
}

/// As [`serve_http`], with the data from elsewhere.
pub async fn serve_http_from(listener: TcpListener, source: Source) {
    let metrics = Metrics::default();
    let mut connections = JoinSet::new();
    let mut tick = interval(PUBLISH_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased; // the first tick comes before the first scrape
            _ = tick.tick() => lock(&metrics).publish(&source()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&metrics), Arc::clone(&source)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    sleep(Duration::from_millis(100)).await; // out of file descriptors, most likely
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, metrics: Metrics, source: Source) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let response = respond(request.method(), request.uri().path(), &metrics, &source);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "HTTP connection"),
        Err(_) => tracing::debug!("HTTP connection timed out"),
    }
}

fn respond(method: &Method, path: &str, metrics: &Metrics, source: &Source) -> Response<Full<Bytes>> {
    if !matches!(path, "/" | "/metrics" | "/healthz" | "/readyz") {
        return text(StatusCode::NOT_FOUND, "not found; see /\n".to_owned());
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD only\n".to_owned());
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => typed(StatusCode::OK, METRICS_TYPE, lock(metrics).render()),
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => {
            let snapshot = source();
            let topology = &snapshot.topology;
            let standbys = topology.standbys.len();
            match readiness(topology) {
                Ok(primary) => {
                    text(StatusCode::OK, format!("ok: {primary} is the primary; fit standbys: {standbys}\n"))
                }
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
            }
        }
        _ => text(StatusCode::OK, index()),
    }
}

/// The primary's name, if there is one and it can be reached; else why not.
///
/// # Errors
/// The reason, in words.
pub fn readiness(topology: &Topology) -> Result<&str, String> {
    let Some(id) = topology.primary else {
        let reason = topology.no_primary_because.as_deref().unwrap_or("no primary is known");
        return Err(reason.to_owned());
    };
    let primary = topology.node(id);
    match &primary.health {
        Health::Up => Ok(&primary.name),
        Health::Starting => Err(format!("the primary {} was not reached yet", primary.name)),
        Health::Down(reason) | Health::Refused(reason) => Err(format!("the primary {}: {reason}", primary.name)),
    }
}

fn index() -> String {
    format!(
        "pgherd {}\n\n/metrics  Prometheus text format\n/healthz  the process lives\n\
         /readyz   a primary is known and reachable, or 503 and why not\n",
        version::LONG
    )
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, TEXT_TYPE, body)
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

fn lock(metrics: &Metrics) -> std::sync::MutexGuard<'_, Exposition> {
    metrics.lock().unwrap_or_else(PoisonError::into_inner)
}
