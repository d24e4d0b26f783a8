//! The files of Milvus's configuration as a template mounts them, from one ConfigMap or several (`customConfigMap` of the chart), and where they say that data lies.

use std::collections::{BTreeMap, BTreeSet};

use milvus_guard::source::configuration::{DataIdentity, FILES};
use serde_json::Value;

use super::super::change::digest_of_text;
use super::super::guard::Guard;
use super::super::hold::WAITING_SUFFIX;
use crate::cluster::running::{configuration_mounts, configuration_name, list, volume_of};
use crate::cluster::{Cluster, text};

/// ConfigMaps by name.
pub(super) type Maps = BTreeMap<String, Value>;

/// Which key of which ConfigMap each file comes from, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mounted {
    files: Vec<(String, String)>,
    /// Files, or the whole folder, from volumes that are not read.
    others: Vec<(String, Value)>,
}

impl Mounted {
    /// As a template says it. A file that it does not mount is taken for a key of the first ConfigMap: charts add it there.
    pub(super) fn of(template: &Value) -> Self {
        let mut files: BTreeMap<&str, (String, String)> = BTreeMap::new();
        let mut others = Vec::new();
        let folder_first = |mount: &&Value| mounted_as(mount).is_some_and(|file| !file.is_empty());
        let (of_files, of_folder): (Vec<&Value>, Vec<&Value>) = configuration_mounts(template).partition(folder_first);
        for mount in of_folder.into_iter().chain(of_files) {
            let Some(mounted) = mounted_as(mount) else { continue };
            let Some(volume) = volume_of(template, mount) else { continue };
            let Some(map) = text(volume, "/configMap/name") else {
                others.push((mounted.to_owned(), volume.clone()));
                continue;
            };
            for file in FILES.into_iter().filter(|file| mounted.is_empty() || mounted == *file) {
                let within = if mounted.is_empty() { file } else { text(mount, "/subPath").unwrap_or(file) };
                files.insert(file, (map.to_owned(), key_of(volume, within).to_owned()));
            }
        }
        let first = configuration_name(template);
        let usual = |file: &str| first.map(|map| (map.to_owned(), file.to_owned()));
        Self { files: FILES.into_iter().filter_map(|file| files.remove(file).or_else(|| usual(file))).collect(), others }
    }

    /// The ConfigMaps that it takes files from.
    pub(super) fn maps(&self) -> BTreeSet<&str> {
        self.files.iter().map(|(map, _)| map.as_str()).collect()
    }

    /// The keys of one of them.
    pub(super) fn keys_of<'m>(&'m self, map: &str) -> impl Iterator<Item = &'m str> {
        self.files.iter().filter(move |(other, _)| other == map).map(|(_, key)| key.as_str())
    }

    /// Whether all files come from ConfigMaps.
    pub(super) fn is_read(&self) -> bool {
        self.others.is_empty()
    }

    /// Whether both take files from the same volumes, as far as those are not read.
    pub(super) fn is_read_as(&self, other: &Self) -> bool {
        self.others == other.others
    }

    /// Where data lies for pods that start now.
    pub(super) fn now(&self, maps: &Maps) -> DataIdentity {
        DataIdentity::read(self.files.iter().filter_map(|(map, key)| text(maps.get(map)?, &path_of(key, ""))))
    }

    /// Where data will lie once what waits is let go; the same where nothing waits.
    pub(super) fn then(&self, maps: &Maps) -> DataIdentity {
        let file = |map: &'_ Value, key: &str| text(map, &path_of(key, WAITING_SUFFIX)).or_else(|| text(map, &path_of(key, ""))).map(str::to_owned);
        let texts: Vec<String> = self.files.iter().filter_map(|(map, key)| file(maps.get(map)?, key)).collect();
        DataIdentity::read(texts.iter().map(String::as_str))
    }
}

