//! Asking one credential for one token.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{AccessToken, TokenCredential};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use chrono::Utc;

use crate::auth::assertion::CertificateAssertion;
use crate::auth::command::{CommandFailure, CommandRunner};
use crate::auth::relay::Relay;
use crate::auth::{Credentials, FIXED_LIFETIME, ManagedIdentityId, Via, reply};
use crate::endpoints::Endpoints;
use crate::error::{Error, Place};
use crate::policy::Purpose;
use crate::retry::{Job, Replay};
use crate::secret::Secret;
use crate::text;

/// What the Azure CLI is asked with, for errors.
const CLI_COMMAND: &str = "az account get-access-token";

/// What asking came to, unless it was refused.
pub(crate) enum Asked {
    /// A token, and how long it is good.
    Token(Secret, Duration),
    /// The credential is not there, and why.
    Unavailable(String),
}

/// A credential of `azure_identity`, or why it could not be made.
type Made = azure_core::Result<Arc<dyn TokenCredential>>;

/// Asks for a token. The credential is made for this one question, so nothing answers from a cache.
///
/// # Errors
/// The refusal, or why the authority did not answer.
pub(crate) async fn ask(credentials: &Credentials, via: &Arc<Via>) -> Result<Asked, Error> {
    match credentials {
        Credentials::BearerToken(token) => Ok(Asked::Token(token.clone(), FIXED_LIFETIME)),
        Credentials::AzureCli { tenant, subscription } => {
            ask_cli(tenant.as_deref(), subscription.as_deref(), &via.endpoints).await
        }
        Credentials::ManagedIdentity(id) => ask_managed_identity(id.as_ref(), via).await,
        Credentials::ClientSecret { tenant, client_id, client_secret } => {
            let secret = client_secret.reveal().to_owned();
            let make = |client_options| {
                let options = ClientSecretCredentialOptions { client_options };
                let made = ClientSecretCredential::new(
                    tenant,
                    client_id.clone(),
                    secret.into(),
                    Some(options),
                );
                Ok(made? as Arc<dyn TokenCredential>)
            };
            ask_authority(via, make).await
        }
        Credentials::ClientCertificate { tenant, client_id, certificate, send_chain } => {
            let assertion = CertificateAssertion {
                certificate: certificate.clone(),
                send_chain: *send_chain,
                client_id: client_id.clone(),
                audience: format!("{}{tenant}/oauth2/v2.0/token", via.endpoints.authority()),
                now: via.transport.server_now(),
            };
            let make = |client_options| {
                let options = Some(ClientAssertionCredentialOptions { client_options });
                let (tenant, client_id) = (tenant.clone(), client_id.clone());
                let made = ClientAssertionCredential::new(tenant, client_id, assertion, options);
                Ok(made? as Arc<dyn TokenCredential>)
            };
            ask_authority(via, make).await
        }
        Credentials::WorkloadIdentity { tenant, client_id, token_file } => {
            if let Err(reason) = readable(token_file) {
                return Ok(Asked::Unavailable(reason));
            }
            let make = |client_options| {
                let credential_options = ClientAssertionCredentialOptions { client_options };
                let options = WorkloadIdentityCredentialOptions {
                    credential_options,
                    client_id: Some(client_id.clone()),
                    tenant_id: Some(tenant.clone()),
                    token_file_path: Some(token_file.clone()),
                };
                Ok(WorkloadIdentityCredential::new(Some(options))? as Arc<dyn TokenCredential>)
            };
            ask_authority(via, make).await
        }
        // Chains were taken apart before.
        Credentials::Chain(_) => Ok(Asked::Unavailable("a chain is no credential".to_owned())),
    }
}

/// Asks through the authority.
async fn ask_authority(
    via: &Arc<Via>,
    make: impl FnOnce(ClientOptions) -> Made,
) -> Result<Asked, Error> {
    let relay = Relay::new(via, Purpose::Authority);
    let asked = match make(client_options(&relay, &via.endpoints)) {
        Ok(credential) => token_of(credential.as_ref(), &via.endpoints).await,
        Err(error) => Err(error),
    };
    match (asked, relay.take()) {
        (Ok(token), _) => Ok(granted(&token)),
        (Err(_), Some(Ok((answer, place)))) => Err(reply::refusal(&answer, place)),
        (Err(_), Some(Err(error))) => Err(error),
        (Err(error), None) => Err(Error::Configuration {
            problem: format!(
                "the credential cannot be used: {}",
                text::first_line(&error.to_string())
            ),
        }),
    }
}

