//! A chart of ours named milvus that renders what the real one does: same names, labels, images, components, for any version of the catalogue.

mod pack;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use milvus_guard::model::catalogue::{Catalogue, Dependency};
use milvus_guard::model::value::{Node, Value};
use serde_json::{Map, Number, json};

use crate::control_plane::run_folder;
use crate::programs::repository;

use self::pack::pack;

/// Files of a chart by path.
type Files = BTreeMap<String, String>;

/// The archive of a chart version: `milvus-<version>.tgz` below the run's folder, with the catalogue's defaults, or the real one where
/// `MILVUS_CHARTS` names a folder that has it.
pub fn packed(version: &str) -> PathBuf {
    real(version).unwrap_or_else(|| stand_in(version))
}

/// The real archive of a version, where `MILVUS_CHARTS` names a folder that has it.
pub fn real(version: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("MILVUS_CHARTS")?);
    Some(folder.join(format!("milvus-{version}.tgz"))).filter(|path| path.is_file())
}

/// The archive of our own chart in a version, whatever real ones there are.
pub fn stand_in(version: &str) -> PathBuf {
    written_once(run_folder().join(format!("charts/milvus-{version}.tgz")), || pack(&files(version)))
}

/// An archive that is made where it is not there yet: tests in parallel ask for the same one, and one that reads it must not find half of it.
fn written_once(path: PathBuf, make: impl FnOnce() -> Vec<u8>) -> PathBuf {
    static PACKING: Mutex<()> = Mutex::new(());
    // One that failed here must not fail the others.
    let _alone = PACKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !path.is_file() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, make()).unwrap();
    }
    path
}

/// An umbrella chart over one version: `name`, of version 1.0.0, with Milvus as its dependency, under `alias` where one is given. `values` is its values.yaml.
pub fn umbrella(name: &str, version: &str, alias: Option<&str>, values: &str) -> PathBuf {
    let mut dependency = json!({"name": "milvus", "version": version, "repository": ""});
    if let Some(alias) = alias {
        dependency["alias"] = json!(alias);
    }
    wrapped(name, version, vec![dependency], values, Files::new())
}

/// The same with the hook that migrates metadata beside Milvus.
pub fn umbrella_with_hook(name: &str, version: &str, values: &str) -> PathBuf {
    let folder = repository().join("charts/milvus-migration-hook");
    let mut all = Files::new();
    for file in ["Chart.yaml", "values.yaml", "values.schema.json", "templates/_helpers.tpl", "templates/hook.yaml", "templates/NOTES.txt"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        all.insert(format!("{name}/charts/milvus-migration-hook/{file}"), text);
    }
    let condition = "milvus-migration-hook.enabled";
    let hook = json!({"name": "milvus-migration-hook", "version": "0.1.0", "repository": "", "condition": condition});
    wrapped(name, version, vec![json!({"name": "milvus", "version": version, "repository": ""}), hook], values, all)
}

fn wrapped(name: &str, version: &str, dependencies: Vec<serde_json::Value>, values: &str, mut all: Files) -> PathBuf {
    all.insert(format!("{name}/Chart.yaml"), json!({"apiVersion": "v2", "name": name, "version": "1.0.0", "dependencies": dependencies}).to_string());
    all.insert(format!("{name}/values.yaml"), values.to_owned());
    all.extend(files(version).into_iter().map(|(path, text)| (format!("{name}/charts/{path}"), text)));
    let archive = pack(&all);
    let digest = archive.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    written_once(run_folder().join(format!("charts/{digest:x}/{name}-1.0.0.tgz")), || archive)
}

/// All files of our chart in a version, below `milvus/`.
pub fn files(version: &str) -> Files {
    let catalogue = Catalogue::embedded();
    let version = version.parse().unwrap_or_else(|_| panic!("{version} is no chart version"));
    let entry = catalogue.get(&version).unwrap_or_else(|| panic!("the catalogue has no chart {version}"));
    let defaults = catalogue.defaults(&version).unwrap_or_else(|| panic!("the defaults of chart {version} are not known"));
    let metadata = json!({
        "apiVersion": "v1", "name": "milvus", "version": entry.version.to_string(), "appVersion": *entry.app, "kubeVersion": "^1.10.0-0",
    });
    let mut files = part("milvus/", "milvus", &metadata, json(&defaults).to_string());
    files.insert("milvus/requirements.yaml".to_owned(), json!({"dependencies": entry.dependencies.iter().map(listed).collect::<Vec<_>>()}).to_string());
    for dependency in &*entry.dependencies {
        files.extend(subchart(dependency));
    }
    files
}

fn listed(dependency: &Dependency) -> serde_json::Value {
    let mut entry = json!({
        "name": *dependency.name, "version": *dependency.version, "repository": "https://charts.test", "condition": dependency.condition(),
    });
    if let Some(alias) = &dependency.alias {
        entry["alias"] = json!(**alias);
    }
    entry
}

fn subchart(dependency: &Dependency) -> Files {
    let known = match &**dependency.key() {
        "etcd" => "etcd",
        "minio" => "minio",
        "pulsar" | "pulsarv3" => "pulsar",
        "kafka" => "kafka",
        _ => "nothing",
    };
    let folder = format!("milvus/charts/{}-{}/", dependency.name, dependency.version);
    let metadata = json!({"apiVersion": "v1", "name": *dependency.name, "version": *dependency.version});
    part(&folder, known, &metadata, own_file(&format!("values/{known}.yaml")))
}

/// A chart with the template that all share and one of the tables.
fn part(folder: &str, table: &str, metadata: &serde_json::Value, values: String) -> Files {
    // Named templates of all charts of a release share one space of names.
    let name = format!("table of {} {}", metadata["name"].as_str().unwrap(), metadata["version"].as_str().unwrap());
    let table = format!("{{{{- define \"{name}\" }}}}\n{}{{{{- end }}}}\n", own_file(&format!("tables/{table}.yaml")));
    let files = [
        ("Chart.yaml", metadata.to_string()),
        ("values.yaml", values),
        ("templates/_table.tpl", table),
        ("templates/objects.yaml", own_file("templates/objects.yaml").replace("\"TABLE\"", &format!("\"{name}\""))),
        ("templates/_names.tpl", own_file("templates/_names.tpl")),
        ("templates/_config.tpl", own_file("templates/_config.tpl")),
    ];
    files.into_iter().map(|(path, text)| (format!("{folder}{path}"), text)).collect()
}

fn own_file(path: &str) -> String {
    let path = repository().join("tests/e2e/chart").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Default values as values.yaml has them. Texts that the catalogue does not keep are empty.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => Number::from_f64(*value).map_or(serde_json::Value::Null, serde_json::Value::Number),
        Value::String(text) => json!(**text),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Table(table) => {
            let entries: Map<String, serde_json::Value> = table.entries.iter().map(|(key, entry)| (key.to_string(), json(&entry.node))).collect();
            serde_json::Value::Object(entries)
        }
        _ => json!(""),
    }
}
