//! Seeded loops over hostile sources and places: no format may panic, and text must stay harmless and bounded.

use std::collections::BTreeMap;

use super::fixtures::{self, Files};
use super::{github, json, sarif, text};
use crate::model::finding::{Label, Report, Severity};

/// xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

const PIECES: &[&str] = &[
    "key: value",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\0",
    "\u{1b}[31m",
    "\u{202e}",
    "\u{2066}",
    "é",
    "e\u{301}",
    "日本語",
    "👩‍👩‍👧",
    "\u{200b}",
    "\u{feff}",
    "  ",
    "\n\n\n",
    "\u{9b}",
    "\u{2028}",
    "a",
    "%",
    "::",
    "\u{1160}",
    "\u{fe0f}",
    "…",
];

fn text(random: &mut Random, pieces: usize) -> String {
    (0..random.below(pieces + 1)).map(|_| *random.pick(PIECES)).collect()
}

fn position(random: &mut Random) -> (u32, u32) {
    let number = |random: &mut Random| match random.below(12) {
        0 => 0,
        1 => u32::MAX,
        2 => 100_000,
        _ => u32::try_from(random.below(30)).unwrap(),
    };
    (number(random), number(random))
}

fn check(report: &Report, files: &Files, width: usize) -> usize {
    let mut length = 0;
    for color in [false, true] {
        let mut out = Vec::new();
        text::write(&mut out, report, files, text::Style { color, width, wrap: color }).unwrap();
        let out = String::from_utf8(out).unwrap();
        let shown = if color { anstream::adapter::strip_str(&out).to_string() } else { out };
        let bad =
            shown.chars().find(|c| *c != '\n' && (c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')));
        assert_eq!(bad, None, "{shown:?}");
        length = shown.len();
    }
    let mut out = Vec::new();
    json::write(&mut out, report, &fixtures::tool()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&out).unwrap();
    out.clear();
    sarif::write(&mut out, report, &fixtures::tool(), &fixtures::rules()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&out).unwrap();
    out.clear();
    github::write(&mut out, report).unwrap();
    let commands = String::from_utf8(out).unwrap();
    assert_eq!(commands.lines().count(), report.findings.len() + report.not_checked.len() + 1);
    length
}

#[test]
fn no_source_and_no_place_makes_a_format_panic() {
    let mut random = Random(0x6d69_6c76_7573);
    for _ in 0..3000 {
        let files = Files(BTreeMap::from([("a", text(&mut random, 40).into()), ("b", text(&mut random, 8).into())]));
        let locations: Vec<Label> = (0..random.below(6))
            .map(|_| {
                let file = *random.pick(&["a", "a", "a", "b", "gone"]);
                let (start, end) = (position(&mut random), position(&mut random));
                fixtures::label(file, start, if random.below(2) == 0 { (start.0, end.1) } else { end }, &text(&mut random, 3))
            })
            .collect();
        let mut finding = fixtures::finding("MV602", "dead-value", Severity::Error, locations);
        finding.message = text(&mut random, 6);
        finding.remedy = text(&mut random, 6);
        let mut report = Report { findings: vec![finding], ..fixtures::report() };
        report.not_checked[1].place = Some(fixtures::place(if random.below(2) == 0 { "a" } else { "b" }, position(&mut random), position(&mut random)));
        check(&report, &files, random.below(200));
    }
}

#[test]
fn large_sources_give_small_excerpts() {
    let line = "x".repeat(10_000_000);
    let lines = "a: b\n".repeat(1_000_000);
    let files = Files(BTreeMap::from([("line", line.into()), ("lines", lines.into())]));
    let findings = (0..200)
        .map(|i| {
            let far = u32::try_from(i * 50_000 + 1).unwrap();
            let locations = vec![
                fixtures::label("line", (1, far), (1, far + 9_000_000), "long"),
                fixtures::label("lines", (far % 1_000_000, 4), (far % 1_000_000, 5), "deep"),
                fixtures::label("lines", (1, 1), (1_000_000, 2), "all"),
            ];
            fixtures::finding("MV602", "dead-value", Severity::Error, locations)
        })
        .collect();
    let report = Report { findings, ..Report::default() };
    assert!(check(&report, &files, 120) < 200 * 2000);
}
