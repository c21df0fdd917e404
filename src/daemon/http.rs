//! Metrics, health and the status page over HTTP. It answers, and takes nothing
//! in.
//!
//! | path | says |
//! |---|---|
//! | `/` | the status page, and what it needs: [`page`] |
//! | `/metrics` | the status as OpenMetrics text |
//! | `/livez` | 200 as long as commands are answered |
//! | `/readyz` | 200 if every address answers over UDP and TCP, else 503 and which does not |
//!
//! # Limits
//!
//! [`CONNECTIONS_MAX`] connections at a time, others wait; a request has ten
//! seconds to arrive and 16 KiB, and a connection ends after a minute. Only
//! GET and HEAD are answered, and only where `Host` is an address, `localhost`
//! or one of `[admin] http-names`: a page of a stranger that had its own name
//! lead here (DNS rebinding) would read the tables otherwise.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::page::{self, Page};
use super::status::Status;
use super::{Served, metrics, ready};
use crate::state::Event;

/// Connections that are served at a time.
const CONNECTIONS_MAX: usize = 64;

/// How long a request's header may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may last.
const LIFETIME: Duration = Duration::from_secs(60);

/// How long accepting pauses when it fails: descriptors have run out, perhaps,
/// and others need them more.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The longest header of a request, in octets.
const HEADER_MAX: usize = 16 * 1024;

/// The type of OpenMetrics text.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

//----------- View -----------------------------------------------------------

/// What is shown.
pub(super) trait View: Send + Sync + 'static {
    /// Returns the status as it is now.
    fn status(&self) -> Status;

    /// Returns the addresses that answer queries.
    fn listeners(&self) -> Vec<SocketAddr>;

    /// Returns what is served.
    fn served(&self) -> Served;

    /// Reads what was published so far, oldest first.
    fn events(&self) -> Vec<Event>;
}

/// Serves until the runtime ends.
///
/// Must be called inside a tokio runtime.
pub(super) fn serve(
    listener: TcpListener,
    names: Vec<String>,
    view: Arc<impl View>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let site = Arc::new(Site { names, view, page: Page::new() });
    tokio::spawn(async move {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let site = site.clone();
                    tokio::spawn(async move {
                        converse(stream, site).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!("cannot accept on [admin] http: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(())
}

async fn converse(stream: TcpStream, site: Arc<Site<impl View>>) {
    let service = service_fn(move |request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(site.respond(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEADER_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // Clients may go at any time, and nobody is told.
    let _ = timeout(LIFETIME, connection).await;
}

//----------- Site -----------------------------------------------------------

struct Site<V> {
    /// Names by which it may be asked, beside addresses.
    names: Vec<String>,

    view: Arc<V>,
    page: Page,
}

impl<V: View> Site<V> {
    async fn respond(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = self.answer(request).await;
        page::protect(response.headers_mut());
        response
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.is_meant(request.headers().get(HOST)) {
            return text(StatusCode::MISDIRECTED_REQUEST, WRONG_HOST.into());
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".into());
        }
        match request.uri().path() {
            "/metrics" => self.metrics(),
            "/livez" => text(StatusCode::OK, "alive\n".into()),
            "/readyz" => self.readiness().await,
            path => match self.page.get(&self.view, path, request.uri().query()).await {
                Some(page::Reply { code, kind, body }) => respond_with(code, kind, body),
                None => text(StatusCode::NOT_FOUND, NOT_FOUND.into()),
            },
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        respond_with(StatusCode::OK, OPENMETRICS, metrics::render(self.view.status()).into())
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        let failures = ready::failures(&self.view.listeners()).await;
        match failures.is_empty() {
            true => text(StatusCode::OK, "ready\n".into()),
            false => text(StatusCode::SERVICE_UNAVAILABLE, failures.concat()),
        }
    }

    /// Says whether a request is for this server, whatever name led to it.
    fn is_meant(&self, host: Option<&HeaderValue>) -> bool {
        let Some(host) = host.and_then(|host| host.to_str().ok()) else { return false };
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split(':').next().unwrap_or_default(),
        };
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

const WRONG_HOST: &str = "this server is not called so: ask by its address, or add the name to \
                          `http-names` under [admin]\n";

const NOT_FOUND: &str = "there are / (the status page), /metrics, /livez and /readyz\n";

fn text(code: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond_with(code, "text/plain; charset=utf-8", body.into())
}

fn respond_with(code: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl View for Nobody {
        fn status(&self) -> Status {
            unreachable!("nobody asks for it")
        }

        fn listeners(&self) -> Vec<SocketAddr> {
            Vec::new()
        }

        fn served(&self) -> Served {
            unreachable!("nobody asks for it")
        }

        fn events(&self) -> Vec<Event> {
            Vec::new()
        }
    }

    #[test]
    fn only_addresses_localhost_and_configured_names_are_answered() {
        let names = vec!["dns1.example.net".to_owned()];
        let site = Site { names, view: Arc::new(Nobody), page: Page::new() };
        let is_meant = |host: &'static str| site.is_meant(Some(&HeaderValue::from_static(host)));
        for host in ["127.0.0.1:8053", "[::1]:8053", "192.0.2.1", "localhost", "LOCALHOST:80"] {
            assert!(is_meant(host), "{host}");
        }
        assert!(is_meant("DNS1.example.net:8053"));
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!is_meant(host), "{host}");
        }
        assert!(!site.is_meant(None));
    }
}
