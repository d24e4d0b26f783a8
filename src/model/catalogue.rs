//! What is known of every chart version: dates, status, images, dependencies, all default values, and what the templates read. Embedded, decoded when first asked for.

mod charts;
mod timeline;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, OnceLock};

use self::timeline::{Spot, Timeline};
use super::coalesce::{self, ChartValues};
use super::place::Origin;
use super::range::VersionRange;
use super::truth::Truth;
use super::value::{Lookup, Node, Value, split_path};
use super::version::{ChartVersion, MilvusVersion};

/// The first chart of Milvus 2; charts below are another product.
pub const FIRST_MILVUS_2_CHART: ChartVersion = ChartVersion::new(2, 0, 0);

const CHARTS: &str = include_str!("../../policies/catalogue/charts.tsv");
const DEFAULTS: &str = include_str!("../../policies/catalogue/defaults.txt");
const READS: &str = include_str!("../../policies/catalogue/reads.txt");

/// All known chart versions, oldest first.
#[derive(Debug)]
pub struct Catalogue {
    charts: Vec<ChartEntry>,
    /// Default values by chart, in the order of `charts`.
    built: Vec<OnceLock<Arc<Node>>>,
    defaults: LazyLock<Timeline>,
    reads: LazyLock<Timeline>,
}

/// Whether a chart version can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChartStatus {
    /// In the repository's index.
    Published,
    /// Was in the index once and was taken back.
    Retracted,
    /// Tagged, never in the index.
    TagOnly,
    /// Only ever in the source.
    SourceOnly,
}

/// A chart version.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartEntry {
    /// Its version.
    pub version: ChartVersion,
    /// Its appVersion as in the repository's index.
    pub app: Arc<str>,
    /// The day it was published, `2025-07-02`.
    pub date: Arc<str>,
    /// Whether it can be had.
    pub status: ChartStatus,
    /// The archived repository serves it too.
    pub archived: bool,
    /// Whether its default values are in the catalogue.
    pub has_defaults: bool,
    /// Default image repository, `milvusdb/milvus`.
    pub image_repository: Option<Arc<str>>,
    /// Default image tag, `v2.5.16`: this, not `app`, is what a default install runs.
    pub image_tag: Option<Arc<str>>,
    /// The Milvus version of the default image.
    pub milvus: Option<MilvusVersion>,
    /// `kubeVersion` of its Chart.yaml.
    pub kube_version: Option<Arc<str>>,
    /// Its subcharts.
    pub dependencies: Arc<[Dependency]>,
    /// An oddity, in words.
    pub note: Option<Arc<str>>,
}

/// A subchart of the Milvus chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The subchart's name: `pulsar`.
    pub name: Arc<str>,
    /// Its alias, if it has one: `pulsarv3`.
    pub alias: Option<Arc<str>>,
    /// Its version.
    pub version: Arc<str>,
}

impl Dependency {
    /// The key of its values: the alias, else the name.
    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        self.alias.as_ref().unwrap_or(&self.name)
    }

    /// The value path that switches it on, as the chart's requirements name it: `pulsarv3.enabled`.
    #[must_use]
    pub fn condition(&self) -> String {
        format!("{}.enabled", self.key())
    }
}

/// A path among those that charts since 2.0.0 ever knew.
#[derive(Debug, Clone, Copy)]
pub struct Known<'c> {
    reads: Spot<'c>,
    defaults: Spot<'c>,
}

impl Known<'_> {
    /// One key further down.
    #[must_use]
    pub fn below(self, key: &str) -> Self {
        Self { reads: self.reads.below(key, &FIRST_MILVUS_2_CHART), defaults: self.defaults.below(key, &FIRST_MILVUS_2_CHART) }
    }

    /// Whether the path is known: it, something below it, or a part of it as a whole.
    #[must_use]
    pub fn is_known(self) -> bool {
        self.reads.is_there(&FIRST_MILVUS_2_CHART) || self.defaults.is_there(&FIRST_MILVUS_2_CHART)
    }

    /// Whether everything below is known too.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self.reads, Spot::Whole) || matches!(self.defaults, Spot::Whole)
    }
}

impl ChartEntry {
    /// Whether the repository's index offers it.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.status == ChartStatus::Published
    }

    /// The subchart whose values stand under this key.
    #[must_use]
    pub fn dependency(&self, key: &str) -> Option<&Dependency> {
        self.dependencies.iter().find(|dependency| dependency.key().as_ref() == key)
    }
}

