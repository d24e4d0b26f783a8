//! A release of a helmfile as a declaration.

use std::sync::Arc;

use super::state::{EntryRead, Part, State, values_entry};
use crate::model::declaration::{Applier, ChartSource, Declaration, Flag, FlagKind, Form, Layer, Lineage, NotChecked, NotCheckedKind, SetKind, ValuesStrategy};
use crate::model::place::{Fact, Origin};
use crate::model::value::Value;
use crate::model::version::VersionSpec;
use crate::source::context::{Context, join};
use crate::source::gitops::version;
use crate::source::gotmpl::{Scope, written_out};
use crate::source::item::Item;
use crate::source::lineage::{archive_version, is_milvus_chart, is_operator_chart, lineage};
use crate::source::nested::{Said, part_at, said};
use crate::source::umbrella::{declarations_of_chart, proves_zilliztech};

/// Templates that a release inherits from, at most.
const MAX_INHERITED: usize = 20;

/// The releases of Milvus in a helmfile.
pub(super) fn declarations(state: &State, context: &Context<'_>) -> Vec<Declaration> {
    state.list("releases").flat_map(|(part, item)| Reader { state, part, context }.release(item)).collect()
}

struct Reader<'r> {
    state: &'r State,
    part: &'r Part,
    context: &'r Context<'r>,
}

/// A release's settings: its own, then those it inherits, then the helmfile's defaults.
struct Settings<'s> {
    own: Vec<Item>,
    state: &'s State,
}

impl Settings<'_> {
    fn get(&self, key: &str) -> Option<&Item> {
        self.own.iter().find_map(|item| item.get(key))
    }

    /// With the helmfile's `helmDefaults`.
    fn get_or_default(&self, key: &str) -> Option<&Item> {
        self.get(key).or_else(|| self.state.setting("helmDefaults", key))
    }
}

