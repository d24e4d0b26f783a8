//! A chart with dependencies and what a user gives for it, for real Helm and for the library alike.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use milvus_guard::model::coalesce::{ChartValues, Dependency, effective};
use milvus_guard::model::declaration::{Layer, SetKind};
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::merge::user_values;
use milvus_guard::model::place::Place;
use milvus_guard::model::value::{Node, Table, Value};
use milvus_guard::source::convert::verbatim_values_of_file;
use serde_json::{Map, Number, json};

/// Prints `.Values` of its chart in a manifest that is valid whatever they hold.
pub(crate) const TEMPLATE: &str = include_str!("../e2e/values-chart/templates/values.yaml");

/// A chart; `bundled` are the charts in its `charts/` folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chart {
    pub(crate) name: String,
    /// Empty for 1.0.0.
    pub(crate) version: String,
    pub(crate) values: String,
    pub(crate) bundled: Vec<Self>,
    pub(crate) dependencies: Vec<Listed>,
}

/// An entry of `dependencies` in Chart.yaml.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    pub(crate) name: String,
    /// Version or range; empty for 1.0.0.
    pub(crate) version: String,
    pub(crate) alias: Option<String>,
    pub(crate) condition: Option<String>,
    pub(crate) tags: Vec<String>,
}

/// What is given for a chart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    pub(crate) chart: Chart,
    /// Texts of the `-f` files.
    pub(crate) files: Vec<String>,
    /// Arguments of the `--set` family in the order of the command line.
    pub(crate) sets: Vec<(SetKind, String)>,
    /// What `input.txt` holds, which `--set-file` names.
    pub(crate) input: String,
}

/// What one side makes of a case: `.Values` of each chart by its path (`parent/charts/one`), or the error.
pub(crate) type Outcome = Result<BTreeMap<String, serde_json::Value>, String>;

impl Chart {
    /// The chart's files by path, in a folder.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        self.write(&format!("{folder}/"), &mut files, None);
        files
    }

    fn write(&self, prefix: &str, files: &mut BTreeMap<String, String>, only_template: Option<&str>) {
        let dependencies: Vec<serde_json::Value> = self
            .dependencies
            .iter()
            .map(|listed| {
                let mut entry = json!({"name": listed.name, "version": or_one(&listed.version), "repository": ""});
                if let Some(alias) = &listed.alias {
                    entry["alias"] = json!(alias);
                }
                if let Some(condition) = &listed.condition {
                    entry["condition"] = json!(condition);
                }
                if !listed.tags.is_empty() {
                    entry["tags"] = json!(listed.tags);
                }
                entry
            })
            .collect();
        let metadata = json!({"apiVersion": "v2", "name": self.name, "version": or_one(&self.version), "dependencies": dependencies});
        files.insert(format!("{prefix}Chart.yaml"), metadata.to_string());
        files.insert(format!("{prefix}values.yaml"), self.values.clone());
        files.insert(format!("{prefix}templates/values.yaml"), only_template.unwrap_or(TEMPLATE).to_owned());
        for chart in &self.bundled {
            chart.write(&format!("{prefix}charts/{}-{}/", chart.name, or_one(&chart.version)), files, only_template);
        }
    }

    pub(crate) fn load(&self, helm: HelmMajor) -> Result<ChartValues, String> {
        let defaults = read_values("values.yaml", &self.values, helm)?;
        let Value::Table(defaults) = defaults.value else { unreachable!("values are a table") };
        let mut dependencies = Vec::new();
        let mut bundled: Vec<(&Self, Arc<ChartValues>)> = Vec::new();
        for chart in &self.bundled {
            bundled.push((chart, Arc::new(chart.load(helm)?)));
        }
        for listed in &self.dependencies {
            // Of several charts of one name the version decides.
            let fits = |chart: &&(&Self, Arc<ChartValues>)| {
                chart.0.name == listed.name && (chart.0.version == listed.version || listed.version.contains(['^', '~', 'x', '*', '>', '<']))
            };
            dependencies.push(Dependency {
                name: listed.name.as_str().into(),
                alias: listed.alias.as_deref().map(Into::into),
                condition: listed.condition.as_deref().map(Into::into),
                tags: listed.tags.iter().map(|tag| tag.as_str().into()).collect(),
                chart: bundled.iter().find(fits).map(|(_, values)| Arc::clone(values)),
            });
        }
        Ok(ChartValues { name: self.name.as_str().into(), defaults, dependencies })
    }
}

