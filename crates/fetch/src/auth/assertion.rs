//! What a service principal shows in place of a secret: a token about itself, signed with its key.

use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::auth::certificate::Certificate;

/// How long an assertion is good; it is sent at once.
const LIFETIME_SECONDS: i64 = 10 * 60;

/// What an assertion is made of.
#[derive(Debug)]
pub(crate) struct CertificateAssertion {
    pub(crate) certificate: Certificate,
    pub(crate) send_chain: bool,
    pub(crate) client_id: String,
    /// The address that it is shown to.
    pub(crate) audience: String,
    /// Azure's time as far as it is known, since it is Azure that judges it.
    pub(crate) now: DateTime<Utc>,
}

#[async_trait::async_trait]
impl ClientAssertion for CertificateAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let no_signature = || {
            let kind = azure_core::error::ErrorKind::Credential;
            azure_core::Error::with_message(kind, "the system has no random numbers")
        };
        self.signed().ok_or_else(no_signature)
    }
}

impl CertificateAssertion {
    fn signed(&self) -> Option<String> {
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let unsigned = format!("{}.{}", encode(self.head()), encode(self.claims()));
        let signature = self.certificate.sign(&unsigned)?;
        Some(format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn head(&self) -> Value {
        let chain = self.certificate.chain();
        let own = chain.first().map(Vec::as_slice).unwrap_or_default();
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, own));
        let mut head = json!({ "alg": "RS256", "typ": "JWT", "x5t#S256": thumbprint });
        if self.send_chain {
            head["x5c"] = chain.iter().map(|der| Value::from(STANDARD.encode(der))).collect();
        }
        head
    }

    fn claims(&self) -> Value {
        let now = self.now.timestamp();
        json!({
            "aud": self.audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": format!("{:032x}", fastrand::u128(..)),
            "nbf": now,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        })
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;
    use crate::auth::certificate::tests::certificate;

    fn assertion(send_chain: bool) -> CertificateAssertion {
        CertificateAssertion {
            certificate: certificate(),
            send_chain,
            client_id: "app".to_owned(),
            audience: "https://login.example/t/oauth2/v2.0/token".to_owned(),
            now: "2025-07-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn part(text: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    /// The public key out of the certificate: the bit string after the RSA algorithm's identifier.
    fn public_key(der: &[u8]) -> Vec<u8> {
        const RSA_ENCRYPTION: [u8; 11] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
        let at = der.windows(11).position(|window| window == RSA_ENCRYPTION).unwrap() + 11;
        let bits = &der[at..];
        assert_eq!((bits[0], bits[1]), (3, 0x82), "a bit string with a length of two bytes");
        let length = usize::from(u16::from_be_bytes([bits[2], bits[3]]));
        bits[5..4 + length].to_vec()
    }

    #[test]
    fn an_assertion_is_signed_with_the_key_of_the_certificate() {
        let signed = assertion(false).signed().unwrap();
        let (unsigned, signature) = signed.rsplit_once('.').unwrap();
        let key = public_key(&certificate().chain()[0]);
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        key.verify(unsigned.as_bytes(), &signature).unwrap();
        assert!(key.verify(b"another text", &signature).is_err());

        let (head, claims) = unsigned.split_once('.').unwrap();
        let (head, claims) = (part(head), part(claims));
        assert_eq!(head["alg"], "RS256");
        assert_eq!(head.get("x5c"), None);
        assert_eq!(head["x5t#S256"].as_str().unwrap().len(), 43);
        assert_eq!(claims["aud"], "https://login.example/t/oauth2/v2.0/token");
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("app"), &json!("app")));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(), 600);
    }

    #[test]
    fn no_assertion_is_shown_twice_and_the_chain_goes_along_if_asked_for() {
        let assertion = assertion(true);
        let claims = |signed: &str| part(signed.split('.').nth(1).unwrap());
        let (first, second) = (assertion.signed().unwrap(), assertion.signed().unwrap());
        assert_ne!(claims(&first)["jti"], claims(&second)["jti"]);
        let chain = part(first.split('.').next().unwrap())["x5c"].clone();
        assert_eq!(chain, json!([STANDARD.encode(&certificate().chain()[0])]));
    }
}
