//! 200 generated changes, judged by the rules and by a table of its own: what upgrade guides, release notes and chart sources say, written without
//! looking at the rule files. A difference is an error in one of them. The decisions that a difference called for stand at the rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::finding::Severity::{self, Error, Info, Warning};
use milvus_guard::model::version::{ChartVersion, ImageTag, MilvusVersion};

use crate::forms::{Form, State, Verdict, shown, values};

const SEED: u64 = 20;
const CHANGES: usize = 200;

/// How the release is set up; nothing else is set by the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topology {
    /// A cluster with whatever Pulsar the chart brings.
    Cluster,
    /// The same with separate coordinators, written out.
    Separate,
    Standalone,
    /// A cluster on the chart's Kafka; Pulsar 2 is switched off, Pulsar 3 forgotten.
    Kafka,
    /// A cluster on a Pulsar elsewhere; both built-in ones are switched off.
    ExternalPulsar,
}
use Topology::{Cluster, ExternalPulsar, Kafka, Separate, Standalone};

impl Topology {
    const fn values(self) -> &'static str {
        match self {
            Cluster => "",
            Separate => {
                "mixCoordinator.enabled: false; rootCoordinator.enabled: true; queryCoordinator.enabled: true; dataCoordinator.enabled: true; indexCoordinator.enabled: true"
            }
            Standalone => "cluster.enabled: false; etcd.replicaCount: 1; minio.mode: standalone; pulsar.enabled: false",
            Kafka => "pulsar.enabled: false; kafka.enabled: true",
            ExternalPulsar => {
                "pulsar.enabled: false; pulsarv3.enabled: false; externalPulsar.enabled: true; externalPulsar.host: pulsar.example.org; externalPulsar.port: 6650"
            }
        }
    }

    fn is_cluster(self) -> bool {
        self != Standalone
    }

    /// Nothing is said of the queue: it is the Pulsar that the chart brings.
    fn is_on_pulsar_of_chart(self) -> bool {
        matches!(self, Cluster | Separate)
    }
}

/// One side of a change.
#[derive(Debug, Clone)]
struct Side {
    chart: ChartVersion,
    tag: Option<String>,
    milvus: MilvusVersion,
    topology: Topology,
}

impl Side {
    fn new(chart: ChartVersion, tag: Option<String>, topology: Topology) -> Self {
        let of_chart = Catalogue::embedded().default_tag(&chart).unwrap();
        let milvus = ImageTag::parse(tag.as_deref().unwrap_or(of_chart)).version().unwrap();
        Self { chart, tag, milvus, topology }
    }

    fn state(&self) -> State {
        let tag = self.tag.as_ref().map(|tag| format!("; image.all.tag: {tag}")).unwrap_or_default();
        State { chart: self.chart.to_string(), values: values(&format!("{}{tag}", self.topology.values())) }
    }

    /// Pulsar 2 is the queue and the chart runs it: the default of a cluster before 4.2.27.
    fn is_on_pulsar_2(&self) -> bool {
        self.topology.is_on_pulsar_of_chart() && self.chart < chart(4, 2, 27)
    }

    /// The chart runs a Pulsar 3, wanted or not: the default since 4.2.27, of standalone too.
    fn has_pulsar_3(&self) -> bool {
        self.topology != ExternalPulsar && self.chart >= chart(4, 2, 27)
    }

    /// Separate coordinators run: written out, or the default before 4.2.4.
    fn has_separate_coordinators(&self) -> bool {
        self.topology == Separate || (self.topology.is_cluster() && self.chart < chart(4, 2, 4))
    }

    /// The line, `(2, 6)`; a candidate of a line has its architecture, so gates at a new line count it in.
    fn line(&self) -> (u32, u32) {
        self.milvus.line()
    }
}

/// A change.
#[derive(Debug)]
struct Step {
    before: Side,
    after: Side,
    form: Form,
}

impl Step {
    fn renders_as_install(&self) -> bool {
        self.form == Form::ArgoCd
    }

    fn stays_cluster(&self) -> bool {
        self.before.topology.is_cluster() && self.after.topology.is_cluster()
    }

    fn stays_standalone(&self) -> bool {
        !self.before.topology.is_cluster() && !self.after.topology.is_cluster()
    }

