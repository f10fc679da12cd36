//! Every fault, byte by byte.

use crate::client::{ENROLLMENT, link};
use crate::raw::{Answer, End, Lab, QUIET, read};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::{GzDecoder, MultiGzDecoder};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const DOCUMENTATION: &str = include_str!("../../../docs/simulator.md");
const DEADLINE: Duration = Duration::from_secs(20);

fn is_nothing(answer: &Answer) -> bool {
    answer.head.is_empty() && answer.body.is_empty()
}

#[tokio::test]
async fn undisturbed_answers_follow_each_other_over_one_connection() {
    let lab = Lab::new().await;
    let mut stream = lab.connect().await;
    let request = lab.blob_request("").replace("Connection: close\r\n", "");
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read(&mut stream, QUIET).await;
        assert_eq!((answer.status(), answer.end), (200, End::Silence));
        assert!(answer.body == lab.content);
        assert_eq!(answer.header("content-length"), lab.content.len().to_string());
        assert_eq!(answer.header("connection"), "");
        assert!(answer.header("date").ends_with(" GMT"));
    }
    let closing = lab.exchange(&lab.blob_request(""), DEADLINE).await;
    assert_eq!((closing.header("connection"), closing.end), ("close", End::Closed));
    let head = lab.blob_request("").replacen("GET", "HEAD", 1);
    let head = lab.exchange(&head, DEADLINE).await;
    assert_eq!(head.header("content-length"), lab.content.len().to_string());
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_refused() {
    let lab = Lab::new().await;
    let check = async |request: &str, status: u16| {
        let answer = lab.exchange(request, DEADLINE).await;
        assert_eq!((answer.status(), answer.end), (status, End::Closed));
    };
    check("no request\r\n\r\n", 400).await;
    check("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400).await;
    check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411).await;
    check("POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", 413).await;
}

#[tokio::test]
async fn refuse_closes_the_port_for_a_while() {
    let lab = Lab::new().await;
    let answer = lab.blob_with(json!({ "type": "refuse", "milliseconds": 500 })).await;
    assert!(is_nothing(&answer));
    let start = Instant::now();
    let mut refusals = 0;
    while TcpStream::connect(lab.azure.server.address()).await.is_err() {
        assert!(start.elapsed() < DEADLINE);
        refusals += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refusals > 0);
    assert_eq!(lab.exchange(&lab.blob_request(""), DEADLINE).await.status(), 200);
}

#[tokio::test]
async fn reset_comes_before_the_answer_or_in_its_body() {
    let lab = Lab::new().await;
    let answer = lab.blob_with(json!({ "type": "reset" })).await;
    assert!(is_nothing(&answer));
    assert_eq!(answer.end, End::Reset);
    for bytes in [0, 1, 700] {
        let answer = lab.blob_with(json!({ "type": "reset", "after_bytes": bytes })).await;
        assert_eq!((answer.status(), answer.end), (200, End::Reset));
        assert!(answer.body == lab.content[..bytes]);
        assert_eq!(answer.header("content-length"), lab.content.len().to_string());
    }
}

#[tokio::test]
async fn close_and_truncate_end_the_connection_in_order() {
    let lab = Lab::new().await;
    let answer = lab.blob_with(json!({ "type": "close" })).await;
    assert!(is_nothing(&answer));
    assert_eq!(answer.end, End::Closed);
    let answer = lab.blob_with(json!({ "type": "truncate", "bytes": 700 })).await;
    assert_eq!(answer.end, End::Closed);
    assert!(answer.body == lab.content[..700]);
    assert_eq!(answer.header("content-length"), lab.content.len().to_string());
}

#[tokio::test]
async fn close_delimited_bodies_have_no_length() {
    let lab = Lab::new().await;
    let check = async |action: Value, bytes: usize| {
        let answer = lab.blob_with(action).await;
        assert!(answer.headers("content-length").is_empty());
        assert!(answer.headers("transfer-encoding").is_empty());
        assert_eq!((answer.header("connection"), answer.end), ("close", End::Closed));
        assert!(answer.body == lab.content[..bytes]);
    };
    check(json!({ "type": "close_delimited" }), lab.content.len()).await;
    check(json!({ "type": "close_delimited", "bytes": 700 }), 700).await;
}

