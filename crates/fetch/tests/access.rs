use std::sync::Arc;

use costlake_fetch::{
    Candidate, Client, Credentials, Error, ErrorKind, ManagedIdentityId, NoMonitor,
};
use futures::future::join_all;
use tempfile::NamedTempFile;

use crate::server::{
    Server, answer, certificate, create, create_error, identity_token, json, principal, status,
    token, workload,
};

fn principal_client(server: &Server) -> Client {
    client_as(server, principal())
}

/// A client that finds authority, managed identities and resource manager on one server.
fn client_as(server: &Server, credentials: Credentials) -> Client {
    let mut config = server.config();
    config.endpoints = config.endpoints.with_identity_endpoint(&server.base()).unwrap();
    Client::new(config, credentials, Arc::new(NoMonitor)).unwrap()
}

/// A managed identity where nobody listens.
fn absent_identity(server: &Server, credentials: Credentials) -> Client {
    let mut config = server.config();
    config.endpoints = config.endpoints.with_identity_endpoint("http://127.0.0.1:1").unwrap();
    Client::new(config, credentials, Arc::new(NoMonitor)).unwrap()
}

fn member(credentials: Credentials) -> Candidate {
    Candidate { name: credentials.kind(), credentials: Ok(credentials) }
}

fn unset() -> Candidate {
    let reason = Err("AZURE_FEDERATED_TOKEN_FILE is not set".to_owned());
    Candidate { name: "workload-identity", credentials: reason }
}

fn field<'a>(body: &'a str, name: &str) -> &'a str {
    let mut fields = body.split('&').filter_map(|field| field.split_once('='));
    fields.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

#[tokio::test]
async fn one_token_serves_all_calls() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token("t0"),
        _ => status(204),
    })
    .await;
    let client = principal_client(&server);
    for created in join_all((0..8).map(|_| create(&client))).await {
        assert_eq!(created.unwrap(), None);
    }
    assert_eq!(server.count(|seen| seen.is_token()), 1);
    let seen = server.seen();
    let asked = seen.iter().find(|seen| seen.is_token()).unwrap();
    assert_eq!(asked.path, "/contoso.example/oauth2/v2.0/token");
    assert_eq!(asked.header("authorization"), "");
    let scope = format!("http%3A%2F%2F127.0.0.1%3A{}%2F.default", server.address.port());
    assert_eq!(
        asked.body,
        format!(
            "client_id=app&client_secret=canary-client-secret&grant_type=client_credentials&scope={scope}"
        )
    );
}

#[tokio::test]
async fn a_short_token_is_renewed_before_its_end() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => json(200, r#"{"expires_in":0,"access_token":"t"}"#),
        _ => status(204),
    })
    .await;
    let client = principal_client(&server);
    create(&client).await.unwrap();
    create(&client).await.unwrap();
    assert_eq!(server.count(|seen| seen.is_token()), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_all() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token(&format!("t{}", seen.nth)),
        _ if seen.header("authorization") == "Bearer t0" => status(401),
        _ => status(204),
    })
    .await;
    let client = principal_client(&server);
    for created in join_all((0..8).map(|_| create(&client))).await {
        assert_eq!(created.unwrap(), None);
    }
    assert_eq!(server.count(|seen| seen.is_token()), 2);
}

#[tokio::test]
async fn a_token_refused_for_ever_is_an_error() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token("t"),
        _ => json(401, r#"{"error":{"code":"InvalidAuthenticationToken","message":"No."}}"#),
    })
    .await;
    let error = create(&principal_client(&server)).await.unwrap_err();
    match &error {
        Error::Authentication { code, message, .. } => {
            assert_eq!((code.as_str(), message.as_str()), ("InvalidAuthenticationToken", "No."));
        }
        other => panic!("{other}"),
    }
    assert_eq!(error.kind(), ErrorKind::Access);
    assert_eq!(server.count(|seen| seen.is_token()), 2);
    assert_eq!(server.count(|seen| seen.is_submit()), 2);

    let error = create_error(&server).await;
    assert!(matches!(error, Error::Authentication { .. }), "{error}");
    assert_eq!(server.count(|seen| seen.is_submit()), 3);
}

