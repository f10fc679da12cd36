//! Azure on 127.0.0.1: the token endpoint, Cost Details reports, the storage that holds their blobs, and a control plane.
//!
//! | path | what answers |
//! |---|---|
//! | `POST /{tenant}/oauth2/v2.0/token` | client credentials |
//! | `GET /msi/token`, `GET /metadata/identity/oauth2/token` | managed identities |
//! | `POST /{scope}/providers/Microsoft.CostManagement/generateCostDetailsReport` | 202 with `Location` |
//! | `GET /{scope}/providers/Microsoft.CostManagement/costDetailsOperationResults/{id}` (or `...Status`) | 202, then 200 |
//! | `GET /blobs/{container}/{name}.csv?sv=..&se=..&sig=..` | the CSV |
//! | `GET /providers/Microsoft.Billing/...`, `GET /subscriptions/{id}` | accounts, departments, subscriptions |
//! | `/_simulator/...` | for tests, see the `control` module |
//!
//! Answers follow the published REST specification of Microsoft.CostManagement, `generateCostDetailsReport` 2025-03-01,
//! and its examples. The wall clock decides only when tokens and links expire; months come from the configuration.

mod assertion;
mod billing;
mod blobs;
mod connection;
mod control;
mod damage;
mod delivery;
mod dispatch;
mod faults;
mod identity;
mod login;
mod packing;
mod replies;
mod reports;
mod request;
mod request_body;
mod scopes;
mod state;
mod throttle;

pub use assertion::{CertificateError, ClientCertificate};
pub use faults::FaultList;
pub use throttle::Quota;

use crate::generator::EnrollmentConfig;
use state::Simulator;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How far back reports may start, as Azure documents it.
pub const DEFAULT_MONTHS_BACK: u32 = 13;

/// How the simulator behaves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The enrollment it serves.
    pub enrollment: EnrollmentConfig,
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// State of the open month at the start.
    pub revision: u32,
    /// Polls answered with 202 before a report is complete.
    pub polls_before_completion: u32,
    /// What `Retry-After` says, in whole seconds.
    pub retry_after_seconds: u32,
    /// Blobs per report, if it has rows for so many.
    pub blobs_per_report: usize,
    /// Whether the blobs of whole months are rendered before the server answers, and stay in memory.
    pub prerender: bool,
    /// How long links stay valid after the poll that handed them out; `None` means a year.
    pub link_lifetime: Option<Duration>,
    /// Whether a later poll of a complete report hands out fresh links.
    pub link_renewal: LinkRenewal,
    /// How long tokens are valid.
    pub token_lifetime: Duration,
    /// How a report without data looks.
    pub no_data: NoData,
    /// Who may sign in.
    pub credentials: Credentials,
    /// How many seconds the clock of the server is ahead of the right time; negative if it is behind.
    pub clock_skew_seconds: i64,
    /// Whether the one who signs in has a role; if not, all calls but signing in are forbidden.
    pub has_role: bool,
    /// The certificate with whose key a client may sign in.
    pub client_certificate: Option<ClientCertificate>,
    /// How many requests are allowed.
    pub quota: Quota,
    /// Reports with more rows than this fail, as those do that take Azure too long; `None` is without limit.
    pub most_rows: Option<u64>,
    /// How many months before the open one a report may start.
    pub months_back: u32,
    /// Faults to begin with.
    pub faults: FaultList,
}

/// Whether polling a complete report again renews its links. The documentation does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkRenewal {
    /// Each poll signs the links anew.
    EachPoll,
    /// The links stay as the first completed poll gave them.
    Never,
}

/// How the service says that there is no data. The specification allows both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoData {
    /// The report completes with status `NoDataFound`.
    Status,
    /// The request itself is answered with 204.
    NoContent,
}

