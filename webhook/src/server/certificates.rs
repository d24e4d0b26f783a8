//! The serving certificate: where it comes from, and what it is made of.

use std::fmt;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub mod authority;
pub mod files;
pub mod secret;

/// Why a certificate cannot be used. Never holds any of the key.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// No PEM of the kind that is needed.
    #[error("{0} holds no PEM {1}")]
    Pem(&'static str, &'static str),
    /// Not an X.509 certificate.
    #[error("{0} is no X.509 certificate")]
    X509(&'static str),
    /// Key and certificate do not belong together, or TLS refuses them for another reason.
    #[error("TLS refuses the certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// What is served, and what clients have to trust for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// Serving certificate and what is between it and the CA, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: String,
    /// All certificates that clients should trust, PEM; empty: the client's own roots.
    pub trusted: String,
    /// When the serving certificate ends, in seconds of Unix time.
    pub ends: i64,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("ends", &self.ends).finish_non_exhaustive()
    }
}

impl Material {
    /// Reads PEM texts, and checks that there are a certificate and a key in them.
    ///
    /// # Errors
    /// When one is missing or unreadable.
    pub fn new(chain: String, key: String, trusted: String) -> Result<Self, Unusable> {
        let ends = dates(&chain, "tls.crt")?.1;
        private_key(&key)?;
        Ok(Self { chain, key, trusted, ends })
    }
}

/// All certificates of a PEM text.
pub(crate) fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect()
}

/// The private key of a PEM text.
pub(crate) fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Unusable> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| Unusable::Pem("tls.key", "private key"))
}

/// Begin and end of the first certificate in `pem`, in seconds of Unix time.
fn dates(pem: &str, what: &'static str) -> Result<(i64, i64), Unusable> {
    let first = certificates(pem).into_iter().next().ok_or(Unusable::Pem(what, "certificate"))?;
    let (_, certificate) = X509Certificate::from_der(&first).map_err(|_| Unusable::X509(what))?;
    let validity = certificate.validity();
    Ok((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Begin and end of every certificate of a PEM text, in seconds of Unix time; what cannot be read is left out.
#[must_use]
pub fn lives(pem: &str) -> Vec<(i64, i64)> {
    let all = certificates(pem);
    let parsed = all.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    parsed.map(|(_, certificate)| (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp())).collect()
}

/// Whether a chain of certificates leads to one of some authorities, by their names.
#[must_use]
pub fn is_issued_by(chain: &str, authorities: &str) -> bool {
    let (chain, authorities) = (certificates(chain), certificates(authorities));
    let subjects: Vec<_> = authorities.iter().filter_map(|der| X509Certificate::from_der(der).ok()).map(|(_, authority)| authority.subject.clone()).collect();
    chain.iter().filter_map(|der| X509Certificate::from_der(der).ok()).any(|(_, certificate)| subjects.contains(&certificate.issuer))
}
