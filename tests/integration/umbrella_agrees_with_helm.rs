//! What the umbrella reader hands to the Milvus chart is what Helm hands to it, on made-up umbrella charts.
//!
//! Helm 3 only: what a null in an umbrella's own values.yaml does under Helm 4 depends on whether the user says anything else for that dependency.

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::coalesce::effective;
use milvus_guard::model::declaration::Form;
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::merge::user_values;
use milvus_guard::model::version::ChartVersion;
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::read_tree;

use crate::catalogue_agrees_with_helm::skeleton;
use crate::controlplane::{programs, say};
use crate::helm_case::{Case, Chart, Listed, RealHelm, difference, to_json};
use crate::helm_generator::Dice;

/// Values for an umbrella: tables below the dependency, globals, and what belongs to nobody.
fn values(dice: &mut Dice, key: &str) -> String {
    let mut text = format!("{key}:\n  enabled: {}\n", dice.pick(&["true", "true", "true", "false", "yes"]));
    let own = [
        "  cluster: {enabled: false}\n",
        "  image: {all: {tag: v2.5.16}}\n",
        "  etcd: {enabled: false, replicaCount: 1}\n",
        "  etcd: {persistence: ~, global: {x: 1}}\n",
        "  minio: {persistence: {size: 1Gi}}\n",
        "  service: ~\n",
        "  nothing: {a: 1, b: ~}\n",
        "  proxy: {resources: {limits: {cpu: 1}}, replicas: 0x2}\n",
        "  global: {a: {b: {c: own, d: own}}, e: own}\n",
        "  queryNode: 3\n",
        "  tolerations: [{key: a}]\n",
    ];
    for (i, line) in own.iter().enumerate() {
        // Keys stand once in a table.
        if dice.one_in(3) && !(i == 3 && text.contains("etcd")) {
            text.push_str(line);
        }
    }
    for line in
        ["global: {a: {b: {c: parent}}, f: {g: ~, h: 1}}\n", "other: {cluster: {enabled: true}}\n", "tags: {vectors: true}\n", "cluster: {enabled: true}\n"]
    {
        if dice.one_in(3) {
            text.push_str(line);
        }
    }
    text
}

/// Without nulls, and without the empty `global` that Helm puts into every dependency.
fn without_nulls(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let says_something = |key: &String, value: &serde_json::Value| !(value.is_null() || key == "global" && *value == serde_json::json!({}));
            map.iter().filter(|(key, value)| says_something(key, value)).map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn milvus_below_an_umbrella_gets_the_values_that_helm_gives_it() {
    let Some(programs) = programs("umbrella_agrees_with_helm") else { return };
    let catalogue = Catalogue::embedded();
    let version = ChartVersion::new(4, 2, 58);
    let milvus = catalogue.chart_values(&version).unwrap();
    let mut real = RealHelm::start(programs);
    let mut dice = Dice::new(7);
    let (mut on, mut off) = (0, 0);
    for number in 0..200 {
        let alias = dice.one_in(2).then(|| "vector".to_owned());
        let key = alias.clone().unwrap_or_else(|| "milvus".into());
        let condition = dice.one_in(2).then(|| format!("{key}.enabled"));
        let (defaults, prod) = (values(&mut dice, &key), values(&mut dice, &key));
        let has_condition = condition.is_some();
        let listed = Listed { name: "milvus".into(), version: version.to_string(), alias, condition, tags: Vec::new() };
        let umbrella = Chart {
            name: "platform".into(),
            values: defaults.clone(),
            bundled: vec![skeleton(catalogue.get(&version).unwrap(), &milvus)],
            dependencies: vec![listed],
            ..Chart::default()
        };
        let case = Case { chart: umbrella, files: vec![prod.clone()], ..Case::default() };
        let [helm, _] = real.ask(&case);
        let helm = helm.unwrap_or_else(|error| panic!("case {number}: {error}\n{defaults}---\n{prod}"));

        let metadata = case.chart.files("x")["x/Chart.yaml"].replace(r#""repository":"""#, r#""repository":"https://zilliztech.github.io/milvus-helm""#);
        let tree = MemoryTree::new([("Chart.yaml", metadata.as_str()), ("values.yaml", &defaults), ("values-prod.yaml", &prod)]);
        let files = tree.candidates();
        let reading = read_tree(&tree, &files);
        let prods: Vec<_> = reading
            .declarations
            .iter()
            .filter(|declaration| declaration.identity.form == Form::Umbrella && declaration.identity.scope.contains("prod"))
            .collect();
        match helm.get(&format!("platform/charts/{key}")) {
            None => {
                off += 1;
                assert!(prods.is_empty(), "case {number}: Helm leaves Milvus out\n{defaults}---\n{prod}");
            }
            Some(seen_by_milvus) => {
                on += 1;
                let [declaration] = prods.as_slice() else { panic!("case {number}: {} declarations\n{defaults}---\n{prod}", prods.len()) };
                let user = user_values(&declaration.layers, HelmMajor::Three).unwrap();
                let own = effective(&milvus, &user, HelmMajor::Three).values;
                let mut seen_by_milvus = without_nulls(seen_by_milvus);
                // The switch that the condition reads is the umbrella's own: Milvus's chart reads nothing there.
                if has_condition && let Some(table) = seen_by_milvus.as_object_mut() {
                    table.remove("enabled");
                }
                let how = difference(&seen_by_milvus, &without_nulls(&to_json(&own)), "milvus");
                assert_eq!(how, None, "case {number}\n{defaults}---\n{prod}");
            }
        }
    }
    say(&format!("{on} umbrella charts with Milvus and {off} without agree with Helm 3"));
    assert!(on > 50 && off > 10);
}