    fn stays_on_pulsar_of_chart(&self) -> bool {
        self.before.topology.is_on_pulsar_of_chart() && self.after.topology.is_on_pulsar_of_chart()
    }

    /// Milvus goes up into this line or beyond.
    fn enters(&self, line: (u32, u32)) -> bool {
        self.before.line() < line && line <= self.after.line()
    }

    /// Milvus goes down out of this line.
    fn leaves(&self, line: (u32, u32)) -> bool {
        self.after.line() < line && line <= self.before.line()
    }

    /// The chart goes up to this version or beyond.
    fn chart_reaches(&self, version: ChartVersion) -> bool {
        self.before.chart < version && version <= self.after.chart
    }

    /// What the queue may be before and after. Chart 5 looks up what a standalone runs, unless it is rendered without a cluster (chart-eras, section 4).
    fn queues(&self) -> [&'static [&'static str]; 2] {
        let looks_up = !self.renders_as_install();
        let of = |side: &Side, is_after: bool| -> &'static [&'static str] {
            match side.topology {
                Cluster | Separate | ExternalPulsar => &["pulsar"],
                Kafka => &["kafka"],
                Standalone if side.chart < chart(5, 0, 0) => &["rocksmq"],
                Standalone if !looks_up || (is_after && self.before.topology.is_cluster()) => &["woodpecker"],
                Standalone if is_after && self.before.chart < chart(5, 0, 0) => &["rocksmq"],
                Standalone => &["rocksmq", "woodpecker"],
            }
        };
        [of(&self.before, false), of(&self.after, true)]
    }
}

const fn chart(major: u32, minor: u32, patch: u32) -> ChartVersion {
    ChartVersion::new(major, minor, patch)
}

const fn milvus(major: u32, minor: u32, patch: u32) -> MilvusVersion {
    MilvusVersion::new(major, minor, patch)
}

fn when(condition: bool, severity: Severity) -> Option<Severity> {
    condition.then_some(severity)
}

