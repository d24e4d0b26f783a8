//! The schemas say what the code says: same words, same fields, and every rule file is valid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use milvus_guard::report::schema;
use milvus_guard::rollout::Component;
use serde_json::Value;

use crate::json_schema::violations;

/// Where the types of rule files stand.
const RULE_SOURCES: &[&str] = &["src/model/words.rs", "src/policy/vocabulary.rs", "src/policy/condition.rs", "src/policy/format.rs", "src/policy/case.rs"];

/// Types that are written in one word, and fields of the schema's own making.
const SCALARS: &[&str] = &["ValuePath", "Version", "ToolVersion", "Scalar"];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The wire names of the fields or variants of each public type of a file.
fn types_of(path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut types = BTreeMap::new();
    let mut current: Option<(String, BTreeSet<String>)> = None;
    let (mut snake, mut rename) = (false, None);
    for line in read(path).lines() {
        if line.starts_with("#[serde(rename_all") {
            snake = line.contains("snake_case");
        } else if let Some(head) = line.strip_suffix(" {").and_then(|line| line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))) {
            current = Some((head.to_owned(), BTreeSet::new()));
        } else if line == "}" {
            types.extend(current.take());
            snake = false;
        } else if let (Some((_, members)), Some(member)) = (&mut current, line.strip_prefix("    ")) {
            if let Some((_, rest)) = member.split_once("rename = \"") {
                rename = rest.split('"').next().map(str::to_owned);
            }
            let name: String = member.trim_start_matches("pub ").chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() && member.ends_with(',') {
                let variant = name.starts_with(|c: char| c.is_uppercase());
                members.insert(rename.take().unwrap_or_else(|| if variant { words(&name, if snake { '_' } else { '-' }) } else { name }));
            }
        }
    }
    types
}

/// `BuiltInKafka` as `built-in-kafka`.
fn words(name: &str, separator: char) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(separator);
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// The words and fields that a schema admits.
fn admitted(schema: &Value) -> BTreeSet<String> {
    let own = schema["enum"].as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned());
    let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let options = schema["anyOf"].as_array().into_iter().flatten().flat_map(admitted);
    own.chain(fields).chain(options).collect()
}

#[test]
fn the_schema_of_rules_has_the_words_and_fields_of_the_code() {
    let schema = parse(schema::RULE);
    let types: BTreeMap<String, BTreeSet<String>> = RULE_SOURCES.iter().flat_map(|path| types_of(path)).collect();
    assert_eq!(admitted(&schema), types["Rule"]);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        if !SCALARS.contains(&name.as_str()) {
            assert_eq!(Some(&admitted(definition)), types.get(name), "{name}");
        }
    }
}

#[test]
fn the_schemas_of_reports_have_the_words_of_the_model() {
    let (check, plan) = (parse(schema::CHECK), parse(schema::PLAN));
    let mut types = types_of("src/model/words.rs");
    types.extend(types_of("src/model/plan.rs"));
    let release = "/$defs/finding/properties/release/properties";
    for (schema, at, name) in [
        (&check, format!("{release}/form"), "Form"),
        (&check, format!("{release}/applier"), "Applier"),
        (&check, "/$defs/finding/properties/severity".to_owned(), "Severity"),
        (&plan, "/$defs/action/properties/kind".to_owned(), "ActionKind"),
        (&plan, "/$defs/hop/properties/downtime".to_owned(), "Downtime"),
        (&plan, "/$defs/hop".to_owned(), "Hop"),
        (&plan, "/$defs/action".to_owned(), "Action"),
        (&plan, "/$defs/timeline".to_owned(), "Timeline"),
        (&plan, "/$defs/timeline_event".to_owned(), "TimelineEvent"),
        (&plan, "/$defs/absence".to_owned(), "Absence"),
    ] {
        assert_eq!(admitted(schema.pointer(&at).unwrap()), types[name], "{name}");
    }
}

#[test]
fn every_rule_file_is_valid_and_a_spoilt_one_is_not() {
    let schema = parse(schema::RULE);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let rules: Vec<Value> = files.iter().map(|file| serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()).collect();
    assert!(rules.len() > 50);
    for (file, rule) in files.iter().zip(&rules) {
        assert_eq!(violations(&schema, rule), Vec::<String>::new(), "{}", file.display());
    }
    let spoilt: [fn(&mut Value); 5] = [
        |rule| rule["id"] = "205".into(),
        |rule| rule["unknown"] = 1.into(),
        |rule| rule["outcomes"][0]["severity"] = "fatal".into(),
        |rule| rule["outcomes"][0]["when"] = serde_json::json!([{"mode": {"is": "cluster"}, "known": {"what": "mode"}}]),
        |rule| drop(rule.as_object_mut().unwrap().remove("sources")),
    ];
    for spoil in spoilt {
        let mut rule = rules[0].clone();
        spoil(&mut rule);
        assert!(!violations(&schema, &rule).is_empty());
    }
}

#[test]
fn the_rollout_orders_are_valid_and_a_spoilt_file_is_not() {
    let schema = parse(schema::ROLLOUT_ORDERS);
    let mut types = types_of("src/rollout/orders.rs");
    types.extend(types_of("src/rollout/component.rs"));
    for (at, name) in [("order", "Order"), ("step", "Step"), ("gate", "Gate"), ("topology", "Topology")] {
        assert_eq!(admitted(&schema["$defs"][at]), types[name], "{name}");
    }
    let components: BTreeSet<String> = Component::ALL.iter().map(|component| component.name().to_owned()).collect();
    assert_eq!(admitted(&schema["$defs"]["component"]), components);
    let orders: Value = serde_yaml::from_str(&read("policies/rollout-orders.yaml")).unwrap();
    assert_eq!(violations(&schema, &orders), Vec::<String>::new());
    let spoilt: [fn(&mut Value); 6] = [
        |orders| orders["orders"][0]["steps"][0]["component"] = "attu".into(),
        |orders| orders["orders"][0]["steps"][0]["gates"] = serde_json::json!(["soon"]),
        |orders| orders["orders"][0]["sources"] = serde_json::json!([]),
        |orders| orders["orders"][0]["since"] = "2.6".into(),
        |orders| orders["refusals"][0]["rule"] = "203".into(),
        |orders| drop(orders["orders"][0]["back"].as_object_mut().unwrap().remove("reason")),
    ];
    for spoil in spoilt {
        let mut orders = orders.clone();
        spoil(&mut orders);
        assert!(!violations(&schema, &orders).is_empty());
    }
}
