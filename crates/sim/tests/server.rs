//! The wire as the REST specification has it.

use crate::client::{Azure, ENROLLMENT, VERSION, header, link, location, quick};
use crate::reading::read_report;
use costlake_sim::generator::{Enrollment, Metric, Month, Selection};
use costlake_sim::server::{NoData, ServerConfig};
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;

fn may() -> Value {
    json!({ "metric": "AmortizedCost", "billingPeriod": "202505" })
}

async fn check_error(reply: Response, status: u16, code: &str, message: &str) {
    assert_eq!(reply.status(), status);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["error"]["code"], code);
    let text = body["error"]["message"].as_str().unwrap();
    assert!(text.contains(message), "{text}");
}

#[tokio::test]
async fn a_report_goes_from_request_to_rows() {
    let azure = Azure::start(quick()).await;
    let (waited, report) = azure.complete(ENROLLMENT, &may()).await;
    assert_eq!(waited, 2);
    assert_eq!(report["status"], "Completed");
    let manifest = &report["manifest"];
    assert_eq!(manifest["manifestVersion"], "2025-03-01");
    assert_eq!(manifest["dataFormat"], "Csv");
    assert_eq!(manifest["compressData"], false);
    assert_eq!(manifest["blobCount"], 3);
    assert_eq!(
        manifest["requestContext"],
        json!({ "requestScope": ENROLLMENT, "requestBody": may() })
    );
    let name = report["name"].as_str().unwrap();
    let id = format!(
        "{ENROLLMENT}/providers/Microsoft.CostManagement/costDetailsOperationResults/{name}"
    );
    assert_eq!(report["id"], id);
    let valid_till = report["validTill"].as_str().unwrap();
    assert_eq!(valid_till.len(), "2022-05-10T08:08:46.1973252Z".len());
    let expected = Enrollment::new(quick().enrollment);
    let selection = Selection::month(Metric::AmortizedCost, Month::new(2025, 5).unwrap());
    assert!(azure.rows(ENROLLMENT, &may()).await == read_report(&expected, &selection));
    azure.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn blobs_rendered_beforehand_are_the_same() {
    let azure = Azure::start(ServerConfig { prerender: true, ..quick() }).await;
    let expected = Enrollment::new(quick().enrollment);
    let selection = Selection::month(Metric::AmortizedCost, Month::new(2025, 5).unwrap());
    assert!(azure.rows(ENROLLMENT, &may()).await == read_report(&expected, &selection));
    azure.server.shutdown().await.unwrap();
}

#[tokio::test]
async fn polling_works_in_both_spellings_and_needs_the_whole_location() {
    let azure = Azure::start(ServerConfig { polls_before_completion: 0, ..quick() }).await;
    let location = location(&azure.submit(ENROLLMENT, &may()).await);
    let prose = location.replace("costDetailsOperationResults", "costDetailsOperationStatus");
    assert_eq!(azure.poll(&prose).await.status(), 200);
    assert_eq!(azure.poll(&location.to_uppercase().replace("HTTP", "http")).await.status(), 400);
    let rebuilt = format!("{}?{VERSION}", location.split('?').next().unwrap());
    check_error(azure.poll(&rebuilt).await, 400, "BadRequest", "session token").await;
}

#[tokio::test]
async fn every_form_of_a_scope_is_answered_in_any_case() {
    let azure = Azure::start(quick()).await;
    let account = Enrollment::new(quick().enrollment).organization().accounts[0].id.clone();
    let subscription =
        Enrollment::new(quick().enrollment).organization().subscriptions[0].id.clone();
    let check = async |scope: &str, column: &str, id: &str| {
        let rows = azure.rows(scope, &may()).await;
        assert!(!rows.is_empty(), "{scope}");
        assert!(rows.iter().all(|row| row.get(column) == id), "{scope}");
    };
    check(&ENROLLMENT.to_uppercase(), "BillingAccountId", "8608480").await;
    check(&format!("{ENROLLMENT}/departments/36911"), "InvoiceSectionId", "36911").await;
    check("providers/Microsoft.Billing/Departments/36911", "InvoiceSectionId", "36911").await;
    check(&format!("{ENROLLMENT}/enrollmentAccounts/{account}"), "AccountId", &account).await;
    check(
        &format!("providers/Microsoft.Billing/enrollmentaccounts/{account}"),
        "AccountId",
        &account,
    )
    .await;
    check(
        &format!("subscriptions/{}", subscription.to_uppercase()),
        "SubscriptionId",
        &subscription,
    )
    .await;
}

#[tokio::test]
async fn scopes_that_are_not_there_are_refused() {
    let azure = Azure::start(quick()).await;
    let other = "providers/Microsoft.Billing/billingAccounts/1111111/departments/36911";
    check_error(
        azure.submit(other, &may()).await,
        403,
        "AuthorizationFailed",
        "does not have authorization",
    )
    .await;
    let check = async |scope: &str, code: &str| {
        check_error(azure.submit(scope, &may()).await, 404, code, "").await
    };
    check("providers/Microsoft.Billing/departments/1", "NotFound").await;
    check("providers/Microsoft.Billing/enrollmentAccounts/1", "NotFound").await;
    check("subscriptions/00000000-0000-0000-0000-000000000000", "SubscriptionNotFound").await;
    check("subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg", "NotFound").await;
    check("providers/Microsoft.Management/managementGroups/root", "NotFound").await;
}

#[tokio::test]
async fn bad_bodies_get_their_documented_texts() {
    let azure = Azure::start(quick()).await;
    let check = async |body: Value, message: &str| {
        check_error(azure.submit(ENROLLMENT, &body).await, 400, "BadRequest", message).await;
    };
    let invalid = "Invalid Request Payload";
    check(json!([]), invalid).await;
    check(json!({ "metric": "Usage" }), invalid).await;
    check(json!({ "billingMonth": "202505" }), invalid).await;
    check(json!({ "billingPeriod": "2025-05" }), invalid).await;
    check(json!({ "invoiceId": "T1" }), invalid).await;
    check(json!({ "timePeriod": { "start": "2025-05-01" } }), invalid).await;
    check(json!({ "timePeriod": { "start": "2025-05-02", "end": "2025-05-01" } }), invalid).await;
    let period = json!({ "start": "2025-05-01", "end": "2025-05-31" });
    let both =
        "Invalid request payload: can only have either timePeriod or invoiceId or billingPeriod";
    check(json!({ "timePeriod": period, "billingPeriod": "202505" }), both).await;
    check(json!({ "invoiceId": "T1", "billingPeriod": "202505" }), both).await;
    let long = json!({ "timePeriod": { "start": "2025-05-01", "end": "2025-06-01" } });
    check(long, "The maximum allowed date range is 1 months").await;
    check(json!({ "billingPeriod": "202405" }), "Start date must be after 2024-05-31").await;
    let old = json!({ "timePeriod": { "start": "2024-05-31", "end": "2024-06-01" } });
    check(old, "Start date must be after 2024-05-31").await;
}

#[tokio::test]
async fn the_api_version_is_mandatory() {
    let azure = Azure::start(quick()).await;
    let path = format!("{ENROLLMENT}/providers/Microsoft.CostManagement/generateCostDetailsReport");
    let send = async |url: String| {
        azure.client.post(url).bearer_auth(&azure.token).body("{}").send().await.unwrap()
    };
    let url = azure.url(&path);
    check_error(send(url.clone()).await, 400, "MissingApiVersionParameter", "api-version").await;
    let wrong = format!("{url}?api-version=2019-01-01");
    check_error(send(wrong).await, 400, "InvalidApiVersionParameter", "2019-01-01").await;
}

#[tokio::test]
async fn no_period_means_the_open_month_and_a_time_period_its_days() {
    let azure = Azure::start(quick()).await;
    let rows = azure.rows(ENROLLMENT, &json!({})).await;
    assert!(rows.iter().all(|row| row.month() == "07/2025"));
    assert!(
        rows.iter().any(|row| row.get("ChargeType") == "Purchase" && row.is_commitment()),
        "actual by default"
    );
    let period = json!({ "timePeriod": { "start": "2025-05-20", "end": "2025-06-02" } });
    let rows = azure.rows(ENROLLMENT, &period).await;
    assert_eq!(rows[0].get("Date"), "05/20/2025");
    assert_eq!(rows.last().unwrap().get("Date"), "06/02/2025");
    assert_eq!(rows.last().unwrap().get("BillingPeriodEndDate"), "06/30/2025");
}

#[tokio::test]
async fn months_without_data_are_not_found_or_no_content() {
    let april = json!({ "billingPeriod": "202504" });
    let azure = Azure::start(quick()).await;
    let (_, report) = azure.complete(ENROLLMENT, &april).await;
    assert_eq!(report["status"], "NoDataFound");
    assert!(report.get("manifest").is_none());
    let azure = Azure::start(ServerConfig { no_data: NoData::NoContent, ..quick() }).await;
    assert_eq!(azure.submit(ENROLLMENT, &april).await.status(), 204);
}

#[tokio::test]
async fn signing_in_fails_as_documented() {
    let azure = Azure::start(quick()).await;
    let check = async |field: &str, value: &str, status: u16, error: &str, code: u32| {
        let reply = azure.ask_token(&[(field, value)]).send().await.unwrap();
        assert_eq!(reply.status(), status);
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["error"], error);
        assert_eq!(body["error_codes"], json!([code]));
        let start = format!("AADSTS{code}: ");
        assert!(body["error_description"].as_str().unwrap().starts_with(&start));
    };
    check("client_secret", "wrong", 401, "invalid_client", 7_000_215).await;
    check("client_id", "wrong", 400, "unauthorized_client", 700_016).await;
    check("tenant", "wrong", 400, "invalid_request", 90_002).await;
    check("scope", "https://management.azure.com/", 400, "invalid_scope", 70_011).await;
    check("scope", "https://elsewhere.example/.default", 400, "invalid_resource", 500_011).await;
    check("grant_type", "password", 400, "unsupported_grant_type", 70_003).await;
    check("client_secret", "", 401, "invalid_client", 7_000_215).await;
}

