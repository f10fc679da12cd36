use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;

use axum::response::Response;
use costlake_fetch::{Certificate, Client, Credentials, Error, NoMonitor, Secret};

use crate::logs::Log;
use crate::server::{
    CLIENT_SECRET, SIGNATURE, Seen, Server, TOKEN, accepted, answer, certificate, client,
    completed, create, identity_token, json, principal, quick_config, read, status, token,
    workload,
};

type Answer = Box<dyn Fn(&Seen) -> Response + Send + Sync>;

/// Everything that an error can print.
fn printed(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}\n{:?}", error.place());
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("\n{cause}\n{cause:?}"));
        source = cause.source();
    }
    text
}

fn check(text: &str) {
    for secret in ["canary", TOKEN, CLIENT_SECRET, SIGNATURE] {
        assert!(!text.contains(secret), "{secret} in: {text}");
    }
}

#[test]
fn secrets_print_as_stars() {
    check(&format!("{0} {0:?}", Secret::new(TOKEN)));
    check(&format!("{:?} {:#?}", principal(), principal()));
}

#[tokio::test]
async fn links_print_without_their_query() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_submit() => accepted(seen),
        _ => json(200, &completed(&seen.base, &[("a", 3)])),
    })
    .await;
    let manifest = create(&server.client()).await.unwrap().unwrap();
    check(&format!("{manifest:?} {manifest:#?}"));
    let link = &manifest.blobs[0].link;
    check(&format!("{link} {link:?} {}", manifest.operation.clone().unwrap()));
    assert_eq!(link.to_string(), format!("{}/blobs/a", server.base()));
    assert!(link.reveal().as_str().contains(SIGNATURE));
}

