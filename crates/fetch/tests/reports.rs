use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use costlake_fetch::{
    Client, Credentials, Endpoints, Error, ErrorKind, OperationLink, Refusal, ReportPeriod, Secret,
};
use costlake_model::TimePeriod;

use crate::server::{
    GUID, Recorder, Server, TOKEN, accepted, answer, client, completed, create, create_error, json,
    operation_url, request, status,
};

#[tokio::test]
async fn a_report_is_submitted_polled_and_described() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_submit() => accepted(seen),
        _ if seen.nth < 2 => accepted(seen),
        _ => json(200, &completed(&seen.base, &[("a", 3), ("b", 4)])),
    })
    .await;
    let recorder = Recorder::default();
    let token = Credentials::BearerToken(Secret::new(TOKEN));
    let client = Client::new(server.config(), token, Arc::new(recorder.clone())).unwrap();
    let manifest = create(&client).await.unwrap().unwrap();

    assert_eq!(manifest.operation_id, GUID);
    assert_eq!(manifest.request, request());
    assert_eq!((manifest.byte_count, manifest.blob_bytes()), (Some(1), 7));
    let blobs: Vec<_> = manifest.blobs.iter().map(|blob| (blob.ordinal, blob.byte_count)).collect();
    assert_eq!(blobs, [(0, 3), (1, 4)]);
    assert_eq!(
        *recorder.0.lock().unwrap(),
        [
            format!("submitted {GUID}"),
            "waiting 0".to_owned(),
            "waiting 1".to_owned(),
            "waiting 2".to_owned(),
            "completed 2 7".to_owned()
        ]
    );

    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[0].method, "POST");
    assert_eq!(
        seen[0].path,
        "/providers/Microsoft.Billing/departments/84819/providers/Microsoft.CostManagement/generateCostDetailsReport"
    );
    assert_eq!(seen[0].query, "api-version=2025-03-01");
    assert_eq!(seen[0].body, r#"{"billingPeriod":"202507","metric":"ActualCost"}"#);
    assert_eq!(seen[0].header("content-type"), "application/json");
    assert_eq!(seen[0].header("clienttype"), "costlake");
    for seen in &seen {
        assert_eq!(seen.header("authorization"), format!("Bearer {TOKEN}"));
        assert_eq!(seen.header("x-ms-client-request-id").len(), 36);
        assert_eq!(seen.header("accept-encoding"), "");
    }
    assert_eq!(seen[1].method, "GET");
    assert_eq!(seen[1].query, "api-version=2024-08-01&sessiontoken=canary-session");
}

