//! Tests of the reader of Flux objects.

use crate::model::declaration::{Applier, Declaration, FlagKind, Layer, Lineage, NotCheckedKind, ValuesStrategy};
use crate::model::place::Fact;
use crate::model::value::Value;
use crate::source::fixture::{only, read_texts as read, said_at as said, version};

fn flags(declaration: &Declaration) -> Vec<(FlagKind, Option<String>)> {
    declaration.flags.iter().map(|flag| (flag.kind, flag.value.as_deref().map(str::to_owned))).collect()
}

const REPOSITORY: (&str, &str) = (
    "sources/milvus.yaml",
    "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: zilliztech, namespace: flux-system}\nspec: {url: 'https://zilliztech.github.io/milvus-helm/'}\n",
);

const RELEASE: &str = "apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: milvus
  namespace: db
spec:
  interval: 10m
  chart:
    spec:
      chart: milvus
      version: 4.2.58
      sourceRef: {kind: HelmRepository, name: zilliztech, namespace: flux-system}
  values:
    image:
      all:
        tag: v2.5.16
";

#[test]
fn a_release_is_read_with_its_repository_in_another_file() {
    let found = only(&[REPOSITORY, ("apps/milvus.yaml", RELEASE)]);
    assert_eq!(version(&found), "4.2.58");
    assert_eq!(found.chart.version.place().unwrap().to_string(), "apps/milvus.yaml:11:16");
    assert_eq!(found.chart.repository.known().map(|r| &**r), Some("https://zilliztech.github.io/milvus-helm/"));
    assert_eq!((found.chart.lineage, found.applier, found.strategy), (Lineage::Zilliztech, Applier::HelmUpgrade, ValuesStrategy::Replace));
    assert_eq!((found.identity.name.as_deref(), found.identity.namespace.as_deref()), (Some("milvus"), Some("db")));
    assert_eq!(said(&found, "image.all.tag"), Some((Value::String("v2.5.16".into()), "apps/milvus.yaml:16:14".into())));
    assert_eq!(flags(&found), [(FlagKind::Wait, None)]);
    assert!(found.gaps.is_empty());
}

#[test]
fn another_cluster_and_another_place_for_helms_record_are_read() {
    let read = |spec: &str| flags(&only(&[REPOSITORY, ("a.yaml", &RELEASE.replace("  interval: 10m\n", spec))]));
    assert_eq!(read("  kubeConfig: {secretRef: {name: eu}}\n"), [(FlagKind::Wait, None), (FlagKind::Cluster, Some("eu".into()))]);
    assert_eq!(read("  storageNamespace: flux-system\n"), [(FlagKind::Wait, None), (FlagKind::StorageNamespace, Some("flux-system".into()))]);
    assert_eq!(read("  storageNamespace: db\n  kubeConfig:\n"), [(FlagKind::Wait, None)]);
}

#[test]
fn all_versions_of_the_api_are_read_and_other_charts_are_not() {
    for version in ["v2beta1", "v2beta2", "v2"] {
        only(&[REPOSITORY, ("a.yaml", &RELEASE.replace("/v2", &format!("/{version}")))]);
    }
    let others = RELEASE.replace("chart: milvus", "chart: milvus-operator");
    assert!(read(&[REPOSITORY, ("a.yaml", &others)]).declarations.is_empty());
    let redis = RELEASE.replace("chart: milvus", "chart: redis").replace("name: zilliztech", "name: bitnami");
    assert!(read(&[("milvus.yaml", &redis)]).declarations.is_empty());
}

#[test]
fn a_repository_out_of_sight_is_said_and_its_name_is_presumed() {
    let found = only(&[("a.yaml", RELEASE)]);
    assert_eq!(found.chart.lineage, Lineage::Zilliztech);
    assert!(found.chart.repository.is_unknown());
    assert_eq!(found.gaps.len(), 1);
    let own = only(&[("a.yaml", &RELEASE.replace("name: zilliztech", "name: mirror").replace("tag: v2.5.16", "pullPolicy: Always"))]);
    assert_eq!(own.chart.lineage, Lineage::Unknown);
}

