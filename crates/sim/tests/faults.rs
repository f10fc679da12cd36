//! Faults on request, the request log, the end.

use crate::client::{Azure, ENROLLMENT, header, link, location, quick};
use costlake_sim::server::ServerConfig;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn with_faults(faults: Value) -> Azure {
    let azure = Azure::start(ServerConfig { polls_before_completion: 0, ..quick() }).await;
    assert_eq!(azure.control("faults", &faults).await.status(), 204);
    azure
}

async fn first_link(azure: &Azure) -> String {
    let (_, report) = azure.complete(ENROLLMENT, &json!({})).await;
    link(&report["manifest"]["blobs"][0]).to_owned()
}

#[tokio::test]
async fn replies_are_replaced_by_kind_and_turn() {
    let throttled = json!({
        "type": "reply", "status": 429, "body": "{}",
        "headers": { "Retry-After": "7", "x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after": "9" },
    });
    let azure = with_faults(json!([
        { "route": "submit", "skip": 1, "count": 2, "action": throttled },
        { "route": "submit", "action": { "type": "html" } },
    ]))
    .await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let reply = azure.submit(ENROLLMENT, &json!({})).await;
        let qpu = header(&reply, "x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after");
        seen.push((reply.status().as_u16(), header(&reply, "retry-after"), qpu));
    }
    let expect = |status: u16, retry: &str, qpu: &str| (status, retry.to_owned(), qpu.to_owned());
    let (throttled, fine) = (expect(429, "7", "9"), expect(202, "0", ""));
    assert_eq!(seen, [fine.clone(), throttled.clone(), throttled, expect(502, "", ""), fine]);
}

#[tokio::test]
async fn a_report_can_fail() {
    let action =
        json!({ "type": "failed_report", "code": "GatewayTimeout", "message": "too slow" });
    let azure = with_faults(json!([{ "route": "submit", "action": action }])).await;
    let (_, report) = azure.complete(ENROLLMENT, &json!({})).await;
    assert_eq!(report["status"], "Failed");
    assert_eq!(report["error"], json!({ "code": "GatewayTimeout", "message": "too slow" }));
}

#[tokio::test]
async fn a_report_can_be_complete_at_once_or_empty() {
    let azure = with_faults(json!([
        { "route": "submit", "action": { "type": "complete_at_once" } },
        { "route": "submit", "action": { "type": "no_data_found" } },
    ]))
    .await;
    let reply = azure.submit(ENROLLMENT, &json!({})).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.json::<Value>().await.unwrap()["status"], "Completed");
    assert_eq!(azure.complete(ENROLLMENT, &json!({})).await.1["status"], "NoDataFound");
}

#[tokio::test]
async fn a_blob_can_break_off_and_go_on() {
    let azure =
        with_faults(json!([{ "route": "blob", "action": { "type": "truncate", "bytes": 1000 } }]))
            .await;
    let url = first_link(&azure).await;
    let mut broken = azure.client.get(&url).send().await.unwrap();
    assert!(broken.content_length().unwrap() > 1000);
    let mut received = Vec::new();
    while let Ok(Some(bytes)) = broken.chunk().await {
        received.extend_from_slice(&bytes);
    }
    assert_eq!(received.len(), 1000);
    let rest = azure.client.get(&url).header("range", "bytes=1000-").send().await.unwrap();
    received.extend(rest.bytes().await.unwrap());
    assert_eq!(received, azure.client.get(&url).send().await.unwrap().bytes().await.unwrap());
}

#[tokio::test]
async fn connections_can_close_or_stall() {
    let azure = with_faults(json!([
        { "route": "blob", "action": { "type": "close" } },
        { "route": "blob", "action": { "type": "stall", "seconds": 600, "after_bytes": 10 } },
        { "route": "blob", "action": { "type": "stall", "seconds": 600 } },
    ]))
    .await;
    let url = first_link(&azure).await;
    let brief = Duration::from_millis(300);
    assert!(!azure.client.get(&url).send().await.unwrap_err().is_timeout());
    let stalled = azure.client.get(&url).timeout(brief).send().await.unwrap();
    assert!(stalled.bytes().await.unwrap_err().is_timeout());
    assert!(azure.client.get(&url).timeout(brief).send().await.unwrap_err().is_timeout());
    assert_eq!(azure.client.get(&url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_manifest_can_lie_about_bytes() {
    let azure =
        with_faults(json!([{ "route": "poll", "action": { "type": "overstate_bytes", "by": 7 } }]))
            .await;
    let (_, lie) = azure.complete(ENROLLMENT, &json!({})).await;
    let (_, truth) = azure.complete(ENROLLMENT, &json!({})).await;
    let bytes = |report: &Value| report["manifest"]["blobs"][0]["byteCount"].as_u64().unwrap();
    assert_eq!(bytes(&lie), bytes(&truth) + 7);
}

#[tokio::test]
async fn unknown_faults_are_refused() {
    let azure = Azure::start(quick()).await;
    let reply = azure
        .control("faults", &json!([{ "route": "poll", "action": { "type": "explode" } }]))
        .await;
    assert_eq!(reply.status(), 400);
}

#[tokio::test]
async fn requests_are_counted_by_kind() {
    let azure = Azure::start(quick()).await;
    let url = first_link(&azure).await;
    azure.client.get(&url).send().await.unwrap();
    let log: Value = azure
        .client
        .get(azure.url("_simulator/requests"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(log["counts"], json!({ "token": 1, "submit": 1, "poll": 3, "blob": 1 }));
    assert_eq!(log["requests"].as_array().unwrap().len(), 6);
    assert_eq!(log["requests"][1]["status"], 202);
}

#[tokio::test]
async fn it_stops_on_request_even_while_a_reply_stalls() {
    let azure =
        with_faults(json!([{ "route": "poll", "action": { "type": "stall", "seconds": 600 } }]))
            .await;
    let stalled = location(&azure.submit(ENROLLMENT, &json!({})).await);
    let client = azure.client.clone();
    let waiting = tokio::spawn(async move { client.get(stalled).send().await });
    let start = Instant::now();
    azure.control("shutdown", &json!(null)).await;
    azure.server.stopped().await;
    let address = azure.server.address();
    azure.server.shutdown().await.unwrap();
    drop(waiting.await);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