impl Case {
    /// The line that the Go program reads.
    pub(crate) fn line(&self) -> String {
        let mut chart = BTreeMap::new();
        self.chart.write("", &mut chart, Some("{{ toJson .Values | b64enc }}"));
        let mut inputs: BTreeMap<String, &str> = BTreeMap::from([("input.txt".into(), self.input.as_str())]);
        let files: Vec<String> = (0..self.files.len()).map(|i| format!("values-{i}.yaml")).collect();
        inputs.extend(files.iter().cloned().zip(self.files.iter().map(String::as_str)));
        let of = |wanted: SetKind| self.sets.iter().filter(|(kind, _)| *kind == wanted).map(|(_, text)| text).collect::<Vec<_>>();
        json!({
            "chart": chart, "inputs": inputs, "files": files,
            "set_json": of(SetKind::SetJson), "set": of(SetKind::Set), "set_string": of(SetKind::SetString),
            "set_file": of(SetKind::SetFile), "set_literal": of(SetKind::SetLiteral),
        })
        .to_string()
    }

    /// Runs a real `helm template` on the case, in an empty folder.
    pub(crate) fn run_binary(&self, helm: &Path, folder: &Path) -> Outcome {
        let mut files = BTreeMap::new();
        self.chart.write("chart/", &mut files, None);
        files.insert("input.txt".into(), self.input.clone());
        for (i, text) in self.files.iter().enumerate() {
            files.insert(format!("values-{i}.yaml"), text.clone());
        }
        for (path, text) in &files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut command = Command::new(helm);
        command.current_dir(folder).env("HOME", folder).args(["template", "m", "chart"]);
        for i in 0..self.files.len() {
            command.args(["-f", &format!("values-{i}.yaml")]);
        }
        for (kind, text) in &self.sets {
            let flag = match kind {
                SetKind::Set => "--set",
                SetKind::SetString => "--set-string",
                SetKind::SetJson => "--set-json",
                SetKind::SetLiteral => "--set-literal",
                SetKind::SetFile => "--set-file",
            };
            command.arg(flag).arg(text);
        }
        let output = command.output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let manifests = String::from_utf8(output.stdout).unwrap();
        let mut values = BTreeMap::new();
        let mut source = String::new();
        for line in manifests.lines() {
            if let Some(path) = line.strip_prefix("# Source: ") {
                source = path.trim_end_matches("/templates/values.yaml").to_owned();
            } else if let Some(text) = line.strip_prefix("  values: ") {
                values.insert(source.clone(), serde_json::from_slice(&decode(text)).unwrap());
            }
        }
        Ok(values)
    }

    /// What the library makes of the case.
    pub(crate) fn run_library(&self, helm: HelmMajor) -> Outcome {
        let user = self.user_values(helm)?;
        render(&self.chart.load(helm)?, &user, helm)
    }

    /// What the user gives, merged by the library.
    pub(crate) fn user_values(&self, helm: HelmMajor) -> Result<Node, String> {
        let mut layers = Vec::new();
        for (i, text) in self.files.iter().enumerate() {
            let name = format!("values-{i}.yaml");
            layers.push(Layer::Table { values: read_values(&name, text, helm)?, what: name.into() });
        }
        for (kind, text) in &self.sets {
            let file = (*kind == SetKind::SetFile).then(|| self.input.as_str().into());
            layers.push(Layer::Set { kind: *kind, text: text.as_str().into(), place: Place::file_start(&"-".into()), file });
        }
        user_values(&layers, helm).map_err(|refused| refused.to_string())
    }
}

/// What the library makes of values on a chart.
pub(crate) fn render(chart: &ChartValues, user: &Node, helm: HelmMajor) -> Outcome {
    let seen = effective(chart, user, helm);
    if let Some(refused) = seen.refused {
        return Err(format!("{refused:?}"));
    }
    let mut outcome = BTreeMap::new();
    for key in &seen.enabled {
        let inner = seen.values.table().unwrap().entries.get(key).unwrap();
        outcome.insert(format!("{}/charts/{key}", chart.name), to_json(&inner.node));
    }
    outcome.insert(chart.name.to_string(), to_json(&seen.values));
    Ok(outcome)
}