#[test]
fn a_mirror_that_does_not_mention_milvus_is_found_among_the_sources() {
    let mirror = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: mirror, namespace: flux-system}\nspec: {url: 'https://charts.example.com/all'}\n";
    let found = only(&[("infra/sources/mirror.yaml", mirror), ("apps/milvus.yaml", &RELEASE.replace("name: zilliztech", "name: mirror"))]);
    assert_eq!(found.chart.repository.known().map(|r| &**r), Some("https://charts.example.com/all"));
}

#[test]
fn oci_repositories_and_helm_charts_are_followed() {
    let by_reference = |kind: &str| {
        format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: vectors, namespace: db}}\nspec:\n  chartRef: {{kind: {kind}, name: chart}}\n"
        )
    };
    let oci = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: chart, namespace: db}\nspec:\n  url: oci://registry-1.docker.io/bitnamicharts/milvus\n  ref: {tag: 9.1.0}\n";
    let found = only(&[("a.yaml", oci), ("milvus/b.yaml", &by_reference("OCIRepository"))]);
    assert_eq!((version(&found).as_str(), found.chart.lineage), ("9.1.0", Lineage::Bitnami));
    assert_eq!(found.chart.version.place().unwrap().to_string(), "a.yaml:6:14");
    let semver = oci.replace("tag: 9.1.0", "semver: '>=4.1 <5'").replace("registry-1.docker.io/bitnamicharts", "ghcr.io/acme");
    assert_eq!(version(&only(&[("a.yaml", &semver), ("milvus/b.yaml", &by_reference("OCIRepository"))])), ">=4.1 <5");
    let digest = oci.replace("tag: 9.1.0", "digest: 'sha256:00'");
    assert!(only(&[("a.yaml", &digest), ("milvus/b.yaml", &by_reference("OCIRepository"))]).chart.version.is_unknown());
    let chart = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: chart, namespace: db}\nspec: {chart: milvus, version: 5.0.19, sourceRef: {kind: HelmRepository, name: zilliztech}}\n";
    let repository = REPOSITORY.1.replace("flux-system", "db");
    let found = only(&[("r.yaml", &repository), ("a.yaml", chart), ("milvus/b.yaml", &by_reference("HelmChart"))]);
    assert_eq!((version(&found).as_str(), found.chart.lineage), ("5.0.19", Lineage::Zilliztech));
}

#[test]
fn an_oci_mirror_that_is_not_milvus_is_no_release() {
    let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: app}\nspec:\n  chartRef: {kind: OCIRepository, name: app}\n  values: {milvus: {host: milvus}}\n";
    let oci = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: app}\nspec: {url: oci://ghcr.io/acme/app}\n";
    assert!(read(&[("a.yaml", oci), ("b.yaml", release)]).declarations.is_empty());
}

#[test]
fn a_git_repository_of_zilliztech_tells_the_version_by_its_tag() {
    let source = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: zilliztech, namespace: flux-system}\nspec: {url: 'https://github.com/zilliztech/milvus-helm', ref: {tag: milvus-4.1.1}}\n";
    let release =
        RELEASE.replace("kind: HelmRepository", "kind: GitRepository").replace("chart: milvus", "chart: charts/milvus").replace("      version: 4.2.58\n", "");
    let found = only(&[("s.yaml", source), ("a.yaml", &release)]);
    assert_eq!((version(&found).as_str(), found.chart.lineage), ("4.1.1", Lineage::Zilliztech));
}

#[test]
fn an_umbrella_in_the_tree_is_read_once_with_the_values_of_the_release() {
    let release = RELEASE
        .replace("kind: HelmRepository, name: zilliztech", "kind: GitRepository, name: flux-system")
        .replace("chart: milvus", "chart: ./charts/vectors")
        .replace("      version: 4.2.58\n", "")
        .replace("  values:\n    image:\n      all:\n        tag: v2.5.16\n", "  values: {milvus: {image: {all: {tag: v2.5.16}}}}\n");
    let chart = "apiVersion: v2\nname: vectors\nversion: 0.1.0\ndependencies:\n- {name: milvus, version: 4.2.58, repository: 'https://zilliztech.github.io/milvus-helm'}\n";
    let found =
        only(&[("charts/vectors/Chart.yaml", chart), ("charts/vectors/values.yaml", "milvus: {cluster: {enabled: false}}\n"), ("apps/milvus.yaml", &release)]);
    assert_eq!((version(&found).as_str(), found.applier), ("4.2.58", Applier::HelmUpgrade));
    assert_eq!(said(&found, "image.all.tag").unwrap().0, Value::String("v2.5.16".into()));
    assert_eq!(said(&found, "cluster.enabled").unwrap().0, Value::Bool(false));
}

