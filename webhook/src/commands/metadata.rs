//! `milvus-guard metadata`: looks at Milvus's metadata in etcd, backs it up, verifies a backup, puts it back. The Jobs of a migration run these.
#![allow(clippy::disallowed_methods, reason = "reads and writes the files that the arguments name")]

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::observed::Layout;
use milvus_guard_webhook::metadata::backup::{Manifest, Reader};
use milvus_guard_webhook::metadata::etcd::{self, Access, Etcd, Login};
use milvus_guard_webhook::metadata::location::{self, Location};
use milvus_guard_webhook::metadata::restore::{self, nobody_lives};
use milvus_guard_webhook::metadata::tool::{Files, Pair, Reach, configuration};
use milvus_guard_webhook::metadata::{compare, counts, layout, sessions};
use serde_json::{Value, json};

use super::output::to_stdout;

/// Kubernetes keeps so much of what a container tells at its end, in bytes.
const LONGEST_REPORT_BYTES: usize = 4_096;

/// How long a restore tries again what may pass.
const PATIENCE: Duration = Duration::from_secs(150);

/// Arguments of `metadata`.
#[derive(Debug, Args)]
pub(crate) struct Metadata {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    place: Place,
    /// Also writes what is printed to this file: Kubernetes shows what stands in /dev/termination-log
    #[arg(long, value_name = "FILE", global = true)]
    report: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Place {
    /// Where etcd listens: host:port; may be given more than once
    #[arg(long = "endpoint", value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:2379", global = true)]
    endpoints: Vec<String>,
    /// Milvus's `etcd.rootPath`
    #[arg(long, default_value = "by-dev", global = true)]
    root_path: String,
    /// Milvus's `etcd.metaSubPath`
    #[arg(long, default_value = "meta", global = true)]
    meta_path: String,
    /// Milvus's `etcd.kvSubPath`
    #[arg(long, default_value = "kv", global = true)]
    kv_path: String,
    /// A folder with username and password, and for TLS ca.crt, tls.crt and tls.key, each where it is needed: a mounted Secret
    #[arg(long, value_name = "DIR", global = true)]
    credentials: Option<PathBuf>,
    /// etcd speaks TLS; the authority is ca.crt of the credentials
    #[arg(long, global = true)]
    tls: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tells the layout of the metadata, and who has a session
    Layout,
    /// Writes all metadata into a file (upstream's format), and a manifest beside it
    Backup {
        /// The file; it must not be there yet
        #[arg(long)]
        file: PathBuf,
        /// Only from metadata of this layout: 2.1 or 2.2
        #[arg(long, value_name = "LAYOUT")]
        only: Option<String>,
    },
    /// Compares a backup with what is in etcd now
    Verify {
        /// The backup
        #[arg(long)]
        file: PathBuf,
    },
    /// Puts the metadata of a backup back
    Restore {
        /// The backup
        #[arg(long)]
        file: PathBuf,
    },
    /// Checks, right before a migration, all that it rests on, and writes the configuration of upstream's tool
    Prepare {
        /// The verified backup
        #[arg(long)]
        file: PathBuf,
        /// What wrote the metadata
        #[arg(long, value_name = "VERSION")]
        source: MilvusVersion,
        /// What will read it
        #[arg(long, value_name = "VERSION")]
        target: MilvusVersion,
        /// The tool's configuration; it holds the password
        #[arg(long, value_name = "FILE")]
        tool_configuration: PathBuf,
    },
}

/// Runs it. Exit code 1: metadata, backup or sessions are not as they must be. Anything that could not be found out is an error.
pub(crate) fn run(arguments: &Metadata) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(arguments.run());
    let (report, code) = match &result {
        Ok(told) => (told.clone(), ExitCode::SUCCESS),
        Err(error) => (json!({"error": format!("{error:#}")}), ExitCode::from(1)),
    };
    if let Some(file) = &arguments.report {
        let mut text = report.to_string();
        text.truncate(text.floor_char_boundary(LONGEST_REPORT_BYTES));
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    match result {
        Ok(told) => drop(to_stdout(&format!("{told:#}\n"))?),
        Err(error) if error.is::<Wrong>() => eprintln!("error: {error:#}"),
        Err(error) => return Err(error),
    }
    Ok(code)
}

/// Something was found, and it is not as it must be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

macro_rules! wrong {
    ($($part:tt)*) => { return Err(Wrong(format!($($part)*)).into()) };
}

impl Metadata {
    async fn run(&self) -> anyhow::Result<Value> {
        let place = self.place.location()?;
        let access = self.place.access()?;
        let etcd = Etcd::new(access.clone());
        match &self.what {
            What::Layout => tell_layout(&etcd, &place).await,
            What::Backup { file, only } => back_up(&etcd, &place, file, only.as_deref()).await,
            What::Verify { file } => verify(&etcd, &place, file).await,
            What::Restore { file } => put_back(&etcd, &place, file).await,
            What::Prepare { file, source, target, tool_configuration } => {
                let pair = Pair::new(*source, *target)?;
                check(&etcd, &place, file).await?;
                let paths = self.place.tls.then(|| ["ca.crt", "tls.crt", "tls.key"].map(|name| self.place.credential_path(name)));
                let paths = paths.map(|paths| paths.map(|path| path.map_or(String::new(), |path| path.display().to_string())));
                let tls = paths.as_ref().map(|[authority, certificate, key]| Files { authority, certificate, key });
                let reach = Reach { endpoints: &access.endpoints, login: access.login.as_ref(), tls };
                let text = serde_yaml::to_string(&configuration(&pair, &place, &reach))?;
                fs::write(tool_configuration, text).with_context(|| format!("writing {}", tool_configuration.display()))?;
                Ok(json!({"source": pair.source, "target": pair.target}))
            }
        }
    }
}

impl Place {
    fn location(&self) -> anyhow::Result<Location> {
        Ok(Location::new(&self.root_path, &self.meta_path, &self.kv_path)?)
    }

