//! Certificates of our own, shared by the replicas through one Secret: read, decided, written back on the version that was read.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;

use super::authority::{Lifetimes, Shared, Step, next};
use super::{Material, certificates};

/// The Secret that replicas share.
pub struct Kept {
    /// Its API, in our own namespace.
    pub secrets: Api<Secret>,
    /// Its name.
    pub name: String,
    /// Names that the serving certificate has to carry.
    pub names: Vec<String>,
    /// How long things last.
    pub lifetimes: Lifetimes,
    /// How often it is read.
    pub every: Duration,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How a round ended.
enum Round {
    /// What is stored is good.
    Settled(Shared),
    /// Something was written, or somebody else wrote first: look again.
    Again,
}

impl Kept {
    /// The Secret `name` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String, names: Vec<String>, lifetimes: Lifetimes, every: Duration) -> Self {
        Self { secrets: Api::namespaced(client, namespace), name, names, lifetimes, every }
    }

    /// Offers what is stored, now and whenever it changes, and renews it; until nobody listens. `announced` is the PEM that the API server is known
    /// to trust; absent: somebody else registers, and time alone tells.
    pub async fn watch(self, offer: watch::Sender<Option<Material>>, announced: Option<watch::Receiver<Option<String>>>) {
        loop {
            match self.settle(announced.as_ref()).await {
                Ok(material) => {
                    offer.send_if_modified(|current| {
                        let differs = current.as_ref() != Some(&material);
                        if differs {
                            *current = Some(material);
                        }
                        differs
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), secret = %self.name, "the certificate cannot be read or renewed; what is loaded is served on")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = offer.closed() => return,
            }
        }
    }

    /// Rounds until what is stored is good. Replicas that write at the same time meet a conflict and take what the other wrote.
    async fn settle(&self, announced: Option<&watch::Receiver<Option<String>>>) -> anyhow::Result<Material> {
        for _ in 0..10 {
            if let Round::Settled(shared) = self.round(announced).await? {
                return Ok(shared.material()?);
            }
        }
        anyhow::bail!("no agreement with the other replicas; it is tried again")
    }

    async fn round(&self, announced: Option<&watch::Receiver<Option<String>>>) -> anyhow::Result<Round> {
        let secret = self.secrets.get_opt(&self.name).await.context("reading the Secret")?;
        let stored = secret.as_ref().and_then(shared);
        let trusted = announced.map(|announced| certificates(announced.borrow().as_deref().unwrap_or_default()));
        let is_announced = |authority: &str| trusted.as_ref().is_none_or(|trusted| certificates(authority).iter().all(|one| trusted.contains(one)));
        let now = jiff::Timestamp::now().as_second();
        let step = next(stored.as_ref(), &self.names, &self.lifetimes, &is_announced, now)?;
        let Step::Store(wanted, why) = step else {
            return stored.map(Round::Settled).context("nothing is stored");
        };
        let written = match secret {
            Some(mut secret) => {
                secret.data = Some(data(&wanted));
                self.secrets.replace(&self.name, &PostParams::default(), &secret).await
            }
            None => self.secrets.create(&PostParams::default(), &self.fresh(&wanted)).await,
        };
        match written {
            Ok(_) => tracing::info!(secret = %self.name, why, "the certificate Secret was written"),
            Err(kube::Error::Api(status)) if status.code == 409 => tracing::info!(secret = %self.name, "another replica wrote first"),
            Err(error) => return Err(error).context("writing the Secret"),
        }
        Ok(Round::Again)
    }

    fn fresh(&self, shared: &Shared) -> Secret {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        Secret { metadata, data: Some(data(shared)), type_: Some("Opaque".into()), ..Secret::default() }
    }
}

fn data(shared: &Shared) -> BTreeMap<String, ByteString> {
    let entry = |key: &str, text: &str| (key.to_owned(), ByteString(text.as_bytes().to_vec()));
    BTreeMap::from([
        entry("ca.crt", &shared.authorities.concat()),
        entry("ca.key", &shared.authority_key),
        entry("tls.crt", &shared.chain),
        entry("tls.key", &shared.key),
    ])
}

/// What a Secret holds; nothing when a part is missing.
fn shared(secret: &Secret) -> Option<Shared> {
    let text = |key: &str| String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok();
    Some(Shared { authorities: blocks(&text("ca.crt")?), authority_key: text("ca.key")?, chain: text("tls.crt")?, key: text("tls.key")? })
}

/// The PEM blocks of a text, each with its newline.
fn blocks(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    pem.split_inclusive(END).filter(|block| block.contains(END)).map(|block| format!("{}\n", block.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_back() {
        let Step::Store(made, _) = next(None, &["a.b.svc".into()], &Lifetimes::default(), &|_| true, 1_800_000_000).unwrap() else { panic!() };
        let two = Shared { authorities: vec![made.authorities[0].clone(), made.authorities[0].clone()], ..*made };
        let read = shared(&Secret { data: Some(data(&two)), ..Secret::default() }).unwrap();
        assert_eq!(read.authorities.len(), 2);
        assert_eq!(certificates(&read.authorities[1]), certificates(&two.authorities[1]));
        assert_eq!(shared(&Secret::default()), None);
    }
}