#[test]
fn names_and_namespaces_follow_flux() {
    let target = RELEASE.replace("  interval: 10m\n", "  targetNamespace: vectors\n");
    let found = only(&[REPOSITORY, ("a.yaml", &target)]);
    assert_eq!((found.identity.name.as_deref(), found.identity.namespace.as_deref()), (Some("vectors-milvus"), Some("vectors")));
    let named = RELEASE.replace("  interval: 10m\n", "  targetNamespace: vectors\n  releaseName: mv\n");
    assert_eq!(only(&[REPOSITORY, ("a.yaml", &named)]).identity.name.as_deref(), Some("mv"));
}

#[test]
fn settings_of_the_upgrade_become_flags() {
    let with = |text: &str| flags(&only(&[REPOSITORY, ("a.yaml", &RELEASE.replace("  interval: 10m\n", text))]));
    let found = only(&[
        REPOSITORY,
        (
            "a.yaml",
            &RELEASE.replace(
                "  interval: 10m\n",
                "  upgrade: {preserveValues: true, force: true, disableWait: true, timeout: 3m}\n  timeout: 9m\n  suspend: true\n",
            ),
        ),
    ]);
    assert_eq!(found.strategy, ValuesStrategy::Reuse);
    assert_eq!(flags(&found), [(FlagKind::ReuseValues, None), (FlagKind::Force, None), (FlagKind::Timeout, Some("3m".into())), (FlagKind::Suspended, None)]);
    let rollback = |text| with(text).into_iter().find(|(kind, _)| matches!(kind, FlagKind::RollbackRemediation | FlagKind::DeleteBeforeReplace));
    assert_eq!(rollback("  upgrade: {remediation: {retries: 3}}\n"), Some((FlagKind::RollbackRemediation, Some("3".into()))));
    assert_eq!(rollback("  upgrade: {remediation: {retries: 0}}\n"), None);
    assert_eq!(rollback("  upgrade: {remediation: {retries: 0, remediateLastFailure: true}}\n"), Some((FlagKind::RollbackRemediation, Some("0".into()))));
    assert_eq!(rollback("  upgrade: {remediation: {retries: 1, strategy: uninstall}}\n"), Some((FlagKind::DeleteBeforeReplace, None)));
    assert_eq!(rollback("  upgrade: {strategy: {name: RetryOnFailure}, remediation: {retries: 1}}\n"), None);
    assert_eq!(rollback("  install: {remediation: {retries: 3}}\n"), None);
}

#[test]
fn values_come_from_config_maps_in_order_and_inline_values_last() {
    let release = RELEASE.replace(
        "  interval: 10m\n",
        "  valuesFrom:\n  - {kind: ConfigMap, name: first}\n  - {kind: ConfigMap, name: second, valuesKey: v.yml}\n  - {kind: ConfigMap, name: second, valuesKey: tag, targetPath: image.all.tag}\n",
    );
    let maps = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first, namespace: db}\ndata:\n  values.yaml: |\n    # milvus\n    etcd:\n      replicaCount: 1\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: second, namespace: db}\ndata:\n  tag: v2.5.10\n  v.yml: |\n    etcd:\n      replicaCount: 3\n";
    let found = only(&[REPOSITORY, ("a.yaml", &release), ("maps.yaml", maps)]);
    assert_eq!(found.layers.len(), 4);
    assert_eq!(said(&found, "etcd.replicaCount"), Some((Value::Int(3), "maps.yaml:17:21".into())));
    assert!(matches!(&found.layers[2], Layer::Set { text, .. } if &**text == "image.all.tag=v2.5.10"));
    assert!(matches!(&found.layers[3], Layer::Table { what, .. } if &**what == "spec.values"));
}

