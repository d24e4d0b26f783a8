//! `milvus-guard migrate`: what upstream's migrate.sh does, with its flags: metadata of 2.1 becomes metadata of 2.2, behind a verified backup.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use milvus_guard::model::version::MilvusVersion;
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::text;
use milvus_guard_webhook::controller::alone::Means;
use milvus_guard_webhook::direct::{Asked, Target};
use serde_json::{Map, Value, json};

use super::carry::{self, Carry, Refused};
use super::steer;

/// Arguments of `migrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
The flags are those of upstream's migrate.sh. What is different:
  - everything is checked before anything stops: versions that the tool would silently skip or refuse, an image of another version, a release that is not whole;
  - root path and endpoints are those of Milvus's own configuration; -r has to say the same, and -e another way to reach it;
  - the backup is verified before anything is deleted, and -d takes true or false;
  - without an installed guard this command does it all from here, and needs a way to etcd from here; the Jobs need the image of milvus-guard (--guard-image);
  - a second run goes on where the first was interrupted, and -o rollback goes back as long as there is a way back.

Exit codes: 0 done, 1 refused or stopped, 2 something could not be read or written, 130 interrupted.

Examples:
  milvus-guard migrate -i m -n db -s 2.1.4 -t 2.2.16 -w milvusdb/milvus:v2.2.16 --dry-run
  milvus-guard migrate -i m -n db -s 2.1.4 -t 2.2.16 -w milvusdb/milvus:v2.2.16 -c standard --yes")]
pub(crate) struct Migrate {
    /// The release
    #[arg(short, long, value_name = "RELEASE")]
    instance: String,
    /// Its namespace
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// The Milvus version that runs; default: what is seen to run
    #[arg(short, long, value_name = "VERSION")]
    source_version: Option<String>,
    /// The Milvus version to go to
    #[arg(short, long, value_name = "VERSION")]
    target_version: String,
    /// The root path in etcd; default: that of Milvus's configuration
    #[arg(short, long, value_name = "PATH")]
    root_path: Option<String>,
    /// The image that is started afterwards
    #[arg(short = 'w', long, value_name = "IMAGE", default_value = "milvusdb/milvus:v2.2.0")]
    image: String,
    /// The image of the migration tool; default: milvusdb/meta-migration:v2.2.0-bugfix-20230112
    #[arg(short, long, value_name = "IMAGE")]
    meta_migration_image: Option<String>,
    /// What to do
    #[arg(short, long, value_name = "OPERATION", default_value = "migrate")]
    operation: Operation,
    /// Delete the backup once the upgrade is complete
    #[arg(short, long, value_name = "true|false", default_value = "false", num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    delete: bool,
    /// The storage class of the backup's claim; default: the cluster's own
    #[arg(short = 'c', long, value_name = "CLASS")]
    storage_class: Option<String>,
    /// Where etcd is reached (host:port), where that is not as Milvus's configuration says
    #[arg(short, long, value_name = "ENDPOINT", value_delimiter = ',')]
    etcd_endpoint: Vec<String>,
    /// A Secret with etcd's username and password, or ca.crt, tls.crt and tls.key, where it asks for them
    #[arg(long, value_name = "SECRET")]
    etcd_credentials: Option<String>,
    /// Our own image, for backup, verification and restore, where no guard is installed
    #[arg(long, value_name = "IMAGE", default_value = steer::GUARD_IMAGE)]
    guard_image: String,
    /// Run by a hook of the release's own upgrade: Helm's pending revision is that upgrade, and where there is nothing to migrate all is well
    #[arg(long)]
    within_hook: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask. Where there is no terminal nobody is asked either way, as upstream's script asks nobody
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    Migrate,
    Rollback,
}

/// Runs it.
pub(crate) fn run(arguments: &Migrate) -> anyhow::Result<ExitCode> {
    if arguments.operation == Operation::Rollback {
        let target = steer::Target::new(arguments.instance.clone(), arguments.namespace.clone(), arguments.guard_image.clone());
        let to = strict(&arguments.target_version, "-t", MilvusVersion::new(2, 2, 0), MilvusVersion::new(2, 3, 0))?;
        let is_meant = |upgrade: &Value| Ok(is_migration(upgrade, to, &arguments.instance, &arguments.namespace)?);
        return steer::take_back(&target, is_meant, arguments.dry_run, arguments.yes);
    }
    let (asked, source) = asked(arguments)?;
    carry::run(carry(arguments, asked, source))
}

