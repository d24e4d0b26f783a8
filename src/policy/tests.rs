//! Tests of the whole: the compiled rules, the tables, the documentation, the speed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde_json::json;

use super::case::{Case, CaseState};
use super::condition::{
    ChartIs, ComponentIs, Condition, Crosses, EvidenceIs, EvidenceWord, FlagIs, HitIs, ImageTagIs, Known, MilvusIs, ModeIs, ObjectStoreIs, QueueIs,
    RepositoryIs, Several, ToolIs, ValueIs,
};
use super::fixture;
use super::format::{
    At, ChangedFind, CopiedFind, DependenciesFind, DependencyImage, Door, Find, FixSpec, FlagsFind, FlipsFind, GapsFind, Outcome, Paths, WhileOn,
};
use super::selftest::tests::from_folder;
use super::tables::{BadVersion, Gate, GateKind, RemovedValue, Stop};
use super::text::{PLACEHOLDERS, Template};
use super::{Policies, Rule, check, check_by, page, selftest};
use crate::model::catalogue::Catalogue;
use crate::model::change::{Change, Environment};
use crate::model::declaration::Declaration;
use crate::model::finding::{Finding, Severity};
use crate::model::release::Release;
use crate::model::truth::Truth;
use crate::model::words::{
    Applier, ChangeKind, FlagKind, Form, Lineage, Mode, NotCheckedKind, ObjectStoreKind, Operation, QueueKind, QueueServer, ValuesStrategy,
};

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/README.md"));

#[test]
fn the_compiled_rules_are_those_of_the_folder() {
    let mut folder = from_folder();
    for rule in &mut folder.bundle.rules {
        (rule.why, rule.sources, rule.tests) = (String::new(), Vec::new(), Vec::new());
    }
    for row in &mut folder.bundle.bad_versions {
        row.sources = Vec::new();
    }
    assert!(!folder.rules().is_empty());
    assert_eq!(*Policies::embedded(), folder);
    assert_eq!(Policies::with_pages().rules().len(), folder.rules().len());
    for rule in folder.rules() {
        let page = page(&rule.id).unwrap();
        assert!(page.tests.len() >= 4 && !page.why.is_empty() && !page.sources.is_empty(), "{}", rule.id);
    }
}

/// The changes of all cases.
fn changes(policies: &Policies) -> impl Iterator<Item = Change> {
    policies.rules().iter().flat_map(|rule| &rule.tests).filter_map(|case| fixture::change(case).ok())
}

#[test]
fn some_rules_say_what_they_say_beside_all_others() {
    let policies = Policies::with_pages();
    let (mut said, mut silent) = (0, 0);
    for change in changes(&policies) {
        let all = check(&change, &policies);
        let speaking: BTreeSet<&str> = all.iter().map(|finding| &*finding.rule).collect();
        let yields = |rule: &&Rule| rule.yields_to.iter().any(|id| speaking.contains(id.as_str()));
        let asked = policies.rules().iter().filter(yields).map(|rule| rule.id.as_str()).chain(speaking.iter().copied());
        for id in asked.collect::<BTreeSet<_>>() {
            let tell = |found: &[Finding]| -> Vec<_> {
                let of_rule = found.iter().filter(|finding| *finding.rule == *id);
                of_rule.map(|finding| (finding.fingerprint.clone(), finding.severity, finding.message.clone(), finding.remedy.clone())).collect()
            };
            let alone = check_by(&change, &policies, &[id].into());
            assert_eq!(tell(&alone), tell(&all), "{id} of {:?}", change.identity);
            assert_eq!(tell(&alone).len(), alone.len(), "{id}: another rule spoke");
            said += alone.len();
            silent += usize::from(alone.is_empty());
        }
    }
    assert!(said > 500 && silent > 100, "{said} said, {silent} silent");
}

#[test]
fn what_does_not_depend_on_the_state_before_is_the_same_after_any() {
    let policies = Policies::with_pages();
    let resolve = |declaration: &Arc<Declaration>, before: Option<&Release>| {
        Release::resolve(declaration.clone(), before, &Environment::default(), Catalogue::embedded())
    };
    let all: Vec<Release> = changes(&policies).flat_map(|change| [change.before, change.after]).flatten().collect();
    let standalone = all.iter().filter(|release| release.mode == Some(Mode::Standalone));
    let befores: Vec<&Release> = standalone.step_by(7).chain(all.iter().step_by(50)).collect();
    let (mut same, mut other) = (0, 0);
    for release in all.iter().step_by(3) {
        let alone = resolve(&release.declaration, None);
        let differs = befores.iter().any(|before| resolve(&release.declaration, Some(before)) != alone);
        assert!(!differs || !alone.is_same_after_any(), "{:?}", release.declaration.identity);
        same += usize::from(alone.is_same_after_any());
        other += usize::from(differs);
    }
    assert!(same > 100 && other > 10, "{same} are the same, {other} differ");
}

