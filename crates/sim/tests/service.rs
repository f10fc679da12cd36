//! What the service does besides handing out reports: quotas, sizes, identities, billing objects, clocks.

use crate::client::{Azure, ENROLLMENT, header, location, quick};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use costlake_sim::generator::{EnrollmentConfig, Month};
use costlake_sim::server::{ClientCertificate, FaultList, Quota, Server, ServerConfig};
use reqwest::{RequestBuilder, Response};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::time::Duration;

const CERTIFICATE: &[u8] = include_bytes!("certificates/client.pem");
const KEY: &[u8] = include_bytes!("certificates/client.key.pem");
const ENTITY: &str = "x-ms-ratelimit-microsoft.costmanagement-entity-retry-after";
const TENANT: &str = "x-ms-ratelimit-microsoft.costmanagement-tenant-retry-after";
const ENTITY_LEFT: &str = "x-ms-ratelimit-remaining-microsoft.costmanagement-entity-requests";
const TENANT_LEFT: &str = "x-ms-ratelimit-remaining-microsoft.costmanagement-tenant-requests";

async fn with_quota(entity: Option<u32>, tenant: Option<u32>, window: Duration) -> Azure {
    let quota = Quota { entity, tenant, window };
    Azure::start(ServerConfig { quota, ..quick() }).await
}

async fn get(azure: &Azure, path: &str) -> Response {
    azure.client.get(azure.url(path)).bearer_auth(&azure.token).send().await.unwrap()
}

async fn code(reply: Response) -> (u16, Value) {
    let status = reply.status().as_u16();
    let body: Value = reply.json().await.unwrap();
    (status, body["error"]["code"].clone())
}

#[tokio::test]
async fn a_quota_counts_by_scope_and_over_all() {
    let hour = Duration::from_secs(3600);
    let azure = with_quota(Some(2), Some(3), hour).await;
    let department = format!("{ENROLLMENT}/departments/36911");
    let first = azure.submit(ENROLLMENT, &json!({})).await;
    assert_eq!(first.status(), 202);
    assert_eq!(header(&first, ENTITY_LEFT), "DefaultQuota:1");
    assert_eq!(header(&first, TENANT_LEFT), "DefaultQuota:2");
    assert_eq!(azure.poll(&location(&first)).await.status(), 202);

    let refused = azure.poll(&location(&first)).await;
    assert_eq!(refused.status(), 429);
    let seconds: u64 = header(&refused, ENTITY).parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    assert_eq!(header(&refused, TENANT), "");
    let body: Value = refused.json().await.unwrap();
    assert_eq!(
        body,
        json!({ "error": { "code": "429", "message": "Too many requests. Please retry." } })
    );

    assert_eq!(azure.submit(&department, &json!({})).await.status(), 202);
    let refused = azure.submit(&department, &json!({})).await;
    assert_eq!((header(&refused, ENTITY).as_str(), refused.status().as_u16()), ("", 429));
    assert_ne!(header(&refused, TENANT), "");
}

#[tokio::test]
async fn a_client_type_has_a_quota_of_its_own() {
    let azure = with_quota(Some(1), None, Duration::from_secs(3600)).await;
    assert_eq!(azure.submit(ENROLLMENT, &json!({})).await.status(), 202);
    assert_eq!(azure.submit(ENROLLMENT, &json!({})).await.status(), 429);
    let path = format!(
        "{ENROLLMENT}/providers/Microsoft.CostManagement/generateCostDetailsReport?{}",
        crate::client::VERSION
    );
    let own = async || {
        let request = azure.client.post(azure.url(&path)).bearer_auth(&azure.token).body("{}");
        request.header("ClientType", "nightly").send().await.unwrap().status().as_u16()
    };
    assert_eq!([own().await, own().await], [202, 429]);
}

