//! Where metadata and objects live.

use std::sync::Arc;

use super::view::{Switch, View};
use super::{MetadataStore, ObjectStore, ObjectStoreKind, scalar_text};
use crate::model::place::{Fact, Origin};
use crate::model::truth::Truth;
use crate::model::value::{Lookup, Value};

/// Why a part is unknown.
type Reason = Arc<str>;

/// The metadata store.
pub(super) fn metadata(view: &View<'_>) -> Fact<MetadataStore> {
    if let Value::Unknown(reason) = &view.config.value {
        return Fact::Unknown(Arc::clone(reason), view.config.origin.clone());
    }
    let mut origin = Origin::ChartDefault;
    let store = (|| {
        let (external_endpoints, said) = endpoints(view)?;
        let (root_path, root_said) = root_path(view)?;
        origin = root_said.or(said).unwrap_or(Origin::ChartDefault);
        Ok::<_, Reason>(MetadataStore { external_endpoints, root_path, mysql: mysql(view)? })
    })();
    match store {
        Ok(store) => Fact::Known(store, origin),
        Err(reason) => Fact::Unknown(reason, view.values.origin.clone()),
    }
}

/// External etcd endpoints, sorted, and where they are said; none for the chart's own etcd.
fn endpoints(view: &View<'_>) -> Result<(Vec<Arc<str>>, Option<Origin>), Reason> {
    match view.config.lookup("etcd.endpoints") {
        Lookup::Absent => {}
        Lookup::Unknown(reason) => return Err(Arc::clone(reason)),
        Lookup::Found(entry) => return Ok((listed(&entry.node.value)?, Some(entry.node.origin.clone()))),
    }
    match view.switch("externalEtcd.enabled") {
        Switch::Off => Ok((Vec::new(), None)),
        Switch::Unknown(reason) => Err(reason),
        Switch::On(origin) => match view.values.lookup("externalEtcd.endpoints") {
            Lookup::Absent => Ok((Vec::new(), Some(origin))),
            Lookup::Unknown(reason) => Err(Arc::clone(reason)),
            Lookup::Found(entry) => Ok((listed(&entry.node.value)?, Some(entry.node.origin.clone()))),
        },
    }
}

/// A list of texts, or a text with commas, sorted.
fn listed(value: &Value) -> Result<Vec<Arc<str>>, Reason> {
    let mut items: Vec<Arc<str>> = match value {
        Value::List(items) => {
            items.iter().map(|item| scalar_text(&item.value)).collect::<Option<_>>().ok_or_else(|| Reason::from("an etcd endpoint cannot be seen"))?
        }
        Value::String(text) => text.split(',').map(|item| item.trim().into()).collect(),
        _ => return Err("the etcd endpoints are no list".into()),
    };
    items.sort();
    items.dedup();
    Ok(items)
}

/// etcd's root path: configuration, before chart 4.0.0 the value `metadata.rootPath`, else `by-dev`.
fn root_path(view: &View<'_>) -> Result<(Arc<str>, Option<Origin>), Reason> {
    const BY_DEFAULT: &str = "by-dev";
    match view.config_text("etcd.rootPath") {
        Fact::Known(path, origin) => return Ok((path, Some(origin))),
        Fact::Unknown(reason, _) => return Err(reason),
        Fact::Absent => {}
    }
    match (view.since(4, 0, 0), view.text("metadata.rootPath")) {
        (Truth::No, Fact::Known(path, origin)) => Ok((path, Some(origin).filter(|origin| *origin != Origin::ChartDefault))),
        (Truth::No, Fact::Unknown(reason, _)) => Err(reason),
        (Truth::Maybe, Fact::Known(path, _)) if path.as_ref() != BY_DEFAULT => Err("whether the chart reads metadata.rootPath is not known".into()),
        _ => Ok((BY_DEFAULT.into(), None)),
    }
}

