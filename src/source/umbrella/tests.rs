//! Umbrella charts: dependencies, locks, environments, switches.

use super::*;
use crate::model::version::VersionSpec;
use crate::source::fixture::read_with;
use crate::source::memory::MemoryTree;

const ZILLIZ: &str = "https://zilliztech.github.io/milvus-helm/";

fn chart(rest: &str) -> String {
    format!("apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n- name: milvus\n  repository: {ZILLIZ}\n  version: 4.2.58\n{rest}")
}

fn read_all(files: &[(&str, &str)]) -> Vec<Declaration> {
    read_with(read, files).declarations
}

fn says(declaration: &Declaration, path: &str) -> Said {
    said(&declaration.layers, path)
}

fn text(value: &str) -> Said {
    Said::Value(Value::String(value.into()))
}

fn scopes(all: &[Declaration]) -> Vec<&str> {
    all.iter().map(|d| &*d.identity.scope).collect()
}

#[test]
fn values_stand_under_the_name_and_the_version_has_its_place() {
    let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "milvus:\n  image: {all: {tag: v2.5.10}}\nother: 1\n")]);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].chart.lineage, Lineage::Zilliztech);
    assert_eq!(all[0].chart.version.place().unwrap().to_string(), "a/Chart.yaml:7:12");
    assert_eq!(all[0].place.to_string(), "a/Chart.yaml:5:9");
    assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.10"));
    assert_eq!(all[0].lock, Some(Lock { version: Fact::Absent, disagrees: false }));
    assert!(all[0].misplaced.is_empty());
}

#[test]
fn an_alias_takes_the_place_of_the_name() {
    let all = read_all(&[
        ("Chart.yaml", &chart("  alias: vectors\n")),
        ("values.yaml", "vectors: {image: {all: {tag: v2.5.10}}}\nmilvus: {image: {all: {tag: v2.4.1}}}\n"),
    ]);
    assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.10"));
    assert_eq!(&*all[0].misplaced[0].0, "milvus");
}

#[test]
fn old_requirements_and_their_lock_are_read() {
    let all = read_all(&[
        ("a/Chart.yaml", "apiVersion: v1\nname: milvus-stack\nversion: 1.0.0\n"),
        ("a/requirements.yaml", "dependencies:\n- {name: milvus, version: ^4.1, repository: 'https://milvus-io.github.io/milvus-helm'}\n"),
        ("a/requirements.lock", "dependencies:\n- {name: milvus, version: 4.1.36, repository: 'https://milvus-io.github.io/milvus-helm'}\n"),
    ]);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].chart.lineage, Lineage::Archived);
    let lock = all[0].lock.as_ref().unwrap();
    assert_eq!(lock.version.known().unwrap().to_string(), "4.1.36");
    assert!(!lock.disagrees);
    assert_eq!(lock.version.place().unwrap().file.as_ref(), "a/requirements.lock");
}

#[test]
fn a_lock_that_does_not_satisfy_the_range_disagrees() {
    for lock in [
        format!("dependencies:\n- {{name: milvus, version: 4.1.0, repository: '{ZILLIZ}'}}\n"),
        "dependencies:\n- {name: milvus, version: 4.2.58, repository: 'https://charts.example.com'}\n".to_owned(),
        "dependencies:\n- {name: other, version: 4.2.58}\n".to_owned(),
    ] {
        let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/Chart.lock", &lock)]);
        assert!(all[0].lock.as_ref().unwrap().disagrees, "{lock}");
    }
}

#[test]
fn a_dependency_switched_off_is_no_release() {
    let off = |rest: &str, values: &str| read_all(&[("a/Chart.yaml", &chart(rest)), ("a/values.yaml", values)]).is_empty();
    assert!(off("  condition: milvus.enabled\n", "milvus: {enabled: false}\n"));
    assert!(off("  condition: global.nothing,vector.active\n", "vector: {active: false}\n"));
    assert!(off("  tags: [vector]\n", "tags: {vector: false}\n"));
    assert!(!off("  tags: [vector]\n  condition: milvus.enabled\n", "tags: {vector: false}\nmilvus: {enabled: true}\n"));
    assert!(!off("  condition: milvus.enabled\n", "milvus: {enabled: 'false'}\n"));
    assert!(!off("  condition: milvus.enabled\n", "milvus: {}\n"));
}

#[test]
fn each_environment_that_speaks_to_milvus_is_a_release() {
    let all = read_all(&[
        ("a/Chart.yaml", &chart("  condition: milvus.enabled\n")),
        ("a/values.yaml", "milvus: {enabled: true, image: {all: {tag: v2.5.10}}}\n"),
        ("a/values-dev.yaml", "milvus: {enabled: false}\n"),
        ("a/environments/prod.yaml", "milvus: {image: {all: {tag: v2.5.16}}}\n"),
    ]);
    assert_eq!(scopes(&all), ["a#prod"]);
    assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.16"));
    // The switch is the umbrella's own.
    assert_eq!(says(&all[0], "enabled"), Said::Nothing);
}