/// A row: the id, and when it speaks (before precedence).
type Row = (&'static str, fn(&Step) -> Option<Severity>);

/// The ids that are compared: all of this table.
const TABLE: &[Row] = &[
    ("MV107", |s| {
        let candidate: MilvusVersion = "2.6.0-rc1".parse().unwrap();
        let sides = [s.before.milvus, s.after.milvus];
        if sides.contains(&candidate) { Some(Error) } else { when(sides.iter().any(MilvusVersion::is_pre_release), Warning) }
    }),
    ("MV110", |s| when(s.after.chart < s.before.chart, Error)),
    ("MV114", |s| {
        let of = s.after.chart.clone();
        let line = s.after.line();
        let fits_not = (of >= chart(4, 2, 0) && line <= (2, 3))
            || (of >= chart(5, 0, 0) && line < (2, 6))
            || (of < chart(5, 0, 0) && line >= (2, 6))
            || (of < chart(4, 2, 0) && line >= (2, 5));
        when(fits_not, Error)
    }),
    ("MV201", |s| when(s.enters((2, 2)) && s.before.line() == (2, 1), Error)),
    ("MV202", |s| when(s.enters((2, 2)) && s.before.line() < (2, 1), Error)),
    ("MV204", |s| when(s.enters((2, 3)) && s.before.milvus < milvus(2, 2, 16), Warning)),
    ("MV205", |s| when(s.enters((2, 6)) && s.before.milvus < milvus(2, 5, 16), Error)),
    ("MV206", |s| when(s.stays_cluster() && s.before.has_separate_coordinators() && s.enters((2, 6)), Error)),
    // Chart 4 switches the index node on and streaming off.
    ("MV207", |s| {
        let has_roles_of_before = s.after.topology.is_cluster() && (s.after.chart < chart(5, 0, 0) || s.after.has_separate_coordinators());
        when(has_roles_of_before && s.after.line() >= (2, 6), Error)
    }),
    // Decided: a candidate of 2.6 is no 2.6 to come from.
    ("MV208", |s| when(s.enters((3, 0)) && s.before.milvus < milvus(2, 6, 0), Error)),
    ("MV209", |s| when(s.enters((3, 0)), if s.before.chart == s.after.chart { Warning } else { Error })),
    // Decided: the other doors (Pulsar 2 to 3, MinIO's backend, etcd's subchart) ask for a backup or a copy by their own rules.
    ("MV210", |s| if s.enters((3, 0)) { Some(Error) } else { when(s.enters((2, 2)) || s.enters((2, 6)), Warning) }),
    ("MV211", |s| when([(2, 2), (2, 6), (3, 0)].iter().any(|line| s.leaves(*line)), Error)),
    ("MV212", |s| when(s.after.milvus < s.before.milvus, if s.after.line() < s.before.line() { Warning } else { Info })),
    ("MV213", |s| when(s.before.topology.is_cluster() != s.after.topology.is_cluster(), Error)),
    // `cluster.enabled: false` is gone, and the default is a cluster.
    ("MV214", |s| when(!s.before.topology.is_cluster() && s.after.topology.is_cluster(), Error)),
    ("MV215", known_bad),
    ("MV216", |s| {
        let fixed = match s.after.line() {
            (2, 6) => milvus(2, 6, 5),
            (2, 5) => milvus(2, 5, 21),
            _ => milvus(2, 4, 24),
        };
        when(s.after.milvus < fixed, Warning)
    }),
    ("MV218", |s| {
        let skipped = s.before.line() >= (2, 2) && s.before.line() < s.after.line() && s.after.line() < (2, 6) && s.after.line().1 >= s.before.line().1 + 2;
        when(skipped, Info)
    }),
    ("MV219", |s| when(s.before.line() == (2, 5) && s.after.line() == (2, 6) && s.after.milvus < milvus(2, 6, 16), Warning)),
    // Decided: what is left open after counts; a user who takes the settings out on the way leaves it open.
    ("MV305", |s| when(s.stays_cluster() && s.after.topology != Separate && s.chart_reaches(chart(4, 2, 4)), Warning)),
    // Decided: what the chart looked up in the cluster is one of two; where the change is to one of them, that is a warning.
    ("MV401", |s| match s.queues() {
        [before, after] if !before.iter().any(|queue| after.contains(queue)) => Some(Error),
        [before, after] => when(before.len() > after.len(), Warning),
    }),
    ("MV402", |s| when(moves_to_pulsar_3(s), Error)),
    ("MV403", |s| when(s.after.is_on_pulsar_2() && s.after.chart >= chart(4, 2, 21), Error)),
    ("MV404", |s| {
        let was_off = if s.after.is_on_pulsar_2() { !s.before.is_on_pulsar_2() } else { !s.before.has_pulsar_3() };
        when(s.after.topology.is_on_pulsar_of_chart() && was_off && !s.renders_as_install(), Error)
    }),
    // Nobody here asks for Pulsar 3 by hand: where it comes, it comes by default.
    ("MV405", moves_by_hand),
    ("MV406", |s| when(s.stays_standalone() && s.chart_reaches(chart(5, 0, 0)), if s.renders_as_install() { Error } else { Warning })),
    ("MV408", |s| when(matches!(s.after.topology, Kafka | Standalone) && s.after.has_pulsar_3(), Warning)),
    ("MV413", |s| {
        let is_external = [&s.before, &s.after].map(|side| side.topology == ExternalPulsar);
        when(s.queues() == [&["pulsar"]; 2] && is_external[0] != is_external[1], Error)
    }),
    ("MV503", |s| when(outruns_minio(s), Error)),
    ("MV506", |s| when(s.chart_reaches(chart(5, 0, 5)), Warning)),
    ("MV516", |s| {
        when(s.stays_on_pulsar_of_chart() && s.before.chart <= chart(3, 0, 10) && s.after.chart >= chart(3, 0, 12) && s.after.is_on_pulsar_2(), Error)
    }),
];

/// The first silences the others: one cause, one finding.
const PRECEDENCE: &[(&str, &[&str])] = &[
    // Decided: what speaks of the same step of Milvus (its coordinators, its backup, skipped minors, a better patch, the pair with the chart) waits until
    // the missing stop is made; what speaks of the chart's other parts does not wait.
    ("MV202", &["MV201", "MV204", "MV205", "MV206", "MV208", "MV209", "MV210", "MV218", "MV219"]),
    ("MV201", &["MV204", "MV205", "MV206", "MV208", "MV209", "MV218", "MV219"]),
    // Decided: a required stop goes before the recommended one, so that a warning never hides an error.
    ("MV205", &["MV204", "MV206", "MV208", "MV209", "MV210", "MV218", "MV219"]),
    ("MV208", &["MV204", "MV209", "MV210", "MV218", "MV219"]),
    ("MV204", &["MV218", "MV219"]),
    // Decided: the image of another era is why the values of the chart do not fit it.
    ("MV114", &["MV207"]),
    ("MV207", &["MV206"]),
    ("MV211", &["MV212"]),
    // Decided: with the mode the queue changes as a matter of course; the switch itself is what to take back.
    ("MV213", &["MV401", "MV408"]),
    ("MV214", &["MV213", "MV401", "MV408"]),
    ("MV215", &["MV216", "MV219"]),
    ("MV216", &["MV219"]),
    ("MV402", &["MV401", "MV404", "MV405"]),
    ("MV405", &["MV401", "MV404"]),
    // Decided: where the Pulsar of the chart has no metadata, that it is another one than before comes second.
    ("MV404", &["MV401", "MV413"]),
    ("MV406", &["MV401"]),
];

/// A cluster with Pulsar 2 by default comes to a chart with Pulsar 3 by default.
fn moves_to_pulsar_3(s: &Step) -> bool {
    s.before.is_on_pulsar_2() && s.after.topology.is_on_pulsar_of_chart() && s.after.has_pulsar_3()
}

fn moves_by_hand(_: &Step) -> Option<Severity> {
    None
}

/// MinIO of 2023 (chart 4.0.13) cannot read what a standalone MinIO of before wrote.
fn outruns_minio(s: &Step) -> bool {
    s.stays_standalone() && s.chart_reaches(chart(4, 0, 13))
}

/// Releases with known defects, as their successors' release notes tell. Decided: a pre-release is told as such (MV107), not by the defects of its line;
/// a vulnerability (MV216) is told of both.
fn known_bad(s: &Step) -> Option<Severity> {
    let (from, to) = (s.before.milvus, s.after.milvus);
    let is_patch = |line, patches: std::ops::RangeInclusive<u32>| to.line() == line && !to.is_pre_release() && patches.contains(&to.patch());
    let rows = [
        when(milvus(2, 2, 0) <= from && from < milvus(2, 2, 3) && is_patch((2, 2), 3..=4), Error),
        when(from.line() == (2, 2) && from < to && to == milvus(2, 2, 7), Error),
        // Decided: the release notes of 2.2.6 speak of 2.2; what migrates by way of 2.1 must not be warned of 2.1.
        when(is_patch((2, 2), 0..=5), Warning),
        when(from.line() == (2, 2) && is_patch((2, 3), 0..=3), Warning),
        when(is_patch((2, 3), 0..=11), Warning),
        when(to == milvus(2, 4, 13), Error),
        when(to == milvus(2, 4, 2) || to == milvus(2, 4, 16), Warning),
        when(is_patch((2, 5), 0..=21), Warning),
        when(to == milvus(2, 5, 14), Error),
    ];
    rows.into_iter().flatten().max()
}

/// What the table says.
fn expected(step: &Step) -> Verdict {
    let mut verdict: Verdict = TABLE.iter().filter_map(|(id, row)| Some(((*id).to_owned(), row(step)?))).collect();
    let said: Vec<String> = verdict.keys().cloned().collect();
    for (_, silenced) in PRECEDENCE.iter().filter(|(winner, _)| said.iter().any(|id| id == winner)) {
        verdict.retain(|id, _| !silenced.contains(&id.as_str()));
    }
    verdict
}

/// Numbers from a seed: the same on every machine (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }

    fn topology(&mut self) -> Topology {
        [Cluster, Cluster, Cluster, Separate, Standalone, Standalone, Standalone, Kafka, ExternalPulsar][self.below(9)]
    }
}

