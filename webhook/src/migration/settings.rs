//! What a migration works with: the live configuration of Milvus, and what the `GuardedUpgrade` says in `spec.metadataMigration`. Pure.

use serde_json::{Value, json};

use crate::cluster::text;
use crate::metadata::location::{Configured, Unclear, endpoint, read};

/// Upstream's tool, as its script takes it: the image of 2.2.0 itself loses what was loaded (milvus-io/milvus#21584).
pub const TOOL_IMAGE: &str = "milvusdb/meta-migration:v2.2.0-bugfix-20230112";

/// The label of a Secret by which whoever may write it lends it to the migration of a release, named by the value. Who declares an upgrade names Secret, endpoints and image alike, and need not be
/// somebody who may read Secrets.
pub const CREDENTIALS_LABEL: &str = "guard.milvus-guard.dev/etcd-credentials";

/// Room for backups, where nothing else is said; as upstream's script has it.
const BACKUP_SIZE: &str = "10Gi";

/// What is said of all pods of Jobs.
const POD_FIELDS: [&str; 5] = ["nodeSelector", "tolerations", "affinity", "imagePullSecrets", "priorityClassName"];

/// What a migration works with.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where metadata lies. Short names of etcd's Service are as the release writes them: Jobs run beside it.
    pub place: Configured,
    /// Upstream's tool.
    pub tool_image: String,
    /// The Secret with etcd's credentials.
    pub credentials: Option<String>,
    /// The class of the claim for backups; the cluster's own where there is none.
    pub storage_class: Option<String>,
    /// The size of that claim.
    pub backup_size: String,
    /// Fields of the pods' specs.
    pub pod: Value,
    /// The security context of the pods; ours where none is given.
    pub security_context: Option<Value>,
    /// Resources of each container.
    pub resources: Value,
}

/// Why it is not known what a migration would work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unset {
    /// The configuration does not tell.
    #[error(transparent)]
    Unclear(#[from] Unclear),
    /// The `GuardedUpgrade` and Milvus disagree.
    #[error("spec.metadataMigration.rootPath is `{declared}`, and Milvus runs with etcd.rootPath `{live}`")]
    RootPath {
        /// What is declared.
        declared: String,
        /// What Milvus reads.
        live: String,
    },
    /// etcd wants credentials.
    #[error("etcd {0}: name a Secret with {1} in spec.metadataMigration.etcdCredentials")]
    Credentials(&'static str, &'static str),
}

/// Reads both. `files`: those of the configuration that Milvus mounts, lowest first. With `namespace`, short names of Services are written out, as who asks from elsewhere needs them.
///
/// # Errors
/// When it is not clear where metadata lies, or how etcd is reached.
pub fn settings<'t>(spec: &Value, files: impl IntoIterator<Item = &'t str>, namespace: Option<&str>) -> Result<Settings, Unset> {
    let migration = spec.get("metadataMigration").unwrap_or(&Value::Null);
    let of = |pointer: &str| text(migration, pointer).filter(|text| !text.is_empty()).map(str::to_owned);
    let mut place = read(files, namespace)?;
    if let Some(declared) = of("/rootPath").filter(|declared| *declared != place.location.root) {
        return Err(Unset::RootPath { declared, live: place.location.root });
    }
    let declared: Vec<&str> = migration.get("etcdEndpoints").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if !declared.is_empty() {
        place.has_tls |= declared.iter().any(|text| text.starts_with("https://"));
        place.endpoints = declared.into_iter().map(|text| endpoint(text, namespace)).collect::<Result<_, _>>()?;
    }
    let credentials = of("/etcdCredentials/secretName");
    if credentials.is_none() && place.has_tls {
        return Err(Unset::Credentials("speaks TLS", "ca.crt, and tls.crt and tls.key where it asks for them,"));
    }
    if credentials.is_none() && place.wants_login {
        return Err(Unset::Credentials("wants to know who asks", "username and password"));
    }
    let jobs = migration.get("jobs").unwrap_or(&Value::Null);
    let pod = POD_FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), jobs.get(field)?.clone()))).collect();
    Ok(Settings {
        place,
        tool_image: of("/image").unwrap_or_else(|| TOOL_IMAGE.to_owned()),
        credentials,
        storage_class: of("/storageClass"),
        backup_size: of("/backupSize").unwrap_or_else(|| BACKUP_SIZE.to_owned()),
        pod: Value::Object(pod),
        security_context: jobs.get("securityContext").cloned(),
        resources: jobs.get("resources").cloned().unwrap_or_else(|| json!({})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHART: &str = "etcd:\n  endpoints:\n    - m-etcd:2379\n  rootPath: m\n";

    fn read(migration: &Value, user: &str) -> Result<Settings, Unset> {
        settings(&json!({"to": "2.2.16", "metadataMigration": migration}), [CHART, user], None)
    }

    #[test]
    fn the_live_configuration_tells_where_and_the_object_how() {
        let plain = settings(&json!({"to": "2.2.16"}), [CHART], Some("db")).unwrap();
        assert_eq!((plain.place.location.key(""), plain.place.endpoints[0].to_string()), ("m/meta/".into(), "m-etcd.db.svc:2379".into()));
        assert_eq!((plain.tool_image.as_str(), plain.backup_size.as_str(), plain.storage_class), (TOOL_IMAGE, "10Gi", None));
        let all = json!({"image": "mirror/meta-migration:x", "rootPath": "m", "storageClass": "fast", "backupSize": "1Gi", "etcdEndpoints": ["other:1"],
            "jobs": {"nodeSelector": {"a": "b"}, "hostNetwork": true, "resources": {"limits": {"memory": "1Gi"}}}});
        let all = read(&all, "").unwrap();
        assert_eq!(
            (all.tool_image.as_str(), all.storage_class.as_deref(), all.place.endpoints[0].to_string()),
            ("mirror/meta-migration:x", Some("fast"), "other:1".into())
        );
        assert_eq!(all.pod, json!({"nodeSelector": {"a": "b"}}), "nothing but what is known is taken over");
        assert_eq!(all.resources, json!({"limits": {"memory": "1Gi"}}));
    }

    #[test]
    fn what_cannot_be_is_told_before_anything_stops() {
        let told = |migration: Value, user: &str| read(&migration, user).unwrap_err().to_string();
        assert_eq!(told(json!({"rootPath": "by-dev"}), ""), "spec.metadataMigration.rootPath is `by-dev`, and Milvus runs with etcd.rootPath `m`");
        assert!(told(json!({}), "etcd: {ssl: {enabled: true}}\n").contains("name a Secret with ca.crt"));
        let told_login = told(json!({}), "etcd: {auth: {enabled: true, userName: root, password: hunter2}}\n");
        assert!(told_login.contains("username and password") && !told_login.contains("hunter2"));
        assert!(read(&json!({"etcdCredentials": {"secretName": "etcd"}}), "etcd: {ssl: {enabled: true}, auth: {enabled: true}}\n").is_ok());
        assert!(told(json!({}), "etcd: {use: {embed: true}}\n").contains("migrate by hand"));
    }
}