fn mysql(view: &View<'_>) -> Result<bool, Reason> {
    match view.config_text("metastore.type") {
        Fact::Known(kind, _) => return Ok(kind.as_ref() == "mysql"),
        Fact::Unknown(reason, _) => return Err(reason),
        Fact::Absent => {}
    }
    if view.since(4, 1, 8).is_yes() {
        return Ok(false);
    }
    for path in ["externalMysql.enabled", "mysql.enabled"] {
        match view.switch_since(path, (3, 1, 1)) {
            Switch::On(_) => return Ok(true),
            Switch::Off => {}
            // Without the chart version an unset switch is off, as it is in all versions.
            Switch::Unknown(_) if view.chart.is_none() => {}
            Switch::Unknown(reason) => return Err(reason),
        }
    }
    Ok(false)
}

/// The object store.
pub(super) fn objects(view: &View<'_>) -> Fact<ObjectStore> {
    if let Value::Unknown(reason) = &view.config.value {
        return Fact::Unknown(Arc::clone(reason), view.config.origin.clone());
    }
    match object_store(view) {
        Ok((store, origin)) => Fact::Known(store, origin),
        Err(reason) => Fact::Unknown(reason, view.values.origin.clone()),
    }
}

fn object_store(view: &View<'_>) -> Result<(ObjectStore, Origin), Reason> {
    if let (Some(kind), Some(origin)) = said(view.config_text("common.storageType"))?.unzip()
        && kind.as_ref() == "local"
    {
        return Ok((plain(ObjectStoreKind::Local), origin));
    }
    let s3 = match view.switch("externalS3.enabled") {
        Switch::On(origin) => Some(origin),
        Switch::Off => None,
        Switch::Unknown(reason) => return Err(reason),
    };
    // The user's configuration may name a store of its own whatever the values say.
    let own = said(view.config_text("minio.address"))?.map(|(_, origin)| origin);
    let section = if s3.is_some() { "externalS3" } else { "minio" };
    match (own.or(s3), view.switch("minio.enabled")) {
        (Some(origin), _) => Ok((external_store(view, section)?, origin)),
        (None, Switch::On(origin)) => Ok((built_in_store(view)?, origin)),
        (None, Switch::Unknown(reason)) => Err(reason),
        (None, Switch::Off) => {
            let origin = view.values.lookup("minio.enabled").found().map_or(Origin::ChartDefault, |entry| entry.node.origin.clone());
            Ok((plain(ObjectStoreKind::None), origin))
        }
    }
}

/// A fact as an answer: said, not said, or the reason why it is unknown.
fn said<T>(fact: Fact<T>) -> Result<Option<(T, Origin)>, Reason> {
    match fact {
        Fact::Known(value, origin) => Ok(Some((value, origin))),
        Fact::Absent => Ok(None),
        Fact::Unknown(reason, _) => Err(reason),
    }
}

fn plain(kind: ObjectStoreKind) -> ObjectStore {
    ObjectStore { kind, endpoint: None, bucket: None, root_path: None, minio_mode: None, cloud_provider: None }
}

/// A setting of the configuration's `minio`, else the value under `section`.
fn part(view: &View<'_>, section: &str, config: &str, value: &str) -> Result<Option<Arc<str>>, Reason> {
    Ok(said(view.config_or_value(&format!("minio.{config}"), &format!("{section}.{value}")))?.map(|(text, _)| text))
}

fn external_store(view: &View<'_>, section: &str) -> Result<ObjectStore, Reason> {
    let host = part(view, section, "address", "host")?;
    let port = part(view, section, "port", "port")?;
    let endpoint = host.map(|host| match &port {
        Some(port) if !host.contains(':') => format!("{host}:{port}").into(),
        _ => host,
    });
    Ok(ObjectStore {
        endpoint,
        bucket: part(view, section, "bucketName", "bucketName")?,
        root_path: part(view, section, "rootPath", "rootPath")?,
        // What Milvus takes where charts before 4.0.3 have no such value.
        cloud_provider: Some(part(view, section, "cloudProvider", "cloudProvider")?.unwrap_or_else(|| "aws".into())),
        ..plain(ObjectStoreKind::External)
    })
}

