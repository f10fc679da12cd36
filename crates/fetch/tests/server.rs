use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use costlake_fetch::{
    BlobInfo, Certificate, Client, Config, Credentials, Endpoints, Error, Event, Monitor,
    ReportManifest, ReportPeriod, ReportRequest, Secret,
};
use costlake_model::{Metric, Scope};
use tokio::net::TcpListener;

pub(crate) const GUID: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const TOKEN: &str = "canary-token";
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret";
pub(crate) const SIGNATURE: &str = "canary-signature";

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// How many requests came to this path before.
    pub(crate) nth: usize,
    pub(crate) base: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn is_submit(&self) -> bool {
        self.path.ends_with("/generateCostDetailsReport")
    }

    pub(crate) fn is_poll(&self) -> bool {
        self.path.contains("/costDetailsOperationResults/")
    }

    pub(crate) fn is_token(&self) -> bool {
        self.path.ends_with("/oauth2/v2.0/token")
    }

    pub(crate) fn is_identity(&self) -> bool {
        self.path == "/metadata/identity/oauth2/token"
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.path.starts_with("/blobs/")
    }
}

/// A server whose answers a test scripts.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (server_log, answer) = (Arc::clone(&log), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (log, answer) = (Arc::clone(&server_log), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let seen = {
                    let mut log = log.lock().unwrap();
                    let path = parts.uri.path().to_owned();
                    let seen = Seen {
                        method: parts.method.to_string(),
                        nth: log.iter().filter(|seen| seen.path == path).count(),
                        path,
                        query: parts.uri.query().unwrap_or_default().to_owned(),
                        headers: parts.headers,
                        body: String::from_utf8(body.to_vec()).unwrap(),
                        base: format!("http://{address}"),
                    };
                    log.push(seen.clone());
                    seen
                };
                answer(&seen)
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, log }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.seen().iter().filter(|seen| wanted(seen)).count()
    }

    pub(crate) fn config(&self) -> Config {
        quick_config(&self.base())
    }

    /// A client with a fixed token.
    pub(crate) fn client(&self) -> Client {
        client(self.config())
    }
}

pub(crate) fn quick_config(base: &str) -> Config {
    let storage = vec![base.parse().unwrap()];
    let mut config = Config::new(Endpoints::new(base, base, storage).unwrap());
    config.retry.attempts = 4;
    config.retry.base_wait = Duration::from_millis(2);
    config.retry.min_asked_wait = Duration::ZERO;
    config.retry.max_asked_wait = Duration::from_millis(20);
    config.retry.total = Duration::from_secs(20);
    config.poll.default_wait = Duration::from_millis(1);
    config.poll.deadline = Duration::from_secs(20);
    config
}

pub(crate) fn client(config: Config) -> Client {
    let token = Credentials::BearerToken(Secret::new(TOKEN));
    Client::new(config, token, Arc::new(Recorder::default())).unwrap()
}

pub(crate) fn principal() -> Credentials {
    Credentials::ClientSecret {
        tenant: "contoso.example".to_owned(),
        client_id: "app".to_owned(),
        client_secret: Secret::new(CLIENT_SECRET),
    }
}

pub(crate) fn certificate() -> Credentials {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificate.pem");
    Credentials::ClientCertificate {
        tenant: "contoso.example".to_owned(),
        client_id: "app".to_owned(),
        certificate: Certificate::read(&file).unwrap(),
        send_chain: true,
    }
}

pub(crate) fn workload(token_file: &Path) -> Credentials {
    Credentials::WorkloadIdentity {
        tenant: "contoso.example".to_owned(),
        client_id: "app".to_owned(),
        token_file: token_file.to_owned(),
    }
}

/// Keeps the names of the events that it hears.
#[derive(Clone, Default)]
pub(crate) struct Recorder(pub(crate) Arc<Mutex<Vec<String>>>);