#[tokio::test]
async fn calls_need_a_token_that_is_valid() {
    let mut azure = Azure::start(quick()).await;
    let check = async |azure: &Azure, code: &str| {
        let reply = azure.submit(ENROLLMENT, &may()).await;
        assert!(header(&reply, "www-authenticate").starts_with("Bearer authorization_uri="));
        check_error(reply, 401, code, "").await;
    };
    "unknown".clone_into(&mut azure.token);
    check(&azure, "InvalidAuthenticationToken").await;
    azure.sign_in().await;
    azure
        .control("faults", &json!([{ "route": "submit", "action": { "type": "expire_tokens" } }]))
        .await;
    check(&azure, "ExpiredAuthenticationToken").await;
    azure.sign_in().await;
    assert_eq!(azure.submit(ENROLLMENT, &may()).await.status(), 202);
}

#[tokio::test]
async fn blobs_have_signatures_ranges_and_tags() {
    let azure = Azure::start(quick()).await;
    let (_, report) = azure.complete(ENROLLMENT, &may()).await;
    let url = link(&report["manifest"]["blobs"][1]);
    let whole = azure.client.get(url).send().await.unwrap();
    let etag = header(&whole, "etag");
    let whole = whole.bytes().await.unwrap();
    let get = async |name: &str, value: &str| {
        azure.client.get(url).header(name, value).send().await.unwrap()
    };

    let part = get("range", "bytes=10-19").await;
    assert_eq!(part.status(), 206);
    assert_eq!(header(&part, "content-range"), format!("bytes 10-19/{}", whole.len()));
    assert_eq!(part.bytes().await.unwrap(), whole[10..20]);
    assert_eq!(get("x-ms-range", "bytes=10-").await.bytes().await.unwrap(), whole[10..]);
    assert_eq!(get("range", &format!("bytes={}-", whole.len())).await.status(), 416);

    assert_eq!(get("if-match", &etag).await.status(), 200);
    assert_eq!(get("if-match", "\"0x0\"").await.status(), 412);
    assert_eq!(get("authorization", "Bearer leaked").await.status(), 400);

    let refused = azure.client.get(url.replace("sig=", "sig=A")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(header(&refused, "x-ms-error-code"), "AuthenticationFailed");
    assert!(refused.text().await.unwrap().contains("<Code>AuthenticationFailed</Code>"));
}

#[tokio::test]
async fn links_die_and_another_poll_renews_them() {
    let config = ServerConfig { link_lifetime: Some(Duration::ZERO), ..quick() };
    let azure = Azure::start(config).await;
    let (_, report) = azure.complete(ENROLLMENT, &may()).await;
    let dead = azure.client.get(link(&report["manifest"]["blobs"][0])).send().await.unwrap();
    assert_eq!(dead.status(), 403);

    let azure = Azure::start(ServerConfig { polls_before_completion: 0, ..quick() }).await;
    let location = location(&azure.submit(ENROLLMENT, &may()).await);
    azure
        .control("faults", &json!([{ "route": "poll", "action": { "type": "expire_links" } }]))
        .await;
    for expected in [403, 200] {
        let report: Value = azure.poll(&location).await.json().await.unwrap();
        let reply = azure.client.get(link(&report["manifest"]["blobs"][0])).send().await.unwrap();
        assert_eq!(reply.status(), expected);
    }
}

#[tokio::test]
async fn advancing_changes_the_open_month_for_new_reports_only() {
    let azure = Azure::start(quick()).await;
    let (_, before) = azure.complete(ENROLLMENT, &json!({})).await;
    let reply: Value = azure.control("advance", &json!(null)).await.json().await.unwrap();
    assert_eq!(reply["revision"], 1);
    let (_, after) = azure.complete(ENROLLMENT, &json!({})).await;
    assert!(before["manifest"]["byteCount"].as_u64() < after["manifest"]["byteCount"].as_u64());
    let (_, closed) = azure.complete(ENROLLMENT, &may()).await;
    azure.control("advance", &json!(null)).await;
    let (_, same) = azure.complete(ENROLLMENT, &may()).await;
    assert_eq!(closed["manifest"]["byteCount"], same["manifest"]["byteCount"]);
}