#[test]
fn a_config_map_beside_the_release_is_found_although_it_does_not_mention_milvus() {
    let release = RELEASE.replace("  interval: 10m\n", "  valuesFrom: [{kind: ConfigMap, name: sizes}]\n");
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: sizes}\ndata:\n  values.yaml: 'etcd: {replicaCount: 5}'\n";
    let found = only(&[REPOSITORY, ("apps/milvus.yaml", &release), ("apps/sizes.yaml", map)]);
    assert_eq!(said(&found, "etcd.replicaCount"), Some((Value::Int(5), "apps/sizes.yaml:5:16".into())));
}

#[test]
fn what_is_not_in_the_tree_or_encrypted_is_unseen_and_said_once() {
    let release = RELEASE.replace(
        "  interval: 10m\n",
        "  valuesFrom:\n  - {kind: ConfigMap, name: gone}\n  - {kind: Secret, name: milvus-sops}\n  - {kind: Secret, name: milvus-sealed}\n  - {kind: Secret, name: gone, valuesKey: key, targetPath: externalS3.secretKey}\n",
    );
    let secrets = "apiVersion: v1\nkind: Secret\nmetadata: {name: milvus-sops, namespace: db}\nstringData:\n  values.yaml: ENC[AES256_GCM,data:abc]\nsops: {mac: x}\n---\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: milvus-sealed, namespace: db}\n";
    let found = only(&[REPOSITORY, ("a.yaml", &release), ("secrets.yaml", secrets)]);
    assert!(matches!(&found.layers[..3], [Layer::Unseen { .. }, Layer::Unseen { .. }, Layer::Unseen { .. }]));
    assert!(
        matches!(&found.layers[3], Layer::Table { values, .. } if matches!(values.lookup("externalS3.secretKey"), crate::model::value::Lookup::Unknown(_)))
    );
    assert_eq!(found.gaps.len(), 3);
    assert!(found.gaps.iter().all(|gap| gap.kind == NotCheckedKind::PartlyChecked));
    assert_eq!(found.gaps[0].place.as_ref().unwrap().to_string(), "a.yaml:8:5");
    assert!(found.gaps[2].reason.contains("SealedSecret"));
}

#[test]
fn what_a_secret_holds_is_known_and_marked() {
    let release = RELEASE.replace(
        "  interval: 10m\n",
        "  valuesFrom: [{kind: Secret, name: milvus-secret}, {kind: Secret, name: milvus-secret, valuesKey: p, targetPath: a.b}]\n",
    );
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: milvus-secret, namespace: db}\nstringData: {p: hunter2}\ndata:\n  values.yaml: bWluaW86CiAgZW5hYmxlZDogZmFsc2UKICBzZWNyZXRLZXk6IGh1bnRlcjIKaW1hZ2U6IHthbGw6IHt0YWc6IHYyLjUuMH19Cg==\n";
    let found = only(&[REPOSITORY, ("a.yaml", &release), ("secret.yaml", secret)]);
    for layer in &found.layers[..2] {
        let Layer::Table { values, .. } = layer else { panic!("a table") };
        values.for_each_leaf(&mut |path, entry| assert!(entry.node.origin.secret().is_some() && entry.key.secret().is_some(), "{path}"));
    }
    let Layer::Table { values, .. } = &found.layers[1] else { panic!("a table") };
    assert_eq!(values.lookup("a.b").found().unwrap().node.origin.secret().unwrap().as_ref(), "Secret milvus-secret, key p");
    let Layer::Table { values, .. } = &found.layers[0] else { panic!("a table") };
    assert_eq!(values.lookup("minio.enabled").found().unwrap().node.value, Value::Bool(false));
    assert_eq!(values.lookup("image.all.tag").found().unwrap().node.value.as_str(), Some("v2.5.0"));
    assert!(found.gaps.is_empty());
}

