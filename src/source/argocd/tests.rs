use crate::model::declaration::{Applier, FlagKind, Layer, Lineage, NotCheckedKind, SetKind};
use crate::model::value::{Lookup, Value};
use crate::source::Reading;
use crate::source::fixture::{only, read_texts as read, said_at as said, version};

fn names(reading: &Reading) -> Vec<(String, String)> {
    reading.declarations.iter().map(|d| (d.identity.name.as_deref().unwrap_or("?").to_owned(), version(d))).collect()
}

const APPLICATION: &str = "apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: milvus
  namespace: argocd
spec:
  destination: {server: 'https://kubernetes.default.svc', namespace: db}
  source:
    repoURL: https://zilliztech.github.io/milvus-helm
    chart: milvus
    targetRevision: 4.2.58
    helm:
      values: |
        image:
          all:
            tag: v2.5.16
";

#[test]
fn an_application_is_read_with_places_inside_its_values() {
    let found = only(&[("apps/milvus.yaml", APPLICATION)]);
    assert_eq!((version(&found).as_str(), found.chart.lineage, found.applier), ("4.2.58", Lineage::Zilliztech, Applier::Template));
    assert_eq!((found.identity.name.as_deref(), found.identity.namespace.as_deref(), &*found.identity.scope), (Some("milvus"), Some("db"), "apps"));
    assert_eq!(said(&found, "image.all.tag"), Some((Value::String("v2.5.16".into()), "apps/milvus.yaml:16:18".into())));
    assert!(found.gaps.is_empty() && found.flags.is_empty());
}

#[test]
fn the_cluster_of_an_application_is_read_where_it_is_another_one_than_argo_cds_own() {
    let cluster = |destination: &str| {
        let found = only(&[("a.yaml", &APPLICATION.replace("server: 'https://kubernetes.default.svc'", destination))]);
        found.flags.iter().find(|flag| flag.kind == FlagKind::Cluster).map(|flag| (flag.value.as_deref().map(str::to_owned), flag.place.to_string()))
    };
    assert_eq!(cluster("server: 'https://eu'"), Some((Some("https://eu".into()), "a.yaml:7:25".into())));
    assert_eq!(cluster("name: eu, server: ''"), Some((Some("eu".into()), "a.yaml:7:23".into())));
    assert_eq!(cluster("name: in-cluster"), None);
    assert_eq!(cluster("server: ''"), None);
}

#[test]
fn other_charts_and_the_operator_are_no_releases() {
    assert!(read(&[("a.yaml", &APPLICATION.replace("chart: milvus", "chart: milvus-operator"))]).declarations.is_empty());
    assert!(read(&[("a.yaml", &APPLICATION.replace("    chart: milvus", "    path: milvus"))]).declarations.is_empty());
}

#[test]
fn layers_have_argo_cds_order() {
    let application = APPLICATION.replace(
        "      values: |\n",
        "      fileParameters: [{name: f, path: $own/f.txt}]\n      parameters:\n      - {name: s, value: 'true', forceString: true}\n      - {name: a.b, value: 'x,y'}\n      - {name: l, value: '{x,y}'}\n      valueFiles: [values.yaml, $own/env/prod.yaml]\n      values: |\n",
    );
    let application = application
        .replace("  source:\n    repoURL: https://z", "  sources:\n  - {repoURL: 'https://git.example.com/a.git', ref: own}\n  - repoURL: https://z");
    let found = only(&[("apps/milvus.yaml", &application), ("env/prod.yaml", "etcd: {replicaCount: 3}\n"), ("f.txt", "text\n")]);
    let kinds: Vec<String> = found
        .layers
        .iter()
        .map(|layer| match layer {
            Layer::Table { what, .. } => what.to_string(),
            Layer::Set { kind, text, file, .. } => format!("{kind:?} {text} {}", file.as_deref().unwrap_or_default().trim()),
            Layer::Unseen { what, .. } => format!("unseen {what}"),
        })
        .collect();
    assert_eq!(kinds, ["values file env/prod.yaml", "helm.values", "Set a.b=x\\,y ", "Set l={x,y} ", "SetString s=true ", "SetFile f=$own/f.txt text"]);
    assert!(found.gaps.is_empty(), "{:?}", found.gaps);
}

