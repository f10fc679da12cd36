//! The `[azure]` part of a pipeline file: which cloud, and who we are to it.

use std::path::PathBuf;

use costlake_fetch::{Certificate, Cloud, Credentials, Endpoints, ManagedIdentityId, StorageHost};
use serde::Deserialize;

use crate::config::{PipelineFile, Reference, SecretReference, Value};
use crate::error::Error;

const TENANT_ID: &str = "AZURE_TENANT_ID";
const CLIENT_ID: &str = "AZURE_CLIENT_ID";
const FEDERATED_TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// Where App Service and Container Apps have managed identities, and the key that goes there.
const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
const IDENTITY_HEADER: &str = "IDENTITY_HEADER";
/// Another place for the metadata service; the SDKs of Azure read it too.
const METADATA_HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// The section as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AzureFile {
    cloud: Option<Value>,
    arm_endpoint: Option<Value>,
    storage_endpoints: Option<Vec<Value>>,
    authority: Option<Value>,
    token_scope: Option<Value>,
    auth: Option<AuthFile>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum AuthFile {
    ClientSecret {
        /// Where it was before `[azure] authority`.
        authority: Option<Value>,
        tenant_id: Value,
        client_id: Value,
        client_secret: SecretReference,
    },
    ClientCertificate {
        tenant_id: Value,
        client_id: Value,
        certificate: CertificateFile,
        #[serde(default)]
        send_chain: bool,
    },
    WorkloadIdentity {
        tenant_id: Option<Value>,
        client_id: Option<Value>,
        token_file: Option<Value>,
    },
    ManagedIdentity {
        client_id: Option<Value>,
        object_id: Option<Value>,
        resource_id: Option<Value>,
    },
    AzureCli {
        tenant_id: Option<Value>,
        subscription: Option<Value>,
    },
    BearerToken {
        token: SecretReference,
    },
    Chain {},
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateFile {
    file: PathBuf,
}

impl AzureFile {
    /// The hosts of the cloud, each replaced by what the file says.
    ///
    /// # Errors
    /// An address that gets no request, or two authorities.
    pub(crate) fn endpoints(&self, file: &PipelineFile) -> Result<Endpoints, Error> {
        let cloud: Cloud = match &self.cloud {
            Some(value) => file.text("azure.cloud", value)?.parse()?,
            None => Cloud::default(),
        };
        let text = |key: &str, value: Option<&Value>, default: &str| match value {
            Some(value) => file.text(key, value),
            None => Ok(default.to_owned()),
        };
        let arm = text("azure.arm_endpoint", self.arm_endpoint.as_ref(), cloud.arm())?;
        let (key, authority) = self.authority()?;
        let authority = text(key, authority, cloud.authority())?;
        let endpoints = Endpoints::new(&arm, &authority, self.storage(file, cloud)?)?;
        let endpoints = match &self.token_scope {
            Some(value) => endpoints.with_token_scope(file.text("azure.token_scope", value)?),
            None => endpoints,
        };
        match identity_endpoint(variable).filter(|_| self.may_ask_the_machine()) {
            Some(address) => Ok(endpoints.with_identity_endpoint(&address)?),
            None => Ok(endpoints),
        }
    }

    fn authority(&self) -> Result<(&'static str, Option<&Value>), Error> {
        let of_auth = match &self.auth {
            Some(AuthFile::ClientSecret { authority, .. }) => authority.as_ref(),
            _ => None,
        };
        match (&self.authority, of_auth) {
            (Some(_), Some(_)) => Err(Error::usage(
                "authority is given twice, under [azure] and under [azure.auth]",
                "keep the one under [azure]",
            )),
            (None, Some(value)) => Ok(("azure.auth.authority", Some(value))),
            (value, None) => Ok(("azure.authority", value.as_ref())),
        }
    }

    fn storage(&self, file: &PipelineFile, cloud: Cloud) -> Result<Vec<StorageHost>, Error> {
        let Some(values) = &self.storage_endpoints else {
            return Ok(vec![StorageHost::Suffix(cloud.storage().to_owned())]);
        };
        let parse =
            |value| Ok(file.text("azure.storage_endpoints", value)?.parse::<StorageHost>()?);
        values.iter().map(parse).collect()
    }

    fn may_ask_the_machine(&self) -> bool {
        matches!(self.auth, None | Some(AuthFile::Chain {} | AuthFile::ManagedIdentity { .. }))
    }

    /// Who we are: as the file says, else whatever the environment offers.
    ///
    /// # Errors
    /// A variable that is not set, or a file that cannot be read.
    pub(crate) fn credentials(&self, file: &PipelineFile) -> Result<Credentials, Error> {
        match &self.auth {
            None | Some(AuthFile::Chain {}) => Ok(Credentials::from_environment(variable)?),
            Some(auth) => auth.credentials(file),
        }
    }
}

impl AuthFile {
    fn credentials(&self, file: &PipelineFile) -> Result<Credentials, Error> {
        let text = |key: &str, value: &Value| file.text(&format!("azure.auth.{key}"), value);
        let optional = |key: &str, value: &Option<Value>| {
            value.as_ref().map(|value| text(key, value)).transpose()
        };
        let or_variable = |key: &str, value: &Option<Value>, name: &str| match value {
            Some(value) => text(key, value),
            None => variable(name).ok_or_else(|| unset(key, name)),
        };
        Ok(match self {
            Self::BearerToken { token } => {
                Credentials::BearerToken(file.secret("azure.auth.token", token)?)
            }
            Self::ClientSecret { tenant_id, client_id, client_secret, .. } => {
                Credentials::ClientSecret {
                    tenant: text("tenant_id", tenant_id)?,
                    client_id: text("client_id", client_id)?,
                    client_secret: file.secret("azure.auth.client_secret", client_secret)?,
                }
            }
            Self::ClientCertificate { tenant_id, client_id, certificate, send_chain } => {
                Credentials::ClientCertificate {
                    tenant: text("tenant_id", tenant_id)?,
                    client_id: text("client_id", client_id)?,
                    certificate: Certificate::read(&file.beside(&certificate.file))?,
                    send_chain: *send_chain,
                }
            }
            Self::WorkloadIdentity { tenant_id, client_id, token_file } => {
                Credentials::WorkloadIdentity {
                    tenant: or_variable("tenant_id", tenant_id, TENANT_ID)?,
                    client_id: or_variable("client_id", client_id, CLIENT_ID)?,
                    token_file: federated_token_file(file, token_file.as_ref())?,
                }
            }
            Self::ManagedIdentity { client_id, object_id, resource_id } => {
                Credentials::ManagedIdentity(one_identity(
                    optional("client_id", client_id)?,
                    optional("object_id", object_id)?,
                    optional("resource_id", resource_id)?,
                )?)
            }
            Self::AzureCli { tenant_id, subscription } => Credentials::AzureCli {
                tenant: optional("tenant_id", tenant_id)?,
                subscription: optional("subscription", subscription)?,
            },
            Self::Chain {} => Credentials::from_environment(variable)?,
        })
    }
}

fn one_identity(
    client: Option<String>,
    object: Option<String>,
    resource: Option<String>,
) -> Result<Option<ManagedIdentityId>, Error> {
    match (client, object, resource) {
        (None, None, None) => Ok(None),
        (Some(id), None, None) => Ok(Some(ManagedIdentityId::Client(id))),
        (None, Some(id), None) => Ok(Some(ManagedIdentityId::Object(id))),
        (None, None, Some(id)) => Ok(Some(ManagedIdentityId::Resource(id))),
        _ => Err(Error::usage(
            "a managed identity is named twice",
            "keep one of client_id, object_id and resource_id",
        )),
    }
}

/// The file itself is handed on, not what is in it: it is read anew for every token.
fn federated_token_file(file: &PipelineFile, value: Option<&Value>) -> Result<PathBuf, Error> {
    match value {
        Some(Value::Text(path)) => Ok(file.beside(path.as_ref())),
        Some(Value::Reference(Reference { env: None, file: Some(path) })) => Ok(file.beside(path)),
        Some(value) => Ok(file.text("azure.auth.token_file", value)?.into()),
        None => variable(FEDERATED_TOKEN_FILE)
            .map(PathBuf::from)
            .ok_or_else(|| unset("token_file", FEDERATED_TOKEN_FILE)),
    }
}

/// Where managed identities are, if not at the metadata service of a virtual machine. The endpoint counts
/// with its key only: without, it is of another service.
fn identity_endpoint(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let app_service = variable(IDENTITY_HEADER).and_then(|_| variable(IDENTITY_ENDPOINT));
    app_service.or_else(|| variable(METADATA_HOST))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn unset(key: &str, name: &str) -> Error {
    Error::usage(
        format!("azure.auth.{key} is not given, and {name} is not set"),
        format!("write {key}, or set {name} before the call"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AzureFile, toml::de::Error> {
        toml::from_str(text)
    }

    fn endpoints(text: &str) -> Result<Endpoints, Error> {
        parse(text).unwrap().endpoints(&PipelineFile::default())
    }

    #[test]
    fn a_cloud_sets_all_hosts_and_each_can_be_replaced() {
        let text = "cloud = \"us-government\"\nauth = { kind = \"azure-cli\" }";
        let hosts = endpoints(text).unwrap();
        assert_eq!(hosts.arm().as_str(), "https://management.usgovcloudapi.net/");
        assert_eq!(hosts.authority().as_str(), "https://login.microsoftonline.us/");
        assert_eq!(hosts.token_scope(), "https://management.usgovcloudapi.net/.default");
        let text = format!("authority = \"https://login.example\"\n{text}");
        let hosts = endpoints(&text).unwrap();
        assert_eq!(hosts.authority().as_str(), "https://login.example/");
        assert_eq!(hosts.arm().as_str(), "https://management.usgovcloudapi.net/");
        assert!(endpoints("cloud = \"moon\"").is_err());
    }

    #[test]
    fn the_authority_is_given_once() {
        let auth = "[auth]\nkind = \"client-secret\"\nauthority = \"https://login.example\"\n\
                    tenant_id = \"t\"\nclient_id = \"c\"\nclient_secret = { env = \"S\" }";
        assert_eq!(endpoints(auth).unwrap().authority().as_str(), "https://login.example/");
        let twice = endpoints(&format!("authority = \"https://login.example\"\n{auth}"));
        assert!(twice.unwrap_err().to_string().contains("given twice"));
    }

    #[test]
    fn kinds_take_their_own_keys_only() {
        for (text, is_known) in [
            ("kind = \"chain\"", true),
            ("kind = \"chain\"\ntenant_id = \"t\"", false),
            ("kind = \"managed-identity\"\nobject_id = \"o\"", true),
            ("kind = \"managed-identity\"\ntenant_id = \"t\"", false),
            ("kind = \"azure-cli\"\nsubscription = { env = \"S\" }", true),
            ("kind = \"workload-identity\"", true),
            (
                "kind = \"client-certificate\"\ntenant_id = \"t\"\nclient_id = \"c\"\n\
                 certificate = { file = \"c.pem\" }\nsend_chain = true",
                true,
            ),
            (
                "kind = \"client-certificate\"\ntenant_id = \"t\"\nclient_id = \"c\"\n\
                 certificate = \"inline\"",
                false,
            ),
            ("kind = \"password\"", false),
        ] {
            assert_eq!(parse(&format!("[auth]\n{text}")).is_ok(), is_known, "{text}");
        }
        let twice = one_identity(Some("a".to_owned()), Some("b".to_owned()), None);
        assert!(twice.is_err());
    }

    #[test]
    fn an_identity_endpoint_counts_with_its_key_only() {
        let of = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(|name| (*name).to_owned()).collect();
            identity_endpoint(move |name| set.iter().find(|known| *known == name).cloned())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["IDENTITY_ENDPOINT"]), None);
        let both = of(&["IDENTITY_ENDPOINT", "IDENTITY_HEADER"]);
        assert_eq!(both.as_deref(), Some("IDENTITY_ENDPOINT"));
        assert_eq!(of(&["AZURE_POD_IDENTITY_AUTHORITY_HOST"]).as_deref(), Some(METADATA_HOST));
    }
}