    fn access(&self) -> anyhow::Result<Access> {
        let endpoints = self.endpoints.iter().map(|text| location::endpoint(text, None)).collect::<Result<Vec<_>, _>>()?;
        let login = self.credential("username")?.zip(self.credential("password")?).map(|(name, password)| Login { name, password });
        let tls = if self.tls {
            let authority = self.credential("ca.crt")?.context("for TLS, the credentials need ca.crt")?;
            let client = self.credential("tls.crt")?.zip(self.credential("tls.key")?);
            Some(etcd::tls(&authority, client.as_ref().map(|(chain, key)| (chain.as_str(), key.as_str())))?)
        } else {
            None
        };
        Ok(Access { endpoints, tls, login })
    }

    /// A file of the credentials; nothing where it is not there.
    fn credential(&self, name: &str) -> anyhow::Result<Option<String>> {
        let Some(path) = self.credential_path(name) else { return Ok(None) };
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(if name.contains('.') { text } else { text.trim_end_matches('\n').to_owned() })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn credential_path(&self, name: &str) -> Option<PathBuf> {
        self.credentials.as_ref().map(|folder| folder.join(name))
    }
}

async fn tell_layout(etcd: &Etcd, place: &Location) -> anyhow::Result<Value> {
    let counts = counts(etcd, place).await?;
    let sessions: Vec<String> = sessions(etcd, place).await?.iter().map(|session| session.owner()).collect();
    let keys: serde_json::Map<String, Value> =
        counts.each().filter(|(_, count)| *count > 0).map(|(group, count)| (group.prefix.to_owned(), count.into())).collect();
    Ok(json!({"layout": layout::word(counts.layout()), "revision": counts.revision, "keys": keys, "sessions": sessions}))
}

async fn back_up(etcd: &Etcd, place: &Location, file: &Path, only: Option<&str>) -> anyhow::Result<Value> {
    ensure!(!file.exists() && !manifest_of(file).exists(), "{} is there already, and a backup is never written over", file.display());
    let counts = counts(etcd, place).await?;
    let found = layout::word(counts.layout());
    if only.is_some_and(|wanted| wanted != found) {
        wrong!("the metadata below {} is of layout {found}", place.key(""));
    }
    let part = with_suffix(file, ".part");
    let out = File::create(&part).with_context(|| format!("writing {}", part.display()))?;
    let (out, manifest) = compare::copy(etcd, place, counts, BufWriter::new(out)).await?;
    if manifest.sum.entries == 0 {
        wrong!("there is no metadata below {}", place.key(""));
    }
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    fs::rename(&part, file)?;
    let text = serde_json::to_string(&manifest)?;
    let written = manifest_of(file);
    let mut out = File::create(with_suffix(&written, ".part"))?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(with_suffix(&written, ".part"), &written)?;
    if let Some(folder) = file.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(report(&manifest))
}

async fn verify(etcd: &Etcd, place: &Location, file: &Path) -> anyhow::Result<Value> {
    let manifest = whole(place, file)?;
    let now = compare::sum(etcd, place, 0).await?;
    if now != manifest.sum {
        wrong!(
            "etcd holds {} keys ({}), the backup {} ({}): metadata changed since revision {}",
            now.entries,
            now.digest,
            manifest.sum.entries,
            manifest.sum.digest,
            manifest.revision
        );
    }
    Ok(report(&manifest))
}

/// What a migration rests on: nobody lives, the layout is that of 2.1, and the backup is what is in etcd.
async fn check(etcd: &Etcd, place: &Location, file: &Path) -> anyhow::Result<()> {
    nobody_lives(etcd, place).await.map_err(|error| Wrong(error.to_string()))?;
    let found = counts(etcd, place).await?.layout();
    if found != Layout::V21 {
        wrong!("the metadata below {} is of layout {}, and only 2.1 is migrated", place.key(""), layout::word(found));
    }
    verify(etcd, place, file).await.map(drop)
}

async fn put_back(etcd: &Etcd, place: &Location, file: &Path) -> anyhow::Result<Value> {
    let manifest = whole(place, file)?;
    let open = || Ok(BufReader::new(File::open(file)?));
    let begin = Instant::now();
    loop {
        match restore::restore(etcd, place, &manifest, open).await {
            Ok(done) => {
                let layout = layout::word(counts(etcd, place).await?.layout());
                return Ok(
                    json!({"written": done.written, "deleted": done.deleted, "layout": layout, "entries": manifest.sum.entries, "digest": manifest.sum.digest}),
                );
            }
            Err(error) if error.may_pass() && begin.elapsed() < PATIENCE => {
                eprintln!("trying again: {error}");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The manifest of a backup that was read through and is whole.
fn whole(place: &Location, file: &Path) -> anyhow::Result<Manifest> {
    let path = manifest_of(file);
    let text = fs::read_to_string(&path).map_err(|error| Wrong(format!("there is no whole backup: {}: {error}", path.display())))?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|_| Wrong(format!("{} is no manifest of a backup", path.display())))?;
    let read = || Reader::new(BufReader::new(File::open(file)?), place)?.check(&manifest);
    read().map_err(|broken| Wrong(broken.to_string()))?;
    Ok(manifest)
}

fn report(manifest: &Manifest) -> Value {
    json!({
        "of": manifest.of,
        "revision": manifest.revision,
        "entries": manifest.sum.entries,
        "digest": manifest.sum.digest,
        "layout": layout::word(manifest.counts.layout()),
        "counts": manifest.counts,
    })
}

fn manifest_of(file: &Path) -> PathBuf {
    with_suffix(file, ".json")
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
