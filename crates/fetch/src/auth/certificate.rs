//! A certificate with its private key, as PEM.
//!
//! `azure_identity` has a credential for certificates too, but only with OpenSSL. The key is used for
//! one RS256 signature per token request, for which `ring` is here already.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use crate::error::Error;

/// The first byte of DER, hence of PFX files.
const DER_SEQUENCE: u8 = 0x30;

/// Certificates and the RSA private key of the first of them. Prints without the key.
#[derive(Clone)]
pub struct Certificate {
    /// As DER, that of the key first.
    chain: Vec<Vec<u8>>,
    key: Arc<RsaKeyPair>,
}

impl Certificate {
    /// Reads a PEM file with a certificate, perhaps those of its issuers, and an RSA private key that is
    /// not encrypted (PKCS#8 or PKCS#1).
    ///
    /// # Errors
    /// [`Error::Configuration`] that names the file and what is wrong with it; nothing of its content.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let problem = |reason: String| Error::Configuration {
            problem: format!("the certificate {} cannot be used: {reason}", path.display()),
        };
        let bytes = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        Self::from_pem(&bytes).map_err(|reason| problem(reason.to_owned()))
    }

    /// Reads PEM.
    fn from_pem(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.first() == Some(&DER_SEQUENCE) {
            return Err("it is a PFX (PKCS#12) or DER file: convert it with \
                 `openssl pkcs12 -in FILE.pfx -out FILE.pem -nodes`");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no PEM file")?;
        let blocks = pem_blocks(text)?;
        let key = blocks.iter().find_map(private_key).ok_or("it holds no private key")??;
        let certificates = blocks.into_iter().filter(|block| block.label == "CERTIFICATE");
        let mut chain: Vec<Vec<u8>> = certificates.map(|block| block.der).collect();
        let own = chain
            .iter()
            .position(|der| holds_key(der, &key))
            .ok_or("it holds no certificate of its private key")?;
        chain.swap(0, own);
        Ok(Self { chain, key: Arc::new(key) })
    }

    /// The certificates as DER, the own one first.
    pub(crate) fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// Returns the RS256 signature of a text; `None` if the system has no random numbers.
    pub(crate) fn sign(&self, text: &str) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).ok()?;
        Some(signature)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate(chain of {})", self.chain.len())
    }
}

struct PemBlock<'a> {
    label: &'a str,
    der: Vec<u8>,
}

fn pem_blocks(text: &str) -> Result<Vec<PemBlock<'_>>, &'static str> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let begin = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let Some(label) = begin else { continue };
        let mut body = String::new();
        for line in lines.by_ref().take_while(|line| !line.starts_with("-----END ")) {
            if line.starts_with("Proc-Type:") {
                return Err(ENCRYPTED);
            }
            body.push_str(line);
        }
        let der = STANDARD.decode(body).map_err(|_| "a PEM block is damaged")?;
        blocks.push(PemBlock { label, der });
    }
    Ok(blocks)
}

const ENCRYPTED: &str =
    "its private key is encrypted: decrypt it with `openssl pkey -in FILE.pem -out KEY.pem`";

fn private_key(block: &PemBlock<'_>) -> Option<Result<RsaKeyPair, &'static str>> {
    let damaged = |_| "its private key is no RSA key of 2048 to 4096 bits";
    match block.label {
        "PRIVATE KEY" => Some(RsaKeyPair::from_pkcs8(&block.der).map_err(damaged)),
        "RSA PRIVATE KEY" => Some(RsaKeyPair::from_der(&block.der).map_err(damaged)),
        "ENCRYPTED PRIVATE KEY" => Some(Err(ENCRYPTED)),
        "EC PRIVATE KEY" => Some(Err("its private key is no RSA key: Azure takes RSA only")),
        _ => None,
    }
}

/// Whether a certificate is about a key: it then has the public key in it, 2048 bits or more that are
/// nowhere else by chance.
fn holds_key(der: &[u8], key: &RsaKeyPair) -> bool {
    let public = key.public().as_ref();
    der.windows(public.len()).any(|window| window == public)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PEM: &str = include_str!("../../tests/certificate.pem");

    pub(crate) fn certificate() -> Certificate {
        Certificate::from_pem(PEM.as_bytes()).unwrap()
    }

    fn check(text: &str, expected: &str) {
        let reason = Certificate::from_pem(text.as_bytes()).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }

    #[test]
    fn order_and_other_certificates_do_not_matter() {
        let (key, own) = PEM.split_once("-----BEGIN CERT").unwrap();
        let own = format!("-----BEGIN CERT{own}");
        let other = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        for text in [format!("{key}{own}"), format!("{own}{key}"), format!("{other}{key}{own}")] {
            let read = Certificate::from_pem(text.as_bytes()).unwrap();
            assert_eq!(read.chain()[0], certificate().chain()[0]);
        }
        check(&format!("{other}{key}"), "no certificate of its private key");
        check(&own, "no private key");
    }

    #[test]
    fn what_cannot_be_used_says_what_to_do() {
        check("0\u{82}", "openssl pkcs12");
        check(&PEM.replace(" PRIVATE KEY", " ENCRYPTED PRIVATE KEY"), "encrypted");
        check(&PEM.replace(" PRIVATE KEY", " EC PRIVATE KEY"), "RSA only");
        check(&PEM.replace(" PRIVATE KEY", " RSA PRIVATE KEY"), "no RSA key");
        check("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----", "damaged");
        check("", "no private key");
    }

    #[test]
    fn it_prints_without_its_key() {
        assert_eq!(format!("{:?}", certificate()), "Certificate(chain of 1)");
    }
}