impl Monitor for Recorder {
    fn on_event(&self, event: &Event<'_>) {
        let name = match event {
            Event::Submitted { operation_id, .. } => format!("submitted {operation_id}"),
            Event::Waiting { polls, .. } => format!("waiting {polls}"),
            Event::Completed { blobs, blob_bytes, .. } => format!("completed {blobs} {blob_bytes}"),
            Event::NoData { .. } => "no data".to_owned(),
            Event::Retrying { attempts, status, .. } => format!("retrying {attempts} {status:?}"),
            _ => "other".to_owned(),
        };
        self.0.lock().unwrap().push(name);
    }
}

pub(crate) fn request() -> ReportRequest {
    ReportRequest {
        scope: Scope::department(None, "84819").unwrap(),
        metric: Metric::Actual,
        period: ReportPeriod::Billing("2025-07".parse().unwrap()),
    }
}

pub(crate) async fn create(client: &Client) -> Result<Option<ReportManifest>, Error> {
    client.create_report(&request()).await
}

pub(crate) async fn create_error(server: &Server) -> Error {
    create(&server.client()).await.unwrap_err()
}

/// A blob of the server, by its path below `/blobs/`.
pub(crate) async fn blob(server: &Server, name: &str, byte_count: u64) -> BlobInfo {
    let manifest = completed(&server.base(), &[(name, byte_count)]);
    let issuer = Server::start(move |_| json(200, &manifest)).await;
    let mut config = issuer.config();
    let endpoints = vec![server.base().parse().unwrap()];
    config.endpoints = Endpoints::new(&issuer.base(), &issuer.base(), endpoints).unwrap();
    let manifest = create(&client(config)).await.unwrap().unwrap();
    manifest.blobs[0].clone()
}

pub(crate) async fn read(client: &Client, blob: &BlobInfo) -> Result<Vec<u8>, Error> {
    let mut download = client.download(blob);
    let mut bytes = Vec::new();
    while let Some(chunk) = download.next_chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(download.received_bytes(), blob.byte_count);
    Ok(bytes)
}

/// The body of a finished operation with blobs of a server.
pub(crate) fn completed(base: &str, blobs: &[(&str, u64)]) -> String {
    let links: Vec<String> = blobs
        .iter()
        .map(|(name, bytes)| {
            format!(
                r#"{{"blobLink":"{base}/blobs/{name}?sv=1&sig={SIGNATURE}","byteCount":{bytes}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"id":"x","name":"{GUID}","status":"Completed","manifest":{{"manifestVersion":"2025-03-01",
        "dataFormat":"Csv","blobCount":{},"byteCount":1,"compressData":false,
        "requestContext":{{"requestScope":"x","requestBody":{{"metric":"ActualCost"}}}},"blobs":[{}]}},
        "validTill":"2999-05-10T08:08:46.1973252Z"}}"#,
        blobs.len(),
        links.join(",")
    )
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

pub(crate) fn json(status: u16, body: &str) -> Response {
    answer(status, &[("content-type", "application/json")], body.to_owned())
}

pub(crate) fn status(status: u16) -> Response {
    answer(status, &[], Body::empty())
}

/// 202 with the address of the operation.
pub(crate) fn accepted(seen: &Seen) -> Response {
    let location = operation_url(&seen.base);
    answer(202, &[("location", &location), ("retry-after", "0")], Body::empty())
}

pub(crate) fn operation_url(base: &str) -> String {
    format!(
        "{base}/providers/Microsoft.CostManagement/costDetailsOperationResults/{GUID}?api-version=2024-08-01&sessiontoken=canary-session"
    )
}

pub(crate) fn token(value: &str) -> Response {
    json(200, &format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{value}"}}"#))
}

/// A token as managed identities give it: all members are texts.
pub(crate) fn identity_token(value: &str) -> Response {
    json(
        200,
        &format!(
            r#"{{"access_token":"{value}","refresh_token":"","expires_in":"3599","expires_on":"32503680000",
            "not_before":"0","resource":"x","token_type":"Bearer"}}"#
        ),
    )
}
