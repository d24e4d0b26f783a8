//! From findings to an answer: what refuses, what is only said, and how it is put into the few bytes that tools show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::{Change, ChangeKind, Environment};
use milvus_guard::model::declaration::{Declaration, Evidence};
use milvus_guard::model::finding::{Baseline, Finding, Severity};
use milvus_guard::model::release::Release;
use milvus_guard::policy::format::Rule;
use milvus_guard::policy::{self, Policies};
use serde_json::Value;

use super::answer::cut;
use super::exceptions::{Exceptions, Mode};
use super::request::User;
use super::{Answer, BREAK_GLASS, Cause};
use crate::cluster::text;

/// Warnings of one answer; the API server cuts all of them together at 4096 bytes.
const MAX_WARNINGS: usize = 8;

/// Causes of one refusal.
const MAX_CAUSES: usize = 32;

/// The longest refusal, in bytes: Helm prints it in one line.
const MAX_MESSAGE_BYTES: usize = 900;

/// Something to say about a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The rule's id.
    pub rule: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// What is the matter, one line.
    pub message: String,
    /// What to do, one line.
    pub next: String,
    /// JSON path of the field.
    pub field: Option<String>,
    /// It is refused only for want of a declaration: an object that would let it pass. The `next` step comes before that, if the object says that something was done.
    pub missing: Option<Value>,
    /// It was so before.
    pub is_old: bool,
    /// A waiver would leave nothing that serves: none counts.
    pub takes_no_waiver: bool,
}

impl Point {
    /// Something that no rule file says.
    #[must_use]
    pub fn new(rule: &str, severity: Severity, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { rule: rule.into(), severity, message: message.into(), next: next.into(), field: None, missing: None, is_old: false, takes_no_waiver: false }
    }

    /// What a rule says of something that its own conditions do not see.
    #[must_use]
    pub fn of_rule(rule: &Rule) -> Self {
        Self::new(&rule.id, rule.severity, one_line(&rule.summary.0), first_step(&rule.remedy.0))
    }

    fn of(finding: &Finding, field: Option<String>) -> Self {
        Self {
            rule: Arc::clone(&finding.rule),
            severity: finding.severity,
            message: one_line(&finding.message),
            next: first_step(&finding.remedy),
            field,
            missing: None,
            is_old: finding.baseline == Some(Baseline::PreExisting),
            takes_no_waiver: false,
        }
    }

    /// Whether it refuses the request where nothing lets it pass.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.severity == Severity::Error && !self.is_old
    }
}

/// A change of one release from each state that may be the one before. Each state is resolved once.
#[derive(Debug, Clone)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// A change to `after`; an installation where there is no state before.
    #[must_use]
    pub fn new(befores: Vec<Release>, after: &Declaration, kubernetes: Option<(u32, u32)>) -> Self {
        let environment = Environment { kubernetes, ..Environment::default() };
        let (declaration, mut known) = (Arc::new(after.clone()), None::<Release>);
        let mut change = |before: Option<Release>| {
            let after = match &known {
                Some(known) if known.is_same_after_any() => known.clone(),
                _ => known.insert(Release::resolve(Arc::clone(&declaration), before.as_ref(), &environment, Catalogue::embedded())).clone(),
            };
            let kind = if before.is_some() { ChangeKind::Changed } else { ChangeKind::Added };
            Change { identity: after.declaration.identity.clone(), kind, before, after: Some(after), environment: environment.clone() }
        };
        Self(if befores.is_empty() { vec![change(None)] } else { befores.into_iter().map(|before| change(Some(before))).collect() })
    }

    /// The same with this evidence, and no other.
    #[must_use]
    pub fn with_evidence(mut self, evidence: &[Evidence]) -> Self {
        for after in self.0.iter_mut().filter_map(|change| change.after.as_mut()) {
            Arc::make_mut(&mut after.declaration).evidence = evidence.to_vec();
        }
        self
    }

    /// The findings: of each the worst, from whichever state.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut worst: BTreeMap<(Arc<str>, String), Finding> = BTreeMap::new();
        for change in &self.0 {
            let found = policy::check(change, Policies::embedded());
            let Some(before) = change.before.as_ref() else { return found };
            let standing = standing(before, &found, &change.environment);
            for mut finding in found {
                // As the linter does where it has no text to compare: what is said of another version is another finding.
                let is_it = |old: &&Finding| old.fingerprint == finding.fingerprint && old.message == finding.message;
                let is_old = standing.iter().any(|old| is_it(&old) && old.severity >= finding.severity);
                finding.baseline = Some(if is_old { Baseline::PreExisting } else { Baseline::New });
                let key = (Arc::clone(&finding.rule), finding.fingerprint.clone());
                let rank = |finding: &Finding| (finding.baseline == Some(Baseline::New), finding.severity);
                match worst.get(&key) {
                    Some(known) if rank(known) >= rank(&finding) => {}
                    _ => {
                        worst.insert(key, finding);
                    }
                }
            }
        }
        worst.into_values().collect()
    }
}

