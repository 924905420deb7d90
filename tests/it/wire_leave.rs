//! Servers of HTTP/2 that do not work on a request: they take their leave (GOAWAY), or refuse it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sameturn::transport::wire::{HttpVersion, Wire};
use sameturn::turn::exchange::End;
use tokio::sync::Notify;

use crate::wire::{heard, settings};

/// Requests after which a connection is given up.
const EACH: usize = 3;

#[tokio::test]
async fn no_request_is_lost_where_a_server_takes_its_leave() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/x", listener.local_addr().unwrap());
    let served = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (all, own, enough) = (
                Arc::clone(&counted),
                Arc::new(AtomicUsize::new(0)),
                Arc::new(Notify::new()),
            );
            let told = Arc::clone(&enough);
            let service = hyper::service::service_fn(move |_: Request<Incoming>| {
                all.fetch_add(1, Ordering::SeqCst);
                if own.fetch_add(1, Ordering::SeqCst) + 1 == EACH {
                    told.notify_one();
                }
                let body = Full::new(Bytes::from_static(b"data: 1\n\n"));
                async move {
                    // Long enough for others to come while the connection is about to end.
                    tokio::time::sleep(Duration::from_millis(15)).await;
                    Ok::<_, Infallible>(Response::new(body))
                }
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let connection = server.serve_connection(TokioIo::new(socket), service);
            tokio::spawn(async move {
                let mut connection = pin!(connection);
                tokio::select! {
                    ended = connection.as_mut() => return ended,
                    () = enough.notified() => {}
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            });
        }
    });
    let wire = Arc::new(Wire::new(Arc::new(settings(HttpVersion::Two)), Arc::default()).unwrap());
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let (wire, url) = (Arc::clone(&wire), url.clone());
            tokio::spawn(async move {
                for _ in 0..20 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let (sent, ear) = heard(&wire, &url).await;
                    assert_eq!(sent.end, End::Complete, "{sent:?}");
                    assert_eq!(ear.text(), "data: 1\n\n");
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    // None was asked twice.
    assert_eq!(served.load(Ordering::SeqCst), 1200);
}

#[tokio::test]
async fn a_stream_that_was_refused_is_asked_for_again_once() {
    for (refusals, reason, ends_well, served) in [
        (1, h2::Reason::REFUSED_STREAM, true, 2),
        (2, h2::Reason::REFUSED_STREAM, false, 2),
        // It may have been worked on.
        (1, h2::Reason::CANCEL, false, 1),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/x", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                let service = hyper::service::service_fn(move |_: Request<Incoming>| {
                    let refused = counted.fetch_add(1, Ordering::SeqCst) < refusals;
                    async move {
                        match refused {
                            true => Err(h2::Error::from(reason)),
                            false => {
                                Ok(Response::new(Full::new(Bytes::from_static(b"data: 1\n\n"))))
                            }
                        }
                    }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
            }
        });
        let wire = Wire::new(Arc::new(settings(HttpVersion::Two)), Arc::default()).unwrap();
        let (sent, _) = heard(&wire, &url).await;
        assert_eq!(sent.end == End::Complete, ends_well, "{reason}: {sent:?}");
        assert_eq!(sent.redialled, served == 2, "{reason}");
        assert_eq!(asked.load(Ordering::SeqCst), served, "{reason}");
    }
}