/// A service principal that may read the enrollment.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Tenant id, a GUID.
    pub tenant_id: String,
    /// Application (client) id, a GUID.
    pub client_id: String,
    /// Client secret.
    pub client_secret: String,
    /// The token of another identity provider that stands for the client.
    pub federated_token: String,
    /// What a managed identity of App Service has to send.
    pub identity_header: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            tenant_id: "6e8d1c5a-0b1f-4a55-9a3e-2f6c0d7e4b10".to_owned(),
            client_id: "b07a1f6e-5c36-4d0e-8a55-1f0c7d3e9a21".to_owned(),
            client_secret: "simulated-secret~of.no-value".to_owned(),
            federated_token: "simulated.federated.token".to_owned(),
            identity_header: "simulated-identity-header".to_owned(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            enrollment: EnrollmentConfig::default(),
            port: 0,
            revision: 0,
            polls_before_completion: 2,
            retry_after_seconds: 1,
            blobs_per_report: 3,
            prerender: false,
            link_lifetime: Some(Duration::from_secs(3600)),
            link_renewal: LinkRenewal::EachPoll,
            token_lifetime: Duration::from_secs(3599),
            no_data: NoData::Status,
            credentials: Credentials::default(),
            clock_skew_seconds: 0,
            has_role: true,
            client_certificate: None,
            quota: Quota::default(),
            most_rows: None,
            months_back: DEFAULT_MONTHS_BACK,
            faults: FaultList::default(),
        }
    }
}

/// The server cannot listen, or stopped listening.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The port is taken or not allowed.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port asked for.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// Accepting connections failed.
    #[error("the simulator stopped")]
    Stopped(#[source] io::Error),
}

/// How long open connections may take to finish when the server shuts down.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// A running simulator.
pub struct Server {
    address: SocketAddr,
    simulator: Arc<Simulator>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Starts to listen. Returns once connections are accepted.
    ///
    /// # Errors
    /// [`ServerError::Listen`] if the port cannot be had.
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let port = config.port;
        let listen_error = |source| ServerError::Listen { port, source };
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let (closures, closures_to_come) = mpsc::unbounded_channel();
        let simulator = Arc::new(Simulator::new(config, format!("http://{address}"), closures));
        if simulator.config.prerender {
            blobs::prerender(&simulator).await;
        }
        let task = tokio::spawn(connection::listen(listener, simulator.clone(), closures_to_come));
        Ok(Self { address, simulator, task })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns scheme, host and port, such as `http://127.0.0.1:41234`.
    pub fn origin(&self) -> &str {
        &self.simulator.origin
    }

    /// Returns what a client needs in its environment, as name and value.
    pub fn environment(&self) -> Vec<(String, String)> {
        let config = &self.simulator.config;
        let origin = self.origin().to_owned();
        let credentials = config.credentials.clone();
        let pairs = [
            ("COSTLAKE_ARM_ENDPOINT", origin.clone()),
            ("COSTLAKE_STORAGE_ENDPOINT", origin.clone()),
            ("AZURE_AUTHORITY_HOST", origin.clone()),
            ("AZURE_TENANT_ID", credentials.tenant_id),
            ("AZURE_CLIENT_ID", credentials.client_id),
            ("AZURE_CLIENT_SECRET", credentials.client_secret),
            ("COSTLAKE_SIM_FEDERATED_TOKEN", credentials.federated_token),
            ("COSTLAKE_SIM_IDENTITY_ENDPOINT", format!("{origin}{}", identity::APP_SERVICE_PATH)),
            ("COSTLAKE_SIM_IDENTITY_HEADER", credentials.identity_header),
            ("COSTLAKE_DEMO_BILLING_ACCOUNT", config.enrollment.enrollment_number.clone()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Waits until someone asks it to stop through the control plane.
    pub async fn stopped(&self) {
        self.simulator.stopped().await;
    }

    /// Stops listening, lets open requests finish for two seconds, and ends.
    ///
    /// # Errors
    /// [`ServerError::Stopped`] if it had failed before.
    pub async fn shutdown(self) -> Result<(), ServerError> {
        self.simulator.stop();
        let abort = self.task.abort_handle();
        match tokio::time::timeout(SHUTDOWN_GRACE, self.task).await {
            Ok(Ok(result)) => result.map_err(ServerError::Stopped),
            Ok(Err(join)) => Err(ServerError::Stopped(io::Error::other(join))),
            Err(_elapsed) => {
                abort.abort();
                Ok(())
            }
        }
    }
}
