//! What people may say to be let through: modes of a namespace, waivers with reason and expiry, and break-glass.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

/// The label of a namespace that says how verdicts on it are taken.
pub const MODE_LABEL: &str = "guard.milvus-guard.dev/mode";

/// The annotation with waivers: `MV402 until=2027-01-31 reason="moved on friday"`, several parted by `;`.
pub const ALLOW_ANNOTATION: &str = "guard.milvus-guard.dev/allow";

/// The annotation that lets everything through: `until=2026-11-22T10:00:00Z reason="INC-7"`.
pub const BREAK_GLASS_ANNOTATION: &str = "guard.milvus-guard.dev/break-glass";

/// The longest that break-glass may last, in days.
const MAX_BREAK_GLASS_DAYS: i64 = 7;

/// Waivers that are read of one object.
const MAX_WAIVERS: usize = 64;

/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 200;

/// How verdicts are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Errors are refused, changes are held.
    #[default]
    Enforce,
    /// Everything passes; what would be refused or held is a warning.
    Warn,
    /// Everything passes unsaid; the audit log has it.
    Audit,
}

impl Mode {
    /// Reads the word of a label.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "enforce" => Some(Self::Enforce),
            "warn" => Some(Self::Warn),
            "audit" => Some(Self::Audit),
            _ => None,
        }
    }

    /// The mode of a namespace, or the default where it says none.
    #[must_use]
    pub fn of_namespace(namespace: Option<&Value>, default: Self) -> Self {
        namespace.and_then(|namespace| crate::cluster::label(namespace, MODE_LABEL)).and_then(Self::parse).unwrap_or(default)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Audit => "audit",
        }
    }
}

/// A waiver in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// The rule.
    pub rule: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// The last moment that it counts; for ever where none is given.
    pub until: Option<Timestamp>,
}

/// Everything is let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// Why.
    pub reason: Arc<str>,
    /// Until when.
    pub until: Timestamp,
}

/// What is said on the objects that a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exceptions {
    /// Waivers by rule.
    pub waivers: BTreeMap<Arc<str>, Waiver>,
    /// Break-glass, if it is in force.
    pub break_glass: Option<BreakGlass>,
    /// What was said and does not count, in words for the user.
    pub notes: Vec<String>,
}

impl Exceptions {
    /// Reads the annotations of some objects at a moment.
    #[must_use]
    pub fn read<'v>(objects: impl IntoIterator<Item = &'v Value>, now: Timestamp) -> Self {
        let mut found = Self::default();
        for object in objects {
            let annotation = |name| crate::cluster::annotation(object, name);
            if let Some(text) = annotation(ALLOW_ANNOTATION) {
                found.add_waivers(text, now);
            }
            if let Some(text) = annotation(BREAK_GLASS_ANNOTATION) {
                found.add_break_glass(text, now);
            }
        }
        found
    }

    /// With one more note for the user.
    #[must_use]
    pub(super) fn noting(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    fn add_waivers(&mut self, text: &str, now: Timestamp) {
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()).take(MAX_WAIVERS) {
            let (rule, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
            let is_rule = rule.strip_prefix("MV").is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
            if !is_rule {
                self.notes.push(format!("a waiver in {ALLOW_ANNOTATION} begins with no rule id, so it does not count"));
                continue;
            }
            match terms(rest) {
                Ok(Terms { until: Some(until), .. }) if until < now => self.notes.push(format!("the waiver of {rule} expired")),
                Ok(Terms { reason: Some(reason), until }) => {
                    self.waivers.insert(rule.into(), Waiver { rule: rule.into(), reason, until });
                }
                Ok(Terms { reason: None, .. }) => self.notes.push(format!("the waiver of {rule} gives no reason, so it does not count")),
                Err(wrong) => self.notes.push(format!("the waiver of {rule} does not count: {wrong}")),
            }
        }
    }

    fn add_break_glass(&mut self, text: &str, now: Timestamp) {
        let latest = now.checked_add(jiff::SignedDuration::from_hours(24 * MAX_BREAK_GLASS_DAYS)).unwrap_or(now);
        match terms(text) {
            Ok(Terms { reason: Some(reason), until: Some(until) }) if until >= now && until <= latest => self.break_glass = Some(BreakGlass { reason, until }),
            Ok(Terms { until: Some(until), .. }) if until < now => self.notes.push("break-glass expired".into()),
            Ok(Terms { reason: Some(_), until: Some(_) }) => self.notes.push(format!("break-glass for more than {MAX_BREAK_GLASS_DAYS} days does not count")),
            Ok(_) => self.notes.push("break-glass needs until=2027-01-31T10:00:00Z and reason=\"...\", so it does not count".into()),
            Err(wrong) => self.notes.push(format!("break-glass does not count: {wrong}")),
        }
    }
}

struct Terms {
    reason: Option<Arc<str>>,
    until: Option<Timestamp>,
}

/// Reads `until=2027-01-31 reason="..."` in any order.
fn terms(text: &str) -> Result<Terms, &'static str> {
    let mut terms = Terms { reason: None, until: None };
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or("it is not of the form key=value")?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        match key.trim() {
            "until" => terms.until = Some(moment(value).ok_or("until is neither a date (2027-01-31) nor a time (2027-01-31T10:00:00Z)")?),
            "reason" => {
                terms.reason = (!value.trim().is_empty()).then(|| value.trim().chars().filter(|c| !c.is_control()).take(MAX_REASON).collect::<String>().into())
            }
            _ => return Err("it has a key other than until and reason"),
        }
        rest = after.trim_start();
    }
    Ok(terms)
}

/// A time (RFC 3339), or a date, whose whole day counts.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let date: Date = text.parse().ok()?;
    Some(date.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(annotations: &Value) -> Exceptions {
        Exceptions::read([&json!({"metadata": {"annotations": annotations}})], "2026-11-21T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn waivers_need_a_reason_and_end() {
        let text =
            "MV402 until=2026-11-21 reason=\"queue drained\"; MV508 reason=resized; MV601; MV110 until=2026-11-20 reason=x; nonsense; MV1 until=soon reason=x";
        let found = read(&json!({ALLOW_ANNOTATION: text}));
        assert_eq!(
            found.waivers.values().map(|waiver| format!("{}: {}", waiver.rule, waiver.reason)).collect::<Vec<_>>(),
            ["MV402: queue drained", "MV508: resized"]
        );
        assert_eq!(found.notes.len(), 4, "{:?}", found.notes);
    }

    #[test]
    fn break_glass_needs_a_reason_and_a_near_end() {
        let ok = read(&json!({BREAK_GLASS_ANNOTATION: "reason=\"INC-7\" until=2026-11-21T13:00:00Z"}));
        assert_eq!(ok.break_glass.unwrap().reason, "INC-7".into());
        for bad in ["reason=x", "until=2026-11-21T13:00:00Z", "until=2026-11-21T11:00:00Z reason=x", "until=2027-11-21 reason=x", "please", "reason=\"x"] {
            let found = read(&json!({BREAK_GLASS_ANNOTATION: bad}));
            assert!(found.break_glass.is_none() && found.notes.len() == 1, "{bad}");
        }
    }

    #[test]
    fn the_mode_is_the_label_or_the_default() {
        let namespace = json!({"metadata": {"labels": {MODE_LABEL: "audit"}}});
        assert_eq!(Mode::of_namespace(Some(&namespace), Mode::Enforce), Mode::Audit);
        assert_eq!(Mode::of_namespace(Some(&json!({"metadata": {"labels": {MODE_LABEL: "off"}}})), Mode::Warn), Mode::Warn);
    }
}