/// A step that does not work is not declared away; the steps of the way are.
#[test]
fn required_stops_have_no_door_and_doors_have_one() {
    let policies = Policies::embedded();
    let takes = |gate: &Gate| policies.rule(&gate.rule).unwrap().door.as_ref().is_some_and(|door| door.evidence.contains(&EvidenceWord::GuardedUpgrade));
    for gate in policies.gates() {
        match gate.kind {
            GateKind::Closed | GateKind::RequiredStop => assert!(policies.rule(&gate.rule).unwrap().door.is_none(), "{}", gate.id),
            GateKind::Door => assert!(takes(gate), "{}", gate.id),
            GateKind::RecommendedStop => {}
        }
    }
}

#[test]
fn removed_values_were_read_before_and_are_not_read_after() {
    let catalogue = Catalogue::embedded();
    for row in Policies::embedded().removed_values() {
        let path = &row.path.text;
        assert!(catalogue.ever_known(path), "{path} was never read");
        if !path.split('.').next().is_some_and(|key| catalogue.is_dependency_key(key)) {
            assert_eq!(catalogue.reads(&row.at.0, path), Truth::No, "{path} is still read at {:?}", row.at);
        }
    }
}

#[test]
fn a_condition_that_no_case_needs_survives_and_a_wrong_case_fails() {
    let text = r#"
id: MV999
name: try-out
severity: error
summary: A rule.
why: It tries things out.
remedy: Do nothing at all.
sources: ["judgment: a test"]
needs: after
outcomes: [{severity: error, when: [{chart: {at_least: 5.0.0}}, {applier: helm-upgrade}], message: no}]
tests:
  - {name: a, after: {chart: 5.0.19}, expect: error}
  - {name: b, after: {chart: 5.0.1}, expect: error}
  - {name: c, after: {chart: 4.2.58}, expect: silent}
  - {name: d, after: {chart: 4.2.57}, expect: silent}
"#;
    let run = |text: &str| selftest(&Policies::load([("rules/MV999-try-out.yaml", text)]).unwrap(), None).remove(0);
    // Both conditions are needed by the firing cases.
    assert!(run(text).passed(), "{:?}", run(text));
    let loose = run(&text.replace("{applier: helm-upgrade}", "{any: [{applier: helm-upgrade}, {applier: template}]}"));
    assert_eq!(loose.survivors, [r#"outcome 1: {"applier":["template"]}"#]);
    let wrong = run(&text.replace("5.0.1}, expect: error", "5.0.1}, expect: warning"));
    assert_eq!(wrong.failures, ["b: expected warning, but it said error at `after:declaration`: no"]);
}

#[test]
fn what_is_wrong_with_a_rule_file_is_said_with_its_name() {
    let good = r#"
id: MV999
name: try-out
severity: error
summary: A rule.
why: It tries things out.
remedy: Do nothing at all.
sources: ["judgment: a test"]
needs: after
outcomes: [{severity: error, message: no}]
tests: [{name: a, after: {}, expect: error}, {name: b, after: {}, expect: error}, {name: c, after: {}, expect: silent}, {name: d, after: {}, expect: silent}]
"#;
    assert!(Policies::load([("rules/MV999-try-out.yaml", good)]).is_ok());
    let table = [
        ("needs: after", "needs: after\nseverty: error", "unknown field `severty`"),
        ("message: no", "message: \"{after.milvsu}\"", "unknown placeholder `{after.milvsu}`"),
        ("message: no", "message: \"{after.value:externalS3.secretKey}\"", "would print a secret"),
        ("message: no", "message: \"{oops\"", "unbalanced brace"),
        ("message: no", "message: no, when: [{crosses_gate: nowhere}]", "no gate `nowhere`"),
        ("message: no", "message: no, when: [{modus: {is: cluster}}]", "unknown variant `modus`"),
        ("message: no", "message: no, when: [{mode: {is: clustr}}]", "unknown variant `clustr`"),
        ("message: no", "message: no, when: [{chart: {at_least: 4.x}}]", "is not a chart version"),
        ("message: no", "message: no, when: [{hit: {name: path, in: a}}]", "has no variable `path`"),
        ("message: no", "message: no, when: [{value: {path: a.b}}]", "tests nothing"),
        ("message: no", "message: no, when: [{crosses: {}}]", "exactly one of"),
        ("sources: [\"judgment: a test\"]", "sources: []", "`sources` is missing"),
        ("sources: [\"judgment: a test\"]", "sources: [hearsay]", "source `hearsay`"),
        ("severity: error\nsummary", "severity: warning\nsummary", "the worst of the outcomes"),
        ("{name: d, after: {}, expect: silent}", "{name: d, after: {}, expect: error}", "two silent cases"),
        ("name: try-out", "name: other", "must be called"),
        ("id: MV999", "id: MV9", "MV and three digits"),
    ];
    for (from, to, problem) in table {
        assert!(good.contains(from), "{from}");
        let errors = Policies::load([("rules/MV999-try-out.yaml", good.replacen(from, to, 1).as_str())]).unwrap_err();
        assert!(errors.iter().any(|error| error.to_string().contains(problem) && error.file == "rules/MV999-try-out.yaml"), "{to}: {errors:?}");
    }
    let twice = [("rules/MV999-try-out.yaml", good), ("rules/MV999-again.yaml", good)];
    assert!(Policies::load(twice).unwrap_err().iter().any(|error| error.problem.contains("is taken by")));
    assert!(Policies::load([("rules/notes.txt", "")]).unwrap_err()[0].problem.contains("stray"));
}

/// The names that a type takes, out of serde's own words: variants of an enumeration, fields of a table.
fn names<T: DeserializeOwned>(sample: serde_json::Value) -> Vec<String> {
    let Err(error) = serde_json::from_value::<T>(sample) else { panic!("the sample must be wrong") };
    let text = error.to_string();
    let (_, list) = text.split_once(", expected ").unwrap_or_else(|| panic!("{text}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn fields<T: DeserializeOwned>() -> Vec<String> {
    names::<T>(json!({"no such field": 0}))
}

fn words<T: DeserializeOwned>() -> Vec<String> {
    names::<T>(json!("no such word"))
}

#[test]
fn the_readme_tells_every_field_word_and_placeholder() {
    let mut all: BTreeSet<String> = BTreeSet::new();
    let mut add = |names: Vec<String>| all.extend(names);
    add(words::<Condition>());
    add(words::<Find>());
    add(words::<At>());
    for list in [
        fields::<MilvusIs>(),
        fields::<ChartIs>(),
        fields::<Crosses>(),
        fields::<ImageTagIs>(),
        fields::<ModeIs>(),
        fields::<QueueIs>(),
        fields::<ComponentIs>(),
        fields::<ObjectStoreIs>(),
        fields::<ValueIs>(),
        fields::<FlagIs>(),
        fields::<RepositoryIs>(),
        fields::<Known>(),
        fields::<ToolIs>(),
        fields::<HitIs>(),
        fields::<EvidenceIs>(),
        fields::<Paths>(),
        fields::<ChangedFind>(),
        fields::<WhileOn>(),
        fields::<Several>(),
        fields::<FlagsFind>(),
        fields::<FlipsFind>(),
        fields::<CopiedFind>(),
        fields::<DependenciesFind>(),
        fields::<DependencyImage>(),
        fields::<GapsFind>(),
        fields::<RemovedValue>(),
        fields::<BadVersion>(),
        fields::<Gate>(),
        fields::<Stop>(),
        fields::<Case>(),
        fields::<CaseState>(),
    ] {
        add(list);
    }
    for list in [
        words::<super::condition::Side>(),
        words::<super::condition::Direction>(),
        words::<super::condition::ChartState>(),
        words::<super::condition::ChartSpec>(),
        words::<super::condition::TagKind>(),
        words::<super::condition::Field>(),
        words::<super::condition::ValueTree>(),
        words::<super::condition::SetBy>(),
        words::<super::condition::ValueType>(),
        words::<super::condition::LockState>(),
        words::<super::condition::Knowable>(),
        words::<super::tables::BadKind>(),
        words::<super::tables::GateKind>(),
        words::<super::tables::GateNeed>(),
        words::<super::tables::Rollback>(),
        words::<EvidenceWord>(),
        words::<super::case::Expect>(),
        words::<Applier>(),
        words::<ChangeKind>(),
        words::<FlagKind>(),
        words::<Form>(),
        words::<Lineage>(),
        words::<Mode>(),
        words::<NotCheckedKind>(),
        words::<ObjectStoreKind>(),
        words::<Operation>(),
        words::<QueueKind>(),
        words::<QueueServer>(),
        words::<ValuesStrategy>(),
    ] {
        add(list);
    }
    let told = |name: &str| README.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).any(|word| word == name);
    // The example of a rule file tells these.
    for name in fields::<super::Rule>().iter().chain(&fields::<Outcome>()).chain(&fields::<Door>()).chain(&fields::<FixSpec>()) {
        assert!(README.contains(&format!("{name}:")), "field `{name}` is not in policies/README.md");
    }
    let missing: Vec<&String> = all.iter().filter(|name| !told(name)).collect();
    assert!(missing.is_empty(), "not in policies/README.md: {missing:?}");
    for (name, _) in PLACEHOLDERS {
        let shown = if name.ends_with(':') { format!("{{{name}") } else { format!("{{{name}}}") };
        assert!(README.contains(&shown), "placeholder {shown} is not in policies/README.md");
    }
    let paths = || Paths { paths: Vec::new() };
    let component = serde_json::from_value(json!({})).unwrap();
    let finds = [
        Find::Release,
        Find::RemovedValues,
        Find::DeadValues,
        Find::UserValues(paths()),
        Find::ChangedValues(ChangedFind { paths: Vec::new(), while_on: Vec::new() }),
        Find::Flags(FlagsFind { any_of: Vec::new() }),
        Find::Components(component),
        Find::BadVersions,
        Find::DroppedValues,
        Find::DefaultFlips(FlipsFind { under: Vec::new(), except: Vec::new() }),
        Find::CopiedDefaults(CopiedFind { at_least: 1, share_percent: 1 }),
        Find::WrongTypes,
        Find::DependencyImages(DependenciesFind { images: Vec::new() }),
        Find::MisplacedValues,
        Find::Gaps(GapsFind { kinds: Vec::new() }),
    ];
    for (name, _) in finds.iter().flat_map(Find::variables) {
        assert!(README.contains(&format!("`{name}`")), "variable `{name}` is not in policies/README.md");
    }
}

#[test]
fn a_version_that_a_remedy_gives_as_an_example_is_a_good_one() {
    let bundle = from_folder().bundle;
    let mut examples = 0;
    for rule in &bundle.rules {
        for (at, start) in rule.remedy.0.match_indices("for example") {
            let words = rule.remedy.0[at + start.len()..].split(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).take(12);
            for version in words.filter_map(|word| word.strip_prefix('v')?.parse::<crate::model::version::MilvusVersion>().ok()) {
                examples += 1;
                let bad = bundle.bad_versions.iter().find(|row| row.when.is_empty() && row.at_least.0 <= version && version < row.below.0);
                assert!(bad.is_none(), "{}: {version} is {:?}", rule.id, bad.map(|row| &row.name));
            }
        }
    }
    assert!(examples > 0);
}

#[test]
fn braces_in_texts_are_kept() {
    let pieces = Template("a {{b}} {name} c".to_owned()).pieces().map(|pieces| format!("{pieces:?}"));
    assert_eq!(pieces.unwrap(), r#"[Text("a "), Text("{"), Text("b"), Text("}"), Text(" "), Name("name"), Text(" c")]"#);
}

fn change_of(case: serde_json::Value) -> Change {
    fixture::change(&serde_json::from_value(case).unwrap()).unwrap()
}

#[test]
fn one_cause_gives_one_finding_and_the_rest_is_its_evidence() {
    let change = change_of(json!({"name": "", "before": {"chart": "3.0.29"}, "after": {"chart": "5.0.19"}, "expect": "error"}));
    let findings = check(&change, Policies::embedded());
    let path: Vec<&str> =
        findings.iter().map(|finding| &*finding.rule).filter(|rule| matches!(*rule, "MV201" | "MV202" | "MV203" | "MV204" | "MV205")).collect();
    assert_eq!(path, ["MV202"]);
    let evidence: Vec<&str> =
        findings.iter().filter(|finding| &*finding.rule == "MV202").flat_map(|finding| &finding.evidence).map(|note| note.text.as_str()).collect();
    for rule in ["MV201", "MV204", "MV205"] {
        assert!(evidence.iter().any(|text| text.starts_with(rule)), "{rule} is evidence: {evidence:?}");
    }
}

/// Each rule yields to all rules of the groups before its own.
const PRECEDENCE: &[&[&[&str]]] = &[
    &[&["MV203"], &["MV202"], &["MV201"], &["MV204", "MV205", "MV208"]],
    &[&["MV402"], &["MV405"], &["MV404"], &["MV401"]],
    &[&["MV406"], &["MV401"]],
    &[&["MV409"], &["MV408"], &["MV404"]],
    &[&["MV111"], &["MV114"], &["MV115"]],
    &[&["MV207"], &["MV206"]],
    &[&["MV214"], &["MV213"]],
    &[&["MV701"], &["MV702"]],
    &[&["MV215"], &["MV216"], &["MV219"]],
    &[&["MV310"], &["MV713"]],
    &[&["MV305", "MV306", "MV402", "MV406", "MV214"], &["MV604"]],
];

#[test]
fn rules_yield_as_one_cause_one_finding_asks() {
    let policies = Policies::embedded();
    let yields = |rule: &str, to: &str| policies.rule(rule).unwrap_or_else(|| panic!("{rule}")).yields_to.iter().any(|id| id == to);
    for chain in PRECEDENCE {
        for (index, group) in chain.iter().enumerate() {
            for (rule, to) in group.iter().flat_map(|rule| chain[..index].iter().copied().flatten().map(move |to| (rule, to))) {
                assert!(yields(rule, to), "{rule} must yield to {to}");
            }
        }
    }
    let storage_and_queue =
        policies.rules().iter().filter(|rule| (rule.id.starts_with("MV4") || rule.id.starts_with("MV5")) && rule.needs == super::Needs::Before);
    for rule in storage_and_queue {
        assert!(yields(&rule.id, "MV203"), "{} must yield to MV203", rule.id);
    }
}

#[test]
fn no_rule_yields_in_a_circle() {
    let policies = Policies::embedded();
    for rule in policies.rules() {
        let mut above: Vec<&str> = rule.yields_to.iter().map(String::as_str).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = above.pop() {
            assert_ne!(id, rule.id, "{} yields to itself in the end", rule.id);
            if seen.insert(id) {
                above.extend(policies.rule(id).iter().flat_map(|rule| &rule.yields_to).map(String::as_str));
            }
        }
    }
}

#[test]
fn a_queue_that_changes_with_the_mode_is_one_finding() {
    let change = change_of(json!({"name": "", "before": {"chart": "4.2.58", "mode": "standalone"}, "after": {"chart": "4.2.58"}, "expect": "error"}));
    let errors: Vec<String> = check(&change, Policies::embedded()).iter().filter(|f| f.severity == Severity::Error).map(|f| f.rule.to_string()).collect();
    assert_eq!(errors, ["MV214"]);
}

#[test]
fn what_evidence_opened_silences_nothing() {
    let values = |pulsar: bool| json!({"pulsar": {"enabled": pulsar}, "pulsarv3": {"enabled": !pulsar}});
    let after = json!({"chart": "4.2.58", "values": values(false), "evidence": ["guarded-upgrade 2.5.16"]});
    let change = change_of(json!({"name": "", "before": {"chart": "4.2.57", "values": values(true)}, "after": after, "expect": "error"}));
    let severity = |rule: &str| check(&change, Policies::embedded()).iter().find(|finding| &*finding.rule == rule).map(|finding| finding.severity);
    assert_eq!((severity("MV405"), severity("MV404")), (Some(Severity::Info), Some(Severity::Error)));
}

#[test]
fn a_pulsar_that_is_turned_on_comes_with_advice_that_itself_passes() {
    let (off, on, initialised) = (json!({"enabled": false}), json!({"enabled": true}), json!({"enabled": true, "initialize": true}));
    let kafka = json!({"pulsarv3": off, "kafka": on});
    let external = json!({"pulsarv3": off, "externalPulsar": {"enabled": true, "host": "p"}});
    let woodpecker = json!({"pulsarv3": off, "woodpecker": on});
    let state = |values: &serde_json::Value, tag: &str, evidence: &str| {
        let evidence: Vec<&str> = Some(evidence).filter(|text| !text.is_empty()).into_iter().collect();
        json!({"chart": if tag == "v2.5.22" { "4.2.58" } else { "5.0.19" }, "tag": tag, "values": values, "evidence": evidence})
    };
    let judged = |before: &serde_json::Value, after: &serde_json::Value, tag: &str, evidence: &str| {
        let case = json!({"name": "", "before": state(before, tag, ""), "after": state(after, tag, evidence), "expect": "error"});
        let found = check(&change_of(case), Policies::embedded());
        found.into_iter().filter(|finding| finding.severity == Severity::Error).map(|finding| (finding.rule.to_string(), finding.remedy)).collect::<Vec<_>>()
    };
    let wanted = json!({"pulsarv3": on});
    // What was before, what the advice says, and the change that it leads to.
    for (before, tag, advice, advised, evidence) in [
        (&kafka, "v2.6.15", "kafka.enabled", &kafka, ""),
        (&external, "v2.6.15", "externalPulsar.enabled", &external, ""),
        (&woodpecker, "v3.0.0", "# guard.milvus-guard.dev/ack: MV401 <reference>", &json!({"pulsarv3": initialised}), "acknowledged MV401 ticket-7"),
        (&json!({"pulsarv3": off}), "v2.5.22", "Set `pulsarv3.initialize: true`", &json!({"pulsarv3": initialised}), ""),
    ] {
        let found = judged(before, &wanted, tag, "");
        assert!(matches!(found.as_slice(), [(rule, remedy)] if rule == "MV404" && remedy.contains(advice)), "{before}: {found:?}");
        assert_eq!(judged(before, advised, tag, evidence), [], "{before} -> {advised}");
    }
}

#[test]
fn a_finding_is_the_same_wherever_its_file_lies() {
    let fingerprint = |change: &Change| check(change, Policies::embedded()).iter().find(|finding| &*finding.rule == "MV205").unwrap().fingerprint.clone();
    let case = |tag: &str| json!({"name": "", "before": {"chart": "4.2.48"}, "after": {"chart": "5.0.19", "tag": tag}, "expect": "error"});
    assert_eq!(fingerprint(&change_of(case("v2.6.1"))), fingerprint(&change_of(case("v2.6.15"))));
    let mut other = case("v2.6.1");
    other["after"]["name"] = json!("another");
    assert_ne!(fingerprint(&change_of(case("v2.6.1"))), fingerprint(&change_of(other)));
}

#[test]
fn values_of_any_size_are_judged_in_bounded_time() {
    let many: serde_json::Map<String, serde_json::Value> = (0..20_000).map(|i| (format!("key{i}"), json!({"a": {"size": "1x"}, "b": i}))).collect();
    let state = json!({"chart": "4.2.58", "values": {"queryNode": many, "etcd": many, "x": many}});
    let change = change_of(json!({"name": "", "before": state, "after": {"chart": "5.0.19", "values": {"y": many}}, "expect": "silent"}));
    let start = Instant::now();
    let findings = check(&change, Policies::embedded());
    assert!(findings.len() <= 2 * super::find::MAX_HITS, "{}", findings.len());
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

/// Not a benchmark (an unoptimised build): a guard against a check that does something slow on every change.
#[test]
fn judging_a_change_without_findings_is_quick() {
    let values = json!({"cluster": {"enabled": true}, "queryNode": {"replicas": 3}, "etcd": {"replicaCount": 3}});
    let state = json!({"chart": "4.2.58", "values": values});
    let change = change_of(json!({"name": "", "before": state, "after": state, "expect": "silent"}));
    let policies = Policies::embedded();
    let rounds = 200_u32;
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(check(&change, policies));
    }
    let each = start.elapsed() / rounds;
    println!("{} rules: {each:?} for each change", policies.rules().len());
    assert!(each.as_millis() < 20, "{each:?}");
}

/// A case with facts of either state made unknown, in the ways in which they are in real files.
fn with_unknowns(case: &Case) -> Vec<Case> {
    let change = |side: &mut Option<CaseState>, what: usize| {
        let Some(state) = side else { return };
        match what {
            0 => state.chart = Some("<unknown>".to_owned()),
            1 => state.tag = Some("latest".to_owned()),
            2 => state.tag = Some("<unknown>".to_owned()),
            3 => state.chart = None,
            4 => state.chart = Some("5.0.22".to_owned()),
            5 => state.unseen = Some("Secret milvus-values".to_owned()),
            6 => state.lineage = Some(Lineage::Unknown),
            _ => state.chart = Some("5.x".to_owned()),
        }
    };
    let mut all = Vec::new();
    for what in 0..8 {
        for sides in 1..4 {
            let mut case = case.clone();
            if sides & 1 == 1 {
                change(&mut case.before, what);
            }
            if sides & 2 == 2 {
                change(&mut case.after, what);
            }
            all.push(case);
        }
    }
    all
}

#[test]
fn what_is_unknown_is_told_in_words_of_its_own() {
    let policies = from_folder();
    let mut bad = BTreeSet::new();
    for rule in policies.rules() {
        for case in rule.tests.iter().flat_map(with_unknowns) {
            let Ok(change) = fixture::change(&case) else { continue };
            for finding in check(&change, &policies) {
                let (before, after) = (finding.before.unwrap_or_default(), finding.after.unwrap_or_default());
                for text in [&*finding.message, &finding.remedy, &before, &after] {
                    if text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "unknown") {
                        bad.insert(format!("{} {text}", finding.rule));
                    }
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The first version that a remedy tells to take, and whether it is one of the chart. `chart 4.1.22 or later` and `below 5.0.0` are bounds, not targets.
fn first_version(remedy: &str) -> Option<(bool, &str)> {
    let words: Vec<&str> = remedy.split(|c: char| c.is_whitespace() || "`(),:;=\"'".contains(c)).filter(|word| !word.is_empty()).collect();
    let numbers = |word: &str| {
        let parts: Vec<&str> = word.split('-').next().unwrap_or(word).split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let at = words.iter().position(|word| numbers(word.trim_end_matches('.').trim_start_matches('v')))?;
    let above = at.checked_sub(1).map_or("", |above| words[above]);
    let is_chart = matches!(above, "chart" | "charts" | "Chart" | "--version" | "version");
    let bound = above == "below" || (is_chart && matches!(words.get(at + 1), Some(&("or" | "on" | "and"))));
    (!bound).then(|| (is_chart, words[at].trim_end_matches('.').trim_start_matches('v')))
}

/// A remedy may lead through several versions: the first one must be one step away from what runs.
#[test]
fn a_remedy_names_no_version_that_cannot_be_reached_from_what_runs() {
    let policies = from_folder();
    let mut bad = BTreeSet::new();
    for case in policies.rules().iter().flat_map(|rule| &rule.tests) {
        let Some(runs) = case.before.as_ref().or(case.after.as_ref()) else { continue };
        let wanted = case.after.clone().unwrap_or_default();
        if runs.lineage.is_some() || wanted.operation.is_some() {
            continue;
        }
        for finding in check(&fixture::change(case).unwrap(), &policies) {
            // No step of this release: a new one beside it, a plan of several steps, a version of Helm or of a dependency.
            let elsewhere = ["MV101", "MV203", "MV514"].contains(&&*finding.rule) || finding.remedy.contains("milvus-lint plan --from");
            let Some((is_chart, version)) = first_version(&finding.remedy).filter(|_| !elsewhere && finding.severity > Severity::Info) else { continue };
            let (chart, tag) = if is_chart { (Some(version.to_owned()), wanted.tag.clone()) } else { (wanted.chart.clone(), Some(format!("v{version}"))) };
            let next = CaseState { chart, tag, mode: wanted.mode.clone(), form: wanted.form, ..CaseState::default() };
            let before = CaseState { chart: runs.chart.clone(), tag: runs.tag.clone(), mode: runs.mode.clone(), form: runs.form, ..CaseState::default() };
            let step = Case { before: Some(before), after: Some(next), change: None, ..case.clone() };
            let path: &[&str] = if is_chart { &["MV110", "MV114"] } else { &["MV202", "MV203", "MV205", "MV208", "MV211"] };
            for refused in check(&fixture::change(&step).unwrap(), &policies) {
                if refused.severity == Severity::Error && path.contains(&&*refused.rule) {
                    bad.insert(format!("{} ({}) says: {}\n      but {}: {}", finding.rule, case.name, finding.remedy, refused.rule, refused.message));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.into_iter().collect::<Vec<_>>().join("\n"));
}