#[test]
fn a_values_object_hides_values() {
    let found = only(&[("a.yaml", &APPLICATION.replace("      values: |\n", "      valuesObject: {etcd: {replicaCount: 1}}\n      values: |\n"))]);
    assert_eq!(found.layers.len(), 1);
    assert_eq!(said(&found, "etcd.replicaCount").unwrap().1, "a.yaml:13:43");
}

#[test]
fn values_in_another_repository_are_unseen_and_said() {
    let application = APPLICATION
        .replace("      values: |\n", "      valueFiles: [$own/prod.yaml, 'https://example.com/v.yaml', extra.yaml]\n      values: |\n")
        .replace("  source:\n    repoURL: https://z", "  sources:\n  - {repoURL: 'https://git.example.com/a.git', ref: own}\n  - repoURL: https://z");
    let found = only(&[("a.yaml", &application)]);
    assert_eq!(found.gaps.len(), 3);
    assert!(found.gaps.iter().all(|gap| gap.kind == NotCheckedKind::PartlyChecked));
    assert_eq!(found.gaps[0].place.as_ref().unwrap().to_string(), "a.yaml:14:20");
    assert!(matches!(&found.layers[..3], [Layer::Unseen { .. }, Layer::Unseen { .. }, Layer::Unseen { .. }]));
}

#[test]
fn a_missing_file_that_may_be_missing_is_nothing() {
    let application = APPLICATION
        .replace("      values: |\n", "      ignoreMissingValueFiles: true\n      valueFiles: [$own/milvus.yaml, $own/gone.yaml]\n      values: |\n")
        .replace("  source:\n    repoURL: https://z", "  sources:\n  - {repoURL: 'https://git.example.com/a.git', ref: own}\n  - repoURL: https://z");
    let found = only(&[("a.yaml", &application), ("milvus.yaml", "etcd: {replicaCount: 3}\n")]);
    assert!(found.gaps.is_empty());
    assert_eq!(found.layers.len(), 2);
}

#[test]
fn values_that_are_not_yaml_are_a_gap_with_its_place() {
    let found = only(&[("a.yaml", &APPLICATION.replace("tag: v2.5.16", "tag: [v2.5.16"))]);
    assert_eq!(found.gaps.len(), 1);
    assert_eq!(found.gaps[0].kind, NotCheckedKind::NotRead);
    assert!(found.gaps[0].place.as_ref().unwrap().start.line >= 14);
}

#[test]
fn sync_options_and_finalizers_become_flags() {
    let application = APPLICATION
        .replace("  namespace: argocd\n", "  namespace: argocd\n  finalizers: [resources-finalizer.argocd.argoproj.io/background]\n")
        .replace("spec:\n", "spec:\n  syncPolicy:\n    automated: {prune: true}\n    syncOptions: [CreateNamespace=true, Replace=true]\n");
    let flags: Vec<_> = only(&[("a.yaml", &application)]).flags.iter().map(|f| (f.kind, f.place.to_string())).collect();
    assert_eq!(flags, [(FlagKind::Prune, "a.yaml:9:24".into()), (FlagKind::Force, "a.yaml:10:41".into()), (FlagKind::DeleteFinalizer, "a.yaml:6:16".into())]);
}

#[test]
fn clusters_tell_equal_names_apart() {
    let found = only(&[("a.yaml", &APPLICATION.replace("server: 'https://kubernetes.default.svc'", "name: prod-eu"))]);
    assert_eq!(&*found.identity.scope, "prod-eu");
}