#[test]
fn values_alone_are_a_release_where_an_environment_says_nothing_or_none_is_production() {
    let with = |path: &str, content: &str| {
        let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "milvus: {}\n"), (path, content)]);
        scopes(&all).iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(with("a/values-prod.yaml", "other: 1\n"), ["a"]);
    assert_eq!(with("a/values-dev.yaml", "milvus: {cluster: {enabled: false}}\n"), ["a", "a#dev"]);
    assert_eq!(with("a/prod/values.yaml", "milvus: {cluster: {enabled: false}}\n"), ["a#prod"]);
}

#[test]
fn values_at_the_top_of_an_umbrella_are_misplaced_unless_its_templates_read_them() {
    let values = "image: {all: {tag: v2.5.10}}\nqueryNode: {replicas: 3}\nminio: {mode: standalone}\n";
    let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", values)]);
    let keys: Vec<&str> = all[0].misplaced.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["image.all", "queryNode", "minio"]);
    assert_eq!(all[0].misplaced[1].1.to_string(), "a/values.yaml:2:1");
    let all =
        read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "queryNode: {replicas: 3}\n"), ("a/templates/x.yaml", "{{ .Values.queryNode.replicas }}")]);
    assert!(all[0].misplaced.is_empty());
    let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "minio: {mode: standalone}\netcd: {}\ncluster: {}\n")]);
    assert!(all[0].misplaced.is_empty());
    let all = read_all(&[("a/Chart.yaml", &chart("")), ("a/values.yaml", "minio: {mode: standalone}\netcd: {}\ncluster: {enabled: false}\n")]);
    assert_eq!(all[0].misplaced.len(), 3);
}

#[test]
fn a_vendored_archive_tells_the_version() {
    let all =
        read_all(&[("a/Chart.yaml", &chart("").replace("4.2.58", "^4.2")), ("a/charts/milvus-4.2.51.tgz", ""), ("a/charts/milvus-operator-1.0.0.tgz", "")]);
    let lock = all[0].lock.as_ref().unwrap();
    assert_eq!((lock.version.known().unwrap().to_string().as_str(), lock.disagrees), ("4.2.51", false));
    assert_eq!(all[0].chart.vendored.as_deref(), Some("a/charts/milvus-4.2.51.tgz"));
}

const COPY: &str =
    "apiVersion: v1\nname: milvus\nversion: 4.2.20\nappVersion: 2.4.16\nhome: https://milvus.io/\nsources: ['https://github.com/zilliztech/milvus-helm']\n";

#[test]
fn a_copy_of_the_chart_is_a_source_and_its_values_are_not_the_users() {
    let all = read_all(&[("charts/milvus/Chart.yaml", COPY), ("charts/milvus/values.yaml", "cluster: {enabled: true}\nqueryNode: {replicas: 1}\n")]);
    assert_eq!(all.len(), 1);
    assert!(all[0].source_only && matches!(all[0].layers[..], [Layer::Unseen { .. }]));
    assert_eq!(all[0].chart.lineage, Lineage::Zilliztech);
}

#[test]
fn a_copy_below_an_umbrella_gives_its_version_to_the_release() {
    for (repository, folder) in [("file://../milvus", "milvus"), ("''", "a/charts/milvus")] {
        let umbrella = format!("apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies: [{{name: milvus, version: '*', repository: {repository}}}]\n");
        let copy = format!("{folder}/Chart.yaml");
        let all = read_all(&[("a/Chart.yaml", &umbrella), ("a/values.yaml", "milvus: {image: {all: {tag: v2.4.16}}}\n"), (&copy, COPY)]);
        assert_eq!(all.len(), 1, "{repository}");
        assert!(!all[0].source_only);
        assert_eq!(all[0].chart.version.known(), Some(&VersionSpec::parse("4.2.20")));
        assert_eq!((all[0].chart.lineage, all[0].lock.clone()), (Lineage::Zilliztech, None));
    }
}

#[test]
fn a_wrapper_called_milvus_is_looked_through_or_left_unjudged() {
    let wrapper = chart("").replace("name: app", "name: milvus");
    let outer = "apiVersion: v2\nname: platform\nversion: 0.1.0\ndependencies: [{name: milvus, version: 0.1.0, repository: 'file://../milvus'}]\n";
    let all = read_all(&[
        ("outer/Chart.yaml", outer),
        ("outer/values.yaml", "milvus: {milvus: {image: {all: {tag: v2.5.16}}}}\n"),
        ("milvus/Chart.yaml", &wrapper),
        ("milvus/values.yaml", "milvus: {image: {all: {tag: v2.5.10, pullPolicy: Always}}}\n"),
    ]);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].chart.version.known(), Some(&VersionSpec::parse("4.2.58")));
    assert_eq!(says(&all[0], "image.all.tag"), text("v2.5.16"));
    assert_eq!(says(&all[0], "image.all.pullPolicy"), text("Always"));
    assert!(all[0].misplaced.is_empty());
    let own = "apiVersion: v2\nname: milvus\nversion: 0.1.0\nappVersion: 2.5.0\n";
    let all = read_all(&[("outer/Chart.yaml", outer), ("milvus/Chart.yaml", own)]);
    assert_eq!(all[0].chart.lineage, Lineage::Wrapper);
}