fn or_one(version: &str) -> &str {
    if version.is_empty() { "1.0.0" } else { version }
}

fn read_values(name: &str, text: &str, helm: HelmMajor) -> Result<Node, String> {
    verbatim_values_of_file(&name.into(), text, helm).map_err(|refused| refused.to_string())
}

/// Values as JSON; what is unknown is text that Helm would never write.
pub(crate) fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => Number::from_f64(*value).map_or(serde_json::Value::Null, serde_json::Value::Number),
        Value::String(text) => json!(&**text),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Table(table) => table_to_json(table),
        Value::Unknown(reason) => json!(format!("UNKNOWN {reason}")),
    }
}

fn table_to_json(table: &Table) -> serde_json::Value {
    let mut map: Map<String, serde_json::Value> = table.entries.iter().map(|(key, entry)| (key.to_string(), to_json(&entry.node))).collect();
    if let Some(reason) = &table.rest_unknown {
        map.insert("UNKNOWN".into(), json!(&**reason));
    }
    serde_json::Value::Object(map)
}

/// The first path at which two values differ; numbers are equal by value.
pub(crate) fn difference(helm: &serde_json::Value, ours: &serde_json::Value, path: &str) -> Option<String> {
    use serde_json::Value as Json;
    match (helm, ours) {
        (Json::Object(a), Json::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.into_iter().find_map(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => difference(a, b, &format!("{path}.{key}")),
                (Some(a), None) => Some(format!("{path}.{key}: Helm has {a}, we have nothing")),
                (None, b) => Some(format!("{path}.{key}: Helm has nothing, we have {}", b.unwrap())),
            })
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => a.iter().zip(b).enumerate().find_map(|(i, (a, b))| difference(a, b, &format!("{path}[{i}]"))),
        (Json::Number(a), Json::Number(b)) => {
            let equal = match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a == b,
                _ => a.as_f64() == b.as_f64(),
            };
            (!equal).then(|| format!("{path}: Helm has {a}, we have {b}"))
        }
        (a, b) => (a != b).then(|| format!("{path}: Helm has {a}, we have {b}")),
    }
}

/// How two outcomes differ. Errors are equal whatever they say. Of dependencies of dependencies only what their parents show is compared.
pub(crate) fn disagreement(helm: &Outcome, ours: &Outcome) -> Option<String> {
    match (helm, ours) {
        (Err(_), Err(_)) => None,
        (Err(error), Ok(_)) => Some(format!("Helm refuses it ({error}), we do not")),
        (Ok(_), Err(error)) => Some(format!("we refuse it ({error}), Helm does not")),
        (Ok(helm), Ok(ours)) => {
            let direct = |path: &&String| path.matches("/charts/").count() <= 1;
            let enabled: Vec<&String> = helm.keys().filter(direct).collect();
            if enabled != ours.keys().collect::<Vec<_>>() {
                return Some(format!("Helm renders {enabled:?}, we {:?}", ours.keys()));
            }
            ours.iter().find_map(|(path, values)| difference(&helm[path], values, path))
        }
    }
}

/// The Go program with the packages of both Helms, kept running.
pub(crate) struct RealHelm {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl RealHelm {
    pub(crate) fn start(programs: &Path) -> Self {
        let mut child = Command::new(programs.join("controlplane")).arg("helm-values").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// What Helm 3 and Helm 4 make of a case.
    pub(crate) fn ask(&mut self, case: &Case) -> [Outcome; 2] {
        writeln!(self.input, "{}", case.line()).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
        ["helm3", "helm4"].map(|helm| match answer[helm].get("error") {
            Some(error) => Err(error.as_str().unwrap().to_owned()),
            None => Ok(answer[helm]["values"].as_object().cloned().unwrap_or_default().into_iter().collect()),
        })
    }
}

impl Drop for RealHelm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn decode(base64: &str) -> Vec<u8> {
    let (mut bytes, mut group, mut bits) = (Vec::new(), 0_u32, 0);
    for c in base64.bytes().filter(|b| *b != b'=') {
        let value = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|b| *b == c).unwrap();
        group = (group << 6) | u32::try_from(value).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((group >> bits) & 0xff).unwrap());
        }
    }
    bytes
}