/// That an upgrade is the migration of metadata which leads to this version: no other is taken back in its place.
fn is_migration(upgrade: &Value, to: MilvusVersion, release: &str, namespace: &str) -> Result<(), Refused> {
    let (low, high) = (MilvusVersion::new(2, 2, 0), MilvusVersion::new(2, 3, 0));
    let leads = api::target_under_way(upgrade).or_else(|| api::upgrade_to(upgrade)).unwrap_or_default();
    let target = leads.trim().parse::<MilvusVersion>().ok();
    let from = text(upgrade, "/status/from").and_then(|from| from.parse::<MilvusVersion>().ok());
    let is_below = from.map_or_else(|| upgrade.pointer("/spec/metadataMigration").is_some(), |from| from < low);
    let next = format!("Nothing was changed. milvus-guard abort {release} -n {namespace} takes it back.");
    if !is_below || !target.is_some_and(|target| (low..high).contains(&target)) {
        return Err(Refused::new(format!("the upgrade that is open leads to {leads} and migrates no metadata"), next));
    }
    if target != Some(to) {
        return Err(Refused::new(format!("the upgrade that is open leads to {leads}, and -t says {to}"), next));
    }
    Ok(())
}

fn carry(arguments: &Migrate, asked: Asked, source: Option<MilvusVersion>) -> Carry {
    let means = Means { image: Some(arguments.guard_image.clone()), within_hook: arguments.within_hook };
    Carry { asked, source, dry_run: arguments.dry_run, yes: arguments.yes, means, deletes_backup: arguments.delete }
}

/// What is asked for, where the tool would do it, and the version that is said to run.
fn asked(arguments: &Migrate) -> Result<(Asked, Option<MilvusVersion>), Refused> {
    let strict_source = |text: &String| strict(text, "-s", MilvusVersion::new(2, 1, 0), MilvusVersion::new(2, 2, 0));
    let source = arguments.source_version.as_ref().map(strict_source).transpose()?;
    strict(&arguments.target_version, "-t", MilvusVersion::new(2, 2, 0), MilvusVersion::new(2, 3, 0))?;
    let target = Target::new(&arguments.image, &arguments.target_version).map_err(|why| Refused::new(why, NOTHING))?;
    if arguments.meta_migration_image.as_deref().is_some_and(|image| image.ends_with("/meta-migration:v2.2.0")) {
        let why = "the migration tool of 2.2.0 itself loses which collections were loaded (milvus-io/milvus#21584)";
        return Err(Refused::new(why, "Leave -m out, or take milvusdb/meta-migration:v2.2.0-bugfix-20230112."));
    }
    let mut migration = Map::new();
    let mut say = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            migration.insert(name.to_owned(), value);
        }
    };
    say("image", arguments.meta_migration_image.clone().map(Value::from));
    say("rootPath", arguments.root_path.clone().map(Value::from));
    say("storageClass", arguments.storage_class.clone().map(Value::from));
    say("etcdCredentials", arguments.etcd_credentials.as_ref().map(|name| json!({"secretName": name})));
    say("etcdEndpoints", (!arguments.etcd_endpoint.is_empty()).then(|| json!(arguments.etcd_endpoint)));
    let asked = Asked { namespace: arguments.namespace.clone(), release: arguments.instance.clone(), target, migration: Some(Value::Object(migration)) };
    Ok((asked, source))
}

const NOTHING: &str = "Nothing was changed.";