/// Asks the metadata service of the machine, or what App Service puts in its place.
async fn ask_managed_identity(
    id: Option<&ManagedIdentityId>,
    via: &Arc<Via>,
) -> Result<Asked, Error> {
    let relay = Relay::new(via, Purpose::Identity);
    let options = ManagedIdentityCredentialOptions {
        user_assigned_id: id.map(user_assigned),
        client_options: client_options(&relay, &via.endpoints),
    };
    let asked = match ManagedIdentityCredential::new(Some(options)) {
        Ok(credential) => token_of(credential.as_ref(), &via.endpoints).await,
        Err(error) => Err(error),
    };
    match (asked, relay.take()) {
        (Ok(token), _) => Ok(granted(&token)),
        (Err(_), Some(Ok((answer, _)))) if matches!(answer.status, 400 | 404) => {
            let (code, message) = reply::code_and_message(&answer);
            Ok(Asked::Unavailable(format!("the machine has no such identity: {code}: {message}")))
        }
        (Err(_), Some(Ok((answer, place)))) => Err(reply::refusal(&answer, place)),
        (Err(_), Some(Err(Error::Unavailable { status: None, place, .. }))) => {
            Ok(Asked::Unavailable(format!("no answer from {}", place.address)))
        }
        (Err(_), Some(Err(error))) => Err(error),
        (Err(error), None) => Ok(Asked::Unavailable(text::first_line(&error.to_string()))),
    }
}

/// Asks whoever is signed in to the Azure CLI.
async fn ask_cli(
    tenant: Option<&str>,
    subscription: Option<&str>,
    endpoints: &Endpoints,
) -> Result<Asked, Error> {
    let runner = Arc::new(CommandRunner::default());
    let options = AzureCliCredentialOptions {
        subscription: subscription.map(str::to_owned),
        tenant_id: tenant.map(str::to_owned),
        executor: Some(Arc::clone(&runner) as _),
    };
    let credential = match AzureCliCredential::new(Some(options)) {
        Ok(credential) => credential,
        Err(error) => {
            let problem = text::first_line(&error.to_string());
            return Err(Error::Configuration { problem });
        }
    };
    let asked = token_of(credential.as_ref(), endpoints).await;
    match (asked, runner.take()) {
        (Ok(token), _) => Ok(granted(&token)),
        (Err(_), Some(CommandFailure::Unavailable(reason))) => Ok(Asked::Unavailable(reason)),
        (Err(_), Some(CommandFailure::Refused { code, message })) => {
            Err(Error::Authentication { code, message, place: cli_place() })
        }
        // What it printed may be a token in part, so the reason is not said in its words.
        (Err(_), None) => Err(Error::Protocol {
            violation: "it printed no token; Azure CLI 2.54 or newer is needed".to_owned(),
            place: cli_place(),
        }),
    }
}

async fn token_of(
    credential: &dyn TokenCredential,
    endpoints: &Endpoints,
) -> azure_core::Result<AccessToken> {
    credential.get_token(&[endpoints.token_scope()], None).await
}

/// Returns a token and the rest of its life, at most a day, by the clock of this machine.
fn granted(token: &AccessToken) -> Asked {
    let seconds = token.expires_on.unix_timestamp() - Utc::now().timestamp();
    let lifetime = Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(FIXED_LIFETIME);
    Asked::Token(Secret::new(token.token.secret()), lifetime)
}

fn client_options(relay: &Arc<Relay>, endpoints: &Endpoints) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = endpoints.secure_authority();
    ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(Transport::new(Arc::clone(relay) as _)),
        cloud: Some(Arc::new(cloud.into())),
        ..ClientOptions::default()
    }
}

fn user_assigned(id: &ManagedIdentityId) -> UserAssignedId {
    match id.clone() {
        ManagedIdentityId::Client(id) => UserAssignedId::ClientId(id),
        ManagedIdentityId::Object(id) => UserAssignedId::ObjectId(id),
        ManagedIdentityId::Resource(id) => UserAssignedId::ResourceId(id),
    }
}

fn readable(token_file: &Path) -> Result<(), String> {
    let opened = std::fs::File::open(token_file).map(|_| ());
    opened.map_err(|error| format!("cannot read {}: {error}", token_file.display()))
}

fn cli_place() -> Box<Place> {
    let job = Job { method: "RUN", address: CLI_COMMAND, blob: None, replay: Replay::Safe };
    Box::new(job.place(1, Duration::ZERO))
}