#[tokio::test]
async fn a_quota_is_there_again_after_its_window() {
    let azure = with_quota(None, Some(1), Duration::from_millis(700)).await;
    assert_eq!(azure.submit(ENROLLMENT, &json!({})).await.status(), 202);
    let refused = azure.submit(ENROLLMENT, &json!({})).await;
    assert_eq!((refused.status().as_u16(), header(&refused, TENANT).as_str()), (429, "1"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(azure.submit(ENROLLMENT, &json!({})).await.status(), 202);
}

#[tokio::test]
async fn reports_that_are_too_large_fail_and_their_parts_do_not() {
    let azure = Azure::start(ServerConfig { most_rows: Some(300), ..quick() }).await;
    let (waited, report) = azure.complete(ENROLLMENT, &json!({ "billingPeriod": "202505" })).await;
    assert_eq!((waited, &report["status"]), (2, &json!("Failed")));
    assert_eq!(report["error"]["code"], "GatewayTimeout");
    let days = json!({ "timePeriod": { "start": "2025-05-01", "end": "2025-05-10" } });
    assert_eq!(azure.complete(ENROLLMENT, &days).await.1["status"], "Completed");
}

/// A token request with an assertion in place of the secret.
fn assert_with(azure: &Azure, assertion: &str) -> RequestBuilder {
    let environment = azure.server.environment();
    let value = |name: &str| environment.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &value("AZURE_CLIENT_ID")),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("scope", "https://management.azure.com/.default"),
    ];
    azure.client.post(token_url(azure)).form(&form)
}

fn variable(azure: &Azure, name: &str) -> String {
    azure.server.environment().into_iter().find(|(known, _)| known == name).unwrap().1
}

fn token_url(azure: &Azure) -> String {
    format!("{}/{}/oauth2/v2.0/token", azure.server.origin(), variable(azure, "AZURE_TENANT_ID"))
}

#[tokio::test]
async fn a_federated_token_opens_and_another_does_not() {
    let azure = Azure::start(quick()).await;
    let federated = variable(&azure, "COSTLAKE_SIM_FEDERATED_TOKEN");
    assert_eq!(assert_with(&azure, &federated).send().await.unwrap().status(), 200);
    for wrong in ["", "x", "a.b.c"] {
        let reply = assert_with(&azure, wrong).send().await.unwrap();
        assert_eq!(reply.status(), 401);
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["error"], "invalid_client");
    }
}

fn signed(padding: &'static dyn RsaEncoding, head: &Value, claims: &Value) -> String {
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(head), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_certificate_opens_if_all_its_claims_hold() {
    let certificate = ClientCertificate::from_pem(CERTIFICATE).unwrap();
    let config = ServerConfig { client_certificate: Some(certificate), ..quick() };
    let azure = Azure::start(config).await;
    let client = variable(&azure, "AZURE_CLIENT_ID");
    let now = Utc::now().timestamp();
    let right = json!({
        "aud": token_url(&azure), "iss": client, "sub": client, "nbf": now, "exp": now + 600, "jti": "1",
    });
    let with = |name: &str, value: Value| {
        let mut claims = right.clone();
        claims[name] = value;
        claims
    };
    let check = async |assertion: String, code: u64| {
        let reply = assert_with(&azure, &assertion).send().await.unwrap();
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["error_codes"][0].as_u64().unwrap_or(0), code, "{body}");
        assert_eq!(body.get("access_token").is_some(), code == 0);
    };
    let (rs, ps) = (json!({ "alg": "RS256" }), json!({ "alg": "PS256" }));
    check(signed(&RSA_PKCS1_SHA256, &rs, &right), 0).await;
    check(signed(&RSA_PSS_SHA256, &ps, &right), 0).await;
    let https = token_url(&azure).replace("http:", "https:");
    check(signed(&RSA_PKCS1_SHA256, &rs, &with("aud", json!(https))), 0).await;

    check(signed(&RSA_PKCS1_SHA256, &ps, &right), 700_027).await;
    check(signed(&RSA_PKCS1_SHA256, &json!({ "alg": "none" }), &right), 700_027).await;
    let other = json!({ "alg": "RS256", "x5t#S256": "AAAA" });
    check(signed(&RSA_PKCS1_SHA256, &other, &right), 700_027).await;
    let forged = signed(&RSA_PKCS1_SHA256, &rs, &right).replacen('.', ".e30", 1);
    check(forged, 700_027).await;
    check(signed(&RSA_PKCS1_SHA256, &rs, &with("aud", json!("https://x"))), 700_023).await;
    check(signed(&RSA_PKCS1_SHA256, &rs, &with("iss", json!("x"))), 700_021).await;
    check(signed(&RSA_PKCS1_SHA256, &rs, &with("sub", json!(null))), 700_021).await;
    check(signed(&RSA_PKCS1_SHA256, &rs, &with("exp", json!(now - 1))), 700_024).await;
    check(signed(&RSA_PKCS1_SHA256, &rs, &with("nbf", json!(now + 3600))), 700_024).await;
}

