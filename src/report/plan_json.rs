//! The JSON of `plan`; the schema is `policies/schema/plan.schema.json`.

use std::io;

use crate::model::plan::Plan;

/// Writes a plan as indented JSON with a line end. Give it a buffered writer.
///
/// # Errors
/// When the writer fails.
pub fn write(out: &mut dyn io::Write, plan: &Plan) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, plan)?;
    out.write_all(b"\n")
}
