use super::*;
use crate::model::declaration::{Applier, FlagKind, Form, Layer, Lineage, ValuesStrategy};
use crate::model::value::Value;
use crate::model::version::VersionSpec;
use crate::source::fixture::read_texts as reading;
use crate::source::nested::{Said, said};

const REPOSITORIES: &str = "repositories:\n- {name: zilliz, url: 'https://zilliztech.github.io/milvus-helm/'}\n";

fn all(files: &[(&str, &str)]) -> Vec<Declaration> {
    reading(files).declarations
}

fn with_release(rest: &str) -> String {
    format!("{REPOSITORIES}releases:\n- name: vectors\n  namespace: db\n  chart: zilliz/milvus\n  version: 4.2.58\n{rest}")
}

fn text(value: &str) -> Said {
    Said::Value(Value::String(value.into()))
}

#[test]
fn a_release_is_read_with_repository_values_and_set() {
    let helmfile = with_release(
        "  values:\n  - values/milvus.yaml\n  - image: {all: {tag: v2.5.10}}\n  set:\n  - {name: cluster.enabled, value: false}\n  - {name: a, values: [x, 'y,z']}\n",
    );
    let found = all(&[("deploy/helmfile.yaml", &helmfile), ("deploy/values/milvus.yaml", "image: {all: {repository: milvusdb/milvus, tag: v2.4.1}}\n")]);
    assert_eq!(found.len(), 1);
    let d = &found[0];
    assert_eq!((d.identity.form, d.name.known().map(|n| &**n), d.namespace.known().map(|n| &**n)), (Form::Helmfile, Some("vectors"), Some("db")));
    assert_eq!((d.chart.lineage, d.applier, d.strategy), (Lineage::Zilliztech, Applier::HelmUpgrade, ValuesStrategy::Replace));
    assert_eq!(d.chart.version.place().unwrap().to_string(), "deploy/helmfile.yaml:7:12");
    assert_eq!(d.place.to_string(), "deploy/helmfile.yaml:4:9");
    assert_eq!(said(&d.layers, "image.all.tag"), text("v2.5.10"));
    assert_eq!(said(&d.layers, "image.all.repository"), text("milvusdb/milvus"));
    assert_eq!(said(&d.layers, "cluster.enabled"), Said::Value(Value::Bool(false)));
    assert!(matches!(d.layers.last(), Some(Layer::Set { text, .. }) if &**text == r"a={x,y\,z}"));
}

#[test]
fn helmfiles_are_known_by_name_folder_or_content() {
    for path in ["helmfile.yaml", "helmfile.yaml.gotmpl", "helmfile.d/10-db.yaml", "helmfile-prod.yaml", "odd.yaml"] {
        assert_eq!(all(&[(path, &with_release(""))]).len(), 1, "{path}");
    }
    assert!(all(&[("a.yaml", "kind: X\nreleases: [{name: milvus, chart: zilliztech/milvus}]\n")]).is_empty());
}

#[test]
fn what_is_not_installed_or_switched_off_is_no_release() {
    assert!(all(&[("helmfile.yaml", &with_release("  installed: false\n"))]).is_empty());
    let switched = format!(
        "environments:\n  prod: {{values: [{{milvus: {{enabled: true}}}}]}}\n  dev: {{values: [{{milvus: {{enabled: false}}}}]}}\n---\n{}",
        with_release("  condition: milvus.enabled\n")
    );
    let found = all(&[("helmfile.yaml", &switched)]);
    assert_eq!(found.iter().map(|d| &*d.identity.scope).collect::<Vec<_>>(), ["helmfile.yaml#prod"]);
}

const ENVIRONMENTS: &str = "environments:\n  default:\n  dev:\n    values: [env/dev.yaml]\n  prod:\n    values: [env/prod.yaml]\n---\n";