#[test]
fn files_that_are_no_certificates_are_refused() {
    assert!(ClientCertificate::from_pem(b"").is_err());
    assert!(ClientCertificate::from_pem(KEY).is_err());
    let empty = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(ClientCertificate::from_pem(empty).is_err());
    assert!(ClientCertificate::from_pem(&[KEY, CERTIFICATE].concat()).is_ok());
}

#[tokio::test]
async fn managed_identities_get_tokens_in_texts() {
    let mut azure = Azure::start(quick()).await;
    let secret = variable(&azure, "COSTLAKE_SIM_IDENTITY_HEADER");
    let service = variable(&azure, "COSTLAKE_SIM_IDENTITY_ENDPOINT");
    let machine = azure.url("metadata/identity/oauth2/token");
    let resource = "resource=https%3A%2F%2Fmanagement.azure.com%2F";
    let client = variable(&azure, "AZURE_CLIENT_ID");
    let ask = async |url: String, name: &str, value: &str| {
        azure.client.get(url).header(name, value).send().await.unwrap()
    };
    let service = format!("{service}?api-version=2019-08-01&{resource}");
    let machine = format!("{machine}?api-version=2018-02-01&{resource}");
    let mut tokens = Vec::new();
    for (url, name, value) in [
        (service.clone(), "X-IDENTITY-HEADER", secret.as_str()),
        (format!("{service}&client_id={client}"), "X-IDENTITY-HEADER", &secret),
        (machine.clone(), "Metadata", "true"),
    ] {
        let body: Value = ask(url, name, value).await.json().await.unwrap();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!("3599")));
        let expiry: i64 = body["expires_on"].as_str().unwrap().parse().unwrap();
        assert!((3500..=3599).contains(&(expiry - Utc::now().timestamp())));
        assert_eq!(body["resource"], "https://management.azure.com/");
        tokens.push(body["access_token"].as_str().unwrap().to_owned());
    }
    for (url, name, value, status) in [
        (service.clone(), "X-IDENTITY-HEADER", "wrong", 401),
        (format!("{service}&client_id=other"), "X-IDENTITY-HEADER", &secret, 400),
        (service.replace("management", "elsewhere"), "X-IDENTITY-HEADER", &secret, 400),
        (service.replace("2019", "2017"), "X-IDENTITY-HEADER", &secret, 400),
        (machine.clone(), "Accept", "*/*", 400),
    ] {
        let reply = ask(url.clone(), name, value).await;
        assert_eq!(reply.status(), status, "{url}");
        let body: Value = reply.json().await.unwrap();
        assert!(body["error"].is_string() && body["error_description"].is_string());
    }
    let gone = json!([{ "route": "token", "action": { "type": "reply", "status": 410 } }]);
    azure.control("faults", &gone).await;
    assert_eq!(ask(machine, "Metadata", "true").await.status(), 410);
    for token in tokens {
        azure.token = token;
        assert_eq!(azure.submit(ENROLLMENT, &json!({})).await.status(), 202);
    }
}

#[tokio::test]
async fn billing_objects_are_described() {
    let azure = Azure::start(quick()).await;
    let body = async |path: String| {
        let reply = get(&azure, &path).await;
        assert_eq!(reply.status(), 200, "{path}");
        reply.json::<Value>().await.unwrap()
    };
    let version = "api-version=2024-04-01";
    let account = body(format!("{ENROLLMENT}?{version}")).await;
    assert_eq!(account["name"], "8608480");
    assert_eq!(account["properties"]["agreementType"], "EnterpriseAgreement");
    assert_eq!(account["properties"]["enrollmentDetails"]["currency"], "EUR");

    for (kind, exact) in
        [("departments", "departments"), ("enrollmentaccounts", "enrollmentAccounts")]
    {
        let list = body(format!("{ENROLLMENT}/{kind}?{version}")).await;
        let list = list["value"].as_array().unwrap();
        assert!(list.len() > 1, "{kind}");
        let id = list[1]["name"].as_str().unwrap();
        assert_eq!(list[1]["id"], format!("/{ENROLLMENT}/{exact}/{id}"));
        assert_eq!(body(format!("{ENROLLMENT}/{kind}/{id}?{version}")).await, list[1]);
    }
    let organization: Value = get(&azure, "_simulator/organization").await.json().await.unwrap();
    let id = organization["subscriptions"][0]["id"].as_str().unwrap();
    let subscription = body(format!("subscriptions/{id}?api-version=2022-12-01")).await;
    assert_eq!(subscription["subscriptionId"], id);
    assert_eq!(subscription["state"], "Enabled");
    assert!(subscription["displayName"].is_string());
}

