use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use costlake_fetch::{BlobInfo, Endpoints, Error, ErrorKind};
use futures::{StreamExt, TryStreamExt, stream};

use crate::server::{
    Seen, Server, accepted, answer, blob, client, completed, create, json, read, status,
};

const TEXT: &[u8] = b"Date,Cost\n07/01/2025,1.25\n07/02/2025,2.50\n";
const LENGTH: u64 = 42;
const TEXT_MD5: &str = "72auuhTJIroT8RS5oCTnaA==";

fn whole() -> Response {
    answer(200, &[("etag", "\"0x1\"")], TEXT)
}

/// The first `length` bytes of an announced whole, then a broken connection.
fn cut(length: usize, headers: &[(&str, &str)]) -> Response {
    let parts = [Ok(Bytes::from_static(&TEXT[..length])), Err(std::io::Error::other("cut"))];
    // The pause lets the first part reach the wire.
    let parts = stream::iter(parts).then(|part| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        part
    });
    answer(200, headers, Body::from_stream(parts))
}

fn rest(seen: &Seen, etag: &str) -> Response {
    let start: usize = seen
        .header("range")
        .strip_prefix("bytes=")
        .and_then(|range| range.strip_suffix('-'))
        .unwrap()
        .parse()
        .unwrap();
    let range = format!("bytes {start}-{}/{LENGTH}", TEXT.len() - 1);
    answer(206, &[("etag", etag), ("content-range", &range)], &TEXT[start..])
}