#[test]
fn an_umbrella_at_the_path_is_read_once_with_applier_template() {
    let application = APPLICATION
        .replace("    chart: milvus\n    targetRevision: 4.2.58\n", "    path: charts/vectors\n    targetRevision: main\n")
        .replace("      values: |\n        image:\n          all:\n            tag: v2.5.16\n", "      valueFiles: [values.yaml, prod.yaml]\n");
    let chart = "apiVersion: v2\nname: vectors\nversion: 0.1.0\ndependencies:\n- {name: milvus, version: 4.2.58, repository: 'https://zilliztech.github.io/milvus-helm'}\n";
    let found = only(&[
        ("charts/vectors/Chart.yaml", chart),
        ("charts/vectors/values.yaml", "milvus: {etcd: {replicaCount: 1}}\n"),
        ("charts/vectors/prod.yaml", "milvus: {image: {all: {tag: v2.5.16}}}\n"),
        ("apps/milvus.yaml", &application),
    ]);
    assert_eq!((version(&found).as_str(), found.applier, found.identity.name.as_deref()), ("4.2.58", Applier::Template, Some("milvus")));
    assert_eq!(said(&found, "image.all.tag").unwrap().0, Value::String("v2.5.16".into()));
}

const SET: &str = "apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: milvus}
spec:
  generators:
  - GENERATOR
  template:
    metadata: {name: '{{cluster}}-milvus'}
    spec:
      destination: {server: '{{url}}', namespace: db}
      source:
        repoURL: https://zilliztech.github.io/milvus-helm
        chart: milvus
        targetRevision: '{{version}}'
        helm:
          values: |
            image:
              all:
                tag: {{tag}}
          parameters: [{name: etcd.replicaCount, value: '{{etcd}}'}]
";

#[test]
fn a_list_gives_one_release_per_element_with_places_in_the_list() {
    let set = SET.replace(
        "GENERATOR",
        "list: {elements: [{cluster: a, url: 'https://a', version: 4.2.58, tag: v2.5.16}, {cluster: b, url: 'https://b', version: 4.1.1, tag: v2.3.1}]}",
    );
    let reading = read(&[("sets/milvus.yaml", &set)]);
    assert_eq!(names(&reading), [("a-milvus".into(), "4.2.58".into()), ("b-milvus".into(), "4.1.1".into())]);
    let b = &reading.declarations[1];
    assert_eq!(&*b.identity.scope, "https://b");
    assert_eq!(b.chart.version.place().unwrap().start.line, 6);
    assert_eq!(said(b, "image.all.tag").unwrap().0, Value::String("v2.3.1".into()));
    assert!(b.layers.iter().any(|layer| matches!(layer, Layer::Table { values, .. } if matches!(values.lookup("etcd.replicaCount"), Lookup::Unknown(_)))));
}

#[test]
fn files_and_folders_of_the_tree_generate() {
    let files = SET.replace("GENERATOR", "git: {repoURL: x, files: [{path: 'clusters/**/config.json'}]}").replace("{{cluster}}", "{{path.basename}}");
    let reading = read(&[
        ("set.yaml", &files),
        ("clusters/eu/prod/config.json", "{\"version\": \"4.2.58\", \"tag\": \"v2.5.16\"}"),
        ("clusters/us/config.json", "{\"version\": \"4.1.1\", \"tag\": \"v2.3.1\"}"),
    ]);
    assert_eq!(names(&reading), [("prod-milvus".into(), "4.2.58".into()), ("us-milvus".into(), "4.1.1".into())]);
    assert_eq!(&*reading.declarations[0].chart.version.place().unwrap().file, "clusters/eu/prod/config.json");

    let folders = SET
        .replace("GENERATOR", "git: {repoURL: x, directories: [{path: 'envs/*'}, {path: envs/old, exclude: true}]}")
        .replace("{{cluster}}", "{{index .path.segments 1}}")
        .replace("spec:\n  generators", "spec:\n  goTemplate: true\n  generators");
    let reading = read(&[("set.yaml", &folders), ("envs/a/x.yaml", ""), ("envs/a/deep/x.yaml", ""), ("envs/old/x.yaml", "")]);
    assert_eq!(names(&reading), [("a-milvus".into(), String::new())]);
}

