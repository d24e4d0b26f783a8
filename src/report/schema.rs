//! The published JSON Schemas of our JSON, as committed in `policies/schema/`.

/// JSON Schema of the JSON of `check`.
pub const CHECK: &str = include_str!("../../policies/schema/check.schema.json");

/// JSON Schema of the JSON of `plan`.
pub const PLAN: &str = include_str!("../../policies/schema/plan.schema.json");
