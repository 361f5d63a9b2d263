//! TLS with certificates of the node's own: a small local authority, and a server certificate made at each start.
//!
//! Holds: `keys/ca.pem` is stable, so that a client that trusts it goes on trusting; private keys are mode 0600.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use cove_base::files::write_durably;
use cove_base::paths::DataDir;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot use `{path}`")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot set TLS up")]
    Config(#[from] rustls::Error),
}

/// Makes the acceptor for a TLS listener; the certificate is good for loopback, these addresses and these names.
///
/// # Errors
/// When the authority's files cannot be read or written.
pub fn acceptor(data: &DataDir, addresses: &[IpAddr], names: &[String]) -> Result<TlsAcceptor, TlsError> {
    let issuer = authority(data)?;
    let loopback = ["127.0.0.1".to_owned(), "::1".to_owned(), "localhost".to_owned()];
    let own = addresses.iter().map(ToString::to_string).chain(names.iter().cloned());
    let mut params = CertificateParams::new(loopback.into_iter().chain(own).collect::<Vec<String>>())?;
    params.distinguished_name.push(DnType::CommonName, "cove");
    // Strict clients, such as Python's from 3.13 on, refuse a certificate that lacks any of these.
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The authority in `keys/`, made when it is not there. The certificate is written first: a key without one is replaced.
fn authority(data: &DataDir) -> Result<Issuer<'static, KeyPair>, TlsError> {
    let (certificate_path, key_path) = (data.keys().join("ca.pem"), data.keys().join("ca.key"));
    let file = |path: &PathBuf| {
        let path = path.clone();
        move |source| TlsError::File { path, source }
    };
    let known = match (fs::read_to_string(&certificate_path), fs::read_to_string(&key_path)) {
        (Ok(certificate), Ok(key)) => Some((certificate, key)),
        (_, Err(error)) | (Err(error), _) if error.kind() == io::ErrorKind::NotFound => None,
        (Err(error), _) => return Err(file(&certificate_path)(error)),
        (_, Err(error)) => return Err(file(&key_path)(error)),
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Cove local authority");
    if let Some((_, key)) = known {
        return Ok(Issuer::new(params, KeyPair::from_pem(&key)?));
    }
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write_durably(&certificate_path, certificate.pem().as_bytes(), 0o644).map_err(file(&certificate_path))?;
    write_durably(&key_path, key.serialize_pem().as_bytes(), 0o600).map_err(file(&key_path))?;
    Ok(Issuer::new(params, key))
}