async fn error_of(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Error {
    let server = Server::start(answer).await;
    let blob = blob(&server, "a", LENGTH).await;
    read(&server.client(), &blob).await.unwrap_err()
}

#[tokio::test]
async fn a_blob_is_read_whole() {
    let server = Server::start(|_| whole()).await;
    let blob = blob(&server, "a", LENGTH).await;
    assert_eq!(read(&server.client(), &blob).await.unwrap(), TEXT);
    let chunks: Vec<Bytes> =
        server.client().download(&blob).into_stream().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), TEXT);
    let seen = &server.seen()[0];
    assert_eq!(seen.query, "sv=1&sig=canary-signature");
    for name in ["authorization", "referer", "range", "accept-encoding", "clienttype"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn a_cut_blob_is_resumed_where_it_broke() {
    for length in [1, 10, 41] {
        let server = Server::start(move |seen| match seen.nth {
            0 => cut(length, &[("etag", "\"0x1\""), ("content-length", "42")]),
            1 => status(503),
            _ => rest(seen, "\"0x1\""),
        })
        .await;
        let blob = blob(&server, "a", LENGTH).await;
        assert_eq!(read(&server.client(), &blob).await.unwrap(), TEXT);
        let last = server.seen().pop().unwrap();
        assert_eq!(last.header("range"), format!("bytes={length}-"));
        assert_eq!(last.header("if-match"), "\"0x1\"");
        assert_eq!(last.header("authorization"), "");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_without_an_error_is_resumed() {
    let server = Server::start(|seen| match seen.nth {
        0 => {
            let part = stream::iter([Ok::<_, std::io::Error>(&TEXT[..26])]);
            answer(200, &[("etag", "\"0x1\"")], Body::from_stream(part))
        }
        _ => rest(seen, "\"0x1\""),
    })
    .await;
    let blob = blob(&server, "a", LENGTH).await;
    assert_eq!(read(&server.client(), &blob).await.unwrap(), TEXT);
}

#[tokio::test]
async fn a_changed_blob_is_not_spliced() {
    let answers: [fn(&Seen) -> Response; 7] = [
        |seen| rest(seen, "\"0x2\""),
        |_| whole(),
        |_| status(412),
        |_| status(416),
        |_| answer(206, &[("content-range", "bytes 9-41/42")], &TEXT[9..]),
        |_| answer(206, &[("content-range", "bytes 10-42/43")], &TEXT[10..]),
        |_| answer(206, &[], &TEXT[10..]),
    ];
    for second in answers {
        let error = error_of(move |seen| match seen.nth {
            0 => cut(10, &[("etag", "\"0x1\""), ("content-length", "42")]),
            _ => second(seen),
        })
        .await;
        assert!(matches!(error, Error::BlobChanged { received_bytes: 10, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_blob_without_a_strong_etag_is_not_resumed() {
    for etag in ["W/\"0x1\"", "0x1"] {
        let error = error_of(move |_| cut(10, &[("etag", etag), ("content-length", "42")])).await;
        assert!(error.to_string().ends_with("restart it: the blob had no strong ETag"), "{error}");
    }
}

#[tokio::test]
async fn lengths_that_disagree_are_refused() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/blobs/longer" => {
            let parts = stream::iter([Ok::<_, std::io::Error>(TEXT), Ok(b"more")]);
            answer(200, &[("etag", "\"0x1\"")], Body::from_stream(parts))
        }
        _ => whole(),
    })
    .await;
    for (name, byte_count, what) in [
        ("a", LENGTH + 1, "the announced length"),
        ("a", LENGTH - 1, "the announced length"),
        ("longer", LENGTH, "the body"),
    ] {
        let blob = blob(&server, name, byte_count).await;
        match read(&server.client(), &blob).await.unwrap_err() {
            Error::LengthMismatch { what: found, expected_bytes, .. } => {
                assert_eq!((found, expected_bytes), (what, byte_count));
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_blob_that_stalls_or_stops_is_given_up_at_the_limit() {
    let server = Server::start(|seen| match seen.nth {
        0 => cut(10, &[("etag", "\"0x1\""), ("content-length", "42")]),
        _ => {
            let silence = stream::pending::<Result<Bytes, std::io::Error>>();
            let headers = [("etag", "\"0x1\""), ("content-range", "bytes 10-41/42")];
            answer(206, &headers, Body::from_stream(silence))
        }
    })
    .await;
    let blob = blob(&server, "a", LENGTH).await;
    let mut config = server.config();
    config.timeouts.read = Duration::from_millis(40);
    let error = read(&client(config), &blob).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    match error {
        Error::Unavailable { place, .. } => {
            assert_eq!((place.attempts, place.blob), (4, Some(0)));
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_dripping_blob_is_given_up_in_time() {
    let server = Server::start(|_| {
        let drops = stream::unfold(0, |at| async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(&TEXT[at..=at])), at + 1))
        });
        answer(200, &[("content-length", "42")], Body::from_stream(drops))
    })
    .await;
    let blob = blob(&server, "a", LENGTH).await;
    let mut config = server.config();
    config.timeouts.blob = Duration::from_millis(100);
    let error = read(&client(config), &blob).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn an_expired_link_is_renewed_and_read() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_submit() => accepted(seen),
        _ if seen.is_poll() && seen.nth == 0 => json(200, &completed(&seen.base, &[("a", LENGTH)])),
        _ if seen.is_poll() => {
            json(200, &completed(&seen.base, &[("a", LENGTH)]).replace("sv=1", "sv=2"))
        }
        _ if seen.query.starts_with("sv=2") => whole(),
        _ => answer(403, &[("x-ms-error-code", "AuthenticationFailed")], Body::empty()),
    })
    .await;
    let client = server.client();
    let manifest = create(&client).await.unwrap().unwrap();
    match read(&client, &manifest.blobs[0]).await.unwrap_err() {
        Error::LinkExpired { status, code, .. } => {
            assert_eq!((status, code.as_str()), (Some(403), "AuthenticationFailed"));
        }
        other => panic!("{other}"),
    }
    let renewed = client.renew(&manifest).await.unwrap();
    assert_eq!(read(&client, &renewed.blobs[0]).await.unwrap(), TEXT);
}

#[tokio::test]
async fn a_link_that_expires_midway_is_replaced_and_read_on() {
    let server = Server::start(|seen| match (seen.nth, seen.query.starts_with("sv=2")) {
        (0, _) => cut(10, &[("etag", "\"0x1\""), ("content-length", "42")]),
        (_, true) => rest(seen, "\"0x1\""),
        _ => status(403),
    })
    .await;
    let old = blob(&server, "a", LENGTH).await;
    let renewed = renewed_blob(&server).await;
    let client = server.client();
    let mut download = client.download(&old);
    let mut bytes = download.next_chunk().await.unwrap().unwrap().to_vec();
    let error = download.next_chunk().await.unwrap_err();
    assert!(matches!(error, Error::LinkExpired { status: Some(403), .. }), "{error}");

    let again = download.next_chunk().await.unwrap_err();
    assert!(again.to_string().ends_with("at byte 10, restart it: it failed before"), "{again}");

    let mut shorter = renewed.clone();
    shorter.byte_count -= 1;
    assert!(matches!(download.replace_link(&shorter), Err(Error::BlobChanged { .. })));
    download.replace_link(&renewed).unwrap();
    while let Some(chunk) = download.next_chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(bytes, TEXT);
}

#[tokio::test]
async fn a_download_that_failed_otherwise_takes_no_new_link() {
    let server = Server::start(|_| whole()).await;
    let blob = blob(&server, "a", LENGTH + 1).await;
    let client = server.client();
    let mut download = client.download(&blob);
    download.next_chunk().await.unwrap_err();
    assert!(download.replace_link(&blob).is_err());
}

async fn renewed_blob(server: &Server) -> BlobInfo {
    let manifest = completed(&server.base(), &[("a", LENGTH)]).replace("sv=1", "sv=2");
    let issuer = Server::start(move |_| json(200, &manifest)).await;
    let mut config = issuer.config();
    let storage = vec![server.base().parse().unwrap()];
    config.endpoints = Endpoints::new(&issuer.base(), &issuer.base(), storage).unwrap();
    create(&client(config)).await.unwrap().unwrap().blobs[0].clone()
}

#[tokio::test]
async fn an_announced_md5_is_checked_over_all_parts() {
    for (md5, is_right) in [("ZUGwWAUwzNcTv7FEnSvXEw==", false), (TEXT_MD5, true), ("odd", true)] {
        let server = Server::start(move |seen| match seen.nth {
            0 => cut(10, &[("etag", "\"0x1\""), ("content-length", "42"), ("content-md5", md5)]),
            _ => rest(seen, "\"0x1\""),
        })
        .await;
        let blob = blob(&server, "a", LENGTH).await;
        match read(&server.client(), &blob).await {
            Ok(bytes) => assert!(is_right && bytes == TEXT),
            Err(Error::DigestMismatch { .. }) => assert!(!is_right),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_link_past_its_time_is_not_asked_for() {
    let server = Server::start(|_| whole()).await;
    let mut blob = blob(&server, "a", LENGTH).await;
    blob.valid_till = "2022-05-10T08:08:46Z".parse().unwrap();
    let error = read(&server.client(), &blob).await.unwrap_err();
    assert!(matches!(error, Error::LinkExpired { status: None, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Stale);
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn pages_redirects_and_odd_statuses_are_no_blobs() {
    let page = error_of(|_| answer(200, &[("content-type", "text/html")], TEXT)).await;
    assert!(matches!(page, Error::UnexpectedPage { .. }), "{page}");
    let redirect = error_of(|_| answer(302, &[("location", "https://evil.example/")], "")).await;
    assert!(matches!(redirect, Error::RefusedDestination { .. }), "{redirect}");
    let conflict = error_of(|_| status(409)).await;
    assert!(matches!(conflict, Error::Rejected { status: 409, .. }), "{conflict}");
    let partial = error_of(|_| answer(206, &[("content-range", "bytes 0-41/42")], TEXT)).await;
    assert!(matches!(partial, Error::Protocol { .. }), "{partial}");
}

#[tokio::test]
async fn an_empty_blob_is_read() {
    let server = Server::start(|_| answer(200, &[], "")).await;
    let blob = blob(&server, "a", 0).await;
    assert_eq!(read(&server.client(), &blob).await.unwrap(), b"");
}

#[tokio::test]
async fn a_reader_that_holds_downloads_does_not_block_requests() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_blob() => whole(),
        _ => status(204),
    })
    .await;
    let blob = blob(&server, "a", LENGTH).await;
    let client = server.client();
    let mut held = Vec::new();
    for _ in 0..costlake_fetch::DEFAULT_CONCURRENCY.get() {
        let mut download = client.download(&blob);
        download.next_chunk().await.unwrap();
        held.push(download);
    }
    assert_eq!(create(&client).await.unwrap(), None);
}
