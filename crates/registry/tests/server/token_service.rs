//! Tokens of a token service that is not ours, as distribution's `auth.token` takes them.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use registry::server::{AccessOptions, TokenServiceOptions};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Bed, Json, header};

/// A service that signs with a key of its own, whose certificate an authority has signed.
struct Service {
    authority: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Service {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["tokens".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        Self { authority, key, certificate }
    }

    fn header(&self) -> Header {
        let chain = vec![STANDARD.encode(self.certificate.der())];
        Header { x5c: Some(chain), ..Header::new(Algorithm::ES256) }
    }

    /// A token with these claims over the usual ones.
    fn sign(&self, header: &Header, claims: Value) -> String {
        let now = jsonwebtoken::get_current_timestamp();
        let mut all = json!({ "iss": "them", "aud": "us", "sub": "alice", "nbf": now - 5, "exp": now + 300,
            "access": [{ "type": "repository", "name": "team/app", "actions": ["pull", "push"] }] });
        for (key, value) in claims.as_object().unwrap() {
            all[key] = value.clone();
        }
        jsonwebtoken::encode(header, &all, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }

    /// The name and the parts of the key in a set of keys.
    fn key_set(&self, folder: &Path) -> PathBuf {
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key.serialize_der()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "known", "x": part(x), "y": part(y) });
        let path = folder.join("jwks.json");
        std::fs::write(&path, json!({ "keys": [key] }).to_string()).unwrap();
        path
    }
}

fn options(certificates: Option<PathBuf>, jwks: Option<PathBuf>) -> TokenServiceOptions {
    TokenServiceOptions {
        realm: "https://tokens.example/auth".to_owned(),
        redirect: None,
        service: "us".to_owned(),
        issuer: "them".to_owned(),
        certificates,
        jwks,
        algorithms: vec![Algorithm::ES256],
    }
}

async fn status(bed: &Bed, method: &str, path: &str, token: &str) -> StatusCode {
    bed.request(method, path).bearer_auth(token).send().await.unwrap().status()
}

#[tokio::test]
async fn a_token_of_a_service_that_is_trusted_opens_what_it_says() {
    let (service, stranger) = (Service::new(), Service::new());
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.pem");
    std::fs::write(&bundle, service.authority.pem()).unwrap();
    let with = options(Some(bundle), Some(service.key_set(folder.path())));
    let bed = Bed::with(|config| config.access = AccessOptions::Tokens(with)).await;
    let asked = bed.request("GET", "/v2/team/app/tags/list").send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        header(&asked, "www-authenticate"),
        r#"Bearer realm="https://tokens.example/auth",service="us",scope="repository:team/app:pull""#
    );
    let begin = "/v2/team/app/blobs/uploads/";
    let known = Header { kid: Some("known".to_owned()), ..Header::new(Algorithm::ES256) };
    for header in [service.header(), known.clone()] {
        let token = service.sign(&header, json!({}));
        assert_eq!(status(&bed, "GET", "/v2/", &token).await, StatusCode::OK);
        assert_eq!(status(&bed, "POST", begin, &token).await, StatusCode::ACCEPTED);
        // Another token may allow more: 401, with what that must say.
        let digest = format!("/v2/team/app/manifests/sha256:{}", "0".repeat(64));
        assert_eq!(status(&bed, "DELETE", &digest, &token).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(&bed, "POST", "/v2/other/blobs/uploads/", &token).await, StatusCode::UNAUTHORIZED);
        let several = service.sign(&header, json!({ "aud": ["you", "us"] }));
        assert_eq!(status(&bed, "POST", begin, &several).await, StatusCode::ACCEPTED);
    }
    let now = jsonwebtoken::get_current_timestamp();
    let unknown = Header { kid: Some("unknown".to_owned()), ..Header::new(Algorithm::ES256) };
    for (why, token) in [
        ("a stranger's", stranger.sign(&stranger.header(), json!({}))),
        ("a stranger's under our chain", stranger.sign(&service.header(), json!({}))),
        ("a stranger's under a known name", stranger.sign(&known, json!({}))),
        ("an unknown key", service.sign(&unknown, json!({}))),
        ("no key", service.sign(&Header::new(Algorithm::ES256), json!({}))),
        ("another issuer", service.sign(&known, json!({ "iss": "you" }))),
        ("another audience", service.sign(&known, json!({ "aud": "you" }))),
        ("too late", service.sign(&known, json!({ "exp": now - 100 }))),
        ("too early", service.sign(&known, json!({ "nbf": now + 100 }))),
        ("no end", service.sign(&known, json!({ "exp": null }))),
        ("no signature", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.".to_owned()),
        ("none", String::new()),
    ] {
        assert_eq!(status(&bed, "GET", "/v2/", &token).await, StatusCode::UNAUTHORIZED, "{why}");
    }
    let basic = bed.request("GET", "/v2/").basic_auth("alice", Some("x")).send().await.unwrap();
    assert_eq!(basic.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(bed.request("GET", "/token").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_list_of_all_repositories_is_for_whoever_may_see_it() {
    let service = Service::new();
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::with(|config| {
        let jwks = service.key_set(folder.path());
        config.access = AccessOptions::Tokens(TokenServiceOptions {
            redirect: Some("/auth".to_owned()),
            ..options(None, Some(jwks))
        });
    })
    .await;
    let known = Header { kid: Some("known".to_owned()), ..Header::new(Algorithm::ES256) };
    let all = |actions: &str| {
        let names = ["team/app", "other"];
        let mut access: Vec<Value> =
            names.map(|name| json!({ "type": "repository", "name": name, "actions": [actions] })).into();
        access.push(json!({ "type": "registry", "name": "catalog", "actions": ["*"] }));
        access
    };
    let writer = service.sign(&known, json!({ "access": all("*") }));
    for name in ["team/app", "other"] {
        let begun = format!("/v2/{name}/blobs/uploads/?digest={}", crate::bed::sha256(b"x"));
        let sent = bed.request("POST", &begun).bearer_auth(&writer).body("x").send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED);
    }
    for (access, seen) in [
        (json!([]), json!([])),
        (json!([{ "type": "repository", "name": "other", "actions": ["pull"] }]), json!(["other"])),
        (json!([{ "type": "registry", "name": "catalog", "actions": ["*"] }]), json!(["other", "team/app"])),
    ] {
        let token = service.sign(&known, json!({ "access": access }));
        let list = bed.request("GET", "/v2/_catalog").bearer_auth(&token).send().await.unwrap();
        assert_eq!(list.json().await.unwrap()["repositories"], seen, "{access}");
    }
    let asked = bed.request("GET", "/v2/").send().await.unwrap();
    let realm = format!(r#"Bearer realm="http://{}/auth",service="us""#, bed.address);
    assert_eq!(header(&asked, "www-authenticate"), realm);
}