fn built_in_store(view: &View<'_>) -> Result<ObjectStore, Reason> {
    let mode = said(view.text("minio.mode"))?.map(|(mode, _)| mode);
    Ok(ObjectStore {
        bucket: part(view, "minio", "bucketName", "bucketName")?,
        root_path: part(view, "minio", "rootPath", "rootPath")?,
        // The subchart's own default, which charts before 2.2.0 leave open.
        minio_mode: Some(mode.unwrap_or_else(|| "standalone".into())),
        ..plain(ObjectStoreKind::Minio)
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn metadata_of(chart: &str, values: &str) -> Option<(String, String, bool)> {
        let release = fixture::release(chart, values);
        release.metadata.known().map(|store| (store.external_endpoints.join(" "), store.root_path.to_string(), store.mysql))
    }

    fn told(endpoints: &str, root_path: &str, mysql: bool) -> Option<(String, String, bool)> {
        Some((endpoints.to_owned(), root_path.to_owned(), mysql))
    }

    fn config(text: &str) -> String {
        format!(r#"{{"extraConfigFiles":{{"user.yaml":"{text}"}}}}"#)
    }

    #[test]
    fn metadata_lives_where_configuration_and_values_say() {
        assert_eq!(metadata_of("5.0.19", "{}"), told("", "by-dev", false));
        assert_eq!(metadata_of("5.0.19", r#"{"externalEtcd":{"enabled":true,"endpoints":["b:2379","a:2379"]}}"#), told("a:2379 b:2379", "by-dev", false));
        assert_eq!(metadata_of("5.0.19", r#"{"externalEtcd":{"enabled":false,"endpoints":["b:2379"]}}"#), told("", "by-dev", false));
        assert_eq!(metadata_of("5.0.19", &config("etcd:\\n  rootPath: mine\\n  endpoints: [x:1]\\n")), told("x:1", "mine", false));
        let root_path = r#"{"metadata":{"rootPath":"mine"}}"#;
        assert_eq!(metadata_of("3.3.6", root_path), told("", "mine", false));
        assert_eq!(metadata_of("4.0.0", root_path), told("", "by-dev", false));
        assert_eq!(metadata_of("5.0.19", r#"{"customConfigMap":"mine"}"#), None);
    }

    #[test]
    fn mysql_counts_while_the_chart_has_it() {
        let mysql = r#"{"externalMysql":{"enabled":true}}"#;
        for (chart, is) in [("3.1.0", false), ("3.1.1", true), ("4.1.7", true), ("4.1.8", false)] {
            assert_eq!(metadata_of(chart, mysql), told("", "by-dev", is), "{chart}");
        }
    }

    #[test]
    fn objects_live_in_minio_an_external_store_locally_or_nowhere() {
        let store = |chart: &str, values: &str| fixture::release(chart, values).objects.known().unwrap().clone();
        let minio = store("4.2.58", "{}");
        assert_eq!(
            (minio.kind, minio.bucket.as_deref(), minio.root_path.as_deref(), minio.minio_mode.as_deref()),
            (ObjectStoreKind::Minio, Some("milvus-bucket"), Some("file"), Some("distributed"))
        );
        let s3 = store(
            "4.2.58",
            r#"{"minio":{"enabled":false},"externalS3":{"enabled":true,"host":"s3.example","port":443,"bucketName":"b","rootPath":"r","cloudProvider":"gcp"}}"#,
        );
        assert_eq!(
            (s3.kind, s3.endpoint.as_deref(), s3.bucket.as_deref(), s3.cloud_provider.as_deref()),
            (ObjectStoreKind::External, Some("s3.example:443"), Some("b"), Some("gcp"))
        );
        // A value that a chart does not have yet is what it is by default later.
        let s3 = |chart: &str| store(chart, r#"{"minio":{"enabled":false},"externalS3":{"enabled":true,"host":"h"}}"#);
        assert_eq!(s3("4.0.2"), s3("4.0.3"));
        assert_eq!(store("2.1.22", "{}").minio_mode.as_deref(), Some("standalone"));
        assert_eq!(store("4.2.58", r#"{"minio":{"enabled":false}}"#).kind, ObjectStoreKind::None);
        let local = r#"{"minio":{"enabled":false},"extraConfigFiles":{"user.yaml":"common:\n  storageType: local\n"}}"#;
        assert_eq!(store("4.2.58", local).kind, ObjectStoreKind::Local);
        assert_eq!(store("4.2.58", &config("minio:\\n  bucketName: other\\n")).bucket.as_deref(), Some("other"));
    }
}