impl Catalogue {
    /// The catalogue in the binary.
    #[must_use]
    pub fn embedded() -> &'static Self {
        static EMBEDDED: LazyLock<Catalogue> = LazyLock::new(|| {
            let charts = charts::read(CHARTS);
            let built = charts.iter().map(|_| OnceLock::new()).collect();
            Catalogue { charts, built, defaults: LazyLock::new(|| Timeline::read(DEFAULTS)), reads: LazyLock::new(|| Timeline::read(READS)) }
        });
        &EMBEDDED
    }

    /// All versions, oldest first.
    #[must_use]
    pub fn versions(&self) -> &[ChartEntry] {
        &self.charts
    }

    /// Versions that can be had, oldest first.
    pub fn published(&self) -> impl DoubleEndedIterator<Item = &ChartEntry> {
        self.charts.iter().filter(|chart| chart.is_published())
    }

    fn index(&self, version: &ChartVersion) -> Option<usize> {
        self.charts.binary_search_by(|chart| chart.version.cmp(version)).ok()
    }

    /// A version, if it is known.
    #[must_use]
    pub fn get(&self, version: &ChartVersion) -> Option<&ChartEntry> {
        self.charts.get(self.index(version)?)
    }

    /// Whether a version can be had; nothing for one that is not known.
    #[must_use]
    pub fn status(&self, version: &ChartVersion) -> Option<ChartStatus> {
        self.get(version).map(|chart| chart.status)
    }

    /// The Milvus version of a chart's default image.
    #[must_use]
    pub fn milvus(&self, version: &ChartVersion) -> Option<MilvusVersion> {
        self.get(version)?.milvus
    }

    /// The default image tag of a chart.
    #[must_use]
    pub fn default_tag(&self, version: &ChartVersion) -> Option<&Arc<str>> {
        self.get(version)?.image_tag.as_ref()
    }

    /// The appVersion of a chart.
    #[must_use]
    pub fn app(&self, version: &ChartVersion) -> Option<&Arc<str>> {
        Some(&self.get(version)?.app)
    }

    /// The subcharts of a chart; none for one that is not known.
    #[must_use]
    pub fn dependencies(&self, version: &ChartVersion) -> &[Dependency] {
        self.get(version).map_or(&[], |chart| &chart.dependencies)
    }

    /// All default values of a chart as one table; built once per version.
    #[must_use]
    pub fn defaults(&self, version: &ChartVersion) -> Option<Arc<Node>> {
        let index = self.index(version)?;
        if !self.charts.get(index)?.has_defaults {
            return None;
        }
        let built = self.built.get(index)?.get_or_init(|| {
            let table = self.defaults.build(version);
            Arc::new(Node { value: Value::Table(Arc::new(table)), origin: Origin::ChartDefault })
        });
        Some(Arc::clone(built))
    }

    /// The chart as Helm's value semantics want it. Its dependencies count as charts without values of their own, which the catalogue does not know.
    #[must_use]
    pub fn chart_values(&self, version: &ChartVersion) -> Option<ChartValues> {
        let Value::Table(defaults) = &self.defaults(version)?.value else {
            return None;
        };
        let dependency = |known: &Dependency| coalesce::Dependency {
            name: Arc::clone(&known.name),
            alias: known.alias.clone(),
            condition: Some(known.condition().into()),
            tags: Vec::new(),
            chart: None,
        };
        let dependencies = self.dependencies(version).iter().map(dependency).collect();
        Some(ChartValues { name: "milvus".into(), defaults: Arc::clone(defaults), dependencies })
    }

    /// The default value at a path, if the chart is known and has one there.
    #[must_use]
    pub fn default_at(&self, version: &ChartVersion, path: &str) -> Option<Value> {
        match self.defaults(version)?.lookup(path) {
            Lookup::Found(entry) => Some(entry.node.value.clone()),
            Lookup::Unknown(reason) => Some(Value::Unknown(Arc::clone(reason))),
            Lookup::Absent => None,
        }
    }

    /// Whether a chart does anything with a value path: it has a default there, or its own templates read it, the path as such, a table that it lies in, or something below it.
    /// `Maybe` for charts that are not known. What subcharts read is not in the catalogue: ask only about paths outside of their tables.
    #[must_use]
    pub fn reads(&self, version: &ChartVersion, path: &str) -> Truth {
        if *version < FIRST_MILVUS_2_CHART || !self.get(version).is_some_and(|chart| chart.has_defaults) {
            return Truth::Maybe;
        }
        let keys = split_path(path);
        (self.reads.covers(&keys, version) || self.defaults.covers(&keys, version)).into()
    }

    /// Whether any chart since 2.0.0 has a default at a path or reads it.
    #[must_use]
    pub fn ever_known(&self, path: &str) -> bool {
        split_path(path).iter().fold(self.known(), |known, key| known.below(key)).is_known()
    }

    /// All paths at which any chart since 2.0.0 has a default or which it reads, to go down from the top.
    #[must_use]
    pub fn known(&self) -> Known<'_> {
        Known { reads: Spot::Within(&self.reads), defaults: Spot::Within(&self.defaults) }
    }

    /// Whether a top-level key holds the values of a subchart in any version.
    #[must_use]
    pub fn is_dependency_key(&self, key: &str) -> bool {
        static KEYS: LazyLock<BTreeSet<Arc<str>>> = LazyLock::new(|| {
            let all = Catalogue::embedded().charts.iter().flat_map(|chart| chart.dependencies.iter());
            all.map(|dependency| Arc::clone(dependency.key())).collect()
        });
        KEYS.contains(key)
    }

    /// The newest version that can be had.
    #[must_use]
    pub fn newest(&self) -> Option<&ChartEntry> {
        self.published().next_back()
    }

    /// The newest version of a major that can be had.
    #[must_use]
    pub fn newest_of_major(&self, major: u32) -> Option<&ChartEntry> {
        self.published().rev().find(|chart| chart.version.major() == major)
    }

    /// The newest version that can be had and that a range admits.
    #[must_use]
    pub fn newest_admitted(&self, range: &VersionRange) -> Option<&ChartEntry> {
        self.published().rev().find(|chart| range.admits(&chart.version))
    }

    /// The newest version that can be had whose default image is of a Milvus line, `(2, 5)`.
    #[must_use]
    pub fn newest_of_line(&self, line: (u32, u32)) -> Option<&ChartEntry> {
        self.published().rev().find(|chart| chart.milvus.is_some_and(|milvus| milvus.line() == line))
    }

    /// Versions that can be had whose default image is this Milvus version, oldest first.
    pub fn charts_of(&self, milvus: MilvusVersion) -> impl DoubleEndedIterator<Item = &ChartEntry> {
        self.published().filter(move |chart| chart.milvus == Some(milvus))
    }

    /// The oldest version that can be had whose default image is this Milvus version.
    #[must_use]
    pub fn first_chart_with_milvus(&self, milvus: MilvusVersion) -> Option<&ChartEntry> {
        self.charts_of(milvus).next()
    }

    /// The oldest version that can be had at or above a chart version (for the end of a range).
    #[must_use]
    pub fn first_from(&self, version: &ChartVersion) -> Option<&ChartEntry> {
        self.published().find(|chart| chart.version >= *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> ChartVersion {
        text.parse().unwrap()
    }

    fn catalogue() -> &'static Catalogue {
        Catalogue::embedded()
    }

    fn default_text(version: &str, path: &str) -> Option<String> {
        catalogue().default_at(&v(version), path).and_then(|value| value.as_str().map(str::to_owned))
    }

    #[test]
    fn every_line_of_the_embedded_table_is_read() {
        assert_eq!(catalogue().versions().len(), CHARTS.lines().filter(|line| !line.starts_with('#')).count());
        assert!(catalogue().versions().is_sorted_by(|a, b| a.version < b.version));
        assert_eq!(catalogue().published().count(), 304);
        assert!(catalogue().published().all(|chart| chart.milvus.is_some()));
    }

    #[test]
    fn status_tells_what_can_be_had() {
        for (version, status) in [
            ("5.0.19", Some(ChartStatus::Published)),
            ("4.2.46", Some(ChartStatus::Retracted)),
            ("4.2.50", Some(ChartStatus::TagOnly)),
            ("5.0.18", Some(ChartStatus::SourceOnly)),
            ("2.5.11", None),
        ] {
            assert_eq!(catalogue().status(&v(version)), status, "{version}");
        }
        assert!(catalogue().get(&v("4.0.31")).unwrap().archived && !catalogue().get(&v("4.0.32")).unwrap().archived);
    }

    #[test]
    fn the_default_image_is_told_apart_from_the_app_version() {
        for (chart, app, milvus) in [
            ("4.0.10", "2.2.3", "2.2.4"),
            ("4.0.28", "2.2.11", "2.2.12"),
            ("4.2.15", "2.4.13-hotfix", "2.4.13-hotfix"),
            ("2.4.20", "2.0.0-pre-ga", "2.0.0-pre-ga"),
        ] {
            assert_eq!((catalogue().app(&v(chart)).unwrap().as_ref(), catalogue().milvus(&v(chart)).unwrap()), (app, milvus.parse().unwrap()), "{chart}");
        }
    }

    #[test]
    fn newest_versions_are_published_ones() {
        assert_eq!(catalogue().newest().unwrap().version, v("5.0.19"));
        assert_eq!(catalogue().newest_of_major(4).unwrap().version, v("4.2.58"));
        for (range, newest) in [("~> 4.1", "4.1.36"), ("^4.1", "4.2.58"), ("4.0.x", "4.0.34"), ("*", "5.0.19"), ("<4.2.47 >4.2.44", "4.2.45")] {
            assert_eq!(catalogue().newest_admitted(&range.parse().unwrap()).unwrap().version, v(newest), "{range}");
        }
        assert_eq!(catalogue().newest_of_line((2, 5)).unwrap().version, v("4.2.58"));
        assert_eq!(catalogue().first_chart_with_milvus(MilvusVersion::new(2, 4, 16)).unwrap().version, v("4.2.20"));
        assert!(catalogue().first_chart_with_milvus(MilvusVersion::new(2, 2, 16)).is_none());
    }

    #[test]
    fn defaults_change_where_the_chart_changed_them() {
        for (chart, path, value) in [
            ("4.2.26", "pulsar.enabled", true),
            ("4.2.27", "pulsar.enabled", false),
            ("2.1.22", "cluster.enabled", false),
            ("2.2.0", "cluster.enabled", true),
            ("4.2.3", "mixCoordinator.enabled", false),
            ("4.2.4", "mixCoordinator.enabled", true),
        ] {
            assert_eq!(catalogue().default_at(&v(chart), path), Some(Value::Bool(value)), "{chart} {path}");
        }
        assert_eq!(default_text("4.2.58", "standalone.messageQueue").as_deref(), Some("rocksmq"));
        assert_eq!(default_text("5.0.0", "standalone.messageQueue").as_deref(), Some("woodpecker"));
        assert!(default_text("4.2.58", "extraConfigFiles.user\\.yaml").unwrap().starts_with('#'));
        assert_eq!(catalogue().default_at(&v("4.0.0"), "metadata.rootPath"), None);
        assert!(catalogue().defaults(&v("2.5.11")).is_none() && catalogue().defaults(&v("5.0.18")).is_none());
    }

    #[test]
    fn dependencies_have_the_key_that_the_values_use() {
        let keys = |chart: &str| catalogue().dependencies(&v(chart)).iter().map(|d| format!("{} {} {}", d.name, d.key(), d.version)).collect::<Vec<_>>();
        assert!(keys("5.0.19").contains(&"pulsarv2 pulsar 2.7.8".to_owned()) && keys("5.0.19").contains(&"pulsar pulsarv3 3.3.0".to_owned()));
        assert!(keys("4.1.7").iter().any(|k| k.starts_with("mysql")) && !keys("4.1.8").iter().any(|k| k.starts_with("mysql")));
        assert!(catalogue().is_dependency_key("tei") && !catalogue().is_dependency_key("proxy"));
    }

    #[test]
    fn a_path_is_read_by_default_or_by_template() {
        for (chart, path, truth) in [
            ("4.2.58", "image.all.tag", Truth::Yes),
            ("4.2.58", "proxy.resources.limits.cpu", Truth::Yes),
            ("4.2.58", "nameOverride", Truth::Yes),
            ("4.0.0", "nameOverride", Truth::Yes),
            ("4.2.58", "proxy", Truth::Yes),
            ("4.2.58", "standalone.enabled", Truth::No),
            ("4.2.58", "image.tag", Truth::No),
            ("4.2.58", "metadata.rootPath", Truth::No),
            ("3.3.6", "metadata.rootPath", Truth::Yes),
            ("5.0.99", "metadata.rootPath", Truth::Maybe),
        ] {
            assert_eq!(catalogue().reads(&v(chart), path), truth, "{chart} {path}");
        }
        assert!(catalogue().ever_known("metadata.rootPath") && !catalogue().ever_known("standalone.enabled"));
    }
}
