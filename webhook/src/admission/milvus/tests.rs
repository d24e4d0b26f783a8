use milvus_guard::model::change::Environment;
use milvus_guard::model::declaration::Defaults;
use milvus_guard::model::release::Release;
use serde_json::json;

use super::super::fixture::Recipe;
use super::*;

fn read(recipe: &Recipe) -> StoredRelease {
    StoredRelease::read(&serde_json::to_vec(&recipe.stored()).unwrap()).unwrap()
}

fn resolve(milvus: &StoredMilvus) -> Release {
    Release::resolve(Arc::new(milvus.declaration.clone()), None, &Environment::default(), Catalogue::embedded())
}

fn only(recipe: &Recipe) -> StoredMilvus {
    let mut found = find(&read(recipe), None, Catalogue::embedded());
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn a_plain_release_resolves_to_what_was_installed() {
    for chart in ["3.2.18", "4.0.31", "4.1.24", "4.2.20", "4.2.58", "5.0.19"] {
        let recipe = Recipe::new(chart, 1, json!({"queryNode": {"replicas": 3}}));
        let milvus = only(&recipe);
        assert_eq!((&milvus.declaration.defaults, milvus.key.len(), milvus.nil_keys.len()), (&Defaults::OfChart, 0, 0), "{chart}");
        let (found, wanted) = (resolve(&milvus), recipe.resolved());
        assert_eq!((&found.milvus, &found.components, found.mode), (&wanted.milvus, &wanted.components, wanted.mode), "{chart}");
        assert_eq!(milvus.parts.len(), wanted.components.len(), "{chart}");
    }
}

#[test]
fn reused_values_are_recognised_with_the_keys_left_nil() {
    let milvus = only(&Recipe { values_of: Some("4.1.24"), ..Recipe::new("4.2.20", 2, json!({})) });
    assert_eq!(milvus.reused_from, Some(ChartVersion::new(4, 1, 24)));
    assert!(milvus.nil_keys.iter().any(|path| path.starts_with("streaming")), "{:?}", milvus.nil_keys);
    assert_eq!(resolve(&milvus).milvus.exact().unwrap().to_string(), "2.3.11");
}

#[test]
fn helm_keeps_the_users_previous_values_among_those_that_are_reused() {
    // As Helm does: the previous chart's values with the user's over them, under the new chart's name.
    let before = Recipe::new("4.1.24", 1, json!({"cluster": {"enabled": false}, "image": {"all": {"tag": "v2.3.12"}}}));
    let mut stored = Recipe { values_of: Some("4.1.24"), config: before.config.clone(), ..Recipe::new("4.2.20", 2, json!({})) }.stored();
    stored["chart"]["values"]["cluster"]["enabled"] = json!(false);
    stored["chart"]["values"]["image"]["all"]["tag"] = json!("v2.3.12");
    let release = StoredRelease::read(&serde_json::to_vec(&stored).unwrap()).unwrap();
    let found = find(&release, Some(&read(&before)), Catalogue::embedded());
    assert_eq!(found[0].reused_from, Some(ChartVersion::new(4, 1, 24)));
    assert!(!found[0].nil_keys.is_empty());
}

#[test]
fn below_a_wrapper_the_values_of_the_key_count() {
    let recipe = Recipe { wrapper: Some(("search", "vec")), ..Recipe::new("4.2.58", 1, json!({"image": {"all": {"tag": "v2.5.22"}}})) };
    let milvus = only(&recipe);
    assert_eq!(milvus.key, ["vec".into()]);
    assert_eq!(resolve(&milvus).milvus.exact().unwrap().to_string(), "2.5.22");
    assert_eq!(milvus.declaration.umbrella.as_deref(), Some("search/vec"));
    // The wrapper's own values lie between the chart's and the user's.
    let mut stored = recipe.stored();
    stored["chart"]["values"]["vec"]["queryNode"]["replicas"] = json!(7);
    let release = StoredRelease::read(&serde_json::to_vec(&stored).unwrap()).unwrap();
    let found = find(&release, None, Catalogue::embedded());
    assert_eq!(resolve(&found[0]).component("querynode").unwrap().replicas, Some(7));
    assert_eq!(found[0].declaration.layers.len(), 2);
}

#[test]
fn two_milvus_in_one_release_are_told_apart_and_other_releases_have_none() {
    let (a, b) = (
        Recipe { wrapper: Some(("search", "hot")), ..Recipe::new("4.2.58", 1, json!({})) },
        Recipe { wrapper: Some(("search", "cold")), ..Recipe::new("4.1.24", 1, json!({})) },
    );
    let (mut stored, other) = (a.stored(), b.stored());
    stored["chart"]["values"]["cold"] = other["chart"]["values"]["cold"].clone();
    stored["manifest"] = json!(format!("{}{}", stored["manifest"].as_str().unwrap(), other["manifest"].as_str().unwrap()));
    let release = StoredRelease::read(&serde_json::to_vec(&stored).unwrap()).unwrap();
    let found = find(&release, None, Catalogue::embedded());
    let versions: Vec<String> = found.iter().map(|milvus| format!("{} {}", milvus.label, resolve(milvus).milvus.exact().unwrap())).collect();
    assert_eq!(versions, ["hot 2.5.16", "cold 2.3.11"]);
    stored["manifest"] =
        json!("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: milvus-backup, labels: {helm.sh/chart: backup-1.0.0, component: api}}\n");
    assert!(find(&StoredRelease::read(&serde_json::to_vec(&stored).unwrap()).unwrap(), None, Catalogue::embedded()).is_empty());
}

#[test]
fn a_post_renderer_and_a_name_override_do_not_hide_the_version() {
    let recipe = Recipe { name_override: Some("vec"), ..Recipe::new("4.2.20", 1, json!({})) };
    let mut stored = recipe.stored();
    stored["manifest"] = json!(stored["manifest"].as_str().unwrap().replace("milvusdb/milvus:v2.4.16", "registry.example:5000/m/milvus:v2.6.15"));
    let release = StoredRelease::read(&serde_json::to_vec(&stored).unwrap()).unwrap();
    let found = find(&release, None, Catalogue::embedded());
    assert_eq!((&*found[0].label, resolve(&found[0]).milvus.exact().unwrap().to_string().as_str()), ("vec", "2.6.15"));
}

#[test]
fn a_chart_newer_than_the_catalogue_is_known_by_what_it_carries() {
    let mut stored = Recipe::new("5.0.19", 1, json!({})).stored();
    stored["chart"]["metadata"]["version"] = json!("5.0.40");
    stored["chart"]["values"]["image"]["all"]["tag"] = json!("v2.6.30");
    stored["manifest"] = json!(stored["manifest"].as_str().unwrap().replace("milvus-5.0.19", "milvus-5.0.40").replace(":v2.6.15", ":v2.6.30"));
    let release = StoredRelease::read(&serde_json::to_vec(&stored).unwrap()).unwrap();
    let found = find(&release, None, Catalogue::embedded());
    assert!(matches!(found[0].declaration.defaults, Defaults::Carried(_)), "{:?}", found[0].declaration.defaults);
    assert_eq!(resolve(&found[0]).milvus.exact().unwrap().to_string(), "2.6.30");
}

#[test]
fn images_are_parted_at_the_tag_and_not_at_the_port() {
    for (image, repository, tag) in
        [("milvusdb/milvus:v2.4.1", "milvusdb/milvus", Some("v2.4.1")), ("r:5000/milvus", "r:5000/milvus", None), ("a/b:v1@sha256:0", "a/b", Some("v1"))]
    {
        assert_eq!((repository_of(image), tag_of(image)), (repository, tag));
    }
}