#[test]
fn kustomize_generates_values() {
    let release = RELEASE.replace("  interval: 10m\n", "  valuesFrom: [{kind: ConfigMap, name: milvus-values}]\n");
    let kustomization = "resources: [release.yaml]\nconfigMapGenerator:\n- name: milvus-values\n  files: [values.yaml=helm/values.yaml]\n";
    let found = only(&[
        REPOSITORY,
        ("apps/release.yaml", &release),
        ("apps/kustomization.yaml", kustomization),
        ("apps/helm/values.yaml", "etcd: {replicaCount: 3}\n"),
    ]);
    assert_eq!(said(&found, "etcd.replicaCount"), Some((Value::Int(3), "apps/helm/values.yaml:1:22".into())));
    assert!(found.gaps.is_empty());
}

#[test]
fn overlays_are_releases_of_their_own() {
    let mut reading = read(&[
        REPOSITORY,
        ("base/milvus.yaml", RELEASE),
        ("base/kustomization.yaml", "resources: [milvus.yaml]\n"),
        ("overlays/prod/kustomization.yaml", "resources: [../../base]\nnamespace: prod\npatches: [{path: patch.yaml}]\n"),
        (
            "overlays/prod/patch.yaml",
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: milvus}\nspec:\n  chart: {spec: {chart: milvus, version: 4.2.20}}\n  values:\n    image: {all: {tag: v2.4.16}}\n    etcd: {replicaCount: 3}\n",
        ),
        ("overlays/test/kustomization.yaml", "resources: [../../base]\nnamespace: test\n"),
    ]);
    reading.declarations.sort_by(|a, b| a.identity.cmp(&b.identity));
    let [prod, test] = reading.declarations.as_slice() else { panic!("{:#?}", reading.declarations) };
    assert_eq!((version(prod).as_str(), prod.identity.namespace.as_deref(), &*prod.path), ("4.2.20", Some("prod"), "overlays/prod/kustomization.yaml"));
    assert_eq!(said(prod, "image.all.tag"), Some((Value::String("v2.4.16".into()), "overlays/prod/patch.yaml:7:24".into())));
    assert_eq!(said(prod, "etcd.replicaCount").unwrap().1, "overlays/prod/patch.yaml:8:26");
    assert_eq!((version(test).as_str(), test.identity.namespace.as_deref(), &*test.identity.scope), ("4.2.58", Some("test"), "overlays/test"));
}

#[test]
fn variables_of_flux_are_replaced_where_they_are_known() {
    let release = RELEASE.replace("version: 4.2.58", "version: ${CHART}").replace("tag: v2.5.16", "tag: ${TAG:=v2.5.16}\n    etcd: {replicaCount: '${COUNT}'}");
    let flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\nspec:\n  path: ./apps\n  prune: true\n  targetNamespace: vectors\n  postBuild: {substitute: {CHART: 4.2.20}}\n";
    let found = only(&[REPOSITORY, ("apps/milvus.yaml", &release), ("clusters/prod/apps.yaml", flux)]);
    assert_eq!(version(&found), "4.2.20");
    assert_eq!(found.identity.namespace.as_deref(), Some("vectors"));
    assert_eq!(said(&found, "image.all.tag").unwrap().0, Value::String("v2.5.16".into()));
    assert!(found.flags.iter().any(|flag| flag.kind == FlagKind::Prune && flag.place.to_string() == "clusters/prod/apps.yaml:6:10"));
    let Some(Layer::Table { values, .. }) = found.layers.last() else { panic!("a table") };
    assert!(matches!(values.lookup("etcd.replicaCount"), crate::model::value::Lookup::Unknown(_)));
}

#[test]
fn variables_of_one_environment_are_not_those_of_another() {
    let reading = read(&[
        REPOSITORY,
        ("base/milvus.yaml", &RELEASE.replace("version: 4.2.58", "version: ${CHART}")),
        ("base/kustomization.yaml", "resources: [milvus.yaml]\n"),
        ("prod/kustomization.yaml", "resources: [../base]\n"),
        ("test/kustomization.yaml", "resources: [../base]\n"),
        (
            "clusters/prod.yaml",
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec: {path: ./prod, postBuild: {substitute: {CHART: 4.2.20}}}\n",
        ),
    ]);
    let found: Vec<(&str, String)> = reading.declarations.iter().map(|d| (&*d.identity.scope, version(d))).collect();
    assert_eq!(found, [("prod", "4.2.20".into()), ("test", String::new())]);
    assert_eq!(reading.declarations[0].chart.version.place().unwrap().to_string(), "clusters/prod.yaml:4:54");
    assert!(reading.declarations[1].chart.version.is_unknown());
}