impl Reader<'_> {
    fn release(&self, item: &Item) -> Vec<Declaration> {
        let scope = self.state.scope();
        let named = item.clone().expanded(&scope);
        let name = named.text_at(&["name"]).unwrap_or_default().to_owned();
        let namespace = named.text_at(&["namespace"]).map(str::to_owned);
        let scope = Scope { release: Some((&name, namespace.as_deref())), ..scope };
        let mut own = vec![item.clone().expanded(&scope)];
        let inherited = named.get("inherit").map(Item::items).unwrap_or_default().iter().take(MAX_INHERITED);
        for template in inherited.filter_map(|entry| entry.text_at(&["template"])).filter_map(|name| self.state.setting("templates", name)) {
            own.push(template.clone().expanded(&scope));
        }
        let settings = Settings { own, state: self.state };
        self.read(item, &settings, &scope)
    }

    fn read(&self, item: &Item, settings: &Settings<'_>, scope: &Scope<'_>) -> Vec<Declaration> {
        let Some(chart) = settings.get("chart") else {
            return Vec::new();
        };
        if chart.is_templated() {
            return self.unknown_chart(item, chart);
        }
        let chart_name = chart.text().unwrap_or_default();
        let folder = self.local_chart(chart_name);
        if is_operator_chart(chart_name) || !(is_milvus_chart(chart_name) || folder.is_some()) {
            return Vec::new();
        }
        let mut gaps = Vec::new();
        if !self.is_installed(settings, &mut gaps) {
            return Vec::new();
        }
        let layers = self.layers(item, settings, scope, &mut gaps);
        let mut declarations = match folder {
            Some(folder) => declarations_of_chart(&folder, &layers, self.context),
            None => {
                let mut declaration = Declaration::blank(Form::Helmfile, "", chart.place());
                declaration.chart = self.chart(chart, settings);
                if declaration.chart.lineage == Lineage::Unknown && proves_zilliztech(&layers) {
                    declaration.chart.lineage = Lineage::Zilliztech;
                }
                declaration.layers = layers;
                vec![declaration]
            }
        };
        for declaration in &mut declarations {
            self.complete(declaration, item, settings);
            declaration.gaps.extend(gaps.iter().cloned());
        }
        declarations
    }

    /// What holds for the release whatever chart it has.
    fn complete(&self, declaration: &mut Declaration, item: &Item, settings: &Settings<'_>) {
        declaration.path = self.state.path.clone();
        declaration.place = item.get("name").map_or_else(|| item.place(), Item::place);
        declaration.name = settings.own.first().map_or(Fact::Absent, |own| own.fact_at(&["name"]));
        declaration.namespace = settings.get_or_default("namespace").map_or(Fact::Absent, Item::fact);
        declaration.identity.form = Form::Helmfile;
        declaration.identity.scope = self.state.path.clone();
        declaration.identity.name = declaration.name.known().cloned();
        declaration.identity.namespace = declaration.namespace.known().cloned();
        declaration.applier = Applier::HelmUpgrade;
        declaration.flags = flags(settings);
        let is_set = |kind| declaration.flags.iter().any(|flag: &Flag| flag.kind == kind);
        declaration.strategy = if is_set(FlagKind::ResetThenReuseValues) {
            ValuesStrategy::ResetThenReuse
        } else if is_set(FlagKind::ReuseValues) {
            ValuesStrategy::Reuse
        } else {
            ValuesStrategy::Replace
        };
    }

    /// A release whose chart cannot be read may be Milvus: said only where its name or values speak of it.
    fn unknown_chart(&self, item: &Item, chart: &Item) -> Vec<Declaration> {
        let named = item.get("name").and_then(Item::raw_text).is_some_and(|name| name.to_ascii_lowercase().contains("milvus"));
        let charted = chart.raw_text().is_some_and(|text| text.to_ascii_lowercase().contains("milvus"));
        if !named && !charted {
            return Vec::new();
        }
        let mut declaration = Declaration::blank(Form::Helmfile, &self.state.path, item.place());
        declaration.chart.name = chart.fact();
        self.complete(&mut declaration, item, &Settings { own: vec![item.clone()], state: self.state });
        declaration.gaps.push(chart.partly("the chart of this release is templated: it is not checked"));
        vec![declaration]
    }

    /// The folder of a chart in the tree with Milvus in it.
    fn local_chart(&self, chart: &str) -> Option<String> {
        if chart.contains("://") || chart.ends_with(".tgz") {
            return None;
        }
        let folder = join(&self.state.folder, chart)?;
        self.context.exists(&format!("{folder}/Chart.yaml")).then_some(folder)
    }

    fn is_installed(&self, settings: &Settings<'_>, gaps: &mut Vec<NotChecked>) -> bool {
        if let Some(installed) = settings.get("installed") {
            match installed.text() {
                Some(text) if text.eq_ignore_ascii_case("false") => return false,
                None if installed.is_templated() => gaps.push(installed.partly("whether this release is installed is templated: it is checked as if it were")),
                _ => {}
            }
        }
        let Some(condition) = settings.get("condition") else {
            return true;
        };
        match condition.text().map(|path| said(&self.state.values, path)) {
            Some(Said::Value(Value::Bool(on))) => on,
            _ => {
                gaps.push(condition.partly("whether this release is switched on cannot be told from the environment: it is checked as if it were"));
                true
            }
        }
    }

    fn chart(&self, chart: &Item, settings: &Settings<'_>) -> ChartSource {
        let name = chart.text().unwrap_or_default();
        let repository = self.repository(name, chart);
        let lineage = match &repository {
            Fact::Unknown(..) => Lineage::Unknown,
            repository => lineage(repository.known().map(|url| &**url), name),
        };
        let mut asked = version(settings.get("version").map_or(Fact::Absent, Item::fact));
        let mut vendored = None;
        if let Some(of_archive) = archive_version(name, "milvus")
            && asked.is_absent()
        {
            asked = Fact::Known(VersionSpec::parse(of_archive), Origin::At(chart.place()));
            vendored = (!name.contains("://")).then(|| Arc::from(name));
        }
        ChartSource { repository, name: chart.fact(), version: asked, lineage, vendored }
    }

    /// The URL of the repository that the first part of a chart's name stands for.
    fn repository(&self, chart: &str, at: &Item) -> Fact<Arc<str>> {
        if chart.contains("://") || chart.starts_with(['.', '/']) {
            return Fact::Absent;
        }
        let Some((alias, _)) = chart.split_once('/') else {
            return Fact::Absent;
        };
        let scope = self.state.scope();
        let named = self.state.list("repositories").map(|(_, item)| item.clone().expanded(&scope));
        let Some(repository) = named.into_iter().find(|item| item.text_at(&["name"]) == Some(alias)) else {
            return Fact::Absent;
        };
        match repository.get("url") {
            Some(url) => match url.fact() {
                Fact::Known(text, origin) if repository.is_true_at(&["oci"]) && !text.contains("://") => Fact::Known(format!("oci://{text}").into(), origin),
                fact => fact,
            },
            None => Fact::Unknown("the repository has no URL".into(), Origin::At(at.place())),
        }
    }

    /// All values in Helm's order: files and tables, secrets, `set`.
    fn layers(&self, item: &Item, settings: &Settings<'_>, scope: &Scope<'_>, gaps: &mut Vec<NotChecked>) -> Vec<Layer> {
        let mut layers = Vec::new();
        for list in [settings.get("values"), settings.get("valuesTemplate")] {
            for entry in list.map(Item::items).unwrap_or_default() {
                layers.extend(self.entry(entry, scope, gaps));
            }
            if let Some(list) = list.filter(|list| list.is_templated()) {
                layers.extend(self.entry(list, scope, gaps));
            }
        }
        let place = item.place();
        for line in self.part.written_out.iter().filter(|line| (place.start.line..=place.end.line.saturating_add(1)).contains(line)) {
            let mut at = place.clone();
            (at.start.line, at.start.column) = (*line, 1);
            at.end = at.start;
            gaps.push(NotChecked::at(at.clone(), NotCheckedKind::PartlyChecked, "a template writes out values here: what they set is not checked"));
            layers.push(Layer::Unseen { what: "values that a template writes out".into(), place: at });
        }
        for secret in settings.get("secrets").map(Item::items).unwrap_or_default() {
            layers.push(Layer::Unseen { what: "an encrypted file of secrets".into(), place: secret.place() });
        }
        for (key, kind) in [("set", SetKind::Set), ("setTemplate", SetKind::Set), ("setString", SetKind::SetString)] {
            for entry in settings.get(key).map(Item::items).unwrap_or_default() {
                layers.extend(set(entry, kind));
            }
        }
        layers
    }

    fn entry(&self, entry: &Item, scope: &Scope<'_>, gaps: &mut Vec<NotChecked>) -> Vec<Layer> {
        let keys = entry.raw_text().filter(|_| entry.is_templated()).and_then(written_out);
        if let Some(keys) = keys {
            let found = keys.iter().fold(self.state.values.clone(), |layers, key| part_at(&layers, key));
            if !found.is_empty() {
                return found;
            }
        }
        let read = values_entry(entry, &self.state.folder, scope, self.context);
        let mut layers = Vec::new();
        for EntryRead { layer, gap, .. } in read {
            layers.extend(layer);
            gaps.extend(gap);
        }
        layers
    }
}