/// What the rules of these findings said of the state before as it stood.
fn standing(before: &Release, found: &[Finding], environment: &Environment) -> Vec<Finding> {
    let rules: BTreeSet<&str> = found.iter().map(|finding| &*finding.rule).collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let after = if before.is_same_after_any() {
        before.clone()
    } else {
        Release::resolve(Arc::clone(&before.declaration), Some(before), environment, Catalogue::embedded())
    };
    let identity = before.declaration.identity.clone();
    let change = Change { identity, kind: ChangeKind::Unchanged, before: Some(before.clone()), after: Some(after), environment: environment.clone() };
    policy::check_by(&change, Policies::embedded(), &rules)
}

/// A state before, resolved.
#[must_use]
pub fn resolved(before: Declaration) -> Release {
    // Nothing that is known of the cluster has a part in it.
    Release::resolve(Arc::new(before), None, &Environment::default(), Catalogue::embedded())
}

/// Judges one release: from each state that may be the one before, the worst of each finding stands.
#[must_use]
pub fn findings(befores: &[Declaration], after: &Declaration, kubernetes: Option<(u32, u32)>) -> Vec<Finding> {
    Changes::new(befores.iter().cloned().map(resolved).collect(), after, kubernetes).findings()
}

/// Findings as points; `field` tells the path of what a finding is about.
#[must_use]
pub fn points(findings: &[Finding], field: &dyn Fn(&Finding) -> Option<String>) -> Vec<Point> {
    findings.iter().filter(|finding| finding.severity > Severity::Info).map(|finding| Point::of(finding, field(finding))).collect()
}

/// How an answer is made.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// How verdicts are taken.
    pub mode: Mode,
    /// What is waived.
    pub exceptions: &'a Exceptions,
    /// Who asks.
    pub user: &'a User,
    /// Nothing will be stored: a declaration that is missing may be the next object of the same apply.
    pub dry_run: bool,
}

/// The answer to a request about which these points are to be made.
#[must_use]
pub fn answer(mut points: Vec<Point>, terms: &Terms<'_>) -> Answer {
    // What no declaration mends comes first, since it is no use to declare the rest; then what stands in the way of the version, since no other value mends that.
    let rank = |point: &Point| (point.is_old, std::cmp::Reverse(point.severity), point.missing.is_some(), !point.rule.starts_with("MV2"));
    points.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.rule.cmp(&b.rule)));
    let mut answer = Answer::admitted();
    let mut said: Vec<String> = terms.exceptions.notes.clone();
    let is_waived = |point: &Point| !point.takes_no_waiver && terms.exceptions.waivers.contains_key(&point.rule);
    let (waived, points): (Vec<Point>, Vec<Point>) = points.into_iter().partition(is_waived);
    if !waived.is_empty() {
        answer.audit.insert("waived".into(), rules(&waived));
        let told = waived.iter().filter(|point| point.refuses()).filter_map(|point| terms.exceptions.waivers.get(&point.rule));
        said.extend(told.map(|waiver| format!("{} is waived: {}", waiver.rule, waiver.reason)));
    }
    let (refusing, rest): (Vec<Point>, Vec<Point>) = points.into_iter().partition(Point::refuses);
    let (refusing, mut rest) = if terms.dry_run {
        let (declarable, refusing): (Vec<Point>, Vec<Point>) = refusing.into_iter().partition(|point| point.missing.is_some());
        (refusing, declarable.into_iter().chain(rest).collect::<Vec<_>>())
    } else {
        (refusing, rest)
    };
    if !refusing.is_empty() {
        answer.audit.insert("rules".into(), rules(&refusing));
        match (&terms.exceptions.break_glass, terms.mode) {
            (Some(glass), _) => {
                let who = &terms.user.username;
                answer.audit.insert(BREAK_GLASS.into(), format!("{who}: {} (until {})", glass.reason, glass.until));
                said.push(format!("break-glass lets this pass ({}): {}", glass.reason, rules(&refusing)));
                rest.splice(0..0, refusing);
            }
            (None, Mode::Enforce) => {
                answer.refused = Some(refusal(&refusing));
                answer.causes = refusing.iter().take(MAX_CAUSES).map(cause).collect();
            }
            (None, mode) => {
                answer.audit.insert("mode".into(), mode.name().into());
                rest.splice(0..0, refusing);
            }
        }
    }
    if terms.mode != Mode::Audit {
        rest.retain(|point| !point.is_old || point.severity == Severity::Error);
        said.extend(by_rule(&rest).into_iter().map(|(point, others)| warning(point, others)));
        let left_out = said.len().saturating_sub(MAX_WARNINGS);
        said.truncate(MAX_WARNINGS);
        if left_out > 0 {
            said.push(format!("{left_out} more; see them with `milvus-lint check`"));
        }
        answer.warnings = said;
    }
    answer
}

