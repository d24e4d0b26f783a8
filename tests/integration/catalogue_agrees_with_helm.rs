//! On the charts of the catalogue, over all eras, real Helm computes the values that the library computes; and the catalogue's values are what they were.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use milvus_guard::model::catalogue::{Catalogue, ChartEntry};
use milvus_guard::model::coalesce::ChartValues;
use milvus_guard::model::declaration::SetKind;
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::value::Value;
use sha2::{Digest, Sha256};

use crate::chart_archive;
use crate::controlplane::{programs, say};
use crate::helm_case::{Case, Chart, Listed, RealHelm, difference, disagreement, render, to_json};

const HELMS: [HelmMajor; 2] = [HelmMajor::Three, HelmMajor::Four];

/// What users set: nothing, sizes and places, nulls and switches, and everything by flags.
fn overrides() -> Vec<(&'static str, Case)> {
    let file = |text: &str| Case { files: vec![text.to_owned()], ..Case::default() };
    let flags = [
        (SetKind::Set, "image.all.tag=v2.5.16,queryNode.replicas=4,tolerations[0].key=a\\.b/c,tolerations[0].operator=Exists"),
        (SetKind::SetString, "labels.build=0644,minio.persistence.size=500Gi"),
        (SetKind::SetJson, r#"proxy.resources={"limits":{"cpu":"2"},"requests":null}"#),
        (SetKind::SetLiteral, "extraConfigFiles.user\\.yaml=a: {b: c, d}"),
        (SetKind::SetFile, "extraConfigFiles.other=input.txt"),
        (SetKind::Set, "pulsar.enabled=false,etcd.replicaCount=null,global.imageRegistry=registry.local"),
    ];
    vec![
        ("the defaults", Case::default()),
        (
            "sizes and places",
            file(
                "image: {all: {repository: registry.local/milvus, tag: v2.5.16}}\nqueryNode: {replicas: 4, resources: {requests: {cpu: 4, memory: 16Gi}}}\n\
                 etcd: {replicaCount: 3, persistence: {size: 20Gi}}\nminio: {mode: distributed, persistence: {size: 500Gi}}\nservice: {type: LoadBalancer}\n\
                 extraConfigFiles:\n  user.yaml: |+\n    common:\n      retentionDuration: 0644\nnodeSelector: {disk: ssd}\ntolerations: [{key: milvus, operator: Exists}]\n",
            ),
        ),
        (
            "nulls and switches",
            file(
                "global: {imageRegistry: registry.local, storage: {class: {name: fast}}}\npulsar: {enabled: no}\npulsarv3: {enabled: off, bookkeeper: ~}\nkafka: {enabled: yes}\n\
                 etcd: {enabled: on, persistence: ~, global: {storage: {class: {name: slow, extra: 1}}}}\nminio: {resources: ~, nothing: ~}\nservice: ~\nnothing: ~\nproxy: {resources: ~, replicas: 0x2}\n\
                 log: {level: {deeper: than before}}\ntags: {front: true}\n",
            ),
        ),
        ("flags", Case { sets: flags.map(|(kind, text)| (kind, text.to_owned())).to_vec(), input: "line\n".into(), ..Case::default() }),
    ]
}

/// Twenty versions with known defaults over all of Milvus 2, the first and the last among them.
fn twenty() -> Vec<&'static ChartEntry> {
    let all: Vec<&ChartEntry> =
        Catalogue::embedded().published().filter(|entry| entry.has_defaults && !entry.app.starts_with('0') && !entry.app.starts_with('1')).collect();
    let all: Vec<&ChartEntry> = all.into_iter().filter(|entry| !entry.dependencies.is_empty()).collect();
    (0..20).map(|i| all[i * (all.len() - 1) / 19]).collect()
}

fn of_catalogue(entry: &ChartEntry) -> ChartValues {
    Catalogue::embedded().chart_values(&entry.version).unwrap()
}

/// A chart with the catalogue's defaults and dependencies, which are empty charts.
pub(crate) fn skeleton(entry: &ChartEntry, values: &ChartValues) -> Chart {
    let mut table = serde_json::Map::new();
    for (key, entry) in &values.defaults.entries {
        table.insert(key.to_string(), to_json(&entry.node));
    }
    let bundled =
        entry.dependencies.iter().map(|dependency| Chart { name: dependency.name.to_string(), version: dependency.version.to_string(), ..Chart::default() });
    let listed = entry.dependencies.iter().zip(&values.dependencies).map(|(known, dependency)| Listed {
        name: known.name.to_string(),
        version: known.version.to_string(),
        alias: known.alias.as_deref().map(str::to_owned),
        condition: dependency.condition.as_deref().map(str::to_owned),
        tags: Vec::new(),
    });
    Chart {
        name: "milvus".into(),
        version: entry.version.to_string(),
        values: serde_json::Value::Object(table).to_string(),
        bundled: bundled.collect(),
        dependencies: listed.collect(),
    }
}

