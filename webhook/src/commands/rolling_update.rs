//! `milvus-guard rolling-update`: what upstream's rollingUpdate.sh does, with its flags: a new image for every component of a release, one after the other, and nothing that would break it.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use milvus_guard_webhook::controller::alone::Means;
use milvus_guard_webhook::direct::{Asked, Target};

use super::carry::{self, Carry, Refused};

/// That of upstream's script.
const DEFAULT_IMAGE: &str = "milvusdb/milvus:v2.2.3";

/// Arguments of `rolling-update`.
#[derive(Debug, Args)]
#[command(after_help = "\
The flags are those of upstream's rollingUpdate.sh. What is different:
  - the step is judged by the rules before anything is changed, and refused where it cannot work (-t and -w of two versions, a stop that is missing, another topology);
  - the mix coordinator and all other components have their place in the order, and each waits until no pod of the earlier image is left;
  - ConfigMap, strategy and minReadySeconds stay as they are: switch active-standby on in the release's values, or each coordinator is away while it restarts;
  - it may be interrupted at any time: the next run goes on.

Exit codes: 0 done, 1 refused or stopped, 2 something could not be read or written, 130 interrupted.

Examples:
  milvus-guard rolling-update -i m -n db -t v2.5.22 -w milvusdb/milvus:v2.5.22 --dry-run
  milvus-guard rolling-update -i m -n db -t v2.5.22 -w milvusdb/milvus:v2.5.22 -o update --yes")]
pub(crate) struct RollingUpdate {
    /// The release
    #[arg(short, long, value_name = "RELEASE")]
    instance: String,
    /// Its namespace
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// The version, for the label of the workloads; has to be that of the image
    #[arg(short, long, value_name = "TAG")]
    tag: String,
    /// The image of every component of Milvus
    #[arg(short = 'w', long, value_name = "IMAGE", default_value = DEFAULT_IMAGE)]
    image: String,
    /// What to do
    #[arg(short, long, value_name = "OPERATION", default_value = "update")]
    operation: Operation,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask. Where there is no terminal nobody is asked either way, as upstream's script asks nobody
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Operation {
    Update,
}

/// Runs it.
pub(crate) fn run(arguments: &RollingUpdate) -> anyhow::Result<ExitCode> {
    let Operation::Update = arguments.operation;
    let target = Target::new(&arguments.image, &arguments.tag).map_err(|why| {
        let is_default = arguments.image == DEFAULT_IMAGE;
        let why = if is_default { format!("-w was not given, and its default is {DEFAULT_IMAGE}: {why}") } else { why };
        Refused::new(why, "Nothing was changed.")
    })?;
    let asked = Asked { namespace: arguments.namespace.clone(), release: arguments.instance.clone(), target, migration: None };
    carry::run(Carry { asked, source: None, dry_run: arguments.dry_run, yes: arguments.yes, means: Means::default(), deletes_backup: false })
}
