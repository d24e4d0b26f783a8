//! Handshakes in memory: who gets in, and with which version.

use super::*;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, ServerConnection};

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key, PEM.
fn signed(by: &CertifiedIssuer<'static, KeyPair>, common: &str, dns: &[&str], usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let mut params = CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common);
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

struct Setup {
    trusted: CertifiedIssuer<'static, KeyPair>,
    material: Material,
}

impl Setup {
    fn new() -> Self {
        let trusted = authority("ours");
        let (chain, key) = signed(&trusted, "guard", &["guard.ns.svc"], ExtendedKeyUsagePurpose::ServerAuth);
        let material = Material::new(chain, key, trusted.pem()).unwrap();
        Self { trusted, material }
    }

    /// The version that a client ends up with, or why the server sends it away.
    fn shake(&self, floor: Floor, clients: Option<&Clients>, shown: Option<&(String, String)>, speaks: Floor) -> Result<ProtocolVersion, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&self.trusted.pem()));
        let versions: &[&SupportedProtocolVersion] = if speaks == Floor::Tls12 { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let config = match shown {
            Some((chain, key)) => {
                let key: PrivateKeyDer<'static> = private_key(key).unwrap();
                builder.with_client_auth_cert(certificates(chain), key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("guard.ns.svc").unwrap()).unwrap();
        let mut server = ServerConnection::new(configuration(&self.material, floor, clients).unwrap()).unwrap();
        for _ in 0..10 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                server.read_tls(&mut rest).unwrap();
                server.process_new_packets()?;
            }
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets()?;
            }
        }
        assert!(!server.is_handshaking());
        Ok(server.protocol_version().unwrap())
    }
}

#[test]
fn nothing_below_the_floor_is_spoken() {
    let setup = Setup::new();
    assert_eq!(setup.shake(Floor::Tls13, None, None, Floor::Tls13).unwrap(), ProtocolVersion::TLSv1_3);
    assert!(setup.shake(Floor::Tls13, None, None, Floor::Tls12).is_err());
    assert_eq!(setup.shake(Floor::Tls12, None, None, Floor::Tls12).unwrap(), ProtocolVersion::TLSv1_2);
}

#[test]
fn only_a_signed_client_with_an_allowed_name_gets_in() {
    let setup = Setup::new();
    let (of_clients, strange) = (authority("clients"), authority("strange"));
    let clients = Clients { authorities: of_clients.pem(), names: vec!["kube-apiserver".into()] };
    let client = |by: &CertifiedIssuer<'static, KeyPair>, common: &str, dns: &[&str]| signed(by, common, dns, ExtendedKeyUsagePurpose::ClientAuth);
    let enters = |shown: Option<&(String, String)>, clients: &Clients| setup.shake(Floor::Tls13, Some(clients), shown, Floor::Tls13).is_ok();
    assert!(enters(Some(&client(&of_clients, "kube-apiserver", &[])), &clients));
    assert!(enters(Some(&client(&of_clients, "x", &["kube-apiserver"])), &clients), "a DNS name counts too");
    assert!(!enters(Some(&client(&of_clients, "kubelet", &["kubelet"])), &clients), "signed, and not allowed");
    assert!(!enters(Some(&client(&strange, "kube-apiserver", &[])), &clients), "allowed, and not signed");
    assert!(!enters(None, &clients));
    let any = Clients { names: Vec::new(), ..clients };
    assert!(enters(Some(&client(&of_clients, "kubelet", &[])), &any));
    assert!(Named::new(&Clients { authorities: String::new(), names: Vec::new() }).is_err(), "an empty file lets nobody in, and says so");
}