#[test]
fn matrix_and_merge_combine() {
    let matrix = SET.replace(
        "GENERATOR",
        "matrix: {generators: [{list: {elements: [{cluster: a}, {cluster: b}]}}, {list: {elements: [{version: 4.2.58, tag: v2.5.16}]}}]}",
    );
    assert_eq!(names(&read(&[("set.yaml", &matrix)])), [("a-milvus".into(), "4.2.58".into()), ("b-milvus".into(), "4.2.58".into())]);
    let merge = SET.replace(
        "GENERATOR",
        "merge: {mergeKeys: [cluster], generators: [{list: {elements: [{cluster: a, version: 4.2.58}, {cluster: b, version: 4.2.58}]}}, {list: {elements: [{cluster: b, version: 4.1.1}]}}]}",
    );
    assert_eq!(names(&read(&[("set.yaml", &merge)])), [("a-milvus".into(), "4.2.58".into()), ("b-milvus".into(), "4.1.1".into())]);
}

#[test]
fn what_other_generators_give_is_unknown_and_the_rest_is_read() {
    let set = SET.replace("GENERATOR", "clusters: {selector: {matchLabels: {env: prod}}}").replace("'{{version}}'", "4.2.58");
    let found = only(&[("set.yaml", &set)]);
    assert_eq!(version(&found), "4.2.58");
    assert!(found.name.is_unknown());
    assert!(matches!(&found.layers[0], Layer::Table { values, .. } if matches!(values.lookup("image.all.tag"), Lookup::Unknown(_))));
}

#[test]
fn a_template_patch_is_merged_where_it_is_plain() {
    let patch = "  templatePatch: |\n    spec:\n      source:\n        targetRevision: 5.0.0\n  template:\n";
    let set = SET.replace("GENERATOR", "list: {elements: [{cluster: a}]}").replace("  template:\n", patch);
    assert_eq!(version(&only(&[("set.yaml", &set)])), "5.0.0");
    let program = set.replace("        targetRevision: 5.0.0\n", "    {{- if eq .cluster \"a\" }}\n        targetRevision: 5.0.0\n    {{- end }}\n");
    let found = only(&[("set.yaml", &program)]);
    assert_eq!(found.gaps.iter().filter(|gap| gap.reason.contains("templatePatch")).count(), 1);
}

#[test]
fn applications_in_kustomize_overlays_are_patched() {
    let reading = read(&[
        ("base/app.yaml", APPLICATION),
        ("base/kustomization.yaml", "resources: [app.yaml]\n"),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\npatches: [{target: {kind: Application}, patch: '[{op: replace, path: /spec/source/targetRevision, value: 4.2.20}]'}]\n",
        ),
        ("test/kustomization.yaml", "resources: [../base]\n"),
    ]);
    assert_eq!(names(&reading), [("milvus".into(), "4.2.20".into()), ("milvus".into(), "4.2.58".into())]);
}

#[test]
fn set_kinds_of_parameters() {
    let found = only(&[("a.yaml", &APPLICATION.replace("      values: |\n", "      parameters: [{name: image.all.tag, value: v2.5.20}]\n      values: |\n"))]);
    assert!(
        matches!(found.layers.last(), Some(Layer::Set { kind: SetKind::Set, text, place, .. }) if &**text == "image.all.tag=v2.5.20" && place.start.column == 49)
    );
}

#[test]
fn a_set_beyond_bounds_is_cut_and_says_so() {
    let elements: String = (0..2_000).map(|i| format!("{{cluster: c{i}}},")).collect();
    let reading = read(&[("set.yaml", &SET.replace("GENERATOR", &format!("list: {{elements: [{elements}]}}")))]);
    assert_eq!(reading.declarations.len(), 500);
    assert_eq!(reading.gaps.iter().map(|gap| gap.kind).collect::<Vec<_>>(), [NotCheckedKind::LimitsExceeded]);
}
