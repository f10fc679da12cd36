//! Credentials in the order in which they are tried.

use std::path::PathBuf;

use crate::auth::{Certificate, Credentials, ManagedIdentityId};
use crate::error::Error;
use crate::secret::Secret;

const TENANT_ID: &str = "AZURE_TENANT_ID";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
const CERTIFICATE_PATH: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const SEND_CHAIN: &str = "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN";
const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";

/// A member of a chain.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it is called in errors.
    pub name: &'static str,
    /// What it asks with, or why it is not configured.
    pub credentials: Result<Credentials, String>,
}

impl Credentials {
    /// Returns the chain that the usual environment variables of Azure describe: client secret or
    /// certificate, workload identity, managed identity, Azure CLI. `variable` gives the value of a
    /// variable.
    ///
    /// # Errors
    /// [`Error::Configuration`] if the certificate that a variable names cannot be used.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let identity = variable(CLIENT_ID).map(ManagedIdentityId::Client);
        Ok(Self::Chain(vec![
            service_principal(&variable)?,
            Candidate { name: "workload-identity", credentials: workload_identity(&variable) },
            Candidate {
                name: "managed-identity",
                credentials: Ok(Self::ManagedIdentity(identity)),
            },
            Candidate {
                name: "azure-cli",
                credentials: Ok(Self::AzureCli { tenant: None, subscription: None }),
            },
        ]))
    }
}

/// Returns what credentials consist of: themselves, or the members of a chain.
pub(crate) fn candidates(credentials: Credentials) -> Vec<Candidate> {
    match credentials {
        Credentials::Chain(members) => members.into_iter().flat_map(flattened).collect(),
        credentials => vec![Candidate { name: credentials.kind(), credentials: Ok(credentials) }],
    }
}

fn flattened(member: Candidate) -> Vec<Candidate> {
    match member.credentials {
        Ok(Credentials::Chain(_)) => member.credentials.map(candidates).unwrap_or_default(),
        _ => vec![member],
    }
}

fn service_principal(variable: &impl Fn(&str) -> Option<String>) -> Result<Candidate, Error> {
    let missing = |reason: String| Candidate {
        name: "client-secret or client-certificate",
        credentials: Err(reason),
    };
    let (secret, path) = (variable(CLIENT_SECRET), variable(CERTIFICATE_PATH));
    if secret.is_none() && path.is_none() {
        return Ok(missing(format!("neither {CLIENT_SECRET} nor {CERTIFICATE_PATH} is set")));
    }
    let (tenant, client_id) = match principal(variable) {
        Ok(principal) => principal,
        Err(reason) => return Ok(missing(reason)),
    };
    let credentials = match (secret, path) {
        (Some(secret), _) => {
            Credentials::ClientSecret { tenant, client_id, client_secret: Secret::new(secret) }
        }
        (None, path) => {
            let certificate = Certificate::read(&PathBuf::from(path.unwrap_or_default()))?;
            let send_chain = variable(SEND_CHAIN)
                .is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
            Credentials::ClientCertificate { tenant, client_id, certificate, send_chain }
        }
    };
    Ok(Candidate { name: credentials.kind(), credentials: Ok(credentials) })
}

fn workload_identity(variable: &impl Fn(&str) -> Option<String>) -> Result<Credentials, String> {
    let token_file = set(variable, FEDERATED_TOKEN_FILE)?.into();
    let (tenant, client_id) = principal(variable)?;
    Ok(Credentials::WorkloadIdentity { tenant, client_id, token_file })
}

fn principal(variable: &impl Fn(&str) -> Option<String>) -> Result<(String, String), String> {
    Ok((set(variable, TENANT_ID)?, set(variable, CLIENT_ID)?))
}

fn set(variable: &impl Fn(&str) -> Option<String>, name: &str) -> Result<String, String> {
    variable(name).ok_or_else(|| format!("{name} is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(variables: &[(&str, &str)]) -> Vec<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let Credentials::Chain(members) = Credentials::from_environment(variable).unwrap() else {
            panic!("no chain");
        };
        let described = |member: Candidate| match member.credentials {
            Ok(credentials) => format!("{credentials:?}"),
            Err(reason) => reason,
        };
        members.into_iter().map(described).collect()
    }

    #[test]
    fn an_empty_environment_leaves_the_machine_and_the_cli() {
        let members = members(&[("AZURE_CLIENT_SECRET", "")]);
        assert_eq!(
            members,
            [
                "neither AZURE_CLIENT_SECRET nor AZURE_CLIENT_CERTIFICATE_PATH is set",
                "AZURE_FEDERATED_TOKEN_FILE is not set",
                "ManagedIdentity(None)",
                "AzureCli { tenant: None, subscription: None }",
            ]
        );
    }

    #[test]
    fn what_is_set_in_part_says_what_is_missing() {
        let half = members(&[("AZURE_CLIENT_SECRET", "s"), ("AZURE_TENANT_ID", "t")]);
        assert_eq!(half[0], "AZURE_CLIENT_ID is not set");
        let half = members(&[("AZURE_FEDERATED_TOKEN_FILE", "f"), ("AZURE_CLIENT_ID", "c")]);
        assert_eq!(half[1], "AZURE_TENANT_ID is not set");
        assert_eq!(half[2], "ManagedIdentity(Some(Client(\"c\")))");
    }

    #[test]
    fn a_whole_environment_gives_a_principal() {
        let whole = members(&[
            ("AZURE_CLIENT_SECRET", "s"),
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_FEDERATED_TOKEN_FILE", "f"),
        ]);
        assert!(whole[0].starts_with("ClientSecret { tenant: \"t\""), "{whole:?}");
        assert!(whole[1].starts_with("WorkloadIdentity { tenant: \"t\""), "{whole:?}");
    }

    #[test]
    fn a_certificate_that_is_named_and_missing_is_an_error() {
        let variable = |name: &str| match name {
            "AZURE_CLIENT_CERTIFICATE_PATH" => Some("/no/such.pem".to_owned()),
            _ => Some("x".to_owned()).filter(|_| name != "AZURE_CLIENT_SECRET"),
        };
        let error = Credentials::from_environment(variable).unwrap_err();
        assert!(error.to_string().contains("/no/such.pem"), "{error}");
    }
}
