//! The Secret that carries a release's values for its HelmRelease: what is in it, and which revision it is made from.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::HelmRelease;
use crate::admission::gitops::carried_values_secret;
use crate::admission::release::{DecodeError, Driver, Packed, SECRET_TYPE};
use crate::cluster::label;
use crate::controller::{ReleaseKey, helm};

/// The label of the Secrets that are ours.
pub const CARRIED_LABEL: &str = "guard.milvus-guard.dev/carried-values";

/// The annotation with the revision that the values are of.
pub const REVISION_ANNOTATION: &str = "guard.milvus-guard.dev/carried-from";

/// The key that Flux reads where a reference names none.
const KEY: &str = "values.yaml";

/// Labels that Flux puts on all that a HelmRelease installs.
const ORIGIN: [&str; 2] = ["helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace"];

/// Revisions that are looked at below the newest: Helm keeps ten.
const MOST_BELOW: u64 = 12;

/// What is read of a stored release.
#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow, default)]
    config: Option<&'a RawValue>,
    #[serde(borrow, default)]
    manifest: Cow<'a, str>,
}

/// A revision whose values are carried.
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// Its JSON, without what nobody here reads.
    json: Vec<u8>,
}

impl std::fmt::Debug for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revision").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Why nothing is carried. Holds no value.
#[derive(Debug, thiserror::Error)]
pub enum NotCarried {
    /// The stored release cannot be read.
    #[error("revision {0} cannot be read: {1}")]
    Unread(u64, DecodeError),
    /// It is kept in another namespace, and nothing in it says that this HelmRelease made it.
    #[error("release {0} is kept in another namespace, and Flux has not written into it that this HelmRelease made it; its values stay there")]
    NotOurs(String),
}

/// The revision whose values Helm would reuse: the last one that was deployed; where none is, the newest that failed or was replaced.
///
/// # Errors
/// When the API server does not answer, or the release cannot be read.
pub async fn reused(client: &Client, release: &HelmRelease) -> anyhow::Result<Option<Revision>> {
    let key = ReleaseKey { namespace: release.storage.as_str().into(), name: release.release.as_str().into() };
    let Some(newest) = helm::newest_now(client, &key, release.revision).await? else { return Ok(None) };
    let api: Api<Secret> = Api::namespaced(client.clone(), &release.storage);
    let name = |number: u64| format!("sh.helm.release.v1.{}.v{number}", release.release);
    let mut number = matches!(newest.status.as_str(), "failed" | "superseded").then_some(newest.number);
    for below in (newest.number.saturating_sub(MOST_BELOW).max(1)..=newest.number).rev() {
        let found = api.get_metadata_opt(&name(below)).await?;
        if found.is_some_and(|found| found.labels().get("status").is_some_and(|status| status == "deployed")) {
            number = Some(below);
            break;
        }
    }
    let Some(number) = number else { return Ok(None) };
    let Some(object) = api.get_opt(&name(number)).await?.filter(|object| object.type_.as_deref() == Some(SECRET_TYPE)) else { return Ok(None) };
    let stored = object.data.and_then(|mut data| data.remove("release")).map(|bytes| bytes.0).unwrap_or_default();
    let json = std::str::from_utf8(&stored).map_err(|_| DecodeError::NotBase64("data.release")).and_then(|once| Packed::of(once, Driver::ConfigMap)?.inflate());
    Ok(Some(Revision { number, json: json.map_err(|error| NotCarried::Unread(number, error))? }))
}

/// The Secret beside a HelmRelease.
///
/// Its type is the one of Helm's own Secrets, since it holds what they hold: rules of a cluster and tools that leave those alone, or guard them, do the same with it. It has no label `owner: helm`,
/// so that Helm does not take it for a revision. It is the HelmRelease's, and goes with it.
///
/// # Errors
/// When the values are not to be carried.
pub fn secret(namespace: &str, name: &str, release: &HelmRelease, revision: &Revision) -> Result<Secret, NotCarried> {
    let broken = |error: serde_json::Error| NotCarried::Unread(revision.number, DecodeError::NotJson { at_byte: error.column() });
    let stored: Stored<'_> = serde_json::from_slice(&revision.json).map_err(broken)?;
    // Whoever may read Secrets here may not be one who may read those of another namespace.
    if release.storage != namespace && !is_made_by(&stored.manifest, [name, namespace]) {
        return Err(NotCarried::NotOurs(release.release.clone()));
    }
    let values = stored.config.map(RawValue::get).filter(|config| *config != "null").unwrap_or("{}");
    let object = json!({
        "type": SECRET_TYPE,
        "metadata": {
            "name": carried_values_secret(name), "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "milvus-guard", CARRIED_LABEL: "true"},
            "annotations": {REVISION_ANNOTATION: format!("{}/{} revision {}", release.storage, release.release, revision.number)},
            "ownerReferences": [{"apiVersion": release.api_version, "kind": "HelmRelease", "name": name, "uid": release.uid}],
        },
        "stringData": {KEY: as_yaml(values)},
    });
    let mut secret: Secret = serde_json::from_value(object).map_err(broken)?;
    // As the API server gives it back, to be compared with.
    secret.data = secret.string_data.take().map(|texts| texts.into_iter().map(|(key, text)| (key, k8s_openapi::ByteString(text.into_bytes()))).collect());
    Ok(secret)
}