/// The first point of each rule, and how many more it has.
fn by_rule(points: &[Point]) -> Vec<(&Point, usize)> {
    let mut all: Vec<(&Point, usize)> = Vec::new();
    for point in points {
        match all.iter_mut().find(|(known, _)| known.rule == point.rule) {
            Some((_, others)) => *others += 1,
            None => all.push((point, 0)),
        }
    }
    all
}

fn rules(points: &[Point]) -> String {
    let mut ids: Vec<&str> = points.iter().map(|point| &*point.rule).collect();
    ids.dedup();
    ids.join(",")
}

fn cause(point: &Point) -> Cause {
    Cause { rule: point.rule.to_string(), message: format!("{} {}", point.message, point.next).trim_end().to_owned(), field: point.field.clone() }
}

fn warning(point: &Point, others: usize) -> String {
    let old = if point.is_old { " (as before)" } else { "" };
    let more = if others > 0 { format!("{} times, first: ", others + 1) } else { String::new() };
    let declare = point
        .missing
        .as_ref()
        .and_then(|object| Some(format!("declare GuardedUpgrade {} to {} first. ", text(object, "/metadata/name")?, text(object, "/spec/to")?)));
    format!("{}{old}: {}{more}{}", point.rule, declare.unwrap_or_default(), point.message)
}

/// One line: the first rule whole, the others by name, the next step, and where to read on. An object to add is never cut.
fn refusal(points: &[Point]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let others: Vec<&str> = points.iter().skip(1).map(|point| &*point.rule).collect();
    let also = if others.is_empty() { String::new() } else { format!(" Also: {}.", others.join(", ")) };
    let (step, declaring) = match &first.missing {
        Some(object) if object.pointer("/metadata/annotations").is_some() => (first.next.clone(), format!(" When it is done, say where: {}", apply(object))),
        Some(object) => (String::new(), format!("Declare it first: {}", apply(object))),
        None => (first.next.clone(), String::new()),
    };
    let explained = Policies::embedded().rule(&first.rule).map_or_else(String::new, |rule| format!(" [milvus-lint explain {}]", rule.id));
    let end = format!("{declaring}{also}{explained}");
    let room = MAX_MESSAGE_BYTES.saturating_sub(end.len() + first.rule.len() + 4);
    let message = cut(&first.message, room.saturating_sub(step.len()).max(200));
    let step = cut(&step, room.saturating_sub(message.len()).max(200));
    format!("{}: {message} {step}{end}", first.rule)
}

/// The command that declares an object, for any shell.
fn apply(object: &Value) -> String {
    format!("echo '{object}' | kubectl apply -f -")
}

