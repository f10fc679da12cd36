//! Bearer tokens: asked for once, shared, renewed in time, replaced when refused.
//!
//! ```text
//! Credentials ─► TokenSource ──► credential ──► relay ──► Transport
//!                one at a time   azure_identity  policy    our limits
//! ```
//!
//! `azure_identity` knows what each kind of credential asks, and whom. It keeps tokens for itself and
//! repeats requests by its own rules; here each token is asked of a new credential, and the relay sends
//! once by our rules, so that neither matters.

mod assertion;
mod certificate;
mod chain;
mod command;
mod credential;
mod relay;
mod reply;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

pub use certificate::Certificate;
pub use chain::Candidate;

use crate::config::{Config, RetryLimits};
use crate::endpoints::Endpoints;
use crate::error::Error;
use crate::monitor::Monitor;
use crate::secret::Secret;
use crate::text;
use crate::transport::Transport;
use credential::Asked;

/// How long before its end a token is renewed (`azure-apis.md`, 9).
const RENEWAL_MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long a token of somebody else is taken as it is.
const FIXED_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Who we are to Azure.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A service principal with a client secret.
    ClientSecret {
        /// Tenant id or domain.
        tenant: String,
        /// Application (client) id.
        client_id: String,
        /// The secret.
        client_secret: Secret,
    },
    /// A service principal with a certificate.
    ClientCertificate {
        /// Tenant id or domain.
        tenant: String,
        /// Application (client) id.
        client_id: String,
        /// Certificate and private key.
        certificate: Certificate,
        /// Whether the certificates go along, for applications that trust a subject and an issuer rather
        /// than one certificate.
        send_chain: bool,
    },
    /// A service principal that trusts the tokens of another issuer, such as a Kubernetes cluster.
    WorkloadIdentity {
        /// Tenant id or domain.
        tenant: String,
        /// Application (client) id.
        client_id: String,
        /// Where the other issuer's token lies. Read anew for every request: it rotates.
        token_file: PathBuf,
    },
    /// The identity of the machine: of a virtual machine, or of App Service and Container Apps if
    /// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` are set.
    ManagedIdentity(Option<ManagedIdentityId>),
    /// Whoever is signed in to the Azure CLI.
    AzureCli {
        /// Tenant id or domain; `None` for that of the CLI.
        tenant: Option<String>,
        /// A subscription, by id or name, whose account is used; `None` for that of the CLI.
        subscription: Option<String>,
    },
    /// A token made elsewhere. It cannot be renewed.
    BearerToken(Secret),
    /// Several, of which the first that gives a token is kept. One that is not there is passed over; one
    /// that is there and refused is an error.
    Chain(Vec<Candidate>),
}

/// Which one of the identities of a machine. Without, it is that of the machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManagedIdentityId {
    /// Application (client) id.
    Client(String),
    /// Object (principal) id.
    Object(String),
    /// Resource id. Virtual machines only.
    Resource(String),
}

impl Credentials {
    /// The name of the kind, as in pipeline files.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ClientSecret { .. } => "client-secret",
            Self::ClientCertificate { .. } => "client-certificate",
            Self::WorkloadIdentity { .. } => "workload-identity",
            Self::ManagedIdentity(_) => "managed-identity",
            Self::AzureCli { .. } => "azure-cli",
            Self::BearerToken(_) => "bearer-token",
            Self::Chain(_) => "chain",
        }
    }

    /// The tenant, where it is known beforehand.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Self::ClientSecret { tenant, .. }
            | Self::ClientCertificate { tenant, .. }
            | Self::WorkloadIdentity { tenant, .. } => Some(tenant),
            Self::AzureCli { tenant, .. } => tenant.as_deref(),
            Self::ManagedIdentity(_) | Self::BearerToken(_) | Self::Chain(_) => None,
        }
    }
}

/// A token and which one it is.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    /// The kind of credential that gave it.
    pub(crate) kind: &'static str,
    generation: u64,
    renew_at: Instant,
}

/// Hands out tokens; at most one request for one is under way.
pub(crate) struct TokenSource {
    candidates: Vec<Candidate>,
    is_chain: bool,
    via: Arc<Via>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The candidate that gave the first token; no other is asked afterwards.
    chosen: Option<usize>,
}

