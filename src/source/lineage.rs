//! Tells where a chart called milvus comes from, and whether a table looks like values of zilliztech's chart (facts: "Lineage").

use crate::document::yaml::{Kind, Node};
use crate::model::declaration::Lineage;

/// The places that are known, as substrings of a URL without its scheme; the first that fits counts.
const KNOWN: &[(&str, Lineage)] = &[
    ("zilliztech.github.io/milvus-helm", Lineage::Zilliztech),
    ("github.com/zilliztech/milvus-helm", Lineage::Zilliztech),
    ("raw.githubusercontent.com/zilliztech/milvus-helm", Lineage::Zilliztech),
    ("milvus-io.github.io/milvus-helm", Lineage::Archived),
    ("github.com/milvus-io/milvus-helm", Lineage::Archived),
    ("raw.githubusercontent.com/milvus-io/milvus-helm", Lineage::Archived),
    ("zilliztech.github.io/milvus-operator", Lineage::Operator),
    ("github.com/zilliztech/milvus-operator", Lineage::Operator),
    ("github.com/milvus-io/milvus-operator", Lineage::Operator),
    ("milvus-io.github.io/milvus-operator", Lineage::Operator),
    ("charts.bitnami.com", Lineage::Bitnami),
    ("docker.io/bitnami", Lineage::Bitnami),
    ("github.com/bitnami/", Lineage::Bitnami),
    ("raw.githubusercontent.com/bitnami/", Lineage::Bitnami),
    ("dp.apps.rancher.io", Lineage::Suse),
    ("apps.rancher.io/charts", Lineage::Suse),
];

/// Where a chart comes from. `repository` is the repository's URL where it is in sight (resolved from an alias or another file);
/// `chart` is the chart as it is named: `milvus`, `zilliztech/milvus`, a path, a URL of an archive, an OCI reference.
///
/// Names with an alias are presumed only where no repository is in sight: `zilliztech/milvus` and `milvus/milvus` zilliztech, `bitnami/milvus` Bitnami.
#[must_use]
pub fn lineage(repository: Option<&str>, chart: &str) -> Lineage {
    let chart = chart.trim();
    if is_operator_chart(chart) {
        return Lineage::Operator;
    }
    if is_url(chart) {
        return of_url(chart);
    }
    match repository.map(str::trim).filter(|url| !url.is_empty()) {
        Some(url) if url.starts_with("file:") || url.starts_with('.') => Lineage::Wrapper,
        Some(url) if is_url(url) => of_url(url),
        // `@name` and `alias:name` are names in the user's own Helm configuration.
        Some(url) => url.strip_prefix('@').or_else(|| url.strip_prefix("alias:")).map_or_else(|| of_url(url), of_alias),
        None if is_local_path(chart) => Lineage::Wrapper,
        None => chart.split_once('/').map_or(Lineage::Unknown, |(alias, _)| of_alias(alias)),
    }
}

/// Whether a chart as it is named is called milvus: `milvus`, `zilliztech/milvus`, `./charts/milvus`, `.../milvus-4.2.58.tgz`, `oci://.../milvus`.
#[must_use]
pub fn is_milvus_chart(chart: &str) -> bool {
    let name = last_part(chart);
    name == "milvus" || name == "milvus-helm" || archive_version(chart, "milvus").is_some()
}

/// Whether a chart as it is named is that of the Milvus operator.
#[must_use]
pub fn is_operator_chart(chart: &str) -> bool {
    last_part(chart).starts_with("milvus-operator")
}

/// The version in the name of a chart's archive: `4.2.58` of `charts/milvus-4.2.58.tgz`.
#[must_use]
pub fn archive_version<'c>(chart: &'c str, name: &str) -> Option<&'c str> {
    let version = last_part(chart).strip_suffix(".tgz")?.strip_prefix(name)?.strip_prefix('-')?;
    version.starts_with(|c: char| c.is_ascii_digit()).then_some(version)
}

fn last_part(chart: &str) -> &str {
    let chart = chart.split(['?', '#']).next().unwrap_or(chart).trim_end_matches('/');
    let name = chart.rsplit('/').next().unwrap_or(chart);
    // The tag of an OCI reference; a port cannot stand in the last part.
    if chart.contains('/') { name.split(':').next().unwrap_or(name) } else { name }
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn is_local_path(chart: &str) -> bool {
    chart.starts_with(['.', '/', '~']) || chart.matches('/').count() > 1 || chart.ends_with(".tgz")
}

fn of_url(url: &str) -> Lineage {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest).to_ascii_lowercase();
    let url = url.strip_prefix("www.").unwrap_or(&url);
    KNOWN.iter().find(|(known, _)| url.contains(known)).map_or(Lineage::Unknown, |(_, lineage)| *lineage)
}

