//! Client assertions: signing in without a secret, with a certificate or a federated token.
//!
//! Source: `articles/active-directory/develop/active-directory-certificate-credentials` of the Azure documentation.

use super::state::Simulator;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use serde_json::Value;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;
use webpki::ring::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256_LEGACY_KEY};

/// The only `client_assertion_type` there is.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The certificate with whose key a client may sign.
#[derive(Clone, Debug)]
pub struct ClientCertificate(CertificateDer<'static>);

/// Why a file is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No certificate in PEM.
    #[error("no certificate in PEM")]
    Pem,
    /// Not an X.509 certificate.
    #[error("not an X.509 certificate: {0}")]
    Der(String),
}

impl ClientCertificate {
    /// Reads the first certificate of a PEM file; keys in it are passed over.
    ///
    /// # Errors
    /// A file without a certificate, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| CertificateError::Pem)?;
        EndEntityCert::try_from(&certificate)
            .map_err(|error| CertificateError::Der(error.to_string()))?;
        Ok(Self(certificate))
    }

    fn has_signed(
        &self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        text: &str,
        signature: &[u8],
    ) -> bool {
        EndEntityCert::try_from(&self.0).is_ok_and(|certificate| {
            certificate.verify_signature(algorithm, text.as_bytes(), signature).is_ok()
        })
    }

    fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.0))
    }
}

/// Code and text that refuse an assertion.
pub(super) type Refusal = (u32, String);

/// Checks an assertion that came to the token endpoint at `path`.
pub(super) fn check(simulator: &Simulator, path: &str, assertion: &str) -> Result<(), Refusal> {
    if assertion == simulator.config.credentials.federated_token {
        return Ok(());
    }
    let parts: Vec<&str> = assertion.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else {
        return Err((50_027, "JWT token is invalid or malformed.".to_owned()));
    };
    check_signature(simulator, head, claims, signature)?;
    let claims = decoded(claims).unwrap_or_default();
    check_claims(simulator, path, &claims)
}

fn check_signature(
    simulator: &Simulator,
    head: &str,
    claims: &str,
    signature: &str,
) -> Result<(), Refusal> {
    let wrong =
        |why: &str| Err((700_027, format!("Client assertion failed signature validation. {why}")));
    let Some(certificate) = &simulator.config.client_certificate else {
        return wrong("The key was not found.");
    };
    let header = decoded(head).unwrap_or_default();
    let algorithm: &dyn SignatureVerificationAlgorithm = match header["alg"].as_str() {
        Some("RS256") => RSA_PKCS1_2048_8192_SHA256,
        Some("PS256") => RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        _ => return wrong("The algorithm is not allowed."),
    };
    let thumbprint = header["x5t#S256"].as_str();
    if thumbprint.is_some_and(|thumbprint| thumbprint != certificate.thumbprint()) {
        return wrong("The key was not found by its thumbprint.");
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    if certificate.has_signed(algorithm, &format!("{head}.{claims}"), &signature) {
        return Ok(());
    }
    wrong("The signature is wrong.")
}

fn check_claims(simulator: &Simulator, path: &str, claims: &Value) -> Result<(), Refusal> {
    let client_id = &simulator.config.credentials.client_id;
    for name in ["iss", "sub"] {
        if !claims[name].as_str().is_some_and(|value| value.eq_ignore_ascii_case(client_id)) {
            return Err((
                700_021,
                format!("Client assertion has another '{name}' than the client."),
            ));
        }
    }
    let http = format!("{}{path}", simulator.origin);
    let https = http.replacen("http://", "https://", 1);
    let audience = claims["aud"].as_str().unwrap_or_default();
    if ![http, https].iter().any(|endpoint| endpoint.eq_ignore_ascii_case(audience)) {
        return Err((700_023, "Client assertion audience claim does not match.".to_owned()));
    }
    let now = simulator.now().timestamp();
    let is_over = claims["exp"].as_i64().is_none_or(|end| end <= now);
    let begins = claims["nbf"].as_i64().unwrap_or(now);
    if is_over || begins > now + CLOCK_TOLERANCE_SECONDS {
        let message = "Client assertion is not within its valid time range.";
        return Err((700_024, message.to_owned()));
    }
    Ok(())
}

/// How far the clock of a client may be ahead.
const CLOCK_TOLERANCE_SECONDS: i64 = 300;

fn decoded(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