/// An entry of `set`: a name with a value, several values, or a file.
fn set(entry: &Item, kind: SetKind) -> Option<Layer> {
    let name = entry.text_at(&["name"])?;
    let unseen = |item: &Item| Some(Layer::Unseen { what: format!("the value of {name}").into(), place: item.place() });
    if let Some(file) = entry.get("file") {
        return unseen(file);
    }
    if let Some(values) = entry.get("values") {
        let texts: Option<Vec<String>> = values.items().iter().map(|v| v.text().map(escaped)).collect();
        return match texts {
            Some(texts) => Some(Layer::Set { kind, text: format!("{name}={{{}}}", texts.join(",")).into(), place: values.place(), file: None }),
            None => unseen(values),
        };
    }
    let value = entry.get("value")?;
    match value.text() {
        Some(text) => Some(Layer::Set { kind, text: format!("{name}={}", escaped(text)).into(), place: value.place(), file: None }),
        None => unseen(value),
    }
}

/// helmfile escapes commas before it hands a value to `--set`.
fn escaped(text: &str) -> String {
    text.replace(',', "\\,")
}

fn flags(settings: &Settings<'_>) -> Vec<Flag> {
    const SWITCHES: [(&str, FlagKind); 6] = [
        ("wait", FlagKind::Wait),
        ("atomic", FlagKind::Atomic),
        ("force", FlagKind::Force),
        ("recreatePods", FlagKind::RecreatePods),
        ("reuseValues", FlagKind::ReuseValues),
        ("resetValues", FlagKind::ResetValues),
    ];
    let mut flags = Vec::new();
    for (key, kind) in SWITCHES {
        if let Some(item) = settings.get_or_default(key).filter(|item| item.text().is_some_and(|text| text.eq_ignore_ascii_case("true"))) {
            flags.push(Flag { kind, value: None, place: item.place() });
        }
    }
    if let Some(item) = settings.get_or_default("timeout")
        && let Some(text) = item.text()
    {
        let duration = if text.bytes().all(|b| b.is_ascii_digit()) { format!("{text}s") } else { text.to_owned() };
        flags.push(Flag { kind: FlagKind::Timeout, value: Some(duration.into()), place: item.place() });
    }
    for item in ["args", "syncArgs"].iter().filter_map(|key| settings.get_or_default(key)).flat_map(Item::items) {
        let kind = match item.text().map(str::trim) {
            Some("--reuse-values") => FlagKind::ReuseValues,
            Some("--reset-then-reuse-values") => FlagKind::ResetThenReuseValues,
            Some("--atomic" | "--rollback-on-failure") => FlagKind::Atomic,
            Some("--force" | "--force-replace") => FlagKind::Force,
            Some("--no-hooks") => FlagKind::NoHooks,
            _ => continue,
        };
        flags.push(Flag { kind, value: None, place: item.place() });
    }
    flags
}