#[tokio::test]
async fn chunks_end_well_or_not() {
    let lab = Lab::new().await;
    let check = async |action: Value, size: usize, bytes: usize, end: &str| {
        let answer = lab.blob_with(action).await;
        assert_eq!(answer.header("transfer-encoding"), "chunked");
        assert!(answer.headers("content-length").is_empty());
        let mut expected = format!("{size:x}\r\n").into_bytes();
        expected.extend_from_slice(&lab.content[..bytes]);
        expected.extend_from_slice(end.as_bytes());
        assert!(answer.body == expected);
    };
    let whole = lab.content.len();
    check(json!({ "type": "chunked" }), whole, whole, "\r\n0\r\n\r\n").await;
    check(json!({ "type": "chunked", "bytes": 700 }), whole, 700, "").await;
    let cut = json!({ "type": "chunked", "bytes": 700, "ends_well": true });
    check(cut, 700, 700, "\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn surplus_bytes_are_announced_or_not() {
    let lab = Lab::new().await;
    for (declared, length) in [(false, lab.content.len()), (true, lab.content.len() + 5)] {
        let action = json!({ "type": "surplus", "bytes": 5, "declared": declared });
        let answer = lab.blob_with(action).await;
        assert_eq!(answer.header("content-length"), length.to_string());
        assert!(answer.body == [lab.content.as_slice(), b"xxxxx"].concat());
    }
}

#[tokio::test]
async fn lengths_contradict_each_other() {
    let lab = Lab::new().await;
    let (right, wrong) = (lab.content.len().to_string(), (lab.content.len() + 1).to_string());
    let answer = lab.blob_with(json!({ "type": "two_lengths" })).await;
    assert_eq!(answer.headers("content-length"), [&right, &wrong]);
    assert!(answer.body == lab.content);
    let answer = lab.blob_with(json!({ "type": "length_and_chunked" })).await;
    assert_eq!(answer.headers("content-length"), [&right]);
    assert_eq!(answer.headers("transfer-encoding"), ["chunked"]);
    assert!(answer.body.ends_with(b"\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn stall_comes_before_the_head_behind_it_or_in_the_body() {
    let lab = Lab::new().await;
    lab.queue(&json!({ "type": "stall", "seconds": 600 })).await;
    let answer = lab.exchange(&lab.blob_request(""), QUIET).await;
    assert!(is_nothing(&answer));
    for bytes in [0, 700] {
        lab.queue(&json!({ "type": "stall", "seconds": 600, "after_bytes": bytes })).await;
        let answer = lab.exchange(&lab.blob_request(""), QUIET).await;
        assert_eq!((answer.status(), answer.end), (200, End::Silence));
        assert!(answer.body == lab.content[..bytes]);
    }
    for action in [
        json!({ "type": "stall", "milliseconds": 100 }),
        json!({ "type": "stall", "milliseconds": 100, "after_bytes": 700 }),
    ] {
        let start = Instant::now();
        assert!(lab.blob_with(action).await.body == lab.content);
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
}

#[tokio::test]
async fn drip_sends_byte_by_byte() {
    let lab = Lab::new().await;
    let start = Instant::now();
    let answer = lab.range_with(json!({ "type": "drip", "milliseconds": 10 }), "5-24").await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(answer.body == lab.content[5..25]);
    let start = Instant::now();
    let answer = lab.submit_with(json!({ "type": "drip", "milliseconds": 1 })).await;
    assert!(start.elapsed() >= Duration::from_millis(answer.head.len() as u64));
    assert_eq!(answer.status(), 202);
}

#[tokio::test]
async fn effects_happen_though_their_answer_is_lost() {
    let lab = Lab::new().await;
    let mut reports = lab.reports().await;
    for kind in ["reply", "html", "close", "reset"] {
        for effect in [false, true] {
            let mut action = json!({ "type": kind, "effect": effect });
            if kind == "reply" {
                action["status"] = json!(503);
            }
            let answer = lab.submit_with(action).await;
            assert!(matches!(answer.status_or_none(), None | Some(502 | 503)), "{kind}");
            reports += usize::from(effect);
            assert_eq!(lab.reports().await, reports, "{kind} {effect}");
        }
    }
    lab.queue(&json!({ "type": "stall", "seconds": 600, "effect": true })).await;
    assert!(is_nothing(&lab.exchange(&lab.submit_request(), QUIET).await));
    assert_eq!(lab.reports().await, reports + 1);
}

#[tokio::test]
async fn a_stalled_request_is_not_carried_out_once_its_client_has_gone() {
    let lab = Lab::new().await;
    let reports = lab.reports().await;
    lab.queue(&json!({ "type": "stall", "milliseconds": 800 })).await;
    assert!(is_nothing(&lab.exchange(&lab.submit_request(), Duration::from_millis(100)).await));
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(lab.reports().await, reports);
}

#[tokio::test]
async fn an_etag_changes_for_good() {
    let lab = Lab::new().await;
    let tag = lab.exchange(&lab.blob_request(""), DEADLINE).await.header("etag").to_owned();
    let other = lab.blob_with(json!({ "type": "etag" })).await.header("etag").to_owned();
    assert_ne!(other, tag);
    let status = async |tag: &str| {
        let request = lab.blob_request(&format!("If-Match: {tag}\r\n"));
        lab.exchange(&request, DEADLINE).await.status()
    };
    assert_eq!((status(&tag).await, status(&other).await), (412, 200));
}

#[tokio::test]
async fn ranges_are_ignored_moved_or_refused() {
    let lab = Lab::new().await;
    let whole = lab.content.len();
    let answer = lab.range_with(json!({ "type": "ignore_range" }), "10-19").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.body == lab.content);
    for (by, start) in [(1, 11), (-4, 6)] {
        let answer = lab.range_with(json!({ "type": "wrong_range", "by": by }), "10-19").await;
        assert_eq!(answer.status(), 206);
        assert_eq!(answer.header("content-range"), format!("bytes {start}-19/{whole}"));
        assert!(answer.body == lab.content[start..20]);
    }
    assert_eq!(lab.range_with(json!({ "type": "refuse_range" }), "10-19").await.status(), 416);
    assert_eq!(lab.blob_with(json!({ "type": "refuse_range" })).await.status(), 200);
}

#[tokio::test]
async fn polls_go_on_and_point_elsewhere() {
    let lab = Lab::new().await;
    let answer = lab.poll_with(json!({ "type": "never_ready" })).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.header("location"), format!("{}{}", lab.azure.server.origin(), lab.poll));

    let answer = lab.submit_with(json!({ "type": "no_location" })).await;
    assert_eq!((answer.status(), answer.headers("location").len()), (202, 0));
    let answer = lab.submit_with(json!({ "type": "relative_location" })).await;
    let relative = answer.header("location");
    assert!(relative.starts_with(&format!("/{ENROLLMENT}/providers/")), "{relative}");
    let text = "https://evil.example{path}#{origin}";
    let answer = lab.submit_with(json!({ "type": "location", "text": text })).await;
    let location = answer.header("location");
    assert!(location.starts_with(&format!("https://evil.example/{ENROLLMENT}")), "{location}");
    assert!(location.ends_with(&format!("#{}", lab.azure.server.origin())), "{location}");

    let headers = json!({ "Location": "{origin}{path}", "Retry-After": ["1", "2"] });
    let action = json!({ "type": "reply", "status": 302, "headers": headers });
    let answer = lab.blob_with(action).await;
    assert_eq!(answer.header("location"), format!("{}{}", lab.azure.server.origin(), lab.blob));
    assert_eq!(answer.headers("retry-after"), ["1", "2"]);
}

#[tokio::test]
async fn reports_say_another_status() {
    let lab = Lab::new().await;
    let answer = lab.poll_with(json!({ "type": "status", "value": "InProgress" })).await;
    assert_eq!(answer.json()["status"], "InProgress");
    assert!(answer.json()["manifest"].is_object());
    let answer = lab.poll_with(json!({ "type": "status", "value": null })).await;
    assert_eq!((answer.status(), answer.json().get("status")), (200, None));
}

#[tokio::test]
async fn bodies_are_edited() {
    let lab = Lab::new().await;
    let action = json!({
        "type": "edit",
        "set": {
            "/manifest/blobCount": 7,
            "/manifest/blobs/0/blobLink": "http://evil.example{path}",
            "/extra~1field": [1.5],
        },
        "copy": [{ "from": "/manifest/blobs/0", "to": "/manifest/blobs/-", "times": 2 }],
        "remove": ["/validTill", "/manifest/blobs/2"],
    });
    let body = lab.poll_with(action).await.json();
    assert_eq!(body["manifest"]["blobCount"], 7);
    assert_eq!(body["extra/field"], json!([1.5]));
    assert_eq!(body.get("validTill"), None);
    let blobs = body["manifest"]["blobs"].as_array().unwrap();
    assert_eq!(blobs.len(), 2);
    let path = lab.blob.split('?').next().unwrap();
    let start = format!("http://evil.example{path}?sv=");
    assert!(link(&blobs[0]).starts_with(&start), "{}", blobs[0]);
    assert_eq!(blobs[0], blobs[1]);
}

#[tokio::test]
async fn bodies_are_replaced_repeated_preceded_and_cut() {
    let lab = Lab::new().await;
    let right = lab.exchange(&lab.poll_request(), DEADLINE).await.json();
    let check = async |action: Value| {
        let answer = lab.poll_with(action).await;
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        String::from_utf8(answer.body).unwrap()
    };
    let nested = json!({ "type": "body", "raw": "[", "repeat": 1000 });
    assert_eq!(check(nested).await, "[".repeat(1000));
    assert_eq!(check(json!({ "type": "body", "bytes": 5 })).await.len(), 5);
    let marked = check(json!({ "type": "body", "raw": "\u{feff}", "keep": true })).await;
    let body: Value = serde_json::from_str(marked.strip_prefix('\u{feff}').unwrap()).unwrap();
    assert_eq!(body["name"], right["name"]);
}

#[tokio::test]
async fn answers_are_packed_right_and_wrong() {
    let lab = Lab::new().await;
    let packed = async |variant: &str| {
        lab.blob_with(json!({ "type": "gzip", "variant": variant, "expanded_bytes": 3_000_000 }))
            .await
            .body
    };
    check_variants(&lab, packed).await;
    let answer =
        lab.blob_with(json!({ "type": "gzip", "variant": "none", "encoding": "br" })).await;
    assert_eq!(answer.header("content-encoding"), "br");
    assert!(answer.body == lab.content);
}

async fn check_variants(lab: &Lab, packed: impl AsyncFn(&str) -> Vec<u8>) {
    let unpacked = |bytes: &[u8]| {
        let mut all = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut all).map(|_| all)
    };
    assert!(packed("none").await == lab.content);
    assert!(unpacked(&packed("whole").await).unwrap() == lab.content);
    assert!(unpacked(&packed("cut").await).is_err());
    assert!(unpacked(&packed("bad_crc").await).is_err());
    assert!(unpacked(&packed("trailing").await).is_err());
    let members = packed("two_members").await;
    assert!(unpacked(&members).unwrap() == lab.content);
    let mut first = Vec::new();
    GzDecoder::new(members.as_slice()).read_to_end(&mut first).unwrap();
    assert_eq!(first.len(), lab.content.len() / 2);
    let bomb = packed("bomb").await;
    assert!(bomb.len() < 1_000_000);
    assert_eq!(unpacked(&bomb).unwrap().len(), 3_000_000);
    let once = unpacked(&packed("twice").await).unwrap();
    assert!(unpacked(&once).unwrap() == lab.content);
}

#[tokio::test]
async fn blobs_are_packed_with_their_sizes_in_the_manifest() {
    let lab = Lab::new().await;
    let packed = async |variant: &str| {
        let action = json!({ "type": "compress", "variant": variant, "expanded_bytes": 3_000_000 });
        let report = lab.poll_with(action).await.json();
        assert_eq!(report["manifest"]["compressData"], true);
        let body = lab.exchange(&lab.blob_request(""), DEADLINE).await.body;
        assert_eq!(report["manifest"]["blobs"][0]["byteCount"], body.len());
        assert_eq!(report["manifest"]["byteCount"], body.len());
        body
    };
    check_variants(&lab, packed).await;
    let report = lab.poll_with(json!({ "type": "compress", "flag": false })).await.json();
    assert_eq!(report["manifest"]["compressData"], false);
    assert!(lab.exchange(&lab.blob_request(""), DEADLINE).await.body.starts_with(&[0x1f, 0x8b]));
}

#[tokio::test]
async fn a_bit_flips_and_a_digest_tells() {
    let lab = Lab::new().await;
    let right = STANDARD.encode(Md5::digest(&lab.content));
    let answer = lab.blob_with(json!({ "type": "flip", "byte": 700 })).await;
    let different: Vec<usize> =
        (0..lab.content.len()).filter(|at| answer.body[*at] != lab.content[*at]).collect();
    assert_eq!(different, [700]);
    assert_eq!(answer.header("content-md5"), "");
    let answer = lab.blob_with(json!({ "type": "flip", "byte": 700, "md5": true })).await;
    assert!(answer.body != lab.content);
    assert_eq!(answer.header("content-md5"), right);
    let answer = lab.blob_with(json!({ "type": "md5" })).await;
    assert!(answer.body == lab.content);
    assert_eq!(answer.header("content-md5"), right);
}

#[tokio::test]
async fn a_poll_gets_the_answer_about_another_report() {
    let lab = Lab::new().await;
    let own = lab.exchange(&lab.poll_request(), DEADLINE).await.json()["name"].clone();
    let made_up = lab.poll_with(json!({ "type": "swap" })).await.json();
    assert_eq!(made_up["status"], "Completed");
    assert_ne!(made_up["name"], own);
    let (_, other) = lab.azure.complete(ENROLLMENT, &json!({ "billingPeriod": "202505" })).await;
    let swapped = lab.poll_with(json!({ "type": "swap" })).await.json();
    assert_eq!(swapped["name"], other["name"]);
    assert_eq!(lab.exchange(&lab.poll_request(), DEADLINE).await.json()["name"], own);
}

#[tokio::test]
async fn the_open_month_moves_on_before_a_request() {
    let lab = Lab::new().await;
    let (_, before) = lab.azure.complete(ENROLLMENT, &json!({})).await;
    assert_eq!(lab.submit_with(json!({ "type": "advance" })).await.status(), 202);
    let (_, after) = lab.azure.complete(ENROLLMENT, &json!({})).await;
    assert!(before["manifest"]["byteCount"].as_u64() < after["manifest"]["byteCount"].as_u64());
}

#[tokio::test]
async fn heads_are_padded() {
    let lab = Lab::new().await;
    let answer = lab.blob_with(json!({ "type": "headers", "count": 200, "bytes": 1000 })).await;
    assert_eq!(answer.header("x-padding-199").len(), 1000);
    assert!(answer.head.len() > 200_000);
    assert!(answer.body == lab.content);
}

#[tokio::test]
async fn a_connection_closes_without_saying_so() {
    let lab = Lab::new().await;
    lab.queue(&json!({ "type": "close_after" })).await;
    let request = lab.blob_request("").replace("Connection: close\r\n", "");
    let answer = lab.exchange(&request, DEADLINE).await;
    assert_eq!((answer.header("connection"), answer.end), ("", End::Closed));
    assert!(answer.body == lab.content);
}

#[tokio::test]
async fn faults_name_requests_by_their_number() {
    let lab = Lab::new().await;
    let url = lab.azure.url("_simulator/faults");
    lab.azure.client.delete(url).send().await.unwrap();
    let gone = json!({ "type": "reply", "status": 410 });
    let faults = json!([
        { "nth": 2, "count": 2, "action": gone },
        { "nth": 5, "route": "blob", "forever": true, "action": gone },
        { "route": "blob", "action": { "type": "reply", "status": 418 } },
    ]);
    assert_eq!(lab.azure.control("faults", &faults).await.status(), 204);
    let blob = async || lab.exchange(&lab.blob_request(""), DEADLINE).await.status();
    let poll = async || lab.exchange(&lab.poll_request(), DEADLINE).await.status();
    assert_eq!([poll().await, blob().await, poll().await, blob().await], [200, 410, 410, 418]);
    assert_eq!([poll().await, blob().await, poll().await, blob().await], [200, 410, 200, 410]);
}

#[tokio::test]
async fn a_fault_may_last_for_ever_until_it_is_forgotten() {
    let lab = Lab::new().await;
    let faults = json!([{ "route": "poll", "forever": true, "action": { "type": "never_ready" } }]);
    lab.azure.control("faults", &faults).await;
    let poll = async || lab.exchange(&lab.poll_request(), DEADLINE).await.status();
    assert_eq!([poll().await, poll().await, poll().await], [202, 202, 202]);
    lab.azure.client.delete(lab.azure.url("_simulator/faults")).send().await.unwrap();
    assert_eq!(poll().await, 200);
}

#[tokio::test]
async fn faults_that_can_never_be_due_are_refused() {
    let lab = Lab::new().await;
    let close = json!({ "type": "close" });
    for fault in [
        json!({ "nth": 0, "action": close }),
        json!({ "nth": 3, "skip": 1, "action": close }),
        json!({ "route": "poll", "count": 0, "action": close }),
        json!({ "route": "pole", "action": close }),
    ] {
        assert_eq!(lab.azure.control("faults", &json!([fault])).await.status(), 400, "{fault}");
    }
}

#[tokio::test]
async fn every_fault_is_in_the_documentation() {
    let lab = Lab::new().await;
    let unknown = json!([{ "action": { "type": "?" } }]);
    let text = lab.azure.control("faults", &unknown).await.json::<Value>().await.unwrap();
    let message = text["error"]["message"].as_str().unwrap();
    let (_, known) = message.split_once("expected one of ").unwrap();
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    assert!(names.contains(&"close_after"), "{message}");
    for name in names {
        assert!(DOCUMENTATION.contains(&format!("| `{name}` |")), "{name} is not in the table");
    }
}

#[tokio::test]
async fn a_fault_that_does_not_fit_is_used_up_without_harm() {
    let lab = Lab::new().await;
    for action in [
        json!({ "type": "edit", "set": { "/manifest/blobCount": 7 } }),
        json!({ "type": "status", "value": "Failed" }),
        json!({ "type": "no_location" }),
        json!({ "type": "swap" }),
        json!({ "type": "compress" }),
    ] {
        assert!(lab.blob_with(action).await.body == lab.content);
    }
    assert_eq!(lab.exchange(&lab.poll_request(), DEADLINE).await.json()["status"], "Completed");
}

#[tokio::test]
async fn reports_are_accounted_for() {
    let lab = Lab::new().await;
    let half = lab.content.len() / 2;
    let whole = lab.content.len();
    let untouched = Value::Null;
    let account = async || lab.control("reports").await[0].clone();
    assert_eq!(account().await["blobs"][0]["whole_reads"], 1, "from the start");
    lab.blob_with(json!({ "type": "truncate", "bytes": half })).await;
    lab.range_with(json!({ "type": "etag" }), &format!("{half}-")).await;
    lab.range_with(json!({ "type": "md5" }), "0-9").await;
    lab.blob_with(json!({ "type": "close" })).await;
    let report = account().await;
    assert_eq!(report["scope"], ENROLLMENT);
    assert_eq!(report["request"], json!({}));
    assert_eq!((&report["polls"], &report["state"]), (&json!(1), &json!("Completed")));
    assert!(report["submitted"].as_str().unwrap().ends_with('Z'));
    assert_ne!(report["id"], untouched);
    let path = lab.blob.split('?').next().unwrap();
    let blob = json!({
        "path": path, "bytes": whole, "requests": 4, "whole_reads": 2, "bytes_sent": 2 * whole + 10,
    });
    assert_eq!(report["blobs"], json!([blob]));

    lab.exchange(&lab.submit_request(), DEADLINE).await;
    let second = lab.control("reports").await[1].clone();
    assert_eq!((&second["state"], &second["blobs"]), (&json!("Running"), &json!([])));
}

impl Answer {
    fn status_or_none(&self) -> Option<u16> {
        (!self.head.is_empty()).then(|| self.status())
    }
}