/// Both modes of each set of overrides, through both Helms: how many were compared.
fn compare(real: &mut RealHelm, what: &str, chart: &Chart, ours: &dyn Fn(HelmMajor) -> ChartValues) -> usize {
    let mut compared = 0;
    for (name, mut case) in overrides() {
        case.chart = chart.clone();
        for cluster in ["true", "false"] {
            let mut case = case.clone();
            case.sets.push((SetKind::Set, format!("cluster.enabled={cluster}")));
            let outcomes = real.ask(&case);
            for (outcome, helm) in outcomes.iter().zip(HELMS) {
                assert!(outcome.is_ok(), "{what}, {name}, {helm:?}: {outcome:?}");
                let own = case.user_values(helm).and_then(|user| render(&ours(helm), &user, helm));
                if let Some(how) = disagreement(outcome, &own) {
                    panic!("{what}, {name}, cluster.enabled={cluster}, {helm:?}: {how}");
                }
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn twenty_versions_over_all_eras_give_the_same_values() {
    let Some(programs) = programs("catalogue_agrees_with_helm") else { return };
    let mut real = RealHelm::start(programs);
    let mut compared = 0;
    let versions = twenty();
    for entry in &versions {
        let values = of_catalogue(entry);
        compared += compare(&mut real, &format!("chart {}", entry.version), &skeleton(entry, &values), &|_| values.clone());
    }
    let names: Vec<String> = versions.iter().map(|entry| entry.version.to_string()).collect();
    say(&format!("{compared} comparisons with real Helm on the charts {}", names.join(" ")));
    assert_eq!(compared, 20 * 4 * 2 * 2);
}

#[test]
fn real_archives_give_the_same_values() {
    let Some(folder) = std::env::var_os("MILVUS_CHARTS").map(PathBuf::from) else {
        return say("\n*** LEFT OUT: values of real chart archives: set MILVUS_CHARTS to a folder of milvus-<version>.tgz (`helm pull`). ***\n");
    };
    let Some(programs) = programs("real_archives_give_the_same_values") else { return };
    let (archives, compared) = compare_archives(programs, &folder);
    say(&format!("{compared} comparisons with real Helm on {archives} archives of {}", folder.display()));
    assert!(archives > 0, "no milvus-<version>.tgz in {}", folder.display());
}

/// Compares on every archive of a folder, and their values.yaml with the catalogue.
fn compare_archives(programs: &Path, folder: &Path) -> (usize, usize) {
    let mut real = RealHelm::start(programs);
    let (mut archives, mut compared) = (0, 0);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("milvus-") || !name.ends_with(".tgz") {
            continue;
        }
        let chart = chart_archive::read(&std::fs::read(&path).unwrap());
        compared += compare(&mut real, &name, &chart, &|helm| chart.load(helm).unwrap());
        let known = Catalogue::embedded().versions().iter().find(|entry| entry.has_defaults && entry.version.to_string() == chart.version);
        match known.map(of_catalogue) {
            Some(known) => {
                let known = skeleton_values(&known);
                let own = skeleton_values(&chart.load(HelmMajor::Three).unwrap());
                assert_eq!(difference(&own, &known, &name), None, "the catalogue has other defaults than the archive");
            }
            None => say(&format!("{name}: version {} is not in the catalogue; compared with Helm only", chart.version)),
        }
        archives += 1;
    }
    (archives, compared)
}

fn skeleton_values(values: &ChartValues) -> serde_json::Value {
    values.defaults.entries.iter().map(|(key, entry)| (key.to_string(), to_json(&entry.node))).collect()
}

#[test]
fn archives_with_subcharts_are_read_and_compared() {
    let Some(programs) = programs("archives_with_subcharts_are_read_and_compared") else { return };
    let inner = chart_archive::pack(&BTreeMap::from([
        ("common/Chart.yaml".to_owned(), "apiVersion: v2\nname: common\nversion: 2.0.1\n".to_owned()),
        ("common/values.yaml".to_owned(), "exampleValue: common-chart\n".to_owned()),
    ]));
    assert_eq!(chart_archive::read(&inner).values, "exampleValue: common-chart\n");
    let folder = tempfile::tempdir().unwrap();
    let files = BTreeMap::from([
        ("milvus/Chart.yaml".to_owned(), "apiVersion: v1\nname: milvus\nversion: 99.0.0\n".to_owned()),
        (
            "milvus/requirements.yaml".to_owned(),
            "dependencies:\n- {name: etcd, version: 6.x, condition: etcd.enabled}\n- {name: pulsar, version: 2.7.8, condition: pulsar.enabled}\n\
             - {name: pulsar, version: 3.3.0, alias: pulsarv3, condition: pulsarv3.enabled}\n- {name: kafka, version: 15.5.1, condition: kafka.enabled}\n"
                .to_owned(),
        ),
        (
            "milvus/values.yaml".to_owned(),
            "cluster: {enabled: true}\netcd: {enabled: true, persistence: {size: 1Gi}}\nminio: {enabled: true}\nservice: {type: ClusterIP, x: ~}\n".to_owned(),
        ),
        (
            "milvus/charts/etcd/Chart.yaml".to_owned(),
            "apiVersion: v2\nname: etcd\nversion: 6.3.3\ndependencies: [{name: common, version: 1.x.x, tags: [bitnami-common]}]\n".to_owned(),
        ),
        (
            "milvus/charts/etcd/values.yaml".to_owned(),
            "persistence: {size: 8Gi, storageClass: ~}\nglobal: {storage: {class: {a: 1}}}\nreplicaCount: 1\n".to_owned(),
        ),
        ("milvus/charts/etcd/charts/common/Chart.yaml".to_owned(), "apiVersion: v2\nname: common\nversion: 1.4.0\n".to_owned()),
        ("milvus/charts/etcd/charts/common/values.yaml".to_owned(), "exampleValue: x\nglobal: {storage: {class: {b: 2}}}\n".to_owned()),
        ("milvus/charts/pulsar/Chart.yaml".to_owned(), "apiVersion: v1\nname: pulsar\nversion: 2.7.8\n".to_owned()),
        ("milvus/charts/pulsar/values.yaml".to_owned(), "two: 2\n".to_owned()),
        ("milvus/charts/pulsarv3/Chart.yaml".to_owned(), "apiVersion: v2\nname: pulsar\nversion: 3.3.0\n".to_owned()),
        ("milvus/charts/pulsarv3/values.yaml".to_owned(), "three: 3\nbookkeeper: {replicas: 3}\n".to_owned()),
        ("milvus/charts/kafka/Chart.yaml".to_owned(), "apiVersion: v2\nname: kafka\nversion: 15.5.1\n".to_owned()),
        ("milvus/charts/kafka/values.yaml".to_owned(), "enabled: false\n".to_owned()),
    ]);
    std::fs::write(folder.path().join("milvus-99.0.0.tgz"), chart_archive::pack(&files)).unwrap();
    let known = twenty()[15];
    let archive = chart_archive::pack(&skeleton(known, &of_catalogue(known)).files("milvus"));
    std::fs::write(folder.path().join(format!("milvus-{}.tgz", known.version)), archive).unwrap();
    assert_eq!(compare_archives(programs, folder.path()), (2, 32));
}

/// The digests of all versions' leaves: `UPDATE_DIGESTS=1` writes the file anew.
#[test]
fn every_version_has_the_leaves_that_it_had() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/catalogue-digests.txt");
    let catalogue = Catalogue::embedded();
    let mut text = String::from("# chart, leaves, SHA-256 of `path<TAB>value as JSON` lines; written by UPDATE_DIGESTS=1 cargo test every_version_has\n");
    for entry in catalogue.versions().iter().filter(|entry| entry.has_defaults) {
        let defaults = catalogue.defaults(&entry.version).unwrap();
        let (mut leaves, mut hash) = (0, Sha256::new());
        defaults.for_each_leaf(&mut |path, entry| {
            leaves += 1;
            hash.update(format!("{path}\t{}\n", to_json(&entry.node)));
        });
        let digest: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        text.push_str(&format!("{} {leaves} {digest}\n", entry.version));
    }
    if std::env::var_os("UPDATE_DIGESTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differing: Vec<&str> = text.lines().filter(|line| !committed.lines().any(|known| known == *line)).collect();
    assert!(differing.is_empty() && committed.lines().count() == text.lines().count(), "other leaves than {} has:\n{}", path.display(), differing.join("\n"));
}

#[test]
fn the_catalogue_holds_no_value_that_helm_would_read_otherwise() {
    // Whole numbers of a chart pass through a double in Helm: the catalogue must not know them better.
    for entry in twenty() {
        let values = of_catalogue(entry);
        let text = skeleton_values(&values).to_string();
        let read = Chart { name: "milvus".into(), values: text, ..Chart::default() }.load(HelmMajor::Three).unwrap();
        assert_eq!(difference(&skeleton_values(&read), &skeleton_values(&values), "values"), None, "{}", entry.version);
        assert!(!matches!(Value::Table(Arc::clone(&values.defaults)).truthy(), None | Some(false)));
    }
}
