//! A running simulator and a client that knows nothing but HTTP.

use crate::reading::{Line, read_blob};
use costlake_sim::generator::EnrollmentConfig;
use costlake_sim::server::{Server, ServerConfig};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;

pub(crate) const ENROLLMENT: &str = "providers/Microsoft.Billing/billingAccounts/8608480";
pub(crate) const VERSION: &str = "api-version=2025-03-01";

/// A server and a signed-in client.
pub(crate) struct Azure {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) token: String,
}

pub(crate) fn quick() -> ServerConfig {
    ServerConfig {
        enrollment: EnrollmentConfig { rows_per_month: 400, ..EnrollmentConfig::default() },
        retry_after_seconds: 0,
        ..ServerConfig::default()
    }
}

impl Azure {
    pub(crate) async fn start(config: ServerConfig) -> Self {
        let server = Server::start(config).await.unwrap();
        let client =
            Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        let mut azure = Self { server, client, token: String::new() };
        azure.sign_in().await;
        azure
    }

    pub(crate) async fn sign_in(&mut self) {
        let reply = self.ask_token(&[]).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 3599);
        body["access_token"].as_str().unwrap().clone_into(&mut self.token);
    }

    /// A token request with some of its fields replaced.
    pub(crate) fn ask_token(&self, changes: &[(&str, &str)]) -> RequestBuilder {
        let environment = self.server.environment();
        let value =
            |name: &str| environment.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", value("AZURE_CLIENT_ID")),
            ("client_secret", value("AZURE_CLIENT_SECRET")),
            ("scope", "https://management.azure.com/.default".to_owned()),
        ];
        let mut tenant = value("AZURE_TENANT_ID");
        for (name, changed) in changes {
            match form.iter_mut().find(|(known, _)| known == name) {
                Some(field) => (*changed).clone_into(&mut field.1),
                None => (*changed).clone_into(&mut tenant),
            }
        }
        self.client
            .post(format!("{}/{tenant}/oauth2/v2.0/token", value("AZURE_AUTHORITY_HOST")))
            .form(&form)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.server.origin())
    }

    pub(crate) async fn submit(&self, scope: &str, body: &Value) -> Response {
        let path = format!(
            "{scope}/providers/Microsoft.CostManagement/generateCostDetailsReport?{VERSION}"
        );
        self.client.post(self.url(&path)).bearer_auth(&self.token).json(body).send().await.unwrap()
    }

    pub(crate) async fn poll(&self, location: &str) -> Response {
        self.client.get(location).bearer_auth(&self.token).send().await.unwrap()
    }

    /// Submits and polls until the answer is not 202; returns the number of 202 replies to polls and the body.
    pub(crate) async fn complete(&self, scope: &str, body: &Value) -> (u32, Value) {
        let submitted = self.submit(scope, body).await;
        assert_eq!(submitted.status(), 202);
        let location = location(&submitted);
        for waited in 0..10 {
            let reply = self.poll(&location).await;
            if reply.status() != StatusCode::ACCEPTED {
                assert_eq!(reply.status(), 200);
                return (waited, reply.json().await.unwrap());
            }
            assert_eq!(header(&reply, "location"), location);
            assert_eq!(header(&reply, "retry-after"), "0");
        }
        panic!("the report is never complete");
    }

    /// Runs a report and reads all its rows.
    pub(crate) async fn rows(&self, scope: &str, body: &Value) -> Vec<Line> {
        let (_, report) = self.complete(scope, body).await;
        let mut rows = Vec::new();
        for blob in report["manifest"]["blobs"].as_array().unwrap() {
            let content = self.client.get(link(blob)).send().await.unwrap().bytes().await.unwrap();
            assert_eq!(blob["byteCount"], content.len());
            rows.extend(read_blob(&content));
        }
        rows
    }

    pub(crate) async fn control(&self, command: &str, body: &Value) -> Response {
        self.client
            .post(self.url(&format!("_simulator/{command}")))
            .json(body)
            .send()
            .await
            .unwrap()
    }
}

pub(crate) fn header(reply: &Response, name: &str) -> String {
    reply.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

pub(crate) fn location(reply: &Response) -> String {
    header(reply, "location")
}

pub(crate) fn link(blob: &Value) -> &str {
    blob["blobLink"].as_str().unwrap()
}