#[test]
fn environments_that_differ_are_releases_of_their_own() {
    let helmfile =
        format!("{ENVIRONMENTS}{}", with_release("  values:\n  - values/{{ .Environment.Name }}.yaml\n").replace("4.2.58", "{{ .Values.milvus.version }}"));
    let found = all(&[
        ("helmfile.yaml.gotmpl", &helmfile),
        ("env/dev.yaml", "milvus: {version: 5.0.19}\n"),
        ("env/prod.yaml", "milvus: {version: 4.2.58}\n"),
        ("values/prod.yaml", "cluster: {enabled: true}\nqueryNode: {replicas: 3}\n"),
    ]);
    assert_eq!(found.iter().map(|d| &*d.identity.scope).collect::<Vec<_>>(), ["helmfile.yaml.gotmpl#dev", "helmfile.yaml.gotmpl#prod"]);
    assert_eq!(found[0].chart.version.known(), Some(&VersionSpec::parse("5.0.19")));
    assert_eq!(found[1].chart.version.known(), Some(&VersionSpec::parse("4.2.58")));
    assert_eq!(found[1].chart.version.place().unwrap().to_string(), "env/prod.yaml:1:19");
    assert!(matches!(found[0].layers[..], [Layer::Unseen { .. }]));
    assert_eq!(said(&found[1].layers, "queryNode.replicas"), Said::Value(Value::Int(3)));
}

#[test]
fn environments_that_change_nothing_are_one_release() {
    let helmfile = format!("{ENVIRONMENTS}{}", with_release("  values:\n  - image: {all: {tag: v2.5.10}}\n"));
    let found = all(&[("helmfile.yaml", &helmfile), ("env/dev.yaml", "a: 1\n"), ("env/prod.yaml", "a: 2\n")]);
    assert_eq!(found.iter().map(|d| &*d.identity.scope).collect::<Vec<_>>(), ["helmfile.yaml"]);
}

#[test]
fn conditions_in_the_text_are_decided_by_the_environment() {
    let body = with_release("").replace(
        "  version: 4.2.58\n",
        "{{- if eq .Environment.Name \"prod\" }}\n  version: 4.2.58\n{{- else }}\n  version: 5.0.19\n{{- end }}\n  values:\n  - {{ toYaml .Values.milvus | nindent 4 }}\n",
    );
    let found = all(&[
        ("helmfile.yaml.gotmpl", &format!("{ENVIRONMENTS}{body}")),
        ("env/dev.yaml", "milvus: {cluster: {enabled: false}}\n"),
        ("env/prod.yaml", "milvus: {}\n"),
    ]);
    assert_eq!(found[0].chart.version.known(), Some(&VersionSpec::parse("5.0.19")));
    assert_eq!(said(&found[0].layers, "cluster.enabled"), Said::Value(Value::Bool(false)));
    assert_eq!(found[1].chart.version.known(), Some(&VersionSpec::parse("4.2.58")));
}

#[test]
fn a_condition_that_cannot_be_told_makes_the_version_unknown() {
    let body = with_release("").replace("  version: 4.2.58\n", "{{ if env \"NEW\" }}\n  version: 5.0.19\n{{ else }}\n  version: 4.2.58\n{{ end }}\n");
    let found = all(&[("helmfile.yaml", &body)]);
    assert!(found[0].chart.version.is_unknown());
    assert_eq!(found[0].chart.lineage, Lineage::Zilliztech);
}

#[test]
fn values_that_a_template_writes_out_are_unseen() {
    let found = all(&[("helmfile.yaml", &with_release("  values:\n  - image: {all: {tag: v2.5.10}}\n    {{- toYaml .Values.more | nindent 4 }}\n"))]);
    assert_eq!(found.len(), 1);
    assert!(found[0].layers.iter().any(|layer| matches!(layer, Layer::Unseen { .. })));
    assert!(!found[0].gaps.is_empty());
}

#[test]
fn one_of_ten_releases_is_found_among_templates() {
    let mut helmfile = format!("{{{{- $x := readFile \"x\" }}}}\n{REPOSITORIES}- name: other\n  url: https://charts.example.com\nreleases:\n");
    for i in 0..9 {
        helmfile.push_str(&format!(
            "{{{{- if .Values.app{i}.enabled }}}}\n- name: app{i}\n  chart: other/app\n  values: [{{a: {{{{ .Values.a }}}}}}]\n{{{{- end }}}}\n"
        ));
    }
    helmfile.push_str("- name: milvus\n  chart: zilliz/milvus\n  version: 4.2.58\n");
    let found = all(&[("helmfile.yaml.gotmpl", &helmfile)]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name.known().map(|n| &**n), Some("milvus"));
}

#[test]
fn flags_come_from_the_release_or_the_defaults() {
    let helmfile =
        format!("helmDefaults: {{wait: true, timeout: 600, atomic: true}}\n{}", with_release("  atomic: false\n  force: true\n  reuseValues: true\n"));
    let found = all(&[("helmfile.yaml", &helmfile)]);
    let flags: Vec<_> = found[0].flags.iter().map(|f| (f.kind, f.value.as_deref())).collect();
    assert_eq!(flags, [(FlagKind::Wait, None), (FlagKind::Force, None), (FlagKind::ReuseValues, None), (FlagKind::Timeout, Some("600s"))]);
    assert_eq!(found[0].strategy, ValuesStrategy::Reuse);
}