/// Whether a Secret is one of ours.
#[must_use]
pub fn is_ours(secret: &Secret) -> bool {
    secret.labels().contains_key(CARRIED_LABEL)
}

/// Whether two Secrets of ours say the same.
#[must_use]
pub fn is_same(one: &Secret, other: &Secret) -> bool {
    one.data == other.data && one.annotations().get(REVISION_ANNOTATION) == other.annotations().get(REVISION_ANNOTATION)
}

/// Whether Flux put this HelmRelease's name and namespace on what a release installs.
fn is_made_by(manifest: &str, origin: [&str; 2]) -> bool {
    let documents = serde_yaml::Deserializer::from_str(manifest).map_while(|document| Value::deserialize(document).ok());
    documents.into_iter().any(|object| ORIGIN.iter().zip(origin).all(|(name, wanted)| label(&object, name) == Some(wanted)))
}

/// JSON as a YAML parser takes it: characters that JSON allows and YAML does not are escaped. They stand in texts only.
fn as_yaml(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => text.push(c),
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(storage: &str) -> HelmRelease {
        let object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "metadata": {"name": "m", "namespace": "db", "uid": "u"},
            "spec": {"storageNamespace": storage, "upgrade": {"preserveValues": true}}});
        HelmRelease::read(&object).unwrap()
    }

    fn revision(config: &Value, manifest: &str) -> Revision {
        Revision { number: 7, json: json!({"name": "m", "config": config, "manifest": manifest}).to_string().into_bytes() }
    }

    fn values(secret: &Secret) -> Value {
        serde_yaml::from_slice(&secret.data.as_ref().unwrap()[KEY].0).unwrap()
    }

    #[test]
    fn the_secret_holds_the_users_values_and_is_kept_as_helms_own_are() {
        let config = json!({"a": {"b": [1, null, "x: y\n- \"z\" \u{7f}\u{85}\u{2028}\u{feff} ü 😀"]}, "none": null, "large": 10_000_000_000_i64, "small": 1e-7, "true": "true"});
        let secret = secret("db", "m", &release("db"), &revision(&config, "")).unwrap();
        assert_eq!(values(&secret), config);
        assert_eq!((secret.name_any().as_str(), secret.type_.as_deref()), ("milvus-guard-carried-m", Some("helm.sh/release.v1")));
        assert!(is_ours(&secret) && !secret.labels().contains_key("owner"), "no revision to Helm, and nothing for gate 1");
        let owner = &secret.owner_references()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.block_owner_deletion), ("HelmRelease", "u", None));
        assert_eq!(secret.annotations()[REVISION_ANNOTATION], "db/m revision 7");
    }

    #[test]
    fn a_release_without_values_carries_an_empty_table() {
        for config in [json!(null), json!({})] {
            assert_eq!(values(&secret("db", "m", &release("db"), &revision(&config, "")).unwrap()), json!({}));
        }
    }

    #[test]
    fn values_leave_their_namespace_only_for_the_helm_release_that_flux_says_made_them() {
        let made_by = |name: &str, namespace: &str| {
            format!(
                "---\nkind: Service\n---\nkind: Deployment\nmetadata:\n  labels:\n    helm.toolkit.fluxcd.io/name: {name}\n    helm.toolkit.fluxcd.io/namespace: {namespace}\n"
            )
        };
        let told = |manifest: &str| secret("db", "m", &release("keep"), &revision(&json!({"password": "planted"}), manifest));
        assert_eq!(values(&told(&made_by("m", "db")).unwrap())["password"], "planted");
        for manifest in [String::new(), made_by("m", "other"), made_by("x", "db"), "kind: ConfigMap\ndata: {x: 'helm.toolkit.fluxcd.io/name: m'}".into()] {
            let refused = told(&manifest).unwrap_err().to_string();
            assert!(refused.contains("its values stay there") && !refused.contains("planted"), "{refused}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_without_what_is_in_it() {
        let broken = Revision { number: 7, json: b"{\"config\": {\"password\": \"planted\"".to_vec() };
        let refused = secret("db", "m", &release("db"), &broken).unwrap_err().to_string();
        assert!(refused.contains("revision 7") && !refused.contains("planted"), "{refused}");
        assert!(!format!("{broken:?}").contains("planted"));
    }
}