/// Which file a mount is; empty for the whole folder.
fn mounted_as(mount: &Value) -> Option<&str> {
    let path = text(mount, "/mountPath")?.trim_end_matches('/');
    let file = path.strip_prefix("/milvus/configs")?.trim_start_matches('/');
    (file.is_empty() || FILES.contains(&file)).then_some(file)
}

/// The key of a ConfigMap that a volume has under a path.
fn key_of<'v>(volume: &'v Value, path: &'v str) -> &'v str {
    list(volume, "/configMap/items").find(|item| text(item, "/path") == Some(path)).and_then(|item| text(item, "/key")).unwrap_or(path)
}

/// Where a key of a ConfigMap is, as a JSON pointer.
pub(super) fn path_of(key: &str, suffix: &str) -> String {
    format!("/data/{key}{suffix}")
}

/// Reads ConfigMaps by name; those that are there, and why others could not be read.
pub(super) async fn read<C: Cluster>(guard: &Guard<C>, namespace: &str, names: &BTreeSet<&str>) -> (Maps, Option<String>) {
    let (mut maps, mut unread) = (Maps::new(), None);
    for name in names {
        match guard.cluster.config_map(namespace, name).await {
            Ok(Some(object)) => drop(maps.insert((*name).to_owned(), object)),
            Ok(None) => unread = Some(format!("its ConfigMap {name} is not there")),
            Err(error) => unread = Some(format!("its ConfigMap {name} could not be read ({error})")),
        }
    }
    (maps, unread)
}

/// Values but words of Milvus's own as hashes, members of a list one by one: they are written down beside the configuration, and must tell nothing.
pub(super) fn hashed(mut identity: DataIdentity) -> DataIdentity {
    let hash = |value: &str| value.split(',').map(digest_of_text).collect::<Vec<_>>().join(",");
    identity.0.iter_mut().filter(|(path, _)| !is_plain(path)).for_each(|(_, value)| *value = hash(value).into());
    identity
}

/// Whether a value is a word of Milvus's own.
pub(super) fn is_plain(path: &str) -> bool {
    path.ends_with(".type")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(mounts: &Value, volumes: &Value) -> Value {
        json!({"spec": {"containers": [{"name": "proxy", "volumeMounts": mounts}], "volumes": volumes}})
    }

    #[test]
    fn each_file_is_a_key_of_the_config_map_that_it_is_mounted_from() {
        let volumes = json!([{"name": "a", "configMap": {"name": "m"}}, {"name": "b", "configMap": {"name": "own", "items": [{"key": "mine", "path": "u"}]}},
            {"name": "s", "secret": {"secretName": "s"}}]);
        let mounted = |mounts: Value| Mounted::of(&template(&mounts, &volumes));
        let default = json!({"name": "a", "mountPath": "/milvus/configs/default.yaml", "subPath": "default.yaml"});
        let chart = mounted(json!([default]));
        assert_eq!(chart.files, ["milvus.yaml", "default.yaml", "user.yaml"].map(|file| ("m".to_owned(), file.to_owned())));
        let custom = mounted(json!([default, {"name": "b", "mountPath": "/milvus/configs/user.yaml", "subPath": "u"}]));
        assert_eq!(custom.files[2], ("own".to_owned(), "mine".to_owned()));
        assert_eq!(custom.maps(), BTreeSet::from(["m", "own"]));
        let folder = mounted(json!([{"name": "b", "mountPath": "/milvus/configs/"}, default]));
        assert_eq!((folder.files[0].0.as_str(), folder.files[1].0.as_str()), ("own", "m"));
        let secret = mounted(json!([default, {"name": "s", "mountPath": "/milvus/configs/user.yaml", "subPath": "user.yaml"}]));
        assert!(!secret.is_read_as(&chart) && custom.is_read_as(&chart));
        // Whatever else lies beside them is no configuration.
        assert!(mounted(json!([default, {"name": "s", "mountPath": "/milvus/configs/cert/ca.pem"}])).is_read_as(&chart));
    }
}