/// What a token request goes through.
pub(crate) struct Via {
    pub(crate) transport: Arc<Transport>,
    /// The way to managed identities: no proxy, and an answer soon or never.
    pub(crate) identity_transport: Arc<Transport>,
    pub(crate) endpoints: Endpoints,
    pub(crate) limits: RetryLimits,
    pub(crate) monitor: Arc<dyn Monitor>,
}

impl Via {
    pub(crate) fn new(
        config: &Config,
        transport: &Arc<Transport>,
        monitor: &Arc<dyn Monitor>,
    ) -> Result<Self, Error> {
        Ok(Self {
            transport: Arc::clone(transport),
            identity_transport: Arc::new(Transport::for_identity(config)?),
            endpoints: config.endpoints.clone(),
            limits: config.retry,
            monitor: Arc::clone(monitor),
        })
    }
}

impl TokenSource {
    pub(crate) fn new(credentials: Credentials, via: Via) -> Result<Self, Error> {
        let is_chain = matches!(credentials, Credentials::Chain(_));
        let candidates = chain::candidates(credentials);
        for tenant in candidates.iter().filter_map(|c| c.credentials.as_ref().ok()?.tenant()) {
            check_tenant(tenant)?;
        }
        Ok(Self { candidates, is_chain, via: Arc::new(via), state: Mutex::default() })
    }

    /// Returns a token that is good for a while, from the cache or a credential.
    pub(crate) async fn token(&self) -> Result<Token, Error> {
        // Held over the request on purpose: the others wait for the one that asks.
        let mut state = self.state.lock().await;
        let generation = match &state.token {
            Some(token) if Instant::now() < token.renew_at => return Ok(token.clone()),
            Some(token) => token.generation + 1,
            None => 0,
        };
        self.renew(&mut state, generation).await
    }

    /// Returns a newer token than one that was refused; `None` if there can be none.
    pub(crate) async fn replace(&self, refused: &Token) -> Result<Option<Token>, Error> {
        let mut state = self.state.lock().await;
        match &state.token {
            Some(token) if token.generation > refused.generation => Ok(Some(token.clone())),
            _ if refused.kind == "bearer-token" => Ok(None),
            _ => self.renew(&mut state, refused.generation + 1).await.map(Some),
        }
    }

    async fn renew(&self, state: &mut State, generation: u64) -> Result<Token, Error> {
        let (kind, secret, lifetime) = self.request(state).await?;
        let margin = RENEWAL_MARGIN.min(lifetime / 2);
        let renew_at = Instant::now() + (lifetime - margin);
        let token = Token { secret, kind, generation, renew_at };
        state.token = Some(token.clone());
        Ok(token)
    }

    /// Asks the chosen candidate, or one after the other.
    async fn request(&self, state: &mut State) -> Result<(&'static str, Secret, Duration), Error> {
        let mut tried = Vec::new();
        for (at, candidate) in self.candidates.iter().enumerate() {
            if state.chosen.is_some_and(|chosen| chosen != at) {
                continue;
            }
            let reason = match &candidate.credentials {
                Err(reason) => reason.clone(),
                Ok(credentials) => match credential::ask(credentials, &self.via).await {
                    Ok(Asked::Token(secret, lifetime)) => {
                        state.chosen = Some(at);
                        return Ok((credentials.kind(), secret, lifetime));
                    }
                    Ok(Asked::Unavailable(reason)) => reason,
                    Err(error) if self.is_chain => return Err(error.of_credential(candidate.name)),
                    Err(error) => return Err(error),
                },
            };
            tried.push(format!("{}: {reason}", candidate.name));
        }
        Err(Error::CredentialUnavailable { tried })
    }
}

fn check_tenant(tenant: &str) -> Result<(), Error> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if tenant.is_empty() || tenant.starts_with('.') || !tenant.bytes().all(is_name) {
        return Err(Error::Configuration {
            problem: format!(
                "`{}` is no tenant: expected an id or a domain",
                text::escaped(tenant)
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_stay_in_their_path_segment() {
        for tenant in ["", "..", "a/b", "a?b", "a#b", "a\\b", "a b", "ü"] {
            assert!(check_tenant(tenant).is_err(), "{tenant}");
        }
        assert!(check_tenant("contoso.onmicrosoft.com").is_ok());
    }
}