#[tokio::test]
async fn a_missing_right_is_not_asked_for_twice() {
    for (code, body) in [
        (403, r#"{"error":{"code":"AuthorizationFailed","message":"The client has no right."}}"#),
        (403, "<html>"),
        (400, r#"{"error":{"code":"DepartmentCostDisabled","message":"Off."}}"#),
        (401, r#"{"error":{"code":"RBACAccessDenied","message":"No."}}"#),
    ] {
        let server = Server::start(move |_| json(code, body)).await;
        let error = create_error(&server).await;
        assert!(matches!(error, Error::Authorization { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Access);
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_client_secret_names_the_code() {
    let server = Server::start(|_| {
        json(401, r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.\r\nTrace ID: 1","error_codes":[7000215]}"#)
    })
    .await;
    match create(&principal_client(&server)).await.unwrap_err() {
        Error::Authentication { code, message, place } => {
            assert_eq!(
                (code.as_str(), message.as_str()),
                ("AADSTS7000215", "Invalid client secret.")
            );
            assert_eq!((place.method, place.attempts), ("POST", 1));
        }
        other => panic!("{other}"),
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_busy_authority_is_asked_again() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() && seen.nth < 2 => status(503),
        _ if seen.is_token() => token("t"),
        _ => status(204),
    })
    .await;
    create(&principal_client(&server)).await.unwrap();
    assert_eq!(server.count(|seen| seen.is_token()), 3);
}

#[tokio::test]
async fn one_request_at_a_time_is_enough_for_calls_and_tokens() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token(&format!("t{}", seen.nth)),
        _ if seen.header("authorization") == "Bearer t0" => status(401),
        _ => status(204),
    })
    .await;
    let mut config = server.config();
    config.concurrent_requests = std::num::NonZeroUsize::MIN;
    let client = Client::new(config, principal(), Arc::new(NoMonitor)).unwrap();
    let all = join_all((0..4).map(|_| create(&client)));
    let created = tokio::time::timeout(std::time::Duration::from_secs(10), all).await.unwrap();
    assert!(created.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_certificate_is_shown_as_a_signed_assertion() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => token(&format!("t{}", seen.nth)),
        _ if seen.header("authorization") == "Bearer t0" => status(401),
        _ => status(204),
    })
    .await;
    create(&client_as(&server, certificate())).await.unwrap();
    let seen = server.seen();
    let asked: Vec<_> = seen.iter().filter(|seen| seen.is_token()).collect();
    assert_eq!(asked.len(), 2, "a refused token is replaced by a new one");
    assert_eq!(asked[0].path, "/contoso.example/oauth2/v2.0/token");
    assert_eq!(field(&asked[0].body, "client_id"), "app");
    assert_eq!(field(&asked[0].body, "client_secret"), "");
    assert_eq!(
        field(&asked[0].body, "client_assertion_type"),
        "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
    );
    let assertions = [0, 1].map(|at: usize| field(&asked[at].body, "client_assertion"));
    assert_eq!(assertions[0].split('.').count(), 3);
    assert_ne!(assertions[0], assertions[1]);
}

#[tokio::test]
async fn a_rotated_federated_token_is_read_anew() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first").unwrap();
    let path = file.path().to_owned();
    let server = Server::start(move |seen| match seen {
        _ if seen.is_token() => {
            std::fs::write(&path, "second").unwrap();
            token(&format!("t{}", seen.nth))
        }
        _ if seen.header("authorization") == "Bearer t0" => status(401),
        _ => status(204),
    })
    .await;
    create(&client_as(&server, workload(file.path()))).await.unwrap();
    let seen = server.seen();
    let asked = seen.iter().filter(|seen| seen.is_token());
    let shown: Vec<_> = asked.map(|seen| field(&seen.body, "client_assertion")).collect();
    assert_eq!(shown, ["first", "second"]);
}

#[tokio::test]
async fn a_machine_asks_its_metadata_service() {
    for (id, parameter) in [
        (None, ""),
        (Some(ManagedIdentityId::Client("app".to_owned())), "&client_id=app"),
        (Some(ManagedIdentityId::Object("o".to_owned())), "&object_id=o"),
        (Some(ManagedIdentityId::Resource("/r".to_owned())), "&msi_res_id=%2Fr"),
    ] {
        let server = Server::start(|seen| match seen {
            _ if seen.is_identity() && seen.nth == 0 => status(410),
            _ if seen.is_identity() => identity_token(&format!("t{}", seen.nth)),
            _ if seen.header("authorization") == "Bearer t1" => status(401),
            _ => status(204),
        })
        .await;
        create(&client_as(&server, Credentials::ManagedIdentity(id))).await.unwrap();
        assert_eq!(server.count(|seen| seen.is_identity()), 3);
        let seen = server.seen();
        assert_eq!(seen[0].header("metadata"), "true");
        let port = server.address.port();
        assert_eq!(
            seen[0].query,
            format!("api-version=2019-08-01&resource=http%3A%2F%2F127.0.0.1%3A{port}{parameter}")
        );
    }
}

#[tokio::test]
async fn a_metadata_service_is_asked_within_our_limits_only() {
    let server = Server::start(|_| status(503)).await;
    let error = create(&client_as(&server, Credentials::ManagedIdentity(None))).await.unwrap_err();
    assert!(matches!(error, Error::Throttled { status: 503, .. }), "{error}");
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_machine_without_identity_says_so() {
    let server = Server::start(|_| {
        json(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#)
    })
    .await;
    let identity = || Credentials::ManagedIdentity(None);
    let error = create(&client_as(&server, identity())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no credential is available: managed-identity: the machine has no such identity: \
         invalid_request: Identity not found"
    );
    assert_eq!(error.kind(), ErrorKind::Access);
    assert_eq!(server.seen().len(), 1);

    let error = create(&absent_identity(&server, identity())).await.unwrap_err();
    assert!(error.to_string().contains("no answer from http://127.0.0.1:1/metadata"), "{error}");
}

#[tokio::test]
async fn a_chain_keeps_the_first_that_gives_a_token() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => json(200, r#"{"expires_in":0,"access_token":"t"}"#),
        _ => status(204),
    })
    .await;
    let members =
        vec![unset(), member(Credentials::ManagedIdentity(None)), member(principal()), unset()];
    let client = absent_identity(&server, Credentials::Chain(members));
    create(&client).await.unwrap();
    create(&client).await.unwrap();
    assert_eq!(server.count(|seen| seen.is_token()), 2);
}

#[tokio::test]
async fn a_refused_member_ends_the_chain_and_is_named() {
    let server = Server::start(|seen| match seen {
        _ if seen.is_token() => {
            json(401, r#"{"error":"x","error_description":"AADSTS7000222: Expired."}"#)
        }
        _ => identity_token("t"),
    })
    .await;
    let members = vec![unset(), member(principal()), member(Credentials::ManagedIdentity(None))];
    let error = create(&client_as(&server, Credentials::Chain(members))).await.unwrap_err();
    match error {
        Error::Authentication { code, message, .. } => {
            assert_eq!(
                (code.as_str(), message.as_str()),
                ("AADSTS7000222", "client-secret: Expired.")
            );
        }
        other => panic!("{other}"),
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_empty_chain_tells_what_was_looked_for() {
    let server = Server::start(|_| status(500)).await;
    let missing = std::path::Path::new("/no/such/token");
    let members =
        vec![unset(), member(workload(missing)), member(Credentials::ManagedIdentity(None))];
    let error = create(&absent_identity(&server, Credentials::Chain(members))).await.unwrap_err();
    let text = error.to_string();
    for part in [
        "workload-identity: AZURE_FEDERATED_TOKEN_FILE is not set; ",
        "workload-identity: cannot read /no/such/token: ",
        "managed-identity: no answer from http://127.0.0.1:1/",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn an_authority_that_sends_elsewhere_or_a_page_gives_no_token() {
    let server =
        Server::start(|_| answer(307, &[("location", "https://evil.example/token")], "")).await;
    let error = create(&principal_client(&server)).await.unwrap_err();
    assert!(matches!(error, Error::RefusedDestination { .. }), "{error}");
    assert_eq!(server.seen().len(), 1);

    let server = Server::start(|_| answer(200, &[], "<title>Sign in</title>")).await;
    let error = create(&principal_client(&server)).await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedPage { .. }), "{error}");
}
