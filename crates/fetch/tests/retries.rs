use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use costlake_fetch::{BudgetState, Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{
    Server, accepted, answer, client, completed, create, create_error, json, quick_config, status,
};

#[tokio::test]
async fn the_longest_asked_wait_is_kept() {
    let server = Server::start(|seen| match seen.nth {
        0 => answer(
            429,
            &[
                ("retry-after", "0"),
                ("x-ms-ratelimit-microsoft.costmanagement-entity-retry-after", "7"),
                ("x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after", "soon"),
            ],
            Body::empty(),
        ),
        _ => status(204),
    })
    .await;
    let mut config = server.config();
    config.retry.max_asked_wait = Duration::from_millis(80);
    let started = Instant::now();
    create(&client(config)).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(80), "7 s are cut to the cap of 80 ms");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn throttling_beyond_the_limits_is_told() {
    for code in [429, 503] {
        let server =
            Server::start(move |_| answer(code, &[("retry-after", "7")], Body::empty())).await;
        let error = create_error(&server).await;
        assert_eq!(error.kind(), ErrorKind::Busy);
        match error {
            Error::Throttled { status, asked_wait, place } => {
                assert_eq!((status, asked_wait), (code, Some(Duration::from_secs(7))));
                assert_eq!((place.method, place.attempts), ("POST", 4));
                assert!(place.elapsed >= Duration::from_millis(60));
            }
            other => panic!("{other}"),
        }
        assert_eq!(server.seen().len(), 4);
    }
}

#[tokio::test]
async fn a_wait_beyond_the_total_is_not_begun() {
    let server = Server::start(|_| answer(429, &[("retry-after", "60")], Body::empty())).await;
    let mut config = server.config();
    config.retry.max_asked_wait = Duration::from_secs(600);
    let started = Instant::now();
    let error = create(&client(config)).await.unwrap_err();
    assert!(matches!(error, Error::Throttled { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn clones_share_a_block_and_a_later_client_takes_it_up() {
    let server = Server::start(|_| answer(429, &[("retry-after", "60")], Body::empty())).await;
    let mut config = server.config();
    config.retry.max_asked_wait = Duration::from_secs(600);
    let told: Arc<Mutex<Vec<BudgetState>>> = Arc::default();
    let hears = Arc::clone(&told);
    let first = client(config.clone())
        .with_budgets(Vec::new(), Arc::new(move |states| *hears.lock().unwrap() = states));
    create(&first).await.unwrap_err();
    let states = told.lock().unwrap().clone();
    assert_eq!((states.len(), states[0].asked_seconds), (1, 60));
    let later = client(config).with_budgets(states, Arc::new(|_| ()));
    for held in [first.clone(), later] {
        match create(&held).await.unwrap_err() {
            Error::Throttled { asked_wait, place, .. } => {
                assert_eq!((asked_wait, place.attempts), (Some(Duration::from_secs(60)), 0));
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(server.seen().len(), 1, "nothing is sent while Azure asks for patience");
}

#[tokio::test]
async fn a_retry_header_of_a_poll_that_is_no_refusal_blocks_nothing() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_submit() => accepted(seen),
        _ if seen.nth == 0 => answer(202, &[("retry-after", "600")], Body::empty()),
        _ => json(200, &completed(&seen.base, &[("a", 3)])),
    })
    .await;
    let client = server.client();
    assert!(create(&client).await.unwrap().is_some());
    assert_eq!(client.budgets(), []);
}

#[tokio::test]
async fn polls_survive_every_transient_status() {
    for code in [408, 429, 500, 502, 503, 504] {
        let server = Server::start(move |seen| match seen {
            _ if seen.is_submit() => accepted(seen),
            _ if seen.nth < 3 => status(code),
            _ => json(200, &completed(&seen.base, &[("a", 3)])),
        })
        .await;
        assert!(create(&server.client()).await.unwrap().is_some(), "{code}");
        let server = Server::start(move |seen| match seen {
            _ if seen.is_submit() => accepted(seen),
            _ => status(code),
        })
        .await;
        assert_eq!(create_error(&server).await.kind(), ErrorKind::Busy);
        assert_eq!(server.count(|seen| seen.is_poll()), 4);
    }
}

#[tokio::test]
async fn an_ambiguous_submit_is_repeated_once() {
    for code in [408, 500, 502, 504] {
        let server = Server::start(move |_| status(code)).await;
        let error = create_error(&server).await;
        assert!(
            matches!(error, Error::Unavailable { status: Some(s), .. } if s == code),
            "{error}"
        );
        assert_eq!(server.seen().len(), 2, "{code}");
    }
}

#[tokio::test]
async fn a_submit_whose_answer_is_lost_is_repeated_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        for served in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            read_head(stream).await;
            if served == 2 {
                return listener;
            }
        }
        listener
    });
    let error = create(&client(quick_config(&base))).await.unwrap_err();
    match error {
        Error::Unavailable { status: None, place, source } => {
            assert_eq!(place.attempts, 2);
            assert!(source.is_some());
        }
        other => panic!("{other}"),
    }
    let listener = server.await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(more.is_err(), "no third request is sent");
}

#[tokio::test]
async fn a_closed_port_is_tried_to_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    match create(&client(quick_config(&base))).await.unwrap_err() {
        Error::Unavailable { status: None, place, .. } => assert_eq!(place.attempts, 4),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn silence_is_cut_by_the_read_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let mut config = quick_config(&base);
    config.timeouts.read = Duration::from_millis(50);
    match create(&client(config)).await.unwrap_err() {
        Error::Unavailable { status: None, place, .. } => assert_eq!(place.attempts, 2),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_answer_without_tls_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    match create(&client(quick_config(&base))).await.unwrap_err() {
        Error::Insecure { place, .. } => assert_eq!(place.attempts, 1),
        other => panic!("{other:?}"),
    }
}

async fn read_head(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap() == 0 {
            return;
        }
    }
}
