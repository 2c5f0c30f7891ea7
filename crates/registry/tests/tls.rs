//! Whom the client believes: certificates of `certs.d`, any for an insecure registry, strangers never.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use registry::{Client, Credentials, Options, Target};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

type Authority = CertifiedIssuer<'static, KeyPair>;

const MANIFEST: &str = r#"{"schemaVersion":2}"#;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(authority: &Authority, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let names = ["r.localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![purpose];
    (params.signed_by(&key, authority).unwrap(), key)
}

/// A registry with one manifest over TLS; returns its port. With `clients` only these may come in.
fn serve(authority: &Authority, clients: Option<&Authority>) -> u16 {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let (certificate, key) = signed(authority, ExtendedKeyUsagePurpose::ServerAuth);
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the test process; it holds nothing but its socket.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = BufReader::new(rustls::StreamOwned::new(connection, stream));
            let mut line = String::new();
            while tls.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            if line == "\r\n" {
                let length = MANIFEST.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{MANIFEST}"
                );
                let _ = tls.get_mut().write_all(answer.as_bytes());
            }
            tls.get_mut().conn.send_close_notify();
            let _ = tls.get_mut().flush();
        }
    });
    port
}

async fn ask(host: &str, certs_dir: Option<&Path>, insecure: &[&str]) -> String {
    let options = Options {
        certs_dir: certs_dir.map(Path::to_owned),
        insecure: insecure.iter().map(|host| (*host).to_owned()).collect(),
        ..Options::default()
    };
    let reference = format!("{host}/x").parse().unwrap();
    let repository = Client::new(options).repository(&reference, Credentials::default());
    match repository.manifest(&Target::Tag("1".to_owned())).await {
        Ok(fetched) => String::from_utf8(fetched.bytes.to_vec()).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_stranger_is_not_believed() {
    let host = format!("r.localhost:{}", serve(&authority(), None));
    let words = format!(
        "Get \"https://{host}/v2/\": tls: failed to verify certificate: x509: certificate signed by unknown authority"
    );
    assert_eq!(ask(&host, None, &[]).await, words);
    assert_eq!(ask(&host, None, &[&host]).await, MANIFEST, "unless the user said so");
    let loopback = host.replace("r.localhost", "127.0.0.1");
    assert_eq!(ask(&loopback, None, &[]).await, MANIFEST, "or it is on this machine");
}

#[tokio::test]
async fn an_authority_in_certs_d_counts_for_its_host_only() {
    let authority = authority();
    let port = serve(&authority, None);
    let dir = tempfile::tempdir().unwrap();
    let host = format!("r.localhost:{port}");
    std::fs::create_dir(dir.path().join(&host)).unwrap();
    std::fs::write(dir.path().join(&host).join("ca.crt"), authority.pem()).unwrap();
    assert_eq!(ask(&host, Some(dir.path()), &[]).await, MANIFEST);
    let other = format!("s.localhost:{port}");
    assert!(ask(&other, Some(dir.path()), &[]).await.contains("unknown authority"));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_one_is_wanted() {
    let authority = authority();
    let host = format!("r.localhost:{}", serve(&authority, Some(&authority)));
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join(&host);
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("ca.crt"), authority.pem()).unwrap();
    assert!(ask(&host, Some(dir.path()), &[]).await.starts_with("Get "));
    let (certificate, key) = signed(&authority, ExtendedKeyUsagePurpose::ClientAuth);
    std::fs::write(own.join("client.cert"), certificate.pem()).unwrap();
    assert!(ask(&host, Some(dir.path()), &[]).await.contains("missing or unreadable key"));
    std::fs::write(own.join("client.key"), key.serialize_pem()).unwrap();
    assert_eq!(ask(&host, Some(dir.path()), &[]).await, MANIFEST);
}
