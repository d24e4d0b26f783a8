//! What a gate answers, and how it is written back as an AdmissionReview.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The API server cuts a warning after this many bytes (`warning` header of the API).
const MAX_WARNING_BYTES: usize = 256;

/// The API server cuts all warnings of an answer to this many bytes together, each of them to fewer then.
const MAX_WARNINGS_BYTES: usize = 4096;

/// One finding in `status.details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The rule's id.
    pub rule: String,
    /// Its message.
    pub message: String,
    /// JSON path of the field, `spec.values.messageQueue`.
    pub field: Option<String>,
}

/// A gate's answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The refusal's sentence: rule, cause and next step; absent: admitted.
    pub refused: Option<String>,
    /// Findings behind a refusal.
    pub causes: Vec<Cause>,
    /// Shown to the user by kubectl, Helm and the GitOps tools.
    pub warnings: Vec<String>,
    /// What is put in.
    pub patch: json_patch::Patch,
    /// Written to the audit log, below the webhook's name.
    pub audit: BTreeMap<String, String>,
}

impl Answer {
    /// Admitted, nothing to say.
    #[must_use]
    pub fn admitted() -> Self {
        Self::default()
    }

    /// Whether the request passes.
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        self.refused.is_none()
    }

    /// The AdmissionReview that answers the request `uid`.
    #[must_use]
    pub fn review(&self, uid: &str) -> Value {
        let mut response = Map::new();
        response.insert("uid".into(), json!(uid));
        response.insert("allowed".into(), json!(self.is_admitted()));
        if let Some(message) = &self.refused {
            let causes: Vec<Value> = self.causes.iter().map(cause).collect();
            response.insert("status".into(), json!({"code": 403, "reason": "Forbidden", "message": message, "details": {"causes": causes}}));
        }
        if !self.warnings.is_empty() {
            response.insert("warnings".into(), json!(told(&self.warnings)));
        }
        if self.is_admitted() && !self.patch.0.is_empty() {
            let patch = serde_json::to_vec(&self.patch).unwrap_or_default();
            response.insert("patchType".into(), json!("JSONPatch"));
            response.insert("patch".into(), json!(STANDARD.encode(patch)));
        }
        if !self.audit.is_empty() {
            response.insert("auditAnnotations".into(), json!(self.audit));
        }
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
    }
}

/// The warnings as they are shown whole: each once, and so many as the API server passes on.
fn told(warnings: &[String]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut room = MAX_WARNINGS_BYTES;
    for text in warnings.iter().map(|text| cut(text, MAX_WARNING_BYTES)) {
        if text.len() <= room && !told.contains(&text) {
            room -= text.len();
            told.push(text);
        }
    }
    told
}

fn cause(cause: &Cause) -> Value {
    json!({"reason": cause.rule, "message": cause.message, "field": cause.field})
}

/// The head of a text, cut at a word's end where there is one near.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let head = text.get(..text.floor_char_boundary(bytes.saturating_sub(3))).unwrap_or_default();
    let is_whole = text.get(head.len()..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
    let at_word = if is_whole { None } else { head.rfind(char::is_whitespace).filter(|at| at * 2 > head.len()) };
    let head = at_word.and_then(|at| head.get(..at)).unwrap_or(head);
    format!("{}...", head.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '(')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_its_causes_and_no_patch() {
        let cause = Cause { rule: "MV205".into(), message: "stop at 2.5.16".into(), field: Some("spec.values".into()) };
        let answer = Answer { refused: Some("MV205: no".into()), causes: vec![cause], ..Answer::default() };
        let review = answer.review("u");
        assert_eq!(review["response"]["status"]["details"]["causes"][0]["reason"], "MV205");
        assert_eq!(review["response"]["allowed"], false);
        assert!(review["response"].get("patch").is_none());
    }

    #[test]
    fn a_warning_is_cut_between_characters() {
        let answer = Answer { warnings: vec!["é".repeat(200)], ..Answer::default() };
        let text = answer.review("u")["response"]["warnings"][0].as_str().unwrap().to_owned();
        assert!(text.len() <= MAX_WARNING_BYTES && text.len() > MAX_WARNING_BYTES - 3 && text.ends_with("é..."), "{text}");
    }

    #[test]
    fn all_warnings_together_fit_what_the_api_server_passes_on_and_none_is_said_twice() {
        let warnings: Vec<String> = (0..40).flat_map(|n| [format!("{n:03}{}", "x".repeat(300)), "twice".into()]).collect();
        let review = Answer { warnings, ..Answer::default() }.review("u");
        let told: Vec<&str> = review["response"]["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        assert!(told.iter().map(|text| text.len()).sum::<usize>() <= 4096 && told.len() == 16, "{}", told.len());
        assert_eq!(told.iter().filter(|text| **text == "twice").count(), 1);
    }

    #[test]
    fn a_warning_is_cut_at_the_end_of_a_word_and_says_so() {
        assert_eq!(cut("rootCoordinator, queryCoordinator are on", 28), "rootCoordinator...");
        assert_eq!(cut("claims of an earlier release", 15), "claims of an...");
        assert_eq!(cut("claims of an earlier", 20), "claims of an earlier");
    }
}
