//! Where a `GuardedUpgrade` is kept: as an object of its kind, or, in a cluster that has no such kind, in a ConfigMap beside the release.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, ReleaseKey};
use crate::api;
use crate::cluster::text;
use crate::migration::Owner;

/// The label of a ConfigMap that keeps an upgrade: the release.
pub const KEPT_LABEL: &str = "guard.milvus-guard.dev/upgrade-of";

/// The key in it.
const FILE: &str = "upgrade.json";

/// Where upgrades are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// As objects of their kind.
    AsObjects,
    /// Each in a ConfigMap: for one who acts without an installed guard.
    InConfigMaps,
}

/// The name of the ConfigMap, and of the Lease, of an upgrade without an installed guard.
#[must_use]
pub fn name_of(release: &str) -> String {
    format!("milvus-guard-upgrade-{release}")
}

impl Kept {
    fn objects(client: &Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&GroupVersionKind::gvk(api::GROUP, "v1alpha1", "GuardedUpgrade")))
    }

    fn maps(client: &Client, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(client.clone(), namespace)
    }

    /// The object that keeps the upgrade of a release: what is made for the upgrade goes with it.
    #[must_use]
    pub fn owner(self, release: &str, uid: &str) -> Owner {
        let uid = uid.to_owned();
        match self {
            Self::AsObjects => Owner { api_version: api::API_VERSION, kind: "GuardedUpgrade", name: release.to_owned(), uid },
            Self::InConfigMaps => Owner { api_version: "v1", kind: "ConfigMap", name: name_of(release), uid },
        }
    }

    /// The upgrade of a release as the API server has it now.
    ///
    /// # Errors
    /// When the API server did not answer.
    pub async fn read(self, client: &Client, key: &ReleaseKey) -> anyhow::Result<Option<Value>> {
        match self {
            Self::AsObjects => Ok(Self::objects(client, &key.namespace).get_opt(&key.name).await?.map(serde_json::to_value).transpose()?),
            Self::InConfigMaps => Ok(Self::maps(client, &key.namespace).get_opt(&name_of(&key.name)).await?.as_ref().and_then(unpacked)),
        }
    }

    /// Writes the status, on the very object that was read.
    ///
    /// # Errors
    /// When the object has moved on, or the API server refused.
    pub async fn write_status(self, client: &Client, key: &ReleaseKey, upgrade: &Value) -> anyhow::Result<()> {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match self {
            Self::AsObjects => {
                let object: DynamicObject = serde_json::from_value(upgrade.clone())?;
                Self::objects(client, &key.namespace).replace_status(&key.name, &parameters, &object).await?;
            }
            Self::InConfigMaps => drop(Self::maps(client, &key.namespace).replace(&name_of(&key.name), &parameters, &packed(key, upgrade)?).await?),
        }
        Ok(())
    }

    /// Leads it to another target, on the very object that was read.
    ///
    /// # Errors
    /// When the object has moved on, or the API server refused.
    pub async fn write_spec(self, client: &Client, key: &ReleaseKey, upgrade: &Value) -> anyhow::Result<()> {
        let object: DynamicObject = match self {
            Self::AsObjects => serde_json::from_value(upgrade.clone())?,
            Self::InConfigMaps => return self.write_status(client, key, &next_generation(upgrade)).await,
        };
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        Self::objects(client, &key.namespace).replace(&key.name, &parameters, &object).await?;
        Ok(())
    }

    /// Keeps a new upgrade in a ConfigMap.
    ///
    /// # Errors
    /// When the API server refused.
    pub async fn begin(client: &Client, key: &ReleaseKey, upgrade: &Value) -> kube::Result<()> {
        let map = packed(key, &next_generation(upgrade)).map_err(kube::Error::SerdeError)?;
        Self::maps(client, &key.namespace).create(&PostParams::default(), &map).await.map(drop)
    }

    /// Forgets an upgrade that was kept in a ConfigMap.
    ///
    /// # Errors
    /// When the API server refused.
    pub async fn forget(client: &Client, key: &ReleaseKey) -> kube::Result<()> {
        match Self::maps(client, &key.namespace).delete(&name_of(&key.name), &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            done => done.map(drop),
        }
    }
}

/// A change of what is wanted counts, as the API server counts it for objects.
fn next_generation(upgrade: &Value) -> Value {
    let mut upgrade = upgrade.clone();
    let generation = upgrade.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
    if let Some(metadata) = upgrade.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("generation".into(), json!(generation.saturating_add(1)));
    }
    upgrade
}

pub(super) fn packed(key: &ReleaseKey, upgrade: &Value) -> serde_json::Result<ConfigMap> {
    let of = |pointer: &str| text(upgrade, pointer);
    let metadata = json!({"name": name_of(&key.name), "namespace": &*key.namespace, "resourceVersion": of("/metadata/resourceVersion"), "labels": {KEPT_LABEL: &*key.name}});
    let mut inner = upgrade.clone();
    // Those of the ConfigMap count.
    if let Some(metadata) = inner.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("uid");
        metadata.remove("creationTimestamp");
    }
    serde_json::from_value(json!({"metadata": metadata, "data": {FILE: inner.to_string()}}))
}

/// The upgrade that is kept in a ConfigMap.
#[must_use]
pub fn unpacked(map: &ConfigMap) -> Option<Value> {
    let mut upgrade: Value = serde_json::from_str(map.data.as_ref()?.get(FILE)?).ok()?;
    let metadata = upgrade.get_mut("metadata")?.as_object_mut()?;
    metadata.insert("resourceVersion".into(), json!(map.resource_version()));
    metadata.insert("uid".into(), json!(map.uid()));
    metadata.insert("creationTimestamp".into(), serde_json::to_value(map.creation_timestamp()).ok()?);
    Some(upgrade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_a_map_is_the_upgrade_with_the_version_of_the_map() {
        let key = ReleaseKey { namespace: "db".into(), name: "m".into() };
        let mut upgrade = next_generation(&api::guarded_upgrade("db", "m", "2.5.22"));
        upgrade["status"] = json!({"phase": "Running"});
        let mut map = packed(&key, &upgrade).unwrap();
        (map.metadata.resource_version, map.metadata.uid) = (Some("7".into()), Some("u".into()));
        let read = unpacked(&map).unwrap();
        assert_eq!((&read["spec"], &read["status"], &read["metadata"]["generation"]), (&json!({"to": "2.5.22"}), &json!({"phase": "Running"}), &json!(1)));
        assert_eq!((&read["metadata"]["resourceVersion"], &read["metadata"]["uid"]), (&json!("7"), &json!("u")));
        assert_eq!(packed(&key, &read).unwrap().metadata.resource_version.as_deref(), Some("7"), "written on what was read");
        assert_eq!(next_generation(&read)["metadata"]["generation"], 2);
    }
}
