//! Certificates from files that others keep fresh (cert-manager, a mounted Secret): re-read when they differ.

#![allow(clippy::disallowed_methods, reason = "reads the files that it is given")]

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use super::Material;

/// The files of a `kubernetes.io/tls` Secret, mounted.
#[derive(Debug, Clone)]
pub struct Files {
    /// Folder with `tls.crt`, `tls.key`, and `ca.crt` unless clients trust the issuer anyway.
    pub folder: PathBuf,
    /// How often they are read.
    pub every: Duration,
}

impl Files {
    /// What is there now.
    ///
    /// # Errors
    /// When a file is missing or holds no certificate or key. The error names the file and holds nothing of it.
    pub fn read(&self) -> anyhow::Result<Material> {
        let chain = text(&self.folder.join("tls.crt"))?;
        let key = text(&self.folder.join("tls.key"))?;
        let trusted = match std::fs::read_to_string(self.folder.join("ca.crt")) {
            Ok(trusted) => trusted,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(anyhow::anyhow!("{}: {error}", self.folder.join("ca.crt").display())),
        };
        Ok(Material::new(chain, key, trusted)?)
    }

    /// Offers what is in the files, now and whenever it changes, until nobody listens. Files caught half written are read again.
    pub async fn watch(self, offer: watch::Sender<Option<Material>>) {
        loop {
            match self.read() {
                Ok(material) if matches(&material) => {
                    offer.send_if_modified(|current| {
                        let differs = current.as_ref() != Some(&material);
                        if differs {
                            *current = Some(material);
                        }
                        differs
                    });
                }
                Ok(_) => tracing::warn!("tls.crt and tls.key do not belong together (yet)"),
                Err(error) => tracing::warn!(%error, "the certificate files cannot be read (yet)"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = offer.closed() => return,
            }
        }
    }
}

/// Whether key and certificate belong together.
fn matches(material: &Material) -> bool {
    crate::server::tls::certified_key(material).is_ok_and(|key| !matches!(key.keys_match(), Err(error) if is_mismatch(&error)))
}

fn is_mismatch(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch))
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}
