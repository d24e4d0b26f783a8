//! TLS of the webhook's port: versions, the serving certificate, and who may connect.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::certificates::{Material, Unusable, certificates, private_key};

/// The lowest TLS version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Floor {
    /// TLS 1.3 only.
    #[default]
    Tls13,
    /// TLS 1.2 too.
    Tls12,
}

impl Floor {
    fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls13 => vec![&rustls::version::TLS13],
            Self::Tls12 => vec![&rustls::version::TLS13, &rustls::version::TLS12],
        }
    }
}

/// Which clients may connect.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    /// Certificates that sign them, PEM.
    pub authorities: String,
    /// Common names or DNS names that are let in; empty: all that are signed.
    pub names: Vec<String>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Certificate and key, ready for TLS.
pub(super) fn certified_key(material: &Material) -> Result<CertifiedKey, Unusable> {
    let key = provider().key_provider.load_private_key(private_key(&material.key)?)?;
    Ok(CertifiedKey::new(certificates(&material.chain), key))
}

/// The configuration that serves `material`; with `clients`, only to them.
///
/// # Errors
/// When certificate and key cannot be used, or no client could ever be verified.
pub fn configuration(material: &Material, floor: Floor, clients: Option<&Clients>) -> Result<Arc<ServerConfig>, Unusable> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&floor.versions())?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::new(Named::new(clients)?)),
        None => builder.with_no_client_auth(),
    };
    let mut configuration = builder.with_single_cert(certificates(&material.chain), private_key(&material.key)?)?;
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

/// Lets in clients whose certificate is signed and carries an allowed name.
#[derive(Debug)]
struct Named {
    signed: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl Named {
    fn new(clients: &Clients) -> Result<Self, Unusable> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&clients.authorities));
        let signed = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let signed = signed.map_err(|_| Unusable::Pem("the clients' CA file", "certificate"))?;
        Ok(Self { signed, names: clients.names.clone() })
    }

    fn is_allowed(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.names.is_empty() {
            return true;
        }
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let allowed = |name: &str| self.names.iter().any(|known| known == name);
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).any(allowed);
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let alternative = alternative.iter().flat_map(|names| &names.value.general_names);
        common || alternative.filter_map(|name| if let GeneralName::DNSName(dns) = name { Some(*dns) } else { None }).any(allowed)
    }
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_client_cert(&self, leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.signed.verify_client_cert(leaf, between, now)?;
        if self.is_allowed(leaf) { Ok(verified) } else { Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