/// A version that the tool takes: three numbers, within a range. It counts any pre-release of 2.2.0 as older than 2.2.0 and then does nothing at all.
fn strict(text: &str, flag: &str, at_least: MilvusVersion, below: MilvusVersion) -> Result<MilvusVersion, Refused> {
    let numbers: Vec<&str> = text.split('.').collect();
    let is_strict = numbers.len() == 3 && numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let version = text.parse::<MilvusVersion>().ok().filter(|_| is_strict);
    let Some(version) = version else {
        return Err(Refused::new(
            format!("{flag} {text} is no version that the migration tool reads: three numbers, such as 2.1.4, without v and without anything behind"),
            NOTHING,
        ));
    };
    if version < at_least || version >= below {
        let next = if flag == "-t" {
            "Go to 2.2.16 first; milvus-lint plan prints the rest of the way."
        } else {
            "Upgrade to 2.1.4 first; milvus-lint plan prints the way."
        };
        return Err(Refused::new(format!("{flag} {text}: metadata is migrated from 2.1 to 2.2, and in no other step"), next));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        migrate: Migrate,
    }

    fn asked(line: &str) -> Result<Asked, String> {
        let arguments = std::iter::once("migrate").chain(line.split_whitespace());
        let migrate = Line::try_parse_from(arguments).map_err(|error| error.to_string())?.migrate;
        super::asked(&migrate).map(|(asked, _)| asked).map_err(|refused| refused.to_string())
    }

    #[test]
    fn the_flags_of_the_script_are_declared() {
        let all =
            asked("-i m -n db -s 2.1.4 -t 2.2.16 -r by-dev -w milvusdb/milvus:v2.2.16 -m mirror/meta-migration:x -o migrate -d true -c fast -e etcd:2379")
                .unwrap();
        let migration = all.migration.unwrap();
        assert_eq!(migration, json!({"image": "mirror/meta-migration:x", "rootPath": "by-dev", "storageClass": "fast", "etcdEndpoints": ["etcd:2379"]}));
        let few = asked("-i m -s 2.1.4 -t 2.2.16 -w milvusdb/milvus:v2.2.16").unwrap();
        assert_eq!((few.namespace.as_str(), few.migration.unwrap()), ("default", json!({})));
        // Upstream takes any value of -d for yes, and so deletes the only backup.
        let deletes = |line: &str| Line::try_parse_from(std::iter::once("migrate").chain(line.split_whitespace())).unwrap().migrate.delete;
        assert_eq!(["", "-d", "-d true", "-d false"].map(|flag| deletes(&format!("-i m -t 2.2.16 {flag}"))), [false, true, true, false]);
    }

    #[test]
    fn only_the_migration_that_is_meant_is_taken_back() {
        let told = |spec: Value, status: Value| {
            let upgrade = json!({"metadata": {"name": "m"}, "spec": spec, "status": status});
            is_migration(&upgrade, MilvusVersion::new(2, 2, 16), "m", "db").map_err(|refused| refused.to_string())
        };
        let other = told(json!({"to": "2.5.26"}), json!({"from": "2.5.16", "phase": "Running"})).unwrap_err();
        assert_eq!(
            other,
            "the upgrade that is open leads to 2.5.26 and migrates no metadata\n  -> Nothing was changed. milvus-guard abort m -n db takes it back."
        );
        assert!(told(json!({"to": "2.2.9"}), json!({"from": "2.1.4"})).unwrap_err().contains("leads to 2.2.9, and -t says 2.2.16"));
        assert!(told(json!({"to": "2.2.16"}), json!({"from": "2.2.9"})).unwrap_err().contains("migrates no metadata"));
        assert!(told(json!({"to": "2.2.16"}), json!({})).is_err(), "nobody has looked where it comes from, and nothing says that it migrates");
        for (spec, status) in [
            (json!({"to": "2.2.16"}), json!({"from": "2.1.4", "phase": "Migrating"})),
            (json!({"to": "2.2.16", "metadataMigration": {}}), json!({})),
            // What it began with counts, whatever is written since.
            (json!({"to": "2.2.9"}), json!({"from": "2.1.4", "to": "2.2.16", "phase": "Running"})),
        ] {
            assert_eq!(told(spec.clone(), status), Ok(()), "{spec}");
        }
    }

    #[test]
    fn what_the_tool_would_skip_or_refuse_is_refused_before_anything_stops() {
        for (line, why) in [
            ("-s v2.1.4 -t 2.2.16 -w milvusdb/milvus:v2.2.16", "three numbers"),
            ("-s 2.1.4 -t 2.2.0-rc1 -w milvusdb/milvus:v2.2.0-rc1", "three numbers"),
            ("-s 2.1.4 -t 2.2 -w milvusdb/milvus:v2.2.16", "three numbers"),
            ("-s 2.1.4 -t 2.3.11 -w milvusdb/milvus:v2.3.11", "in no other step"),
            ("-s 2.0.2 -t 2.2.16 -w milvusdb/milvus:v2.2.16", "in no other step"),
            // The script's own default image beside another target.
            ("-s 2.1.4 -t 2.2.16", "give both for one version"),
            ("-s 2.1.4 -t 2.2.16 -w milvusdb/milvus:v2.2.16 -m milvusdb/meta-migration:v2.2.0", "21584"),
        ] {
            let told = asked(&format!("-i m {line}")).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
        assert!(asked("-i m -s 2.1.4 -t 2.2.0").is_ok(), "the script's default image is that of 2.2.0");
    }
}