#[tokio::test]
async fn the_period_may_be_days_or_the_open_month() {
    let server = Server::start(|_| status(204)).await;
    let client = server.client();
    let day = |text: &str| text.parse().unwrap();
    let days = TimePeriod::new(day("2025-07-01"), day("2025-07-15")).unwrap();
    for (period, body) in [
        (
            ReportPeriod::Time(days),
            r#"{"metric":"ActualCost","timePeriod":{"end":"2025-07-15","start":"2025-07-01"}}"#,
        ),
        (ReportPeriod::Open, r#"{"metric":"ActualCost"}"#),
    ] {
        let mut request = request();
        request.period = period;
        assert_eq!(client.create_report(&request).await.unwrap(), None);
        assert_eq!(server.seen().last().unwrap().body, body);
    }
}

#[tokio::test]
async fn a_report_may_be_finished_at_once() {
    let server = Server::start(|seen| json(200, &completed(&seen.base, &[("a", 3)]))).await;
    let manifest = create(&server.client()).await.unwrap().unwrap();
    assert_eq!(manifest.operation, None);
    let error = server.client().renew(&manifest).await.unwrap_err();
    assert!(matches!(error, Error::ReportGone { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Stale);
}

#[tokio::test]
async fn no_data_is_no_error() {
    for body in [
        r#"{"name":"x","status":"NoDataFound"}"#,
        r#"{"name":"x","status":"NoDataFound","manifest":null,"error":{"code":"0","message":null}}"#,
    ] {
        let server = Server::start(move |seen| match seen {
            _ if seen.is_submit() => accepted(seen),
            _ => json(200, body),
        })
        .await;
        assert_eq!(create(&server.client()).await.unwrap(), None);
    }
    for polled in [false, true] {
        let server = Server::start(move |seen| match seen {
            _ if polled && seen.is_submit() => accepted(seen),
            _ => status(204),
        })
        .await;
        assert_eq!(create(&server.client()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_failed_report_says_why() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_submit() => accepted(seen),
        _ => json(
            200,
            r#"{"status":"Failed","error":{"code":"TooMuch","message":"Too much data.\r\nTrace"}}"#,
        ),
    })
    .await;
    let error = create_error(&server).await;
    let place = error.place().unwrap();
    assert_eq!(place.request, Some(request()));
    assert_eq!((place.method, place.attempts), ("GET", 1));
    let expected = format!(
        "actual costs of /providers/Microsoft.Billing/departments/84819 for 2025-07: GET \
         {}/providers/Microsoft.CostManagement/costDetailsOperationResults/{GUID}: operation {GUID} \
         failed: TooMuch: Too much data.",
        server.base()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.kind(), ErrorKind::Failed);
}

#[tokio::test]
async fn a_wrong_request_is_not_repeated() {
    let server = Server::start(|_| {
        json(
            400,
            r#"{"error":{"code":"BadRequest","message":"Start date must be after 2024-06-01"}}"#,
        )
    })
    .await;
    match create_error(&server).await {
        Error::Rejected { status, code, message, .. } => {
            assert_eq!((status, code.as_str()), (400, "BadRequest"));
            assert_eq!(message, "Start date must be after 2024-06-01");
        }
        other => panic!("{other}"),
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn endless_work_ends_at_the_deadline() {
    let server = Server::start(accepted).await;
    let mut config = server.config();
    config.poll.deadline = Duration::from_millis(60);
    config.retry.min_asked_wait = Duration::from_millis(10);
    match create(&client(config)).await.unwrap_err() {
        Error::PollDeadline { polls, operation_id, .. } => {
            assert!((1..=7).contains(&polls), "{polls}");
            assert_eq!(operation_id, GUID);
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_web_page_is_no_answer() {
    let page = "\n <!doctype html><html><title>Sign in \u{7}here</title></html>";
    for content_type in ["text/html; charset=utf-8", "application/json"] {
        let server =
            Server::start(move |_| answer(200, &[("content-type", content_type)], page)).await;
        match create_error(&server).await {
            Error::UnexpectedPage { title, .. } => assert_eq!(title, "Sign in \\u{7}here"),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn broken_answers_are_refused() {
    let twice = |base: &str| completed(base, &[("a", 3), ("a", 4)]);
    let other_metric =
        |base: &str| completed(base, &[("a", 3)]).replace("ActualCost", "AmortizedCost");
    let other_operation = |base: &str| {
        completed(base, &[("a", 3)]).replace(GUID, "99999999-2222-3333-4444-555555555555")
    };
    let too_large = |_: &str| " ".repeat(9 << 20);
    let unknown = |_: &str| r#"{"status":"Succeeded"}"#.to_owned();
    type MakeBody = fn(&str) -> String;
    let cases: [(MakeBody, &str); 5] = [
        (twice, "it lists a blob twice"),
        (other_metric, "it shows AmortizedCost, asked was ActualCost"),
        (other_operation, "it is about operation 99999999-2222-3333-4444-555555555555, not"),
        (too_large, "the body is larger than 8388608 bytes"),
        (unknown, "its status `Succeeded` is unknown"),
    ];
    for (body, expected) in cases {
        let server = Server::start(move |seen| match seen {
            _ if seen.is_submit() => accepted(seen),
            _ => json(200, &body(&seen.base)),
        })
        .await;
        match create_error(&server).await {
            Error::Protocol { violation, .. } => {
                assert!(violation.contains(expected), "{violation}")
            }
            other => panic!("{other}"),
        }
    }
    let server = Server::start(|_| status(202)).await;
    let error = create_error(&server).await;
    assert!(error.to_string().ends_with("unexpected answer: it was accepted without a Location"));
}

#[tokio::test]
async fn a_poll_without_location_keeps_the_last_good_one() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_submit() => {
            let path = operation_url("");
            answer(202, &[("location", &path)], Body::empty())
        }
        _ if seen.nth == 0 => status(202),
        _ if seen.nth == 1 => json(200, r#"{"status":"InProgress"}"#),
        _ => json(200, &completed(&seen.base, &[("a", 3)])),
    })
    .await;
    assert!(create(&server.client()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_location_elsewhere_is_refused() {
    let elsewhere = Server::start(|_| status(200)).await;
    for during_poll in [false, true] {
        let foreign = operation_url(&elsewhere.base());
        let server = Server::start(move |seen| match seen {
            _ if during_poll && seen.is_submit() => accepted(seen),
            _ => answer(202, &[("location", &foreign)], Body::empty()),
        })
        .await;
        match create_error(&server).await {
            Error::RefusedDestination { refusal, destination, .. } => {
                assert_eq!(refusal, Refusal::ForeignOrigin);
                assert_eq!(destination, elsewhere.base());
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn a_blob_link_elsewhere_is_refused() {
    let server =
        Server::start(|_| json(200, &completed("https://evil.example", &[("a", 3)]))).await;
    match create_error(&server).await {
        Error::RefusedDestination { refusal, destination, .. } => {
            assert_eq!(refusal, Refusal::ForeignStorage);
            assert_eq!(destination, "https://evil.example");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(|_| status(200)).await;
    for code in [301, 302, 303, 307, 308] {
        let target = format!("{}/?sig=canary", elsewhere.base());
        let server =
            Server::start(move |_| answer(code, &[("location", &target)], Body::empty())).await;
        match create_error(&server).await {
            Error::RefusedDestination { refusal, destination, .. } => {
                assert_eq!(refusal, Refusal::Redirect);
                assert_eq!(destination, elsewhere.base());
            }
            other => panic!("{other}"),
        }
        assert_eq!(server.seen().len(), 1);
    }
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn an_operation_that_aged_out_is_gone() {
    for code in [404, 410] {
        let server = Server::start(move |seen| match seen {
            _ if seen.is_submit() => accepted(seen),
            _ => status(code),
        })
        .await;
        match create_error(&server).await {
            Error::ReportGone { operation_id, place } => {
                assert_eq!(operation_id, GUID);
                assert_eq!(place.unwrap().attempts, 1);
            }
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_renewed_report_must_be_the_same() {
    let server = Server::start(|seen| match (seen.is_submit(), seen.nth) {
        (true, _) => accepted(seen),
        (_, 0) => json(200, &completed(&seen.base, &[("a", 3)])),
        (_, 1) => json(200, &completed(&seen.base, &[("a", 3)]).replace("sv=1", "sv=2")),
        (_, 2) => json(200, &completed(&seen.base, &[("a", 4)])),
        (_, 3) => json(200, &completed(&seen.base, &[("a", 3), ("b", 1)])),
        _ => status(404),
    })
    .await;
    let client = server.client();
    let manifest = create(&client).await.unwrap().unwrap();
    let renewed = client.renew(&manifest).await.unwrap();
    assert_eq!(renewed.operation, manifest.operation);
    assert_ne!(renewed.blobs[0].link, manifest.blobs[0].link);
    for expected in ["blob 0 had 3 bytes and has 4", "it had 1 blobs and has 2"] {
        let error = client.renew(&manifest).await.unwrap_err();
        assert!(error.to_string().ends_with(expected), "{error}");
    }
    let error = client.renew(&manifest).await.unwrap_err();
    assert!(matches!(error, Error::ReportGone { .. }), "{error}");
}

#[test]
fn futures_can_be_spawned_and_clients_shared() {
    fn sendable<T: Send>(_: &T) {}
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Client>();
    shared::<OperationLink>();
    let storage = vec!["blob.core.windows.net".parse().unwrap()];
    let endpoints =
        Endpoints::new("https://arm.example", "https://login.example", storage).unwrap();
    let client = client(costlake_fetch::Config::new(endpoints));
    let request = request();
    sendable(&client.create_report(&request));
}