#[tokio::test]
async fn no_error_of_a_report_prints_a_secret() {
    let echo = |seen: &Seen| {
        format!("{} {} canary-client-secret", seen.header("authorization"), seen.body)
    };
    let answers: Vec<Answer> = vec![
        Box::new(move |seen| {
            let message = echo(seen).replace('"', "'").replace(" canary-client-secret", "");
            json(400, &format!(r#"{{"error":{{"code":"{TOKEN}","message":"{message}"}}}}"#))
        }),
        Box::new(|_| json(401, &format!(r#"{{"error":{{"code":"x","message":"{TOKEN}"}}}}"#))),
        Box::new(|_| json(403, &format!("<title>{TOKEN}</title>"))),
        Box::new(|_| status(429)),
        Box::new(|_| status(500)),
        Box::new(|_| status(202)),
        Box::new(|_| {
            answer(302, &[("location", "https://evil.example/?sig=canary-signature")], "")
        }),
        Box::new(|_| {
            answer(
                202,
                &[("location", "https://u:canary-signature@evil.example/?sig=canary-signature")],
                "",
            )
        }),
        Box::new(|_| answer(202, &[("location", "canary-signature")], "")),
        Box::new(|_| json(200, &completed("https://evil.example", &[("a", 3)]))),
        Box::new(|seen| json(200, &completed(&seen.base, &[("a", 3), ("a", 3)]))),
        Box::new(|seen| {
            json(
                200,
                &completed(&seen.base, &[("a", 3)]).replace(":3", ":\"sig=canary-signature\""),
            )
        }),
        Box::new(|seen| json(200, &completed(&seen.base, &[("a", 3)])[..300])),
    ];
    for first in answers {
        let server = Server::start(move |seen| match seen {
            _ if seen.is_token() => token(TOKEN),
            _ => first(seen),
        })
        .await;
        let client = Client::new(server.config(), principal(), Arc::new(NoMonitor)).unwrap();
        check(&printed(&create(&client).await.unwrap_err()));
    }
}

#[tokio::test]
async fn no_error_of_the_authority_prints_the_secret() {
    for code in [400, 401, 500] {
        let server = Server::start(move |seen| {
            let sent = &seen.body;
            json(
                code,
                &format!(r#"{{"error":"{CLIENT_SECRET}","error_description":"AADSTS1: {sent}"}}"#),
            )
        })
        .await;
        let client = Client::new(server.config(), principal(), Arc::new(NoMonitor)).unwrap();
        check(&printed(&create(&client).await.unwrap_err()));
    }
}

/// Credentials of every kind that asks over HTTP, with the server's way of answering them.
fn all_kinds(token_file: &Path) -> Vec<Credentials> {
    vec![principal(), certificate(), workload(token_file), Credentials::ManagedIdentity(None)]
}

#[tokio::test]
async fn no_kind_of_credential_shows_its_secret_in_errors_or_logs() {
    let log = Log::default();
    let _guards = log.listen();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "canary-federated-token+/=").unwrap();
    let answers: Vec<Answer> = vec![
        Box::new(|seen| json(400, &echoed(seen))),
        Box::new(|seen| json(401, &echoed(seen))),
        Box::new(|_| status(500)),
        Box::new(|_| answer(200, &[], format!("<title>x</title>{TOKEN}"))),
        Box::new(|_| json(200, &format!(r#"{{"access_token":"{TOKEN}","expires_in":"{TOKEN}"}}"#))),
        Box::new(|_| json(200, &format!(r#""{TOKEN}""#))),
        Box::new(|_| answer(302, &[("location", "/?canary-token")], TOKEN)),
        Box::new(|seen| match seen {
            _ if seen.is_token() => token(TOKEN),
            _ if seen.is_identity() => identity_token(TOKEN),
            _ => json(401, &format!(r#"{{"error":{{"code":"{TOKEN}"}}}}"#)),
        }),
    ];
    for answer in answers {
        let server = Server::start(answer).await;
        for credentials in all_kinds(file.path()) {
            check(&format!("{credentials:?} {credentials:#?}"));
            let mut config = server.config();
            config.endpoints = config.endpoints.with_identity_endpoint(&server.base()).unwrap();
            let client = Client::new(config, credentials, Arc::new(NoMonitor)).unwrap();
            check(&printed(&create(&client).await.unwrap_err()));
        }
        // What was sent as an assertion is in no log either.
        for seen in server.seen().iter().filter(|seen| seen.body.contains("client_assertion=")) {
            let assertion = seen.body.split('&').find_map(|f| f.strip_prefix("client_assertion="));
            assert!(!log.text().contains(assertion.unwrap()), "{}", log.text());
        }
    }
    let text = log.text();
    check(&text);
    assert!(text.contains("DEBUG typespec_client_core"), "the identity library logs: {text}");
    assert!(text.contains("DEBUG costlake_fetch"), "{text}");
}

/// An error that repeats all that came.
fn echoed(seen: &Seen) -> String {
    let sent = seen.body.replace('"', "'");
    let error = serde_json::json!({
        "error": sent,
        "error_description": format!("AADSTS1: {sent}"),
    });
    error.to_string()
}

#[test]
fn certificates_that_cannot_be_read_are_not_quoted() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for content in [
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        "canary",
        "-----BEGIN CERTIFICATE-----\ncanary+canary+canary\n",
    ] {
        std::fs::write(file.path(), content).unwrap();
        check(&printed(&Certificate::read(file.path()).unwrap_err()));
    }
}

#[tokio::test]
async fn no_error_of_a_download_or_connection_prints_the_signature() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_submit() => json(
            200,
            &completed(
                &seen.base,
                &[("403", 3), ("500", 3), ("302", 3), ("412", 3), ("206", 3), ("200", 3)],
            ),
        ),
        _ => {
            let code = seen.path.trim_start_matches("/blobs/").parse().unwrap();
            answer(code, &[("location", "/?sig=canary-signature")], "four")
        }
    })
    .await;
    let manifest = create(&server.client()).await.unwrap().unwrap();
    for blob in &manifest.blobs {
        check(&printed(&read(&server.client(), blob).await.unwrap_err()));
    }

    let closed = "http://127.0.0.1:1";
    let issuer = Server::start(move |_| json(200, &completed(closed, &[("a", 3)]))).await;
    let mut config = issuer.config();
    let storage = vec![closed.parse().unwrap()];
    config.endpoints =
        costlake_fetch::Endpoints::new(&issuer.base(), &issuer.base(), storage).unwrap();
    let client_of_closed = client(config);
    let manifest = create(&client_of_closed).await.unwrap().unwrap();
    let error = read(&client_of_closed, &manifest.blobs[0]).await.unwrap_err();
    check(&printed(&error));
    check(&printed(&create(&client(quick_config(closed))).await.unwrap_err()));
}