/// Tags that no chart has by default.
const OTHER_TAGS: [&str; 9] = ["v2.2.15", "v2.2.16", "v2.5.16", "v2.5.22", "v2.6.0-rc1", "v2.6.16", "v2.6.20", "v3.0.0-beta", "v3.0.0"];

fn generated() -> Vec<Step> {
    let charts: Vec<ChartVersion> = Catalogue::embedded().published().map(|entry| entry.version.clone()).filter(|version| *version >= chart(3, 0, 0)).collect();
    let mut tags: Vec<String> = charts.iter().filter_map(|version| Catalogue::embedded().default_tag(version)).map(ToString::to_string).collect();
    tags.extend(OTHER_TAGS.iter().flat_map(|tag| [*tag; 4]).map(ToOwned::to_owned));
    let mut dice = Dice(SEED);
    let mut steps = Vec::new();
    while steps.len() < CHANGES {
        let step = draw(&mut dice, &charts, &tags);
        if is_usable(&step) {
            steps.push(step);
        }
    }
    steps
}

fn draw(dice: &mut Dice, charts: &[ChartVersion], tags: &[String]) -> Step {
    // A part of the changes is about the doors of today: the last charts, and mostly tags of 2.5.16 and later.
    let (charts, tags) = if dice.below(3) == 0 { (&charts[charts.len() - 35..], &tags[tags.len() - 28..]) } else { (charts, tags) };
    let first = dice.below(charts.len());
    let second = match dice.below(5) {
        0 | 1 => (first + dice.below(12)).min(charts.len() - 1),
        _ => dice.below(charts.len()),
    };
    // Most changes go up.
    let (before, after) = if dice.below(6) == 0 { (first.max(second), first.min(second)) } else { (first.min(second), first.max(second)) };
    let (before, after) = (charts[before].clone(), charts[after].clone());
    let mut tag = || Some(tags[dice.below(tags.len())].clone());
    let (one, another) = (tag(), tag());
    let (tag_before, tag_after) = match dice.below(8) {
        0 => (None, one),
        1 => (one, None),
        2 => (one.clone(), one),
        3 => (one, another),
        _ => (None, None),
    };
    let topology = dice.topology();
    let topology_after = match (topology, dice.below(6)) {
        (_, 0) => dice.topology(),
        (Separate, 1..=3) => Cluster,
        _ => topology,
    };
    let form = [Form::Flux, Form::ArgoCd][dice.below(2)];
    Step { before: Side::new(before, tag_before, topology), after: Side::new(after, tag_after, topology_after), form }
}