#[test]
fn two_of_one_chart_are_two_releases() {
    let two = format!("{}- {{name: milvus, alias: second, version: 5.0.19, repository: '{ZILLIZ}'}}\n", chart(""));
    let lock =
        format!("dependencies:\n- {{name: milvus, version: 4.2.58, repository: '{ZILLIZ}'}}\n- {{name: milvus, version: 5.0.19, repository: '{ZILLIZ}'}}\n");
    let all = read_all(&[("a/Chart.yaml", &two), ("a/Chart.lock", &lock)]);
    assert_eq!(scopes(&all), ["a/milvus", "a/second"]);
    assert!(all.iter().all(|d| !d.lock.as_ref().unwrap().disagrees));
}

#[test]
fn requirements_without_a_readable_chart_and_variables_are_read() {
    let all =
        read_all(&[("a/requirements.yaml", "dependencies: [{name: milvus, version: $MILVUS_CHART, repository: 'https://milvus-io.github.io/milvus-helm'}]\n")]);
    assert_eq!(all.len(), 1);
    assert!(all[0].chart.version.is_unknown());
}

#[test]
fn what_is_not_milvus_is_no_release() {
    assert!(read_all(&[("a/Chart.yaml", "name: milvus-operator\nversion: 1.0.0\n")]).is_empty());
    assert!(read_all(&[("a/Chart.yaml", &chart("").replace("name: milvus", "name: milvus-operator"))]).is_empty());
    assert!(read_all(&[("a/Chart.yaml", &chart("type: library\n"))]).is_empty());
    assert!(read_all(&[("a/Chart.yaml", "# milvus\nname: x\ndependencies: {a: b}\n")]).is_empty());
}

#[test]
fn lineages_of_repositories_and_names_of_helms_own_configuration() {
    let with = |repository: &str| read_all(&[("a/Chart.yaml", &chart("").replace(ZILLIZ, repository))]).remove(0).chart;
    assert_eq!(with("oci://registry-1.docker.io/bitnamicharts").lineage, Lineage::Bitnami);
    assert_eq!(with("'@zilliztech'").lineage, Lineage::Zilliztech);
    assert!(with("'@zilliztech'").repository.is_unknown());
    assert_eq!(with("'alias:internal'").lineage, Lineage::Unknown);
    assert_eq!(with("https://charts.example.com").lineage, Lineage::Unknown);
}

#[test]
fn what_is_the_parents_own_is_not_milvus_s() {
    let keys = |rest: &str, files: &[(&str, &str)]| -> Vec<String> {
        let chart = chart(rest);
        let values = ("a/values.yaml", "milvus: {enabled: true, use: true, backup: {x: 1}, cluster: {enabled: true}}\n");
        let declaration = read_all(&[&[("a/Chart.yaml", &*chart), values], files].concat()).remove(0);
        let Some(Layer::Table { values, .. }) = declaration.layers.first() else { panic!("no values") };
        values.table().unwrap().entries.keys().map(ToString::to_string).collect()
    };
    assert_eq!(keys("  condition: milvus.enabled\n", &[]), ["backup", "cluster", "use"]);
    assert_eq!(keys("  condition: x.y,milvus.use\n", &[]), ["backup", "cluster", "enabled"]);
    let template = ("a/templates/job.yaml", "{{ if .Values.milvus.backup.x }}{{ .Values.milvus.cluster.enabled }}{{ end }}");
    assert_eq!(keys("", &[template]), ["cluster", "enabled", "use"]);
}

#[test]
fn given_values_lie_over_the_charts_own() {
    let text_of = chart("");
    let tree =
        MemoryTree::new([("a/Chart.yaml", &*text_of), ("a/values.yaml", "milvus: {image: {all: {tag: v2.5.10}}}\n"), ("a/values-prod.yaml", "milvus: {}\n")]);
    let files = tree.candidates();
    let set = Layer::Set {
        kind: crate::model::declaration::SetKind::Set,
        text: "milvus.image.all.tag=v2.5.16,x=y".into(),
        place: Place::file_start(&"run.sh".into()),
        file: None,
    };
    let all = declarations_of_chart("a", &[set], &Context::new(&tree, &files));
    assert_eq!(all.len(), 1);
    assert!(matches!(&all[0].layers[..], [Layer::Table { .. }, Layer::Set { text, .. }] if &**text == "image.all.tag=v2.5.16"));
}

#[test]
fn the_parts_of_a_chart_share_it() {
    let chart = "name: app\nversion: 1.0.0\ndependencies:\n- {name: milvus, version: 4.1.5, repository: x, alias: a}\n- {name: milvus, version: 4.1.5, repository: x, alias: b}\n";
    let tree = MemoryTree::new([("app/Chart.yaml", chart)]);
    let files = tree.candidates();
    let context = Context::new(&tree, &files);
    let chart = Arc::new(ChartFolder::load("app", &context).unwrap());
    let parts = milvus_parts(&chart, &context, 0);
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|part| Arc::ptr_eq(&part.steps[0].0, &chart)));
}
