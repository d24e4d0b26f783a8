//! Documents that mention Milvus and are no readable YAML: said once, whatever form they may have.

use super::context::{Context, join};
use super::{Reading, SourceFile, helmfile};
use crate::model::declaration::{NotChecked, NotCheckedKind};
use crate::model::place::{Place, Position};

/// Gaps of one file beyond this number are one.
const MAX_GAPS: usize = 20;

/// Reports the broken documents of a YAML file that mention Milvus. Templates of charts are no YAML before rendering.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if !file.is_yaml() || is_template(file, context) || helmfile::is_helmfile(file) {
        return reading;
    }
    for broken in file.documents().iter().filter_map(|d| d.as_ref().err()) {
        if reading.gaps.len() >= MAX_GAPS {
            break;
        }
        if !broken.limit && !mentions_milvus(file, broken.bytes.clone()) {
            continue;
        }
        let at = Position { line: broken.at.line, column: broken.at.column };
        let (kind, advice) = if broken.limit { (NotCheckedKind::LimitsExceeded, "split the file") } else { (NotCheckedKind::NotRead, "correct the YAML") };
        let place = Place { file: file.path.clone(), start: at, end: at };
        reading.gaps.push(NotChecked::at(place, kind, &format!("this document cannot be read: {}; {advice}", broken.reason)));
    }
    reading
}

fn mentions_milvus(file: &SourceFile, bytes: std::ops::Range<usize>) -> bool {
    let text = file.text.as_bytes().get(bytes).unwrap_or_default();
    text.windows(6).any(|window| window.eq_ignore_ascii_case(b"milvus"))
}

/// Whether the file is a template of a chart.
fn is_template(file: &SourceFile, context: &Context<'_>) -> bool {
    let mut folder = file.folder();
    while !folder.is_empty() {
        let (above, name) = folder.rsplit_once('/').unwrap_or(("", folder));
        if name == "templates" && join(above, "Chart.yaml").is_some_and(|path| context.exists(&path)) {
            return true;
        }
        folder = above;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fixture::read_with;

    fn gaps(files: &[(&str, &str)]) -> Vec<NotChecked> {
        read_with(read, files).gaps
    }

    #[test]
    fn a_broken_document_that_mentions_milvus_is_a_gap_and_others_are_not() {
        let found = gaps(&[("a.yaml", "a: milvus\n---\nb: *gone # milvus\n---\nc: *gone\n")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place.as_ref().unwrap().start.line, 3);
    }

    #[test]
    fn templates_of_charts_are_no_yaml() {
        assert!(gaps(&[("c/Chart.yaml", ""), ("c/templates/milvus.yaml", "a: [ # milvus\n")]).is_empty());
        assert_eq!(gaps(&[("templates/milvus.yaml", "a: [ # milvus\n")]).len(), 1);
    }
}