/// Something changes, Kafka is in the chart (3.0.14), and no number is open to doubt: 4.1.24 is a known misprint for a Milvus 2.5 chart, and a chart 3.0.x
/// may be meant as Milvus 3.0.
fn is_usable(step: &Step) -> bool {
    let sides = [&step.before, &step.after];
    step.before.state() != step.after.state()
        && sides.iter().all(|side| side.topology != Kafka || side.chart >= chart(3, 0, 14))
        && sides.iter().all(|side| side.line() < (3, 0) || side.chart >= chart(5, 0, 0))
        && (step.before.line() < (3, 0) || step.after.chart >= chart(4, 0, 0))
        && step.after.chart != chart(4, 1, 24)
}

#[test]
fn verdicts_equal_an_independent_table() {
    let mut fired: BTreeMap<&str, usize> = TABLE.iter().map(|(id, _)| (*id, 0)).collect();
    let mut differences = String::new();
    for (number, step) in generated().iter().enumerate() {
        let Step { before, after, form } = step;
        let (mut verdict, changed) = form.judge(&before.state(), &after.state());
        assert_eq!(changed, 1, "{step:?}");
        verdict.retain(|id, _| fired.contains_key(id.as_str()));
        let expected = expected(step);
        for (id, count) in &mut fired {
            *count += usize::from(expected.contains_key(*id));
        }
        if verdict != expected {
            let side = |side: &Side| format!("{} {} {:?} ({})", side.chart, side.tag.as_deref().unwrap_or("-"), side.topology, side.milvus);
            let only =
                |one: &Verdict, other: &Verdict| shown(&one.iter().filter(|(id, s)| other.get(*id) != Some(s)).map(|(id, s)| (id.clone(), *s)).collect());
            writeln!(
                differences,
                "{number}: {form:?} {} -> {}\n    table only: {}\n    rules only: {}",
                side(before),
                side(after),
                only(&expected, &verdict),
                only(&verdict, &expected)
            )
            .unwrap();
        }
    }
    println!("{fired:?}");
    assert!(differences.is_empty(), "\n{differences}");
    let silent: Vec<_> = fired.iter().filter(|(id, count)| **count == 0 && **id != "MV405").collect();
    assert!(silent.is_empty(), "no generated change calls for {silent:?}");
}