#[tokio::test]
async fn billing_objects_that_are_not_there_are_refused() {
    let azure = Azure::start(quick()).await;
    let check = async |path: &str, status: u16, expected: &str| {
        assert_eq!(code(get(&azure, path).await).await, (status, json!(expected)), "{path}");
    };
    let other = "providers/Microsoft.Billing/billingAccounts/1111111";
    let version = "api-version=2024-04-01";
    check(&format!("{other}?{version}"), 403, "AuthorizationFailed").await;
    check(&format!("{other}/departments?{version}"), 403, "AuthorizationFailed").await;
    check(&format!("{ENROLLMENT}/departments/1?{version}"), 404, "NotFound").await;
    check(&format!("{ENROLLMENT}/invoices?{version}"), 404, "NotFound").await;
    check(ENROLLMENT, 400, "MissingApiVersionParameter").await;
    check("subscriptions/x?api-version=2022-12-01", 404, "SubscriptionNotFound").await;
    check("subscriptions/x?api-version=2024-04-01", 400, "InvalidApiVersionParameter").await;
}

#[tokio::test]
async fn without_a_role_all_is_forbidden_but_signing_in() {
    let azure = Azure::start(ServerConfig { has_role: false, ..quick() }).await;
    let forbidden = (403, json!("AuthorizationFailed"));
    assert_eq!(code(azure.submit(ENROLLMENT, &json!({})).await).await, forbidden);
    let path = format!("{ENROLLMENT}?api-version=2024-04-01");
    assert_eq!(code(get(&azure, &path).await).await, forbidden);
}

#[tokio::test]
async fn the_clock_may_be_wrong() {
    let config = ServerConfig { clock_skew_seconds: -7200, polls_before_completion: 0, ..quick() };
    let azure = Azure::start(config).await;
    let submitted = azure.submit(ENROLLMENT, &json!({})).await;
    let date = DateTime::parse_from_rfc2822(&header(&submitted, "date")).unwrap();
    let behind = Utc::now().signed_duration_since(date);
    assert!((7190..7260).contains(&behind.num_seconds()), "{behind}");
    let report: Value = azure.poll(&location(&submitted)).await.json().await.unwrap();
    let valid_till = DateTime::parse_from_rfc3339(report["validTill"].as_str().unwrap()).unwrap();
    assert!(valid_till < Utc::now() - TimeDelta::minutes(50));
    let blob = crate::client::link(&report["manifest"]["blobs"][0]);
    assert_eq!(azure.client.get(blob).send().await.unwrap().status(), 200, "by its own clock");
}

#[tokio::test]
async fn reports_may_start_further_back() {
    let first_month = Month::new(2022, 8).unwrap();
    let enrollment = EnrollmentConfig {
        rows_per_month: 60,
        first_month,
        month_count: 36,
        open_month: Some(first_month.plus(35)),
        ..EnrollmentConfig::default()
    };
    let config = ServerConfig { enrollment, months_back: 35, ..quick() };
    let azure = Azure::start(config).await;
    let oldest = json!({ "billingPeriod": "202208" });
    assert_eq!(azure.complete(ENROLLMENT, &oldest).await.1["status"], "Completed");
    let older = azure.submit(ENROLLMENT, &json!({ "billingPeriod": "202207" })).await;
    assert_eq!(older.status(), 400);
}

#[tokio::test]
async fn faults_may_be_there_from_the_start() {
    let faults = br#"[{ "nth": 1, "action": { "type": "reply", "status": 503 } }]"#;
    let faults = FaultList::from_json(faults).unwrap();
    let server = Server::start(ServerConfig { faults, ..quick() }).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = async || client.get(server.origin()).send().await.unwrap().status().as_u16();
    assert_eq!([status().await, status().await], [503, 401]);
}