fn of_alias(alias: &str) -> Lineage {
    match alias {
        "zilliztech" | "zilliz" | "milvus" | "milvus-helm" => Lineage::Zilliztech,
        "milvus-io" => Lineage::Archived,
        "bitnami" | "bitnamicharts" => Lineage::Bitnami,
        _ => Lineage::Unknown,
    }
}

/// The lineage that values prove by themselves: by the image repository or by keys that only one chart has. `None` where they prove nothing.
#[must_use]
pub fn values_lineage(values: &Node) -> Option<Lineage> {
    if is_something_else(values) {
        return None;
    }
    if let Some(repository) = values.text_at(&["milvus", "image", "repository"]).or_else(|| values.text_at(&["image", "repository"]))
        && repository.contains("bitnami")
        && repository.contains("milvus")
    {
        return Some(Lineage::Bitnami);
    }
    if values.text_at(&["image", "all", "repository"]).is_some_and(|r| r == "milvus" || r.ends_with("/milvus")) {
        return Some(Lineage::Zilliztech);
    }
    // Charts of people's own keep Milvus's settings in a table of that name; zilliztech's chart has none.
    let enough = if is_table(values, "milvus") { 8 } else { 4 };
    (score(values) >= enough).then_some(Lineage::Zilliztech)
}

/// Whether a table looks like values of zilliztech's chart: the image of `image.all`, or several of the chart's own keys. The configuration of the
/// server (`milvus.yaml`), Compose files, Kubernetes objects and Bitnami's values do not.
#[must_use]
pub fn looks_like_milvus_values(values: &Node) -> bool {
    values_lineage(values) == Some(Lineage::Zilliztech)
}

/// Keys that only something else has at its top: Kubernetes objects, charts, helmfiles, Compose files, `milvus.yaml`, Bitnami's chart, users of Milvus.
fn is_something_else(values: &Node) -> bool {
    const FOREIGN: &[&str] =
        &["kind", "apiVersion", "services", "releases", "dependencies", "rocksmq", "mq", "localStorage", "rootCoord", "queryCoord", "externalMilvus"];
    FOREIGN.iter().any(|key| values.get(key).is_some())
}

fn is_table(values: &Node, key: &str) -> bool {
    values.get(key).is_some_and(|node| matches!(node.kind, Kind::Mapping(_)))
}