/// The first step of a remedy in one line: its first line, with those below that it announces.
fn first_step(remedy: &str) -> String {
    let mut step = String::new();
    for line in remedy.lines() {
        let goes_on = step.is_empty() || !step.ends_with(['.', ')', '`']) || line.starts_with(' ');
        if !goes_on {
            break;
        }
        step = format!("{step} {}", one_line(line)).trim().to_owned();
    }
    step
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::exceptions::{BreakGlass, Waiver};

    fn point(rule: &str) -> Point {
        Point::new(rule, Severity::Error, "what is the matter", "What to do.")
    }

    fn answer_to(points: Vec<Point>, mode: Mode, exceptions: &Exceptions, dry_run: bool) -> Answer {
        let user = User { username: "ada".into(), ..User::default() };
        answer(points, &Terms { mode, exceptions, user: &user, dry_run })
    }

    #[test]
    fn errors_refuse_by_mode_and_say_rule_cause_and_next_step() {
        let refused = answer_to(vec![point("MV402"), point("MV110"), point("MV205")], Mode::Enforce, &Exceptions::default(), false);
        assert_eq!(refused.refused.unwrap(), "MV205: what is the matter What to do. Also: MV110, MV402. [milvus-lint explain MV205]");
        assert_eq!(refused.causes.len(), 3);
        let warned = answer_to(vec![point("MV205")], Mode::Warn, &Exceptions::default(), false);
        assert!(warned.is_admitted() && warned.warnings == ["MV205: what is the matter"]);
        let audited = answer_to(vec![point("MV205")], Mode::Audit, &Exceptions::default(), false);
        assert!(audited.is_admitted() && audited.warnings.is_empty() && audited.audit["rules"] == "MV205");
    }

    #[test]
    fn what_was_so_before_and_what_is_waived_does_not_refuse() {
        let old = Point { is_old: true, ..point("MV216") };
        assert!(answer_to(vec![old], Mode::Enforce, &Exceptions::default(), false).is_admitted());
        let waiver = Waiver { rule: "MV402".into(), reason: "drained".into(), until: None };
        let exceptions = Exceptions { waivers: [("MV402".into(), waiver)].into(), ..Exceptions::default() };
        let waived = answer_to(vec![point("MV402")], Mode::Enforce, &exceptions, false);
        assert!(waived.is_admitted() && waived.audit["waived"] == "MV402" && waived.warnings == ["MV402 is waived: drained"]);
    }

    #[test]
    fn a_missing_declaration_is_a_warning_in_a_dry_run_and_an_object_otherwise() {
        let missing = Point { missing: Some(json!({"kind": "GuardedUpgrade"})), ..point("MV201") };
        assert!(answer_to(vec![missing.clone()], Mode::Enforce, &Exceptions::default(), true).is_admitted());
        assert!(!answer_to(vec![missing.clone(), point("MV205")], Mode::Enforce, &Exceptions::default(), true).is_admitted());
        assert!(
            answer_to(vec![missing], Mode::Enforce, &Exceptions::default(), false)
                .refused
                .unwrap()
                .contains(r#"echo '{"kind":"GuardedUpgrade"}' | kubectl apply -f -"#)
        );
    }

    #[test]
    fn a_rule_is_one_line_however_often_it_speaks() {
        let said = |n: usize| Point { severity: Severity::Warning, message: format!("value {n}"), ..point("MV604") };
        let answer = answer_to(
            (0..12).map(said).chain([Point { severity: Severity::Warning, ..point("MV216") }]).collect(),
            Mode::Enforce,
            &Exceptions::default(),
            false,
        );
        assert_eq!(answer.warnings, ["MV216: what is the matter", "MV604: 12 times, first: value 0"]);
    }

    #[test]
    fn break_glass_lets_pass_and_leaves_who_and_why() {
        let glass = BreakGlass { reason: "INC-7".into(), until: "2026-11-21T13:00:00Z".parse().unwrap() };
        let passed = answer_to(vec![point("MV205")], Mode::Enforce, &Exceptions { break_glass: Some(glass), ..Exceptions::default() }, false);
        assert!(passed.is_admitted() && passed.audit["break-glass"].starts_with("ada: INC-7"), "{passed:?}");
    }

    #[test]
    fn an_object_to_add_is_whole_and_what_it_claims_is_done_first() {
        let object = crate::api::guarded_upgrade_acknowledging("db", "m", "2.3.11", &["MV503 <reference>".into()]);
        let declarable = Point { missing: Some(object.clone()), message: "long ".repeat(400), next: "Copy the data. ".repeat(60), ..point("MV503") };
        let text = answer_to(vec![declarable.clone()], Mode::Enforce, &Exceptions::default(), false).refused.unwrap();
        let written = text.split("echo '").nth(1).unwrap().split('\'').next().unwrap();
        assert_eq!(serde_json::from_str::<Value>(written).unwrap(), object);
        assert!(text.find("Copy the data").unwrap() < text.find("When it is done, say where: echo '").unwrap() && text.len() < 1100, "{text}");
        // What nothing opens is told first, since the declaration alone would not help.
        let text = answer_to(vec![declarable.clone(), point("MV999")], Mode::Enforce, &Exceptions::default(), false).refused.unwrap();
        assert!(text.starts_with("MV999: ") && text.contains("Also: MV503"), "{text}");
        let dry = answer_to(vec![declarable], Mode::Enforce, &Exceptions::default(), true);
        assert!(dry.warnings[0].starts_with("MV503: declare GuardedUpgrade m to 2.3.11 first. long"), "{dry:?}");
    }

    #[test]
    fn a_first_step_is_whole_and_rules_without_a_page_name_none() {
        assert_eq!(first_step("Go there first:\n  helm upgrade m\nThen on.\nMore."), "Go there first: helm upgrade m Then on.");
        assert_eq!(first_step("Do this.\nThen that."), "Do this.");
        assert!(!answer_to(vec![point("MV711")], Mode::Enforce, &Exceptions::default(), false).refused.unwrap().contains("explain"));
        for rule in Policies::embedded().rules() {
            for remedy in rule.outcomes.iter().filter_map(|outcome| outcome.remedy.as_ref()).chain([&rule.remedy]) {
                let text = serde_json::to_value(remedy).unwrap();
                let step = first_step(text.as_str().unwrap());
                assert!(!step.is_empty() && !step.ends_with([':', ',']), "{}: {step}", rule.id);
            }
        }
    }

    #[test]
    fn a_refusal_stays_short() {
        let long = Point { message: "é".repeat(3000), next: "x".repeat(3000), ..point("MV205") };
        let text = answer_to(vec![long; 40], Mode::Enforce, &Exceptions::default(), false).refused.unwrap();
        assert!(text.len() < 1400, "{}", text.len());
    }
}