#[test]
fn post_renderers_change_the_image() {
    let with = |text: &str| only(&[REPOSITORY, ("a.yaml", &RELEASE.replace("  interval: 10m\n", text))]);
    let found = with("  postRenderers: [{kustomize: {images: [{name: milvusdb/milvus, newName: mirror.example.com/milvus, newTag: v2.5.20}]}}]\n");
    assert_eq!(found.image.known().map(|i| &**i), Some("mirror.example.com/milvus:v2.5.20"));
    let found = with(
        "  postRenderers:\n  - kustomize:\n      patches:\n      - target: {kind: Deployment, name: milvus-proxy}\n        patch: |\n          - op: replace\n            path: /spec/template/spec/containers/0/image\n            value: milvusdb/milvus:v2.5.20\n",
    );
    assert!(found.image.is_absent());
    assert_eq!(found.gaps.len(), 1);
    let found = with("  postRenderers: [{kustomize: {patches: [{target: {kind: Service}, patch: '[{op: add, path: /metadata/labels/a, value: b}]'}]}}]\n");
    assert!(matches!(found.image, Fact::Absent) && found.gaps.is_empty());
}

#[test]
fn evidence_beside_a_release_belongs_to_it() {
    let upgrade = "apiVersion: guard.milvus-guard.dev/v1alpha1\nkind: GuardedUpgrade\nmetadata: {name: milvus, namespace: db}\nspec: {to: 2.6.15}\n";
    let release = RELEASE.replace("  namespace: db\n", "  namespace: db\n  annotations: {guard.milvus-guard.dev/ack: MV210 BACKUP-7}\n");
    let found = only(&[REPOSITORY, ("a.yaml", &release), ("upgrade.yaml", upgrade)]);
    assert_eq!(found.evidence.len(), 2);
}

#[test]
fn an_overlay_may_acknowledge_for_its_release_alone() {
    let reading = read(&[
        REPOSITORY,
        ("base/milvus.yaml", RELEASE),
        ("base/kustomization.yaml", "resources: [milvus.yaml]\n"),
        ("prod/kustomization.yaml", "# guard.milvus-guard.dev/ack: MV210 OPS-1\nresources: [../base]\npatches: [{path: ack.yaml}]\n"),
        ("prod/ack.yaml", "kind: HelmRelease\nmetadata: {name: milvus, annotations: {guard.milvus-guard.dev/ack: MV201 OPS-2}}\n"),
        ("test/kustomization.yaml", "resources: [../base]\n"),
    ]);
    let counts: Vec<usize> = reading.declarations.iter().map(|d| d.evidence.len()).collect();
    assert_eq!(counts, [2, 0]);
}

#[test]
fn a_file_that_kustomize_puts_into_a_secret_is_no_values_file_of_its_own() {
    let release = RELEASE.replace("  interval: 10m\n", "  valuesFrom: [{kind: Secret, name: milvus-values}]\n");
    let kustomization = "resources: [release.yaml]\nsecretGenerator:\n- {name: milvus-values, files: [values.yaml=v.yaml]}\n";
    let values = "image: {all: {repository: milvusdb/milvus, tag: v2.5.10}}\n";
    let found = only(&[REPOSITORY, ("apps/release.yaml", &release), ("apps/kustomization.yaml", kustomization), ("apps/v.yaml", values)]);
    assert_eq!(said(&found, "image.all.repository").unwrap().1, "apps/v.yaml:1:27");
}

#[test]
fn a_broken_neighbour_and_a_templated_chart_cost_nothing_else() {
    let text = format!(
        "a: *nothing\n---\n{RELEASE}---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: other}}\nspec: {{chart: {{spec: {{chart: '{{{{ .Values.milvus }}}}'}}}}}}\n"
    );
    assert_eq!(read(&[REPOSITORY, ("a.yaml", &text)]).declarations.len(), 1);
}