/// Points for keys of the chart: four prove it.
fn score(values: &Node) -> u32 {
    const KEYS: &[(&str, u32)] = &[
        ("mixCoordinator", 4),
        ("rootCoordinator", 4),
        ("queryCoordinator", 4),
        ("dataCoordinator", 4),
        ("indexCoordinator", 4),
        ("pulsarv3", 3),
        ("externalPulsar", 3),
        ("queryNode", 2),
        ("dataNode", 2),
        ("indexNode", 2),
        ("streamingNode", 2),
        ("attu", 1),
        ("woodpecker", 2),
        ("pulsar", 1),
        ("externalEtcd", 2),
        ("externalKafka", 2),
        ("externalS3", 1),
        ("standalone", 1),
        ("streaming", 1),
        ("etcd", 1),
        ("minio", 1),
        ("kafka", 1),
    ];
    let keys: u32 = KEYS.iter().filter(|(key, _)| is_table(values, key)).map(|(_, points)| points).sum();
    let paths: [(&[&str], u32); 7] = [
        (&["image", "all", "tag"], 4),
        (&["standalone", "messageQueue"], 3),
        (&["extraConfigFiles", "user.yaml"], 4),
        (&["cluster", "enabled"], 2),
        (&["pulsar", "enabled"], 1),
        (&["attu", "enabled"], 1),
        (&["standalone", "persistence"], 1),
    ];
    keys + paths.iter().filter(|(path, _)| values.at(path).is_some()).map(|(_, points)| points).sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::yaml::{Limits, parse_stream};

    fn looks(text: &str) -> bool {
        looks_like_milvus_values(&parse_stream(text, &Limits::default()).remove(0).unwrap().root)
    }

    #[test]
    fn repositories_tell_the_lineage() {
        for (repository, chart, expected) in [
            (Some("https://zilliztech.github.io/milvus-helm/"), "milvus", Lineage::Zilliztech),
            (Some("https://milvus-io.github.io/milvus-helm"), "milvus", Lineage::Archived),
            (Some("https://milvus-io.github.io/milvus-helm"), "milvus/milvus", Lineage::Archived),
            (Some("https://charts.bitnami.com/bitnami"), "milvus", Lineage::Bitnami),
            (Some("oci://registry-1.docker.io/bitnamicharts"), "milvus", Lineage::Bitnami),
            (None, "oci://registry-1.docker.io/bitnamicharts/milvus", Lineage::Bitnami),
            (None, "oci://dp.apps.rancher.io/charts/milvus:4.2.2", Lineage::Suse),
            (Some("https://zilliztech.github.io/milvus-operator/"), "milvus-operator", Lineage::Operator),
            (Some("https://charts.example.com/mirror"), "milvus", Lineage::Unknown),
            (Some("https://charts.example.com/mirror"), "zilliztech/milvus", Lineage::Unknown),
            (Some("file://../milvus"), "milvus", Lineage::Wrapper),
            (Some("@zilliztech"), "milvus", Lineage::Zilliztech),
            (Some("alias:internal"), "milvus", Lineage::Unknown),
            (None, "zilliztech/milvus", Lineage::Zilliztech),
            (None, "milvus/milvus", Lineage::Zilliztech),
            (None, "bitnami/milvus", Lineage::Bitnami),
            (None, "./charts/milvus", Lineage::Wrapper),
            (None, "milvus", Lineage::Unknown),
            (None, "https://github.com/zilliztech/milvus-helm/releases/download/milvus-4.2.58/milvus-4.2.58.tgz", Lineage::Zilliztech),
            (None, "zilliztech/milvus-operator", Lineage::Operator),
        ] {
            assert_eq!(lineage(repository, chart), expected, "{repository:?} {chart}");
        }
    }

    #[test]
    fn charts_called_milvus_are_told_from_others() {
        for chart in ["milvus", "zilliztech/milvus", "./charts/milvus/", "charts/milvus-4.2.58.tgz", "oci://r.example.com:5000/charts/milvus:4.2.58"] {
            assert!(is_milvus_chart(chart), "{chart}");
        }
        for chart in ["milvus-operator", "zilliztech/milvus-operator", "attu", "milvus-backup", "example/not-milvus", "milvus-operator-1.0.0.tgz"] {
            assert!(!is_milvus_chart(chart), "{chart}");
        }
        assert_eq!(archive_version("charts/milvus-4.2.58.tgz", "milvus"), Some("4.2.58"));
    }

    #[test]
    fn values_of_the_chart_are_recognised_by_their_keys() {
        assert!(looks("image:\n  all:\n    repository: milvusdb/milvus\n"));
        assert!(looks("image: {all: {tag: v2.5.10}}\n"));
        assert!(looks("cluster: {enabled: false}\netcd: {replicaCount: 1}\nminio: {mode: standalone}\n"));
        assert!(looks("queryNode: {replicas: 3}\ndataNode: {replicas: 2}\n"));
        assert!(looks("standalone: {messageQueue: rocksmq}\n"));
        assert!(looks("mixCoordinator: {replicas: 2}\n"));
    }

    #[test]
    fn what_only_resembles_values_of_the_chart_is_left_alone() {
        for other in [
            "etcd: {endpoints: localhost:2379}\nminio: {address: localhost}\nqueryNode: {port: 1}\ndataNode: {port: 2}\nrootCoord: {port: 3}\nmq: {type: default}\n",
            "services:\n  standalone: {image: 'milvusdb/milvus:v2.5.0'}\n  etcd: {}\n  minio: {}\n",
            "apiVersion: milvus.io/v1beta1\nkind: Milvus\nspec: {mode: cluster}\n",
            "milvus: {image: {repository: bitnami/milvus}}\nqueryNode: {replicaCount: 1}\ndataNode: {replicaCount: 1}\netcd: {}\nminio: {}\n",
            "milvus: {host: milvus.db}\nredis: {host: redis}\n",
            "etcd: {enabled: true}\nminio: {enabled: true}\n",
            "milvus: {image: x}\netcd: {image: x}\nminio: {image: x}\nattu: {enabled: true}\nstandalone: {}\n",
            "standalone: {image: milvus}\netcd: {image: x}\nminio: {image: x}\n",
            "- a\n",
            "text\n",
        ] {
            assert!(!looks(other), "{other}");
        }
    }
}
