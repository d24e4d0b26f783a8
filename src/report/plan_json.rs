//! The JSON of `plan`, schema version 1; the schema is `policies/schema/plan.schema.json`.

use std::io;

use serde::Serialize;

use super::wire::GapWire;
use crate::model::plan::{Hop, Plan, Refusal};

/// Version of the shape; a change that breaks readers counts it up.
pub const SCHEMA_VERSION: u32 = 1;

/// Writes a plan as indented JSON with a line end. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, plan: &Plan) -> io::Result<()> {
    let wire = PlanWire {
        schema_version: SCHEMA_VERSION,
        from: &plan.from,
        to: &plan.to,
        refused: plan.refused.as_ref(),
        hops: &plan.hops,
        not_checked: plan.not_checked.iter().map(GapWire::from).collect(),
    };
    serde_json::to_writer_pretty(&mut *out, &wire)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct PlanWire<'a> {
    schema_version: u32,
    from: &'a str,
    to: &'a str,
    refused: Option<&'a Refusal>,
    hops: &'a [Hop],
    not_checked: Vec<GapWire<'a>>,
}
