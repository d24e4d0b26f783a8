//! Our own certificate authority: what to make next, decided from what is stored and the time. No I/O here.
//!
//! A new authority is first only announced (clients trust both), then signs, and only then the one before it is dropped; so no client ever meets a
//! certificate that it does not trust yet, or not any more.

use std::fmt;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{Material, Unusable, certificates, dates, private_key};

/// Certificates begin this long before they are made: clocks differ.
const BACKDATED_SECONDS: i64 = 3600;

/// How long things last, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// An authority; renewed after two thirds.
    pub authority: i64,
    /// A serving certificate; renewed after two thirds.
    pub serving: i64,
    /// How long a new authority is only announced, and how long the one before it stays trusted.
    pub overlap: i64,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { authority: 2 * 365 * 86_400, serving: 90 * 86_400, overlap: 3600 }
    }
}

impl Lifetimes {
    /// Whether a certificate still lasts while an authority takes over from another.
    #[must_use]
    pub const fn are_possible(&self) -> bool {
        self.overlap > 0 && self.serving > 6 * self.overlap && self.authority > 2 * self.serving
    }
}

/// What replicas share: the authorities, newest first, the key of the newest, and a serving certificate with its key. All PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Shared {
    /// Certificates of the authorities, newest first.
    pub authorities: Vec<String>,
    /// Key of the newest.
    pub authority_key: String,
    /// Serving certificate.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}

/// What to do with what is stored.
#[derive(Debug)]
pub enum Step {
    /// It is good for now.
    Keep,
    /// Store this instead; the word says why.
    Store(Box<Shared>, &'static str),
}

impl Shared {
    /// What is served and trusted.
    ///
    /// # Errors
    /// When the serving certificate or its key cannot be read.
    pub fn material(&self) -> Result<Material, Unusable> {
        Material::new(self.chain.clone(), self.key.clone(), self.authorities.concat())
    }
}

/// The next step: `announced` tells whether clients are known to trust an authority (PEM); `now` is Unix time.
///
/// # Errors
/// When keys or certificates cannot be made.
pub fn next(stored: Option<&Shared>, names: &[String], lifetimes: &Lifetimes, announced: &dyn Fn(&str) -> bool, now: i64) -> Result<Step, Unusable> {
    let Some((stored, state)) = stored.and_then(|stored| Some((stored, State::of(stored, names)?))) else {
        return Ok(Step::Store(Box::new(fresh(names, lifetimes, now)?), "there is no usable one"));
    };
    if state.authority.1 <= now {
        return Ok(Step::Store(Box::new(fresh(names, lifetimes, now)?), "the authority has ended"));
    }
    let Some(newest) = stored.authorities.first() else { return Ok(Step::Keep) };
    let authority_made = state.authority.0 + BACKDATED_SECONDS;
    if due(authority_made, state.authority.1, now) {
        let (authority, authority_key) = authority(lifetimes, now)?;
        let authorities = std::iter::once(authority).chain(stored.authorities.first().cloned()).collect();
        return Ok(Step::Store(Box::new(Shared { authorities, authority_key, ..stored.clone() }), "a new authority is announced"));
    }
    let serving_made = state.serving.0 + BACKDATED_SECONDS;
    let reissue = |why| {
        let (chain, key) = serving(newest, &stored.authority_key, names, lifetimes, now)?;
        Ok(Step::Store(Box::new(Shared { chain, key, ..stored.clone() }), why))
    };
    if state.serving.1 <= now {
        return reissue("the serving certificate has ended");
    }
    if !state.signed_by_newest {
        let is_known = now - authority_made >= lifetimes.overlap && announced(newest);
        return if is_known { reissue("the new authority signs") } else { Ok(Step::Keep) };
    }
    if !state.names_fit {
        return reissue("names have changed");
    }
    if due(serving_made, state.serving.1, now) {
        return reissue("the serving certificate is due");
    }
    if stored.authorities.len() > 1 && now - serving_made >= lifetimes.overlap {
        return Ok(Step::Store(Box::new(Shared { authorities: vec![newest.clone()], ..stored.clone() }), "the authority before it is dropped"));
    }
    Ok(Step::Keep)
}

/// What a stored set says of itself.
struct State {
    authority: (i64, i64),
    serving: (i64, i64),
    signed_by_newest: bool,
    names_fit: bool,
}

impl State {
    fn of(stored: &Shared, names: &[String]) -> Option<Self> {
        let newest = stored.authorities.first()?;
        let authority = dates(newest, "ca.crt").ok()?;
        let serving = dates(&stored.chain, "tls.crt").ok()?;
        private_key(&stored.key).ok()?;
        let key = KeyPair::from_pem(&stored.authority_key).ok()?;
        let issuer_der = certificates(newest).into_iter().next()?;
        let (_, issuer) = X509Certificate::from_der(&issuer_der).ok()?;
        if *issuer.public_key().subject_public_key.data != *key.public_key_raw() {
            return None;
        }
        let leaf_der = certificates(&stored.chain).into_iter().next()?;
        let (_, leaf) = X509Certificate::from_der(&leaf_der).ok()?;
        Some(Self { authority, serving, signed_by_newest: leaf.issuer() == issuer.subject(), names_fit: has_names(&leaf, names) })
    }
}

fn has_names(leaf: &X509Certificate<'_>, names: &[String]) -> bool {
    let Ok(Some(alternatives)) = leaf.subject_alternative_name() else { return names.is_empty() };
    let has = |name: &String| {
        alternatives.value.general_names.iter().any(|alternative| match alternative {
            GeneralName::DNSName(dns) => dns == name,
            GeneralName::IPAddress(bytes) => name.parse().is_ok_and(|ip: std::net::IpAddr| match ip {
                std::net::IpAddr::V4(ip) => ip.octets() == *bytes,
                std::net::IpAddr::V6(ip) => ip.octets() == *bytes,
            }),
            _ => false,
        })
    };
    names.iter().all(has)
}

/// Two thirds of a life are over.
const fn due(made: i64, ends: i64, now: i64) -> bool {
    now - made >= (ends - made) / 3 * 2
}

fn fresh(names: &[String], lifetimes: &Lifetimes, now: i64) -> Result<Shared, Unusable> {
    let (authority, authority_key) = authority(lifetimes, now)?;
    let (chain, key) = serving(&authority, &authority_key, names, lifetimes, now)?;
    Ok(Shared { authorities: vec![authority], authority_key, chain, key })
}

fn authority(lifetimes: &Lifetimes, now: i64) -> Result<(String, String), Unusable> {
    let mut params = CertificateParams::default();
    let key = KeyPair::generate()?;
    // A name of its own for each, so that what was signed by which can be told.
    let mark: String = key.public_key_raw().iter().rev().take(6).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("milvus-guard CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    (params.not_before, params.not_after) = (moment(now - BACKDATED_SECONDS), moment(now + lifetimes.authority));
    let issuer = CertifiedIssuer::self_signed(params, key)?;
    Ok((issuer.pem(), issuer.key().serialize_pem()))
}

fn serving(authority: &str, authority_key: &str, names: &[String], lifetimes: &Lifetimes, now: i64) -> Result<(String, String), Unusable> {
    let issuer = Issuer::from_ca_cert_pem(authority, KeyPair::from_pem(authority_key)?)?;
    let authority_ends = dates(authority, "ca.crt")?.1;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "milvus-guard webhook");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (params.not_before, params.not_after) = (moment(now - BACKDATED_SECONDS), moment((now + lifetimes.serving).min(authority_ends)));
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}

fn moment(unix_seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
