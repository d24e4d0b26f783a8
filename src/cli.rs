//! The command line: arguments in, reports and exit codes out. The only place with I/O.
#![allow(clippy::disallowed_methods, reason = "I/O belongs here")]

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use clap::{CommandFactory as _, Parser as _};

mod args;
mod baseline;
mod before;
mod catalogue;
mod check;
mod content;
mod emit;
mod exit;
mod explain;
mod gaps;
mod git;
mod inputs;
mod known;
mod once;
mod output;
mod plan;
mod release;
mod rules;
mod scope;
mod secrets;
mod table;
mod texts;
mod values;
mod waivers;
mod walk;

use args::{Arguments, Command};

/// Parses the arguments and runs what they ask for.
pub(crate) fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; a closed pipe is none either.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::from(exit::FAILED), ExitCode::from);
        }
    };
    choose_color(arguments.color);
    match dispatch(&arguments.command) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::from(exit::FAILED)
        }
    }
}

fn dispatch(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(arguments) => check::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Values(arguments) => values::run(arguments),
        Command::Catalogue(command) => catalogue::run(command).map(|()| ExitCode::SUCCESS),
        Command::Explain(arguments) => explain::run(&arguments.rule).map(|()| ExitCode::SUCCESS),
        Command::Rules(command) => rules::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "milvus-lint", &mut script);
            let script = String::from_utf8(script)?;
            // The generator takes the hyphen of the name for a step down in the names of bash's cases, and not in what it compares with them.
            output::to_stdout(script.replace("milvus__subcmd__lint", "milvus__lint").as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Schema { name } => schema(name.as_deref()),
    }
}

fn schema(name: Option<&str>) -> anyhow::Result<ExitCode> {
    let all = milvus_guard::report::schema::ALL;
    let text = match name {
        Some(name) => match all.iter().find(|(known, ..)| *known == name) {
            Some((.., text)) => (*text).to_owned(),
            None => bail!("there is no schema `{name}`; there are {}", all.iter().map(|(known, ..)| format!("`{known}`")).collect::<Vec<_>>().join(", ")),
        },
        None => all.iter().map(|(name, what, _)| format!("{name:<6} {what}\n")).collect(),
    };
    output::to_stdout(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn choose_color(choice: clap::ColorChoice) {
    match choice {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Tells on standard error what failed and why; there is nowhere left to tell that this fails.
fn complain(error: &anyhow::Error) {
    let causes = error.chain().map(|cause| cause.downcast_ref::<std::io::Error>().map_or_else(|| cause.to_string(), walk::plain));
    let _ = writeln!(anstream::stderr(), "\x1b[1;31merror\x1b[0m: {}", causes.collect::<Vec<_>>().join(": "));
}