#[test]
fn anchors_inherited_templates_and_bases_are_followed() {
    let helmfile = "bases: [base.yaml]\ntemplates:\n  default: &default\n    namespace: db\n    wait: true\n  sized:\n    values: [{queryNode: {replicas: 2}}]\nreleases:\n- <<: *default\n  name: m\n  chart: zilliz/milvus\n  version: 4.2.58\n  inherit: [{template: sized}]\n";
    let found = all(&[("helmfile.yaml", helmfile), ("base.yaml", REPOSITORIES)]);
    assert_eq!((found[0].chart.lineage, found[0].namespace.known().map(|n| &**n)), (Lineage::Zilliztech, Some("db")));
    assert_eq!(said(&found[0].layers, "queryNode.replicas"), Said::Value(Value::Int(2)));
    assert_eq!(found[0].flags[0].kind, FlagKind::Wait);
}

#[test]
fn repositories_may_be_oci_or_missing_and_charts_local() {
    let chart = |repositories: &str, chart: &str| {
        all(&[("helmfile.yaml", &format!("repositories: [{repositories}]\nreleases: [{{name: milvus, chart: {chart}}}]\n"))]).remove(0).chart
    };
    assert_eq!(chart("{name: b, url: registry-1.docker.io/bitnamicharts, oci: true}", "b/milvus").lineage, Lineage::Bitnami);
    assert_eq!(chart("", "zilliztech/milvus").lineage, Lineage::Zilliztech);
    assert_eq!(chart("{name: zilliztech, url: '{{ env \"MIRROR\" }}'}", "zilliztech/milvus").lineage, Lineage::Unknown);
    assert_eq!(chart("", "charts/milvus-4.2.20.tgz").version.known(), Some(&VersionSpec::parse("4.2.20")));
    let umbrella =
        "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies: [{name: milvus, version: 4.2.58, repository: 'https://zilliztech.github.io/milvus-helm/'}]\n";
    let found = all(&[
        ("helmfile.yaml", "# milvus\nreleases:\n- {name: app, chart: ./charts/app, values: [{milvus: {cluster: {enabled: false}}}]}\n"),
        ("charts/app/Chart.yaml", umbrella),
        ("charts/app/values.yaml", "milvus: {image: {all: {tag: v2.5.10}}}\n"),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].identity.form, found[0].chart.version.place().unwrap().file.as_ref()), (Form::Helmfile, "charts/app/Chart.yaml"));
    assert_eq!(said(&found[0].layers, "cluster.enabled"), Said::Value(Value::Bool(false)));
    assert_eq!(said(&found[0].layers, "image.all.tag"), text("v2.5.10"));
}

#[test]
fn a_templated_chart_is_partly_checked_where_the_name_speaks_of_milvus() {
    let found = all(&[("helmfile.yaml", "releases:\n- {name: milvus, chart: '{{ .Values.chart }}'}\n- {name: x, chart: '{{ .Values.chart }}'}\n")]);
    assert_eq!((found.len(), found[0].gaps.len()), (1, 1));
}

#[test]
fn a_broken_part_is_a_gap_and_the_rest_is_read() {
    let read = reading(&[("helmfile.yaml", &format!("a: [ # milvus\n---\n{}", with_release("")))]);
    assert_eq!((read.declarations.len(), read.gaps.len()), (1, 1));
}

#[test]
fn a_value_of_an_environment_stands_where_the_environment_says_it() {
    let helmfile = format!(
        "environments:\n  prod:\n    values: [env/prod.yaml]\n---\n{}",
        with_release("  values:\n  - image:\n      all:\n        tag: {{ .Values.milvus.tag }}\n")
    );
    let found = all(&[("helmfile.yaml", &helmfile), ("env/prod.yaml", "other: 1\nmilvus:\n  tag: v2.5.22\n")]);
    let Some(Layer::Table { values, .. }) = found[0].layers.last() else { panic!("a table") };
    assert_eq!(values.lookup("image.all.tag").found().unwrap().node.origin.place().unwrap().to_string(), "env/prod.yaml:3:8");
}
